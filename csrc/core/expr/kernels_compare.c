/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons, and is_in on values of fixed size.
 *
 * Doubles have a total order here: NaN equals NaN and is greater than every number, -0.0
 * equals 0.0. So `le` is the negation of `lt` with its sides swapped, as for integers; gt and
 * ge are lt and le with their operands swapped by the compiler (compile.c). */
#include "expr/kernels.h"
#include "expr/typing.h"

/* ---------------------------------------------------------------- equal types */

#define COMPARE_KERNEL(name, T, test)                                                  \
    LA_LOOP static void name##_loop(const T *a, const T *b, uint8_t *restrict out,     \
                                    uint32_t rows)                                     \
    {                                                                                  \
        for (uint32_t i = 0; i < rows; i++) {                                          \
            T x = a[i], y = b[i];                                                      \
            out[i] = (test) != 0;                                                      \
        }                                                                              \
    }                                                                                  \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        la_task_valid(t);                                                              \
        name##_loop(t->a->data, t->b->data, t->out->own_data, t->rows);                \
        return LA_OK;                                                                  \
    }

#define COMPARE_KERNELS(suffix, T)                                                     \
    COMPARE_KERNEL(eq_##suffix, T, x == y)                                             \
    COMPARE_KERNEL(ne_##suffix, T, x != y)                                             \
    COMPARE_KERNEL(lt_##suffix, T, x < y)                                              \
    COMPARE_KERNEL(le_##suffix, T, x <= y)
COMPARE_KERNELS(u8, uint8_t)
COMPARE_KERNELS(i32, int32_t)
COMPARE_KERNELS(i64, int64_t)
COMPARE_KERNELS(u64, uint64_t)

#define BOTH_NAN ((x != x) & (y != y))
COMPARE_KERNEL(eq_f64, double, (x == y) | BOTH_NAN)
COMPARE_KERNEL(ne_f64, double, ((x != y) & ((x == x) | (y == y))))
COMPARE_KERNEL(lt_f64, double, (x < y) | ((x == x) & (y != y)))
COMPARE_KERNEL(le_f64, double, (x <= y) | (y != y))

/* ---------------------------------------------------------------------- texts */

#define SPAN_KERNEL(name, test)                                                        \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        const la_span *a = t->a->data;                                                 \
        const la_span *b = t->b->data;                                                 \
        uint8_t *out = t->out->own_data;                                               \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            la_span x = a[i], y = b[i];                                                \
            out[i] = test;                                                             \
        }                                                                              \
        return LA_OK;                                                                  \
    }
SPAN_KERNEL(eq_span, x.size == y.size && memcmp(x.at, y.at, x.size) == 0)
SPAN_KERNEL(ne_span, x.size != y.size || memcmp(x.at, y.at, x.size) != 0)
SPAN_KERNEL(lt_span, la_span_compare(x, y) < 0)
SPAN_KERNEL(le_span, la_span_compare(x, y) <= 0)

la_kernel
la_kernel_compare(la_op op, la_type type)
{
    static const la_kernel kernels[][4] = {
        {eq_u8, ne_u8, lt_u8, le_u8},     {eq_i32, ne_i32, lt_i32, le_i32},
        {eq_i64, ne_i64, lt_i64, le_i64}, {eq_u64, ne_u64, lt_u64, le_u64},
        {eq_f64, ne_f64, lt_f64, le_f64}, {eq_span, ne_span, lt_span, le_span},
    };
    int row;
    switch (type) {
    case LA_T_BOOL:
        row = 0;
        break;
    case LA_T_I32:
    case LA_T_DATE:
        row = 1;
        break;
    case LA_T_I64:
    case LA_T_TIME:
    case LA_T_DECIMAL:
        row = 2;
        break;
    case LA_T_U64:
        row = 3;
        break;
    case LA_T_F64:
        row = 4;
        break;
    default:
        row = 5;
        break;
    }
    return kernels[row][op - LA_OP_EQ];
}

/* --------------------------------------------------------- mixed exact numbers */

/* i64, u64 and decimals of any scales, by value: |x| * 10^18 < 2^127. */
static la_status
run_mixed(la_task *t)
{
    const int64_t *a = t->a->data;
    const int64_t *b = t->b->data;
    uint8_t *out = t->out->own_data;
    bool unsigned_a = t->a->type == LA_T_U64, unsigned_b = t->b->type == LA_T_U64;
    int scale_a = t->a->scale, scale_b = t->b->scale;
    __int128 times_a = la_powers_of_ten[scale_b > scale_a ? scale_b - scale_a : 0];
    __int128 times_b = la_powers_of_ten[scale_a > scale_b ? scale_a - scale_b : 0];
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        __int128 x = (unsigned_a ? (__int128)(uint64_t)a[i] : a[i]) * times_a;
        __int128 y = (unsigned_b ? (__int128)(uint64_t)b[i] : b[i]) * times_b;
        out[i] = la_order_matches(t->instr->op, (x > y) - (x < y));
    }
    return LA_OK;
}

la_kernel
la_kernel_compare_mixed(void)
{
    return run_mixed;
}

/* ----------------------------------------------------------------------- is_in */

#define SMALL_SET 8u

LA_LOOP static void
match_i64(const int64_t *a, int64_t key, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = (uint8_t)(out[i] | (a[i] == key));
    }
}

