/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal-scaled floats: kernels, and the section of what does not scale.
 *
 * n = round(x * 10^e) comes from adding 1.5 * 2^52, which leaves the integer in the low
 * bits of the sum: no conversion instruction, so plain vector code does it. That holds
 * for magnitudes of x * 10^e below 2^51; the limit is checked, and NaN fails it. A
 * rounding that went the wrong way shows, because n / 10^e is then not x.
 *
 *   section | body size u32 | 0 u32 | entry of block 0 | entry 1 | ... | body |
 *   entry   | byte u32 | odd count u16 | exponent u8 | 0 u8 |
 *   block   rows u16 each, padded to 8 bytes; bits u64 each */
#include "codec/doubles.h"

#include "codec/simd.h"

#define MAGIC 0x1.8p52
#define MAGIC_BITS UINT64_C(0x4338000000000000)
#define LIMIT 0x1p51
#define ABS_BITS INT64_C(0x7fffffffffffffff)

static const double powers[LA_DECIMAL_EXPONENT_MAX + 1] = {
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};

static uint64_t
bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double
f64_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ------------------------------------------------------------------------- range */

LA_CLONES static void
range_f64(const double *values, uint32_t count, double *min, double *max,
          uint32_t *nans)
{
    const double inf = __builtin_inf();
    la_v4f64 low[4], high[4];
    la_v4i64 nan = {0, 0, 0, 0};
    uint32_t i = 0;
    LA_UNROLL
    for (unsigned k = 0; k < 4; k++) {
        low[k] = (la_v4f64){inf, inf, inf, inf};
        high[k] = (la_v4f64){-inf, -inf, -inf, -inf};
    }
    for (; i + 16 <= count; i += 16) {
        const la_v4f64 *in = (const la_v4f64 *)(const void *)(values + i);
        LA_UNROLL
        for (unsigned k = 0; k < 4; k++) {
            la_v4f64 v = in[k];
            la_v4i64 less = v < low[k]; /* false for NaN */
            la_v4i64 more = v > high[k];
            low[k] = (la_v4f64)(((la_v4i64)v & less) | ((la_v4i64)low[k] & ~less));
            high[k] = (la_v4f64)(((la_v4i64)v & more) | ((la_v4i64)high[k] & ~more));
            nan -= v != v;
        }
    }
    double lo = inf;
    double hi = -inf;
    for (unsigned k = 0; k < 16; k++) {
        lo = low[k / 4][k % 4] < lo ? low[k / 4][k % 4] : lo;
        hi = high[k / 4][k % 4] > hi ? high[k / 4][k % 4] : hi;
    }
    uint32_t found = (uint32_t)(nan[0] + nan[1] + nan[2] + nan[3]);
    for (; i < count; i++) {
        lo = values[i] < lo ? values[i] : lo;
        hi = values[i] > hi ? values[i] : hi;
        found += values[i] != values[i];
    }
    *min = lo;
    *max = hi;
    *nans = found;
}

static void
range_f32(const float *values, uint32_t count, double *min, double *max, uint32_t *nans)
{
    float lo = __builtin_inff();
    float hi = -__builtin_inff();
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        lo = values[i] < lo ? values[i] : lo;
        hi = values[i] > hi ? values[i] : hi;
        found += values[i] != values[i];
    }
    *min = (double)lo;
    *max = (double)hi;
    *nans = found;
}

void
la_floats_range(la_floats values, uint32_t count, double *min, double *max, bool *any,
                bool *nan)
{
    double lo, hi;
    uint32_t nans;
    if (values.f64 != NULL) {
        range_f64(values.f64, count, &lo, &hi, &nans);
    }
    else {
        range_f32(values.f32, count, &lo, &hi, &nans);
    }
    *nan = *nan || nans > 0;
    if (nans == count) {
        return;
    }
    *min = !*any || lo < *min ? lo + 0.0 : *min;
    *max = !*any || hi > *max ? hi + 0.0 : *max;
    *any = true;
}

/* ----------------------------------------------------------------------- scaling */

static bool
comes_back(double x, double power, bool is_f32)
{
    double scaled = x * power;
    double rounded = (scaled + MAGIC) - MAGIC;
    double back = rounded / power;
    if (!(scaled < LIMIT && scaled > -LIMIT)) {
        return false;
    }
    if (is_f32) {
        float narrow = (float)back;
        return bits_of((double)narrow) == bits_of(x);
    }
    return bits_of(back) == bits_of(x);
}

