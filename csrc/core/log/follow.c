/* SPDX-License-Identifier: Apache-2.0 */
/* Following: how a handle that does not write learns what is there.
 *
 *   tail page valid for the manifest's open segment?
 *     yes -> durable length from it
 *     no  -> newest manifest and page again; still no, and frames are there: halt
 *
 * Invariants
 *  1. What was shown once stays: the durable end of a handle never goes back.
 *  2. A missing segment file is explained by a newer manifest, or it is damage.
 *  3. An unchanged log costs one look at the tail page, no system call.
 *  4. Rows are never left out because the page is gone: nothing else says how far the
 *     last frames are durable, so a reader that needs it fails.
 */
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "log/state.h"

/* A manifest that is replaced while it is read: each time somebody published. */
#define TRIES 32
/* Milliseconds that a page may stay half changed: its writer waits for a processor, or
 * died. */
#define WAITS 50

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

/* Is anything written behind the frames that are known as durable? No check of frames:
 * bytes that are not zero were an append, whole or not. */
static la_status
has_more(const la_log *log, bool *more, la_error *err)
{
    const la_segment *open = log->open;
    uint8_t block[4096];
    uint64_t byte = log->durable_len;
    int64_t size = log->env->io.file_size(log->env->io.ctx, open->fd);

    *more = false;
    if (size < 0) {
        return la_fail_os(err, (int)-size, open->path,
                          "could not get the size of \"%s\"", open->path);
    }
    while (byte < (uint64_t)size && !*more) {
        uint64_t left = (uint64_t)size - byte;
        size_t count = left < sizeof block ? (size_t)left : sizeof block;
        la_status status =
            la_file_read(log->env, open->fd, open->path, block, count, byte, err);

        if (status != LA_OK) {
            return status;
        }
        for (size_t i = 0; i < count && !*more; i++) {
            *more = block[i] != 0;
        }
        byte += count;
    }
    return LA_OK;
}

static la_status
follow_open(la_log *log, const la_tail_values *tail, la_error *err)
{
    la_status status;

    log->published_end =
        tail->published_end > log->durable_end ? tail->published_end : log->durable_end;
    if (tail->durable_len <= log->durable_len) {
        return LA_OK;
    }
    status = la_segment_follow(log->open, tail->durable_len, tail->durable_end, err);
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

/* A new look at the file: a writer may have made another. Not while this handle writes
 * through its own mapping. */
static la_status
reopen_tail(la_log *log, la_error *err)
{
    if (log->tail.writable) {
        return LA_OK;
    }
    la_tail_close(log->env, &log->tail);
    return la_tail_open(log->env, log->folder, false, &log->tail, err);
}

/* *fits: the tail page is valid for the newest manifest. *settled: no writer changed
 * the page meanwhile, so it will not fit by itself. */
static la_status
find_tail(la_log *log, la_tail_values *tail, bool *fits, bool *settled, la_error *err)
{
    uint64_t before;
    la_status status;

    *settled = true;
    *fits = tail_fits(log, tail);
    if (*fits) {
        return LA_OK;
    }
    status = refresh_manifest(log, err);
    before = la_tail_sequence(&log->tail);
    *fits = status == LA_OK && tail_fits(log, tail);
    *settled = (before & 1) == 0 && la_tail_sequence(&log->tail) == before;
    return status;
}

la_status
la_log_look(la_log *log, bool *unsure, la_error *err)
{
    uint64_t seen = 0; /* manifest with whose open segment frames were seen */
    la_status status = LA_OK;

    *unsure = false;
    if (log->tail.page == NULL) {
        status = la_tail_open(log->env, log->folder, false, &log->tail, err);
    }
    for (int i = 0; status == LA_OK; i++) {
        la_tail_values tail = {0};
        bool fits, settled, more;

        status = find_tail(log, &tail, &fits, &settled, err);
        if (status != LA_OK || log->open == NULL) {
            break;
        }
        if (fits) {
            status = follow_open(log, &tail, err);
            break;
        }
        log->published_end = log->durable_end;
        status = has_more(log, &more, err);
        if (status != LA_OK || !more) {
            break;
        }
        /* A writer shows the page before it writes its first frame, and a manifest
         * before the page: with the frames seen first, a second look finds either. */
        if (i == WAITS || (settled && seen == log->manifest.id.number)) {
            *unsure = true;
            break;
        }
        if (!settled) {
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        seen = log->manifest.id.number;
        status = reopen_tail(log, err);
    }
    return status == LA_OK ? la_log_load_dicts(log, err) : status;
}

la_status
la_log_fail_unsure(const la_log *log, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(path, sizeof path, log->folder, "tail", err);

    if (status != LA_OK) {
        return status;
    }
    status = la_fail_damaged(err, path, 0,
                             "could not tell how far log \"%s\" is durable: the tail "
                             "page is missing or damaged",
                             log->name);
    la_error_hint(err, "open the store once for writing: recovery keeps every row "
                       "that is whole");
    return status;
}

la_status
la_log_follow(la_log *log, la_error *err)
{
    bool unsure;
    la_status status = la_log_look(log, &unsure, err);

    return status == LA_OK && unsure ? la_log_fail_unsure(log, err) : status;
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
