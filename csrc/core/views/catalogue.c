/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue's JSON, and the step from one number to the next.
 *
 * Invariants
 *  1. A catalogue object that others can see never changes; changes go through a copy.
 *  2. Everything that a catalogue names was durable before the catalogue was written.
 *  3. A version's cutoff and plan stand in the catalogue alone, never in the files it names.
 */
#include "views/catalogue.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"
#include "base/live.h"

static const struct {
    const char *name;
    size_t offset;
} COUNT_FIELDS[] = {
    {"counted", offsetof(la_counts, counted)},
    {"filtered", offsetof(la_counts, filtered)},
    {"failed", offsetof(la_counts, failed)},
    {"late", offsetof(la_counts, late)},
    {"duplicate", offsetof(la_counts, duplicate)},
    {"retracted", offsetof(la_counts, retracted)},
    {"quarantined", offsetof(la_counts, quarantined)},
    {"erased", offsetof(la_counts, erased)},
};
#define COUNT_FIELDS_COUNT (sizeof COUNT_FIELDS / sizeof COUNT_FIELDS[0])

static uint64_t *
count_field(la_counts *counts, size_t i)
{
    return (uint64_t *)((char *)counts + COUNT_FIELDS[i].offset);
}

void
la_counts_add(la_counts *into, const la_counts *from)
{
    for (size_t i = 0; i < COUNT_FIELDS_COUNT; i++) {
        *count_field(into, i) += *count_field((la_counts *)from, i);
    }
    for (size_t i = 0; i < LA_REASON_COUNT; i++) {
        into->failed_by[i] += from->failed_by[i];
    }
    if (from->failed_first < into->failed_first) {
        into->failed_first = from->failed_first;
    }
}

void
la_counts_put(la_buf *to, const la_counts *counts)
{
    la_buf_text(to, "{");
    for (size_t i = 0; i < COUNT_FIELDS_COUNT; i++) {
        la_buf_printf(to, "\"%s\":%llu,", COUNT_FIELDS[i].name,
                      (unsigned long long)*count_field((la_counts *)counts, i));
    }
    la_buf_text(to, "\"failed_by\":{");
    const char *comma = "";
    for (size_t i = 1; i < LA_REASON_COUNT; i++) {
        if (counts->failed_by[i] != 0) {
            la_buf_text(to, comma);
            const char *text = la_reason_text((la_reason)i);
            la_json_put_text(to, text, strlen(text));
            la_buf_printf(to, ":%llu", (unsigned long long)counts->failed_by[i]);
            comma = ",";
        }
    }
    la_buf_text(to, "},\"failed_first\":");
    if (counts->failed_first == LA_NO_POSITION) {
        la_buf_text(to, "null}");
    }
    else {
        la_buf_printf(to, "%llu}", (unsigned long long)counts->failed_first);
    }
}

