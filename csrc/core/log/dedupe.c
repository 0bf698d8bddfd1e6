/* SPDX-License-Identifier: Apache-2.0 */
/* Dedupe: open addressing with linear probing, at most 3/4 full.
 *
 * Invariants
 *  1. An id is in the set iff an ok row with it is below the published end (or in the
 *     append being made).
 *  2. Additions of one append are undone last first; with linear probing and no growth
 *     in between, this restores the very table.
 *
 * Speed: a probe into a large table is a cache miss, about 80 ns; slots of the rows
 * ahead are prefetched, so that about ten misses are in flight.
 */
#include "log/dedupe.h"

#include "base/error.h"
#include "base/hash.h"
#include "chunk/chunk.h"
#include "chunk/value.h"

#define AHEAD 12u
#define TAG_INT 1u

void
la_dedupe_init(la_dedupe *set, const la_env *env)
{
    memset(set, 0, sizeof *set);
    set->env = env;
    la_buf_init(&set->text, env);
}

void
la_dedupe_fini(la_dedupe *set)
{
    if (set->env == NULL) {
        return;
    }
    la_dealloc(set->env, set->slots, sizeof *set->slots * set->capacity);
    la_dealloc(set->env, set->keys, sizeof *set->keys * set->key_capacity);
    la_buf_fini(&set->text);
    memset(set, 0, sizeof *set);
}

/* Four consecutive integers are neighbours, so that rising ids miss the cache less
 * often; ids that are all multiples of four still spread over the whole table. */
static inline uint64_t
home(const la_dedupe *set, const la_dedupe_slot *key)
{
    uint64_t block = la_mix64((key->lo >> 2) ^ (key->hi * 0x9e3779b97f4a7c15u));

    return (block << 2 | (key->lo & 3)) & (set->capacity - 1);
}

static la_dedupe_slot *
find(const la_dedupe *set, const la_dedupe_slot *key)
{
    uint64_t i = home(set, key);

    for (;;) {
        la_dedupe_slot *slot = &set->slots[i];
        if (slot->position == LA_NO_POSITION ||
            (slot->lo == key->lo && slot->hi == key->hi)) {
            return slot;
        }
        i = (i + 1) & (set->capacity - 1);
    }
}

la_status
la_dedupe_reserve(la_dedupe *set, uint64_t more, la_error *err)
{
    uint64_t wanted = set->capacity == 0 ? 1024 : set->capacity;
    la_dedupe old = *set;
    size_t size;

    while (wanted / 4 * 3 < set->count + more) {
        wanted *= 2;
    }
    if (wanted == set->capacity) {
        return LA_OK;
    }
    size = sizeof *set->slots * (size_t)wanted;
    set->slots = la_alloc(set->env, size);
    if (set->slots == NULL) {
        set->slots = old.slots;
        return la_fail_nomem(err, size);
    }
    set->capacity = wanted;
    for (uint64_t i = 0; i < wanted; i++) {
        set->slots[i].position = LA_NO_POSITION;
    }
    for (uint64_t i = 0; i < old.capacity; i++) {
        if (old.slots[i].position != LA_NO_POSITION) {
            *find(set, &old.slots[i]) = old.slots[i];
        }
    }
    la_dealloc(set->env, old.slots, sizeof *old.slots * old.capacity);
    return LA_OK;
}

/* One integer column: the value is the key. */
static bool
int_keys(la_dedupe_slot *keys, const la_column *column, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t value;

        switch (column->type) {
        case LA_T_I64:
        case LA_T_U64:
        case LA_T_TIME:
        case LA_T_DECIMAL:
            value = ((const uint64_t *)column->data)[i];
            break;
        case LA_T_I32:
        case LA_T_DATE:
            value = (uint64_t)(int64_t)((const int32_t *)column->data)[i];
            break;
        case LA_T_BOOL:
            value = ((const uint8_t *)column->data)[i];
            break;
        default:
            return false;
        }
        keys[i].lo = value;
        keys[i].hi = TAG_INT;
        keys[i].position = la_column_is_null(column, i) ? LA_NO_POSITION : 0;
    }
    return true;
}

