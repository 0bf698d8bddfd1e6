/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a view: take a generation, let its live fold catch up, merge, shape.
 *
 *   open ──> catch up (in steps) ──> answer ──> result, receipt
 *
 * Invariants
 *  1. Everything an answer shows comes from one generation: one catalogue number, and one
 *     position per log, the live fold's. Both stand in the receipt.
 *  2. The view's own generation is touched only under its cache mutex, which no step holds
 *     on return. A question about the past (version, as_of) gets a generation of its own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/live.h"
#include "merge/generation.h"
#include "query/result.h"
#include "query/select.h"

/* Rows a step folds before it lets the caller look at signals: some 50 ms. */
#define STEP_ROWS (4u << 20)

struct la_query {
    la_view *view;
    const la_env *env;
    la_query_spec spec;
    la_generation *own; /* for version and as_of */
    la_log *log;        /* the snapshot's */
    la_snapshot *snapshot;
    uint64_t target; /* the live fold must reach it */
    bool resolved, done;
    bool
        started_over; /* the memory budget was used up by what other queries had loaded */
    la_result result;
    la_buf receipt;
};

/* ------------------------------------------------------------------- opening */

la_status
la_query_open(la_view *view, const char *spec, la_query **out, la_error *err)
{
    const la_env *env = view->store->env;
    la_query *query = la_calloc(env, 1, sizeof *query);
    if (query == NULL) {
        return la_fail_nomem(err, sizeof *query);
    }
    query->view = view;
    query->env = env;
    la_buf_init(&query->receipt, env);
    la_status status = la_query_spec_parse(env, spec, &query->spec, err);
    if (status != LA_OK) {
        la_dealloc(env, query, sizeof *query);
        return status;
    }
    la_live_add(LA_LIVE_QUERY, 1);
    *out = query;
    return LA_OK;
}

void
la_query_close(la_query *query)
{
    if (query == NULL) {
        return;
    }
    const la_env *env = query->env;
    la_generation_free(query->own);
    la_snapshot_release(query->snapshot);
    la_result_fini(&query->result);
    la_query_spec_fini(&query->spec);
    la_buf_fini(&query->receipt);
    la_dealloc(env, query, sizeof *query);
    la_live_add(LA_LIVE_QUERY, -1);
}

/* ----------------------------------------------------------------- resolution */

static void
free_cached(void *cache)
{
    la_generation_free(cache);
}

/* The newest kept version with the published definition and a cutoff at or below `as_of`;
 * 0: none, fold the log from its start (semantics 6). */
static uint64_t
version_as_of(const la_view_entry *entry, uint64_t as_of)
{
    const la_view_version *current = la_view_entry_current(entry);
    uint64_t best = 0, best_cutoff = 0;
    for (uint32_t i = 0; current != NULL && i < entry->version_count; i++) {
        const la_view_version *v = &entry->versions[i];
        if (v->cutoff <= as_of &&
            memcmp(v->fingerprint, current->fingerprint, 32) == 0 &&
            (best == 0 || v->cutoff >= best_cutoff)) {
            best = v->number;
            best_cutoff = v->cutoff;
        }
    }
    return best;
}

static bool
cached_is_current(const la_generation *g, const la_view_entry *entry)
{
    if (g == NULL || g->version != entry->current) {
        return false;
    }
    /* Never published: redefinition takes effect at once. */
    return entry->current != 0 ||
           memcmp(g->plan->fingerprint, entry->fingerprint, 32) == 0;
}

static la_status
take_snapshot(la_query *query, la_generation *g, la_error *err)
{
    la_snapshot *snapshot;
    la_status status = la_log_snapshot(g->log, &snapshot, err);
    if (status != LA_OK) {
        return status;
    }
    la_snapshot_release(query->snapshot);
    query->snapshot = snapshot;
    query->log = g->log;
    uint64_t end = la_snapshot_end(query->snapshot);
    query->target = end;
    if (query->spec.version != 0) {
        query->target = g->cutoff; /* what was said then: no live part */
    }
    if (query->spec.as_of != LA_NO_POSITION) {
        if (query->spec.as_of > end) {
            return la_fail(
                err, LA_NOT_FOUND,
                "could not answer as of position %llu: log \"%s\" is durable up "
                "to %llu",
                (unsigned long long)query->spec.as_of, g->plan->log,
                (unsigned long long)end);
        }
        query->target = query->spec.as_of;
    }
    if (query->target < g->cutoff) {
        la_status damaged = la_fail(
            err, LA_DAMAGED,
            "view \"%s\" has cutoff %llu, but log \"%s\" ends at %llu: the log lost rows",
            query->view->name, (unsigned long long)g->cutoff, g->plan->log,
            (unsigned long long)end);
        la_error_hint(err, "run verify; restore the log, or accept the loss: run with "
                           "publish=False and roll back to that version");
        return damaged;
    }
    return LA_OK;
}

