/* SPDX-License-Identifier: Apache-2.0 */
/* Column pieces: which encoding a column gets, its header, and reading it back.
 *
 *   byte  0 magic u8 | type u8 | encoding u8 | flags u8 | rows u32
 *   byte  8 null count u32 | size u32
 *   byte 16 min | byte 24 max           8 bytes each: i64, u64 or f64 bits
 *   byte 32 null mask (flag NULLS): a bit a row, 1 = a value, padded to 8 bytes
 *           body, by encoding: docs/internals/format/columns.md
 *
 * Invariants
 *  1. The bytes are a function of the values, the nulls and the effort alone.
 *  2. A piece's size is a multiple of 8, and the body fills it exactly.
 *  3. After la_piece_open no length inside the piece is believed unchecked. */
#include "base/error.h"
#include "codec/bitpack.h"
#include "codec/simd.h"
#include "codec/state.h"

#define EXPONENT_SAMPLES 64u
#define DECIMAL_ROWS_MIN 16u

la_status
la_codec_new(const la_env *env, la_codec **out, la_error *err)
{
    la_codec *codec = la_calloc(env, 1, sizeof *codec);
    if (codec == NULL) {
        return la_fail_nomem(err, sizeof *codec);
    }
    codec->env = env;
    la_buf_init(&codec->heap, env);
    la_buf_init(&codec->packed, env);
    *out = codec;
    return LA_OK;
}

void
la_codec_free(la_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    la_zstd_fini(codec);
    la_buf_fini(&codec->heap);
    la_buf_fini(&codec->packed);
    la_dealloc(codec->env, codec->slots, 2 * LA_TEXT_DICT_MAX * sizeof(uint32_t));
    la_dealloc(codec->env, codec->codes, LA_FRAME_ROWS_MAX * sizeof(uint32_t));
    la_dealloc(codec->env, codec->firsts, LA_TEXT_DICT_MAX * sizeof(uint32_t));
    la_dealloc(codec->env, codec, sizeof *codec);
}

/* ------------------------------------------------------------------------ encode */

typedef struct header {
    la_encoding encoding;
    uint8_t flags;
    uint32_t null_count;
    uint64_t min, max;
} header;

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES;
}

static bool
is_float(la_type type)
{
    return type == LA_T_F32 || type == LA_T_F64;
}

static uint64_t
sign_flip(la_type type)
{
    return type == LA_T_U64 ? UINT64_C(1) << 63 : 0;
}

static uint64_t
f64_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint32_t
count_nulls(const uint8_t *valid, uint32_t rows)
{
    uint32_t nulls = 0;
    for (uint32_t i = 0; i < rows; i++) {
        nulls += valid[i] == 0;
    }
    return nulls;
}

/* Row `row` as 64 bits: sign-extended for signed types, zero-extended for others. */
static uint64_t
load_value(const la_column *column, uint32_t row)
{
    const uint8_t *data = column->data;
    switch (la_type_size(column->type)) {
    case 1:
        return data[row] != 0;
    case 4: {
        uint32_t v = la_load_u32(data + (size_t)row * 4);
        bool is_signed = column->type == LA_T_I32 || column->type == LA_T_DATE;
        return is_signed ? (uint64_t)(int64_t)(int32_t)v : v;
    }
    default:
        return la_load_u64(data + (size_t)row * 8);
    }
}

/* Whether all values are alike, bit for bit; *value is the first of them. */
static bool
is_constant(const la_column *column, uint32_t rows, const uint8_t *valid,
            uint64_t *value)
{
    uint32_t first = 0;
    while (valid != NULL && valid[first] == 0) {
        first++;
    }
    *value = load_value(column, first);
    for (uint32_t i = first + 1; i < rows; i++) {
        if ((valid == NULL || valid[i] != 0) && load_value(column, i) != *value) {
            return false;
        }
    }
    return true;
}

/* Repeats the value before over every null (the first value over leading ones), so that
 * nulls cost no width. false: there is no value. */
