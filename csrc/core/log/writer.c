/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's side of a handle: lock, epoch, group commit.
 *
 *   start:   LOCK -> recover -> manifest with epoch + 1 -> tail page -> writer
 *   commit:  first arrival syncs for all that is written, later ones wait for it or the
 *   next
 *
 * Invariants
 *  1. The lock is held as long as the writer lives and dies with the process. It is
 *     never taken from anybody.
 *  2. Rows become visible to snapshots after fdatasync returned, and only then.
 *  3. A failed sync is final: nobody knows what the disk holds, and a second sync would
 *     only say that the pages are clean.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "expr/program.h"
#include "log/state.h"

la_status
la_log_lock(la_log *log, int *fd, la_error *err)
{
    const la_io *io = &log->env->io;
    char path[LA_PATH_BYTES_MAX];
    int opened, rc;
    la_status status;

    status = la_path_join(path, sizeof path, log->folder, "LOCK", err);
    if (status != LA_OK) {
        return status;
    }
    opened = io->open(io->ctx, path, O_RDWR | O_CREAT, 0600);
    if (opened < 0) {
        return la_fail_os(err, -opened, path, "could not open \"%s\"", path);
    }
    rc = io->lock(io->ctx, opened, true);
    if (rc == 0) {
        rc = io->same_file(io->ctx, opened, path);
        if (rc == 1) {
            *fd = opened;
            return LA_OK;
        }
        rc = rc == 0 ? -EAGAIN : rc; /* the file was replaced: whose lock is it? */
    }
    io->close(io->ctx, opened);
    if (rc == -EAGAIN) {
        status =
            la_fail(err, LA_BUSY, "could not write log \"%s\": its writer lock is held",
                    log->name);
        la_error_path(err, path);
        la_error_hint(
            err, "another process is writing log \"%s\"; open with mode='r' or wait",
            log->name);
        if (err != NULL) {
            err->retriable = true;
        }
        return status;
    }
    return la_fail_os(err, -rc, path, "could not lock \"%s\"", path);
}

void
la_writer_free(la_log *log, la_writer *writer)
{
    const la_env *env = log->env;

    la_frame_writer_fini(&writer->frames);
    la_buf_fini(&writer->out);
    la_dedupe_fini(&writer->dedupe);
    la_program_free(writer->checks);
    la_dealloc(env, writer->dict_keep, sizeof *writer->dict_keep * log->column_count);
    if (writer->lock_fd >= 0) {
        env->io.close(env->io.ctx, writer->lock_fd);
    }
    la_dealloc(env, writer, sizeof *writer);
}

static la_status
new_writer(la_log *log, la_writer **out, la_error *err)
{
    la_writer *w = la_calloc(log->env, 1, sizeof *w);
    la_status status;

    if (w == NULL) {
        return la_fail_nomem(err, sizeof *w);
    }
    w->lock_fd = -1;
    la_buf_init(&w->out, log->env);
    la_dedupe_init(&w->dedupe, log->env);
    w->dict_keep = la_calloc(log->env, log->column_count, sizeof *w->dict_keep);
    status = w->dict_keep == NULL ? la_fail_nomem(err, sizeof *w->dict_keep)
                                  : la_frame_writer_init(&w->frames, log->env, err);
    if (status == LA_OK && log->def.check_count != 0) {
        status = la_program_new(log->env, log->def.schema, log->def.checks,
                                log->def.check_count, &w->checks, err);
    }
    if (status != LA_OK) {
        la_writer_free(log, w);
        return status;
    }
    *out = w;
    return LA_OK;
}