/* As la_generation_new; a version of another plan than its entry's when as_of asks for the
 * definition that is published. */
static la_status
new_as_of(la_query *query, const la_catalogue *catalogue, const la_view_entry *entry,
          la_error *err)
{
    uint64_t number = version_as_of(entry, query->spec.as_of);
    const la_view_version *current = la_view_entry_current(entry);
    la_view_entry published = *entry;
    if (number == 0 && current != NULL) {
        published.plan = current->plan; /* not a candidate's */
    }
    return la_generation_new(query->view, catalogue, &published, number, &query->own,
                             err);
}

static la_status
resolve(la_query *query, la_error *err)
{
    la_view *view = query->view;
    la_catalogue *catalogue;
    la_status status = la_store_catalogue(view->store, &catalogue, err);
    if (status != LA_OK) {
        return status;
    }
    const la_view_entry *entry = la_catalogue_view(catalogue, view->name);
    la_generation *g = view->cache;
    if (entry == NULL) {
        status =
            la_fail(err, LA_NOT_FOUND, "there is no view \"%s\" any more", view->name);
    }
    else if (query->spec.version != 0) {
        status = la_generation_new(view, catalogue, entry, query->spec.version,
                                   &query->own, err);
    }
    else if (query->spec.as_of != LA_NO_POSITION) {
        status = new_as_of(query, catalogue, entry, err);
    }
    else if (!cached_is_current(g, entry)) {
        la_generation *fresh = NULL;
        status = la_generation_new(view, catalogue, entry, entry->current, &fresh, err);
        if (status == LA_OK) {
            la_generation_free(view->cache);
            view->cache = fresh;
            view->cache_free = free_cached;
        }
    }
    else {
        g->catalogue_number = catalogue->id.number;
    }
    la_catalogue_release(catalogue);
    query->resolved = status == LA_OK;
    return status;
}

/* ----------------------------------------------------------------- answering */

/* The two folds an answer is made of: those of the generation, or their roll-ups. */
typedef struct sides {
    la_query *query;
    la_generation *g;
    const la_fold *batch, *speed;
    la_fold *batch_rolled, *speed_rolled; /* owned */
    uint32_t *batch_groups, *speed_groups;
    uint32_t batch_count, speed_count;
    uint32_t batch_room, speed_room;
} sides;

static la_status
make_room(sides *s, uint32_t batch, uint32_t speed, la_error *err)
{
    const la_env *env = s->query->env;
    la_dealloc(env, s->batch_groups, s->batch_room * sizeof(uint32_t));
    la_dealloc(env, s->speed_groups, s->speed_room * sizeof(uint32_t));
    s->batch_room = batch + 1;
    s->speed_room = speed + 1;
    s->batch_groups = la_alloc(env, s->batch_room * sizeof(uint32_t));
    s->speed_groups = la_alloc(env, s->speed_room * sizeof(uint32_t));
    return s->batch_groups == NULL || s->speed_groups == NULL
               ? la_fail_nomem(err, (size_t)batch * sizeof(uint32_t))
               : LA_OK;
}

static la_status
select_point(sides *s, const la_buf *key, la_error *err)
{
    la_status status = make_room(s, 1, 1, err);
    if (status == LA_OK) {
        status = la_select_find(s->g->base, key, s->batch_groups, err);
    }
    if (status == LA_OK) {
        status = la_select_find(s->g->live.fold, key, s->speed_groups, err);
    }
    if (status == LA_OK) {
        s->batch_count = s->batch_groups[0] != UINT32_MAX;
        s->speed_count = s->speed_groups[0] != UINT32_MAX;
    }
    return status;
}