static bool
fill_nulls(uint64_t *values, uint32_t count, const uint8_t *valid)
{
    uint32_t first = 0;
    while (first < count && valid[first] == 0) {
        first++;
    }
    if (first == count) {
        memset(values, 0, count * sizeof *values);
        return false;
    }
    uint64_t last = values[first];
    for (uint32_t i = 0; i < count; i++) {
        last = valid[i] != 0 ? values[i] : last;
        values[i] = last;
    }
    return true;
}

/* Rows of one block as 64-bit integers: the column itself where it is that already. */
static const uint64_t *
stage_block(la_codec *codec, const la_column *column, uint32_t from, uint32_t count,
            const uint8_t *valid, bool *any)
{
    *any = true;
    uint64_t *stage = codec->stage;
    if (la_type_size(column->type) == 8) {
        const uint8_t *at = (const uint8_t *)column->data + (size_t)from * 8;
        if (valid == NULL && (uintptr_t)at % sizeof(uint64_t) == 0) {
            return (const uint64_t *)(const void *)at;
        }
        memcpy(stage, at, count * sizeof *stage);
    }
    else if (column->type == LA_T_I32 || column->type == LA_T_DATE) {
        const uint8_t *at = (const uint8_t *)column->data + (size_t)from * 4;
        for (uint32_t i = 0; i < count; i++) {
            stage[i] = (uint64_t)(int64_t)(int32_t)la_load_u32(at + (size_t)i * 4);
        }
    }
    else {
        const uint8_t *at = (const uint8_t *)column->data + (size_t)from * 4;
        for (uint32_t i = 0; i < count; i++) {
            stage[i] = la_load_u32(at + (size_t)i * 4);
        }
    }
    if (valid != NULL) {
        *any = fill_nulls(stage, count, valid + from);
    }
    return stage;
}

static void
widen_range(header *head, uint64_t flip, uint64_t min, uint64_t max)
{
    bool first = (head->flags & LA_PIECE_RANGE) == 0;
    if (first || (int64_t)(min ^ flip) < (int64_t)(head->min ^ flip)) {
        head->min = min;
    }
    if (first || (int64_t)(max ^ flip) > (int64_t)(head->max ^ flip)) {
        head->max = max;
    }
    head->flags |= LA_PIECE_RANGE;
}

static void
encode_ints(la_codec *codec, const la_column *column, uint32_t rows,
            const uint8_t *valid, la_codec_effort effort, la_buf *to, header *head)
{
    uint64_t flip = sign_flip(column->type);
    uint32_t bits = la_type_size(column->type) == 8 ? 64 : 32;
    unsigned tries = LA_TRY_PATCHES | LA_TRY_DELTA;
    if (effort == LA_EFFORT_OPEN) {
        tries = 0;
    }
    else if (column->type == LA_T_CAT) {
        tries = LA_TRY_PATCHES; /* codes have no order that differences could use */
    }
    head->encoding = LA_ENC_INTS;
    size_t section = la_ints_begin(to, rows);
    for (uint32_t b = 0; b < la_block_count(rows); b++) {
        uint32_t count = la_block_rows(rows, b);
        uint64_t min, max;
        bool any;
        const uint64_t *values =
            stage_block(codec, column, b * LA_BLOCK_ROWS, count, valid, &any);
        la_ints_block(&codec->ints, values, count, bits, flip, tries, to, section, b,
                      &min, &max);
        if (any) {
            widen_range(head, flip, min, max);
        }
    }
    la_ints_end(to, section);
}

static void
encode_bools(const la_column *column, uint32_t rows, const uint8_t *valid, la_buf *to,
             header *head)
{
    size_t size = ((size_t)rows + 63) / 64 * 8;
    size_t at = to->size;
    la_buf_zero(to, size);
    head->encoding = LA_ENC_BITS;
    head->flags |= LA_PIECE_RANGE; /* not constant, so both are there */
    head->min = 0;
    head->max = 1;
    if (to->failed) {
        return;
    }
    uint8_t *bits = to->data + at;
    la_pack_bits(column->data, rows, bits);
    for (uint32_t i = 0; valid != NULL && i < rows; i++) {
        unsigned kept = (unsigned)(valid[i] == 0) << (i % 8);
        bits[i / 8] = (uint8_t)(bits[i / 8] & ~kept);
    }
}

