/* SPDX-License-Identifier: Apache-2.0 */
/* len, count and null_count: one u64 a group. They differ in which rows they count. */
#include "base/error.h"
#include "fold/kernel.h"
#include "fold/registry.h"
#include "fold/scalar.h"

static la_status
len_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale, la_error *err)
{
    if (arg != LA_T_NULL) {
        return la_agg_refuse("len", "no argument", arg, arg_scale, err);
    }
    *result = LA_T_I64;
    *scale = 0;
    return LA_OK;
}

static la_status
count_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
           la_error *err)
{
    if (arg == LA_T_NULL || arg >= LA_T_COUNT) {
        return la_agg_refuse("a count", "a column of any type", arg, arg_scale, err);
    }
    *result = LA_T_I64;
    *scale = 0;
    return LA_OK;
}

static size_t
count_size(const la_agg_context *context)
{
    (void)context;
    return sizeof(uint64_t);
}

static void
count_init(const la_agg_context *context, void *state)
{
    (void)context;
    *(uint64_t *)state = 0;
}

static void
count_fini(const la_agg_context *context, void *state)
{
    (void)context;
    (void)state;
}

#define SPAN_MAX 512u

/* Few groups: four counters each, so that neighbours in one group need not wait for
 * each other; about 0.5 ns a row. */
static void
count_few(uint64_t *states, const uint32_t *groups, uint32_t low, uint32_t span,
          uint32_t count)
{
    uint32_t counters[SPAN_MAX][4], i = 0;

    memset(counters, 0, span * sizeof counters[0]);
    for (; i + 4 <= count; i += 4) {
        counters[groups[i] - low][0]++;
        counters[groups[i + 1] - low][1]++;
        counters[groups[i + 2] - low][2]++;
        counters[groups[i + 3] - low][3]++;
    }
    for (; i < count; i++) {
        counters[groups[i] - low][0]++;
    }
    for (uint32_t g = 0; g < span; g++) {
        states[low + g] +=
            (uint64_t)counters[g][0] + counters[g][1] + counters[g][2] + counters[g][3];
    }
}

/* About 0.7 ns a row; a memory-bound table adds its misses. */
static void
count_rows(uint64_t *states, const uint32_t *rows, uint32_t count,
           const la_agg_rows *update)
{
    uint32_t room[LA_CHUNK_ROWS];

    if (count == 0) {
        return;
    }
    if (update->single) {
        states[update->groups[rows == NULL ? 0 : rows[0]]] += count;
        return;
    }
    const uint32_t *groups = la_gather_groups(update, rows, count, room);
    if (update->group_span != 0 && update->group_span <= SPAN_MAX &&
        count >= 2 * update->group_span) {
        count_few(states, groups, update->group_low, update->group_span, count);
    }
    else {
        for (uint32_t i = 0; i < count; i++) {
            if (i + LA_PREFETCH_ROWS < count) {
                LA_PREFETCH(&states[groups[i + LA_PREFETCH_ROWS]]);
            }
            states[groups[i]]++;
        }
    }
}

static la_status
len_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
           la_error *err)
{
    (void)context;
    (void)err;
    count_rows(states, rows->rows, rows->count, rows);
    return LA_OK;
}

static la_status
count_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
             la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], count;
    (void)context;
    (void)err;
    const uint32_t *list = la_rows_valid(rows, scratch, &count);
    count_rows(states, list, count, rows);
    return LA_OK;
}

static la_status
null_count_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
                  la_error *err)
{
    uint32_t list[LA_CHUNK_ROWS], count = 0;
    const uint8_t *valid = rows->arg->valid;
    (void)context;
    (void)err;
    for (uint32_t i = 0; valid != NULL && i < rows->count; i++) {
        uint32_t row = rows->rows != NULL ? rows->rows[i] : i;
        list[count] = row;
        count += valid[row] == 0;
    }
    count_rows(states, list, count, rows);
    return LA_OK;
}

static la_status
count_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    (void)context;
    (void)err;
    *(uint64_t *)into += *(const uint64_t *)from;
    return LA_OK;
}

static void
count_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    (void)context;
    la_buf_varint(to, *(const uint64_t *)state);
}

static bool
count_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    (void)context;
    *(uint64_t *)state = la_bytes_varint(from);
    return !from->bad;
}

static la_status
count_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
             uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    uint64_t count = *(const uint64_t *)state;
    (void)context;
    (void)heap;
    (void)err;
    if (count > INT64_MAX) { /* from bytes alone */
        count = 0;
        if (valid != NULL) {
            valid[row] = 0;
        }
        if (overflow != NULL) {
            overflow[row] = 1;
        }
    }
    ((int64_t *)data)[row] = (int64_t)count;
    return LA_OK;
}

static bool
count_exact(const la_agg_context *context, const void *state, __int128 *value)
{
    (void)context;
    *value = *(const uint64_t *)state;
    return true;
}

#define COUNT_KIND(kind_name, has_arg, type_function, update_function)                 \
    {                                                                                  \
        .name = kind_name, .semantics = 1, .takes_arg = has_arg, .order_free = true,   \
        .type = type_function, .size = count_size, .init = count_init,                 \
        .fini = count_fini, .update = update_function, .merge = count_merge,           \
        .encode = count_encode, .decode = count_decode, .finish = count_finish,        \
        .exact = count_exact                                                           \
    }

const la_agg_kind la_agg_len = COUNT_KIND("len", false, len_type, len_update);
const la_agg_kind la_agg_count = COUNT_KIND("count", true, count_type, count_update);
const la_agg_kind la_agg_null_count =
    COUNT_KIND("null_count", true, count_type, null_count_update);
