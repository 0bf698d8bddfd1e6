/* SPDX-License-Identifier: Apache-2.0 */
/* min and max. Numbers are kept as ranks: unsigned words of which the least wins.
 *
 *   min: rank = order word      max: rank = ~order word       (fold/kernel.h)
 *   NaN: RANK_NAN, the last that wins (semantics 24)           none: RANK_NONE
 *
 *   bool, i32, date, decimal, f32, f64   | rank |               8 bytes
 *   i64, u64, time                       | rank | seen |        16 bytes
 *   str, cat                             | la_owned_text |      16 bytes
 *
 * No rank of the first line's types is RANK_NAN or RANK_NONE; those of the second use
 * all 64 bits, and need a flag. */
#include "base/error.h"
#include "fold/kernel.h"
#include "fold/registry.h"
#include "fold/scalar.h"

#define RANK_NONE UINT64_MAX
#define RANK_NAN (UINT64_MAX - 1)

typedef struct wide_rank {
    uint64_t rank;
    uint64_t seen;
} wide_rank;

static bool
is_wide(la_type type)
{
    return type == LA_T_I64 || type == LA_T_U64 || type == LA_T_TIME;
}

LA_INLINE uint64_t
rank_of(la_type type, bool is_max, uint64_t word)
{
    uint64_t order = la_order_of(type, word);
    return is_max ? ~order : order;
}

LA_INLINE uint64_t
load_rank(la_type type, bool is_max, const void *data, size_t row)
{
    if (type == LA_T_F32 || type == LA_T_F64) {
        double x = la_load_float(type, data, row);
        return x != x ? RANK_NAN : rank_of(type, is_max, la_bits_of(x + 0.0));
    }
    return rank_of(type, is_max, (uint64_t)la_load_int(type, data, row));
}

static uint64_t
word_of_rank(la_type type, bool is_max, uint64_t rank)
{
    if (la_type_is_float(type) && rank == RANK_NAN) {
        return la_bits_of(la_canonical_f64(__builtin_nan("")));
    }
    return la_word_of(type, is_max ? ~rank : rank);
}

static la_status
minmax_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
            la_error *err)
{
    if (arg == LA_T_NULL || arg >= LA_T_JSON || arg == LA_T_BYTES) {
        return la_agg_refuse("a min or max", "bool, numbers, time, date, str and cat",
                             arg, arg_scale, err);
    }
    *result = arg == LA_T_CAT ? LA_T_STR : arg;
    *scale = arg == LA_T_DECIMAL ? arg_scale : 0;
    return LA_OK;
}

static size_t
minmax_size(const la_agg_context *context)
{
    if (la_type_is_text(context->arg_type)) {
        return sizeof(la_owned_text);
    }
    return is_wide(context->arg_type) ? sizeof(wide_rank) : sizeof(uint64_t);
}

static void
minmax_init(const la_agg_context *context, void *state)
{
    memset(state, 0, minmax_size(context));
    if (!la_type_is_text(context->arg_type)) {
        *(uint64_t *)state = RANK_NONE;
    }
}

static void
minmax_fini(const la_agg_context *context, void *state)
{
    if (la_type_is_text(context->arg_type)) {
        la_owned_text_fini(context, state);
    }
}

/* ------------------------------------------------------------------ update */

LA_INLINE void
rank_rows(la_type type, bool is_max, void *states, const uint32_t *rows, uint32_t count,
          const la_agg_rows *update)
{
    const void *data = update->arg->data;
    const uint32_t *groups = update->groups;
    bool wide = type == LA_T_I64 || type == LA_T_U64 || type == LA_T_TIME;

    if (update->single) {
        uint64_t least = RANK_NONE;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t rank = load_rank(type, is_max, data, rows != NULL ? rows[i] : i);
            least = rank < least ? rank : least;
        }
        if (count > 0) {
            size_t group = groups[rows != NULL ? rows[0] : 0];
            uint64_t *to = (uint64_t *)states + group * (wide ? 2 : 1);
            *to = least < *to ? least : *to;
            if (wide) {
                to[1] = 1;
            }
        }
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        uint64_t rank = load_rank(type, is_max, data, row);
        uint64_t *to = (uint64_t *)states + (size_t)groups[row] * (wide ? 2 : 1);
        uint64_t held = *to;
        if (i + LA_PREFETCH_ROWS < count) {
            size_t next = groups[rows != NULL ? rows[i + LA_PREFETCH_ROWS]
                                              : i + LA_PREFETCH_ROWS];
            LA_PREFETCH((uint64_t *)states + next * (wide ? 2 : 1));
        }
        *to = rank < held ? rank : held; /* a branch would often be guessed wrong */
        if (wide) {
            to[1] = 1;
        }
    }
}

/* About 1 ns a row and the table's access. */
LA_INLINE void
rank_update(la_type type, bool is_max, void *states, const uint32_t *rows,
            uint32_t count, const la_agg_rows *update)
{
    if (rows == NULL) {
        rank_rows(type, is_max, states, NULL, count, update);
    }
    else {
        rank_rows(type, is_max, states, rows, count, update);
    }
}

static la_status
text_offer(const la_agg_context *context, la_owned_text *best, const char *at,
           size_t size, bool is_max, la_error *err)
{
    if (best->at != NULL) {
        int order = la_text_compare(at, size, best->at, best->size);
        if (is_max ? order <= 0 : order >= 0) {
            return LA_OK;
        }
    }
    return la_owned_text_set(context, best, at, size, err);
}

