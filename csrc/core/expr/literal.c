/* SPDX-License-Identifier: Apache-2.0 */
/* Literals: from JSON, and from one number type to another. */
#include <math.h>

#include "base/error.h"
#include "base/rational.h"
#include "expr/typing.h"

const int64_t la_powers_of_ten[19] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* ------------------------------------------------------------------- reading */

static la_status
wrong_kind(la_scope *scope, const la_place *place, la_type type, uint8_t scale,
           const char *what, const la_json *found)
{
    char text[32];
    la_type_text(type, scale, text, sizeof text);
    return la_place_fail(place, scope->err, LA_TYPE,
                         "a literal of type %s is %s, not %s", text, what,
                         la_json_kind_text(found));
}

static bool
integer_limits(la_type type, int64_t *least, int64_t *most)
{
    *least = *most = 0;
    switch (type) {
    case LA_T_I32:
    case LA_T_DATE:
        *least = INT32_MIN;
        *most = INT32_MAX;
        return true;
    case LA_T_I64:
    case LA_T_TIME:
        *least = INT64_MIN;
        *most = INT64_MAX;
        return true;
    case LA_T_U64:
        *least = 0;
        *most = INT64_MAX;
        return true;
    case LA_T_DECIMAL:
        *least = -(LA_DECIMAL_END - 1);
        *most = LA_DECIMAL_END - 1;
        return true;
    default:
        return false;
    }
}

static la_status
read_integer(la_scope *scope, const la_place *place, const la_json *json,
             la_value *value)
{
    int64_t least, most;
    (void)integer_limits(value->type, &least, &most);
    if (json->kind != LA_J_INT && json->kind != LA_J_UINT) {
        return wrong_kind(scope, place, value->type, value->scale, "an integer", json);
    }
    if (json->kind == LA_J_UINT && value->type == LA_T_U64) {
        value->i64 = (int64_t)json->u64;
        return LA_OK;
    }
    if (json->kind == LA_J_UINT || json->i64 < least || json->i64 > most) {
        char text[32];
        la_type_text(value->type, value->scale, text, sizeof text);
        return la_place_fail(place, scope->err, LA_INVALID,
                             "the literal does not fit type %s", text);
    }
    value->i64 = json->i64;
    return LA_OK;
}

/* The names of floats that JSON cannot write. */
static bool
named_float(const la_json *json, double *x)
{
    bool known = true;
    if (la_json_is(json, "nan")) {
        *x = (double)NAN;
    }
    else if (la_json_is(json, "inf")) {
        *x = (double)INFINITY;
    }
    else if (la_json_is(json, "-inf")) {
        *x = -(double)INFINITY;
    }
    else if (la_json_is(json, "-0.0")) {
        *x = -0.0;
    }
    else {
        known = false;
    }
    return known;
}

bool
la_literal_float(const la_json *json, la_type type, double *x)
{
    if (json->kind == LA_J_INT) {
        *x = (double)json->i64;
    }
    else if (json->kind == LA_J_UINT) {
        *x = (double)json->u64;
    }
    else if (json->kind == LA_J_FLOAT) {
        *x = json->f64;
    }
    else if (!named_float(json, x)) {
        return false;
    }
    if (type == LA_T_F32) {
        *x = (double)(float)*x;
    }
    return true;
}

static la_status
read_value(la_scope *scope, const la_place *place, const la_json *json, la_value *value)
{
    switch (value->type) {
    case LA_T_BOOL:
        if (json->kind != LA_J_BOOL) {
            return wrong_kind(scope, place, value->type, 0, "true or false", json);
        }
        value->i64 = json->boolean;
        return LA_OK;
    case LA_T_F32:
    case LA_T_F64:
        if (!la_literal_float(json, value->type, &value->f64)) {
            return wrong_kind(scope, place, value->type, 0,
                              "a number, \"nan\", \"inf\", \"-inf\" or \"-0.0\"", json);
        }
        return LA_OK;
    case LA_T_STR:
        if (json->kind != LA_J_TEXT) {
            return wrong_kind(scope, place, value->type, 0, "text", json);
        }
        if (json->text.size > LA_LITERAL_BYTES_MAX) {
            return la_place_fail(place, scope->err, LA_INVALID,
                                 "a literal has at most %u bytes, this one has %zu",
                                 LA_LITERAL_BYTES_MAX, json->text.size);
        }
        value->text = json->text.at;
        value->size = json->text.size;
        return LA_OK;
    default:
        return read_integer(scope, place, json, value);
    }
}