/* One block of floats with nulls filled, as la_floats over aligned memory. */
static la_floats
stage_floats(la_codec *codec, const la_column *column, uint32_t from, uint32_t count,
             const uint8_t *valid, bool *any)
{
    *any = true;
    size_t width = la_type_size(column->type);
    const uint8_t *at = (const uint8_t *)column->data + from * width;
    if (valid != NULL || (uintptr_t)at % width != 0) {
        memcpy(codec->floats, at, count * width);
        at = (const uint8_t *)codec->floats;
    }
    if (valid != NULL && width == 8) {
        memcpy(codec->stage, at, count * width);
        *any = fill_nulls(codec->stage, count, valid + from);
        memcpy(codec->floats, codec->stage, count * width);
    }
    else if (valid != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            codec->stage[i] = la_load_u32(at + (size_t)i * 4);
        }
        *any = fill_nulls(codec->stage, count, valid + from);
        for (uint32_t i = 0; i < count; i++) {
            la_store_u32((uint8_t *)codec->floats + (size_t)i * 4,
                         (uint32_t)codec->stage[i]);
        }
    }
    la_floats values = {NULL, NULL};
    if (width == 8) {
        values.f64 = (const double *)(const void *)at;
    }
    else {
        values.f32 = (const float *)(const void *)at;
    }
    return values;
}

static double
float_at(la_floats values, uint32_t i)
{
    return values.f64 != NULL ? values.f64[i] : (double)values.f32[i];
}

static uint64_t
float_bits(la_floats values, uint32_t i)
{
    if (values.f64 != NULL) {
        return f64_bits(values.f64[i]);
    }
    return la_load_u32(&values.f32[i]);
}

/* The whole column's exponent, from values at fixed places. */
static unsigned
piece_exponent(const la_column *column, uint32_t rows, const uint8_t *valid)
{
    double samples[EXPONENT_SAMPLES];
    uint32_t count = 0;
    bool is_f32 = column->type == LA_T_F32;
    for (uint32_t k = 0; k < EXPONENT_SAMPLES; k++) {
        uint32_t row = (uint32_t)((uint64_t)k * rows / EXPONENT_SAMPLES);
        row = (row + k * 7) % rows;
        if (valid != NULL && valid[row] == 0) {
            continue;
        }
        uint64_t bits = load_value(column, row);
        if (is_f32) {
            float x;
            memcpy(&x, &bits, sizeof x);
            samples[count++] = (double)x;
        }
        else {
            memcpy(&samples[count++], &bits, sizeof(double));
        }
    }
    return count == 0 ? LA_DECIMAL_RAW : la_decimal_exponent(samples, count, is_f32);
}

/* Integers and odd values of one block. A block that differs from the column's habit
 * gets an exponent of its own, or its bits as they are. */
static unsigned
split_block(la_codec *codec, la_floats values, uint32_t count, unsigned exponent,
            uint32_t *odd_count)
{
    *odd_count = count;
    if (exponent != LA_DECIMAL_RAW) {
        *odd_count =
            la_decimal_split(values, count, exponent, codec->stage, codec->odd);
    }
    if (*odd_count > count / 8) {
        double samples[EXPONENT_SAMPLES];
        uint32_t taken = count < EXPONENT_SAMPLES ? count : EXPONENT_SAMPLES;
        for (uint32_t k = 0; k < taken; k++) {
            samples[k] = float_at(values, k * (count / taken));
        }
        unsigned own = la_decimal_exponent(samples, taken, values.f32 != NULL);
        if (own != exponent && own != LA_DECIMAL_RAW) {
            exponent = own;
            *odd_count = la_decimal_split(values, count, own, codec->stage, codec->odd);
        }
    }
    if (exponent == LA_DECIMAL_RAW || *odd_count > count / 4) {
        for (uint32_t i = 0; i < count; i++) {
            codec->stage[i] = float_bits(values, i);
        }
        *odd_count = 0;
        return LA_DECIMAL_RAW;
    }
    return exponent;
}

