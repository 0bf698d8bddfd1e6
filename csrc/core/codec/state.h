/* SPDX-License-Identifier: Apache-2.0 */
/* What codec/ shares inside: the codec's work space, and the bytes of a piece's
 * header. */
#ifndef LA_CODEC_STATE_H
#define LA_CODEC_STATE_H

#include "chunk/schema.h"
#include "codec/codec.h"

/* Header of a piece, 32 bytes: columns.md, "Column piece". */
#define LA_PIECE_MAGIC 0xC5u
#define LA_PIECE_HEAD 32u

/* Numbers are on disk: append only. */
typedef enum la_encoding {
    LA_ENC_CONSTANT = 0,
    LA_ENC_PLAIN = 1,
    LA_ENC_INTS = 2,
    LA_ENC_BITS = 3,
    LA_ENC_DECIMAL = 4,
    LA_ENC_TEXT = 5,
    LA_ENC_TEXT_DICT = 6,
    LA_ENC_COUNT
} la_encoding;

#define LA_PIECE_NULLS 1u    /* a mask follows the header */
#define LA_PIECE_ALL_NULL 2u /* nothing follows the header */
#define LA_PIECE_RANGE 4u    /* min and max are there */
#define LA_PIECE_KNOWN_FLAGS                                                           \
    (LA_PIECE_NULLS | LA_PIECE_ALL_NULL | LA_PIECE_RANGE | LA_PIECE_NAN)

/* Different texts a piece's dictionary may hold; half as many as there are hash
 * slots. */
#define LA_TEXT_DICT_MAX 16384u

struct la_codec {
    const la_env *env;
    void *zstd;       /* ZSTD_CCtx, made at first use */
    la_buf heap;      /* text without nulls' bytes; dictionary entries */
    la_buf packed;    /* zstd's output until it is known to pay */
    uint32_t *slots;  /* hash slots of the text dictionary: entry + 1, 0 = free */
    uint32_t *codes;  /* one a row, LA_FRAME_ROWS_MAX of them */
    uint32_t *firsts; /* the row each entry came from */
    uint64_t stage[LA_BLOCK_ROWS]; /* one block as integers */
    uint64_t odd[LA_BLOCK_ROWS];
    double floats[LA_BLOCK_ROWS];
    uint16_t rows[LA_BLOCK_ROWS];
    la_ints_scratch ints;
};

void la_zstd_fini(la_codec *codec);

/* One text column's body after header and null mask; *encoding says which form it took.
 * `valid` NULL: no nulls. */
LA_MUST_CHECK la_status la_text_encode(la_codec *codec, const la_column *column,
                                       uint32_t rows, const uint8_t *valid,
                                       la_codec_effort effort, la_buf *to,
                                       la_encoding *encoding, la_error *err);
/* Reads that body: checks all, and unpacks what can only be read whole. */
LA_MUST_CHECK la_status la_text_open(const la_env *env, la_bytes *from, la_piece *piece,
                                     la_error *err);

#endif
