/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces: every encoding over adversarial columns comes back bit for bit, whole and
 * block by block; bytes that are no piece are refused or decode to something, never
 * more. */
#include <math.h>

#include "chunk/schema.h"
#include "codec/state.h"
#include "test.h"

static const la_env *env;
static la_codec *codec;
static la_error err;
static uint64_t seed;

/* One column of test data; `truth` is what must come back (nulls as 0). */
typedef struct sample {
    la_column column;
    uint32_t rows;
    size_t width;
    uint8_t *data;
    uint8_t *valid;
    uint32_t *offsets;
} sample;

static sample
sample_new(la_type type, uint32_t rows)
{
    sample s = {.rows = rows, .width = la_type_size(type)};
    s.data = calloc((size_t)rows + 1, s.width == 0 ? 1 : s.width);
    s.valid = malloc((size_t)rows + 1);
    s.offsets = calloc((size_t)rows + 1, sizeof(uint32_t));
    memset(s.valid, 1, (size_t)rows + 1);
    s.column = (la_column){.type = type, .data = s.data};
    if (s.width == 0) {
        s.column.offsets = s.offsets;
    }
    return s;
}

static void
sample_free(sample *s)
{
    free(s->data);
    free(s->valid);
    free(s->offsets);
}

static void
put(sample *s, uint32_t row, uint64_t bits)
{
    if (s->width == 1) {
        bits &= 1;
    }
    memcpy(s->data + row * s->width, &bits, s->width);
}

static uint64_t
get(const void *data, size_t width, uint32_t row)
{
    uint64_t bits = 0;
    memcpy(&bits, (const uint8_t *)data + row * width, width);
    return bits;
}

/* The piece in memory that ends 64 bytes after it, as in a frame's last column. */
static uint8_t *
encode(const sample *s, la_codec_effort effort, size_t *size)
{
    la_buf buf;
    la_buf_init(&buf, env);
    la_buf_u64(&buf, 0); /* pieces need not stand at the buffer's start */
    CHECK_OK(la_codec_encode(codec, &s->column, s->rows, effort, &buf, &err), &err);
    CHECK_EQ(buf.size % 8, 0);
    *size = buf.size - 8;
    uint8_t *piece = calloc(1, *size + 64);
    memcpy(piece, buf.data + 8, *size);
    la_buf_fini(&buf);
    return piece;
}

static void
check_range(const sample *s, const la_piece *piece, uint32_t from, uint32_t rows,
            bool block)
{
    bool any = false;
    int64_t min = 0, max = 0;
    int64_t flip = s->column.type == LA_T_U64 ? INT64_MIN : 0;
    if (s->column.type == LA_T_F32 || s->column.type == LA_T_F64) {
        return;
    }
    for (uint32_t i = from; i < from + rows; i++) {
        int64_t v = (int64_t)get(s->data, s->width, i);
        v = s->column.type == LA_T_I32 || s->column.type == LA_T_DATE ? (int32_t)v : v;
        if (s->column.valid == NULL || s->valid[i] != 0) {
            min = !any || (v ^ flip) < (min ^ flip) ? v : min;
            max = !any || (v ^ flip) > (max ^ flip) ? v : max;
            any = true;
        }
    }
    int64_t lo = piece->min, hi = piece->max;
    if (block) {
        CHECK_EQ(la_piece_block_range(piece, from / LA_BLOCK_ROWS, &lo, &hi),
                 piece->has_range);
    }
    if (any) {
        CHECK((lo ^ flip) <= (min ^ flip) && (hi ^ flip) >= (max ^ flip));
        bool exact = piece->encoding == LA_ENC_INTS || !block;
        CHECK(!exact || (lo == min && hi == max));
    }
}

