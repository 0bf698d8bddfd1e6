/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal-scaled floats: x = n / 10^exponent with a small integer n, bit for bit.
 *
 * After ALP (Afroozeh, Kuffó, Boncz: "ALP: Adaptive Lossless floating-Point
 * Compression", SIGMOD 2023), in its division form: a double that was read from decimal
 * text is the correctly rounded quotient n / 10^e, and IEEE division gives exactly that
 * back. (ALP's multiplication by 10^-e is faster and misses some of them.) What does
 * not come back bit for bit, as -0.0, NaN, infinities and long fractions, is stored
 * aside as it is. */
#ifndef LA_CODEC_DOUBLES_H
#define LA_CODEC_DOUBLES_H

#include "codec/ints.h"

#define LA_DECIMAL_HEAD 8u
#define LA_DECIMAL_ENTRY 8u
#define LA_DECIMAL_EXPONENT_MAX 14u
/* Exponent of a block whose integers are the bits themselves. */
#define LA_DECIMAL_RAW 255u

/* One block of floats: 64-bit ones at `f64`, or 32-bit ones at `f32`; the other is
 * NULL. */
typedef struct la_floats {
    const double *f64;
    const float *f32;
} la_floats;

/* Minimum and maximum of what is not NaN (+0.0 for -0.0). *any: there was such a value;
 * *nan: there was a NaN. Adds to what *min, *max, *any, *nan hold. */
void la_floats_range(la_floats values, uint32_t count, double *min, double *max,
                     bool *any, bool *nan);

/* Exponent under which most of `samples` come back, or LA_DECIMAL_RAW where fewer than
 * three quarters do. */
unsigned la_decimal_exponent(const double *samples, uint32_t count, bool is_f32);

/* ints[i] = n of values[i]. Returns how many do not come back; odd[i] is not 0 for
 * those, and their ints are some neighbour's. */
uint32_t la_decimal_split(la_floats values, uint32_t count, unsigned exponent,
                          uint64_t *ints, uint64_t *odd);
/* The reverse, without the odd ones. */
void la_decimal_join64(const uint64_t *ints, uint32_t count, unsigned exponent,
                       double *to);
void la_decimal_join32(const uint64_t *ints, uint32_t count, unsigned exponent,
                       float *to);

/* The odd values of a piece, block by block. Bytes: columns.md, "Decimal section". */
typedef struct la_decimals {
    const uint8_t *table;
    const uint8_t *body;
    uint32_t body_size;
    uint32_t count;
} la_decimals;

size_t la_decimals_begin(la_buf *to, uint32_t count);
void la_decimals_block(la_buf *to, size_t section, uint32_t block, unsigned exponent,
                       const uint16_t *rows, const uint64_t *bits, uint32_t odd_count);
void la_decimals_end(la_buf *to, size_t section);
bool la_decimals_open(la_bytes *from, uint32_t count, la_decimals *decimals);
/* Exponent of block `block`, its odd rows and their bits. false: damaged. */
bool la_decimals_read(const la_decimals *decimals, uint32_t block, unsigned *exponent,
                      uint16_t *rows, uint64_t *bits, uint32_t *odd_count);

#endif
