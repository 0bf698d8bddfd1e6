/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a program: registers, instructions, and the kernels that run over them.
 *
 * A kernel reads registers a, b, c and writes register out for all rows of a chunk, selected
 * or not: rows are cheap, branches are not. Only kernels that are dear per row look at
 * `select`. What stands under a null, or in a row that is not selected, has no meaning but is
 * always safe to read.
 *
 * Null masks and failure masks:
 *  - valid: one byte a row, 1 = a value; NULL = no nulls. A kernel points out->valid at an
 *    argument's mask or at out->own_valid.
 *  - fail: one la_reason a row, 0 = fine; NULL = none failed. A failed row is null too.
 *    Kernels report own failures with la_task_fail; those of arguments are passed on by the
 *    program after the kernel, but for choices (when, fill_null), which do it themselves. */
#ifndef LA_EXPR_KERNELS_H
#define LA_EXPR_KERNELS_H

#include "expr/program.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <stdlib.h> /* __GLIBC__ */
#if defined(__GLIBC__)
/* A loop compiled twice, the better one picked at load time. */
#define LA_LOOP __attribute__((target_clones("default", "avx2")))
#endif
#endif
#ifndef LA_LOOP
#define LA_LOOP
#endif

/* A text somewhere else. */
typedef struct la_span {
    const char *at; /* never NULL */
    uint64_t size;
} la_span;

/* How a register's values stand in memory. */
typedef enum la_form {
    LA_FORM_VALUES, /* la_type_size bytes each */
    LA_FORM_COLUMN, /* str or bytes of the chunk: heap and offsets */
    LA_FORM_CODES,  /* cat of the chunk */
    LA_FORM_SPANS   /* str or bytes: la_span each */
} la_form;

typedef struct la_reg {
    la_type type;
    uint8_t scale;
    la_form form;
    bool constant;           /* computed once, the same in every row */
    int32_t column;          /* of the chunk, -1: own values */
    const la_value *literal; /* NULL: none */
    /* In this run: */
    const void *data;
    const uint8_t *valid;
    const uint8_t *fail;
    const uint32_t *offsets;
    const la_dict *dict;
    /* Room for LA_CHUNK_ROWS rows; NULL for columns of the chunk. */
    void *own_data;
    uint8_t *own_valid;
    uint8_t *own_fail;
    size_t
        slot; /* own_data's place in the program's block; shared over time (compile.c) */
} la_reg;

/* What is_in looks for: values of fixed size as 64-bit keys, or texts; both sorted. */
typedef struct la_set {
    const la_value *values; /* as given */
    uint32_t count;
    int64_t *keys; /* NULL for texts */
} la_set;

/* Verdicts of a test on a dictionary's entries, filled as codes are met. */
typedef struct la_code_cache {
    la_dict *dict;     /* retained, so that its address means it */
    uint8_t *verdicts; /* 0, 1, or 2 = not asked yet */
    uint32_t capacity;
} la_code_cache;

typedef struct la_task la_task;
typedef la_status (*la_kernel)(la_task *task);

typedef struct la_instr {
    la_kernel kernel;
    uint32_t out;
    uint32_t args[3];
    uint32_t arg_count;
    bool chooses; /* passes failures on by itself */
    bool swapped; /* b was written before a: its failures come first */
    la_op op;     /* of cat tests and mixed comparisons */
    la_unit unit; /* truncate, where by_unit */
    bool by_unit;
    int64_t n; /* microseconds or count of units */
    const la_set *set;
    la_buf heap; /* texts made by this instruction */
    la_code_cache cache;
} la_instr;

/* One expression's result. */
typedef struct la_root {
    uint32_t reg;
    la_buf heap; /* texts, one after another */
    uint32_t *offsets;
} la_root;

struct la_program {
    const la_env *env;
    const la_schema *schema; /* retained */
    la_arena arena;          /* sets, roots */
    la_buf regs;             /* la_reg */
    la_buf instrs;           /* la_instr, in the order of their running */
    la_root *roots;
    uint32_t root_count;
    uint8_t *block; /* all registers' room, scratch and ones */
    size_t block_size;
    uint8_t *scratch;
    uint8_t *ones;
};

