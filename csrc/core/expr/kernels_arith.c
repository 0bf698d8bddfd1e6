/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic: exact on integers and decimals, or the row fails; IEEE 754 on doubles.
 *
 * Integer loops write the wrapped result and gather whether any row lost something; only then
 * a second, slower pass looks for the rows. Memory: 24 bytes a row, so about 0.3 ns from L1. */
#include "base/rational.h"
#include "expr/kernels.h"
#include "expr/typing.h"

/* ------------------------------------------------------------------ integers */

/* `wrapped` gives the result of x and y, `lost` is negative where that is not the true one.
 * The loops return a negative number when any row lost. */
#define INTEGER_LOOP(name, T, wrapped, lost)                                           \
    LA_LOOP static int64_t name##_loop(const T *a, const T *b, T *restrict out,        \
                                       uint32_t rows)                                  \
    {                                                                                  \
        int64_t any = 0;                                                               \
        for (uint32_t i = 0; i < rows; i++) {                                          \
            T x = a[i], y = b[i];                                                      \
            T r = (T)(wrapped);                                                        \
            any |= (int64_t)(lost);                                                    \
            out[i] = r;                                                                \
        }                                                                              \
        return any;                                                                    \
    }

#define INTEGER_KERNEL(name, T, wrapped, lost)                                         \
    INTEGER_LOOP(name, T, wrapped, lost)                                               \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        const T *a = t->a->data;                                                       \
        const T *b = t->b->data;                                                       \
        la_task_valid(t);                                                              \
        if (name##_loop(a, b, t->out->own_data, t->rows) < 0) {                        \
            for (uint32_t i = 0; i < t->rows; i++) {                                   \
                T x = a[i], y = b[i];                                                  \
                T r = (T)(wrapped);                                                    \
                (void)r;                                                               \
                if ((int64_t)(lost) < 0) {                                             \
                    la_task_fail(t, i, LA_REASON_OVERFLOW);                            \
                }                                                                      \
            }                                                                          \
        }                                                                              \
        return LA_OK;                                                                  \
    }

#define WRAP_ADD ((uint64_t)x + (uint64_t)y)
#define WRAP_SUB ((uint64_t)x - (uint64_t)y)
#define WRAP_MUL ((uint64_t)x * (uint64_t)y)
#define WIDE(op) ((int64_t)x op(int64_t) y)

INTEGER_KERNEL(add_i64, int64_t, WRAP_ADD, (x ^ r) & (y ^ r))
INTEGER_KERNEL(sub_i64, int64_t, WRAP_SUB, (x ^ y) & (x ^ r))
INTEGER_KERNEL(add_u64, uint64_t, WRAP_ADD, -(int64_t)(r < x))
INTEGER_KERNEL(sub_u64, uint64_t, WRAP_SUB, -(int64_t)(x < y))
INTEGER_KERNEL(add_i32, int32_t, WIDE(+), -(int64_t)(r != WIDE(+)))
INTEGER_KERNEL(sub_i32, int32_t, WIDE(-), -(int64_t)(r != WIDE(-)))
INTEGER_KERNEL(mul_i32, int32_t, WIDE(*), -(int64_t)(r != WIDE(*)))
/* Decimals of one scale: |x|, |y| < 10^18, so the sum is within int64. */
INTEGER_KERNEL(add_decimal, int64_t, WRAP_ADD,
               r <= -LA_DECIMAL_END || r >= LA_DECIMAL_END ? -1 : 0)
INTEGER_KERNEL(sub_decimal, int64_t, WRAP_SUB,
               r <= -LA_DECIMAL_END || r >= LA_DECIMAL_END ? -1 : 0)

