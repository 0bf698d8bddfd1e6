/* SPDX-License-Identifier: Apache-2.0 */
/* A file system in memory that loses what was not synced. The model stands in
 * sim_env.h.
 *
 *   call --> cache image        what all calls see
 *        \-> atoms, in order --fdatasync / sync_dir--> durable image
 *                    \--power cut: chosen ones-------> durable image of the survivor
 *
 * Invariants
 *  1. Without a failed sync, durable image + all atoms == cache image.
 *  2. Bytes of an image beyond its size are zero.
 *  3. File descriptors are never reused, also not over a reboot: a stale one gets
 *     EBADF.
 *  4. A file that was ever mapped shared keeps its cache buffer in place; stores made
 *     through the mapping become atoms when somebody looks (sync, crash, clone).
 */
#include "sim_env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u
#define FIRST_FD 1000
#define NAME_BYTES_MAX 255u

typedef enum atom_kind {
    ATOM_WRITE, /* sector `place` gets `data` */
    ATOM_SIZE,  /* the file is at least `place` bytes long */
    ATOM_CUT,   /* the file is empty */
    ATOM_LINK,  /* name -> node */
    ATOM_UNLINK,
    ATOM_RENAME /* name is gone, other -> node */
} atom_kind;

typedef struct atom {
    atom_kind kind;
    uint64_t order; /* over all files: the order of the calls */
    uint64_t place;
    uint32_t node;
    char *name;
    char *other;
    uint8_t *data;
} atom;

typedef struct image {
    uint8_t *data;
    size_t size;
    size_t capacity;
} image;

typedef struct name_entry {
    char *name;
    uint32_t node;
} name_entry;

typedef struct names {
    name_entry *at;
    size_t count;
} names;

typedef struct node {
    bool folder;
    bool pinned; /* was mapped shared: cache.data must not move */
    image cache, durable;
    names cache_names, durable_names;
    atom *atoms;
    size_t atom_count, atom_capacity;
} node;

typedef struct open_file {
    uint32_t node;
    int flags;
    bool open;
    int lock; /* 0 none, 1 shared, 2 exclusive */
} open_file;

typedef struct mapping {
    void *at;
    size_t size;
    bool shared;
} mapping;

struct sim {
    la_env env;
    pthread_mutex_t mutex;
    uint64_t seed;
    uint64_t rng;
    node *nodes; /* 0 is the root */
    size_t node_count;
    open_file *files;
    size_t file_count;
    int fd_base;
    mapping *maps;
    size_t map_count;
    void **graves; /* shared buffers of before a reboot, perhaps still pointed to */
    size_t grave_count;
    uint64_t order;
    uint64_t calls[SIM_SCOPES];
    uint64_t crash_in; /* changes until the crash, 0: not armed */
    bool crashed;
    sim_scope fault_scope;
    uint64_t fault_in;
    int fault_errno;
    bool fault_forever, fault_on, fired;
    bool short_transfers;
    uint64_t space;
    int64_t wall_us, mono_ns;
};

/* ------------------------------------------------------------------- helpers */

static void *
need(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    return p;
}

static void *
resized(void *p, size_t count, size_t size)
{
    return need(realloc(p, count == 0 ? 1 : count * size));
}

/* Room for one more than `count`; lists double, as a long test opens many files. */
static void *
grown(void *p, size_t count, size_t size)
{
    bool full = (count & (count - 1)) == 0; /* 0 or a power of two */
    return full ? resized(p, count == 0 ? 1 : 2 * count, size) : p;
}

static char *
text_copy(const char *text)
{
    return text == NULL ? NULL : need(strdup(text));
}

static uint64_t
next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t
below(uint64_t *state, uint64_t limit)
{
    return limit == 0 ? 0 : next(state) % limit;
}

/* -------------------------------------------------------------------- images */

static void
image_room(image *im, size_t size)
{
    if (size <= im->capacity) {
        return;
    }
    size_t capacity = im->capacity < 4096 ? 4096 : im->capacity;
    while (capacity < size) {
        capacity *= 2;
    }
    im->data = resized(im->data, capacity, 1);
    memset(im->data + im->capacity, 0, capacity - im->capacity);
    im->capacity = capacity;
}