/* Keys keep the order of values: u64 and doubles are mapped to it. */
static inline int64_t
key_of_u64(uint64_t x)
{
    return (int64_t)(x ^ UINT64_C(1) << 63);
}

static inline int64_t
key_of_f64(double x) /* canonical */
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits ^ (bits < 0 ? INT64_MAX : 0);
}

int64_t
la_set_key(const la_value *value)
{
    return value->type == LA_T_F64   ? key_of_f64(la_canonical_f64(value->f64))
           : value->type == LA_T_U64 ? key_of_u64((uint64_t)value->i64)
                                     : value->i64;
}

static bool
set_has(const la_set *set, int64_t key)
{
    uint32_t from = 0, to = set->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (set->keys[middle] < key) {
            from = middle + 1;
        }
        else {
            to = middle;
        }
    }
    return from < set->count && set->keys[from] == key;
}

static la_status
is_in_i64(la_task *t)
{
    const int64_t *a = t->a->data;
    const la_set *set = t->instr->set;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    if (set->count <= SMALL_SET) {
        memset(out, 0, t->rows);
        for (uint32_t k = 0; k < set->count; k++) {
            match_i64(a, set->keys[k], out, t->rows);
        }
        return LA_OK;
    }
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = set_has(set, a[i]);
    }
    return LA_OK;
}

static la_status
is_in_i32(la_task *t)
{
    const int32_t *a = t->a->data;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = set_has(t->instr->set, a[i]);
    }
    return LA_OK;
}

static la_status
is_in_bool(la_task *t)
{
    const uint8_t *a = t->a->data;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = set_has(t->instr->set, a[i] != 0);
    }
    return LA_OK;
}

static la_status
is_in_u64(la_task *t)
{
    const uint64_t *a = t->a->data;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = set_has(t->instr->set, key_of_u64(a[i]));
    }
    return LA_OK;
}

static la_status
is_in_f64(la_task *t)
{
    const double *a = t->a->data;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = set_has(t->instr->set, key_of_f64(la_canonical_f64(a[i])));
    }
    return LA_OK;
}

static la_status
is_in_span(la_task *t)
{
    const la_span *a = t->a->data;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = la_set_has_text(t->instr->set, a[i]);
    }
    return LA_OK;
}

bool
la_set_has_text(const la_set *set, la_span text)
{
    uint32_t from = 0, to = set->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        const la_value *value = &set->values[middle];
        la_span at = {value->text, value->size};
        int order = la_span_compare(at, text);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            from = middle + 1;
        }
        else {
            to = middle;
        }
    }
    return false;
}

la_kernel
la_kernel_is_in(la_type type)
{
    switch (type) {
    case LA_T_BOOL:
        return is_in_bool;
    case LA_T_I32:
    case LA_T_DATE:
        return is_in_i32;
    case LA_T_U64:
        return is_in_u64;
    case LA_T_F64:
        return is_in_f64;
    case LA_T_STR:
    case LA_T_CAT:
    case LA_T_BYTES:
        return is_in_span;
    default:
        return is_in_i64;
    }
}
