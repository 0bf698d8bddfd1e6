/* SPDX-License-Identifier: Apache-2.0 */
/* What the simulated disk is made of: images, names, the atoms between cache and
 * durable image, and the way from a path to a node. */
#include "sim_types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- helpers */

void *
sim_need(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    return p;
}

void *
sim_resized(void *p, size_t count, size_t size)
{
    return sim_need(realloc(p, count == 0 ? 1 : count * size));
}

/* Room for one more than `count`; lists double, as a long test opens many files. */
void *
sim_grown(void *p, size_t count, size_t size)
{
    bool full = (count & (count - 1)) == 0; /* 0 or a power of two */
    return full ? sim_resized(p, count == 0 ? 1 : 2 * count, size) : p;
}

char *
sim_text_copy(const char *text)
{
    return text == NULL ? NULL : sim_need(strdup(text));
}

uint64_t
sim_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t
sim_below(uint64_t *state, uint64_t limit)
{
    return limit == 0 ? 0 : sim_next(state) % limit;
}

/* -------------------------------------------------------------------- images */

void
sim_image_room(image *im, size_t size)
{
    if (size <= im->capacity) {
        return;
    }
    size_t capacity = im->capacity < 4096 ? 4096 : im->capacity;
    while (capacity < size) {
        capacity *= 2;
    }
    im->data = sim_resized(im->data, capacity, 1);
    memset(im->data + im->capacity, 0, capacity - im->capacity);
    im->capacity = capacity;
}

void
sim_image_copy(image *to, const image *from)
{
    memset(to, 0, sizeof *to);
    sim_image_room(to, from->size);
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

name_entry *
sim_names_find(const names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->at[i].name, name) == 0) {
            return &n->at[i];
        }
    }
    return NULL;
}

void
sim_names_put(names *n, const char *name, uint32_t to)
{
    name_entry *entry = sim_names_find(n, name);
    if (entry != NULL) {
        entry->node = to;
        return;
    }
    n->at = sim_resized(n->at, n->count + 1, sizeof *n->at);
    n->at[n->count].name = sim_text_copy(name);
    n->at[n->count++].node = to;
}

void
sim_names_drop(names *n, const char *name, uint32_t only)
{
    name_entry *entry = sim_names_find(n, name);
    if (entry != NULL && entry->node == only) {
        free(entry->name);
        *entry = n->at[--n->count];
    }
}

void
sim_names_copy(names *to, const names *from)
{
    to->count = from->count;
    to->at = sim_resized(NULL, from->count, sizeof *to->at);
    for (size_t i = 0; i < from->count; i++) {
        to->at[i].name = sim_text_copy(from->at[i].name);
        to->at[i].node = from->at[i].node;
    }
}

void
sim_names_free(names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->at[i].name);
    }
    free(n->at);
    memset(n, 0, sizeof *n);
}

/* --------------------------------------------------------------------- atoms */

atom *
sim_atom_add(sim *s, node *nd, atom_kind kind, uint64_t place)
{
    if (nd->atom_count == nd->atom_capacity) {
        nd->atom_capacity = nd->atom_capacity == 0 ? 8 : nd->atom_capacity * 2;
        nd->atoms = sim_resized(nd->atoms, nd->atom_capacity, sizeof *nd->atoms);
    }
    atom *a = &nd->atoms[nd->atom_count++];
    memset(a, 0, sizeof *a);
    a->kind = kind;
    a->order = ++s->order;
    a->place = place;
    return a;
}

void
sim_add_sector(sim *s, node *nd, uint64_t sector)
{
    atom *a = sim_atom_add(s, nd, ATOM_WRITE, sector);
    a->data = sim_need(calloc(1, SECTOR));
    size_t start = (size_t)sector * SECTOR;
    size_t size = nd->cache.size - start < SECTOR ? nd->cache.size - start : SECTOR;
    memcpy(a->data, nd->cache.data + start, size);
}

void
sim_add_name(sim *s, node *nd, atom_kind kind, const char *name, const char *other,
             uint32_t to)
{
    atom *a = sim_atom_add(s, nd, kind, 0);
    a->name = sim_text_copy(name);
    a->other = sim_text_copy(other);
    a->node = to;
}

void
sim_atoms_drop(node *nd)
{
    for (size_t i = 0; i < nd->atom_count; i++) {
        free(nd->atoms[i].name);
        free(nd->atoms[i].other);
        free(nd->atoms[i].data);
    }
    nd->atom_count = 0;
}

void
sim_node_free(node *nd)
{
    sim_atoms_drop(nd);
    free(nd->atoms);
    image_free(&nd->cache);
    image_free(&nd->durable);
    sim_names_free(&nd->cache_names);
    sim_names_free(&nd->durable_names);
    memset(nd, 0, sizeof *nd);
}

