/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: what a writer does before it shows anything.
 *
 *   newest manifest -> open segment scanned whole -> torn tail | damage
 *     -> frames rewritten into a sealed segment -> manifest with epoch + 1
 *
 *   valid valid valid | ?????? valid ????        durable <= first bad byte: a torn tail
 *                     b                          durable >  first bad byte: damage
 *
 * Invariants
 *  1. Unsynced writes reach the disk in any order, so a valid frame behind bad bytes
 *     proves nothing by itself. What proves damage is a durable length past the bad
 *     byte: the tail page's, or the one that any frame of the segment carries, also one
 *     behind the hole.
 *  2. Nothing is deleted: torn bytes go to quarantine/, damage refuses the writer.
 *  3. The page cache is not trusted: unless all frames were known durable and the file
 *     ends with them, they are rewritten and synced before they are shown.
 *  4. A second recovery finds an empty open segment and changes no row.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/file.h"
#include "log/state.h"

#define BLOCK (1u << 20)

typedef struct scan {
    la_log *log;
    la_segment *segment;
    uint64_t size;     /* of the file */
    uint64_t durable;  /* greatest length that anything claims */
    uint64_t good;     /* bytes of valid frames from the start */
    uint64_t torn_end; /* after the last byte that is not zero; <= good: none */
    bool ended;        /* a footer follows the good frames */
    bool small;        /* frames that sealing should merge */
    const char *why;   /* what is wrong at `good` */
    la_buf frame;
} scan;

/* Reads bytes [byte, byte + size) of the file, zeros where it has ended. */
static la_status
read_at(scan *s, void *to, size_t size, uint64_t byte, la_error *err)
{
    size_t there = byte >= s->size         ? 0
                   : s->size - byte < size ? (size_t)(s->size - byte)
                                           : size;

    memset((uint8_t *)to + there, 0, size - there);
    return there == 0 ? LA_OK
                      : la_file_read(s->log->env, s->segment->fd, s->segment->path, to,
                                     there, byte, err);
}

/* One frame at `byte`, checked whole. *why says what is wrong. */
static la_status
check_frame(scan *s, uint64_t byte, uint64_t position, la_frame_header *header,
            const char **why, la_error *err)
{
    uint8_t at[LA_FRAME_HEADER];
    uint64_t size;
    uint8_t *room;
    la_status status = read_at(s, at, sizeof at, byte, err);

    if (status != LA_OK) {
        return status;
    }
    *why = la_frame_read_header(at, s->segment->seed, header);
    if (*why == NULL && header->position != position) {
        *why = "a frame of another position";
    }
    if (*why == NULL && header->epoch != s->segment->epoch) {
        *why = "a frame of another writer";
    }
    if (*why != NULL) {
        return LA_OK;
    }
    s->durable = header->durable_len > s->durable ? header->durable_len : s->durable;
    size = la_frame_size(header->payload_size);
    if (size > s->size - byte) {
        *why = "half a frame";
        return LA_OK;
    }
    la_buf_clear(&s->frame);
    room = la_buf_room(&s->frame, (size_t)size);
    if (room == NULL) {
        s->frame.failed = false;
        return la_fail_nomem(err, (size_t)size);
    }
    status = read_at(s, room, (size_t)size, byte, err);
    if (status == LA_OK) {
        *why = la_frame_check(header, room);
    }
    return status;
}

static la_status
scan_frames(scan *s, la_error *err)
{
    uint64_t position = s->segment->first;

    s->good = LA_SEGMENT_HEADER;
    for (;;) {
        la_frame_header header;
        la_frame_info info;
        la_status status = check_frame(s, s->good, position, &header, &s->why, err);

        if (status != LA_OK) {
            return status;
        }
        if (s->why != NULL) {
            return LA_OK;
        }
        if (header.type == LA_FRAME_FOOTER) {
            /* Its writer died between footer and manifest; the footer is no row. */
            s->ended = true;
            return LA_OK;
        }
        status = la_segment_reserve(s->segment, 1, err);
        if (status != LA_OK) {
            return status == LA_BUDGET
                       ? la_fail_damaged(err, s->segment->path, s->good,
                                         "segment \"%s\" has too many frames",
                                         s->segment->path)
                       : status;
        }
        la_frame_info_of(&header, s->good, &info);
        la_segment_add(s->segment, &info);
        s->small = s->small || header.rows < LA_SEALED_ROWS;
        position += header.rows;
        s->good += info.size;
    }
}

/* Looks for frames behind the first bad byte, for what they carry, and for the end of
 * bytes that are not zero. */