static void
image_copy(image *to, const image *from)
{
    memset(to, 0, sizeof *to);
    image_room(to, from->size);
    if (from->size > 0) {
        memcpy(to->data, from->data, from->size);
    }
    to->size = from->size;
}

static void
image_free(image *im)
{
    free(im->data);
    memset(im, 0, sizeof *im);
}

/* --------------------------------------------------------------------- names */

static name_entry *
names_find(const names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].name, name) == 0) {
            return &n->at[i];
        }
    }
    return NULL;
}

static void
names_put(names *n, const char *name, uint32_t to)
{
    name_entry *entry = names_find(n, name);
    if (entry != NULL) {
        entry->node = to;
        return;
    }
    n->at = resized(n->at, n->count + 1, sizeof *n->at);
    n->at[n->count].name = text_copy(name);
    n->at[n->count++].node = to;
}

static void
names_drop(names *n, const char *name, uint32_t only)
{
    name_entry *entry = names_find(n, name);
    if (entry != NULL && entry->node == only) {
        free(entry->name);
        *entry = n->at[--n->count];
    }
}

static void
names_copy(names *to, const names *from)
{
    to->count = from->count;
    to->at = resized(NULL, from->count, sizeof *to->at);
    for (size_t i = 0; i < from->count; i++) {
        to->at[i].name = text_copy(from->at[i].name);
        to->at[i].node = from->at[i].node;
    }
}

static void
names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->at[i].name);
    }
    free(n->at);
    memset(n, 0, sizeof *n);
}

/* --------------------------------------------------------------------- atoms */

static atom *
atom_add(sim *s, node *nd, atom_kind kind, uint64_t place)
{
    if (nd->atom_count == nd->atom_capacity) {
        nd->atom_capacity = nd->atom_capacity == 0 ? 8 : nd->atom_capacity * 2;
        nd->atoms = resized(nd->atoms, nd->atom_capacity, sizeof *nd->atoms);
    }
    atom *a = &nd->atoms[nd->atom_count++];
    memset(a, 0, sizeof *a);
    a->kind = kind;
    a->order = ++s->order;
    a->place = place;
    return a;
}

static void
add_sector(sim *s, node *nd, uint64_t sector)
{
    atom *a = atom_add(s, nd, ATOM_WRITE, sector);
    a->data = need(calloc(1, SECTOR));
    size_t start = (size_t)sector * SECTOR;
    size_t size = nd->cache.size - start < SECTOR ? nd->cache.size - start : SECTOR;
    memcpy(a->data, nd->cache.data + start, size);
}

static void
add_name(sim *s, node *nd, atom_kind kind, const char *name, const char *other,
         uint32_t to)
{
    atom *a = atom_add(s, nd, kind, 0);
    a->name = text_copy(name);
    a->other = text_copy(other);
    a->node = to;
}

static void
atoms_drop(node *nd)
{
    for (size_t i = 0; i < nd->atom_count; i++) {
        free(nd->atoms[i].name);
        free(nd->atoms[i].other);
        free(nd->atoms[i].data);
    }
    nd->atom_count = 0;
}

static void
node_free(node *nd)
{
    atoms_drop(nd);
    free(nd->atoms);
    image_free(&nd->cache);
    image_free(&nd->durable);
    names_free(&nd->cache_names);
    names_free(&nd->durable_names);
    memset(nd, 0, sizeof *nd);
}

/* What happens to each atom of one node. */
typedef struct fate {
    bool kept;
    uint8_t tear; /* 0 whole, 1 first bytes only, 2 last bytes only, 3 random bytes */
} fate;

static void
write_sector(uint8_t *to, const uint8_t *from, uint8_t tear, uint64_t *rng)
{
    size_t cut = 1 + (size_t)below(rng, SECTOR - 1);
    for (size_t i = 0; i < SECTOR; i++) {
        bool reaches = tear == 0 || (tear == 1 && i < cut) || (tear == 2 && i >= cut) ||
                       (tear == 3 && (next(rng) & 1u) != 0);
        if (reaches) {
            to[i] = from[i];
        }
    }
}

