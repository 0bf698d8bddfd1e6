/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers of every operation: types, values, and why a row fails. Programs of constants
 * alone; expr_program_test.c runs the same kernels over columns. And categories, whose
 * dictionaries grow and change between chunks. */
#include "expr/program.h"
#include "test.h"

enum { B, I, N, U, F, X, T, D, M, C, S, ID, M9, COLUMNS };

static la_field fields[COLUMNS] = {
    {"b", LA_T_BOOL, 0, true},      {"i", LA_T_I32, 0, true},
    {"n", LA_T_I64, 0, true},       {"u", LA_T_U64, 0, true},
    {"f", LA_T_F32, 0, true},       {"x", LA_T_F64, 0, true},
    {"t", LA_T_TIME, 0, true},      {"d", LA_T_DATE, 0, true},
    {"m", LA_T_DECIMAL, 2, true},   {"c", LA_T_CAT, 0, true},
    {"s", LA_T_STR, 0, true},       {"id", LA_T_I64, 0, false},
    {"m9", LA_T_DECIMAL, 9, false},
};

static const la_schema *schema;

static la_expr *
parse(la_arena *arena, const char *text, la_error *err)
{
    const la_json *json;
    la_status status = la_json_parse(arena, text, strlen(text), &json, err);
    CHECK_MSG(status == LA_OK, "%s: %s", text, err->message);
    la_expr *expr = NULL;
    status = la_expr_parse(json, schema, "$", arena, &expr, err);
    return status == LA_OK ? expr : NULL;
}

/* ------------------------------------------------------------------- known answers */

typedef struct known {
    const char *expr;
    const char *type;
    const char *answer; /* text of the value, null, or a reason */
} known;

#define I32(v) "[\"lit\",\"i32\"," #v "]"
#define I64(v) "[\"lit\",\"i64\"," #v "]"
#define U64(v) "[\"lit\",\"u64\"," #v "]"
#define F32(v) "[\"lit\",\"f32\"," #v "]"
#define F64(v) "[\"lit\",\"f64\"," #v "]"
#define BOOL(v) "[\"lit\",\"bool\"," #v "]"
#define TIME(v) "[\"lit\",\"time[us]\"," #v "]"
#define DATE(v) "[\"lit\",\"date\"," #v "]"
#define STR(v) "[\"lit\",\"str\"," #v "]"
#define DEC(s, v) "[\"lit\",\"decimal(" #s ")\"," #v "]"
#define NUL "[\"lit\",\"null\",null]"
#define OP1(op, a) "[\"" #op "\"," a "]"
#define OP2(op, a, b) "[\"" #op "\"," a "," b "]"
#define OP3(op, a, b, c) "[\"" #op "\"," a "," b "," c "]"
#define CAST(a, t) "[\"cast\"," a ",\"" t "\"]"

