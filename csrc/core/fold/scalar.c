/* SPDX-License-Identifier: Apache-2.0 */
/* Values inside states.
 *
 * Invariants
 *  1. Every byte of a text is counted in the context's heap_used, by capacity.
 *  2. put after take gives the bytes taken: whatever take accepts is canonical. */
#include "fold/scalar.h"

#include "base/error.h"
#include "chunk/utf8.h"
#include "chunk/value.h"
#include "fold/kernel.h"

la_status
la_owned_text_set(const la_agg_context *context, la_owned_text *text, const char *at,
                  size_t size, la_error *err)
{
    if (size > text->capacity || text->at == NULL) {
        size_t capacity = size < 8 ? 8 : size + size / 8;
        char *room = la_realloc(context->env, text->at, text->capacity, capacity);
        if (room == NULL) {
            return la_fail_nomem(err, capacity);
        }
        *context->heap_used += capacity - text->capacity;
        text->at = room;
        text->capacity = (uint32_t)capacity;
    }
    if (size > 0) {
        memcpy(text->at, at, size);
    }
    text->size = (uint32_t)size;
    return LA_OK;
}

void
la_owned_text_fini(const la_agg_context *context, la_owned_text *text)
{
    *context->heap_used -= text->capacity;
    la_dealloc(context->env, text->at, text->capacity);
    memset(text, 0, sizeof *text);
}

void
la_scalar_put(const la_agg_context *context, bool has, uint64_t word,
              const la_owned_text *text, la_buf *to)
{
    la_value value = {.type = context->arg_type, .scale = context->arg_scale};

    if (!has) {
        value.null = true;
    }
    else if (la_type_is_text(value.type)) {
        value.text = text->at;
        value.size = text->size;
    }
    else if (la_type_is_float(value.type)) {
        value.f64 = la_double_of(word);
    }
    else {
        value.i64 = (int64_t)word;
    }
    la_key_put(to, &value);
}

bool
la_scalar_take(const la_agg_context *context, la_bytes *from, bool *has, uint64_t *word,
               la_owned_text *text)
{
    la_type type = context->arg_type;
    la_value value;
    la_arena arena; /* for the text without its escapes */

    la_arena_init(&arena, context->env);
    bool taken = la_key_take(from, type, context->arg_scale, &arena, &value);
    *has = taken && !value.null;
    if (*has && la_type_is_text(type)) {
        taken = value.size <= LA_VALUE_BYTES_MAX &&
                la_owned_text_set(context, text, value.text, value.size, NULL) == LA_OK;
    }
    else if (*has) {
        *word = la_type_is_float(type) ? la_bits_of(value.f64) : (uint64_t)value.i64;
        taken = la_word_is_canonical(type, *word);
    }
    la_arena_fini(&arena);
    return taken;
}

void
la_word_put(la_type type, uint64_t word, la_buf *to)
{
    if (la_type_is_float(type)) {
        la_buf_u64(to, word);
    }
    else if (type == LA_T_U64) {
        la_buf_varint(to, word);
    }
    else { /* zigzag */
        la_buf_varint(to, word << 1 ^ (uint64_t)((int64_t)word >> 63));
    }
}

bool
la_word_is_canonical(la_type type, uint64_t word)
{
    int64_t value = (int64_t)word;
    switch (type) {
    case LA_T_BOOL:
        return word <= 1;
    case LA_T_I32:
    case LA_T_DATE:
        return value >= INT32_MIN && value <= INT32_MAX;
    case LA_T_DECIMAL:
        return value > -INT64_C(1000000000000000000) &&
               value < INT64_C(1000000000000000000);
    case LA_T_F64:
        return la_bits_of(la_canonical_f64(la_double_of(word))) == word;
    case LA_T_F32: {
        double x = la_double_of(word);
        if (la_bits_of(la_canonical_f64(x)) != word) {
            return false;
        }
        /* The range first: a conversion out of it is not defined. */
        return x != x || x > 1.7e308 || x < -1.7e308 ||
               (x >= -3.4028234663852886e38 && x <= 3.4028234663852886e38 &&
                (double)(float)x == x);
    }
    default:
        return true;
    }
}

bool
la_word_take(la_type type, la_bytes *from, uint64_t *word)
{
    if (la_type_is_float(type)) {
        *word = la_bytes_u64(from);
    }
    else {
        uint64_t x = la_bytes_varint(from);
        *word = type == LA_T_U64 ? x : x >> 1 ^ (UINT64_C(0) - (x & 1));
    }
    return !from->bad && la_word_is_canonical(type, *word);
}

void
la_text_put(const char *at, size_t size, la_buf *to)
{
    la_buf_varint(to, size);
    la_buf_put(to, at, size);
}

bool
la_text_take(la_type type, la_bytes *from, const char **at, size_t *size)
{
    uint64_t given = la_bytes_varint(from);
    if (given > LA_VALUE_BYTES_MAX) {
        return false;
    }
    const char *text = (const char *)la_bytes_take(from, (size_t)given);
    if (text == NULL ||
        (type != LA_T_BYTES && !la_utf8_is_valid(text, (size_t)given))) {
        return false;
    }
    *at = text;
    *size = (size_t)given;
    return true;
}

void
la_word_finish(la_type type, uint64_t word, uint32_t row, void *data)
{
    switch (type) {
    case LA_T_BOOL:
        ((uint8_t *)data)[row] = (uint8_t)word;
        break;
    case LA_T_I32:
    case LA_T_DATE:
        ((int32_t *)data)[row] = (int32_t)(int64_t)word;
        break;
    case LA_T_F32:
        ((float *)data)[row] = (float)la_double_of(word);
        break;
    default:
        ((uint64_t *)data)[row] = word;
    }
}

int
la_text_compare(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t common = a_size < b_size ? a_size : b_size;
    int order = common == 0 ? 0 : memcmp(a, b, common);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

la_status
la_agg_refuse(const char *name, const char *takes, la_type arg, uint8_t arg_scale,
              la_error *err)
{
    char text[64];
    la_type_text(arg, arg_scale, text, sizeof text);
    return la_fail(err, LA_TYPE, "could not take %s of %s: it takes %s", name, text,
                   takes);
}
