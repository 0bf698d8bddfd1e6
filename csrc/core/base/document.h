/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered, immutable, self-hashed documents: how manifest and catalogue change
 * atomically. Bytes: docs/internals/format.md, "Document". */
#ifndef LA_BASE_DOCUMENT_H
#define LA_BASE_DOCUMENT_H

#include "base/json.h"

typedef enum la_doc_kind {
    LA_DOC_MANIFEST = 1,
    LA_DOC_CATALOGUE = 2,
    LA_DOC_MANIFEST_PAGE = 3,
    LA_DOC_VERSION = 4, /* one version's file list, named by the catalogue */
    LA_DOC_STORE = 5
} la_doc_kind;

typedef struct la_doc_id {
    uint64_t number;
    uint64_t size;      /* of the file */
    uint8_t digest[32]; /* SHA-256 of the whole file */
} la_doc_id;

/* Writes `body` (JSON) as document `number` in `folder` and makes it durable: tmp,
 * write, fdatasync, rename without replacing, sync the folder. `previous` may be NULL.
 * LA_CONFLICT: that number exists: somebody else published. LA_UNKNOWN: it is visible,
 * but the folder's sync failed. Publishers of one folder and kind hold a lock. `id` may
 * be NULL. */
LA_MUST_CHECK la_status la_doc_write(const la_env *env, const char *folder,
                                     la_doc_kind kind, const uint8_t uuid[16],
                                     uint64_t number, const la_doc_id *previous,
                                     const char *body, size_t size, la_doc_id *id,
                                     la_error *err);
/* Reads document `number`; `body` points into `file`, which the caller inits and finis.
 * `uuid` NULL = do not check. `expect` (may be NULL) gives size and digest it must
 * have. LA_NOT_FOUND, LA_DAMAGED, LA_NEWER. */
LA_MUST_CHECK la_status la_doc_read(const la_env *env, const char *folder,
                                    la_doc_kind kind, const uint8_t uuid[16],
                                    uint64_t number, const la_doc_id *expect,
                                    la_buf *file, const char **body, size_t *body_size,
                                    la_doc_id *id, la_error *err);
/* Number of the newest document in `folder` (by name), 0 when there is none. */
LA_MUST_CHECK la_status la_doc_newest(const la_env *env, const char *folder,
                                      la_doc_kind kind, uint64_t *number,
                                      la_error *err);
/* Unlinks documents older than `number` - `kept`, and leftover tmp files. */
void la_doc_prune(const la_env *env, const char *folder, la_doc_kind kind,
                  uint64_t number, uint64_t kept);
/* "<folder>/<20 digits>.<manifest|catalogue|page|version|store>" */
void la_doc_path(char *path, size_t size, const char *folder, la_doc_kind kind,
                 uint64_t number);

#endif
