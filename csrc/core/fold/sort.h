/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting with the caller's scratch: nothing is allocated. */
#ifndef LA_FOLD_SORT_H
#define LA_FOLD_SORT_H

#include "base/mem.h"

/* Words, ascending: radix sort by the bytes that differ. `room` has `count` words. */
void la_sort_words(uint64_t *words, uint64_t *room, size_t count);

/* Numbers by words[i] (radix, stable); `words` is permuted along. Rooms of `count`
 * each. */
void la_sort_numbers(uint32_t *numbers, uint64_t *words, uint32_t *number_room,
                     uint64_t *word_room, size_t count);

/* Numbers by a comparison (merge sort, stable). `room` has `count` numbers. */
typedef int (*la_compare)(const void *ctx, uint32_t a, uint32_t b);
void la_sort_by(uint32_t *numbers, uint32_t *room, size_t count, la_compare compare,
                const void *ctx);

#endif
