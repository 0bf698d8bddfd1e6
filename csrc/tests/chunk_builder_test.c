/* SPDX-License-Identifier: Apache-2.0 */
/* Builders, owned chunks, slices, taken rows, dictionaries. */
#include <pthread.h>
#include <stdatomic.h>

#include "chunk/chunk.h"
#include "chunk/value.h"
#include "test.h"

static const la_env *env;
static la_error err;

static const la_schema *
make_schema(void)
{
    static char names[12][8] = {"b",  "i32", "i64", "u64", "f32", "f64",
                                "ts", "d",   "dec", "cat", "str", "by"};
    static const la_type types[12] = {LA_T_BOOL,    LA_T_I32, LA_T_I64,  LA_T_U64,
                                      LA_T_F32,     LA_T_F64, LA_T_TIME, LA_T_DATE,
                                      LA_T_DECIMAL, LA_T_CAT, LA_T_STR,  LA_T_BYTES};
    la_field fields[12];
    const la_schema *schema;
    for (int i = 0; i < 12; i++) {
        fields[i] =
            (la_field){names[i], types[i], types[i] == LA_T_DECIMAL ? 2 : 0, true};
    }
    CHECK_OK(la_schema_new(env, fields, 12, &schema, &err), &err);
    return schema;
}

static void
fill(la_builder *builder, uint32_t rows)
{
    static const char *const texts[12] = {"true",
                                          "-7",
                                          "8",
                                          "18446744073709551615",
                                          "0.1",
                                          "2.5",
                                          "2026-11-21T09:00",
                                          "2026-11-21",
                                          "9.99",
                                          "red",
                                          "gr\xc3\xbcn",
                                          "z"};
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t c = 0; c < 12; c++) {
            if ((i + c) % 5 == 4) {
                CHECK_OK(la_builder_null(builder, c, &err), &err);
            }
            else {
                CHECK_OK(la_builder_parse(builder, c, texts[c], strlen(texts[c]), &err),
                         &err);
            }
        }
    }
}

static void
check_rows(const la_chunk *chunk, uint32_t from, uint32_t rows)
{
    static const char *const texts[12] = {"true",
                                          "-7",
                                          "8",
                                          "18446744073709551615",
                                          "0.1",
                                          "2.5",
                                          "2026-11-21T09:00:00Z",
                                          "2026-11-21",
                                          "9.99",
                                          "red",
                                          "gr\xc3\xbcn",
                                          "0x7a"};
    la_buf text;
    la_buf_init(&text, env);
    CHECK_EQ(chunk->rows, rows);
    CHECK_EQ(chunk->columns[9].type,
             LA_T_STR); /* cat is text until the log gives codes */
    for (uint32_t i = 0; i < rows; i++) {
        for (uint32_t c = 0; c < 12; c++) {
            la_value v = la_value_of(&chunk->columns[c], i);
            CHECK_EQ(v.null, (i + from + c) % 5 == 4);
            la_buf_clear(&text);
            la_value_text(&text, &v);
            la_buf_u8(&text, 0);
            CHECK_STR((const char *)text.data, v.null ? "null" : texts[c]);
        }
    }
    la_buf_fini(&text);
}

