/* SPDX-License-Identifier: Apache-2.0 */
/* The batch layer: positions before a cutoff become a version of a view. */
#ifndef LA_BATCH_RUN_H
#define LA_BATCH_RUN_H

#include "base/sync.h"
#include "fold/fold.h"
#include "log/log.h"
#include "views/version_list.h"

/* A fold of [from, to) of a log on several threads, in the background. Each thread may use its
 * share of `memory_max`: LA_BUDGET on several threads may be LA_OK on one. */
typedef struct la_recompute la_recompute;
LA_MUST_CHECK la_status la_recompute_start(la_plan *plan, la_snapshot *snapshot,
                                           uint64_t from, uint64_t to, uint32_t threads,
                                           uint64_t memory_max, la_recompute **out,
                                           la_error *err);
/* Waits up to `wait_ns`. LA_MORE while threads work; then LA_OK, or the failure: of several
 * failing rows the one with the lowest position. */
LA_MUST_CHECK la_status la_recompute_wait(la_recompute *recompute, int64_t wait_ns,
                                          uint64_t *rows_done, la_error *err);
uint32_t la_recompute_threads(const la_recompute *recompute);
/* After LA_OK: the threads' states merged into one fold, the caller's. */
LA_MUST_CHECK la_status la_recompute_take(la_recompute *recompute, la_fold **out,
                                          la_error *err);
void la_recompute_free(la_recompute *recompute); /* stops the threads first */

/* Writing a fold as partition files. */
LA_MUST_CHECK la_status la_write_full(const la_env *env, la_codec *codec,
                                      const char *folder, const la_fold *fold,
                                      la_version_list *list, la_error *err);
/* previous + delta: a delta file, or touched partitions rewritten where deltas have become
 * many. `list` is the new version's. */
LA_MUST_CHECK la_status la_write_incremental(const la_env *env, la_codec *codec,
                                             const char *folder, const la_fold *delta,
                                             const la_version_list *previous,
                                             uint64_t memory_max, la_version_list *list,
                                             la_error *err);

#endif
