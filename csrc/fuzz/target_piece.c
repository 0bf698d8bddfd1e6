/* SPDX-License-Identifier: Apache-2.0 */
/* A column piece. Its size field is made right; type and rows are taken from the piece itself, so
 * that all types are tried. What opens is decoded block by block, and whole. */
#include "chunk/schema.h"
#include "codec/codec.h"
#include "fuzz.h"

#define SLACK 64u /* bytes that a piece may look at behind its end */

static void
decode_values(const la_piece *piece, uint32_t from, uint32_t rows, uint8_t *to,
              uint8_t *valid)
{
    size_t width = la_type_size(piece->type);
    uint8_t block[LA_BLOCK_ROWS * 8], block_valid[LA_BLOCK_ROWS];
    int64_t min, max;

    if (la_piece_decode(piece, from, rows, to, valid, NULL) != LA_OK) {
        return;
    }
    for (uint32_t at = 0; at < rows; at += LA_BLOCK_ROWS) {
        uint32_t n = rows - at < LA_BLOCK_ROWS ? rows - at : LA_BLOCK_ROWS;
        FUZZ_CHECK(la_piece_decode(piece, from + at, n, block, block_valid, NULL) ==
                   LA_OK);
        FUZZ_CHECK(memcmp(to + at * width, block, n * width) == 0);
        FUZZ_CHECK(!piece->has_nulls || memcmp(valid + at, block_valid, n) == 0);
        (void)la_piece_block_range(piece, (from + at) / LA_BLOCK_ROWS, &min, &max);
    }
    for (uint32_t i = 0; piece->type == LA_T_BOOL && i < rows; i++) {
        FUZZ_CHECK(to[i] <= 1);
    }
}

static void
decode_text(const la_piece *piece, uint32_t from, uint32_t rows, uint32_t *offsets,
            uint8_t *valid)
{
    static volatile uint8_t sink;
    const char *heap;

    if (la_piece_decode_text(piece, from, rows, offsets, valid, &heap, NULL) != LA_OK) {
        return;
    }
    for (uint32_t i = 0; i < rows; i++) {
        FUZZ_CHECK(offsets[i] <= offsets[i + 1]);
    }
    for (uint32_t i = offsets[0]; i < offsets[rows]; i += 7) {
        sink ^= (uint8_t)heap[i];
    }
    sink ^= offsets[rows] > offsets[0] ? (uint8_t)heap[offsets[rows] - 1] : 0;
}

static void
decode_all(const la_piece *piece)
{
    size_t room = (piece->rows + LA_BLOCK_ROWS) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
    uint8_t *valid = malloc(room);
    void *to = malloc(room * 8);

    if (la_type_size(piece->type) != 0) {
        decode_values(piece, 0, piece->rows, to, valid);
    }
    else {
        for (uint32_t from = 0; from < piece->rows; from += LA_BLOCK_ROWS) {
            uint32_t rows = piece->rows - from;
            decode_text(piece, from, rows < LA_BLOCK_ROWS ? rows : LA_BLOCK_ROWS, to,
                        valid);
        }
        decode_text(piece, 0, piece->rows, to, valid);
    }
    free(valid);
    free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_piece piece;

    size -= size % 8;
    if (size < 32) {
        return 0;
    }
    fuzz_begin();
    uint8_t *bytes = malloc(size + SLACK);
    memcpy(bytes, data, size);
    memset(bytes + size, 0xa5, SLACK);
    la_store_u32(bytes + 12, (uint32_t)size);
    la_type type = (la_type)(bytes[1] % LA_T_JSON == 0 ? 1 : bytes[1] % LA_T_JSON);
    bytes[1] = (uint8_t)type;
    uint32_t rows = la_load_u32(bytes + 4);
    la_status status = la_piece_open(fuzz_env(), bytes, size, type, rows, &piece, NULL);
    if (status == LA_OK) {
        FUZZ_CHECK(rows <= LA_FRAME_ROWS_MAX && piece.null_count <= rows);
        decode_all(&piece);
        la_piece_close(&piece);
    }
    else {
        FUZZ_CHECK(status == LA_DAMAGED || status == LA_NOMEM);
    }
    free(bytes);
    return fuzz_end();
}
