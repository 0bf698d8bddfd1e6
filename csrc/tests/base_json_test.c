/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is accepted, what is refused and where, one text per value, no leak when
 * any allocation fails, and no crash on damaged text. */
#include "base/json.h"

#include <locale.h>

#include "base/limits.h"
#include "fault_env.h"
#include "test.h"

/* Parses `text`, writes it canonically, compares. */
static void
check_canonical(const char *text, const char *expected)
{
    const la_env *env = la_env_system();
    la_error err;
    la_arena arena;
    la_buf buf;
    const la_json *node, *again;
    char where[200];
    la_arena_init(&arena, env);
    la_buf_init(&buf, env);
    CHECK_OK(la_json_parse(&arena, text, strlen(text), &node, &err), &err);
    la_json_put(&buf, node);
    la_buf_u8(&buf, 0);
    CHECK(!buf.failed);
    CHECK_STR((const char *)buf.data, expected);
    CHECK_OK(la_json_parse(&arena, (const char *)buf.data, buf.size - 1, &again, &err),
             &err);
    bool differs = la_json_difference(node, again, where, sizeof where);
    CHECK_MSG(!differs, "%s: %s", text, where);
    la_buf_fini(&buf);
    la_arena_fini(&arena);
}

static void
accepts_and_writes(void)
{
    check_canonical("null", "null");
    check_canonical(" [ true , false,null ]\n", "[true,false,null]");
    check_canonical("{}", "{}");
    check_canonical("[]", "[]");
    check_canonical("{\"b\":1,\"a\":[{}],\"\":2,\"ab\":3}",
                    "{\"\":2,\"a\":[{}],\"ab\":3,\"b\":1}");
    check_canonical("0", "0");
    check_canonical("-0", "0");
    check_canonical("-0.0", "-0.0");
    check_canonical("9223372036854775807", "9223372036854775807");
    check_canonical("9223372036854775808", "9223372036854775808");
    check_canonical("18446744073709551615", "18446744073709551615");
    check_canonical("-9223372036854775808", "-9223372036854775808");
    check_canonical("1.0", "1.0");
    check_canonical("1E2", "100.0");
    check_canonical("0.1", "0.10000000000000001");
    check_canonical("1e300", "1.0000000000000001e+300");
    check_canonical("5e-324", "4.9406564584124654e-324");
    check_canonical("1e-400", "0.0");
    check_canonical("\"a\\u0041\\n\\/\\\"\\\\\\u001f\\u0000\"",
                    "\"aA\\n/\\\"\\\\\\u001f\\u0000\"");
    check_canonical(
        "\"\\uD83D\\uDE00 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \\u20ac\"",
        "\"\xF0\x9F\x98\x80 \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xE2\x82\xAC\"");
    check_canonical("\"\x7F\"", "\"\x7F\"");
}

static void
check_refused(const char *text, size_t size, uint64_t byte, const char *reason)
{
    la_error err;
    la_arena arena;
    const la_json *node = NULL;
    la_arena_init(&arena, la_env_system());
    la_status status = la_json_parse(&arena, text, size, &node, &err);
    CHECK_MSG(status == LA_INVALID, "accepted: %.*s", (int)size, text);
    CHECK(node == NULL);
    CHECK_MSG(err.byte == byte, "%.*s: byte %llu, %s", (int)size, text,
              (unsigned long long)err.byte, err.message);
    CHECK_MSG(strstr(err.message, reason) != NULL, "%.*s: %s", (int)size, text,
              err.message);
    la_arena_fini(&arena);
}

