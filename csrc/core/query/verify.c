/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of a whole store: its own document, catalogue, every kept version's files,
 * every log. Goes on after damage and reports all of it; nothing is repaired. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/live.h"
#include "views/store.h"
#include "views/version_list.h"

struct la_verify {
    la_store *store;
    const la_env *env;
    la_catalogue *catalogue; /* NULL when it cannot be read */
    la_log **logs;
    uint32_t log_count, log_capacity;
    uint32_t log_at, view_at, version_at;
    la_log_check *check;
    bool documents_done;
    uint64_t done, total;
    uint64_t log_done, log_total; /* of the log being checked */
    uint64_t damages;
    la_error first;
    la_buf report;
    char *text;
};

static void
report_damage(la_verify *v, const la_error *error)
{
    if (v->damages++ == 0) {
        v->first = *error;
    }
    la_buf_text(&v->report, v->report.size == 0 ? "{\"file\":" : ",{\"file\":");
    la_json_put_text(&v->report, error->path, strlen(error->path));
    if (error->byte != UINT64_MAX) {
        la_buf_printf(&v->report, ",\"byte\":%llu", (unsigned long long)error->byte);
    }
    la_buf_text(&v->report, ",\"what\":");
    la_json_put_text(&v->report, error->message, strlen(error->message));
    la_buf_text(&v->report, "}");
}

/* Damage is noted and passed over; other failures stop. */
static la_status
note(la_verify *v, la_status status, const la_error *error, la_error *err)
{
    if (status == LA_OK) {
        return LA_OK;
    }
    if (status == LA_DAMAGED || status == LA_NEWER || status == LA_INVALID ||
        status == LA_NOT_FOUND) {
        report_damage(v, error);
        return LA_OK;
    }
    if (err != NULL) {
        *err = *error;
    }
    return status;
}

/* Opens every log; one that cannot be opened is reported. */
static la_status
open_logs(la_verify *v, la_error *err)
{
    la_buf names;
    la_buf_init(&names, v->env);
    la_status status = la_store_log_names(v->store, &names, err);
    for (size_t i = 0; i < names.size; i++) {
        v->log_capacity += names.data[i] == 0;
    }
    if (status == LA_OK) {
        v->logs = la_calloc(v->env, (size_t)v->log_capacity + 1, sizeof *v->logs);
        status = v->logs == NULL ? la_fail_nomem(err, names.size) : LA_OK;
    }
    const char *name = (const char *)names.data, *end = name + names.size;
    for (; status == LA_OK && name < end; name += strlen(name) + 1) {
        la_log *log;
        la_error error = {0};
        la_status opened = la_store_log(v->store, name, &log, &error);
        if (opened == LA_OK) {
            v->logs[v->log_count++] = log;
        }
        else if (opened != LA_NOT_FOUND) { /* not a folder whose creation crashed */
            status = note(v, opened, &error, err);
        }
    }
    la_buf_fini(&names);
    return status;
}

la_status
la_verify_open(la_store *store, la_verify **out, la_error *err)
{
    la_verify *v = la_calloc(store->env, 1, sizeof *v);
    if (v == NULL) {
        return la_fail_nomem(err, sizeof *v);
    }
    la_live_add(LA_LIVE_VERIFY, 1);
    v->store = store;
    v->env = store->env;
    la_buf_init(&v->report, store->env);
    la_error error = {0};
    la_status status =
        note(v, la_store_catalogue(store, &v->catalogue, &error), &error, err);
    if (status == LA_OK) {
        status = open_logs(v, err);
    }
    for (uint32_t i = 0; v->catalogue != NULL && i < v->catalogue->view_count; i++) {
        const la_view_entry *entry = &v->catalogue->views[i];
        for (uint32_t j = 0; j < entry->version_count; j++) {
            v->total += entry->versions[j].bytes;
        }
    }
    if (status != LA_OK) {
        la_verify_close(v);
        return status;
    }
    *out = v;
    return LA_OK;
}

/* The store document, and every catalogue that is kept. */
static la_status
check_documents(la_verify *v, la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_error error = {0};
    la_buf file;
    la_buf_init(&file, v->env);
    const char *body;
    size_t size;
    la_doc_id id;
    la_status status =
        note(v,
             la_doc_read(v->env, v->store->path, LA_DOC_STORE, v->store->uuid, 1, NULL,
                         &file, &body, &size, &id, &error),
             &error, err);
    snprintf(folder, sizeof folder, "%s/catalogue", v->store->path);
    uint64_t newest = v->catalogue == NULL ? 0 : v->catalogue->id.number;
    uint64_t oldest = newest > LA_DOCUMENTS_KEPT ? newest - LA_DOCUMENTS_KEPT + 1 : 1;
    for (uint64_t n = oldest; n <= newest && status == LA_OK; n++) {
        la_buf_clear(&file);
        status = la_doc_read(v->env, folder, LA_DOC_CATALOGUE, v->store->uuid, n, NULL,
                             &file, &body, &size, &id, &error);
        /* Pruned beside us, or by a run with other bounds: no damage. */
        status = status == LA_NOT_FOUND ? LA_OK : note(v, status, &error, err);
    }
    la_buf_fini(&file);
    return status;
}

/* As note(), unless a publisher has dropped the version meanwhile and swept its files. */
static la_status
note_file(la_verify *v, const la_view_entry *entry, const la_view_version *version,
          la_status status, const la_error *error, la_error *err)
{
    if (status != LA_OK && !la_store_keeps(v->store, entry->name, version->number)) {
        return LA_OK;
    }
    return note(v, status, error, err);
}

