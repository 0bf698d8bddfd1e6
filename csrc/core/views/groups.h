/* SPDX-License-Identifier: Apache-2.0 */
/* Partition files: sorted groups and their states. Bytes: docs/internals/format/groups.md. */
#ifndef LA_VIEWS_GROUPS_H
#define LA_VIEWS_GROUPS_H

#include "base/hash.h"
#include "codec/codec.h"
#include "fold/fold.h"

/* A file as the version list names it. */
typedef struct la_partfile_ref {
    char name[80]; /* "<32 hex>.groups" in the view's folder, "" = none */
    uint64_t size;
    la_hash128 digest;
    uint64_t groups;
} la_partfile_ref;

/* Writes groups `order[0..count)` of `fold` (in key order) as a durable file in `folder`. Equal
 * content that is already there is shared. `content` gets the content hash. */
LA_MUST_CHECK la_status la_partfile_write(const la_env *env, la_codec *codec,
                                          const char *folder, const la_fold *fold,
                                          const uint32_t *order, uint32_t count,
                                          la_partfile_ref *ref, la_hash128 *content,
                                          la_error *err);
/* Content hash of one group: XXH3-128(u32 key size ++ key ++ states). */
la_hash128 la_partfile_hash(la_buf *scratch, const la_fold *fold, uint32_t group);
la_hash128 la_hash128_add(la_hash128 a, la_hash128 b); /* modulo 2^128 */
la_hash128 la_hash128_sub(la_hash128 a, la_hash128 b);

/* Merges all groups of a file into `fold`. LA_DAMAGED names file and byte; LA_NOT_FOUND: the
 * file is missing, which is damage unless the version was dropped meanwhile. */
LA_MUST_CHECK la_status la_partfile_load(const la_env *env, const char *folder,
                                         const la_partfile_ref *ref, la_fold *fold,
                                         la_error *err);
/* Every byte against the referrer's digest. */
LA_MUST_CHECK la_status la_partfile_verify(const la_env *env, const char *folder,
                                           const la_partfile_ref *ref, la_error *err);

#endif
