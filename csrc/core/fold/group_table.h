/* SPDX-License-Identifier: Apache-2.0 */
/* The tables behind la_groups. Private to group.c. */
#ifndef LA_FOLD_GROUP_TABLE_H
#define LA_FOLD_GROUP_TABLE_H

#include "fold/group.h"

/* Direct: the cell of a row; false: it lies outside the ranges. */
bool la_table_cell(const la_groups *groups, const uint64_t *row, uint32_t *cell);
/* Ranges that also hold this word or row; la_table_fit makes a table of them. */
static inline void
la_table_widen(la_group_part *part, int64_t word)
{
    part->low = word < part->low ? word : part->low;
    part->high = word > part->high ? word : part->high;
}
void la_table_widen_row(la_groups *groups, const uint64_t *row);
/* Direct, after widening: lays out cells anew, or becomes hashed with room for `room`
 * more groups. */
LA_MUST_CHECK la_status la_table_fit(la_groups *groups, uint32_t room, la_error *err);
/* Hashed: room for `more` groups. At a growth the table may become direct. */
LA_MUST_CHECK la_status la_table_reserve(la_groups *groups, uint32_t more,
                                         la_error *err);
uint32_t la_table_hash(const la_groups *groups, const uint64_t *row);

#endif