static void
check_rows(const sample *s, const la_piece *piece, uint32_t from, uint32_t rows)
{
    size_t room = ((size_t)rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
    uint8_t *valid = malloc(room + 1);
    if (s->width > 0) {
        uint8_t *data = malloc(room * s->width + 1);
        CHECK_OK(la_piece_decode(piece, from, rows, data, valid, &err), &err);
        for (uint32_t i = 0; i < rows; i++) {
            bool null = s->column.valid != NULL && s->valid[from + i] == 0;
            CHECK_EQ(piece->has_nulls && valid[i] == 0, null);
            CHECK_EQ(get(data, s->width, i),
                     null ? 0 : get(s->data, s->width, from + i));
        }
        free(data);
    }
    else {
        uint32_t *offsets = malloc(((size_t)rows + 1) * sizeof *offsets);
        const char *heap;
        CHECK_OK(la_piece_decode_text(piece, from, rows, offsets, valid, &heap, &err),
                 &err);
        for (uint32_t i = 0; i < rows; i++) {
            bool null = s->column.valid != NULL && s->valid[from + i] == 0;
            uint32_t begin = s->offsets[from + i];
            uint32_t size = null ? 0 : s->offsets[from + i + 1] - begin;
            CHECK_EQ(piece->has_nulls && valid[i] == 0, null);
            CHECK_EQ(offsets[i + 1] - offsets[i], size);
            CHECK_BYTES(heap + offsets[i], s->data + begin, size);
        }
        free(offsets);
    }
    free(valid);
}

static uint8_t
check_sample(const sample *s, la_codec_effort effort)
{
    size_t size, again_size;
    la_piece piece;
    uint8_t *bytes = encode(s, effort, &size);
    uint8_t *again = encode(s, effort, &again_size);
    CHECK_EQ(size, again_size);
    CHECK_BYTES(bytes, again, size);
    CHECK_OK(la_piece_open(env, bytes, size, s->column.type, s->rows, &piece, &err),
             &err);
    check_rows(s, &piece, 0, s->rows);
    check_range(s, &piece, 0, s->rows, false);
    for (uint32_t from = 0; from < s->rows; from += LA_BLOCK_ROWS) {
        uint32_t left = s->rows - from;
        uint32_t rows = left < LA_BLOCK_ROWS ? left : LA_BLOCK_ROWS;
        check_rows(s, &piece, from, rows);
        check_rows(s, &piece, from, rows / 2);
        check_range(s, &piece, from, rows, true);
    }
    uint8_t encoding = piece.encoding;
    la_piece_close(&piece);
    free(bytes);
    free(again);
    return encoding;
}

/* ------------------------------------------------------------------ value shapes */

typedef enum shape {
    SHAPE_CONSTANT,
    SHAPE_RANDOM,
    SHAPE_NARROW,
    SHAPE_SORTED,
    SHAPE_SEQUENCE,
    SHAPE_LATE,     /* sorted but for a few */
    SHAPE_MOSTLY,   /* one value and a few others */
    SHAPE_OUTLIERS, /* narrow but for a few */
    SHAPE_EXTREMES,
    SHAPE_DECIMALS,
    SHAPE_FLOATS,
    SHAPE_COUNT
} shape;

static uint64_t
f64_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t
odd_float(uint64_t *state)
{
    static const uint64_t odd[] = {
        0x0000000000000000, 0x8000000000000000, 0x7ff0000000000000, 0xfff0000000000000,
        0x7ff8000000000000, 0xfff8000000000123, 0x7ff0000000000001, 0x0000000000000001,
        0x800fffffffffffff, 0x7fefffffffffffff, 0x0010000000000000, 0x3ff0000000000001};
    return odd[test_below(state, sizeof odd / sizeof odd[0])];
}

static uint64_t
narrow_float(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    float f = (float)x;
    uint32_t narrow;
    memcpy(&narrow, &f, sizeof narrow);
    return narrow;
}

static void
fill_shape(sample *s, shape kind, uint64_t *state)
{
    uint64_t base = test_next(state);
    uint64_t step = 1 + test_below(state, 1000000);
    uint64_t sum = base;
    unsigned width = (unsigned)test_below(state, 65);
    uint64_t mask = width == 0 ? 0 : UINT64_MAX >> (64 - width);
    static const uint64_t extremes[] = {
        0,         1,         UINT64_MAX,          (uint64_t)INT64_MIN,
        INT64_MAX, INT32_MAX, (uint64_t)INT32_MIN, UINT32_MAX};
    for (uint32_t i = 0; i < s->rows; i++) {
        uint64_t random = test_next(state);
        uint64_t v = base;
        bool few = random % 50 == 0;
        switch (kind) {
        case SHAPE_CONSTANT:
            break;
        case SHAPE_RANDOM:
            v = random;
            break;
        case SHAPE_NARROW:
            v = base + (random & mask);
            break;
        case SHAPE_SORTED:
            v = sum += random % step;
            break;
        case SHAPE_SEQUENCE:
            v = base + i * step;
            break;
        case SHAPE_LATE:
            sum += random % step;
            v = few ? sum - (random >> 20) % (step * 5000) : sum;
            break;
        case SHAPE_MOSTLY:
            v = random % 10 == 0 ? base + random % 40 : base;
            break;
        case SHAPE_OUTLIERS:
            v = few ? random : base + random % 100;
            break;
        case SHAPE_EXTREMES:
            v = extremes[random % 8];
            break;
        case SHAPE_DECIMALS:
            v = few && base % 2 == 0 ? odd_float(state)
                                     : f64_bits((double)(random % 100000) / 100.0);
            break;
        case SHAPE_FLOATS:
        case SHAPE_COUNT:
            v = few ? odd_float(state) : f64_bits((double)(int64_t)random * 1e-7);
            break;
        }
        if (s->column.type == LA_T_F32 && kind >= SHAPE_DECIMALS) {
            v = narrow_float(v);
        }
        put(s, i, v);
    }
}

static void
set_nulls(sample *s, unsigned kind, uint64_t *state)
{
    s->column.valid = kind == 0 ? NULL : s->valid;
    for (uint32_t i = 0; i < s->rows; i++) {
        uint64_t random = test_below(state, 100);
        bool null = (kind == 2 && random < 3) || (kind == 3 && random < 90) ||
                    kind == 4 || (kind == 5 && i / LA_BLOCK_ROWS % 2 == 0);
        s->valid[i] = !null;
    }
}

static const uint32_t row_counts[] = {0,  1,    2,    7,    63,   64,
                                      65, 1023, 1024, 1025, 2048, 5000};
#define ROW_COUNTS (sizeof row_counts / sizeof row_counts[0])

static void
numbers_come_back(void)
{
    static const la_type types[] = {LA_T_BOOL, LA_T_I32,    LA_T_I64,  LA_T_U64,
                                    LA_T_F32,  LA_T_F64,    LA_T_TIME, LA_T_DATE,
                                    LA_T_CAT,  LA_T_DECIMAL};
    uint64_t state = seed;
    unsigned seen = 0;
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        for (unsigned kind = 0; kind < SHAPE_COUNT; kind++) {
            for (size_t r = 0; r < ROW_COUNTS; r++) {
                for (unsigned nulls = 0; nulls < 6; nulls++) {
                    sample s = sample_new(types[t], row_counts[r]);
                    fill_shape(&s, (shape)kind, &state);
                    set_nulls(&s, nulls, &state);
                    seen |= 1u << check_sample(&s, LA_EFFORT_SEALED);
                    seen |= 1u << check_sample(&s, LA_EFFORT_OPEN);
                    sample_free(&s);
                }
            }
        }
    }
    CHECK_EQ(seen, 1u << LA_ENC_CONSTANT | 1u << LA_ENC_PLAIN | 1u << LA_ENC_INTS |
                       1u << LA_ENC_BITS | 1u << LA_ENC_DECIMAL);
}

