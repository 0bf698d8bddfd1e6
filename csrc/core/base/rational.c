/* SPDX-License-Identifier: Apache-2.0 */
/* Long division by words, and rounding to the nearest double, ties to even. A quotient keeps
 * 64 bits at least, and one sticky bit tells what is below them: enough to round once. */
#include "base/rational.h"

#include <string.h>

typedef unsigned __int128 u128;

static inline u128
absolute(__int128 value)
{
    return value < 0 ? -(u128)value : (u128)value;
}

uint64_t
la_limbs_bits(const uint64_t *limbs, uint32_t count, int64_t at)
{
    int64_t limb = at >= 0 ? at / 64 : -((63 - at) / 64);
    uint32_t shift = (uint32_t)(at - limb * 64);
    uint64_t lo = limb >= 0 && limb < count ? limbs[limb] : 0;
    uint64_t hi = limb + 1 >= 0 && limb + 1 < count ? limbs[limb + 1] : 0;
    return lo >> shift | hi << 1 << (63 - shift);
}

static bool
any_below(const uint64_t *limbs, int64_t at)
{
    int64_t i = 0;
    for (; (i + 1) * 64 <= at; i++) {
        if (limbs[i] != 0) {
            return true;
        }
    }
    return at > i * 64 && limbs[i] << (64 - (at - i * 64)) != 0;
}

/* limbs * 2^exponent (more below it when `sticky`) to nearest even. limbs has a top
 * limb that is not zero, and 64 bits at least when sticky. */
double
la_round_limbs(const uint64_t *limbs, uint32_t count, int64_t exponent, bool sticky,
               bool negative)
{
    int64_t top = (int64_t)count * 64 - 1 - __builtin_clzll(limbs[count - 1]);
    int64_t low = top - 52 > -1074 - exponent ? top - 52 : -1074 - exponent;
    uint64_t bits = 0;
    double x;

    if (exponent + top > 1023) {
        bits = UINT64_C(0x7ff) << 52;
    }
    else if (low <= top + 1) { /* else below half of the least double */
        bits = low > top ? 0 : la_limbs_bits(limbs, count, low);
        /* A mantissa of 53 bits carries into the exponent as it should. */
        bits += (uint64_t)(exponent + low + 1074) << 52;
        if (low > 0 && (la_limbs_bits(limbs, count, low - 1) & 1) != 0 &&
            (sticky || (bits & 1) != 0 || any_below(limbs, low - 1))) {
            bits++;
        }
    }
    memcpy(&x, &bits, sizeof x);
    return negative ? -x : x;
}

/* limbs /= divisor; returns whether something remained. */
bool
la_limbs_divide(uint64_t *limbs, uint32_t count, uint64_t divisor)
{
    u128 rest = 0;
    for (uint32_t i = count; i-- > 0;) {
        rest = rest << 64 | limbs[i];
        limbs[i] = (uint64_t)(rest / divisor);
        rest %= divisor;
    }
    return rest != 0;
}

uint32_t
la_limbs_trim(const uint64_t *limbs, uint32_t count)
{
    while (count > 0 && limbs[count - 1] == 0) {
        count--;
    }
    return count;
}

double
la_i128_ratio(__int128 value, uint64_t divisor, uint8_t scale)
{
    u128 x = absolute(value);
    uint64_t limbs[5] = {0, 0, 0, (uint64_t)x, (uint64_t)(x >> 64)};
    uint64_t ten = 1;

    if (x == 0) {
        return 0.0;
    }
    for (uint8_t i = 0; i < scale; i++) {
        ten *= 10;
    }
    /* floor(floor(n / a) / b) = floor(n / ab), and what remains remains. */
    bool sticky = la_limbs_divide(limbs, 5, divisor);
    sticky = (bool)(sticky | la_limbs_divide(limbs, 5, ten));
    return la_round_limbs(limbs, la_limbs_trim(limbs, 5), -192, sticky, value < 0);
}

void
la_i128_text(__int128 value, char text[48])
{
    u128 x = absolute(value);
    char digits[40];
    uint32_t count = 0, at = 0;

    do {
        digits[count++] = (char)('0' + (int)(x % 10));
        x /= 10;
    } while (x != 0);
    if (value < 0) {
        text[at++] = '-';
    }
    while (count > 0) {
        text[at++] = digits[--count];
    }
    text[at] = '\0';
}
