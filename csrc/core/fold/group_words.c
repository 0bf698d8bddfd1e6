/* SPDX-License-Identifier: Apache-2.0 */
/* Key values to words. A category costs one load a row (code -> id), a number one, a
 * text a hash and a comparison. Only counted rows are looked at: others may hold
 * anything. */
#include "fold/group_words.h"

#include "base/error.h"
#include "fold/kernel.h"

#define BLOCK_OF_HASHES 256u

LA_INLINE void
number_words(la_type type, const void *data, const uint32_t *rows, uint32_t count,
             uint64_t *restrict to)
{
    if (rows == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            to[i] = la_load_word(type, data, i);
        }
    }
    else {
        for (uint32_t i = 0; i < count; i++) {
            to[i] = la_load_word(type, data, rows[i]);
        }
    }
}

static void
load_numbers(const la_column *column, const uint32_t *rows, uint32_t count,
             uint64_t *to)
{
    switch (column->type) {
    case LA_T_BOOL:
        number_words(LA_T_BOOL, column->data, rows, count, to);
        break;
    case LA_T_I32:
    case LA_T_DATE:
        number_words(LA_T_I32, column->data, rows, count, to);
        break;
    case LA_T_F32:
        number_words(LA_T_F32, column->data, rows, count, to);
        break;
    case LA_T_F64:
        number_words(LA_T_F64, column->data, rows, count, to);
        break;
    default:
        number_words(LA_T_I64, column->data, rows, count, to);
        break;
    }
}

LA_COLD static bool
intern_code(la_intern *intern, const la_dict *dict, uint32_t code)
{
    size_t size;
    const char *at = la_dict_get(dict, code, &size);
    uint32_t id = la_intern_add(intern, at, size);
    intern->ids[code] = id;
    return id != LA_NO_ID;
}

/* All rows, no nulls, all codes seen before; else false. */
static bool
load_known_codes(const uint32_t *ids, const uint32_t *codes, uint32_t count,
                 uint64_t *restrict to)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = ids[codes[i]];
        most = id > most ? id : most;
        to[i] = id;
    }
    return most != LA_NO_ID;
}

static bool
load_codes(la_intern *intern, const la_column *column, const uint32_t *rows,
           uint32_t count, uint64_t *restrict to)
{
    const uint32_t *codes = column->data;
    const uint8_t *valid = column->valid;

    if (!la_intern_use_dict(intern, column->dict)) {
        return false;
    }
    if (rows == NULL && valid == NULL &&
        load_known_codes(intern->ids, codes, count, to)) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        if (valid != NULL && valid[row] == 0) {
            to[i] = 0;
            continue;
        }
        uint32_t code = codes[row];
        if (LA_UNLIKELY(intern->ids[code] == LA_NO_ID) &&
            !intern_code(intern, column->dict, code)) {
            return false;
        }
        to[i] = intern->ids[code];
    }
    return true;
}

static bool
load_texts(la_intern *intern, const la_column *column, const uint32_t *rows,
           uint32_t count, uint64_t *to)
{
    const char *last = NULL;
    size_t last_size = 0;
    uint32_t id = LA_NO_ID;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        if (la_column_is_null(column, row)) {
            to[i] = 0;
            continue;
        }
        size_t size;
        const char *at = la_load_text(column, row, &size);
        /* Neighbours are often equal. */
        if (id == LA_NO_ID || size != last_size ||
            (size > 0 && memcmp(at, last, size) != 0)) {
            id = la_intern_add(intern, at, size);
            if (id == LA_NO_ID) {
                return false;
            }
            last = at;
            last_size = size;
        }
        to[i] = id;
    }
    return true;
}

static void
load_nulls(la_groups *groups, uint32_t k, const uint8_t *valid, const uint32_t *rows,
           uint32_t count, uint64_t *words)
{
    bool any = false;

    for (uint32_t i = 0; i < count && !any; i++) {
        any = valid[rows != NULL ? rows[i] : i] == 0;
    }
    if (!any) {
        return;
    }
    if (groups->null_parts == 0) {
        memset(groups->nulls, 0, LA_CHUNK_ROWS * sizeof(uint32_t));
    }
    groups->null_parts |= 1u << k;
    for (uint32_t i = 0; i < count; i++) {
        if (valid[rows != NULL ? rows[i] : i] == 0) {
            groups->nulls[i] |= 1u << k;
            words[i] = 0;
        }
    }
}

/* One value for all rows. */
static bool
load_constant(la_groups *groups, uint32_t k, const la_vec *vec, uint32_t count,
              uint64_t *words)
{
    const la_column *column = &vec->column;
    la_intern *intern = &groups->parts[k].intern;

    if (la_column_is_null(column, 0) || column->type == LA_T_NULL) {
        if (groups->null_parts == 0) {
            memset(groups->nulls, 0, LA_CHUNK_ROWS * sizeof(uint32_t));
        }
        groups->null_parts |= 1u << k;
        for (uint32_t i = 0; i < count; i++) {
            groups->nulls[i] |= 1u << k;
        }
        words[0] = 0;
        return true;
    }
    if (!groups->parts[k].text) {
        load_numbers(column, NULL, 1, words);
        return true;
    }
    size_t size;
    const char *at = la_load_text(column, 0, &size);
    words[0] = la_intern_add(intern, at, size);
    return words[0] != LA_NO_ID;
}

la_status
la_groups_load(la_groups *groups, uint32_t k, const la_vec *vec, const uint32_t *rows,
               uint32_t count, la_error *err)
{
    const la_column *column = &vec->column;
    la_intern *intern = &groups->parts[k].intern;
    uint64_t *words = groups->words + (size_t)k * LA_CHUNK_ROWS;
    bool loaded = true;

    groups->constant[k] = vec->constant;
    if (vec->constant) {
        loaded = load_constant(groups, k, vec, count, words);
    }
    else if (column->type == LA_T_CAT) {
        loaded = load_codes(intern, column, rows, count, words);
    }
    else if (groups->parts[k].text) {
        loaded = load_texts(intern, column, rows, count, words);
    }
    else {
        load_numbers(column, rows, count, words);
    }
    if (loaded && !vec->constant && column->valid != NULL) {
        load_nulls(groups, k, column->valid, rows, count, words);
    }
    return loaded ? LA_OK : la_fail_nomem(err, 0);
}

void
la_groups_hash(la_groups *groups, uint32_t count)
{
    uint64_t hashes[BLOCK_OF_HASHES];

    for (uint32_t from = 0; from < count; from += BLOCK_OF_HASHES) {
        uint32_t rows = count - from < BLOCK_OF_HASHES ? count - from : BLOCK_OF_HASHES;
        memset(hashes, 0, sizeof hashes);
        for (uint32_t p = 0; p < groups->part_count; p++) {
            const uint64_t *words = groups->words + (size_t)p * LA_CHUNK_ROWS;
            if (groups->constant[p]) {
                for (uint32_t i = 0; i < rows; i++) {
                    hashes[i] = la_hash_step(hashes[i], words[0]);
                }
            }
            else {
                for (uint32_t i = 0; i < rows; i++) {
                    hashes[i] = la_hash_step(hashes[i], words[from + i]);
                }
            }
        }
        for (uint32_t i = 0; i < rows; i++) {
            uint32_t nulls = groups->null_parts != 0 ? groups->nulls[from + i] : 0;
            uint64_t hash = nulls != 0 ? la_hash_step(hashes[i], nulls) : hashes[i];
            groups->places[from + i] = (uint32_t)(hash >> 32);
        }
    }
}