static void
text_keys(la_dedupe_slot *keys, const la_column *column, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        size_t size = 0;
        const char *text = la_column_text(column, i, &size);
        la_hash128 h = {0};

        if (text != NULL) {
            h = la_xxh128(text, size, 0);
        }
        keys[i] = (la_dedupe_slot){h.lo, h.hi, text == NULL ? LA_NO_POSITION : 0};
    }
}

static la_status
mixed_keys(la_dedupe *set, const la_column *columns, const uint32_t *ids,
           uint32_t id_count, uint32_t rows, la_error *err)
{
    for (uint32_t i = 0; i < rows; i++) {
        bool null = false;
        la_hash128 h;

        la_buf_clear(&set->text);
        for (uint32_t k = 0; k < id_count; k++) {
            la_value value = la_value_of(&columns[ids[k]], i);
            null = null || value.null;
            la_key_put(&set->text, &value);
        }
        if (set->text.failed) {
            set->text.failed = false;
            return la_fail_nomem(err, set->text.capacity);
        }
        h = la_xxh128(set->text.data, set->text.size, 0);
        set->keys[i] = (la_dedupe_slot){h.lo, h.hi, null ? LA_NO_POSITION : 0};
    }
    return LA_OK;
}

la_status
la_dedupe_keys(la_dedupe *set, const la_column *columns, const uint32_t *ids,
               uint32_t id_count, uint32_t rows, la_error *err)
{
    if (set->key_capacity < rows) {
        la_dealloc(set->env, set->keys, sizeof *set->keys * set->key_capacity);
        set->key_capacity = 0;
        set->keys = la_alloc(set->env, sizeof *set->keys * rows);
        if (set->keys == NULL) {
            return la_fail_nomem(err, sizeof *set->keys * rows);
        }
        set->key_capacity = rows;
    }
    if (id_count == 1) {
        const la_column *column = &columns[ids[0]];

        if (int_keys(set->keys, column, rows)) {
            return LA_OK;
        }
        if (column->type == LA_T_STR || column->type == LA_T_BYTES ||
            column->type == LA_T_CAT) {
            text_keys(set->keys, column, rows);
            return LA_OK;
        }
    }
    return mixed_keys(set, columns, ids, id_count, rows, err);
}

void
la_dedupe_add(la_dedupe *set, uint64_t position, uint32_t rows, uint8_t *verdicts,
              uint64_t *targets, bool trust)
{
    for (uint32_t i = 0; i < rows; i++) {
        const la_dedupe_slot *key = &set->keys[i];
        la_dedupe_slot *slot;

        if (i + AHEAD < rows) {
            __builtin_prefetch(&set->slots[home(set, key + AHEAD)]);
        }
        if (key->position == LA_NO_POSITION ||
            (verdicts != NULL && verdicts[i] != LA_V_OK)) {
            continue;
        }
        slot = find(set, key);
        if (slot->position == LA_NO_POSITION) {
            *slot = (la_dedupe_slot){key->lo, key->hi, position + i};
            set->count++;
        }
        else if (!trust) {
            verdicts[i] = LA_V_DUPLICATE;
            targets[i] = slot->position;
        }
    }
}

void
la_dedupe_undo(la_dedupe *set, uint64_t position, uint32_t rows,
               const uint8_t *verdicts)
{
    for (uint32_t i = rows; i > 0; i--) {
        const la_dedupe_slot *key = &set->keys[i - 1];
        la_dedupe_slot *slot;

        if (key->position == LA_NO_POSITION || verdicts[i - 1] != LA_V_OK) {
            continue;
        }
        slot = find(set, key);
        if (slot->position == position + i - 1) {
            slot->position = LA_NO_POSITION;
            set->count--;
        }
    }
}
