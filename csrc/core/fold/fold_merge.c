/* SPDX-License-Identifier: Apache-2.0 */
/* Groups into groups: merging folds of one shape, rolling up to fewer keys or coarser
 * windows, and adding groups from their bytes. All three map a group to a row of words
 * of the receiving fold and merge its states. */
#include "base/error.h"
#include "fold/fold_types.h"
#include "fold/kernel.h"

#define BLOCK 1024u

/* How keys of `from` become keys of `into`. */
typedef struct mapping {
    la_fold *into;
    const la_fold *from;
    uint32_t source[LA_KEYS_MAX]; /* key of into -> key of from */
    uint32_t
        *ids[LA_KEYS_MAX]; /* text id of from -> text id of into, LA_NO_ID: not yet */
    bool same_windows;
} mapping;

static bool
same_axis(const la_window_axis *a, const la_window_axis *b)
{
    return a->size == b->size && a->origin == b->origin && a->months == b->months;
}

static void
mapping_fini(mapping *map)
{
    for (uint32_t k = 0; k < map->into->key_count; k++) {
        const la_intern *texts = &map->from->groups.parts[map->source[k]].intern;
        if (map->ids[k] != NULL) {
            la_dealloc(map->into->env, map->ids[k],
                       (texts->count + 1) * sizeof(uint32_t));
        }
    }
}

static la_status
mapping_init(mapping *map, la_fold *into, const la_fold *from, la_error *err)
{
    memset(map, 0, sizeof *map);
    map->into = into;
    map->from = from;
    map->same_windows = same_axis(&into->axis, &from->axis);
    if (!la_window_nests(&from->axis.window, &into->axis.window)) {
        return la_fail(err, LA_INVALID,
                       "could not merge groups: their windows do not nest in these");
    }
    for (uint32_t k = 0; k < into->key_count; k++) {
        uint32_t source = 0;
        while (source < from->key_count &&
               from->plan_keys[source] != into->plan_keys[k]) {
            source++;
        }
        if (source == from->key_count) {
            return la_fail(err, LA_INVALID,
                           "could not merge groups: no key \"%s\" in them",
                           into->plan->keys[into->plan_keys[k]].name);
        }
        map->source[k] = source;
    }
    for (uint32_t k = 0; k < into->key_count; k++) {
        const la_group_part *part = &from->groups.parts[map->source[k]];
        size_t size = (part->intern.count + 1) * sizeof(uint32_t);
        if (!part->text) {
            continue;
        }
        map->ids[k] = la_alloc(into->env, size);
        if (map->ids[k] == NULL) {
            mapping_fini(map);
            return la_fail_nomem(err, size);
        }
        memset(map->ids[k], 0xff, size);
    }
    return LA_OK;
}

/* Words of `group` in terms of `into`; false: out of memory. */
static bool
map_row(mapping *map, uint32_t group, uint64_t *row)
{
    la_fold *into = map->into;
    const la_fold *from = map->from;
    const uint64_t *words = la_groups_row(&from->groups, group);
    uint32_t nulls = la_groups_null_bits(&from->groups, words), to_nulls = 0;

    for (uint32_t k = 0; k < into->key_count; k++) {
        uint32_t source = map->source[k];
        row[k] = words[source];
        if ((nulls >> source & 1) != 0) {
            to_nulls |= 1u << k;
        }
        else if (map->ids[k] != NULL) {
            uint32_t *id = &map->ids[k][words[source]];
            if (*id == LA_NO_ID) {
                const la_intern_text *text =
                    &from->groups.parts[source].intern.texts[words[source]];
                *id =
                    la_intern_add(&into->groups.parts[k].intern, text->at, text->size);
            }
            if (*id == LA_NO_ID) {
                return false;
            }
            row[k] = *id;
        }
    }
    if (into->windowed) {
        int64_t index = (int64_t)words[from->key_count];
        if (!map->same_windows) {
            index =
                la_window_index(&into->axis, la_window_index_start(&from->axis, index));
        }
        row[into->key_count] = (uint64_t)index;
    }
    row[into->groups.width - 1] = to_nulls;
    return true;
}

