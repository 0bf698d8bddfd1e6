/* SPDX-License-Identifier: Apache-2.0 */
/* The Arrow C data interface: what is borrowed, converted, refused; and there and
 * back. */
#include "chunk/arrow.h"
#include "chunk/chunk.h"
#include "chunk/value.h"
#include "test.h"

static const la_env *env;
static la_error err;
static int released;

static void
release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
    released++;
}

static void
release_array(struct ArrowArray *array)
{
    array->release = NULL;
    released++;
}

/* A table of one column, everything on the test's stack. */
typedef struct table {
    struct ArrowSchema schema, child_schema, dict_schema;
    struct ArrowArray array, child, dict;
    struct ArrowSchema *schemas[1];
    struct ArrowArray *arrays[1];
    const void *no_buffers[1];
} table;

static void
make_table(table *t, const char *format, int64_t rows, int64_t offset,
           int64_t buffer_count, const void **buffers)
{
    memset(t, 0, sizeof *t);
    t->schemas[0] = &t->child_schema;
    t->arrays[0] = &t->child;
    t->schema = (struct ArrowSchema){.format = "+s",
                                     .name = "",
                                     .n_children = 1,
                                     .children = t->schemas,
                                     .release = release_schema};
    t->child_schema =
        (struct ArrowSchema){.format = format, .name = "x", .release = release_schema};
    t->array = (struct ArrowArray){.length = rows,
                                   .n_buffers = 1,
                                   .n_children = 1,
                                   .buffers = t->no_buffers,
                                   .children = t->arrays,
                                   .release = release_array};
    t->child = (struct ArrowArray){.length = rows,
                                   .null_count = -1,
                                   .offset = offset,
                                   .n_buffers = buffer_count,
                                   .buffers = buffers,
                                   .release = release_array};
}

static const la_schema *
one_column(const char *type_text)
{
    char name[] = "x";
    la_field field = {.name = name};
    const la_schema *schema;
    CHECK_OK(la_type_parse(type_text, strlen(type_text), &field.type, &field.scale,
                           &field.nullable, &err),
             &err);
    CHECK_OK(la_schema_new(env, &field, 1, &schema, &err), &err);
    return schema;
}

/* Imports as `type`, and compares each row's text. */
static void
check_import(const table *t, const char *type, const char *const *texts)
{
    const la_schema *schema = one_column(type);
    la_chunk *chunk;
    la_buf text;
    la_buf_init(&text, env);
    CHECK_OK(la_chunk_from_arrow(env, schema, &t->schema, &t->array, &chunk, &err),
             &err);
    CHECK_EQ(chunk->rows, t->array.length);
    for (uint32_t i = 0; i < chunk->rows; i++) {
        la_value v = la_value_of(&chunk->columns[0], i);
        la_buf_clear(&text);
        la_value_text(&text, &v);
        la_buf_u8(&text, 0);
        CHECK_STR((const char *)text.data, texts[i]);
    }
    la_buf_fini(&text);
    la_chunk_free(chunk);
    la_schema_release(schema);
}

static void
check_refused(const table *t, const char *type, la_status status, const char *why)
{
    const la_schema *schema = one_column(type);
    la_chunk *chunk;
    CHECK_STATUS(la_chunk_from_arrow(env, schema, &t->schema, &t->array, &chunk, &err),
                 status, &err);
    CHECK_MSG(strstr(err.message, why) != NULL, "%s", err.message);
    CHECK(strstr(err.message, "\"x\"") != NULL);
    la_schema_release(schema);
}

