/* SPDX-License-Identifier: Apache-2.0 */
/* Typed expressions into registers and instructions.
 *
 *   ["gt", ["mul", col, 2], 10]   r0 = col   r1 = 2   r2 = mul r0 r1   r3 = 10   r4 = lt r3 r2
 *
 * Invariants
 *  1. No two instructions compute the same from the same registers: an equal one is found and
 *     its register used again (common sub-expressions, also across expressions).
 *  2. A register is constant when all its arguments are; the program computes it once. */
#include "base/error.h"
#include "expr/kernels.h"
#include "expr/typing.h"

#define NO_REG UINT32_MAX

typedef struct compiler {
    la_program *program;
} compiler;

static uint32_t compile(compiler *c, const la_expr *expr);

/* ------------------------------------------------------------------- registers */

static uint32_t
add_reg(compiler *c, const la_reg *reg)
{
    la_program *p = c->program;
    la_buf_put(&p->regs, reg, sizeof *reg);
    return p->regs.failed ? NO_REG : la_program_reg_count(p) - 1;
}

static uint32_t
column_reg(compiler *c, const la_expr *expr)
{
    const la_reg *regs = la_program_regs(c->program);
    for (uint32_t i = 0; i < la_program_reg_count(c->program); i++) {
        if (regs[i].column == (int32_t)expr->column) {
            return i;
        }
    }
    la_reg reg = {.type = expr->type, .scale = expr->scale};
    reg.column = (int32_t)expr->column;
    reg.form = expr->type == LA_T_CAT                               ? LA_FORM_CODES
               : expr->type == LA_T_STR || expr->type == LA_T_BYTES ? LA_FORM_COLUMN
                                                                    : LA_FORM_VALUES;
    return add_reg(c, &reg);
}

static bool
same_literal(const la_value *a, const la_value *b)
{
    if (a->type != b->type || a->scale != b->scale || a->null != b->null) {
        return false;
    }
    if (a->null) {
        return true;
    }
    if (a->type == LA_T_STR) {
        return la_value_compare(a, b) == 0;
    }
    return a->i64 == b->i64; /* the bits, so that -0.0 is not 0.0 */
}

static uint32_t
literal_reg(compiler *c, const la_expr *expr)
{
    const la_reg *regs = la_program_regs(c->program);
    for (uint32_t i = 0; i < la_program_reg_count(c->program); i++) {
        if (regs[i].literal != NULL && same_literal(regs[i].literal, &expr->literal)) {
            return i;
        }
    }
    la_reg reg = {.type = expr->type, .scale = expr->scale, .column = -1};
    reg.form = expr->type == LA_T_STR ? LA_FORM_SPANS : LA_FORM_VALUES;
    reg.literal = &expr->literal;
    reg.constant = true;
    return add_reg(c, &reg);
}

/* ---------------------------------------------------------------- instructions */

