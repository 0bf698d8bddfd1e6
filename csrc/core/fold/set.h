/* SPDX-License-Identifier: Apache-2.0 */
/* Exact sets inside states: of 64-bit order words, and of texts. Both own their memory
 * through env, may be moved, and tell their bytes. Zeroed = empty. */
#ifndef LA_FOLD_SET_H
#define LA_FOLD_SET_H

#include "base/mem.h"

#define LA_WORD_SET_INLINE 3u

typedef enum la_word_form {
    LA_WORDS_INLINE, /* count <= 3, in the state itself, in any order */
    LA_WORDS_TABLE,  /* open addressing; 0 marks a free place */
    LA_WORDS_BITMAP  /* bit w - base: dense values; 100,000 of them are 12 KiB */
} la_word_form;

typedef struct la_word_set {
    uint32_t count;
    uint8_t form;
    bool zero;        /* TABLE: 0 is in the set */
    uint8_t patience; /* TABLE: growths to go before a bitmap is thought of again */
    union {
        uint64_t words[LA_WORD_SET_INLINE];
        struct {
            uint64_t *data; /* `size` words: table or bitmap */
            uint64_t size;  /* TABLE: a power of two. BITMAP: words of 64 bits */
            uint64_t base;  /* BITMAP: the value of bit 0, a multiple of 64 */
        };
    };
} la_word_set;

/* false: out of memory (or 2^32 - 1 values); the set is as it was. */
LA_MUST_CHECK bool la_word_set_add_slow(la_word_set *set, uint64_t word,
                                        const la_env *env);
LA_MUST_CHECK bool la_word_set_merge(la_word_set *into, const la_word_set *from,
                                     const la_env *env);
void la_word_set_fini(la_word_set *set, const la_env *env);
static inline size_t
la_word_set_heap(const la_word_set *set)
{
    return set->form == LA_WORDS_INLINE ? 0 : set->size * sizeof(uint64_t);
}
/* All values, ascending, into `to` (count words of room). */
void la_word_set_sorted(const la_word_set *set, uint64_t *to);

/* Product mixing: the top bits depend on all bits of the word. */
static inline uint64_t
la_word_hash(uint64_t word)
{
    word = (word ^ word >> 32) * UINT64_C(0x9e3779b97f4a7c15);
    return word ^ word >> 29;
}

/* Asks for the place of a word that will be added soon. */
static inline void
la_word_set_prefetch(const la_word_set *set, uint64_t word)
{
    if (set->form == LA_WORDS_TABLE) {
        __builtin_prefetch(&set->data[la_word_hash(word) & (set->size - 1)], 1, 3);
    }
}

/* The common cases without a call. */
static inline bool
la_word_set_add(la_word_set *set, uint64_t word, const la_env *env)
{
    if (set->form == LA_WORDS_BITMAP) {
        uint64_t bit = word - set->base;
        if (bit >> 6 < set->size) {
            uint64_t *at = &set->data[bit >> 6];
            uint64_t old = *at, now = old | UINT64_C(1) << (bit & 63);
            *at = now;
            set->count += old != now;
            return true;
        }
    }
    else if (set->form == LA_WORDS_TABLE && word != 0) {
        uint64_t mask = set->size - 1, i = la_word_hash(word) & mask;
        for (; set->data[i] != 0; i = (i + 1) & mask) {
            if (set->data[i] == word) {
                return true;
            }
        }
        if (2 * ((uint64_t)set->count + 1) <= set->size) {
            set->data[i] = word;
            set->count++;
            return true;
        }
    }
    return la_word_set_add_slow(set, word, env);
}

typedef struct la_text_entry {
    uint64_t hash;
    uint32_t at; /* byte in the heap */
    uint32_t size;
} la_text_entry;

typedef struct la_text_set {
    la_text_entry *entries; /* in order of arrival */
    uint32_t *slots;        /* entry + 1, 0 = free; a power of two, at most half full */
    char *heap;
    uint32_t count, entry_capacity;
    uint32_t slot_count;
    uint32_t heap_size, heap_capacity;
} la_text_set;

LA_MUST_CHECK bool la_text_set_add(la_text_set *set, const char *at, size_t size,
                                   const la_env *env);
LA_MUST_CHECK bool la_text_set_merge(la_text_set *into, const la_text_set *from,
                                     const la_env *env);
void la_text_set_fini(la_text_set *set, const la_env *env);
size_t la_text_set_heap(const la_text_set *set);
/* Entry numbers in order of their bytes into `to`, with `room` as scratch, count
 * each. */
void la_text_set_sorted(const la_text_set *set, uint32_t *to, uint32_t *room);

#endif
