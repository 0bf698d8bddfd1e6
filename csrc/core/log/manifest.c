/* SPDX-License-Identifier: Apache-2.0 */
/* Manifest and pages: JSON bodies <-> structs.
 *
 * Invariants
 *  1. Segments follow each other without gap: entry i ends where entry i + 1 begins,
 *     the first entry begins where the head page ends, the open segment where the last
 *     one ends.
 *  2. A page is written and durable before the manifest that names it; a page that no
 *     manifest names is debris and is never read.
 *  3. A manifest changes by writing the next number. Its writer holds the log's lock.
 */
#include "log/manifest.h"

#include <stdio.h>

#include "base/error.h"
#include "base/file.h"

/* Entries that move to a page at a time, so that most seals write no page. */
#define PAGE_ENTRIES (LA_MANIFEST_ENTRIES_MAX / 2)

void
la_manifest_fini(la_manifest *manifest)
{
    if (manifest->env == NULL) {
        return;
    }
    la_strfree(manifest->env, manifest->name);
    la_strfree(manifest->env, manifest->spec);
    la_dealloc(manifest->env, manifest->segments,
               sizeof *manifest->segments * manifest->capacity);
    memset(manifest, 0, sizeof *manifest);
}

static la_status
copy_text(const la_env *env, const char *from, char **out, la_error *err)
{
    if (from == NULL) {
        return LA_OK;
    }
    *out = la_strdup(env, from);
    return *out == NULL ? la_fail_nomem(err, strlen(from) + 1) : LA_OK;
}

la_status
la_manifest_copy(const la_manifest *from, uint32_t more, la_manifest *out,
                 la_error *err)
{
    la_manifest copy = *from;
    la_status status;

    copy.name = copy.spec = NULL;
    copy.capacity = from->count + more + 1;
    copy.segments = la_alloc(from->env, sizeof *copy.segments * copy.capacity);
    if (copy.segments == NULL) {
        return la_fail_nomem(err, sizeof *copy.segments * copy.capacity);
    }
    if (from->count != 0) {
        memcpy(copy.segments, from->segments, sizeof *copy.segments * from->count);
    }
    status = copy_text(from->env, from->name, &copy.name, err);
    if (status == LA_OK) {
        status = copy_text(from->env, from->spec, &copy.spec, err);
    }
    if (status != LA_OK) {
        la_manifest_fini(&copy);
        return status;
    }
    *out = copy;
    return LA_OK;
}

uint64_t
la_manifest_end(const la_manifest *manifest)
{
    return manifest->count != 0 ? manifest->segments[manifest->count - 1].end
                                : manifest->head.end;
}

/* ------------------------------------------------------------------- writing */

static void
put_entry(la_buf *to, const la_segment_entry *e)
{
    char digest[33];

    la_hex(&e->digest, 16, digest);
    la_buf_printf(to,
                  "{\"number\":%llu,\"first\":%llu,\"end\":%llu,\"size\":%llu,"
                  "\"digest\":\"%s\",\"frames\":%u,\"epoch\":%u,\"counts\":[",
                  (unsigned long long)e->number, (unsigned long long)e->first,
                  (unsigned long long)e->end, (unsigned long long)e->size, digest,
                  e->frames, e->epoch);
    for (uint32_t i = 0; i < LA_VERDICTS; i++) {
        la_buf_printf(to, i == 0 ? "%llu" : ",%llu", (unsigned long long)e->counts[i]);
    }
    la_buf_printf(to,
                  "],\"ingest_min\":%lld,\"ingest_max\":%lld,\"event_min\":%lld,"
                  "\"event_max\":%lld}",
                  (long long)e->ingest_min, (long long)e->ingest_max,
                  (long long)e->event_min, (long long)e->event_max);
}

static void
put_entries(la_buf *to, const la_segment_entry *entries, uint32_t count)
{
    la_buf_text(to, "[");
    for (uint32_t i = 0; i < count; i++) {
        if (i != 0) {
            la_buf_text(to, ",");
        }
        put_entry(to, &entries[i]);
    }
    la_buf_text(to, "]");
}

