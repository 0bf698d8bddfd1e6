/* SPDX-License-Identifier: Apache-2.0 */
/* Finding groups: columns of key values become columns of words (group_words.c), and
 * words become a place in one of two tables (group_table.c): a cell of a direct table,
 * or a slot of a hash table. A row without a group gets the next number. */
#include "fold/group.h"

#include "base/error.h"
#include "fold/group_table.h"
#include "fold/group_words.h"
#include "fold/kernel.h"

#define BLOCK 64u

la_status
la_groups_init(la_groups *groups, const la_env *env, const la_type *types,
               uint32_t key_count, bool windowed, la_error *err)
{
    memset(groups, 0, sizeof *groups);
    groups->env = env;
    groups->key_count = key_count;
    groups->part_count = key_count + windowed;
    groups->width = groups->part_count + 1;
    groups->direct = true;
    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_group_part *part = &groups->parts[p];
        part->type = p < key_count ? types[p] : LA_T_TIME;
        part->text = la_type_is_text(part->type);
        part->low = INT64_MAX;
        part->high = INT64_MIN;
        la_intern_init(&part->intern, env);
        groups->never_direct |= la_type_is_float(part->type);
    }
    groups->direct = !groups->never_direct;
    size_t bytes = (size_t)groups->part_count * LA_CHUNK_ROWS * sizeof(uint64_t);
    groups->words = la_alloc(env, bytes);
    groups->nulls = la_alloc(env, LA_CHUNK_ROWS * sizeof(uint32_t));
    groups->places = la_alloc(env, LA_CHUNK_ROWS * sizeof(uint32_t));
    if (groups->words == NULL || groups->nulls == NULL || groups->places == NULL) {
        la_groups_fini(groups);
        return la_fail_nomem(err, bytes);
    }
    return LA_OK;
}

void
la_groups_fini(la_groups *groups)
{
    const la_env *env = groups->env;
    size_t bytes = (size_t)groups->part_count * LA_CHUNK_ROWS * sizeof(uint64_t);

    if (env == NULL) {
        return;
    }
    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_intern_fini(&groups->parts[p].intern);
    }
    la_dealloc(env, groups->rows,
               (size_t)groups->capacity * groups->width * sizeof(uint64_t));
    la_dealloc(env, groups->cells, groups->cell_capacity * sizeof(uint32_t));
    la_dealloc(env, groups->slots, groups->slot_count * sizeof(uint64_t));
    la_dealloc(env, groups->words, bytes == 0 ? 1 : bytes);
    la_dealloc(env, groups->nulls, LA_CHUNK_ROWS * sizeof(uint32_t));
    la_dealloc(env, groups->places, LA_CHUNK_ROWS * sizeof(uint32_t));
    memset(groups, 0, sizeof *groups);
}

void
la_groups_clear(la_groups *groups)
{
    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_group_part *part = &groups->parts[p];
        part->low = INT64_MAX;
        part->high = INT64_MIN;
        part->nulls = false;
        part->bits = 0;
        part->shift = 0;
        la_intern_clear(&part->intern);
    }
    groups->count = 0;
    groups->direct = !groups->never_direct;
    groups->cell_bits = 0;
    if (groups->cells != NULL) {
        groups->cells[0] = 0;
    }
    if (groups->slots != NULL) {
        memset(groups->slots, 0, groups->slot_count * sizeof(uint64_t));
    }
}

size_t
la_groups_memory(const la_groups *groups)
{
    size_t bytes = (size_t)groups->part_count * LA_CHUNK_ROWS * sizeof(uint64_t) +
                   2 * LA_CHUNK_ROWS * sizeof(uint32_t);
    for (uint32_t p = 0; p < groups->part_count; p++) {
        bytes += la_intern_memory(&groups->parts[p].intern);
    }
    return bytes + (size_t)groups->capacity * groups->width * sizeof(uint64_t) +
           groups->cell_capacity * sizeof(uint32_t) +
           groups->slot_count * sizeof(uint64_t);
}