static la_status
counts_take(const la_json *json, la_counts *out, la_error *err)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < COUNT_FIELDS_COUNT; i++) {
        la_status status =
            la_json_u64(json, COUNT_FIELDS[i].name, count_field(out, i), err);
        if (status != LA_OK) {
            return status;
        }
    }
    const la_json *by = la_json_get(json, "failed_by");
    for (size_t i = 1; by != NULL && i < LA_REASON_COUNT; i++) {
        if (la_json_get(by, la_reason_text((la_reason)i)) != NULL) {
            la_status status =
                la_json_u64(by, la_reason_text((la_reason)i), &out->failed_by[i], err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    const la_json *first = la_json_get(json, "failed_first");
    if (first == NULL || first->kind == LA_J_NULL) {
        out->failed_first = LA_NO_POSITION;
        return LA_OK;
    }
    return la_json_u64(json, "failed_first", &out->failed_first, err);
}

/* ------------------------------------------------------------------ writing */

static void
put_hex(la_buf *to, const char *name, const void *data, size_t size)
{
    char hex[2 * 32 + 1];
    la_hex(data, size, hex);
    la_buf_printf(to, "\"%s\":\"%s\",", name, hex);
}

static void
put_text(la_buf *to, const char *name, const char *text)
{
    la_buf_printf(to, "\"%s\":", name);
    la_json_put_text(to, text, strlen(text));
    la_buf_text(to, ",");
}

static void
put_version(la_buf *to, const la_view_version *v)
{
    la_buf_text(to, "{\"bytes\":");
    la_buf_printf(to, "%llu,", (unsigned long long)v->bytes);
    uint8_t content[16];
    la_store_u64(content, v->content.lo);
    la_store_u64(content + 8, v->content.hi);
    put_hex(to, "content_hash", content, sizeof content);
    la_buf_text(to, "\"counts\":");
    la_counts_put(to, &v->counts);
    la_buf_text(to, ",\"cutoff\":{");
    la_json_put_text(to, v->log, strlen(v->log));
    la_buf_printf(to, ":%llu},", (unsigned long long)v->cutoff);
    put_hex(to, "fingerprint", v->fingerprint, sizeof v->fingerprint);
    la_buf_printf(to, "\"groups\":%llu,\"incremental\":%s,\"list\":{",
                  (unsigned long long)v->groups, v->incremental ? "true" : "false");
    put_hex(to, "digest", v->list.digest, sizeof v->list.digest);
    la_buf_printf(to,
                  "\"size\":%llu},\"plan\":%s,\"published_us\":%lld,\"version\":%llu}",
                  (unsigned long long)v->list.size, v->plan, (long long)v->published_us,
                  (unsigned long long)v->number);
}

static void
put_view(la_buf *to, const la_view_entry *view)
{
    la_buf_printf(to, "{\"created_us\":%lld,\"current\":%llu,",
                  (long long)view->created_us, (unsigned long long)view->current);
    put_hex(to, "fingerprint", view->fingerprint, sizeof view->fingerprint);
    put_text(to, "name", view->name);
    la_buf_printf(to, "\"next_version\":%llu,\"plan\":%s,\"versions\":[",
                  (unsigned long long)view->next_version, view->plan);
    for (uint32_t i = 0; i < view->version_count; i++) {
        la_buf_text(to, i == 0 ? "" : ",");
        put_version(to, &view->versions[i]);
    }
    la_buf_text(to, "]}");
}

static void
put_catalogue(la_buf *to, const la_catalogue *catalogue)
{
    la_buf_text(to, "{\"epoch\":1,\"views\":[");
    for (uint32_t i = 0; i < catalogue->view_count; i++) {
        la_buf_text(to, i == 0 ? "" : ",");
        put_view(to, &catalogue->views[i]);
    }
    la_buf_text(to, "]}");
}

/* ------------------------------------------------------------------ reading */

/* A view's name becomes a folder's: only what a definition would accept gets through. */
static la_status
take_name(la_catalogue *c, const la_json *json, const char **out, la_error *err)
{
    const char *text;
    size_t size;
    la_status status = la_json_text(json, "name", &text, &size, err);
    if (status != LA_OK) {
        return status;
    }
    if (strlen(text) != size || !la_name_is_valid(text)) {
        return la_fail(err, LA_INVALID, "\"%.128s\" cannot name a view", text);
    }
    if (la_catalogue_view(c, text) != NULL) {
        return la_fail(err, LA_INVALID, "view \"%s\" is there twice", text);
    }
    *out = la_arena_strndup(&c->arena, text, size);
    return *out != NULL ? LA_OK : la_fail_nomem(err, size);
}

/* Canonical text of a member that is JSON itself. */
static la_status
take_json(la_catalogue *c, const la_json *json, const char *name, const char **out,
          la_error *err)
{
    const la_json *node = la_json_get(json, name);
    if (node == NULL || node->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID, "member \"%s\" is missing or no object", name);
    }
    la_buf text;
    la_buf_init(&text, c->env);
    la_json_put(&text, node);
    *out = text.failed
               ? NULL
               : la_arena_strndup(&c->arena, (const char *)text.data, text.size);
    size_t size = text.size;
    la_buf_fini(&text);
    return *out != NULL ? LA_OK : la_fail_nomem(err, size);
}

static la_status
take_cutoff(la_catalogue *c, const la_json *json, la_view_version *out, la_error *err)
{
    const la_json *cutoff = la_json_get(json, "cutoff");
    if (cutoff == NULL || cutoff->kind != LA_J_OBJECT || cutoff->list.count != 1 ||
        cutoff->list.items[1].kind != LA_J_INT || cutoff->list.items[1].i64 < 0) {
        return la_fail(err, LA_INVALID, "member \"cutoff\" is no {log: position}");
    }
    const la_json *log = &cutoff->list.items[0];
    if (strlen(log->text.at) != log->text.size || !la_name_is_valid(log->text.at)) {
        return la_fail(err, LA_INVALID, "\"%.128s\" cannot name a log", log->text.at);
    }
    out->log = la_arena_strndup(&c->arena, log->text.at, log->text.size);
    out->cutoff = (uint64_t)cutoff->list.items[1].i64;
    return out->log != NULL ? LA_OK : la_fail_nomem(err, log->text.size);
}

static la_status
take_version(la_catalogue *c, const la_json *json, la_view_version *out, la_error *err)
{
    la_status status = la_json_u64(json, "version", &out->number, err);
    uint8_t content[16] = {0};
    const la_json *list = NULL, *incremental = NULL, *counts = NULL;
    if (status == LA_OK) {
        list = la_json_get(json, "list");
        counts = la_json_get(json, "counts");
        incremental = la_json_get(json, "incremental");
        if (list == NULL || counts == NULL || incremental == NULL ||
            incremental->kind != LA_J_BOOL) {
            return la_fail(err, LA_INVALID,
                           "version %llu lacks list, counts or incremental",
                           (unsigned long long)out->number);
        }
        out->incremental = incremental->boolean;
        status = take_json(c, json, "plan", &out->plan, err);
    }
    if (status == LA_OK) {
        status = la_json_hex(json, "fingerprint", out->fingerprint, 32, err);
    }
    if (status == LA_OK) {
        status = take_cutoff(c, json, out, err);
    }
    if (status == LA_OK) {
        status = la_json_i64(json, "published_us", &out->published_us, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "groups", &out->groups, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "bytes", &out->bytes, err);
    }
    if (status == LA_OK) {
        status = la_json_hex(json, "content_hash", content, sizeof content, err);
    }
    if (status == LA_OK) {
        status = counts_take(counts, &out->counts, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(list, "size", &out->list.size, err);
    }
    if (status == LA_OK) {
        status = la_json_hex(list, "digest", out->list.digest, 32, err);
    }
    out->list.number = out->number;
    out->content.lo = la_load_u64(content);
    out->content.hi = la_load_u64(content + 8);
    return status;
}

/* Ascending numbers below next_version, the current one among them. */
static la_status
take_versions(la_catalogue *c, const la_json *versions, la_view_entry *out,
              la_error *err)
{
    uint64_t last = 0;
    out->versions =
        la_arena_alloc(&c->arena, (size_t)versions->list.count * sizeof *out->versions);
    if (out->versions == NULL) {
        return la_fail_nomem(err, versions->list.count * sizeof *out->versions);
    }
    for (uint32_t i = 0; i < versions->list.count; i++) {
        la_view_version *version = &out->versions[out->version_count++];
        memset(version, 0, sizeof *version);
        la_status status = take_version(c, &versions->list.items[i], version, err);
        if (status != LA_OK) {
            return status;
        }
        if (version->number <= last || version->number >= out->next_version) {
            return la_fail(err, LA_INVALID,
                           "view \"%s\": version %llu after %llu, and the next is %llu",
                           out->name, (unsigned long long)version->number,
                           (unsigned long long)last,
                           (unsigned long long)out->next_version);
        }
        last = version->number;
    }
    if (out->current != 0 && la_view_entry_current(out) == NULL) {
        return la_fail(err, LA_INVALID,
                       "view \"%s\" names version %llu, which is not there", out->name,
                       (unsigned long long)out->current);
    }
    return LA_OK;
}

static la_status
take_view(la_catalogue *c, const la_json *json, la_view_entry *out, la_error *err)
{
    const la_json *versions = NULL;
    la_status status = take_name(c, json, &out->name, err);
    if (status == LA_OK) {
        status = take_json(c, json, "plan", &out->plan, err);
    }
    if (status == LA_OK) {
        status = la_json_hex(json, "fingerprint", out->fingerprint, 32, err);
    }
    if (status == LA_OK) {
        status = la_json_i64(json, "created_us", &out->created_us, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "current", &out->current, err);
    }
    if (status == LA_OK) {
        status = la_json_u64(json, "next_version", &out->next_version, err);
    }
    if (status == LA_OK) {
        status = la_json_array(json, "versions", &versions, err);
    }
    return status == LA_OK ? take_versions(c, versions, out, err) : status;
}

static la_status
take_catalogue(la_catalogue *c, const char *body, size_t size, la_error *err)
{
    la_arena scratch;
    la_arena_init(&scratch, c->env);
    const la_json *root, *views = NULL;
    la_status status = la_json_parse(&scratch, body, size, &root, err);
    if (status == LA_OK) {
        status = la_json_array(root, "views", &views, err);
    }
    if (status == LA_OK && views->list.count > LA_VIEWS_MAX) {
        status = la_fail(err, LA_INVALID, "%u views are too many", views->list.count);
    }
    if (status == LA_OK) {
        c->views =
            la_arena_alloc(&c->arena, (size_t)views->list.count * sizeof *c->views);
        status = c->views == NULL
                     ? la_fail_nomem(err, views->list.count * sizeof *c->views)
                     : LA_OK;
    }
    for (uint32_t i = 0; status == LA_OK && i < views->list.count; i++) {
        la_view_entry view = {0};
        status = take_view(c, &views->list.items[i], &view, err);
        c->views[c->view_count] = view;
        c->view_count += status == LA_OK;
    }
    la_arena_fini(&scratch);
    return status;
}

/* ---------------------------------------------------------------- lifecycle */

la_status
la_catalogue_new(const la_env *env, la_catalogue **out, la_error *err)
{
    la_catalogue *c = la_calloc(env, 1, sizeof *c);
    if (c == NULL) {
        return la_fail_nomem(err, sizeof *c);
    }
    c->references = 1;
    c->env = env;
    la_arena_init(&c->arena, env);
    *out = c;
    return LA_OK;
}

la_status
la_catalogue_read(const la_env *env, const char *folder, const uint8_t uuid[16],
                  uint64_t number, la_catalogue **out, la_error *err)
{
    la_catalogue *c = NULL;
    la_status status = la_catalogue_new(env, &c, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf file;
    la_buf_init(&file, env);
    const char *body;
    size_t size;
    status = la_doc_read(env, folder, LA_DOC_CATALOGUE, uuid, number, NULL, &file,
                         &body, &size, &c->id, err);
    if (status == LA_OK) {
        la_error cause = {0};
        status = take_catalogue(c, body, size, &cause);
        if (status != LA_OK && status != LA_INVALID && err != NULL) {
            *err = cause;
        }
        if (status == LA_INVALID) { /* the hash was right: written by a faulty writer */
            char path[LA_PATH_BYTES_MAX];
            la_doc_path(path, sizeof path, folder, LA_DOC_CATALOGUE, number);
            status = la_fail_damaged(err, path, 96, "could not read the catalogue: %s",
                                     cause.message);
        }
    }
    la_buf_fini(&file);
    if (status != LA_OK) {
        la_catalogue_release(c);
        return status;
    }
    *out = c;
    return LA_OK;
}

la_status
la_catalogue_copy(const la_catalogue *from, la_catalogue **out, la_error *err)
{
    la_catalogue *c = NULL;
    la_status status = la_catalogue_new(from->env, &c, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf text;
    la_buf_init(&text, from->env);
    put_catalogue(&text, from);
    status = text.failed ? la_fail_nomem(err, text.size)
                         : take_catalogue(c, (const char *)text.data, text.size, err);
    la_buf_fini(&text);
    if (status != LA_OK) {
        la_catalogue_release(c);
        return status;
    }
    c->id = from->id;
    *out = c;
    return LA_OK;
}

la_status
la_catalogue_write(la_catalogue *draft, const char *folder, const uint8_t uuid[16],
                   la_error *err)
{
    la_doc_id original = draft->id;
    la_buf body;
    la_buf_init(&body, draft->env);
    put_catalogue(&body, draft);
    la_status status =
        body.failed
            ? la_fail_nomem(err, body.size)
            : la_doc_write(draft->env, folder, LA_DOC_CATALOGUE, uuid,
                           original.number + 1, original.number == 0 ? NULL : &original,
                           (const char *)body.data, body.size, &draft->id, err);
    la_buf_fini(&body);
    return status;
}

la_catalogue *
la_catalogue_retain(la_catalogue *catalogue)
{
    __atomic_add_fetch(&catalogue->references, 1, __ATOMIC_RELAXED);
    return catalogue;
}

void
la_catalogue_release(la_catalogue *catalogue)
{
    if (catalogue == NULL ||
        __atomic_sub_fetch(&catalogue->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    la_arena_fini(&catalogue->arena);
    la_dealloc(catalogue->env, catalogue, sizeof *catalogue);
}

/* ------------------------------------------------------------------ look-ups */

la_view_entry *
la_catalogue_view(const la_catalogue *catalogue, const char *name)
{
    for (uint32_t i = 0; i < catalogue->view_count; i++) {
        if (strcmp(catalogue->views[i].name, name) == 0) {
            return &catalogue->views[i];
        }
    }
    return NULL;
}

la_view_version *
la_view_entry_version(const la_view_entry *view, uint64_t number)
{
    for (uint32_t i = 0; i < view->version_count; i++) {
        if (view->versions[i].number == number) {
            return &view->versions[i];
        }
    }
    return NULL;
}

la_view_entry *
la_catalogue_add_view(la_catalogue *draft)
{
    size_t size = sizeof *draft->views * draft->view_count;
    la_view_entry *views = la_arena_alloc(&draft->arena, size + sizeof *views);
    if (views == NULL) {
        return NULL;
    }
    if (size > 0) {
        memcpy(views, draft->views, size);
    }
    draft->views = views;
    la_view_entry *added = &views[draft->view_count++];
    memset(added, 0, sizeof *added);
    return added;
}

la_view_version *
la_view_entry_add_version(la_catalogue *draft, la_view_entry *view)
{
    size_t size = sizeof *view->versions * view->version_count;
    la_view_version *versions = la_arena_alloc(&draft->arena, size + sizeof *versions);
    if (versions == NULL) {
        return NULL;
    }
    if (size > 0) {
        memcpy(versions, view->versions, size);
    }
    view->versions = versions;
    la_view_version *added = &versions[view->version_count++];
    memset(added, 0, sizeof *added);
    return added;
}