static la_status
select_all(sides *s, la_error *err)
{
    const uint32_t *order;
    uint32_t count;
    la_status status = la_generation_order(s->g, &order, &count, err);
    if (status == LA_OK) {
        status = make_room(s, count, la_fold_group_count(s->g->live.fold), err);
    }
    if (status != LA_OK) {
        return status;
    }
    memcpy(s->batch_groups, order, count * sizeof *order);
    s->batch_count =
        la_select_groups(&s->query->spec, s->g->base, s->batch_groups, count);
    status = la_fold_sorted(s->g->live.fold, s->speed_groups, err);
    if (status != LA_OK) {
        return status;
    }
    s->speed_count = la_select_groups(&s->query->spec, s->g->live.fold, s->speed_groups,
                                      la_fold_group_count(s->g->live.fold));
    return s->batch_count == UINT32_MAX || s->speed_count == UINT32_MAX
               ? la_fail_nomem(err, 0)
               : LA_OK;
}

/* Only `groups` of `from`, in a fold of their own. */
static la_status
copy_groups(const la_fold *from, const uint32_t *groups, uint32_t count, la_fold **out,
            la_error *err)
{
    la_plan *plan = la_fold_plan(from);
    la_fold *fold;
    la_status status = la_fold_new(plan, LA_MEMORY_DEFAULT, &fold, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf key, states;
    la_buf_init(&key, plan->env);
    la_buf_init(&states, plan->env);
    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        la_buf_clear(&key);
        la_buf_clear(&states);
        la_fold_key(from, groups[i], &key);
        la_fold_encode(from, groups[i], &states);
        status =
            key.failed || states.failed
                ? la_fail_nomem(err, states.size)
                : la_fold_add(fold, key.data, key.size, states.data, states.size, err);
    }
    la_buf_fini(&key);
    la_buf_fini(&states);
    if (status != LA_OK) {
        la_fold_free(fold);
        return status;
    }
    *out = fold;
    return LA_OK;
}

static la_status
roll_up_side(sides *s, const la_fold *from, const uint32_t *groups, uint32_t count,
             la_fold **out, la_error *err)
{
    const la_query_spec *spec = &s->query->spec;
    la_fold *some = NULL, *rolled = NULL;
    la_status status = LA_OK;
    if (count != la_fold_group_count(from)) {
        status = copy_groups(from, groups, count, &some, err);
    }
    if (status == LA_OK) {
        status = la_fold_new_rollup(s->g->plan, spec->keep_keys, &spec->window,
                                    LA_MEMORY_DEFAULT, &rolled, err);
    }
    if (status == LA_OK) {
        status = la_fold_rollup(rolled, some != NULL ? some : from, err);
    }
    la_fold_free(some);
    if (status != LA_OK) {
        la_fold_free(rolled);
        return status;
    }
    *out = rolled;
    return LA_OK;
}

static la_status
roll_up(sides *s, la_error *err)
{
    la_status status = roll_up_side(s, s->g->base, s->batch_groups, s->batch_count,
                                    &s->batch_rolled, err);
    if (status == LA_OK) {
        status = roll_up_side(s, s->g->live.fold, s->speed_groups, s->speed_count,
                              &s->speed_rolled, err);
    }
    if (status != LA_OK) {
        return status;
    }
    s->batch = s->batch_rolled;
    s->speed = s->speed_rolled;
    s->batch_count = la_fold_group_count(s->batch);
    s->speed_count = la_fold_group_count(s->speed);
    status = make_room(s, s->batch_count, s->speed_count, err);
    if (status == LA_OK) {
        status = la_fold_sorted(s->batch, s->batch_groups, err);
    }
    return status == LA_OK ? la_fold_sorted(s->speed, s->speed_groups, err) : status;
}

static la_status
make_empty(void *ctx, la_fold **out, la_error *err)
{
    sides *s = ctx;
    const la_query_spec *spec = &s->query->spec;
    return spec->rollup ? la_fold_new_rollup(s->g->plan, spec->keep_keys, &spec->window,
                                             LA_MEMORY_DEFAULT, out, err)
                        : la_fold_new(s->g->plan, LA_MEMORY_DEFAULT, out, err);
}

static void
put_log_position(la_buf *to, const char *name, const char *log, uint64_t position)
{
    la_buf_printf(to, "\"%s\":{", name);
    la_json_put_text(to, log, strlen(log));
    la_buf_printf(to, ":%llu},", (unsigned long long)position);
}

