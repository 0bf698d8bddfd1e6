/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>

#include "base/hash.h"
#include "fold/fold.h"

const uint8_t fuzz_uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* -------------------------------------------------------------------- memory */

static size_t in_use;

static void *
counted_realloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
    size_t *at = p == NULL ? NULL : (size_t *)p - 2;

    (void)ctx;
    FUZZ_CHECK((at == NULL) == (old_size == 0 || p == NULL) &&
               (at == NULL || *at == old_size));
    if (new_size == 0) {
        in_use -= old_size;
        free(at);
        return NULL;
    }
    if (new_size > FUZZ_MEMORY_MAX || in_use - old_size > FUZZ_MEMORY_MAX - new_size) {
        return NULL;
    }
    at = realloc(at, new_size + 16);
    FUZZ_CHECK(at != NULL);
    *at = new_size;
    in_use += new_size - old_size;
    return at + 2;
}

la_env
fuzz_env_with(const la_env *io)
{
    la_env env = *io;
    env.mem = (la_mem){.realloc = counted_realloc};
    return env;
}

const la_env *
fuzz_env(void)
{
    static la_env env;
    if (env.mem.realloc == NULL) {
        env = fuzz_env_with(la_env_system());
    }
    return &env;
}

static size_t used_before;
static int64_t live_before[LA_LIVE_COUNT];

void
fuzz_begin(void)
{
    used_before = in_use;
    for (int k = 0; k < LA_LIVE_COUNT; k++) {
        live_before[k] = la_live_count((la_live)k);
    }
}

int
fuzz_end(void)
{
    FUZZ_CHECK(in_use == used_before);
    for (int k = 0; k < LA_LIVE_COUNT; k++) {
        FUZZ_CHECK(la_live_count((la_live)k) == live_before[k]);
    }
    return 0;
}

/* ------------------------------------------------------------------ one file */

static struct {
    const uint8_t *data;
    size_t size;
} file;

static int
file_open(void *ctx, const char *path, int flags, int mode)
{
    (void)ctx, (void)path, (void)mode;
    return (flags & O_ACCMODE) == O_RDONLY ? 3 : -EROFS;
}

static int
file_close(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return 0;
}

static int64_t
file_pread(void *ctx, int fd, void *to, size_t size, uint64_t byte)
{
    (void)ctx, (void)fd;
    size_t left = byte < file.size ? file.size - (size_t)byte : 0;
    size = size < left ? size : left;
    if (size > 0) {
        memcpy(to, file.data + byte, size);
    }
    return (int64_t)size;
}

static int64_t
file_size(void *ctx, int fd)
{
    (void)ctx, (void)fd;
    return (int64_t)file.size;
}

static int
file_map(void *ctx, int fd, size_t size, bool writable, void **out)
{
    (void)ctx, (void)fd, (void)writable;
    *out = calloc(1, size);
    memcpy(*out, file.data, size < file.size ? size : file.size);
    return 0;
}

static void
file_unmap(void *ctx, const void *at, size_t size)
{
    (void)ctx, (void)size;
    free((void *)at);
}

const la_env *
fuzz_file_env(const void *data, size_t size)
{
    static la_env env;
    if (env.mem.realloc == NULL) {
        la_env made = *fuzz_env();
        made.io.open = file_open;
        made.io.close = file_close;
        made.io.pread = file_pread;
        made.io.file_size = file_size;
        made.io.map_shared = file_map;
        made.io.unmap = file_unmap;
        env = made;
    }
    file.data = data;
    file.size = size;
    return &env;
}

/* ----------------------------------------------------------------- documents */

void
fuzz_put_document(la_buf *to, la_doc_kind kind, uint64_t number, const void *body,
                  size_t size, la_doc_id *id)
{
    size_t start = to->size;
    la_buf_put(to, "LAMBDOC\n", 8);
    la_buf_u16(to, 1);
    la_buf_u16(to, (uint16_t)kind);
    la_buf_u32(to, 0);
    la_buf_put(to, fuzz_uuid, 16);
    la_buf_u64(to, number);
    la_buf_u64(to, size);
    la_buf_zero(to, 32);
    la_buf_u64(to, la_xxh3(body, size, number));
    la_buf_u32(to, 0);
    la_buf_u32(to, la_crc32c(0, to->data + start, 92));
    la_buf_put(to, body, size);
    FUZZ_CHECK(!to->failed);
    if (id != NULL) {
        id->number = number;
        id->size = to->size - start;
        la_sha256(to->data + start, to->size - start, id->digest);
    }
}

/* -------------------------------------------------------------- log and rows */

#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":\"" type "\"},"
const char *const fuzz_spec =
    "{\"fields\":[" FIELD("b", "bool") FIELD("i", "i32?") FIELD("l", "i64")
        FIELD("u", "u64?") FIELD("f", "f32") FIELD("d", "f64?") FIELD("ts", "time[us]")
            FIELD("day", "date?") FIELD("m", "decimal(2)") FIELD("c", "cat") FIELD(
                "s", "str?") "{\"name\":\"raw\",\"type\":\"bytes?\"}],\"time\":\"ts\"}";

enum { B, I, L, U, F, D, TS, DAY, M, C, S, RAW, COLUMNS };

