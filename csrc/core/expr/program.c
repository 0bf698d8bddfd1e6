/* SPDX-License-Identifier: Apache-2.0 */
/* Running a program.
 *
 *   new:  compile, fill literals, run the constant instructions once
 *   run:  bind columns -> the other instructions in order -> failures -> results
 *
 * Invariants
 *  1. A run allocates nothing, but for heaps of computed texts and caches of categories, which
 *     grow to what the largest chunk needed and stay.
 *  2. Columns of the chunk are borrowed: a bare column costs a few stores a chunk.
 *  3. After a run, what stands in `out` is valid until the next one. */
#include <assert.h>

#include "base/error.h"
#include "expr/kernels.h"

const char *
la_reason_text(la_reason reason)
{
    static const char *const texts[] = {"none", "overflow", "division by zero", "cast"};
    return (unsigned)reason < LA_REASON_COUNT ? texts[reason] : "?";
}

/* ------------------------------------------------------------------- one step */

static la_status
run_instr(la_program *p, la_instr *instr, uint32_t rows, const uint8_t *select,
          la_error *err)
{
    la_reg *regs = la_program_regs(p);
    la_reg *out = &regs[instr->out];
    la_task task = {.rows = rows, .select = select, .out = out, .instr = instr};
    task.a = &regs[instr->args[0]];
    task.b = instr->arg_count > 1 ? &regs[instr->args[1]] : NULL;
    task.c = instr->arg_count > 2 ? &regs[instr->args[2]] : NULL;
    task.scratch = p->scratch;
    task.ones = p->ones;
    task.env = p->env;
    task.err = err;
    out->data = out->own_data;
    out->valid = NULL;
    out->fail = NULL;
    la_status status = instr->kernel(&task);
    if (status == LA_OK && !instr->chooses) {
        la_reg_pass_failures(out, instr->swapped ? task.b : task.a, NULL, 0, rows);
        la_reg_pass_failures(out, instr->swapped ? task.a : task.b, NULL, 0, rows);
    }
    return status;
}

static void
bind_columns(la_program *p, const la_chunk *chunk)
{
    la_reg *regs = la_program_regs(p);
    for (uint32_t r = 0; r < la_program_reg_count(p); r++) {
        la_reg *reg = &regs[r];
        if (reg->column < 0) {
            continue;
        }
        assert((uint32_t)reg->column < chunk->column_count);
        const la_column *column = &chunk->columns[reg->column];
        assert(column->type == reg->type && column->scale == reg->scale);
        reg->data = column->data;
        reg->valid = column->valid;
        reg->offsets = column->offsets;
        reg->dict = column->dict;
    }
}

/* -------------------------------------------------------------------- results */

static void
collect_failures(const la_reg *reg, const uint8_t *select, uint8_t *failed,
                 uint32_t rows)
{
    if (reg->fail == NULL || failed == NULL) {
        return;
    }
    for (uint32_t i = 0; i < rows; i++) {
        bool counts = select == NULL || select[i] != 0;
        if (counts && failed[i] == LA_REASON_NONE) {
            failed[i] = reg->fail[i];
        }
    }
}

/* Spans into one heap with offsets. Rows that nobody looks at become empty. */
static la_status
gather_texts(la_root *root, const la_reg *reg, const uint8_t *select, uint32_t rows,
             la_error *err)
{
    const la_span *spans = reg->data;
    uint64_t total = 0;
    root->offsets[0] = 0;
    for (uint32_t i = 0; i < rows; i++) {
        bool wanted = (select == NULL || select[i] != 0) &&
                      (reg->valid == NULL || reg->valid[i] != 0);
        total += wanted ? spans[i].size : 0;
        if (total > UINT32_MAX) {
            return la_fail(err, LA_BUDGET,
                           "the texts computed for %u rows have more than 4 GiB", rows);
        }
        root->offsets[i + 1] = (uint32_t)total;
    }
    la_buf_clear(&root->heap);
    uint8_t *to = la_buf_room(&root->heap, total);
    if (to == NULL) {
        root->heap.failed = false;
        return la_fail_nomem(err, total);
    }
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t size = root->offsets[i + 1] - root->offsets[i];
        memcpy(to + root->offsets[i], spans[i].at, size);
    }
    return LA_OK;
}

static void
give(const la_root *root, const la_reg *reg, la_vec *out)
{
    memset(out, 0, sizeof *out);
    out->constant = reg->constant;
    out->column.type = reg->type;
    out->column.scale = reg->scale;
    out->column.valid = reg->valid;
    if (reg->form == LA_FORM_SPANS) {
        out->column.data = root->heap.data;
        out->column.offsets = root->offsets;
        return;
    }
    out->column.data = reg->data;
    out->column.offsets = reg->offsets;
    out->column.dict = reg->dict;
}

