/* SPDX-License-Identifier: Apache-2.0 */
/* Log handles: making and opening a log, and what is known about it without reading
 * rows.
 *
 *   absent --open with a spec: folders, manifest 1--> there --open--> follower
 *   follower --first append or seal: lock, recover, epoch + 1--> writer
 *   any --failed sync or manifest--> dead: every call LA_CLOSED until closed
 *
 * Invariants
 *  1. A log exists iff its manifest 1 was published; folders without one are nothing
 *     yet.
 *  2. A handle of another process (fork) does nothing: its lock and buffers are not its
 *     own.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"
#include "log/state.h"

la_status
la_log_alive_locked(la_log *log, la_error *err)
{
    if (log->pid != (int64_t)getpid()) {
        la_status status =
            la_fail(err, LA_CLOSED,
                    "could not use log \"%s\": its handle was opened before "
                    "a fork",
                    log->name);
        la_error_hint(err, "open the store again in the child process");
        return status;
    }
    if (log->dead) {
        la_status status = la_fail(
            err, LA_CLOSED, "could not use log \"%s\": its handle failed earlier: %s",
            log->name, log->death.message);
        la_error_hint(err,
                      "close the store and open it again; the log then tells which "
                      "rows are there");
        return status;
    }
    return LA_OK;
}

la_status
la_log_alive(la_log *log, la_error *err)
{
    la_status status;

    la_mutex_lock(&log->state);
    status = la_log_alive_locked(log, err);
    la_mutex_unlock(&log->state);
    return status;
}

void
la_log_die(la_log *log, const la_error *err)
{
    if (!log->dead) {
        log->dead = true;
        log->death = *err;
    }
}

/* -------------------------------------------------------------------- making */

