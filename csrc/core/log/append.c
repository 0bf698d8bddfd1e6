/* SPDX-License-Identifier: Apache-2.0 */
/* Append: a chunk becomes frames of the open segment.
 *
 *   intake (checks, codes) -> verdicts (dedupe) -> frames -> pwrite -> published
 *          -> sync -> durable, acked
 *
 * Invariants
 *  1. An append's frames stand in one segment, so a crash leaves a prefix of them, and
 *     a failure can take them back before anybody saw them.
 *  2. `published` moves when all frames are written, `durable` when a sync that began
 *     after that has returned.
 *  3. A failed append leaves dictionaries and ids as they were; its bytes are
 *     overwritten with zeros, durably. Where that fails too, nobody can say what a
 *     recovery would find: LA_UNKNOWN, and the handle ends.
 *  4. After a failed write the segment takes no more frames: the next append moves what
 *     is good into another file.
 */
#include "base/error.h"
#include "base/file.h"
#include "log/intake.h"

/* Encoded bytes that are written at once. */
#define WRITE_BYTES (4u << 20)
/* Appends up to this size are written into zeros put there before: a sync then has no
 * file size to write. */
#define SMALL_BYTES (64u << 10)
#define ZERO_STEP_MIN (64u << 10)
#define ZERO_STEP_MAX (1u << 20)

typedef struct appending {
    la_intake in;
    la_writer *w;
    uint64_t first;   /* position of row 0 */
    uint64_t start;   /* byte of the first frame */
    uint64_t written; /* bytes handed to pwrite end here */
    uint64_t durable_len;
    int64_t ingest_us;
    int64_t max_time;
    bool small; /* some frame is */
    bool ids_added;
    la_buf infos; /* la_frame_info of each frame */
    la_buf section;
    la_buf raw_heap, raw_offsets, raw_valid, reason_heap, reason_offsets;
    la_column raw, reasons;
    la_column *columns; /* of the frame */
} appending;

/* -------------------------------------------------------------------- frames */

static void
put_section(appending *a, uint32_t frame)
{
    const la_intake *in = &a->in;
    uint32_t columns = in->log->column_count, with = 0;

    la_buf_clear(&a->section);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t c = 0; in->dict_marks != NULL && c < columns; c++) {
            uint32_t after = in->dict_marks[frame * columns + c];
            uint32_t before = frame == 0 ? in->dict_before[c]
                                         : in->dict_marks[(frame - 1) * columns + c];

            if (after == before) {
                continue;
            }
            if (pass == 0) {
                with++;
                continue;
            }
            la_buf_u32(&a->section, c);
            la_buf_u32(&a->section, before);
            la_buf_u32(&a->section, after - before);
            for (uint32_t code = before; code < after; code++) {
                size_t size;
                const char *text = la_dict_get(in->log->dicts[c], code, &size);
                la_buf_varint(&a->section, size);
                la_buf_put(&a->section, text, size);
            }
        }
        if (pass == 0 && with != 0) {
            la_buf_u32(&a->section, with);
        }
    }
    la_buf_align(&a->section, 8);
}

/* Raw text and reasons of the frame's quarantined rows. */
static la_status
put_quarantine(appending *a, uint32_t from, uint32_t to, la_error *err)
{
    la_buf *all[] = {&a->raw_heap, &a->raw_offsets, &a->raw_valid, &a->reason_heap,
                     &a->reason_offsets};
    bool failed = false;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        la_buf_clear(all[i]);
    }
    la_buf_u32(&a->raw_offsets, 0);
    la_buf_u32(&a->reason_offsets, 0);
    for (uint32_t i = from; i < to; i++) {
        bool null;

        if (a->in.verdicts[i] != LA_V_QUARANTINED) {
            continue;
        }
        la_intake_raw(&a->in, i, &a->raw_heap, &null);
        la_buf_u8(&a->raw_valid, !null);
        la_buf_u32(&a->raw_offsets, (uint32_t)a->raw_heap.size);
        la_intake_reason(&a->in, i, &a->reason_heap);
        la_buf_u32(&a->reason_offsets, (uint32_t)a->reason_heap.size);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        failed = failed || all[i]->failed;
    }
    if (failed) {
        return la_fail_nomem(err, a->raw_heap.size + a->reason_heap.size);
    }
    a->raw = (la_column){.type = LA_T_BYTES,
                         .data = a->raw_heap.data == NULL ? (const void *)""
                                                          : a->raw_heap.data,
                         .offsets = (const uint32_t *)a->raw_offsets.data,
                         .valid = a->raw_valid.data};
    a->reasons = (la_column){.type = LA_T_STR,
                             .data = a->reason_heap.data == NULL ? (const void *)""
                                                                 : a->reason_heap.data,
                             .offsets = (const uint32_t *)a->reason_offsets.data};
    return LA_OK;
}

