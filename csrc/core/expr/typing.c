/* SPDX-License-Identifier: Apache-2.0 */
/* The typing rules of plan.md: which types go together, and what comes out.
 *
 * Conversions that the rules imply become cast nodes here, so that a program meets operands of
 * one type only, or pairs that one kernel compares exactly. Literals are converted on the spot
 * where that loses nothing: `u64_column > 3` then needs no conversion of the column. */
#include "expr/typing.h"
#include "base/error.h"

static la_status
refuse(la_scope *scope, const la_place *place, la_op op, const char *takes,
       const la_expr *a, const la_expr *b)
{
    char left[32], right[32];
    la_type_text(a->type, a->scale, left, sizeof left);
    if (b == NULL) {
        return la_place_fail(place, scope->err, LA_TYPE, "\"%s\" takes %s, not %s",
                             la_op_name(op), takes, left);
    }
    la_type_text(b->type, b->scale, right, sizeof right);
    return la_place_fail(place, scope->err, LA_TYPE, "\"%s\" takes %s, not %s and %s",
                         la_op_name(op), takes, left, right);
}

/* Says what to write instead, for the mistakes people make. */
static la_status
refuse_pair(la_scope *scope, const la_place *place, la_op op, const char *takes,
            const la_expr *a, const la_expr *b)
{
    la_status status = refuse(scope, place, op, takes, a, b);
    if (scope->err == NULL) {
        return status;
    }
    if (a->type == LA_T_NULL && b->type == LA_T_NULL) {
        la_error_hint(scope->err,
                      "give one of the nulls a type: [\"lit\", TYPE, null]");
    }
    else if (a->type == LA_T_BOOL || b->type == LA_T_BOOL) {
        la_error_hint(scope->err, "a bool is no number: cast it to i64");
    }
    else if ((a->type == LA_T_TIME || b->type == LA_T_TIME) &&
             (op == LA_OP_ADD || op == LA_OP_SUB)) {
        la_error_hint(scope->err, "\"offset_by\" moves a time by microseconds");
    }
    else if (la_type_is_text(a->type) || la_type_is_text(b->type)) {
        la_error_hint(scope->err,
                      "a text is only compared with texts: cast one of them");
    }
    return status;
}

la_expr *
la_expr_node(la_scope *scope, la_op op, la_type type, uint8_t scale, uint32_t arg_count,
             la_expr *a, la_expr *b, la_expr *c)
{
    la_expr *node = la_arena_alloc(scope->arena, sizeof *node);
    la_expr **args =
        arg_count == 0 ? NULL : la_arena_alloc(scope->arena, arg_count * sizeof *args);
    if (node == NULL || (arg_count > 0 && args == NULL)) {
        la_status status = la_fail_nomem(scope->err, sizeof *node);
        (void)status; /* makers return LA_NOMEM for NULL */
        return NULL;
    }
    memset(node, 0, sizeof *node);
    node->op = op;
    node->type = type;
    node->scale = scale;
    node->arg_count = arg_count;
    node->args = args;
    la_expr *const given[3] = {a, b, c};
    for (uint32_t i = 0; i < arg_count; i++) {
        args[i] = given[i];
        node->nullable = node->nullable || given[i]->nullable;
    }
    return node;
}

static la_status
make(la_scope *scope, la_op op, la_type type, uint8_t scale, la_expr *a, la_expr *b,
     la_expr **out)
{
    la_expr *node = la_expr_node(scope, op, type, scale, b == NULL ? 1 : 2, a, b, NULL);
    if (node == NULL) {
        return LA_NOMEM;
    }
    *out = node;
    return LA_OK;
}

/* A literal as another literal of this type; `a` itself where that loses something. */
static la_status
fit_literal(la_scope *scope, la_expr *a, la_type type, uint8_t scale, la_expr **out)
{
    la_value value;
    if (a->op != LA_OP_LIT || !la_literal_fit(&a->literal, type, scale, &value)) {
        *out = a;
        return LA_OK;
    }
    la_expr *node = la_expr_node(scope, LA_OP_LIT, type, scale, 0, NULL, NULL, NULL);
    if (node == NULL) {
        return LA_NOMEM;
    }
    node->literal = value;
    node->nullable = value.null;
    *out = node;
    return LA_OK;
}