static const known knowns[] = {
    /* common types */
    {OP2(add, I32(1), I32(2)), "i32", "3"},
    {OP2(add, I32(2147483647), I32(1)), "i32", "overflow"},
    {OP2(add, I32(2147483647), I64(1)), "i64", "2147483648"},
    {OP2(add, I64(9223372036854775807), I64(1)), "i64", "overflow"},
    {OP2(add, U64(18446744073709551615), U64(1)), "u64", "overflow"},
    {OP2(add, U64(18446744073709551614), I64(1)), "u64", "18446744073709551615"},
    {OP2(add, CAST(U64(18446744073709551614), "u64"), CAST(I32(1), "i64")), "i64",
     "cast"},
    {OP2(sub, U64(1), U64(2)), "u64", "overflow"},
    {OP2(sub, U64(1), I64(-2)), "i64", "3"},
    {OP2(sub, I64(-9223372036854775808), I64(1)), "i64", "overflow"},
    {OP2(mul, I64(4294967296), I64(2147483648)), "i64", "overflow"},
    {OP2(mul, I64(-4294967296), I64(2147483648)), "i64", "-9223372036854775808"},
    {OP2(mul, I32(65536), I32(65536)), "i32", "overflow"},
    {OP2(mul, U64(4294967296), U64(4294967295)), "u64", "18446744069414584320"},
    {OP2(mul, U64(4294967296), U64(4294967296)), "u64", "overflow"},
    {OP2(add, F32(0.5), F32(0.25)), "f64", "0.75"},
    {OP2(add, I64(1), F64(0.5)), "f64", "1.5"},
    {OP2(add, NUL, I64(1)), "i64", "null"},
    {OP2(sub, TIME(5), TIME(7)), "i64", "-2"},
    {OP2(sub, TIME(9223372036854775807), TIME(-1)), "i64", "overflow"},
    /* decimals */
    {OP2(add, DEC(2, 150), DEC(3, 1)), "decimal(3)", "1.501"},
    {OP2(add, DEC(2, 150), I64(2)), "decimal(2)", "3.50"},
    {OP2(add, DEC(2, 150), U64(18446744073709551615)), "decimal(2)", "cast"},
    {OP2(add, DEC(0, 999999999999999999), DEC(0, 1)), "decimal(0)", "overflow"},
    {OP2(sub, DEC(0, -999999999999999999), DEC(0, 1)), "decimal(0)", "overflow"},
    {OP2(add, DEC(0, 999999999999999999), DEC(1, 1)), "decimal(1)", "cast"},
    {OP2(mul, DEC(2, 150), DEC(2, -150)), "decimal(4)", "-2.2500"},
    {OP2(mul, DEC(2, 150), I32(3)), "decimal(2)", "4.50"},
    {OP2(mul, DEC(9, 1000000000), DEC(9, 999999999999)), "decimal(18)", "overflow"},
    {OP2(mul, DEC(9, 1000000000), DEC(9, 999999999)), "decimal(18)",
     "0.999999999000000000"},
    {OP2(add, DEC(2, 150), F64(1)), "f64", "2.5"},
    {OP1(neg, DEC(2, 150)), "decimal(2)", "-1.50"},
    {OP1(abs, DEC(2, -150)), "decimal(2)", "1.50"},
    /* division */
    {OP2(div, I64(1), I64(3)), "f64", "0.3333333333333333"},
    {OP2(div, I64(1), I64(0)), "f64", "division by zero"},
    {OP2(div, DEC(2, 1), DEC(2, 0)), "f64", "division by zero"},
    {OP2(div, F64(1), I64(0)), "f64", "inf"},
    {OP2(div, F64(0), F64(0)), "f64", "nan"},
    {OP2(div, I64(9007199254740993), I64(1)), "f64", "9007199254740992"},
    {OP2(div, I64(9223372036854775807), U64(18446744073709551615)), "f64", "0.5"},
    {OP2(div, I64(-9223372036854775808), I64(-1)), "f64", "9.223372036854776e+18"},
    {OP2(div, DEC(2, 150), DEC(4, 5000)), "f64", "3"},
    {OP2(div, DEC(18, 1), DEC(0, 999999999999999999)), "f64", "1e-36"},
    {OP2(floordiv, I64(7), I64(-2)), "i64", "-4"},
    {OP2(mod, I64(7), I64(-2)), "i64", "-1"},
    {OP2(floordiv, I64(-7), I64(2)), "i64", "-4"},
    {OP2(mod, I64(-7), I64(2)), "i64", "1"},
    {OP2(mod, I32(-6), I32(2)), "i32", "0"},
    {OP2(floordiv, I64(-9223372036854775808), I64(-1)), "i64", "overflow"},
    {OP2(mod, I64(-9223372036854775808), I64(-1)), "i64", "0"},
    {OP2(mod, I64(1), I64(0)), "i64", "division by zero"},
    {OP2(floordiv, U64(18446744073709551615), U64(10)), "u64", "1844674407370955161"},
    {OP2(mod, U64(18446744073709551615), U64(10)), "u64", "5"},
    {OP2(floordiv, F64(7.5), F64(-2)), "f64", "-4"},
    {OP2(mod, F64(7.5), F64(-2)), "f64", "-0.5"},
    {OP2(mod, F64(-1e-20), F64(3)), "f64", "3"},
    {OP2(floordiv, F64(-1e-20), F64(3)), "f64", "-1"},
    {OP2(mod, F64(1e300), F64(7)), "f64", "1"},
    {OP2(mod, F64(-4), F64(2)), "f64", "0"},
    {OP2(mod, F64(4), F64(-2)), "f64", "-0"},
    {OP2(mod, F64(5), F64("inf")), "f64", "5"},
    {OP2(mod, F64(5), F64("-inf")), "f64", "-inf"},
    {OP2(floordiv, F64(5), F64("-inf")), "f64", "-1"},
    {OP2(floordiv, F64(1), F64(0.1)), "f64", "9"},
    {OP2(mod, F64(1), F64(0.1)), "f64", "0.09999999999999995"},
    {OP2(mod, F64(5e-324), F64(1.5)), "f64", "4.94065645841247e-324"},
    {OP2(mod, F64(1), F64(1.5e-323)), "f64", "4.94065645841247e-324"},
    {OP2(floordiv, F64(5), F64(0)), "f64", "inf"},
    {OP2(mod, F64(5), F64(0)), "f64", "nan"},
    {OP2(floordiv, F64("inf"), F64(2)), "f64", "nan"},
    /* signs */
    {OP1(neg, I64(-9223372036854775808)), "i64", "overflow"},
    {OP1(abs, I32(-2147483648)), "i32", "overflow"},
    {OP1(neg, U64(5)), "i64", "-5"},
    {OP1(neg, CAST(U64(18446744073709551615), "u64")), "i64", "cast"},
    {OP1(abs, U64(18446744073709551615)), "u64", "18446744073709551615"},
    {OP1(neg, F64(0)), "f64", "-0"},
    {OP1(abs, F64("-0.0")), "f64", "0"},
    {OP1(neg, F32(1.5)), "f64", "-1.5"},
    /* comparisons */
    {OP2(eq, F64("nan"), F64("nan")), "bool", "true"},
    {OP2(gt, F64("nan"), F64("inf")), "bool", "true"},
    {OP2(lt, F64("nan"), F64(1)), "bool", "false"},
    {OP2(le, F64(1), F64("nan")), "bool", "true"},
    {OP2(ge, F64(1), F64("nan")), "bool", "false"},
    {OP2(ne, F64("nan"), F64("nan")), "bool", "false"},
    {OP2(eq, F64("-0.0"), F64(0)), "bool", "true"},
    {OP2(lt, F64("-0.0"), F64(0)), "bool", "false"},
    {OP2(eq, U64(18446744073709551615), I64(-1)), "bool", "false"},
    {OP2(gt, U64(18446744073709551615), CAST(I32(-1), "i64")), "bool", "true"},
    {OP2(lt, DEC(0, 999999999999999999), U64(18446744073709551615)), "bool", "true"},
    {OP2(eq, DEC(2, 150), DEC(3, 1500)), "bool", "true"},
    {OP2(lt, DEC(2, 150), DEC(3, 1501)), "bool", "true"},
    {OP2(eq, DEC(18, 1), I64(0)), "bool", "false"},
    {OP2(eq, DEC(2, 150), F64(1.5)), "bool", "true"},
    {OP2(eq, I64(9007199254740993), F64(9007199254740992)), "bool", "true"},
    {OP2(lt, BOOL(false), BOOL(true)), "bool", "true"},
    {OP2(eq, DATE(1), TIME(86400000000)), "bool", "true"},
    {OP2(lt, DATE(1), TIME(86400000001)), "bool", "true"},
    {OP2(lt, STR("a"), STR("ab")), "bool", "true"},
    {OP2(lt, STR("\u00e9"), STR("z")), "bool", "false"},
    {OP2(ge, STR(""), STR("")), "bool", "true"},
    {OP2(eq, NUL, STR("a")), "bool", "null"},
    /* logic */
    {OP2(and, NUL, BOOL(false)), "bool", "false"},
    {OP2(and, BOOL(true), NUL), "bool", "null"},
    {OP2(or, NUL, BOOL(true)), "bool", "true"},
    {OP2(or, BOOL(false), NUL), "bool", "null"},
    {OP2(and, NUL, NUL), "bool", "null"},
    {OP1(not, NUL), "bool", "null"},
    {OP1(is_null, I64(null)), "bool", "true"},
    {OP1(is_not_null, I64(null)), "bool", "false"},
    {OP1(is_nan, F64(null)), "bool", "null"},
    {OP1(is_nan, F32("nan")), "bool", "true"},
    {OP2(and, BOOL(false), OP2(eq, OP2(mod, I64(1), I64(0)), I64(1))), "bool",
     "division by zero"},
    {OP1(is_null, OP2(mod, I64(1), I64(0))), "bool", "division by zero"},
    /* choices */
    {OP3(when, BOOL(true), I64(1), OP2(mod, I64(1), I64(0))), "i64", "1"},
    {OP3(when, BOOL(false), I64(1), OP2(mod, I64(1), I64(0))), "i64",
     "division by zero"},
    {OP3(when, NUL, I64(1), I64(2)), "i64", "2"},
    {OP3(when, BOOL(true), NUL, DEC(2, 5)), "decimal(2)", "null"},
    {OP3(when, OP2(eq, OP2(mod, I64(1), I64(0)), I64(1)), I64(1), I64(2)), "i64",
     "division by zero"},
    {OP3(when, BOOL(true), F32(1.5), F32(2)), "f32", "1.5"},
    {OP3(when, BOOL(true), I32(1), DEC(1, 5)), "decimal(1)", "1.0"},
    {OP3(when, BOOL(true), I32(1), F32(2)), "f64", "1"},
    {OP2(fill_null, I64(null), OP2(mod, I64(1), I64(0))), "i64", "division by zero"},
    {OP2(fill_null, I64(3), OP2(mod, I64(1), I64(0))), "i64", "3"},
    {OP2(fill_null, OP2(add, I64(null), I64(1)), I64(4)), "i64", "4"},
    {OP2(fill_null, OP2(fill_null, I64(null), OP2(mod, I64(1), I64(0))), I64(4)), "i64",
     "division by zero"},
    {OP2(fill_null, STR(null), STR("x")), "str", "x"},
    {OP2(fill_null, STR(null), NUL), "str", "null"},
    /* is_in */
    {OP2(is_in, I64(3), "[" I64(1) "," U64(3) "]"), "bool", "true"},
    {OP2(is_in, U64(18446744073709551615), "[" I64(-1) "]"), "bool", "false"},
    {OP2(is_in, U64(18446744073709551615),
         "[" I64(1) "," U64(18446744073709551615) "]"),
     "bool", "true"},
    {OP2(is_in, DEC(2, 150), "[" DEC(3, 1501) "," DEC(1, 15) "]"), "bool", "true"},
    {OP2(is_in, I64(2), "[" DEC(1, 25) "," DEC(1, 20) "]"), "bool", "true"},
    {OP2(is_in, F64("nan"), "[" F64(1) "," F64("nan") "]"), "bool", "true"},
    {OP2(is_in, F64(0), "[" F64("-0.0") "]"), "bool", "true"},
    {OP2(is_in, F64(-2.5), "[" F64(-1) "," F64(-2.5) "," F64(3) "]"), "bool", "true"},
    {OP2(is_in, I32(3), "[" F64(2.5) "," F64(3) "]"), "bool", "true"},
    {OP2(is_in, DATE(1), "[" TIME(86400000001) "]"), "bool", "false"},
    {OP2(is_in, DATE(1), "[" TIME(86400000000) "]"), "bool", "true"},
    {OP2(is_in, STR("b"), "[" STR("c") "," STR("a") "," STR("b") "]"), "bool", "true"},
    {OP2(is_in, STR(null), "[" STR("c") "]"), "bool", "null"},
    {OP2(is_in, STR("x"), "[]"), "bool", "false"},
    {OP2(is_in, BOOL(true), "[" BOOL(true) "]"), "bool", "true"},
    /* casts */
    {CAST(F64(-0.5), "u64"), "u64", "0"},
    {CAST(F64(-1), "u64"), "u64", "cast"},
    {CAST(F64(18446744073709551615), "u64"), "u64", "cast"},
    {CAST(F64(-2.9), "i32"), "i32", "-2"},
    {CAST(F64("nan"), "i64"), "i64", "cast"},
    {CAST(F64(9223372036854775807), "i64"), "i64", "cast"},
    {CAST(F64(-9223372036854775808), "i64"), "i64", "-9223372036854775808"},
    {CAST(I64(2147483648), "i32"), "i32", "cast"},
    {CAST(I64(-1), "u64"), "u64", "cast"},
    {CAST(U64(9223372036854775808), "i64"), "i64", "cast"},
    {CAST(F64(1e300), "f32"), "f32", "inf"},
    {CAST(F64(0.1), "f32"), "f32", "0.1"},
    {CAST(CAST(F64(0.1), "f32"), "f64"), "f64", "0.10000000149011612"},
    {CAST(F64(0.125), "decimal(2)"), "decimal(2)", "0.12"},
    {CAST(F64(0.375), "decimal(2)"), "decimal(2)", "0.38"},
    {CAST(F64(0.145), "decimal(2)"), "decimal(2)", "0.14"},
    {CAST(F64(1e18), "decimal(0)"), "decimal(0)", "cast"},
    {CAST(F64(999999999999999900), "decimal(0)"), "decimal(0)", "999999999999999872"},
    {CAST(F64(1e17), "decimal(1)"), "decimal(1)", "cast"},
    {CAST(F64(0.9999999999999999), "decimal(0)"), "decimal(0)", "1"},
    {CAST(F64(5e-324), "decimal(18)"), "decimal(18)", "0.000000000000000000"},
    {CAST(F64("-inf"), "decimal(2)"), "decimal(2)", "cast"},
    {CAST(DEC(2, 125), "decimal(1)"), "decimal(1)", "1.2"},
    {CAST(DEC(2, -135), "decimal(1)"), "decimal(1)", "-1.4"},
    {CAST(DEC(0, 999999999999999999), "decimal(1)"), "decimal(1)", "cast"},
    {CAST(DEC(2, -199), "i64"), "i64", "-1"},
    {CAST(DEC(2, -199), "u64"), "u64", "cast"},
    {CAST(DEC(2, 199), "f64"), "f64", "1.99"},
    {CAST(DEC(18, 123456789012345678), "f64"), "f64", "0.12345678901234568"},
    {CAST(I64(5), "decimal(3)"), "decimal(3)", "5.000"},
    {CAST(U64(18446744073709551615), "decimal(0)"), "decimal(0)", "cast"},
    {CAST(I64(7), "bool"), "bool", "true"},
    {CAST(U64(9223372036854775808), "bool"), "bool", "true"},
    {CAST(I32(0), "bool"), "bool", "false"},
    {CAST(BOOL(true), "i32"), "i32", "1"},
    {CAST(BOOL(true), "u64"), "u64", "1"},
    {CAST(TIME(-1), "date"), "date", "1969-12-31"},
    {CAST(DATE(-1), "time[us]"), "time[us]", "1969-12-31T00:00:00Z"},
    {CAST(DATE(106751991), "time[us]"), "time[us]", "+294247-01-10T00:00:00Z"},
    {CAST(DATE(106751992), "time[us]"), "time[us]", "cast"},
    {CAST(STR("12"), "i32"), "i32", "12"},
    {CAST(STR("12x"), "i32"), "i32", "cast"},
    {CAST(STR(""), "i64"), "i64", "cast"},
    {CAST(STR("3000000000"), "i32"), "i32", "cast"},
    {CAST(STR("18446744073709551615"), "u64"), "u64", "18446744073709551615"},
    {CAST(STR("1e-3"), "f64"), "f64", "0.001"},
    {CAST(STR("0.1"), "f32"), "f32", "0.1"},
    {CAST(STR("1e999"), "f64"), "f64", "cast"},
    {CAST(STR("9.99"), "decimal(2)"), "decimal(2)", "9.99"},
    {CAST(STR("9.999"), "decimal(2)"), "decimal(2)", "cast"},
    {CAST(STR("2026-11-21"), "date"), "date", "2026-11-21"},
    {CAST(STR("2026-11-21T09:00"), "time[us]"), "time[us]", "2026-11-21T09:00:00Z"},
    {CAST(STR("soon"), "time[us]"), "time[us]", "cast"},
    {CAST(F64(0.1), "str"), "str", "0.1"},
    {CAST(F32(0.1), "str"), "str", "0.1"},
    {CAST(BOOL(true), "str"), "str", "true"},
    {CAST(DEC(2, -5), "str"), "str", "-0.05"},
    {CAST(STR("x"), "cat"), "str", "x"},
    {CAST(NUL, "u64"), "u64", "null"},
    /* times */
    {OP2(truncate, TIME(-1), "{\"us\":1000}"), "time[us]", "1969-12-31T23:59:59.999Z"},
    {OP2(truncate, TIME(-9223372036854775808), "{\"us\":1000}"), "time[us]",
     "overflow"},
    {OP2(truncate, TIME(-9223372036854775808), "{\"unit\":\"day\"}"), "time[us]",
     "overflow"},
    {OP2(truncate, DATE(20778), "{\"unit\":\"month\"}"), "date", "2026-11-01"},
    {OP2(truncate, DATE(20778), "{\"unit\":\"week\"}"), "date", "2026-11-16"},
    {OP2(truncate, DATE(20778), "{\"unit\":\"year\",\"count\":10}"), "date",
     "2020-01-01"},
    {OP2(truncate, DATE(-1), "{\"us\":172800000000}"), "date", "1969-12-30"},
    {OP2(truncate, DATE(2147483647), "{\"unit\":\"month\"}"), "date", "overflow"},
    {OP2(offset_by, TIME(5), "{\"us\":-6}"), "time[us]", "1969-12-31T23:59:59.999999Z"},
    {OP2(offset_by, TIME(9223372036854775807), "{\"us\":1}"), "time[us]", "overflow"},
};

