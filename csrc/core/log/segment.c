/* SPDX-License-Identifier: Apache-2.0 */
/* Segments: one file of frames.
 *
 *   header 128 | frame | frame | ... | footer frame      sealed: ends here, for ever
 *   header 128 | frame | frame | 0000000...              open: grows, zeros ahead
 *
 * States:   created --manifest names it--> open --roll: footer, manifest--> sealed
 *                                            \--roll: rewritten--> unlinked
 *
 * Invariants
 *  1. A segment's name appears when its header is durable. Nothing readable is
 *     overwritten.
 *  2. Frames follow without gap, in bytes and in positions.
 *  3. A sealed segment is what the manifest says: length, positions, and a digest over
 *     all headers, each of which holds its payload's hash. So every byte that is read
 *     is bound to the manifest.
 *  4. Index pages never move: a reader holds a count, not a lock.
 */
#include "log/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"

#define FORMAT_VERSION 1u
#define ENTRY_BYTES 64u
/* Read at once while following an open segment. */
#define FOLLOW_BYTES (64u << 10)

static const char segment_magic[8] = {'L', 'A', 'M', 'B', 'S', 'E', 'G', '\n'};

/* ------------------------------------------------------------------- objects */

static la_segment *
new_segment(const la_env *env, const char *path, const uint8_t uuid[16],
            uint64_t number, uint64_t first, la_error *err)
{
    size_t size = sizeof(la_segment) + strlen(path) + 1;
    la_segment *segment = la_calloc(env, 1, size);

    if (segment == NULL) {
        (void)!la_fail_nomem(err, size);
        return NULL;
    }
    segment->env = env;
    atomic_init(&segment->references, 1);
    atomic_init(&segment->indexed, false);
    memcpy(segment->uuid, uuid, 16);
    segment->number = number;
    segment->first = first;
    segment->seed = la_frame_seed(uuid, number);
    segment->fd = -1;
    segment->length = LA_SEGMENT_HEADER;
    la_mutex_init(&segment->mutex);
    memcpy(segment->path, path, strlen(path) + 1);
    return segment;
}