static inline int64_t
mul_lost_i64(int64_t x, int64_t y)
{
    int64_t r;
    return -(int64_t)__builtin_mul_overflow(x, y, &r);
}
static inline int64_t
mul_lost_u64(uint64_t x, uint64_t y)
{
    uint64_t r;
    return -(int64_t)__builtin_mul_overflow(x, y, &r);
}
static inline int64_t
mul_lost_decimal(int64_t x, int64_t y)
{
    int64_t r;
    bool beyond = __builtin_mul_overflow(x, y, &r);
    return -(int64_t)(beyond || r <= -LA_DECIMAL_END || r >= LA_DECIMAL_END);
}
INTEGER_KERNEL(mul_i64, int64_t, WRAP_MUL, mul_lost_i64(x, y))
INTEGER_KERNEL(mul_u64, uint64_t, WRAP_MUL, mul_lost_u64(x, y))
INTEGER_KERNEL(mul_decimal, int64_t, WRAP_MUL, mul_lost_decimal(x, y))

/* ----------------------------------------------------------- floor division */

/* C truncates towards zero; floor goes down where the signs differ. */
#define FLOOR_KERNELS(suffix, T, MIN)                                                  \
    static la_status floordiv_##suffix(la_task *t)                                     \
    {                                                                                  \
        const T *a = t->a->data;                                                       \
        const T *b = t->b->data;                                                       \
        T *out = t->out->own_data;                                                     \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            bool beyond = a[i] == MIN && b[i] == -1;                                   \
            out[i] = 0;                                                                \
            if (b[i] == 0 || beyond) {                                                 \
                la_task_fail(                                                          \
                    t, i, beyond ? LA_REASON_OVERFLOW : LA_REASON_DIVISION_BY_ZERO);   \
                continue;                                                              \
            }                                                                          \
            T rest = a[i] % b[i];                                                      \
            out[i] = (T)(a[i] / b[i] - (rest != 0 && (rest < 0) != (b[i] < 0)));       \
        }                                                                              \
        return LA_OK;                                                                  \
    }                                                                                  \
    static la_status mod_##suffix(la_task *t)                                          \
    {                                                                                  \
        const T *a = t->a->data;                                                       \
        const T *b = t->b->data;                                                       \
        T *out = t->out->own_data;                                                     \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            out[i] = 0;                                                                \
            if (b[i] == 0) {                                                           \
                la_task_fail(t, i, LA_REASON_DIVISION_BY_ZERO);                        \
                continue;                                                              \
            }                                                                          \
            T rest = b[i] == -1 ? 0 : a[i] % b[i];                                     \
            out[i] = (T)(rest + (rest != 0 && (rest < 0) != (b[i] < 0) ? b[i] : 0));   \
        }                                                                              \
        return LA_OK;                                                                  \
    }
FLOOR_KERNELS(i32, int32_t, INT32_MIN)
FLOOR_KERNELS(i64, int64_t, INT64_MIN)

static la_status
divide_u64(la_task *t, bool remainder)
{
    const uint64_t *a = t->a->data;
    const uint64_t *b = t->b->data;
    uint64_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = 0;
        if (b[i] == 0) {
            la_task_fail(t, i, LA_REASON_DIVISION_BY_ZERO);
            continue;
        }
        out[i] = remainder ? a[i] % b[i] : a[i] / b[i];
    }
    return LA_OK;
}

static la_status
floordiv_u64(la_task *t)
{
    return divide_u64(t, false);
}

static la_status
mod_u64(la_task *t)
{
    return divide_u64(t, true);
}

/* -------------------------------------------------------------------- doubles */

#define FLOAT_KERNEL(name, op)                                                         \
    LA_LOOP static void name##_loop(const double *a, const double *b,                  \
                                    double *restrict out, uint32_t rows)               \
    {                                                                                  \
        for (uint32_t i = 0; i < rows; i++) {                                          \
            out[i] = a[i] op b[i];                                                     \
        }                                                                              \
    }                                                                                  \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        la_task_valid(t);                                                              \
        name##_loop(t->a->data, t->b->data, t->out->own_data, t->rows);                \
        return LA_OK;                                                                  \
    }
FLOAT_KERNEL(add_f64, +)
FLOAT_KERNEL(sub_f64, -)
FLOAT_KERNEL(mul_f64, *)
FLOAT_KERNEL(div_f64, /)