static void
answer_text(const la_vec *vec, uint8_t failed, la_buf *text)
{
    la_value value = la_value_of(&vec->column, 0);
    if (failed != LA_REASON_NONE) {
        CHECK(value.null);
        la_buf_text(text, la_reason_text((la_reason)failed));
    }
    else {
        la_value_text(text, &value);
    }
    la_buf_u8(text, 0);
}

/* A chunk without columns read: enough for constants. */
static la_status
run_one(la_expr *expr, la_buf *text, la_error *err)
{
    la_column columns[COLUMNS] = {0};
    la_chunk chunk = {
        .schema = schema, .rows = 3, .column_count = COLUMNS, .columns = columns};
    uint8_t failed[3] = {0};
    la_program *program;
    la_vec out;
    la_status status = la_program_new(la_env_system(), schema, &expr, 1, &program, err);
    if (status == LA_OK) {
        status = la_program_run(program, &chunk, NULL, failed, &out, err);
        CHECK(out.constant);
        CHECK_EQ(failed[0], failed[2]);
        answer_text(&out, failed[0], text);
        la_program_free(program);
    }
    return status;
}

static void
knows_the_answers(void)
{
    for (size_t i = 0; i < sizeof knowns / sizeof knowns[0]; i++) {
        const known *k = &knowns[i];
        la_error err;
        la_arena arena;
        la_buf text;
        la_arena_init(&arena, la_env_system());
        la_buf_init(&text, la_env_system());
        la_expr *expr = parse(&arena, k->expr, &err);
        CHECK_MSG(expr != NULL, "%s: %s", k->expr, err.message);
        char type[32];
        la_type_text(expr->type, expr->scale, type, sizeof type);
        CHECK_MSG(strcmp(type, k->type) == 0, "%s: type %s, expected %s", k->expr, type,
                  k->type);
        CHECK_OK(run_one(expr, &text, &err), &err);
        CHECK_MSG(strcmp((char *)text.data, k->answer) == 0, "%s: %s, expected %s",
                  k->expr, (char *)text.data, k->answer);
        la_buf_fini(&text);
        la_arena_fini(&arena);
    }
}