static void
integers_are_taken(void)
{
    static const int64_t wide[] = {99, 1, -2, 3};
    static const int8_t tiny[] = {99, 1, -2, 3};
    static const uint16_t small[] = {99, 1, 65535, 3};
    static const uint8_t mask[] = {0x0e}; /* rows 1, 2, 3 of the buffer */
    static const uint8_t middle_null[] = {0x0b};
    const char *const texts[] = {"1", "-2", "3"};
    const char *const nulls[] = {"1", "null", "3"};
    const char *const money[] = {"1.00", "-2.00", "3.00"};
    const char *const positive[] = {"1", "65535", "3"};
    table t;
    const void *buffers[2] = {NULL, wide};
    make_table(&t, "l", 3, 1, 2, buffers);
    check_import(&t, "i64", texts);
    check_import(&t, "i32", texts);
    check_import(&t, "f64", texts);
    check_import(&t, "decimal(2)", money);
    check_refused(&t, "u64", LA_INVALID, "row 1");
    check_refused(&t, "str", LA_TYPE, "\"l\"");
    check_refused(&t, "time[us]", LA_TYPE, "time[us]");
    buffers[0] = mask;
    check_import(&t, "i64", texts);
    buffers[0] = middle_null;
    check_import(&t, "u64?", nulls); /* the null row's -2 is never looked at */
    check_refused(&t, "i64", LA_INVALID, "row 1 is null");
    buffers[0] = NULL;
    buffers[1] = tiny;
    make_table(&t, "c", 3, 1, 2, buffers);
    check_import(&t, "i64", texts);
    buffers[1] = small;
    make_table(&t, "S", 3, 1, 2, buffers);
    check_import(&t, "u64", positive);
    check_import(&t, "i32", positive);

    const la_schema *schema = one_column("i64");
    la_chunk *chunk;
    buffers[1] = wide;
    make_table(&t, "l", 3, 1, 2, buffers);
    CHECK_OK(la_chunk_from_arrow(env, schema, &t.schema, &t.array, &chunk, &err), &err);
    CHECK(chunk->columns[0].data == wide + 1); /* borrowed, offset and all */
    la_chunk_free(chunk);
    la_schema_release(schema);
    CHECK_EQ(released, 0);
}

static void
struct_offsets_count_too(void)
{
    static const int64_t wide[] = {9, 9, 9, 4, 5};
    const char *const texts[] = {"4", "5"};
    const void *buffers[2] = {NULL, wide};
    table t;
    make_table(&t, "l", 2, 1, 2, buffers);
    t.array.offset = 2;
    t.child.length = 4;
    check_import(&t, "i64", texts);
    t.child.length = 3;
    check_refused(&t, "i64", LA_INVALID, "shorter");
}

static void
bools_floats_times_are_taken(void)
{
    static const uint8_t bits[] = {0x0a};
    static const float singles[] = {0.5F, -1.25F};
    static const double doubles[] = {0.5, 0.1};
    static const int64_t ns[] = {1500, -1000, 1};
    static const int64_t seconds[] = {1, -1, INT64_MAX};
    static const int32_t days[] = {20778, -1};
    static const int64_t ms[] = {86400000, 1};
    const char *const truths[] = {"true", "false", "true"};
    const char *const halves[] = {"0.5", "-1.25"};
    const char *const half[] = {"0.5"};
    const char *const around[] = {"1970-01-01T00:00:01Z", "1969-12-31T23:59:59Z"};
    const char *const dates[] = {"2026-11-21", "1969-12-31"};
    const char *const second_day[] = {"1970-01-02"};
    const char *const before[] = {"1969-12-31T23:59:59.999999Z"};
    table t;
    const void *buffers[2] = {NULL, bits};
    make_table(&t, "b", 3, 1, 2, buffers);
    check_import(&t, "bool", truths);
    check_refused(&t, "i64", LA_TYPE, "\"b\"");
    buffers[1] = singles;
    make_table(&t, "f", 2, 0, 2, buffers);
    check_import(&t, "f64", halves);
    check_import(&t, "f32", halves);
    check_refused(&t, "decimal(2)", LA_TYPE, "\"f\"");
    buffers[1] = doubles;
    make_table(&t, "g", 1, 0, 2, buffers);
    check_import(&t, "f32", half);
    make_table(&t, "g", 2, 0, 2, buffers);
    check_refused(&t, "f32", LA_INVALID, "row 1");
    buffers[1] = seconds;
    make_table(&t, "tss:Europe/Berlin", 2, 0, 2, buffers);
    check_import(&t, "time[us]", around);
    make_table(&t, "tss:", 3, 0, 2, buffers);
    check_refused(&t, "time[us]", LA_INVALID, "row 2 is out of range");
    buffers[1] = ns;
    make_table(&t, "tsn:", 3, 0, 2, buffers);
    check_refused(&t, "time[us]", LA_INVALID, "row 0 is more precise");
    make_table(&t, "tsn:", 1, 1, 2, buffers);
    check_import(&t, "time[us]", before);
    buffers[1] = days;
    make_table(&t, "tdD", 2, 0, 2, buffers);
    check_import(&t, "date", dates);
    buffers[1] = ms;
    make_table(&t, "tdm", 1, 0, 2, buffers);
    check_import(&t, "date", second_day);
    make_table(&t, "tdm", 2, 0, 2, buffers);
    check_refused(&t, "date", LA_INVALID, "row 1 is no whole day");
    make_table(&t, "e", 2, 0, 2, buffers);
    check_refused(&t, "f64", LA_TYPE, "\"e\"");
}