unsigned
la_decimal_exponent(const double *samples, uint32_t count, bool is_f32)
{
    unsigned best = LA_DECIMAL_RAW;
    uint32_t best_odd = count / 4 + 1;
    for (unsigned e = 0; e <= LA_DECIMAL_EXPONENT_MAX && best_odd > 0; e++) {
        uint32_t odd = 0;
        for (uint32_t i = 0; i < count && odd < best_odd; i++) {
            odd += !comes_back(samples[i], powers[e], is_f32);
        }
        if (odd < best_odd) {
            best = e;
            best_odd = odd;
        }
    }
    return best;
}

LA_CLONES static uint32_t
split_f64(const double *values, uint32_t count, double power, uint64_t *ints,
          uint64_t *odd)
{
    la_v4i64 sum = {0, 0, 0, 0};
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        la_v4f64 x = *(const la_v4f64 *)(const void *)(values + i);
        la_v4f64 scaled = x * power;
        la_v4f64 shifted = scaled + MAGIC;
        la_v4f64 back = (shifted - MAGIC) / power;
        la_v4i64 fits = (la_v4f64)((la_v4i64)scaled & ABS_BITS) < LIMIT;
        la_v4i64 wrong = ~(fits & ((la_v4i64)back == (la_v4i64)x));
        *(la_v4u64 *)(void *)(ints + i) = (la_v4u64)shifted - MAGIC_BITS;
        *(la_v4i64 *)(void *)(odd + i) = wrong;
        sum -= wrong;
    }
    uint32_t total = (uint32_t)(sum[0] + sum[1] + sum[2] + sum[3]);
    for (; i < count; i++) {
        double shifted = values[i] * power + MAGIC;
        ints[i] = bits_of(shifted) - MAGIC_BITS;
        odd[i] = !comes_back(values[i], power, false);
        total += odd[i] != 0;
    }
    return total;
}

static uint32_t
split_f32(const float *values, uint32_t count, double power, uint64_t *ints,
          uint64_t *odd)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        double x = (double)values[i];
        ints[i] = bits_of(x * power + MAGIC) - MAGIC_BITS;
        odd[i] = !comes_back(x, power, true);
        total += odd[i] != 0;
    }
    return total;
}

uint32_t
la_decimal_split(la_floats values, uint32_t count, unsigned exponent, uint64_t *ints,
                 uint64_t *odd)
{
    uint32_t total = values.f64 != NULL
                         ? split_f64(values.f64, count, powers[exponent], ints, odd)
                         : split_f32(values.f32, count, powers[exponent], ints, odd);
    if (total == 0 || total == count) {
        return total;
    }
    uint32_t first = 0;
    while (odd[first] != 0) {
        first++;
    }
    uint64_t last = ints[first];
    for (uint32_t i = 0; i < count; i++) {
        last = odd[i] != 0 ? last : ints[i];
        ints[i] = last;
    }
    return total;
}

LA_CLONES static void
join_f64(const uint64_t *ints, uint32_t count, double power, double *to)
{
    uint32_t i = 0;
    if (power == 1.0) {
        for (; i + 4 <= count; i += 4) {
            la_v4u64 n = *(const la_v4u64 *)(const void *)(ints + i) + MAGIC_BITS;
            *(la_v4f64 *)(void *)(to + i) = (la_v4f64)n - MAGIC;
        }
    }
    for (; i + 4 <= count; i += 4) {
        la_v4u64 n = *(const la_v4u64 *)(const void *)(ints + i) + MAGIC_BITS;
        *(la_v4f64 *)(void *)(to + i) = ((la_v4f64)n - MAGIC) / power;
    }
    for (; i < count; i++) {
        to[i] = (f64_of(ints[i] + MAGIC_BITS) - MAGIC) / power;
    }
}

void
la_decimal_join64(const uint64_t *ints, uint32_t count, unsigned exponent, double *to)
{
    if (exponent == LA_DECIMAL_RAW) {
        memcpy(to, ints, count * sizeof *to);
        return;
    }
    join_f64(ints, count, powers[exponent], to);
}

