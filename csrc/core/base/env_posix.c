/* SPDX-License-Identifier: Apache-2.0 */
/* la_env_system: POSIX files, malloc, the system's clocks. The only file of the core
 * that calls the operating system for I/O, time, randomness or memory.
 *
 * Each function is one system call where it can be; interrupted and short transfers are
 * looped over in base/file.c. `list` returns what `each` returned when it stopped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lambdaarch.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

static int
or_errno(int result)
{
    return result < 0 ? -errno : result;
}

static int
posix_open(void *ctx, const char *path, int flags, int mode)
{
    (void)ctx;
    return or_errno(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

static int
posix_close(void *ctx, int fd)
{
    (void)ctx;
    return or_errno(close(fd));
}

static int64_t
posix_pread(void *ctx, int fd, void *to, size_t size, uint64_t byte)
{
    (void)ctx;
    if (byte > INT64_MAX) {
        return -EINVAL;
    }
    ssize_t n = pread(fd, to, size, (off_t)byte);
    return n < 0 ? -errno : n;
}

static int64_t
posix_pwrite(void *ctx, int fd, const void *from, size_t size, uint64_t byte)
{
    (void)ctx;
    if (byte > INT64_MAX) {
        return -EFBIG;
    }
    ssize_t n = pwrite(fd, from, size, (off_t)byte);
    return n < 0 ? -errno : n;
}

static int
posix_fdatasync(void *ctx, int fd)
{
    (void)ctx;
    return or_errno(fdatasync(fd));
}

static int
posix_sync_dir(void *ctx, const char *path)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = or_errno(fsync(fd));
    close(fd);
    return result;
}

static int
posix_rename_noreplace(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    /* By number: older C libraries have no wrapper. */
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != ENOSYS && errno != EINVAL) {
        return -errno;
    }
    /* A file system without the flag: link fails where the name exists. */
    if (link(from, to) < 0) {
        return -errno;
    }
    unlink(from); /* a second name left behind is a leftover tmp, pruned later */
    return 0;
}

static int
posix_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return or_errno(unlink(path));
}

static int
posix_mkdir(void *ctx, const char *path, int mode)
{
    (void)ctx;
    return or_errno(mkdir(path, (mode_t)mode));
}

static int64_t
posix_file_size(void *ctx, int fd)
{
    (void)ctx;
    struct stat st;
    return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int
posix_list(void *ctx, const char *path, int (*each)(void *arg, const char *name),
           void *arg)
{
    (void)ctx;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        close(fd);
        return -saved;
    }
    int result = 0;
    while (result == 0) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            result = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = each(arg, entry->d_name);
        }
    }
    closedir(dir);
    return result;
}

/* mmap refuses to map nothing; this is what nothing looks like. */
static const char empty_map[1];

static int
posix_map(void *ctx, int fd, size_t size, const void **out)
{
    (void)ctx;
    if (size == 0) {
        *out = empty_map;
        return 0;
    }
    void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    *out = at;
    return 0;
}

static void
posix_unmap(void *ctx, const void *at, size_t size)
{
    (void)ctx;
    if (at != NULL && size > 0) {
        munmap((void *)(uintptr_t)at, size);
    }
}

static int
posix_map_shared(void *ctx, int fd, size_t size, bool writable, void **out)
{
    (void)ctx;
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *at = mmap(NULL, size, protection, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return -errno;
    }
    *out = at;
    return 0;
}

/* Open file description locks: they belong to this open file, so closing another handle
 * of the same file does not drop them, as it would with plain POSIX locks. */
static int
posix_lock(void *ctx, int fd, bool exclusive)
{
    (void)ctx;
#ifdef F_OFD_SETLK
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = (short)(exclusive ? F_WRLCK : F_RDLCK);
    lock.l_whence = SEEK_SET;
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        return 0;
    }
    if (errno == EACCES) {
        return -EAGAIN; /* the other errno that means "held" */
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -errno;
    }
#endif
    return or_errno(flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB));
}

static int
posix_same_file(void *ctx, int fd, const char *path)
{
    (void)ctx;
    struct stat open_file, named;
    if (fstat(fd, &open_file) < 0) {
        return -errno;
    }
    if (stat(path, &named) < 0) {
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    }
    return open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static int64_t
posix_wall_us(void *ctx)
{
    (void)ctx;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) < 0) {
        return -errno;
    }
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t
posix_mono_ns(void *ctx)
{
    (void)ctx;
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0) {
        return -errno;
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int
posix_random(void *ctx, void *to, size_t size)
{
    (void)ctx;
    uint8_t *at = to;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            at += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

static void *
system_realloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
    (void)ctx;
    (void)old_size;
    if (new_size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, new_size);
}

static const la_env system_env = {
    .io =
        {
            .open = posix_open,
            .close = posix_close,
            .pread = posix_pread,
            .pwrite = posix_pwrite,
            .fdatasync = posix_fdatasync,
            .sync_dir = posix_sync_dir,
            .rename_noreplace = posix_rename_noreplace,
            .unlink = posix_unlink,
            .mkdir = posix_mkdir,
            .file_size = posix_file_size,
            .list = posix_list,
            .map = posix_map,
            .unmap = posix_unmap,
            .map_shared = posix_map_shared,
            .lock = posix_lock,
            .same_file = posix_same_file,
            .wall_us = posix_wall_us,
            .mono_ns = posix_mono_ns,
            .random = posix_random,
        },
    .mem = {.realloc = system_realloc},
};

const la_env *
la_env_system(void)
{
    return &system_env;
}
