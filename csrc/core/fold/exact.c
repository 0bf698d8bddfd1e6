/* SPDX-License-Identifier: Apache-2.0 */
/* Exact sums of doubles.
 *
 * A finite double is m * 2^(e - 1074) with |m| < 2^53 and 0 <= e <= 2045. A sum is an
 * integer S times 2^-1074, kept in up to two pieces:
 *
 *      bit 2175                       anchor + 127      anchor                 0
 *       |----------- wide: 34 limbs of 64 bits, two's complement --------------|
 *                                      |---- window ----|
 *
 * Invariants
 *  1. S = wide + window * 2^anchor, each piece two's complement, each add checked: a
 *     window that would overflow or lose low bits is moved or flushed to `wide` first.
 *  2. `wide` has room for 2^64 additions of the largest double: 2098 + 64 + sign < 2176
 *     bits.
 *  3. Where pieces stand never shows: encode and round see S and the counts of NaN and
 *     infinities alone.
 *
 * la_exact_add_many uses two int64 lanes: x = H * 2^51 + L in units of the window's bit
 * 0, both got by adding 1.5 * 2^k (the double's own rounding splits the value), both
 * checked. After Neumaier's and Collange et al., "Reproducible and accurate summation"
 * (2015), with an integer accumulator at the end, so that nothing is lost at all. */
#include "fold/exact_types.h"
#include "fold/loops.h"

#define BLOCK 2048u /* lane values stay below 2^51, so that many of them fit an int64 */

#define HIGH_UNIT ((i128)1 << 51) /* of the high lane, in units of the low one */

static uint32_t
trailing_zeros(u128 x)
{
    uint64_t lo = (uint64_t)x;
    return lo != 0 ? (uint32_t)__builtin_ctzll(lo)
                   : 64 + (uint32_t)__builtin_ctzll((uint64_t)(x >> 64));
}

static uint32_t
bit_length(u128 x)
{
    uint64_t hi = (uint64_t)(x >> 64);
    return hi != 0 ? 128 - (uint32_t)__builtin_clzll(hi)
                   : 64 - (uint32_t)__builtin_clzll((uint64_t)x);
}

/* ----------------------------------------------------------------- adding */

/* limbs += value * 2^at */
void
la_exact_limbs_add(uint64_t *limbs, i128 value, uint32_t at)
{
    uint32_t shift = at % 64, first = at / 64;
    uint64_t lo = (uint64_t)(u128)value, hi = (uint64_t)((u128)value >> 64);
    uint64_t sign = value < 0 ? UINT64_MAX : 0;
    uint64_t part[3] = {lo << shift, hi << shift | lo >> 1 >> (63 - shift),
                        sign << shift | hi >> 1 >> (63 - shift)};
    bool carry = false;

    for (uint32_t i = first; i < LIMBS; i++) {
        if (i >= first + 3 && carry == (sign != 0)) {
            break; /* adding 0, or -1 and a carry: no limb above changes */
        }
        uint64_t x = i < first + 3 ? part[i - first] : sign;
        bool over = __builtin_add_overflow(limbs[i], x, &limbs[i]);
        carry =
            (bool)(over | __builtin_add_overflow(limbs[i], (uint64_t)carry, &limbs[i]));
    }
}

bool
la_exact_make_wide(la_exact *sum, const la_env *env)
{
    if (sum->wide == NULL) {
        sum->wide = la_calloc(env, 1, sizeof *sum->wide);
    }
    return sum->wide != NULL;
}

/* The window for a first value: room below for smaller ones, more above for larger ones
 * and for their number. A multiple of 16, so that sums of like values often agree on
 * it. */
void
la_exact_window_start(la_exact *sum, i128 value, uint32_t at)
{
    uint32_t anchor = at < 24 ? 0 : (at - 24) & ~15u;
    if (anchor > LA_EXACT_ANCHOR_MAX) {
        anchor = LA_EXACT_ANCHOR_MAX;
    }
    if (at - anchor + bit_length(absolute(value)) > 126) {
        anchor = at; /* only a window from a merge or from bytes is that long */
    }
    window_set(sum, (i128)((u128)value << (at - anchor)), anchor);
}

