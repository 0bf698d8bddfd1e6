/* SPDX-License-Identifier: Apache-2.0 */
/* Tail page: a sequence lock over shared memory.
 *
 *   writer: seq odd -> fields -> seq even
 *   reader: seq even -> fields -> same seq
 *
 * Invariants
 *  1. Fields are stored as relaxed atomics between two stores of the sequence, the
 *     first ordered before them by a release fence, the second a release store.
 *  2. A writer that dies between them leaves an odd sequence: readers see no valid page
 *     and halt where frames are there. The next writer rebuilds it.
 *  3. Durable fields are stored only after fdatasync returned: they never claim too
 *     much, on whatever state of the page survives.
 */
#include "log/tail.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"

static const char tail_magic[8] = {'L', 'A', 'M', 'B', 'T', 'A', 'I', 'L'};

enum { W_MAGIC, W_SEQUENCE, W_UUID, W_EPOCH = 4, W_CRC = 10, W_COUNT };
enum { TRIES = 1000 };

static_assert(sizeof(la_tail_values) == (W_CRC - W_EPOCH) * 8,
              "fields fill bytes 32 to 79");

la_status
la_tail_open(const la_env *env, const char *folder, bool writable, la_tail *tail,
             la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    uint8_t zeros[LA_TAIL_BYTES] = {0};
    const la_io *io = &env->io;
    void *page = NULL;
    int64_t size;
    int fd, rc;
    la_status status;

    status = la_path_join(path, sizeof path, folder, "tail", err);
    if (status != LA_OK) {
        return status;
    }
    fd = io->open(io->ctx, path, writable ? O_RDWR | O_CREAT : O_RDONLY, 0600);
    if (fd == -ENOENT && !writable) {
        return LA_OK;
    }
    if (fd < 0) {
        return la_fail_os(err, -fd, path, "could not open \"%s\"", path);
    }
    size = io->file_size(io->ctx, fd);
    if (size < 0) {
        status =
            la_fail_os(err, (int)-size, path, "could not get the size of \"%s\"", path);
        goto done;
    }
    if (size < LA_TAIL_BYTES) {
        if (!writable) {
            goto done; /* half made, or cut: as none */
        }
        status = la_file_write(env, fd, path, zeros, LA_TAIL_BYTES - (size_t)size,
                               (uint64_t)size, err);
        if (status != LA_OK) {
            goto done;
        }
    }
    rc = io->map_shared(io->ctx, fd, LA_TAIL_BYTES, writable, &page);
    if (rc < 0) {
        status = la_fail_os(err, -rc, path, "could not map \"%s\"", path);
        goto done;
    }
    tail->page = page;
    tail->writable = writable;
done:
    io->close(io->ctx, fd);
    return status;
}

void
la_tail_close(const la_env *env, la_tail *tail)
{
    if (tail->page != NULL) {
        env->io.unmap(env->io.ctx, tail->page, LA_TAIL_BYTES);
        tail->page = NULL;
    }
}

static uint32_t
checksum(const uint64_t *words)
{
    return la_crc32c(0, words + W_UUID, (W_CRC - W_UUID) * 8);
}

void
la_tail_store(la_tail *tail, const uint8_t uuid[16], const la_tail_values *values)
{
    _Atomic uint64_t *page = tail->page;
    uint64_t words[W_COUNT];
    uint64_t sequence;

    if (page == NULL || !tail->writable) {
        return;
    }
    memcpy(words, tail_magic, 8);
    memcpy(words + W_UUID, uuid, 16);
    memcpy(words + W_EPOCH, values, sizeof *values);
    words[W_CRC] = checksum(words);
    sequence = atomic_load_explicit(&page[W_SEQUENCE], memory_order_relaxed) | 1;
    atomic_store_explicit(&page[W_SEQUENCE], sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&page[W_MAGIC], words[W_MAGIC], memory_order_relaxed);
    for (int i = W_UUID; i < W_COUNT; i++) {
        atomic_store_explicit(&page[i], words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&page[W_SEQUENCE], sequence + 1, memory_order_release);
}

uint64_t
la_tail_sequence(const la_tail *tail)
{
    _Atomic uint64_t *page = tail->page;

    return page == NULL ? 0
                        : atomic_load_explicit(&page[W_SEQUENCE], memory_order_acquire);
}

bool
la_tail_load(const la_tail *tail, const uint8_t uuid[16], la_tail_values *values)
{
    _Atomic uint64_t *page = tail->page;
    uint64_t words[W_COUNT];

    for (int i = 0; page != NULL && i < TRIES; i++) {
        uint64_t before = atomic_load_explicit(&page[W_SEQUENCE], memory_order_acquire);

        if ((before & 1) != 0) {
            continue;
        }
        for (int k = 0; k < W_COUNT; k++) {
            words[k] = atomic_load_explicit(&page[k], memory_order_relaxed);
        }
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&page[W_SEQUENCE], memory_order_relaxed) != before) {
            continue;
        }
        if (memcmp(words, tail_magic, 8) != 0 ||
            memcmp(words + W_UUID, uuid, 16) != 0 || words[W_CRC] != checksum(words)) {
            return false;
        }
        memcpy(values, words + W_EPOCH, sizeof *values);
        return true;
    }
    return false;
}
