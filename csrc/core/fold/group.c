/* SPDX-License-Identifier: Apache-2.0 */
/* Finding groups: columns of key values become columns of words, and words become a
 * place in one of two tables.
 *
 *   direct   cell = packed (word - base) of every part       one load a row
 *   hashed   slot = hash & mask, linear probing               two or three loads a row
 *
 * Invariants
 *  1. A table is only a way to find rows of words; which one is used shows nowhere.
 *  2. Direct: every group's words lie within its parts' ranges, and cells <= CELLS_MAX
 *     and <= 32 a group (4,096 always): an empty cell costs memory, not time.
 *  3. A direct table whose ranges grow is rebuilt with spans of powers of two, so at
 *     most once a doubling; where it would break 2, the table becomes hashed; at a
 *     growth of the hash table the ranges are looked at again, with half the
 *     allowance. */
#include "fold/group.h"

#include "base/error.h"
#include "fold/group_words.h"
#include "fold/kernel.h"

#define CELL_BITS_MAX 20u
#define CELLS_ALWAYS 4096u
#define CELLS_A_GROUP 32u
#define SLOTS_FIRST 1024u
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

/* ------------------------------------------------------------------ direct */

static uint32_t
bits_for(uint64_t span) /* 2^bits >= span, span >= 1 */
{
    return span <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(span - 1);
}

/* Cell of a row; false: it lies outside the ranges. */
static bool
cell_of(const la_groups *groups, const uint64_t *row, uint32_t *cell)
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
        if (cell_of(groups, la_groups_row(groups, g), &cell)) {
            groups->cells[cell] = g + 1;
        }
    }
    return LA_OK;
}

static void
widen(la_group_part *part, int64_t word)
{
    part->low = word < part->low ? word : part->low;
    part->high = word > part->high ? word : part->high;
}

static void
widen_by_row(la_groups *groups, const uint64_t *row)
{
    uint32_t nulls = la_groups_null_bits(groups, row);
    for (uint32_t p = 0; p < groups->part_count; p++) {
        if ((nulls >> p & 1) != 0) {
            groups->parts[p].nulls = true;
        }
        else {
            widen(&groups->parts[p], (int64_t)row[p]);
        }
    }
}

/* Ranges of what the groups hold: words that fell into a table's slack are not in
 * them. */
static void
widen_by_groups(la_groups *groups)
{
    for (uint32_t g = 0; g < groups->count; g++) {
        widen_by_row(groups, la_groups_row(groups, g));
    }
}

static uint64_t
cells_allowed(uint64_t groups, uint64_t each)
{
    uint64_t allowed = groups * each;
    return allowed < CELLS_ALWAYS ? CELLS_ALWAYS : allowed;
}

/* ------------------------------------------------------------------ hashed */

static uint32_t
hash_row(const la_groups *groups, const uint64_t *row)
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
    uint32_t hash = hash_row(groups, la_groups_row(groups, group));
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
static la_status
slots_reserve(la_groups *groups, uint32_t more, la_error *err)
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

/* ----------------------------------------------------------------- one row */

uint32_t
la_groups_find(const la_groups *groups, const uint64_t *row)
{
    if (groups->direct) {
        uint32_t cell;
        return cell_of(groups, row, &cell) ? groups->cells[cell] - 1 : UINT32_MAX;
    }
    if (groups->slots == NULL) {
        return UINT32_MAX;
    }
    uint32_t i = probe(groups, row, hash_row(groups, row), groups->width);
    return (uint32_t)groups->slots[i] - 1;
}

static la_status
put_hashed(la_groups *groups, const uint64_t *row, uint32_t *group)
{
    uint32_t hash = hash_row(groups, row);
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
        status = slots_reserve(groups, 1, err); /* may turn direct */
    }
    if (status == LA_OK && groups->direct && !cell_of(groups, row, &cell)) {
        widen_by_groups(groups);
        widen_by_row(groups, row);
        status = plan_cells(groups,
                            cells_allowed((uint64_t)groups->count + 1, CELLS_A_GROUP))
                     ? cells_build(groups, err)
                     : to_hashed(groups, 1, err);
    }
    if (status != LA_OK) {
        return status;
    }
    if (!groups->direct) {
        return put_hashed(groups, row, group);
    }
    (void)cell_of(groups, row, &cell);
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
                widen(part, (int64_t)words[i]);
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
        status = slots_reserve(groups, count, err);
    }
    if (status != LA_OK || !groups->direct || chunk_cells(groups, count)) {
        return status;
    }
    widen_by_groups(groups);
    widen_by_chunk(groups, count);
    if (!plan_cells(groups,
                    cells_allowed((uint64_t)groups->count + count, CELLS_A_GROUP))) {
        return to_hashed(groups, count, err);
    }
    status = cells_build(groups, err);
    if (status == LA_OK) {
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
