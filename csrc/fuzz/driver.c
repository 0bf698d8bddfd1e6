/* SPDX-License-Identifier: Apache-2.0 */
/* A small fuzzer for targets with libFuzzer's signature, so that fuzzing needs no clang.
 *
 *     fuzz_json corpus/json                        replays files and folders
 *     fuzz_json -seconds 60 -seed 7 corpus/json    then mutates them
 *     fuzz_json -out found ...                     writes what fails there, not to "."
 *
 * Inputs that reach a new edge (trace-pc, edges hashed as AFL does) or a new count of one join
 * the pool; operands of comparisons (trace-cmp) are what gets written into inputs. The same seed
 * gives the same inputs as long as the pool's times do not matter: none are looked at. An input
 * that takes more than a second of processor time fails. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>

#include "fuzz.h"

#define EDGES 32768u
#define POOL_MAX 20000u
#define OPERANDS 256u
#define SECONDS_MAX 1.0
#define HANG_SECONDS 60
#define NO_COVERAGE __attribute__((no_sanitize_coverage, no_sanitize_address))

typedef struct input {
    uint8_t *data;
    size_t size;
} input;

static input pool[POOL_MAX];
static size_t pool_count;
static uint8_t edges[EDGES],
    seen[EDGES]; /* counts of this input; bits of classes so far */
static uint64_t operands[OPERANDS];
static uint32_t operand_count;
static bool watching;
static uintptr_t edge_before;
static uint64_t rng, executions;
static input now;
static uint8_t scratch[FUZZ_INPUT_MAX];
static const char *out_folder = ".";

void __sanitizer_set_death_callback(void (*callback)(void));

/* ------------------------------------------------------------------ coverage */

void __sanitizer_cov_trace_pc(void);
NO_COVERAGE void
__sanitizer_cov_trace_pc(void)
{
    if (watching) {
        uintptr_t pc = (uintptr_t)__builtin_return_address(0);
        uintptr_t here = (pc ^ pc >> 16) & (EDGES - 1);
        uint8_t *count = &edges[(here ^ edge_before) & (EDGES - 1)];
        *count = (uint8_t)(*count + (*count < 255));
        edge_before = here >> 1;
    }
}

NO_COVERAGE static inline void
compared(uint64_t a, uint64_t b)
{
    if (watching && a != b) {
        operands[operand_count++ % OPERANDS] = a;
        operands[operand_count++ % OPERANDS] = b;
    }
}

#define CMP(name, type)                                                                \
    void __sanitizer_cov_trace_##name(type a, type b);                                 \
    NO_COVERAGE void __sanitizer_cov_trace_##name(type a, type b)                      \
    {                                                                                  \
        compared(a, b);                                                                \
    }
CMP(cmp1, uint8_t)
CMP(cmp2, uint16_t)
CMP(cmp4, uint32_t)
CMP(cmp8, uint64_t)
CMP(const_cmp1, uint8_t)
CMP(const_cmp2, uint16_t)
CMP(const_cmp4, uint32_t)
CMP(const_cmp8, uint64_t)
void __sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases);
NO_COVERAGE void
__sanitizer_cov_trace_switch(uint64_t value, const uint64_t *cases)
{
    if (watching && cases[0] > 0) {
        compared(value, cases[2 + value % cases[0]]);
    }
}
void __sanitizer_cov_trace_cmpf(float a, float b);
NO_COVERAGE void
__sanitizer_cov_trace_cmpf(float a, float b)
{
    (void)a, (void)b;
}
void __sanitizer_cov_trace_cmpd(double a, double b);
NO_COVERAGE void
__sanitizer_cov_trace_cmpd(double a, double b)
{
    (void)a, (void)b;
}

/* Counts fall into 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more. */
NO_COVERAGE static bool
is_new(void)
{
    bool found = false;
    for (uint32_t i = 0; i < EDGES; i += 8) {
        if (la_load_u64(edges + i) == 0) {
            continue;
        }
        for (uint32_t k = i; k < i + 8; k++) {
            uint8_t n = edges[k];
            uint8_t bit = n == 0    ? 0
                          : n < 4   ? (uint8_t)(1u << (n - 1))
                          : n < 8   ? 8
                          : n < 16  ? 16
                          : n < 32  ? 32
                          : n < 128 ? 64
                                    : 128;
            found |= (seen[k] | bit) != seen[k];
            seen[k] |= bit;
        }
    }
    return found;
}

