/* SPDX-License-Identifier: Apache-2.0 */
/* Rolling: the open segment becomes a sealed one, a fresh one takes its place.
 *
 *   large frames:  footer -> fdatasync
 *   small frames:  all rows, with those of the smaller segments before, into a new file
 *                  -> fdatasync -> rename
 *   then both:     fresh segment -> folder sync -> read back
 *   -> manifest n + 1 -> installed -> tail page -> replaced files unlinked
 *
 * Invariants
 *  1. Everything that can fail comes before the manifest; until it is written the log
 *     is what it was, and new files are debris that is unlinked.
 *  2. What is published as sealed was read back and matched its hashes.
 *  3. A rewrite decodes each frame and checks its raw hash: damage never moves into a
 *     new segment under a fresh checksum.
 *  4. Rows are merged with the segment before them while that is smaller than twice
 *     what comes, so each row is rewritten O(log n) times and few small segments stay.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/file.h"
#include "log/gather.h"
#include "log/state.h"

/* Bytes of encoded frames that are written at once. */
#define WRITE_BYTES (4u << 20)

typedef struct sealing {
    la_log *log;
    const la_roll *roll;
    la_frame_writer *frames;
    la_manifest manifest;   /* the one to be */
    la_segment_entry entry; /* the sealed segment to be */
    uint32_t merged;        /* predecessors it takes in */
    uint64_t previous_number, previous_size;
    la_segment *fresh;
    la_segment_list *list;
    bool made_sealed, made_fresh; /* files to unlink on failure */
    /* while writing */
    int fd;
    uint32_t seed;
    uint64_t length;  /* bytes written */
    la_buf out;       /* frames not yet written */
    la_buf headers;   /* of all frames, for the digest */
    la_buf index;     /* footer entries */
    int64_t max_time; /* up to the last frame written */
} sealing;

/* -------------------------------------------------------------------- pieces */

static void
begin_entry(la_segment_entry *e, uint64_t number, uint64_t first, uint32_t epoch)
{
    *e = (la_segment_entry){.number = number,
                            .first = first,
                            .end = first,
                            .epoch = epoch,
                            .ingest_min = INT64_MAX,
                            .ingest_max = INT64_MIN,
                            .event_min = INT64_MAX,
                            .event_max = INT64_MIN};
}

static void
count_frame(la_segment_entry *e, const la_frame_info *info)
{
    e->end = info->position + info->rows;
    e->frames++;
    e->counts[LA_V_OK] += info->ok;
    e->counts[LA_V_DUPLICATE] += info->duplicate;
    e->counts[LA_V_QUARANTINED] += info->quarantined;
    e->ingest_min = info->ingest_us < e->ingest_min ? info->ingest_us : e->ingest_min;
    e->ingest_max = info->ingest_us > e->ingest_max ? info->ingest_us : e->ingest_max;
    e->event_min = info->event_min < e->event_min ? info->event_min : e->event_min;
    e->event_max = info->event_max > e->event_max ? info->event_max : e->event_max;
}

/* Appends the footer to `out`, with all that is known from headers and index. */
static la_status
put_footer(sealing *s, la_error *err)
{
    la_segment_entry *e = &s->entry;
    size_t start = s->out.size;
    la_buf payload;
    la_status status = LA_OK;

    la_buf_init(&payload, s->log->env);
    la_buf_u32(&payload, e->frames);
    la_buf_u32(&payload, 0);
    la_buf_put(&payload, s->index.data, s->index.size);
    if (!payload.failed && payload.size <= LA_FRAME_BYTES_MAX) {
        la_frame_put_footer(&s->out, s->seed, e->epoch, e->end, payload.data,
                            (uint32_t)payload.size, e->ingest_max, s->max_time,
                            s->length);
    }
    if (payload.failed || s->out.failed) {
        status = la_fail_nomem(err, payload.size);
    }
    else {
        la_buf_put(&s->headers, s->out.data + start, LA_FRAME_HEADER);
        if (s->headers.failed) {
            status = la_fail_nomem(err, s->headers.size);
        }
        else {
            e->digest = la_xxh128(s->headers.data, s->headers.size, 0);
        }
    }
    la_buf_fini(&payload);
    return status;
}

