/* SPDX-License-Identifier: Apache-2.0 */
/* The two tables from rows of words to groups, and when one becomes the other.
 *
 *   direct   cell = packed (word - base) of every part       one load a row
 *   hashed   slot = hash & mask, linear probing               two or three loads a row
 *
 * Invariants
 *  1. A table is only a way to find rows of words; which one is used shows nowhere.
 *  2. Direct: every group's words lie within its parts' ranges, and cells <=
 *     2^CELL_BITS_MAX and <= 32 a group (4,096 always): an empty cell costs memory, not
 *     time.
 *  3. A direct table whose ranges grow is rebuilt with spans of powers of two, so at
 *     most once a doubling; where it would break 2, the table becomes hashed; at a
 *     growth of the hash table the ranges are looked at again, with half the
 *     allowance. */
#include "fold/group_table.h"

#include "base/error.h"
#include "fold/group_words.h"

#define CELL_BITS_MAX 20u
#define CELLS_ALWAYS 4096u
#define CELLS_A_GROUP 32u
#define SLOTS_FIRST 1024u

/* ------------------------------------------------------------------ direct */

static uint32_t
bits_for(uint64_t span) /* 2^bits >= span, span >= 1 */
{
    return span <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(span - 1);
}

/* Cell of a row; false: it lies outside the ranges. */
bool
la_table_cell(const la_groups *groups, const uint64_t *row, uint32_t *cell)
{
    uint32_t nulls = la_groups_null_bits(groups, row);
    uint32_t at = 0;

    for (uint32_t p = 0; p < groups->part_count; p++) {
        const la_group_part *part = &groups->parts[p];
        if ((nulls >> p & 1) != 0) {
            if (!part->nulls) {
                return false;
            }
            continue; /* offset 0 */
        }
        uint64_t offset = row[p] - part->base;
        if (part->low > part->high || offset >> part->bits != 0 ||
            (part->nulls && offset == 0)) {
            return false;
        }
        at |= (uint32_t)offset << part->shift;
    }
    *cell = at;
    return groups->cells != NULL;
}

/* Bits, shift and base of every part from its range; false: more cells than
 * `allowed`. */
static bool
plan_cells(la_groups *groups, uint64_t allowed)
{
    uint32_t total = 0, bits[LA_PARTS_MAX];

    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_group_part *part = &groups->parts[p];
        uint64_t span =
            part->low > part->high ? 0 : (uint64_t)part->high - (uint64_t)part->low;
        if (span >> CELL_BITS_MAX != 0) {
            return false;
        }
        bits[p] = bits_for(span + 1 + part->nulls);
        total += bits[p];
        if (total > CELL_BITS_MAX) {
            return false;
        }
    }
    if ((uint64_t)1 << total > allowed) {
        return false;
    }
    groups->cell_bits = total;
    total = 0;
    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_group_part *part = &groups->parts[p];
        int64_t size = (int64_t)1 << bits[p];
        int64_t first = part->nulls; /* the offset of the least value */
        part->bits = bits[p];
        part->shift = total;
        total += bits[p];
        if (part->low > part->high) {
            part->base = 0;
        }
        else if (part->low >= first && part->high < size) {
            part->base = 0; /* ids and the like: they begin near 0 */
        }
        else { /* more room above than below: time goes on */
            uint64_t used =
                (uint64_t)part->high - (uint64_t)part->low + 1 + part->nulls;
            part->base =
                (uint64_t)part->low - part->nulls - ((uint64_t)size - used) / 4;
        }
    }
    return true;
}

/* Lays out cells anew and enters all groups. */
static la_status
cells_build(la_groups *groups, la_error *err)
{
    size_t count = (size_t)1 << groups->cell_bits;

    if (count > groups->cell_capacity) {
        la_dealloc(groups->env, groups->cells,
                   groups->cell_capacity * sizeof(uint32_t));
        groups->cell_capacity = 0;
        groups->cells = la_calloc(groups->env, count, sizeof(uint32_t));
        if (groups->cells == NULL) {
            return la_fail_nomem(err, count * sizeof(uint32_t));
        }
        groups->cell_capacity = count;
    }
    else {
        memset(groups->cells, 0, count * sizeof(uint32_t));
    }
    for (uint32_t g = 0; g < groups->count; g++) {
        uint32_t cell;
        if (la_table_cell(groups, la_groups_row(groups, g), &cell)) {
            groups->cells[cell] = g + 1;
        }
    }
    return LA_OK;
}

