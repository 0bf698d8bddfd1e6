/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of the codec against plain loops. */
#include "codec/bitpack.h"
#include "test.h"

static uint64_t seed;

static void
every_width_comes_back(void)
{
    static uint64_t in[LA_BLOCK_ROWS], out[LA_BLOCK_ROWS];
    static uint32_t in32[LA_BLOCK_ROWS], out32[LA_BLOCK_ROWS];
    uint64_t state = seed;
    for (unsigned width = 0; width <= 64; width++) {
        uint64_t base = test_next(&state);
        for (unsigned i = 0; i < LA_BLOCK_ROWS; i++) {
            uint64_t field = test_next(&state) & la_width_mask(width);
            in[i] = (i % 5 == 0 ? la_width_mask(width) : field) + base;
            in32[i] = (uint32_t)in[i];
        }
        uint8_t *packed = malloc(width * 128 + 1); /* exact: asan sees one byte more */
        la_pack64(in, base, width, packed);
        la_unpack64(packed, base, width, out);
        CHECK_BYTES(out, in, sizeof in);
        if (width <= 32) {
            for (unsigned i = 0; i < LA_BLOCK_ROWS; i++) {
                in32[i] = (uint32_t)((in[i] - base) + (uint32_t)base);
            }
            la_pack32(in32, (uint32_t)base, width, packed);
            la_unpack32(packed, (uint32_t)base, width, out32);
            CHECK_BYTES(out32, in32, sizeof in32);
        }
        free(packed);
    }
}

/* The layout is format: value i is the (i / L)-th of lane i % L. */
static void
layout_is_transposed(void)
{
    static uint64_t in[LA_BLOCK_ROWS];
    static uint32_t in32[LA_BLOCK_ROWS];
    for (unsigned i = 0; i < LA_BLOCK_ROWS; i++) {
        in[i] = (i * 2654435761u) & 0x1fff;
        in32[i] = (uint32_t)in[i];
    }
    uint64_t packed[13 * 16];
    uint32_t packed32[13 * 32];
    la_pack64(in, 0, 13, (uint8_t *)packed);
    la_pack32(in32, 0, 13, (uint8_t *)packed32);
    for (unsigned i = 0; i < LA_BLOCK_ROWS; i++) {
        unsigned bit = i / 16 * 13;
        for (unsigned k = 0; k < 13; k++, bit++) {
            CHECK_EQ(packed[bit / 64 * 16 + i % 16] >> (bit % 64) & 1, in[i] >> k & 1);
        }
        bit = i / 32 * 13;
        for (unsigned k = 0; k < 13; k++, bit++) {
            CHECK_EQ(packed32[bit / 32 * 32 + i % 32] >> (bit % 32) & 1,
                     in[i] >> k & 1);
        }
    }
}

static void
tails_come_back(void)
{
    uint64_t state = seed + 1;
    for (unsigned width = 0; width <= 64; width++) {
        for (uint32_t count = 1; count < LA_BLOCK_ROWS; count += count < 70 ? 1 : 101) {
            uint64_t in[LA_BLOCK_ROWS], out[LA_BLOCK_ROWS];
            uint32_t out32[LA_BLOCK_ROWS];
            uint64_t base = test_next(&state);
            for (uint32_t i = 0; i < count; i++) {
                in[i] = base + (test_next(&state) & la_width_mask(width));
            }
            uint8_t *packed = malloc(la_packed_size(count, width) + 1);
            la_pack_tail(in, count, base, width, packed);
            la_unpack_tail64(packed, count, base, width, out);
            CHECK_BYTES(out, in, count * sizeof *in);
            la_unpack_tail32(packed, count, (uint32_t)base, width, out32);
            for (uint32_t i = 0; i < count; i++) {
                CHECK_EQ(out32[i], (uint32_t)in[i]);
            }
            free(packed);
        }
    }
}

static void
prefix_sums_are_sums(void)
{
    uint64_t state = seed + 2;
    for (uint32_t count = 0; count <= LA_BLOCK_ROWS; count += count < 10 ? 1 : 78) {
        uint64_t v[LA_BLOCK_ROWS + 1], w[LA_BLOCK_ROWS + 1];
        uint32_t v32[LA_BLOCK_ROWS + 1];
        for (uint32_t i = 0; i < count; i++) {
            v[i] = w[i] = test_next(&state);
            v32[i] = (uint32_t)v[i];
        }
        la_prefix64(v, count, 77);
        la_prefix32(v32, count, 77);
        uint64_t sum = 77;
        for (uint32_t i = 0; i < count; i++) {
            sum += w[i];
            CHECK_EQ(v[i], sum);
            CHECK_EQ(v32[i], (uint32_t)sum);
        }
    }
}

static void
analysis_is_right(void)
{
    uint64_t state = seed + 3;
    for (int round = 0; round < 200; round++) {
        uint64_t v[LA_BLOCK_ROWS], d[LA_BLOCK_ROWS];
        uint32_t count = 1 + (uint32_t)test_below(&state, LA_BLOCK_ROWS);
        uint64_t flip = test_below(&state, 2) << 63;
        unsigned shift = (unsigned)test_below(&state, 64);
        for (uint32_t i = 0; i < count; i++) {
            v[i] = test_next(&state) >> shift;
        }
        int64_t min, max, lo = INT64_MAX, hi = INT64_MIN;
        uint64_t base = v[0];
        uint64_t limits[4] = {0, la_width_mask(64 - shift) / 2, UINT64_MAX / 2,
                              UINT64_MAX};
        uint32_t over[4], expected[4] = {0, 0, 0, 0};
        la_range64(v, count, flip, &min, &max);
        la_deltas64(v, count, d);
        la_count_above64(v, count, base, limits, over);
        CHECK_EQ(d[0], 0);
        for (uint32_t i = 0; i < count; i++) {
            int64_t x = (int64_t)(v[i] ^ flip);
            lo = x < lo ? x : lo;
            hi = x > hi ? x : hi;
            CHECK(i == 0 || d[i] == v[i] - v[i - 1]);
            for (int k = 0; k < 4; k++) {
                expected[k] += v[i] - base > limits[k];
            }
        }
        CHECK_EQ(min, lo);
        CHECK_EQ(max, hi);
        CHECK_BYTES(over, expected, sizeof over);
    }
}

static void
bits_come_back(void)
{
    uint64_t state = seed + 4;
    for (uint32_t count = 1; count < 300; count++) {
        uint8_t bytes[300], out[300], bits[40];
        for (uint32_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)(test_below(&state, 2) * (1 + test_below(&state, 255)));
        }
        la_pack_bits(bytes, count, bits);
        la_unpack_bits(bits, count, out);
        for (uint32_t i = 0; i < count; i++) {
            CHECK_EQ(out[i], bytes[i] != 0);
        }
    }
}

int
main(void)
{
    seed = test_seed();
    RUN(every_width_comes_back);
    RUN(layout_is_transposed);
    RUN(tails_come_back);
    RUN(prefix_sums_are_sums);
    RUN(analysis_is_right);
    RUN(bits_come_back);
    return test_end();
}