static la_status
check_version(la_verify *v, const la_view_entry *entry, const la_view_version *version,
              la_error *err)
{
    char folder[LA_PATH_BYTES_MAX];
    la_version_list list;
    la_version_list_init(&list, v->env);
    la_error error = {0};
    la_status status = la_store_view_folder(v->store, entry->name, folder, err);
    if (status == LA_OK) {
        la_status read = la_version_list_read(v->env, folder, v->store->uuid,
                                              &version->list, &list, &error);
        status = note_file(v, entry, version, read, &error, err);
    }
    for (uint32_t i = 0; status == LA_OK && i < list.partition_count; i++) {
        if (list.partitions[i].base.name[0] != '\0') {
            la_status found =
                la_partfile_verify(v->env, folder, &list.partitions[i].base, &error);
            status = note_file(v, entry, version, found, &error, err);
        }
    }
    for (uint32_t i = 0; status == LA_OK && i < list.delta_count; i++) {
        la_status found = la_partfile_verify(v->env, folder, &list.deltas[i], &error);
        status = note_file(v, entry, version, found, &error, err);
    }
    la_version_list_fini(&list);
    v->done += version->bytes;
    return status;
}

static la_status
step_views(la_verify *v, bool *more, la_error *err)
{
    while (v->catalogue != NULL && v->view_at < v->catalogue->view_count) {
        const la_view_entry *entry = &v->catalogue->views[v->view_at];
        if (v->version_at < entry->version_count) {
            *more = true;
            return check_version(v, entry, &entry->versions[v->version_at++], err);
        }
        v->view_at++;
        v->version_at = 0;
    }
    return LA_OK;
}

static la_status
step_log(la_verify *v, bool *more, la_error *err)
{
    if (v->log_at == v->log_count) {
        return LA_OK;
    }
    *more = true;
    la_error error = {0};
    la_status status = LA_OK;
    if (v->check == NULL) {
        status = la_log_check_open(v->logs[v->log_at], &v->check, &error);
        if (status != LA_OK) {
            v->log_at++;
            return note(v, status, &error, err);
        }
    }
    uint64_t damages = 0;
    size_t mark = v->report.size;
    la_buf found;
    la_buf_init(&found, v->env);
    status = la_log_check_step(v->check, &v->log_done, &v->log_total, &found, &damages,
                               &error);
    if (damages > 0 && found.size > 0) {
        if (v->damages == 0) {
            v->first.position = LA_NO_POSITION;
            v->first.byte = UINT64_MAX;
            snprintf(v->first.message, sizeof v->first.message,
                     "log \"%s\" is damaged: %.*s", la_log_name(v->logs[v->log_at]),
                     (int)(found.size > 300 ? 300 : found.size),
                     (const char *)found.data);
        }
        v->damages += damages;
        la_buf_text(&v->report, mark == 0 ? "" : ",");
        la_buf_put(&v->report, found.data, found.size);
    }
    la_buf_fini(&found);
    if (status != LA_MORE) {
        la_log_check_close(v->check);
        v->check = NULL;
        v->log_at++;
        v->done += v->log_done;
        v->total += v->log_total;
        v->log_done = 0;
        v->log_total = 0;
        return note(v, status, &error, err);
    }
    return LA_OK;
}

la_status
la_verify_step(la_verify *v, uint64_t *done, uint64_t *total, la_error *err)
{
    bool more = false;
    la_status status = LA_OK;
    if (!v->documents_done) {
        status = check_documents(v, err);
        v->documents_done = true;
        more = true;
    }
    if (status == LA_OK && !more) {
        status = step_views(v, &more, err);
    }
    if (status == LA_OK && !more) {
        status = step_log(v, &more, err);
    }
    *done = v->done + v->log_done;
    *total = v->total + v->log_total;
    if (status != LA_OK) {
        return status;
    }
    if (more) {
        return LA_MORE;
    }
    if (v->damages > 0) {
        if (err != NULL) {
            *err = v->first;
            err->status = LA_DAMAGED;
        }
        return LA_DAMAGED;
    }
    return LA_OK;
}

const char *
la_verify_report(const la_verify *verify)
{
    la_verify *v = (la_verify *)verify; /* the text is made once, on demand */
    la_strfree(v->env, v->text);
    v->text = NULL;
    la_buf all;
    la_buf_init(&all, v->env);
    la_buf_printf(&all, "{\"bytes\":%llu,\"damages\":%llu,\"damage\":[",
                  (unsigned long long)v->done, (unsigned long long)v->damages);
    la_buf_put(&all, v->report.data, v->report.size);
    la_buf_text(&all, "]}");
    la_buf_u8(&all, 0);
    if (!all.failed && !v->report.failed) {
        v->text = la_strdup(v->env, (const char *)all.data);
    }
    la_buf_fini(&all);
    return v->text != NULL ? v->text : "{}";
}

void
la_verify_close(la_verify *v)
{
    if (v == NULL) {
        return;
    }
    const la_env *env = v->env;
    la_log_check_close(v->check);
    la_catalogue_release(v->catalogue);
    la_dealloc(env, v->logs, ((size_t)v->log_capacity + 1) * sizeof *v->logs);
    la_buf_fini(&v->report);
    la_strfree(env, v->text);
    la_dealloc(env, v, sizeof *v);
    la_live_add(LA_LIVE_VERIFY, -1);
}