static void
chunks_are_built(void)
{
    const la_schema *schema = make_schema();
    la_builder *builder;
    CHECK_OK(la_builder_new(env, schema, &builder, &err), &err);
    static const uint32_t sizes[] = {0, 1, 3, 100, 5000, 0, 2, 9000};
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        la_chunk *chunk, *taken;
        fill(builder, sizes[k]);
        CHECK_OK(la_builder_finish(builder, &chunk, &err), &err);
        check_rows(chunk, 0, sizes[k]);
        if (sizes[k] >= 100) {
            la_column columns[12];
            la_chunk slice;
            uint32_t order[5];
            chunk->position = 1000;
            la_chunk_slice(chunk, 37, 20, columns, &slice);
            check_rows(&slice, 37, 20);
            CHECK_EQ(slice.position, 1037);
            for (uint32_t i = 0; i < 5; i++) {
                order[i] = 3 + i; /* rows 40.. of the whole */
            }
            CHECK_OK(la_chunk_take(env, &slice, order, 5, &taken, &err), &err);
            check_rows(taken, 40, 5);
            la_chunk_free(taken);
            CHECK_OK(la_chunk_take(env, &slice, NULL, 7, &taken, &err), &err);
            check_rows(taken, 37, 7);
            la_chunk_free(taken);
            la_chunk_free(&slice); /* borrowed: nothing happens */
        }
        la_chunk_free(chunk);
    }
    la_builder_free(builder);
    la_schema_release(schema);
}

static void
bad_values_are_refused(void)
{
    char name[] = "price";
    la_field field = {name, LA_T_DECIMAL, 2, false};
    const la_schema *schema;
    la_builder *builder;
    la_chunk *chunk;
    CHECK_OK(la_schema_new(env, &field, 1, &schema, &err), &err);
    CHECK_OK(la_builder_new(env, schema, &builder, &err), &err);
    CHECK_STATUS(la_builder_null(builder, 0, &err), LA_INVALID, &err);
    CHECK(strstr(err.message, "\"price\"") != NULL);
    CHECK_STATUS(la_builder_int(builder, 0, 1000000000000000000, &err), LA_INVALID,
                 &err);
    CHECK(strstr(err.message, "1000000000000000000") != NULL);
    CHECK_STATUS(la_builder_float(builder, 0, 9.99, &err), LA_TYPE, &err);
    CHECK_STATUS(la_builder_text(builder, 0, "9.99", 4, &err), LA_TYPE, &err);
    CHECK_STATUS(la_builder_parse(builder, 0, "9.999", 5, &err), LA_INVALID, &err);
    CHECK_STR(err.message,
              "could not read \"9.999\" as decimal(2): it has more digits than "
              "the scale (column \"price\")");
    CHECK_STATUS(la_builder_int(builder, 1, 0, &err), LA_NOT_FOUND, &err);
    CHECK_STATUS(la_builder_parse(builder, 1, "0", 1, &err), LA_NOT_FOUND, &err);
    CHECK_OK(la_builder_int(builder, 0, 5, &err), &err);
    CHECK_OK(la_builder_finish(builder, &chunk, &err), &err);
    CHECK_EQ(chunk->rows, 1); /* refused values left no row */
    CHECK_EQ(((const int64_t *)chunk->columns[0].data)[0], 5);
    la_chunk_free(chunk);
    la_builder_free(builder);
    la_schema_release(schema);

    schema = make_schema();
    CHECK_OK(la_builder_new(env, schema, &builder, &err), &err);
    CHECK_STATUS(la_builder_int(builder, 0, 2, &err), LA_INVALID, &err);
    CHECK_STATUS(la_builder_int(builder, 1, INT64_C(1) << 31, &err), LA_INVALID, &err);
    CHECK_STATUS(la_builder_int(builder, 5, (INT64_C(1) << 53) + 1, &err), LA_INVALID,
                 &err);
    CHECK_STATUS(la_builder_float(builder, 4, 1e39, &err), LA_INVALID, &err);
    CHECK_STATUS(la_builder_float(builder, 2, 1.0, &err), LA_TYPE, &err);
    CHECK_STATUS(la_builder_text(builder, 10, "\xff", 1, &err), LA_INVALID, &err);
    CHECK_STATUS(la_builder_text(builder, 9, "\xed\xa0\x80", 3, &err), LA_INVALID,
                 &err);
    CHECK_OK(la_builder_text(builder, 11, "\xff", 1, &err), &err);
    CHECK_STATUS(la_builder_finish(builder, &chunk, &err), LA_INVALID, &err);
    CHECK(strstr(err.message, "\"by\" has 1 rows") != NULL);
    la_builder_free(builder);
    la_schema_release(schema);
}

