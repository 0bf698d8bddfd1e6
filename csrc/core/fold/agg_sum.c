/* SPDX-License-Identifier: Apache-2.0 */
/* sum and mean. Integers and decimals in 128 bits, floats exactly (fold/exact.h):
 * neither can overflow on the way (semantics 22, 23), so the result type is looked at
 * in finish alone.
 *
 *   sum, mean of integers   | lo | hi | count |            24 bytes
 *   sum of floats           | la_exact |                   32 bytes
 *   mean of floats          | la_exact | count |           40 bytes
 */
#include "base/error.h"
#include "base/rational.h"
#include "fold/exact.h"
#include "fold/kernel.h"
#include "fold/registry.h"
#include "fold/scalar.h"

#define DECIMAL_LIMIT INT64_C(1000000000000000000)

typedef __int128 i128;

typedef struct int_sum {
    uint64_t lo, hi; /* two's complement; apart, so that a state is 24 bytes */
    uint64_t count;
} int_sum;

typedef struct float_mean {
    la_exact sum; /* first: a sum is a mean without its count */
    uint64_t count;
} float_mean;

static i128
int_value(const int_sum *sum)
{
    return (i128)(((unsigned __int128)sum->hi << 64) | sum->lo);
}

LA_INLINE void
int_add(int_sum *sum, i128 value)
{
    unsigned __int128 next =
        (((unsigned __int128)sum->hi << 64) | sum->lo) + (unsigned __int128)value;
    sum->lo = (uint64_t)next;
    sum->hi = (uint64_t)(next >> 64);
}

/* ------------------------------------------------------------------- types */

static la_status
sum_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale, la_error *err)
{
    switch (arg) {
    case LA_T_BOOL:
    case LA_T_I32:
    case LA_T_I64:
        *result = LA_T_I64;
        break;
    case LA_T_U64:
    case LA_T_DECIMAL:
        *result = arg;
        break;
    case LA_T_F32:
    case LA_T_F64:
        *result = LA_T_F64;
        break;
    default:
        return la_agg_refuse("a sum", "bool, i32, i64, u64, f32, f64 or decimal", arg,
                             arg_scale, err);
    }
    *scale = arg == LA_T_DECIMAL ? arg_scale : 0;
    return LA_OK;
}

static la_status
mean_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
          la_error *err)
{
    la_type summed;
    uint8_t summed_scale;
    if (sum_type(arg, arg_scale, &summed, &summed_scale, NULL) != LA_OK) {
        return la_agg_refuse("a mean", "bool, i32, i64, u64, f32, f64 or decimal", arg,
                             arg_scale, err);
    }
    *result = LA_T_F64;
    *scale = 0;
    return LA_OK;
}

static size_t
sum_size(const la_agg_context *context)
{
    return la_type_is_float(context->arg_type) ? sizeof(la_exact) : sizeof(int_sum);
}

static size_t
mean_size(const la_agg_context *context)
{
    return la_type_is_float(context->arg_type) ? sizeof(float_mean) : sizeof(int_sum);
}

static void
sum_init(const la_agg_context *context, void *state)
{
    memset(state, 0, sum_size(context));
}

static void
mean_init(const la_agg_context *context, void *state)
{
    memset(state, 0, mean_size(context));
}

static void
sum_fini(const la_agg_context *context, void *state)
{
    if (la_type_is_float(context->arg_type)) {
        *context->heap_used -= la_exact_heap(state);
        la_exact_fini(state, context->env);
    }
}

/* ---------------------------------------------------------------- integers */

/* One group: a 64-bit sum of what is at most 32 bits wide, else a 128-bit one. */
LA_INLINE i128
int_total(la_type type, const void *data, const uint32_t *rows, uint32_t count)
{
    int64_t narrow = 0;
    i128 wide = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        if (type == LA_T_BOOL || type == LA_T_I32) {
            narrow += la_load_int(type, data, row);
        }
        else if (type == LA_T_U64) {
            wide += (uint64_t)la_load_int(type, data, row);
        }
        else {
            wide += la_load_int(type, data, row);
        }
    }
    return wide + narrow;
}

#define SPAN_MAX 256u

/* Two sums a group, so that neighbours in one group need not wait for each other: of
 * values, or of their halves where those are 64 bits wide. */
typedef struct int_lanes {
    int64_t low[2], high[2];
    uint32_t count[2];
} int_lanes;