/* ------------------------------------------------------------------- running */

static void
save(const char *what)
{
    char path[4096];
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < now.size; i++) {
        h = (h ^ now.data[i]) * 1099511628211u;
    }
    snprintf(path, sizeof path, "%s/%s-%016llx", out_folder, what,
             (unsigned long long)h);
    FILE *f = fopen(path, "wb");
    if (f != NULL) {
        fwrite(now.data, 1, now.size, f);
        fclose(f);
    }
    fprintf(stderr, "input of %zu bytes saved as %s\n", now.size, path);
}

static void
died(void)
{
    if (now.data != NULL) {
        save("crash");
    }
}

static double
seconds_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Keeps a copy in the pool when it did something new. */
static void
run(const uint8_t *data, size_t size)
{
    struct itimerval hang = {.it_value.tv_sec = HANG_SECONDS}, none = {0};
    /* Exactly as long as the input, so that reading past its end is seen. */
    now = (input){malloc(size), size};
    memcpy(now.data, data, size);
    memset(edges, 0, sizeof edges);
    edge_before = 0;
    setitimer(ITIMER_VIRTUAL, &hang, NULL); /* SIGVTALRM ends the process */
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    watching = true;
    LLVMFuzzerTestOneInput(now.data, now.size);
    watching = false;
    double took = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
    setitimer(ITIMER_VIRTUAL, &none, NULL);
    if (took > SECONDS_MAX) {
        fprintf(stderr, "one input took %.2f s\n", took);
        save("slow");
        exit(1);
    }
    executions++;
    if (is_new() && pool_count < POOL_MAX) {
        pool[pool_count++] = now;
    }
    else {
        free(now.data);
    }
    now.data = NULL;
}

static void
replay(const char *path)
{
    struct stat st;
    char name[4096];
    if (stat(path, &st) != 0) {
        fprintf(stderr, "no such file: %s\n", path);
        exit(2);
    }
    if (S_ISDIR(st.st_mode)) {
        struct dirent **names;
        int count = scandir(path, &names, NULL, alphasort);
        for (int i = 0; i < count; i++) {
            if (names[i]->d_name[0] != '.') {
                snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
                replay(name);
            }
            free(names[i]);
        }
        free(names);
        return;
    }
    FILE *f = fopen(path, "rb");
    size_t size = f == NULL ? 0 : fread(scratch, 1, sizeof scratch, f);
    if (f != NULL) {
        fclose(f);
    }
    run(scratch, size);
}

/* ------------------------------------------------------------------ mutation */

