/* SPDX-License-Identifier: Apache-2.0 */
/* Views by name: definition, redefinition, rollback. What a view answers is query/'s work.
 *
 * A definition is durable once a catalogue holds it. Redefining with the same fingerprint
 * changes nothing and takes no lock, so that notebooks may run their cells again. */
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"
#include "views/store.h"

/* ------------------------------------------------------------------- handles */

static la_view *
find_handle(la_store *store, const char *name)
{
    for (uint32_t i = 0; i < store->view_count; i++) {
        if (strcmp(store->views[i]->name, name) == 0) {
            return store->views[i];
        }
    }
    return NULL;
}

static la_status
new_handle(la_store *store, const char *name, la_view **out, la_error *err)
{
    const la_env *env = store->env;
    char folder[LA_PATH_BYTES_MAX];
    la_status status = la_store_view_folder(store, name, folder, err);
    if (status != LA_OK) {
        return status;
    }
    la_view *view = la_calloc(env, 1, sizeof *view);
    if (view == NULL) {
        return la_fail_nomem(err, sizeof *view);
    }
    view->name = la_strdup(env, name);
    view->folder = la_strdup(env, folder);
    if (view->name == NULL || view->folder == NULL) {
        la_strfree(env, view->name);
        la_strfree(env, view->folder);
        la_dealloc(env, view, sizeof *view);
        return la_fail_nomem(err, strlen(folder));
    }
    view->store = store;
    la_mutex_init(&view->cache_mutex);
    la_live_add(LA_LIVE_VIEW, 1);
    *out = view;
    return LA_OK;
}

/* With store->mutex held, as all below: another plan for a handle that callers may have. */
static la_status
replace_plan(la_view *view, la_plan *plan, la_error *err)
{
    if (memcmp(view->plan->fingerprint, plan->fingerprint, 32) == 0) {
        return LA_OK;
    }
    la_plan **retired = la_realloc(view->store->env, view->retired,
                                   view->retired_count * sizeof *retired,
                                   (view->retired_count + 1) * sizeof *retired);
    if (retired == NULL) {
        return la_fail_nomem(err, sizeof *retired);
    }
    view->retired = retired;
    retired[view->retired_count++] = view->plan;
    view->plan = la_plan_retain(plan);
    return LA_OK;
}

static la_status
add_handle(la_store *store, const char *name, la_plan *plan, la_view **out,
           la_error *err)
{
    const la_env *env = store->env;
    la_view *view;
    if (store->view_count == store->view_capacity) {
        uint32_t wider = store->view_capacity < 8 ? 8 : store->view_capacity * 2;
        la_view **grown =
            la_realloc(env, store->views, store->view_capacity * sizeof *grown,
                       wider * sizeof *grown);
        if (grown == NULL) {
            return la_fail_nomem(err, wider * sizeof *grown);
        }
        store->views = grown;
        store->view_capacity = wider;
    }
    la_status status = new_handle(store, name, &view, err);
    if (status != LA_OK) {
        return status;
    }
    view->plan = la_plan_retain(plan);
    store->views[store->view_count++] = view;
    *out = view;
    return LA_OK;
}

/* The handle of `name`, holding `plan` (retained). */
static la_status
install(la_store *store, const char *name, la_plan *plan, la_view **out, la_error *err)
{
    la_mutex_lock(&store->mutex);
    la_view *view = find_handle(store, name);
    la_status status = view != NULL ? replace_plan(view, plan, err)
                                    : add_handle(store, name, plan, &view, err);
    la_mutex_unlock(&store->mutex);
    if (status == LA_OK) {
        *out = view;
    }
    return status;
}