LA_INLINE void
int_few_groups(la_type type, int_sum *states, const uint32_t *rows, uint32_t count,
               const la_agg_rows *update)
{
    bool narrow = type == LA_T_BOOL || type == LA_T_I32;
    uint32_t low = update->group_low, span = update->group_span;
    int_lanes lanes[SPAN_MAX];

    memset(lanes, 0, span * sizeof lanes[0]);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        int_lanes *lane = &lanes[update->groups[row] - low];
        int64_t value = la_load_int(type, update->arg->data, row);
        if (narrow) {
            lane->low[i & 1] += value;
        }
        else {
            lane->low[i & 1] += (uint32_t)value;
            lane->high[i & 1] +=
                type == LA_T_U64 ? (int64_t)((uint64_t)value >> 32) : value >> 32;
        }
        lane->count[i & 1]++;
    }
    for (uint32_t g = 0; g < span; g++) {
        const int_lanes *lane = &lanes[g];
        i128 total = (i128)(lane->high[0] + lane->high[1]) * ((i128)1 << 32);
        int_add(&states[low + g], total + lane->low[0] + lane->low[1]);
        states[low + g].count += (uint64_t)lane->count[0] + lane->count[1];
    }
}

LA_INLINE void
int_rows(la_type type, int_sum *states, const uint32_t *rows, uint32_t count,
         const la_agg_rows *update)
{
    const void *data = update->arg->data;
    const uint32_t *groups = update->groups;

    if (update->single && count > 0) {
        int_sum *sum = &states[groups[rows != NULL ? rows[0] : 0]];
        int_add(sum, int_total(type, data, rows, count));
        sum->count += count;
        return;
    }
    uint32_t span = update->group_span;
    if (span != 0 && span <= SPAN_MAX && count >= 4 * span) {
        int_few_groups(type, states, rows, count, update);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        int_sum *sum = &states[groups[row]];
        int64_t value = la_load_int(type, data, row);
        int_add(sum, type == LA_T_U64 ? (i128)(uint64_t)value : (i128)value);
        sum->count++;
    }
}

/* About 1 ns a row and the table's access. */
LA_INLINE void
int_update(la_type type, int_sum *states, const uint32_t *rows, uint32_t count,
           const la_agg_rows *update)
{
    if (rows == NULL) {
        int_rows(type, states, NULL, count, update);
    }
    else {
        int_rows(type, states, rows, count, update);
    }
}

/* ------------------------------------------------------------------ floats */

/* What the window does not take; keeps the account of memory. */
LA_COLD static la_status
float_add_slow(const la_agg_context *context, la_exact *sum, double x, la_error *err)
{
    size_t before = la_exact_heap(sum);
    if (!la_exact_add(sum, x, context->env)) {
        return la_fail_nomem(err, 0);
    }
    *context->heap_used += la_exact_heap(sum) - before;
    return LA_OK;
}

/* Rows one by one, from `from` on: about 2 ns each and the table's access. `size` is
 * that of a state: 32 or 40. */
LA_INLINE la_status
float_rows(const la_agg_context *context, char *states, size_t size, const double *x,
           const uint32_t *groups, uint32_t from, uint32_t count, la_error *err)
{
    for (uint32_t i = from; i < count; i++) {
        char *state = states + (size_t)groups[i] * size;
        if (i + LA_PREFETCH_ROWS < count) {
            LA_PREFETCH(states + (size_t)groups[i + LA_PREFETCH_ROWS] * size);
        }
        if (LA_UNLIKELY(!la_exact_add_fast((la_exact *)(void *)state, x[i]))) {
            la_status status = float_add_slow(context, (void *)state, x[i], err);
            if (status != LA_OK) {
                return status;
            }
        }
        if (size == sizeof(float_mean)) {
            ((float_mean *)(void *)state)->count++;
        }
    }
    return LA_OK;
}

static la_status
float_total(const la_agg_context *context, la_exact *sum, const double *x,
            uint32_t count, la_error *err)
{
    size_t before = la_exact_heap(sum);
    bool added = la_exact_add_many(sum, x, count, context->env);
    *context->heap_used += la_exact_heap(sum) - before;
    return added ? LA_OK : la_fail_nomem(err, 0);
}

LA_INLINE la_status
float_groups(const la_agg_context *context, char *states, size_t size, const double *x,
             const uint32_t *groups, uint32_t count, const la_agg_rows *update,
             la_error *err)
{
    uint32_t span = update->group_span, added = 0;

    if (span != 0 && span <= LA_EXACT_GROUPS_MAX && count >= 4 * span) {
        added = la_exact_add_groups(states, size, groups, update->group_low, span, x,
                                    count, context->heap_used, context->env);
        if (added == UINT32_MAX) {
            return la_fail_nomem(err, 0);
        }
        for (uint32_t i = 0; size == sizeof(float_mean) && i < added; i++) {
            ((float_mean *)(void *)(states + groups[i] * size))->count++;
        }
    }
    return float_rows(context, states, size, x, groups, added, count, err);
}

