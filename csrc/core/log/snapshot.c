/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: an immutable cut [0, end) through the log.
 *
 * Invariants
 *  1. A snapshot shares segments and dictionaries with the log by reference and holds
 *     counts: what is added later lies beyond its counts.
 *  2. All rows below its end are durable.
 */
#include "log/snapshot.h"

#include "base/error.h"
#include "base/live.h"
#include "log/state.h"

static la_status
make_snapshot(la_log *log, la_snapshot **out, la_error *err)
{
    size_t size = sizeof(la_snapshot) + sizeof(la_dict *) * log->column_count;
    la_snapshot *s = la_calloc(log->env, 1, size);

    if (s == NULL) {
        return la_fail_nomem(err, size);
    }
    s->env = log->env;
    atomic_init(&s->references, 1);
    s->schema = la_schema_retain(log->def.schema);
    s->time_column = log->def.time_column;
    s->column_count = log->column_count;
    s->sealed = la_segment_list_retain(log->sealed);
    s->open = log->open == NULL ? NULL : la_segment_retain(log->open);
    s->open_frames = log->durable_frames;
    s->end = log->durable_end;
    s->max_time = log->durable_max_time;
    s->last_ingest = log->durable_ingest;
    memcpy(s->counts, log->counts, sizeof s->counts);
    for (uint32_t c = 0; c < log->column_count; c++) {
        if (log->dicts[c] != NULL) {
            s->dicts[c] = la_dict_retain(log->dicts[c]);
        }
    }
    la_live_add(LA_LIVE_SNAPSHOT, 1);
    *out = s;
    return LA_OK;
}

static bool
is_current(const la_log *log)
{
    const la_snapshot *s = log->snapshot;

    return s != NULL && s->end == log->durable_end && s->sealed == log->sealed &&
           s->open == log->open;
}

la_status
la_log_snapshot_sure(la_log *log, la_snapshot **out, bool *unsure, la_error *err)
{
    la_status status;

    *unsure = false;
    la_mutex_lock(&log->state);
    status = la_log_alive_locked(log, err);
    if (status == LA_OK && !log->writing) {
        status = la_log_look(log, unsure, err);
    }
    if (status == LA_OK && !is_current(log)) {
        la_snapshot *made = NULL;

        status = make_snapshot(log, &made, err);
        if (status == LA_OK) {
            la_snapshot_release(log->snapshot);
            log->snapshot = made;
        }
    }
    if (status == LA_OK) {
        *out = la_snapshot_retain(log->snapshot);
    }
    la_mutex_unlock(&log->state);
    return status;
}

la_status
la_log_snapshot(la_log *log, la_snapshot **out, la_error *err)
{
    bool unsure;
    la_snapshot *made;
    la_status status = la_log_snapshot_sure(log, &made, &unsure, err);

    if (status == LA_OK && unsure) {
        la_snapshot_release(made);
        return la_log_fail_unsure(log, err);
    }
    if (status == LA_OK) {
        *out = made;
    }
    return status;
}

la_snapshot *
la_snapshot_retain(la_snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void
la_snapshot_release(la_snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1,
                                                      memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t c = 0; c < snapshot->column_count; c++) {
        la_dict_release(snapshot->dicts[c]);
    }
    la_segment_release(snapshot->open);
    la_segment_list_release(snapshot->sealed);
    la_schema_release(snapshot->schema);
    la_dealloc(snapshot->env, snapshot,
               sizeof *snapshot + sizeof(la_dict *) * snapshot->column_count);
    la_live_add(LA_LIVE_SNAPSHOT, -1);
}

uint64_t
la_snapshot_end(const la_snapshot *snapshot)
{
    return snapshot->end;
}

int64_t
la_snapshot_max_time(const la_snapshot *snapshot)
{
    return snapshot->max_time;
}

int64_t
la_snapshot_last_ingest(const la_snapshot *snapshot)
{
    return snapshot->last_ingest;
}

void
la_snapshot_counts(const la_snapshot *snapshot, uint64_t counts[8])
{
    memcpy(counts, snapshot->counts, sizeof snapshot->counts);
}

la_status
la_snapshot_locate(const la_snapshot *snapshot, uint64_t position, la_segment **segment,
                   uint32_t *frame, uint32_t *frames, la_error *err)
{
    uint32_t i = la_segment_list_find(snapshot->sealed, position);

    if (i < snapshot->sealed->count) {
        la_status status;

        *segment = snapshot->sealed->segments[i];
        status = la_segment_index(*segment, err);
        if (status != LA_OK) {
            return status;
        }
        *frames = (*segment)->frame_count;
    }
    else {
        *segment = snapshot->open;
        *frames = snapshot->open_frames;
    }
    *frame = la_segment_find(*segment, *frames, position);
    return LA_OK;
}

/* The bound of a frame that is nearest to `wanted`. Bounds are for balance only, so an
 * unreadable index just means a cut inside a frame. */
static uint64_t
near_bound(const la_snapshot *snapshot, uint64_t wanted)
{
    la_segment *segment;
    uint32_t frame, frames;
    const la_frame_info *info;
    uint64_t end;

    if (wanted >= snapshot->end || la_snapshot_locate(snapshot, wanted, &segment,
                                                      &frame, &frames, NULL) != LA_OK) {
        return wanted;
    }
    info = la_segment_frame(segment, frame);
    end = info->position + info->rows;
    return wanted - info->position < end - wanted ? info->position : end;
}

void
la_snapshot_split(const la_snapshot *snapshot, uint64_t from, uint64_t to,
                  uint32_t parts, uint64_t *bounds, uint32_t *count)
{
    uint64_t rows = to - from;
    uint32_t n = 0;

    bounds[0] = from;
    for (uint32_t i = 1; i < parts; i++) {
        uint64_t wanted = from + (uint64_t)((unsigned __int128)rows * i / parts);
        uint64_t bound = near_bound(snapshot, wanted);

        if (bound > bounds[n] && bound < to) {
            bounds[++n] = bound;
        }
    }
    if (to > from) {
        bounds[++n] = to;
    }
    *count = n;
}
