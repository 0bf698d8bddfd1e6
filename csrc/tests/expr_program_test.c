/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: random expressions against an interpreter that walks the typed tree row by row and
 * knows nothing of registers, masks or kernels; and what programs promise beside values.
 * Known answers: expr_known_test.c. */
#include "expr/program.h"
#include "fault_env.h"
#include "ingest/text.h"
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

/* ------------------------------------------------------------------- random chunks */

typedef struct data {
    la_chunk chunk;
    la_column columns[COLUMNS];
    uint64_t values[COLUMNS][LA_CHUNK_ROWS];
    uint8_t valid[COLUMNS][LA_CHUNK_ROWS];
    uint32_t offsets[LA_CHUNK_ROWS + 1];
    char heap[LA_CHUNK_ROWS * 24];
    la_dict *dict;
} data;

/* clang-format off */
static const char *const words[] = {
    "", "a", "DE", "FR", "12", "-7", "3.25", "nan", "z\n", "true", "2026-11-21", "1e3",
    "\xc3\xa9", "2026-01-31T23:59:59.5", "99999999999", "0"};
/* clang-format on */

static int64_t
random_integer(uint64_t *rng, int bits)
{
    static const int64_t small[] = {0, 1, -1, 2, -2, 3, 7, 10, 100, -100};
    int64_t most = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
    switch (test_below(rng, 5)) {
    case 0:
        return most - (int64_t)test_below(rng, 2);
    case 1:
        return -most - 1 + (int64_t)test_below(rng, 2);
    case 2:
        return (int64_t)test_next(rng) >> (64 - bits) >>
               test_below(rng, (uint64_t)bits);
    default:
        return small[test_below(rng, 10)];
    }
}

