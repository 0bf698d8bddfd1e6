/* SPDX-License-Identifier: Apache-2.0 */
/* n_unique: the exact set of values that are not null. Numbers are held as order words,
 * texts by their bytes; NaN is one value and -0.0 is 0.0. */
#include "base/error.h"
#include "fold/kernel.h"
#include "fold/registry.h"
#include "fold/scalar.h"
#include "fold/set.h"

static la_status
unique_type(la_type arg, uint8_t arg_scale, la_type *result, uint8_t *scale,
            la_error *err)
{
    if (arg == LA_T_NULL || arg >= LA_T_JSON) {
        return la_agg_refuse("n_unique", "a column of any stored type", arg, arg_scale,
                             err);
    }
    *result = LA_T_I64;
    *scale = 0;
    return LA_OK;
}

static size_t
unique_size(const la_agg_context *context)
{
    return la_type_is_text(context->arg_type) ? sizeof(la_text_set)
                                              : sizeof(la_word_set);
}

static void
unique_init(const la_agg_context *context, void *state)
{
    memset(state, 0, unique_size(context));
}

static void
unique_fini(const la_agg_context *context, void *state)
{
    if (la_type_is_text(context->arg_type)) {
        *context->heap_used -= la_text_set_heap(state);
        la_text_set_fini(state, context->env);
    }
    else {
        *context->heap_used -= la_word_set_heap(state);
        la_word_set_fini(state, context->env);
    }
}

/* ------------------------------------------------------------------ update */

LA_INLINE bool
add_counted(const la_agg_context *context, la_word_set *set, uint64_t word)
{
    size_t before = la_word_set_heap(set);
    bool added = la_word_set_add(set, word, context->env);
    *context->heap_used += la_word_set_heap(set) - before;
    return added;
}

/* A bitmap takes about 1 ns a row, a table its cache miss. */
LA_INLINE bool
word_rows(la_type type, const la_agg_context *context, la_word_set *states,
          const uint32_t *rows, uint32_t count, const la_agg_rows *update)
{
    const void *data = update->arg->data;
    const uint32_t *groups = update->groups;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        uint64_t word = la_order_of(type, la_load_word(type, data, row));
        if (i + LA_PREFETCH_ROWS < count) {
            uint32_t next =
                rows != NULL ? rows[i + LA_PREFETCH_ROWS] : i + LA_PREFETCH_ROWS;
            la_word_set_prefetch(&states[groups[next]],
                                 la_order_of(type, la_load_word(type, data, next)));
        }
        if (!add_counted(context, &states[groups[row]], word)) {
            return false;
        }
    }
    return true;
}

static bool
word_update(const la_agg_context *context, la_word_set *states, const uint32_t *rows,
            uint32_t count, const la_agg_rows *update)
{
    switch (context->arg_type) {
    case LA_T_BOOL:
        return word_rows(LA_T_BOOL, context, states, rows, count, update);
    case LA_T_I32:
    case LA_T_DATE:
        return word_rows(LA_T_I32, context, states, rows, count, update);
    case LA_T_U64:
        return word_rows(LA_T_U64, context, states, rows, count, update);
    case LA_T_F32:
        return word_rows(LA_T_F32, context, states, rows, count, update);
    case LA_T_F64:
        return word_rows(LA_T_F64, context, states, rows, count, update);
    default:
        return word_rows(LA_T_I64, context, states, rows, count, update);
    }
}

#define RECENT 256u

/* A small table of (group, code) added lately spares most of the hashing of
 * categories. */
static bool
text_update(const la_agg_context *context, la_text_set *states, const uint32_t *rows,
            uint32_t count, const la_agg_rows *update)
{
    const la_column *arg = update->arg;
    const uint32_t *codes = arg->type == LA_T_CAT ? arg->data : NULL;
    uint64_t recent[RECENT];

    memset(recent, 0xff, sizeof recent);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[i] : i;
        uint32_t group = update->groups[row];
        if (codes != NULL) {
            uint64_t pair = (uint64_t)group << 32 | codes[row];
            uint64_t *place = &recent[(codes[row] + group * 31) % RECENT];
            if (*place == pair) {
                continue;
            }
            *place = pair;
        }
        la_text_set *set = &states[group];
        size_t size, before = la_text_set_heap(set);
        const char *at = la_load_text(arg, row, &size);
        bool added = la_text_set_add(set, at, size, context->env);
        *context->heap_used += la_text_set_heap(set) - before;
        if (!added) {
            return false;
        }
    }
    return true;
}

static la_status
unique_update(const la_agg_context *context, void *states, const la_agg_rows *update,
              la_error *err)
{
    uint32_t scratch[LA_CHUNK_ROWS], count;
    const uint32_t *rows = la_rows_valid(update, scratch, &count);
    bool added = la_type_is_text(context->arg_type)
                     ? text_update(context, states, rows, count, update)
                     : word_update(context, states, rows, count, update);
    return added ? LA_OK : la_fail_nomem(err, 0);
}