/* Stale bytes: what an earlier file left in the blocks, or anything. */
static void
fill_stale(const sim *s, uint8_t *to, size_t from, size_t end, uint64_t *rng)
{
    const image *old = &s->nodes[below(rng, s->node_count)].cache;
    bool junk = (next(rng) & 1u) != 0;
    for (size_t i = from; i < end; i++) {
        to[i] = junk ? (uint8_t)next(rng) : i < old->size ? old->data[i] : 0;
    }
}

/* durable image + kept atoms. fates NULL: all whole. */
static void
apply_file(const sim *s, const node *nd, image *im, const fate *fates, bool stale,
           uint64_t *rng)
{
    size_t first = 0; /* atoms before a kept cut leave no trace */
    bool cut = false;
    for (size_t i = 0; i < nd->atom_count; i++) {
        if (nd->atoms[i].kind == ATOM_CUT && (fates == NULL || fates[i].kept)) {
            first = i;
            cut = true;
        }
    }
    if (cut && im->size > 0) {
        memset(im->data, 0, im->size);
        im->size = 0;
    }
    size_t before = im->size;
    size_t high = im->size; /* end of what was written, perhaps beyond the size */
    for (size_t i = first; i < nd->atom_count; i++) {
        const atom *a = &nd->atoms[i];
        if (a->kind == ATOM_SIZE && (fates == NULL || fates[i].kept) &&
            a->place > im->size) {
            im->size = (size_t)a->place;
        }
    }
    image_room(im, im->size);
    if (stale && im->size > before) {
        fill_stale(s, im->data, before, im->size, rng);
    }
    for (size_t i = first; i < nd->atom_count; i++) {
        const atom *a = &nd->atoms[i];
        if (a->kind == ATOM_WRITE && (fates == NULL || fates[i].kept)) {
            size_t end = ((size_t)a->place + 1) * SECTOR;
            image_room(im, end);
            write_sector(im->data + end - SECTOR, a->data,
                         fates == NULL ? 0 : fates[i].tear, rng);
            high = end > high ? end : high;
        }
    }
    if (high > im->size) {
        memset(im->data + im->size, 0, high - im->size);
    }
}

static void
apply_folder(const node *nd, names *n, const fate *fates)
{
    for (size_t i = 0; i < nd->atom_count; i++) {
        const atom *a = &nd->atoms[i];
        if (fates != NULL && !fates[i].kept) {
            continue;
        }
        switch (a->kind) {
        case ATOM_LINK:
            names_put(n, a->name, a->node);
            break;
        case ATOM_UNLINK:
            names_drop(n, a->name, a->node);
            break;
        case ATOM_RENAME:
            names_drop(n, a->name, a->node);
            names_put(n, a->other, a->node);
            break;
        default:
            break;
        }
    }
}

/* Stores made through a shared mapping: sectors that no atom explains. */
static void
collect_stores(sim *s, node *nd)
{
    if (!nd->pinned) {
        return;
    }
    image known;
    image_copy(&known, &nd->durable);
    apply_file(s, nd, &known, NULL, false, &s->rng);
    image_room(&known, nd->cache.size);
    for (size_t at = 0; at < nd->cache.size; at += SECTOR) {
        size_t size = nd->cache.size - at < SECTOR ? nd->cache.size - at : SECTOR;
        if (memcmp(known.data + at, nd->cache.data + at, size) != 0) {
            add_sector(s, nd, at / SECTOR);
        }
    }
    image_free(&known);
}

static void
collect_all(sim *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        collect_stores(s, &s->nodes[i]);
    }
}

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

static uint32_t
node_add(sim *s, bool folder)
{
    s->nodes = grown(s->nodes, s->node_count, sizeof *s->nodes);
    memset(&s->nodes[s->node_count], 0, sizeof *s->nodes);
    s->nodes[s->node_count].folder = folder;
    return (uint32_t)s->node_count++;
}

/* Walks `path`. *parent: the folder of its last name, `name`: that name ("" for the
 * root). 0, -ENOENT, -ENOTDIR, -ENAMETOOLONG or -EINVAL for what is not simulated
 * (".."). */
