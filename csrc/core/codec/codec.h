/* SPDX-License-Identifier: Apache-2.0 */
/* Light encodings of one column of up to LA_FRAME_ROWS_MAX rows: a *piece*.
 * Bytes: docs/internals/format/columns.md. Values are stored little-endian, in blocks
 * of LA_BLOCK_ROWS rows with a base and a bit width of their own, so that any block
 * decodes alone. Reading validates: a piece is checked once by la_piece_open, and no
 * input of any bytes can make decoding read or write outside its buffers. */
#ifndef LA_CODEC_CODEC_H
#define LA_CODEC_CODEC_H

#include "codec/doubles.h"
#include "codec/ints.h"

/* Text bytes one piece may hold before compression: bounds what a hostile piece makes a
 * reader allocate. A longer append must be split by rows (la_codec_encode refuses
 * it). */
#define LA_PIECE_HEAP_MAX (256u << 20)

typedef enum la_codec_effort {
    LA_EFFORT_OPEN,  /* small frames of the open segment: cheap to write */
    LA_EFFORT_SEALED /* large blocks: light encodings, zstd on text where it pays */
} la_codec_effort;

/* Scratch that encoding reuses from call to call. */
typedef struct la_codec la_codec;
LA_MUST_CHECK la_status la_codec_new(const la_env *env, la_codec **out, la_error *err);
void la_codec_free(la_codec *codec);

/* Appends one piece (padded to 8 bytes) for rows of `column` to `to`. cat columns store
 * codes. Null rows must hold anything initialised; their values are not kept (they
 * decode as 0). */
LA_MUST_CHECK la_status la_codec_encode(la_codec *codec, const la_column *column,
                                        uint32_t rows, la_codec_effort effort,
                                        la_buf *to, la_error *err);

/* In la_piece.flags: some value of a float piece is NaN (min and max leave NaN out). */
#define LA_PIECE_NAN 8u

typedef struct la_piece {
    const uint8_t *data; /* borrowed */
    size_t size;
    la_type type;
    uint8_t encoding;
    uint8_t flags;
    uint32_t rows;
    bool has_nulls;
    bool has_range;   /* not text: min and max of non-null values (floats: non-NaN) */
    int64_t min, max; /* u64 as bits; doubles are given by min_f64, max_f64 */
    double min_f64, max_f64;
    uint32_t null_count;
    /* private to codec/ */
    const uint8_t *nulls; /* bits; NULL: none or all null */
    const uint8_t *body;
    la_ints ints; /* values, text ends, or codes */
    la_decimals decimals;
    const char *heap;
    uint32_t heap_size;
    const uint32_t *offsets; /* text that was unpacked whole: rows + 1 of them */
    void *unpacked;          /* freed by la_piece_close */
    size_t unpacked_size;
    const la_env *env;
} la_piece;

/* `data` must be readable 64 bytes past `size` (frames guarantee it: unpacking reads
 * whole words). LA_DAMAGED: not a piece of `type` with `rows` rows. */
LA_MUST_CHECK la_status la_piece_open(const la_env *env, const uint8_t *data,
                                      size_t size, la_type type, uint32_t rows,
                                      la_piece *piece, la_error *err);
void la_piece_close(la_piece *piece);

/* Decodes rows [from, from + rows), `from` a multiple of LA_BLOCK_ROWS, into `data`
 * (room for rows rounded up to LA_BLOCK_ROWS values of the type's size) and `valid`
 * (same, bytes; written only when piece->has_nulls). Not for str and bytes. */
LA_MUST_CHECK la_status la_piece_decode(const la_piece *piece, uint32_t from,
                                        uint32_t rows, void *data, uint8_t *valid,
                                        la_error *err);
/* str and bytes: *heap stays valid as long as the piece; offsets (rows + 1) index
 * it. */
LA_MUST_CHECK la_status la_piece_decode_text(const la_piece *piece, uint32_t from,
                                             uint32_t rows, uint32_t *offsets,
                                             uint8_t *valid, const char **heap,
                                             la_error *err);
/* Min and max of one block without decoding it (integer-like types); false: not
 * known. */
bool la_piece_block_range(const la_piece *piece, uint32_t block, int64_t *min,
                          int64_t *max);

/* zstd, for whole byte strings (state blocks, text). The only user of zstd.h. */
LA_MUST_CHECK la_status la_zstd_pack(la_codec *codec, const void *from, size_t size,
                                     int level, la_buf *to, la_error *err);
/* Exactly `raw_size` bytes into `to`; LA_DAMAGED otherwise. Never trusts lengths
 * inside. */
LA_MUST_CHECK la_status la_zstd_unpack(const void *from, size_t size, void *to,
                                       size_t raw_size, la_error *err);

#endif
