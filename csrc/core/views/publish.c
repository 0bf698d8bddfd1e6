/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: which catalogue is newest, who may write the next, and what nobody needs after.
 *
 *   lock ──> copy the newest ──> change the copy ──> write it as number + 1 ──> sweep ──> unlock
 *
 * Invariants
 *  1. The catalogue in memory is immutable; store->mutex guards only which one is newest.
 *  2. Only the holder of the publish lock writes catalogues or removes view files.
 *  3. A file is removed only when a catalogue that does not need it is durable.
 */
#include "views/publish.h"

#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/file.h"
#include "views/version_list.h"

#define LOCK_ATTEMPTS 8u

static la_status
catalogue_folder(const la_store *store, char path[LA_PATH_BYTES_MAX], la_error *err)
{
    return la_path_join(path, LA_PATH_BYTES_MAX, store->path, "catalogue", err);
}

/* ------------------------------------------------------------------- reading */

/* Installs `newest` unless somebody was faster; takes the reference. */
static void
install(la_store *store, la_catalogue *newest)
{
    la_mutex_lock(&store->mutex);
    if (newest->id.number > store->catalogue->id.number) {
        la_catalogue *old = store->catalogue;
        store->catalogue = newest;
        newest = old;
    }
    la_mutex_unlock(&store->mutex);
    la_catalogue_release(newest);
}

/* The one in memory, when it is at least `number`. */
static la_catalogue *
known_catalogue(la_store *store, uint64_t number)
{
    la_mutex_lock(&store->mutex);
    la_catalogue *known = store->catalogue->id.number >= number
                              ? la_catalogue_retain(store->catalogue)
                              : NULL;
    la_mutex_unlock(&store->mutex);
    return known;
}

la_status
la_store_catalogue(la_store *store, la_catalogue **out, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = catalogue_folder(store, folder, err);
    uint64_t missing = 0;
    while (status == LA_OK) {
        uint64_t number = 0;
        status = la_doc_newest(store->env, folder, LA_DOC_CATALOGUE, &number, err);
        if (status != LA_OK) {
            break;
        }
        la_catalogue *known = known_catalogue(store, number);
        if (known != NULL) {
            *out = known;
            return LA_OK;
        }
        la_catalogue *newest;
        status =
            la_catalogue_read(store->env, folder, store->uuid, number, &newest, err);
        if (status == LA_OK) {
            install(store, newest);
        }
        else if (status == LA_NOT_FOUND && number != missing) {
            missing =
                number; /* pruned between listing and reading: there is a newer one */
            status = LA_OK;
        }
        else if (status == LA_NOT_FOUND) {
            status =
                la_fail_damaged(err, folder, 0,
                                "could not read catalogue %llu: its name is there, the "
                                "file is not",
                                (unsigned long long)number);
        }
    }
    return status;
}

bool
la_store_keeps(la_store *store, const char *view_name, uint64_t version)
{
    la_catalogue *newest;
    if (la_store_catalogue(store, &newest, NULL) != LA_OK) {
        return true;
    }
    const la_view_entry *entry = la_catalogue_view(newest, view_name);
    bool keeps = entry != NULL && la_view_entry_version(entry, version) != NULL;
    la_catalogue_release(newest);
    return keeps;
}

/* -------------------------------------------------------------- publish lock */

static la_status
fail_busy(const la_store *store, const char *who, la_error *err)
{
    la_status status = la_fail(err, LA_BUSY, "could not publish in store \"%s\": %s",
                               store->path, who);
    la_error_hint(err,
                  "a batch run or definition is under way there: try again when it is "
                  "done");
    if (err != NULL) {
        err->retriable = true;
    }
    return status;
}

/* 1: locked and still the file of that name; 0: look again; < 0: a negated errno. */
static int
try_lock(const la_store *store, const char *path, int *fd)
{
    const la_io *io = &store->env->io;
    *fd = io->open(io->ctx, path, O_RDWR | O_CREAT, 0600);
    if (*fd < 0) {
        return *fd;
    }
    int rc = io->lock(io->ctx, *fd, true);
    if (rc >= 0) {
        rc = io->same_file(io->ctx, *fd, path); /* deleted before we had the lock? */
    }
    if (rc != 1) {
        io->close(io->ctx, *fd);
    }
    return rc;
}

la_status
la_store_lock_file(const la_store *store, int *fd, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(path, sizeof path, store->path, "LOCK", err);
    if (status != LA_OK) {
        return status;
    }
    int rc = 0;
    for (uint32_t i = 0; i < LOCK_ATTEMPTS && rc == 0; i++) {
        rc = try_lock(store, path, fd);
    }
    if (rc == 1) {
        return LA_OK;
    }
    return rc == 0 || rc == -EAGAIN
               ? fail_busy(store, "another process holds the publish lock", err)
               : la_fail_os(err, -rc, path, "could not lock \"%s\"", path);
}

