/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan refers to when it names an aggregate; fold/ implements every one, and its
 * registry, so that plans know aggregates without knowing arithmetic.
 *
 * An aggregate is a table of functions. Batch and speed contain no arithmetic: both
 * drive fold/fold.h, which drives these. States of one aggregate stand in one array,
 * `size` bytes each; a state may own heap memory (fini frees it), counted by the
 * context. A state may be moved in memory, and all-zero bytes are nothing special: init
 * makes it. */
#ifndef LA_EXPR_AGG_H
#define LA_EXPR_AGG_H

#include "expr/program.h"

typedef struct la_agg_context {
    const la_env *env;
    la_type arg_type; /* LA_T_NULL: no argument */
    uint8_t arg_scale;
    size_t *heap_used; /* bytes that states own, for the memory budget */
} la_agg_context;

/* The rows of one update, at most LA_CHUNK_ROWS. Row i of `count` rows is row
 * index = rows ? rows[i] : i of `arg`, and folds into state number groups[index]. */
typedef struct la_agg_rows {
    const uint32_t *rows;
    const uint32_t *groups;
    uint32_t count;
    const la_column *arg; /* NULL for len; nulls are still in it */
    const int64_t *times; /* event time a row; NULL: the log has none */
    uint64_t position;    /* of row index 0 */
    uint32_t log;         /* place in the view's declaration */
    bool single;          /* every row folds into one group (groups still hold it) */
    /* Every row's group lies in [group_low, group_low + group_span): where the span is
     * small, sums can be taken in local memory first. 0: not known. */
    uint32_t group_low, group_span;
} la_agg_rows;

typedef struct la_agg_kind {
    const char *name;
    uint32_t semantics; /* version, part of the fingerprint */
    bool takes_arg;
    bool order_free; /* semantics 2 */
    /* Result type for an argument type; LA_TYPE says which types there are. */
    la_status (*type)(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
                      la_error *err);
    size_t (*size)(const la_agg_context *context);
    void (*init)(const la_agg_context *context, void *state);
    void (*fini)(const la_agg_context *context, void *state);
    LA_MUST_CHECK la_status (*update)(const la_agg_context *context, void *states,
                                      const la_agg_rows *rows, la_error *err);
    LA_MUST_CHECK la_status (*merge)(const la_agg_context *context, void *into,
                                     const void *from, la_error *err);
    /* Canonical: depends on the rows folded alone. */
    void (*encode)(const la_agg_context *context, const void *state, la_buf *to);
    /* Into an inited state, from what encode wrote: bytes that are not canonical are
     * refused. false: damaged or out of memory; the state may be finied, nothing
     * else. */
    bool (*decode)(const la_agg_context *context, void *state, la_bytes *from);
    /* Writes row `row` of a result column: null -> valid[row] = 0; does not fit -> null
     * and overflow[row] = 1. Text results go through `heap` (offsets[row + 1] = heap
     * size). */
    LA_MUST_CHECK la_status (*finish)(const la_agg_context *context, const void *state,
                                      uint32_t row, void *data, uint8_t *valid,
                                      uint8_t *overflow, la_buf *heap, la_error *err);
    /* Exact integer result as 128 bits times 10^-scale; NULL where there is none. */
    bool (*exact)(const la_agg_context *context, const void *state, __int128 *value);
} la_agg_kind;

/* The registry: NULL when there is none of that name. */
const la_agg_kind *la_agg_find(const char *name);
const la_agg_kind *const *la_agg_all(uint32_t *count);

#endif