static void
full_frames_come_back(void)
{
    static const la_type types[] = {LA_T_I64, LA_T_U64, LA_T_F64, LA_T_CAT};
    uint64_t state = seed + 1;
    for (size_t t = 0; t < 4; t++) {
        for (unsigned kind = 0; kind < SHAPE_COUNT; kind++) {
            sample s = sample_new(types[t], LA_FRAME_ROWS_MAX);
            fill_shape(&s, (shape)kind, &state);
            set_nulls(&s, kind % 3, &state);
            (void)check_sample(&s, LA_EFFORT_SEALED);
            sample_free(&s);
        }
    }
}

static void
every_width_of_integers(void)
{
    uint64_t state = seed + 2;
    for (unsigned width = 0; width <= 64; width++) {
        for (uint32_t rows = 1000; rows <= 2048; rows += 524) {
            sample s = sample_new(LA_T_I64, rows);
            uint64_t base = test_next(&state);
            for (uint32_t i = 0; i < rows; i++) {
                uint64_t field = width == 0 ? 0 : test_next(&state) >> (64 - width);
                put(&s, i, base + field);
            }
            (void)check_sample(&s, LA_EFFORT_SEALED);
            sample_free(&s);
        }
    }
}

/* ------------------------------------------------------------------------- sizes */

