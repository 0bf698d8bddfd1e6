/* SPDX-License-Identifier: Apache-2.0 */
/* Room for a program's registers.
 *
 *   block: [slots: values of 1, 4, 8 or 16 bytes x LA_CHUNK_ROWS] [masks: two a register] [scratch, ones]
 *
 * Registers whose lives do not meet share a slot, so that a long expression stays in the
 * first-level cache. Masks, constants and results share none: a register may borrow another's
 * null mask beyond that one's last use. */
#include "base/error.h"
#include "expr/kernels.h"

/* Free slots by the size of their values. */
typedef struct pool {
    size_t *slots;
    uint32_t count;
} pool;

static pool *
pool_of(pool pools[4], const la_reg *reg)
{
    size_t size = la_reg_value_size(reg);
    return &pools[size == 1 ? 0 : size == 4 ? 1 : size == 8 ? 2 : 3];
}

static size_t
new_slot(size_t *block_size, const la_reg *reg)
{
    size_t slot = *block_size;
    *block_size += la_reg_value_size(reg) * LA_CHUNK_ROWS; /* a multiple of 64 */
    return slot;
}

/* `last[r]`: the instruction that reads register r last; UINT32_MAX keeps it for ever. */
static void
find_last_uses(const la_program *p, uint32_t *last)
{
    const la_reg *regs = la_program_regs(p);
    for (uint32_t r = 0; r < la_program_reg_count(p); r++) {
        last[r] = regs[r].constant ? UINT32_MAX : 0;
    }
    for (uint32_t i = 0; i < la_program_instr_count(p); i++) {
        const la_instr *instr = &la_program_instrs(p)[i];
        for (uint32_t k = 0; k < instr->arg_count; k++) {
            uint32_t *at = &last[instr->args[k]];
            *at = *at == UINT32_MAX ? UINT32_MAX : i;
        }
    }
    for (uint32_t k = 0; k < p->root_count; k++) {
        last[p->roots[k].reg] = UINT32_MAX;
    }
}

static void
assign_slots(la_program *p, const uint32_t *last, pool pools[4], size_t *block_size)
{
    la_reg *regs = la_program_regs(p);
    for (uint32_t r = 0; r < la_program_reg_count(p); r++) {
        if (regs[r].literal != NULL) {
            regs[r].slot = new_slot(block_size, &regs[r]);
        }
    }
    for (uint32_t i = 0; i < la_program_instr_count(p); i++) {
        const la_instr *instr = &la_program_instrs(p)[i];
        la_reg *out = &regs[instr->out];
        pool *free = pool_of(pools, out);
        /* A constant is computed before all others run, so it never takes a used slot. */
        bool reuse = free->count > 0 && !out->constant;
        out->slot = reuse ? free->slots[--free->count] : new_slot(block_size, out);
        for (uint32_t k = 0; k < instr->arg_count; k++) {
            const la_reg *arg = &regs[instr->args[k]];
            bool again = k > 0 && instr->args[k] == instr->args[k - 1];
            again = again || (k > 1 && instr->args[k] == instr->args[0]);
            if (!again && arg->column < 0 && last[instr->args[k]] == i) {
                pool *to = pool_of(pools, arg);
                to->slots[to->count++] = arg->slot;
            }
        }
    }
}

static void
place_registers(la_program *p, size_t block_size)
{
    /* At 64 bytes, so that vectors do not cross cache lines. */
    uint8_t *at = (uint8_t *)(((uintptr_t)p->block + 63) & ~(uintptr_t)63);
    uint8_t *masks = at + block_size;
    la_reg *regs = la_program_regs(p);
    for (uint32_t r = 0; r < la_program_reg_count(p); r++) {
        if (regs[r].column >= 0) {
            continue;
        }
        regs[r].own_data = at + regs[r].slot;
        regs[r].own_valid = masks;
        regs[r].own_fail = masks + LA_CHUNK_ROWS;
        masks += 2 * LA_CHUNK_ROWS;
    }
    p->scratch = masks;
    p->ones = masks + LA_CHUNK_ROWS;
    memset(p->ones, 1, LA_CHUNK_ROWS);
}

la_status
la_program_lay_out(la_program *p, la_error *err)
{
    size_t count = la_program_reg_count(p);
    size_t scratch_size = count * (sizeof(uint32_t) + 4 * sizeof(size_t)) + 16;
    size_t *scratch = la_calloc(p->env, 1, scratch_size);
    if (scratch == NULL) {
        return la_fail_nomem(err, scratch_size);
    }
    pool pools[4];
    for (uint32_t k = 0; k < 4; k++) {
        pools[k].slots = scratch + k * count;
        pools[k].count = 0;
    }
    uint32_t *last = (uint32_t *)(void *)(scratch + 4 * count);
    size_t block_size = 0;
    find_last_uses(p, last);
    assign_slots(p, last, pools, &block_size);
    la_dealloc(p->env, scratch, scratch_size);
    p->block_size = 64 + block_size + 2 * (count + 1) * LA_CHUNK_ROWS;
    p->block = la_alloc(p->env, p->block_size);
    if (p->block == NULL) {
        return la_fail_nomem(err, p->block_size);
    }
    /* Rows that no kernel wrote yet are safe to read, too. */
    memset(p->block, 0, p->block_size);
    place_registers(p, block_size);
    return LA_OK;
}
