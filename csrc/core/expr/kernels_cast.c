/* SPDX-License-Identifier: Apache-2.0 */
/* Casts between numbers, bools, times and dates: one step each, from and to the widest types.
 * The compiler chains them (i32 -> i64 -> decimal). Texts: kernels_text.c.
 *
 * A value that its new type cannot hold fails the row; nothing wraps and nothing is clamped. */
#include "base/rational.h"
#include "expr/kernels.h"
#include "expr/typing.h"

/* --------------------------------------------------------- that always succeed */

#define WIDEN_KERNEL(name, FROM, TO)                                                   \
    LA_LOOP static void name##_loop(const FROM *a, TO *restrict out, uint32_t rows)    \
    {                                                                                  \
        for (uint32_t i = 0; i < rows; i++) {                                          \
            out[i] = (TO)a[i];                                                         \
        }                                                                              \
    }                                                                                  \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        la_task_valid(t);                                                              \
        name##_loop(t->a->data, t->out->own_data, t->rows);                            \
        return LA_OK;                                                                  \
    }
WIDEN_KERNEL(u8_to_i64, uint8_t, int64_t)
WIDEN_KERNEL(i32_to_i64, int32_t, int64_t)
WIDEN_KERNEL(i32_to_f64, int32_t, double)
WIDEN_KERNEL(i64_to_f64, int64_t, double)
WIDEN_KERNEL(u64_to_f64, uint64_t, double)
WIDEN_KERNEL(f32_to_f64, float, double)
WIDEN_KERNEL(f64_to_f32, double, float) /* beyond range: infinite (Annex F) */

LA_LOOP static void
nonzero_loop(const int64_t *a, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = a[i] != 0;
    }
}

static la_status
i64_to_bool(la_task *t)
{
    la_task_valid(t);
    nonzero_loop(t->a->data, t->out->own_data, t->rows);
    return LA_OK;
}

static la_status
decimal_to_f64(la_task *t)
{
    const int64_t *a = t->a->data;
    double *out = t->out->own_data;
    const double power = (double)la_powers_of_ten[t->a->scale]; /* exact up to 10^22 */
    const int64_t exact = INT64_C(1) << 53;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        bool small = a[i] <= exact && a[i] >= -exact;
        out[i] = small ? (double)a[i] / power : la_i128_ratio(a[i], 1, t->a->scale);
    }
    return LA_OK;
}

/* Towards zero; always fits: |a| < 10^18. */
static la_status
decimal_to_i64(la_task *t)
{
    const int64_t *a = t->a->data;
    int64_t *out = t->out->own_data;
    int64_t power = la_powers_of_ten[t->a->scale];
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = a[i] / power;
    }
    return LA_OK;
}

static la_status
time_to_date(la_task *t)
{
    const int64_t *a = t->a->data;
    int32_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = (int32_t)la_floor_div(a[i], LA_US_PER_DAY);
    }
    return LA_OK;
}

/* -------------------------------------------------------------- that can fail */

/* `fits` says of x whether the cast holds it; `cast` is only computed then. */
#define CHECKED_KERNEL(name, FROM, TO, fits, cast)                                     \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        const FROM *a = t->a->data;                                                    \
        TO *restrict out = t->out->own_data;                                           \
        bool all = true;                                                               \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            FROM x = a[i];                                                             \
            bool good = (fits);                                                        \
            all &= good;                                                               \
            out[i] = good ? (TO)(cast) : (TO)0;                                        \
        }                                                                              \
        for (uint32_t i = 0; !all && i < t->rows; i++) {                               \
            FROM x = a[i];                                                             \
            if (!(fits)) {                                                             \
                la_task_fail(t, i, LA_REASON_CAST);                                    \
            }                                                                          \
        }                                                                              \
        return LA_OK;                                                                  \
    }
CHECKED_KERNEL(i64_to_i32, int64_t, int32_t, x >= INT32_MIN && x <= INT32_MAX, x)
CHECKED_KERNEL(i64_to_u64, int64_t, uint64_t, x >= 0, x)
CHECKED_KERNEL(u64_to_i64, uint64_t, int64_t, x <= (uint64_t)INT64_MAX, x)
/* Bounds are exact doubles; NaN fits nowhere. */
CHECKED_KERNEL(f64_to_i64, double, int64_t,
               x >= -9223372036854775808.0 && x < 9223372036854775808.0, x)
CHECKED_KERNEL(f64_to_u64, double, uint64_t, x > -1.0 && x < 18446744073709551616.0,
               x < 0 ? 0 : x)
CHECKED_KERNEL(date_to_time, int32_t, int64_t, x >= -106751991 && x <= 106751991,
               x *LA_US_PER_DAY)

