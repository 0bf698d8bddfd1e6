/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of la_io on a file system in memory that loses what was not synced. The
 * model stands in sim_env.h, the invariants in sim_types.h. */
#include "sim_types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_FD 1000

/* --------------------------------------------------------------------- gates */

/* At the start of each call: counts it, and says whether it fails. `scopes`: bits. */
static int
enter(sim *s, unsigned scopes)
{
    for (unsigned scope = 0; scope < SIM_SCOPES; scope++) {
        s->calls[scope] += (scopes >> scope) & 1u;
    }
    s->wall_us += 7;
    s->mono_ns += 7000;
    if (s->crashed) {
        return -EIO;
    }
    if ((scopes & 1u << SIM_CHANGES) != 0 && s->crash_in > 0 && --s->crash_in == 0) {
        s->crashed = true;
        return -EIO;
    }
    if ((scopes >> s->fault_scope & 1u) == 0) {
        return 0;
    }
    bool now = s->fault_in > 0 && --s->fault_in == 0;
    if (now || s->fault_on) {
        s->fired = true;
        s->fault_on = s->fault_forever;
        return -s->fault_errno;
    }
    return 0;
}

#define IN_CALLS (1u << SIM_CALLS)
#define IN_CHANGES (IN_CALLS | 1u << SIM_CHANGES)
#define IN_WRITES (IN_CHANGES | 1u << SIM_WRITES)
#define IN_SYNCS (IN_CHANGES | 1u << SIM_SYNCS)

static open_file *
file_of(const sim *s, int fd)
{
    if (fd < s->fd_base || (size_t)(fd - s->fd_base) >= s->file_count) {
        return NULL;
    }
    open_file *f = &s->files[fd - s->fd_base];
    return f->open ? f : NULL;
}

/* ------------------------------------------------------------------------ io */

static int
open_locked(sim *s, const char *path, int flags)
{
    bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
    int rc = enter(s, changes ? IN_CHANGES : IN_CALLS);
    if (rc < 0) {
        return rc;
    }
    uint32_t parent;
    char name[NAME_BYTES_MAX + 1];
    rc = sim_walk(s, path, &parent, name);
    if (rc < 0) {
        return rc;
    }
    int64_t at = sim_lookup(s, path);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (at >= 0) {
        if ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0) {
            return -EEXIST;
        }
        if (s->nodes[at].folder && (writes || (flags & O_CREAT) != 0)) {
            return -EISDIR;
        }
        if (!s->nodes[at].folder && (flags & O_DIRECTORY) != 0) {
            return -ENOTDIR;
        }
    }
    else {
        if (at != -ENOENT || (flags & O_CREAT) == 0) {
            return (int)at;
        }
        at = sim_node_add(s, false);
        sim_names_put(&s->nodes[parent].cache_names, name, (uint32_t)at);
        sim_add_name(s, &s->nodes[parent], ATOM_LINK, name, NULL, (uint32_t)at);
    }
    node *nd = &s->nodes[at];
    if ((flags & O_TRUNC) != 0 && !nd->folder && writes && nd->cache.size > 0) {
        sim_collect_stores(s, nd);
        memset(nd->cache.data, 0, nd->cache.size);
        nd->cache.size = 0;
        sim_atom_add(s, nd, ATOM_CUT, 0);
    }
    s->files = sim_grown(s->files, s->file_count, sizeof *s->files);
    open_file *f = &s->files[s->file_count];
    memset(f, 0, sizeof *f);
    f->node = (uint32_t)at;
    f->flags = flags;
    f->open = true;
    return s->fd_base + (int)s->file_count++;
}

static int
sim_open(void *ctx, const char *path, int flags, int mode)
{
    sim *s = ctx;
    (void)mode;
    pthread_mutex_lock(&s->mutex);
    int rc = open_locked(s, path, flags);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_close(void *ctx, int fd)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS); /* closes in any case, as close(2) does */
    open_file *f = file_of(s, fd);
    if (f == NULL) {
        rc = -EBADF;
    }
    else {
        f->open = false;
        f->lock = 0;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int64_t
pread_locked(sim *s, int fd, void *to, size_t size, uint64_t byte)
{
    int rc = enter(s, IN_CALLS);
    if (rc < 0) {
        return rc;
    }
    const open_file *f = file_of(s, fd);
    if (f == NULL || (f->flags & O_ACCMODE) == O_WRONLY) {
        return -EBADF;
    }
    const node *nd = &s->nodes[f->node];
    if (nd->folder) {
        return -EISDIR;
    }
    if (byte >= nd->cache.size || size == 0) {
        return 0;
    }
    size_t left = nd->cache.size - (size_t)byte;
    size = size < left ? size : left;
    if (s->short_transfers) {
        size = 1 + (size_t)sim_below(&s->rng, size);
    }
    memcpy(to, nd->cache.data + byte, size);
    return (int64_t)size;
}

static int64_t
sim_pread(void *ctx, int fd, void *to, size_t size, uint64_t byte)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int64_t n = pread_locked(s, fd, to, size, byte);
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static uint64_t
space_used(const sim *s)
{
    uint64_t used = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        used += s->nodes[i].cache.size;
    }
    return used;
}