static void
encode_decimals(la_codec *codec, const la_column *column, uint32_t rows,
                const uint8_t *valid, unsigned habit, la_buf *to, header *head)
{
    double min = 0, max = 0;
    bool any = false, nan = false;
    uint32_t blocks = la_block_count(rows);
    head->encoding = LA_ENC_DECIMAL;
    /* The odd values' section follows the integers', so it is built aside. */
    la_buf *aside = &codec->heap;
    la_buf_clear(aside);
    size_t odd_section = la_decimals_begin(aside, rows);
    size_t section = la_ints_begin(to, rows);
    for (uint32_t b = 0; b < blocks; b++) {
        uint32_t count = la_block_rows(rows, b);
        uint32_t odd_count;
        uint64_t unused_min, unused_max;
        bool filled;
        la_floats values =
            stage_floats(codec, column, b * LA_BLOCK_ROWS, count, valid, &filled);
        if (filled) {
            la_floats_range(values, count, &min, &max, &any, &nan);
        }
        unsigned exponent = split_block(codec, values, count, habit, &odd_count);
        uint32_t found = 0;
        for (uint32_t i = 0; odd_count > 0 && i < count; i++) {
            codec->rows[found] = (uint16_t)i;
            found += codec->odd[i] != 0;
        }
        for (uint32_t k = 0; k < odd_count; k++) {
            codec->odd[k] = float_bits(values, codec->rows[k]);
        }
        la_decimals_block(aside, odd_section, b, exponent, codec->rows, codec->odd,
                          odd_count);
        la_ints_block(&codec->ints, codec->stage, count, 64, 0,
                      LA_TRY_PATCHES | LA_TRY_DELTA, to, section, b, &unused_min,
                      &unused_max);
    }
    la_ints_end(to, section);
    la_decimals_end(aside, odd_section);
    to->failed = to->failed || aside->failed;
    la_buf_put(to, aside->data, aside->size);
    head->flags |= (any ? LA_PIECE_RANGE : 0) | (nan ? LA_PIECE_NAN : 0);
    head->min = any ? f64_bits(min) : 0;
    head->max = any ? f64_bits(max) : 0;
}

static void
encode_plain_floats(la_codec *codec, const la_column *column, uint32_t rows,
                    const uint8_t *valid, la_buf *to, header *head)
{
    double min = 0, max = 0;
    bool any = false, nan = false;
    size_t width = la_type_size(column->type);
    size_t at = to->size;
    head->encoding = LA_ENC_PLAIN;
    for (uint32_t b = 0; b < la_block_count(rows); b++) {
        uint32_t count = la_block_rows(rows, b);
        bool filled;
        la_floats values =
            stage_floats(codec, column, b * LA_BLOCK_ROWS, count, valid, &filled);
        if (filled) {
            la_floats_range(values, count, &min, &max, &any, &nan);
        }
    }
    la_buf_put(to, column->data, rows * width);
    la_buf_zero(to, (8 - rows * width % 8) % 8);
    for (uint32_t i = 0; valid != NULL && !to->failed && i < rows; i++) {
        if (valid[i] == 0) {
            memset(to->data + at + i * width, 0, width);
        }
    }
    head->flags |= (any ? LA_PIECE_RANGE : 0) | (nan ? LA_PIECE_NAN : 0);
    head->min = any ? f64_bits(min) : 0;
    head->max = any ? f64_bits(max) : 0;
}

static void
encode_constant(const la_column *column, uint64_t value, la_buf *to, header *head)
{
    head->encoding = LA_ENC_CONSTANT;
    la_buf_u64(to, value);
    if (!is_float(column->type)) {
        widen_range(head, 0, value, value);
        return;
    }
    double x;
    if (column->type == LA_T_F32) {
        float narrow;
        memcpy(&narrow, &value, sizeof narrow);
        x = (double)narrow;
    }
    else {
        memcpy(&x, &value, sizeof x);
    }
    if (x != x) {
        head->flags |= LA_PIECE_NAN;
        return;
    }
    head->flags |= LA_PIECE_RANGE;
    head->min = f64_bits(x + 0.0);
    head->max = head->min;
}