/* A finite double >= 0 as mantissa times 2^(exponent - 1075), exponent >= 1. */
static uint64_t
take_apart(double x, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int stored = (int)(bits >> 52);
    *exponent = stored == 0 ? 1 : stored;
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    return stored == 0 ? fraction : fraction | UINT64_C(1) << 52;
}

/* The reverse, for a mantissa below 2^53. */
static double
put_together(uint64_t mantissa, int exponent)
{
    while (mantissa < UINT64_C(1) << 52 && exponent > 1 && mantissa != 0) {
        mantissa <<= 1;
        exponent--;
    }
    bool normal = mantissa >= UINT64_C(1) << 52;
    uint64_t bits = normal
                        ? ((uint64_t)exponent << 52) + (mantissa - (UINT64_C(1) << 52))
                        : mantissa;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The remainder of x / y for finite x >= 0 and y > 0, exact: long division of mantissas,
 * eleven bits at a time. (libm's fmod is exact too; the core calls no more of libm than it
 * must.) */
static double
float_rest(double x, double y)
{
    if (x < y) {
        return x;
    }
    int ex, ey;
    uint64_t mx = take_apart(x, &ex);
    uint64_t my = take_apart(y, &ey);
    mx %= my;
    for (int shift = ex - ey; shift > 0 && mx != 0;) {
        int bits = shift < 11 ? shift : 11;
        mx = (mx << bits) % my;
        shift -= bits;
    }
    return put_together(mx, ey);
}

static double
floor_f64(double x)
{
    if (!(x > -4503599627370496.0 && x < 4503599627370496.0)) {
        return x; /* 2^52 and beyond: whole */
    }
    double whole = (double)(int64_t)x;
    return whole > x ? whole - 1.0 : whole;
}

/* The remainder with the dividend's sign. */
static double
signed_rest(double x, double y)
{
    if (y - y != 0) {
        return x; /* an infinite divisor */
    }
    return __builtin_copysign(float_rest(__builtin_fabs(x), __builtin_fabs(y)), x);
}

/* Python's float floor division and remainder (Objects/floatobject.c, float_divmod), with
 * IEEE 754 results for a divisor of zero. */
static double
float_mod(double x, double y)
{
    if (x - x != 0 || y == 0 || y != y) {
        return __builtin_nan("");
    }
    double rest = signed_rest(x, y);
    if (rest == 0) {
        return __builtin_copysign(0.0, y);
    }
    return (rest < 0) != (y < 0) ? rest + y : rest;
}

static double
float_floordiv(double x, double y)
{
    if (x - x != 0 || y == 0 || y != y) {
        return y == 0 && x == x ? x / y : __builtin_nan("");
    }
    double rest = signed_rest(x, y);
    double quotient = (x - rest) / y;
    if (rest != 0 && (rest < 0) != (y < 0)) {
        quotient -= 1.0;
    }
    if (quotient == 0) {
        return __builtin_copysign(0.0, x / y);
    }
    double whole = floor_f64(quotient);
    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

static la_status
floordiv_f64(la_task *t)
{
    const double *a = t->a->data;
    const double *b = t->b->data;
    double *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = float_floordiv(a[i], b[i]);
    }
    return LA_OK;
}

static la_status
mod_f64(la_task *t)
{
    const double *a = t->a->data;
    const double *b = t->b->data;
    double *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = float_mod(a[i], b[i]);
    }
    return LA_OK;
}

/* ------------------------------------------------------------- exact quotients */

#define EXACT_DOUBLE (INT64_C(1) << 53) /* integers up to here are doubles */

/* x / y, both times 10^-scale, rounded once. `y` is not 0. */
static double
exact_quotient(__int128 x, __int128 y, int scale_x, int scale_y)
{
    bool negative = y < 0;
    uint64_t divisor = (uint64_t)(negative ? -y : y);
    x = negative ? -x : x;
    if (scale_y > scale_x) {
        return la_i128_ratio(x * la_powers_of_ten[scale_y - scale_x], divisor, 0);
    }
    return la_i128_ratio(x, divisor, (uint8_t)(scale_x - scale_y));
}