static void
put_head(la_buf *to, const la_page_head *head)
{
    char digest[65];

    if (head->id.number == 0) {
        la_buf_text(to, "null");
        return;
    }
    la_hex(head->id.digest, 32, digest);
    la_buf_printf(to,
                  "{\"page\":%llu,\"size\":%llu,\"digest\":\"%s\",\"segments\":%llu,"
                  "\"end\":%llu}",
                  (unsigned long long)head->id.number,
                  (unsigned long long)head->id.size, digest,
                  (unsigned long long)head->segments, (unsigned long long)head->end);
}

static void
put_manifest(la_buf *to, const la_manifest *m)
{
    la_buf_text(to, "{\"name\":");
    la_json_put_text(to, m->name, strlen(m->name));
    la_buf_text(to, ",\"spec\":");
    la_buf_text(to, m->spec);
    la_buf_printf(to, ",\"epoch\":%llu,\"next_segment\":%llu,\"last_ingest_us\":%lld,",
                  (unsigned long long)m->epoch, (unsigned long long)m->next_segment,
                  (long long)m->last_ingest_us);
    la_buf_text(to, "\"head\":");
    put_head(to, &m->head);
    la_buf_text(to, ",\"segments\":");
    put_entries(to, m->segments, m->count);
    if (m->open_number == 0) {
        la_buf_text(to, ",\"open\":null}");
    }
    else {
        la_buf_printf(to, ",\"open\":{\"number\":%llu,\"first\":%llu}}",
                      (unsigned long long)m->open_number,
                      (unsigned long long)m->open_first);
    }
}

static la_status
move_to_page(const la_env *env, const char *folder, la_manifest *m, la_error *err)
{
    char pages[LA_PATH_BYTES_MAX];
    la_page_head head = {.segments = m->head.segments + PAGE_ENTRIES,
                         .end = m->segments[PAGE_ENTRIES - 1].end};
    uint64_t newest;
    la_buf body;
    la_status status;

    status = la_path_join(pages, sizeof pages, folder, "pages", err);
    if (status == LA_OK) {
        status = la_doc_newest(env, pages, LA_DOC_MANIFEST_PAGE, &newest, err);
    }
    if (status != LA_OK) {
        return status;
    }
    la_buf_init(&body, env);
    la_buf_text(&body, "{\"previous\":");
    put_head(&body, &m->head);
    la_buf_text(&body, ",\"segments\":");
    put_entries(&body, m->segments, PAGE_ENTRIES);
    la_buf_text(&body, "}");
    if (body.failed) {
        status = la_fail_nomem(err, body.capacity);
    }
    else {
        status = la_doc_write(env, pages, LA_DOC_MANIFEST_PAGE, m->uuid, newest + 1,
                              m->head.id.number != 0 ? &m->head.id : NULL,
                              (const char *)body.data, body.size, &head.id, err);
        if (status == LA_UNKNOWN) {
            /* Nothing names the page yet, so its fate does not matter. */
            status = LA_IO;
            if (err != NULL) {
                err->status = LA_IO;
            }
        }
    }
    la_buf_fini(&body);
    if (status != LA_OK) {
        return status;
    }
    m->head = head;
    m->count -= PAGE_ENTRIES;
    memmove(m->segments, m->segments + PAGE_ENTRIES, sizeof *m->segments * m->count);
    return LA_OK;
}

la_status
la_manifest_write(const la_env *env, const char *folder, la_manifest *manifest,
                  const la_doc_id *previous, la_error *err)
{
    char documents[LA_PATH_BYTES_MAX];
    uint64_t number = previous == NULL ? 1 : previous->number + 1;
    la_buf body;
    la_status status;

    status = la_path_join(documents, sizeof documents, folder, "manifest", err);
    if (status == LA_OK && manifest->count > LA_MANIFEST_ENTRIES_MAX) {
        status = move_to_page(env, folder, manifest, err);
    }
    if (status != LA_OK) {
        return status;
    }
    la_buf_init(&body, env);
    put_manifest(&body, manifest);
    if (body.failed) {
        status = la_fail_nomem(err, body.capacity);
    }
    else {
        status = la_doc_write(env, documents, LA_DOC_MANIFEST, manifest->uuid, number,
                              previous, (const char *)body.data, body.size,
                              &manifest->id, err);
    }
    la_buf_fini(&body);
    if (status == LA_OK) {
        la_doc_prune(env, documents, LA_DOC_MANIFEST, number, LA_DOCUMENTS_KEPT);
    }
    return status;
}

