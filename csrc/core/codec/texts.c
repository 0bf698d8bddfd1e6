/* SPDX-License-Identifier: Apache-2.0 */
/* Text columns: the body of str and bytes pieces.
 *
 *   TEXT       | sums: ends of rows in the heap | heap |
 *   TEXT_DICT  | entries u32 | total u32 | sums: ends of entries | heap | codes |
 *   heap       | raw size u32 | stored size u32 | bytes, padded to 8 |   (fewer: zstd)
 *
 * A null row has no bytes. Dictionary and compressed heaps are unpacked whole by
 * la_text_open, for rows are given back as offsets into one heap that outlives the
 * call.
 *
 * Invariants
 *  1. Sums never fall, from block to block too, and never pass the heap's size:
 *     decoding checks the first against the block before, each block's last against the
 *     heap.
 *  2. Nothing larger than LA_PIECE_HEAP_MAX is ever allocated for a piece's text. */
#include "base/error.h"
#include "base/hash.h"
#include "codec/bitpack.h"
#include "codec/state.h"

#define DICT_ROWS_MIN 64u
#define ZSTD_LEVEL 1
#define ZSTD_BYTES_MIN 128u
#define ZSTD_SAMPLE_BYTES (16u << 10)
#define HEAP_SLACK 64u /* readable past an unpacked heap: short copies take 16 bytes */

typedef struct text_span {
    const char *at;
    uint32_t size;
} text_span;

static text_span
text_at(const la_column *column, const uint8_t *valid, uint32_t row)
{
    if (valid != NULL && valid[row] == 0) {
        return (text_span){"", 0};
    }
    uint32_t begin = column->offsets[row];
    return (text_span){(const char *)column->data + begin,
                       column->offsets[row + 1] - begin};
}

/* ------------------------------------------------------------------------ encode */

/* Whether `size` bytes at `from` are stored at least a tenth smaller; they are in
 * codec->packed then. Long ones are judged by their beginning first. */
static la_status
try_zstd(la_codec *codec, const void *from, size_t size, bool *pays, la_error *err)
{
    *pays = false;
    if (size < ZSTD_BYTES_MIN) {
        return LA_OK;
    }
    size_t judged = size > 4 * ZSTD_SAMPLE_BYTES ? ZSTD_SAMPLE_BYTES : size;
    la_buf_clear(&codec->packed);
    la_status status =
        la_zstd_pack(codec, from, judged, ZSTD_LEVEL, &codec->packed, err);
    if (status != LA_OK || codec->packed.size > judged - judged / 10) {
        return status;
    }
    if (judged < size) {
        la_buf_clear(&codec->packed);
        status = la_zstd_pack(codec, from, size, ZSTD_LEVEL, &codec->packed, err);
    }
    *pays = status == LA_OK && codec->packed.size <= size - size / 10;
    return status;
}

static la_status
put_heap(la_codec *codec, const void *from, size_t size, la_codec_effort effort,
         la_buf *to, la_error *err)
{
    bool pays = false;
    if (effort == LA_EFFORT_SEALED) {
        la_status status = try_zstd(codec, from, size, &pays, err);
        if (status != LA_OK) {
            return status;
        }
    }
    size_t stored = pays ? codec->packed.size : size;
    la_buf_u32(to, (uint32_t)size);
    la_buf_u32(to, (uint32_t)stored);
    if (stored > 0) {
        la_buf_put(to, pays ? codec->packed.data : from, stored);
    }
    la_buf_zero(to, (8 - stored % 8) % 8);
    return LA_OK;
}

/* Total bytes of non-null rows, and whether they stand together in the column's
 * heap. */
static uint64_t
measure(const la_column *column, uint32_t rows, const uint8_t *valid, bool *together)
{
    uint64_t total = column->offsets[rows] - column->offsets[0];
    *together = true;
    if (valid != NULL) {
        uint64_t all = total;
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t size = column->offsets[i + 1] - column->offsets[i];
            total -= valid[i] == 0 ? size : 0;
        }
        *together = total == all;
    }
    return total;
}

