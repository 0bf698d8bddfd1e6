/* SPDX-License-Identifier: Apache-2.0 */
/* Checking a log: every byte that its newest manifest, directly or not, refers to.
 *
 *   tail page -> manifests -> pages -> each segment: index, frame by frame -> open segment's frames
 *
 * Invariants
 *  1. Damage is reported and the check goes on; only a failing system (I/O, memory)
 *     ends it.
 *  2. A frame passes when its payload hash fits, all its pieces decode, and the values
 *     give the raw hash that was taken from the caller's rows.
 *  3. A step is one document, one index or one frame, so callers can stop at any time.
 */
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "log/decoded.h"
#include "log/snapshot.h"
#include "log/state.h"

struct la_log_check {
    la_log *log;
    la_snapshot *snapshot;
    la_decoded decoded;
    la_buf scratch;
    uint64_t newest;   /* manifest */
    uint64_t manifest; /* next to read; 0: all done */
    la_page_head page; /* next to read */
    uint32_t segment;  /* next; beyond the list: the open one */
    uint32_t frame;    /* next of it */
    uint64_t done, total;
    bool unsure; /* the tail page is lost: to be reported */
};

la_status
la_log_check_open(la_log *log, la_log_check **out, la_error *err)
{
    la_log_check *k = la_calloc(log->env, 1, sizeof *k);
    la_status status;

    if (k == NULL) {
        return la_fail_nomem(err, sizeof *k);
    }
    k->log = log;
    la_buf_init(&k->scratch, log->env);
    status = la_log_snapshot_sure(log, &k->snapshot, &k->unsure, err);
    if (status == LA_OK) {
        status = la_decoded_init(&k->decoded, log->env, log->def.schema, err);
    }
    if (status == LA_OK) {
        la_mutex_lock(&log->state);
        k->newest = k->manifest = log->manifest.id.number;
        k->page = log->manifest.head;
        la_mutex_unlock(&log->state);
        for (uint32_t i = 0; i < k->snapshot->sealed->count; i++) {
            k->total += k->snapshot->sealed->segments[i]->entry.size;
        }
        for (uint32_t i = 0; i < k->snapshot->open_frames; i++) {
            k->total += la_segment_frame(k->snapshot->open, i)->size;
        }
    }
    if (status != LA_OK) {
        la_log_check_close(k);
        return status;
    }
    *out = k;
    return LA_OK;
}

void
la_log_check_close(la_log_check *check)
{
    if (check == NULL) {
        return;
    }
    la_decoded_fini(&check->decoded);
    la_buf_fini(&check->scratch);
    la_snapshot_release(check->snapshot);
    la_dealloc(check->log->env, check, sizeof *check);
}

static void
put_damage(la_buf *report, uint64_t *damages, const la_error *err, uint64_t from,
           uint64_t to)
{
    la_buf_text(report,
                (*damages)++ == 0 && report->size == 0 ? "{\"file\":" : ",{\"file\":");
    la_json_put_text(report, err->path, strlen(err->path));
    la_buf_printf(report, ",\"byte\":%llu,\"positions\":[%llu,%llu],\"what\":",
                  (unsigned long long)err->byte, (unsigned long long)from,
                  (unsigned long long)to);
    la_json_put_text(report, err->message, strlen(err->message));
    la_buf_text(report, "}");
}

static bool
is_damage(la_status status)
{
    return status == LA_DAMAGED || status == LA_NEWER;
}

/* Older manifests are kept for as_of and for people; a missing one was pruned. */
static la_status
check_manifest(la_log_check *k, la_buf *report, uint64_t *damages, la_error *err)
{
    la_manifest m = {0};
    la_error found = {0};
    la_status status = la_manifest_read(k->log->env, k->log->folder, k->log->uuid,
                                        k->manifest, &m, &found);

    if (is_damage(status)) {
        put_damage(report, damages, &found, 0, k->snapshot->end);
        status = LA_OK;
    }
    else if (status == LA_NOT_FOUND) {
        status = LA_OK;
    }
    la_manifest_fini(&m);
    k->manifest = k->manifest > 1 && k->newest - k->manifest < LA_DOCUMENTS_KEPT
                      ? k->manifest - 1
                      : 0;
    if (status != LA_OK && err != NULL) {
        *err = found;
    }
    return status;
}

static la_status
check_page(la_log_check *k, la_buf *report, uint64_t *damages, la_error *err)
{
    la_page page = {0};
    la_page_head none = {0};
    la_error found = {0};
    la_status status = la_page_read(k->log->env, k->log->folder, k->log->uuid, &k->page,
                                    &page, &found);

    if (is_damage(status)) {
        put_damage(report, damages, &found, 0, k->page.end);
        k->page = none;
        return LA_OK;
    }
    if (status != LA_OK) {
        if (err != NULL) {
            *err = found;
        }
        return status;
    }
    k->page = page.previous;
    la_page_fini(k->log->env, &page);
    return LA_OK;
}