int64_t *
la_groups_windows(la_groups *groups)
{
    return (int64_t *)groups->words + (size_t)groups->key_count * LA_CHUNK_ROWS;
}

/* -------------------------------------------------------------------- rows */

static la_status
rows_reserve(la_groups *groups, uint64_t count, la_error *err)
{
    if (count <= groups->capacity) {
        return LA_OK;
    }
    uint64_t capacity = groups->capacity < 64 ? 64 : (uint64_t)groups->capacity * 2;
    capacity = capacity < count ? count : capacity;
    if (capacity >= UINT32_MAX) {
        return la_fail(err, LA_BUDGET, "could not hold more than %u groups",
                       UINT32_MAX - 1);
    }
    size_t row = groups->width * sizeof(uint64_t);
    uint64_t *rows = la_realloc(groups->env, groups->rows, groups->capacity * row,
                                (size_t)capacity * row);
    if (rows == NULL) {
        return la_fail_nomem(err, (size_t)capacity * row);
    }
    groups->rows = rows;
    groups->capacity = (uint32_t)capacity;
    return LA_OK;
}

/* The words of row `i` of the chunk. */
static void
gather(const la_groups *groups, uint32_t i, uint64_t *row)
{
    uint32_t nulls = 0;
    for (uint32_t p = 0; p < groups->part_count; p++) {
        row[p] =
            groups->words[(size_t)p * LA_CHUNK_ROWS + (groups->constant[p] ? 0 : i)];
    }
    if (groups->null_parts != 0) {
        nulls = groups->nulls[i];
    }
    row[groups->width - 1] = nulls;
}

/* A new group; rows_reserve made the room. */
static uint32_t
append(la_groups *groups, const uint64_t *row)
{
    uint64_t *to = groups->rows + (size_t)groups->count * groups->width;
    memcpy(to, row, groups->width * sizeof(uint64_t));
    return groups->count++;
}

/* ----------------------------------------------------------------- one row */

LA_INLINE bool
same_row(const uint64_t *a, const uint64_t *b, uint32_t width)
{
    for (uint32_t w = 0; w < width; w++) {
        if (a[w] != b[w]) {
            return false;
        }
    }
    return true;
}

/* Slot of the row, or the free one where it belongs. */
LA_INLINE uint32_t
probe(const la_groups *groups, const uint64_t *row, uint32_t hash, uint32_t width)
{
    uint32_t mask = groups->slot_count - 1;
    uint32_t i = hash & mask;
    for (;;) {
        uint64_t slot = groups->slots[i];
        if (slot == 0 || (slot >> 32 == hash &&
                          same_row(groups->rows + (size_t)((uint32_t)slot - 1) * width,
                                   row, width))) {
            return i;
        }
        i = (i + 1) & mask;
    }
}

uint32_t
la_groups_find(const la_groups *groups, const uint64_t *row)
{
    if (groups->direct) {
        uint32_t cell;
        return la_table_cell(groups, row, &cell) ? groups->cells[cell] - 1 : UINT32_MAX;
    }
    if (groups->slots == NULL) {
        return UINT32_MAX;
    }
    uint32_t i = probe(groups, row, la_table_hash(groups, row), groups->width);
    return (uint32_t)groups->slots[i] - 1;
}

static la_status
put_hashed(la_groups *groups, const uint64_t *row, uint32_t *group)
{
    uint32_t hash = la_table_hash(groups, row);
    uint32_t i = probe(groups, row, hash, groups->width);
    if (groups->slots[i] == 0) {
        groups->slots[i] = (uint64_t)hash << 32 | (append(groups, row) + 1);
    }
    *group = (uint32_t)groups->slots[i] - 1;
    return LA_OK;
}

