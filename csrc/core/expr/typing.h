/* SPDX-License-Identifier: Apache-2.0 */
/* How typed expressions are made: each maker checks its operands' types, adds the conversions
 * that plan.md's common types ask for as cast nodes, and works out type and nullability.
 *
 * What a program may rely on (expr/compile.c):
 *  - add, sub: both operands of the result's type (i32, i64, u64, f64, decimal), or time - time.
 *  - mul: the same, or decimals of any scales; the result's scale is their sum.
 *  - div: both f64, or each of i64, u64, decimal. floordiv, mod: both i32, i64, u64 or f64.
 *  - neg, abs: the result's type.
 *  - comparisons: both of one type and scale, or each of i64, u64, decimal, or each str or cat.
 *  - fill_null, when: values of the result's type. is_in: the set has the operand's type. */
#ifndef LA_EXPR_TYPING_H
#define LA_EXPR_TYPING_H

#include "expr/place.h"

/* A literal's bytes at most: constants are laid out for every row of a chunk. */
#define LA_LITERAL_BYTES_MAX 32768u
/* Operations of one plan at most; each takes about 20 KiB in a program. */
#define LA_EXPR_NODES_MAX 4096u

#define LA_DECIMAL_END INT64_C(1000000000000000000) /* |value| of a decimal is below */
extern const int64_t la_powers_of_ten[19];

typedef struct la_scope {
    const la_schema *schema;
    const char *log; /* for error texts; NULL: not said */
    la_arena *arena;
    la_error *err;
    uint32_t nodes; /* made so far */
} la_scope;

static inline bool
la_type_is_integer(la_type type)
{
    return type == LA_T_I32 || type == LA_T_I64 || type == LA_T_U64;
}
static inline bool
la_type_is_float(la_type type)
{
    return type == LA_T_F32 || type == LA_T_F64;
}
static inline bool
la_type_is_exact(la_type type) /* integers and decimals */
{
    return la_type_is_integer(type) || type == LA_T_DECIMAL;
}
static inline bool
la_type_is_number(la_type type)
{
    return la_type_is_exact(type) || la_type_is_float(type);
}
static inline bool
la_type_is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_CAT;
}

/* NULL: out of memory, reported in scope->err. */
la_expr *la_expr_node(la_scope *scope, la_op op, la_type type, uint8_t scale,
                      uint32_t arg_count, la_expr *a, la_expr *b, la_expr *c);
const char *la_op_name(la_op op);

/* ------------------------------------------------------------------ literals */

LA_MUST_CHECK la_status la_literal_parse(la_scope *scope, const la_place *place,
                                         const la_json *type, const la_json *value,
                                         la_expr **out);
/* The number or name ("nan", ...) of a float literal of `type`, rounded to it. */
bool la_literal_float(const la_json *json, la_type type, double *x);
/* The same number as a value of `type`; false where it cannot be held exactly. Floats are
 * rounded (they compare as floats). */
bool la_literal_fit(const la_value *from, la_type type, uint8_t scale, la_value *out);

/* -------------------------------------------------------------------- makers */

LA_MUST_CHECK la_status la_make_cast(la_scope *scope, const la_place *place, la_expr *a,
                                     la_type type, uint8_t scale, la_expr **out);
LA_MUST_CHECK la_status la_make_arithmetic(la_scope *scope, const la_place *place,
                                           la_op op, la_expr *a, la_expr *b,
                                           la_expr **out);
LA_MUST_CHECK la_status la_make_sign(la_scope *scope, const la_place *place, la_op op,
                                     la_expr *a, la_expr **out); /* neg, abs */
LA_MUST_CHECK la_status la_make_comparison(la_scope *scope, const la_place *place,
                                           la_op op, la_expr *a, la_expr *b,
                                           la_expr **out);
/* fill_null (c NULL) and when (c the condition, already bool). */
LA_MUST_CHECK la_status la_make_choice(la_scope *scope, const la_place *place,
                                       la_expr *c, la_expr *a, la_expr *b,
                                       la_expr **out);
/* `items`: literals without nulls. */
LA_MUST_CHECK la_status la_make_is_in(la_scope *scope, const la_place *place,
                                      la_expr *a, la_expr *const *items, uint32_t count,
                                      la_expr **out);
/* Gives a bare null literal the type `type`; other expressions stay. */
LA_MUST_CHECK la_status la_make_typed(la_scope *scope, la_expr *a, la_type type,
                                      uint8_t scale, la_expr **out);

/* `expr` may fail on a row. */
bool la_expr_can_fail(const la_expr *expr);

LA_MUST_CHECK la_status la_expr_parse_at(la_scope *scope, const la_json *json,
                                         const la_place *place, la_expr **out);
/* As above for conditions: type bool, null stands for "not there" only in the caller. */
LA_MUST_CHECK la_status la_expr_parse_bool(la_scope *scope, const la_json *json,
                                           const la_place *place, la_expr **out);

/* Writes canonical form and fingerprint of a checked plan from its JSON (canonical.c). */
LA_MUST_CHECK la_status la_plan_canonicalise(la_plan *plan, const la_json *root,
                                             la_error *err);
extern const char *const la_on_error_names[3]; /* by la_on_error */

#endif