static i128
move(i128 value, uint32_t from, uint32_t to)
{
    return from >= to ? (i128)((u128)value << (from - to)) : value >> (to - from);
}

/* Window += value * 2^at by moving the window so that both fit; false: no place is wide
 * enough. */
static bool
window_fit(la_exact *sum, i128 value, uint32_t at)
{
    i128 now = window_of(sum);
    uint32_t anchor = anchor_of(sum);
    u128 a = absolute(now), b = absolute(value);
    uint32_t low_a = anchor + trailing_zeros(a), low_b = at + trailing_zeros(b);
    uint32_t high_a = anchor + bit_length(a), high_b = at + bit_length(b);
    uint32_t low = low_a < low_b ? low_a : low_b;
    uint32_t high = (high_a > high_b ? high_a : high_b) + 1;

    if (high - low > 126) {
        return false;
    }
    uint32_t below = (126 - (high - low)) / 2;
    below = below > 24 ? 24 : below;
    uint32_t to = low > below ? low - below : 0;
    if (to > LA_EXACT_ANCHOR_MAX) {
        to = LA_EXACT_ANCHOR_MAX;
    }
    if (high > to + 126) {
        return false;
    }
    window_set(sum, move(now, anchor, to) + move(value, at, to), to);
    return true;
}

/* sum += value * 2^(at - 1074), value != 0 */
static bool
add_at(la_exact *sum, i128 value, uint32_t at, const la_env *env)
{
    i128 now = window_of(sum);
    uint32_t anchor = anchor_of(sum);

    if (sum->base != 0 && at >= anchor &&
        at - anchor + bit_length(absolute(value)) <= 126) {
        i128 next;
        if (!__builtin_add_overflow(now, move(value, at, anchor), &next)) {
            window_set(sum, next, anchor);
            return true;
        }
    }
    if (now == 0) {
        la_exact_window_start(sum, value, at);
        return true;
    }
    if (window_fit(sum, value, at)) {
        return true;
    }
    if (!la_exact_make_wide(sum, env)) {
        return false;
    }
    la_exact_limbs_add(sum->wide->limbs, now, anchor);
    la_exact_window_start(sum, value, at);
    return true;
}

