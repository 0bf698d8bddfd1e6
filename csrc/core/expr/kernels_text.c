/* SPDX-License-Identifier: Apache-2.0 */
/* Texts: columns and codes as spans, casts to and from text, and tests on categories.
 *
 * A span points to where the text is: a column's heap, a dictionary, a plan's literal, or the
 * heap of the instruction that made it. So choosing between texts moves no text.
 *
 * A test of a cat column against constants (`country == "DE"`) is decided once for each entry
 * of the dictionary: one byte a code, then one load a row, about 0.5 ns. */
#include "base/error.h"
#include "expr/kernels.h"
#include "ingest/text.h"

/* ---------------------------------------------------------------------- spans */

static la_status
spans_of_column(la_task *t)
{
    const char *heap = t->a->data == NULL ? "" : t->a->data;
    const uint32_t *offsets = t->a->offsets;
    la_span *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        out[i].at = heap + offsets[i];
        out[i].size = offsets[i + 1] - offsets[i];
    }
    return LA_OK;
}

static la_status
spans_of_codes(la_task *t)
{
    const uint32_t *codes = t->a->data;
    la_span *out = t->out->own_data;
    la_task_valid(t);
    for (uint32_t i = 0; i < t->rows; i++) {
        size_t size = 0;
        const char *text = NULL;
        if (la_task_wants(t, i)) {
            text = la_dict_get(t->a->dict, codes[i], &size);
        }
        out[i].at = text == NULL ? "" : text;
        out[i].size = size;
    }
    return LA_OK;
}

la_kernel
la_kernel_spans(la_form form)
{
    return form == LA_FORM_CODES ? spans_of_codes : spans_of_column;
}

/* ------------------------------------------------------------------- to text */

static la_status
to_text(la_task *t)
{
    la_column column = {.type = t->a->type, .scale = t->a->scale, .data = t->a->data};
    la_buf *heap = &t->instr->heap;
    la_span *out = t->out->own_data;
    la_task_valid(t);
    la_buf_clear(heap);
    for (uint32_t i = 0; i < t->rows; i++) {
        size_t before = heap->size;
        if (la_task_wants(t, i)) {
            la_value value = la_value_of(&column, i);
            la_value_text(heap, &value);
        }
        out[i].size = heap->size - before;
    }
    if (heap->failed) {
        heap->failed = false;
        return la_fail_nomem(t->err, heap->size);
    }
    const char *at = heap->data == NULL ? "" : (const char *)heap->data;
    for (uint32_t i = 0; i < t->rows; i++) { /* the heap stands still now */
        out[i].at = at;
        at += out[i].size;
    }
    return LA_OK;
}

la_kernel
la_kernel_to_text(void)
{
    return to_text;
}

/* ------------------------------------------------------------------ from text */

#define PARSE_KERNEL(name, T, parse)                                                   \
    static la_status name(la_task *t)                                                  \
    {                                                                                  \
        const la_span *a = t->a->data;                                                 \
        T *out = t->out->own_data;                                                     \
        la_task_valid(t);                                                              \
        for (uint32_t i = 0; i < t->rows; i++) {                                       \
            out[i] = 0;                                                                \
            if (la_task_wants(t, i) &&                                                 \
                parse(a[i].at, a[i].size, &out[i], NULL) != LA_OK) {                   \
                la_task_fail(t, i, LA_REASON_CAST);                                    \
            }                                                                          \
        }                                                                              \
        return LA_OK;                                                                  \
    }
PARSE_KERNEL(text_to_i64, int64_t, la_parse_i64)
PARSE_KERNEL(text_to_u64, uint64_t, la_parse_u64)
PARSE_KERNEL(text_to_f64, double, la_parse_f64)
PARSE_KERNEL(text_to_f32, float, la_parse_f32)
PARSE_KERNEL(text_to_time, int64_t, la_parse_time)
PARSE_KERNEL(text_to_date, int32_t, la_parse_date)
#define PARSE_DECIMAL(text, size, to, err)                                             \
    la_parse_decimal(text, size, t->out->scale, to, err)