static double
random_double(uint64_t *rng)
{
    static const double edges[] = {0.0,
                                   -0.0,
                                   1.0,
                                   -1.5,
                                   0.1,
                                   2.5,
                                   1e18,
                                   1e-18,
                                   5e-324,
                                   1.7e308,
                                   -1.7e308,
                                   9.007199254740993e15,
                                   9.223372036854775807e18,
                                   1.8446744073709552e19,
                                   1e300};
    switch (test_below(rng, 6)) {
    case 0:
        return edges[test_below(rng, 15)];
    case 1:
        return __builtin_nan("");
    case 2:
        return test_below(rng, 2) == 0 ? __builtin_inf() : -__builtin_inf();
    case 3: {
        uint64_t bits = test_next(rng);
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    default:
        return (double)random_integer(rng, 20) / 8;
    }
}

static int64_t
random_decimal(uint64_t *rng)
{
    int64_t v = random_integer(rng, 61) % 1000000000000000000;
    return test_below(rng, 10) == 0 ? 999999999999999999 : v;
}

static void
random_value(uint64_t *rng, data *d, int column, uint32_t row)
{
    void *to = d->values[column];
    double x;
    switch (fields[column].type) {
    case LA_T_BOOL:
        ((uint8_t *)to)[row] = (uint8_t)test_below(rng, 2);
        break;
    case LA_T_I32:
    case LA_T_DATE:
        ((int32_t *)to)[row] = (int32_t)random_integer(rng, 32);
        break;
    case LA_T_F32:
        x = random_double(rng);
        ((float *)to)[row] = x > 3e38 || x < -3e38 ? 3e38f : (float)x;
        break;
    case LA_T_F64:
        ((double *)to)[row] = random_double(rng);
        break;
    case LA_T_DECIMAL:
        ((int64_t *)to)[row] = random_decimal(rng);
        break;
    case LA_T_CAT:
        ((uint32_t *)to)[row] = (uint32_t)test_below(rng, la_dict_count(d->dict));
        break;
    default:
        ((int64_t *)to)[row] = random_integer(rng, 64);
        break;
    }
}

static void
random_texts(uint64_t *rng, data *d, uint32_t rows)
{
    uint32_t size = (uint32_t)test_below(rng, 5); /* offsets need not begin at 0 */
    for (uint32_t i = 0; i < rows; i++) {
        const char *word = words[test_below(rng, 16)];
        d->offsets[i] = size;
        memcpy(d->heap + size, word, strlen(word));
        size += (uint32_t)strlen(word);
    }
    d->offsets[rows] = size;
}

static void
data_init(data *d)
{
    la_error err;
    memset(d, 0, sizeof *d);
    CHECK_OK(la_dict_new(la_env_system(), &d->dict, &err), &err);
    uint32_t code;
    for (int i = 0; i < 3; i++) {
        CHECK_OK(la_dict_add(d->dict, words[i], strlen(words[i]), &code, &err), &err);
    }
}

static void
data_fill(uint64_t *rng, data *d)
{
    la_error err;
    uint32_t code;
    const char *word = words[test_below(rng, 16)];
    CHECK_OK(la_dict_add(d->dict, word, strlen(word), &code, &err), &err);
    uint32_t rows =
        test_below(rng, 4) == 0 ? LA_CHUNK_ROWS : (uint32_t)test_below(rng, 200);
    uint64_t null_in = test_below(rng, 3) == 0 ? 1000000 : 4;
    for (int c = 0; c < COLUMNS; c++) {
        for (uint32_t i = 0; i < rows; i++) {
            d->valid[c][i] = test_below(rng, null_in) != 0;
            random_value(rng, d, c, i);
            if (d->valid[c][i] == 0 && fields[c].type != LA_T_STR &&
                fields[c].nullable) {
                /* What stands under a null may be anything. */
                size_t size = la_type_size(fields[c].type);
                uint64_t junk = test_next(rng);
                memcpy((uint8_t *)d->values[c] + i * size, &junk, size);
            }
        }
        la_column *column = &d->columns[c];
        column->type = fields[c].type;
        column->scale = fields[c].scale;
        column->data = d->values[c];
        column->valid =
            fields[c].nullable && (null_in == 4 || c % 2 == 0) ? d->valid[c] : NULL;
        if (column->valid == NULL) {
            for (uint32_t i = 0; i < rows; i++) {
                random_value(rng, d, c, i);
            }
        }
    }
    random_texts(rng, d, rows);
    d->columns[S].data = d->heap;
    d->columns[S].offsets = d->offsets;
    d->columns[C].dict = d->dict;
    d->chunk.schema = schema;
    d->chunk.rows = rows;
    d->chunk.column_count = COLUMNS;
    d->chunk.columns = d->columns;
}

/* ------------------------------------------------------------- random expressions */

typedef enum kind { NUMBER, LOGICAL, INSTANT, TEXT, KINDS } kind;

static const char *
pick(uint64_t *rng, const char *const *from, size_t count)
{
    return from[test_below(rng, count)];
}
#define PICK(list) pick(rng, list, sizeof list / sizeof list[0])

static void
put_literal(uint64_t *rng, la_buf *to, const char *type)
{
    la_buf_printf(to, "[\"lit\",\"%s\",", type);
    if (test_below(rng, 12) == 0) {
        la_buf_text(to, "null]");
        return;
    }
    if (type[0] == 'f') {
        double x = random_double(rng);
        if (x != x || x - x != 0) {
            la_buf_text(to, x != x ? "\"nan\"" : "\"inf\"");
        }
        else {
            la_buf_printf(to, "%.17g", x);
        }
    }
    else if (type[0] == 'u') {
        la_buf_printf(to, "%llu", (unsigned long long)random_integer(rng, 64));
    }
    else if (type[0] == 'd' && type[1] == 'e') {
        la_buf_printf(to, "%lld", (long long)random_decimal(rng));
    }
    else if (type[0] == 'b') {
        la_buf_text(to, test_below(rng, 2) == 0 ? "true" : "false");
    }
    else if (type[0] == 's') {
        const char *word = words[test_below(rng, 16)];
        la_json_put_text(to, word, strlen(word));
    }
    else {
        int bits = strcmp(type, "i32") == 0 || type[0] == 'd' ? 32 : 64;
        la_buf_printf(to, "%lld", (long long)random_integer(rng, bits));
    }
    la_buf_u8(to, ']');
}

static void generate(uint64_t *rng, la_buf *to, kind k, int depth);

static void
put_list(uint64_t *rng, la_buf *to, const char *type)
{
    uint64_t count = test_below(rng, 3) == 0 ? 15 : test_below(rng, 5);
    la_buf_u8(to, '[');
    for (uint64_t i = 0; i < count; i++) {
        size_t before = to->size;
        do { /* without nulls */
            to->size = before;
            la_buf_text(to, i == 0 ? "" : ",");
            put_literal(rng, to, type);
        } while (memcmp(to->data + to->size - 5, "null]", 5) == 0);
    }
    la_buf_u8(to, ']');
}

static const char *const number_types[] = {
    "i32", "i64", "u64", "f32", "f64", "decimal(2)", "decimal(0)", "decimal(9)"};

static void
put_args(uint64_t *rng, la_buf *to, kind a, kind b, int depth)
{
    generate(rng, to, a, depth);
    la_buf_u8(to, ',');
    generate(rng, to, b, depth);
}

static void
generate_number(uint64_t *rng, la_buf *to, int depth)
{
    static const char *const columns[] = {"i", "n", "u", "f", "x", "m", "id", "m9"};
    static const char *const ops[] = {"add", "sub", "mul", "div", "floordiv", "mod"};
    if (depth == 0) {
        if (test_below(rng, 3) == 0) {
            put_literal(rng, to, PICK(number_types));
        }
        else {
            la_buf_printf(to, "[\"col\",\"%s\"]", PICK(columns));
        }
        return;
    }
    switch (test_below(rng, 7)) {
    case 0:
    case 1:
    case 2:
        la_buf_printf(to, "[\"%s\",", PICK(ops));
        put_args(rng, to, NUMBER, NUMBER, depth - 1);
        break;
    case 3:
        la_buf_printf(to, "[\"%s\",", test_below(rng, 2) == 0 ? "neg" : "abs");
        generate(rng, to, NUMBER, depth - 1);
        break;
    case 4:
        la_buf_text(to, "[\"cast\",");
        generate(rng, to, (kind)test_below(rng, KINDS), depth - 1);
        la_buf_printf(to, ",\"%s\"", PICK(number_types));
        break;
    case 5:
        la_buf_text(to, "[\"sub\",");
        put_args(rng, to, INSTANT, INSTANT, depth - 1);
        break;
    default:
        la_buf_text(to, "[\"fill_null\",");
        put_args(rng, to, NUMBER, NUMBER, depth - 1);
        break;
    }
    la_buf_u8(to, ']');
}

static void
generate_is_in(uint64_t *rng, la_buf *to, int depth)
{
    kind k = (kind)test_below(rng, KINDS);
    la_buf_text(to, "[\"is_in\",");
    generate(rng, to, k, depth);
    la_buf_u8(to, ',');
    put_list(rng, to,
             k == NUMBER               ? PICK(number_types)
             : k == TEXT               ? "str"
             : k == LOGICAL            ? "bool"
             : test_below(rng, 2) == 0 ? "date"
                                       : "time[us]");
}

static void
generate_logical(uint64_t *rng, la_buf *to, int depth)
{
    static const char *const compare[] = {"eq", "ne", "lt", "le", "gt", "ge"};
    static const char *const tests[] = {"is_null", "is_not_null", "is_nan"};
    kind k = (kind)test_below(rng, KINDS);
    if (depth == 0) {
        la_buf_text(to, test_below(rng, 8) == 0 ? "[\"lit\",\"null\",null]"
                                                : "[\"col\",\"b\"]");
        return;
    }
    switch (test_below(rng, 8)) {
    case 0:
    case 1:
    case 2:
        la_buf_printf(to, "[\"%s\",", PICK(compare));
        put_args(rng, to, k, k, depth - 1);
        break;
    case 3:
        la_buf_printf(to, "[\"%s\",", test_below(rng, 2) == 0 ? "and" : "or");
        put_args(rng, to, LOGICAL, LOGICAL, depth - 1);
        break;
    case 4:
        la_buf_text(to, "[\"not\",");
        generate(rng, to, LOGICAL, depth - 1);
        break;
    case 5:
        la_buf_printf(to, "[\"%s\",", PICK(tests));
        generate(rng, to, k, depth - 1);
        break;
    case 6:
        generate_is_in(rng, to, depth - 1);
        break;
    default:
        la_buf_text(to, "[\"cast\",");
        generate(rng, to, NUMBER, depth - 1);
        la_buf_text(to, ",\"bool\"");
        break;
    }
    la_buf_u8(to, ']');
}

static void
generate_instant(uint64_t *rng, la_buf *to, int depth)
{
    static const char *const everies[] = {"{\"us\":1}", "{\"us\":86400000000}",
                                          "{\"us\":1000007}", "{\"unit\":\"week\"}",
                                          "{\"unit\":\"month\",\"count\":5}"};
    if (depth == 0) {
        if (test_below(rng, 4) == 0) {
            put_literal(rng, to, test_below(rng, 2) == 0 ? "date" : "time[us]");
        }
        else {
            la_buf_text(to, test_below(rng, 2) == 0 ? "[\"col\",\"t\"]"
                                                    : "[\"col\",\"d\"]");
        }
        return;
    }
    switch (test_below(rng, 4)) {
    case 0:
        la_buf_text(to, "[\"truncate\",");
        generate(rng, to, INSTANT, depth - 1);
        la_buf_printf(to, ",%s", PICK(everies));
        break;
    case 1:
        la_buf_text(to, "[\"offset_by\",");
        generate(rng, to, INSTANT, depth - 1);
        la_buf_printf(to, ",{\"us\":%lld}", (long long)random_integer(rng, 64));
        break;
    case 2:
        la_buf_text(to, "[\"fill_null\",");
        put_args(rng, to, INSTANT, INSTANT, depth - 1);
        break;
    default:
        la_buf_text(to, "[\"cast\",");
        generate(rng, to, test_below(rng, 2) == 0 ? INSTANT : TEXT, depth - 1);
        la_buf_text(to, test_below(rng, 2) == 0 ? ",\"date\"" : ",\"time[us]\"");
        break;
    }
    la_buf_u8(to, ']');
}

static void
generate(uint64_t *rng, la_buf *to, kind k, int depth)
{
    if (depth > 0 && test_below(rng, 6) == 0) {
        la_buf_text(to, "[\"when\",");
        generate(rng, to, LOGICAL, depth - 1);
        la_buf_u8(to, ',');
        put_args(rng, to, k, k, depth - 1);
        la_buf_u8(to, ']');
        return;
    }
    switch (k) {
    case NUMBER:
        generate_number(rng, to, depth);
        return;
    case LOGICAL:
        generate_logical(rng, to, depth);
        return;
    case INSTANT:
        generate_instant(rng, to, depth);
        return;
    default:
        break;
    }
    if (depth > 0 && test_below(rng, 2) == 0) {
        la_buf_text(to, "[\"cast\",");
        generate(rng, to, (kind)test_below(rng, KINDS), depth - 1);
        la_buf_text(to, ",\"str\"]");
    }
    else if (test_below(rng, 4) == 0) {
        put_literal(rng, to, "str");
    }
    else {
        la_buf_text(to,
                    test_below(rng, 2) == 0 ? "[\"col\",\"c\"]" : "[\"col\",\"s\"]");
    }
}

/* -------------------------------------------------------------------- interpreter */

typedef struct result {
    la_value value;
    la_reason fail;
} result;

static la_arena texts; /* of casts to str */

static result
failing(const la_expr *e, la_reason reason)
{
    result r = {.value = {.type = e->type, .scale = e->scale, .null = true},
                .fail = reason};
    return r;
}

static __int128
power_of_ten(int exponent)
{
    __int128 p = 1;
    while (exponent-- > 0) {
        p *= 10;
    }
    return p;
}

static __int128
exact_of(const la_value *v)
{
    return v->type == LA_T_U64 ? (__int128)(uint64_t)v->i64 : v->i64;
}

/* An exact result in the expression's type, or a failure. */
static result
exact_result(const la_expr *e, __int128 v, la_reason reason)
{
    bool fits = true;
    switch (e->type) {
    case LA_T_I32:
    case LA_T_DATE:
        fits = v >= INT32_MIN && v <= INT32_MAX;
        break;
    case LA_T_U64:
        fits = v >= 0 && v <= UINT64_MAX;
        break;
    case LA_T_DECIMAL:
        fits = v > -power_of_ten(18) && v < power_of_ten(18);
        break;
    default:
        fits = v >= INT64_MIN && v <= INT64_MAX;
        break;
    }
    if (!fits) {
        return failing(e, reason);
    }
    result r = {.value = {.type = e->type, .scale = e->scale}};
    r.value.i64 = (int64_t)v;
    return r;
}

static __int128
floor_divide(__int128 a, __int128 b)
{
    __int128 q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

/* x mod y by binary long division, then Python's rules. */
static double
slow_rest(double x, double y)
{
    double step = y;
    if (x < y) {
        return x;
    }
    while (step <= x / 2) {
        step *= 2;
    }
    for (;; step /= 2) {
        if (x >= step) {
            x -= step; /* exact: both are multiples of y's last bit, and close */
        }
        if (step == y) {
            return x;
        }
    }
}

static double
python_mod(double x, double y, double *quotient)
{
    if (x - x != 0 || y != y || y == 0) {
        *quotient = y == 0 && x == x ? x / y : __builtin_nan("");
        return __builtin_nan("");
    }
    double rest = y - y != 0 ? x : slow_rest(x < 0 ? -x : x, y < 0 ? -y : y);
    rest = y - y == 0 && x < 0 ? -rest : rest;
    double q = (x - rest) / y;
    if (rest != 0 && (rest < 0) != (y < 0)) {
        rest += y;
        q -= 1;
    }
    else if (rest == 0) {
        rest = __builtin_copysign(0.0, y);
    }
    if (q == 0) {
        *quotient = __builtin_copysign(0.0, x / y);
        return rest;
    }
    double whole = q;
    if (q > -4503599627370496.0 && q < 4503599627370496.0) {
        whole = (double)(int64_t)q;
        whole = whole > q ? whole - 1 : whole;
    }
    *quotient = q - whole > 0.5 ? whole + 1 : whole;
    return rest;
}

static result
eval_float(const la_expr *e, double a, double b)
{
    result r = {.value = {.type = LA_T_F64}};
    double quotient, rest;
    switch (e->op) {
    case LA_OP_ADD:
        r.value.f64 = a + b;
        break;
    case LA_OP_SUB:
        r.value.f64 = a - b;
        break;
    case LA_OP_MUL:
        r.value.f64 = a * b;
        break;
    case LA_OP_DIV:
        r.value.f64 = a / b;
        break;
    case LA_OP_NEG:
        r.value.f64 = -a;
        break;
    case LA_OP_ABS:
        r.value.f64 = __builtin_fabs(a);
        break;
    default:
        rest = python_mod(a, b, &quotient);
        r.value.f64 = e->op == LA_OP_MOD ? rest : quotient;
        break;
    }
    return r;
}

static result
eval_arithmetic(const la_expr *e, const la_value *a, const la_value *b)
{
    if (a->type == LA_T_F64) {
        return eval_float(e, a->f64, b->f64);
    }
    __int128 x = exact_of(a), y = b == a ? 0 : exact_of(b);
    bool divides = e->op == LA_OP_DIV || e->op == LA_OP_FLOORDIV || e->op == LA_OP_MOD;
    if (divides && y == 0) {
        return failing(e, LA_REASON_DIVISION_BY_ZERO);
    }
    result r = {.value = {.type = LA_T_F64}};
    __int128 product;
    switch (e->op) {
    case LA_OP_ADD:
        return exact_result(e, x + y, LA_REASON_OVERFLOW);
    case LA_OP_SUB:
        return exact_result(e, x - y, LA_REASON_OVERFLOW);
    case LA_OP_MUL:
        return __builtin_mul_overflow(x, y, &product)
                   ? failing(e, LA_REASON_OVERFLOW)
                   : exact_result(e, product, LA_REASON_OVERFLOW);
    case LA_OP_NEG:
        return exact_result(e, -x, LA_REASON_OVERFLOW);
    case LA_OP_ABS:
        return exact_result(e, x < 0 ? -x : x, LA_REASON_OVERFLOW);
    case LA_OP_FLOORDIV:
        return exact_result(e, floor_divide(x, y), LA_REASON_OVERFLOW);
    case LA_OP_MOD:
        return exact_result(e, x - y * floor_divide(x, y), LA_REASON_OVERFLOW);
    default: /* 113 bits, then 53: the odds that it matters are 2^-60 */
        x *= power_of_ten(b->scale > a->scale ? b->scale - a->scale : 0);
        r.value.f64 = (double)((__float128)x / (__float128)y /
                               (__float128)power_of_ten(
                                   a->scale > b->scale ? a->scale - b->scale : 0));
        r.value.f64 = x == 0 ? 0.0 : r.value.f64;
        return r;
    }
}

static int
compare_values(const la_value *a, const la_value *b)
{
    if (a->type == LA_T_F64) {
        bool nan_a = a->f64 != a->f64, nan_b = b->f64 != b->f64;
        return nan_a || nan_b ? nan_a - nan_b : (a->f64 > b->f64) - (a->f64 < b->f64);
    }
    if (a->text != NULL || b->text != NULL) {
        size_t common = a->size < b->size ? a->size : b->size;
        int order = memcmp(a->text, b->text, common);
        return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
    }
    __int128 x = exact_of(a) * power_of_ten(b->scale);
    __int128 y = exact_of(b) * power_of_ten(a->scale);
    return (x > y) - (x < y);
}

static bool
order_is(la_op op, int order)
{
    return op == LA_OP_EQ   ? order == 0
           : op == LA_OP_NE ? order != 0
           : op == LA_OP_LT ? order < 0
           : op == LA_OP_LE ? order <= 0
           : op == LA_OP_GT ? order > 0
                            : order >= 0;
}

static result
truth(bool value)
{
    result r = {.value = {.type = LA_T_BOOL, .i64 = value}};
    return r;
}

static result
text_result(const la_value *a)
{
    result r = {.value = {.type = LA_T_STR}};
    if (a->type == LA_T_CAT || a->type == LA_T_STR) {
        r.value.text = a->text;
        r.value.size = a->size;
        return r;
    }
    la_buf text;
    la_buf_init(&text, la_env_system());
    la_value_text(&text, a);
    r.value.text = la_arena_strndup(&texts, (const char *)text.data, text.size);
    r.value.size = text.size;
    la_buf_fini(&text);
    return r;
}

static result
cast_text(const la_expr *e, const la_value *a)
{
    result r = {.value = {.type = e->type, .scale = e->scale}};
    int64_t i64;
    uint64_t u64;
    int32_t days;
    float f32;
    la_status status = LA_INVALID;
    switch (e->type) {
    case LA_T_I32:
    case LA_T_I64:
        status = la_parse_i64(a->text, a->size, &i64, NULL);
        return status == LA_OK ? exact_result(e, i64, LA_REASON_CAST)
                               : failing(e, LA_REASON_CAST);
    case LA_T_U64:
        status = la_parse_u64(a->text, a->size, &u64, NULL);
        r.value.i64 = (int64_t)u64;
        break;
    case LA_T_F32:
        status = la_parse_f32(a->text, a->size, &f32, NULL);
        r.value.f64 = (double)f32;
        break;
    case LA_T_F64:
        status = la_parse_f64(a->text, a->size, &r.value.f64, NULL);
        break;
    case LA_T_TIME:
        status = la_parse_time(a->text, a->size, &r.value.i64, NULL);
        break;
    case LA_T_DATE:
        status = la_parse_date(a->text, a->size, &days, NULL);
        r.value.i64 = days;
        break;
    default:
        status = la_parse_decimal(a->text, a->size, e->scale, &r.value.i64, NULL);
        break;
    }
    return status == LA_OK ? r : failing(e, LA_REASON_CAST);
}

/* glibc's printf is exact and rounds half to even; its scanf rounds correctly. */
static result
cast_float(const la_expr *e, double x)
{
    char text[400];
    if (e->type == LA_T_F64 || e->type == LA_T_F32) {
        result r = {.value = {.type = e->type}};
        r.value.f64 = e->type == LA_T_F32 ? (double)(float)x : x;
        return r;
    }
    if (!(x > -1e20 && x < 1e20)) {
        return failing(e, LA_REASON_CAST);
    }
    if (e->type != LA_T_DECIMAL) {
        return exact_result(e, (__int128)x, LA_REASON_CAST);
    }
    snprintf(text, sizeof text, "%.*f", e->scale, x);
    __int128 v = 0;
    for (const char *c = text; *c != 0; c++) {
        v = *c >= '0' && *c <= '9' ? v * 10 + (*c - '0') : v;
    }
    return exact_result(e, text[0] == '-' ? -v : v, LA_REASON_CAST);
}

static result
eval_cast(const la_expr *e, const la_value *a)
{
    char text[64];
    if (e->type == LA_T_STR) {
        return text_result(a);
    }
    if (a->type == LA_T_STR || a->type == LA_T_CAT) {
        return cast_text(e, a);
    }
    if (a->type == LA_T_F64 || a->type == LA_T_F32) {
        return cast_float(e, a->f64);
    }
    __int128 v = exact_of(a);
    if (e->type == LA_T_F64 || e->type == LA_T_F32) {
        snprintf(text, sizeof text, "%s%llue-%d", v < 0 ? "-" : "",
                 (unsigned long long)(v < 0 ? -v : v), a->scale);
        return cast_float(e, strtod(text, NULL));
    }
    if (e->type == LA_T_BOOL) {
        return truth(v != 0);
    }
    if (a->type == LA_T_TIME) {
        return exact_result(e, floor_divide(v, LA_US_PER_DAY), LA_REASON_CAST);
    }
    if (e->type == LA_T_TIME) {
        return exact_result(e, v * LA_US_PER_DAY, LA_REASON_CAST);
    }
    if (e->type != LA_T_DECIMAL) { /* towards zero */
        return exact_result(e, v / power_of_ten(a->scale), LA_REASON_CAST);
    }
    v *= power_of_ten(e->scale);
    __int128 unit = power_of_ten(a->scale);
    __int128 down = floor_divide(v, unit);
    __int128 twice = 2 * (v - down * unit);
    bool up = twice > unit || (twice == unit && down % 2 != 0);
    return exact_result(e, down + up, LA_REASON_CAST);
}

static result
eval_period(const la_expr *e, const la_value *a)
{
    __int128 us = a->type == LA_T_DATE ? (__int128)a->i64 * LA_US_PER_DAY : a->i64;
    if (e->op == LA_OP_OFFSET_BY) {
        return exact_result(e, us + e->every, LA_REASON_OVERFLOW);
    }
    if (us < INT64_MIN || us > INT64_MAX) {
        return failing(e, LA_REASON_OVERFLOW);
    }
    __int128 start = floor_divide(us, e->every) * e->every;
    if (e->every_unit) {
        start = la_calendar_floor((int64_t)us, e->unit, e->every);
        start = start == INT64_MIN ? start - 1 : start;
    }
    if (start < INT64_MIN) {
        return failing(e, LA_REASON_OVERFLOW);
    }
    return exact_result(e, a->type == LA_T_DATE ? start / LA_US_PER_DAY : start,
                        LA_REASON_OVERFLOW);
}

static result
eval_logic(const la_expr *e, const la_value *a, const la_value *b)
{
    bool absorbing = e->op == LA_OP_OR;
    if ((!a->null && (a->i64 != 0) == absorbing) ||
        (!b->null && (b->i64 != 0) == absorbing)) {
        return truth(absorbing);
    }
    result null = failing(e, LA_REASON_NONE);
    return a->null || b->null ? null : truth(!absorbing);
}

static result
eval_is_in(const la_expr *e, const la_value *a)
{
    for (uint32_t i = 0; i < e->set_count; i++) {
        if (compare_values(a, &e->set[i]) == 0) {
            return truth(true);
        }
    }
    return truth(false);
}

static result
eval(const la_expr *e, const la_chunk *chunk, uint32_t row)
{
    result args[3] = {0};
    result r;
    switch (e->op) {
    case LA_OP_COL:
        r.value = la_value_of(&chunk->columns[e->column], row);
        r.fail = LA_REASON_NONE;
        return r;
    case LA_OP_LIT:
        r.value = e->literal;
        r.fail = LA_REASON_NONE;
        return r;
    case LA_OP_WHEN:
        r = eval(e->args[0], chunk, row);
        if (r.fail != LA_REASON_NONE) {
            return failing(e, r.fail);
        }
        return eval(e->args[!r.value.null && r.value.i64 != 0 ? 1 : 2], chunk, row);
    case LA_OP_FILL_NULL:
        r = eval(e->args[0], chunk, row);
        return r.fail != LA_REASON_NONE || !r.value.null ? r
                                                         : eval(e->args[1], chunk, row);
    default:
        break;
    }
    bool null = false;
    for (uint32_t i = 0; i < e->arg_count; i++) {
        args[i] = eval(e->args[i], chunk, row);
        null = null || args[i].value.null;
    }
    for (uint32_t i = 0; i < e->arg_count; i++) {
        if (args[i].fail != LA_REASON_NONE) {
            return failing(e, args[i].fail);
        }
    }
    const la_value *a = &args[0].value, *b = e->arg_count > 1 ? &args[1].value : a;
    if (e->op == LA_OP_IS_NULL || e->op == LA_OP_IS_NOT_NULL) {
        return truth(a->null == (e->op == LA_OP_IS_NULL));
    }
    if (e->op == LA_OP_AND || e->op == LA_OP_OR) {
        return eval_logic(e, a, b);
    }
    if (null) {
        return failing(e, LA_REASON_NONE);
    }
    if (e->op >= LA_OP_ADD && e->op <= LA_OP_ABS) {
        return eval_arithmetic(e, a, b);
    }
    if (e->op >= LA_OP_EQ && e->op <= LA_OP_GE) {
        return truth(order_is(e->op, compare_values(a, b)));
    }
    switch (e->op) {
    case LA_OP_NOT:
        return truth(a->i64 == 0);
    case LA_OP_IS_NAN:
        return truth(a->f64 != a->f64);
    case LA_OP_CAST:
        return eval_cast(e, a);
    case LA_OP_IS_IN:
        return eval_is_in(e, a);
    default:
        return eval_period(e, a);
    }
}

/* -------------------------------------------------------------------- comparison */

static bool
same_value(const la_value *a, const la_value *b)
{
    if (a->null || b->null) {
        return a->null && b->null;
    }
    if (a->type == LA_T_F64 || a->type == LA_T_F32) {
        return (a->f64 != a->f64 && b->f64 != b->f64) ||
               memcmp(&a->f64, &b->f64, sizeof a->f64) == 0;
    }
    if (a->text != NULL || b->text != NULL) {
        return a->size == b->size && memcmp(a->text, b->text, a->size) == 0;
    }
    return a->i64 == b->i64;
}

static uint64_t compared, failures[LA_REASON_COUNT], nulls;

static void
check_row(const la_expr *e, const la_vec *vec, const data *d, uint32_t row,
          uint8_t failed, const char *json)
{
    result expected = eval(e, &d->chunk, row);
    la_value found = la_value_of(&vec->column, row);
    bool good = same_value(&found, &expected.value) && failed == expected.fail;
    if (!good) {
        la_buf text;
        la_buf_init(&text, la_env_system());
        la_buf_text(&text, "found ");
        la_value_text(&text, &found);
        la_buf_printf(&text, " (%s), expected ", la_reason_text((la_reason)failed));
        la_value_text(&text, &expected.value);
        la_buf_printf(&text, " (%s)%c", la_reason_text(expected.fail), 0);
        TEST_FAIL("%s\nrow %u: %s", json, row, (char *)text.data);
    }
    CHECK_MSG(e->nullable || !found.null || failed != 0, "%s: null in row %u", json,
              row);
    compared++;
    failures[failed]++;
    nulls += found.null && failed == 0;
}

#define LIST_MAX 4

/* One program of several expressions over several chunks. `failed` of all expressions
 * together has the first one's reason, so each is also run alone. */
static void
check_list(uint64_t *rng, data *d, la_expr **exprs, la_buf *json, uint32_t count)
{
    la_error err;
    la_program *all, *one[LIST_MAX];
    uint8_t select[LA_CHUNK_ROWS], failed[LA_CHUNK_ROWS], any[LA_CHUNK_ROWS];
    CHECK_OK(la_program_new(la_env_system(), schema, exprs, count, &all, &err), &err);
    for (uint32_t k = 0; k < count; k++) {
        CHECK_OK(la_program_new(la_env_system(), schema, &exprs[k], 1, &one[k], &err),
                 &err);
    }
    for (int pass = 0; pass < 2; pass++) {
        la_vec vecs[LIST_MAX], vec;
        data_fill(rng, d);
        uint32_t rows = d->chunk.rows;
        bool selects = test_below(rng, 2) == 0;
        for (uint32_t i = 0; i < rows; i++) {
            select[i] = !selects || test_below(rng, 2) == 0;
        }
        memset(any, 0, sizeof any);
        CHECK_OK(
            la_program_run(all, &d->chunk, selects ? select : NULL, any, vecs, &err),
            &err);
        uint8_t expected_any[LA_CHUNK_ROWS] = {0};
        for (uint32_t k = 0; k < count; k++) {
            memset(failed, 0, sizeof failed);
            CHECK_OK(la_program_run(one[k], &d->chunk, selects ? select : NULL, failed,
                                    &vec, &err),
                     &err);
            for (uint32_t i = 0; i < rows; i++) {
                if (select[i] == 0) {
                    CHECK_EQ(failed[i], 0);
                    continue;
                }
                check_row(exprs[k], &vec, d, i, failed[i], (char *)json[k].data);
                check_row(exprs[k], &vecs[k], d, i, failed[i], (char *)json[k].data);
                expected_any[i] = expected_any[i] != 0 ? expected_any[i] : failed[i];
            }
        }
        CHECK_BYTES(any, expected_any, rows);
        la_arena_reset(&texts);
    }
    la_program_free(all);
    for (uint32_t k = 0; k < count; k++) {
        la_program_free(one[k]);
    }
}

static void
is_as_the_interpreter_says(void)
{
    uint64_t rng = test_seed();
    static data d;
    data_init(&d);
    la_arena_init(&texts, la_env_system());
    const char *scale = getenv("LA_TEST_SCALE"); /* of make torture */
    int lists = 1500 * (scale == NULL ? 1 : atoi(scale));
    for (int i = 0; i < lists; i++) {
        la_arena arena;
        la_error err;
        la_buf json[LIST_MAX];
        la_expr *exprs[LIST_MAX];
        uint32_t count = 0, wanted = 1 + (uint32_t)test_below(&rng, LIST_MAX);
        la_arena_init(&arena, la_env_system());
        while (count < wanted) {
            la_buf_init(&json[count], la_env_system());
            generate(&rng, &json[count], (kind)test_below(&rng, KINDS),
                     (int)test_below(&rng, 6));
            la_buf_u8(&json[count], 0);
            exprs[count] = parse(&arena, (char *)json[count].data, &err);
            if (exprs[count] != NULL) {
                count++;
                continue;
            }
            CHECK_MSG(err.status == LA_TYPE ||
                          strstr(err.message, "whole days") != NULL,
                      "%s", err.message);
            la_buf_fini(&json[count]);
        }
        check_list(&rng, &d, exprs, json, count);
        for (uint32_t k = 0; k < count; k++) {
            la_buf_fini(&json[k]);
        }
        la_arena_fini(&arena);
    }
    printf("    %llu values, %llu null, %llu overflow, %llu zero, %llu cast\n",
           (unsigned long long)compared, (unsigned long long)nulls,
           (unsigned long long)failures[1], (unsigned long long)failures[2],
           (unsigned long long)failures[3]);
    la_dict_release(d.dict);
    la_arena_fini(&texts);
}

/* -------------------------------------------------------------- what programs promise */

static void
columns_are_borrowed_and_work_is_shared(void)
{
    uint64_t rng = test_seed();
    static data d;
    la_error err;
    la_arena arena;
    la_vec out[5];
    uint8_t failed[LA_CHUNK_ROWS] = {0};
    data_init(&d);
    data_fill(&rng, &d);
    la_arena_init(&arena, la_env_system());
    la_expr *exprs[5] = {
        parse(&arena, "[\"col\",\"c\"]", &err), parse(&arena, "[\"col\",\"s\"]", &err),
        parse(&arena, "[\"mul\",[\"col\",\"x\"],[\"lit\",\"f64\",2]]", &err),
        parse(&arena, "[\"mul\",[\"col\",\"x\"],[\"lit\",\"i64\",2]]", &err),
        parse(&arena, "[\"fill_null\",[\"col\",\"id\"],[\"lit\",\"i64\",2]]", &err)};
    la_program *program;
    CHECK_OK(la_program_new(la_env_system(), schema, exprs, 5, &program, &err), &err);
    CHECK_OK(la_program_run(program, &d.chunk, NULL, failed, out, &err), &err);
    CHECK(out[0].column.data == d.columns[C].data && out[0].column.dict == d.dict);
    CHECK(out[0].column.valid == d.columns[C].valid && out[0].column.type == LA_T_CAT);
    CHECK(out[1].column.data == d.heap && out[1].column.offsets == d.offsets);
    CHECK(out[2].column.data == out[3].column.data);
    CHECK(out[4].column.data == d.columns[ID].data);
    la_program_free(program);
    la_arena_fini(&arena);
    la_dict_release(d.dict);
}

static la_status
sweep_work(const la_env *env, la_expr **exprs, uint32_t count, data *d, la_error *err)
{
    la_program *program = NULL;
    la_vec out[4];
    la_status status = la_program_new(env, schema, exprs, count, &program, err);
    for (int i = 0; status == LA_OK && i < 2; i++) {
        status = la_program_run(program, &d->chunk, NULL, NULL, out, err);
    }
    la_program_free(program);
    return status;
}

static void
survives_failing_allocations(void)
{
    uint64_t rng = test_seed();
    static data d;
    la_error err;
    la_arena arena;
    data_init(&d);
    data_fill(&rng, &d);
    la_arena_init(&arena, la_env_system());
    la_expr *exprs[4] = {
        parse(&arena,
              "[\"when\",[\"eq\",[\"col\",\"c\"],[\"lit\",\"str\",\"a\"]],"
              "[\"cast\",[\"col\",\"n\"],\"str\"],[\"col\",\"s\"]]",
              &err),
        parse(&arena,
              "[\"is_in\",[\"col\",\"n\"],[[\"lit\",\"i64\",1],[\"lit\",\"i64\",2]]]",
              &err),
        parse(&arena, "[\"is_in\",[\"col\",\"c\"],[[\"lit\",\"str\",\"a\"]]]", &err),
        parse(&arena,
              "[\"fill_null\",[\"lit\",\"str\",null],[\"lit\",\"str\",\"constant\"]]",
              &err)};
    fault_env f;
    fault_env_init(&f, la_env_system());
    for (uint64_t n = 1;; n++) {
        fault_env_fail_at(&f, n, n % 2 == 0);
        la_status status = sweep_work(&f.env, exprs, 4, &d, &err);
        bool fired = fault_env_fired(&f);
        CHECK_MSG(status == (fired ? LA_NOMEM : LA_OK), "allocation %llu: %s",
                  (unsigned long long)n, status == LA_OK ? "" : err.message);
        CHECK_EQ(fault_env_in_use(&f), 0);
        if (!fired) {
            CHECK(n > 8);
            break;
        }
    }
    la_arena_fini(&arena);
    la_dict_release(d.dict);
}

/* After the first run nothing is allocated, not even for texts of the same size. */
static void
runs_allocate_nothing(void)
{
    uint64_t rng = test_seed();
    static data d;
    la_error err;
    la_arena arena;
    data_init(&d);
    data_fill(&rng, &d);
    la_arena_init(&arena, la_env_system());
    la_expr *expr =
        parse(&arena,
              "[\"when\",[\"or\",[\"eq\",[\"col\",\"c\"],[\"lit\",\"str\",\"a\"]],"
              "[\"gt\",[\"mul\",[\"col\",\"n\"],[\"col\",\"n\"]],[\"col\",\"x\"]]],"
              "[\"cast\",[\"col\",\"m\"],\"str\"],[\"cast\",[\"col\",\"t\"],\"str\"]]",
              &err);
    fault_env f;
    fault_env_init(&f, la_env_system());
    fault_env_fail_at(&f, 0, false);
    la_program *program;
    la_vec out;
    CHECK_OK(la_program_new(&f.env, schema, &expr, 1, &program, &err), &err);
    CHECK_OK(la_program_run(program, &d.chunk, NULL, NULL, &out, &err), &err);
    fault_env_fail_at(&f, 1, true);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(la_program_run(program, &d.chunk, NULL, NULL, &out, &err), &err);
    }
    CHECK(!fault_env_fired(&f));
    la_program_free(program);
    CHECK_EQ(fault_env_in_use(&f), 0);
    la_arena_fini(&arena);
    la_dict_release(d.dict);
}

int
main(void)
{
    la_error err;
    CHECK_OK(la_schema_new(la_env_system(), fields, COLUMNS, &schema, &err), &err);
    RUN(is_as_the_interpreter_says);
    RUN(columns_are_borrowed_and_work_is_shared);
    RUN(survives_failing_allocations);
    RUN(runs_allocate_nothing);
    la_schema_release(schema);
    return test_end();
}