bool
la_exact_add(la_exact *sum, double x, const la_env *env)
{
    if (la_exact_add_fast(sum, x)) {
        return true;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
    int64_t value = (int64_t)(bits & 0xfffffffffffffu);
    bool negative = bits >> 63 != 0;

    if (exponent == 0x7ff) {
        if (!la_exact_make_wide(sum, env)) {
            return false;
        }
        *(value != 0 ? &sum->wide->nan
          : negative ? &sum->wide->minus_inf
                     : &sum->wide->plus_inf) += 1;
        value = 0;
    }
    else if (exponent != 0) {
        value |= INT64_C(1) << 52;
        exponent -= 1;
    }
    if (value != 0) {
        return add_at(sum, negative ? -value : value, exponent, env);
    }
    if (sum->base == 0) {
        sum->base = LA_EXACT_BASE; /* something was added, and it was nothing finite */
    }
    return true;
}

#if defined(__GNUC__)
#define LANES 4u
typedef double f64s __attribute__((vector_size(8 * LANES)));
typedef uint64_t u64s
    __attribute__((vector_size(8 * LANES))); /* wraps: values may be strange */

/* 1.5 * 2^k with doubles 2^(at - 1074) apart around it. */
static uint64_t
magic_bits(uint32_t at)
{
    return (uint64_t)(at + 1) << 52 | UINT64_C(1) << 51;
}

/* Splits `count` doubles (a multiple of LANES) into units of 2^(anchor + 51 - 1074) and
 * 2^(anchor - 1074): to high[] and low[], or, where they are NULL, into *total. false:
 * one of them does not fit, is not finite or would lose bits. Nine operations on four
 * doubles: about 0.3 ns a double with AVX2, 0.6 without. */
LA_INLINE bool
split(const double *x, size_t count, uint32_t anchor, int64_t *high, int64_t *low,
      i128 *total)
{
    uint64_t hb = magic_bits(anchor + 51), lb = magic_bits(anchor);
    u64s high_unit = {hb, hb, hb, hb}, low_unit = {lb, lb, lb, lb};
    f64s high_magic = (f64s)high_unit, low_magic = (f64s)low_unit;
    u64s high_sum = {0}, low_sum = {0}, strange = {0}, inexact = {0};

    for (size_t i = 0; i < count; i += LANES) {
        f64s v;
        memcpy(&v, x + i, sizeof v);
        f64s t = v + high_magic;
        f64s rest = v - (t - high_magic);
        f64s u = rest + low_magic;
        u64s h = (u64s)t - high_unit, l = (u64s)u - low_unit;
        strange |= (u64s)t ^ high_unit;
        inexact |= (u64s)((u - low_magic) - rest);
        if (high != NULL) {
            memcpy(high + i, &h, sizeof h);
            memcpy(low + i, &l, sizeof l);
        }
        else {
            high_sum += h;
            low_sum += l;
        }
    }
    if ((strange[0] | strange[1] | strange[2] | strange[3]) >> 52 != 0 ||
        (inexact[0] | inexact[1] | inexact[2] | inexact[3]) != 0) {
        return false;
    }
    int64_t h = (int64_t)(high_sum[0] + high_sum[1] + high_sum[2] + high_sum[3]);
    int64_t l = (int64_t)(low_sum[0] + low_sum[1] + low_sum[2] + low_sum[3]);
    *total = h * HIGH_UNIT + l;
    return true;
}

LA_LOOP static bool
add_lanes(const double *x, size_t count, uint32_t anchor, i128 *total)
{
    return split(x, count, anchor, NULL, NULL, total);
}

LA_LOOP static bool
split_lanes(const double *x, size_t count, uint32_t anchor, int64_t *high, int64_t *low)
{
    i128 none;
    return split(x, count, anchor, high, low, &none);
}

/* Two sums a group, so that neighbours in one group need not wait for each other. */
typedef struct lane_sums {
    int64_t high[2], low[2];
} lane_sums;

#define SPLIT_BLOCK 512u /* what is split stays in the first-level cache */

static void
sum_lanes(lane_sums *sums, const int64_t *high, const int64_t *low,
          const uint32_t *groups, uint32_t group_low, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += 2) {
        lane_sums *a = &sums[groups[i] - group_low],
                  *b = &sums[groups[i + 1] - group_low];
        a->high[0] += high[i];
        a->low[0] += low[i];
        b->high[1] += high[i + 1];
        b->low[1] += low[i + 1];
    }
}

