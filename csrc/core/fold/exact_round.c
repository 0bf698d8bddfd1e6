/* SPDX-License-Identifier: Apache-2.0 */
/* Reading exact sums: rounding once, and canonical bytes.
 *
 * Invariants
 *  1. Everything here sees |S| in limbs and the counts of NaN and infinities, never
 *     where the window stands.
 *  2. A quotient has 64 bits at least, and what is below them is told by one sticky
 *     bit: enough for any rounding to 53 bits or fewer. */
#include "base/rational.h"
#include "fold/exact_types.h"

/* |S|, without zero limbs at either end. count 0: zero. */
typedef struct magnitude {
    bool negative;
    uint32_t first;
    uint32_t count;
    uint64_t limbs[LIMBS];
} magnitude;

/* --------------------------------------------------------------- rounding */

static void
magnitude_of(const la_exact *sum, magnitude *out)
{
    i128 value = window_of(sum);
    uint32_t anchor = anchor_of(sum);

    out->first = 0;
    out->count = LIMBS;
    if (sum->wide == NULL) { /* the window alone: three limbs */
        u128 x = absolute(value);
        uint32_t shift = anchor % 64;
        uint64_t lo = (uint64_t)x, hi = (uint64_t)(x >> 64);
        out->negative = value < 0;
        out->first = anchor / 64;
        out->count = 3;
        out->limbs[0] = lo << shift;
        out->limbs[1] = hi << shift | lo >> 1 >> (63 - shift);
        out->limbs[2] = hi >> 1 >> (63 - shift);
    }
    else {
        memcpy(out->limbs, sum->wide->limbs, sizeof out->limbs);
        la_exact_limbs_add(out->limbs, value, anchor);
        out->negative = out->limbs[LIMBS - 1] >> 63 != 0;
        bool carry = out->negative;
        for (uint32_t i = 0; out->negative && i < LIMBS; i++) {
            carry =
                __builtin_add_overflow(~out->limbs[i], (uint64_t)carry, &out->limbs[i]);
        }
    }
    while (out->count > 0 && out->limbs[out->count - 1] == 0) {
        out->count--;
    }
    uint32_t zeros = 0;
    while (zeros < out->count && out->limbs[zeros] == 0) {
        zeros++;
    }
    out->first += zeros;
    out->count -= zeros;
    memmove(out->limbs, out->limbs + zeros, out->count * sizeof(uint64_t));
}

double
la_exact_round(const la_exact *sum, uint64_t divisor)
{
    const la_exact_wide *wide = sum->wide;
    magnitude m;

    if (wide != NULL) {
        if (wide->nan != 0 || (wide->plus_inf != 0 && wide->minus_inf != 0)) {
            return __builtin_nan("");
        }
        if (wide->plus_inf != 0 || wide->minus_inf != 0) {
            return wide->plus_inf != 0 ? __builtin_inf() : -__builtin_inf();
        }
    }
    magnitude_of(sum, &m);
    if (m.count == 0) {
        return 0.0;
    }
    int64_t exponent = (int64_t)m.first * 64 - 1074;
    if (divisor <= 1) {
        return la_round_limbs(m.limbs, m.count, exponent, false, m.negative);
    }
    /* 128 zero bits below leave a quotient of 64 bits at least. */
    uint64_t limbs[LIMBS + 2] = {0, 0};
    memcpy(limbs + 2, m.limbs, m.count * sizeof(uint64_t));
    bool sticky = la_limbs_divide(limbs, m.count + 2, divisor);
    return la_round_limbs(limbs, la_limbs_trim(limbs, m.count + 2), exponent - 128,
                          sticky, m.negative);
}

/* --------------------------------------------------------------- encoding */

#define HAS_NAN 1u
#define HAS_PLUS_INF 2u
#define HAS_MINUS_INF 4u
#define IS_NEGATIVE 8u
#define HAS_LIMBS 16u
#define IS_EMPTY 32u

