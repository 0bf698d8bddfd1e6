/* SPDX-License-Identifier: Apache-2.0 */
/* first and last: the value of the least / greatest (event time, log, position) among
 * rows that are not null. The order is total (semantics 17), so merging commutes and
 * nothing depends on the order of arrival; a log without event time orders by position
 * alone, and a null time comes before all others. */
#include "base/error.h"
#include "fold/kernel.h"
#include "fold/registry.h"
#include "fold/scalar.h"

typedef struct pick {
    int64_t time;
    uint64_t position;
    uint32_t log;
    bool seen;
    union {
        uint64_t word;
        la_owned_text text;
    };
} pick;

static la_status
pick_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
          la_error *err)
{
    if (arg == LA_T_NULL || arg >= LA_T_JSON) {
        return la_agg_refuse("a first or last", "a column of any stored type", arg,
                             arg_scale, err);
    }
    *result = arg == LA_T_CAT ? LA_T_STR : arg;
    *scale = arg == LA_T_DECIMAL ? arg_scale : 0;
    return LA_OK;
}

static size_t
pick_size(const la_agg_context *context)
{
    return la_type_is_text(context->arg_type) ? sizeof(pick)
                                              : offsetof(pick, word) + sizeof(uint64_t);
}

static void
pick_init(const la_agg_context *context, void *state)
{
    memset(state, 0, pick_size(context));
}

static void
pick_fini(const la_agg_context *context, void *state)
{
    if (la_type_is_text(context->arg_type)) {
        la_owned_text_fini(context, &((pick *)state)->text);
    }
}

/* Whether (time, log, position) takes the place of what `state` holds. */
LA_INLINE bool
wins(const pick *state, bool is_last, int64_t time, uint32_t log, uint64_t position)
{
    if (!state->seen) {
        return true;
    }
    bool before = time != state->time ? time < state->time
                  : log != state->log ? log < state->log
                                      : position < state->position;
    return before != is_last;
}

LA_INLINE void
take_place(pick *state, int64_t time, uint32_t log, uint64_t position)
{
    state->time = time;
    state->log = log;
    state->position = position;
    state->seen = true;
}

static uint64_t
word_at(la_type type, const void *data, uint32_t row)
{
    switch (type) {
    case LA_T_BOOL:
        return la_load_word(LA_T_BOOL, data, row);
    case LA_T_I32:
    case LA_T_DATE:
        return la_load_word(LA_T_I32, data, row);
    case LA_T_F32:
        return la_load_word(LA_T_F32, data, row);
    case LA_T_F64:
        return la_load_word(LA_T_F64, data, row);
    default:
        return la_load_word(LA_T_I64, data, row);
    }
}

LA_INLINE la_status
pick_update(const la_agg_context *context, char *states, const la_agg_rows *update,
            bool is_last, la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], count;
    const uint32_t *rows = la_rows_valid(update, scratch, &count);
    bool text = la_type_is_text(context->arg_type);
    size_t size = pick_size(context);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        pick *state = (void *)(states + update->groups[row] * size);
        int64_t time = update->times != NULL ? update->times[row] : 0;
        uint64_t position = update->position + row;
        if (!wins(state, is_last, time, update->log, position)) {
            continue;
        }
        if (text) {
            size_t length;
            const char *at = la_load_text(update->arg, row, &length);
            la_status status =
                la_owned_text_set(context, &state->text, at, length, err);
            if (status != LA_OK) {
                return status;
            }
        }
        else {
            state->word = word_at(context->arg_type, update->arg->data, row);
        }
        take_place(state, time, update->log, position);
    }
    return LA_OK;
}

static la_status
first_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
             la_error *err)
{
    return pick_update(context, states, rows, false, err);
}

static la_status
last_update(const la_agg_context *context, void *states, const la_agg_rows *rows,
            la_error *err)
{
    return pick_update(context, states, rows, true, err);
}

static la_status
pick_merge(const la_agg_context *context, pick *into, const pick *from, bool is_last,
           la_error *err)
{
    if (!from->seen || !wins(into, is_last, from->time, from->log, from->position)) {
        return LA_OK;
    }
    if (la_type_is_text(context->arg_type)) {
        la_status status = la_owned_text_set(context, &into->text, from->text.at,
                                             from->text.size, err);
        if (status != LA_OK) {
            return status;
        }
    }
    else {
        into->word = from->word;
    }
    take_place(into, from->time, from->log, from->position);
    return LA_OK;
}

static la_status
first_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    return pick_merge(context, into, from, false, err);
}

static la_status
last_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    return pick_merge(context, into, from, true, err);
}

static void
pick_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    const pick *from = state;
    la_scalar_put(context, from->seen, from->word, &from->text, to);
    if (from->seen) {
        la_word_put(LA_T_TIME, (uint64_t)from->time, to);
        la_buf_varint(to, from->log);
        la_buf_varint(to, from->position);
    }
}

static bool
pick_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    pick *to = state;
    uint64_t time;
    bool seen;

    if (!la_scalar_take(context, from, &seen, &to->word, &to->text)) {
        return false;
    }
    if (!seen) {
        return true;
    }
    if (!la_word_take(LA_T_TIME, from, &time)) {
        return false;
    }
    uint64_t log = la_bytes_varint(from);
    uint64_t position = la_bytes_varint(from);
    if (from->bad || log > UINT32_MAX) {
        return false;
    }
    take_place(to, (int64_t)time, (uint32_t)log, position);
    return true;
}

static la_status
pick_finish(const la_agg_context *context, const void *state, uint32_t row, void *data,
            uint8_t *valid, uint8_t *overflow, la_buf *heap, la_error *err)
{
    const pick *from = state;
    (void)overflow;
    valid[row] = from->seen;
    if (la_type_is_text(context->arg_type)) {
        if (from->seen) {
            la_buf_put(heap, from->text.at, from->text.size);
        }
        return heap->failed ? la_fail_nomem(err, from->text.size) : LA_OK;
    }
    la_word_finish(context->arg_type, from->word, row, data);
    return LA_OK;
}

const la_agg_kind la_agg_first = {
    .name = "first",
    .semantics = 1,
    .takes_arg = true,
    .order_free = false,
    .type = pick_type,
    .size = pick_size,
    .init = pick_init,
    .fini = pick_fini,
    .update = first_update,
    .merge = first_merge,
    .encode = pick_encode,
    .decode = pick_decode,
    .finish = pick_finish,
    .exact = NULL,
};

const la_agg_kind la_agg_last = {
    .name = "last",
    .semantics = 1,
    .takes_arg = true,
    .order_free = false,
    .type = pick_type,
    .size = pick_size,
    .init = pick_init,
    .fini = pick_fini,
    .update = last_update,
    .merge = last_merge,
    .encode = pick_encode,
    .decode = pick_decode,
    .finish = pick_finish,
    .exact = NULL,
};