/* Anchor of the first sum that has one, or of x. */
static uint32_t
common_anchor(const char *first, size_t size, uint32_t span, double x)
{
    for (uint32_t g = 0; g < span; g++) {
        const la_exact *sum = (const void *)(first + g * size);
        if (sum->base != 0) {
            return anchor_of(sum);
        }
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
    la_exact one = {0, 0, NULL, 0};
    la_exact_window_start(&one, 1, exponent == 0 ? 1022 : exponent - 1);
    return anchor_of(&one);
}

/* One group's total of `rows` rows into its sum. */
static bool
add_total(la_exact *sum, i128 total, uint32_t anchor, const uint32_t *groups,
          uint32_t group, uint32_t rows, const la_env *env)
{
    if (sum->base != 0) {
        return total == 0 || add_at(sum, total, anchor, env);
    }
    bool present = total != 0; /* a sum of zeros is not the sum of nothing */
    for (uint32_t i = 0; i < rows && !present; i++) {
        present = groups[i] == group;
    }
    if (present) {
        window_set(sum, total, anchor);
    }
    return true;
}

uint32_t
la_exact_add_groups(void *states, size_t size, const uint32_t *groups,
                    uint32_t group_low, uint32_t group_span, const double *x,
                    uint32_t count, size_t *heap_used, const la_env *env)
{
    int64_t high[SPLIT_BLOCK], low[SPLIT_BLOCK];
    lane_sums sums[LA_EXACT_GROUPS_MAX];
    char *first = (char *)states + group_low * size;
    uint32_t anchor = common_anchor(first, size, group_span, x[0]), done = 0;

    memset(sums, 0, group_span * sizeof sums[0]);
    while (done < count && done < BLOCK) {
        uint32_t left = (count - done) & ~(LANES - 1);
        uint32_t rows = left < SPLIT_BLOCK ? left : SPLIT_BLOCK;
        if (rows == 0 || !split_lanes(x + done, rows, anchor, high, low)) {
            break;
        }
        sum_lanes(sums, high, low, groups + done, group_low, rows);
        done += rows;
    }
    for (uint32_t g = 0; g < group_span && done > 0; g++) {
        la_exact *sum = (void *)(first + g * size);
        size_t before = la_exact_heap(sum);
        i128 total = (sums[g].high[0] + sums[g].high[1]) * HIGH_UNIT + sums[g].low[0] +
                     sums[g].low[1];
        if (!add_total(sum, total, anchor, groups, group_low + g, done, env)) {
            return UINT32_MAX;
        }
        *heap_used += la_exact_heap(sum) - before;
    }
    return done;
}
#else
uint32_t
la_exact_add_groups(void *states, size_t size, const uint32_t *groups,
                    uint32_t group_low, uint32_t group_span, const double *x,
                    uint32_t count, size_t *heap_used, const la_env *env)
{
    (void)states, (void)size, (void)groups, (void)group_low, (void)group_span;
    (void)x, (void)count, (void)heap_used, (void)env;
    return 0;
}
#endif

bool
la_exact_add_many(la_exact *sum, const double *x, size_t count, const la_env *env)
{
    size_t i = 0;

    while (i < count) {
#if defined(__GNUC__)
        size_t block = count - i < BLOCK ? (count - i) & ~(size_t)(LANES - 1) : BLOCK;
        i128 total, next;
        if (block >= 2 * LANES && sum->base != 0 &&
            add_lanes(x + i, block, anchor_of(sum), &total) &&
            !__builtin_add_overflow(window_of(sum), total, &next)) {
            window_set(sum, next, anchor_of(sum));
            i += block;
            continue;
        }
#endif
        /* A first value sets the anchor; strange ones are added one by one. */
        size_t end = sum->base == 0 ? i + 1 : i + BLOCK;
        for (end = end < count ? end : count; i < end; i++) {
            if (!la_exact_add(sum, x[i], env)) {
                return false;
            }
        }
    }
    return true;
}

bool
la_exact_merge(la_exact *into, const la_exact *from, const la_env *env)
{
    if (from->base == 0) {
        return true;
    }
    /* What add_at may need is made before anything changes. */
    if (from->wide != NULL && !la_exact_make_wide(into, env)) {
        return false;
    }
    i128 value = window_of(from);
    if (value != 0 && !add_at(into, value, anchor_of(from), env)) {
        return false;
    }
    if (into->base == 0) {
        into->base = LA_EXACT_BASE;
    }
    if (from->wide != NULL) {
        bool carry = false;
        uint64_t *to = into->wide->limbs;
        for (uint32_t i = 0; i < LIMBS; i++) {
            bool over = __builtin_add_overflow(to[i], from->wide->limbs[i], &to[i]);
            carry =
                (bool)(over | __builtin_add_overflow(to[i], (uint64_t)carry, &to[i]));
        }
        into->wide->nan += from->wide->nan;
        into->wide->plus_inf += from->wide->plus_inf;
        into->wide->minus_inf += from->wide->minus_inf;
    }
    return true;
}

void
la_exact_fini(la_exact *sum, const la_env *env)
{
    la_dealloc(env, sum->wide, sizeof *sum->wide);
    memset(sum, 0, sizeof *sum);
}

size_t
la_exact_heap(const la_exact *sum)
{
    return sum->wide == NULL ? 0 : sizeof *sum->wide;
}
