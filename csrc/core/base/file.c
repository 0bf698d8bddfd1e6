/* SPDX-License-Identifier: Apache-2.0 */
/* Whole transfers over la_io.
 *
 * Interrupted calls are repeated, but not for ever; syncs and renames never are: after
 * a failed sync nobody knows what is on disk, and a repeated rename would meet its own
 * success.
 *
 * Publishing: tmp --write, fdatasync--> whole file under a name nobody reads
 *                 --rename, no replace--> visible --sync folder--> durable
 * A crash before the rename leaves only the tmp file, which the next publisher
 * overwrites. One publisher per name at a time: callers hold a lock. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"

/* Interruptions in a row before a call counts as failed: a signal storm is no reason to
 * hang. */
#define INTERRUPTS_MAX 1000

int
la_file_open(const la_env *env, const char *path, int flags)
{
    int fd = -EINTR;
    for (int i = 0; i < INTERRUPTS_MAX && fd == -EINTR; i++) {
        fd = env->io.open(env->io.ctx, path, flags, 0600);
    }
    return fd;
}

la_status
la_file_read(const la_env *env, int fd, const char *path, void *to, size_t size,
             uint64_t byte, la_error *err)
{
    uint8_t *at = to;
    size_t left = size;
    int interrupts = 0;
    while (left > 0) {
        uint64_t place = byte + (size - left);
        int64_t n = env->io.pread(env->io.ctx, fd, at, left, place);
        if (n == -EINTR && ++interrupts < INTERRUPTS_MAX) {
            continue;
        }
        if (n < 0) {
            la_status status =
                la_fail_os(err, (int)-n, path, "could not read \"%s\" at byte %llu",
                           path, (unsigned long long)place);
            if (err != NULL) {
                err->byte = place;
            }
            return status;
        }
        if (n == 0) {
            return la_fail_damaged(
                err, path, place,
                "could not read %zu bytes at byte %llu of \"%s\": the "
                "file ends at byte %llu",
                size, (unsigned long long)byte, path, (unsigned long long)place);
        }
        at += n;
        left -= (size_t)n;
        interrupts = 0;
    }
    return LA_OK;
}

la_status
la_file_write(const la_env *env, int fd, const char *path, const void *from,
              size_t size, uint64_t byte, la_error *err)
{
    const uint8_t *at = from;
    size_t left = size;
    int interrupts = 0;
    while (left > 0) {
        uint64_t place = byte + (size - left);
        int64_t n = env->io.pwrite(env->io.ctx, fd, at, left, place);
        if (n == -EINTR && ++interrupts < INTERRUPTS_MAX) {
            continue;
        }
        if (n <= 0) {
            /* Nothing written and no reason given is a device that does not work. */
            la_status status = la_fail_os(err, n == 0 ? EIO : (int)-n, path,
                                          "could not write \"%s\" at byte %llu", path,
                                          (unsigned long long)place);
            if (err != NULL) {
                err->byte = place;
            }
            return status;
        }
        at += n;
        left -= (size_t)n;
        interrupts = 0;
    }
    return LA_OK;
}

static la_status
load_open_file(const la_env *env, int fd, const char *path, la_buf *to, la_error *err)
{
    int64_t size = env->io.file_size(env->io.ctx, fd);
    if (size < 0) {
        return la_fail_os(err, (int)-size, path, "could not get the size of \"%s\"",
                          path);
    }
    uint8_t *room =
        (uint64_t)size > SIZE_MAX / 2 ? NULL : la_buf_room(to, (size_t)size);
    if (room == NULL) {
        return la_fail_nomem(err, (size_t)size);
    }
    la_status status = la_file_read(env, fd, path, room, (size_t)size, 0, err);
    if (status == LA_OK) {
        to->size += (size_t)size;
    }
    return status;
}

la_status
la_file_load(const la_env *env, const char *path, la_buf *to, la_error *err)
{
    int fd = la_file_open(env, path, O_RDONLY);
    if (fd == -ENOENT) {
        la_status status = la_fail(
            err, LA_NOT_FOUND, "could not read \"%s\": there is no such file", path);
        la_error_path(err, path);
        return status;
    }
    if (fd < 0) {
        return la_fail_os(err, -fd, path, "could not open \"%s\"", path);
    }
    la_status status = load_open_file(env, fd, path, to, err);
    env->io.close(env->io.ctx, fd);
    return status;
}