void
la_exact_encode(const la_exact *sum, la_buf *to)
{
    static const la_exact_wide no_wide;
    const la_exact_wide *wide = sum->wide != NULL ? sum->wide : &no_wide;
    magnitude m;

    if (sum->base == 0) {
        la_buf_u8(to, IS_EMPTY);
        return;
    }
    magnitude_of(sum, &m);
    la_buf_u8(to, (uint8_t)((wide->nan != 0 ? HAS_NAN : 0) |
                            (wide->plus_inf != 0 ? HAS_PLUS_INF : 0) |
                            (wide->minus_inf != 0 ? HAS_MINUS_INF : 0) |
                            (m.count != 0 ? HAS_LIMBS : 0) |
                            (m.count != 0 && m.negative ? IS_NEGATIVE : 0)));
    if (wide->nan != 0) {
        la_buf_varint(to, wide->nan);
    }
    if (wide->plus_inf != 0) {
        la_buf_varint(to, wide->plus_inf);
    }
    if (wide->minus_inf != 0) {
        la_buf_varint(to, wide->minus_inf);
    }
    if (m.count != 0) {
        la_buf_u8(to, (uint8_t)m.first);
        la_buf_u8(to, (uint8_t)m.count);
        la_buf_put(to, m.limbs, m.count * sizeof(uint64_t));
    }
}

static bool
take_count(la_bytes *from, bool present, uint64_t *count)
{
    *count = present ? la_bytes_varint(from) : 0;
    return !present || *count != 0;
}

/* Takes the limbs of a magnitude; false: not what encode writes. */
static bool
take_magnitude(la_bytes *from, magnitude *m)
{
    m->first = la_bytes_u8(from);
    m->count = la_bytes_u8(from);
    if (m->count == 0 || m->count > LIMBS || m->first + m->count > LIMBS) {
        return false;
    }
    const uint8_t *at = la_bytes_take(from, m->count * sizeof(uint64_t));
    if (at == NULL) {
        return false;
    }
    memcpy(m->limbs, at, m->count * sizeof(uint64_t));
    /* The last limb keeps 13 bits of room: no sum of 2^64 doubles reaches them. */
    return m->limbs[0] != 0 && m->limbs[m->count - 1] != 0 &&
           (m->first + m->count < LIMBS || m->limbs[m->count - 1] >> 51 == 0);
}

/* Puts |S| and sign into an empty sum, in the window where it fits. */
static bool
place(la_exact *sum, const magnitude *m, const la_env *env)
{
    uint32_t low = (uint32_t)__builtin_ctzll(m->limbs[0]);
    uint32_t high = m->count * 64 - (uint32_t)__builtin_clzll(m->limbs[m->count - 1]);

    if (high - low <= 126 && m->first * 64 + low <= LA_EXACT_ANCHOR_MAX) {
        u128 x = (u128)la_limbs_bits(m->limbs, m->count, (int64_t)low + 64) << 64 |
                 la_limbs_bits(m->limbs, m->count, low);
        la_exact_window_start(sum, m->negative ? -(i128)x : (i128)x,
                              m->first * 64 + low);
        return true;
    }
    if (!la_exact_make_wide(sum, env)) {
        return false;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        i128 limb = (i128)m->limbs[i];
        la_exact_limbs_add(sum->wide->limbs, m->negative ? -limb : limb,
                           (m->first + i) * 64);
    }
    return true;
}

bool
la_exact_decode(la_exact *sum, la_bytes *from, const la_env *env)
{
    uint8_t flags = la_bytes_u8(from);
    uint64_t nan, plus_inf, minus_inf;
    magnitude m;

    if (flags == IS_EMPTY) {
        return !from->bad;
    }
    if ((flags & ~(IS_EMPTY - 1u)) != 0 ||
        (flags & (IS_NEGATIVE | HAS_LIMBS)) == IS_NEGATIVE ||
        !take_count(from, (flags & HAS_NAN) != 0, &nan) ||
        !take_count(from, (flags & HAS_PLUS_INF) != 0, &plus_inf) ||
        !take_count(from, (flags & HAS_MINUS_INF) != 0, &minus_inf)) {
        return false;
    }
    m.negative = (flags & IS_NEGATIVE) != 0;
    if (((flags & HAS_LIMBS) != 0 && !take_magnitude(from, &m)) || from->bad) {
        return false;
    }
    la_exact made = {0, 0, NULL, LA_EXACT_BASE};
    if (((nan | plus_inf | minus_inf) != 0 && !la_exact_make_wide(&made, env)) ||
        ((flags & HAS_LIMBS) != 0 && !place(&made, &m, env))) {
        la_exact_fini(&made, env);
        return false;
    }
    if (made.wide != NULL) {
        made.wide->nan = nan;
        made.wide->plus_inf = plus_inf;
        made.wide->minus_inf = minus_inf;
    }
    *sum = made;
    return true;
}