static void
refuses_and_says_where(void)
{
    static const struct {
        const char *text;
        uint64_t byte;
        const char *reason;
    } cases[] = {
        {"", 0, "a value"},
        {" ", 1, "a value"},
        {"nul", 0, "a value"},
        {"truE", 0, "a value"},
        {"nullx", 4, "the end"},
        {"1 2", 2, "the end"},
        {"[1,]", 3, "a value"},
        {"[1", 2, "\"]\""},
        {"[1}", 2, "\"]\""},
        {"{\"a\":1,}", 7, "member name"},
        {"{\"a\" 1}", 5, "\":\""},
        {"{a:1}", 1, "member name"},
        {"{\"a\":1,\"b\":2,\"a\":3}", 0, "two members named \"a\""},
        {"01", 0, "leading zero"},
        {"-01", 1, "leading zero"},
        {"-", 1, "a digit"},
        {"+1", 0, "a value"},
        {".5", 0, "a value"},
        {"1.", 2, "after the point"},
        {"1e", 2, "exponent"},
        {"1e+", 3, "exponent"},
        {"18446744073709551616", 0, "beyond 64 bits"},
        {"-9223372036854775809", 0, "beyond 64 bits"},
        {"[1e999]", 1, "too large"},
        {"NaN", 0, "a value"},
        {"Infinity", 0, "a value"},
        {"'a'", 0, "a value"},
        {"\"abc", 0, "without an end"},
        {"\"abc\\", 0, "without an end"},
        {"\"abc\\\"", 0, "without an end"},
        {"\"a\nb\"", 2, "control"},
        {"\"\\x\"", 1, "escape"},
        {"\"\\u12\"", 1, "four hex"},
        {"\"\\u12g4\"", 1, "four hex"},
        {"\"\\uD800\"", 1, "surrogate"},
        {"\"\\uD800\\u0041\"", 1, "surrogate"},
        {"\"\\uDC00\"", 1, "surrogate"},
        {"\"\xC0\x80\"", 1, "UTF-8"},
        {"\"\xE0\x80\x80\"", 1, "UTF-8"},
        {"\"\xF0\x80\x80\x80\"", 1, "UTF-8"},
        {"\"\xED\xA0\x80\"", 1, "UTF-8"},
        {"\"\xF4\x90\x80\x80\"", 1, "UTF-8"},
        {"\"\xE2\x82\"", 1, "UTF-8"},
        {"\"\xFF\"", 1, "UTF-8"},
        {"\"\x80\"", 1, "UTF-8"},
        {"// c\n1", 0, "a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_refused(cases[i].text, strlen(cases[i].text), cases[i].byte,
                      cases[i].reason);
    }
    check_refused("\"a\0b\"", 5, 2, "control");
    check_refused("\"\\\0\"", 4, 1, "escape");
    char deep[LA_DEPTH_MAX + 1];
    memset(deep, '[', sizeof deep);
    check_refused(deep, sizeof deep, LA_DEPTH_MAX, "too deeply");
}

static void
bounds_size(void)
{
    la_error err;
    la_arena arena;
    const la_json *node;
    la_arena_init(&arena, la_env_system());
    CHECK_STATUS(la_json_parse(&arena, "1", (size_t)LA_JSON_BYTES_MAX + 1, &node, &err),
                 LA_INVALID, &err);
    la_arena_fini(&arena);
}

static void
gives_typed_members(void)
{
    static const char text[] =
        "{\"u\":18446744073709551615,\"i\":-5,\"f\":1.5,\"t\":\"x\\u0000y\",\"a\":[1],"
        "\"h\":\"00ff\",\"n\":null}";
    la_error err;
    la_arena arena;
    const la_json *o, *array;
    uint64_t u;
    int64_t i = 0;
    const char *t;
    size_t size;
    uint8_t bytes[2];
    la_arena_init(&arena, la_env_system());
    CHECK_OK(la_json_parse(&arena, text, sizeof text - 1, &o, &err), &err);
    CHECK_OK(la_json_u64(o, "u", &u, &err), &err);
    CHECK_EQ(u, UINT64_MAX);
    CHECK_OK(la_json_i64(o, "i", &i, &err), &err);
    CHECK_EQ(i, -5);
    CHECK_OK(la_json_text(o, "t", &t, &size, &err), &err);
    CHECK_EQ(size, 3);
    CHECK_BYTES(t, "x\0y", 4);
    CHECK_OK(la_json_array(o, "a", &array, &err), &err);
    CHECK_EQ(array->list.count, 1);
    CHECK_OK(la_json_hex(o, "h", bytes, 2, &err), &err);
    CHECK_BYTES(bytes, "\0\xFF", 2);
    CHECK_STATUS(la_json_u64(o, "i", &u, &err), LA_INVALID, &err);
    CHECK_STR(err.message,
              "could not read member \"i\": expected an integer from 0, found -5");
    CHECK_STATUS(la_json_u64(o, "f", &u, &err), LA_INVALID, &err);
    CHECK_STATUS(la_json_i64(o, "u", &i, &err), LA_INVALID, &err);
    CHECK_STATUS(la_json_i64(o, "none", &i, &err), LA_INVALID, &err);
    CHECK_STR(err.message,
              "could not read member \"none\": expected an integer, found nothing");
    CHECK_STATUS(la_json_text(o, "a", &t, &size, &err), LA_INVALID, &err);
    CHECK_STATUS(la_json_array(o, "t", &array, &err), LA_INVALID, &err);
    CHECK_STATUS(la_json_hex(o, "h", bytes, 1, &err), LA_INVALID, &err);
    CHECK_STATUS(la_json_u64(array, "u", &u, NULL), LA_INVALID, &err);
    CHECK_EQ(i, -5);
    CHECK(la_json_get(o, "n")->kind == LA_J_NULL);
    CHECK(la_json_get(array, "n") == NULL);
    CHECK(la_json_get(NULL, "n") == NULL);
    CHECK(!la_json_is(la_json_get(o, "t"), "x"));
    CHECK(!la_json_is(NULL, "x"));
    la_arena_fini(&arena);
}