la_status
la_groups_put(la_groups *groups, const uint64_t *row, uint32_t *group, la_error *err)
{
    uint32_t cell;
    la_status status = rows_reserve(groups, (uint64_t)groups->count + 1, err);

    if (status == LA_OK && !groups->direct) {
        status = la_table_reserve(groups, 1, err); /* may turn direct */
    }
    if (status == LA_OK && groups->direct && !la_table_cell(groups, row, &cell)) {
        la_table_widen_row(groups, row);
        status = la_table_fit(groups, 1, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (!groups->direct) {
        return put_hashed(groups, row, group);
    }
    (void)la_table_cell(groups, row, &cell);
    if (groups->cells[cell] == 0) {
        groups->cells[cell] = append(groups, row) + 1;
    }
    *group = groups->cells[cell] - 1;
    return LA_OK;
}

/* ------------------------------------------------------------------ chunks */

/* places[i] |= offset << shift. Returns whether a word lies outside. */
static bool
part_cells(la_groups *groups, uint32_t p, uint32_t count)
{
    const la_group_part *part = &groups->parts[p];
    const uint64_t *words = groups->words + (size_t)p * LA_CHUNK_ROWS;
    uint32_t *restrict places = groups->places;
    uint64_t base = part->base, all = 0;
    uint32_t shift = part->shift;
    bool outside = false;

    if (!part->nulls) {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t offset = words[i] - base;
            all |= offset;
            places[i] |= (uint32_t)offset << shift;
        }
        return all >> part->bits != 0 || part->low > part->high;
    }
    bool has_nulls = (groups->null_parts >> p & 1) != 0;
    bool only_nulls = part->low > part->high;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = words[i] - base;
        bool null = has_nulls && (groups->nulls[i] >> p & 1) != 0;
        outside |= !null && (offset == 0 || only_nulls);
        offset = null ? 0 : offset;
        all |= offset;
        places[i] |= (uint32_t)offset << shift;
    }
    return outside || all >> part->bits != 0;
}

/* Fills places with cells; false: some row lies outside the ranges. */
static bool
chunk_cells(la_groups *groups, uint32_t count)
{
    uint32_t fixed = 0;
    bool filled = groups->cells != NULL;

    for (uint32_t p = 0; p < groups->part_count && filled; p++) {
        const la_group_part *part = &groups->parts[p];
        if ((groups->null_parts >> p & 1) != 0 && !part->nulls) {
            return false;
        }
        if (groups->constant[p] && (groups->null_parts >> p & 1) == 0) {
            uint64_t offset = groups->words[(size_t)p * LA_CHUNK_ROWS] - part->base;
            filled = part->low <= part->high && offset >> part->bits == 0 &&
                     !(part->nulls && offset == 0);
            fixed |= (uint32_t)offset << part->shift;
        }
    }
    for (uint32_t i = 0; i < count && filled; i++) {
        groups->places[i] = fixed;
    }
    for (uint32_t p = 0; p < groups->part_count && filled; p++) {
        /* A constant null adds offset 0. */
        filled = groups->constant[p] || !part_cells(groups, p, count);
    }
    return filled;
}

static void
widen_by_chunk(la_groups *groups, uint32_t count)
{
    for (uint32_t p = 0; p < groups->part_count; p++) {
        la_group_part *part = &groups->parts[p];
        const uint64_t *words = groups->words + (size_t)p * LA_CHUNK_ROWS;
        bool has_nulls = (groups->null_parts >> p & 1) != 0;
        uint32_t distinct = groups->constant[p] ? 1 : count;
        part->nulls |= has_nulls;
        for (uint32_t i = 0; i < distinct; i++) {
            if (!has_nulls || (groups->nulls[i] >> p & 1) == 0) {
                la_table_widen(part, (int64_t)words[i]);
            }
        }
    }
}

/* Makes the table ready for the chunk: cells in places, or hashed and with room. */
static la_status
chunk_prepare(la_groups *groups, uint32_t count, la_error *err)
{
    la_status status = rows_reserve(groups, (uint64_t)groups->count + count, err);

    if (status == LA_OK && !groups->direct) {
        status = la_table_reserve(groups, count, err);
    }
    if (status != LA_OK || !groups->direct || chunk_cells(groups, count)) {
        return status;
    }
    widen_by_chunk(groups, count);
    status = la_table_fit(groups, count, err);
    if (status == LA_OK && groups->direct) {
        (void)chunk_cells(groups, count);
    }
    return status;
}