la_status
la_literal_parse(la_scope *scope, const la_place *place, const la_json *type,
                 const la_json *value, la_expr **out)
{
    la_place type_place = la_place_item(place, 1);
    la_place value_place = la_place_item(place, 2);
    la_expr *lit = la_expr_node(scope, LA_OP_LIT, LA_T_NULL, 0, 0, NULL, NULL, NULL);
    if (lit == NULL) {
        return LA_NOMEM;
    }
    bool bare = la_json_is(type, "null");
    if (type->kind != LA_J_TEXT) {
        return la_place_fail(&type_place, scope->err, LA_INVALID,
                             "expected a type, not %s", la_json_kind_text(type));
    }
    if (!bare) {
        la_error inner = {0};
        bool nullable;
        if (la_type_parse(type->text.at, type->text.size, &lit->type, &lit->scale,
                          &nullable, &inner) != LA_OK) {
            return la_place_wrap(&type_place, scope->err, &inner);
        }
        if (nullable || lit->type == LA_T_BYTES) {
            return la_place_fail(&type_place, scope->err, LA_INVALID,
                                 "there are no literals of type \"%s\"", type->text.at);
        }
        lit->type = lit->type == LA_T_CAT ? LA_T_STR : lit->type;
    }
    lit->literal.type = lit->type;
    lit->literal.scale = lit->scale;
    lit->literal.null = lit->nullable = value->kind == LA_J_NULL;
    if (bare && !lit->literal.null) {
        return wrong_kind(scope, &value_place, LA_T_NULL, 0, "null", value);
    }
    if (!lit->literal.null) {
        la_status status = read_value(scope, &value_place, value, &lit->literal);
        if (status != LA_OK) {
            return status;
        }
    }
    *out = lit;
    return LA_OK;
}

/* -------------------------------------------------------------------- fitting */

static bool
fit_exact(const la_value *from, la_type type, uint8_t scale, int64_t *out)
{
    __int128 v =
        from->type == LA_T_U64 ? (__int128)(uint64_t)from->i64 : (__int128)from->i64;
    uint8_t have = from->type == LA_T_DECIMAL ? from->scale : 0;
    if (have > scale) {
        int64_t power = la_powers_of_ten[have - scale];
        if (v % power != 0) {
            return false;
        }
        v /= power;
    }
    else {
        v *= la_powers_of_ten[scale - have];
    }
    int64_t least, most;
    if (!integer_limits(type, &least, &most) || v < least ||
        v > (type == LA_T_U64 ? (__int128)UINT64_MAX : (__int128)most)) {
        return false;
    }
    *out = (int64_t)(uint64_t)v;
    return true;
}

static double
float_from(const la_value *from)
{
    switch (from->type) {
    case LA_T_F32:
    case LA_T_F64:
        return from->f64;
    case LA_T_U64:
        return (double)(uint64_t)from->i64;
    case LA_T_DECIMAL:
        return la_i128_ratio(from->i64, 1, from->scale);
    default:
        return (double)from->i64;
    }
}

bool
la_literal_fit(const la_value *from, la_type type, uint8_t scale, la_value *out)
{
    la_value to = *from;
    to.type = type;
    to.scale = scale;
    if (from->null || (type == from->type && scale == from->scale)) {
        *out = to;
        return true;
    }
    if (type == LA_T_F64 && la_type_is_number(from->type)) {
        to.f64 = float_from(from);
    }
    else if (la_type_is_exact(type) && la_type_is_exact(from->type)) {
        if (!fit_exact(from, type, scale, &to.i64)) {
            return false;
        }
    }
    else if (type == LA_T_TIME && from->type == LA_T_DATE) {
        if (__builtin_mul_overflow(from->i64, LA_US_PER_DAY, &to.i64)) {
            return false;
        }
    }
    else if (type == LA_T_DATE && from->type == LA_T_TIME) {
        if (from->i64 % LA_US_PER_DAY != 0) {
            return false;
        }
        to.i64 = from->i64 / LA_US_PER_DAY;
    }
    else {
        return false;
    }
    *out = to;
    return true;
}