static la_status
make_receipt(la_query *query, const la_generation *g, const sides *s, la_error *err)
{
    la_buf *to = &query->receipt;
    char hex[65];
    la_counts all = g->counts;
    const la_counts *speed = la_fold_counts(g->live.fold);
    la_counts_add(&all, speed);
    la_hex(g->plan->fingerprint, 32, hex);
    la_buf_clear(to);
    la_buf_text(to, "{\"view\":");
    la_json_put_text(to, query->view->name, strlen(query->view->name));
    la_buf_printf(to, ",\"fingerprint\":\"%s\",\"version\":%llu,\"catalogue\":%llu,",
                  hex, (unsigned long long)g->version,
                  (unsigned long long)g->catalogue_number);
    put_log_position(to, "cutoff", g->plan->log, g->cutoff);
    put_log_position(to, "position", g->plan->log, g->live.position);
    if (g->version != 0) {
        la_buf_printf(to, "\"last_batch_update_us\":%lld,", (long long)g->published_us);
    }
    else {
        la_buf_text(to, "\"last_batch_update_us\":null,");
    }
    /* The log's greatest event time is the watermark only of all its rows. */
    int64_t watermark = la_snapshot_max_time(query->snapshot);
    bool whole = g->live.position == la_snapshot_end(query->snapshot);
    if (whole && watermark != INT64_MIN && g->plan->time_column >= 0) {
        la_buf_printf(to, "\"watermark_us\":%lld,", (long long)watermark);
    }
    else {
        la_buf_text(to, "\"watermark_us\":null,");
    }
    int64_t ingest = la_snapshot_last_ingest(query->snapshot);
    if (ingest != 0) {
        la_buf_printf(to, "\"last_ingest_us\":%lld,", (long long)ingest);
    }
    else {
        la_buf_text(to, "\"last_ingest_us\":null,");
    }
    la_buf_printf(to, "\"answered_us\":%lld,\"durable\":true,\"erasure_epoch\":0,",
                  (long long)query->env->io.wall_us(query->env->io.ctx));
    la_buf_printf(to,
                  "\"batch_rows\":%llu,\"speed_rows\":%llu,\"batch_groups\":%u,"
                  "\"speed_groups\":%u,\"rows\":",
                  (unsigned long long)g->cutoff,
                  (unsigned long long)(g->live.position - g->cutoff), s->batch_count,
                  s->speed_count);
    la_counts_put(to, &all);
    la_buf_text(to, ",\"rows_by_part\":{\"batch\":");
    la_counts_put(to, &g->counts);
    la_buf_text(to, ",\"speed\":");
    la_counts_put(to, speed);
    la_buf_text(to, "}}");
    la_buf_u8(to, 0);
    return to->failed ? la_fail_nomem(err, to->size) : LA_OK;
}

