/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of an exact sum, shared by exact.c (adding) and exact_round.c
 * (reading). */
#ifndef LA_FOLD_EXACT_TYPES_H
#define LA_FOLD_EXACT_TYPES_H

#include "fold/exact.h"

#define LIMBS 34u

typedef __int128 i128;
typedef unsigned __int128 u128;

struct la_exact_wide {
    uint64_t limbs[LIMBS];
    uint64_t nan, plus_inf, minus_inf;
};

static inline i128
window_of(const la_exact *sum)
{
    return (i128)(((u128)sum->hi << 64) | sum->lo);
}

static inline void
window_set(la_exact *sum, i128 value, uint32_t anchor)
{
    sum->lo = (uint64_t)(u128)value;
    sum->hi = (uint64_t)((u128)value >> 64);
    sum->base = anchor + LA_EXACT_BASE;
}

static inline uint32_t
anchor_of(const la_exact *sum)
{
    return sum->base == 0 ? 0 : sum->base - LA_EXACT_BASE;
}

static inline u128
absolute(i128 value)
{
    return value < 0 ? -(u128)value : (u128)value;
}

/* limbs += value * 2^at */
void la_exact_limbs_add(uint64_t *limbs, i128 value, uint32_t at);
/* false: out of memory. */
bool la_exact_make_wide(la_exact *sum, const la_env *env);
/* The window of an empty sum (or of one whose window is 0) becomes value * 2^at. */
void la_exact_window_start(la_exact *sum, i128 value, uint32_t at);

#endif