static la_status
merge_block(mapping *map, uint32_t first, uint32_t count, la_error *err)
{
    la_fold *into = map->into;
    const la_fold *from = map->from;
    uint64_t row[LA_PARTS_MAX + 1];
    la_status status = LA_OK;

    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        status = map_row(map, first + i, row)
                     ? la_groups_put(&into->groups, row, &into->row_groups[i], err)
                     : la_fail_nomem(err, 0);
    }
    if (status == LA_OK) {
        status = la_fold_reserve(into, err);
    }
    for (uint32_t a = 0; a < into->agg_count; a++) {
        const la_fold_agg *agg = &into->aggs[a];
        for (uint32_t i = 0; i < count && status == LA_OK; i++) {
            status = agg->kind->merge(&agg->context,
                                      la_fold_state(into, a, into->row_groups[i]),
                                      la_fold_state(from, a, first + i), err);
        }
    }
    return status == LA_OK ? la_fold_check_memory(into, 0, err) : status;
}

static void
add_counts(la_counts *into, const la_counts *from)
{
    into->counted += from->counted;
    into->filtered += from->filtered;
    into->failed += from->failed;
    into->late += from->late;
    into->duplicate += from->duplicate;
    into->retracted += from->retracted;
    into->quarantined += from->quarantined;
    into->erased += from->erased;
    for (uint32_t r = 0; r < LA_REASON_COUNT; r++) {
        into->failed_by[r] += from->failed_by[r];
    }
    if (from->failed_first < into->failed_first) {
        into->failed_first = from->failed_first;
    }
}

la_status
la_fold_rollup(la_fold *into, const la_fold *from, la_error *err)
{
    mapping map;
    la_status status = mapping_init(&map, into, from, err);

    if (status != LA_OK) {
        return status;
    }
    for (uint32_t g = 0; g < from->groups.count && status == LA_OK; g += BLOCK) {
        uint32_t left = from->groups.count - g;
        status = merge_block(&map, g, left < BLOCK ? left : BLOCK, err);
    }
    mapping_fini(&map);
    if (status == LA_OK) {
        add_counts(&into->counts, &from->counts);
    }
    return status;
}

la_status
la_fold_merge(la_fold *into, const la_fold *from, la_error *err)
{
    if (into->key_count != from->key_count || into->windowed != from->windowed) {
        return la_fail(err, LA_INVALID, "could not merge folds of different shapes");
    }
    return la_fold_rollup(into, from, err);
}

/* ------------------------------------------------------------------- bytes */

/* Key bytes to words; `add` interns new texts, else an unknown one gives *known =
 * false. Values are checked before anything is added. */
static la_status
take_key(la_fold *fold, const void *key, size_t key_size, bool add, uint64_t *row,
         bool *known, la_error *err)
{
    la_bytes from = la_bytes_of(key, key_size);
    la_value values[LA_PARTS_MAX];
    uint32_t nulls = 0;

    la_arena_reset(fold->arena);
    for (uint32_t p = 0; p < fold->groups.part_count; p++) {
        bool is_key = p < fold->key_count;
        if (!la_key_take(&from, is_key ? fold->key_types[p] : LA_T_TIME,
                         is_key ? fold->key_scales[p] : 0, fold->arena, &values[p]) ||
            (!is_key && values[p].null)) {
            return la_fail(err, LA_DAMAGED,
                           "could not read a group's key: its bytes are "
                           "not those of this view's keys");
        }
    }
    if (from.bad || la_bytes_left(&from) != 0) {
        return la_fail(err, LA_DAMAGED,
                       "could not read a group's key: %zu bytes too many",
                       la_bytes_left(&from));
    }
    if (fold->windowed) {
        int64_t start = values[fold->key_count].i64;
        int64_t index = la_window_index(&fold->axis, start);
        if (la_window_index_start(&fold->axis, index) != start) {
            return la_fail(err, LA_DAMAGED,
                           "could not read a group's key: %lld is not the "
                           "start of a window",
                           (long long)start);
        }
        row[fold->key_count] = (uint64_t)index;
    }
    *known = true;
    for (uint32_t k = 0; k < fold->key_count; k++) {
        la_intern *texts = &fold->groups.parts[k].intern;
        const la_value *value = &values[k];
        row[k] = 0;
        if (value->null) {
            nulls |= 1u << k;
        }
        else if (fold->groups.parts[k].text) {
            uint32_t id = add ? la_intern_add(texts, value->text, value->size)
                              : la_intern_find(texts, value->text, value->size);
            *known &= id != LA_NO_ID;
            row[k] = id;
        }
        else if (la_type_is_float(value->type)) {
            row[k] = la_bits_of(la_canonical_f64(value->f64));
        }
        else {
            row[k] = (uint64_t)value->i64;
        }
    }
    row[fold->groups.width - 1] = nulls;
    return *known || !add ? LA_OK : la_fail_nomem(err, key_size);
}

