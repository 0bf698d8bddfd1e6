/* SPDX-License-Identifier: Apache-2.0 */
/* From a chunk to the rows that count: classes of rows, the plan's expressions over
 * them. */
#ifndef LA_FOLD_EVALUATE_H
#define LA_FOLD_EVALUATE_H

#include "fold/fold.h"

typedef struct la_evaluation la_evaluation;

LA_MUST_CHECK la_status la_evaluation_new(la_plan *plan, la_evaluation **out,
                                          la_error *err);
void la_evaluation_free(la_evaluation *evaluation);
size_t la_evaluation_memory(const la_evaluation *evaluation);

/* What one chunk of at most LA_CHUNK_ROWS rows gave; valid until the next run. */
typedef struct la_evaluated {
    const uint32_t *rows; /* the counted rows, ascending; NULL: all */
    uint32_t count;
    const la_vec *keys;   /* the plan's */
    const int64_t *times; /* a row; NULL: the log has none */
} la_evaluated;

/* Adds every row to its class in `counts`. LA_EVALUATION: on_error = stop. */
LA_MUST_CHECK la_status la_evaluation_run(la_evaluation *evaluation,
                                          const la_chunk *chunk, la_counts *counts,
                                          la_evaluated *out, la_error *err);
/* The argument of aggregate `agg` (NULL for len) and the rows that its filter
 * admits. */
LA_MUST_CHECK la_status la_evaluation_argument(la_evaluation *evaluation, uint32_t agg,
                                               const la_evaluated *evaluated,
                                               const la_column **arg,
                                               const uint32_t **rows, uint32_t *count,
                                               la_error *err);

#endif