static la_status
write_whole(const la_env *env, const char *path, const void *data, size_t size,
            la_error *err)
{
    int fd = la_file_open(env, path, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return la_fail_os(err, -fd, path, "could not create \"%s\"", path);
    }
    la_status status = la_file_write(env, fd, path, data, size, 0, err);
    if (status == LA_OK) {
        int rc = env->io.fdatasync(env->io.ctx, fd);
        if (rc < 0) {
            status = la_fail_os(err, -rc, path, "could not sync \"%s\"", path);
        }
    }
    env->io.close(env->io.ctx, fd);
    if (status != LA_OK) {
        /* A fresh inode next time: after a failed sync its pages may look clean and are
         * not. */
        env->io.unlink(env->io.ctx, path);
    }
    return status;
}

static la_status
sync_published(const la_env *env, const char *folder, const char *path, la_error *err)
{
    int rc = env->io.sync_dir(env->io.ctx, folder);
    if (rc >= 0) {
        return LA_OK;
    }
    /* The name is there for readers now, but may be gone after a power cut. */
    la_status status = la_fail_os(
        err, -rc, path, "could not sync folder \"%s\" after publishing \"%s\"", folder,
        path);
    (void)status;
    if (err != NULL) {
        err->status = LA_UNKNOWN;
        err->retriable = false;
    }
    return LA_UNKNOWN;
}

la_status
la_file_publish(const la_env *env, const char *folder, const char *name,
                const void *data, size_t size, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    char tmp[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(path, sizeof path - 4, folder, name, err);
    if (status != LA_OK) {
        return status;
    }
    size_t path_size = strlen(path);
    memcpy(tmp, path, path_size);
    memcpy(tmp + path_size, ".tmp", 5);
    status = write_whole(env, tmp, data, size, err);
    if (status != LA_OK) {
        return status;
    }
    int rc = env->io.rename_noreplace(env->io.ctx, tmp, path);
    if (rc < 0) {
        if (rc == -EEXIST) {
            status =
                la_fail(err, LA_CONFLICT,
                        "could not publish \"%s\": a file of that name exists", path);
            la_error_path(err, path);
        }
        else {
            status = la_fail_os(err, -rc, path, "could not rename \"%s\" to \"%s\"",
                                tmp, path);
        }
        env->io.unlink(env->io.ctx, tmp);
        return status;
    }
    return sync_published(env, folder, path, err);
}

/* The folder that holds `path`: "a/b/" -> "a", "b" -> ".", "/b" -> "/". */
static void
parent_of(const char *path, char *parent, size_t size)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    while (end > 0 && path[end - 1] != '/') {
        end--;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    if (end == 0) {
        snprintf(parent, size, ".");
    }
    else {
        snprintf(parent, size, "%.*s", (int)end, path);
    }
}

la_status
la_file_mkdir(const la_env *env, const char *path, la_error *err)
{
    char parent[LA_PATH_BYTES_MAX];
    if (strlen(path) >= sizeof parent) {
        return la_fail_os(err, ENAMETOOLONG, path, "could not make folder \"%s\"",
                          path);
    }
    int rc = env->io.mkdir(env->io.ctx, path, 0700);
    if (rc < 0 && rc != -EEXIST) {
        return la_fail_os(err, -rc, path, "could not make folder \"%s\"", path);
    }
    /* Also for an existing one: who made it may have crashed before this sync. */
    parent_of(path, parent, sizeof parent);
    rc = env->io.sync_dir(env->io.ctx, parent);
    if (rc < 0) {
        return la_fail_os(err, -rc, path, "could not sync folder \"%s\"", parent);
    }
    return LA_OK;
}

la_status
la_path_join(char *path, size_t size, const char *a, const char *b, la_error *err)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    bool slash = a_size > 0 && a[a_size - 1] != '/';
    if (a_size >= size || b_size >= size - a_size || b_size + slash >= size - a_size) {
        return la_fail(
            err, LA_INVALID,
            "could not use path \"%.100s\" with \"%.100s\": longer than %zu bytes", a,
            b, size - 1);
    }
    memmove(path, a, a_size);
    if (slash) {
        path[a_size] = '/';
    }
    memcpy(path + a_size + slash, b, b_size + 1);
    return LA_OK;
}

static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

bool
la_name_is_valid(const char *name)
{
    if (!is_word(name[0])) {
        return false;
    }
    size_t size = 1;
    while (is_word(name[size]) || name[size] == '.' || name[size] == '-') {
        size++;
        if (size > LA_NAME_BYTES_MAX) {
            return false;
        }
    }
    return name[size] == '\0';
}