static uint64_t
below(uint64_t limit)
{
    uint64_t z = rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

static uint64_t
interesting(void)
{
    static const uint64_t known[] = {
        0,          1,          7,          8,         63,         64,
        127,        128,        255,        256,       1023,       1024,
        1025,       32767,      32768,      65535,     65536,      INT32_MAX,
        1ull << 31, UINT32_MAX, 1ull << 32, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint32_t have = operand_count < OPERANDS ? operand_count : OPERANDS;
    uint64_t value = have > 0 && below(2) ? operands[below(have)] : known[below(24)];
    return value + (below(4) == 0 ? below(5) - 2 : 0);
}

/* `data` has room for FUZZ_INPUT_MAX bytes. */
static size_t
make_room(uint8_t *data, size_t size, size_t at, size_t more)
{
    more = more < FUZZ_INPUT_MAX - size ? more : FUZZ_INPUT_MAX - size;
    memmove(data + at + more, data + at, size - at);
    return more;
}

static size_t
mutate(uint8_t *data, size_t size)
{
    static const char tokens[] = "{}[]\",:0-.eE\\nulltruefalse";
    const input *other = &pool[below(pool_count)];
    size_t at = size == 0 ? 0 : below(size), n, from;
    uint64_t value = interesting();

    switch (below(11)) {
    case 0:
        data[at] ^= (uint8_t)(1u << below(8));
        return size == 0 ? 1 : size;
    case 1:
        data[at] = (uint8_t)below(256);
        return size == 0 ? 1 : size;
    case 2: /* insert */
        n = make_room(data, size, at, 1 + below(8));
        for (size_t i = 0; i < n; i++) {
            data[at + i] = below(2) ? (uint8_t)below(256) : (uint8_t)tokens[below(26)];
        }
        return size + n;
    case 3: /* delete */
        n = below(below(4) == 0 ? size - at + 1 : (size - at < 9 ? size - at : 9) + 1);
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    case 4: /* write a number */
    case 5:
        n = (size_t)1 << below(4);
        if (n <= size - at) {
            memcpy(data + at, &value, n);
        }
        return size;
    case 6: /* as text */
    {
        char text[24];
        n = (size_t)snprintf(text, sizeof text, below(2) ? "%lld" : "%llu",
                             (long long)value);
        n = make_room(data, size, at, n);
        memcpy(data + at, text, n);
        return size + n;
    }
    case 7: /* repeat a piece of its own */
        n = size == 0 ? 0 : 1 + below(size - at < 64 ? size - at : 64);
        n = make_room(data, size, at, n);
        memcpy(data + at, data + at + n, at + 2 * n <= size + n ? n : 0);
        return size + n;
    case 8: /* put in a piece of another */
    case 9: /* write it over */
        from = other->size == 0 ? 0 : below(other->size);
        n = other->size == from ? 0 : 1 + below(other->size - from);
        n = n > 64 && below(4) ? 1 + below(64) : n;
        if (below(2)) {
            n = make_room(data, size, at, n);
            memcpy(data + at, other->data + from, n);
            return size + n;
        }
        n = n < size - at ? n : size - at;
        memcpy(data + at, other->data + from, n);
        return size;
    default: /* add to a byte */
        data[at] = (uint8_t)(data[at] + below(35) - 17);
        return size == 0 ? 1 : size;
    }
}

static void
fuzz_for(double seconds)
{
    double end = seconds_of(CLOCK_MONOTONIC) + seconds;
    if (pool_count == 0) {
        run(scratch, 0);
    }
    if (pool_count == 0) { /* without coverage */
        pool[pool_count++] = (input){calloc(1, 1), 0};
    }
    while (seconds_of(CLOCK_MONOTONIC) < end) {
        /* Newer ones more often: their surroundings are less known. */
        size_t a = below(pool_count), b = below(pool_count);
        const input *from = &pool[below(3) == 0 ? a : a > b ? a : b];
        size_t size = from->size;
        memcpy(scratch, from->data, size);
        for (uint64_t n = 1 + below(below(3) == 0 ? 8 : 3); n > 0; n--) {
            size = mutate(scratch, size);
        }
        run(scratch, size);
    }
}

int
main(int argc, char **argv)
{
    double seconds = 0;
    __sanitizer_set_death_callback(died);
    for (int i = 1; i < argc; i++) {
        bool option = argv[i][0] == '-' && i + 1 < argc;
        if (option && strcmp(argv[i], "-seconds") == 0) {
            seconds = strtod(argv[++i], NULL);
        }
        else if (option && strcmp(argv[i], "-seed") == 0) {
            rng = strtoull(argv[++i], NULL, 0);
        }
        else if (option && strcmp(argv[i], "-out") == 0) {
            out_folder = argv[++i];
        }
        else {
            replay(argv[i]);
        }
    }
    uint64_t replayed = executions;
    if (seconds > 0) {
        fuzz_for(seconds);
    }
    uint32_t covered = 0;
    for (uint32_t i = 0; i < EDGES; i++) {
        covered += seen[i] != 0;
    }
    printf("%llu inputs, %llu mutated, %u edges, pool %zu\n",
           (unsigned long long)replayed, (unsigned long long)(executions - replayed),
           covered, pool_count);
    for (size_t i = 0; i < pool_count; i++) {
        free(pool[i].data);
    }
    return 0;
}
