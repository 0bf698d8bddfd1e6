/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: rows of a snapshot, chunk by chunk.
 *
 *   position -> segment -> frame (checked whole) -> pieces (opened) -> blocks (decoded)
 *
 * Invariants
 *  1. A frame's hash is verified before any of its bytes is decoded.
 *  2. A chunk never crosses a frame; it begins anywhere, but decoding begins at a
 *     multiple of LA_BLOCK_ROWS, so a column's pointer may lie inside its buffer.
 *  3. Buffers are made at open: reading allocates nothing but what a larger frame or
 *     packed text needs.
 *  4. A cat code that is handed out is in the chunk's dictionary.
 */
#include <assert.h>

#include "base/error.h"
#include "base/live.h"
#include "codec/codec.h"
#include "log/snapshot.h"

typedef struct reader_column {
    bool used;
    bool open; /* piece is */
    la_type type;
    la_piece piece;
    void *data;
    uint8_t *valid;
    uint32_t *offsets;
} reader_column;

struct la_reader {
    la_snapshot *snapshot;
    uint64_t position, to;
    la_arena arena; /* buffers */
    reader_column *columns;
    /* the frame being read */
    bool in_frame;
    la_frame_view view;
    la_buf scratch;
    la_piece verdicts, targets;
    bool has_verdicts, has_targets;
    /* handed out */
    la_chunk chunk;
    int32_t *verdict_codes;
    uint8_t *verdict_bytes;
    uint64_t *target_values;
};

/* ------------------------------------------------------------ open and close */

static la_status
make_buffers(la_reader *r, const uint8_t *used, la_error *err)
{
    const la_snapshot *s = r->snapshot;
    uint32_t count = s->column_count;
    la_arena *arena = &r->arena;

    r->columns = la_arena_alloc(arena, sizeof *r->columns * count);
    if (r->columns != NULL) {
        memset(r->columns, 0, sizeof *r->columns * count); /* closing looks at them */
    }
    r->chunk.columns = la_arena_alloc(arena, sizeof *r->chunk.columns * count);
    r->verdict_codes = la_arena_alloc(arena, sizeof(int32_t) * LA_CHUNK_ROWS);
    r->verdict_bytes = la_arena_alloc(arena, LA_CHUNK_ROWS);
    r->target_values = la_arena_alloc(arena, sizeof(uint64_t) * LA_CHUNK_ROWS);
    if (r->columns == NULL || r->chunk.columns == NULL || r->verdict_codes == NULL ||
        r->verdict_bytes == NULL || r->target_values == NULL) {
        return la_fail_nomem(err, arena->total);
    }
    memset(r->chunk.columns, 0, sizeof *r->chunk.columns * count);
    for (uint32_t c = 0; c < count; c++) {
        const la_field *field = la_schema_field(s->schema, c);
        reader_column *column = &r->columns[c];
        size_t width = la_type_size(field->type);

        column->type = field->type;
        column->used = used == NULL || used[c] != 0;
        if (!column->used) {
            continue;
        }
        r->chunk.columns[c].type = field->type;
        r->chunk.columns[c].scale = field->scale;
        r->chunk.columns[c].dict = s->dicts[c];
        column->valid = la_arena_alloc(arena, LA_CHUNK_ROWS);
        if (width != 0) {
            column->data = la_arena_alloc(arena, width * LA_CHUNK_ROWS);
        }
        else {
            column->offsets =
                la_arena_alloc(arena, sizeof(uint32_t) * (LA_CHUNK_ROWS + 1));
        }
        if (column->valid == NULL ||
            (column->data == NULL && column->offsets == NULL)) {
            return la_fail_nomem(err, arena->total);
        }
    }
    return LA_OK;
}

