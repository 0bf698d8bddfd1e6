/* SPDX-License-Identifier: Apache-2.0 */
/* The speed layer: a fold of the log's tail, from a cutoff on, that catches up on demand. */
#ifndef LA_SPEED_LIVE_H
#define LA_SPEED_LIVE_H

#include "fold/fold.h"
#include "log/log.h"

typedef struct la_live_fold {
    la_fold *fold;
    uint64_t from;     /* the cutoff: first position in it */
    uint64_t position; /* first position not yet in it */
} la_live_fold;

LA_MUST_CHECK la_status la_live_init(la_live_fold *live, la_plan *plan, uint64_t cutoff,
                                     uint64_t memory_max, la_error *err);
void la_live_fini(la_live_fold *live);
/* Folds on to `to` (<= the snapshot's end), at most `rows_max` rows a call: LA_MORE until it
 * is there. A failed step leaves the fold unusable: fini and start again. */
LA_MUST_CHECK la_status la_live_step(la_live_fold *live, la_snapshot *snapshot,
                                     uint64_t to, uint64_t rows_max, la_error *err);

#endif