/* Values and groups side by side, then by what is known of the groups. */
LA_INLINE la_status
float_update(const la_agg_context *context, char *states, size_t size,
             const la_agg_rows *update, la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], group_room[LA_CHUNK_ROWS], count;
    double room[LA_CHUNK_ROWS];
    const uint32_t *rows = la_rows_valid(update, scratch, &count);
    const uint32_t *groups = la_gather_groups(update, rows, count, group_room);
    const double *x = update->arg->data;

    if (count == 0) {
        return LA_OK;
    }
    if (context->arg_type == LA_T_F32 || rows != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t row = rows != NULL ? rows[i] : i;
            room[i] = context->arg_type == LA_T_F32
                          ? la_load_float(LA_T_F32, update->arg->data, row)
                          : la_load_float(LA_T_F64, update->arg->data, row);
        }
        x = room;
    }
    if (!update->single) {
        return float_groups(context, states, size, x, groups, count, update, err);
    }
    float_mean *state = (void *)(states + (size_t)groups[0] * size);
    if (size == sizeof(float_mean)) {
        state->count += count;
    }
    return float_total(context, &state->sum, x, count, err);
}

static la_status
sum_update(const la_agg_context *context, void *states, const la_agg_rows *update,
           la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], count;

    if (la_type_is_float(context->arg_type)) {
        return float_update(context, states, sizeof(la_exact), update, err);
    }
    const uint32_t *rows = la_rows_valid(update, scratch, &count);
    switch (context->arg_type) {
    case LA_T_BOOL:
        int_update(LA_T_BOOL, states, rows, count, update);
        return LA_OK;
    case LA_T_I32:
        int_update(LA_T_I32, states, rows, count, update);
        return LA_OK;
    case LA_T_U64:
        int_update(LA_T_U64, states, rows, count, update);
        return LA_OK;
    default:
        int_update(LA_T_I64, states, rows, count, update);
        return LA_OK;
    }
}

static la_status
mean_update(const la_agg_context *context, void *states, const la_agg_rows *update,
            la_error *err)
{
    if (!la_type_is_float(context->arg_type)) {
        return sum_update(context, states, update, err);
    }
    return float_update(context, states, sizeof(float_mean), update, err);
}

/* ------------------------------------------------------------------- merge */

static la_status
sum_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    if (la_type_is_float(context->arg_type)) {
        size_t before = la_exact_heap(into);
        bool merged = la_exact_merge(into, from, context->env);
        *context->heap_used += la_exact_heap(into) - before;
        return merged ? LA_OK : la_fail_nomem(err, 0);
    }
    int_add(into, int_value(from));
    ((int_sum *)into)->count += ((const int_sum *)from)->count;
    return LA_OK;
}

static la_status
mean_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    la_status status = sum_merge(context, into, from, err);
    if (status == LA_OK && la_type_is_float(context->arg_type)) {
        ((float_mean *)into)->count += ((const float_mean *)from)->count;
    }
    return status;
}

/* ---------------------------------------------------------------- encoding */

#define INT_EMPTY 0x40u /* sums alone: a mean's count says it */
#define INT_NEGATIVE 0x80u

/* One byte: sign and number of bytes of the magnitude; the bytes, lowest first. */
static void
int_encode(i128 value, la_buf *to)
{
    unsigned __int128 x =
        value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    uint8_t bytes[16];
    uint8_t size = 0;

    for (; x != 0; x >>= 8) {
        bytes[size++] = (uint8_t)x;
    }
    la_buf_u8(to, (uint8_t)(size | (value < 0 ? INT_NEGATIVE : 0)));
    la_buf_put(to, bytes, size);
}

static bool
int_decode(uint8_t head, int_sum *sum, la_bytes *from)
{
    uint8_t size = head & 0x7f;
    bool negative = (head & INT_NEGATIVE) != 0;
    unsigned __int128 x = 0;

    if (size > 16 || (size == 0 && negative)) {
        return false;
    }
    const uint8_t *bytes = la_bytes_take(from, size);
    if (bytes == NULL || (size > 0 && bytes[size - 1] == 0)) {
        return false;
    }
    for (uint8_t i = size; i-- > 0;) {
        x = x << 8 | bytes[i];
    }
    if (x >> 127 != 0) {
        return false;
    }
    int_add(sum, negative ? -(i128)x : (i128)x);
    return true;
}