la_status
la_reader_open(la_snapshot *snapshot, uint64_t from, uint64_t to, const uint8_t *used,
               la_reader **out, la_error *err)
{
    la_reader *r;
    la_status status;

    if (to > snapshot->end) {
        to = snapshot->end;
    }
    r = la_calloc(snapshot->env, 1, sizeof *r);
    if (r == NULL) {
        return la_fail_nomem(err, sizeof *r);
    }
    r->snapshot = la_snapshot_retain(snapshot);
    r->position = from;
    r->to = to;
    la_arena_init(&r->arena, snapshot->env);
    la_buf_init(&r->scratch, snapshot->env);
    r->chunk.schema = snapshot->schema;
    r->chunk.column_count = snapshot->column_count;
    status = make_buffers(r, used, err);
    if (status != LA_OK) {
        la_reader_close(r);
        return status;
    }
    *out = r;
    return LA_OK;
}

static void
close_frame(la_reader *r)
{
    for (uint32_t c = 0; r->columns != NULL && c < r->chunk.column_count; c++) {
        if (r->columns[c].open) {
            la_piece_close(&r->columns[c].piece);
            r->columns[c].open = false;
        }
    }
    if (r->has_verdicts) {
        la_piece_close(&r->verdicts);
        r->has_verdicts = false;
    }
    if (r->has_targets) {
        la_piece_close(&r->targets);
        r->has_targets = false;
    }
    r->in_frame = false;
}

void
la_reader_close(la_reader *reader)
{
    const la_env *env;

    if (reader == NULL) {
        return;
    }
    env = reader->snapshot->env;
    close_frame(reader);
    la_buf_fini(&reader->scratch);
    la_arena_fini(&reader->arena);
    la_snapshot_release(reader->snapshot);
    la_dealloc(env, reader, sizeof *reader);
}

/* ------------------------------------------------------------------- reading */

static la_status
open_pieces(la_reader *r, la_error *err)
{
    const la_env *env = r->snapshot->env;
    const la_frame_header *header = &r->view.header;
    la_status status;

    for (uint32_t c = 0; c < r->chunk.column_count; c++) {
        reader_column *column = &r->columns[c];

        if (!column->used) {
            continue;
        }
        status = la_frame_piece(env, &r->view, c, column->type, header->rows,
                                &column->piece, err);
        if (status != LA_OK) {
            return status;
        }
        column->open = true;
    }
    if (header->flags & LA_FRAME_VERDICTS) {
        status = la_frame_piece(env, &r->view, LA_PIECE_VERDICTS, LA_T_I32,
                                header->rows, &r->verdicts, err);
        if (status != LA_OK) {
            return status;
        }
        r->has_verdicts = true;
    }
    if (header->flags & LA_FRAME_TARGETS) {
        status = la_frame_piece(env, &r->view, LA_PIECE_TARGETS, LA_T_U64, header->rows,
                                &r->targets, err);
        if (status != LA_OK) {
            return status;
        }
        r->has_targets = true;
    }
    return LA_OK;
}

static la_status
open_frame(la_reader *r, la_error *err)
{
    la_segment *segment;
    uint32_t frame, frames;
    la_status status;

    close_frame(r);
    status =
        la_snapshot_locate(r->snapshot, r->position, &segment, &frame, &frames, err);
    if (status == LA_OK) {
        status = la_segment_load(segment, la_segment_frame(segment, frame), &r->scratch,
                                 &r->view, err);
    }
    if (status == LA_OK) {
        status = open_pieces(r, err);
    }
    if (status != LA_OK) {
        close_frame(r);
        return status;
    }
    r->in_frame = true;
    r->chunk.ingest_us = r->view.header.ingest_us;
    return LA_OK;
}

static la_status
frame_damage(const la_reader *r, const char *what, la_error *err)
{
    la_status status = la_fail_damaged(
        err, r->view.path, r->view.byte, "frame at position %llu has %s",
        (unsigned long long)r->view.header.position, what);
    if (err != NULL) {
        err->position = r->view.header.position;
    }
    return status;
}

/* Greatest code; a null decodes as code 0, which an empty dictionary does not have. */
static bool
codes_fit(const uint32_t *codes, const uint8_t *valid, uint32_t rows, uint32_t count)
{
    uint32_t top = 0;

    for (uint32_t i = 0; i < rows; i++) {
        top = codes[i] > top ? codes[i] : top;
    }
    if (top < count) {
        return true;
    }
    for (uint32_t i = 0; i < rows; i++) {
        if (codes[i] >= count && (valid == NULL || valid[i] != 0 || codes[i] != 0)) {
            return false;
        }
    }
    return true;
}