static inline la_reg *
la_program_regs(const la_program *program)
{
    return (la_reg *)(void *)program->regs.data;
}
static inline uint32_t
la_program_reg_count(const la_program *program)
{
    return (uint32_t)(program->regs.size / sizeof(la_reg));
}
static inline la_instr *
la_program_instrs(const la_program *program)
{
    return (la_instr *)(void *)program->instrs.data;
}
static inline uint32_t
la_program_instr_count(const la_program *program)
{
    return (uint32_t)(program->instrs.size / sizeof(la_instr));
}
static inline size_t
la_reg_value_size(const la_reg *reg)
{
    return reg->form == LA_FORM_SPANS ? sizeof(la_span) : la_type_size(reg->type);
}
/* Fills a zeroed program's registers, instructions and roots, and lays out its block. */
LA_MUST_CHECK la_status la_program_compile(la_program *program, la_expr *const *exprs,
                                           uint32_t count, la_error *err);
LA_MUST_CHECK la_status la_program_lay_out(la_program *program, la_error *err);

struct la_task {
    uint32_t rows;
    const uint8_t *select; /* NULL: all */
    la_reg *out;
    const la_reg *a, *b, *c;
    la_instr *instr;
    uint8_t *scratch;    /* LA_CHUNK_ROWS bytes */
    const uint8_t *ones; /* stands for a mask that is not there */
    const la_env *env;
    la_error *err;
};

static inline bool
la_task_wants(const la_task *task, uint32_t row) /* the row's value is looked at */
{
    return (task->select == NULL || task->select[row] != 0) &&
           (task->out->valid == NULL || task->out->valid[row] != 0);
}
/* out->valid = both arguments' masks together. */
void la_task_valid(la_task *task);
/* Row fails by itself, unless it is null already. After la_task_valid. */
void la_task_fail(la_task *task, uint32_t row, la_reason reason);
/* The masks of `reg`, made its own so that they can be written. */
uint8_t *la_reg_valid(la_reg *reg, uint32_t rows);
uint8_t *la_reg_fail(la_reg *reg, uint32_t rows);
/* Failed rows of `from` fail in `to`, where `only` (NULL: all) is `when`. */
void la_reg_pass_failures(la_reg *to, const la_reg *from, const uint8_t *only,
                          uint8_t when, uint32_t rows);

/* Kernels by operation and operand type; NULL where there is none. */
la_kernel la_kernel_arithmetic(la_op op, la_type type);
la_kernel la_kernel_quotient(la_type a, la_type b);
la_kernel la_kernel_compare(la_op op, la_type type); /* eq, ne, lt, le */
la_kernel la_kernel_compare_mixed(void);             /* i64, u64, decimal; instr->op */
la_kernel la_kernel_logic(la_op op);                 /* and, or, not, is_* */
la_kernel la_kernel_choice(la_op op);                /* when, fill_null */
/* One step; longer casts are chains of steps (compile.c). */
la_kernel la_kernel_cast(la_type from, la_type to);
la_kernel la_kernel_to_text(void);
la_kernel la_kernel_from_text(la_type to);
la_kernel la_kernel_time(la_op op, la_type type);
la_kernel la_kernel_is_in(la_type type);
la_kernel la_kernel_spans(la_form form);
la_kernel la_kernel_match_codes(void); /* cat against a constant text or a set */

bool la_set_has_text(const la_set *set, la_span text);
int64_t la_set_key(const la_value *value); /* the order of keys is that of values */
/* Texts in order of bytes. */
static inline int
la_span_compare(la_span a, la_span b)
{
    uint64_t common = a.size < b.size ? a.size : b.size;
    int order = memcmp(a.at, b.at, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}
/* Comparison `op` of a against b where order = compare(a, b). */
static inline bool
la_order_matches(la_op op, int order)
{
    switch (op) {
    case LA_OP_EQ:
        return order == 0;
    case LA_OP_NE:
        return order != 0;
    case LA_OP_LT:
        return order < 0;
    case LA_OP_LE:
        return order <= 0;
    case LA_OP_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

#endif
