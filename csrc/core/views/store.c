/* SPDX-License-Identifier: Apache-2.0 */
/* A store: a folder of logs, views and one catalogue.
 *
 * Invariants
 *  1. The store document is written last when a store is made: where it is, all folders are.
 *  2. The catalogue in memory is immutable; `mutex` guards only which one is newest.
 *  3. Only the holder of the publish lock writes catalogues or removes view files.
 *
 * Opening never repairs a view: what a crashed run left behind is named by nothing, and is
 * swept by the next run.
 */
#include "views/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"
#include "views/version_list.h"

/* ------------------------------------------------------------------- opening */

static la_status
sub_path(const la_store *store, const char *name, char *path, la_error *err)
{
    return la_path_join(path, LA_PATH_BYTES_MAX, store->path, name, err);
}

static int
is_foreign(void *arg, const char *name)
{
    static const char *const ours[] = {"LOCK", "catalogue", "logs", "views"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0) {
            return 0;
        }
    }
    if (strstr(name, ".store") != NULL) { /* its tmp file, after a crash */
        return 0;
    }
    snprintf(arg, 64, "%.63s", name);
    return 1;
}

/* Makes whatever is missing. Safe to repeat after a crash at any point, and beside another
 * process that does the same. */
static la_status
make_store(la_store *store, la_error *err)
{
    char found[64] = "", path[LA_PATH_BYTES_MAX];
    (void)store->env->io.list(store->env->io.ctx, store->path, is_foreign, found);
    if (found[0] != '\0') {
        la_status status = la_fail(err, LA_INVALID,
                                   "could not make a store in \"%s\": the folder holds "
                                   "\"%s\", which is not of a store",
                                   store->path, found);
        la_error_hint(err, "give an empty or a new folder");
        return status;
    }
    la_status status = la_file_mkdir(store->env, store->path, err);
    static const char *const folders[] = {"catalogue", "logs", "views"};
    for (size_t i = 0; status == LA_OK && i < 3; i++) {
        status = sub_path(store, folders[i], path, err);
        if (status == LA_OK) {
            status = la_file_mkdir(store->env, path, err);
        }
    }
    if (status != LA_OK) {
        return status;
    }
    int rc = store->env->io.random(store->env->io.ctx, store->uuid, sizeof store->uuid);
    if (rc < 0) {
        return la_fail_os(err, -rc, store->path, "could not make a store uuid");
    }
    char hex[33], body[128];
    la_hex(store->uuid, sizeof store->uuid, hex);
    int size = snprintf(body, sizeof body, "{\"created_us\":%lld,\"uuid\":\"%s\"}",
                        (long long)store->env->io.wall_us(store->env->io.ctx), hex);
    la_doc_id id;
    status = la_doc_write(store->env, store->path, LA_DOC_STORE, store->uuid, 1, NULL, body,
                          (size_t)size, &id, err);
    return status == LA_CONFLICT ? LA_OK : status; /* somebody else was faster */
}

static la_status
read_store_document(la_store *store, la_error *err)
{
    la_buf file;
    la_arena arena;
    la_buf_init(&file, store->env);
    la_arena_init(&arena, store->env);
    const char *body = NULL;
    size_t size = 0;
    la_doc_id id;
    const la_json *root = NULL;
    la_status status = la_doc_read(store->env, store->path, LA_DOC_STORE, NULL, 1, NULL,
                                   &file, &body, &size, &id, err);
    if (status == LA_OK) {
        status = la_json_parse(&arena, body, size, &root, err);
    }
    if (status == LA_OK) {
        status = la_json_hex(root, "uuid", store->uuid, sizeof store->uuid, err);
    }
    if (status == LA_OK) {
        status = la_json_i64(root, "created_us", &store->created_us, err);
    }
    la_arena_fini(&arena);
    la_buf_fini(&file);
    return status;
}

static la_status
open_or_make(la_store *store, la_error *err)
{
    uint64_t number = 0;
    la_status status =
        la_doc_newest(store->env, store->path, LA_DOC_STORE, &number, err);
    if (status != LA_OK && status != LA_NOT_FOUND) {
        return status;
    }
    if (status == LA_NOT_FOUND || number == 0) {
        if (store->mode == LA_MODE_READ) {
            status = la_fail(err, LA_NOT_FOUND, "could not open store \"%s\": %s",
                             store->path,
                             status == LA_OK ? "the folder holds no store"
                                             : "there is no such folder");
            la_error_hint(err, "open it with mode \"w\" to make one");
            return status;
        }
        status = make_store(store, err);
        if (status != LA_OK) {
            return status;
        }
    }
    status = read_store_document(store, err);
    return status == LA_OK ? la_catalogue_new(store->env, &store->catalogue, err) : status;
}

