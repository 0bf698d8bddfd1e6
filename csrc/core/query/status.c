/* SPDX-License-Identifier: Apache-2.0 */
/* What a store holds, as JSON: logs with their rows by verdict, views with their versions and
 * the accounting of every row (law 5). A view's accounting is that of an answer: the counts of
 * the version plus those of the tail, so asking for it lets the live fold catch up. */
#include "base/error.h"
#include "views/store.h"

static la_status
hand_over(la_store *store, la_buf *text, char **out, la_error *err)
{
    la_buf_u8(text, 0);
    char *copy = text->failed ? NULL : la_strdup(store->env, (const char *)text->data);
    size_t size = text->size;
    la_buf_fini(text);
    if (copy == NULL) {
        return la_fail_nomem(err, size);
    }
    *out = copy;
    return LA_OK;
}

/* --------------------------------------------------------------------- views */

static void
put_version(la_buf *to, const la_view_version *v, uint64_t current)
{
    uint8_t content[16];
    char hex[65];
    la_buf_printf(to, "{\"version\":%llu,\"current\":%s,\"cutoff\":",
                  (unsigned long long)v->number,
                  v->number == current ? "true" : "false");
    la_buf_text(to, "{");
    la_json_put_text(to, v->log, strlen(v->log));
    la_hex(v->fingerprint, 32, hex);
    la_buf_printf(
        to, ":%llu},\"fingerprint\":\"%s\",\"published_us\":%lld,\"groups\":%llu,",
        (unsigned long long)v->cutoff, hex, (long long)v->published_us,
        (unsigned long long)v->groups);
    la_store_u64(content, v->content.lo);
    la_store_u64(content + 8, v->content.hi);
    la_hex(content, sizeof content, hex);
    la_buf_printf(to,
                  "\"bytes\":%llu,\"incremental\":%s,\"content_hash\":\"%s\",\"rows\":",
                  (unsigned long long)v->bytes, v->incremental ? "true" : "false", hex);
    la_counts_put(to, &v->counts);
    la_buf_text(to, "}");
}

static la_status
put_receipt(la_view *view, la_buf *to, la_error *err)
{
    la_query *query;
    la_status status = la_query_open(view, "{\"limit\":0}", &query, err);
    if (status != LA_OK) {
        return status;
    }
    do {
        status = la_query_step(query, err);
    } while (status == LA_MORE);
    if (status == LA_OK) {
        la_buf_text(to, la_query_receipt(query));
    }
    la_query_close(query);
    return status;
}

static la_status
put_view(la_view *view, const la_view_entry *entry, la_buf *to, la_error *err)
{
    const la_view_version *current = la_view_entry_current(entry);
    char hex[65];
    la_mutex_lock(&view->store->mutex);
    bool order_free = view->plan->order_free;
    la_mutex_unlock(&view->store->mutex);
    la_hex(entry->fingerprint, 32, hex);
    la_buf_text(to, "{\"name\":");
    la_json_put_text(to, entry->name, strlen(entry->name));
    la_buf_printf(to,
                  ",\"fingerprint\":\"%s\",\"candidate\":%s,\"order_free\":%s,"
                  "\"current\":%llu,\"created_us\":%lld,\"plan\":%s,\"versions\":[",
                  hex,
                  current != NULL &&
                          memcmp(current->fingerprint, entry->fingerprint, 32) != 0
                      ? "true"
                      : "false",
                  order_free ? "true" : "false", (unsigned long long)entry->current,
                  (long long)entry->created_us, entry->plan);
    for (uint32_t i = 0; i < entry->version_count; i++) {
        la_buf_text(to, i == 0 ? "" : ",");
        put_version(to, &entry->versions[i], entry->current);
    }
    la_buf_text(to, "],\"receipt\":");
    la_status status = put_receipt(view, to, err);
    la_buf_text(to, "}");
    return status;
}

