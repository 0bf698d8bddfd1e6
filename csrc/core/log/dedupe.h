/* SPDX-License-Identifier: Apache-2.0 */
/* The exact set of ids of ok rows: 16-byte key -> position. In memory, rebuilt at the
 * first append. Private to log/. */
#ifndef LA_LOG_DEDUPE_H
#define LA_LOG_DEDUPE_H

#include "base/mem.h"

typedef struct la_dedupe_slot {
    uint64_t lo, hi;   /* the key; an integer: its value and a tag, else XXH3-128 */
    uint64_t position; /* LA_NO_POSITION: free */
} la_dedupe_slot;

typedef struct la_dedupe {
    const la_env *env;
    la_dedupe_slot *slots;
    uint64_t capacity; /* power of two, 0: none yet */
    uint64_t count;
    la_dedupe_slot *keys; /* scratch: keys of a chunk's rows */
    uint64_t key_capacity;
    la_buf text;
} la_dedupe;

void la_dedupe_init(la_dedupe *set, const la_env *env);
void la_dedupe_fini(la_dedupe *set); /* accepts zeroed */
/* Room for `more` ids: adding them cannot fail then. */
LA_MUST_CHECK la_status la_dedupe_reserve(la_dedupe *set, uint64_t more, la_error *err);
/* Keys of rows [0, rows) into set->keys; position LA_NO_POSITION where an id is null,
 * which never is a duplicate. */
LA_MUST_CHECK la_status la_dedupe_keys(la_dedupe *set, const la_column *columns,
                                       const uint32_t *ids, uint32_t id_count,
                                       uint32_t rows, la_error *err);
/* Adds the keys of rows whose verdict is ok. A row whose key is there already becomes a
 * duplicate with its target, unless `trust` (rebuilding from the log: later ones are
 * ignored). Needs la_dedupe_reserve. */
void la_dedupe_add(la_dedupe *set, uint64_t position, uint32_t rows, uint8_t *verdicts,
                   uint64_t *targets, bool trust);
/* Takes back what the last la_dedupe_add of these keys added. */
void la_dedupe_undo(la_dedupe *set, uint64_t position, uint32_t rows,
                    const uint8_t *verdicts);

#endif
