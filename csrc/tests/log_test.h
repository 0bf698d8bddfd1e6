/* SPDX-License-Identifier: Apache-2.0 */
/* What log tests share: a log with a column of every type, whose row is a pure function
 * of a number, so that a model of the log is a list of numbers. */
#ifndef LA_TESTS_LOG_TEST_H
#define LA_TESTS_LOG_TEST_H

#include <inttypes.h>

#include "base/mem.h"
#include "chunk/chunk.h"
#include "log/log.h"
#include "test.h"

#define ALL_FIELDS                                                                       \
    "{\"fields\":[{\"name\":\"id\",\"type\":\"u64\"},{\"name\":\"ts\",\"type\":"         \
    "\"time[us]\"},{\"name\":\"n\",\"type\":\"i32?\"},{\"name\":\"big\",\"type\":"       \
    "\"i64\"},{\"name\":\"x\",\"type\":\"f64?\"},{\"name\":\"y\",\"type\":\"f32\"},"     \
    "{\"name\":\"flag\",\"type\":\"bool\"},{\"name\":\"day\",\"type\":\"date\"},"        \
    "{\"name\":\"price\",\"type\":\"decimal(2)\"},{\"name\":\"kind\",\"type\":\"cat\"}," \
    "{\"name\":\"note\",\"type\":\"str?\"},{\"name\":\"blob\",\"type\":\"bytes?\"}]"
#define SPEC_ALL ALL_FIELDS ",\"time\":\"ts\"}"
#define SPEC_DEDUPE ALL_FIELDS ",\"time\":\"ts\",\"dedupe\":[\"id\"]}"
#define SPEC_SMALL                                                                     \
    "{\"fields\":[{\"name\":\"id\",\"type\":\"u64\"},{\"name\":\"kind\",\"type\":"     \
    "\"cat\"},{\"name\":\"note\",\"type\":\"str?\"}]}"

static inline uint64_t
test_scale(void)
{
    const char *given = getenv("LA_TEST_SCALE");
    uint64_t scale = given == NULL ? 1 : strtoull(given, NULL, 10);
    return scale == 0 ? 1 : scale;
}

static inline uint64_t
row_random(uint64_t key, uint32_t column)
{
    uint64_t state = key * 0x9e3779b97f4a7c15u + column * 0x1234567u + 1;
    return test_next(&state);
}

static inline bool
row_is_null(uint64_t key, uint32_t column)
{
    return row_random(key, column + 100) % 5 == 0;
}

/* Text of a row, in a buffer of 300 bytes. */
static inline size_t
row_text(uint64_t key, uint32_t column, la_type type, char *text)
{
    uint64_t r = row_random(key, column);

    if (type == LA_T_CAT) {
        return (size_t)snprintf(text, 300, "kind-%" PRIu64, r % (3 + key / 50));
    }
    if (r % 7 == 0) {
        return 0;
    }
    if (type == LA_T_BYTES) {
        size_t size = r % 40;
        for (size_t i = 0; i < size; i++) {
            text[i] = (char)(r >> (i % 8 * 8));
        }
        return size;
    }
    return (size_t)snprintf(
        text, 300, "note %" PRIu64 " \xc3\xa9 %.*s", key, (int)(r % 60),
        "the quick brown fox jumps over the lazy dog and sleeps again");
}

static inline int64_t
row_int(uint64_t key, uint32_t column, la_type type)
{
    uint64_t r = row_random(key, column);

    switch (type) {
    case LA_T_BOOL:
        return (int64_t)(r & 1);
    case LA_T_I32:
        return (int32_t)r;
    case LA_T_DATE:
        return (int64_t)(r % 40000) - 5000;
    case LA_T_TIME:
        return INT64_C(1700000000000000) + (int64_t)(key * 1000000) -
               (int64_t)(r % 5000000);
    case LA_T_DECIMAL:
        return (int64_t)(r % UINT64_C(1999999999999999999)) -
               INT64_C(999999999999999999);
    case LA_T_U64:
        return (int64_t)(column == 0 ? key : r);
    default:
        return (int64_t)r;
    }
}

static inline double
row_float(uint64_t key, uint32_t column)
{
    uint64_t r = row_random(key, column);
    switch (r % 6) {
    case 0:
        return -0.0;
    case 1:
        return 1e300 * 1e300;
    default:
        return (double)(int64_t)(r % 1000000) / 100.0 - 3000.0;
    }
}

static inline void
build_cell(la_builder *b, const la_field *field, uint32_t c, uint64_t key)
{
    la_error err;
    char text[300];

    if (field->nullable && row_is_null(key, c)) {
        CHECK_OK(la_builder_null(b, c, &err), &err);
        return;
    }
    switch (field->type) {
    case LA_T_F32:
        CHECK_OK(la_builder_float(b, c, (double)(float)row_float(key, c), &err), &err);
        break;
    case LA_T_F64:
        CHECK_OK(la_builder_float(b, c, row_float(key, c), &err), &err);
        break;
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES: {
        size_t size = row_text(key, c, field->type, text);
        CHECK_OK(la_builder_text(b, c, text, size, &err), &err);
        break;
    }
    default:
        CHECK_OK(la_builder_int(b, c, row_int(key, c, field->type), &err), &err);
    }
}

