/* SPDX-License-Identifier: Apache-2.0 */
/* The fold: drives evaluation, groups and aggregates chunk by chunk.
 *
 *   chunk --evaluate--> counted rows, key columns, arguments, filters
 *         --window----> window index a row
 *         --group-----> group number a row
 *         --update----> each aggregate's states
 *
 * Invariants
 *  1. rows seen = sum of the classes in `counts` (law 5), after every chunk.
 *  2. Every group has states: state_count = groups.count between calls.
 *  3. What a fold tells (key bytes, state bytes, finished values, order) depends on the
 *     rows folded alone: not on chunks, order of merging, tables or forms. */
#include "fold/fold.h"

#include "base/error.h"
#include "base/live.h"
#include "fold/fold_types.h"
#include "fold/kernel.h"

/* --------------------------------------------------------------- life, memory */

static la_status
aggs_new(la_fold *fold, la_error *err)
{
    const la_plan *plan = fold->plan;

    fold->aggs = la_calloc(fold->env, plan->agg_count, sizeof *fold->aggs);
    if (fold->aggs == NULL) {
        return la_fail_nomem(err, plan->agg_count * sizeof *fold->aggs);
    }
    fold->agg_count = plan->agg_count;
    for (uint32_t a = 0; a < plan->agg_count; a++) {
        la_fold_agg *agg = &fold->aggs[a];
        const la_expr *arg = plan->aggs[a].arg;
        agg->kind = plan->aggs[a].kind;
        agg->context = (la_agg_context){fold->env, arg != NULL ? arg->type : LA_T_NULL,
                                        arg != NULL ? arg->scale : 0, &fold->heap_used};
        agg->size = agg->kind->size(&agg->context);
    }
    return LA_OK;
}

/* The result schema without dropped keys and with the windows of this fold. */
static la_status
schema_new(la_fold *fold, la_error *err)
{
    const la_plan *plan = fold->plan;
    bool plan_windowed = plan->window.kind != LA_WINDOW_NONE;
    uint32_t count = 0;

    if (fold->key_count == plan->key_count && fold->windowed == plan_windowed) {
        fold->result_schema = la_schema_retain(plan->result_schema);
        return LA_OK;
    }
    size_t size = la_schema_count(plan->result_schema) * sizeof(la_field);
    la_field *fields = la_alloc(fold->env, size);
    if (fields == NULL) {
        return la_fail_nomem(err, size);
    }
    for (uint32_t k = 0; k < fold->key_count; k++) {
        fields[count++] = *la_schema_field(plan->result_schema, fold->plan_keys[k]);
    }
    uint32_t from = plan->key_count + (plan_windowed && !fold->windowed ? 2 : 0);
    for (; from < la_schema_count(plan->result_schema); from++) {
        fields[count++] = *la_schema_field(plan->result_schema, from);
    }
    la_status status =
        la_schema_new(fold->env, fields, count, &fold->result_schema, err);
    la_dealloc(fold->env, fields, size);
    return status;
}

static la_status
fold_init(la_fold *fold, const uint8_t *keep, const la_window *window, la_error *err)
{
    const la_plan *plan = fold->plan;

    for (uint32_t k = 0; k < plan->key_count; k++) {
        const la_expr *expr = plan->keys[k].expr;
        if (keep == NULL || keep[k] != 0) {
            uint32_t to = fold->key_count++;
            fold->plan_keys[to] = k;
            fold->key_types[to] = expr->type == LA_T_CAT ? LA_T_STR : expr->type;
            fold->key_scales[to] = expr->scale;
        }
    }
    fold->windowed = window->kind != LA_WINDOW_NONE;
    la_window_axis_init(&fold->axis, window);
    la_status status = la_groups_init(&fold->groups, fold->env, fold->key_types,
                                      fold->key_count, fold->windowed, err);
    if (status == LA_OK) {
        status = aggs_new(fold, err);
    }
    if (status == LA_OK) {
        status = schema_new(fold, err);
    }
    fold->row_groups = la_alloc(fold->env, LA_CHUNK_ROWS * sizeof(uint32_t));
    fold->arena = la_alloc(fold->env, sizeof *fold->arena);
    if (fold->arena != NULL) {
        la_arena_init(fold->arena, fold->env);
    }
    if (status == LA_OK && (fold->row_groups == NULL || fold->arena == NULL)) {
        status = la_fail_nomem(err, LA_CHUNK_ROWS * sizeof(uint32_t));
    }
    return status;
}

