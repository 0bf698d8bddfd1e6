/* SPDX-License-Identifier: Apache-2.0 */
/* Masks: nulls, failures, and the operations that are about them alone.
 *
 * Values of bools are bytes 0 and 1; under a null they may be anything, so every formula here
 * combines them with the mask. The byte loops run at 16 to 32 rows an instruction. */
#include "expr/kernels.h"

/* -------------------------------------------------------------------- helpers */

LA_LOOP static void
and_bytes(const uint8_t *a, const uint8_t *b, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = a[i] & b[i];
    }
}

void
la_task_valid(la_task *task)
{
    const uint8_t *a = task->a->valid;
    const uint8_t *b = task->b == NULL ? NULL : task->b->valid;
    if (a != NULL && b != NULL && a != b) {
        and_bytes(a, b, task->out->own_valid, task->rows);
        task->out->valid = task->out->own_valid;
        return;
    }
    task->out->valid = a != NULL ? a : b;
}

uint8_t *
la_reg_valid(la_reg *reg, uint32_t rows)
{
    if (reg->valid != reg->own_valid) {
        if (reg->valid == NULL) {
            memset(reg->own_valid, 1, rows);
        }
        else {
            memcpy(reg->own_valid, reg->valid, rows);
        }
        reg->valid = reg->own_valid;
    }
    return reg->own_valid;
}

uint8_t *
la_reg_fail(la_reg *reg, uint32_t rows)
{
    if (reg->fail == NULL) {
        memset(reg->own_fail, LA_REASON_NONE, rows);
        reg->fail = reg->own_fail;
    }
    return reg->own_fail;
}

void
la_task_fail(la_task *task, uint32_t row, la_reason reason)
{
    if (task->out->valid != NULL && task->out->valid[row] == 0) {
        return;
    }
    la_reg_valid(task->out, task->rows)[row] = 0;
    la_reg_fail(task->out, task->rows)[row] = (uint8_t)reason;
}

void
la_reg_pass_failures(la_reg *to, const la_reg *from, const uint8_t *only, uint8_t when,
                     uint32_t rows)
{
    if (from == NULL || from->fail == NULL) {
        return;
    }
    uint8_t *fail = la_reg_fail(to, rows);
    uint8_t *valid = la_reg_valid(to, rows);
    for (uint32_t i = 0; i < rows; i++) {
        bool counts = from->fail[i] != 0 && (only == NULL || only[i] == when);
        if (counts && fail[i] == 0) {
            fail[i] = from->fail[i];
        }
        valid[i] = fail[i] != 0 ? 0 : valid[i];
    }
}

/* ---------------------------------------------------------------------- logic */

/* Three-valued: `absorbing` decides whatever the other is (false for and, true for or). */
LA_LOOP static void
logic_nulls(const uint8_t *a, const uint8_t *va, const uint8_t *b, const uint8_t *vb,
            uint8_t absorbing, uint8_t *restrict out, uint8_t *restrict valid,
            uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        uint8_t decided = (uint8_t)((va[i] & ((a[i] ^ absorbing) == 0)) |
                                    (vb[i] & ((b[i] ^ absorbing) == 0)));
        valid[i] = (uint8_t)(decided | (va[i] & vb[i]));
        out[i] = (uint8_t)(decided ^ absorbing ^ 1);
    }
}

LA_LOOP static void
or_bytes(const uint8_t *a, const uint8_t *b, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = a[i] | b[i];
    }
}

static la_status
logic(la_task *t, uint8_t absorbing)
{
    la_reg *out = t->out;
    if (t->a->valid == NULL && t->b->valid == NULL) {
        (absorbing != 0 ? or_bytes : and_bytes)(t->a->data, t->b->data, out->own_data,
                                                t->rows);
        out->valid = NULL;
        return LA_OK;
    }
    const uint8_t *va = t->a->valid == NULL ? t->ones : t->a->valid;
    const uint8_t *vb = t->b->valid == NULL ? t->ones : t->b->valid;
    logic_nulls(t->a->data, va, t->b->data, vb, absorbing, out->own_data,
                out->own_valid, t->rows);
    out->valid = out->own_valid;
    return LA_OK;
}

static la_status
run_and(la_task *t)
{
    return logic(t, 0);
}

static la_status
run_or(la_task *t)
{
    return logic(t, 1);
}

LA_LOOP static void
not_bytes(const uint8_t *a, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = a[i] == 0;
    }
}

static la_status
run_not(la_task *t)
{
    la_task_valid(t);
    not_bytes(t->a->data, t->out->own_data, t->rows);
    return LA_OK;
}