la_status
la_view_status(la_view *view, char **json, la_error *err)
{
    la_catalogue *catalogue;
    la_status status = la_store_catalogue(view->store, &catalogue, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf text;
    la_buf_init(&text, view->store->env);
    const la_view_entry *entry = la_catalogue_view(catalogue, view->name);
    status = entry == NULL ? la_fail(err, LA_NOT_FOUND,
                                     "there is no view \"%s\" any more", view->name)
                           : put_view(view, entry, &text, err);
    la_catalogue_release(catalogue);
    if (status != LA_OK) {
        la_buf_fini(&text);
        return status;
    }
    return hand_over(view->store, &text, json, err);
}

/* ---------------------------------------------------------------------- logs */

static la_status
put_log(la_store *store, const char *name, la_buf *to, la_error *err)
{
    static const char *const verdicts[8] = {"ok",       "quarantined", "duplicate",
                                            "negative", "pending",     "cancelled",
                                            "hole",     "erased"};
    la_log *log;
    la_snapshot *snapshot;
    la_status status = la_store_log(store, name, &log, err);
    if (status == LA_OK) {
        status = la_log_snapshot(log, &snapshot, err);
    }
    if (status != LA_OK) {
        return status;
    }
    uint64_t counts[8], durable, published;
    la_snapshot_counts(snapshot, counts);
    la_buf_text(to, "{\"name\":");
    la_json_put_text(to, name, strlen(name));
    la_buf_printf(to, ",\"spec\":%s,\"durable\":%llu,", la_log_spec(log),
                  (unsigned long long)la_snapshot_end(snapshot));
    status = la_log_positions(log, &durable, &published, err);
    if (status == LA_OK) {
        la_buf_printf(to, "\"published\":%llu,\"rows\":{",
                      (unsigned long long)published);
    }
    for (uint32_t i = 0; i < 8; i++) {
        la_buf_printf(to, "%s\"%s\":%llu", i == 0 ? "" : ",", verdicts[i],
                      (unsigned long long)counts[i]);
    }
    la_buf_printf(to, "},\"max_time_us\":");
    int64_t max_time = la_snapshot_max_time(snapshot);
    la_buf_printf(to, max_time == INT64_MIN ? "null" : "%lld", (long long)max_time);
    la_buf_printf(to, ",\"last_ingest_us\":%lld}",
                  (long long)la_snapshot_last_ingest(snapshot));
    la_snapshot_release(snapshot);
    return status;
}

/* All logs, by name. */
static la_status
put_logs(la_store *store, la_buf *to, la_error *err)
{
    la_buf names;
    la_buf_init(&names, store->env);
    la_status status = la_store_log_names(store, &names, err);
    const char *name = (const char *)names.data, *end = name + names.size;
    bool first = true;
    for (; status == LA_OK && name < end; name += strlen(name) + 1) {
        size_t mark = to->size;
        la_buf_text(to, first ? "" : ",");
        status = put_log(store, name, to, err);
        if (status == LA_NOT_FOUND) { /* a folder whose creation crashed */
            to->size = mark;
            status = LA_OK;
        }
        else {
            first = false;
        }
    }
    la_buf_fini(&names);
    return status;
}

la_status
la_store_status(la_store *store, char **json, la_error *err)
{
    la_catalogue *catalogue;
    la_status status = la_store_catalogue(store, &catalogue, err);
    if (status != LA_OK) {
        return status;
    }
    la_buf text;
    char hex[33];
    la_buf_init(&text, store->env);
    la_hex(store->uuid, 16, hex);
    la_buf_text(&text, "{\"path\":");
    la_json_put_text(&text, store->path, strlen(store->path));
    la_buf_printf(&text,
                  ",\"uuid\":\"%s\",\"format\":1,\"created_us\":%lld,"
                  "\"catalogue\":%llu,\"logs\":[",
                  hex, (long long)store->created_us,
                  (unsigned long long)catalogue->id.number);
    status = put_logs(store, &text, err);
    la_buf_text(&text, "],\"views\":[");
    for (uint32_t i = 0; i < catalogue->view_count && status == LA_OK; i++) {
        la_view *view;
        status = la_view_open(store, catalogue->views[i].name, &view, err);
        if (status == LA_OK) {
            la_buf_text(&text, i == 0 ? "" : ",");
            status = put_view(view, &catalogue->views[i], &text, err);
        }
    }
    la_buf_text(&text, "]}");
    la_catalogue_release(catalogue);
    if (status != LA_OK) {
        la_buf_fini(&text);
        return status;
    }
    return hand_over(store, &text, json, err);
}
