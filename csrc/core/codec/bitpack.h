/* SPDX-License-Identifier: Apache-2.0 */
/* Bit packing of one block of LA_BLOCK_ROWS values, and of shorter tails.
 *
 * Whole blocks are transposed over lanes so that plain vector code packs and unpacks:
 *
 *   T = 32 or 64 bits, L = 1024 / T lanes (32 or 16)
 *   value i is the (i / L)-th value of lane i % L
 *   a lane is T values of `width` bits = `width` words of T bits, low bits first
 *   word k of lane l stands at word k * L + l       -> width * 128 bytes in all
 *
 * Tails (fewer than 1,024 values) are one run of bits, low bits first, in 64-bit
 * words. */
#ifndef LA_CODEC_BITPACK_H
#define LA_CODEC_BITPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

static inline unsigned
la_bit_width(uint64_t value)
{
    return value == 0 ? 0 : 64u - (unsigned)__builtin_clzll(value);
}
static inline uint64_t
la_width_mask(unsigned width)
{
    return width == 0 ? 0 : ~UINT64_C(0) >> (64 - width);
}
/* Bytes of `count` values; the same for tails and whole blocks, up to padding. */
static inline size_t
la_packed_size(uint32_t count, unsigned width)
{
    return ((size_t)count * width + 63) / 64 * 8;
}

/* LA_BLOCK_ROWS values; every value - base must be below 2^width. */
void la_pack64(const uint64_t *from, uint64_t base, unsigned width, uint8_t *to);
void la_pack32(const uint32_t *from, uint32_t base, unsigned width, uint8_t *to);
void la_unpack64(const uint8_t *from, uint64_t base, unsigned width, uint64_t *to);
void la_unpack32(const uint8_t *from, uint32_t base, unsigned width, uint32_t *to);

void la_pack_tail(const uint64_t *from, uint32_t count, uint64_t base, unsigned width,
                  uint8_t *to);
void la_unpack_tail64(const uint8_t *from, uint32_t count, uint64_t base,
                      unsigned width, uint64_t *to);
void la_unpack_tail32(const uint8_t *from, uint32_t count, uint32_t base,
                      unsigned width, uint32_t *to);

/* In place: values[i] = first + values[0] + ... + values[i]. */
void la_prefix64(uint64_t *values, uint32_t count, uint64_t first);
void la_prefix32(uint32_t *values, uint32_t count, uint32_t first);

/* to[i] = first + i * step. */
void la_series64(uint64_t first, uint64_t step, uint32_t count, uint64_t *to);

/* Signed minimum and maximum of values[i] ^ flip, count >= 1. */
void la_range64(const uint64_t *values, uint32_t count, uint64_t flip, int64_t *min,
                int64_t *max);
/* to[i] = values[i] - values[i - 1], to[0] = 0; count >= 1. */
void la_deltas64(const uint64_t *values, uint32_t count, uint64_t *to);
/* counts[k] = how many values have values[i] - base > limits[k] (unsigned), k < 4. */
void la_count_above64(const uint64_t *values, uint32_t count, uint64_t base,
                      const uint64_t limits[4], uint32_t counts[4]);

/* Bytes 0 or not 0 <-> bits, low bit first; whole blocks of up to LA_BLOCK_ROWS. */
void la_pack_bits(const uint8_t *bytes, uint32_t count, uint8_t *to);
void la_unpack_bits(const uint8_t *from, uint32_t count, uint8_t *bytes);

#endif
