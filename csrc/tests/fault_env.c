/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that fails on request.
 *
 * Block: [u64 size][u64 mark] bytes; what the caller sees stays 16-byte aligned. */
#include "fault_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 16u
#define MARK 0x6b636f6c62616c00u

static void
broken(const char *what, size_t is, size_t was)
{
    fprintf(stderr, "fault_env: %s: size %zu given, %zu allocated\n", what, is, was);
    abort();
}

static bool
must_fail(fault_env *f)
{
    uint64_t n = atomic_fetch_add(&f->count, 1) + 1;
    uint64_t at = f->fail_at;
    bool fails = at != 0 && (n == at || (f->forever && n > at));
    if (fails) {
        f->fired = true;
    }
    return fails;
}

static void
give_back(fault_env *f, uint8_t *block, size_t size)
{
    memset(block + HEAD_SIZE, 0xDD, size);
    memset(block, 0, HEAD_SIZE);
    atomic_fetch_sub(&f->in_use, size);
    f->inner->mem.realloc(f->inner->mem.ctx, block, size + HEAD_SIZE, 0);
}

static void *
fault_realloc(void *ctx, void *p, size_t old_size, size_t new_size)
{
    fault_env *f = ctx;
    uint8_t *old = NULL;
    if (p != NULL) {
        old = (uint8_t *)p - HEAD_SIZE;
        uint64_t head[2];
        memcpy(head, old, sizeof head);
        if (head[1] != MARK) {
            broken("not a live block", old_size, 0);
        }
        if (head[0] != old_size) {
            broken("wrong size", old_size, (size_t)head[0]);
        }
    }
    if (new_size == 0) {
        if (old != NULL) {
            give_back(f, old, old_size);
        }
        return NULL;
    }
    if (must_fail(f) || new_size > SIZE_MAX - HEAD_SIZE) {
        return NULL;
    }
    uint8_t *block =
        f->inner->mem.realloc(f->inner->mem.ctx, NULL, 0, new_size + HEAD_SIZE);
    if (block == NULL) {
        return NULL;
    }
    uint64_t head[2] = {new_size, MARK};
    memcpy(block, head, sizeof head);
    memset(block + HEAD_SIZE, 0xCD, new_size); /* nobody may count on zeros */
    uint64_t in_use = atomic_fetch_add(&f->in_use, new_size) + new_size;
    if (in_use > f->peak) {
        f->peak = in_use;
    }
    if (old != NULL) {
        memcpy(block + HEAD_SIZE, p, old_size < new_size ? old_size : new_size);
        give_back(f, old, old_size);
    }
    return block + HEAD_SIZE;
}

void
fault_env_init(fault_env *f, const la_env *inner)
{
    memset(f, 0, sizeof *f);
    f->inner = inner;
    f->env.io = inner->io;
    f->env.mem.ctx = f;
    f->env.mem.realloc = fault_realloc;
}

void
fault_env_fail_at(fault_env *f, uint64_t n, bool forever)
{
    f->count = 0;
    f->fail_at = n;
    f->forever = forever;
    f->fired = false;
}

bool
fault_env_fired(const fault_env *f)
{
    return f->fired;
}

uint64_t
fault_env_in_use(const fault_env *f)
{
    return f->in_use;
}