la_status
la_make_typed(la_scope *scope, la_expr *a, la_type type, uint8_t scale, la_expr **out)
{
    if (a->type == LA_T_NULL && type != LA_T_NULL) {
        return fit_literal(scope, a, type == LA_T_CAT ? LA_T_STR : type, scale, out);
    }
    *out = a;
    return LA_OK;
}

/* Bare nulls of a pair take the other's type. */
static la_status
type_nulls(la_scope *scope, la_expr **a, la_expr **b)
{
    la_status status = la_make_typed(scope, *a, (*b)->type, (*b)->scale, a);
    return status != LA_OK ? status
                           : la_make_typed(scope, *b, (*a)->type, (*a)->scale, b);
}

/* -------------------------------------------------------------------- casts */

static bool
cast_is_allowed(la_type from, la_type to)
{
    if (to == LA_T_STR) {
        return from != LA_T_BYTES;
    }
    if (la_type_is_text(from)) {
        return la_type_is_number(to) || to == LA_T_TIME || to == LA_T_DATE;
    }
    if (la_type_is_number(from)) {
        return la_type_is_number(to) || (to == LA_T_BOOL && la_type_is_integer(from));
    }
    return (from == LA_T_BOOL && la_type_is_integer(to)) ||
           (from == LA_T_TIME && to == LA_T_DATE) ||
           (from == LA_T_DATE && to == LA_T_TIME);
}

la_status
la_make_cast(la_scope *scope, const la_place *place, la_expr *a, la_type type,
             uint8_t scale, la_expr **out)
{
    type = type == LA_T_CAT ? LA_T_STR : type;
    if (a->type == LA_T_NULL) {
        return la_make_typed(scope, a, type, scale, out);
    }
    if (a->type == type && a->scale == scale) {
        *out = a;
        return LA_OK;
    }
    if (!cast_is_allowed(a->type, type)) {
        char from[32], to[32];
        la_type_text(a->type, a->scale, from, sizeof from);
        la_type_text(type, scale, to, sizeof to);
        return la_place_fail(place, scope->err, LA_TYPE,
                             "a cast from %s to %s is not there", from, to);
    }
    return make(scope, LA_OP_CAST, type, scale, a, NULL, out);
}

/* A conversion that a common type asks for. */
static la_status
convert(la_scope *scope, const la_place *place, la_expr **a, la_type type,
        uint8_t scale)
{
    la_status status = fit_literal(scope, *a, type, scale, a);
    return status != LA_OK ? status : la_make_cast(scope, place, *a, type, scale, a);
}

static la_status
convert_both(la_scope *scope, const la_place *place, la_expr **a, la_expr **b,
             la_type type, uint8_t scale)
{
    la_status status = convert(scope, place, a, type, scale);
    return status != LA_OK ? status : convert(scope, place, b, type, scale);
}

/* --------------------------------------------------------------- common types */

static bool
is_natural_literal(const la_expr *a)
{
    return a->op == LA_OP_LIT && (a->literal.null || a->literal.i64 >= 0);
}

static la_type
common_integer(const la_expr *a, const la_expr *b)
{
    if (a->type == b->type) {
        return a->type;
    }
    const la_expr *other = a->type == LA_T_U64 ? b : a;
    bool unsigned_one = a->type == LA_T_U64 || b->type == LA_T_U64;
    return unsigned_one && is_natural_literal(other) ? LA_T_U64 : LA_T_I64;
}

/* Both are numbers. */
static la_type
common_number(const la_expr *a, const la_expr *b, uint8_t *scale)
{
    *scale = 0;
    if (la_type_is_float(a->type) || la_type_is_float(b->type)) {
        return a->type == b->type ? a->type : LA_T_F64;
    }
    if (a->type == LA_T_DECIMAL || b->type == LA_T_DECIMAL) {
        *scale = a->scale > b->scale ? a->scale : b->scale;
        return LA_T_DECIMAL;
    }
    return common_integer(a, b);
}