static la_status
frame_rows(appending *a, uint32_t frame, la_frame_rows *out, la_error *err)
{
    la_intake *in = &a->in;
    la_log *log = in->log;
    uint32_t from = in->frames[frame], to = in->frames[frame + 1];
    la_chunk whole = {
        .rows = in->rows, .column_count = log->column_count, .columns = in->columns};
    la_chunk slice;

    la_chunk_slice(&whole, from, to - from, a->columns, &slice);
    put_section(a, frame);
    if (a->section.failed) {
        return la_fail_nomem(err, a->section.capacity);
    }
    *out = (la_frame_rows){.schema = log->def.schema,
                           .time_column = log->def.time_column,
                           .position = a->first + from,
                           .rows = to - from,
                           .columns = a->columns,
                           .ingest_us = a->ingest_us,
                           .max_time = a->max_time,
                           .dict = a->section.data,
                           .dict_size = a->section.size};
    if (in->verdicts != NULL) {
        out->verdicts = in->verdicts + from;
        out->targets = in->targets + from;
    }
    if (in->quarantined != 0) {
        la_status status = put_quarantine(a, from, to, err);
        if (status != LA_OK) {
            return status;
        }
        out->raw = &a->raw;
        out->reasons = &a->reasons;
    }
    return LA_OK;
}

static la_status
write_out(appending *a, la_error *err)
{
    la_segment *open = a->in.log->open;
    la_buf *out = &a->w->out;
    uint64_t at = a->written;
    la_status status;

    a->written = at + out->size; /* also when it fails: so far bytes may have come */
    status = la_file_write(a->in.log->env, open->fd, open->path, out->data, out->size,
                           at, err);
    la_buf_clear(out);
    return status;
}

/* Zeros ahead of small appends. A failure is no failure of the append. */
static void
zero_ahead(appending *a)
{
    static const uint8_t zeros[ZERO_STEP_MIN];
    la_writer *w = a->w;
    const la_segment *open = a->in.log->open;
    uint64_t end = a->start + w->out.size;
    uint64_t step = a->start < ZERO_STEP_MIN   ? ZERO_STEP_MIN
                    : a->start > ZERO_STEP_MAX ? ZERO_STEP_MAX
                                               : a->start;

    if (w->out.size > SMALL_BYTES || end <= w->zeroed_to) {
        return;
    }
    step = (end + step) / ZERO_STEP_MIN * ZERO_STEP_MIN;
    while (w->zeroed_to < step) {
        uint64_t size =
            step - w->zeroed_to < sizeof zeros ? step - w->zeroed_to : sizeof zeros;

        if (la_file_write(a->in.log->env, open->fd, open->path, zeros, (size_t)size,
                          w->zeroed_to, NULL) != LA_OK) {
            return;
        }
        w->zeroed_to += size;
    }
}

