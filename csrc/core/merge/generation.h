/* SPDX-License-Identifier: Apache-2.0 */
/* The two sides of an answer: a version's states (positions < cutoff) and the fold of the
 * tail (positions >= cutoff). A new version brings a new generation; the old one is dropped
 * whole, so no group can be counted on both sides or on none. */
#ifndef LA_MERGE_GENERATION_H
#define LA_MERGE_GENERATION_H

#include "speed/live.h"
#include "views/store.h"
#include "views/version_list.h"

typedef struct la_generation {
    la_store *store;
    const char *view_name; /* the view's */
    char *folder;
    la_plan *plan;
    la_log *log;
    uint64_t catalogue_number;
    uint64_t version; /* 0: never published, everything is in the live fold */
    uint64_t cutoff;
    int64_t published_us;
    la_counts counts; /* of the version */
    la_version_list list;
    uint8_t *loaded; /* one byte a partition */
    bool deltas_loaded;
    bool broken; /* a failed load left base half filled: drop it */
    la_fold *base;
    uint32_t *order; /* base groups in key order, NULL: not known */
    size_t order_room;
    la_live_fold live;
} la_generation;

/* Of `entry`'s version `number`, 0 = never published: the definition over the whole log.
 * LA_STALE: the version is no longer kept. */
LA_MUST_CHECK la_status la_generation_new(la_view *view, const la_catalogue *catalogue,
                                          const la_view_entry *entry, uint64_t number,
                                          la_generation **out, la_error *err);
void la_generation_free(la_generation *generation);

/* Brings the base states of windows in [since, until) into memory (all partitions that may
 * hold them; without windows: those of `key`, or all when it is NULL). LA_STALE: the version's
 * files were swept meanwhile: take a new generation. */
LA_MUST_CHECK la_status la_generation_load(la_generation *generation, int64_t since,
                                           int64_t until, const la_buf *key,
                                           la_error *err);
/* Base groups in key order. */
LA_MUST_CHECK la_status la_generation_order(la_generation *generation,
                                            const uint32_t **order, uint32_t *count,
                                            la_error *err);

#endif