static la_status
merge_sides(sides *s, la_error *err)
{
    la_query *query = s->query;
    la_merge merge;
    la_merge_shape shape = {s, make_empty};
    la_status status =
        la_merge_init(&merge, query->env, s->batch, s->batch_groups, s->batch_count,
                      s->speed, s->speed_groups, s->speed_count, &shape, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_result_make(query->env, &query->spec, &merge, &query->result, err);
    la_merge_fini(&merge);
    return status;
}

static la_status
answer(la_query *query, la_generation *g, la_error *err)
{
    la_query_spec *spec = &query->spec;
    la_status status = la_query_spec_bind(spec, g->plan, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf key;
    la_buf_init(&key, query->env);
    bool point = la_select_point(spec, g->plan, &key);
    bool no_rows = spec->limit == 0; /* only the receipt is wanted: read no files */
    sides s = {.query = query, .g = g, .batch = g->base, .speed = g->live.fold};
    if (!no_rows) {
        status =
            la_generation_load(g, spec->since, spec->until, point ? &key : NULL, err);
    }
    if (status == LA_OK && !no_rows) {
        status = point ? select_point(&s, &key, err) : select_all(&s, err);
    }
    if (status == LA_OK && spec->rollup) {
        status = roll_up(&s, err);
    }
    if (status == LA_OK) {
        status = merge_sides(&s, err);
    }
    if (status == LA_OK) {
        status = make_receipt(query, g, &s, err);
    }
    la_dealloc(query->env, s.batch_groups, s.batch_room * sizeof(uint32_t));
    la_dealloc(query->env, s.speed_groups, s.speed_room * sizeof(uint32_t));
    la_fold_free(s.batch_rolled);
    la_fold_free(s.speed_rolled);
    la_buf_fini(&key);
    return status;
}

/* ---------------------------------------------------------------------- steps */

/* The next step finds out anew what to answer from. */
static void
forget_resolution(la_query *query)
{
    la_generation_free(query->own);
    query->own = NULL;
    la_snapshot_release(query->snapshot);
    query->snapshot = NULL;
    query->resolved = false;
}

/* Another query may have brought a newer generation meanwhile, of another log even, or may
 * have taken the live fold further than our snapshot reaches. */
static bool
snapshot_fits(const la_query *query, const la_generation *g)
{
    return query->snapshot != NULL && query->log == g->log &&
           (query->own != NULL || g->live.position <= query->target);
}

static la_status
catch_up_and_answer(la_query *query, la_generation *g, la_error *err)
{
    la_status status = snapshot_fits(query, g) ? LA_OK : take_snapshot(query, g, err);
    if (status != LA_OK) {
        return status;
    }
    status = la_live_step(&g->live, query->snapshot, query->target, STEP_ROWS, err);
    if (status == LA_OK) {
        return answer(query, g, err);
    }
    /* A fold that failed is of no use; what the caller asked wrongly leaves it as it was. */
    g->broken = g->broken || status != LA_MORE;
    return status;
}

static la_status
step_locked(la_query *query, la_error *err)
{
    la_view *view = query->view;
    la_status status = query->resolved ? LA_OK : resolve(query, err);
    la_generation *g = query->own != NULL ? query->own : view->cache;
    if (status == LA_OK &&
        g == NULL) { /* another query's failure dropped it: look again */
        forget_resolution(query);
        return LA_MORE;
    }
    if (status == LA_OK) {
        status = catch_up_and_answer(query, g, err);
        if (g->broken && g == view->cache) {
            la_generation_free(g);
            view->cache = NULL;
        }
        if (status != LA_OK && status != LA_MORE && query->own != NULL) {
            forget_resolution(query);
        }
    }
    bool stale =
        status == LA_STALE; /* its files were swept: published anew meanwhile */
    bool crowded = status == LA_BUDGET && query->own == NULL && view->cache == NULL &&
                   !query->started_over;
    if (stale || crowded) {
        query->started_over = query->started_over || crowded;
        forget_resolution(query);
        return LA_MORE;
    }
    return status;
}

la_status
la_query_step(la_query *query, la_error *err)
{
    if (query->done) {
        return LA_OK;
    }
    la_mutex_lock(&query->view->cache_mutex);
    la_status status = step_locked(query, err);
    la_mutex_unlock(&query->view->cache_mutex);
    query->done = status == LA_OK;
    return status;
}

/* --------------------------------------------------------------------- results */

const la_chunk *
la_query_result(const la_query *query, la_part part)
{
    return query->done ? query->result.parts[part] : NULL;
}

const la_schema *
la_query_schema(const la_query *query)
{
    return query->done ? query->result.schema : NULL;
}

const uint8_t *
la_query_overflow(const la_query *query, uint32_t column)
{
    return query->done && column < query->result.overflow_count
               ? query->result.overflow[column]
               : NULL;
}

const char *
la_query_receipt(const la_query *query)
{
    return query->done ? (const char *)query->receipt.data : "{}";
}

la_status
la_query_exact(const la_query *query, uint32_t column, uint32_t row, char *text,
               size_t size, la_error *err)
{
    const la_result *result = &query->result;
    const la_chunk *chunk = result->parts[LA_PART_MERGED];
    if (!query->done || column >= result->overflow_count || row >= chunk->rows) {
        return la_fail(err, LA_NOT_FOUND, "the answer has no cell at row %u, column %u",
                       row, column);
    }
    for (uint32_t i = 0; i < result->exact_count; i++) {
        if (result->exact[i].column == column && result->exact[i].row == row) {
            snprintf(text, size, "%s", result->exact[i].text);
            return LA_OK;
        }
    }
    la_value value = la_value_of(&chunk->columns[column], row);
    switch (value.type) {
    case LA_T_BOOL:
    case LA_T_I32:
    case LA_T_I64:
    case LA_T_DECIMAL:
        if (!value.null) {
            snprintf(text, size, "%lld", (long long)value.i64);
            return LA_OK;
        }
        break;
    case LA_T_U64:
        if (!value.null) {
            snprintf(text, size, "%llu", (unsigned long long)value.i64);
            return LA_OK;
        }
        break;
    default:
        break;
    }
    return la_fail(err, LA_NOT_FOUND, "column \"%s\" has no exact integer in row %u",
                   la_schema_field(result->schema, column)->name, row);
}