static la_status
encode_plain(la_codec *codec, const la_column *column, uint32_t rows,
             const uint8_t *valid, la_codec_effort effort, bool together,
             uint64_t total, la_buf *to, la_error *err)
{
    size_t section = la_ints_begin(to, rows);
    uint64_t end = 0;
    for (uint32_t b = 0; b < la_block_count(rows); b++) {
        uint32_t from = b * LA_BLOCK_ROWS;
        uint32_t count = la_block_rows(rows, b);
        uint64_t first = end;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = column->offsets[from + i + 1] - column->offsets[from + i];
            size = valid != NULL && valid[from + i] == 0 ? 0 : size;
            codec->stage[i] = size;
            end += size;
        }
        la_ints_block_sums(&codec->ints, codec->stage, count, first, to, section, b);
    }
    la_ints_end(to, section);
    if (together) {
        const char *heap = total == 0 ? "" : (const char *)column->data;
        return put_heap(codec, heap + (total == 0 ? 0 : column->offsets[0]), total,
                        effort, to, err);
    }
    la_buf_clear(&codec->heap);
    for (uint32_t i = 0; i < rows; i++) {
        text_span text = text_at(column, valid, i);
        if (text.size > 0) {
            la_buf_put(&codec->heap, text.at, text.size);
        }
    }
    if (codec->heap.failed) {
        return la_fail_nomem(err, total);
    }
    return put_heap(codec, codec->heap.data, total, effort, to, err);
}

static la_status
dict_scratch(la_codec *codec, la_error *err)
{
    const size_t slots_size = 2 * LA_TEXT_DICT_MAX * sizeof(uint32_t);
    const size_t codes_size = LA_FRAME_ROWS_MAX * sizeof(uint32_t);
    if (codec->slots == NULL) {
        codec->slots = la_alloc(codec->env, slots_size);
    }
    if (codec->codes == NULL) {
        codec->codes = la_alloc(codec->env, codes_size);
    }
    if (codec->firsts == NULL) {
        codec->firsts = la_alloc(codec->env, LA_TEXT_DICT_MAX * sizeof(uint32_t));
    }
    bool whole = codec->slots != NULL && codec->codes != NULL && codec->firsts != NULL;
    return whole ? LA_OK : la_fail_nomem(err, slots_size + codes_size);
}

/* Codes of all rows, entries in order of first appearance. 0: too many different
 * ones. */
static uint32_t
number_texts(la_codec *codec, const la_column *column, uint32_t rows,
             const uint8_t *valid)
{
    uint32_t entries_max = rows / 4 < LA_TEXT_DICT_MAX ? rows / 4 : LA_TEXT_DICT_MAX;
    uint32_t slot_count = 64;
    while (slot_count < 2 * entries_max) {
        slot_count *= 2;
    }
    uint32_t entries = 0;
    uint32_t code = 0;
    memset(codec->slots, 0, slot_count * sizeof *codec->slots);
    for (uint32_t row = 0; row < rows; row++) {
        if (row % LA_BLOCK_ROWS == 0 && row > 0 && entries > row / 2 + 256) {
            return 0;
        }
        if (valid == NULL || valid[row] != 0) {
            text_span text = text_at(column, NULL, row);
            uint32_t slot = (uint32_t)la_xxh3(text.at, text.size, 0) & (slot_count - 1);
            for (;; slot = (slot + 1) & (slot_count - 1)) {
                if (codec->slots[slot] == 0) {
                    if (entries == entries_max) {
                        return 0;
                    }
                    codec->firsts[entries] = row;
                    codec->slots[slot] = ++entries;
                    break;
                }
                text_span known =
                    text_at(column, NULL, codec->firsts[codec->slots[slot] - 1]);
                if (known.size == text.size &&
                    (text.size == 0 || memcmp(known.at, text.at, text.size) == 0)) {
                    break;
                }
            }
            code = codec->slots[slot] - 1;
        }
        codec->codes[row] =
            code; /* a null repeats the code before: narrow and ignored */
    }
    return entries;
}

static la_status
encode_dict(la_codec *codec, const la_column *column, uint32_t rows, uint32_t entries,
            uint64_t total, la_codec_effort effort, la_buf *to, la_error *err)
{
    la_buf_u32(to, entries);
    la_buf_u32(to, (uint32_t)total);
    la_buf_clear(&codec->heap);
    size_t section = la_ints_begin(to, entries);
    for (uint32_t b = 0; b < la_block_count(entries); b++) {
        uint32_t count = la_block_rows(entries, b);
        uint64_t first = codec->heap.size;
        for (uint32_t i = 0; i < count; i++) {
            text_span text =
                text_at(column, NULL, codec->firsts[b * LA_BLOCK_ROWS + i]);
            codec->stage[i] = text.size;
            if (text.size > 0) {
                la_buf_put(&codec->heap, text.at, text.size);
            }
        }
        la_ints_block_sums(&codec->ints, codec->stage, count, first, to, section, b);
    }
    la_ints_end(to, section);
    if (codec->heap.failed) {
        return la_fail_nomem(err, total);
    }
    la_status status =
        put_heap(codec, codec->heap.data, codec->heap.size, effort, to, err);
    section = la_ints_begin(to, rows);
    for (uint32_t b = 0; b < la_block_count(rows); b++) {
        uint32_t count = la_block_rows(rows, b);
        uint64_t min, max;
        for (uint32_t i = 0; i < count; i++) {
            codec->stage[i] = codec->codes[b * LA_BLOCK_ROWS + i];
        }
        la_ints_block(&codec->ints, codec->stage, count, 32, 0, LA_TRY_PATCHES, to,
                      section, b, &min, &max);
    }
    la_ints_end(to, section);
    return status;
}