static la_status
put_frames(appending *a, la_error *err)
{
    la_log *log = a->in.log;
    la_writer *w = a->w;
    la_status status = LA_OK;

    la_buf_clear(&w->out);
    for (uint32_t f = 0; f < a->in.frame_count && status == LA_OK; f++) {
        uint32_t count = a->in.frames[f + 1] - a->in.frames[f];
        bool large = count >= LA_SEALED_ROWS;
        size_t start = w->out.size;
        la_frame_rows rows;
        la_frame_info info;

        status = frame_rows(a, f, &rows, err);
        if (status == LA_OK) {
            status = la_frame_put(
                &w->frames, &rows, log->open->seed, w->epoch, a->durable_len,
                large ? LA_EFFORT_SEALED : LA_EFFORT_OPEN, &w->out, &info, err);
        }
        if (status != LA_OK) {
            break;
        }
        a->small = a->small || !large;
        a->max_time = info.max_time;
        info.byte = a->written + start;
        la_buf_put(&a->infos, &info, sizeof info);
        if (a->infos.failed) {
            status = la_fail_nomem(err, a->infos.capacity);
        }
        else if (w->out.size >= WRITE_BYTES) {
            status = write_out(a, err);
        }
    }
    if (status == LA_OK && w->out.size != 0) {
        if (a->written == a->start) {
            zero_ahead(a);
        }
        status = write_out(a, err);
    }
    la_buf_clear(&w->out);
    return status;
}

/* ------------------------------------------------------------------ taking back */

/* Dictionaries without the entries that a failed append added: the first dict_keep of
 * each. Snapshots keep the old one; the codes they use mean the same in both. */
static la_status
restore_dicts(la_log *log, la_error *err)
{
    la_writer *w = log->writer;

    for (uint32_t c = 0; w->dicts_dirty && c < log->column_count; c++) {
        la_dict *copy, *old = log->dicts[c];
        la_status status;

        if (old == NULL || la_dict_count(old) == w->dict_keep[c]) {
            continue;
        }
        status = la_dict_new(log->env, &copy, err);
        for (uint32_t code = 0; status == LA_OK && code < w->dict_keep[c]; code++) {
            size_t size;
            const char *text = la_dict_get(old, code, &size);
            uint32_t got;

            status = la_dict_add(copy, text, size, &got, err);
            if (status != LA_OK) {
                la_dict_release(copy);
            }
        }
        if (status != LA_OK) {
            return status; /* dirty still: the next append tries again */
        }
        la_mutex_lock(&log->state);
        log->dicts[c] = copy;
        la_snapshot_release(log->snapshot); /* it would hand out the old one */
        log->snapshot = NULL;
        la_mutex_unlock(&log->state);
        la_dict_release(old);
    }
    w->dicts_dirty = false;
    return LA_OK;
}

/* Bytes that were written for nothing become zeros again, durably. */
static la_status
erase_written(appending *a, la_error *err)
{
    static const uint8_t zeros[ZERO_STEP_MIN];
    const la_segment *open = a->in.log->open;
    const la_io *io = &a->in.log->env->io;
    int64_t size = io->file_size(io->ctx, open->fd);
    uint64_t end;
    int rc;

    if (size < 0) {
        return la_fail_os(err, (int)-size, open->path,
                          "could not get the size of \"%s\"", open->path);
    }
    end = a->written < (uint64_t)size ? a->written : (uint64_t)size;
    for (uint64_t at = a->start; at < end; at += sizeof zeros) {
        size_t part = end - at < sizeof zeros ? (size_t)(end - at) : sizeof zeros;
        la_status status =
            la_file_write(a->in.log->env, open->fd, open->path, zeros, part, at, err);
        if (status != LA_OK) {
            return status;
        }
    }
    rc = io->fdatasync(io->ctx, open->fd);
    return rc < 0
               ? la_fail_os(err, -rc, open->path, "could not sync \"%s\"", open->path)
               : LA_OK;
}

