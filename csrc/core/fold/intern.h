/* SPDX-License-Identifier: Apache-2.0 */
/* The distinct texts of one key column, numbered from 0 in order of first appearance: a
 * fold's own numbers, never on disk. */
#ifndef LA_FOLD_INTERN_H
#define LA_FOLD_INTERN_H

#include "chunk/chunk.h"

#define LA_NO_ID UINT32_MAX

typedef struct la_intern_text {
    const char *at;
    uint32_t size;
    uint32_t hash;
} la_intern_text;

typedef struct la_intern {
    const la_env *env;
    la_arena arena;
    la_intern_text *texts;
    uint32_t count, capacity;
    uint32_t *slots; /* id + 1, 0 = free; a power of two, at most half full */
    uint32_t slot_count;
    la_dict *dict; /* retained: the dictionary that `ids` is about */
    uint32_t *ids; /* code -> id, LA_NO_ID = not yet */
    uint32_t id_capacity;
} la_intern;

void la_intern_init(la_intern *intern, const la_env *env);
void la_intern_fini(la_intern *intern);
void la_intern_clear(la_intern *intern);
size_t la_intern_memory(const la_intern *intern);
/* Id of a text, added when absent; LA_NO_ID: out of memory. */
uint32_t la_intern_add(la_intern *intern, const char *at, size_t size);
uint32_t la_intern_find(const la_intern *intern, const char *at, size_t size);
/* Makes `ids` an answer for every code of `dict` that there is; false: out of
 * memory. */
LA_MUST_CHECK bool la_intern_use_dict(la_intern *intern, const la_dict *dict);
/* ranks[id] = place of its text in byte order. false: out of memory. */
LA_MUST_CHECK bool la_intern_ranks(const la_intern *intern, uint32_t *ranks);

#endif
