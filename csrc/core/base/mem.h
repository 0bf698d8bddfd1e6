/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation through la_env, a growable byte buffer, and an arena. */
#ifndef LA_BASE_MEM_H
#define LA_BASE_MEM_H

#include <string.h>

#include "lambdaarch.h"

static inline void *
la_alloc(const la_env *env, size_t size)
{
    return env->mem.realloc(env->mem.ctx, NULL, 0, size == 0 ? 1 : size);
}
static inline void *
la_realloc(const la_env *env, void *p, size_t old_size, size_t new_size)
{
    return env->mem.realloc(env->mem.ctx, p, old_size, new_size == 0 ? 1 : new_size);
}
/* `size` as it was allocated (used by budgets and test allocators). */
static inline void
la_dealloc(const la_env *env, void *p, size_t size)
{
    if (p != NULL) {
        (void)env->mem.realloc(env->mem.ctx, p, size, 0);
    }
}
void *la_calloc(const la_env *env, size_t count, size_t size); /* checks the product */
char *la_strdup(const la_env *env, const char *text);
char *la_strndup(const la_env *env, const char *text, size_t size);
void la_strfree(const la_env *env, char *text);

/* A growable byte buffer. A failed growth latches: later puts do nothing and `failed`
 * stays true, so that a writer checks once at its end. Zeroed with env set is a valid
 * empty one. */
typedef struct la_buf {
    const la_env *env;
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
} la_buf;

void la_buf_init(la_buf *buf, const la_env *env);
void la_buf_fini(la_buf *buf);
static inline void
la_buf_clear(la_buf *buf)
{
    buf->size = 0;
}
/* Room for `size` more bytes at the end, or NULL (and failed). Does not move `size`. */
uint8_t *la_buf_room(la_buf *buf, size_t size);
void la_buf_put(la_buf *buf, const void *from, size_t size);
void la_buf_zero(la_buf *buf, size_t size);
void la_buf_align(la_buf *buf, size_t alignment); /* zero padding */
void la_buf_u8(la_buf *buf, uint8_t v);
void la_buf_u16(la_buf *buf, uint16_t v);
void la_buf_u32(la_buf *buf, uint32_t v);
void la_buf_u64(la_buf *buf, uint64_t v);
void la_buf_varint(la_buf *buf, uint64_t v); /* LEB128, 1..10 bytes, shortest form */
void la_buf_text(la_buf *buf, const char *text); /* without NUL */
void la_buf_printf(la_buf *buf, const char *format, ...) LA_PRINTF(2, 3);

/* Reads what la_buf wrote, never past the end: a short read latches `bad`, gives 0. */
typedef struct la_bytes {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
} la_bytes;
static inline la_bytes
la_bytes_of(const void *data, size_t size)
{
    la_bytes b = {(const uint8_t *)data, (const uint8_t *)data + size, false};
    return b;
}
static inline size_t
la_bytes_left(const la_bytes *b)
{
    return (size_t)(b->end - b->at);
}
const uint8_t *la_bytes_take(la_bytes *b, size_t size); /* NULL when short */
uint8_t la_bytes_u8(la_bytes *b);
uint16_t la_bytes_u16(la_bytes *b);
uint32_t la_bytes_u32(la_bytes *b);
uint64_t la_bytes_u64(la_bytes *b);
uint64_t la_bytes_varint(la_bytes *b); /* longer than the shortest form is bad */

/* Little-endian loads and stores at any alignment. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error                                                                                 \
    "files are little-endian and are read in place: this needs a little-endian machine"
#endif
static inline uint32_t
la_load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t
la_load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void
la_store_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void
la_store_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

/* An arena: many small pieces, freed together. Pieces are 8-byte aligned and never
 * move. */
typedef struct la_arena_block la_arena_block;
typedef struct la_arena {
    const la_env *env;
    la_arena_block *head;
    size_t used;  /* bytes handed out */
    size_t total; /* bytes allocated */
} la_arena;
void la_arena_init(la_arena *arena, const la_env *env);
void la_arena_fini(la_arena *arena);
void la_arena_reset(la_arena *arena);               /* keeps one block */
void *la_arena_alloc(la_arena *arena, size_t size); /* NULL: out of memory */
char *la_arena_strndup(la_arena *arena, const char *text, size_t size);

#endif