static size_t
sealed_size(sample *s)
{
    size_t size;
    uint8_t *bytes = encode(s, LA_EFFORT_SEALED, &size);
    free(bytes);
    return size;
}

/* The forms that make a log small are really taken. */
static void
sizes_are_small(void)
{
    uint64_t state = seed + 3;
    uint32_t rows = LA_FRAME_ROWS_MAX;
    sample s = sample_new(LA_T_U64, rows);
    for (uint32_t i = 0; i < rows; i++) {
        put(&s, i, 1000000 + i);
    }
    CHECK(sealed_size(&s) < 3000); /* dense ids: a line per block */
    uint64_t now = 1700000000000000;
    for (uint32_t i = 0; i < rows; i++) {
        now += test_below(&state, 1560000);
        bool late = test_below(&state, 50) == 0;
        put(&s, i, late ? now - test_below(&state, 3600000000) : now);
    }
    CHECK(sealed_size(&s) * 8 <
          26 * (size_t)rows); /* late ones do not widen the rest */
    sample_free(&s);
    s = sample_new(LA_T_CAT, rows);
    for (uint32_t i = 0; i < rows; i++) {
        put(&s, i, test_below(&state, 10) == 0 ? test_below(&state, 38) : 5);
    }
    CHECK(sealed_size(&s) * 8 < 2 * (size_t)rows);
    sample_free(&s);
    s = sample_new(LA_T_F64, rows);
    for (uint32_t i = 0; i < rows; i++) {
        put(&s, i, f64_bits((double)test_below(&state, 20000) / 100.0));
    }
    CHECK(sealed_size(&s) * 8 < 16 * (size_t)rows);
    sample_free(&s);
}

/* -------------------------------------------------------------------------- text */

static sample
text_sample(la_type type, uint32_t rows, unsigned kind, uint64_t *state)
{
    sample s = sample_new(type, rows);
    size_t room = 64, size = 0;
    free(s.data);
    s.data = malloc(room);
    uint32_t first = kind % 2 == 0 ? 0 : 11; /* heaps need not begin at 0 */
    memset(s.data, 'x', room);
    size = first;
    s.offsets[0] = first;
    for (uint32_t i = 0; i < rows; i++) {
        char text[300];
        int length = 0;
        uint64_t random = test_next(state);
        switch (kind / 2) {
        case 0: /* all empty */
            break;
        case 1: /* few different */
            length = snprintf(text, sizeof text, "country %u", (unsigned)(random % 40));
            break;
        case 2: /* all different, compressible */
            length = snprintf(text, sizeof text, "https://example.org/item/%u/%llx", i,
                              (unsigned long long)random % 4096);
            break;
        case 3: /* incompressible, any length, NULs */
            length = (int)(random % 250);
            for (int k = 0; k < length; k++) {
                text[k] = (char)test_next(state);
            }
            break;
        default: /* mostly empty */
            length = random % 9 == 0 ? (int)(random % 5) : 0;
            memset(text, 'a', 8);
            break;
        }
        while (size + (size_t)length > room) {
            room *= 2;
            s.data = realloc(s.data, room);
        }
        memcpy(s.data + size, text, (size_t)length);
        size += (size_t)length;
        s.offsets[i + 1] = (uint32_t)size;
    }
    s.column.data = s.data;
    return s;
}

