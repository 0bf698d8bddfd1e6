/* SPDX-License-Identifier: Apache-2.0 */
/* What a process remembers of a view between queries. Everything in it can be had again from
 * files; it saves work and carries no truth (semantics 11).
 *
 * Invariants
 *  1. base holds exactly the groups of the loaded partitions and, once any is loaded, of all
 *     delta files; a group of a partition that is not loaded may be there from a delta alone,
 *     so only loaded partitions may be looked at.
 *  2. live.from == cutoff.
 */
#include "merge/generation.h"

#include "base/error.h"

/* Files that are missing are damage, unless the version itself is no longer kept. */
static la_status
explain_missing(la_generation *g, la_status status, la_error *err)
{
    if (status != LA_NOT_FOUND && status != LA_DAMAGED) {
        return status;
    }
    if (!la_store_keeps(g->store, g->view_name, g->version)) {
        return la_fail(err, LA_STALE, "version %llu of view \"%s\" is no longer kept",
                       (unsigned long long)g->version, g->view_name);
    }
    if (status == LA_DAMAGED) {
        return status; /* the error has been filled in */
    }
    return la_fail_damaged(
        err, g->folder, 0,
        "could not read view \"%s\": a file of version %llu is missing", g->view_name,
        (unsigned long long)g->version);
}

static la_status
set_up_version(la_generation *g, const la_view_entry *entry, uint64_t number,
               const char **plan_text, la_error *err)
{
    g->counts.failed_first = LA_NO_POSITION;
    *plan_text = entry->plan;
    if (number == 0) {
        return LA_OK;
    }
    const la_view_version *version = la_view_entry_version(entry, number);
    if (version == NULL) {
        la_status status =
            la_fail(err, LA_NOT_FOUND, "view \"%s\" keeps no version %llu", entry->name,
                    (unsigned long long)number);
        la_error_hint(err, "view.versions lists the kept ones");
        return status;
    }
    *plan_text = version->plan;
    g->version = version->number;
    g->cutoff = version->cutoff;
    g->published_us = version->published_us;
    g->counts = version->counts;
    la_status status = la_version_list_read(g->store->env, g->folder, g->store->uuid,
                                            &version->list, &g->list, err);
    status = explain_missing(g, status, err);
    if (status == LA_OK) {
        g->loaded = la_calloc(g->store->env, g->list.partition_count + 1, 1);
        status =
            g->loaded == NULL ? la_fail_nomem(err, g->list.partition_count) : LA_OK;
    }
    return status;
}

/* The states of a version are read by the code that reads its plan: both must mean the same. */
static la_status
check_meaning(const la_generation *g, const la_view_entry *entry, la_error *err)
{
    const la_view_version *version = la_view_entry_version(entry, g->version);
    if (memcmp(version->fingerprint, g->plan->fingerprint, 32) == 0) {
        return LA_OK;
    }
    la_status status =
        la_fail(err, LA_CONFLICT,
                "could not read version %llu of view \"%s\": it was made with "
                "another semantics version of an aggregate",
                (unsigned long long)g->version, entry->name);
    la_error_hint(err, "run a full batch: it publishes a version of today's meaning");
    return status;
}

la_status
la_generation_new(la_view *view, const la_catalogue *catalogue,
                  const la_view_entry *entry, uint64_t number, la_generation **out,
                  la_error *err)
{
    la_store *store = view->store;
    la_generation *g = la_calloc(store->env, 1, sizeof *g);
    if (g == NULL) {
        return la_fail_nomem(err, sizeof *g);
    }
    g->store = store;
    g->catalogue_number = catalogue->id.number;
    la_version_list_init(&g->list, store->env);
    g->folder = la_strdup(store->env, view->folder);
    const char *plan_text = NULL;
    g->view_name = view->name;
    la_status status = g->folder == NULL
                           ? la_fail_nomem(err, strlen(view->folder))
                           : set_up_version(g, entry, number, &plan_text, err);
    if (status == LA_OK) {
        status = la_store_plan(store, plan_text, &g->plan, err);
    }
    if (status == LA_OK && number != 0) {
        status = check_meaning(g, entry, err);
    }
    if (status == LA_OK) {
        status = la_store_log(store, g->plan->log, &g->log, err);
    }
    if (status == LA_OK) {
        status = la_fold_new(g->plan, LA_MEMORY_DEFAULT, &g->base, err);
    }
    if (status == LA_OK) {
        status = la_live_init(&g->live, g->plan, g->cutoff, LA_MEMORY_DEFAULT, err);
    }
    if (status != LA_OK) {
        la_generation_free(g);
        return status;
    }
    *out = g;
    return LA_OK;
}

static void
drop_order(la_generation *g)
{
    la_dealloc(g->store->env, g->order, g->order_room * sizeof *g->order);
    g->order = NULL;
}

void
la_generation_free(la_generation *g)
{
    if (g == NULL) {
        return;
    }
    const la_env *env = g->store->env;
    la_live_fini(&g->live);
    la_fold_free(g->base);
    drop_order(g);
    la_dealloc(env, g->loaded, g->list.partition_count + 1);
    la_version_list_fini(&g->list);
    la_plan_release(g->plan);
    la_strfree(env, g->folder);
    la_dealloc(env, g, sizeof *g);
}

static la_status
load_partition(la_generation *g, uint32_t i, la_error *err)
{
    la_status status = LA_OK;
    for (uint32_t d = 0;
         !g->deltas_loaded && d < g->list.delta_count && status == LA_OK; d++) {
        status = la_partfile_load(g->store->env, g->folder, &g->list.deltas[d], g->base,
                                  err);
    }
    g->deltas_loaded = true;
    if (status == LA_OK && g->list.partitions[i].base.name[0] != '\0') {
        status = la_partfile_load(g->store->env, g->folder, &g->list.partitions[i].base,
                                  g->base, err);
    }
    g->loaded[i] = 1;
    g->broken = status != LA_OK;
    drop_order(g);
    return explain_missing(g, status, err);
}

la_status
la_generation_load(la_generation *g, int64_t since, int64_t until, const la_buf *key,
                   la_error *err)
{
    const la_window *window = &g->plan->window;
    bool windowed = window->kind != LA_WINDOW_NONE;
    int64_t bucket = key == NULL || windowed ? -1
                                             : la_partition_of_key(key->data, key->size,
                                                                   g->list.bucket_bits);
    for (uint32_t i = 0; i < g->list.partition_count; i++) {
        int64_t id = g->list.partitions[i].id;
        bool wanted = windowed ? id < until && la_partition_end(window, id) > since
                               : bucket < 0 || bucket == id;
        if (wanted && !g->loaded[i]) {
            la_status status = load_partition(g, i, err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    return LA_OK;
}

la_status
la_generation_order(la_generation *g, const uint32_t **order, uint32_t *count,
                    la_error *err)
{
    uint32_t groups = la_fold_group_count(g->base);
    if (g->order == NULL) {
        g->order_room = (size_t)groups + 1;
        g->order = la_alloc(g->store->env, g->order_room * sizeof *g->order);
        if (g->order == NULL) {
            return la_fail_nomem(err, groups * sizeof *g->order);
        }
        la_status status = la_fold_sorted(g->base, g->order, err);
        if (status != LA_OK) {
            drop_order(g);
            return status;
        }
    }
    *order = g->order;
    *count = groups;
    return LA_OK;
}