la_status
la_program_run(la_program *program, const la_chunk *chunk, const uint8_t *select,
               uint8_t *failed, la_vec *out, la_error *err)
{
    uint32_t rows = chunk->rows;
    assert(rows <= LA_CHUNK_ROWS);
    la_reg *regs = la_program_regs(program);
    bind_columns(program, chunk);
    for (uint32_t i = 0; i < la_program_instr_count(program); i++) {
        la_instr *instr = &la_program_instrs(program)[i];
        if (regs[instr->out].constant) {
            continue;
        }
        la_status status = run_instr(program, instr, rows, select, err);
        if (status != LA_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; i < program->root_count; i++) {
        la_root *root = &program->roots[i];
        const la_reg *reg = &regs[root->reg];
        if (reg->form == LA_FORM_SPANS && !reg->constant) {
            la_status status = gather_texts(root, reg, select, rows, err);
            if (status != LA_OK) {
                return status;
            }
        }
    }
    for (uint32_t i = 0; i < program->root_count; i++) {
        const la_reg *reg = &regs[program->roots[i].reg];
        collect_failures(reg, select, failed, rows);
        give(&program->roots[i], reg, &out[i]);
    }
    return LA_OK;
}

/* ------------------------------------------------------------------- constants */

static void
fill(void *to, const void *value, size_t size)
{
    for (uint32_t i = 0; i < LA_CHUNK_ROWS; i++) {
        memcpy((uint8_t *)to + i * size, value, size);
    }
}

static void
fill_literal(la_reg *reg)
{
    const la_value *value = reg->literal;
    reg->data = reg->own_data;
    if (value->null) {
        la_span nothing = {"", 0};
        memset(reg->own_valid, 0, LA_CHUNK_ROWS);
        reg->valid = reg->own_valid;
        if (reg->form == LA_FORM_SPANS) {
            fill(reg->own_data, &nothing, sizeof nothing);
        }
        return;
    }
    if (reg->form == LA_FORM_SPANS) {
        la_span span = {value->text, value->size};
        fill(reg->own_data, &span, sizeof span);
        return;
    }
    if (reg->type == LA_T_BOOL) {
        memset(reg->own_data, value->i64 != 0, LA_CHUNK_ROWS);
    }
    else if (reg->type == LA_T_F32) {
        float single = (float)value->f64;
        fill(reg->own_data, &single, sizeof single);
    }
    else if (la_type_size(reg->type) == sizeof(int32_t)) {
        int32_t narrow = (int32_t)value->i64;
        fill(reg->own_data, &narrow, sizeof narrow);
    }
    else {
        fill(reg->own_data, &value->i64, sizeof value->i64);
    }
}

static la_status
run_constants(la_program *p, la_error *err)
{
    la_reg *regs = la_program_regs(p);
    for (uint32_t r = 0; r < la_program_reg_count(p); r++) {
        if (regs[r].literal != NULL) {
            fill_literal(&regs[r]);
        }
    }
    la_status status = LA_OK;
    for (uint32_t i = 0; status == LA_OK && i < la_program_instr_count(p); i++) {
        la_instr *instr = &la_program_instrs(p)[i];
        if (regs[instr->out].constant) {
            status = run_instr(p, instr, LA_CHUNK_ROWS, NULL, err);
        }
    }
    for (uint32_t i = 0; status == LA_OK && i < p->root_count; i++) {
        const la_reg *reg = &regs[p->roots[i].reg];
        if (reg->constant && reg->form == LA_FORM_SPANS) {
            status = gather_texts(&p->roots[i], reg, NULL, LA_CHUNK_ROWS, err);
        }
    }
    return status;
}

/* -------------------------------------------------------------------- lifetime */

la_status
la_program_new(const la_env *env, const la_schema *schema, la_expr *const *exprs,
               uint32_t count, la_program **out, la_error *err)
{
    la_program *program = la_calloc(env, 1, sizeof *program);
    if (program == NULL) {
        return la_fail_nomem(err, sizeof *program);
    }
    program->env = env;
    program->schema = la_schema_retain(schema);
    la_arena_init(&program->arena, env);
    la_buf_init(&program->regs, env);
    la_buf_init(&program->instrs, env);
    la_status status = la_program_compile(program, exprs, count, err);
    if (status == LA_OK) {
        status = run_constants(program, err);
    }
    if (status != LA_OK) {
        la_program_free(program);
        return status;
    }
    *out = program;
    return LA_OK;
}

void
la_program_free(la_program *program)
{
    if (program == NULL) {
        return;
    }
    const la_env *env = program->env;
    for (uint32_t i = 0; i < la_program_instr_count(program); i++) {
        la_instr *instr = &la_program_instrs(program)[i];
        la_buf_fini(&instr->heap);
        la_dealloc(env, instr->cache.verdicts, instr->cache.capacity);
        la_dict_release(instr->cache.dict);
    }
    for (uint32_t i = 0; i < program->root_count; i++) {
        la_buf_fini(&program->roots[i].heap);
    }
    la_dealloc(env, program->block, program->block_size);
    la_buf_fini(&program->instrs);
    la_buf_fini(&program->regs);
    la_arena_fini(&program->arena);
    la_schema_release(program->schema);
    la_dealloc(env, program, sizeof *program);
}