static void
write_sector(uint8_t *to, const uint8_t *from, uint8_t tear, uint64_t *rng)
{
    size_t cut = 1 + (size_t)sim_below(rng, SECTOR - 1);
    for (size_t i = 0; i < SECTOR; i++) {
        bool reaches = tear == 0 || (tear == 1 && i < cut) || (tear == 2 && i >= cut) ||
                       (tear == 3 && (sim_next(rng) & 1u) != 0);
        if (reaches) {
            to[i] = from[i];
        }
    }
}

/* Stale bytes: what an earlier file left in the blocks, or anything. */
static void
fill_stale(const sim *s, uint8_t *to, size_t from, size_t end, uint64_t *rng)
{
    const image *old = &s->nodes[sim_below(rng, s->node_count)].cache;
    bool junk = (sim_next(rng) & 1u) != 0;
    for (size_t i = from; i < end; i++) {
        to[i] = junk ? (uint8_t)sim_next(rng) : i < old->size ? old->data[i] : 0;
    }
}

/* durable image + kept atoms. fates NULL: all whole. */
void
sim_apply_file(const sim *s, const node *nd, image *im, const fate *fates, bool stale,
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
    sim_image_room(im, im->size);
    if (stale && im->size > before) {
        fill_stale(s, im->data, before, im->size, rng);
    }
    for (size_t i = first; i < nd->atom_count; i++) {
        const atom *a = &nd->atoms[i];
        if (a->kind == ATOM_WRITE && (fates == NULL || fates[i].kept)) {
            size_t end = ((size_t)a->place + 1) * SECTOR;
            sim_image_room(im, end);
            write_sector(im->data + end - SECTOR, a->data,
                         fates == NULL ? 0 : fates[i].tear, rng);
            high = end > high ? end : high;
        }
    }
    if (high > im->size) {
        memset(im->data + im->size, 0, high - im->size);
    }
}

void
sim_apply_folder(const node *nd, names *n, const fate *fates)
{
    for (size_t i = 0; i < nd->atom_count; i++) {
        const atom *a = &nd->atoms[i];
        if (fates != NULL && !fates[i].kept) {
            continue;
        }
        switch (a->kind) {
        case ATOM_LINK:
            sim_names_put(n, a->name, a->node);
            break;
        case ATOM_UNLINK:
            sim_names_drop(n, a->name, a->node);
            break;
        case ATOM_RENAME:
            sim_names_drop(n, a->name, a->node);
            sim_names_put(n, a->other, a->node);
            break;
        default:
            break;
        }
    }
}

/* Stores made through a shared mapping: sectors that no atom explains. */
void
sim_collect_stores(sim *s, node *nd)
{
    if (!nd->pinned) {
        return;
    }
    image known;
    sim_image_copy(&known, &nd->durable);
    sim_apply_file(s, nd, &known, NULL, false, &s->rng);
    sim_image_room(&known, nd->cache.size);
    for (size_t at = 0; at < nd->cache.size; at += SECTOR) {
        size_t size = nd->cache.size - at < SECTOR ? nd->cache.size - at : SECTOR;
        if (memcmp(known.data + at, nd->cache.data + at, size) != 0) {
            sim_add_sector(s, nd, at / SECTOR);
        }
    }
    image_free(&known);
}

void
sim_collect_all(sim *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        sim_collect_stores(s, &s->nodes[i]);
    }
}

/* ------------------------------------------------------------ nodes and paths */

uint32_t
sim_node_add(sim *s, bool folder)
{
    s->nodes = sim_grown(s->nodes, s->node_count, sizeof *s->nodes);
    memset(&s->nodes[s->node_count], 0, sizeof *s->nodes);
    s->nodes[s->node_count].folder = folder;
    return (uint32_t)s->node_count++;
}

/* Walks `path`. *parent: the folder of its last name, `name`: that name ("" for the
 * root). 0, -ENOENT, -ENOTDIR, -ENAMETOOLONG or -EINVAL for what is not simulated
 * (".."). */
int
sim_walk(const sim *s, const char *path, uint32_t *parent,
         char name[NAME_BYTES_MAX + 1])
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
            const name_entry *entry = sim_names_find(&s->nodes[at].cache_names, name);
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
int64_t
sim_lookup(const sim *s, const char *path)
{
    uint32_t parent;
    char name[NAME_BYTES_MAX + 1];
    int rc = sim_walk(s, path, &parent, name);
    if (rc < 0) {
        return rc;
    }
    if (name[0] == '\0') {
        return 0;
    }
    const name_entry *entry = sim_names_find(&s->nodes[parent].cache_names, name);
    return entry == NULL ? -ENOENT : (int64_t)entry->node;
}
