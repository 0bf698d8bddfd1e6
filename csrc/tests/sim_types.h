/* SPDX-License-Identifier: Apache-2.0 */
/* The insides of the simulated file system: types, and what its files share. For
 * sim_*.c alone; all others see sim_env.h, where the model stands.
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
#ifndef LA_TESTS_SIM_TYPES_H
#define LA_TESTS_SIM_TYPES_H

#include <pthread.h>

#include "sim_env.h"

#define SECTOR 512u
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

/* What happens to each atom of one node. */
typedef struct fate {
    bool kept;
    uint8_t tear; /* 0 whole, 1 first bytes only, 2 last bytes only, 3 random bytes */
} fate;

/* ---- sim_images.c */
void *sim_need(void *p);
void *sim_resized(void *p, size_t count, size_t size);
void *sim_grown(void *p, size_t count, size_t size);
char *sim_text_copy(const char *text);
uint64_t sim_next(uint64_t *state);
uint64_t sim_below(uint64_t *state, uint64_t limit);
void sim_image_room(image *im, size_t size);
void sim_image_copy(image *to, const image *from);
name_entry *sim_names_find(const names *n, const char *name);
void sim_names_put(names *n, const char *name, uint32_t to);
void sim_names_drop(names *n, const char *name, uint32_t only);
void sim_names_copy(names *to, const names *from);
void sim_names_free(names *n);
atom *sim_atom_add(sim *s, node *nd, atom_kind kind, uint64_t place);
void sim_add_sector(sim *s, node *nd, uint64_t sector);
void sim_add_name(sim *s, node *nd, atom_kind kind, const char *name, const char *other,
                  uint32_t to);
void sim_atoms_drop(node *nd);
void sim_node_free(node *nd);
void sim_apply_file(const sim *s, const node *nd, image *im, const fate *fates,
                    bool stale, uint64_t *rng);
void sim_apply_folder(const node *nd, names *n, const fate *fates);
void sim_collect_stores(sim *s, node *nd);
void sim_collect_all(sim *s);
uint32_t sim_node_add(sim *s, bool folder);
int sim_walk(const sim *s, const char *path, uint32_t *parent,
             char name[NAME_BYTES_MAX + 1]);
int64_t sim_lookup(const sim *s, const char *path);

/* ---- sim_env.c */
sim *sim_bare(uint64_t seed);

#endif
