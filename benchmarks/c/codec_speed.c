/* SPDX-License-Identifier: Apache-2.0 */
/* How fast and how small is a column? Encode and decode of one frame (65,536 rows) of
 * each column of the reference event, and of the forms that are not in it. One line, from
 * the tree's root:
 *
 *   make -C csrc lib BUILD=release OUT=/tmp/b-speed && gcc -O3 -fno-math-errno -std=c11 -D_GNU_SOURCE -Icsrc/include -Icsrc/core benchmarks/c/codec_speed.c /tmp/b-speed/liblambdaarch.a -lzstd -lxxhash -lcrypto -pthread -o /tmp/codec_speed && /tmp/codec_speed
 *
 * Figures are the best of several rounds, one thread, data in or just behind the cache. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "chunk/schema.h"
#include "codec/codec.h"

#define ROWS LA_FRAME_ROWS_MAX
#define ROUNDS 15

static uint64_t state = 42;
static const la_env *env;
static la_codec *codec;

static uint64_t
next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double
unit(void)
{
    return (double)(next() >> 11) * 0x1p-53;
}

static double
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Code of a Zipf(1.3) rank out of 4,000, by the inverse of its summed weights. */
static uint32_t
zipf(void)
{
    static double sums[4000];
    if (sums[0] == 0) {
        double sum = 0;
        for (int k = 0; k < 4000; k++) {
            /* (k + 1)^-1.3 without libm: a product of square roots is close enough. */
            double x = k + 1, root = __builtin_sqrt(x);
            double r4 = __builtin_sqrt(root), r16 = __builtin_sqrt(__builtin_sqrt(r4));
            sum += 1 / (x * r4 * r16);
            sums[k] = sum;
        }
    }
    double at = unit() * sums[3999];
    uint32_t lo = 0, hi = 3999;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (sums[mid] < at) {
            lo = mid + 1;
        }
        else {
            hi = mid;
        }
    }
    return lo;
}

static void
measure(const char *name, const la_column *column)
{
    static uint64_t out[ROWS];
    static uint32_t offsets[ROWS + 1];
    static uint8_t valid[ROWS];
    double encode = 1e18, decode = 1e18, open = 1e18;
    la_buf buf;
    la_piece piece;
    la_buf_init(&buf, env);
    for (int r = 0; r < ROUNDS; r++) {
        la_buf_clear(&buf);
        double t = now_ns();
        la_status status =
            la_codec_encode(codec, column, ROWS, LA_EFFORT_SEALED, &buf, NULL);
        t = now_ns() - t;
        encode = t < encode ? t : encode;
        size_t size = buf.size;
        la_buf_zero(&buf, 64);
        if (status != LA_OK) {
            abort();
        }
        t = now_ns();
        status = la_piece_open(env, buf.data, size, column->type, ROWS, &piece, NULL);
        t = now_ns() - t;
        open = t < open ? t : open;
        if (status != LA_OK) {
            abort();
        }
        t = now_ns();
        for (uint32_t from = 0; from < ROWS && status == LA_OK; from += LA_CHUNK_ROWS) {
            const char *heap;
            status =
                column->offsets != NULL
                    ? la_piece_decode_text(&piece, from, LA_CHUNK_ROWS, offsets, valid,
                                           &heap, NULL)
                    : la_piece_decode(&piece, from, LA_CHUNK_ROWS, out, valid, NULL);
        }
        t = now_ns() - t;
        decode = t < decode ? t : decode;
        la_piece_close(&piece);
        buf.size = size;
        if (status != LA_OK) {
            abort();
        }
    }
    printf("%-34s %6.2f bits  encode %6.2f  open %6.2f  decode %5.2f ns a row\n", name,
           (double)buf.size * 8 / ROWS, encode / ROWS, open / ROWS, decode / ROWS);
    la_buf_fini(&buf);
}

