/* SPDX-License-Identifier: Apache-2.0 */
/* Following: how a handle that does not write learns what is there.
 *
 *   tail page valid for the manifest's open segment?
 *     yes -> durable length from it
 *     no  -> newest manifest again; still no: durable length as the frames carry it
 *
 * Invariants
 *  1. What was shown once stays: the durable end of a handle never goes back.
 *  2. A missing segment file is explained by a newer manifest, or it is damage.
 *  3. An unchanged log costs one look at the tail page, no system call.
 */
#include "base/error.h"
#include "base/file.h"
#include "log/state.h"

/* A manifest that is replaced while it is read: each time somebody published. */
#define TRIES 32

void
la_log_install(la_log *log, la_manifest *manifest, la_segment_list *list,
               la_segment *open)
{
    la_manifest_fini(&log->manifest);
    log->manifest = *manifest;
    memset(manifest, 0, sizeof *manifest);
    la_segment_list_release(log->sealed);
    log->sealed = list;
    la_segment_release(log->open);
    log->open = open;
    log->durable_frames = 0;
    log->durable_len = LA_SEGMENT_HEADER;
    log->durable_end = list->end;
    log->durable_max_time = list->max_time;
    log->durable_ingest = list->last_ingest;
    memcpy(log->counts, list->counts, sizeof log->counts);
    log->published_len = log->durable_len;
    log->published_end = log->durable_end;
    log->published_frames = 0;
}

void
la_log_advance(la_log *log, uint32_t frames)
{
    for (uint32_t i = log->durable_frames; i < frames; i++) {
        const la_frame_info *info = la_segment_frame(log->open, i);

        log->counts[LA_V_OK] += info->ok;
        log->counts[LA_V_DUPLICATE] += info->duplicate;
        log->counts[LA_V_QUARANTINED] += info->quarantined;
        if (info->event_max > log->durable_max_time) {
            log->durable_max_time = info->event_max;
        }
        log->durable_ingest = info->ingest_us;
        log->durable_end = info->position + info->rows;
        log->durable_len = info->byte + info->size;
        log->durable_frames = i + 1;
    }
}

/* ------------------------------------------------------------- dictionaries */

static la_status
add_entry(void *arg, uint32_t column, uint32_t code, const char *text, size_t size,
          la_error *err)
{
    la_log *log = arg;
    uint32_t count, got;
    la_status status;

    if (column >= log->column_count || log->dicts[column] == NULL) {
        return LA_DAMAGED;
    }
    count = la_dict_count(log->dicts[column]);
    if (code < count) {
        return LA_OK; /* known: a sealed frame repeats what its sources said */
    }
    if (code > count) {
        return LA_DAMAGED;
    }
    status = la_dict_add(log->dicts[column], text, size, &got, err);
    if (status == LA_OK && got != code) {
        return LA_DAMAGED;
    }
    return status == LA_BUDGET || status == LA_INVALID ? LA_DAMAGED : status;
}