static inline bool
is_exact_double(int64_t x)
{
    return x >= -EXACT_DOUBLE && x <= EXACT_DOUBLE;
}

/* Where both sides, brought to one scale, are doubles, the machine's division rounds once. */
static inline la_status
quotient(la_task *t, bool unsigned_a, bool unsigned_b)
{
    const int64_t *a = t->a->data;
    const int64_t *b = t->b->data;
    double *out = t->out->own_data;
    int scale_a = t->a->scale, scale_b = t->b->scale;
    int64_t times_a = la_powers_of_ten[scale_b > scale_a ? scale_b - scale_a : 0];
    int64_t times_b = la_powers_of_ten[scale_a > scale_b ? scale_a - scale_b : 0];
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        int64_t x, y;
        bool small = !__builtin_mul_overflow(a[i], times_a, &x) &&
                     !__builtin_mul_overflow(b[i], times_b, &y) && is_exact_double(x) &&
                     is_exact_double(y) && !(unsigned_a && x < 0) &&
                     !(unsigned_b && y < 0);
        out[i] = 0;
        if (b[i] == 0) {
            la_task_fail(t, i, LA_REASON_DIVISION_BY_ZERO);
        }
        else if (small) {
            out[i] = x == 0 ? 0.0 : (double)x / (double)y;
        }
        else if (la_task_wants(t, i)) {
            __int128 wide_a = unsigned_a ? (__int128)(uint64_t)a[i] : a[i];
            __int128 wide_b = unsigned_b ? (__int128)(uint64_t)b[i] : b[i];
            out[i] = exact_quotient(wide_a, wide_b, scale_a, scale_b);
        }
    }
    return LA_OK;
}

static la_status
quotient_ii(la_task *t)
{
    return quotient(t, false, false);
}

static la_status
quotient_iu(la_task *t)
{
    return quotient(t, false, true);
}

static la_status
quotient_ui(la_task *t)
{
    return quotient(t, true, false);
}

static la_status
quotient_uu(la_task *t)
{
    return quotient(t, true, true);
}

la_kernel
la_kernel_quotient(la_type a, la_type b)
{
    if (a == LA_T_F64) {
        return div_f64;
    }
    if (a == LA_T_U64) {
        return b == LA_T_U64 ? quotient_uu : quotient_ui;
    }
    return b == LA_T_U64 ? quotient_iu : quotient_ii;
}

/* ------------------------------------------------------------------- neg, abs */

#define SIGN_KERNEL(name, T, MIN, result)                                              \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        const T *a = t->a->data;                                                       \
        T *restrict out = t->out->own_data;                                            \
        bool any = false;                                                              \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            T x = a[i] == MIN ? 0 : a[i];                                              \
            any |= a[i] == MIN;                                                        \
            out[i] = (T)(result);                                                      \
        }                                                                              \
        for (uint32_t i = 0; any && i < t->rows; i++) {                                \
            if (a[i] == MIN) {                                                         \
                la_task_fail(t, i, LA_REASON_OVERFLOW);                                \
            }                                                                          \
        }                                                                              \
        return LA_OK;                                                                  \
    }
SIGN_KERNEL(neg_i32, int32_t, INT32_MIN, -x)
SIGN_KERNEL(neg_i64, int64_t, INT64_MIN, -x)
SIGN_KERNEL(abs_i32, int32_t, INT32_MIN, x < 0 ? -x : x)
SIGN_KERNEL(abs_i64, int64_t, INT64_MIN, x < 0 ? -x : x)

LA_LOOP static void
float_sign(const uint64_t *a, uint64_t keep, uint64_t flip, uint64_t *restrict out,
           uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = (a[i] & keep) ^ flip;
    }
}

#define SIGN_BIT (UINT64_C(1) << 63)