static int
walk(const sim *s, const char *path, uint32_t *parent, char name[NAME_BYTES_MAX + 1])
{
    uint32_t at = 0;
    bool first = true;
    *parent = 0;
    name[0] = '\0';
    if (path[0] == '\0') {
        return -ENOENT;
    }
    for (;;) {
        while (*path == '/') {
            path++;
        }
        size_t size = strcspn(path, "/");
        if (size == 0) {
            return 0;
        }
        if (size == 1 && path[0] == '.') {
            path++;
            continue;
        }
        if (size > NAME_BYTES_MAX) {
            return -ENAMETOOLONG;
        }
        if (size == 2 && memcmp(path, "..", 2) == 0) {
            return -EINVAL;
        }
        if (!first) { /* the name before this one must be a folder */
            const name_entry *entry = names_find(&s->nodes[at].cache_names, name);
            if (entry == NULL) {
                return -ENOENT;
            }
            at = entry->node;
            if (!s->nodes[at].folder) {
                return -ENOTDIR;
            }
        }
        first = false;
        *parent = at;
        memcpy(name, path, size);
        name[size] = '\0';
        path += size;
    }
}

/* Node of `path`, or a negated errno. */
static int64_t
lookup(const sim *s, const char *path)
{
    uint32_t parent;
    char name[NAME_BYTES_MAX + 1];
    int rc = walk(s, path, &parent, name);
    if (rc < 0) {
        return rc;
    }
    if (name[0] == '\0') {
        return 0;
    }
    const name_entry *entry = names_find(&s->nodes[parent].cache_names, name);
    return entry == NULL ? -ENOENT : (int64_t)entry->node;
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
    rc = walk(s, path, &parent, name);
    if (rc < 0) {
        return rc;
    }
    int64_t at = lookup(s, path);
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
        at = node_add(s, false);
        names_put(&s->nodes[parent].cache_names, name, (uint32_t)at);
        add_name(s, &s->nodes[parent], ATOM_LINK, name, NULL, (uint32_t)at);
    }
    node *nd = &s->nodes[at];
    if ((flags & O_TRUNC) != 0 && !nd->folder && writes && nd->cache.size > 0) {
        collect_stores(s, nd);
        memset(nd->cache.data, 0, nd->cache.size);
        nd->cache.size = 0;
        atom_add(s, nd, ATOM_CUT, 0);
    }
    s->files = grown(s->files, s->file_count, sizeof *s->files);
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
        size = 1 + (size_t)below(&s->rng, size);
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
    image_room(&nd->cache, end);
    memcpy(nd->cache.data + byte, from, size);
    if (end > nd->cache.size) {
        nd->cache.size = end;
        atom_add(s, nd, ATOM_SIZE, end);
    }
    for (uint64_t sector = byte / SECTOR; sector * SECTOR < end; sector++) {
        add_sector(s, nd, sector);
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
            size_t part = (size_t)below(&s->rng, size + 1);
            write_cache(s, nd, from, fits_space(s, nd, byte, part), byte);
        }
        return rc;
    }
    if (size == 0) {
        return 0;
    }
    if (s->short_transfers) {
        size = 1 + (size_t)below(&s->rng, size);
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
        collect_stores(s, nd);
        apply_file(s, nd, &nd->durable, NULL, false, &s->rng);
        atoms_drop(nd);
    }
    else if (!s->crashed) {
        /* The pages are marked clean all the same: what they hold is lost to later
         * syncs. */
        collect_stores(s, &s->nodes[f->node]);
        atoms_drop(&s->nodes[f->node]);
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
        int64_t at = lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (!s->nodes[at].folder) {
            rc = -ENOTDIR;
        }
        else {
            apply_folder(&s->nodes[at], &s->nodes[at].durable_names, NULL);
            atoms_drop(&s->nodes[at]);
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
    rc = rc < 0 ? rc : walk(s, from, &from_parent, from_name);
    rc = rc < 0 ? rc : walk(s, to, &to_parent, to_name);
    if (rc < 0) {
        return rc;
    }
    int64_t at = lookup(s, from);
    if (at < 0) {
        return (int)at;
    }
    if (lookup(s, to) >= 0) {
        return -EEXIST;
    }
    node *nd = &s->nodes[from_parent];
    names_drop(&nd->cache_names, from_name, (uint32_t)at);
    names_put(&s->nodes[to_parent].cache_names, to_name, (uint32_t)at);
    if (from_parent == to_parent) {
        add_name(s, nd, ATOM_RENAME, from_name, to_name, (uint32_t)at);
    }
    else {
        add_name(s, nd, ATOM_UNLINK, from_name, NULL, (uint32_t)at);
        add_name(s, &s->nodes[to_parent], ATOM_LINK, to_name, NULL, (uint32_t)at);
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
    rc = rc < 0 ? rc : walk(s, path, &parent, name);
    if (rc == 0) {
        int64_t at = lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (s->nodes[at].folder) {
            rc = -EISDIR;
        }
        else {
            names_drop(&s->nodes[parent].cache_names, name, (uint32_t)at);
            add_name(s, &s->nodes[parent], ATOM_UNLINK, name, NULL, (uint32_t)at);
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
    rc = rc < 0 ? rc : walk(s, path, &parent, name);
    if (rc == 0 && lookup(s, path) >= 0) {
        rc = -EEXIST;
    }
    if (rc == 0) {
        uint32_t at = node_add(s, true);
        names_put(&s->nodes[parent].cache_names, name, at);
        add_name(s, &s->nodes[parent], ATOM_LINK, name, NULL, at);
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
        int64_t at = lookup(s, path);
        if (at < 0) {
            rc = (int)at;
        }
        else if (!s->nodes[at].folder) {
            rc = -ENOTDIR;
        }
        else {
            names_copy(&copy, &s->nodes[at].cache_names);
        }
    }
    for (size_t i = copy.count; i > 1; i--) {
        size_t j = (size_t)below(&s->rng, i);
        name_entry swap = copy.at[i - 1];
        copy.at[i - 1] = copy.at[j];
        copy.at[j] = swap;
    }
    pthread_mutex_unlock(&s->mutex);
    for (size_t i = 0; i < copy.count && rc == 0; i++) {
        rc = each(arg, copy.at[i].name);
    }
    names_free(&copy);
    return rc;
}

static void
map_add(sim *s, void *at, size_t size, bool shared)
{
    s->maps = resized(s->maps, s->map_count + 1, sizeof *s->maps);
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
        void *copy = need(malloc(size == 0 ? 1 : size));
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
        rc = f == NULL ? -EBADF : lookup(s, path) == (int64_t)f->node;
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
        ((uint8_t *)to)[i] = (uint8_t)next(&s->rng);
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

/* -------------------------------------------------------------- life of a sim */

static sim *
sim_bare(uint64_t seed)
{
    sim *s = need(calloc(1, sizeof *s));
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

sim *
sim_new(uint64_t seed)
{
    sim *s = sim_bare(seed);
    node_add(s, true);
    return s;
}

static void
free_nodes(sim *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        node *nd = &s->nodes[i];
        if (nd->pinned && nd->cache.data != NULL) {
            s->graves = resized(s->graves, s->grave_count + 1, sizeof *s->graves);
            s->graves[s->grave_count++] = nd->cache.data;
            memset(&nd->cache, 0, sizeof nd->cache);
        }
        node_free(nd);
    }
    free(s->nodes);
    s->nodes = NULL;
    s->node_count = 0;
}

void
sim_free(sim *s)
{
    if (s == NULL) {
        return;
    }
    free_nodes(s);
    for (size_t i = 0; i < s->grave_count; i++) {
        free(s->graves[i]);
    }
    for (size_t i = 0; i < s->map_count; i++) {
        if (!s->maps[i].shared) {
            free(s->maps[i].at);
        }
    }
    free(s->graves);
    free(s->maps);
    free(s->files);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

const la_env *
sim_env(sim *s)
{
    return &s->env;
}

/* A sim with the counters of `s` and as many empty nodes. */
static sim *
sim_like(const sim *s)
{
    sim *to = sim_bare(s->seed);
    to->rng = s->rng;
    to->order = s->order;
    to->fd_base = s->fd_base + (int)s->file_count;
    to->space = s->space;
    to->wall_us = s->wall_us;
    to->mono_ns = s->mono_ns;
    to->short_transfers = s->short_transfers;
    memcpy(to->calls, s->calls, sizeof to->calls);
    size_t room = 1; /* as `grown` expects */
    while (room < s->node_count) {
        room *= 2;
    }
    to->nodes = resized(NULL, room, sizeof *to->nodes);
    memset(to->nodes, 0, s->node_count * sizeof *to->nodes);
    to->node_count = s->node_count;
    return to;
}

sim *
sim_clone(const sim *from)
{
    /* Looking for stores adds atoms, which changes nothing that calls can see. */
    collect_all((sim *)(uintptr_t)from);
    sim *s = sim_like(from);
    s->crashed = from->crashed;
    for (size_t i = 0; i < from->node_count; i++) {
        const node *a = &from->nodes[i];
        node *b = &s->nodes[i];
        b->folder = a->folder;
        image_copy(&b->cache, &a->cache);
        image_copy(&b->durable, &a->durable);
        names_copy(&b->cache_names, &a->cache_names);
        names_copy(&b->durable_names, &a->durable_names);
        b->atom_count = b->atom_capacity = a->atom_count;
        b->atoms = resized(NULL, a->atom_count, sizeof *b->atoms);
        for (size_t j = 0; j < a->atom_count; j++) {
            atom *copy = &b->atoms[j];
            *copy = a->atoms[j];
            copy->name = text_copy(copy->name);
            copy->other = text_copy(copy->other);
            if (copy->data != NULL) {
                copy->data = need(malloc(SECTOR));
                memcpy(copy->data, a->atoms[j].data, SECTOR);
            }
        }
    }
    return s;
}

uint64_t
sim_call_count(const sim *s, sim_scope scope)
{
    return s->calls[scope];
}

void
sim_crash_at(sim *s, uint64_t n)
{
    s->crash_in = n;
}

bool
sim_crashed(const sim *s)
{
    return s->crashed;
}

/* ------------------------------------------------------------------ survivors */

/* Every pending atom with its owner, in time order. */
typedef struct pending {
    uint64_t order;
    uint32_t node;
    uint32_t index; /* in the node's atoms */
    bool name;      /* of a folder */
    fate fate;
} pending;

static int
by_order(const void *a, const void *b)
{
    uint64_t left = ((const pending *)a)->order;
    uint64_t right = ((const pending *)b)->order;
    return (left > right) - (left < right);
}

static pending *
gather(const sim *s, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        *count += s->nodes[i].atom_count;
    }
    pending *list = need(calloc(*count + 1, sizeof *list));
    size_t n = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        for (size_t j = 0; j < s->nodes[i].atom_count; j++) {
            list[n].order = s->nodes[i].atoms[j].order;
            list[n].node = (uint32_t)i;
            list[n].index = (uint32_t)j;
            list[n++].name = s->nodes[i].folder;
        }
    }
    qsort(list, n, sizeof *list, by_order);
    return list;
}

static uint8_t
random_tear(uint64_t *rng)
{
    return below(rng, 4) == 0 ? (uint8_t)(1 + below(rng, 3)) : 0;
}

static void
decide_by_coins(const sim *s, pending *list, size_t count, uint64_t *rng)
{
    /* Eighths; each file and folder has its own, so that some sync well and others do
     * not. */
    static const uint8_t densities[] = {0, 1, 4, 7, 8, 4};
    uint8_t *eighths = need(malloc(s->node_count));
    for (size_t i = 0; i < s->node_count; i++) {
        eighths[i] = densities[below(rng, sizeof densities)];
    }
    for (size_t i = 0; i < count; i++) {
        list[i].fate.kept = below(rng, 8) < eighths[list[i].node];
        list[i].fate.tear = random_tear(rng);
    }
    free(eighths);
}

static void
decide(const sim *s, pending *list, size_t count, uint64_t variant, uint64_t *rng)
{
    uint64_t chosen = below(rng, count + 1);
    unsigned style = variant < 2 ? (unsigned)variant : 2 + (unsigned)(variant % 8);
    if (style < 2) {
        for (size_t i = 0; i < count; i++) {
            list[i].fate.kept = style == 1;
        }
        return;
    }
    if (style <= 5) {
        decide_by_coins(s, list, count, rng);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        fate *f = &list[i].fate;
        if (style == 6) { /* a prefix in time; the last one may be torn */
            f->kept = i < chosen;
            f->tear = i + 1 == chosen ? random_tear(rng) : 0;
        }
        else if (style == 7) { /* one is lost, or only one survives */
            f->kept = (i == chosen) == ((variant & 8u) != 0);
        }
        else if (style == 8) { /* names without data; sizes by coin */
            const atom *a = &s->nodes[list[i].node].atoms[list[i].index];
            f->kept = list[i].name || (a->kind != ATOM_WRITE && (next(rng) & 1u) != 0);
        }
        else { /* data without names, some of it torn */
            f->kept = !list[i].name;
            f->tear = (variant & 8u) != 0 ? random_tear(rng) : 0;
        }
    }
}

static void
mark_reachable(const sim *s, uint32_t at, bool *seen)
{
    if (seen[at]) {
        return;
    }
    seen[at] = true;
    for (size_t i = 0; i < s->nodes[at].durable_names.count; i++) {
        mark_reachable(s, s->nodes[at].durable_names.at[i].node, seen);
    }
}

/* The disk after the cut, with the fates of `list`. */
static sim *
build_survivor(const sim *from, const pending *list, size_t count, bool may_be_stale,
               uint64_t *rng)
{
    sim *s = sim_like(from);
    s->rng = next(rng);
    fate **fates = need(calloc(from->node_count, sizeof *fates));
    for (size_t i = 0; i < from->node_count; i++) {
        fates[i] = need(calloc(from->nodes[i].atom_count + 1, sizeof **fates));
    }
    for (size_t i = 0; i < count; i++) {
        fates[list[i].node][list[i].index] = list[i].fate;
    }
    for (size_t i = 0; i < from->node_count; i++) {
        s->nodes[i].folder = from->nodes[i].folder;
        if (from->nodes[i].folder) {
            names_copy(&s->nodes[i].durable_names, &from->nodes[i].durable_names);
            apply_folder(&from->nodes[i], &s->nodes[i].durable_names, fates[i]);
        }
    }
    bool *seen = need(calloc(from->node_count, sizeof *seen));
    mark_reachable(s, 0, seen);
    for (size_t i = 0; i < from->node_count; i++) {
        node *nd = &s->nodes[i];
        if (!seen[i]) {
            node_free(nd);
        }
        else if (nd->folder) {
            names_copy(&nd->cache_names, &nd->durable_names);
        }
        else {
            bool stale = may_be_stale && (next(rng) & 1u) != 0;
            image_copy(&nd->durable, &from->nodes[i].durable);
            apply_file(from, &from->nodes[i], &nd->durable, fates[i], stale, rng);
            image_copy(&nd->cache, &nd->durable);
        }
    }
    for (size_t i = 0; i < from->node_count; i++) {
        free(fates[i]);
    }
    free(fates);
    free(seen);
    return s;
}

sim *
sim_survivor(const sim *s, uint64_t variant)
{
    collect_all((sim *)(uintptr_t)s);
    uint64_t rng = s->seed ^ (variant * 0xd1342543de82ef95u) ^ s->order;
    size_t count;
    pending *list = gather(s, &count);
    decide(s, list, count, variant, &rng);
    sim *after = build_survivor(s, list, count, variant >= 2, &rng);
    free(list);
    return after;
}

size_t
sim_pending(const sim *s)
{
    collect_all((sim *)(uintptr_t)s);
    size_t count = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        count += s->nodes[i].atom_count;
    }
    return count;
}

sim *
sim_survivor_of(const sim *s, uint64_t atoms)
{
    collect_all((sim *)(uintptr_t)s);
    uint64_t rng = s->seed ^ atoms;
    size_t count;
    pending *list = gather(s, &count);
    for (size_t i = 0; i < count && i < 64; i++) {
        list[i].fate.kept = (atoms >> i & 1u) != 0;
    }
    sim *after = build_survivor(s, list, count, false, &rng);
    free(list);
    return after;
}

static void
disarm(sim *s)
{
    s->crashed = false;
    s->crash_in = 0;
    s->fault_in = 0;
    s->fault_on = false;
}

void
sim_reboot(sim *s, uint64_t variant)
{
    sim *after = sim_survivor(s, variant);
    free_nodes(s);
    s->nodes = after->nodes;
    s->node_count = after->node_count;
    s->rng = after->rng;
    s->fd_base = after->fd_base;
    s->file_count = 0; /* `grown` starts small again */
    after->nodes = NULL;
    after->node_count = 0;
    sim_free(after);
    disarm(s);
}

void
sim_kill(sim *s)
{
    for (size_t i = 0; i < s->file_count; i++) {
        s->files[i].open = false;
        s->files[i].lock = 0;
    }
    disarm(s);
}

/* --------------------------------------------------------------------- faults */

void
sim_fail_at(sim *s, sim_scope scope, uint64_t n, int os_errno, bool forever)
{
    s->fault_scope = scope;
    s->fault_in = n;
    s->fault_errno = os_errno;
    s->fault_forever = forever;
    s->fault_on = false;
    s->fired = false;
}

bool
sim_fired(const sim *s)
{
    return s->fired;
}

void
sim_short_transfers(sim *s, bool on)
{
    s->short_transfers = on;
}

void
sim_space(sim *s, uint64_t bytes)
{
    s->space = bytes;
}

/* -------------------------------------------------------------------- looking */

size_t
sim_open_files(const sim *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->file_count; i++) {
        count += s->files[i].open;
    }
    return count;
}

size_t
sim_open_maps(const sim *s)
{
    return s->map_count;
}

bool
sim_exists(const sim *s, const char *path)
{
    return lookup(s, path) >= 0;
}

const uint8_t *
sim_content(const sim *s, const char *path, size_t *size)
{
    static const uint8_t nothing[1];
    int64_t at = lookup(s, path);
    if (at < 0 || s->nodes[at].folder) {
        return NULL;
    }
    *size = s->nodes[at].cache.size;
    return *size == 0 ? nothing : s->nodes[at].cache.data;
}

bool
sim_flip(sim *s, const char *path, uint64_t byte, uint8_t mask)
{
    int64_t at = lookup(s, path);
    if (at < 0 || s->nodes[at].folder || byte >= s->nodes[at].cache.size) {
        return false;
    }
    s->nodes[at].cache.data[byte] ^= mask;
    if (byte < s->nodes[at].durable.size) {
        s->nodes[at].durable.data[byte] ^= mask;
    }
    return true;
}

static void
image_cut(image *im, uint64_t size)
{
    if (size < im->size) {
        memset(im->data + size, 0, im->size - (size_t)size);
        im->size = (size_t)size;
    }
}

bool
sim_cut(sim *s, const char *path, uint64_t size)
{
    int64_t at = lookup(s, path);
    if (at < 0 || s->nodes[at].folder || size > s->nodes[at].cache.size) {
        return false;
    }
    image_cut(&s->nodes[at].cache, size);
    image_cut(&s->nodes[at].durable, size);
    return true;
}

void
sim_advance(sim *s, int64_t us)
{
    s->wall_us += us;
    s->mono_ns += us > 0 ? us * 1000 : 0;
}

static void
dump_folder(const sim *s, uint32_t at, unsigned depth, FILE *to)
{
    const node *nd = &s->nodes[at];
    for (size_t i = 0; i < nd->cache_names.count; i++) {
        uint32_t child = nd->cache_names.at[i].node;
        const node *c = &s->nodes[child];
        const name_entry *durable =
            names_find(&nd->durable_names, nd->cache_names.at[i].name);
        fprintf(to, "%*s%s%s  node %u  %zu bytes (%zu durable)  %zu atoms%s\n",
                (int)(2 * depth), "", nd->cache_names.at[i].name, c->folder ? "/" : "",
                child, c->cache.size, c->durable.size, c->atom_count,
                durable != NULL && durable->node == child ? "" : "  name not durable");
        if (c->folder) {
            dump_folder(s, child, depth + 1, to);
        }
    }
}

void
sim_dump(const sim *s, FILE *to)
{
    fprintf(to, "sim seed %llu, %llu changes%s\n", (unsigned long long)s->seed,
            (unsigned long long)s->calls[SIM_CHANGES], s->crashed ? ", crashed" : "");
    dump_folder(s, 0, 1, to);
}
