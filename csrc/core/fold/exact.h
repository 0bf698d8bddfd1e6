/* SPDX-License-Identifier: Apache-2.0 */
/* The exact sum of doubles: an integer times 2^-1074 (semantics 23). Any split, any
 * order, the same value; rounded once, to nearest even, at finish. Needs the default
 * floating-point environment: round to nearest, subnormals kept. */
#ifndef LA_FOLD_EXACT_H
#define LA_FOLD_EXACT_H

#include "base/mem.h"

typedef struct la_exact_wide la_exact_wide;

/* A 128-bit window at a moving exponent catches nearly all values; what does not fit,
 * and what is not finite, goes to the full-width part, allocated on first need. Zeroed
 * = the sum of nothing. May be moved in memory. */
typedef struct la_exact {
    uint64_t lo; /* two's complement 128-bit window, times 2^(anchor - 1074) */
    uint64_t hi;
    la_exact_wide *wide; /* NULL until needed */
    uint32_t base;       /* anchor + LA_EXACT_BASE; 0: nothing was added, ever */
} la_exact;

/* Chosen so that the one comparison of la_exact_add_fast turns away an empty window,
 * zeros, subnormals, infinities and NaN together with what does not fit. */
#define LA_EXACT_BASE 65u
/* Anchors stay below, so that every finite double finds room above. */
#define LA_EXACT_ANCHOR_MAX 1982u

/* One add where the window holds it; false: nothing was done. */
static inline bool
la_exact_add_fast(la_exact *sum, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
    uint32_t shift = exponent - 1 + LA_EXACT_BASE - sum->base;
    if (shift > 63) {
        return false;
    }
    int64_t sign = (int64_t)bits >> 63;
    int64_t value = (int64_t)((bits & 0xfffffffffffffu) | 0x10000000000000u);
    value = (value ^ sign) - sign;
    uint64_t lo, hi, carry_hi = (uint64_t)(value >> 1 >> (63 - shift));
    bool carry = __builtin_add_overflow(sum->lo, (uint64_t)value << shift, &lo);
    /* |value| << shift is below 2^116, so adding the carry to it cannot overflow. */
    if (__builtin_add_overflow((int64_t)sum->hi, (int64_t)(carry_hi + carry),
                               (int64_t *)&hi)) {
        return false;
    }
    sum->lo = lo;
    sum->hi = hi;
    return true;
}

/* Any double. false: out of memory (the state is unchanged). */
bool la_exact_add(la_exact *sum, double x, const la_env *env);
/* All of `x`, about 0.5 ns each. false: out of memory, some were added. */
bool la_exact_add_many(la_exact *sum, const double *x, size_t count, const la_env *env);
/* x[i] to sum number groups[i], all within [group_low, group_low + group_span), for a
 * span of at most LA_EXACT_GROUPS_MAX; sums stand `size` bytes apart. Returns how many
 * rows were added, from the first on (0: the next does not fit with the others),
 * UINT32_MAX: out of memory. count > 0. About 1 ns each, however skewed the groups
 * are. */
#define LA_EXACT_GROUPS_MAX 256u
uint32_t la_exact_add_groups(void *states, size_t size, const uint32_t *groups,
                             uint32_t group_low, uint32_t group_span, const double *x,
                             uint32_t count, size_t *heap_used, const la_env *env);
bool la_exact_merge(la_exact *into, const la_exact *from, const la_env *env);
void la_exact_fini(la_exact *sum, const la_env *env);
/* Bytes owned beside the struct. */
size_t la_exact_heap(const la_exact *sum);
static inline bool
la_exact_is_empty(const la_exact *sum)
{
    return sum->base == 0;
}
/* Correctly rounded. `divisor` > 1 divides first (mean), rounding once. */
double la_exact_round(const la_exact *sum, uint64_t divisor);
/* Canonical bytes (format/states.md): depends on the multiset of values alone. */
void la_exact_encode(const la_exact *sum, la_buf *to);
/* Into a zeroed sum, which stays empty on failure: damaged or out of memory. */
LA_MUST_CHECK bool la_exact_decode(la_exact *sum, la_bytes *from, const la_env *env);

#endif