static uint64_t wide[ROWS];
static uint32_t narrow[ROWS];
static double floats[ROWS];
static float singles[ROWS];
static uint8_t bytes[ROWS], mask[ROWS];
static uint32_t ends[ROWS + 1];
static char heap[ROWS * 40];

static void
measure_text(const char *name, int kind)
{
    size_t at = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        at += (size_t)(kind == 0 ? sprintf(heap + at, "product-%u", zipf())
                                 : sprintf(heap + at, "user%06u@example.org",
                                           (unsigned)(next() % 1000000)));
        ends[i + 1] = (uint32_t)at;
    }
    measure(name, &(la_column){.type = LA_T_STR, .data = heap, .offsets = ends});
}

int
main(void)
{
    env = la_env_system();
    if (la_codec_new(env, &codec, NULL) != LA_OK) {
        return 1;
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        wide[i] = 10000000 + i;
    }
    measure("id: u64, dense", &(la_column){.type = LA_T_U64, .data = wide});
    uint64_t us = 1700000000000000;
    for (uint32_t i = 0; i < ROWS; i++) {
        us += next() % 1555200;
        wide[i] = next() % 50 == 0 ? us - next() % 3600000000u : us;
    }
    measure("time, 2 % up to an hour late",
            &(la_column){.type = LA_T_TIME, .data = wide});
    for (uint32_t i = 0; i < ROWS; i++) {
        narrow[i] = zipf();
    }
    measure("product: cat, 4,000, Zipf 1.3",
            &(la_column){.type = LA_T_CAT, .data = narrow});
    for (uint32_t i = 0; i < ROWS; i++) {
        narrow[i] = next() % 10 == 0 ? (uint32_t)(1 + next() % 37) : 0;
    }
    measure("country: cat, 38, one with 90 %",
            &(la_column){.type = LA_T_CAT, .data = narrow});
    for (uint32_t i = 0; i < ROWS; i++) {
        narrow[i] = (uint32_t)(next() % 100000);
        wide[i] = next() % 100000;
    }
    measure("customer: cat, 100 k", &(la_column){.type = LA_T_CAT, .data = narrow});
    measure("customer: u64, 100 k", &(la_column){.type = LA_T_U64, .data = wide});
    for (uint32_t i = 0; i < ROWS; i++) {
        narrow[i] = (uint32_t)(1 + next() % 10);
    }
    measure("quantity: i32, 1 to 10", &(la_column){.type = LA_T_I32, .data = narrow});
    for (uint32_t i = 0; i < ROWS; i++) {
        floats[i] = (double)(next() % 20000) / 100.0;
        singles[i] = (float)floats[i];
        wide[i] = next() % 20000;
        mask[i] = next() % 20 != 0;
    }
    measure("price: f64, 2 decimals", &(la_column){.type = LA_T_F64, .data = floats});
    measure("price: f64, 2 decimals, 5 % null",
            &(la_column){.type = LA_T_F64, .data = floats, .valid = mask});
    measure("price: f32, 2 decimals", &(la_column){.type = LA_T_F32, .data = singles});
    measure("price: decimal(2)",
            &(la_column){.type = LA_T_DECIMAL, .scale = 2, .data = wide});
    for (uint32_t i = 0; i < ROWS; i++) {
        floats[i] = unit();
        wide[i] = next() >> 20;
        bytes[i] = (uint8_t)(next() & 1);
    }
    measure("f64, random", &(la_column){.type = LA_T_F64, .data = floats});
    measure("i64, 44 random bits", &(la_column){.type = LA_T_I64, .data = wide});
    us = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        wide[i] = us += next() % 1000;
    }
    measure("i64, sorted, steps below 1,000",
            &(la_column){.type = LA_T_I64, .data = wide});
    measure("bool", &(la_column){.type = LA_T_BOOL, .data = bytes});
    measure_text("str, few (dictionary)", 0);
    measure_text("str, many (zstd)", 1);
    la_codec_free(codec);
    return 0;
}