/* The verdicts of codes belong to one dictionary: another one, even at the same address,
 * and new codes are asked anew. */
static void
dictionaries_may_change(void)
{
    la_error err;
    la_arena arena;
    la_arena_init(&arena, la_env_system());
    la_expr *expr =
        parse(&arena, "[\"eq\",[\"lit\",\"str\",\"w7\"],[\"col\",\"c\"]]", &err);
    la_program *program;
    CHECK_OK(la_program_new(la_env_system(), schema, &expr, 1, &program, &err), &err);
    uint32_t codes[LA_CHUNK_ROWS];
    for (int round = 0; round < 20; round++) {
        la_dict *dict;
        CHECK_OK(la_dict_new(la_env_system(), &dict, &err), &err);
        for (uint32_t chunk_number = 0; chunk_number < 4; chunk_number++) {
            la_column columns[COLUMNS] = {0};
            la_chunk chunk = {
                .schema = schema, .column_count = COLUMNS, .columns = columns};
            for (uint32_t i = 0; i < 100; i++) {
                char word[32];
                int size = snprintf(word, sizeof word, "w%u",
                                    chunk_number * 100 + i + (uint32_t)round);
                CHECK_OK(la_dict_add(dict, word, (size_t)size, &codes[i], &err), &err);
            }
            columns[C].type = LA_T_CAT;
            columns[C].data = codes;
            columns[C].dict = dict;
            chunk.rows = 100;
            la_vec out;
            CHECK_OK(la_program_run(program, &chunk, NULL, NULL, &out, &err), &err);
            for (uint32_t i = 0; i < 100; i++) {
                bool expected = chunk_number * 100 + i + (uint32_t)round == 7;
                CHECK_EQ(((const uint8_t *)out.column.data)[i], expected);
            }
        }
        la_dict_release(dict);
    }
    CHECK_EQ(la_live_count(LA_LIVE_DICT), 1); /* the program keeps the last one */
    la_program_free(program);
    CHECK_EQ(la_live_count(LA_LIVE_DICT), 0);
    la_arena_fini(&arena);
}

int
main(void)
{
    la_error err;
    CHECK_OK(la_schema_new(la_env_system(), fields, COLUMNS, &schema, &err), &err);
    RUN(knows_the_answers);
    RUN(dictionaries_may_change);
    la_schema_release(schema);
    return test_end();
}
