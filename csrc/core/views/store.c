/* SPDX-License-Identifier: Apache-2.0 */
/* A store: a folder of logs, views and one catalogue. This file opens, makes and closes it and
 * finds its logs; publish.c changes what it shows.
 *
 * Invariants
 *  1. The store document is written last when a store is made: where it is, all folders are,
 *     and where it is not, all folders are empty.
 *  2. One process at a time makes a store, under the lock that publishers take later.
 *
 * Opening never repairs a view: what a crashed run left behind is named by nothing, and is
 * swept by the next run.
 */
#include "views/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"
#include "log/spec.h"
#include "views/publish.h"

/* -------------------------------------------------------------------- making */

/* "<20 digits>.store" or its tmp file, which a crash may leave. */
static bool
is_store_document(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits == 20 &&
           (strcmp(name + 20, ".store") == 0 || strcmp(name + 20, ".store.tmp") == 0);
}

static int
find_foreign(void *arg, const char *name)
{
    static const char *const ours[] = {"LOCK", "catalogue", "logs", "views"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strcmp(name, ours[i]) == 0) {
            return 0;
        }
    }
    if (is_store_document(name)) {
        return 0;
    }
    snprintf(arg, 64, "%.63s", name);
    return 1;
}

static la_status
refuse_foreign(const la_store *store, la_error *err)
{
    char found[64] = "";
    int rc = store->env->io.list(store->env->io.ctx, store->path, find_foreign, found);
    if (rc < 0 && rc != -ENOENT) {
        return la_fail_os(err, -rc, store->path, "could not list \"%s\"", store->path);
    }
    if (found[0] == '\0') {
        return LA_OK;
    }
    la_status status =
        la_fail(err, LA_INVALID,
                "could not make a store in \"%s\": the folder holds \"%s\", "
                "which is not of a store",
                store->path, found);
    la_error_hint(err, "give an empty or a new folder");
    return status;
}

static int
note_any(void *arg, const char *name)
{
    (void)name;
    *(bool *)arg = true;
    return 1;
}

/* Makes folder `name`. One that holds something belongs to a store whose document is lost
 * (invariant 1): a new one would take its logs for another store's. */
static la_status
make_folder(const la_store *store, const char *name, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(path, sizeof path, store->path, name, err);
    if (status == LA_OK) {
        status = la_file_mkdir(store->env, path, err);
    }
    if (status != LA_OK) {
        return status;
    }
    bool any = false;
    int rc = store->env->io.list(store->env->io.ctx, path, note_any, &any);
    if (rc < 0) {
        return la_fail_os(err, -rc, path, "could not list \"%s\"", path);
    }
    if (any) {
        return la_fail_damaged(
            err, store->path, 0,
            "could not open store \"%s\": its document is missing, but "
            "\"%s\" is not empty",
            store->path, name);
    }
    return LA_OK;
}

static la_status
write_store_document(la_store *store, la_error *err)
{
    const la_io *io = &store->env->io;
    int rc = io->random(io->ctx, store->uuid, sizeof store->uuid);
    if (rc < 0) {
        return la_fail_os(err, -rc, store->path, "could not make a store uuid");
    }
    char hex[33], body[128];
    la_hex(store->uuid, sizeof store->uuid, hex);
    int size = snprintf(body, sizeof body, "{\"created_us\":%lld,\"uuid\":\"%s\"}",
                        (long long)io->wall_us(io->ctx), hex);
    return la_doc_write(store->env, store->path, LA_DOC_STORE, store->uuid, 1, NULL,
                        body, (size_t)size, NULL, err);
}

/* Makes whatever is missing. Safe to repeat after a crash at any point. */
static la_status
make_locked(la_store *store, la_error *err)
{
    uint64_t number = 0;
    la_status status =
        la_doc_newest(store->env, store->path, LA_DOC_STORE, &number, err);
    if (status != LA_OK || number != 0) {
        return status; /* somebody else was faster */
    }
    static const char *const folders[] = {"catalogue", "logs", "views"};
    for (size_t i = 0; status == LA_OK && i < 3; i++) {
        status = make_folder(store, folders[i], err);
    }
    return status == LA_OK ? write_store_document(store, err) : status;
}

static la_status
make_store(la_store *store, la_error *err)
{
    la_status status = refuse_foreign(store, err);
    if (status == LA_OK) {
        status = la_file_mkdir(store->env, store->path, err);
    }
    int fd = -1;
    if (status == LA_OK) {
        status = la_store_lock_file(store, &fd, err);
    }
    if (status == LA_OK) {
        status = make_locked(store, err);
        store->env->io.close(store->env->io.ctx, fd);
    }
    return status;
}

/* ------------------------------------------------------------------- opening */

static la_status
parse_store_document(la_store *store, const uint8_t *header, const char *body,
                     size_t size, la_error *err)
{
    la_arena arena;
    la_arena_init(&arena, store->env);
    const la_json *root = NULL;
    la_status status = la_json_parse(&arena, body, size, &root, err);
    if (status == LA_OK) {
        status = la_json_hex(root, "uuid", store->uuid, sizeof store->uuid, err);
    }
    if (status == LA_OK) {
        status = la_json_i64(root, "created_us", &store->created_us, err);
    }
    if (status == LA_OK && memcmp(header + 16, store->uuid, sizeof store->uuid) != 0) {
        status = la_fail(err, LA_INVALID, "header and body have different uuids");
    }
    la_arena_fini(&arena);
    return status;
}