/* ----------------------------------------------------------------- arithmetic */

static la_status
make_decimal_product(la_scope *scope, const la_place *place, la_expr *a, la_expr *b,
                     la_expr **out)
{
    uint32_t scale = (uint32_t)a->scale + b->scale;
    if (scale > 18) {
        la_status status = la_place_fail(
            place, scope->err, LA_TYPE,
            "the product of decimal(%u) and decimal(%u) has scale %u, at most 18 is possible",
            a->scale, b->scale, scale);
        la_error_hint(scope->err, "cast one of them to a smaller scale or to f64");
        return status;
    }
    la_status status = convert(scope, place, &a, LA_T_DECIMAL, a->scale);
    if (status == LA_OK) {
        status = convert(scope, place, &b, LA_T_DECIMAL, b->scale);
    }
    return status != LA_OK
               ? status
               : make(scope, LA_OP_MUL, LA_T_DECIMAL, (uint8_t)scale, a, b, out);
}

static la_status
make_quotient(la_scope *scope, const la_place *place, la_expr *a, la_expr *b,
              la_expr **out)
{
    la_status status = LA_OK;
    if (la_type_is_float(a->type) || la_type_is_float(b->type)) {
        status = convert_both(scope, place, &a, &b, LA_T_F64, 0);
    }
    else {
        if (a->type == LA_T_I32) {
            status = convert(scope, place, &a, LA_T_I64, 0);
        }
        if (status == LA_OK && b->type == LA_T_I32) {
            status = convert(scope, place, &b, LA_T_I64, 0);
        }
    }
    return status != LA_OK ? status : make(scope, LA_OP_DIV, LA_T_F64, 0, a, b, out);
}

la_status
la_make_arithmetic(la_scope *scope, const la_place *place, la_op op, la_expr *a,
                   la_expr *b, la_expr **out)
{
    la_status status = type_nulls(scope, &a, &b);
    if (status != LA_OK) {
        return status;
    }
    if (op == LA_OP_SUB && a->type == LA_T_TIME && b->type == LA_T_TIME) {
        return make(scope, op, LA_T_I64, 0, a, b, out);
    }
    if (!la_type_is_number(a->type) || !la_type_is_number(b->type)) {
        return refuse_pair(scope, place, op, "two numbers", a, b);
    }
    if (op == LA_OP_DIV) {
        return make_quotient(scope, place, a, b, out);
    }
    uint8_t scale;
    la_type type = common_number(a, b, &scale);
    type = type == LA_T_F32 ? LA_T_F64 : type;
    if (type == LA_T_DECIMAL && op == LA_OP_MUL) {
        return make_decimal_product(scope, place, a, b, out);
    }
    if (type == LA_T_DECIMAL && op != LA_OP_ADD && op != LA_OP_SUB) {
        return refuse_pair(scope, place, op, "two integers or floats", a, b);
    }
    status = convert_both(scope, place, &a, &b, type, scale);
    return status != LA_OK ? status : make(scope, op, type, scale, a, b, out);
}

la_status
la_make_sign(la_scope *scope, const la_place *place, la_op op, la_expr *a,
             la_expr **out)
{
    if (!la_type_is_number(a->type)) {
        return refuse(scope, place, op, "a number", a, NULL);
    }
    la_type type = a->type == LA_T_F32                      ? LA_T_F64
                   : a->type == LA_T_U64 && op == LA_OP_NEG ? LA_T_I64
                                                            : a->type;
    la_status status = convert(scope, place, &a, type, a->scale);
    return status != LA_OK ? status : make(scope, op, type, a->scale, a, NULL, out);
}

/* ---------------------------------------------------------------- comparisons */

