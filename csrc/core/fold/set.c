/* SPDX-License-Identifier: Apache-2.0 */
/* Exact sets of words and of texts.
 *
 * Invariants
 *  1. A word set's form is a matter of speed alone: INLINE up to 3 values, then TABLE;
 *     at a growth of the table the set becomes a BITMAP where that takes no more
 *     memory, and a bitmap that would have to grow beyond DENSE_MAX bits a value
 *     becomes a TABLE again.
 *  2. A table is at most half full, so a search ends, and soon.
 *  3. A failed allocation leaves the set as it was. */
#include "fold/set.h"

#include "base/hash.h"
#include "fold/sort.h"

#define TABLE_FIRST 16u
/* Bits a value may take when a table turns into a bitmap (a table takes 128 to 256),
 * and before a bitmap turns back: twice that, so that sets do not go to and fro. */
#define DENSE_NEW 128u
#define DENSE_MAX 256u
#define BITMAP_COUNT_MIN 64u

/* -------------------------------------------------------------------- words */

typedef void (*word_visit)(void *ctx, uint64_t word);

static void
each_word(const la_word_set *set, word_visit visit, void *ctx)
{
    if (set->form == LA_WORDS_INLINE) {
        for (uint32_t i = 0; i < set->count; i++) {
            visit(ctx, set->words[i]);
        }
        return;
    }
    if (set->form == LA_WORDS_TABLE) {
        if (set->zero) {
            visit(ctx, 0);
        }
        for (uint64_t i = 0; i < set->size; i++) {
            if (set->data[i] != 0) {
                visit(ctx, set->data[i]);
            }
        }
        return;
    }
    for (uint64_t i = 0; i < set->size; i++) {
        for (uint64_t bits = set->data[i]; bits != 0; bits &= bits - 1) {
            visit(ctx, set->base + i * 64 + (uint64_t)__builtin_ctzll(bits));
        }
    }
}

typedef struct word_range {
    uint64_t low, high;
} word_range;

static void
widen(void *ctx, uint64_t word)
{
    word_range *range = ctx;
    range->low = word < range->low ? word : range->low;
    range->high = word > range->high ? word : range->high;
}

static void
table_put(void *ctx, uint64_t word)
{
    la_word_set *set = ctx;
    uint64_t mask = set->size - 1;
    if (word == 0) {
        set->zero = true;
        return;
    }
    uint64_t i = la_word_hash(word) & mask;
    while (set->data[i] != 0) {
        i = (i + 1) & mask;
    }
    set->data[i] = word;
}

static void
bitmap_put(void *ctx, uint64_t word)
{
    la_word_set *set = ctx;
    uint64_t bit = word - set->base;
    set->data[bit >> 6] |= UINT64_C(1) << (bit & 63);
}

/* The set in another form or size; same values. */
static bool
rebuild(la_word_set *set, la_word_form form, uint64_t size, uint64_t base,
        const la_env *env)
{
    la_word_set next = {.count = set->count, .form = (uint8_t)form};
    next.data = la_calloc(env, (size_t)size, sizeof(uint64_t));
    if (next.data == NULL) {
        return false;
    }
    next.size = size;
    next.base = base;
    each_word(set, form == LA_WORDS_TABLE ? table_put : bitmap_put, &next);
    la_word_set_fini(set, env);
    *set = next;
    return true;
}

static bool
to_table(la_word_set *set, uint64_t count, const la_env *env)
{
    uint64_t size = TABLE_FIRST;
    while (size < 2 * (count + 1)) {
        size *= 2;
    }
    return rebuild(set, LA_WORDS_TABLE, size, 0, env);
}

/* A bitmap over `range` with an eighth of room at each end. */
static bool
to_bitmap(la_word_set *set, word_range range, const la_env *env)
{
    uint64_t first = range.low >> 6, last = range.high >> 6;
    uint64_t room = (last - first) / 8 + 1;
    first = first > room ? first - room : 0;
    last = last < (UINT64_MAX >> 6) - room ? last + room : UINT64_MAX >> 6;
    return rebuild(set, LA_WORDS_BITMAP, last - first + 1, first << 6, env);
}