static void
text_comes_back(void)
{
    uint64_t state = seed + 4;
    unsigned seen = 0;
    for (unsigned kind = 0; kind < 10; kind++) {
        for (size_t r = 0; r < ROW_COUNTS; r++) {
            for (unsigned nulls = 0; nulls < 6; nulls++) {
                la_type type = kind / 2 == 3 ? LA_T_BYTES : LA_T_STR;
                sample s = text_sample(type, row_counts[r], kind, &state);
                set_nulls(&s, nulls, &state);
                seen |= 1u << check_sample(&s, LA_EFFORT_SEALED);
                seen |= 1u << check_sample(&s, LA_EFFORT_OPEN);
                sample_free(&s);
            }
        }
    }
    CHECK_EQ(seen, 1u << LA_ENC_CONSTANT | 1u << LA_ENC_TEXT | 1u << LA_ENC_TEXT_DICT);
}

/* ----------------------------------------------------------------------- hostile */

/* Opens and decodes whatever `bytes` are: any status will do, any access outside will
 * not. */
static void
try_bytes(const uint8_t *bytes, size_t size, la_type type, uint32_t rows)
{
    la_piece piece;
    uint8_t *exact = malloc(size + 64);
    memcpy(exact, bytes, size);
    memset(exact + size, 0x5a, 64);
    if (la_piece_open(env, exact, size, type, rows, &piece, &err) == LA_OK) {
        size_t room = ((size_t)rows + LA_BLOCK_ROWS) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
        size_t width = la_type_size(type);
        uint8_t *valid = malloc(room);
        void *data = malloc((room + 1) * (width == 0 ? 4 : width));
        la_status status;
        if (width > 0) {
            status = la_piece_decode(&piece, 0, rows, data, valid, &err);
        }
        else {
            const char *heap;
            uint32_t *offsets = data;
            status = la_piece_decode_text(&piece, 0, rows, offsets, valid, &heap, &err);
            volatile char sum = 0;
            for (uint32_t i = 0; status == LA_OK && i < rows; i++) {
                CHECK(offsets[i] <= offsets[i + 1]);
                for (uint32_t k = offsets[i]; k < offsets[i + 1]; k++) {
                    sum = (char)(sum + heap[k]);
                }
            }
        }
        CHECK(status == LA_OK || status == LA_DAMAGED);
        int64_t min, max;
        for (uint32_t b = 0; b < rows / LA_BLOCK_ROWS + 2; b++) {
            (void)la_piece_block_range(&piece, b, &min, &max);
        }
        la_piece_close(&piece);
        free(valid);
        free(data);
    }
    free(exact);
}

static void
attack(const sample *s, uint64_t *state)
{
    size_t size;
    uint8_t *bytes = encode(s, LA_EFFORT_SEALED, &size);
    uint8_t *bad = malloc(size);
    for (int round = 0; round < 150; round++) {
        memcpy(bad, bytes, size);
        uint64_t flips = 1 + test_below(state, 4);
        for (uint64_t k = 0; k < flips; k++) {
            /* Half of the damage goes to headers and tables, where lengths stand. */
            size_t reach = test_below(state, 2) == 0 && size > 200 ? 200 : size;
            size_t at = test_below(state, reach);
            bad[at] = test_below(state, 3) == 0
                          ? (uint8_t)(test_below(state, 2) * 0xff)
                          : (uint8_t)(bad[at] ^ 1u << test_below(state, 8));
        }
        try_bytes(bad, size, s->column.type, s->rows);
    }
    for (size_t cut = 0; cut < size; cut += cut < 256 ? 8 : size / 7 / 8 * 8 + 8) {
        memcpy(bad, bytes, size);
        try_bytes(bad, cut, s->column.type, s->rows);
        if (cut >= 16) {
            uint32_t shorter = (uint32_t)cut; /* a header that agrees with the cut */
            memcpy(bad + 12, &shorter, 4);
            try_bytes(bad, cut, s->column.type, s->rows);
        }
    }
    free(bad);
    free(bytes);
}

