/* SPDX-License-Identifier: Apache-2.0 */
/* The fold: chunks in, states per group out. The only arithmetic in the system; batch,
 * speed, merge, roll-up and version files all hold their groups in this one table.
 *
 *   rows -> where -> keys, window -> group number -> each aggregate's array of states
 *
 * A fold is used by one thread at a time. Groups are numbered from 0 in order of first
 * appearance, which means nothing: canonical output comes from la_fold_sorted. */
#ifndef LA_FOLD_FOLD_H
#define LA_FOLD_FOLD_H

#include "expr/agg.h"

typedef struct la_fold la_fold;

/* Every row of a log that the fold has seen, by class (law 5). */
typedef struct la_counts {
    uint64_t counted, filtered, failed, late, duplicate, retracted, quarantined, erased;
    uint64_t failed_by[LA_REASON_COUNT];
    uint64_t failed_first; /* lowest failing position; LA_NO_POSITION: none */
} la_counts;

/* Retains `plan`. `memory_max` bounds groups, states and interned text: LA_BUDGET
 * beyond. */
LA_MUST_CHECK la_status la_fold_new(la_plan *plan, uint64_t memory_max, la_fold **out,
                                    la_error *err);
void la_fold_free(la_fold *fold);
void la_fold_clear(la_fold *fold); /* as new, memory kept */

/* Folds all rows of `chunk` (columns used by the plan must be there). After an error
 * the fold must be freed. LA_EVALUATION: on_error = stop, with the lowest failing
 * position. */
LA_MUST_CHECK la_status la_fold_chunk(la_fold *fold, const la_chunk *chunk,
                                      la_error *err);
/* into = into + from; same plan. `from` is unchanged. Counts are added too. */
LA_MUST_CHECK la_status la_fold_merge(la_fold *into, const la_fold *from,
                                      la_error *err);

uint32_t la_fold_group_count(const la_fold *fold);
const la_counts *la_fold_counts(const la_fold *fold);
uint64_t la_fold_memory(const la_fold *fold);
la_plan *la_fold_plan(const la_fold *fold);

/* A group by its canonical bytes. Key bytes: all key parts (chunk/value.h) one after
 * another, then, for windowed plans, the window start as a time part. */
void la_fold_key(const la_fold *fold, uint32_t group, la_buf *to);
int64_t la_fold_window(const la_fold *fold,
                       uint32_t group); /* start; 0 without windows */
/* State bytes: each aggregate's encoding in plan order. */
void la_fold_encode(const la_fold *fold, uint32_t group, la_buf *to);
/* Merges an encoded group in. LA_DAMAGED when the bytes are not of this plan. */
LA_MUST_CHECK la_status la_fold_add(la_fold *fold, const void *key, size_t key_size,
                                    const void *states, size_t states_size,
                                    la_error *err);
/* Group numbers in order of key bytes; `order` has room for group_count numbers. */
LA_MUST_CHECK la_status la_fold_sorted(const la_fold *fold, uint32_t *order,
                                       la_error *err);
/* Group number of key bytes, or UINT32_MAX. */
uint32_t la_fold_find(const la_fold *fold, const void *key, size_t key_size);

/* A fold of fewer keys or coarser windows. `keep` has one byte a key of from's plan (0
 * drops it); `into` was made by la_fold_new_rollup from the same plan and shape. */
LA_MUST_CHECK la_status la_fold_new_rollup(la_plan *plan, const uint8_t *keep,
                                           const la_window *window, uint64_t memory_max,
                                           la_fold **out, la_error *err);
LA_MUST_CHECK la_status la_fold_rollup(la_fold *into, const la_fold *from,
                                       la_error *err);

/* Finished values of groups (NULL: all, 0..count) as an owned chunk of the plan's
 * result schema (roll-ups: without dropped keys). Groups of UINT32_MAX give an all-null
 * row for aggregates and null keys. `overflow`: per aggregate column a byte array of
 * rows or NULL, kept by the chunk; array of agg_count pointers given by the caller (may
 * be NULL). */
LA_MUST_CHECK la_status la_fold_finish(const la_fold *fold, const uint32_t *groups,
                                       uint32_t count, la_chunk **out,
                                       const uint8_t **overflow, la_error *err);
const la_schema *la_fold_result_schema(const la_fold *fold);
/* Exact integer of aggregate `agg` in `group`; false: it has none. */
bool la_fold_exact(const la_fold *fold, uint32_t group, uint32_t agg, __int128 *value,
                   uint8_t *scale);

#endif
