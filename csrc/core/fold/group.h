/* SPDX-License-Identifier: Apache-2.0 */
/* The group table: (key values, window) -> group number, from 0 in order of first
 * appearance.
 *
 * A group is a row of words: one a key, then the window index where there are windows,
 * then the null bits (bit k: key k is null, its word is 0). Key words are those of
 * fold/kernel.h; for texts the id in the key's own la_intern. */
#ifndef LA_FOLD_GROUP_H
#define LA_FOLD_GROUP_H

#include "base/limits.h"
#include "expr/program.h"
#include "fold/intern.h"

#define LA_PARTS_MAX (LA_KEYS_MAX + 1)

typedef struct la_group_part {
    la_type type;
    bool text;
    la_intern intern; /* text */
    /* What the groups hold, signed; low > high: nothing yet. `nulls`: null too. */
    int64_t low, high;
    bool nulls;
    /* Direct mode: cell bits [shift, shift + bits) are word - base, and 0 is null's
     * where `nulls`: values then begin at 1. */
    uint64_t base;
    uint32_t bits, shift;
} la_group_part;

typedef struct la_groups {
    const la_env *env;
    uint32_t key_count;
    uint32_t part_count; /* keys, and the window */
    uint32_t width;      /* words of a row */
    la_group_part parts[LA_PARTS_MAX];
    uint64_t *rows;
    uint32_t count, capacity;
    /* One of the two finds groups. */
    bool direct;
    bool never_direct; /* float keys spread too far */
    uint32_t *cells;   /* direct: group + 1, 0 = none; 1 << cell_bits of them */
    uint32_t cell_bits;
    size_t cell_capacity;
    uint64_t *slots; /* hash << 32 | group + 1; a power of two, at most half full */
    uint32_t slot_count;
    /* One chunk's words, part by part, row by row as they are counted. */
    uint64_t *words;
    uint32_t *nulls;             /* bits a row, where any_null */
    uint32_t *places;            /* cell or hash a row */
    bool constant[LA_PARTS_MAX]; /* the first word stands for all rows */
    uint32_t null_parts;         /* keys that have nulls in this chunk */
} la_groups;

LA_MUST_CHECK la_status la_groups_init(la_groups *groups, const la_env *env,
                                       const la_type *types, uint32_t key_count,
                                       bool windowed, la_error *err);
void la_groups_fini(la_groups *groups);
void la_groups_clear(la_groups *groups); /* memory kept */
size_t la_groups_memory(const la_groups *groups);

/* Where a chunk's window indices go before la_groups_assign. */
int64_t *la_groups_windows(la_groups *groups);

/* Group numbers of `count` rows of a chunk, those of `rows` where given, made where
 * there are none: to[row]. *single: all in one group. `one_window`: only the first
 * index was written. */
LA_MUST_CHECK la_status la_groups_assign(la_groups *groups, const la_vec *keys,
                                         bool one_window, const uint32_t *rows,
                                         uint32_t count, uint32_t *to, bool *single,
                                         la_error *err);
/* Group of one row of words (texts interned here already). */
LA_MUST_CHECK la_status la_groups_put(la_groups *groups, const uint64_t *row,
                                      uint32_t *group, la_error *err);
/* UINT32_MAX: none. */
uint32_t la_groups_find(const la_groups *groups, const uint64_t *row);

static inline const uint64_t *
la_groups_row(const la_groups *groups, uint32_t group)
{
    return groups->rows + (size_t)group * groups->width;
}
static inline uint32_t
la_groups_null_bits(const la_groups *groups, const uint64_t *row)
{
    return (uint32_t)row[groups->width - 1];
}

#endif