static la_status
scan_rest(scan *s, la_error *err)
{
    uint64_t byte = s->good;
    uint8_t *block;
    la_status status = LA_OK;

    if (s->ended || s->good >= s->size) {
        return LA_OK;
    }
    block = la_alloc(s->log->env, BLOCK + LA_FRAME_HEADER);
    if (block == NULL) {
        return la_fail_nomem(err, BLOCK + LA_FRAME_HEADER);
    }
    for (; byte < s->size && status == LA_OK; byte += BLOCK) {
        status = read_at(s, block, BLOCK + LA_FRAME_HEADER, byte, err);
        for (uint32_t i = 0; i < BLOCK && status == LA_OK; i += 8) {
            la_frame_header header;

            if (la_load_u64(block + i) == 0) {
                continue;
            }
            s->torn_end = byte + i + 8;
            if (la_load_u32(block + i) == LA_FRAME_MAGIC &&
                la_frame_read_header(block + i, s->segment->seed, &header) == NULL &&
                header.epoch == s->segment->epoch && header.durable_len > s->durable) {
                s->durable = header.durable_len;
            }
        }
    }
    if (s->torn_end > s->size) {
        s->torn_end = s->size;
    }
    la_dealloc(s->log->env, block, BLOCK + LA_FRAME_HEADER);
    return status;
}

static la_status
judge(scan *s, la_error *err)
{
    la_status status;

    if (s->good >= s->durable) {
        return LA_OK;
    }
    status = la_fail_damaged(
        err, s->segment->path, s->good,
        "could not write log \"%s\": \"%s\" is damaged at byte %llu "
        "(%s), but was durable up to byte %llu",
        s->log->name, s->segment->path, (unsigned long long)s->good,
        s->why == NULL ? "it ends" : s->why, (unsigned long long)s->durable);
    la_error_hint(err,
                  "restore the file from a copy, or salvage the log into a new one; "
                  "rows before it can still be read");
    return status;
}

/* Torn bytes into quarantine/, once. */
static la_status
keep_torn(scan *s, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX], name[80];
    uint64_t size = s->torn_end - s->good;
    uint8_t *bytes;
    la_status status;

    if (s->torn_end <= s->good) {
        return LA_OK;
    }
    status = la_path_join(folder, sizeof folder, s->log->folder, "quarantine", err);
    if (status != LA_OK) {
        return status;
    }
    bytes = la_alloc(s->log->env, (size_t)size);
    if (bytes == NULL) {
        return la_fail_nomem(err, (size_t)size);
    }
    snprintf(name, sizeof name, "%020llu-%llu.torn",
             (unsigned long long)s->segment->number, (unsigned long long)s->good);
    status = read_at(s, bytes, (size_t)size, s->good, err);
    if (status == LA_OK) {
        status = la_file_publish(s->log->env, folder, name, bytes, (size_t)size, err);
        /* There already: a recovery before this one was cut off after it. */
        status = status == LA_CONFLICT ? LA_OK : status;
    }
    la_dealloc(s->log->env, bytes, (size_t)size);
    return status;
}

static la_status
scan_segment(scan *s, la_error *err)
{
    la_tail_values tail;
    int64_t size = s->log->env->io.file_size(s->log->env->io.ctx, s->segment->fd);
    la_status status;

    if (size < 0) {
        return la_fail_os(err, (int)-size, s->segment->path,
                          "could not get the size of \"%s\"", s->segment->path);
    }
    s->size = (uint64_t)size;
    s->durable = LA_SEGMENT_HEADER;
    if (la_tail_load(&s->log->tail, s->log->uuid, &tail) &&
        tail.epoch == s->segment->epoch && tail.segment == s->segment->number) {
        s->durable = tail.durable_len;
    }
    status = scan_frames(s, err);
    if (status == LA_OK) {
        status = scan_rest(s, err);
    }
    if (status == LA_OK) {
        status = judge(s, err);
    }
    return status == LA_OK ? keep_torn(s, err) : status;
}

/* -------------------------------------------------------------------- debris */

typedef struct debris {
    const la_manifest *manifest;
    const la_segment_list *list;
    la_buf unlink;  /* numbers of segments that an older manifest named */
    la_buf tmp;     /* numbers of tmp files */
    la_buf strange; /* numbers of segments that no manifest has named */
} debris;

static bool
is_named(const debris *d, uint64_t number)
{
    if (number == d->manifest->open_number) {
        return true;
    }
    for (uint32_t i = 0; i < d->list->count; i++) {
        if (d->list->segments[i]->number == number) {
            return true;
        }
    }
    return false;
}

static int
sort_file(void *arg, const char *name)
{
    debris *d = arg;
    char *rest;
    uint64_t number = strtoull(name, &rest, 10);

    if (rest != name + 20) {
        return 0;
    }
    if (strcmp(rest, ".tmp") == 0) {
        la_buf_u64(&d->tmp, number);
    }
    else if (strcmp(rest, ".segment") == 0 && !is_named(d, number)) {
        la_buf_u64(number < d->manifest->next_segment ? &d->unlink : &d->strange,
                   number);
    }
    return 0;
}

static void
unlink_all(const la_log *log, const la_buf *numbers, const char *ending)
{
    for (size_t i = 0; i + 8 <= numbers->size; i += 8) {
        char path[LA_PATH_BYTES_MAX];

        if (la_segment_path(path, sizeof path, log->folder,
                            la_load_u64(numbers->data + i), ending, NULL) == LA_OK) {
            (void)log->env->io.unlink(log->env->io.ctx, path);
        }
    }
}