/* Bytes of [byte, byte + size) that may be written. */
static size_t
fits_space(const sim *s, const node *nd, uint64_t byte, size_t size)
{
    if (s->space == UINT64_MAX || byte + size <= nd->cache.size) {
        return size;
    }
    uint64_t used = space_used(s);
    uint64_t end = nd->cache.size + (s->space > used ? s->space - used : 0);
    return end >= byte + size ? size : end > byte ? (size_t)(end - byte) : 0;
}

static void
write_cache(sim *s, node *nd, const void *from, size_t size, uint64_t byte)
{
    if (size == 0) {
        return;
    }
    size_t end = (size_t)byte + size;
    sim_image_room(&nd->cache, end);
    memcpy(nd->cache.data + byte, from, size);
    if (end > nd->cache.size) {
        nd->cache.size = end;
        sim_atom_add(s, nd, ATOM_SIZE, end);
    }
    for (uint64_t sector = byte / SECTOR; sector * SECTOR < end; sector++) {
        sim_add_sector(s, nd, sector);
    }
}

static int64_t
pwrite_locked(sim *s, int fd, const void *from, size_t size, uint64_t byte)
{
    bool was_crashed = s->crashed;
    int rc = enter(s, IN_WRITES);
    open_file *f = file_of(s, fd);
    if (f == NULL || (f->flags & O_ACCMODE) == O_RDONLY) {
        return rc < 0 ? rc : -EBADF;
    }
    node *nd = &s->nodes[f->node];
    if (nd->pinned && byte + size > nd->cache.capacity) {
        return rc < 0 ? rc : -ENOSPC; /* the mapping fixes the size */
    }
    if (rc < 0) {
        if (!s->crashed && !was_crashed &&
            size > 0) { /* an injected error: a part may be in */
            size_t part = (size_t)sim_below(&s->rng, size + 1);
            write_cache(s, nd, from, fits_space(s, nd, byte, part), byte);
        }
        return rc;
    }
    if (size == 0) {
        return 0;
    }
    if (s->short_transfers) {
        size = 1 + (size_t)sim_below(&s->rng, size);
    }
    size = fits_space(s, nd, byte, size);
    if (size == 0) {
        return -ENOSPC;
    }
    write_cache(s, nd, from, size, byte);
    return (int64_t)size;
}