/* ------------------------------------------------------------------ dictionaries */

static void
dictionaries_number_texts(void)
{
    la_dict *dict;
    CHECK_OK(la_dict_new(env, &dict, &err), &err);
    CHECK_EQ(la_dict_find(dict, "x", 1), UINT32_MAX);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 20000; i++) {
            char text[16] = {0};
            size_t size =
                i == 7 ? 0 : (size_t)snprintf(text, sizeof text, "%u%c", i, 0) - 1;
            uint32_t code;
            CHECK_OK(la_dict_add(dict, text, size + (i % 2), &code, &err), &err);
            CHECK_EQ(code, i);
            CHECK_EQ(la_dict_find(dict, text, size + (i % 2)), i);
        }
    }
    CHECK_EQ(la_dict_count(dict), 20000);
    size_t size;
    CHECK_STR(la_dict_get(dict, 19998, &size), "19998");
    CHECK_EQ(size, 5);
    CHECK(la_dict_get(dict, 20000, &size) == NULL);
    la_dict_release(la_dict_retain(dict));
    la_dict_release(dict);
}

static atomic_bool stop;

static void *
read_codes(void *arg)
{
    const la_dict *dict = arg;
    while (!atomic_load(&stop)) {
        uint32_t count = la_dict_count(dict);
        for (uint32_t code = count > 100 ? count - 100 : 0; code < count; code++) {
            size_t size;
            const char *text = la_dict_get(dict, code, &size);
            CHECK_EQ(strtoul(text, NULL, 10), code);
        }
    }
    return NULL;
}

static void
readers_need_no_lock(void)
{
    la_dict *dict;
    pthread_t reader;
    CHECK_OK(la_dict_new(env, &dict, &err), &err);
    CHECK_EQ(pthread_create(&reader, NULL, read_codes, dict), 0);
    for (uint32_t i = 0; i < 50000; i++) {
        char text[16];
        uint32_t code;
        int size = snprintf(text, sizeof text, "%u", i);
        CHECK_OK(la_dict_add(dict, text, (size_t)size, &code, &err), &err);
    }
    atomic_store(&stop, true);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    la_dict_release(dict);
}

static void
owned_chunks_hold_their_parts(void)
{
    char name[] = "sku";
    la_field field = {name, LA_T_CAT, 0, true};
    const la_schema *schema;
    la_chunk *chunk, *taken;
    la_dict *dict;
    uint32_t code;
    CHECK_OK(la_schema_new(env, &field, 1, &schema, &err), &err);
    CHECK_OK(la_dict_new(env, &dict, &err), &err);
    CHECK_OK(la_dict_add(dict, "A1", 2, &code, &err), &err);
    CHECK_OK(la_chunk_new(env, schema, 3, &chunk, &err), &err);
    uint32_t *codes = la_chunk_data(chunk, 0);
    codes[0] = codes[1] = codes[2] = code;
    la_chunk_valid(chunk, 0)[1] = 0;
    la_chunk_set_dict(chunk, 0, dict);
    la_chunk_set_dict(chunk, 0, dict);
    la_dict_release(dict);
    la_schema_release(schema);
    uint32_t order[] = {2, 1};
    CHECK_OK(la_chunk_take(env, chunk, order, 2, &taken, &err), &err);
    la_chunk_free(chunk);
    size_t size;
    CHECK_STR(la_column_text(&taken->columns[0], 0, &size), "A1");
    CHECK(la_column_text(&taken->columns[0], 1, &size) == NULL);
    la_chunk_free(taken);
}

int
main(void)
{
    env = la_env_system();
    RUN(chunks_are_built);
    RUN(bad_values_are_refused);
    RUN(dictionaries_number_texts);
    RUN(readers_need_no_lock);
    RUN(owned_chunks_hold_their_parts);
    return test_end();
}