/* ------------------------------------------------------------------- reading */

static la_status
get_u32(const la_json *object, const char *name, uint32_t *out, la_error *err)
{
    uint64_t wide;
    la_status status = la_json_u64(object, name, &wide, err);

    if (status == LA_OK && wide > UINT32_MAX) {
        return la_fail(err, LA_INVALID, "\"%s\" is too large", name);
    }
    if (status == LA_OK) {
        *out = (uint32_t)wide;
    }
    return status;
}

#define GET(call)                                                                      \
    do {                                                                               \
        la_status get_status = (call);                                                 \
        if (get_status != LA_OK) {                                                     \
            return get_status;                                                         \
        }                                                                              \
    } while (0)

static la_status
get_entry(const la_json *node, la_segment_entry *e, la_error *err)
{
    const la_json *counts;

    memset(e, 0, sizeof *e);
    GET(la_json_u64(node, "number", &e->number, err));
    GET(la_json_u64(node, "first", &e->first, err));
    GET(la_json_u64(node, "end", &e->end, err));
    GET(la_json_u64(node, "size", &e->size, err));
    GET(la_json_hex(node, "digest", &e->digest, 16, err));
    GET(get_u32(node, "frames", &e->frames, err));
    GET(get_u32(node, "epoch", &e->epoch, err));
    GET(la_json_array(node, "counts", &counts, err));
    for (uint32_t i = 0; i < LA_VERDICTS && i < counts->list.count; i++) {
        const la_json *item = &counts->list.items[i];
        if (item->kind != LA_J_INT || item->i64 < 0) {
            return la_fail(err, LA_INVALID,
                           "\"counts\" holds something else than counts");
        }
        e->counts[i] = (uint64_t)item->i64;
    }
    GET(la_json_i64(node, "ingest_min", &e->ingest_min, err));
    GET(la_json_i64(node, "ingest_max", &e->ingest_max, err));
    GET(la_json_i64(node, "event_min", &e->event_min, err));
    GET(la_json_i64(node, "event_max", &e->event_max, err));
    if (e->number == 0 || e->end <= e->first || e->frames == 0 || e->size > INT64_MAX) {
        return la_fail(err, LA_INVALID, "segment %llu has impossible numbers",
                       (unsigned long long)e->number);
    }
    return LA_OK;
}

static la_status
get_entries(const la_env *env, const la_json *object, uint64_t *end,
            la_segment_entry **out, uint32_t *count, la_error *err)
{
    const la_json *list;
    la_segment_entry *entries;

    GET(la_json_array(object, "segments", &list, err));
    entries =
        la_calloc(env, list->list.count == 0 ? 1 : list->list.count, sizeof *entries);
    if (entries == NULL) {
        return la_fail_nomem(err, list->list.count * sizeof *entries);
    }
    *out = entries;
    *count = list->list.count;
    for (uint32_t i = 0; i < list->list.count; i++) {
        GET(get_entry(&list->list.items[i], &entries[i], err));
        if (entries[i].first != *end) {
            return la_fail(
                err, LA_INVALID, "segment %llu begins at position %llu, not at %llu",
                (unsigned long long)entries[i].number,
                (unsigned long long)entries[i].first, (unsigned long long)*end);
        }
        *end = entries[i].end;
    }
    return LA_OK;
}