static void
hostile_pieces_are_harmless(void)
{
    static const la_type types[] = {LA_T_BOOL, LA_T_I32, LA_T_I64, LA_T_F32, LA_T_F64};
    uint64_t state = seed + 5;
    for (uint32_t rows = 100; rows <= 3000; rows += 1100) {
        for (size_t t = 0; t < 5; t++) {
            for (unsigned kind = 0; kind < SHAPE_COUNT; kind++) {
                sample s = sample_new(types[t], rows);
                fill_shape(&s, (shape)kind, &state);
                set_nulls(&s, kind % 3, &state);
                attack(&s, &state);
                sample_free(&s);
            }
        }
        for (unsigned kind = 0; kind < 10; kind++) {
            sample s = text_sample(LA_T_STR, rows, kind, &state);
            set_nulls(&s, kind % 3, &state);
            attack(&s, &state);
            sample_free(&s);
        }
    }
}

static void
wrong_questions_are_refused(void)
{
    sample s = sample_new(LA_T_I64, 2000);
    uint64_t state = seed;
    fill_shape(&s, SHAPE_NARROW, &state);
    size_t size;
    uint8_t *bytes = encode(&s, LA_EFFORT_SEALED, &size);
    la_piece piece;
    static int64_t data[2048];
    CHECK_STATUS(la_piece_open(env, bytes, size, LA_T_U64, 2000, &piece, &err),
                 LA_DAMAGED, &err);
    CHECK_STATUS(la_piece_open(env, bytes, size, LA_T_I64, 1999, &piece, &err),
                 LA_DAMAGED, &err);
    CHECK_OK(la_piece_open(env, bytes, size, LA_T_I64, 2000, &piece, &err), &err);
    CHECK_STATUS(la_piece_decode(&piece, 1, 10, data, NULL, &err), LA_INVALID, &err);
    CHECK_STATUS(la_piece_decode(&piece, 1024, 1000, data, NULL, &err), LA_INVALID,
                 &err);
    CHECK_OK(la_piece_decode(&piece, 1024, 976, data, NULL, &err), &err);
    la_piece_close(&piece);
    free(bytes);
    sample_free(&s);
}

static void
zstd_comes_back(void)
{
    char text[5000], out[5000];
    la_buf packed;
    memset(text, 'q', sizeof text);
    la_buf_init(&packed, env);
    CHECK_OK(la_zstd_pack(codec, text, sizeof text, 3, &packed, &err), &err);
    CHECK(packed.size < 100);
    CHECK_OK(la_zstd_unpack(packed.data, packed.size, out, sizeof out, &err), &err);
    CHECK_BYTES(out, text, sizeof text);
    CHECK_STATUS(la_zstd_unpack(packed.data, packed.size, out, 4999, &err), LA_DAMAGED,
                 &err);
    CHECK_STATUS(la_zstd_unpack(packed.data, packed.size - 1, out, 5000, &err),
                 LA_DAMAGED, &err);
    la_buf_fini(&packed);
}

int
main(void)
{
    env = la_env_system();
    seed = test_seed();
    CHECK_OK(la_codec_new(env, &codec, &err), &err);
    RUN(numbers_come_back);
    RUN(full_frames_come_back);
    RUN(every_width_of_integers);
    RUN(sizes_are_small);
    RUN(text_comes_back);
    RUN(hostile_pieces_are_harmless);
    RUN(wrong_questions_are_refused);
    RUN(zstd_comes_back);
    la_codec_free(codec);
    return test_end();
}