la_status
la_store_open(const la_env *env, const char *path, la_mode mode, la_store **out,
              la_error *err)
{
    if (env == NULL) {
        env = la_env_system();
    }
    la_store *store = la_calloc(env, 1, sizeof *store);
    if (store == NULL) {
        return la_fail_nomem(err, sizeof *store);
    }
    store->env = env;
    store->mode = mode;
    store->lock_fd = -1;
    la_mutex_init(&store->mutex);
    la_live_add(LA_LIVE_STORE, 1);
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') {
        size--;
    }
    store->path = la_strndup(env, path, size);
    la_status status =
        store->path == NULL ? la_fail_nomem(err, size) : open_or_make(store, err);
    if (status == LA_OK) {
        la_catalogue *newest;
        status = la_store_catalogue(store, &newest, err); /* refuse a damaged one now */
        if (status == LA_OK) {
            la_catalogue_release(newest);
        }
    }
    if (status != LA_OK) {
        la_store_close(store);
        return status;
    }
    *out = store;
    return LA_OK;
}

static void
close_view(la_view *view)
{
    const la_env *env = view->store->env;
    if (view->cache != NULL) {
        view->cache_free(view->cache);
    }
    la_plan_release(view->plan);
    for (uint32_t i = 0; i < view->retired_count; i++) {
        la_plan_release(view->retired[i]);
    }
    la_dealloc(env, view->retired, view->retired_count * sizeof *view->retired);
    la_mutex_fini(&view->cache_mutex);
    la_strfree(env, view->name);
    la_strfree(env, view->folder);
    la_dealloc(env, view, sizeof *view);
    la_live_add(LA_LIVE_VIEW, -1);
}

void
la_store_close(la_store *store)
{
    if (store == NULL) {
        return;
    }
    for (uint32_t i = 0; i < store->view_count; i++) {
        close_view(store->views[i]);
    }
    for (uint32_t i = 0; i < store->log_count; i++) {
        la_log_close(store->logs[i]);
    }
    if (store->lock_fd >= 0) {
        store->env->io.close(store->env->io.ctx, store->lock_fd);
    }
    const la_env *env = store->env;
    la_dealloc(env, store->views, store->view_capacity * sizeof *store->views);
    la_dealloc(env, store->logs, store->log_capacity * sizeof *store->logs);
    la_catalogue_release(store->catalogue);
    la_mutex_fini(&store->mutex);
    la_strfree(env, store->path);
    la_dealloc(env, store, sizeof *store);
    la_live_add(LA_LIVE_STORE, -1);
}

void
la_text_free(la_store *store, char *text)
{
    la_strfree(store->env, text);
}

/* ---------------------------------------------------------------------- logs */

static bool
grow(const la_env *env, void **items, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity) {
        return true;
    }
    uint32_t wider = *capacity < 8 ? 8 : *capacity * 2;
    void *grown = la_realloc(env, *items, *capacity * sizeof(void *),
                             wider * sizeof(void *));
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wider;
    return true;
}