static void
sum_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    const int_sum *sum = state;
    if (la_type_is_float(context->arg_type)) {
        la_exact_encode(state, to);
    }
    else if (sum->count == 0) {
        la_buf_u8(to, INT_EMPTY);
    }
    else {
        int_encode(int_value(sum), to);
    }
}

static bool
sum_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    if (la_type_is_float(context->arg_type)) {
        bool decoded = la_exact_decode(state, from, context->env);
        *context->heap_used += la_exact_heap(state);
        return decoded;
    }
    uint8_t head = la_bytes_u8(from);
    if (from->bad || head == INT_EMPTY) {
        return !from->bad;
    }
    ((int_sum *)state)->count = 1; /* that there were some is all a sum keeps */
    return int_decode(head, state, from);
}

static void
mean_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    bool is_float = la_type_is_float(context->arg_type);
    uint64_t count =
        is_float ? ((const float_mean *)state)->count : ((const int_sum *)state)->count;

    la_buf_varint(to, count);
    if (count == 0) {
        return;
    }
    if (is_float) {
        la_exact_encode(state, to);
    }
    else {
        int_encode(int_value(state), to);
    }
}

static bool
mean_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    uint64_t count = la_bytes_varint(from);
    if (from->bad || count == 0) {
        return !from->bad;
    }
    if (!la_type_is_float(context->arg_type)) {
        uint8_t head = la_bytes_u8(from);
        ((int_sum *)state)->count = count;
        return !from->bad && int_decode(head, state, from);
    }
    float_mean *mean = state;
    bool decoded = la_exact_decode(&mean->sum, from, context->env);
    *context->heap_used += la_exact_heap(&mean->sum);
    mean->count = count;
    return decoded && !la_exact_is_empty(&mean->sum);
}

/* ------------------------------------------------------------------ finish */

static la_status
sum_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
           uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    const int_sum *sum = state;
    (void)heap;
    (void)err;
    if (la_type_is_float(context->arg_type)) {
        valid[row] = !la_exact_is_empty(state);
        ((double *)data)[row] = la_exact_round(state, 1);
        return LA_OK;
    }
    i128 value = int_value(sum);
    i128 low = INT64_MIN, high = INT64_MAX;
    if (context->arg_type == LA_T_U64) {
        low = 0;
        high = UINT64_MAX;
    }
    else if (context->arg_type == LA_T_DECIMAL) {
        low = -(DECIMAL_LIMIT - 1);
        high = DECIMAL_LIMIT - 1;
    }
    bool fits = value >= low && value <= high;
    valid[row] = sum->count != 0 && fits;
    if (overflow != NULL && !fits) {
        overflow[row] = 1;
    }
    ((uint64_t *)data)[row] = fits ? (uint64_t)value : 0;
    return LA_OK;
}

static la_status
mean_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
            uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    double result = 0.0;
    (void)overflow;
    (void)heap;
    (void)err;
    if (la_type_is_float(context->arg_type)) {
        const float_mean *mean = state;
        valid[row] = mean->count != 0;
        result = la_exact_round(&mean->sum, mean->count);
    }
    else {
        const int_sum *sum = state;
        valid[row] = sum->count != 0;
        if (sum->count != 0) {
            result = la_i128_ratio(int_value(sum), sum->count, context->arg_scale);
        }
    }
    ((double *)data)[row] = result;
    return LA_OK;
}

static bool
sum_exact(const la_agg_context *context, const void *state, __int128 *value)
{
    const int_sum *sum = state;
    if (la_type_is_float(context->arg_type) || sum->count == 0) {
        return false;
    }
    *value = int_value(sum);
    return true;
}

const la_agg_kind la_agg_sum = {
    .name = "sum",
    .semantics = 1,
    .takes_arg = true,
    .order_free = true,
    .type = sum_type,
    .size = sum_size,
    .init = sum_init,
    .fini = sum_fini,
    .update = sum_update,
    .merge = sum_merge,
    .encode = sum_encode,
    .decode = sum_decode,
    .finish = sum_finish,
    .exact = sum_exact,
};

const la_agg_kind la_agg_mean = {
    .name = "mean",
    .semantics = 1,
    .takes_arg = true,
    .order_free = true,
    .type = mean_type,
    .size = mean_size,
    .init = mean_init,
    .fini = sum_fini,
    .update = mean_update,
    .merge = mean_merge,
    .encode = mean_encode,
    .decode = mean_decode,
    .finish = mean_finish,
    .exact = NULL,
};
