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

static la_view *
new_handle(la_store *store, const char *name)
{
    const la_env *env = store->env;
    la_view *view = la_calloc(env, 1, sizeof *view);
    if (view == NULL) {
        return NULL;
    }
    size_t size = strlen(store->path) + strlen(name) + sizeof "/views/";
    char folder[LA_PATH_BYTES_MAX];
    view->name = la_strdup(env, name);
    if (size <= sizeof folder) {
        snprintf(folder, sizeof folder, "%s/views/%s", store->path, name);
        view->folder = la_strdup(env, folder);
    }
    if (view->name == NULL || view->folder == NULL) {
        la_strfree(env, view->name);
        la_strfree(env, view->folder);
        la_dealloc(env, view, sizeof *view);
        return NULL;
    }
    view->store = store;
    la_mutex_init(&view->cache_mutex);
    la_live_add(LA_LIVE_VIEW, 1);
    return view;
}

/* With store->mutex held: the handle of `name`, holding `plan` (retained). */
static la_status
install_locked(la_store *store, const char *name, la_plan *plan, la_view **out,
               la_error *err)
{
    const la_env *env = store->env;
    la_view *view = find_handle(store, name);
    if (view != NULL) {
        if (memcmp(view->plan->fingerprint, plan->fingerprint, 32) != 0) {
            la_plan **retired =
                la_realloc(env, view->retired, view->retired_count * sizeof *retired,
                           (view->retired_count + 1) * sizeof *retired);
            if (retired == NULL) {
                return la_fail_nomem(err, sizeof *retired);
            }
            view->retired = retired;
            retired[view->retired_count++] = view->plan;
            view->plan = la_plan_retain(plan);
        }
        *out = view;
        return LA_OK;
    }
    if (store->view_count == store->view_capacity) {
        uint32_t wider = store->view_capacity < 8 ? 8 : store->view_capacity * 2;
        la_view **grown = la_realloc(env, store->views, store->view_capacity * sizeof *grown,
                                     wider * sizeof *grown);
        if (grown == NULL) {
            return la_fail_nomem(err, wider * sizeof *grown);
        }
        store->views = grown;
        store->view_capacity = wider;
    }
    view = new_handle(store, name);
    if (view == NULL) {
        return la_fail_nomem(err, sizeof *view);
    }
    view->plan = la_plan_retain(plan);
    store->views[store->view_count++] = view;
    *out = view;
    return LA_OK;
}

static la_status
install(la_store *store, const char *name, la_plan *plan, la_view **out, la_error *err)
{
    la_mutex_lock(&store->mutex);
    la_status status = install_locked(store, name, plan, out, err);
    la_mutex_unlock(&store->mutex);
    return status;
}

static la_status
fail_unknown_view(const la_catalogue *catalogue, const char *name, la_error *err)
{
    char known[200] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < catalogue->view_count && used < sizeof known - 1; i++) {
        int n = snprintf(known + used, sizeof known - used, "%s\"%s\"", i == 0 ? "" : ", ",
                         catalogue->views[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    return la_fail(err, LA_NOT_FOUND, "there is no view \"%.128s\"; the store has %s", name,
                   catalogue->view_count == 0 ? "none" : known);
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
        la_json_parse(&arena, plan->canonical, plan->canonical_size, &new, NULL) == LA_OK) {
        (void)la_json_difference(old, new, difference, sizeof difference);
    }
    la_arena_fini(&arena);
    la_status status = la_fail(err, LA_CONFLICT,
                               "view \"%s\" exists with another definition: %s",
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
put_definition(la_store *store, la_catalogue *draft, const char *name, const la_plan *plan,
               la_error *err)
{
    la_view_entry *entry = la_catalogue_view(draft, name);
    if (entry == NULL) {
        entry = la_catalogue_add_view(draft);
        if (entry == NULL) {
            return la_fail_nomem(err, sizeof *entry);
        }
        entry->name = la_arena_strndup(&draft->arena, name, strlen(name));
        entry->created_us = store->env->io.wall_us(store->env->io.ctx);
        entry->next_version = 1;
    }
    entry->plan = la_arena_strndup(&draft->arena, plan->canonical, plan->canonical_size);
    memcpy(entry->fingerprint, plan->fingerprint, sizeof entry->fingerprint);
    return entry->name != NULL && entry->plan != NULL
               ? LA_OK
               : la_fail_nomem(err, plan->canonical_size);
}

static la_status
make_view_folder(la_store *store, const char *name, la_error *err)
{
    char views[LA_PATH_BYTES_MAX], folder[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(views, sizeof views, store->path, "views", err);
    if (status == LA_OK) {
        status = la_path_join(folder, sizeof folder, views, name, err);
    }
    return status == LA_OK ? la_file_mkdir(store->env, folder, err) : status;
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
        status = make_view_folder(store, name, err);
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

la_status
la_view_define(la_store *store, const char *name, const char *plan_json, bool replace,
               la_view **out, la_error *err)
{
    if (!la_name_is_valid(name)) {
        return la_fail(err, LA_INVALID,
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
        const la_view_entry *entry = la_catalogue_view(catalogue, name);
        if (entry == NULL || !same_plan(entry, plan)) {
            if (entry != NULL && !replace) {
                status = fail_redefined(store->env, entry, plan, err);
            }
            else {
                status = la_store_publish_lock(store, err);
                if (status == LA_OK) {
                    status = define_locked(store, name, plan, replace, err);
                    la_store_publish_unlock(store);
                }
            }
        }
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
    la_view_version *version = NULL;
    if (entry != NULL && to_version != 0) {
        version = la_view_entry_version(entry, to_version);
    }
    else if (entry != NULL) { /* the newest one before the current */
        for (uint32_t i = 0; i < entry->version_count; i++) {
            if (entry->versions[i].number < entry->current) {
                version = &entry->versions[i];
            }
        }
    }
    if (version == NULL) {
        status = to_version != 0
                     ? la_fail(err, LA_NOT_FOUND,
                               "could not roll back view \"%s\": version %llu is not kept",
                               view->name, (unsigned long long)to_version)
                     : la_fail(err, LA_NOT_FOUND,
                               "could not roll back view \"%s\": there is no older version",
                               view->name);
        la_error_hint(err, "view.versions lists the kept ones");
    }
    else if (version->number != entry->current) {
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
    la_status status = la_store_publish_lock(view->store, err);
    if (status == LA_OK) {
        status = roll_back_locked(view, to_version, err);
        la_store_publish_unlock(view->store);
    }
    return status;
}
