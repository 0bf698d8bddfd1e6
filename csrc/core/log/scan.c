/* SPDX-License-Identifier: Apache-2.0 */
/* What callers of the public interface ask of a log: scans, quarantined rows, the
 * position of an ingest time. All over a snapshot taken when they begin. */
#include "base/error.h"
#include "base/live.h"
#include "log/snapshot.h"
#include "log/state.h"

struct la_scan {
    const la_env *env;
    la_snapshot *snapshot;
    la_reader *reader;
};

static la_status
used_columns(const la_log *log, const uint32_t *columns, uint32_t count, uint8_t *used,
             la_error *err)
{
    memset(used, columns == NULL, log->column_count);
    for (uint32_t i = 0; columns != NULL && i < count; i++) {
        if (columns[i] >= log->column_count) {
            return la_fail(err, LA_INVALID,
                           "could not scan log \"%s\": it has %u columns, no column %u",
                           log->name, log->column_count, columns[i]);
        }
        used[columns[i]] = 1;
    }
    return LA_OK;
}

la_status
la_scan_open(la_log *log, uint64_t from, uint64_t to, const uint32_t *columns,
             uint32_t column_count, la_scan **out, la_error *err)
{
    uint8_t used[LA_COLUMNS_MAX];
    la_scan *scan;
    la_status status;

    status = used_columns(log, columns, column_count, used, err);
    if (status != LA_OK) {
        return status;
    }
    if (from > to) {
        return la_fail(err, LA_INVALID,
                       "could not scan log \"%s\": position %llu lies behind %llu",
                       log->name, (unsigned long long)from, (unsigned long long)to);
    }
    scan = la_calloc(log->env, 1, sizeof *scan);
    if (scan == NULL) {
        return la_fail_nomem(err, sizeof *scan);
    }
    scan->env = log->env;
    status = la_log_snapshot(log, &scan->snapshot, err);
    if (status == LA_OK) {
        status = la_reader_open(scan->snapshot, from, to, used, &scan->reader, err);
    }
    if (status != LA_OK) {
        la_snapshot_release(scan->snapshot);
        la_dealloc(log->env, scan, sizeof *scan);
        return status;
    }
    la_live_add(LA_LIVE_SCAN, 1);
    *out = scan;
    return LA_OK;
}

la_status
la_scan_next(la_scan *scan, const la_chunk **chunk, la_error *err)
{
    return la_reader_next(scan->reader, chunk, err);
}

void
la_scan_close(la_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    la_reader_close(scan->reader);
    la_snapshot_release(scan->snapshot);
    la_dealloc(scan->env, scan, sizeof *scan);
    la_live_add(LA_LIVE_SCAN, -1);
}

/* ---------------------------------------------------------------- quarantine */