PARSE_KERNEL(text_to_decimal, int64_t, PARSE_DECIMAL)

la_kernel
la_kernel_from_text(la_type to)
{
    switch (to) {
    case LA_T_I64:
        return text_to_i64;
    case LA_T_U64:
        return text_to_u64;
    case LA_T_F32:
        return text_to_f32;
    case LA_T_F64:
        return text_to_f64;
    case LA_T_TIME:
        return text_to_time;
    case LA_T_DATE:
        return text_to_date;
    case LA_T_DECIMAL:
        return text_to_decimal;
    default:
        return NULL;
    }
}

/* ----------------------------------------------------------------- categories */

#define NOT_ASKED 2u

/* The cache for this dictionary, with room for all its codes. */
static la_status
prepare_cache(la_task *t, la_code_cache *cache)
{
    const la_dict *dict = t->a->dict;
    if (cache->dict != dict) {
        /* Retaining changes the count alone, hence the cast. */
        la_dict *own = (la_dict *)(uintptr_t)dict;
        la_dict_release(cache->dict);
        cache->dict = own == NULL ? NULL : la_dict_retain(own);
        if (cache->capacity > 0) {
            memset(cache->verdicts, NOT_ASKED, cache->capacity);
        }
    }
    uint32_t count = dict == NULL ? 0 : la_dict_count(dict);
    if (count >= cache->capacity) {
        uint32_t capacity = cache->capacity == 0 ? 64 : cache->capacity;
        while (capacity <= count) {
            capacity *= 2;
        }
        uint8_t *grown = la_realloc(t->env, cache->verdicts, cache->capacity, capacity);
        if (grown == NULL) {
            return la_fail_nomem(t->err, capacity);
        }
        memset(grown + cache->capacity, NOT_ASKED, capacity - cache->capacity);
        cache->verdicts = grown;
        cache->capacity = capacity;
    }
    return LA_OK;
}

static bool
ask(la_task *t, uint32_t code)
{
    la_span text = {"", 0};
    size_t size;
    const char *at = la_dict_get(t->a->dict, code, &size);
    if (at != NULL) {
        text.at = at;
        text.size = size;
    }
    if (t->instr->set != NULL) {
        return la_set_has_text(t->instr->set, text);
    }
    const la_span *constant = t->b->data;
    return la_order_matches(t->instr->op, la_span_compare(text, constant[0]));
}

static uint8_t
gather(const uint32_t *codes, const uint8_t *verdicts, uint8_t *restrict out,
       uint32_t rows)
{
    uint8_t any = 0;
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = verdicts[codes[i]];
        any |= out[i];
    }
    return any;
}

static uint8_t
gather_valid(const uint32_t *codes, const uint8_t *valid, const uint8_t *verdicts,
             uint8_t *restrict out, uint32_t rows)
{
    uint8_t any = 0;
    for (uint32_t i = 0; i < rows; i++) {
        /* What stands under a null need not be a code. */
        out[i] = valid[i] != 0 ? verdicts[codes[i]] : 0;
        any |= out[i];
    }
    return any;
}

static la_status
match_codes(la_task *t)
{
    const uint32_t *codes = t->a->data;
    la_code_cache *cache = &t->instr->cache;
    uint8_t *out = t->out->own_data;
    la_task_valid(t);
    la_status status = prepare_cache(t, cache);
    if (status != LA_OK) {
        return status;
    }
    const uint8_t *valid = t->a->valid;
    uint8_t any = valid == NULL
                      ? gather(codes, cache->verdicts, out, t->rows)
                      : gather_valid(codes, valid, cache->verdicts, out, t->rows);
    for (uint32_t i = 0; (any & NOT_ASKED) != 0 && i < t->rows; i++) {
        if (out[i] == NOT_ASKED) {
            uint8_t *verdict = &cache->verdicts[codes[i]];
            if (*verdict == NOT_ASKED) {
                *verdict = ask(t, codes[i]);
            }
            out[i] = *verdict;
        }
    }
    return LA_OK;
}

la_kernel
la_kernel_match_codes(void)
{
    return match_codes;
}
