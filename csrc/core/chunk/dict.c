/* SPDX-License-Identifier: Apache-2.0 */
/* Dictionary: distinct strings numbered from 0 in order of first appearance.
 *
 *   pages[0]  pages[1]  pages[2] ...      page p holds 256 << p entries
 *   [256]     [512]     [1024]            and never moves once it is there
 *
 *   code -> page, place in it: by the highest bit of code + 256
 *
 * Invariants
 *  1. Entries and their text never move or change.
 *  2. `count` is published with release after the entry and its page pointer were
 *     written; la_dict_count and la_dict_get load it with acquire. So a reader may use
 *     every code below a count it has seen, without a lock.
 *  3. Only the adder touches `slots` (open addressing, linear probing, at most half
 *     full). */
#include <stdatomic.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/live.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

#define FIRST_PAGE_BITS 8u
#define PAGE_COUNT 17u /* (2^17 - 1) * 256 >= LA_DICT_ENTRIES_MAX */
#define SLOTS_FIRST 64u
#define NO_CODE UINT32_MAX

_Static_assert(((UINT64_C(1) << PAGE_COUNT) - 1) << FIRST_PAGE_BITS >=
                   LA_DICT_ENTRIES_MAX,
               "pages must hold a full dictionary");

typedef struct entry {
    const char *text; /* NUL-terminated, in the arena */
    uint32_t size;
    uint32_t hash;
} entry;

struct la_dict {
    const la_env *env;
    atomic_uint references;
    atomic_uint count;
    entry *pages[PAGE_COUNT];
    la_arena arena;
    uint32_t *slots; /* codes, NO_CODE = free */
    uint32_t slot_count;
};

static uint32_t
page_of(uint32_t code)
{
    return 31u - (uint32_t)__builtin_clz(code + (1u << FIRST_PAGE_BITS)) -
           FIRST_PAGE_BITS;
}

static size_t
page_entries(uint32_t page)
{
    return (size_t)1 << (page + FIRST_PAGE_BITS);
}

static entry *
entry_at(const la_dict *dict, uint32_t code)
{
    uint32_t page = page_of(code);
    return &dict->pages[page][code + (1u << FIRST_PAGE_BITS) - page_entries(page)];
}

la_status
la_dict_new(const la_env *env, la_dict **out, la_error *err)
{
    la_dict *dict = la_calloc(env, 1, sizeof *dict);
    if (dict == NULL) {
        return la_fail_nomem(err, sizeof *dict);
    }
    dict->env = env;
    atomic_init(&dict->references, 1);
    atomic_init(&dict->count, 0);
    la_arena_init(&dict->arena, env);
    la_live_add(LA_LIVE_DICT, 1);
    *out = dict;
    return LA_OK;
}

la_dict *
la_dict_retain(la_dict *dict)
{
    atomic_fetch_add_explicit(&dict->references, 1, memory_order_relaxed);
    return dict;
}

void
la_dict_release(la_dict *dict)
{
    if (dict == NULL ||
        atomic_fetch_sub_explicit(&dict->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t p = 0; p < PAGE_COUNT; p++) {
        la_dealloc(dict->env, dict->pages[p], page_entries(p) * sizeof(entry));
    }
    la_dealloc(dict->env, dict->slots, dict->slot_count * sizeof *dict->slots);
    la_arena_fini(&dict->arena);
    la_dealloc(dict->env, dict, sizeof *dict);
    la_live_add(LA_LIVE_DICT, -1);
}

uint32_t
la_dict_count(const la_dict *dict)
{
    return atomic_load_explicit(&dict->count, memory_order_acquire);
}

const char *
la_dict_get(const la_dict *dict, uint32_t code, size_t *size)
{
    if (code >= la_dict_count(dict)) {
        *size = 0;
        return NULL;
    }
    const entry *found = entry_at(dict, code);
    *size = found->size;
    return found->text;
}

/* Slot of the text, or the free slot where it belongs. */
static uint32_t
probe(const la_dict *dict, const char *text, size_t size, uint32_t hash)
{
    uint32_t mask = dict->slot_count - 1;
    uint32_t slot = hash & mask;
    for (;; slot = (slot + 1) & mask) {
        uint32_t code = dict->slots[slot];
        if (code == NO_CODE) {
            return slot;
        }
        const entry *e = entry_at(dict, code);
        if (e->hash == hash && e->size == size &&
            (size == 0 || memcmp(e->text, text, size) == 0)) {
            return slot;
        }
    }
}

static la_status
grow_slots(la_dict *dict, uint32_t count, la_error *err)
{
    uint32_t slot_count = dict->slot_count == 0 ? SLOTS_FIRST : dict->slot_count * 2;
    uint32_t *slots = la_alloc(dict->env, slot_count * sizeof *slots);
    if (slots == NULL) {
        return la_fail_nomem(err, slot_count * sizeof *slots);
    }
    memset(slots, 0xff, slot_count * sizeof *slots);
    for (uint32_t code = 0; code < count; code++) {
        uint32_t slot = entry_at(dict, code)->hash & (slot_count - 1);
        while (slots[slot] != NO_CODE) {
            slot = (slot + 1) & (slot_count - 1);
        }
        slots[slot] = code;
    }
    la_dealloc(dict->env, dict->slots, dict->slot_count * sizeof *slots);
    dict->slots = slots;
    dict->slot_count = slot_count;
    return LA_OK;
}

la_status
la_dict_add(la_dict *dict, const char *text, size_t size, uint32_t *code, la_error *err)
{
    uint32_t hash = (uint32_t)la_xxh3(text, size, 0);
    uint32_t count = atomic_load_explicit(&dict->count, memory_order_relaxed);
    if (dict->slot_count > 0) {
        uint32_t found = dict->slots[probe(dict, text, size, hash)];
        if (found != NO_CODE) {
            *code = found;
            return LA_OK;
        }
    }
    if (size > LA_VALUE_BYTES_MAX) {
        return la_fail(err, LA_INVALID,
                       "could not add a category of %zu bytes: at most %u are possible",
                       size, LA_VALUE_BYTES_MAX);
    }
    if (count >= LA_DICT_ENTRIES_MAX) {
        char quoted[LA_QUOTE_BYTES];
        la_quote(quoted, text, size);
        return la_fail(
            err, LA_BUDGET,
            "could not add category %s: the dictionary is full with %u entries", quoted,
            count);
    }
    if (2 * (count + 1) > dict->slot_count) {
        la_status status = grow_slots(dict, count, err);
        if (status != LA_OK) {
            return status;
        }
    }
    uint32_t page = page_of(count);
    if (dict->pages[page] == NULL) {
        dict->pages[page] = la_alloc(dict->env, page_entries(page) * sizeof(entry));
        if (dict->pages[page] == NULL) {
            return la_fail_nomem(err, page_entries(page) * sizeof(entry));
        }
    }
    char *own = la_arena_alloc(&dict->arena, size + 1);
    if (own == NULL) {
        return la_fail_nomem(err, size);
    }
    if (size > 0) {
        memcpy(own, text, size);
    }
    own[size] = '\0';
    *entry_at(dict, count) = (entry){own, (uint32_t)size, hash};
    dict->slots[probe(dict, text, size, hash)] = count;
    atomic_store_explicit(&dict->count, count + 1, memory_order_release);
    *code = count;
    return LA_OK;
}

uint32_t
la_dict_find(const la_dict *dict, const char *text, size_t size)
{
    if (dict->slot_count == 0) {
        return NO_CODE;
    }
    uint32_t hash = (uint32_t)la_xxh3(text, size, 0);
    return dict->slots[probe(dict, text, size, hash)];
}
