/* SPDX-License-Identifier: Apache-2.0 */
/* The least that C tests need. A failing check prints file, line and values, and exits.
 *
 *     static void parses_numbers(void) { CHECK_EQ(la_..., 3); }
 *     int main(void) { RUN(parses_numbers); return test_end(); }
 *
 * Random tests draw from test_rng(): its seed is printed, LA_SEED=<n> repeats it. */
#ifndef LA_TESTS_TEST_H
#define LA_TESTS_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lambdaarch.h"

#define TEST_FAIL(...)                                                                 \
    do {                                                                               \
        fprintf(stderr, "%s:%d: in %s: ", __FILE__, __LINE__, __func__);               \
        fprintf(stderr, __VA_ARGS__);                                                  \
        fprintf(stderr, "\n");                                                         \
        test_failed();                                                                 \
    } while (0)

#define CHECK(condition)                                                               \
    do {                                                                               \
        if (!(condition)) {                                                            \
            TEST_FAIL("not true: %s", #condition);                                     \
        }                                                                              \
    } while (0)

/* As CHECK, with a printf text that says which case it was. */
#define CHECK_MSG(condition, ...)                                                      \
    do {                                                                               \
        if (!(condition)) {                                                            \
            fprintf(stderr, __VA_ARGS__);                                              \
            fprintf(stderr, "\n");                                                     \
            TEST_FAIL("not true: %s", #condition);                                     \
        }                                                                              \
    } while (0)

/* Integers of any type; values are shown signed and in hex. */
#define CHECK_EQ(found, expected)                                                      \
    do {                                                                               \
        unsigned long long found_ = (unsigned long long)(found);                       \
        unsigned long long expected_ = (unsigned long long)(expected);                 \
        if (found_ != expected_) {                                                     \
            TEST_FAIL("%s is %lld (0x%llx), expected %s = %lld (0x%llx)", #found,      \
                      (long long)found_, found_, #expected, (long long)expected_,      \
                      expected_);                                                      \
        }                                                                              \
    } while (0)

#define CHECK_STR(found, expected)                                                     \
    do {                                                                               \
        const char *found_ = (found);                                                  \
        const char *expected_ = (expected);                                            \
        if (strcmp(found_, expected_) != 0) {                                          \
            TEST_FAIL("%s is\n    \"%s\"\nexpected\n    \"%s\"", #found, found_,       \
                      expected_);                                                      \
        }                                                                              \
    } while (0)

#define CHECK_BYTES(found, expected, size)                                             \
    do {                                                                               \
        size_t at_ = test_difference((found), (expected), (size));                     \
        if (at_ != (size_t)(size)) {                                                   \
            TEST_FAIL("%s and %s differ at byte %zu", #found, #expected, at_);         \
        }                                                                              \
    } while (0)

/* `err` is the la_error that `call` was given: its message is shown. */
#define CHECK_STATUS(call, expected, err)                                              \
    do {                                                                               \
        la_status status_ = (call);                                                    \
        if (status_ != (expected)) {                                                   \
            TEST_FAIL("%s is %s, expected %s: %s", #call, la_status_name(status_),     \
                      la_status_name(expected),                                        \
                      status_ == LA_OK ? "" : (err)->message);                         \
        }                                                                              \
    } while (0)

#define CHECK_OK(call, err) CHECK_STATUS(call, LA_OK, err)

#define RUN(test)                                                                      \
    do {                                                                               \
        printf("%s\n", #test);                                                         \
        fflush(stdout);                                                                \
        test();                                                                        \
    } while (0)

/* A place for a debugger to stop. */
static inline void
test_failed(void)
{
    fflush(stdout);
    exit(1);
}

static inline size_t
test_difference(const void *a, const void *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) {
            return i;
        }
    }
    return size;
}

/* splitmix64: state is any number. */
static inline uint64_t
test_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t
test_below(uint64_t *state, uint64_t limit)
{
    return test_next(state) % limit;
}

static inline uint64_t
test_seed(void)
{
    const char *given = getenv("LA_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL
                        ? strtoull(given, NULL, 0)
                        : (uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec;
    fprintf(stderr, "    LA_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Last in main: nothing may be left alive. */
static inline int
test_end(void)
{
    int leaks = 0;
    for (int kind = 0; kind < LA_LIVE_COUNT; kind++) {
        long long count = (long long)la_live_count((la_live)kind);
        if (count != 0) {
            fprintf(stderr, "live objects left: %s %lld\n", la_live_name((la_live)kind),
                    count);
            leaks++;
        }
    }
    return leaks == 0 ? 0 : 1;
}

#endif