static void
decimals_are_taken(void)
{
    static const __int128 values[] = {99900, -100, 12345};
    const char *const texts[] = {"9.99", "-0.01"};
    const char *const wider[] = {"9.990000", "-0.010000", "1.234500"};
    const void *buffers[2] = {NULL, values};
    table t;
    make_table(&t, "d:38,4", 2, 0, 2, buffers);
    check_import(&t, "decimal(2)", texts);
    make_table(&t, "d:38,4,128", 3, 0, 2, buffers);
    check_import(&t, "decimal(6)", wider);
    check_refused(&t, "decimal(2)", LA_INVALID, "row 2 has more digits");
    check_refused(&t, "decimal(18)", LA_INVALID, "row 0 is out of range");
    make_table(&t, "d:38,4,256", 3, 0, 2, buffers);
    check_refused(&t, "decimal(6)", LA_TYPE, "d:38,4,256");
}

static void
text_is_taken(void)
{
    static const int32_t offsets[] = {0, 1, 3, 3, 6};
    static const int64_t wide_offsets[] = {0, 1, 3, 3, 6};
    static const int32_t falling[] = {0, 4, 3};
    static const int32_t negative[] = {-1, 4, 6};
    static const char heap[] = "a\xc3\xbc"
                               "bcd";
    static const char bad_heap[] = "a\xc3\xbc"
                                   "b\xff"
                                   "d";
    const char *const texts[] = {"\xc3\xbc", "", "bcd"};
    const char *const bytes[] = {"0xc3bc", "0x", "0x626364"};
    table t;
    const void *buffers[3] = {NULL, offsets, heap};
    make_table(&t, "u", 3, 1, 3, buffers);
    check_import(&t, "str", texts);
    check_import(&t, "cat", texts);
    check_import(&t, "bytes", bytes);
    make_table(&t, "z", 3, 1, 3, buffers);
    check_import(&t, "bytes", bytes);
    check_refused(&t, "str", LA_TYPE, "\"z\"");
    buffers[2] = bad_heap;
    make_table(&t, "u", 3, 1, 3, buffers);
    check_refused(&t, "str", LA_INVALID, "row 2 is not valid UTF-8");
    buffers[2] = heap;
    buffers[1] = wide_offsets;
    make_table(&t, "U", 3, 1, 3, buffers);
    check_import(&t, "str", texts);
    buffers[1] = falling;
    make_table(&t, "u", 2, 0, 3, buffers);
    check_refused(&t, "str", LA_INVALID, "row 1 ends before");
    buffers[1] = negative;
    make_table(&t, "u", 2, 0, 3, buffers);
    check_refused(&t, "str", LA_INVALID, "negative");
}

static void
views_are_taken(void)
{
    static const char data[] = "0123456789abcdef";
    static const int64_t sizes[] = {16};
    struct {
        int32_t size;
        char text[4];
        int32_t buffer, offset;
    } views[3] = {{2, "hi", 0, 0}, {14, "2345", 0, 2}, {14, "2345", 0, 3}};
    const char *const texts[] = {"hi", "23456789abcdef"};
    const void *buffers[4] = {NULL, views, data, sizes};
    table t;
    make_table(&t, "vu", 2, 0, 4, buffers);
    check_import(&t, "str", texts);
    make_table(&t, "vu", 3, 0, 4, buffers);
    check_refused(&t, "str", LA_INVALID, "row 2 is no valid string view");
    views[2].buffer = 1;
    check_refused(&t, "str", LA_INVALID, "row 2");
}