/* Rows [from, from + rows) of the frame, of which the first `skip` are not wanted. */
static la_status
decode_column(la_reader *r, uint32_t c, uint32_t from, uint32_t rows, uint32_t skip,
              la_error *err)
{
    reader_column *column = &r->columns[c];
    la_column *out = &r->chunk.columns[c];
    la_status status;

    if (column->offsets != NULL) {
        const char *heap;

        status = la_piece_decode_text(&column->piece, from, rows, column->offsets,
                                      column->valid, &heap, err);
        if (status != LA_OK) {
            return status;
        }
        out->data = heap;
        out->offsets = column->offsets + skip;
    }
    else {
        status = la_piece_decode(&column->piece, from, rows, column->data,
                                 column->valid, err);
        if (status != LA_OK) {
            return status;
        }
        out->data = (const uint8_t *)column->data + la_type_size(column->type) * skip;
    }
    out->valid = column->piece.has_nulls ? column->valid + skip : NULL;
    if (column->type == LA_T_CAT &&
        !codes_fit(out->data, out->valid, rows - skip, la_dict_count(out->dict))) {
        return frame_damage(r, "a code that is not in its dictionary", err);
    }
    return LA_OK;
}

static la_status
decode_verdicts(la_reader *r, uint32_t from, uint32_t rows, uint32_t skip,
                la_error *err)
{
    la_status status;

    r->chunk.verdicts = NULL;
    r->chunk.targets = NULL;
    if (!r->has_verdicts) {
        return LA_OK;
    }
    status = la_piece_decode(&r->verdicts, from, rows, r->verdict_codes,
                             r->verdict_bytes, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < rows; i++) {
        if (r->verdict_codes[i] < 0 || r->verdict_codes[i] >= (int32_t)LA_VERDICTS) {
            return frame_damage(r, "an unknown verdict", err);
        }
        r->verdict_bytes[i] = (uint8_t)r->verdict_codes[i];
    }
    r->chunk.verdicts = r->verdict_bytes + skip;
    memset(r->target_values, 0, sizeof(uint64_t) * rows);
    if (r->has_targets) {
        uint8_t *valid =
            (uint8_t *)r->verdict_codes; /* done with; targets have no nulls */

        status = la_piece_decode(&r->targets, from, rows, r->target_values, valid, err);
        if (status != LA_OK) {
            return status;
        }
    }
    r->chunk.targets = r->target_values + skip;
    return LA_OK;
}

la_status
la_reader_next(la_reader *reader, const la_chunk **chunk, la_error *err)
{
    la_reader *r = reader;
    uint32_t row, from, skip, rows;
    la_status status;

    if (r->position >= r->to) {
        r->chunk.rows = 0;
        r->chunk.position = r->position;
        *chunk = &r->chunk;
        return LA_OK;
    }
    if (!r->in_frame || r->position >= r->view.header.position + r->view.header.rows) {
        status = open_frame(r, err);
        if (status != LA_OK) {
            return status;
        }
    }
    row = (uint32_t)(r->position - r->view.header.position);
    skip = row % LA_BLOCK_ROWS;
    from = row - skip;
    rows = r->view.header.rows - from;
    rows = rows < LA_CHUNK_ROWS ? rows : LA_CHUNK_ROWS;
    if (rows - skip > r->to - r->position) {
        rows = skip + (uint32_t)(r->to - r->position);
    }
    assert(rows > skip);
    for (uint32_t c = 0; c < r->chunk.column_count; c++) {
        if (r->columns[c].used) {
            status = decode_column(r, c, from, rows, skip, err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    status = decode_verdicts(r, from, rows, skip, err);
    if (status != LA_OK) {
        return status;
    }
    r->chunk.position = r->position;
    r->chunk.rows = rows - skip;
    r->position += rows - skip;
    *chunk = &r->chunk;
    return LA_OK;
}
