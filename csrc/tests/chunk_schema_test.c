/* SPDX-License-Identifier: Apache-2.0 */
/* Types, schemas and their JSON form. */
#include "chunk/schema.h"
#include "test.h"

static const la_env *env;
static la_error err;

static void
types_have_texts(void)
{
    static const char *const texts[] = {
        "bool", "i32", "i64",        "u64",         "f32",        "f64", "time[us]",
        "date", "cat", "decimal(0)", "decimal(18)", "decimal(2)", "str", "bytes"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[32], nullable_text[40];
        la_type type;
        uint8_t scale;
        bool nullable;
        CHECK_OK(
            la_type_parse(texts[i], strlen(texts[i]), &type, &scale, &nullable, &err),
            &err);
        CHECK(!nullable);
        la_type_text(type, scale, text, sizeof text);
        CHECK_STR(text, texts[i]);
        snprintf(nullable_text, sizeof nullable_text, "%s?", texts[i]);
        CHECK_OK(la_type_parse(nullable_text, strlen(nullable_text), &type, &scale,
                               &nullable, &err),
                 &err);
        CHECK(nullable);
    }
}

static void
other_types_are_refused(void)
{
    static const char *const texts[] = {
        "",          "?",    "json",       "json?",    "int", "decimal", "decimal(19)",
        "decimal()", "null", "decimal(x)", "time[ns]", "I64"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        la_type type = LA_T_COUNT;
        uint8_t scale;
        bool nullable;
        CHECK_STATUS(
            la_type_parse(texts[i], strlen(texts[i]), &type, &scale, &nullable, &err),
            LA_INVALID, &err);
        CHECK_EQ(type, LA_T_COUNT);
        CHECK(err.hint[0] != '\0');
    }
    CHECK(strstr(err.hint, "time[us]") != NULL);
}

static void
schemas_keep_their_rules(void)
{
    char a[] = "a", b[] = "b", long_name[200], control[] = "a\nb";
    memset(long_name, 'x', sizeof long_name);
    long_name[150] = '\0';
    la_field good[] = {{a, LA_T_I64, 0, false}, {b, LA_T_DECIMAL, 2, true}};
    const la_schema *schema, *same;
    CHECK_OK(la_schema_new(env, good, 2, &schema, &err), &err);
    CHECK_OK(la_schema_new(env, good, 2, &same, &err), &err);
    CHECK_EQ(la_schema_count(schema), 2);
    CHECK_EQ(la_schema_find(schema, "b"), 1);
    CHECK_EQ(la_schema_find(schema, "c"), -1);
    CHECK(la_schema_field(schema, 0)->name != a);
    CHECK(la_schema_field(schema, 2) == NULL);
    CHECK(la_schema_equal(schema, same));
    la_schema_release(la_schema_retain(schema));
    la_schema_release(same);

    la_field bad[][2] = {
        {{a, LA_T_I64, 0, false}, {a, LA_T_I64, 0, false}},
        {{a, LA_T_I64, 0, false}, {long_name, LA_T_I64, 0, false}},
        {{a, LA_T_I64, 0, false}, {control, LA_T_I64, 0, false}},
        {{a, LA_T_I64, 0, false}, {b, LA_T_JSON, 0, false}},
        {{a, LA_T_I64, 0, false}, {b, LA_T_NULL, 0, false}},
        {{a, LA_T_I64, 0, false}, {b, LA_T_DECIMAL, 19, false}},
        {{a, LA_T_I64, 0, false}, {b, LA_T_I64, 1, false}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_STATUS(la_schema_new(env, bad[i], 2, &same, &err), LA_INVALID, &err);
    }
    la_schema_release(schema);
}

static void
json_comes_back(void)
{
    static const char text[] =
        "[{\"name\":\"id\",\"type\":\"u64\"},{\"name\":\"a \\\"b\",\"type\":\"cat?\"}]";
    la_arena arena;
    la_buf out;
    const la_json *json;
    const la_schema *schema;
    la_arena_init(&arena, env);
    la_buf_init(&out, env);
    CHECK_OK(la_json_parse(&arena, text, strlen(text), &json, &err), &err);
    CHECK_OK(la_schema_from_json(env, json, &schema, &err), &err);
    CHECK_STR(la_schema_field(schema, 1)->name, "a \"b");
    CHECK(la_schema_field(schema, 1)->nullable);
    la_schema_to_json(schema, &out);
    la_buf_u8(&out, 0);
    CHECK_STR((const char *)out.data, text);
    la_schema_release(schema);

    static const char *const bad[] = {
        "{}",
        "[1]",
        "[{\"name\":\"a\"}]",
        "[{\"name\":\"a\",\"type\":\"x\"}]",
        "[{\"name\":\"a\",\"type\":\"i64\",\"nulable\":true}]",
        "[{\"name\":\"a\",\"type\":\"i64\",\"nullable\":1}]",
        "[{\"name\":\"a\\u0000b\",\"type\":\"i64\"}]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_OK(la_json_parse(&arena, bad[i], strlen(bad[i]), &json, &err), &err);
        CHECK_STATUS(la_schema_from_json(env, json, &schema, &err), LA_INVALID, &err);
    }
    la_buf_fini(&out);
    la_arena_fini(&arena);
}

int
main(void)
{
    env = la_env_system();
    RUN(types_have_texts);
    RUN(other_types_are_refused);
    RUN(schemas_keep_their_rules);
    RUN(json_comes_back);
    return test_end();
}