/* Undoes an append that failed for `*err`; returns what the caller is told. */
static la_status
take_back(appending *a, la_status failed, la_error *err)
{
    la_log *log = a->in.log;
    la_error why = {0};

    if (a->ids_added) {
        la_dedupe_undo(&a->w->dedupe, a->first, a->in.rows, a->in.verdicts);
    }
    if (a->in.dict_before != NULL) {
        memcpy(a->w->dict_keep, a->in.dict_before,
               sizeof *a->w->dict_keep * log->column_count);
        a->w->dicts_dirty = true;
        (void)!restore_dicts(log, NULL);
    }
    if (a->written == a->start) {
        return failed;
    }
    a->w->broken = true;
    if (erase_written(a, &why) == LA_OK) {
        return failed;
    }
    why.status = LA_UNKNOWN;
    why.retriable = false;
    la_error_hint(&why,
                  "an append failed and could not be taken back: close the store and "
                  "open it again, the log then tells which rows are there");
    la_mutex_lock(&log->state);
    la_log_die(log, &why);
    la_mutex_unlock(&log->state);
    if (err != NULL) {
        *err = why;
    }
    return LA_UNKNOWN;
}

/* ------------------------------------------------------------------ the append */

static void
publish(appending *a)
{
    la_log *log = a->in.log;
    size_t count = a->infos.size / sizeof(la_frame_info);

    la_mutex_lock(&log->state);
    for (size_t i = 0; i < count; i++) {
        la_segment_add(log->open, (const la_frame_info *)(void *)a->infos.data + i);
    }
    log->published_len = log->open->length;
    log->published_end = a->first + a->in.rows;
    log->published_frames = log->open->frame_count;
    la_log_show(log);
    la_mutex_unlock(&log->state);
    a->w->rewrite = a->w->rewrite || a->small;
    a->w->last_ingest_us = a->ingest_us;
    a->w->max_time = a->max_time;
    if (a->w->zeroed_to < log->open->length) {
        a->w->zeroed_to = log->open->length;
    }
}

static la_status
dedupe_rows(appending *a, la_error *err)
{
    const la_log_def *def = &a->in.log->def;
    la_dedupe *set = &a->w->dedupe;
    la_status status;

    if (def->dedupe_count == 0) {
        return LA_OK;
    }
    status = la_dedupe_reserve(set, a->in.rows, err);
    if (status == LA_OK) {
        status = la_dedupe_keys(set, a->in.columns, def->dedupe, def->dedupe_count,
                                a->in.rows, err);
    }
    if (status == LA_OK) {
        la_dedupe_add(set, a->first, a->in.rows, a->in.verdicts, a->in.targets, false);
        a->ids_added = true;
    }
    return status;
}

static la_status
make_room(la_log *log, la_error *err)
{
    la_status status = restore_dicts(log, err);

    if (status != LA_OK) {
        return status;
    }
    if (!log->writer->broken && log->published_len < log->segment_bytes &&
        log->published_frames < LA_SEGMENT_FRAMES_MAX) {
        return LA_OK;
    }
    return la_writer_roll(log, err);
}

static void
appending_init(appending *a)
{
    la_log *log = a->in.log;
    la_buf *all[] = {&a->infos,     &a->section,     &a->raw_heap,      &a->raw_offsets,
                     &a->raw_valid, &a->reason_heap, &a->reason_offsets};
    int64_t now = log->env->io.wall_us(log->env->io.ctx);

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        la_buf_init(all[i], log->env);
    }
    a->w = log->writer;
    a->first = log->published_end;
    a->start = a->written = log->published_len;
    a->ingest_us = now > a->w->last_ingest_us ? now : a->w->last_ingest_us;
    a->max_time = a->w->max_time;
    la_mutex_lock(&log->state);
    a->durable_len = log->durable_len;
    la_mutex_unlock(&log->state);
}

static void
appending_fini(appending *a)
{
    la_buf_fini(&a->infos);
    la_buf_fini(&a->section);
    la_buf_fini(&a->raw_heap);
    la_buf_fini(&a->raw_offsets);
    la_buf_fini(&a->raw_valid);
    la_buf_fini(&a->reason_heap);
    la_buf_fini(&a->reason_offsets);
    la_intake_fini(&a->in);
}