static la_status
compare_numbers(la_scope *scope, const la_place *place, la_expr **a, la_expr **b)
{
    /* A literal takes the column's type where it can: it is the cheaper one to convert. */
    la_status status = LA_OK;
    if (!la_type_is_float((*b)->type)) {
        status = fit_literal(scope, *a, (*b)->type, (*b)->scale, a);
    }
    if (status == LA_OK && !la_type_is_float((*a)->type)) {
        status = fit_literal(scope, *b, (*a)->type, (*a)->scale, b);
    }
    if (status != LA_OK || ((*a)->type == (*b)->type && (*a)->scale == (*b)->scale &&
                            (*a)->type != LA_T_F32)) {
        return status;
    }
    if (la_type_is_float((*a)->type) || la_type_is_float((*b)->type)) {
        return convert_both(scope, place, a, b, LA_T_F64, 0);
    }
    /* Mixed exact numbers: one kernel for all pairs of i64, u64 and decimal. */
    if ((*a)->type == LA_T_I32) {
        status = convert(scope, place, a, LA_T_I64, 0);
    }
    if (status == LA_OK && (*b)->type == LA_T_I32) {
        status = convert(scope, place, b, LA_T_I64, 0);
    }
    return status;
}

la_status
la_make_comparison(la_scope *scope, const la_place *place, la_op op, la_expr *a,
                   la_expr *b, la_expr **out)
{
    la_status status = type_nulls(scope, &a, &b);
    if (status != LA_OK) {
        return status;
    }
    la_type x = a->type, y = b->type;
    if (la_type_is_number(x) && la_type_is_number(y)) {
        status = compare_numbers(scope, place, &a, &b);
    }
    else if ((x == LA_T_TIME && y == LA_T_DATE) || (x == LA_T_DATE && y == LA_T_TIME)) {
        status = convert_both(scope, place, &a, &b, LA_T_TIME, 0);
    }
    else if (x == LA_T_NULL ||
             (x != y && !(la_type_is_text(x) && la_type_is_text(y)))) {
        return refuse_pair(scope, place, op, "two values of types that compare", a, b);
    }
    return status != LA_OK ? status : make(scope, op, LA_T_BOOL, 0, a, b, out);
}

/* --------------------------------------------------------------------- choices */

static la_status
unify(la_scope *scope, const la_place *place, la_op op, la_expr **a, la_expr **b)
{
    la_status status = type_nulls(scope, a, b);
    if (status != LA_OK) {
        return status;
    }
    la_type x = (*a)->type, y = (*b)->type;
    if (la_type_is_number(x) && la_type_is_number(y)) {
        uint8_t scale;
        la_type type = common_number(*a, *b, &scale);
        return convert_both(scope, place, a, b, type, scale);
    }
    if (la_type_is_text(x) && la_type_is_text(y)) {
        return convert_both(scope, place, a, b, LA_T_STR, 0);
    }
    if (x != y || x == LA_T_NULL) {
        return refuse_pair(scope, place, op, "two values of one type", *a, *b);
    }
    return LA_OK;
}

la_status
la_make_choice(la_scope *scope, const la_place *place, la_expr *c, la_expr *a,
               la_expr *b, la_expr **out)
{
    la_op op = c == NULL ? LA_OP_FILL_NULL : LA_OP_WHEN;
    la_status status = unify(scope, place, op, &a, &b);
    if (status != LA_OK) {
        return status;
    }
    la_expr *node = c == NULL
                        ? la_expr_node(scope, op, a->type, a->scale, 2, a, b, NULL)
                        : la_expr_node(scope, op, a->type, a->scale, 3, c, a, b);
    if (node == NULL) {
        return LA_NOMEM;
    }
    node->nullable =
        c == NULL ? a->nullable && b->nullable : a->nullable || b->nullable;
    *out = node;
    return LA_OK;
}

/* ----------------------------------------------------------------------- is_in */

static void
sift_down(la_value *values, uint32_t at, uint32_t count)
{
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count &&
            la_value_compare(&values[child], &values[child + 1]) < 0) {
            child++;
        }
        if (la_value_compare(&values[at], &values[child]) >= 0) {
            return;
        }
        la_value swap = values[at];
        values[at] = values[child];
        values[child] = swap;
        at = (uint32_t)child;
    }
}

