/* SPDX-License-Identifier: Apache-2.0 */
/* What the inner loops of fold/ share: loads of values as 64-bit words, and the list of
 * rows that a kernel walks.
 *
 * A *word* is a value in 64 bits: bool, i32, i64, time, date and decimal sign-extended,
 * u64 as it is, f32 and f64 as the bits of the canonical double. An *order word* is the
 * same value such that unsigned order is value order. */
#ifndef LA_FOLD_KERNEL_H
#define LA_FOLD_KERNEL_H

#include "expr/agg.h"
#include "fold/loops.h"

/* Above this many bytes of states a loop asks for them a few rows ahead: they no longer
 * fit the second-level cache. */
#define LA_PREFETCH_BYTES (256u << 10)
#define LA_PREFETCH_ROWS 16u

static inline uint64_t
la_bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double
la_double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline bool
la_type_is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES || type == LA_T_CAT;
}

static inline bool
la_type_is_float(la_type type)
{
    return type == LA_T_F32 || type == LA_T_F64;
}

/* A number of `type` (constant where inlined) as int64; u64 as bits. */
LA_INLINE int64_t
la_load_int(la_type type, const void *data, size_t row)
{
    switch (type) {
    case LA_T_BOOL:
        return ((const uint8_t *)data)[row];
    case LA_T_I32:
    case LA_T_DATE:
        return ((const int32_t *)data)[row];
    default:
        return ((const int64_t *)data)[row];
    }
}

LA_INLINE double
la_load_float(la_type type, const void *data, size_t row)
{
    return type == LA_T_F32 ? (double)((const float *)data)[row]
                            : ((const double *)data)[row];
}

LA_INLINE uint64_t
la_load_word(la_type type, const void *data, size_t row)
{
    if (type == LA_T_F32 || type == LA_T_F64) {
        return la_bits_of(la_canonical_f64(la_load_float(type, data, row)));
    }
    return (uint64_t)la_load_int(type, data, row);
}

/* Words to order words and back. NaN, whose canonical bits are positive, comes last. */
LA_INLINE uint64_t
la_order_of(la_type type, uint64_t word)
{
    const uint64_t top = UINT64_C(1) << 63;
    if (type == LA_T_U64) {
        return word;
    }
    if (type == LA_T_F32 || type == LA_T_F64) {
        return (word & top) != 0 ? ~word : word | top;
    }
    return word ^ top;
}

LA_INLINE uint64_t
la_word_of(la_type type, uint64_t order)
{
    const uint64_t top = UINT64_C(1) << 63;
    if (type == LA_T_U64) {
        return order;
    }
    if (type == LA_T_F32 || type == LA_T_F64) {
        return (order & top) != 0 ? order ^ top : ~order;
    }
    return order ^ top;
}

/* The rows of an update whose argument is not null: NULL means rows 0..*count as they
 * are, else a list, which is `rows->rows` or was written to `scratch` (LA_CHUNK_ROWS
 * numbers). */
static inline const uint32_t *
la_rows_valid(const la_agg_rows *rows, uint32_t *scratch, uint32_t *count)
{
    const uint8_t *valid = rows->arg->valid;
    uint32_t found = 0;

    if (valid == NULL) {
        *count = rows->count;
        return rows->rows;
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t row = rows->rows != NULL ? rows->rows[i] : i;
        scratch[found] = row;
        found += valid[row] != 0;
    }
    *count = found;
    return found == rows->count ? rows->rows : scratch;
}

/* Groups of a list of rows, one after another: in `room` where there is a list. */
static inline const uint32_t *
la_gather_groups(const la_agg_rows *update, const uint32_t *rows, uint32_t count,
                 uint32_t *room)
{
    if (rows == NULL) {
        return update->groups;
    }
    for (uint32_t i = 0; i < count; i++) {
        room[i] = update->groups[rows[i]];
    }
    return room;
}

/* Text of a row that is not null, str, bytes or cat. */
static inline const char *
la_load_text(const la_column *column, uint32_t row, size_t *size)
{
    if (column->type == LA_T_CAT) {
        return la_dict_get(column->dict, ((const uint32_t *)column->data)[row], size);
    }
    uint32_t from = column->offsets[row];
    *size = column->offsets[row + 1] - from;
    return (const char *)column->data + from;
}

#endif
