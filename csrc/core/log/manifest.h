/* SPDX-License-Identifier: Apache-2.0 */
/* What a log consists of: the manifest document and its chained pages of older
 * segments. Bytes: docs/internals/format/log.md, "Manifest". Private to log/. */
#ifndef LA_LOG_MANIFEST_H
#define LA_LOG_MANIFEST_H

#include "base/document.h"
#include "base/hash.h"
#include "base/limits.h"

#define LA_VERDICTS 8u

typedef struct la_segment_entry {
    uint64_t number;
    uint64_t first, end; /* positions */
    uint64_t size;       /* of the file, footer included */
    la_hash128 digest;
    uint32_t frames;
    uint32_t epoch; /* of its writer */
    uint64_t counts[LA_VERDICTS];
    int64_t ingest_min, ingest_max;
    int64_t event_min, event_max; /* of ok rows; INT64_MAX, INT64_MIN: none */
} la_segment_entry;

typedef struct la_page_head {
    la_doc_id id; /* number 0: no page */
    uint64_t segments;
    uint64_t end;
} la_page_head;

typedef struct la_manifest {
    const la_env *env;
    la_doc_id id;
    uint8_t uuid[16];
    char *name;
    char *spec; /* canonical JSON */
    uint64_t epoch;
    uint64_t next_segment;
    int64_t last_ingest_us;
    la_page_head head;
    la_segment_entry *segments;
    uint32_t count, capacity;
    uint64_t open_number; /* 0: none */
    uint64_t open_first;
} la_manifest;

void la_manifest_fini(la_manifest *manifest); /* accepts zeroed */
/* A deep copy with room for `more` further segments. */
LA_MUST_CHECK la_status la_manifest_copy(const la_manifest *from, uint32_t more,
                                         la_manifest *out, la_error *err);
/* First position that no sealed segment holds. */
uint64_t la_manifest_end(const la_manifest *manifest);

/* Newest manifest in the log's `folder`. `known`: number and name of one already read,
 * 0: none; when it is still the newest, *changed is false and `out` untouched. `uuid`
 * NULL: any. LA_NOT_FOUND: no manifest there. */
LA_MUST_CHECK la_status la_manifest_load(const la_env *env, const char *folder,
                                         const uint8_t *uuid, uint64_t known,
                                         bool *changed, la_manifest *out,
                                         la_error *err);
/* Manifest `number`, with digest and size as found. */
LA_MUST_CHECK la_status la_manifest_read(const la_env *env, const char *folder,
                                         const uint8_t *uuid, uint64_t number,
                                         la_manifest *out, la_error *err);
/* Writes `manifest` as the document after `previous` (NULL: first) and fills its id.
 * Moves the oldest segments to a page where there are too many. LA_UNKNOWN: it may be
 * there. */
LA_MUST_CHECK la_status la_manifest_write(const la_env *env, const char *folder,
                                          la_manifest *manifest,
                                          const la_doc_id *previous, la_error *err);
/* A page's segments appended to the array (env memory), and the page before it. */
typedef struct la_page {
    la_page_head previous;
    la_segment_entry *segments;
    uint32_t count, capacity;
} la_page;
LA_MUST_CHECK la_status la_page_read(const la_env *env, const char *folder,
                                     const uint8_t uuid[16], const la_page_head *head,
                                     la_page *out, la_error *err);
void la_page_fini(const la_env *env, la_page *page);

#endif