/* Heap sort: qsort allocates behind la_env's back. Returns how many are distinct. */
static uint32_t
sort_distinct(la_value *values, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(values, i - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        la_value last = values[end - 1];
        values[end - 1] = values[0];
        values[0] = last;
        sift_down(values, 0, end - 1);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || la_value_compare(&values[kept - 1], &values[i]) != 0) {
            values[kept++] = values[i];
        }
    }
    return kept;
}

/* Items that the operand's type cannot hold never match, so they are left out. */
static bool
items_go_with(la_type type, la_type item)
{
    return (la_type_is_number(type) && la_type_is_number(item)) ||
           (la_type_is_text(type) && item == LA_T_STR) ||
           (type == item &&
            (type == LA_T_BOOL || type == LA_T_TIME || type == LA_T_DATE)) ||
           (type == LA_T_TIME && item == LA_T_DATE) ||
           (type == LA_T_DATE && item == LA_T_TIME);
}

la_status
la_make_is_in(la_scope *scope, const la_place *place, la_expr *a, la_expr *const *items,
              uint32_t count, la_expr **out)
{
    bool floats = la_type_is_float(a->type);
    la_place list = la_place_item(place, 2);
    for (uint32_t i = 0; i < count; i++) {
        if (!items_go_with(a->type, items[i]->type)) {
            la_place at = la_place_item(&list, i);
            return refuse(scope, &at, LA_OP_IS_IN, "a value and literals of its type",
                          a, items[i]);
        }
        floats = floats || la_type_is_float(items[i]->type);
    }
    if (a->type == LA_T_NULL) {
        return refuse(scope, place, LA_OP_IS_IN, "a value with a type", a, NULL);
    }
    la_status status = floats ? convert(scope, place, &a, LA_T_F64, 0) : LA_OK;
    la_expr *node = status != LA_OK ? NULL
                                    : la_expr_node(scope, LA_OP_IS_IN, LA_T_BOOL, 0, 1,
                                                   a, NULL, NULL);
    if (node == NULL) {
        return status != LA_OK ? status : LA_NOMEM;
    }
    la_value *set = la_arena_alloc(scope->arena, (count + 1) * sizeof *set);
    if (set == NULL) {
        return la_fail_nomem(scope->err, (count + 1) * sizeof *set);
    }
    la_type type = a->type == LA_T_CAT ? LA_T_STR : a->type;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (la_literal_fit(&items[i]->literal, type, a->scale, &set[kept])) {
            if (type == LA_T_F64) {
                set[kept].f64 = la_canonical_f64(set[kept].f64);
            }
            kept++;
        }
    }
    node->set = set;
    node->set_count = sort_distinct(set, kept);
    *out = node;
    return LA_OK;
}

/* -------------------------------------------------------------------- failing */

static bool
cast_can_fail(const la_expr *a, const la_expr *to)
{
    la_type from = a->type;
    if (to->type == LA_T_STR || to->type == LA_T_BOOL || la_type_is_float(to->type)) {
        return la_type_is_text(from) && to->type != LA_T_STR;
    }
    return !(from == LA_T_I32 && to->type == LA_T_I64) && from != LA_T_BOOL &&
           !(from == LA_T_TIME && to->type == LA_T_DATE);
}

bool
la_expr_can_fail(const la_expr *expr)
{
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (la_expr_can_fail(expr->args[i])) {
            return true;
        }
    }
    switch (expr->op) {
    case LA_OP_ADD:
    case LA_OP_SUB:
    case LA_OP_MUL:
    case LA_OP_FLOORDIV:
    case LA_OP_MOD:
    case LA_OP_NEG:
    case LA_OP_ABS:
        return expr->type != LA_T_F64;
    case LA_OP_DIV:
        return expr->args[0]->type != LA_T_F64;
    case LA_OP_CAST:
        return cast_can_fail(expr->args[0], expr);
    case LA_OP_TRUNCATE:
    case LA_OP_OFFSET_BY:
        return true;
    default:
        return false;
    }
}
