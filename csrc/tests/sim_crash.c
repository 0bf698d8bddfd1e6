/* SPDX-License-Identifier: Apache-2.0 */
/* Life and death of a simulated file system: new, clone, power cut and its survivors,
 * kill, faults; looking into it and damaging it. */
#include "sim_types.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------- life of a sim */

sim *
sim_new(uint64_t seed)
{
    sim *s = sim_bare(seed);
    sim_node_add(s, true);
    return s;
}

static void
free_nodes(sim *s)
{
    for (size_t i = 0; i < s->node_count; i++) {
        node *nd = &s->nodes[i];
        if (nd->pinned && nd->cache.data != NULL) {
            s->graves = sim_resized(s->graves, s->grave_count + 1, sizeof *s->graves);
            s->graves[s->grave_count++] = nd->cache.data;
            memset(&nd->cache, 0, sizeof nd->cache);
        }
        sim_node_free(nd);
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
    size_t room = 1; /* as `sim_grown` expects */
    while (room < s->node_count) {
        room *= 2;
    }
    to->nodes = sim_resized(NULL, room, sizeof *to->nodes);
    memset(to->nodes, 0, s->node_count * sizeof *to->nodes);
    to->node_count = s->node_count;
    return to;
}

sim *
sim_clone(const sim *from)
{
    /* Looking for stores adds atoms, which changes nothing that calls can see. */
    sim_collect_all((sim *)(uintptr_t)from);
    sim *s = sim_like(from);
    s->crashed = from->crashed;
    for (size_t i = 0; i < from->node_count; i++) {
        const node *a = &from->nodes[i];
        node *b = &s->nodes[i];
        b->folder = a->folder;
        sim_image_copy(&b->cache, &a->cache);
        sim_image_copy(&b->durable, &a->durable);
        sim_names_copy(&b->cache_names, &a->cache_names);
        sim_names_copy(&b->durable_names, &a->durable_names);
        b->atom_count = b->atom_capacity = a->atom_count;
        b->atoms = sim_resized(NULL, a->atom_count, sizeof *b->atoms);
        for (size_t j = 0; j < a->atom_count; j++) {
            atom *copy = &b->atoms[j];
            *copy = a->atoms[j];
            copy->name = sim_text_copy(copy->name);
            copy->other = sim_text_copy(copy->other);
            if (copy->data != NULL) {
                copy->data = sim_need(malloc(SECTOR));
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
    pending *list = sim_need(calloc(*count + 1, sizeof *list));
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
    return sim_below(rng, 4) == 0 ? (uint8_t)(1 + sim_below(rng, 3)) : 0;
}

static void
decide_by_coins(const sim *s, pending *list, size_t count, uint64_t *rng)
{
    /* Eighths; each file and folder has its own, so that some sync well and others do
     * not. */
    static const uint8_t densities[] = {0, 1, 4, 7, 8, 4};
    uint8_t *eighths = sim_need(malloc(s->node_count));
    for (size_t i = 0; i < s->node_count; i++) {
        eighths[i] = densities[sim_below(rng, sizeof densities)];
    }
    for (size_t i = 0; i < count; i++) {
        list[i].fate.kept = sim_below(rng, 8) < eighths[list[i].node];
        list[i].fate.tear = random_tear(rng);
    }
    free(eighths);
}

static void
decide(const sim *s, pending *list, size_t count, uint64_t variant, uint64_t *rng)
{
    uint64_t chosen = sim_below(rng, count + 1);
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
            f->kept =
                list[i].name || (a->kind != ATOM_WRITE && (sim_next(rng) & 1u) != 0);
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
    s->rng = sim_next(rng);
    fate **fates = sim_need(calloc(from->node_count, sizeof *fates));
    for (size_t i = 0; i < from->node_count; i++) {
        fates[i] = sim_need(calloc(from->nodes[i].atom_count + 1, sizeof **fates));
    }
    for (size_t i = 0; i < count; i++) {
        fates[list[i].node][list[i].index] = list[i].fate;
    }
    for (size_t i = 0; i < from->node_count; i++) {
        s->nodes[i].folder = from->nodes[i].folder;
        if (from->nodes[i].folder) {
            sim_names_copy(&s->nodes[i].durable_names, &from->nodes[i].durable_names);
            sim_apply_folder(&from->nodes[i], &s->nodes[i].durable_names, fates[i]);
        }
    }
    bool *seen = sim_need(calloc(from->node_count, sizeof *seen));
    mark_reachable(s, 0, seen);
    for (size_t i = 0; i < from->node_count; i++) {
        node *nd = &s->nodes[i];
        if (!seen[i]) {
            sim_node_free(nd);
        }
        else if (nd->folder) {
            sim_names_copy(&nd->cache_names, &nd->durable_names);
        }
        else {
            bool stale = may_be_stale && (sim_next(rng) & 1u) != 0;
            sim_image_copy(&nd->durable, &from->nodes[i].durable);
            sim_apply_file(from, &from->nodes[i], &nd->durable, fates[i], stale, rng);
            sim_image_copy(&nd->cache, &nd->durable);
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
    sim_collect_all((sim *)(uintptr_t)s);
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
    sim_collect_all((sim *)(uintptr_t)s);
    size_t count = 0;
    for (size_t i = 0; i < s->node_count; i++) {
        count += s->nodes[i].atom_count;
    }
    return count;
}

sim *
sim_survivor_of(const sim *s, uint64_t atoms)
{
    sim_collect_all((sim *)(uintptr_t)s);
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
    s->file_count = 0; /* `sim_grown` starts small again */
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
    return sim_lookup(s, path) >= 0;
}

const uint8_t *
sim_content(const sim *s, const char *path, size_t *size)
{
    static const uint8_t nothing[1];
    int64_t at = sim_lookup(s, path);
    if (at < 0 || s->nodes[at].folder) {
        return NULL;
    }
    *size = s->nodes[at].cache.size;
    return *size == 0 ? nothing : s->nodes[at].cache.data;
}

bool
sim_flip(sim *s, const char *path, uint64_t byte, uint8_t mask)
{
    int64_t at = sim_lookup(s, path);
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
    int64_t at = sim_lookup(s, path);
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
            sim_names_find(&nd->durable_names, nd->cache_names.at[i].name);
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