/* Room for one more value that is not in the set; it may become a bitmap. */
static bool
table_grow(la_word_set *set, uint64_t word, const la_env *env)
{
    uint8_t patience = set->patience;
    if (patience > 0) {
        patience--;
    }
    else if (set->count >= BITMAP_COUNT_MIN) {
        word_range range = {word, word};
        each_word(set, widen, &range);
        uint64_t bits = (range.high - range.low) / DENSE_NEW;
        if (bits < set->count) {
            return to_bitmap(set, range, env);
        }
        /* Ranges only widen: so many doublings it takes at least. */
        while (bits >= (uint64_t)set->count << (patience + 1) && patience < 30) {
            patience++;
        }
    }
    if (!to_table(set, (uint64_t)set->count + 1, env)) {
        return false;
    }
    set->patience = patience;
    return true;
}

static bool
bitmap_grow(la_word_set *set, uint64_t word, const la_env *env)
{
    word_range range = {word, word};
    widen(&range, set->base);
    widen(&range, set->base + set->size * 64 - 1);
    if ((range.high - range.low) / DENSE_MAX < set->count) {
        return to_bitmap(set, range, env);
    }
    return to_table(set, (uint64_t)set->count + set->count / 2, env);
}

static bool
add_inline(la_word_set *set, uint64_t word, const la_env *env)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->words[i] == word) {
            return true;
        }
    }
    if (set->count < LA_WORD_SET_INLINE) {
        set->words[set->count++] = word;
        return true;
    }
    return to_table(set, set->count, env) && la_word_set_add(set, word, env);
}

bool
la_word_set_add_slow(la_word_set *set, uint64_t word, const la_env *env)
{
    if (set->form == LA_WORDS_INLINE) {
        return add_inline(set, word, env);
    }
    if (set->form == LA_WORDS_BITMAP) {
        return bitmap_grow(set, word, env) && la_word_set_add(set, word, env);
    }
    if (word == 0 && set->zero) {
        return true;
    }
    if (set->count == UINT32_MAX) {
        return false;
    }
    if (2 * ((uint64_t)set->count + 1) > set->size) {
        return table_grow(set, word, env) && la_word_set_add(set, word, env);
    }
    /* 0: any other word that has room la_word_set_add takes itself. */
    set->zero = true;
    set->count++;
    return true;
}

typedef struct adding {
    la_word_set *set;
    const la_env *env;
    bool failed;
} adding;

static void
add_visit(void *ctx, uint64_t word)
{
    adding *to = ctx;
    if (!to->failed && !la_word_set_add(to->set, word, to->env)) {
        to->failed = true;
    }
}

static bool
bitmap_covers(const la_word_set *outer, const la_word_set *inner)
{
    return outer->form == LA_WORDS_BITMAP && inner->form == LA_WORDS_BITMAP &&
           inner->base >= outer->base &&
           (inner->base - outer->base) / 64 + inner->size <= outer->size;
}

bool
la_word_set_merge(la_word_set *into, const la_word_set *from, const la_env *env)
{
    if (bitmap_covers(into, from)) {
        uint64_t *to = into->data + (from->base - into->base) / 64;
        uint64_t added = 0;
        for (uint64_t i = 0; i < from->size; i++) {
            added += (uint64_t)__builtin_popcountll(from->data[i] & ~to[i]);
            to[i] |= from->data[i];
        }
        into->count += (uint32_t)added;
        return true;
    }
    adding to = {into, env, false};
    each_word(from, add_visit, &to);
    return !to.failed;
}

void
la_word_set_fini(la_word_set *set, const la_env *env)
{
    if (set->form != LA_WORDS_INLINE) {
        la_dealloc(env, set->data, set->size * sizeof(uint64_t));
    }
    memset(set, 0, sizeof *set);
}

static void
append_visit(void *ctx, uint64_t word)
{
    uint64_t **to = ctx;
    *(*to)++ = word;
}

void
la_word_set_sorted(const la_word_set *set, uint64_t *to)
{
    uint64_t *end = to;
    each_word(set, append_visit, &end);
    if (set->form != LA_WORDS_BITMAP) {
        la_sort_words(to, to + set->count, set->count);
    }
}

/* -------------------------------------------------------------------- texts */