static la_status
encode_body(la_codec *codec, const la_column *column, uint32_t rows,
            const uint8_t *valid, la_codec_effort effort, la_buf *to, header *head,
            la_error *err)
{
    uint64_t value;
    if (is_text(column->type)) {
        return la_text_encode(codec, column, rows, valid, effort, to, &head->encoding,
                              err);
    }
    if (is_constant(column, rows, valid, &value)) {
        encode_constant(column, value, to, head);
    }
    else if (column->type == LA_T_BOOL) {
        encode_bools(column, rows, valid, to, head);
    }
    else if (!is_float(column->type)) {
        encode_ints(codec, column, rows, valid, effort, to, head);
    }
    else {
        unsigned habit = LA_DECIMAL_RAW;
        if (effort == LA_EFFORT_SEALED && rows >= DECIMAL_ROWS_MIN) {
            habit = piece_exponent(column, rows, valid);
        }
        if (habit == LA_DECIMAL_RAW) {
            encode_plain_floats(codec, column, rows, valid, to, head);
        }
        else {
            encode_decimals(codec, column, rows, valid, habit, to, head);
        }
    }
    return LA_OK;
}

static void
put_header(la_buf *to, size_t start, la_type type, uint32_t rows, const header *head)
{
    uint8_t *at = to->data + start;
    at[0] = LA_PIECE_MAGIC;
    at[1] = (uint8_t)type;
    at[2] = (uint8_t)head->encoding;
    at[3] = head->flags;
    la_store_u32(at + 4, rows);
    la_store_u32(at + 8, head->null_count);
    la_store_u32(at + 12, (uint32_t)(to->size - start));
    la_store_u64(at + 16, head->min);
    la_store_u64(at + 24, head->max);
}

la_status
la_codec_encode(la_codec *codec, const la_column *column, uint32_t rows,
                la_codec_effort effort, la_buf *to, la_error *err)
{
    if (rows > LA_FRAME_ROWS_MAX || column->type <= LA_T_NULL ||
        column->type >= LA_T_JSON) {
        return la_fail(err, LA_INVALID, "could not encode %u rows of type %d", rows,
                       (int)column->type);
    }
    size_t start = to->size;
    const uint8_t *valid = column->valid;
    header head = {LA_ENC_CONSTANT, 0, 0, 0, 0};
    head.null_count = valid == NULL ? 0 : count_nulls(valid, rows);
    valid = head.null_count == 0 ? NULL : valid;
    la_status status = LA_OK;
    la_buf_zero(to, LA_PIECE_HEAD);
    if (head.null_count == rows) {
        head.flags = LA_PIECE_ALL_NULL; /* no rows at all, too */
    }
    else {
        if (valid != NULL) {
            size_t mask_size = ((size_t)rows + 63) / 64 * 8;
            head.flags = LA_PIECE_NULLS;
            size_t at = to->size;
            la_buf_zero(to, mask_size);
            if (!to->failed) {
                la_pack_bits(valid, rows, to->data + at);
            }
        }
        status = encode_body(codec, column, rows, valid, effort, to, &head, err);
    }
    if (status == LA_OK && to->failed) {
        status = la_fail_nomem(err, to->size);
    }
    if (status != LA_OK) {
        to->size = start;
        return status;
    }
    put_header(to, start, column->type, rows, &head);
    return LA_OK;
}

/* -------------------------------------------------------------------------- open */

static la_status
damaged(la_error *err, const char *what)
{
    return la_fail(err, LA_DAMAGED, "could not read a column piece: %s", what);
}

static bool
encoding_suits(uint8_t encoding, la_type type)
{
    switch (encoding) {
    case LA_ENC_CONSTANT:
        return true; /* text: all null only, checked by the caller */
    case LA_ENC_PLAIN:
    case LA_ENC_DECIMAL:
        return is_float(type);
    case LA_ENC_INTS:
        return !is_text(type) && !is_float(type) && type != LA_T_BOOL;
    case LA_ENC_BITS:
        return type == LA_T_BOOL;
    case LA_ENC_TEXT:
    case LA_ENC_TEXT_DICT:
        return is_text(type);
    default:
        return false;
    }
}