static la_status
text_of(const la_env *env, const la_frame_view *view, uint32_t number, la_type type,
        uint32_t rows, la_piece *piece, la_column *out, la_buf *buffer, la_error *err)
{
    uint32_t whole = (rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
    uint32_t *offsets;
    uint8_t *valid;
    const char *heap;
    la_status status;

    status = la_frame_piece(env, view, number, type, rows, piece, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf_clear(buffer);
    offsets =
        (uint32_t *)la_buf_room(buffer, sizeof(uint32_t) * (whole + 1ull) + whole);
    if (offsets == NULL) {
        la_piece_close(piece);
        return la_fail_nomem(err, sizeof(uint32_t) * (whole + 1ull) + whole);
    }
    valid = (uint8_t *)(offsets + whole + 1);
    status = la_piece_decode_text(piece, 0, rows, offsets, valid, &heap, err);
    if (status != LA_OK) {
        la_piece_close(piece);
        return status;
    }
    *out = (la_column){.type = type,
                       .data = heap,
                       .offsets = offsets,
                       .valid = piece->has_nulls ? valid : NULL};
    return LA_OK;
}

static la_status
put_text(la_builder *builder, uint32_t column, const la_column *from, uint32_t row,
         la_error *err)
{
    size_t size;
    const char *text = from == NULL ? NULL : la_column_text(from, row, &size);

    return text == NULL ? la_builder_null(builder, column, err)
                        : la_builder_text(builder, column, text, size, err);
}

typedef struct gather {
    la_builder *builder;
    la_buf raw, reasons, codes;
    uint64_t from, to;
} gather;

/* The quarantined rows of one frame. */
static la_status
gather_frame(const la_env *env, gather *g, const la_frame_view *view, la_error *err)
{
    const la_frame_header *h = &view->header;
    la_piece verdicts, raw, reasons;
    la_column raw_column, reason_column;
    bool text = (h->flags & LA_FRAME_QUARANTINE) != 0;
    uint32_t whole = (h->rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS * LA_BLOCK_ROWS;
    uint32_t seen = 0;
    int32_t *codes;
    la_status status;

    la_buf_clear(&g->codes);
    codes = (int32_t *)la_buf_room(&g->codes, whole * 5ull);
    if (codes == NULL) {
        return la_fail_nomem(err, whole * 5ull);
    }
    status =
        la_frame_piece(env, view, LA_PIECE_VERDICTS, LA_T_I32, h->rows, &verdicts, err);
    if (status != LA_OK) {
        return status;
    }
    status =
        la_piece_decode(&verdicts, 0, h->rows, codes, (uint8_t *)(codes + whole), err);
    la_piece_close(&verdicts);
    if (status != LA_OK) {
        return status;
    }
    if (text) {
        status = text_of(env, view, LA_PIECE_RAW, LA_T_BYTES, h->quarantined, &raw,
                         &raw_column, &g->raw, err);
        if (status != LA_OK) {
            return status;
        }
        status = text_of(env, view, LA_PIECE_REASONS, LA_T_STR, h->quarantined,
                         &reasons, &reason_column, &g->reasons, err);
        if (status != LA_OK) {
            la_piece_close(&raw);
            return status;
        }
    }
    for (uint32_t i = 0; i < h->rows && status == LA_OK; i++) {
        uint64_t position = h->position + i;

        if (codes[i] != LA_V_QUARANTINED) {
            continue;
        }
        if (seen++ >= h->quarantined) {
            status = la_fail_damaged(err, view->path, view->byte,
                                     "frame has more quarantined rows than it says");
            break;
        }
        if (position < g->from || position >= g->to) {
            continue;
        }
        status = put_text(g->builder, 0, text ? &raw_column : NULL, seen - 1, err);
        if (status == LA_OK) {
            status =
                put_text(g->builder, 1, text ? &reason_column : NULL, seen - 1, err);
        }
        if (status == LA_OK) {
            status = la_builder_int(g->builder, 2, (int64_t)position, err);
        }
    }
    if (text) {
        la_piece_close(&raw);
        la_piece_close(&reasons);
    }
    return status;
}

static la_status
gather_all(la_snapshot *s, gather *g, la_error *err)
{
    la_buf scratch;
    la_status status = LA_OK;
    uint64_t position = g->from;

    la_buf_init(&scratch, s->env);
    while (position < g->to && status == LA_OK) {
        la_segment *segment;
        const la_frame_info *info;
        la_frame_view view;
        uint32_t frame, frames;

        status = la_snapshot_locate(s, position, &segment, &frame, &frames, err);
        if (status != LA_OK) {
            break;
        }
        if (segment->sealed && segment->entry.counts[LA_V_QUARANTINED] == 0) {
            position = segment->entry.end;
            continue;
        }
        info = la_segment_frame(segment, frame);
        if (info->ok != info->rows) {
            status = la_segment_load(segment, info, &scratch, &view, err);
            if (status == LA_OK && view.header.quarantined != 0) {
                status = gather_frame(s->env, g, &view, err);
            }
        }
        position = info->position + info->rows;
    }
    la_buf_fini(&scratch);
    return status;
}

la_status
la_log_quarantine(la_log *log, uint64_t from, uint64_t to, la_chunk **out,
                  la_error *err)
{
    static char raw_name[] = "raw", reason_name[] = "reason",
                position_name[] = "position";
    la_field fields[3] = {{.name = raw_name, .type = LA_T_BYTES, .nullable = true},
                          {.name = reason_name, .type = LA_T_STR, .nullable = true},
                          {.name = position_name, .type = LA_T_U64}};
    const la_schema *schema = NULL;
    la_snapshot *snapshot;
    gather g = {.from = from};
    la_status status;

    status = la_log_snapshot(log, &snapshot, err);
    if (status != LA_OK) {
        return status;
    }
    g.to = to < snapshot->end ? to : snapshot->end;
    la_buf_init(&g.raw, log->env);
    la_buf_init(&g.reasons, log->env);
    la_buf_init(&g.codes, log->env);
    status = la_schema_new(log->env, fields, 3, &schema, err);
    if (status == LA_OK) {
        status = la_builder_new(log->env, schema, &g.builder, err);
    }
    if (status == LA_OK) {
        status = gather_all(snapshot, &g, err);
    }
    if (status == LA_OK) {
        status = la_builder_finish(g.builder, out, err);
    }
    la_builder_free(g.builder);
    if (schema != NULL) {
        la_schema_release(schema);
    }
    la_buf_fini(&g.raw);
    la_buf_fini(&g.reasons);
    la_buf_fini(&g.codes);
    la_snapshot_release(snapshot);
    return status;
}

/* -------------------------------------------------------------- ingest times */

/* First row of the frame whose own ingest time is at or after `us`. */
static la_status
position_in_frame(const la_env *env, const la_segment *segment,
                  const la_frame_info *info, int64_t us, uint64_t *position,
                  la_error *err)
{
    int64_t times[LA_CHUNK_ROWS];
    uint8_t valid[LA_CHUNK_ROWS];
    la_frame_view view;
    la_piece piece;
    la_buf scratch;
    bool opened;
    la_status status;

    *position = info->position;
    la_buf_init(&scratch, env);
    status = la_segment_load(segment, info, &scratch, &view, err);
    if (status != LA_OK || !(view.header.flags & LA_FRAME_INGESTS)) {
        la_buf_fini(&scratch);
        return status;
    }
    status = la_frame_piece(env, &view, LA_PIECE_INGESTS, LA_T_TIME, info->rows, &piece,
                            err);
    opened = status == LA_OK;
    for (uint32_t from = 0; status == LA_OK && from < info->rows;
         from += LA_CHUNK_ROWS) {
        uint32_t rows = info->rows - from;
        bool found = false;

        rows = rows < LA_CHUNK_ROWS ? rows : LA_CHUNK_ROWS;
        status = la_piece_decode(&piece, from, rows, times, valid, err);
        for (uint32_t i = 0; status == LA_OK && i < rows && !found; i++) {
            if (times[i] >= us) {
                *position = info->position + from + i;
                found = true;
            }
        }
        if (found) {
            break;
        }
    }
    if (opened) {
        la_piece_close(&piece);
    }
    la_buf_fini(&scratch);
    return status;
}

/* Frames carry the ingest time of their last row, which never falls. */
static la_status
position_in_segment(const la_env *env, la_segment *segment, uint32_t frames, int64_t us,
                    uint64_t none, uint64_t *position, la_error *err)
{
    uint32_t low = 0, high = frames;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (la_segment_frame(segment, mid)->ingest_us < us) {
            low = mid + 1;
        }
        else {
            high = mid;
        }
    }
    if (low == frames) {
        *position = none;
        return LA_OK;
    }
    return position_in_frame(env, segment, la_segment_frame(segment, low), us, position,
                             err);
}

la_status
la_log_position_at(la_log *log, int64_t ingest_us, uint64_t *position, la_error *err)
{
    la_snapshot *s;
    la_status status;

    status = la_log_snapshot(log, &s, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < s->sealed->count; i++) {
        la_segment *segment = s->sealed->segments[i];

        if (segment->entry.ingest_max >= ingest_us) {
            status = la_segment_index(segment, err);
            if (status == LA_OK) {
                status =
                    position_in_segment(s->env, segment, segment->frame_count,
                                        ingest_us, segment->entry.end, position, err);
            }
            la_snapshot_release(s);
            return status;
        }
    }
    if (s->open != NULL && s->open_frames != 0) {
        status = position_in_segment(s->env, s->open, s->open_frames, ingest_us, s->end,
                                     position, err);
    }
    else {
        *position = s->end;
    }
    la_snapshot_release(s);
    return status;
}