static void
shows_the_first_difference(void)
{
    static const struct {
        const char *a, *b, *expected;
    } cases[] = {
        {"{\"by\":[[1,\"a\"]]}", "{\"by\":[[1,\"b\"]]}", "$.by[0][1]: \"a\" != \"b\""},
        {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", NULL},
        {"{\"a\":1}", "{}", "$.a: 1 != nothing"},
        {"{}", "{\"a\":[]}", "$.a: nothing != an array of 0"},
        {"[1,2]", "[1]", "$[1]: 2 != nothing"},
        {"1", "1.0", "$: 1 != 1"},
        {"{\"a\":true}", "{\"a\":false}", "$.a: true != false"},
        {"[1.5]", "[1.5]", NULL},
        {"{\"a\":{\"x\":null}}", "{\"a\":{\"x\":{}}}", "$.a.x: null != an object of 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        la_error err;
        la_arena arena;
        const la_json *a, *b;
        char text[200] = "";
        la_arena_init(&arena, la_env_system());
        CHECK_OK(la_json_parse(&arena, cases[i].a, strlen(cases[i].a), &a, &err), &err);
        CHECK_OK(la_json_parse(&arena, cases[i].b, strlen(cases[i].b), &b, &err), &err);
        CHECK_EQ(la_json_difference(a, b, text, sizeof text),
                 cases[i].expected != NULL);
        if (cases[i].expected != NULL) {
            CHECK_STR(text, cases[i].expected);
            char small[8];
            CHECK(la_json_difference(a, b, small, sizeof small));
            CHECK(la_json_difference(a, b, NULL, 0));
        }
        la_arena_fini(&arena);
    }
}

static void
floats_round_trip(void)
{
    uint64_t rng = test_seed();
    la_buf buf;
    la_arena arena;
    la_buf_init(&buf, la_env_system());
    la_arena_init(&arena, la_env_system());
    for (int i = 0; i < 20000; i++) {
        la_json node = {.kind = LA_J_FLOAT};
        const la_json *back;
        la_error err;
        uint64_t bits = test_next(&rng);
        memcpy(&node.f64, &bits, sizeof bits);
        if (node.f64 - node.f64 != 0) {
            continue;
        }
        la_buf_clear(&buf);
        la_arena_reset(&arena);
        la_json_put(&buf, &node);
        CHECK_OK(la_json_parse(&arena, (char *)buf.data, buf.size, &back, &err), &err);
        CHECK_EQ(back->kind, LA_J_FLOAT);
        CHECK_BYTES(&back->f64, &node.f64, 8);
    }
    la_arena_fini(&arena);
    la_buf_fini(&buf);
}

/* A document with many members: order, duplicates and memory beyond the small paths. */
static void
handles_wide_objects(void)
{
    la_buf text, out;
    la_arena arena;
    la_error err;
    const la_json *node;
    la_buf_init(&text, la_env_system());
    la_buf_init(&out, la_env_system());
    la_arena_init(&arena, la_env_system());
    la_buf_u8(&text, '{');
    for (int i = 999; i >= 0; i--) {
        la_buf_printf(&text, "\"k%03d\":%d,", i, i);
    }
    size_t end = text.size;
    la_buf_text(&text, "\"last\":0}");
    CHECK_OK(la_json_parse(&arena, (char *)text.data, text.size, &node, &err), &err);
    CHECK_EQ(node->list.count, 1001);
    CHECK_EQ(la_json_get(node, "k567")->i64, 567);
    la_json_put(&out, node);
    CHECK_BYTES(out.data, "{\"k000\":0,\"k001\":1,\"k002\":2,", 28);
    text.size = end;
    la_buf_text(&text, "\"k500\":0}");
    CHECK_STATUS(la_json_parse(&arena, (char *)text.data, text.size, &node, &err),
                 LA_INVALID, &err);
    CHECK(strstr(err.message, "k500") != NULL);
    la_arena_fini(&arena);
    la_buf_fini(&out);
    la_buf_fini(&text);
}

static void
survives_each_allocation_failure(void)
{
    static char text[9000];
    size_t at = 0;
    text[at++] = '{';
    for (int i = 0; i < 60; i++) {
        at +=
            (size_t)snprintf(text + at, sizeof text - at,
                             "%s\"m%d\":[%d,\"some longer text %d\",1.5,{\"x\":[[]]}]",
                             i > 0 ? "," : "", i, i, i);
    }
    /* A number too long for the small copy on the stack. */
    at += (size_t)snprintf(text + at, sizeof text - at, ",\"n\":0.%0100d}", 1);
    for (int forever = 0; forever < 2; forever++) {
        fault_env f;
        fault_env_init(&f, la_env_system());
        uint64_t n = 1;
        for (;; n++) {
            la_error err;
            la_arena arena;
            la_buf buf;
            const la_json *node = NULL;
            fault_env_fail_at(&f, n, forever != 0);
            la_arena_init(&arena, &f.env);
            la_buf_init(&buf, &f.env);
            la_status status = la_json_parse(&arena, text, at, &node, &err);
            if (status == LA_OK) {
                la_json_put(&buf, node);
            }
            bool fired = fault_env_fired(&f);
            CHECK_EQ(status == LA_NOMEM || buf.failed, fired);
            CHECK(status == LA_OK || (status == LA_NOMEM && node == NULL));
            la_buf_fini(&buf);
            la_arena_fini(&arena);
            CHECK_EQ(fault_env_in_use(&f), 0);
            if (!fired) {
                break;
            }
        }
        CHECK(n > 10);
    }
}

/* Random edits of a good text: an answer each time, never a crash (ASAN watches). */
static void
answers_damaged_text(void)
{
    static const char good[] =
        "{\"a\":[1,-2.5e3,\"x\\n\\u00e9\\ud83d\\ude00\",true,null,{\"b\":{}}],"
        "\"c\":\"\xC3\xA9\"}";
    static const char alphabet[] = "{}[]\",:\\u0019eE+-.tfn \xC3\xE2\x80";
    uint64_t rng = test_seed();
    la_arena arena;
    la_buf buf;
    la_arena_init(&arena, la_env_system());
    la_buf_init(&buf, la_env_system());
    for (int i = 0; i < 100000; i++) {
        size_t size = sizeof good - 1;
        char *text = malloc(size); /* exactly: one byte too far is seen */
        CHECK(text != NULL);
        memcpy(text, good, size);
        for (uint64_t edits = 1 + test_below(&rng, 4); edits > 0; edits--) {
            text[test_below(&rng, size)] = alphabet[test_below(&rng, sizeof alphabet)];
        }
        size = (size_t)(test_below(&rng, 4) == 0 ? test_below(&rng, size + 1) : size);
        const la_json *node;
        la_error err;
        la_arena_reset(&arena);
        la_buf_clear(&buf);
        if (la_json_parse(&arena, text, size, &node, &err) == LA_OK) {
            la_json_put(&buf, node);
            CHECK_OK(la_json_parse(&arena, (char *)buf.data, buf.size, &node, &err),
                     &err);
        }
        else {
            CHECK(err.byte <= size);
        }
        free(text);
    }
    la_buf_fini(&buf);
    la_arena_fini(&arena);
}

static void
ignores_the_locale(void)
{
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL) {
        printf("    (no German locale here: not tested)\n");
        return;
    }
    check_canonical("1.5", "1.5");
    setlocale(LC_ALL, "C");
}

int
main(void)
{
    RUN(accepts_and_writes);
    RUN(refuses_and_says_where);
    RUN(bounds_size);
    RUN(gives_typed_members);
    RUN(shows_the_first_difference);
    RUN(floats_round_trip);
    RUN(handles_wide_objects);
    RUN(survives_each_allocation_failure);
    RUN(answers_damaged_text);
    RUN(ignores_the_locale);
    return test_end();
}