/* With store->mutex held. */
static la_status
open_log(la_store *store, const char *name, const char *spec, la_log **out, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX], logs[LA_PATH_BYTES_MAX];
    la_status status = sub_path(store, "logs", logs, err);
    if (status == LA_OK) {
        status = la_path_join(folder, sizeof folder, logs, name, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (!grow(store->env, (void **)&store->logs, store->log_count, &store->log_capacity)) {
        return la_fail_nomem(err, sizeof(void *));
    }
    la_log *log;
    status = la_log_open_folder(store->env, folder, name, store->mode, spec, &log, err);
    if (status == LA_OK) {
        store->logs[store->log_count++] = log;
        *out = log;
    }
    return status;
}

static bool
specs_differ(const la_env *env, const char *a, const char *b, char *text, size_t size)
{
    la_arena arena;
    la_arena_init(&arena, env);
    const la_json *x, *y;
    bool differ = la_json_parse(&arena, a, strlen(a), &x, NULL) != LA_OK ||
                  la_json_parse(&arena, b, strlen(b), &y, NULL) != LA_OK ||
                  la_json_difference(x, y, text, size);
    la_arena_fini(&arena);
    return differ;
}

la_status
la_log_open(la_store *store, const char *name, const char *spec, la_log **out,
            la_error *err)
{
    if (!la_name_is_valid(name)) {
        return la_fail(err, LA_INVALID,
                       "\"%.*s\" cannot name a log: letters, digits, '_', '.', '-', at most "
                       "%u bytes, beginning with a letter, digit or '_'",
                       128, name, LA_NAME_BYTES_MAX);
    }
    la_mutex_lock(&store->mutex);
    la_status status = LA_OK;
    la_log *log = NULL;
    for (uint32_t i = 0; i < store->log_count && log == NULL; i++) {
        if (strcmp(la_log_name(store->logs[i]), name) == 0) {
            log = store->logs[i];
        }
    }
    char difference[200] = "";
    if (log == NULL) {
        status = open_log(store, name, spec, &log, err);
    }
    else if (spec != NULL && specs_differ(store->env, la_log_spec(log), spec, difference,
                                          sizeof difference)) {
        status = la_fail(err, LA_CONFLICT,
                         "log \"%s\" exists with another definition: %s", name, difference);
    }
    la_mutex_unlock(&store->mutex);
    if (status == LA_OK) {
        *out = log;
    }
    return status;
}

la_status
la_store_log(la_store *store, const char *name, la_log **out, la_error *err)
{
    return la_log_open(store, name, NULL, out, err);
}

typedef struct find_context {
    la_store *store;
} find_context;

static la_status
find_log(void *ctx, const char *name, const la_schema **schema, int32_t *time_column,
         la_error *err)
{
    la_log *log;
    la_status status = la_store_log(((find_context *)ctx)->store, name, &log, err);
    if (status == LA_OK) {
        *schema = la_log_schema(log);
        *time_column = la_log_time_column(log);
    }
    return status;
}

la_status
la_store_plan(la_store *store, const char *json, la_plan **out, la_error *err)
{
    find_context context = {store};
    la_plan_source source = {&context, find_log};
    return la_plan_parse(store->env, json, strlen(json), &source, out, err);
}

/* ----------------------------------------------------------------- catalogue */

la_status
la_store_catalogue(la_store *store, la_catalogue **out, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = sub_path(store, "catalogue", folder, err);
    if (status != LA_OK) {
        return status;
    }
    for (;;) {
        uint64_t number = 0;
        status = la_doc_newest(store->env, folder, LA_DOC_CATALOGUE, &number, err);
        if (status != LA_OK) {
            return status;
        }
        la_mutex_lock(&store->mutex);
        if (store->catalogue->id.number >= number) {
            *out = la_catalogue_retain(store->catalogue);
            la_mutex_unlock(&store->mutex);
            return LA_OK;
        }
        la_mutex_unlock(&store->mutex);
        la_catalogue *newest;
        status = la_catalogue_read(store->env, folder, store->uuid, number, &newest, err);
        if (status == LA_NOT_FOUND) {
            continue; /* pruned between listing and reading: there is a newer one */
        }
        if (status != LA_OK) {
            return status;
        }
        la_mutex_lock(&store->mutex);
        if (newest->id.number > store->catalogue->id.number) {
            la_catalogue *old = store->catalogue;
            store->catalogue = newest;
            newest = old;
        }
        la_mutex_unlock(&store->mutex);
        la_catalogue_release(newest);
    }
}

la_status
la_store_publish_lock(la_store *store, la_error *err)
{
    if (store->mode == LA_MODE_READ) {
        return la_fail(err, LA_READONLY,
                       "could not change store \"%s\": it was opened for reading",
                       store->path);
    }
    char path[LA_PATH_BYTES_MAX];
    la_status status = sub_path(store, "LOCK", path, err);
    if (status != LA_OK) {
        return status;
    }
    la_mutex_lock(&store->mutex);
    bool here = store->publishing;
    store->publishing = true;
    la_mutex_unlock(&store->mutex);
    if (here) {
        return la_fail(err, LA_BUSY,
                       "could not publish in store \"%s\": another job of this process is "
                       "doing so",
                       store->path);
    }
    const la_io *io = &store->env->io;
    int fd = io->open(io->ctx, path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) {
        status = la_fail_os(err, -fd, path, "could not open the publish lock \"%s\"", path);
    }
    else {
        int rc = io->lock(io->ctx, fd, true);
        if (rc == -EAGAIN || rc == -EACCES) {
            status = la_fail(err, LA_BUSY,
                             "could not publish in store \"%s\": another process holds the "
                             "publish lock",
                             store->path);
            la_error_hint(err, "a batch run or definition is under way there: try again "
                               "when it is done");
            if (err != NULL) {
                err->retriable = true;
            }
        }
        else if (rc < 0) {
            status = la_fail_os(err, -rc, path, "could not lock \"%s\"", path);
        }
        if (status != LA_OK) {
            io->close(io->ctx, fd);
        }
    }
    la_mutex_lock(&store->mutex);
    store->publishing = status == LA_OK;
    store->lock_fd = status == LA_OK ? fd : -1;
    la_mutex_unlock(&store->mutex);
    return status;
}

void
la_store_publish_unlock(la_store *store)
{
    la_mutex_lock(&store->mutex);
    if (store->lock_fd >= 0) {
        store->env->io.close(store->env->io.ctx, store->lock_fd);
        store->lock_fd = -1;
    }
    store->publishing = false;
    la_mutex_unlock(&store->mutex);
}

la_status
la_store_publish(la_store *store, la_catalogue *draft, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = sub_path(store, "catalogue", folder, err);
    if (status != LA_OK) {
        return status;
    }
    la_mutex_lock(&store->mutex);
    la_catalogue *previous = la_catalogue_retain(store->catalogue);
    la_mutex_unlock(&store->mutex);
    status = la_catalogue_write(draft, folder, store->uuid, previous, err);
    la_catalogue_release(previous);
    if (status != LA_OK) {
        return status;
    }
    la_mutex_lock(&store->mutex);
    la_catalogue *old = store->catalogue;
    store->catalogue = draft;
    la_mutex_unlock(&store->mutex);
    la_catalogue_release(old);
    la_doc_prune(store->env, folder, LA_DOC_CATALOGUE, draft->id.number, LA_DOCUMENTS_KEPT);
    return LA_OK;
}

/* --------------------------------------------------------------------- sweep */

typedef struct sweep_names {
    la_buf text; /* names, each with its NUL */
} sweep_names;

static int
collect_name(void *arg, const char *name)
{
    la_buf_put(&((sweep_names *)arg)->text, name, strlen(name) + 1);
    return 0;
}

static bool
list_names(const la_version_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->partition_count; i++) {
        if (strcmp(list->partitions[i].base.name, name) == 0) {
            return true;
        }
    }
    for (uint32_t i = 0; i < list->delta_count; i++) {
        if (strcmp(list->deltas[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void
la_store_sweep(la_store *store, const char *view_name)
{
    char views[LA_PATH_BYTES_MAX], folder[LA_PATH_BYTES_MAX], path[LA_PATH_BYTES_MAX];
    la_catalogue *catalogue = NULL;
    la_version_list lists[LA_VERSIONS_KEPT + 1];
    uint32_t list_count = 0;
    sweep_names names = {{.env = store->env}};
    bool known = sub_path(store, "views", views, NULL) == LA_OK &&
                 la_path_join(folder, sizeof folder, views, view_name, NULL) == LA_OK &&
                 la_store_catalogue(store, &catalogue, NULL) == LA_OK;
    const la_view_entry *view = known ? la_catalogue_view(catalogue, view_name) : NULL;
    known = view != NULL && view->version_count <= LA_VERSIONS_KEPT + 1;
    for (uint32_t i = 0; known && i < view->version_count; i++) {
        known = la_version_list_read(store->env, folder, store->uuid,
                                     &view->versions[i].list, &lists[list_count],
                                     NULL) == LA_OK;
        list_count += known;
    }
    /* Only with every kept version known is it certain that a file is named by none. */
    if (known &&
        store->env->io.list(store->env->io.ctx, folder, collect_name, &names) >= 0 &&
        !names.text.failed) {
        const char *name = (const char *)names.text.data;
        const char *end = name + names.text.size;
        for (; name < end; name += strlen(name) + 1) {
            bool kept = false;
            char own[LA_PATH_BYTES_MAX];
            for (uint32_t i = 0; i < list_count && !kept; i++) {
                la_doc_path(own, sizeof own, folder, LA_DOC_VERSION,
                            view->versions[i].number);
                kept = strcmp(own + strlen(folder) + 1, name) == 0 ||
                       list_names(&lists[i], name);
            }
            if (!kept && la_path_join(path, sizeof path, folder, name, NULL) == LA_OK) {
                (void)store->env->io.unlink(store->env->io.ctx, path);
            }
        }
    }
    for (uint32_t i = 0; i < list_count; i++) {
        la_version_list_fini(&lists[i]);
    }
    la_buf_fini(&names.text);
    la_catalogue_release(catalogue);
}
