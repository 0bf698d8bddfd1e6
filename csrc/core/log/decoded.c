/* SPDX-License-Identifier: Apache-2.0 */
/* Whole frames, decoded and proven: the raw hash was taken from the caller's values, so
 * a match shows that encoder, disk and decoder kept them. */
#include "log/decoded.h"

#include "base/error.h"
#include "chunk/schema.h"

la_status
la_decoded_init(la_decoded *d, const la_env *env, const la_schema *schema,
                la_error *err)
{
    memset(d, 0, sizeof *d);
    d->column_count = la_schema_count(schema);
    d->piece_capacity = d->column_count + 5;
    d->pieces = la_alloc(env, sizeof *d->pieces * d->piece_capacity);
    if (d->pieces == NULL) {
        return la_fail_nomem(err, sizeof *d->pieces * d->piece_capacity);
    }
    d->env = env;
    la_arena_init(&d->arena, env);
    return LA_OK;
}

static void
close_pieces(la_decoded *d)
{
    for (uint32_t i = 0; i < d->piece_count; i++) {
        la_piece_close(&d->pieces[i]);
    }
    d->piece_count = 0;
}

void
la_decoded_fini(la_decoded *d)
{
    if (d->env == NULL) {
        return;
    }
    close_pieces(d);
    la_arena_fini(&d->arena);
    la_dealloc(d->env, d->pieces, sizeof *d->pieces * d->piece_capacity);
    memset(d, 0, sizeof *d);
}