static void
dictionaries_are_taken(void)
{
    static const int16_t indices[] = {1, 0, 2, 1, 3};
    static const int32_t offsets[] = {0, 3, 7, 7};
    static const char heap[] = "redblue";
    static const uint8_t dict_mask[] = {0x03};
    const char *const texts[] = {"blue", "red", "null", "blue"};
    const void *buffers[2] = {NULL, indices};
    const void *dict_buffers[3] = {dict_mask, offsets, heap};
    table t;
    make_table(&t, "s", 4, 0, 2, buffers);
    t.dict_schema = (struct ArrowSchema){.format = "u", .release = release_schema};
    t.dict = (struct ArrowArray){.length = 3,
                                 .null_count = 1,
                                 .n_buffers = 3,
                                 .buffers = dict_buffers,
                                 .release = release_array};
    t.child_schema.dictionary = &t.dict_schema;
    t.child.dictionary = &t.dict;
    check_import(&t, "cat?", texts);
    check_import(&t, "str?", texts);
    check_refused(&t, "cat", LA_INVALID, "row 2 is null");
    check_refused(&t, "i64", LA_TYPE, "dictionary");
    t.array.length = t.child.length = 5;
    check_refused(&t, "cat?", LA_INVALID, "row 4 has an index outside");

    const la_schema *schema = one_column("cat?");
    la_chunk *chunk;
    t.array.length = 4;
    CHECK_OK(la_chunk_from_arrow(env, schema, &t.schema, &t.array, &chunk, &err), &err);
    CHECK_EQ(chunk->columns[0].type, LA_T_CAT);
    CHECK_EQ(la_dict_count(chunk->columns[0].dict), 2);
    la_chunk_free(chunk);
    la_schema_release(schema);
}

static void
names_are_matched(void)
{
    static const int64_t wide[] = {1};
    const char *const nulls[] = {"null"};
    const void *buffers[2] = {NULL, wide};
    table t;
    make_table(&t, "n", 1, 0, 0, NULL);
    check_import(&t, "cat?", nulls);
    check_refused(&t, "cat", LA_INVALID, "row 0 is null");
    make_table(&t, "l", 1, 0, 2, buffers);
    t.schema.n_children = t.array.n_children = 0;
    check_import(&t, "str?", nulls);
    check_refused(&t, "i64", LA_INVALID, "missing");
    t.schema.n_children = t.array.n_children = 1;
    t.child_schema.name = "y";
    const la_schema *schema = one_column("i64?");
    la_chunk *chunk;
    CHECK_STATUS(la_chunk_from_arrow(env, schema, &t.schema, &t.array, &chunk, &err),
                 LA_INVALID, &err);
    CHECK(strstr(err.message, "no column \"y\"") != NULL);
    t.schema.format = "l";
    CHECK_STATUS(la_chunk_from_arrow(env, schema, &t.schema, &t.array, &chunk, &err),
                 LA_TYPE, &err);
    t.array.release = NULL;
    CHECK_STATUS(la_chunk_from_arrow(env, schema, &t.schema, &t.array, &chunk, &err),
                 LA_INVALID, &err);
    la_schema_release(schema);
}

/* ------------------------------------------------------------------ there and back */