static la_status
i64_to_decimal(la_task *t)
{
    const int64_t *a = t->a->data;
    int64_t *out = t->out->own_data;
    int64_t power = la_powers_of_ten[t->out->scale];
    int64_t limit = (LA_DECIMAL_END - 1) / power;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        bool good = a[i] >= -limit && a[i] <= limit;
        out[i] = good ? a[i] * power : 0;
        if (!good) {
            la_task_fail(t, i, LA_REASON_CAST);
        }
    }
    return LA_OK;
}

/* Another scale: exact upwards, half to even downwards. */
static la_status
decimal_to_decimal(la_task *t)
{
    const int64_t *a = t->a->data;
    int64_t *out = t->out->own_data;
    int from = t->a->scale, to = t->out->scale;
    int64_t power = la_powers_of_ten[from > to ? from - to : to - from];
    int64_t limit = to > from ? (LA_DECIMAL_END - 1) / power : LA_DECIMAL_END;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = 0;
        if (a[i] < -limit || a[i] > limit) {
            la_task_fail(t, i, LA_REASON_CAST);
        }
        else if (to > from) {
            out[i] = a[i] * power;
        }
        else {
            int64_t whole = a[i] / power;
            int64_t rest = 2 * (a[i] % power < 0 ? -(a[i] % power) : a[i] % power);
            bool up = rest > power || (rest == power && whole % 2 != 0);
            out[i] = whole + (up ? (a[i] < 0 ? -1 : 1) : 0);
        }
    }
    return LA_OK;
}

/* x * 10^scale, half to even, from the exact value of the double. */
static bool
decimal_of(double x, uint8_t scale, int64_t *out)
{
    if (!(x > -1e18 && x < 1e18)) {
        return false; /* NaN too */
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52 & 0x7ff) - 1075;
    uint64_t mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    if (exponent == -1075) {
        *out = 0; /* 0 or less than half of anything */
        return true;
    }
    /* < 2^53 * 2^60: and where exponent > 0, |x| < 10^18 keeps it below 2^7. */
    unsigned __int128 scaled =
        (unsigned __int128)mantissa * (uint64_t)la_powers_of_ten[scale];
    if (exponent >= 0) {
        scaled <<= exponent;
    }
    else if (exponent <= -120) {
        scaled = 0;
    }
    else {
        unsigned __int128 half = (unsigned __int128)1 << (-exponent - 1);
        unsigned __int128 rest = scaled & (2 * half - 1);
        scaled >>= -exponent;
        scaled += rest > half || (rest == half && (scaled & 1) != 0);
    }
    if (scaled >= (unsigned __int128)LA_DECIMAL_END) {
        return false;
    }
    *out = x < 0 ? -(int64_t)scaled : (int64_t)scaled;
    return true;
}

static la_status
f64_to_decimal(la_task *t)
{
    const double *a = t->a->data;
    int64_t *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i] = 0;
        if (!decimal_of(a[i], t->out->scale, &out[i])) {
            la_task_fail(t, i, LA_REASON_CAST);
        }
    }
    return LA_OK;
}

/* ------------------------------------------------------------------- the table */

la_kernel
la_kernel_cast(la_type from, la_type to)
{
    static const struct {
        la_type from, to;
        la_kernel kernel;
    } steps[] = {
        {LA_T_BOOL, LA_T_I64, u8_to_i64},
        {LA_T_I32, LA_T_I64, i32_to_i64},
        {LA_T_I32, LA_T_F64, i32_to_f64},
        {LA_T_I64, LA_T_I32, i64_to_i32},
        {LA_T_I64, LA_T_U64, i64_to_u64},
        {LA_T_I64, LA_T_F64, i64_to_f64},
        {LA_T_I64, LA_T_BOOL, i64_to_bool},
        {LA_T_I64, LA_T_DECIMAL, i64_to_decimal},
        {LA_T_U64, LA_T_I64, u64_to_i64},
        {LA_T_U64, LA_T_F64, u64_to_f64},
        {LA_T_U64, LA_T_BOOL, i64_to_bool},
        {LA_T_F32, LA_T_F64, f32_to_f64},
        {LA_T_F64, LA_T_F32, f64_to_f32},
        {LA_T_F64, LA_T_I64, f64_to_i64},
        {LA_T_F64, LA_T_U64, f64_to_u64},
        {LA_T_F64, LA_T_DECIMAL, f64_to_decimal},
        {LA_T_DECIMAL, LA_T_I64, decimal_to_i64},
        {LA_T_DECIMAL, LA_T_F64, decimal_to_f64},
        {LA_T_DECIMAL, LA_T_DECIMAL, decimal_to_decimal},
        {LA_T_TIME, LA_T_DATE, time_to_date},
        {LA_T_DATE, LA_T_TIME, date_to_time},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].from == from && steps[i].to == to) {
            return steps[i].kernel;
        }
    }
    return NULL;
}