la_status
la_fold_new_rollup(la_plan *plan, const uint8_t *keep, const la_window *window,
                   uint64_t memory_max, la_fold **out, la_error *err)
{
    la_fold *fold = la_calloc(plan->env, 1, sizeof *fold);

    window = window == NULL ? &plan->window : window;
    if (fold == NULL) {
        return la_fail_nomem(err, sizeof *fold);
    }
    la_live_add(LA_LIVE_FOLD, 1);
    fold->env = plan->env;
    fold->plan = la_plan_retain(plan);
    fold->memory_max = memory_max == 0 ? LA_MEMORY_DEFAULT : memory_max;
    fold->counts.failed_first = LA_NO_POSITION;
    la_status status =
        la_window_nests(&plan->window, window)
            ? fold_init(fold, keep, window, err)
            : la_fail(err, LA_INVALID,
                      "could not roll up: the view's windows do not each lie "
                      "in one of the windows asked for");
    if (status != LA_OK) {
        la_fold_free(fold);
        return status;
    }
    *out = fold;
    return LA_OK;
}

la_status
la_fold_new(la_plan *plan, uint64_t memory_max, la_fold **out, la_error *err)
{
    return la_fold_new_rollup(plan, NULL, NULL, memory_max, out, err);
}

static void
fini_states(la_fold *fold)
{
    for (uint32_t a = 0; a < fold->agg_count; a++) {
        for (uint32_t g = 0; g < fold->state_count; g++) {
            fold->aggs[a].kind->fini(&fold->aggs[a].context, la_fold_state(fold, a, g));
        }
    }
    fold->state_count = 0;
}

void
la_fold_free(la_fold *fold)
{
    if (fold == NULL) {
        return;
    }
    const la_env *env = fold->env;
    fini_states(fold);
    for (uint32_t a = 0; a < fold->agg_count; a++) {
        la_dealloc(env, fold->aggs[a].states,
                   fold->aggs[a].capacity * fold->aggs[a].size);
    }
    la_dealloc(env, fold->aggs, fold->agg_count * sizeof *fold->aggs);
    la_groups_fini(&fold->groups);
    la_evaluation_free(fold->evaluation);
    la_dealloc(env, fold->row_groups, LA_CHUNK_ROWS * sizeof(uint32_t));
    la_dealloc(env, fold->scratch, fold->scratch_size);
    if (fold->arena != NULL) {
        la_arena_fini(fold->arena);
        la_dealloc(env, fold->arena, sizeof *fold->arena);
    }
    if (fold->result_schema != NULL) {
        la_schema_release(fold->result_schema);
    }
    la_plan_release(fold->plan);
    la_dealloc(env, fold, sizeof *fold);
    la_live_add(LA_LIVE_FOLD, -1);
}

void
la_fold_clear(la_fold *fold)
{
    fini_states(fold);
    la_groups_clear(&fold->groups);
    memset(&fold->counts, 0, sizeof fold->counts);
    fold->counts.failed_first = LA_NO_POSITION;
}

static size_t
state_size(const la_fold *fold)
{
    size_t size = 0;
    for (uint32_t a = 0; a < fold->agg_count; a++) {
        size += fold->aggs[a].size;
    }
    return size;
}

uint64_t
la_fold_memory(const la_fold *fold)
{
    return sizeof *fold + la_groups_memory(&fold->groups) +
           (uint64_t)fold->state_capacity * state_size(fold) + fold->heap_used +
           LA_CHUNK_ROWS * sizeof(uint32_t) + la_evaluation_memory(fold->evaluation) +
           fold->arena->total;
}

la_status
la_fold_check_memory(const la_fold *fold, uint64_t more, la_error *err)
{
    uint64_t needed = la_fold_memory(fold) + more;
    if (needed <= fold->memory_max) {
        return LA_OK;
    }
    la_status status = la_fail(
        err, LA_BUDGET, "could not keep %u groups within %llu bytes: they need %llu",
        fold->groups.count, (unsigned long long)fold->memory_max,
        (unsigned long long)needed);
    la_error_hint(err, "raise memory= to more than %llu bytes, or group by fewer keys",
                  (unsigned long long)needed);
    return status;
}

static la_status
states_grow(la_fold *fold, uint32_t capacity, la_error *err)
{
    for (uint32_t a = 0; a < fold->agg_count; a++) {
        la_fold_agg *agg = &fold->aggs[a];
        if (agg->capacity >= capacity) {
            continue; /* grown by a call that failed later */
        }
        size_t to = capacity * agg->size;
        char *states =
            la_realloc(fold->env, agg->states, agg->capacity * agg->size, to);
        if (states == NULL) {
            return la_fail_nomem(err, to);
        }
        agg->states = states;
        agg->capacity = capacity;
    }
    fold->state_capacity = capacity;
    return LA_OK;
}