void
la_table_widen_row(la_groups *groups, const uint64_t *row)
{
    uint32_t nulls = la_groups_null_bits(groups, row);
    for (uint32_t p = 0; p < groups->part_count; p++) {
        if ((nulls >> p & 1) != 0) {
            groups->parts[p].nulls = true;
        }
        else {
            la_table_widen(&groups->parts[p], (int64_t)row[p]);
        }
    }
}

/* Ranges of what the groups hold: words that fell into a table's slack are not in
 * them. */
static void
widen_by_groups(la_groups *groups)
{
    for (uint32_t g = 0; g < groups->count; g++) {
        la_table_widen_row(groups, la_groups_row(groups, g));
    }
}

static uint64_t
cells_allowed(uint64_t groups, uint64_t each)
{
    uint64_t allowed = groups * each;
    return allowed < CELLS_ALWAYS ? CELLS_ALWAYS : allowed;
}

/* ------------------------------------------------------------------ hashed */

uint32_t
la_table_hash(const la_groups *groups, const uint64_t *row)
{
    uint64_t hash = 0;
    uint32_t nulls = la_groups_null_bits(groups, row);
    for (uint32_t p = 0; p < groups->part_count; p++) {
        hash = la_hash_step(hash, row[p]);
    }
    return (uint32_t)((nulls != 0 ? la_hash_step(hash, nulls) : hash) >> 32);
}

static la_status
slots_resize(la_groups *groups, uint64_t size, la_error *err)
{
    if (size > (uint64_t)1 << 31) {
        return la_fail(err, LA_BUDGET, "could not hold more than %u groups",
                       groups->count);
    }
    uint64_t *slots = la_calloc(groups->env, (size_t)size, sizeof *slots);
    if (slots == NULL) {
        return la_fail_nomem(err, (size_t)size * sizeof *slots);
    }
    for (uint32_t s = 0; s < groups->slot_count; s++) {
        uint64_t slot = groups->slots[s];
        if (slot != 0) {
            uint64_t i = slot >> 32 & (size - 1);
            while (slots[i] != 0) {
                i = (i + 1) & (size - 1);
            }
            slots[i] = slot;
        }
    }
    la_dealloc(groups->env, groups->slots, groups->slot_count * sizeof *slots);
    groups->slots = slots;
    groups->slot_count = (uint32_t)size;
    return LA_OK;
}

static void
slots_enter(la_groups *groups, uint32_t group)
{
    uint32_t mask = groups->slot_count - 1;
    uint32_t hash = la_table_hash(groups, la_groups_row(groups, group));
    uint32_t i = hash & mask;
    while (groups->slots[i] != 0) {
        i = (i + 1) & mask;
    }
    groups->slots[i] = (uint64_t)hash << 32 | (group + 1);
}

static la_status
to_hashed(la_groups *groups, uint64_t room, la_error *err)
{
    uint64_t size = SLOTS_FIRST;
    while (size < 2 * ((uint64_t)groups->count + room)) {
        size *= 2;
    }
    if (groups->slots != NULL) {
        memset(groups->slots, 0, groups->slot_count * sizeof(uint64_t));
    }
    if (groups->slot_count < size) {
        la_status status = slots_resize(groups, size, err);
        if (status != LA_OK) {
            return status;
        }
    }
    la_dealloc(groups->env, groups->cells, groups->cell_capacity * sizeof(uint32_t));
    groups->cells = NULL;
    groups->cell_capacity = 0;
    groups->direct = false;
    for (uint32_t g = 0; g < groups->count; g++) {
        slots_enter(groups, g);
    }
    return LA_OK;
}

/* Room for `more` groups. At a growth the table may become direct again. */
la_status
la_table_reserve(la_groups *groups, uint32_t more, la_error *err)
{
    uint64_t needed = 2 * ((uint64_t)groups->count + more);
    uint64_t size = groups->slot_count == 0 ? SLOTS_FIRST : groups->slot_count;

    if (needed <= groups->slot_count) {
        return LA_OK;
    }
    if (!groups->never_direct && groups->count > 0) {
        widen_by_groups(groups);
        if (plan_cells(groups, cells_allowed(groups->count, CELLS_A_GROUP / 2))) {
            la_dealloc(groups->env, groups->slots,
                       groups->slot_count * sizeof(uint64_t));
            groups->slots = NULL;
            groups->slot_count = 0;
            groups->direct = true;
            return cells_build(groups, err);
        }
    }
    while (size < needed) {
        size *= 2;
    }
    return slots_resize(groups, size, err);
}

la_status
la_table_fit(la_groups *groups, uint32_t room, la_error *err)
{
    uint64_t count = (uint64_t)groups->count + room;

    widen_by_groups(groups);
    return plan_cells(groups, cells_allowed(count, CELLS_A_GROUP))
               ? cells_build(groups, err)
               : to_hashed(groups, room, err);
}