static bool
same_set(const la_set *a, const la_set *b)
{
    if (a == b) {
        return true;
    }
    if (a == NULL || b == NULL || a->count != b->count) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (la_value_compare(&a->values[i], &b->values[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool
same_instr(const la_instr *a, const la_instr *b)
{
    return a->kernel == b->kernel && a->arg_count == b->arg_count &&
           memcmp(a->args, b->args, sizeof a->args) == 0 && a->op == b->op &&
           a->swapped == b->swapped && a->unit == b->unit && a->by_unit == b->by_unit &&
           a->n == b->n && same_set(a->set, b->set);
}

/* The register with the result of `instr`, new or of an equal one. */
static uint32_t
emit(compiler *c, la_instr *instr, la_type type, uint8_t scale, la_form form)
{
    la_program *p = c->program;
    la_reg reg = {.type = type, .scale = scale, .form = form, .column = -1};
    reg.constant = true;
    for (uint32_t i = 0; i < instr->arg_count; i++) {
        if (instr->args[i] == NO_REG) {
            return NO_REG;
        }
        reg.constant = reg.constant && la_program_regs(p)[instr->args[i]].constant;
    }
    const la_instr *known = la_program_instrs(p);
    for (uint32_t i = 0; i < la_program_instr_count(p); i++) {
        const la_reg *out = &la_program_regs(p)[known[i].out];
        if (same_instr(&known[i], instr) && out->type == type && out->scale == scale) {
            return known[i].out;
        }
    }
    instr->out = add_reg(c, &reg);
    la_buf_init(&instr->heap, p->env);
    la_buf_put(&p->instrs, instr, sizeof *instr);
    return p->instrs.failed ? NO_REG : instr->out;
}

static uint32_t
emit_simple(compiler *c, la_kernel kernel, uint32_t a, uint32_t b, la_type type,
            uint8_t scale)
{
    la_instr instr = {.kernel = kernel, .args = {a, b}};
    instr.arg_count = b == NO_REG ? 1 : 2;
    instr.args[1] = b == NO_REG ? 0 : b;
    return emit(c, &instr, type, scale, LA_FORM_VALUES);
}

/* Texts as spans, wherever they stand. */
static uint32_t
spans_of(compiler *c, uint32_t reg)
{
    if (reg == NO_REG) {
        return NO_REG;
    }
    const la_reg *from = &la_program_regs(c->program)[reg];
    if (from->form == LA_FORM_SPANS) {
        return reg;
    }
    la_instr instr = {
        .kernel = la_kernel_spans(from->form), .args = {reg}, .arg_count = 1};
    la_type type = from->type == LA_T_BYTES ? LA_T_BYTES : LA_T_STR;
    return emit(c, &instr, type, 0, LA_FORM_SPANS);
}

static bool
holds_text(la_type type)
{
    return la_type_is_text(type) || type == LA_T_BYTES;
}

/* ----------------------------------------------------------------------- casts */

static uint32_t
cast_numbers(compiler *c, uint32_t reg, la_type from, la_type to, uint8_t scale)
{
    if (reg == NO_REG || (from == to && from != LA_T_DECIMAL)) {
        return reg;
    }
    la_kernel step = la_kernel_cast(from, to);
    if (step != NULL) {
        return emit_simple(c, step, reg, NO_REG, to, to == LA_T_DECIMAL ? scale : 0);
    }
    la_type via = to == LA_T_F32                          ? LA_T_F64
                  : to == LA_T_I32                        ? LA_T_I64
                  : from == LA_T_BOOL || from == LA_T_I32 ? LA_T_I64
                  : from == LA_T_F32                      ? LA_T_F64
                                                          : LA_T_I64;
    return cast_numbers(c, cast_numbers(c, reg, from, via, 0), via, to, scale);
}

static uint32_t
cast_from_text(compiler *c, uint32_t reg, la_type to, uint8_t scale)
{
    la_type direct = to == LA_T_I32 ? LA_T_I64 : to;
    uint32_t value = emit_simple(c, la_kernel_from_text(direct), spans_of(c, reg),
                                 NO_REG, direct, scale);
    return cast_numbers(c, value, direct, to, scale);
}

static uint32_t
compile_cast(compiler *c, const la_expr *expr)
{
    la_type from = expr->args[0]->type;
    uint32_t a = compile(c, expr->args[0]);
    if (expr->type == LA_T_STR) {
        if (holds_text(from)) {
            return spans_of(c, a);
        }
        la_instr instr = {.kernel = la_kernel_to_text(), .args = {a}, .arg_count = 1};
        return emit(c, &instr, LA_T_STR, 0, LA_FORM_SPANS);
    }
    if (holds_text(from)) {
        return a == NO_REG ? a : cast_from_text(c, a, expr->type, expr->scale);
    }
    if (from == LA_T_DECIMAL && expr->type == LA_T_DECIMAL &&
        expr->scale == expr->args[0]->scale) {
        return a;
    }
    return cast_numbers(c, a, from, expr->type, expr->scale);
}

/* ----------------------------------------------------------------- comparisons */

static la_op
swapped(la_op op)
{
    switch (op) {
    case LA_OP_LT:
        return LA_OP_GT;
    case LA_OP_LE:
        return LA_OP_GE;
    case LA_OP_GT:
        return LA_OP_LT;
    case LA_OP_GE:
        return LA_OP_LE;
    default:
        return op;
    }
}

/* Codes against a constant are tested through the dictionary. */
static bool
is_code_test(const compiler *c, uint32_t codes, uint32_t constant)
{
    const la_reg *regs = la_program_regs(c->program);
    return codes != NO_REG && constant != NO_REG && regs[codes].form == LA_FORM_CODES &&
           regs[constant].constant;
}

/* gt and ge are lt and le the other way round. */
static uint32_t
compare_same(compiler *c, la_op op, la_type type, uint32_t a, uint32_t b)
{
    bool swap = op == LA_OP_GT || op == LA_OP_GE;
    la_instr instr = {.kernel = la_kernel_compare(swap ? swapped(op) : op, type)};
    instr.swapped = swap;
    instr.args[0] = swap ? b : a;
    instr.args[1] = swap ? a : b;
    instr.arg_count = 2;
    return emit(c, &instr, LA_T_BOOL, 0, LA_FORM_VALUES);
}

static uint32_t
compare_texts(compiler *c, la_op op, uint32_t a, uint32_t b)
{
    bool left = is_code_test(c, a, b);
    if (left || is_code_test(c, b, a)) {
        la_instr instr = {.kernel = la_kernel_match_codes(), .arg_count = 2};
        instr.args[0] = left ? a : b;
        instr.args[1] = left ? b : a;
        instr.op = left ? op : swapped(op);
        return emit(c, &instr, LA_T_BOOL, 0, LA_FORM_VALUES);
    }
    uint32_t x = spans_of(c, a);
    return compare_same(c, op, LA_T_STR, x, x == NO_REG ? NO_REG : spans_of(c, b));
}

static uint32_t
compile_comparison(compiler *c, const la_expr *expr)
{
    const la_expr *left = expr->args[0], *right = expr->args[1];
    uint32_t a = compile(c, left);
    uint32_t b = a == NO_REG ? NO_REG : compile(c, right);
    if (b == NO_REG) {
        return NO_REG;
    }
    if (holds_text(left->type)) {
        return compare_texts(c, expr->op, a, b);
    }
    if (left->type == right->type && left->scale == right->scale) {
        return compare_same(c, expr->op, left->type, a, b);
    }
    la_instr instr = {
        .kernel = la_kernel_compare_mixed(), .arg_count = 2, .op = expr->op};
    instr.args[0] = a;
    instr.args[1] = b;
    return emit(c, &instr, LA_T_BOOL, 0, LA_FORM_VALUES);
}

/* -------------------------------------------------------------- other operations */

static const la_set *
make_set(compiler *c, const la_expr *expr)
{
    la_arena *arena = &c->program->arena;
    la_set *set = la_arena_alloc(arena, sizeof *set);
    if (set == NULL) {
        return NULL;
    }
    memset(set, 0, sizeof *set);
    set->values = expr->set;
    set->count = expr->set_count;
    if (holds_text(expr->args[0]->type)) {
        return set;
    }
    set->keys = la_arena_alloc(arena, (expr->set_count + 1) * sizeof *set->keys);
    if (set->keys == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < expr->set_count; i++) {
        /* The set is in order of values, so its keys are in order of int64. */
        set->keys[i] = la_set_key(&expr->set[i]);
    }
    return set;
}

static uint32_t
compile_is_in(compiler *c, const la_expr *expr)
{
    uint32_t a = compile(c, expr->args[0]);
    const la_set *set = a == NO_REG ? NULL : make_set(c, expr);
    if (set == NULL) {
        c->program->regs.failed = true;
        return NO_REG;
    }
    la_instr instr = {.args = {a}, .arg_count = 1, .set = set};
    if (la_program_regs(c->program)[a].form == LA_FORM_CODES) {
        instr.kernel = la_kernel_match_codes();
    }
    else {
        instr.kernel = la_kernel_is_in(expr->args[0]->type);
        instr.args[0] = holds_text(expr->args[0]->type) ? spans_of(c, a) : a;
    }
    return emit(c, &instr, LA_T_BOOL, 0, LA_FORM_VALUES);
}

static uint32_t
compile_choice(compiler *c, const la_expr *expr)
{
    if (expr->op == LA_OP_FILL_NULL && !expr->args[0]->nullable) {
        return compile(c, expr->args[0]);
    }
    la_instr instr = {.kernel = la_kernel_choice(expr->op)};
    instr.arg_count = expr->arg_count;
    instr.chooses = true;
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        bool text = holds_text(expr->args[i]->type);
        uint32_t reg = compile(c, expr->args[i]);
        instr.args[i] = text ? spans_of(c, reg) : reg;
    }
    la_form form = holds_text(expr->type) ? LA_FORM_SPANS : LA_FORM_VALUES;
    return emit(c, &instr, expr->type, expr->scale, form);
}

static uint32_t
compile_period(compiler *c, const la_expr *expr)
{
    la_instr instr = {.kernel = la_kernel_time(expr->op, expr->type), .arg_count = 1};
    instr.args[0] = compile(c, expr->args[0]);
    instr.unit = expr->unit;
    instr.by_unit = expr->every_unit;
    instr.n = expr->every;
    return emit(c, &instr, expr->type, 0, LA_FORM_VALUES);
}

static uint32_t
compile_arithmetic(compiler *c, const la_expr *expr)
{
    const la_expr *left = expr->args[0];
    uint32_t a = compile(c, left);
    uint32_t b = NO_REG;
    if (expr->op == LA_OP_ABS && left->type == LA_T_U64) {
        return a;
    }
    if (expr->arg_count == 2) {
        b = a == NO_REG ? NO_REG : compile(c, expr->args[1]);
        if (b == NO_REG) {
            return NO_REG;
        }
    }
    la_kernel kernel = expr->op == LA_OP_DIV
                           ? la_kernel_quotient(left->type, expr->args[1]->type)
                           : la_kernel_arithmetic(expr->op, left->type);
    return emit_simple(c, kernel, a, b, expr->type, expr->scale);
}

static uint32_t
compile_logic(compiler *c, const la_expr *expr)
{
    uint32_t a = compile(c, expr->args[0]);
    uint32_t b = NO_REG;
    if (expr->arg_count == 2) {
        b = a == NO_REG ? NO_REG : compile(c, expr->args[1]);
        if (b == NO_REG) {
            return NO_REG;
        }
    }
    return emit_simple(c, la_kernel_logic(expr->op), a, b, LA_T_BOOL, 0);
}

static uint32_t
compile(compiler *c, const la_expr *expr)
{
    switch (expr->op) {
    case LA_OP_COL:
        return column_reg(c, expr);
    case LA_OP_LIT:
        return literal_reg(c, expr);
    case LA_OP_ADD:
    case LA_OP_SUB:
    case LA_OP_MUL:
    case LA_OP_DIV:
    case LA_OP_FLOORDIV:
    case LA_OP_MOD:
    case LA_OP_NEG:
    case LA_OP_ABS:
        return compile_arithmetic(c, expr);
    case LA_OP_EQ:
    case LA_OP_NE:
    case LA_OP_LT:
    case LA_OP_LE:
    case LA_OP_GT:
    case LA_OP_GE:
        return compile_comparison(c, expr);
    case LA_OP_AND:
    case LA_OP_OR:
    case LA_OP_NOT:
    case LA_OP_IS_NULL:
    case LA_OP_IS_NOT_NULL:
    case LA_OP_IS_NAN:
        return compile_logic(c, expr);
    case LA_OP_FILL_NULL:
    case LA_OP_WHEN:
        return compile_choice(c, expr);
    case LA_OP_CAST:
        return compile_cast(c, expr);
    case LA_OP_IS_IN:
        return compile_is_in(c, expr);
    case LA_OP_TRUNCATE:
    case LA_OP_OFFSET_BY:
        return compile_period(c, expr);
    case LA_OP_COUNT:
        break;
    }
    return NO_REG;
}

/* ---------------------------------------------------------------------- results */

static la_status
add_roots(la_program *p, la_error *err)
{
    for (uint32_t i = 0; i < p->root_count; i++) {
        la_buf_init(&p->roots[i].heap, p->env);
        p->roots[i].offsets = NULL;
        if (la_program_regs(p)[p->roots[i].reg].form != LA_FORM_SPANS) {
            continue;
        }
        size_t size = (LA_CHUNK_ROWS + 1) * sizeof(uint32_t);
        p->roots[i].offsets = la_arena_alloc(&p->arena, size);
        if (p->roots[i].offsets == NULL) {
            p->root_count = i;
            return la_fail_nomem(err, size);
        }
    }
    return LA_OK;
}

la_status
la_program_compile(la_program *program, la_expr *const *exprs, uint32_t count,
                   la_error *err)
{
    compiler c = {.program = program};
    size_t size = (count + 1) * sizeof *program->roots;
    program->roots = la_arena_alloc(&program->arena, size);
    if (program->roots == NULL) {
        return la_fail_nomem(err, size);
    }
    memset(program->roots, 0, size);
    for (uint32_t i = 0; i < count; i++) {
        program->roots[i].reg = compile(&c, exprs[i]);
        if (program->regs.failed || program->instrs.failed) {
            return la_fail_nomem(err, program->regs.size + program->instrs.size);
        }
    }
    program->root_count = count;
    la_status status = add_roots(program, err);
    return status != LA_OK ? status : la_program_lay_out(program, err);
}