/* The ids of all ok rows, read from the log. */
static la_status
load_ids(la_log *log, la_dedupe *set, la_error *err)
{
    uint8_t used[LA_COLUMNS_MAX] = {0};
    la_snapshot *snapshot;
    la_reader *reader = NULL;
    la_status status;

    if (log->def.dedupe_count == 0) {
        return LA_OK;
    }
    for (uint32_t i = 0; i < log->def.dedupe_count; i++) {
        used[log->def.dedupe[i]] = 1;
    }
    status = la_log_snapshot(log, &snapshot, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_dedupe_reserve(set, la_snapshot_end(snapshot), err);
    if (status == LA_OK) {
        status = la_reader_open(snapshot, 0, LA_NO_POSITION, used, &reader, err);
    }
    while (status == LA_OK) {
        const la_chunk *chunk;

        status = la_reader_next(reader, &chunk, err);
        if (status != LA_OK || chunk->rows == 0) {
            break;
        }
        status = la_dedupe_keys(set, chunk->columns, log->def.dedupe,
                                log->def.dedupe_count, chunk->rows, err);
        if (status == LA_OK) {
            la_dedupe_add(set, chunk->position, chunk->rows, (uint8_t *)chunk->verdicts,
                          NULL, true);
        }
    }
    la_reader_close(reader);
    la_snapshot_release(snapshot);
    return status;
}

/* The tail page as a writer maps it, in place of a follower's. */
static la_status
own_tail(la_log *log, la_error *err)
{
    la_tail tail = {0};
    la_status status = la_tail_open(log->env, log->folder, true, &tail, err);

    if (status == LA_OK) {
        la_mutex_lock(&log->state);
        la_tail_close(log->env, &log->tail);
        log->tail = tail;
        la_mutex_unlock(&log->state);
    }
    return status;
}

/* The lock is given back: a page that another writer makes may be another file. */
static void
disown_tail(la_log *log)
{
    la_mutex_lock(&log->state);
    log->tail.writable = false;
    la_mutex_unlock(&log->state);
}

la_status
la_writer_start(la_log *log, la_error *err)
{
    la_writer *w = NULL;
    la_status status;

    if (log->writer != NULL) {
        return LA_OK;
    }
    if (log->mode != LA_MODE_WRITE) {
        status = la_fail(err, LA_READONLY,
                         "could not write log \"%s\": the store was opened for reading",
                         log->name);
        la_error_hint(err, "open the store with mode='w'");
        return status;
    }
    status = new_writer(log, &w, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_log_lock(log, &w->lock_fd, err);
    if (status == LA_OK) {
        status = own_tail(log, err);
    }
    if (status == LA_OK) {
        status = la_log_recover(log, &w->frames, err);
    }
    if (status == LA_OK) {
        status = load_ids(log, &w->dedupe, err);
    }
    if (status == LA_OK) {
        la_mutex_lock(&log->state);
        status = la_log_load_dicts(log, err);
        la_mutex_unlock(&log->state);
    }
    if (status != LA_OK) {
        disown_tail(log);
        la_writer_free(log, w);
        return status;
    }
    w->zeroed_to = LA_SEGMENT_HEADER;
    la_mutex_lock(&log->state);
    w->epoch = (uint32_t)log->manifest.epoch;
    w->last_ingest_us = log->manifest.last_ingest_us;
    w->max_time = log->durable_max_time;
    log->writer = w;
    log->writing = true;
    la_mutex_unlock(&log->state);
    return LA_OK;
}

/* The tail page is lost, or a frame begins where it says that durable bytes end: its
 * writer may have been told so without the page being on disk. */
static la_status
is_stale(la_log *log, bool *stale, la_error *err)
{
    uint8_t at[LA_FRAME_HEADER];
    la_frame_header header;
    la_tail_values tail;
    uint64_t from = LA_SEGMENT_HEADER;
    int64_t size;
    la_status status;

    *stale = false;
    la_mutex_lock(&log->state);
    status = la_log_look(log, stale, err);
    if (status == LA_OK && log->open != NULL && !*stale) {
        const la_segment *open = log->open;

        if (la_tail_load(&log->tail, log->uuid, &tail) &&
            tail.segment == open->number && tail.epoch == log->manifest.epoch) {
            from = tail.durable_len;
        }
        else {
            from = log->durable_len;
        }
        size = log->env->io.file_size(log->env->io.ctx, open->fd);
        if (size >= 0 && from + sizeof at <= (uint64_t)size) {
            status =
                la_file_read(log->env, open->fd, open->path, at, sizeof at, from, err);
            *stale = status == LA_OK &&
                     la_frame_read_header(at, open->seed, &header) == NULL &&
                     header.type == LA_FRAME_ROWS;
        }
    }
    la_mutex_unlock(&log->state);
    return status;
}

la_status
la_log_recover_if_stale(la_log *log, la_error *err)
{
    la_frame_writer frames = {0};
    bool stale;
    int fd = -1;
    la_status status;

    status = is_stale(log, &stale, err);
    if (status != LA_OK || !stale) {
        /* A log that cannot be followed may still be repaired by its next writer. */
        return status;
    }
    status = la_log_lock(log, &fd, err);
    if (status == LA_BUSY) {
        return LA_OK; /* a live writer is simply ahead of its last sync */
    }
    if (status == LA_OK) {
        status = la_frame_writer_init(&frames, log->env, err);
    }
    if (status == LA_OK) {
        status = own_tail(log, err);
    }
    if (status == LA_OK) {
        status = la_log_recover(log, &frames, err);
    }
    la_frame_writer_fini(&frames);
    disown_tail(log);
    if (fd >= 0) {
        log->env->io.close(log->env->io.ctx, fd);
    }
    return status;
}

/* -------------------------------------------------------------------- commit */

static la_status
sync_failed(la_log *log, const la_segment *segment, int os_errno, la_error *err)
{
    la_error failed = {0};

    (void)!la_fail_os(&failed, os_errno, segment->path,
                      "could not make rows of log \"%s\" durable: sync of \"%s\"",
                      log->name, segment->path);
    failed.status = LA_UNKNOWN;
    failed.retriable = false;
    la_error_hint(&failed,
                  "the last rows may or may not be on disk: close the store and "
                  "open it again, the log then tells which are there");
    la_log_die(log, &failed);
    if (err != NULL) {
        *err = failed;
    }
    return LA_UNKNOWN;
}

la_status
la_log_commit(la_log *log, uint64_t end, la_error *err)
{
    const la_io *io = &log->env->io;
    la_segment *segment;
    uint32_t frames;
    int rc;
    la_status status = LA_OK;

    la_mutex_lock(&log->state);
    while (!log->dead && log->durable_end < end && log->syncing) {
        la_cond_wait(&log->synced, &log->state);
    }
    if (log->durable_end >= end) {
        la_mutex_unlock(&log->state);
        return LA_OK;
    }
    if (log->dead) {
        if (err != NULL) {
            *err = log->death;
            err->status = LA_UNKNOWN;
        }
        la_mutex_unlock(&log->state);
        return LA_UNKNOWN;
    }
    log->syncing = true;
    frames = log->published_frames;
    segment = la_segment_retain(log->open);
    la_mutex_unlock(&log->state);

    rc = io->fdatasync(io->ctx, segment->fd);

    la_mutex_lock(&log->state);
    log->syncing = false;
    if (rc < 0) {
        status = sync_failed(log, segment, -rc, err);
    }
    else {
        la_log_advance(log, frames);
        log->last_sync_ns = io->mono_ns(io->ctx);
        la_log_show(log);
    }
    la_cond_broadcast(&log->synced);
    la_mutex_unlock(&log->state);
    la_segment_release(segment);
    return status;
}

la_status
la_log_sync(la_log *log, la_error *err)
{
    uint64_t end = 0;
    la_status status;

    la_mutex_lock(&log->state);
    status = la_log_alive_locked(log, err);
    if (status == LA_OK && log->writing) {
        end = log->published_end;
    }
    la_mutex_unlock(&log->state);
    return status == LA_OK && end != 0 ? la_log_commit(log, end, err) : status;
}

la_status
la_writer_roll(la_log *log, la_error *err)
{
    la_writer *w = log->writer;
    bool touched = false;
    la_roll roll;
    la_status status;

    status = la_log_commit(log, log->published_end, err);
    if (status != LA_OK) {
        return status;
    }
    roll = (la_roll){.manifest = &log->manifest,
                     .list = log->sealed,
                     .open = log->open,
                     .frames = log->published_frames,
                     .length = log->published_len,
                     .epoch = w->epoch,
                     .rewrite = w->rewrite || w->broken};
    status = la_log_roll(log, &roll, &w->frames, &touched, err);
    if (status != LA_OK) {
        w->broken = w->broken || touched;
        return status;
    }
    w->broken = false;
    w->rewrite = false;
    w->zeroed_to = LA_SEGMENT_HEADER;
    return LA_OK;
}

la_status
la_log_seal(la_log *log, la_error *err)
{
    la_status status = la_log_alive(log, err);

    if (status != LA_OK) {
        return status;
    }
    la_mutex_lock(&log->append);
    status = la_log_alive(log, err);
    if (status == LA_OK) {
        status = la_writer_start(log, err);
    }
    if (status == LA_OK && (log->published_frames != 0 || log->writer->broken)) {
        status = la_writer_roll(log, err);
    }
    la_mutex_unlock(&log->append);
    return status;
}