/* The first row's position must leave room for all rows below LA_NO_POSITION; a log
 * cannot get there in practice, a forged manifest can. */
static la_status
check_positions(const appending *a, la_error *err)
{
    if (a->first > UINT64_MAX / 2) {
        return la_fail(err, LA_OVERFLOW,
                       "could not append to log \"%s\": no positions left",
                       a->in.log->name);
    }
    return LA_OK;
}

static la_status
append_rows(appending *a, la_appended *out, la_error *err)
{
    la_log *log = a->in.log;
    la_status status;

    appending_init(a);
    status = check_positions(a, err);
    if (status == LA_OK) {
        status = la_intake_run(&a->in, err);
    }
    if (status == LA_OK) {
        status = la_segment_reserve(log->open, a->in.frame_count, err);
        if (status == LA_BUDGET) {
            /* Room for this append's frames only in a fresh segment. */
            status = la_writer_roll(log, err);
            a->start = a->written = log->published_len;
            a->durable_len = log->durable_len;
            if (status == LA_OK) {
                status = la_segment_reserve(log->open, a->in.frame_count, err);
            }
        }
    }
    if (status == LA_OK) {
        status = dedupe_rows(a, err);
    }
    if (status == LA_OK) {
        size_t size = sizeof *a->columns * log->column_count;

        a->columns = la_arena_alloc(&a->in.arena, size);
        status = a->columns == NULL ? la_fail_nomem(err, size) : put_frames(a, err);
    }
    if (status != LA_OK) {
        status = take_back(a, status, err);
        appending_fini(a);
        return status;
    }
    publish(a);
    *out = (la_appended){.first = a->first, .rows = a->in.rows};
    out->ok = a->in.rows;
    if (a->in.verdicts != NULL) {
        for (uint32_t i = 0; i < a->in.rows; i++) {
            out->duplicate += a->in.verdicts[i] == LA_V_DUPLICATE;
        }
        out->quarantined = a->in.quarantined;
        out->ok -= out->duplicate + out->quarantined;
    }
    appending_fini(a);
    return LA_OK;
}

/* Whether an append that need not be durable at once must be so now. */
static bool
sync_is_due(la_log *log, const la_append_options *options)
{
    int64_t now = log->env->io.mono_ns(log->env->io.ctx);
    bool due;

    la_mutex_lock(&log->state);
    due = log->last_sync_ns == 0 ||
          (now - log->last_sync_ns) / 1000 >= options->interval_us;
    la_mutex_unlock(&log->state);
    return due;
}

la_status
la_log_append(la_log *log, const la_chunk *chunk, const uint8_t *bad,
              const la_column *raw, const la_column *reason,
              const la_append_options *options, la_appended *out, la_error *err)
{
    static const la_append_options durable = {.sync = LA_SYNC_COMMIT};
    appending a = {
        .in = {.log = log, .chunk = chunk, .bad = bad, .raw = raw, .reason = reason}};
    la_appended done = {0};
    la_status status = la_log_alive(log, err);

    if (status != LA_OK) {
        return status;
    }
    options = options == NULL ? &durable : options;
    a.in.on_bad = options->on_bad;
    la_mutex_lock(&log->append);
    status = la_log_alive(log, err); /* it may have died while we waited */
    if (status == LA_OK) {
        status = la_writer_start(log, err);
    }
    if (status == LA_OK && chunk->rows == 0) {
        done.first = log->published_end;
    }
    else if (status == LA_OK) {
        status = make_room(log, err);
        if (status == LA_OK) {
            status = append_rows(&a, &done, err);
        }
    }
    la_mutex_unlock(&log->append);
    if (status != LA_OK) {
        return status;
    }
    done.durable = options->sync == LA_SYNC_COMMIT || sync_is_due(log, options);
    if (done.durable) {
        status = la_log_commit(log, done.first + done.rows, err);
        if (status != LA_OK) {
            return status;
        }
    }
    *out = done;
    return LA_OK;
}
