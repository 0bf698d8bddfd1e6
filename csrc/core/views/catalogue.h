/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue: what a store publishes, one immutable number at a time. It names definitions,
 * versions and cutoffs, never segments. Bytes: docs/internals/format.md, "Catalogue". */
#ifndef LA_VIEWS_CATALOGUE_H
#define LA_VIEWS_CATALOGUE_H

#include "base/document.h"
#include "base/hash.h"
#include "fold/fold.h"

/* Look-ups go through all views one by one, and every change writes them all. */
#define LA_VIEWS_MAX 65536u

typedef struct la_view_version {
    uint64_t number;
    const char *plan; /* canonical JSON */
    uint8_t fingerprint[32];
    const char *log;
    uint64_t cutoff; /* first position not in this version */
    int64_t published_us;
    la_doc_id list; /* the version list's size and digest */
    uint64_t groups;
    uint64_t bytes;
    la_hash128 content;
    la_counts counts; /* rows of [0, cutoff) by class */
    bool incremental;
} la_view_version;

typedef struct la_view_entry {
    const char *name;
    int64_t created_us;
    const char
        *plan; /* as last defined; a candidate while the current version has another */
    uint8_t fingerprint[32];
    uint64_t current; /* version number, 0 = never published */
    uint64_t next_version;
    uint32_t version_count;
    la_view_version *versions; /* ascending numbers */
} la_view_entry;

typedef struct la_catalogue {
    uint32_t references;
    const la_env *env;
    la_arena arena; /* owns everything below */
    la_doc_id
        id; /* number 0: nothing published yet; a draft has that of its original */
    uint32_t view_count;
    la_view_entry *views;
} la_catalogue;

LA_MUST_CHECK la_status la_catalogue_new(const la_env *env, la_catalogue **out,
                                         la_error *err);
LA_MUST_CHECK la_status la_catalogue_read(const la_env *env, const char *folder,
                                          const uint8_t uuid[16], uint64_t number,
                                          la_catalogue **out, la_error *err);
/* A private copy to change and write. Strings put into it must be its arena's. */
LA_MUST_CHECK la_status la_catalogue_copy(const la_catalogue *from, la_catalogue **out,
                                          la_error *err);
/* Publishes `draft` as the number after its original's, and sets draft->id. LA_CONFLICT:
 * somebody published first. The one atomic step of the system. */
LA_MUST_CHECK la_status la_catalogue_write(la_catalogue *draft, const char *folder,
                                           const uint8_t uuid[16], la_error *err);
la_catalogue *la_catalogue_retain(la_catalogue *catalogue);
void la_catalogue_release(la_catalogue *catalogue);

la_view_entry *la_catalogue_view(const la_catalogue *catalogue, const char *name);
la_view_version *la_view_entry_version(const la_view_entry *view, uint64_t number);
static inline la_view_version *
la_view_entry_current(const la_view_entry *view)
{
    return view->current == 0 ? NULL : la_view_entry_version(view, view->current);
}
/* Room for one more view or version at the end (drafts only); NULL: out of memory. */
la_view_entry *la_catalogue_add_view(la_catalogue *draft);
la_view_version *la_view_entry_add_version(la_catalogue *draft, la_view_entry *view);

void la_counts_put(la_buf *to, const la_counts *counts); /* JSON object */
void la_counts_add(la_counts *into, const la_counts *from);

#endif
