/* SPDX-License-Identifier: Apache-2.0 */
/* Quotients of big integers, rounded once to the nearest double, ties to even. */
#ifndef LA_BASE_RATIONAL_H
#define LA_BASE_RATIONAL_H

#include <stdbool.h>
#include <stdint.h>

/* limbs * 2^exponent, and something below it when `sticky`. The top limb is not zero; with
 * `sticky` there are 64 bits at least. */
double la_round_limbs(const uint64_t *limbs, uint32_t count, int64_t exponent,
                      bool sticky, bool negative);
/* 64 bits from bit `at` on (which may be negative or past the end); zeros outside. */
uint64_t la_limbs_bits(const uint64_t *limbs, uint32_t count, int64_t at);
/* limbs /= divisor (>= 1); returns whether something remained. */
bool la_limbs_divide(uint64_t *limbs, uint32_t count, uint64_t divisor);
/* `count` without zero limbs at the top. */
uint32_t la_limbs_trim(const uint64_t *limbs, uint32_t count);

/* value / (divisor * 10^scale), rounded once; divisor >= 1, scale 0..18. */
double la_i128_ratio(__int128 value, uint64_t divisor, uint8_t scale);
void la_i128_text(__int128 value, char text[48]);

#endif