static la_status
fail_unknown_view(const la_catalogue *catalogue, const char *name, la_error *err)
{
    char known[200] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < catalogue->view_count && used < sizeof known - 1; i++) {
        int n = snprintf(known + used, sizeof known - used, "%s\"%s\"",
                         i == 0 ? "" : ", ", catalogue->views[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return la_fail(err, LA_NOT_FOUND, "there is no view \"%.128s\"; the store has %s",
                   name, catalogue->view_count == 0 ? "none" : known);
}

la_status
la_view_open(la_store *store, const char *name, la_view **out, la_error *err)
{
    la_catalogue *catalogue;
    la_status status = la_store_catalogue(store, &catalogue, err);
    if (status != LA_OK) {
        return status;
    }
    const la_view_entry *entry = la_catalogue_view(catalogue, name);
    la_plan *plan = NULL;
    status = entry == NULL ? fail_unknown_view(catalogue, name, err)
                           : la_store_plan(store, entry->plan, &plan, err);
    if (status == LA_OK) {
        status = install(store, name, plan, out, err);
    }
    la_plan_release(plan);
    la_catalogue_release(catalogue);
    return status;
}

/* ---------------------------------------------------------------- definition */

static la_status
fail_redefined(const la_env *env, const la_view_entry *entry, const la_plan *plan,
               la_error *err)
{
    la_arena arena;
    la_arena_init(&arena, env);
    const la_json *old, *new;
    char difference[300] = "another fingerprint";
    if (la_json_parse(&arena, entry->plan, strlen(entry->plan), &old, NULL) == LA_OK &&
        la_json_parse(&arena, plan->canonical, plan->canonical_size, &new, NULL) ==
            LA_OK) {
        (void)la_json_difference(old, new, difference, sizeof difference);
    }
    la_arena_fini(&arena);
    la_status status =
        la_fail(err, LA_CONFLICT, "view \"%s\" exists with another definition: %s",
                entry->name, difference);
    la_error_hint(err, "give replace=True to define it anew, or another name");
    return status;
}

static bool
same_plan(const la_view_entry *entry, const la_plan *plan)
{
    return memcmp(entry->fingerprint, plan->fingerprint, sizeof plan->fingerprint) == 0;
}

/* Writes the definition into `draft`, a copy of the newest catalogue. */
static la_status
put_definition(la_store *store, la_catalogue *draft, const char *name,
               const la_plan *plan, la_error *err)
{
    la_view_entry *entry = la_catalogue_view(draft, name);
    if (entry == NULL && draft->view_count >= LA_VIEWS_MAX) {
        return la_fail(err, LA_BUDGET,
                       "could not define view \"%s\": the store has %u already", name,
                       draft->view_count);
    }
    if (entry == NULL) {
        entry = la_catalogue_add_view(draft);
        if (entry == NULL) {
            return la_fail_nomem(err, sizeof *entry);
        }
        entry->name = la_arena_strndup(&draft->arena, name, strlen(name));
        entry->created_us = store->env->io.wall_us(store->env->io.ctx);
        entry->next_version = 1;
    }
    entry->plan =
        la_arena_strndup(&draft->arena, plan->canonical, plan->canonical_size);
    memcpy(entry->fingerprint, plan->fingerprint, sizeof entry->fingerprint);
    return entry->name != NULL && entry->plan != NULL
               ? LA_OK
               : la_fail_nomem(err, plan->canonical_size);
}

/* With the publish lock held. */
static la_status
define_locked(la_store *store, const char *name, const la_plan *plan, bool replace,
              la_error *err)
{
    la_catalogue *newest, *draft = NULL;
    la_status status = la_store_catalogue(store, &newest, err);
    if (status != LA_OK) {
        return status;
    }
    const la_view_entry *entry = la_catalogue_view(newest, name);
    if (entry != NULL && same_plan(entry, plan)) {
        la_catalogue_release(newest); /* somebody defined it meanwhile */
        return LA_OK;
    }
    if (entry != NULL && !replace) {
        status = fail_redefined(store->env, entry, plan, err);
    }
    if (status == LA_OK) {
        char folder[LA_PATH_BYTES_MAX];
        status = la_store_view_folder(store, name, folder, err);
        if (status == LA_OK) {
            status = la_file_mkdir(store->env, folder, err);
        }
    }
    if (status == LA_OK) {
        status = la_catalogue_copy(newest, &draft, err);
    }
    if (status == LA_OK) {
        status = put_definition(store, draft, name, plan, err);
    }
    if (status == LA_OK) {
        status = la_store_publish(store, draft, err);
    }
    if (status != LA_OK) {
        la_catalogue_release(draft);
    }
    la_catalogue_release(newest);
    return status;
}

/* `entry`: as the catalogue has it, or NULL. */
static la_status
define(la_store *store, const la_view_entry *entry, const char *name,
       const la_plan *plan, bool replace, la_error *err)
{
    if (entry != NULL && same_plan(entry, plan)) {
        return LA_OK;
    }
    if (entry != NULL && !replace) {
        return fail_redefined(store->env, entry, plan, err);
    }
    la_status status = la_store_publish_lock(store, err);
    if (status == LA_OK) {
        status = define_locked(store, name, plan, replace, err);
        la_store_publish_unlock(store);
    }
    return status;
}

la_status
la_view_define(la_store *store, const char *name, const char *plan_json, bool replace,
               la_view **out, la_error *err)
{
    if (!la_name_is_valid(name)) {
        return la_fail(
            err, LA_INVALID,
            "\"%.128s\" cannot name a view: letters, digits, '_', '.', '-', at "
            "most %u bytes, beginning with a letter, digit or '_'",
            name, LA_NAME_BYTES_MAX);
    }
    la_plan *plan = NULL;
    la_catalogue *catalogue = NULL;
    la_status status = la_store_plan(store, plan_json, &plan, err);
    if (status == LA_OK) {
        status = la_store_catalogue(store, &catalogue, err);
    }
    if (status == LA_OK) {
        status =
            define(store, la_catalogue_view(catalogue, name), name, plan, replace, err);
    }
    if (status == LA_OK) {
        status = install(store, name, plan, out, err);
    }
    la_catalogue_release(catalogue);
    la_plan_release(plan);
    return status;
}

const char *
la_view_name(const la_view *view)
{
    return view->name;
}

const char *
la_view_plan(const la_view *view)
{
    la_mutex_lock(&view->store->mutex);
    const char *text = view->plan->canonical;
    la_mutex_unlock(&view->store->mutex);
    return text;
}

/* ------------------------------------------------------------------ rollback */

/* Version `number` of the draft; 0: the newest one before the current. */
static la_status
find_target(const la_view_entry *entry, const char *name, uint64_t number,
            const la_view_version **out, la_error *err)
{
    const la_view_version *found = NULL;
    if (entry != NULL && number != 0) {
        found = la_view_entry_version(entry, number);
    }
    for (uint32_t i = 0; entry != NULL && number == 0 && i < entry->version_count;
         i++) {
        if (entry->versions[i].number < entry->current) {
            found = &entry->versions[i];
        }
    }
    if (found != NULL) {
        *out = found;
        return LA_OK;
    }
    la_status status =
        number != 0
            ? la_fail(err, LA_NOT_FOUND,
                      "could not roll back view \"%s\": version %llu is not kept", name,
                      (unsigned long long)number)
            : la_fail(err, LA_NOT_FOUND,
                      "could not roll back view \"%s\": there is no older version",
                      name);
    la_error_hint(err, "view.versions lists the kept ones");
    return status;
}

static la_status
roll_back_locked(la_view *view, uint64_t to_version, la_error *err)
{
    la_store *store = view->store;
    la_catalogue *newest, *draft = NULL;
    la_status status = la_store_catalogue(store, &newest, err);
    if (status == LA_OK) {
        status = la_catalogue_copy(newest, &draft, err);
        la_catalogue_release(newest);
    }
    if (status != LA_OK) {
        return status;
    }
    la_view_entry *entry = la_catalogue_view(draft, view->name);
    const la_view_version *version = NULL;
    status = find_target(entry, view->name, to_version, &version, err);
    if (status == LA_OK && version->number != entry->current) {
        entry->current = version->number;
        /* The definition goes back with it: a version is one definition and one cutoff. */
        entry->plan = version->plan;
        memcpy(entry->fingerprint, version->fingerprint, sizeof entry->fingerprint);
        status = la_store_publish(store, draft, err);
        if (status == LA_OK) {
            return LA_OK;
        }
    }
    la_catalogue_release(draft);
    return status;
}

la_status
la_view_rollback(la_view *view, uint64_t to_version, la_error *err)
{
    la_store *store = view->store;
    la_status status = la_store_publish_lock(store, err);
    if (status == LA_OK) {
        status = roll_back_locked(view, to_version, err);
        la_store_publish_unlock(store);
    }
    la_view *same;
    if (status == LA_OK && la_view_open(store, view->name, &same, NULL) != LA_OK) {
        return LA_OK; /* done all the same: the handle shows the definition when next opened */
    }
    return status;
}