static bool
take_nulls(la_bytes *from, la_piece *piece)
{
    size_t size = ((size_t)piece->rows + 63) / 64 * 8;
    const uint8_t *mask = la_bytes_take(from, size);
    if (mask == NULL) {
        return false;
    }
    uint64_t ones = 0;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = la_load_u64(mask + i);
        uint64_t rows_left = piece->rows - i * 8;
        if (rows_left < 64 && word >> rows_left != 0) {
            return false; /* bits past the last row */
        }
        ones += (uint64_t)__builtin_popcountll(word);
    }
    piece->nulls = mask;
    return ones == piece->rows - piece->null_count && ones > 0 && ones < piece->rows;
}

static la_status
open_body(const la_env *env, la_bytes *from, la_piece *piece, la_error *err)
{
    size_t width = la_type_size(piece->type);
    size_t size = 0;
    piece->body = from->at;
    switch (piece->encoding) {
    case LA_ENC_TEXT:
    case LA_ENC_TEXT_DICT:
        return la_text_open(env, from, piece, err);
    case LA_ENC_INTS:
        if (!la_ints_open(from, piece->rows, width == 8 ? 64 : 32, &piece->ints)) {
            return damaged(err, "its blocks do not lie inside it");
        }
        return LA_OK;
    case LA_ENC_DECIMAL:
        if (!la_ints_open(from, piece->rows, 64, &piece->ints) ||
            !la_decimals_open(from, piece->rows, &piece->decimals)) {
            return damaged(err, "its blocks do not lie inside it");
        }
        return LA_OK;
    case LA_ENC_BITS:
        size = ((size_t)piece->rows + 63) / 64 * 8;
        break;
    case LA_ENC_PLAIN:
        size = (piece->rows * width + 7) / 8 * 8;
        break;
    default:
        size = sizeof(uint64_t);
        if (piece->type == LA_T_BOOL && la_bytes_left(from) >= size &&
            la_load_u64(from->at) > 1) {
            return damaged(err, "its bool is neither 0 nor 1");
        }
        break;
    }
    return la_bytes_take(from, size) == NULL ? damaged(err, "it is too short") : LA_OK;
}

static void
read_range(la_piece *piece)
{
    uint64_t min = la_load_u64(piece->data + 16);
    uint64_t max = la_load_u64(piece->data + 24);
    piece->has_range = (piece->flags & LA_PIECE_RANGE) != 0;
    if (piece->has_range && is_float(piece->type)) {
        memcpy(&piece->min_f64, &min, sizeof min);
        memcpy(&piece->max_f64, &max, sizeof max);
    }
    else if (piece->has_range) {
        piece->min = (int64_t)min;
        piece->max = (int64_t)max;
    }
}

la_status
la_piece_open(const la_env *env, const uint8_t *data, size_t size, la_type type,
              uint32_t rows, la_piece *piece, la_error *err)
{
    if (size < LA_PIECE_HEAD || size % 8 != 0 || data[0] != LA_PIECE_MAGIC) {
        return damaged(err, "it does not begin as one");
    }
    la_piece opened = {.data = data,
                       .size = size,
                       .type = type,
                       .encoding = data[2],
                       .flags = data[3],
                       .rows = rows,
                       .null_count = la_load_u32(data + 8),
                       .env = env};
    if (rows > LA_FRAME_ROWS_MAX || data[1] != (uint8_t)type ||
        la_load_u32(data + 4) != rows || la_load_u32(data + 12) != size) {
        return damaged(err, "its type, rows or size are not what they should be");
    }
    bool all_null = (opened.flags & LA_PIECE_ALL_NULL) != 0;
    bool some_null = (opened.flags & LA_PIECE_NULLS) != 0;
    if ((opened.flags & ~LA_PIECE_KNOWN_FLAGS) != 0 || (all_null && some_null) ||
        !encoding_suits(opened.encoding, type) ||
        (all_null && opened.encoding != LA_ENC_CONSTANT) ||
        (!all_null && is_text(type) && opened.encoding == LA_ENC_CONSTANT) ||
        (all_null ? opened.null_count != rows : rows == 0) ||
        (!all_null && !some_null && opened.null_count != 0)) {
        return damaged(err, "its header contradicts itself");
    }
    la_bytes from = la_bytes_of(data + LA_PIECE_HEAD, size - LA_PIECE_HEAD);
    opened.has_nulls = opened.null_count > 0;
    if (some_null && !take_nulls(&from, &opened)) {
        return damaged(err, "its null mask is not what it should be");
    }
    la_status status = all_null ? LA_OK : open_body(env, &from, &opened, err);
    if (status == LA_OK && la_bytes_left(&from) != 0) {
        la_piece_close(&opened);
        return damaged(err, "bytes follow its end");
    }
    if (status == LA_OK) {
        read_range(&opened);
        *piece = opened;
    }
    return status;
}