void
la_decimal_join32(const uint64_t *ints, uint32_t count, unsigned exponent, float *to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (exponent == LA_DECIMAL_RAW) {
            uint32_t bits = (uint32_t)ints[i];
            memcpy(&to[i], &bits, sizeof bits);
        }
        else {
            double n = f64_of(ints[i] + MAGIC_BITS) - MAGIC;
            to[i] = (float)(n / powers[exponent]);
        }
    }
}

/* ----------------------------------------------------------------------- section */

static size_t
rows_size(uint32_t odd_count)
{
    return ((size_t)odd_count * 2 + 7) / 8 * 8;
}

static size_t
body_start(size_t section, uint32_t count)
{
    return section + LA_DECIMAL_HEAD + (size_t)la_block_count(count) * LA_DECIMAL_ENTRY;
}

size_t
la_decimals_begin(la_buf *to, uint32_t count)
{
    size_t section = to->size;
    la_buf_u32(to, 0);
    la_buf_u32(to, count); /* until la_decimals_end */
    la_buf_zero(to, (size_t)la_block_count(count) * LA_DECIMAL_ENTRY);
    return section;
}

void
la_decimals_block(la_buf *to, size_t section, uint32_t block, unsigned exponent,
                  const uint16_t *rows, const uint64_t *bits, uint32_t odd_count)
{
    if (to->failed) {
        return;
    }
    uint32_t count = la_load_u32(to->data + section + 4);
    uint8_t *entry = to->data + section + LA_DECIMAL_HEAD + block * LA_DECIMAL_ENTRY;
    la_store_u32(entry, (uint32_t)(to->size - body_start(section, count)));
    entry[4] = (uint8_t)odd_count;
    entry[5] = (uint8_t)(odd_count >> 8);
    entry[6] = (uint8_t)exponent;
    la_buf_put(to, rows, odd_count * sizeof *rows);
    la_buf_zero(to, rows_size(odd_count) - odd_count * sizeof *rows);
    la_buf_put(to, bits, odd_count * sizeof *bits);
}

void
la_decimals_end(la_buf *to, size_t section)
{
    if (!to->failed) {
        uint32_t count = la_load_u32(to->data + section + 4);
        size_t body_size = to->size - body_start(section, count);
        la_store_u32(to->data + section, (uint32_t)body_size);
        la_store_u32(to->data + section + 4, 0);
    }
}

bool
la_decimals_open(la_bytes *from, uint32_t count, la_decimals *decimals)
{
    uint32_t body_size = la_bytes_u32(from);
    uint32_t zero = la_bytes_u32(from);
    uint32_t blocks = la_block_count(count);
    const uint8_t *table = la_bytes_take(from, (size_t)blocks * LA_DECIMAL_ENTRY);
    const uint8_t *body = la_bytes_take(from, body_size);
    if (from->bad || zero != 0) {
        return false;
    }
    for (uint32_t b = 0; b < blocks; b++) {
        const uint8_t *entry = table + (size_t)b * LA_DECIMAL_ENTRY;
        uint32_t byte = la_load_u32(entry);
        uint32_t odd_count = entry[4] | (uint32_t)entry[5] << 8;
        if (byte > body_size || odd_count > la_block_rows(count, b) || entry[7] != 0 ||
            rows_size(odd_count) + odd_count * sizeof(uint64_t) > body_size - byte ||
            (entry[6] > LA_DECIMAL_EXPONENT_MAX && entry[6] != LA_DECIMAL_RAW)) {
            return false;
        }
    }
    *decimals = (la_decimals){table, body, body_size, count};
    return true;
}

bool
la_decimals_read(const la_decimals *decimals, uint32_t block, unsigned *exponent,
                 uint16_t *rows, uint64_t *bits, uint32_t *odd_count)
{
    const uint8_t *entry = decimals->table + (size_t)block * LA_DECIMAL_ENTRY;
    const uint8_t *at = decimals->body + la_load_u32(entry);
    uint32_t count = entry[4] | (uint32_t)entry[5] << 8;
    memcpy(rows, at, count * sizeof *rows);
    memcpy(bits, at + rows_size(count), count * sizeof *bits);
    for (uint32_t k = 0; k < count; k++) {
        if (rows[k] >= la_block_rows(decimals->count, block)) {
            return false;
        }
    }
    *exponent = entry[6];
    *odd_count = count;
    return true;
}