static la_status
write_out(sealing *s, const char *path, la_error *err)
{
    la_status status = la_file_write(s->log->env, s->fd, path, s->out.data, s->out.size,
                                     s->length, err);

    if (status == LA_OK) {
        s->length += s->out.size;
        la_buf_clear(&s->out);
    }
    return status;
}

static la_status
sync_file(const la_env *env, int fd, const char *path, la_error *err)
{
    int rc = env->io.fdatasync(env->io.ctx, fd);

    return rc < 0 ? la_fail_os(err, -rc, path, "could not sync \"%s\"", path) : LA_OK;
}

/* ---------------------------------------------------------- footer in place */

/* Every byte that the footer will vouch for, read back. */
static la_status
check_frames(sealing *s, la_error *err)
{
    const la_segment *open = s->roll->open;
    la_buf scratch;
    la_status status = LA_OK;

    la_buf_init(&scratch, s->log->env);
    for (uint32_t i = 0; i < s->roll->frames && status == LA_OK; i++) {
        const la_frame_info *info = la_segment_frame(open, i);
        la_frame_view view;

        status = la_segment_load(open, info, &scratch, &view, err);
        if (status == LA_OK) {
            la_buf_put(&s->headers, view.payload - LA_FRAME_HEADER, LA_FRAME_HEADER);
            la_segment_put_entry(&s->index, info);
            count_frame(&s->entry, info);
            s->max_time = view.header.max_time;
            if (s->headers.failed || s->index.failed) {
                status = la_fail_nomem(err, s->headers.size);
            }
        }
    }
    la_buf_fini(&scratch);
    return status;
}