uint32_t
la_fold_find(const la_fold *fold, const void *key, size_t key_size)
{
    uint64_t row[LA_PARTS_MAX + 1];
    bool known;
    /* Nothing of the fold changes but its scratch arena. */
    la_status status =
        take_key((la_fold *)fold, key, key_size, false, row, &known, NULL);
    return status == LA_OK && known ? la_groups_find(&fold->groups, row) : UINT32_MAX;
}

/* All aggregates' states from bytes into `states`, one after another, 16-byte
 * places. */
static la_status
take_states(la_fold *fold, const void *data, size_t size, char *states, uint32_t *made,
            la_error *err)
{
    la_bytes from = la_bytes_of(data, size);

    for (*made = 0; *made < fold->agg_count;) {
        const la_fold_agg *agg = &fold->aggs[*made];
        agg->kind->init(&agg->context, states);
        ++*made;
        if (!agg->kind->decode(&agg->context, states, &from) || from.bad) {
            return la_fail(
                err, LA_DAMAGED,
                "could not read a group's states: the bytes of \"%s\" at byte %zu "
                "of %zu are not those of %s",
                fold->plan->aggs[*made - 1].name, size - la_bytes_left(&from), size,
                agg->kind->name);
        }
        states += (agg->size + 15) & ~(size_t)15;
    }
    if (la_bytes_left(&from) != 0) {
        return la_fail(err, LA_DAMAGED,
                       "could not read a group's states: %zu bytes too many",
                       la_bytes_left(&from));
    }
    return LA_OK;
}

/* Moves decoded states into a group that was just made, merges them into any other. */
static la_status
put_states(la_fold *fold, uint32_t group, bool is_new, char *states, la_error *err)
{
    la_status status = LA_OK;

    for (uint32_t a = 0; a < fold->agg_count && status == LA_OK; a++) {
        const la_fold_agg *agg = &fold->aggs[a];
        char *to = la_fold_state(fold, a, group);
        if (is_new) {
            agg->kind->fini(&agg->context, to);
            memcpy(to, states, agg->size);
            agg->kind->init(&agg->context, states); /* given away */
        }
        else {
            status = agg->kind->merge(&agg->context, to, states, err);
        }
        states += (agg->size + 15) & ~(size_t)15;
    }
    return status;
}

la_status
la_fold_add(la_fold *fold, const void *key, size_t key_size, const void *states,
            size_t states_size, la_error *err)
{
    uint64_t row[LA_PARTS_MAX + 1];
    size_t size = 0;
    uint32_t made = 0, group = 0, before = fold->groups.count;
    bool known;

    for (uint32_t a = 0; a < fold->agg_count; a++) {
        size += (fold->aggs[a].size + 15) & ~(size_t)15;
    }
    if (fold->scratch == NULL) {
        fold->scratch = la_alloc(fold->env, size);
        fold->scratch_size = size;
    }
    char *decoded = fold->scratch;
    if (decoded == NULL) {
        return la_fail_nomem(err, size);
    }
    la_status status = take_states(fold, states, states_size, decoded, &made, err);
    if (status == LA_OK) {
        status = take_key(fold, key, key_size, true, row, &known, err);
    }
    if (status == LA_OK) {
        status = la_groups_put(&fold->groups, row, &group, err);
    }
    if (status == LA_OK) {
        status = la_fold_reserve(fold, err);
    }
    if (status == LA_OK) {
        status = put_states(fold, group, group == before, decoded, err);
    }
    for (uint32_t a = 0; a < made; a++) {
        fold->aggs[a].kind->fini(&fold->aggs[a].context, decoded);
        decoded += (fold->aggs[a].size + 15) & ~(size_t)15;
    }
    return status == LA_OK ? la_fold_check_memory(fold, 0, err) : status;
}