/* Rows of these numbers; free with la_chunk_free. */
static inline la_chunk *
rows_of(const la_schema *schema, const uint64_t *keys, uint32_t rows)
{
    la_builder *b;
    la_chunk *chunk;
    la_error err;

    CHECK_OK(la_builder_new(la_env_system(), schema, &b, &err), &err);
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t c = 0; c < la_schema_count(schema); c++) {
            build_cell(b, la_schema_field(schema, c), c, keys[i]);
        }
    }
    CHECK_OK(la_builder_finish(b, &chunk, &err), &err);
    la_builder_free(b);
    return chunk;
}

static inline la_chunk *
rows_from(const la_schema *schema, uint64_t first, uint32_t rows)
{
    uint64_t *keys = malloc(sizeof *keys * (rows + 1));
    la_chunk *chunk;

    for (uint32_t i = 0; i < rows; i++) {
        keys[i] = first + i;
    }
    chunk = rows_of(schema, keys, rows);
    free(keys);
    return chunk;
}

static inline bool
cell_equal(const la_column *column, const la_field *field, uint32_t c, uint32_t row,
           uint64_t key)
{
    char text[300];
    size_t size, expected;
    const char *found;
    double d;
    float f;

    if (field->nullable && row_is_null(key, c)) {
        return la_column_is_null(column, row);
    }
    if (la_column_is_null(column, row) || column->type != field->type) {
        return false;
    }
    switch (field->type) {
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        found = la_column_text(column, row, &size);
        expected = row_text(key, c, field->type, text);
        return size == expected && (size == 0 || memcmp(found, text, size) == 0);
    case LA_T_F64:
        d = row_float(key, c);
        return memcmp((const double *)column->data + row, &d, sizeof d) == 0;
    case LA_T_F32:
        f = (float)row_float(key, c);
        return memcmp((const float *)column->data + row, &f, sizeof f) == 0;
    case LA_T_BOOL:
        return ((const uint8_t *)column->data)[row] == row_int(key, c, field->type);
    case LA_T_I32:
    case LA_T_DATE:
        return ((const int32_t *)column->data)[row] == row_int(key, c, field->type);
    default:
        return ((const int64_t *)column->data)[row] == row_int(key, c, field->type);
    }
}

/* Which row of a chunk is not row `keys[i]`; rows when all are. */
static inline uint32_t
first_difference(const la_chunk *chunk, const uint64_t *keys, uint32_t *column)
{
    for (uint32_t i = 0; i < chunk->rows; i++) {
        for (uint32_t c = 0; c < chunk->column_count; c++) {
            const la_field *field = la_schema_field(chunk->schema, c);
            if (!cell_equal(&chunk->columns[c], field, c, i, keys[i])) {
                *column = c;
                return i;
            }
        }
    }
    return chunk->rows;
}

/* The log's durable rows are `count` rows with these numbers (all columns compared). */
static inline void
check_log(la_log *log, const uint64_t *keys, uint64_t count)
{
    const la_chunk *chunk;
    uint64_t durable, published, seen = 0;
    la_scan *scan;
    la_error err;

    CHECK_OK(la_log_positions(log, &durable, &published, &err), &err);
    CHECK_EQ(durable, count);
    CHECK_OK(la_scan_open(log, 0, LA_NO_POSITION, NULL, 0, &scan, &err), &err);
    for (;;) {
        uint32_t row, column = 0;

        CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
        if (chunk->rows == 0) {
            break;
        }
        CHECK_EQ(chunk->position, seen);
        CHECK(seen + chunk->rows <= count);
        row = first_difference(chunk, keys + seen, &column);
        if (row != chunk->rows) {
            TEST_FAIL("position %" PRIu64 " column %u is not row %" PRIu64, seen + row,
                      column, keys[seen + row]);
        }
        seen += chunk->rows;
    }
    CHECK_EQ(seen, count);
    la_scan_close(scan);
}

/* Damages that a check of the log reports; their text is freed by the caller. */
static inline uint64_t
run_check(la_log *log, const la_env *env, la_buf *report, la_status *ended)
{
    la_log_check *check;
    uint64_t done = 0, total = 0, damages = 0;
    la_error err;
    la_status status;

    la_buf_init(report, env);
    status = la_log_check_open(log, &check, &err);
    if (status != LA_OK) {
        *ended = status;
        return 0;
    }
    while ((status = la_log_check_step(check, &done, &total, report, &damages, &err)) ==
           LA_MORE) {
    }
    la_log_check_close(check);
    *ended = status;
    return damages;
}

static inline void
check_clean(la_log *log, const la_env *env)
{
    la_buf report;
    la_status status;
    uint64_t damages = run_check(log, env, &report, &status);

    CHECK_EQ(status, LA_OK);
    CHECK_MSG(damages == 0, "%.*s", (int)report.size, (const char *)report.data);
    la_buf_fini(&report);
}

#endif