void
la_piece_close(la_piece *piece)
{
    if (piece != NULL && piece->unpacked != NULL) {
        la_dealloc(piece->env, piece->unpacked, piece->unpacked_size);
        piece->unpacked = NULL;
        piece->heap = NULL;
        piece->offsets = NULL;
    }
}

/* ------------------------------------------------------------------------ decode */

static la_status
check_span(const la_piece *piece, uint32_t from, uint32_t rows, la_error *err)
{
    if (from % LA_BLOCK_ROWS != 0 || from > piece->rows || rows > piece->rows - from) {
        return la_fail(err, LA_INVALID,
                       "could not decode rows %u to %llu of a piece of %u rows", from,
                       (unsigned long long)from + rows, piece->rows);
    }
    return LA_OK;
}

static void
decode_valid(const la_piece *piece, uint32_t from, uint32_t rows, uint8_t *valid)
{
    if (piece->nulls != NULL) {
        la_unpack_bits(piece->nulls + from / 8, rows, valid);
    }
    else if (piece->has_nulls) {
        memset(valid, 0, rows);
    }
}

static void
fill(void *data, size_t width, uint32_t count, uint64_t value)
{
    if (width == 1) {
        memset(data, (int)(value & 0xff), count);
        return;
    }
    if (width == 4) {
        la_unpack_tail32(NULL, count, (uint32_t)value, 0, data);
        return;
    }
    la_unpack_tail64(NULL, count, value, 0, data);
}

/* Nulls decode as 0, so that kernels may compute on them freely. */
static void
zero_nulls(void *data, size_t width, uint32_t rows, const uint8_t *valid)
{
    switch (width) {
    case 1:
        for (uint32_t i = 0; i < rows; i++) {
            ((uint8_t *)data)[i] &= valid[i];
        }
        break;
    case 4:
        for (uint32_t i = 0; i < rows; i++) {
            ((la_u32_any *)data)[i] &= (uint32_t)0 - valid[i];
        }
        break;
    default:
        for (uint32_t i = 0; i < rows; i++) {
            ((la_u64_any *)data)[i] &= (uint64_t)0 - valid[i];
        }
        break;
    }
}

static bool
decode_decimal_block(const la_piece *piece, uint32_t block, void *to)
{
    uint64_t ints[LA_BLOCK_ROWS];
    uint64_t bits[LA_BLOCK_ROWS];
    uint16_t rows[LA_BLOCK_ROWS];
    uint32_t odd_count;
    unsigned exponent;
    if (!la_ints_decode64(&piece->ints, block, ints) ||
        !la_decimals_read(&piece->decimals, block, &exponent, rows, bits, &odd_count)) {
        return false;
    }
    uint32_t count = la_block_rows(piece->rows, block);
    size_t width = la_type_size(piece->type);
    if (width == 8) {
        la_decimal_join64(ints, count, exponent, to);
    }
    else {
        la_decimal_join32(ints, count, exponent, to);
    }
    for (uint32_t k = 0; k < odd_count; k++) {
        memcpy((uint8_t *)to + rows[k] * width, &bits[k], width);
    }
    return true;
}