static bool
grow(void **data, uint32_t *capacity, uint64_t needed, size_t size, const la_env *env)
{
    uint64_t next = *capacity < 4 ? 4 : *capacity;
    while (next < needed) {
        next += next / 2;
    }
    if (next > UINT32_MAX) {
        next = UINT32_MAX;
    }
    if (needed > next) {
        return false;
    }
    if (next == *capacity) {
        return true;
    }
    void *room = la_realloc(env, *data, *capacity * size, (size_t)next * size);
    if (room == NULL) {
        return false;
    }
    *data = room;
    *capacity = (uint32_t)next;
    return true;
}

static bool
slots_grow(la_text_set *set, const la_env *env)
{
    uint64_t size = set->slot_count == 0 ? 8 : (uint64_t)set->slot_count * 2;
    if (size > UINT32_MAX) {
        return false;
    }
    uint32_t *slots = la_calloc(env, (size_t)size, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t e = 0; e < set->count; e++) {
        uint64_t i = set->entries[e].hash & (size - 1);
        while (slots[i] != 0) {
            i = (i + 1) & (size - 1);
        }
        slots[i] = e + 1;
    }
    la_dealloc(env, set->slots, set->slot_count * sizeof *slots);
    set->slots = slots;
    set->slot_count = (uint32_t)size;
    return true;
}

static bool
add_hashed(la_text_set *set, const char *at, size_t size, uint64_t hash,
           const la_env *env)
{
    if (2 * ((uint64_t)set->count + 1) > set->slot_count && !slots_grow(set, env)) {
        return false;
    }
    uint64_t mask = set->slot_count - 1;
    uint64_t i = hash & mask;
    for (; set->slots[i] != 0; i = (i + 1) & mask) {
        const la_text_entry *entry = &set->entries[set->slots[i] - 1];
        if (entry->hash == hash && entry->size == size &&
            (size == 0 || memcmp(set->heap + entry->at, at, size) == 0)) {
            return true;
        }
    }
    if (!grow((void **)&set->entries, &set->entry_capacity, (uint64_t)set->count + 1,
              sizeof *set->entries, env) ||
        !grow((void **)&set->heap, &set->heap_capacity, (uint64_t)set->heap_size + size,
              1, env)) {
        return false;
    }
    if (size > 0) {
        memcpy(set->heap + set->heap_size, at, size);
    }
    set->entries[set->count] = (la_text_entry){hash, set->heap_size, (uint32_t)size};
    set->heap_size += (uint32_t)size;
    set->slots[i] = ++set->count;
    return true;
}

bool
la_text_set_add(la_text_set *set, const char *at, size_t size, const la_env *env)
{
    return add_hashed(set, at, size, la_xxh3(at, size, 0), env);
}

bool
la_text_set_merge(la_text_set *into, const la_text_set *from, const la_env *env)
{
    for (uint32_t e = 0; e < from->count; e++) {
        const la_text_entry *entry = &from->entries[e];
        if (!add_hashed(into, from->heap + entry->at, entry->size, entry->hash, env)) {
            return false;
        }
    }
    return true;
}

void
la_text_set_fini(la_text_set *set, const la_env *env)
{
    la_dealloc(env, set->entries, set->entry_capacity * sizeof *set->entries);
    la_dealloc(env, set->slots, set->slot_count * sizeof *set->slots);
    la_dealloc(env, set->heap, set->heap_capacity);
    memset(set, 0, sizeof *set);
}

size_t
la_text_set_heap(const la_text_set *set)
{
    return set->entry_capacity * sizeof *set->entries +
           set->slot_count * sizeof *set->slots + set->heap_capacity;
}

static int
compare_entries(const void *ctx, uint32_t a, uint32_t b)
{
    const la_text_set *set = ctx;
    const la_text_entry *x = &set->entries[a], *y = &set->entries[b];
    uint32_t common = x->size < y->size ? x->size : y->size;
    int order = common == 0 ? 0 : memcmp(set->heap + x->at, set->heap + y->at, common);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

void
la_text_set_sorted(const la_text_set *set, uint32_t *to, uint32_t *room)
{
    for (uint32_t e = 0; e < set->count; e++) {
        to[e] = e;
    }
    la_sort_by(to, room, set->count, compare_entries, set);
}