static int64_t
sim_pwrite(void *ctx, int fd, const void *from, size_t size, uint64_t byte)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int64_t n = pwrite_locked(s, fd, from, size, byte);
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static int
sim_fdatasync(void *ctx, int fd)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_SYNCS);
    const open_file *f = file_of(s, fd);
    if (f == NULL) {
        rc = rc < 0 ? rc : -EBADF;
    }
    else if (rc == 0) {
        node *nd = &s->nodes[f->node];
        sim_collect_stores(s, nd);
        sim_apply_file(s, nd, &nd->durable, NULL, false, &s->rng);
        sim_atoms_drop(nd);
    }
    else if (!s->crashed) {
        /* The pages are marked clean all the same: what they hold is lost to later
         * syncs. */
        sim_collect_stores(s, &s->nodes[f->node]);
        sim_atoms_drop(&s->nodes[f->node]);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_sync_dir(void *ctx, const char *path)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_SYNCS);
    if (rc == 0) {
        int64_t at = sim_lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (!s->nodes[at].folder) {
            rc = -ENOTDIR;
        }
        else {
            sim_apply_folder(&s->nodes[at], &s->nodes[at].durable_names, NULL);
            sim_atoms_drop(&s->nodes[at]);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
rename_locked(sim *s, const char *from, const char *to)
{
    uint32_t from_parent, to_parent;
    char from_name[NAME_BYTES_MAX + 1], to_name[NAME_BYTES_MAX + 1];
    int rc = enter(s, IN_CHANGES);
    rc = rc < 0 ? rc : sim_walk(s, from, &from_parent, from_name);
    rc = rc < 0 ? rc : sim_walk(s, to, &to_parent, to_name);
    if (rc < 0) {
        return rc;
    }
    int64_t at = sim_lookup(s, from);
    if (at < 0) {
        return (int)at;
    }
    if (sim_lookup(s, to) >= 0) {
        return -EEXIST;
    }
    node *nd = &s->nodes[from_parent];
    sim_names_drop(&nd->cache_names, from_name, (uint32_t)at);
    sim_names_put(&s->nodes[to_parent].cache_names, to_name, (uint32_t)at);
    if (from_parent == to_parent) {
        sim_add_name(s, nd, ATOM_RENAME, from_name, to_name, (uint32_t)at);
    }
    else {
        sim_add_name(s, nd, ATOM_UNLINK, from_name, NULL, (uint32_t)at);
        sim_add_name(s, &s->nodes[to_parent], ATOM_LINK, to_name, NULL, (uint32_t)at);
    }
    return 0;
}

static int
sim_rename_noreplace(void *ctx, const char *from, const char *to)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = rename_locked(s, from, to);
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_unlink(void *ctx, const char *path)
{
    sim *s = ctx;
    uint32_t parent;
    char name[NAME_BYTES_MAX + 1];
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CHANGES);
    rc = rc < 0 ? rc : sim_walk(s, path, &parent, name);
    if (rc == 0) {
        int64_t at = sim_lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (s->nodes[at].folder) {
            rc = -EISDIR;
        }
        else {
            sim_names_drop(&s->nodes[parent].cache_names, name, (uint32_t)at);
            sim_add_name(s, &s->nodes[parent], ATOM_UNLINK, name, NULL, (uint32_t)at);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_mkdir(void *ctx, const char *path, int mode)
{
    sim *s = ctx;
    uint32_t parent;
    char name[NAME_BYTES_MAX + 1];
    (void)mode;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CHANGES);
    rc = rc < 0 ? rc : sim_walk(s, path, &parent, name);
    if (rc == 0 && sim_lookup(s, path) >= 0) {
        rc = -EEXIST;
    }
    if (rc == 0) {
        uint32_t at = sim_node_add(s, true);
        sim_names_put(&s->nodes[parent].cache_names, name, at);
        sim_add_name(s, &s->nodes[parent], ATOM_LINK, name, NULL, at);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int64_t
sim_file_size(void *ctx, int fd)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int64_t size = enter(s, IN_CALLS);
    const open_file *f = file_of(s, fd);
    if (size == 0) {
        size = f == NULL ? -EBADF : (int64_t)s->nodes[f->node].cache.size;
    }
    pthread_mutex_unlock(&s->mutex);
    return size;
}

/* Names are copied first: `each` may call back into the file system. Their order is
 * random, as no file system promises one. */
static int
sim_list(void *ctx, const char *path, int (*each)(void *arg, const char *name),
         void *arg)
{
    sim *s = ctx;
    names copy = {NULL, 0};
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS);
    if (rc == 0) {
        int64_t at = sim_lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (!s->nodes[at].folder) {
            rc = -ENOTDIR;
        }
        else {
            sim_names_copy(&copy, &s->nodes[at].cache_names);
        }
    }
    for (size_t i = copy.count; i > 1; i--) {
        size_t j = (size_t)sim_below(&s->rng, i);
        name_entry swap = copy.at[i - 1];
        copy.at[i - 1] = copy.at[j];
        copy.at[j] = swap;
    }
    pthread_mutex_unlock(&s->mutex);
    for (size_t i = 0; i < copy.count && rc == 0; i++) {
        rc = each(arg, copy.at[i].name);
    }
    sim_names_free(&copy);
    return rc;
}

static void
map_add(sim *s, void *at, size_t size, bool shared)
{
    s->maps = sim_resized(s->maps, s->map_count + 1, sizeof *s->maps);
    s->maps[s->map_count].at = at;
    s->maps[s->map_count].size = size;
    s->maps[s->map_count++].shared = shared;
}

static int
sim_map(void *ctx, int fd, size_t size, const void **out)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS);
    const open_file *f = file_of(s, fd);
    if (rc == 0 && f == NULL) {
        rc = -EBADF;
    }
    if (rc == 0 && size > s->nodes[f->node].cache.size) {
        rc = -EINVAL; /* reading there would be SIGBUS */
    }
    if (rc == 0) {
        void *copy = sim_need(malloc(size == 0 ? 1 : size));
        if (size > 0) {
            memcpy(copy, s->nodes[f->node].cache.data, size);
        }
        map_add(s, copy, size, false);
        *out = copy;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static void
sim_unmap(void *ctx, const void *at, size_t size)
{
    sim *s = ctx;
    if (at == NULL) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    size_t i = 0;
    while (i < s->map_count && s->maps[i].at != at) {
        i++;
    }
    if (i == s->map_count || s->maps[i].size != size) {
        fprintf(stderr, "sim: unmap of %zu bytes that are not mapped\n", size);
        abort();
    }
    if (!s->maps[i].shared) {
        free(s->maps[i].at);
    }
    s->maps[i] = s->maps[--s->map_count];
    pthread_mutex_unlock(&s->mutex);
}

static int
sim_map_shared(void *ctx, int fd, size_t size, bool writable, void **out)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, writable ? IN_CHANGES : IN_CALLS);
    const open_file *f = file_of(s, fd);
    if (rc == 0 && (f == NULL || (writable && (f->flags & O_ACCMODE) != O_RDWR))) {
        rc = f == NULL ? -EBADF : -EACCES;
    }
    if (rc == 0 && (size == 0 || size > s->nodes[f->node].cache.size)) {
        rc = -EINVAL;
    }
    if (rc == 0) {
        node *nd = &s->nodes[f->node];
        nd->pinned = true; /* capacity is fixed from here on, see pwrite */
        map_add(s, nd->cache.data, size, true);
        *out = nd->cache.data;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_lock(void *ctx, int fd, bool exclusive)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS);
    open_file *f = file_of(s, fd);
    if (rc == 0 && f == NULL) {
        rc = -EBADF;
    }
    if (rc == 0 && exclusive && (f->flags & O_ACCMODE) == O_RDONLY) {
        rc = -EBADF; /* as OFD locks: a write lock needs a file open for writing */
    }
    for (size_t i = 0; i < s->file_count && rc == 0; i++) {
        const open_file *other = &s->files[i];
        if (other != f && other->open && other->node == f->node && other->lock != 0 &&
            (exclusive || other->lock == 2)) {
            rc = -EAGAIN;
        }
    }
    if (rc == 0) {
        f->lock = exclusive ? 2 : 1;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int
sim_same_file(void *ctx, int fd, const char *path)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS);
    const open_file *f = file_of(s, fd);
    if (rc == 0) {
        rc = f == NULL ? -EBADF : sim_lookup(s, path) == (int64_t)f->node;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

static int64_t
sim_wall_us(void *ctx)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int64_t now = s->wall_us += 1;
    pthread_mutex_unlock(&s->mutex);
    return now;
}

static int64_t
sim_mono_ns(void *ctx)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int64_t now = s->mono_ns += 100;
    pthread_mutex_unlock(&s->mutex);
    return now;
}

static int
sim_random(void *ctx, void *to, size_t size)
{
    sim *s = ctx;
    pthread_mutex_lock(&s->mutex);
    int rc = enter(s, IN_CALLS);
    for (size_t i = 0; i < size && rc == 0; i++) {
        ((uint8_t *)to)[i] = (uint8_t)sim_next(&s->rng);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

/* ----------------------------------------------------------------- a bare sim */

sim *
sim_bare(uint64_t seed)
{
    sim *s = sim_need(calloc(1, sizeof *s));
    la_io io = {s,
                sim_open,
                sim_close,
                sim_pread,
                sim_pwrite,
                sim_fdatasync,
                sim_sync_dir,
                sim_rename_noreplace,
                sim_unlink,
                sim_mkdir,
                sim_file_size,
                sim_list,
                sim_map,
                sim_unmap,
                sim_map_shared,
                sim_lock,
                sim_same_file,
                sim_wall_us,
                sim_mono_ns,
                sim_random};
    s->env.io = io;
    s->env.mem = la_env_system()->mem;
    pthread_mutex_init(&s->mutex, NULL);
    s->seed = seed;
    s->rng = seed;
    s->fd_base = FIRST_FD;
    s->space = UINT64_MAX;
    s->wall_us = 1790000000000000; /* 2026-09-21 */
    s->mono_ns = 1000000000;
    return s;
}
