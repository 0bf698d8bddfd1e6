/* SPDX-License-Identifier: Apache-2.0 */
/* Interned key texts.
 *
 * Invariants
 *  1. Texts never move; an id is never given twice.
 *  2. `ids` holds for `dict` alone, which is retained as long: an address that a freed
 *     dictionary had cannot come back as another one. */
#include "fold/intern.h"

#include "base/hash.h"
#include "fold/scalar.h"
#include "fold/sort.h"

void
la_intern_init(la_intern *intern, const la_env *env)
{
    memset(intern, 0, sizeof *intern);
    intern->env = env;
    la_arena_init(&intern->arena, env);
}

void
la_intern_fini(la_intern *intern)
{
    la_arena_fini(&intern->arena);
    la_dealloc(intern->env, intern->texts, intern->capacity * sizeof *intern->texts);
    la_dealloc(intern->env, intern->slots, intern->slot_count * sizeof *intern->slots);
    la_dealloc(intern->env, intern->ids, intern->id_capacity * sizeof *intern->ids);
    la_dict_release(intern->dict);
    la_intern_init(intern, intern->env);
}

static void
forget_dict(la_intern *intern)
{
    la_dict_release(intern->dict);
    intern->dict = NULL;
    if (intern->ids != NULL) {
        memset(intern->ids, 0xff, intern->id_capacity * sizeof *intern->ids);
    }
}

void
la_intern_clear(la_intern *intern)
{
    forget_dict(intern);
    la_arena_reset(&intern->arena);
    intern->count = 0;
    if (intern->slots != NULL) {
        memset(intern->slots, 0, intern->slot_count * sizeof *intern->slots);
    }
}

size_t
la_intern_memory(const la_intern *intern)
{
    return intern->arena.total + intern->capacity * sizeof *intern->texts +
           intern->slot_count * sizeof *intern->slots +
           intern->id_capacity * sizeof *intern->ids;
}

static bool
slots_grow(la_intern *intern)
{
    uint32_t size = intern->slot_count == 0 ? 64 : intern->slot_count * 2;
    if (size < intern->slot_count) {
        return false;
    }
    uint32_t *slots = la_calloc(intern->env, size, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t id = 0; id < intern->count; id++) {
        uint32_t i = intern->texts[id].hash & (size - 1);
        while (slots[i] != 0) {
            i = (i + 1) & (size - 1);
        }
        slots[i] = id + 1;
    }
    la_dealloc(intern->env, intern->slots, intern->slot_count * sizeof *slots);
    intern->slots = slots;
    intern->slot_count = size;
    return true;
}

static bool
texts_grow(la_intern *intern)
{
    if (intern->count < intern->capacity) {
        return true;
    }
    uint32_t capacity = intern->capacity == 0 ? 32 : intern->capacity * 2;
    la_intern_text *texts =
        la_realloc(intern->env, intern->texts, intern->capacity * sizeof *texts,
                   capacity * sizeof *texts);
    if (texts == NULL) {
        return false;
    }
    intern->texts = texts;
    intern->capacity = capacity;
    return true;
}

static uint32_t
probe(const la_intern *intern, const char *at, size_t size, uint32_t hash,
      uint32_t *slot)
{
    uint32_t mask = intern->slot_count - 1;
    uint32_t i = hash & mask;
    for (; intern->slots[i] != 0; i = (i + 1) & mask) {
        const la_intern_text *text = &intern->texts[intern->slots[i] - 1];
        if (text->hash == hash && text->size == size &&
            (size == 0 || memcmp(text->at, at, size) == 0)) {
            return intern->slots[i] - 1;
        }
    }
    *slot = i;
    return LA_NO_ID;
}

uint32_t
la_intern_find(const la_intern *intern, const char *at, size_t size)
{
    uint32_t slot;
    return intern->slots == NULL
               ? LA_NO_ID
               : probe(intern, at, size, (uint32_t)la_xxh3(at, size, 0), &slot);
}

uint32_t
la_intern_add(la_intern *intern, const char *at, size_t size)
{
    uint32_t hash = (uint32_t)la_xxh3(at, size, 0);
    uint32_t slot = 0;

    if (2 * ((uint64_t)intern->count + 1) > intern->slot_count && !slots_grow(intern)) {
        return LA_NO_ID;
    }
    uint32_t id = probe(intern, at, size, hash, &slot);
    if (id != LA_NO_ID) {
        return id;
    }
    if (!texts_grow(intern)) {
        return LA_NO_ID;
    }
    const char *copy = la_arena_strndup(&intern->arena, at, size);
    if (copy == NULL) {
        return LA_NO_ID;
    }
    intern->texts[intern->count] = (la_intern_text){copy, (uint32_t)size, hash};
    intern->slots[slot] = ++intern->count;
    return intern->count - 1;
}

bool
la_intern_use_dict(la_intern *intern, const la_dict *dict)
{
    uint32_t count = la_dict_count(dict);

    if (intern->dict != dict) {
        forget_dict(intern);
        intern->dict = la_dict_retain((la_dict *)dict);
    }
    count =
        count == 0 ? 1 : count; /* null rows of an empty dictionary look at code 0 */
    if (count <= intern->id_capacity) {
        return true;
    }
    uint32_t capacity = count + count / 2 + 16;
    uint32_t *ids =
        la_realloc(intern->env, intern->ids, intern->id_capacity * sizeof *ids,
                   capacity * sizeof *ids);
    if (ids == NULL) {
        return false;
    }
    memset(ids + intern->id_capacity, 0xff,
           (capacity - intern->id_capacity) * sizeof *ids);
    intern->ids = ids;
    intern->id_capacity = capacity;
    return true;
}

static int
compare_texts(const void *ctx, uint32_t a, uint32_t b)
{
    const la_intern_text *texts = ctx;
    return la_text_compare(texts[a].at, texts[a].size, texts[b].at, texts[b].size);
}

bool
la_intern_ranks(const la_intern *intern, uint32_t *ranks)
{
    size_t size = (size_t)intern->count * 2 * sizeof(uint32_t);
    uint32_t *order = la_alloc(intern->env, size);

    if (order == NULL) {
        return false;
    }
    for (uint32_t id = 0; id < intern->count; id++) {
        order[id] = id;
    }
    la_sort_by(order, order + intern->count, intern->count, compare_texts,
               intern->texts);
    for (uint32_t i = 0; i < intern->count; i++) {
        ranks[order[i]] = i;
    }
    la_dealloc(intern->env, order, size == 0 ? 1 : size);
    return true;
}
