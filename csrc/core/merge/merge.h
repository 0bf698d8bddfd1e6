/* SPDX-License-Identifier: Apache-2.0 */
/* Merge: state + state, per group. It never looks at events and holds no arithmetic: states
 * are merged and finished by fold/. */
#ifndef LA_MERGE_MERGE_H
#define LA_MERGE_MERGE_H

#include "fold/fold.h"

/* The groups of two folds of one shape, side by side. A row is a group of `batch`, of
 * `speed`, or of both (then `merged` holds their sum). UINT32_MAX: not there. */
typedef struct la_merge_row {
    uint32_t batch, speed, merged;
} la_merge_row;

typedef struct la_merge {
    const la_env *env;
    const la_fold *batch, *speed; /* borrowed */
    la_fold *merged;              /* owned: groups that are on both sides */
    la_merge_row *rows;           /* in key order */
    uint32_t count, capacity;
} la_merge;

/* `batch_groups` and `speed_groups`: which groups, each in key order. `shape` makes an empty fold
 * of the same shape for `merged`. */
typedef struct la_merge_shape {
    void *ctx;
    la_status (*make)(void *ctx, la_fold **out, la_error *err);
} la_merge_shape;
LA_MUST_CHECK la_status la_merge_init(la_merge *merge, const la_env *env,
                                      const la_fold *batch,
                                      const uint32_t *batch_groups,
                                      uint32_t batch_count, const la_fold *speed,
                                      const uint32_t *speed_groups,
                                      uint32_t speed_count, const la_merge_shape *shape,
                                      la_error *err);
void la_merge_fini(la_merge *merge);

/* The fold and group that hold a row's merged state. */
const la_fold *la_merge_source(const la_merge *merge, const la_merge_row *row,
                               uint32_t *group);

/* Finished rows as one owned chunk, in the rows' order. `overflow`: agg_count pointers, each NULL or
 * `row_count` bytes owned by the chunk. */
LA_MUST_CHECK la_status la_merge_finish(const la_merge *merge, const la_merge_row *rows,
                                        uint32_t row_count, la_chunk **out,
                                        const uint8_t **overflow, la_error *err);

#endif