const la_schema *
fuzz_schema(void)
{
    static char names[COLUMNS][4] = {"b",  "i",   "l", "u", "f", "d",
                                     "ts", "day", "m", "c", "s", "raw"};
    static const la_type types[COLUMNS] = {
        LA_T_BOOL, LA_T_I32,  LA_T_I64,     LA_T_U64, LA_T_F32, LA_T_F64,
        LA_T_TIME, LA_T_DATE, LA_T_DECIMAL, LA_T_CAT, LA_T_STR, LA_T_BYTES};
    static const char nullable[] = "010101010011";
    static const la_schema *schema;
    la_field fields[COLUMNS];

    for (int i = 0; schema == NULL && i < COLUMNS; i++) {
        fields[i] = (la_field){names[i], types[i], i == M ? 2 : 0, nullable[i] == '1'};
    }
    if (schema == NULL &&
        la_schema_new(la_env_system(), fields, COLUMNS, &schema, NULL) != LA_OK) {
        abort();
    }
    return schema;
}

static la_status
find_log(void *ctx, const char *log, const la_schema **schema, int32_t *time_column,
         la_error *err)
{
    (void)ctx, (void)log, (void)err;
    *schema = la_schema_retain(fuzz_schema());
    *time_column = TS;
    return LA_OK;
}

const la_plan_source *
fuzz_source(void)
{
    static const la_plan_source source = {NULL, find_log};
    return &source;
}

static const int64_t hard_ints[] = {
    0, 1, -1, 7, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, INT64_MAX, -99};
static const double hard_floats[] = {
    0.0,   -0.0,   1.5,  -1e300,           __builtin_inf(),
    -2.25, 5e-324, 1e19, -__builtin_inf(), __builtin_nan("")};
static const char *const hard_texts[] = {
    "",         "a",    "9.99",  "2026-11-21",
    "\xc3\xa9", "true", "1e400", "-9223372036854775808",
    "nan",      "zz"};
#define ROWS 10u
#define PLANS_MAX 256u

static la_status
put_cell(la_builder *b, uint32_t c, uint32_t row)
{
    const la_field *field = la_schema_field(fuzz_schema(), c);
    int64_t x = hard_ints[(row + c) % ROWS];

    if (field->nullable && (row + c) % 5 == 4) {
        return la_builder_null(b, c, NULL);
    }
    switch (field->type) {
    case LA_T_F32:
        return la_builder_float(b, c, (double)(float)hard_floats[(row + c) % ROWS],
                                NULL);
    case LA_T_F64:
        return la_builder_float(b, c, hard_floats[(row + c) % ROWS], NULL);
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        return la_builder_text(b, c, hard_texts[row], strlen(hard_texts[row]), NULL);
    case LA_T_BOOL:
        return la_builder_int(b, c, x & 1, NULL);
    case LA_T_I32:
    case LA_T_DATE:
        return la_builder_int(b, c, (int32_t)x, NULL);
    case LA_T_DECIMAL:
        return la_builder_int(b, c, x % INT64_C(1000000000000000000), NULL);
    default:
        return la_builder_int(b, c, x, NULL);
    }
}

const la_chunk *
fuzz_chunk(void)
{
    static la_chunk *chunk;
    static const uint8_t verdicts[ROWS] = {0, 0, 0, 0, 0, 0, 0, 2, 1, 0};
    static const uint64_t targets[ROWS];
    static uint32_t codes[ROWS];
    static la_dict *dict;
    la_builder *b;

    if (chunk != NULL) {
        return chunk;
    }
    if (la_builder_new(la_env_system(), fuzz_schema(), &b, NULL) != LA_OK) {
        abort();
    }
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
        FUZZ_CHECK(put_cell(b, i % COLUMNS, i / COLUMNS) == LA_OK);
    }
    FUZZ_CHECK(la_builder_finish(b, &chunk, NULL) == LA_OK);
    la_builder_free(b);
    /* A builder gives cat columns as text; a log's chunks have codes. */
    FUZZ_CHECK(la_dict_new(la_env_system(), &dict, NULL) == LA_OK);
    for (uint32_t i = 0; i < ROWS; i++) {
        FUZZ_CHECK(la_dict_add(dict, hard_texts[i], strlen(hard_texts[i]), &codes[i],
                               NULL) == LA_OK);
    }
    chunk->columns[C] = (la_column){.type = LA_T_CAT, .data = codes, .dict = dict};
    chunk->verdicts = verdicts;
    chunk->targets = targets;
    return chunk;
}

la_plan *
fuzz_plan(const char *json)
{
    la_plan *plan;
    la_error err;
    if (la_plan_parse(la_env_system(), json, strlen(json), fuzz_source(), &plan,
                      &err) != LA_OK) {
        fprintf(stderr, "%s: %s\n", json, err.message);
        abort();
    }
    return plan;
}

la_plan *const *
fuzz_state_plans(uint32_t *count)
{
    static la_plan *plans[PLANS_MAX];
    static uint32_t made;
    static bool done;
    uint32_t kinds;
    const la_agg_kind *const *all = la_agg_all(&kinds);
    char json[300], arg[32];

    for (uint32_t i = 0; !done && i < kinds * COLUMNS; i++) {
        const la_agg_kind *kind = all[i / COLUMNS];
        const char *column = la_schema_field(fuzz_schema(), i % COLUMNS)->name;

        snprintf(arg, sizeof arg, kind->takes_arg ? "[\"col\",\"%s\"]" : "null",
                 column);
        snprintf(json, sizeof json,
                 "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"i\",[\"col\",\"i\"]]],"
                 "\"aggs\":[{\"name\":\"a\",\"fn\":\"%s\",\"arg\":%s}]}",
                 kind->name, arg);
        FUZZ_CHECK(made < PLANS_MAX);
        made += la_plan_parse(la_env_system(), json, strlen(json), fuzz_source(),
                              &plans[made], NULL) == LA_OK;
    }
    done = true;
    *count = made;
    return plans;
}