static size_t
whole_blocks(uint32_t rows)
{
    return ((size_t)rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
}

static la_status
decode_piece(la_decoded *d, const la_frame_view *view, uint32_t number, la_type type,
             uint32_t rows, la_column *out, la_error *err)
{
    la_piece *piece = &d->pieces[d->piece_count];
    size_t width = la_type_size(type), room = whole_blocks(rows);
    la_column column = {.type = type};
    uint8_t *valid;
    la_status status;

    status = la_frame_piece(d->env, view, number, type, rows, piece, err);
    if (status != LA_OK) {
        return status;
    }
    d->piece_count++;
    valid = la_arena_alloc(&d->arena, room);
    if (width != 0) {
        void *data = la_arena_alloc(&d->arena, width * room);

        if (data == NULL || valid == NULL) {
            return la_fail_nomem(err, width * room);
        }
        status = la_piece_decode(piece, 0, rows, data, valid, err);
        column.data = data;
    }
    else {
        uint32_t *offsets = la_arena_alloc(&d->arena, sizeof(uint32_t) * (room + 1));
        const char *heap = NULL;

        if (offsets == NULL || valid == NULL) {
            return la_fail_nomem(err, sizeof(uint32_t) * (room + 1));
        }
        status = la_piece_decode_text(piece, 0, rows, offsets, valid, &heap, err);
        column.data = heap;
        column.offsets = offsets;
    }
    column.valid = piece->has_nulls ? valid : NULL;
    *out = column;
    return status;
}

static la_status
decode_verdicts(la_decoded *d, const la_frame_view *view, la_error *err)
{
    const la_frame_header *h = &view->header;
    uint32_t by[8] = {0};
    la_column wide;
    la_status status;

    d->verdicts = NULL;
    if (!(h->flags & LA_FRAME_VERDICTS)) {
        return h->ok == h->rows
                   ? LA_OK
                   : la_fail_damaged(err, view->path, view->byte,
                                     "frame has no verdicts, but rows that are not ok");
    }
    status = decode_piece(d, view, LA_PIECE_VERDICTS, LA_T_I32, h->rows, &wide, err);
    if (status != LA_OK) {
        return status;
    }
    d->verdicts = la_arena_alloc(&d->arena, h->rows);
    if (d->verdicts == NULL) {
        return la_fail_nomem(err, h->rows);
    }
    for (uint32_t i = 0; i < h->rows; i++) {
        int32_t verdict = ((const int32_t *)wide.data)[i];

        if (verdict < 0 || verdict > 7) {
            return la_fail_damaged(err, view->path, view->byte,
                                   "frame has an unknown verdict");
        }
        d->verdicts[i] = (uint8_t)verdict;
        by[verdict]++;
    }
    if (by[LA_V_OK] != h->ok || by[LA_V_DUPLICATE] != h->duplicate ||
        by[LA_V_QUARANTINED] != h->quarantined) {
        return la_fail_damaged(err, view->path, view->byte,
                               "frame has other verdicts than its header says");
    }
    return LA_OK;
}

static la_status
decode_extras(la_decoded *d, const la_frame_view *view, la_error *err)
{
    const la_frame_header *h = &view->header;
    la_column column;
    la_status status = decode_verdicts(d, view, err);

    d->targets = NULL;
    d->ingests = NULL;
    d->raw = d->reasons = (la_column){0};
    if (status == LA_OK && (h->flags & LA_FRAME_TARGETS)) {
        status =
            decode_piece(d, view, LA_PIECE_TARGETS, LA_T_U64, h->rows, &column, err);
        d->targets = status == LA_OK ? (uint64_t *)(uintptr_t)column.data : NULL;
    }
    if (status == LA_OK && (h->flags & LA_FRAME_QUARANTINE)) {
        status = decode_piece(d, view, LA_PIECE_RAW, LA_T_BYTES, h->quarantined,
                              &d->raw, err);
        if (status == LA_OK) {
            status = decode_piece(d, view, LA_PIECE_REASONS, LA_T_STR, h->quarantined,
                                  &d->reasons, err);
        }
    }
    if (status == LA_OK && (h->flags & LA_FRAME_INGESTS)) {
        status =
            decode_piece(d, view, LA_PIECE_INGESTS, LA_T_TIME, h->rows, &column, err);
        d->ingests = status == LA_OK ? (int64_t *)(uintptr_t)column.data : NULL;
    }
    return status;
}

static la_status
hash_column(la_decoded *d, const la_column *column, uint32_t rows, uint64_t *h,
            la_error *err)
{
    uint32_t *sizes = NULL;

    if (column->offsets != NULL) {
        sizes = la_arena_alloc(&d->arena, sizeof(uint32_t) * rows);
        if (sizes == NULL) {
            return la_fail_nomem(err, sizeof(uint32_t) * rows);
        }
        for (uint32_t i = 0; i < rows; i++) {
            sizes[i] = column->offsets[i + 1] - column->offsets[i];
        }
    }
    *h = la_raw_hash(*h, column, rows, sizes);
    return LA_OK;
}

la_status
la_decode_frame(la_decoded *d, const la_schema *schema, const la_frame_view *view,
                la_error *err)
{
    uint64_t h = view->header.position;

    close_pieces(d);
    la_arena_reset(&d->arena);
    d->rows = view->header.rows;
    d->quarantined = view->header.quarantined;
    d->columns = la_arena_alloc(&d->arena, sizeof *d->columns * d->column_count);
    if (d->columns == NULL) {
        return la_fail_nomem(err, sizeof *d->columns * d->column_count);
    }
    for (uint32_t c = 0; c < d->column_count; c++) {
        const la_field *field = la_schema_field(schema, c);
        la_status status =
            decode_piece(d, view, c, field->type, d->rows, &d->columns[c], err);

        d->columns[c].scale = field->scale;
        if (status == LA_OK) {
            status = hash_column(d, &d->columns[c], d->rows, &h, err);
        }
        if (status != LA_OK) {
            return status;
        }
    }
    if (h != view->header.raw_hash) {
        la_status status =
            la_fail_damaged(err, view->path, view->byte,
                            "values of the frame at position %llu are not "
                            "those that were appended",
                            (unsigned long long)view->header.position);
        if (err != NULL) {
            err->position = view->header.position;
        }
        return status;
    }
    return decode_extras(d, view, err);
}