static la_status
get_head(const la_json *object, const char *name, la_page_head *head, la_error *err)
{
    const la_json *node = la_json_get(object, name);

    memset(head, 0, sizeof *head);
    if (node == NULL) {
        return la_fail(err, LA_INVALID, "\"%s\" is missing", name);
    }
    if (node->kind == LA_J_NULL) {
        return LA_OK;
    }
    GET(la_json_u64(node, "page", &head->id.number, err));
    GET(la_json_u64(node, "size", &head->id.size, err));
    GET(la_json_hex(node, "digest", head->id.digest, 32, err));
    GET(la_json_u64(node, "segments", &head->segments, err));
    GET(la_json_u64(node, "end", &head->end, err));
    if (head->id.number == 0) {
        return la_fail(err, LA_INVALID, "\"%s\" names page 0", name);
    }
    return LA_OK;
}

static la_status
get_spec(const la_env *env, const la_json *root, la_manifest *m, la_error *err)
{
    const la_json *spec = la_json_get(root, "spec");
    la_buf text;
    la_status status = LA_OK;

    if (spec == NULL || spec->kind != LA_J_OBJECT) {
        return la_fail(err, LA_INVALID, "\"spec\" is missing");
    }
    la_buf_init(&text, env);
    la_json_put(&text, spec);
    if (!text.failed) {
        m->spec = la_strndup(env, (const char *)text.data, text.size);
    }
    if (m->spec == NULL) {
        status = la_fail_nomem(err, text.size);
    }
    la_buf_fini(&text);
    return status;
}

static la_status
get_manifest(const la_env *env, const la_json *root, la_manifest *m, la_error *err)
{
    const la_json *open;
    const char *name;
    uint64_t end;
    size_t size;

    GET(la_json_text(root, "name", &name, &size, err));
    m->name = la_strndup(env, name, size);
    if (m->name == NULL) {
        return la_fail_nomem(err, size);
    }
    GET(get_spec(env, root, m, err));
    GET(la_json_u64(root, "epoch", &m->epoch, err));
    GET(la_json_u64(root, "next_segment", &m->next_segment, err));
    GET(la_json_i64(root, "last_ingest_us", &m->last_ingest_us, err));
    GET(get_head(root, "head", &m->head, err));
    end = m->head.end;
    GET(get_entries(env, root, &end, &m->segments, &m->count, err));
    m->capacity = m->count == 0 ? 1 : m->count;
    open = la_json_get(root, "open");
    if (open != NULL && open->kind != LA_J_NULL) {
        GET(la_json_u64(open, "number", &m->open_number, err));
        GET(la_json_u64(open, "first", &m->open_first, err));
        if (m->open_number == 0 || m->open_first != end) {
            return la_fail(err, LA_INVALID,
                           "the open segment begins at position %llu, not at %llu",
                           (unsigned long long)m->open_first, (unsigned long long)end);
        }
    }
    if (m->epoch >= UINT32_MAX) {
        return la_fail(err, LA_INVALID, "the epoch is too large");
    }
    return LA_OK;
}

/* The text of a document was checked against its hash, so what does not parse was
 * written wrong: damage, named as such. */
static la_status
as_damage(la_status status, const char *path, la_error *err)
{
    char why[300] = "";

    if (status != LA_INVALID) {
        return status;
    }
    if (err != NULL) {
        snprintf(why, sizeof why, "%.299s", err->message);
    }
    return la_fail_damaged(err, path, 96, "could not read \"%s\": %s", path, why);
}