static la_status
read_store_document(la_store *store, la_error *err)
{
    la_buf file;
    la_buf_init(&file, store->env);
    const char *body = NULL;
    size_t size = 0;
    la_status status = la_doc_read(store->env, store->path, LA_DOC_STORE, NULL, 1, NULL,
                                   &file, &body, &size, NULL, err);
    if (status == LA_OK) {
        la_error cause = {0};
        status = parse_store_document(store, file.data, body, size, &cause);
        if (status == LA_INVALID) { /* the hash was right: written by a faulty writer */
            char path[LA_PATH_BYTES_MAX];
            la_doc_path(path, sizeof path, store->path, LA_DOC_STORE, 1);
            status = la_fail_damaged(
                err, path, 96, "could not read the store document: %s", cause.message);
        }
        else if (status != LA_OK && err != NULL) {
            *err = cause;
        }
    }
    la_buf_fini(&file);
    return status;
}

/* Whoever made the store, or published last, may have been killed before the name was durable:
 * what is written from now on must not outlive it. */
static la_status
settle_names(const la_store *store, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status =
        la_path_join(folder, sizeof folder, store->path, "catalogue", err);
    if (status != LA_OK || store->mode == LA_MODE_READ) {
        return status;
    }
    const la_io *io = &store->env->io;
    int rc = io->sync_dir(io->ctx, store->path);
    rc = rc < 0 ? rc : io->sync_dir(io->ctx, folder);
    return rc < 0 ? la_fail_os(err, -rc, store->path,
                               "could not sync the folders of \"%s\"", store->path)
                  : LA_OK;
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
    if (status == LA_OK) {
        status = settle_names(store, err);
    }
    return status == LA_OK ? la_catalogue_new(store->env, &store->catalogue, err)
                           : status;
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
    la_mutex_init(&store->log_mutex);
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
    la_mutex_fini(&store->log_mutex);
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
    void *grown =
        la_realloc(env, *items, *capacity * sizeof(void *), wider * sizeof(void *));
    if (grown == NULL) {
        return false;
    }
    *items = grown;
    *capacity = wider;
    return true;
}

/* With store->log_mutex held. */
static la_status
open_log(la_store *store, const char *name, const char *spec, la_log **out,
         la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(folder, sizeof folder, store->path, "logs", err);
    if (status == LA_OK) {
        status = la_path_join(folder, sizeof folder, folder, name, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (!grow(store->env, (void **)&store->logs, store->log_count,
              &store->log_capacity)) {
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

/* LA_CONFLICT where `spec` means another log than `log`. */
static la_status
check_spec(const la_env *env, const la_log *log, const char *spec, la_error *err)
{
    la_log_def given = {0};
    la_status status = la_log_def_parse(env, spec, &given, err);
    if (status == LA_OK) {
        status = la_log_def_same(env, la_log_name(log), la_log_spec(log),
                                 given.canonical, err);
        la_log_def_fini(&given);
    }
    return status;
}

la_status
la_log_open(la_store *store, const char *name, const char *spec, la_log **out,
            la_error *err)
{
    if (!la_name_is_valid(name)) {
        return la_fail(
            err, LA_INVALID,
            "\"%.*s\" cannot name a log: letters, digits, '_', '.', '-', at most "
            "%u bytes, beginning with a letter, digit or '_'",
            128, name, LA_NAME_BYTES_MAX);
    }
    la_mutex_lock(&store->log_mutex);
    la_status status = LA_OK;
    la_log *log = NULL;
    for (uint32_t i = 0; i < store->log_count && log == NULL; i++) {
        if (strcmp(la_log_name(store->logs[i]), name) == 0) {
            log = store->logs[i];
        }
    }
    if (log == NULL) {
        status = open_log(store, name, spec, &log, err);
    }
    else if (spec != NULL) {
        status = check_spec(store->env, log, spec, err);
    }
    la_mutex_unlock(&store->log_mutex);
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

/* ----------------------------------------------------------------- log names */

static int
collect_valid_name(void *arg, const char *name)
{
    if (la_name_is_valid(name)) { /* other files are nobody's business */
        la_buf_put(arg, name, strlen(name) + 1);
    }
    return 0;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the names in `found`, each with its NUL, to `names` in order. */
static la_status
sort_names(const la_env *env, const la_buf *found, la_buf *names, la_error *err)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < found->size; i++) {
        count += found->data[i] == 0;
    }
    const char **sorted = la_calloc(env, count + 1, sizeof *sorted);
    if (sorted == NULL) {
        return la_fail_nomem(err, count * sizeof *sorted);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (const char *)found->data + at;
        at += strlen(sorted[i]) + 1;
    }
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) {
        la_buf_put(names, sorted[i], strlen(sorted[i]) + 1);
    }
    la_dealloc(env, sorted, (count + 1) * sizeof *sorted);
    return names->failed ? la_fail_nomem(err, found->size) : LA_OK;
}

la_status
la_store_log_names(la_store *store, la_buf *names, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(folder, sizeof folder, store->path, "logs", err);
    if (status != LA_OK) {
        return status;
    }
    la_buf found;
    la_buf_init(&found, store->env);
    int rc =
        store->env->io.list(store->env->io.ctx, folder, collect_valid_name, &found);
    status = rc < 0 ? la_fail_os(err, -rc, folder, "could not list \"%s\"", folder)
             : found.failed ? la_fail_nomem(err, found.size)
                            : sort_names(store->env, &found, names, err);
    la_buf_fini(&found);
    return status;
}

la_status
la_store_view_folder(const la_store *store, const char *name,
                     char path[LA_PATH_BYTES_MAX], la_error *err)
{
    la_status status = la_path_join(path, LA_PATH_BYTES_MAX, store->path, "views", err);
    return status == LA_OK ? la_path_join(path, LA_PATH_BYTES_MAX, path, name, err)
                           : status;
}