la_status
la_store_publish_lock(la_store *store, la_error *err)
{
    if (store->mode == LA_MODE_READ) {
        return la_fail(err, LA_READONLY,
                       "could not change store \"%s\": it was opened for reading",
                       store->path);
    }
    la_mutex_lock(&store->mutex);
    bool here = store->publishing;
    store->publishing = true;
    la_mutex_unlock(&store->mutex);
    if (here) {
        return fail_busy(store, "another job of this process is doing so", err);
    }
    int fd = -1;
    la_status status = la_store_lock_file(store, &fd, err);
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

/* The lock still keeps others out: its file is the one that they would open. */
static la_status
check_lock(const la_store *store, la_error *err)
{
    char path[LA_PATH_BYTES_MAX];
    la_status status = la_path_join(path, sizeof path, store->path, "LOCK", err);
    if (status != LA_OK) {
        return status;
    }
    int rc = store->env->io.same_file(store->env->io.ctx, store->lock_fd, path);
    return rc == 1   ? LA_OK
           : rc == 0 ? fail_busy(store, "somebody removed its lock file", err)
                     : la_fail_os(err, -rc, path, "could not look at \"%s\"", path);
}

/* ---------------------------------------------------------------- publishing */

la_status
la_store_publish(la_store *store, la_catalogue *draft, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_status status = catalogue_folder(store, folder, err);
    if (status == LA_OK) {
        status = check_lock(store, err);
    }
    if (status == LA_OK) {
        status = la_catalogue_write(draft, folder, store->uuid, err);
    }
    if (status != LA_OK) {
        return status;
    }
    uint64_t number = draft->id.number;
    install(store,
            draft); /* a query may have read the file already: the draft may be gone */
    la_doc_prune(store->env, folder, LA_DOC_CATALOGUE, number, LA_DOCUMENTS_KEPT);
    return LA_OK;
}

/* --------------------------------------------------------------------- sweep */

/* What a sweep knows: the kept versions of one view and their files. */
typedef struct sweep {
    la_store *store;
    char folder[LA_PATH_BYTES_MAX];
    la_catalogue *catalogue;
    const la_view_entry *view;
    la_version_list lists[LA_VERSIONS_KEPT + 1];
    uint32_t list_count;
} sweep;

static void
sweep_fini(sweep *s)
{
    for (uint32_t i = 0; i < s->list_count; i++) {
        la_version_list_fini(&s->lists[i]);
    }
    la_catalogue_release(s->catalogue);
}

/* Only with every kept version known, and the catalogue that keeps no others durable, is it
 * certain that a file is named by none. */
static bool
sweep_init(sweep *s, la_store *store, const char *view_name)
{
    char catalogues[LA_PATH_BYTES_MAX];
    const la_io *io = &store->env->io;
    s->store = store;
    s->catalogue = NULL;
    s->list_count = 0;
    if (la_store_view_folder(store, view_name, s->folder, NULL) != LA_OK ||
        la_store_catalogue(store, &s->catalogue, NULL) != LA_OK ||
        catalogue_folder(store, catalogues, NULL) != LA_OK ||
        io->sync_dir(io->ctx, catalogues) < 0) {
        return false;
    }
    s->view = la_catalogue_view(s->catalogue, view_name);
    if (s->view == NULL || s->view->version_count > LA_VERSIONS_KEPT + 1) {
        return false;
    }
    for (; s->list_count < s->view->version_count; s->list_count++) {
        if (la_version_list_read(store->env, s->folder, store->uuid,
                                 &s->view->versions[s->list_count].list,
                                 &s->lists[s->list_count], NULL) != LA_OK) {
            return false;
        }
    }
    return true;
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

static bool
sweep_keeps(const sweep *s, const char *name)
{
    for (uint32_t i = 0; i < s->list_count; i++) {
        char own[LA_PATH_BYTES_MAX];
        la_doc_path(own, sizeof own, "", LA_DOC_VERSION, s->view->versions[i].number);
        if (strcmp(own, name) == 0 || list_names(&s->lists[i], name)) {
            return true;
        }
    }
    return false;
}

static int
collect_name(void *arg, const char *name)
{
    la_buf_put(arg, name, strlen(name) + 1);
    return 0;
}

void
la_store_sweep(la_store *store, const char *view_name)
{
    const la_env *env = store->env;
    sweep *s = la_alloc(env, sizeof *s);
    if (s == NULL) {
        return; /* the next run will do it */
    }
    la_buf names;
    la_buf_init(&names, env);
    if (sweep_init(s, store, view_name) &&
        env->io.list(env->io.ctx, s->folder, collect_name, &names) >= 0 &&
        !names.failed) {
        const char *name = (const char *)names.data, *end = name + names.size;
        for (; name < end; name += strlen(name) + 1) {
            char path[LA_PATH_BYTES_MAX];
            if (!sweep_keeps(s, name) &&
                la_path_join(path, sizeof path, s->folder, name, NULL) == LA_OK) {
                (void)env->io.unlink(env->io.ctx, path);
            }
        }
    }
    sweep_fini(s);
    la_buf_fini(&names);
    la_dealloc(env, s, sizeof *s);
}