/* A segment that no manifest has named yet is debris of a crash, unless manifests were
 * lost: so it is set aside, not deleted, and its number is free again. */
static la_status
set_aside(const la_log *log, uint64_t number, la_error *err)
{
    char from[LA_PATH_BYTES_MAX], to[LA_PATH_BYTES_MAX], name[80];
    int rc = -EEXIST;
    la_status status =
        la_segment_path(from, sizeof from, log->folder, number, "segment", err);

    for (int i = 0; status == LA_OK && rc == -EEXIST && i < 1000; i++) {
        snprintf(name, sizeof name, "quarantine/%020llu.segment.%d",
                 (unsigned long long)number, i);
        status = la_path_join(to, sizeof to, log->folder, name, err);
        if (status == LA_OK) {
            rc = log->env->io.rename_noreplace(log->env->io.ctx, from, to);
        }
    }
    if (status == LA_OK && rc < 0) {
        return la_fail_os(err, -rc, from, "could not set \"%s\" aside", from);
    }
    return status;
}

/* Before a recovery writes files of its own. */
static la_status
sweep(la_log *log, const la_manifest *manifest, const la_segment_list *list,
      la_error *err)
{
    debris d = {.manifest = manifest, .list = list};
    char folder[LA_PATH_BYTES_MAX];
    int rc;
    la_status status;

    status = la_path_join(folder, sizeof folder, log->folder, "segments", err);
    if (status != LA_OK) {
        return status;
    }
    la_buf_init(&d.unlink, log->env);
    la_buf_init(&d.tmp, log->env);
    la_buf_init(&d.strange, log->env);
    rc = log->env->io.list(log->env->io.ctx, folder, sort_file, &d);
    if (rc < 0) {
        status = la_fail_os(err, -rc, folder, "could not list \"%s\"", folder);
    }
    else if (d.unlink.failed || d.tmp.failed || d.strange.failed) {
        status = la_fail_nomem(err, 64);
    }
    else {
        unlink_all(log, &d.unlink, "segment");
        unlink_all(log, &d.tmp, "tmp");
    }
    for (size_t i = 0; status == LA_OK && i + 8 <= d.strange.size; i += 8) {
        status = set_aside(log, la_load_u64(d.strange.data + i), err);
    }
    la_buf_fini(&d.unlink);
    la_buf_fini(&d.tmp);
    la_buf_fini(&d.strange);
    return status;
}

/* ------------------------------------------------------------------ recovery */

static la_status
as_missing(la_status status, la_error *err)
{
    if (status == LA_NOT_FOUND) {
        /* With the lock held no newer manifest can explain it. */
        if (err != NULL) {
            err->status = LA_DAMAGED;
        }
        return LA_DAMAGED;
    }
    return status;
}

static la_status
roll_scanned(la_log *log, la_manifest *manifest, la_segment_list *list, scan *s,
             la_frame_writer *frames, la_error *err)
{
    la_roll roll = {.manifest = manifest,
                    .list = list,
                    .open = s->segment,
                    .epoch = (uint32_t)manifest->epoch + 1};
    bool touched = false;

    if (s->segment != NULL) {
        roll.frames = s->segment->frame_count;
        roll.length = s->good;
        roll.rewrite =
            s->small || s->good > s->durable || s->ended || s->torn_end > s->good;
    }
    return la_log_roll(log, &roll, frames, &touched, err);
}

la_status
la_log_recover(la_log *log, la_frame_writer *frames, la_error *err)
{
    la_manifest manifest = {0};
    la_segment_list *list = NULL, *known = NULL;
    scan s = {.log = log};
    bool changed;
    la_status status;

    la_mutex_lock(&log->state);
    if (log->sealed != NULL) {
        /* Other threads follow meanwhile, and may replace it. */
        known = la_segment_list_retain(log->sealed);
    }
    la_mutex_unlock(&log->state);
    la_buf_init(&s.frame, log->env);
    status =
        la_manifest_load(log->env, log->folder, log->uuid, 0, &changed, &manifest, err);
    if (status == LA_OK) {
        status = as_missing(
            la_segment_list_load(log->env, log->folder, &manifest, known, &list, err),
            err);
    }
    if (status == LA_OK && manifest.open_number != 0) {
        status = as_missing(la_segment_open_growing(
                                log->env, log->folder, log->uuid, manifest.open_number,
                                manifest.open_first, true, &s.segment, err),
                            err);
        if (status == LA_OK) {
            status = scan_segment(&s, err);
        }
    }
    if (status == LA_OK) {
        status = sweep(log, &manifest, list, err);
    }
    if (status == LA_OK) {
        status = roll_scanned(log, &manifest, list, &s, frames, err);
    }
    la_segment_release(s.segment);
    la_segment_list_release(list);
    la_segment_list_release(known);
    la_manifest_fini(&manifest);
    la_buf_fini(&s.frame);
    return status;
}