static la_status
neg_f64(la_task *t)
{
    la_task_valid(t);
    float_sign(t->a->data, UINT64_MAX, SIGN_BIT, t->out->own_data, t->rows);
    return LA_OK;
}

static la_status
abs_f64(la_task *t)
{
    la_task_valid(t);
    float_sign(t->a->data, ~SIGN_BIT, 0, t->out->own_data, t->rows);
    return LA_OK;
}

/* -------------------------------------------------------------------- the table */

la_kernel
la_kernel_arithmetic(la_op op, la_type type)
{
    enum { I32, I64, U64, F64, DEC, TYPES };
    static const la_kernel kernels[][TYPES] = {
        {add_i32, add_i64, add_u64, add_f64, add_decimal},
        {sub_i32, sub_i64, sub_u64, sub_f64, sub_decimal},
        {mul_i32, mul_i64, mul_u64, mul_f64, mul_decimal},
        {NULL, NULL, NULL, div_f64, NULL},
        {floordiv_i32, floordiv_i64, floordiv_u64, floordiv_f64, NULL},
        {mod_i32, mod_i64, mod_u64, mod_f64, NULL},
        {neg_i32, neg_i64, NULL, neg_f64, neg_i64},
        {abs_i32, abs_i64, NULL, abs_f64, abs_i64},
    };
    int column = type == LA_T_I32                        ? I32
                 : type == LA_T_I64 || type == LA_T_TIME ? I64
                 : type == LA_T_U64                      ? U64
                 : type == LA_T_F64                      ? F64
                                                         : DEC;
    return kernels[op - LA_OP_ADD][column];
}

/* ----------------------------------------------------------------------- time */

static la_status
offset_time(la_task *t)
{
    const int64_t *a = t->a->data;
    int64_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        if (__builtin_add_overflow(a[i], t->instr->n, &out[i])) {
            la_task_fail(t, i, LA_REASON_OVERFLOW);
        }
    }
    return LA_OK;
}

/* The last calendar period met: rows of a log come nearly in order of time. */
typedef struct period {
    int64_t start, end;
} period;

/* Start of the period that holds `us`; false where it is before the first microsecond. */
static inline bool
period_start(const la_instr *instr, period *last, int64_t us, int64_t *start)
{
    if (!instr->by_unit) {
        int64_t rest = us % instr->n;
        rest = rest < 0 ? rest + instr->n : rest;
        return !__builtin_sub_overflow(us, rest, start);
    }
    if (us < last->start || us >= last->end) {
        last->start = la_calendar_floor(us, instr->unit, instr->n);
        last->end = la_calendar_next(last->start, instr->unit, instr->n);
    }
    *start = last->start;
    return *start != INT64_MIN; /* clamped: no period begins there */
}

static la_status
truncate_time(la_task *t)
{
    const int64_t *a = t->a->data;
    int64_t *out = t->out->own_data;
    period last = {0, 0};
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        if (!period_start(t->instr, &last, a[i], &out[i])) {
            la_task_fail(t, i, LA_REASON_OVERFLOW);
        }
    }
    return LA_OK;
}

static la_status
truncate_date(la_task *t)
{
    const int32_t *a = t->a->data;
    int32_t *out = t->out->own_data;
    period last = {0, 0};
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        int64_t us, start;
        out[i] = 0;
        /* Dates reach further than times: those that no time can hold fail. */
        if (__builtin_mul_overflow((int64_t)a[i], LA_US_PER_DAY, &us) ||
            !period_start(t->instr, &last, us, &start)) {
            la_task_fail(t, i, LA_REASON_OVERFLOW);
            continue;
        }
        out[i] = (int32_t)(start / LA_US_PER_DAY);
    }
    return LA_OK;
}

la_kernel
la_kernel_time(la_op op, la_type type)
{
    return op == LA_OP_OFFSET_BY ? offset_time
           : type == LA_T_TIME   ? truncate_time
                                 : truncate_date;
}