static la_status
text_update(const la_agg_context *context, la_owned_text *states, const uint32_t *rows,
            uint32_t count, const la_agg_rows *update, bool is_max, la_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        size_t size;
        const char *at = la_load_text(update->arg, row, &size);
        la_status status =
            text_offer(context, &states[update->groups[row]], at, size, is_max, err);
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

LA_INLINE la_status
minmax_update(const la_agg_context *context, void *states, const la_agg_rows *update,
              bool is_max, la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], count;
    const uint32_t *rows = la_rows_valid(update, scratch, &count);

    switch (context->arg_type) {
    case LA_T_BOOL:
        rank_update(LA_T_BOOL, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_I32:
    case LA_T_DATE:
        rank_update(LA_T_I32, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_U64:
        rank_update(LA_T_U64, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_F32:
        rank_update(LA_T_F32, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_F64:
        rank_update(LA_T_F64, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_DECIMAL:
        rank_update(LA_T_DECIMAL, is_max, states, rows, count, update);
        return LA_OK;
    case LA_T_STR:
    case LA_T_CAT:
        return text_update(context, states, rows, count, update, is_max, err);
    default:
        rank_update(LA_T_I64, is_max, states, rows, count, update);
        return LA_OK;
    }
}

static la_status
min_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
           la_error *err)
{
    return minmax_update(context, states, rows, false, err);
}

static la_status
max_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
           la_error *err)
{
    return minmax_update(context, states, rows, true, err);
}

/* ------------------------------------------------------- merge and encoding */

static bool
has_value(const la_agg_context *context, const void *state)
{
    if (la_type_is_text(context->arg_type)) {
        return ((const la_owned_text *)state)->at != NULL;
    }
    return is_wide(context->arg_type) ? ((const wide_rank *)state)->seen != 0
                                      : *(const uint64_t *)state != RANK_NONE;
}

static void
offer_rank(const la_agg_context *context, void *state, uint64_t rank)
{
    uint64_t *to = state;
    *to = rank < *to ? rank : *to;
    if (is_wide(context->arg_type)) {
        to[1] = 1;
    }
}

static la_status
minmax_merge(const la_agg_context *context, void *into, const void *from, bool is_max,
             la_error *err)
{
    if (!has_value(context, from)) {
        return LA_OK;
    }
    if (la_type_is_text(context->arg_type)) {
        const la_owned_text *text = from;
        return text_offer(context, into, text->at, text->size, is_max, err);
    }
    offer_rank(context, into, *(const uint64_t *)from);
    return LA_OK;
}

static la_status
min_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    return minmax_merge(context, into, from, false, err);
}

static la_status
max_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    return minmax_merge(context, into, from, true, err);
}

static void
minmax_encode(const la_agg_context *context, const void *state, bool is_max, la_buf *to)
{
    bool has = has_value(context, state);
    uint64_t word = 0;

    if (has && !la_type_is_text(context->arg_type)) {
        word = word_of_rank(context->arg_type, is_max, *(const uint64_t *)state);
    }
    la_scalar_put(context, has, word, state, to);
}

static void
min_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    minmax_encode(context, state, false, to);
}

static void
max_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    minmax_encode(context, state, true, to);
}

static bool
minmax_decode(const la_agg_context *context, void *state, bool is_max, la_bytes *from)
{
    la_type type = context->arg_type;
    uint64_t word;
    bool has;

    if (!la_scalar_take(context, from, &has, &word, state)) {
        return false;
    }
    if (has && !la_type_is_text(type)) {
        bool nan = la_type_is_float(type) && la_double_of(word) != la_double_of(word);
        offer_rank(context, state, nan ? RANK_NAN : rank_of(type, is_max, word));
    }
    return true;
}

static bool
min_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    return minmax_decode(context, state, false, from);
}

static bool
max_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    return minmax_decode(context, state, true, from);
}

/* ------------------------------------------------------------------ finish */

static la_status
minmax_finish(const la_agg_context *context, const void *state, bool is_max,
              uint32_t row, void *data, uint8_t *valid, la_buf *heap, la_error *err)
{
    bool has = has_value(context, state);
    valid[row] = has;
    if (la_type_is_text(context->arg_type)) {
        const la_owned_text *text = state;
        if (has) {
            la_buf_put(heap, text->at, text->size);
        }
        return heap->failed ? la_fail_nomem(err, text->size) : LA_OK;
    }
    uint64_t rank = *(const uint64_t *)state;
    uint64_t word = has ? word_of_rank(context->arg_type, is_max, rank) : 0;
    la_word_finish(context->arg_type, word, row, data);
    return LA_OK;
}

static la_status
min_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
           uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    (void)overflow;
    return minmax_finish(context, state, false, row, data, valid, heap, err);
}

static la_status
max_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
           uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    (void)overflow;
    return minmax_finish(context, state, true, row, data, valid, heap, err);
}

const la_agg_kind la_agg_min = {
    .name = "min",
    .semantics = 1,
    .takes_arg = true,
    .order_free = true,
    .type = minmax_type,
    .size = minmax_size,
    .init = minmax_init,
    .fini = minmax_fini,
    .update = min_update,
    .merge = min_merge,
    .encode = min_encode,
    .decode = min_decode,
    .finish = min_finish,
    .exact = NULL,
};

const la_agg_kind la_agg_max = {
    .name = "max",
    .semantics = 1,
    .takes_arg = true,
    .order_free = true,
    .type = minmax_type,
    .size = minmax_size,
    .init = minmax_init,
    .fini = minmax_fini,
    .update = max_update,
    .merge = max_merge,
    .encode = max_encode,
    .decode = max_decode,
    .finish = max_finish,
    .exact = NULL,
};