static bool
decode_blocks(const la_piece *piece, uint32_t from, uint32_t rows, uint8_t *data)
{
    size_t width = la_type_size(piece->type);
    uint32_t first = from / LA_BLOCK_ROWS;
    bool sound = true;
    for (uint32_t b = 0; sound && b < la_block_count(rows); b++) {
        void *to = data + (size_t)b * LA_BLOCK_ROWS * width;
        if (piece->encoding == LA_ENC_DECIMAL) {
            sound = decode_decimal_block(piece, first + b, to);
        }
        else if (width == 8) {
            sound = la_ints_decode64(&piece->ints, first + b, to);
        }
        else {
            sound = la_ints_decode32(&piece->ints, first + b, to);
        }
    }
    return sound;
}

la_status
la_piece_decode(const la_piece *piece, uint32_t from, uint32_t rows, void *data,
                uint8_t *valid, la_error *err)
{
    la_status status = check_span(piece, from, rows, err);
    if (status != LA_OK || rows == 0) {
        return status;
    }
    size_t width = la_type_size(piece->type);
    if (width == 0) {
        return la_fail(err, LA_INVALID, "could not decode a text piece as numbers");
    }
    decode_valid(piece, from, rows, valid);
    if ((piece->flags & LA_PIECE_ALL_NULL) != 0) {
        memset(data, 0, rows * width);
        return LA_OK;
    }
    switch (piece->encoding) {
    case LA_ENC_CONSTANT:
        fill(data, width, rows, la_load_u64(piece->body));
        break;
    case LA_ENC_PLAIN:
        memcpy(data, piece->body + from * width, rows * width);
        break;
    case LA_ENC_BITS:
        la_unpack_bits(piece->body + from / 8, rows, data);
        break;
    default:
        if (!decode_blocks(piece, from, rows, data)) {
            return damaged(err, "a patched row lies outside its block");
        }
        break;
    }
    if (piece->has_nulls) {
        zero_nulls(data, width, rows, valid);
    }
    return LA_OK;
}

la_status
la_piece_decode_text(const la_piece *piece, uint32_t from, uint32_t rows,
                     uint32_t *offsets, uint8_t *valid, const char **heap,
                     la_error *err)
{
    la_status status = check_span(piece, from, rows, err);
    if (status != LA_OK) {
        return status;
    }
    if (!is_text(piece->type)) {
        return la_fail(err, LA_INVALID, "could not decode a piece of numbers as text");
    }
    decode_valid(piece, from, rows, valid);
    if ((piece->flags & LA_PIECE_ALL_NULL) != 0) {
        memset(offsets, 0, ((size_t)rows + 1) * sizeof *offsets);
        *heap = "";
        return LA_OK;
    }
    if (piece->offsets != NULL) {
        memcpy(offsets, piece->offsets + from, ((size_t)rows + 1) * sizeof *offsets);
        *heap = piece->heap;
        return LA_OK;
    }
    offsets[0] = 0;
    for (uint32_t b = 0; b < la_block_count(rows); b++) {
        uint32_t ends[LA_BLOCK_ROWS + 1];
        uint32_t at = b * LA_BLOCK_ROWS;
        if (!la_ints_decode_sums(&piece->ints, from / LA_BLOCK_ROWS + b,
                                 piece->heap_size, ends) ||
            (b > 0 && ends[0] != offsets[at])) {
            return damaged(err, "its text ends are out of order");
        }
        memcpy(offsets + at, ends, (la_block_rows(rows, b) + (size_t)1) * sizeof *ends);
    }
    *heap = piece->heap;
    return LA_OK;
}

bool
la_piece_block_range(const la_piece *piece, uint32_t block, int64_t *min, int64_t *max)
{
    bool known = !is_float(piece->type) && !is_text(piece->type) &&
                 (piece->flags & LA_PIECE_ALL_NULL) == 0 &&
                 block < la_block_count(piece->rows);
    if (!known) {
        return false;
    }
    if (piece->encoding == LA_ENC_INTS) {
        uint64_t lo, hi;
        la_ints_range(&piece->ints, block, &lo, &hi);
        *min = (int64_t)lo;
        *max = (int64_t)hi;
        return true;
    }
    *min = piece->min;
    *max = piece->max;
    return piece->has_range;
}
