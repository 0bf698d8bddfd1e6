/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a fold, shared by the files that work on it. Private to fold/. */
#ifndef LA_FOLD_FOLD_TYPES_H
#define LA_FOLD_FOLD_TYPES_H

#include "fold/evaluate.h"
#include "fold/fold.h"
#include "fold/group.h"
#include "fold/window.h"

typedef struct la_fold_agg {
    const la_agg_kind *kind;
    la_agg_context context;
    size_t size;       /* of a state */
    char *states;      /* the fold's state_count of them are inited */
    uint32_t capacity; /* that many fit */
} la_fold_agg;

struct la_fold {
    const la_env *env;
    la_plan *plan;
    uint64_t memory_max;
    uint32_t key_count;
    uint32_t plan_keys[LA_KEYS_MAX]; /* which of the plan's keys each key is */
    la_type key_types[LA_KEYS_MAX];  /* str for cat */
    uint8_t key_scales[LA_KEYS_MAX];
    bool windowed;
    la_window_axis axis;
    const la_schema *result_schema;
    la_groups groups;
    uint32_t agg_count;
    la_fold_agg *aggs;
    uint32_t state_count, state_capacity;
    size_t heap_used; /* by states */
    la_counts counts;
    la_evaluation *evaluation; /* made by the first chunk */
    uint32_t *row_groups;      /* LA_CHUNK_ROWS */
    la_arena *arena;           /* for the length of one call */
    char *scratch;             /* one state of each aggregate, while it is read */
    size_t scratch_size;
};

/* States for all groups there are, within the budget. */
LA_MUST_CHECK la_status la_fold_reserve(la_fold *fold, la_error *err);
/* LA_BUDGET when more memory is held than the budget allows. */
LA_MUST_CHECK la_status la_fold_check_memory(const la_fold *fold, uint64_t more,
                                             la_error *err);

static inline void *
la_fold_state(const la_fold *fold, uint32_t agg, uint32_t group)
{
    return fold->aggs[agg].states + (size_t)group * fold->aggs[agg].size;
}

#endif
