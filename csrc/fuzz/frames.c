/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include "base/hash.h"

/* The raw hash of a frame's columns, as far as they can be decoded. */
static uint64_t
raw_hash(const la_frame_view *view)
{
    const la_schema *schema = fuzz_schema();
    size_t room = (view->header.rows / LA_BLOCK_ROWS + 1) * LA_BLOCK_ROWS;
    uint64_t h = view->header.position;
    uint8_t *valid = malloc(room);
    void *values = malloc(room * 8);
    uint32_t *sizes = malloc(room * 4);

    for (uint32_t c = 0; c < la_schema_count(schema); c++) {
        la_column column = {.type = la_schema_field(schema, c)->type, .data = values};
        const char *heap;
        la_piece piece;

        if (la_frame_piece(fuzz_env(), view, c, column.type, view->header.rows, &piece,
                           NULL) != LA_OK) {
            break;
        }
        bool text = column.type == LA_T_STR || column.type == LA_T_BYTES;
        uint32_t rows = view->header.rows;
        if (text && la_piece_decode_text(&piece, 0, rows, values, valid, &heap, NULL) ==
                        LA_OK) {
            column.data = heap;
            column.offsets = values;
            for (uint32_t i = 0; i < rows; i++) {
                sizes[i] = column.offsets[i + 1] - column.offsets[i];
            }
        }
        if (text ? column.offsets != NULL
                 : la_piece_decode(&piece, 0, rows, values, valid, NULL) == LA_OK) {
            column.valid = piece.has_nulls ? valid : NULL;
            h = la_raw_hash(h, &column, rows, sizes);
        }
        la_piece_close(&piece);
    }
    free(valid);
    free(values);
    free(sizes);
    return h;
}

size_t
fuzz_repair_frames(uint8_t *bytes, size_t size, uint8_t flags, uint32_t seed,
                   uint32_t epoch, uint64_t *position)
{
    size_t at = 0;
    while (size - at >= LA_FRAME_HEADER + LA_FRAME_TRAILER + 8) {
        uint8_t *h = bytes + at;
        size_t most = (size - at - LA_FRAME_HEADER - LA_FRAME_TRAILER) / 8 * 8;
        uint32_t payload = la_load_u32(h + 24);
        la_frame_header header;
        la_frame_view view;

        payload = payload > most || payload == 0 ? (uint32_t)most : payload / 8 * 8;
        la_store_u32(h, LA_FRAME_MAGIC);
        la_store_u32(h + 24, payload);
        if (flags & FUZZ_FRAME_PLACE) {
            la_store_u64(h + 8, *position);
            la_store_u32(h + 32, epoch);
        }
        la_store_u64(h + 40, la_xxh3(h + LA_FRAME_HEADER, payload, la_load_u64(h + 8)));
        la_store_u32(h + LA_FRAME_HEADER + payload, payload);
        la_store_u32(h + LA_FRAME_HEADER + payload + 4, ~LA_FRAME_MAGIC);
        la_store_u32(h + 4, la_crc32c(seed, h + 8, LA_FRAME_HEADER - 8));
        if ((flags & FUZZ_FRAME_RAW_HASH) &&
            la_frame_read_header(h, seed, &header) == NULL &&
            la_frame_open(h, &header, "", 0, &view, NULL) == LA_OK) {
            la_store_u64(h + 48, raw_hash(&view));
            la_store_u32(h + 4, la_crc32c(seed, h + 8, LA_FRAME_HEADER - 8));
        }
        *position += la_load_u32(h + 16);
        at += LA_FRAME_HEADER + LA_FRAME_TRAILER + (payload > most ? most : payload);
    }
    return at;
}