static la_status
unique_merge(const la_agg_context *context, void *into, const void *from, la_error *err)
{
    bool merged;
    if (la_type_is_text(context->arg_type)) {
        size_t before = la_text_set_heap(into);
        merged = la_text_set_merge(into, from, context->env);
        *context->heap_used += la_text_set_heap(into) - before;
    }
    else {
        size_t before = la_word_set_heap(into);
        merged = la_word_set_merge(into, from, context->env);
        *context->heap_used += la_word_set_heap(into) - before;
    }
    return merged ? LA_OK : la_fail_nomem(err, 0);
}

/* ---------------------------------------------------------------- encoding */

static void
encode_words(la_type type, const la_word_set *set, la_buf *to)
{
    const la_env *env = to->env;
    size_t size = (size_t)set->count * 2 * sizeof(uint64_t);
    uint64_t *words = la_alloc(env, size);

    if (words == NULL) {
        to->failed = true;
        return;
    }
    la_word_set_sorted(set, words);
    for (uint32_t i = 0; i < set->count; i++) {
        if (la_type_is_float(type)) {
            la_buf_u64(to, la_word_of(type, words[i]));
        }
        else if (i == 0) {
            la_word_put(type, la_word_of(type, words[i]), to);
        }
        else {
            la_buf_varint(to, words[i] - words[i - 1] - 1);
        }
    }
    la_dealloc(env, words, size == 0 ? 1 : size);
}

static void
encode_texts(const la_text_set *set, la_buf *to)
{
    const la_env *env = to->env;
    size_t size = (size_t)set->count * 2 * sizeof(uint32_t);
    uint32_t *order = la_alloc(env, size);

    if (order == NULL) {
        to->failed = true;
        return;
    }
    la_text_set_sorted(set, order, order + set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        const la_text_entry *entry = &set->entries[order[i]];
        la_text_put(set->heap + entry->at, entry->size, to);
    }
    la_dealloc(env, order, size == 0 ? 1 : size);
}

static void
unique_encode(const la_agg_context *context, const void *state, la_buf *to)
{
    if (la_type_is_text(context->arg_type)) {
        const la_text_set *set = state;
        la_buf_varint(to, set->count);
        encode_texts(set, to);
    }
    else {
        const la_word_set *set = state;
        la_buf_varint(to, set->count);
        encode_words(context->arg_type, set, to);
    }
}

static bool
decode_words(const la_agg_context *context, la_word_set *set, uint64_t count,
             la_bytes *from)
{
    la_type type = context->arg_type;
    uint64_t order = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t word, last = order;
        if (i == 0 || la_type_is_float(type)) {
            if (!la_word_take(type, from, &word)) {
                return false;
            }
            order = la_order_of(type, word);
        }
        else {
            uint64_t step = la_bytes_varint(from);
            if (from->bad || step == UINT64_MAX ||
                __builtin_add_overflow(last, step + 1, &order) ||
                !la_word_is_canonical(type, la_word_of(type, order))) {
                return false;
            }
        }
        if ((i > 0 && order <= last) || !add_counted(context, set, order)) {
            return false;
        }
    }
    return true;
}

static bool
decode_texts(const la_agg_context *context, la_text_set *set, uint64_t count,
             la_bytes *from)
{
    const char *last = NULL;
    size_t last_size = 0;

    for (uint64_t i = 0; i < count; i++) {
        const char *at;
        size_t size, before = la_text_set_heap(set);
        if (!la_text_take(context->arg_type, from, &at, &size) ||
            (i > 0 && la_text_compare(last, last_size, at, size) >= 0)) {
            return false;
        }
        bool added = la_text_set_add(set, at, size, context->env);
        *context->heap_used += la_text_set_heap(set) - before;
        if (!added) {
            return false;
        }
        last = at;
        last_size = size;
    }
    return true;
}

static bool
unique_decode(const la_agg_context *context, void *state, la_bytes *from)
{
    uint64_t count = la_bytes_varint(from);
    if (from->bad || count > la_bytes_left(from)) { /* a value is a byte at least */
        return false;
    }
    return la_type_is_text(context->arg_type)
               ? decode_texts(context, state, count, from)
               : decode_words(context, state, count, from);
}

static uint64_t
unique_count(const la_agg_context *context, const void *state)
{
    return la_type_is_text(context->arg_type) ? ((const la_text_set *)state)->count
                                              : ((const la_word_set *)state)->count;
}

static la_status
unique_finish(const la_agg_context *context, const void *state, uint32_t row,
              void *data, uint8_t *valid, uint8_t *overflow, la_buf *heap,
              la_error *err)
{
    (void)valid;
    (void)overflow;
    (void)heap;
    (void)err;
    ((int64_t *)data)[row] = (int64_t)unique_count(context, state);
    return LA_OK;
}

static bool
unique_exact(const la_agg_context *context, const void *state, __int128 *value)
{
    *value = unique_count(context, state);
    return true;
}

const la_agg_kind la_agg_n_unique = {
    .name = "n_unique",
    .semantics = 1,
    .takes_arg = true,
    .order_free = true,
    .type = unique_type,
    .size = unique_size,
    .init = unique_init,
    .fini = unique_fini,
    .update = unique_update,
    .merge = unique_merge,
    .encode = unique_encode,
    .decode = unique_decode,
    .finish = unique_finish,
    .exact = unique_exact,
};