la_segment *
la_segment_retain(la_segment *segment)
{
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void
la_segment_release(la_segment *segment)
{
    const la_env *env;

    if (segment == NULL ||
        atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    env = segment->env;
    if (segment->map != NULL) {
        env->io.unmap(env->io.ctx, segment->map, segment->entry.size);
    }
    if (segment->fd >= 0) {
        env->io.close(env->io.ctx, segment->fd);
    }
    for (uint32_t i = 0; i < LA_SEGMENT_FRAMES_MAX / LA_SEGMENT_PAGE; i++) {
        la_dealloc(env, segment->pages[i], LA_SEGMENT_PAGE * sizeof(la_frame_info));
    }
    la_mutex_fini(&segment->mutex);
    la_dealloc(env, segment, sizeof *segment + strlen(segment->path) + 1);
}

la_status
la_segment_path(char *path, size_t size, const char *folder, uint64_t number,
                const char *ending, la_error *err)
{
    char name[64];

    snprintf(name, sizeof name, "segments/%020llu.%s", (unsigned long long)number,
             ending);
    return la_path_join(path, size, folder, name, err);
}

la_status
la_segment_reserve(la_segment *segment, uint64_t more, la_error *err)
{
    uint64_t count = segment->frame_count + more;

    if (count > LA_SEGMENT_FRAMES_MAX) {
        return la_fail(err, LA_BUDGET, "could not add %llu frames to \"%s\": it has %u",
                       (unsigned long long)more, segment->path, segment->frame_count);
    }
    for (uint64_t i = segment->frame_count / LA_SEGMENT_PAGE;
         i * LA_SEGMENT_PAGE < count; i++) {
        if (segment->pages[i] == NULL) {
            size_t size = LA_SEGMENT_PAGE * sizeof(la_frame_info);
            segment->pages[i] = la_alloc(segment->env, size);
            if (segment->pages[i] == NULL) {
                return la_fail_nomem(err, size);
            }
        }
    }
    return LA_OK;
}

void
la_segment_add(la_segment *segment, const la_frame_info *info)
{
    assert(segment->frame_count < LA_SEGMENT_FRAMES_MAX);
    *la_segment_frame(segment, segment->frame_count) = *info;
    segment->frame_count++;
    segment->length = info->byte + info->size;
}

uint32_t
la_segment_find(const la_segment *segment, uint32_t count, uint64_t position)
{
    uint32_t low = 0, high = count;

    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (la_segment_frame(segment, mid)->position <= position) {
            low = mid;
        }
        else {
            high = mid;
        }
    }
    return low;
}

/* -------------------------------------------------------------------- header */

void
la_segment_put_header(la_buf *to, const uint8_t uuid[16], uint64_t number,
                      uint64_t first, uint32_t epoch, const la_segment_entry *previous,
                      int64_t now_us)
{
    size_t start = to->size;

    la_buf_put(to, segment_magic, 8);
    la_buf_u16(to, FORMAT_VERSION);
    la_buf_u16(to, 0);
    la_buf_u32(to, epoch);
    la_buf_put(to, uuid, 16);
    la_buf_u64(to, number);
    la_buf_u64(to, first);
    la_buf_u64(to, previous == NULL ? 0 : previous->number);
    la_buf_u64(to, previous == NULL ? 0 : previous->size);
    la_buf_u64(to, (uint64_t)now_us);
    la_buf_zero(to, 52);
    if (!to->failed) {
        la_buf_u32(to, la_crc32c(0, to->data + start, LA_SEGMENT_HEADER - 4));
    }
}

static la_status
check_header(la_segment *segment, const uint8_t *at, la_error *err)
{
    static const uint8_t zeros[52];
    const char *path = segment->path;
    unsigned version = at[8] | (unsigned)at[9] << 8;

    if (memcmp(at, segment_magic, 8) != 0) {
        return la_fail_damaged(err, path, 0, "could not read \"%s\": wrong magic",
                               path);
    }
    if (la_load_u32(at + 124) != la_crc32c(0, at, 124)) {
        return la_fail_damaged(err, path, 124,
                               "could not read \"%s\": the header does not match its "
                               "checksum",
                               path);
    }
    if (version > FORMAT_VERSION) {
        la_status status = la_fail(err, LA_NEWER,
                                   "could not read \"%s\": written as format %u, this "
                                   "program knows %u",
                                   path, version, FORMAT_VERSION);
        la_error_path(err, path);
        la_error_hint(err, "use a newer lambdaarch");
        return status;
    }
    if (memcmp(at + 16, segment->uuid, 16) != 0) {
        return la_fail_damaged(
            err, path, 16, "could not read \"%s\": it belongs to another log", path);
    }
    if (version != FORMAT_VERSION || at[10] != 0 || at[11] != 0 ||
        memcmp(at + 72, zeros, sizeof zeros) != 0) {
        return la_fail_damaged(err, path, 8,
                               "could not read \"%s\": reserved bytes set", path);
    }
    if (la_load_u64(at + 32) != segment->number ||
        la_load_u64(at + 40) != segment->first) {
        return la_fail_damaged(
            err, path, 32,
            "could not read \"%s\": it is segment %llu from position "
            "%llu, not %llu from %llu",
            path, (unsigned long long)la_load_u64(at + 32),
            (unsigned long long)la_load_u64(at + 40),
            (unsigned long long)segment->number, (unsigned long long)segment->first);
    }
    segment->epoch = la_load_u32(at + 12);
    return LA_OK;
}

/* ------------------------------------------------------------- opening files */

static la_status
open_file(const la_env *env, const char *path, int flags, int *fd, uint64_t *size,
          la_error *err)
{
    const la_io *io = &env->io;
    int64_t length;
    la_status status;

    *fd = io->open(io->ctx, path, flags, 0600);
    if (*fd == -ENOENT) {
        status = la_fail(err, LA_NOT_FOUND,
                         "could not open \"%s\": the file is missing", path);
        la_error_path(err, path);
        return status;
    }
    if (*fd < 0) {
        return la_fail_os(err, -*fd, path, "could not open \"%s\"", path);
    }
    length = io->file_size(io->ctx, *fd);
    if (length < 0) {
        status = la_fail_os(err, (int)-length, path, "could not get the size of \"%s\"",
                            path);
        io->close(io->ctx, *fd);
        *fd = -1;
        return status;
    }
    *size = (uint64_t)length;
    return LA_OK;
}

la_status
la_segment_open_sealed(const la_env *env, const char *folder, const uint8_t uuid[16],
                       const la_segment_entry *entry, la_segment **out, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_segment *segment;
    const void *map = NULL;
    uint64_t size;
    int fd, rc;
    la_status status;

    status = la_segment_path(path, sizeof path, folder, entry->number, "segment", err);
    if (status != LA_OK) {
        return status;
    }
    segment = new_segment(env, path, uuid, entry->number, entry->first, err);
    if (segment == NULL) {
        return LA_NOMEM;
    }
    segment->sealed = true;
    segment->entry = *entry;
    status = open_file(env, path, O_RDONLY, &fd, &size, err);
    if (status != LA_OK) {
        goto fail;
    }
    if (size < entry->size) {
        status = la_fail_damaged(err, path, size,
                                 "could not read \"%s\": it ends at byte %llu, but was "
                                 "sealed with %llu bytes",
                                 path, (unsigned long long)size,
                                 (unsigned long long)entry->size);
    }
    else {
        rc = env->io.map(env->io.ctx, fd, entry->size, &map);
        if (rc < 0) {
            status = la_fail_os(err, -rc, path, "could not map \"%s\"", path);
        }
    }
    env->io.close(env->io.ctx, fd);
    if (status != LA_OK) {
        goto fail;
    }
    segment->map = map;
    *out = segment;
    return LA_OK;

fail:
    la_segment_release(segment);
    return status;
}

la_status
la_segment_open_growing(const la_env *env, const char *folder, const uint8_t uuid[16],
                        uint64_t number, uint64_t first, bool writable,
                        la_segment **out, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    uint8_t header[LA_SEGMENT_HEADER];
    la_segment *segment;
    uint64_t size;
    la_status status;

    status = la_segment_path(path, sizeof path, folder, number, "segment", err);
    if (status != LA_OK) {
        return status;
    }
    segment = new_segment(env, path, uuid, number, first, err);
    if (segment == NULL) {
        return LA_NOMEM;
    }
    status =
        open_file(env, path, writable ? O_RDWR : O_RDONLY, &segment->fd, &size, err);
    if (status == LA_OK) {
        status = la_file_read(env, segment->fd, path, header, sizeof header, 0, err);
    }
    if (status == LA_OK) {
        status = check_header(segment, header, err);
    }
    if (status != LA_OK) {
        la_segment_release(segment);
        return status;
    }
    *out = segment;
    return LA_OK;
}

la_status
la_segment_create(const la_env *env, const char *folder, const uint8_t uuid[16],
                  uint64_t number, uint64_t first, uint32_t epoch,
                  const la_segment_entry *previous, la_segment **out, la_error *err)
{
    char path[LA_PATH_BYTES_MAX], tmp[LA_PATH_BYTES_MAX];
    const la_io *io = &env->io;
    la_segment *segment = NULL;
    la_buf header;
    int rc;
    la_status status;

    la_buf_init(&header, env);
    la_segment_put_header(&header, uuid, number, first, epoch, previous,
                          io->wall_us(io->ctx));
    status = la_segment_path(path, sizeof path, folder, number, "segment", err);
    if (status == LA_OK) {
        status = la_segment_path(tmp, sizeof tmp, folder, number, "tmp", err);
    }
    if (status == LA_OK && header.failed) {
        status = la_fail_nomem(err, LA_SEGMENT_HEADER);
    }
    if (status != LA_OK) {
        goto done;
    }
    segment = new_segment(env, path, uuid, number, first, err);
    if (segment == NULL) {
        status = LA_NOMEM;
        goto done;
    }
    segment->epoch = epoch;
    segment->fd = io->open(io->ctx, tmp, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (segment->fd < 0) {
        status = la_fail_os(err, -segment->fd, tmp, "could not create \"%s\"", tmp);
        segment->fd = -1;
        goto done;
    }
    status = la_file_write(env, segment->fd, tmp, header.data, header.size, 0, err);
    if (status != LA_OK) {
        goto drop;
    }
    rc = io->fdatasync(io->ctx, segment->fd);
    if (rc < 0) {
        status = la_fail_os(err, -rc, tmp, "could not sync \"%s\"", tmp);
        goto drop;
    }
    rc = io->rename_noreplace(io->ctx, tmp, path);
    if (rc < 0) {
        status =
            la_fail_os(err, -rc, path, "could not rename \"%s\" to \"%s\"", tmp, path);
        goto drop;
    }
    goto done;

drop:
    io->unlink(io->ctx, tmp);
done:
    la_buf_fini(&header);
    if (status != LA_OK) {
        la_segment_release(segment);
        return status;
    }
    *out = segment;
    return LA_OK;
}

/* ------------------------------------------------------------------ indexing */

void
la_segment_put_entry(la_buf *to, const la_frame_info *info)
{
    la_buf_u64(to, info->byte);
    la_buf_u64(to, info->position);
    la_buf_u32(to, info->rows);
    la_buf_u32(to, info->size);
    la_buf_u64(to, (uint64_t)info->ingest_us);
    la_buf_u64(to, (uint64_t)info->event_min);
    la_buf_u64(to, (uint64_t)info->event_max);
    la_buf_u32(to, info->dict_size);
    la_buf_u32(to, info->ok);
    la_buf_u64(to, info->hash);
}

void
la_segment_put_index(la_buf *to, const la_segment *segment, uint32_t count)
{
    la_buf_u32(to, count);
    la_buf_u32(to, 0);
    for (uint32_t i = 0; i < count; i++) {
        la_segment_put_entry(to, la_segment_frame(segment, i));
    }
}

static la_status
damaged(const la_segment *segment, uint64_t byte, const char *what, la_error *err)
{
    return la_fail_damaged(err, segment->path, byte,
                           "could not read \"%s\": %s at byte %llu", segment->path,
                           what, (unsigned long long)byte);
}

/* The footer's header and place. */
static la_status
find_footer(la_segment *segment, la_frame_header *footer, uint64_t *byte, la_error *err)
{
    uint64_t size = segment->entry.size;
    uint64_t frame;
    const char *why;

    if (size < LA_SEGMENT_HEADER + la_frame_size(8) || size % 8 != 0) {
        return damaged(segment, 0, "impossible sealed size", err);
    }
    frame = la_frame_size(la_load_u32(segment->map + size - 8));
    if (frame > size - LA_SEGMENT_HEADER) {
        return damaged(segment, size - 8, "impossible footer size", err);
    }
    *byte = size - frame;
    if (*byte % 8 != 0) {
        return damaged(segment, size - 8, "impossible footer size", err);
    }
    why = la_frame_read_header(segment->map + *byte, segment->seed, footer);
    if (why == NULL && la_frame_size(footer->payload_size) != frame) {
        why = "footer of another size";
    }
    if (why == NULL) {
        why = la_frame_check(footer, segment->map + *byte);
    }
    if (why == NULL &&
        (footer->type != LA_FRAME_FOOTER || footer->position != segment->entry.end)) {
        why = "a footer that is not this segment's";
    }
    return why == NULL ? LA_OK : damaged(segment, *byte, why, err);
}

/* Names the first frame header that differs from the footer, when the digest does not
 * fit. */
static la_status
name_damage(const la_segment *segment, la_error *err)
{
    for (uint32_t i = 0; i < segment->frame_count; i++) {
        const la_frame_info *info = la_segment_frame(segment, i);
        la_frame_header header;
        const char *why =
            la_frame_read_header(segment->map + info->byte, segment->seed, &header);

        if (why == NULL && header.hash != info->hash) {
            why = "frame is not the one in the footer";
        }
        if (why != NULL) {
            return damaged(segment, info->byte, why, err);
        }
    }
    return damaged(segment, 0, "headers do not match the digest in the manifest", err);
}

static la_status
check_digest(const la_segment *segment, uint64_t footer, la_error *err)
{
    la_hash128 digest;
    la_buf headers;

    la_buf_init(&headers, segment->env);
    la_buf_put(&headers, segment->map, LA_SEGMENT_HEADER);
    for (uint32_t i = 0; i < segment->frame_count; i++) {
        la_buf_put(&headers, segment->map + la_segment_frame(segment, i)->byte,
                   LA_FRAME_HEADER);
    }
    la_buf_put(&headers, segment->map + footer, LA_FRAME_HEADER);
    if (headers.failed) {
        size_t size = headers.capacity;
        la_buf_fini(&headers);
        return la_fail_nomem(err, size);
    }
    digest = la_xxh128(headers.data, headers.size, 0);
    la_buf_fini(&headers);
    if (memcmp(&digest, &segment->entry.digest, sizeof digest) != 0) {
        return name_damage(segment, err);
    }
    return LA_OK;
}

static la_status
read_index(la_segment *segment, const la_frame_header *footer, uint64_t footer_byte,
           la_error *err)
{
    la_bytes in =
        la_bytes_of(segment->map + footer_byte + LA_FRAME_HEADER, footer->payload_size);
    uint32_t count = la_bytes_u32(&in);
    uint64_t byte = LA_SEGMENT_HEADER, position = segment->first;
    la_status status;

    (void)la_bytes_u32(&in);
    if (count != segment->entry.frames ||
        footer->payload_size != 8 + (uint64_t)ENTRY_BYTES * count) {
        return damaged(segment, footer_byte, "footer with another number of frames",
                       err);
    }
    status = la_segment_reserve(segment, count, err);
    if (status != LA_OK) {
        return status == LA_BUDGET
                   ? damaged(segment, footer_byte, "too many frames", err)
                   : status;
    }
    for (uint32_t i = 0; i < count; i++) {
        la_frame_info info = {0};

        info.byte = la_bytes_u64(&in);
        info.position = la_bytes_u64(&in);
        info.rows = la_bytes_u32(&in);
        info.size = la_bytes_u32(&in);
        info.ingest_us = (int64_t)la_bytes_u64(&in);
        info.event_min = (int64_t)la_bytes_u64(&in);
        info.event_max = (int64_t)la_bytes_u64(&in);
        info.dict_size = la_bytes_u32(&in);
        info.ok = la_bytes_u32(&in);
        info.hash = la_bytes_u64(&in);
        if (in.bad || info.byte != byte || info.position != position ||
            info.rows == 0 || info.rows > LA_FRAME_ROWS_MAX ||
            info.size < LA_FRAME_HEADER || info.size % 8 != 0 ||
            info.size > footer_byte - byte) {
            return damaged(segment, footer_byte, "footer that contradicts itself", err);
        }
        byte += info.size;
        position += info.rows;
        la_segment_add(segment, &info);
    }
    if (byte != footer_byte || position != segment->entry.end) {
        return damaged(segment, footer_byte, "footer that contradicts itself", err);
    }
    return LA_OK;
}

la_status
la_segment_index(la_segment *segment, la_error *err)
{
    la_frame_header footer;
    uint64_t byte = 0;
    la_status status;

    if (!segment->sealed ||
        atomic_load_explicit(&segment->indexed, memory_order_acquire)) {
        return LA_OK;
    }
    la_mutex_lock(&segment->mutex);
    if (atomic_load_explicit(&segment->indexed, memory_order_relaxed)) {
        la_mutex_unlock(&segment->mutex);
        return LA_OK;
    }
    segment->frame_count = 0;
    status = check_header(segment, segment->map, err);
    if (status == LA_OK) {
        status = find_footer(segment, &footer, &byte, err);
    }
    if (status == LA_OK) {
        status = read_index(segment, &footer, byte, err);
    }
    if (status == LA_OK) {
        status = check_digest(segment, byte, err);
    }
    if (status == LA_OK) {
        atomic_store_explicit(&segment->indexed, true, memory_order_release);
    }
    la_mutex_unlock(&segment->mutex);
    return status;
}

la_status
la_segment_follow(la_segment *segment, uint64_t length, uint64_t end, la_error *err)
{
    uint8_t buffer[FOLLOW_BYTES / 16];
    uint64_t from = 0, filled = 0; /* bytes of the file in buffer */

    while (segment->length < length) {
        uint64_t byte = segment->length;
        uint64_t position = segment->first;
        la_frame_header header;
        la_frame_info info;
        const char *why;
        la_status status;

        if (byte + LA_FRAME_HEADER > length) {
            return damaged(segment, byte, "half a frame", err);
        }
        if (byte < from || byte + LA_FRAME_HEADER > from + filled) {
            from = byte;
            filled = length - byte < sizeof buffer ? length - byte : sizeof buffer;
            status = la_file_read(segment->env, segment->fd, segment->path, buffer,
                                  (size_t)filled, from, err);
            if (status != LA_OK) {
                return status;
            }
        }
        if (segment->frame_count != 0) {
            const la_frame_info *last =
                la_segment_frame(segment, segment->frame_count - 1);
            position = last->position + last->rows;
        }
        why = la_frame_read_header(buffer + (byte - from), segment->seed, &header);
        if (why == NULL &&
            (header.type != LA_FRAME_ROWS || header.position != position)) {
            why = "a frame of another position";
        }
        if (why == NULL && byte + la_frame_size(header.payload_size) > length) {
            why = "a frame that is longer than the tail page says";
        }
        if (why != NULL) {
            return damaged(segment, byte, why, err);
        }
        status = la_segment_reserve(segment, 1, err);
        if (status != LA_OK) {
            return status == LA_BUDGET ? damaged(segment, byte, "too many frames", err)
                                       : status;
        }
        la_frame_info_of(&header, byte, &info);
        la_segment_add(segment, &info);
    }
    if (segment->frame_count != 0 && end != LA_NO_POSITION) {
        const la_frame_info *last = la_segment_frame(segment, segment->frame_count - 1);
        if (last->position + last->rows != end) {
            return damaged(segment, last->byte, "frames that end at another position",
                           err);
        }
    }
    return LA_OK;
}

la_status
la_segment_load(const la_segment *segment, const la_frame_info *info, la_buf *scratch,
                la_frame_view *view, la_error *err)
{
    la_frame_header header;
    const uint8_t *at;
    const char *why;
    la_status status;

    if (segment->map != NULL) {
        at = segment->map + info->byte;
    }
    else {
        uint8_t *room;

        la_buf_clear(scratch);
        room = la_buf_room(scratch, info->size + (size_t)LA_FRAME_SLACK);
        if (room == NULL) {
            scratch->failed = false;
            return la_fail_nomem(err, info->size + (size_t)LA_FRAME_SLACK);
        }
        status = la_file_read(segment->env, segment->fd, segment->path, room,
                              info->size, info->byte, err);
        if (status != LA_OK) {
            return status;
        }
        memset(room + info->size, 0, LA_FRAME_SLACK);
        at = room;
    }
    why = la_frame_read_header(at, segment->seed, &header);
    if (why == NULL &&
        (header.position != info->position || header.rows != info->rows ||
         la_frame_size(header.payload_size) != info->size ||
         header.hash != info->hash)) {
        why = "a frame that is not the one in the index";
    }
    if (why == NULL) {
        why = la_frame_check(&header, at);
    }
    if (why != NULL) {
        la_status failed = damaged(segment, info->byte, why, err);
        if (err != NULL) {
            err->position = info->position;
        }
        return failed;
    }
    return la_frame_open(at, &header, segment->path, info->byte, view, err);
}