static la_status
check_codes(const la_log_check *k, const la_frame_view *view, la_error *err)
{
    for (uint32_t c = 0; c < k->snapshot->column_count; c++) {
        const la_column *column = &k->decoded.columns[c];
        uint32_t count;

        if (column->type != LA_T_CAT) {
            continue;
        }
        count = la_dict_count(k->snapshot->dicts[c]);
        for (uint32_t i = 0; i < k->decoded.rows; i++) {
            if (((const uint32_t *)column->data)[i] >= count &&
                !la_column_is_null(column, i)) {
                return la_fail_damaged(
                    err, view->path, view->byte,
                    "frame at position %llu has a code that is not in "
                    "its dictionary",
                    (unsigned long long)view->header.position);
            }
        }
    }
    return LA_OK;
}

static la_status
no_entry(void *arg, uint32_t column, uint32_t code, const char *text, size_t size,
         la_error *err)
{
    const la_log_check *k = arg;
    const la_dict *dict =
        column < k->snapshot->column_count ? k->snapshot->dicts[column] : NULL;
    size_t known_size;
    const char *known;

    (void)err;
    if (dict == NULL || code >= la_dict_count(dict)) {
        return LA_DAMAGED;
    }
    known = la_dict_get(dict, code, &known_size);
    return known_size == size && memcmp(known, text, size) == 0 ? LA_OK : LA_DAMAGED;
}

static la_status
check_frame(la_log_check *k, la_segment *segment, const la_frame_info *info,
            la_buf *report, uint64_t *damages, la_error *err)
{
    la_frame_view view;
    la_error found = {0};
    la_status status = la_segment_load(segment, info, &k->scratch, &view, &found);

    if (status == LA_OK) {
        status = la_decode_frame(&k->decoded, k->log->def.schema, &view, &found);
    }
    if (status == LA_OK) {
        status = check_codes(k, &view, &found);
    }
    if (status == LA_OK) {
        status = la_frame_dict(&view, no_entry, k, &found);
    }
    k->done += info->size;
    if (is_damage(status)) {
        put_damage(report, damages, &found, info->position,
                   info->position + info->rows);
        return LA_OK;
    }
    if (status != LA_OK && err != NULL) {
        *err = found;
    }
    return status;
}

/* The next frame, after its segment's index. *over: nothing is left. */
static la_status
check_segments(la_log_check *k, la_buf *report, uint64_t *damages, bool *over,
               la_error *err)
{
    const la_segment_list *list = k->snapshot->sealed;
    bool sealed = k->segment < list->count;
    la_segment *segment = sealed ? list->segments[k->segment] : k->snapshot->open;
    uint32_t frames = sealed ? 0 : k->snapshot->open_frames;
    la_error found = {0};
    la_status status;

    *over = false;
    if (!sealed && k->frame >= frames) {
        *over = true;
        return LA_OK;
    }
    if (sealed) {
        status = la_segment_index(segment, &found);
        if (is_damage(status)) {
            put_damage(report, damages, &found, segment->first, segment->entry.end);
            k->done += segment->entry.size;
            k->segment++;
            k->frame = 0;
            return LA_OK;
        }
        if (status != LA_OK) {
            if (err != NULL) {
                *err = found;
            }
            return status;
        }
        frames = segment->frame_count;
    }
    if (k->frame < frames) {
        status = check_frame(k, segment, la_segment_frame(segment, k->frame), report,
                             damages, err);
        k->frame++;
        if (status != LA_OK) {
            return status;
        }
    }
    if (sealed && k->frame >= frames) {
        k->segment++;
        k->frame = 0;
    }
    return LA_OK;
}

/* Rows of the open segment that only a recovery can show: from the snapshot's end on. */
static void
report_unsure(la_log_check *k, la_buf *report, uint64_t *damages)
{
    la_error found = {0};

    (void)!la_log_fail_unsure(k->log, &found);
    put_damage(report, damages, &found, k->snapshot->end, k->snapshot->end);
    k->unsure = false;
}

la_status
la_log_check_step(la_log_check *check, uint64_t *done, uint64_t *total, la_buf *report,
                  uint64_t *damages, la_error *err)
{
    la_log_check *k = check;
    bool over = false;
    la_status status;

    if (k->unsure) {
        report_unsure(k, report, damages);
        status = LA_OK;
    }
    else if (k->manifest != 0) {
        status = check_manifest(k, report, damages, err);
    }
    else if (k->page.id.number != 0) {
        status = check_page(k, report, damages, err);
    }
    else {
        status = check_segments(k, report, damages, &over, err);
    }
    if (status == LA_OK && report->failed) {
        status = la_fail_nomem(err, report->size);
    }
    if (status != LA_OK) {
        return status;
    }
    *done = over ? k->total : k->done;
    *total = k->total;
    return over ? LA_OK : LA_MORE;
}