la_status
la_manifest_read(const la_env *env, const char *folder, const uint8_t *uuid,
                 uint64_t number, la_manifest *out, la_error *err)
{
    char documents[LA_PATH_BYTES_MAX], path[LA_PATH_BYTES_MAX];
    la_manifest m = {.env = env};
    const la_json *root;
    const char *body;
    size_t size;
    la_buf file;
    la_arena arena;
    la_status status;

    status = la_path_join(documents, sizeof documents, folder, "manifest", err);
    if (status != LA_OK) {
        return status;
    }
    la_buf_init(&file, env);
    la_arena_init(&arena, env);
    status = la_doc_read(env, documents, LA_DOC_MANIFEST, uuid, number, NULL, &file,
                         &body, &size, &m.id, err);
    if (status == LA_OK) {
        memcpy(m.uuid, file.data + 16, 16);
        status = la_json_parse(&arena, body, size, &root, err);
        if (status == LA_OK) {
            status = get_manifest(env, root, &m, err);
        }
        la_doc_path(path, sizeof path, documents, LA_DOC_MANIFEST, number);
        status = as_damage(status, path, err);
    }
    if (m.capacity == 0 && m.segments != NULL) {
        m.capacity = m.count == 0 ? 1 : m.count;
    }
    la_arena_fini(&arena);
    la_buf_fini(&file);
    if (status != LA_OK) {
        la_manifest_fini(&m);
        return status;
    }
    *out = m;
    return LA_OK;
}

la_status
la_manifest_load(const la_env *env, const char *folder, const uint8_t *uuid,
                 uint64_t known, bool *changed, la_manifest *out, la_error *err)
{
    char documents[LA_PATH_BYTES_MAX];
    la_status status;

    status = la_path_join(documents, sizeof documents, folder, "manifest", err);
    if (status != LA_OK) {
        return status;
    }
    for (int i = 0;; i++) {
        uint64_t number;

        status = la_doc_newest(env, documents, LA_DOC_MANIFEST, &number, err);
        if (status != LA_OK) {
            return status;
        }
        if (number == 0) {
            status = la_fail(err, LA_NOT_FOUND,
                             "could not open log in \"%s\": no manifest", folder);
            la_error_path(err, documents);
            return status;
        }
        if (number == known) {
            *changed = false;
            return LA_OK;
        }
        status = la_manifest_read(env, folder, uuid, number, out, err);
        /* Absent: a writer published eight more since the listing and pruned it. */
        if (status != LA_NOT_FOUND || i == 8) {
            *changed = true;
            return status;
        }
    }
}

la_status
la_page_read(const la_env *env, const char *folder, const uint8_t uuid[16],
             const la_page_head *head, la_page *out, la_error *err)
{
    char pages[LA_PATH_BYTES_MAX], path[LA_PATH_BYTES_MAX];
    la_page page = {0};
    const la_json *root;
    const char *body;
    size_t size;
    la_buf file;
    la_arena arena;
    la_status status;

    status = la_path_join(pages, sizeof pages, folder, "pages", err);
    if (status != LA_OK) {
        return status;
    }
    la_doc_path(path, sizeof path, pages, LA_DOC_MANIFEST_PAGE, head->id.number);
    la_buf_init(&file, env);
    la_arena_init(&arena, env);
    status = la_doc_read(env, pages, LA_DOC_MANIFEST_PAGE, uuid, head->id.number,
                         &head->id, &file, &body, &size, NULL, err);
    if (status == LA_NOT_FOUND) {
        status = la_fail_damaged(err, path, 0,
                                 "could not read \"%s\": the file is missing", path);
    }
    if (status == LA_OK) {
        uint64_t end = 0;

        status = la_json_parse(&arena, body, size, &root, err);
        if (status == LA_OK) {
            status = get_head(root, "previous", &page.previous, err);
        }
        if (status == LA_OK) {
            end = page.previous.end;
            status = get_entries(env, root, &end, &page.segments, &page.count, err);
        }
        if (status == LA_OK &&
            (end != head->end ||
             page.previous.segments + page.count != head->segments)) {
            status = la_fail(err, LA_INVALID, "it does not end where it should");
        }
        status = as_damage(status, path, err);
    }
    page.capacity = page.count == 0 ? 1 : page.count;
    la_arena_fini(&arena);
    la_buf_fini(&file);
    if (status != LA_OK) {
        la_page_fini(env, &page);
        return status;
    }
    *out = page;
    return LA_OK;
}

void
la_page_fini(const la_env *env, la_page *page)
{
    la_dealloc(env, page->segments, sizeof *page->segments * page->capacity);
    memset(page, 0, sizeof *page);
}