static uint64_t
dict_bytes(const la_codec *codec, const la_column *column, uint32_t rows,
           uint32_t entries)
{
    uint64_t bytes = (uint64_t)la_bit_width(entries - 1) * rows / 8 + entries * 2u;
    for (uint32_t e = 0; e < entries; e++) {
        bytes += text_at(column, NULL, codec->firsts[e]).size;
    }
    return bytes;
}

la_status
la_text_encode(la_codec *codec, const la_column *column, uint32_t rows,
               const uint8_t *valid, la_codec_effort effort, la_buf *to,
               la_encoding *encoding, la_error *err)
{
    bool together;
    uint64_t total = measure(column, rows, valid, &together);
    if (total > LA_PIECE_HEAP_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not encode %u rows of text: %llu bytes, at most %u are "
                       "possible in one frame",
                       rows, (unsigned long long)total, LA_PIECE_HEAP_MAX);
    }
    *encoding = LA_ENC_TEXT;
    if (effort == LA_EFFORT_SEALED && rows >= DICT_ROWS_MIN && total > 0) {
        la_status status = dict_scratch(codec, err);
        if (status != LA_OK) {
            return status;
        }
        uint32_t entries = number_texts(codec, column, rows, valid);
        uint64_t plain = total + rows / 2;
        if (entries > 0 && dict_bytes(codec, column, rows, entries) < plain / 4 * 3) {
            *encoding = LA_ENC_TEXT_DICT;
            return encode_dict(codec, column, rows, entries, total, effort, to, err);
        }
    }
    return encode_plain(codec, column, rows, valid, effort, together, total, to, err);
}

/* -------------------------------------------------------------------------- open */

typedef struct heap_record {
    const uint8_t *at;
    uint32_t raw_size;
    uint32_t stored_size;
} heap_record;

static la_status
damaged(la_error *err, const char *what)
{
    return la_fail(err, LA_DAMAGED, "could not read a text piece: %s", what);
}

static bool
take_heap(la_bytes *from, heap_record *heap)
{
    heap->raw_size = la_bytes_u32(from);
    heap->stored_size = la_bytes_u32(from);
    if (from->bad || heap->stored_size > heap->raw_size ||
        heap->raw_size > LA_PIECE_HEAP_MAX) {
        return false;
    }
    heap->at = la_bytes_take(from, ((size_t)heap->stored_size + 7) / 8 * 8);
    return !from->bad;
}

/* The heap's bytes, in a new block at *unpacked when they were compressed. */
static la_status
read_heap(const la_env *env, const heap_record *heap, const char **at, void **unpacked,
          size_t *unpacked_size, la_error *err)
{
    if (heap->stored_size == heap->raw_size) {
        *at = (const char *)heap->at;
        return LA_OK;
    }
    size_t size = (size_t)heap->raw_size + HEAP_SLACK;
    uint8_t *bytes = la_alloc(env, size);
    if (bytes == NULL) {
        return la_fail_nomem(err, size);
    }
    la_status status =
        la_zstd_unpack(heap->at, heap->stored_size, bytes, heap->raw_size, err);
    if (status != LA_OK) {
        la_dealloc(env, bytes, size);
        return status;
    }
    memset(bytes + heap->raw_size, 0, HEAP_SLACK);
    *at = (const char *)bytes;
    *unpacked = bytes;
    *unpacked_size = size;
    return LA_OK;
}

/* Copies with whole 16-byte moves where both sides have slack. */
static inline void
copy_text(char *to, const char *from, uint32_t size)
{
    if (size <= 16) {
        memcpy(to, from, 16);
    }
    else {
        memcpy(to, from, size);
    }
}