static la_status
seal_in_place(sealing *s, bool *touched, la_error *err)
{
    const la_segment *open = s->roll->open;
    uint8_t header[LA_SEGMENT_HEADER];
    la_status status;

    begin_entry(&s->entry, open->number, open->first, open->epoch);
    s->seed = open->seed;
    s->fd = open->fd;
    s->length = s->roll->length;
    status =
        la_file_read(s->log->env, open->fd, open->path, header, sizeof header, 0, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf_put(&s->headers, header, sizeof header);
    status = check_frames(s, err);
    if (status == LA_OK) {
        status = put_footer(s, err);
    }
    if (status != LA_OK) {
        return status;
    }
    *touched = true;
    status = write_out(s, open->path, err);
    if (status == LA_OK) {
        status = sync_file(s->log->env, open->fd, open->path, err);
    }
    s->entry.size = s->length;
    return status;
}

/* ------------------------------------------------------------------- rewrite */

static la_status
flush_rows(sealing *s, la_gather *g, const char *path, la_error *err)
{
    la_frame_rows rows;
    la_frame_info info;
    size_t start = s->out.size;
    la_status status;

    if (g->rows == 0) {
        return LA_OK;
    }
    status = la_gather_rows(g, s->max_time, &rows, err);
    if (status == LA_OK) {
        /* No reader asks a sealed segment how far it was durable. */
        status = la_frame_put(s->frames, &rows, s->seed, s->entry.epoch,
                              LA_SEGMENT_HEADER, LA_EFFORT_SEALED, &s->out, &info, err);
    }
    if (status != LA_OK) {
        return status;
    }
    info.byte = s->length + start;
    la_buf_put(&s->headers, s->out.data + start, LA_FRAME_HEADER);
    la_segment_put_entry(&s->index, &info);
    if (s->headers.failed || s->index.failed) {
        return la_fail_nomem(err, s->headers.size);
    }
    count_frame(&s->entry, &info);
    s->max_time = info.max_time;
    la_gather_clear(g);
    return s->out.size >= WRITE_BYTES ? write_out(s, path, err) : LA_OK;
}

static la_status
gather_frame(sealing *s, la_gather *g, la_decoded *d, const la_frame_view *view,
             const char *path, la_error *err)
{
    uint32_t from = 0, quarantined = 0;
    la_status status = la_decode_frame(d, s->log->def.schema, view, err);

    if (status == LA_OK) {
        status = la_gather_dict(g, view, err);
    }
    while (status == LA_OK && from < d->rows) {
        uint32_t rows = la_gather_fits(g, d, from);

        if (rows != 0) {
            status = la_gather_add(g, d, from, rows, view->header.ingest_us,
                                   &quarantined, err);
            from += rows;
        }
        if (status == LA_OK && (rows == 0 || g->rows == LA_FRAME_ROWS_MAX)) {
            status = flush_rows(s, g, path, err);
        }
    }
    return status;
}

static la_status
gather_segment(sealing *s, la_gather *g, la_decoded *d, la_segment *segment,
               uint32_t frames, const char *path, la_error *err)
{
    la_buf scratch;
    la_status status = la_segment_index(segment, err);

    la_buf_init(&scratch, s->log->env);
    if (segment->sealed) {
        frames = segment->frame_count;
    }
    for (uint32_t i = 0; i < frames && status == LA_OK; i++) {
        la_frame_view view;

        status = la_segment_load(segment, la_segment_frame(segment, i), &scratch, &view,
                                 err);
        if (status == LA_OK) {
            status = gather_frame(s, g, d, &view, path, err);
        }
    }
    la_buf_fini(&scratch);
    return status;
}

/* All rows of the merged predecessors and of the open segment, into the open tmp
 * file. */
static la_status
rewrite_rows(sealing *s, const char *path, la_error *err)
{
    const la_log *log = s->log;
    const la_segment_list *list = s->roll->list;
    la_gather g = {0};
    la_decoded d = {0};
    la_status status;

    status = la_gather_init(&g, log->env, log->def.schema, log->def.time_column,
                            s->entry.first, err);
    if (status == LA_OK) {
        status = la_decoded_init(&d, log->env, log->def.schema, err);
    }
    for (uint32_t i = list->count - s->merged; status == LA_OK && i < list->count;
         i++) {
        status = gather_segment(s, &g, &d, list->segments[i], 0, path, err);
    }
    if (status == LA_OK) {
        status = gather_segment(s, &g, &d, s->roll->open, s->roll->frames, path, err);
    }
    if (status == LA_OK) {
        status = flush_rows(s, &g, path, err);
    }
    la_decoded_fini(&d);
    la_gather_fini(&g);
    return status;
}

/* Greatest event time in front of position `first`, for the running maximum. */
static int64_t
max_time_before(const la_segment_list *list, uint32_t segments)
{
    int64_t max_time = INT64_MIN;

    for (uint32_t i = 0; i < segments; i++) {
        int64_t t = list->segments[i]->entry.event_max;
        max_time = t > max_time ? t : max_time;
    }
    return max_time;
}

static la_status
seal_by_rewrite(sealing *s, la_error *err)
{
    const la_env *env = s->log->env;
    const la_segment_list *list = s->roll->list;
    char path[LA_PATH_BYTES_MAX], tmp[LA_PATH_BYTES_MAX];
    uint64_t number = s->manifest.next_segment++;
    uint32_t kept = list->count - s->merged;
    la_segment_entry previous = {.number = s->previous_number,
                                 .size = s->previous_size};
    int rc;
    la_status status;

    begin_entry(&s->entry, number,
                s->merged != 0 ? list->segments[kept]->first : s->roll->open->first,
                s->roll->epoch);
    s->seed = la_frame_seed(s->log->uuid, number);
    s->max_time = max_time_before(list, kept);
    status = la_segment_path(path, sizeof path, s->log->folder, number, "segment", err);
    if (status == LA_OK) {
        status = la_segment_path(tmp, sizeof tmp, s->log->folder, number, "tmp", err);
    }
    if (status != LA_OK) {
        return status;
    }
    s->fd = env->io.open(env->io.ctx, tmp, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (s->fd < 0) {
        return la_fail_os(err, -s->fd, tmp, "could not create \"%s\"", tmp);
    }
    la_segment_put_header(&s->out, s->log->uuid, number, s->entry.first, s->entry.epoch,
                          previous.number == 0 ? NULL : &previous,
                          env->io.wall_us(env->io.ctx));
    la_buf_put(&s->headers, s->out.data, s->out.size);
    status = s->out.failed || s->headers.failed ? la_fail_nomem(err, LA_SEGMENT_HEADER)
                                                : write_out(s, tmp, err);
    if (status == LA_OK) {
        status = rewrite_rows(s, tmp, err);
    }
    if (status == LA_OK && s->out.size != 0) {
        status = write_out(s, tmp, err);
    }
    if (status == LA_OK) {
        status = put_footer(s, err);
    }
    if (status == LA_OK) {
        status = write_out(s, tmp, err);
    }
    if (status == LA_OK) {
        status = sync_file(env, s->fd, tmp, err);
    }
    env->io.close(env->io.ctx, s->fd);
    s->entry.size = s->length;
    if (status == LA_OK) {
        rc = env->io.rename_noreplace(env->io.ctx, tmp, path);
        s->made_sealed = rc >= 0;
        if (rc < 0) {
            status = la_fail_os(err, -rc, path, "could not rename \"%s\" to \"%s\"",
                                tmp, path);
        }
    }
    if (status != LA_OK) {
        env->io.unlink(env->io.ctx, tmp);
    }
    return status;
}

/* --------------------------------------------------------------- publication */

/* How many segments before the open one are worth merging with it. Small frames shrink
 * a lot when they are rewritten, so what comes is judged by its rows, at the size that
 * rows have in the segment before. */
static uint32_t
choose_merge(const la_roll *roll, uint64_t segment_bytes)
{
    const la_manifest *m = roll->manifest;
    const la_frame_info *last = la_segment_frame(roll->open, roll->frames - 1);
    uint64_t rows = last->position + last->rows - roll->open->first;
    uint64_t coming = roll->length;
    uint32_t merged = 0;

    while (merged < m->count) {
        const la_segment_entry *e = &m->segments[m->count - 1 - merged];
        uint64_t held = e->end - e->first;

        if (merged == 0 && roll->rewrite && held >= 1024) {
            uint64_t by_rows = (uint64_t)((unsigned __int128)rows * e->size / held);
            coming = by_rows < coming ? by_rows : coming;
        }
        if (e->size >= 2 * coming || e->size + coming > segment_bytes) {
            break;
        }
        coming += e->size;
        merged++;
    }
    return merged;
}

static la_status
seal_rows(sealing *s, bool *touched, la_error *err)
{
    const la_roll *roll = s->roll;
    la_manifest *m = &s->manifest;
    la_status status;

    if (roll->frames == 0) {
        return LA_OK;
    }
    s->merged = choose_merge(roll, s->log->segment_bytes);
    if (s->merged < m->count) {
        s->previous_number = m->segments[m->count - s->merged - 1].number;
        s->previous_size = m->segments[m->count - s->merged - 1].size;
    }
    status = roll->rewrite || s->merged != 0 ? seal_by_rewrite(s, err)
                                             : seal_in_place(s, touched, err);
    if (status != LA_OK) {
        return status;
    }
    m->count -= s->merged;
    m->segments[m->count++] = s->entry;
    if (s->entry.ingest_max > m->last_ingest_us) {
        m->last_ingest_us = s->entry.ingest_max;
    }
    return LA_OK;
}

/* The sealed segment as its readers will see it. */
static la_status
read_back(la_segment *segment, la_error *err)
{
    la_status status = la_segment_index(segment, err);

    for (uint32_t i = 0; status == LA_OK && i < segment->frame_count; i++) {
        la_frame_view view;
        status =
            la_segment_load(segment, la_segment_frame(segment, i), NULL, &view, err);
    }
    return status;
}

static la_status
make_fresh(sealing *s, la_error *err)
{
    const la_env *env = s->log->env;
    la_manifest *m = &s->manifest;
    uint64_t number = m->next_segment++;
    char folder[LA_PATH_BYTES_MAX];
    int rc;
    la_status status;

    status = la_segment_create(
        env, s->log->folder, s->log->uuid, number, la_manifest_end(m), s->roll->epoch,
        m->count == 0 ? NULL : &m->segments[m->count - 1], &s->fresh, err);
    if (status != LA_OK) {
        return status;
    }
    s->made_fresh = true;
    m->open_number = number;
    m->open_first = la_manifest_end(m);
    status = la_path_join(folder, sizeof folder, s->log->folder, "segments", err);
    if (status != LA_OK) {
        return status;
    }
    rc = env->io.sync_dir(env->io.ctx, folder);
    return rc < 0 ? la_fail_os(err, -rc, folder, "could not sync folder \"%s\"", folder)
                  : LA_OK;
}

static void
unlink_segment(const la_log *log, uint64_t number)
{
    char path[LA_PATH_BYTES_MAX];

    if (la_segment_path(path, sizeof path, log->folder, number, "segment", NULL) ==
        LA_OK) {
        (void)log->env->io.unlink(log->env->io.ctx, path); /* debris only costs space */
    }
}

static la_status
prepare(sealing *s, bool *touched, la_error *err)
{
    la_log *log = s->log;
    la_status status = la_manifest_copy(s->roll->manifest, 1, &s->manifest, err);

    if (status != LA_OK) {
        return status;
    }
    s->manifest.epoch = s->roll->epoch;
    status = seal_rows(s, touched, err);
    if (status == LA_OK) {
        status = make_fresh(s, err);
    }
    if (status == LA_OK) {
        status = la_segment_list_load(log->env, log->folder, &s->manifest,
                                      s->roll->list, &s->list, err);
    }
    if (status == LA_OK && s->roll->frames != 0) {
        status = read_back(s->list->segments[s->list->count - 1], err);
    }
    return status;
}

static void
unlink_replaced(const sealing *s, const la_manifest *old)
{
    for (uint32_t i = old->count - s->merged; i < old->count; i++) {
        unlink_segment(s->log, old->segments[i].number);
    }
    if (old->open_number != 0 && (s->roll->frames == 0 || s->made_sealed)) {
        unlink_segment(s->log, old->open_number);
    }
}

/* Numbers only: the manifest itself is replaced by the new one. */
static la_status
finish(sealing *s, la_error *err)
{
    la_log *log = s->log;
    la_error why = {0};
    la_doc_id previous = s->roll->manifest->id;
    la_manifest old = {0};
    la_status status;

    status = la_manifest_copy(s->roll->manifest, 0, &old, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_manifest_write(log->env, log->folder, &s->manifest, &previous, &why);
    if (status != LA_OK) {
        if (status == LA_UNKNOWN || status == LA_CONFLICT) {
            /* Readers may follow the new manifest: this handle knows too little to go
             * on, and the new files must stay. */
            s->made_sealed = s->made_fresh = false;
            la_mutex_lock(&log->state);
            la_log_die(log, &why);
            la_mutex_unlock(&log->state);
        }
        if (err != NULL) {
            *err = why;
        }
        la_manifest_fini(&old);
        return status;
    }
    la_mutex_lock(&log->state);
    la_log_install(log, &s->manifest, s->list, s->fresh);
    la_log_show(log);
    la_mutex_unlock(&log->state);
    s->list = NULL;
    s->fresh = NULL;
    unlink_replaced(s, &old);
    la_manifest_fini(&old);
    return LA_OK;
}

la_status
la_log_roll(la_log *log, const la_roll *roll, la_frame_writer *frames, bool *touched,
            la_error *err)
{
    sealing s = {.log = log, .roll = roll, .frames = frames, .fd = -1};
    la_status status;

    la_buf_init(&s.out, log->env);
    la_buf_init(&s.headers, log->env);
    la_buf_init(&s.index, log->env);
    status = prepare(&s, touched, err);
    if (status == LA_OK) {
        status = finish(&s, err);
    }
    if (status != LA_OK && s.manifest.env != NULL) {
        /* Names that may be taken now: the next try goes past them. */
        roll->manifest->next_segment = s.manifest.next_segment;
    }
    if (status != LA_OK && s.made_sealed) {
        unlink_segment(log, s.entry.number);
    }
    if (status != LA_OK && s.made_fresh) {
        unlink_segment(log, s.manifest.open_number);
    }
    la_segment_list_release(s.list);
    la_segment_release(s.fresh);
    la_manifest_fini(&s.manifest);
    la_buf_fini(&s.out);
    la_buf_fini(&s.headers);
    la_buf_fini(&s.index);
    return status;
}
