/* SPDX-License-Identifier: Apache-2.0 */
/* The files of one version: partitions and deltas. Bytes: docs/internals/format.md. */
#ifndef LA_VIEWS_VERSION_LIST_H
#define LA_VIEWS_VERSION_LIST_H

#include "base/document.h"
#include "views/groups.h"

/* A partition of a view: the calendar period that holds a group's window start, by the
 * period's start in microseconds; without windows, a hash bucket of the key by number. */
typedef struct la_partition {
    int64_t id;
    la_partfile_ref base;
    uint64_t groups;    /* base and deltas merged */
    la_hash128 content; /* likewise */
} la_partition;

typedef struct la_version_list {
    const la_env *env;
    la_partition *partitions; /* ascending id */
    uint32_t partition_count, partition_capacity;
    la_partfile_ref deltas[LA_DELTAS_MAX];
    uint32_t delta_count;
    uint32_t bucket_bits;
} la_version_list;

void la_version_list_init(la_version_list *list, const la_env *env);
void la_version_list_fini(la_version_list *list);
la_partition *la_version_list_find(const la_version_list *list, int64_t id);
/* The partition with `id`, added empty when absent; NULL: out of memory. Moves others. */
la_partition *la_version_list_add(la_version_list *list, int64_t id);
uint64_t la_version_list_groups(const la_version_list *list);
uint64_t la_version_list_bytes(const la_version_list *list);
la_hash128 la_version_list_content(const la_version_list *list);

LA_MUST_CHECK la_status la_version_list_write(const la_version_list *list,
                                              const char *folder,
                                              const uint8_t uuid[16], uint64_t number,
                                              la_doc_id *id, la_error *err);
LA_MUST_CHECK la_status la_version_list_read(const la_env *env, const char *folder,
                                             const uint8_t uuid[16],
                                             const la_doc_id *id, la_version_list *list,
                                             la_error *err);

/* Where a group belongs. */
int64_t la_partition_of_window(const la_window *window, int64_t start_us);
/* First id past the partition `id` (windowed views). */
int64_t la_partition_end(const la_window *window, int64_t id);
int64_t la_partition_of_key(const void *key, size_t size, uint32_t bucket_bits);

#endif