la_status
la_fold_reserve(la_fold *fold, la_error *err)
{
    uint32_t count = fold->groups.count;
    la_status status = LA_OK;

    if (count > fold->state_capacity) {
        /* As the rows of groups grow; near the budget's end only by what is needed. */
        uint64_t size = state_size(fold);
        uint32_t capacity = fold->groups.capacity;
        uint64_t more = (uint64_t)(capacity - fold->state_capacity) * size;
        if (la_fold_check_memory(fold, more, NULL) != LA_OK) {
            capacity = count + count / 8 < capacity ? count + count / 8 : capacity;
            more = (uint64_t)(capacity - fold->state_capacity) * size;
        }
        status = la_fold_check_memory(fold, more, err);
        if (status == LA_OK) {
            status = states_grow(fold, capacity, err);
        }
    }
    for (uint32_t a = 0; a < fold->agg_count && status == LA_OK; a++) {
        la_fold_agg *agg = &fold->aggs[a];
        for (uint32_t g = fold->state_count; g < count; g++) {
            agg->kind->init(&agg->context, agg->states + (size_t)g * agg->size);
        }
    }
    if (status == LA_OK) {
        fold->state_count = count;
    }
    return status;
}

/* ------------------------------------------------------------------- folding */

/* Least group and number of groups up to the greatest. */
LA_LOOP static void
group_range(const uint32_t *groups, const uint32_t *rows, uint32_t count, uint32_t *low,
            uint32_t *span)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; rows != NULL && i < count; i++) {
        least = groups[rows[i]] < least ? groups[rows[i]] : least;
        most = groups[rows[i]] > most ? groups[rows[i]] : most;
    }
    for (uint32_t i = 0; rows == NULL && i < count; i++) {
        least = groups[i] < least ? groups[i] : least;
        most = groups[i] > most ? groups[i] : most;
    }
    *low = least;
    *span = most - least + 1;
}

static la_status
update(la_fold *fold, const la_chunk *chunk, const la_evaluated *rows, bool single,
       la_error *err)
{
    la_status status = LA_OK;
    uint32_t low = 0, span = 0;

    if (!single) {
        group_range(fold->row_groups, rows->rows, rows->count, &low, &span);
    }

    for (uint32_t a = 0; a < fold->agg_count && status == LA_OK; a++) {
        la_fold_agg *agg = &fold->aggs[a];
        la_agg_rows in = {.groups = fold->row_groups,
                          .times = rows->times,
                          .position = chunk->position,
                          .single = single,
                          .group_low = low,
                          .group_span = span};
        status = la_evaluation_argument(fold->evaluation, a, rows, &in.arg, &in.rows,
                                        &in.count, err);
        if (status == LA_OK && in.count > 0) {
            status = agg->kind->update(&agg->context, agg->states, &in, err);
        }
    }
    return status;
}

static la_status
fold_slice(la_fold *fold, const la_chunk *chunk, la_error *err)
{
    la_evaluated rows;
    bool single = false, one_window = true;
    la_status status =
        la_evaluation_run(fold->evaluation, chunk, &fold->counts, &rows, err);

    if (status != LA_OK || rows.count == 0) {
        return status;
    }
    if (fold->windowed) {
        one_window = la_window_indices(&fold->axis, rows.times, rows.rows, rows.count,
                                       la_groups_windows(&fold->groups));
    }
    status = la_groups_assign(&fold->groups, rows.keys, one_window, rows.rows,
                              rows.count, fold->row_groups, &single, err);
    if (status == LA_OK) {
        status = la_fold_reserve(fold, err);
    }
    if (status == LA_OK) {
        status = update(fold, chunk, &rows, single, err);
    }
    return status == LA_OK ? la_fold_check_memory(fold, 0, err) : status;
}

la_status
la_fold_chunk(la_fold *fold, const la_chunk *chunk, la_error *err)
{
    la_status status = LA_OK;

    if (fold->evaluation == NULL) {
        status = la_evaluation_new(fold->plan, &fold->evaluation, err);
    }
    if (status == LA_OK && chunk->rows <= LA_CHUNK_ROWS) {
        return fold_slice(fold, chunk, err);
    }
    size_t size = chunk->column_count * sizeof(la_column);
    la_column *columns = status == LA_OK ? la_alloc(fold->env, size) : NULL;
    if (status == LA_OK && columns == NULL) {
        return la_fail_nomem(err, size);
    }
    for (uint32_t from = 0; from < chunk->rows && status == LA_OK;
         from += LA_CHUNK_ROWS) {
        uint32_t left = chunk->rows - from;
        la_chunk slice;
        la_chunk_slice(chunk, from, left < LA_CHUNK_ROWS ? left : LA_CHUNK_ROWS,
                       columns, &slice);
        status = fold_slice(fold, &slice, err);
    }
    la_dealloc(fold->env, columns, size == 0 ? 1 : size);
    return status;
}

uint32_t
la_fold_group_count(const la_fold *fold)
{
    return fold->groups.count;
}

const la_counts *
la_fold_counts(const la_fold *fold)
{
    return &fold->counts;
}

la_plan *
la_fold_plan(const la_fold *fold)
{
    return fold->plan;
}

const la_schema *
la_fold_result_schema(const la_fold *fold)
{
    return fold->result_schema;
}