static la_chunk *
build_all(uint32_t rows)
{
    static char names[12][8] = {"b",  "i32", "i64", "u64", "f32", "f64",
                                "ts", "d",   "dec", "cat", "str", "by"};
    static const la_type types[12] = {LA_T_BOOL,    LA_T_I32, LA_T_I64,  LA_T_U64,
                                      LA_T_F32,     LA_T_F64, LA_T_TIME, LA_T_DATE,
                                      LA_T_DECIMAL, LA_T_CAT, LA_T_STR,  LA_T_BYTES};
    static const char *const texts[12] = {"true",
                                          "-7",
                                          "8",
                                          "18446744073709551615",
                                          "0.1",
                                          "2.5",
                                          "2026-11-21T09:00",
                                          "2026-11-21",
                                          "-9.99",
                                          "red",
                                          "gr\xc3\xbcn",
                                          "z"};
    la_field fields[12];
    const la_schema *schema;
    la_builder *builder;
    la_chunk *chunk;
    for (int i = 0; i < 12; i++) {
        fields[i] =
            (la_field){names[i], types[i], types[i] == LA_T_DECIMAL ? 2 : 0, true};
    }
    CHECK_OK(la_schema_new(env, fields, 12, &schema, &err), &err);
    CHECK_OK(la_builder_new(env, schema, &builder, &err), &err);
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t c = 0; c < 12; c++) {
            if ((i + c) % 3 == 0) {
                CHECK_OK(la_builder_null(builder, c, &err), &err);
            }
            else {
                CHECK_OK(la_builder_parse(builder, c, texts[c], strlen(texts[c]), &err),
                         &err);
            }
        }
    }
    CHECK_OK(la_builder_finish(builder, &chunk, &err), &err);
    la_builder_free(builder);
    la_schema_release(schema);
    return chunk;
}

static void
same_values(const la_chunk *a, const la_chunk *b)
{
    CHECK_EQ(a->rows, b->rows);
    for (uint32_t c = 0; c < a->column_count; c++) {
        for (uint32_t i = 0; i < a->rows; i++) {
            la_value x = la_value_of(&a->columns[c], i);
            la_value y = la_value_of(&b->columns[c], i);
            CHECK_EQ(la_value_compare(&x, &y), 0);
        }
    }
}

static void
chunks_go_there_and_back(void)
{
    for (uint32_t rows = 0; rows < 200; rows += 33) {
        la_chunk *chunk = build_all(rows), *back, *again;
        struct ArrowSchema schema, schema2;
        struct ArrowArray array, array2;
        la_dict *dict;
        CHECK_OK(la_chunk_to_arrow(env, chunk, &schema, &array, &err), &err);
        CHECK_STR(schema.children[6]->format, "tsu:UTC");
        CHECK_OK(la_chunk_from_arrow(env, chunk->schema, &schema, &array, &back, &err),
                 &err);
        same_values(chunk, back);
        /* The same with codes, and with a slice whose text does not begin at 0. */
        CHECK_OK(la_dict_new(env, &dict, &err), &err);
        uint32_t code, codes[200];
        CHECK_OK(la_dict_add(dict, "blue", 4, &code, &err), &err);
        CHECK_OK(la_dict_add(dict, "red", 3, &code, &err), &err);
        for (uint32_t i = 0; i < 200; i++) {
            codes[i] = code;
        }
        chunk->columns[9].type = LA_T_CAT;
        chunk->columns[9].data = codes;
        la_chunk_set_dict(chunk, 9, dict);
        la_dict_release(dict);
        la_column columns[12];
        la_chunk slice;
        la_chunk_slice(chunk, rows / 3, rows / 2, columns, &slice);
        CHECK_OK(la_chunk_to_arrow(env, &slice, &schema2, &array2, &err), &err);
        CHECK_OK(
            la_chunk_from_arrow(env, chunk->schema, &schema2, &array2, &again, &err),
            &err);
        same_values(&slice, again);
        la_chunk_free(again);
        la_chunk_free(back);
        la_chunk_free(chunk);
        /* A consumer may move a child out and keep it. */
        struct ArrowArray moved = *array.children[10];
        array.children[10]->release = NULL;
        schema.release(&schema);
        array.release(&array);
        schema2.release(&schema2);
        array2.release(&array2);
        CHECK_EQ(moved.length, rows);
        moved.release(&moved);
        CHECK(array.release == NULL && moved.release == NULL);
    }
}

int
main(void)
{
    env = la_env_system();
    RUN(integers_are_taken);
    RUN(struct_offsets_count_too);
    RUN(bools_floats_times_are_taken);
    RUN(decimals_are_taken);
    RUN(text_is_taken);
    RUN(views_are_taken);
    RUN(dictionaries_are_taken);
    RUN(names_are_matched);
    RUN(chunks_go_there_and_back);
    return test_end();
}