static la_status
load_segment_dicts(la_log *log, la_segment *segment, uint32_t count, la_buf *scratch,
                   la_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const la_frame_info *info = la_segment_frame(segment, i);
        la_frame_view view;
        la_status status;

        if (info->dict_size == 0 || info->position + info->rows <= log->dict_end) {
            continue;
        }
        status = la_segment_load(segment, info, scratch, &view, err);
        if (status == LA_OK) {
            status = la_frame_dict(&view, add_entry, log, err);
        }
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

la_status
la_log_load_dicts(la_log *log, la_error *err)
{
    la_buf scratch;
    la_status status = LA_OK;

    if (!log->has_dicts || log->dict_end >= log->durable_end) {
        return LA_OK;
    }
    la_buf_init(&scratch, log->env);
    for (uint32_t i = la_segment_list_find(log->sealed, log->dict_end);
         i < log->sealed->count && status == LA_OK; i++) {
        la_segment *segment = log->sealed->segments[i];

        status = la_segment_index(segment, err);
        if (status == LA_OK) {
            status =
                load_segment_dicts(log, segment, segment->frame_count, &scratch, err);
        }
    }
    if (status == LA_OK && log->open != NULL) {
        status = load_segment_dicts(log, log->open, log->durable_frames, &scratch, err);
    }
    la_buf_fini(&scratch);
    if (status == LA_OK) {
        log->dict_end = log->durable_end;
    }
    return status;
}

/* ---------------------------------------------------------------- following */

/* Opens what `manifest` names and installs it. LA_NOT_FOUND: a file is missing. */
static la_status
adopt(la_log *log, la_manifest *manifest, la_error *err)
{
    la_segment_list *list;
    la_segment *open = NULL;
    la_status status;

    status =
        la_segment_list_load(log->env, log->folder, manifest, log->sealed, &list, err);
    if (status != LA_OK) {
        return status;
    }
    if (manifest->open_number != 0) {
        status = la_segment_open_growing(log->env, log->folder, log->uuid,
                                         manifest->open_number, manifest->open_first,
                                         false, &open, err);
        if (status != LA_OK) {
            la_segment_list_release(list);
            return status;
        }
    }
    la_log_install(log, manifest, list, open);
    return LA_OK;
}

/* The greatest durable length that the frames behind the known ones carry. Where frames
 * stop making sense, it stops: this is no check. */
static la_status
carried_length(la_log *log, uint64_t *length, uint64_t *end, la_error *err)
{
    const la_segment *open = log->open;
    uint64_t byte = open->length;
    uint64_t position = log->sealed->end;
    int64_t size;

    if (open->frame_count != 0) {
        const la_frame_info *last = la_segment_frame(open, open->frame_count - 1);
        position = last->position + last->rows;
    }
    *length = log->durable_len;
    size = log->env->io.file_size(log->env->io.ctx, open->fd);
    if (size < 0) {
        return la_fail_os(err, (int)-size, open->path,
                          "could not get the size of \"%s\"", open->path);
    }
    while (byte + LA_FRAME_HEADER <= (uint64_t)size) {
        uint8_t at[LA_FRAME_HEADER];
        la_frame_header header;
        la_status status =
            la_file_read(log->env, open->fd, open->path, at, sizeof at, byte, err);

        if (status != LA_OK) {
            return status;
        }
        if (la_frame_read_header(at, open->seed, &header) != NULL ||
            header.type != LA_FRAME_ROWS || header.position != position ||
            byte + la_frame_size(header.payload_size) > (uint64_t)size) {
            break;
        }
        if (header.durable_len > *length && header.durable_len <= byte) {
            *length = header.durable_len;
        }
        byte += la_frame_size(header.payload_size);
        position += header.rows;
    }
    *end = position;
    return LA_OK;
}

static la_status
follow_open(la_log *log, const la_tail_values *tail, la_error *err)
{
    uint64_t length, end;
    la_status status;

    if (tail != NULL) {
        length = tail->durable_len;
        end = tail->durable_end;
        log->published_end = tail->published_end > log->durable_end
                                 ? tail->published_end
                                 : log->durable_end;
    }
    else {
        status = carried_length(log, &length, &log->published_end, err);
        if (status != LA_OK) {
            return status;
        }
        end = LA_NO_POSITION;
    }
    if (length <= log->durable_len) {
        return LA_OK;
    }
    status = la_segment_follow(log->open, length, end, err);
    if (status != LA_OK) {
        return status;
    }
    la_log_advance(log, log->open->frame_count);
    log->published_len = log->durable_len;
    log->published_frames = log->durable_frames;
    if (log->published_end < log->durable_end) {
        log->published_end = log->durable_end;
    }
    return LA_OK;
}

static bool
tail_fits(const la_log *log, la_tail_values *tail)
{
    return log->open != NULL && la_tail_load(&log->tail, log->uuid, tail) &&
           tail->epoch == log->manifest.epoch && tail->segment == log->open->number;
}

/* Reads newer manifests until files and manifest agree. */
static la_status
refresh_manifest(la_log *log, la_error *err)
{
    uint64_t missing = 0; /* manifest whose files were not all there */

    for (int i = 0; i < TRIES; i++) {
        la_manifest manifest = {0};
        uint64_t number;
        bool changed = false;
        la_status status;

        status = la_manifest_load(log->env, log->folder,
                                  log->def.schema != NULL ? log->uuid : NULL,
                                  log->manifest.id.number, &changed, &manifest, err);
        if (status != LA_OK || !changed) {
            return status;
        }
        number = manifest.id.number;
        status = adopt(log, &manifest, err);
        if (status == LA_OK) {
            return LA_OK;
        }
        la_manifest_fini(&manifest);
        if (status != LA_NOT_FOUND) {
            return status;
        }
        if (number == missing) {
            if (err != NULL) {
                err->status = LA_DAMAGED;
            }
            return LA_DAMAGED;
        }
        missing = number;
    }
    return la_fail(
        err, LA_BUSY,
        "could not read log \"%s\": its manifest changes faster than it is read",
        log->name);
}

la_status
la_log_follow(la_log *log, la_error *err)
{
    la_tail_values tail = {0};
    bool fits;
    la_status status;

    if (log->tail.page == NULL) {
        status = la_tail_open(log->env, log->folder, false, &log->tail, err);
        if (status != LA_OK) {
            return status;
        }
    }
    fits = tail_fits(log, &tail);
    if (!fits) {
        status = refresh_manifest(log, err);
        if (status != LA_OK) {
            return status;
        }
        fits = tail_fits(log, &tail);
    }
    if (log->open != NULL) {
        status = follow_open(log, fits ? &tail : NULL, err);
        if (status != LA_OK) {
            return status;
        }
    }
    return la_log_load_dicts(log, err);
}

void
la_log_show(la_log *log)
{
    la_tail_values values = {
        .epoch = log->manifest.epoch,
        .segment = log->open == NULL ? 0 : log->open->number,
        .published_len = log->published_len,
        .published_end = log->published_end,
        .durable_len = log->durable_len,
        .durable_end = log->durable_end,
    };

    la_tail_store(&log->tail, log->uuid, &values);
}