static la_status
make_folders(const la_env *env, const char *folder, la_error *err)
{
    static const char *const names[] = {"", "manifest", "pages", "segments",
                                        "quarantine"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[LA_PATH_BYTES_MAX];
        la_status status = LA_OK;

        if (i == 0) {
            status = la_file_mkdir(env, folder, err);
        }
        else {
            status = la_path_join(path, sizeof path, folder, names[i], err);
            if (status == LA_OK) {
                status = la_file_mkdir(env, path, err);
            }
        }
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

/* LA_OK also where another process made it first; the caller reads what is there. */
static la_status
make_log(const la_env *env, const char *folder, const char *name, const char *canonical,
         la_error *err)
{
    la_manifest first = {.env = env, .next_segment = 1};
    int rc;
    la_status status;

    status = make_folders(env, folder, err);
    if (status != LA_OK) {
        return status;
    }
    rc = env->io.random(env->io.ctx, first.uuid, sizeof first.uuid);
    if (rc < 0) {
        return la_fail_os(err, -rc, folder,
                          "could not get random bytes for a log's uuid");
    }
    first.name = la_strdup(env, name);
    first.spec = la_strdup(env, canonical);
    if (first.name == NULL || first.spec == NULL) {
        status = la_fail_nomem(err, strlen(canonical));
    }
    else {
        status = la_manifest_write(env, folder, &first, NULL, err);
    }
    la_manifest_fini(&first);
    return status == LA_CONFLICT ? LA_OK : status;
}

/* ------------------------------------------------------------------- opening */

static void
free_log(la_log *log)
{
    const la_env *env = log->env;

    if (log->writer != NULL) {
        la_writer_free(log, log->writer);
    }
    la_snapshot_release(log->snapshot);
    la_segment_release(log->open);
    la_segment_list_release(log->sealed);
    la_tail_close(env, &log->tail);
    la_manifest_fini(&log->manifest);
    if (log->dicts != NULL) {
        for (uint32_t c = 0; c < log->column_count; c++) {
            la_dict_release(log->dicts[c]);
        }
        la_dealloc(env, log->dicts, sizeof *log->dicts * log->column_count);
    }
    la_log_def_fini(&log->def);
    la_strfree(env, log->folder);
    la_strfree(env, log->name);
    la_cond_fini(&log->synced);
    la_mutex_fini(&log->append);
    la_mutex_fini(&log->state);
    la_dealloc(env, log, sizeof *log);
}

static la_status
make_dicts(la_log *log, la_error *err)
{
    log->column_count = la_schema_count(log->def.schema);
    log->dicts = la_calloc(log->env, log->column_count, sizeof *log->dicts);
    if (log->dicts == NULL) {
        return la_fail_nomem(err, sizeof *log->dicts * log->column_count);
    }
    for (uint32_t c = 0; c < log->column_count; c++) {
        if (la_schema_field(log->def.schema, c)->type == LA_T_CAT) {
            la_status status = la_dict_new(log->env, &log->dicts[c], err);
            if (status != LA_OK) {
                return status;
            }
            log->has_dicts = true;
        }
    }
    return LA_OK;
}

static la_status
new_log(const la_env *env, const char *folder, const char *name, la_mode mode,
        la_log **out, la_error *err)
{
    la_log *log = la_calloc(env, 1, sizeof *log);

    if (log == NULL) {
        return la_fail_nomem(err, sizeof *log);
    }
    log->env = env;
    log->pid = (int64_t)getpid();
    log->mode = mode;
    log->durable_max_time = INT64_MIN;
    log->segment_bytes = LA_SEGMENT_BYTES;
    la_mutex_init(&log->append);
    la_mutex_init(&log->state);
    la_cond_init(&log->synced);
    log->folder = la_strdup(env, folder);
    log->name = la_strdup(env, name);
    if (log->folder == NULL || log->name == NULL) {
        free_log(log);
        return la_fail_nomem(err, strlen(folder));
    }
    *out = log;
    return LA_OK;
}

/* Reads or makes the first manifest; `given` is the caller's canonical spec or NULL. */
static la_status
find_manifest(la_log *log, const char *given, la_manifest *manifest, la_error *err)
{
    bool changed;
    la_error first = {0};
    la_status status;

    status =
        la_manifest_load(log->env, log->folder, NULL, 0, &changed, manifest, &first);
    if (status == LA_NOT_FOUND && given != NULL && log->mode == LA_MODE_WRITE) {
        status = make_log(log->env, log->folder, log->name, given, err);
        if (status != LA_OK) {
            return status;
        }
        return la_manifest_load(log->env, log->folder, NULL, 0, &changed, manifest,
                                err);
    }
    if (status == LA_NOT_FOUND) {
        return la_fail(err, LA_NOT_FOUND,
                       "could not open log \"%s\": there is no such log", log->name);
    }
    if (status != LA_OK && err != NULL) {
        *err = first;
    }
    return status;
}

la_status
la_log_open_folder(const la_env *env, const char *folder, const char *name,
                   la_mode mode, const char *spec, la_log **out, la_error *err)
{
    la_log_def given = {0};
    la_manifest manifest = {0};
    la_log *log = NULL;
    la_status status;

    if (spec != NULL) {
        status = la_log_def_parse(env, spec, &given, err);
        if (status != LA_OK) {
            return status;
        }
    }
    status = new_log(env, folder, name, mode, &log, err);
    if (status != LA_OK) {
        goto done;
    }
    status = find_manifest(log, given.canonical, &manifest, err);
    if (status == LA_OK && spec != NULL) {
        status = la_log_def_same(env, name, manifest.spec, given.canonical, err);
    }
    if (status == LA_OK) {
        status = la_log_def_parse(env, manifest.spec, &log->def, err);
    }
    if (status == LA_OK) {
        memcpy(log->uuid, manifest.uuid, sizeof log->uuid);
        status = make_dicts(log, err);
    }
    if (status == LA_OK) {
        la_mutex_lock(&log->append);
        status = mode == LA_MODE_WRITE ? la_log_recover_if_stale(log, err) : LA_OK;
        la_mutex_unlock(&log->append);
    }
done:
    la_manifest_fini(&manifest);
    la_log_def_fini(&given);
    if (status != LA_OK) {
        if (log != NULL) {
            free_log(log);
        }
        return status;
    }
    la_live_add(LA_LIVE_LOG, 1);
    *out = log;
    return LA_OK;
}

void
la_log_close(la_log *log)
{
    if (log == NULL) {
        return;
    }
    if (log->pid == (int64_t)getpid() && log->writer != NULL) {
        (void)!la_log_commit(log, log->published_end, NULL);
    }
    free_log(log);
    la_live_add(LA_LIVE_LOG, -1);
}

/* ------------------------------------------------------------------ looking */

const la_schema *
la_log_schema(const la_log *log)
{
    return log->def.schema;
}

const char *
la_log_spec(const la_log *log)
{
    return log->def.canonical;
}

const char *
la_log_name(const la_log *log)
{
    return log->name;
}

int32_t
la_log_time_column(const la_log *log)
{
    return log->def.time_column;
}

la_status
la_log_positions(la_log *log, uint64_t *durable, uint64_t *published, la_error *err)
{
    la_status status;

    la_mutex_lock(&log->state);
    status = la_log_alive_locked(log, err);
    if (status == LA_OK && !log->writing) {
        status = la_log_follow(log, err);
    }
    if (status == LA_OK) {
        *durable = log->durable_end;
        *published = log->published_end;
    }
    la_mutex_unlock(&log->state);
    return status;
}