static la_status
run_is_null(la_task *t)
{
    t->out->valid = NULL;
    if (t->a->valid == NULL) {
        memset(t->out->own_data, 0, t->rows);
    }
    else {
        not_bytes(t->a->valid, t->out->own_data, t->rows);
    }
    return LA_OK;
}

static la_status
run_is_not_null(la_task *t)
{
    t->out->valid = NULL;
    if (t->a->valid == NULL) {
        memset(t->out->own_data, 1, t->rows);
    }
    else {
        memcpy(t->out->own_data, t->a->valid, t->rows);
    }
    return LA_OK;
}

LA_LOOP static void
nan_bytes(const double *a, uint8_t *restrict out, uint32_t rows)
{
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = a[i] != a[i];
    }
}

static la_status
run_is_nan(la_task *t)
{
    la_task_valid(t);
    nan_bytes(t->a->data, t->out->own_data, t->rows);
    return LA_OK;
}

la_kernel
la_kernel_logic(la_op op)
{
    switch (op) {
    case LA_OP_AND:
        return run_and;
    case LA_OP_OR:
        return run_or;
    case LA_OP_NOT:
        return run_not;
    case LA_OP_IS_NULL:
        return run_is_null;
    case LA_OP_IS_NOT_NULL:
        return run_is_not_null;
    case LA_OP_IS_NAN:
        return run_is_nan;
    default:
        return NULL;
    }
}

/* -------------------------------------------------------------------- choices */

/* The pick of a row: 1 takes a, 0 takes b. Values are moved as bits. */
#define CHOOSE(name, T)                                                                \
    LA_LOOP static void name(const uint8_t *pick, const void *from_a,                  \
                             const void *from_b, void *to, uint32_t rows)              \
    {                                                                                  \
        const T *a = from_a;                                                           \
        const T *b = from_b;                                                           \
        T *restrict out = to;                                                          \
        for (uint32_t i = 0; i < rows; i++) {                                          \
            T mask = (T)(0 - (T)pick[i]);                                              \
            out[i] = (T)((a[i] & mask) | (b[i] & (T)~mask));                           \
        }                                                                              \
    }
CHOOSE(choose_1, uint8_t)
CHOOSE(choose_4, uint32_t)
CHOOSE(choose_8, uint64_t)
#undef CHOOSE

static void
choose_16(const uint8_t *pick, const void *from_a, const void *from_b, void *to,
          uint32_t rows)
{
    const la_span *a = from_a;
    const la_span *b = from_b;
    la_span *out = to;
    for (uint32_t i = 0; i < rows; i++) {
        out[i] = *(pick[i] != 0 ? &a[i] : &b[i]);
    }
}

static void
choose_values(la_task *t, const uint8_t *pick, const la_reg *a, const la_reg *b)
{
    size_t size =
        t->out->form == LA_FORM_SPANS ? sizeof(la_span) : la_type_size(t->out->type);
    void (*choose)(const uint8_t *, const void *, const void *, void *, uint32_t) =
        size == 1   ? choose_1
        : size == 4 ? choose_4
        : size == 8 ? choose_8
                    : choose_16;
    choose(pick, a->data, b->data, t->out->own_data, t->rows);
    if (a->valid == NULL && b->valid == NULL) {
        t->out->valid = NULL;
        return;
    }
    choose_1(pick, a->valid == NULL ? t->ones : a->valid,
             b->valid == NULL ? t->ones : b->valid, t->out->own_valid, t->rows);
    t->out->valid = t->out->own_valid;
}

/* when: a is the condition, b and c its branches; only the chosen one's failures count. */
static la_status
run_when(la_task *t)
{
    const uint8_t *pick = t->a->data;
    if (t->a->valid != NULL) {
        and_bytes(t->a->data, t->a->valid, t->scratch, t->rows);
        pick = t->scratch;
    }
    choose_values(t, pick, t->b, t->c);
    la_reg_pass_failures(t->out, t->a, NULL, 0, t->rows);
    la_reg_pass_failures(t->out, t->b, pick, 1, t->rows);
    la_reg_pass_failures(t->out, t->c, pick, 0, t->rows);
    return LA_OK;
}

/* A failed row of a is null, but stays failed. */
static la_status
run_fill_null(la_task *t)
{
    const uint8_t *pick = t->a->valid == NULL ? t->ones : t->a->valid;
    choose_values(t, pick, t->a, t->b);
    if (t->b->valid == NULL) {
        t->out->valid = NULL;
    }
    la_reg_pass_failures(t->out, t->a, NULL, 0, t->rows);
    la_reg_pass_failures(t->out, t->b, pick, 0, t->rows);
    return LA_OK;
}

la_kernel
la_kernel_choice(la_op op)
{
    return op == LA_OP_WHEN ? run_when : run_fill_null;
}
