/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk's key columns as columns of words: the first half of finding groups. */
#ifndef LA_FOLD_GROUP_WORDS_H
#define LA_FOLD_GROUP_WORDS_H

#include "base/hash.h"
#include "fold/group.h"

/* Words, null bits and the constant flag of key `k`. */
LA_MUST_CHECK la_status la_groups_load(la_groups *groups, uint32_t k, const la_vec *vec,
                                       const uint32_t *rows, uint32_t count,
                                       la_error *err);
/* Hashes of the loaded rows into places. */
void la_groups_hash(la_groups *groups, uint32_t count);

static inline uint64_t
la_hash_step(uint64_t hash, uint64_t word)
{
    return la_mix64(hash ^ word);
}

#endif