LA_COLD static uint32_t
append_chunk_row(la_groups *groups, uint32_t i)
{
    uint64_t row[LA_PARTS_MAX + 1];
    gather(groups, i, row);
    return append(groups, row);
}

static void
assign_direct(la_groups *groups, const uint32_t *rows, uint32_t count, uint32_t *to)
{
    uint32_t *cells = groups->cells;
    const uint32_t *places = groups->places;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t cell = places[i], number = cells[cell];
        if (LA_UNLIKELY(number == 0)) {
            number = append_chunk_row(groups, i) + 1;
            cells[cell] = number;
        }
        to[rows != NULL ? rows[i] : i] = number - 1;
    }
}

/* Rows in blocks: ask for all slots, then for all rows they name, then compare. */
static void
assign_hashed(la_groups *groups, const uint32_t *rows, uint32_t count, uint32_t *to)
{
    uint64_t *slots = groups->slots;
    const uint32_t *hashes = groups->places;
    uint32_t width = groups->width, mask = groups->slot_count - 1;
    bool large = groups->slot_count * sizeof *slots > LA_PREFETCH_BYTES;
    uint64_t row[LA_PARTS_MAX + 1];

    for (uint32_t from = 0; from < count; from += BLOCK) {
        uint32_t end = from + BLOCK < count ? from + BLOCK : count;
        for (uint32_t i = from; large && i < end; i++) {
            LA_PREFETCH(&slots[hashes[i] & mask]);
        }
        for (uint32_t i = from; large && i < end; i++) {
            uint32_t number = (uint32_t)slots[hashes[i] & mask];
            LA_PREFETCH(groups->rows + (size_t)(number - (number != 0)) * width);
        }
        for (uint32_t i = from; i < end; i++) {
            gather(groups, i, row);
            uint32_t at = width == 2 ? probe(groups, row, hashes[i], 2)
                                     : probe(groups, row, hashes[i], width);
            if (LA_UNLIKELY(slots[at] == 0)) {
                slots[at] = (uint64_t)hashes[i] << 32 | (append(groups, row) + 1);
            }
            to[rows != NULL ? rows[i] : i] = (uint32_t)slots[at] - 1;
        }
    }
}

static la_status
assign_single(la_groups *groups, const uint32_t *rows, uint32_t count, uint32_t *to,
              la_error *err)
{
    uint64_t row[LA_PARTS_MAX + 1];
    uint32_t group;

    gather(groups, 0, row);
    la_status status = la_groups_put(groups, row, &group, err);
    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        to[rows != NULL ? rows[i] : i] = group;
    }
    return status;
}

la_status
la_groups_assign(la_groups *groups, const la_vec *keys, bool one_window,
                 const uint32_t *rows, uint32_t count, uint32_t *to, bool *single,
                 la_error *err)
{
    bool constant = true;
    la_status status = LA_OK;

    if (count == 0) {
        *single = true;
        return LA_OK;
    }
    groups->null_parts = 0;
    groups->constant[groups->key_count] = one_window;
    for (uint32_t k = 0; k < groups->key_count && status == LA_OK; k++) {
        status = la_groups_load(groups, k, &keys[k], rows, count, err);
    }
    for (uint32_t p = 0; p < groups->part_count; p++) {
        constant &= groups->constant[p];
    }
    *single = constant;
    if (status == LA_OK && constant) {
        return assign_single(groups, rows, count, to, err);
    }
    if (status == LA_OK) {
        status = chunk_prepare(groups, count, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (groups->direct) {
        assign_direct(groups, rows, count, to);
    }
    else {
        la_groups_hash(groups, count);
        assign_hashed(groups, rows, count, to);
    }
    return LA_OK;
}
