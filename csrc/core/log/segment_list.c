/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of sealed segments: what one manifest names, opened.
 *
 * Invariants
 *  1. A list is immutable; a new manifest gives a new list, which shares the segments
 *     that did not change.
 *  2. All files of a list are open (mapped) before anything sees it, so a later unlink
 *     takes nothing away.
 */
#include "base/error.h"
#include "log/segment.h"

la_segment_list *
la_segment_list_retain(la_segment_list *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void
la_segment_list_release(la_segment_list *list)
{
    if (list == NULL ||
        atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < list->count; i++) {
        la_segment_release(list->segments[i]);
    }
    la_dealloc(list->env, list, sizeof *list + sizeof(la_segment *) * list->count);
}

uint32_t
la_segment_list_find(const la_segment_list *list, uint64_t position)
{
    uint32_t low = 0, high = list->count;

    if (position >= list->end) {
        return list->count;
    }
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (list->segments[mid]->first <= position) {
            low = mid;
        }
        else {
            high = mid;
        }
    }
    return low;
}

static la_segment *
find_same(const la_segment_list *old, const la_segment_entry *entry)
{
    uint32_t i;

    if (old == NULL) {
        return NULL;
    }
    i = la_segment_list_find(old, entry->first);
    if (i < old->count && memcmp(&old->segments[i]->entry, entry, sizeof *entry) == 0) {
        return old->segments[i];
    }
    return NULL;
}

static void
add_entry(la_segment_list *list, const la_segment_entry *entry)
{
    for (uint32_t i = 0; i < LA_VERDICTS; i++) {
        list->counts[i] += entry->counts[i];
    }
    if (entry->event_max > list->max_time) {
        list->max_time = entry->event_max;
    }
    list->last_ingest = entry->ingest_max;
    list->end = entry->end;
}

static bool
same_head(const la_segment_list *old, const la_page_head *head)
{
    return old != NULL && old->head.id.number == head->id.number &&
           memcmp(old->head.id.digest, head->id.digest, 32) == 0;
}

/* Pages from the head back to what `old` knows, as a chain with the oldest first. */
static la_status
read_pages(const la_env *env, const char *folder, const la_manifest *manifest,
           const la_segment_list *old, la_page **pages, uint32_t *count,
           uint32_t *capacity, la_error *err)
{
    la_page_head head = manifest->head;

    while (head.id.number != 0 && !same_head(old, &head)) {
        la_status status;

        if (*count == *capacity) {
            uint32_t wanted = *capacity * 2 + 8;
            la_page *grown = la_realloc(env, *pages, sizeof **pages * *capacity,
                                        sizeof **pages * wanted);
            if (grown == NULL) {
                return la_fail_nomem(err, sizeof **pages * wanted);
            }
            *pages = grown;
            *capacity = wanted;
        }
        status =
            la_page_read(env, folder, manifest->uuid, &head, &(*pages)[*count], err);
        if (status != LA_OK) {
            return status;
        }
        head = (*pages)[*count].previous;
        (*count)++;
    }
    return LA_OK;
}

static la_status
add_segments(la_segment_list *list, const char *folder, const la_manifest *manifest,
             const la_segment_entry *entries, uint32_t count,
             const la_segment_list *old, la_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        la_segment *segment = find_same(old, &entries[i]);
        la_status status;

        if (segment != NULL) {
            la_segment_retain(segment);
        }
        else {
            status = la_segment_open_sealed(list->env, folder, manifest->uuid,
                                            &entries[i], &segment, err);
            if (status != LA_OK) {
                return status;
            }
        }
        list->segments[list->count++] = segment;
        add_entry(list, &entries[i]);
    }
    return LA_OK;
}

la_status
la_segment_list_load(const la_env *env, const char *folder, const la_manifest *manifest,
                     const la_segment_list *old, la_segment_list **out, la_error *err)
{
    la_page *pages = NULL;
    uint32_t page_count = 0, page_capacity = 0;
    uint64_t total = manifest->head.segments + manifest->count;
    size_t size = 0;
    la_segment_list *list = NULL;
    la_status status;

    status = read_pages(env, folder, manifest, old, &pages, &page_count, &page_capacity,
                        err);
    if (status != LA_OK) {
        goto done;
    }
    size = sizeof *list + sizeof(la_segment *) * (size_t)total;
    list = la_calloc(env, 1, size);
    if (list == NULL) {
        status = la_fail_nomem(err, size);
        goto done;
    }
    list->env = env;
    atomic_init(&list->references, 1);
    list->max_time = INT64_MIN;
    list->head = manifest->head;
    if (old != NULL && old->head.id.number != 0 &&
        (page_count != 0 ? same_head(old, &pages[page_count - 1].previous)
                         : same_head(old, &manifest->head))) {
        for (uint32_t i = 0; i < old->head.segments; i++) {
            list->segments[list->count++] = la_segment_retain(old->segments[i]);
            add_entry(list, &old->segments[i]->entry);
        }
    }
    for (uint32_t i = page_count; i > 0 && status == LA_OK; i--) {
        status = add_segments(list, folder, manifest, pages[i - 1].segments,
                              pages[i - 1].count, old, err);
    }
    if (status == LA_OK) {
        status = add_segments(list, folder, manifest, manifest->segments,
                              manifest->count, old, err);
    }
done:
    for (uint32_t i = 0; i < page_count; i++) {
        la_page_fini(env, &pages[i]);
    }
    la_dealloc(env, pages, sizeof *pages * page_capacity);
    if (status != LA_OK) {
        if (list != NULL) {
            for (uint32_t i = 0; i < list->count; i++) {
                la_segment_release(list->segments[i]);
            }
            la_dealloc(env, list, size);
        }
        return status;
    }
    *out = list;
    return LA_OK;
}