/* Rows' texts one after another behind their offsets. `ends` has entries + 1
 * numbers. */
static la_status
expand(la_piece *piece, const uint32_t *ends, uint32_t entries, const char *heap,
       uint32_t total, la_error *err)
{
    uint32_t rows = piece->rows;
    size_t head = ((size_t)rows + 1 + 15) / 16 * 16 * sizeof(uint32_t);
    size_t size = head + total + HEAP_SLACK;
    uint8_t *bytes = la_alloc(piece->env, size);
    if (bytes == NULL) {
        return la_fail_nomem(err, size);
    }
    uint32_t *offsets = (uint32_t *)(void *)bytes;
    char *to = (char *)bytes + head;
    uint64_t at = 0;
    bool sound = true;
    offsets[0] = 0;
    for (uint32_t b = 0; sound && b < la_block_count(rows); b++) {
        uint32_t codes[LA_BLOCK_ROWS];
        uint32_t from = b * LA_BLOCK_ROWS;
        sound = la_ints_decode32(&piece->ints, b, codes);
        for (uint32_t i = 0; sound && i < la_block_rows(rows, b); i++) {
            uint32_t row = from + i;
            if (piece->nulls == NULL || (piece->nulls[row / 8] >> (row % 8) & 1) != 0) {
                if (codes[i] >= entries) {
                    sound = false;
                    break;
                }
                uint32_t text_size = ends[codes[i] + 1] - ends[codes[i]];
                if (text_size > total - at) {
                    sound = false;
                    break;
                }
                copy_text(to + at, heap + ends[codes[i]], text_size);
                at += text_size;
            }
            offsets[row + 1] = (uint32_t)at;
        }
    }
    if (!sound || at != total) {
        la_dealloc(piece->env, bytes, size);
        return damaged(err, "its codes do not match its dictionary");
    }
    memset(to + total, 0, HEAP_SLACK);
    piece->unpacked = bytes;
    piece->unpacked_size = size;
    piece->offsets = offsets;
    piece->heap = to;
    piece->heap_size = total;
    return LA_OK;
}

static la_status
open_dict(const la_env *env, la_bytes *from, la_piece *piece, la_error *err)
{
    la_ints sums;
    heap_record record;
    uint32_t entries = la_bytes_u32(from);
    uint32_t total = la_bytes_u32(from);
    if (from->bad || entries == 0 || entries > piece->rows ||
        total > LA_PIECE_HEAP_MAX || !la_ints_open(from, entries, 32, &sums) ||
        !take_heap(from, &record) ||
        !la_ints_open(from, piece->rows, 32, &piece->ints)) {
        return damaged(err, "its dictionary is not whole");
    }
    const char *heap;
    void *unpacked = NULL;
    size_t unpacked_size = 0;
    la_status status = read_heap(env, &record, &heap, &unpacked, &unpacked_size, err);
    if (status != LA_OK) {
        return status;
    }
    uint32_t room = la_block_count(entries) * LA_BLOCK_ROWS + 1;
    uint32_t *ends = la_alloc(env, room * sizeof *ends);
    if (ends == NULL) {
        la_dealloc(env, unpacked, unpacked_size);
        return la_fail_nomem(err, room * sizeof *ends);
    }
    bool sound = true;
    uint32_t last = 0;
    for (uint32_t b = 0; sound && b < la_block_count(entries); b++) {
        uint32_t *at = ends + (size_t)b * LA_BLOCK_ROWS;
        sound = la_ints_decode_sums(&sums, b, record.raw_size, at) && at[0] == last;
        last = at[la_block_rows(entries, b)];
    }
    status = sound ? expand(piece, ends, entries, heap, total, err)
                   : damaged(err, "its dictionary is out of order");
    la_dealloc(env, ends, room * sizeof *ends);
    la_dealloc(env, unpacked, unpacked_size);
    return status;
}

la_status
la_text_open(const la_env *env, la_bytes *from, la_piece *piece, la_error *err)
{
    if (piece->encoding == LA_ENC_TEXT_DICT) {
        return open_dict(env, from, piece, err);
    }
    heap_record record;
    if (!la_ints_open(from, piece->rows, 32, &piece->ints) ||
        !take_heap(from, &record)) {
        return damaged(err, "its heap is not whole");
    }
    piece->heap_size = record.raw_size;
    return read_heap(env, &record, &piece->heap, &piece->unpacked,
                     &piece->unpacked_size, err);
}
