/* SPDX-License-Identifier: Apache-2.0 */
/* Byte buffer, byte reader and arena over la_env's allocator.
 *
 * Invariants
 *  1. Every size is checked before it is added or multiplied: sizes may come from
 *     files.
 *  2. A failed growth leaves the old bytes as they were.
 *  3. Every block is given back with the size it was allocated with.
 *  4. Arena pieces never move; `total` is the sum of the blocks held.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

void *
la_calloc(const la_env *env, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    size_t bytes = count * size;
    void *p = la_alloc(env, bytes);
    if (p != NULL) {
        memset(p, 0, bytes == 0 ? 1 : bytes);
    }
    return p;
}

char *
la_strdup(const la_env *env, const char *text)
{
    return la_strndup(env, text, strlen(text));
}

char *
la_strndup(const la_env *env, const char *text, size_t size)
{
    /* Up to a NUL only: la_strfree learns the size from the text. */
    const char *nul = size == 0 ? NULL : memchr(text, 0, size);
    size = nul == NULL ? size : (size_t)(nul - text);
    char *copy = la_alloc(env, size + 1);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

void
la_strfree(const la_env *env, char *text)
{
    if (text != NULL) {
        la_dealloc(env, text, strlen(text) + 1);
    }
}

/* ------------------------------------------------------------------- buffer */

void
la_buf_init(la_buf *buf, const la_env *env)
{
    memset(buf, 0, sizeof *buf);
    buf->env = env;
}

void
la_buf_fini(la_buf *buf)
{
    if (buf->data != NULL) {
        la_dealloc(buf->env, buf->data, buf->capacity);
    }
    la_buf_init(buf, buf->env);
}

static bool
buf_grow(la_buf *buf, size_t size)
{
    if (size > SIZE_MAX / 2 - buf->size) {
        return false;
    }
    size_t needed = buf->size + size;
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;
    while (capacity < needed) {
        capacity *= 2; /* needed <= SIZE_MAX / 2: cannot wrap */
    }
    uint8_t *data = la_realloc(buf->env, buf->data, buf->capacity, capacity);
    if (data == NULL) {
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

uint8_t *
la_buf_room(la_buf *buf, size_t size)
{
    if (buf->failed) {
        return NULL;
    }
    bool fits = buf->data != NULL && size <= buf->capacity - buf->size;
    if (!fits && !buf_grow(buf, size)) {
        buf->failed = true;
        return NULL;
    }
    return buf->data + buf->size;
}

void
la_buf_put(la_buf *buf, const void *from, size_t size)
{
    uint8_t *to = la_buf_room(buf, size);
    if (to != NULL && size > 0) {
        memcpy(to, from, size);
        buf->size += size;
    }
}

void
la_buf_zero(la_buf *buf, size_t size)
{
    uint8_t *to = la_buf_room(buf, size);
    if (to != NULL && size > 0) {
        memset(to, 0, size);
        buf->size += size;
    }
}

void
la_buf_align(la_buf *buf, size_t alignment)
{
    size_t over = buf->size % alignment;
    if (over != 0) {
        la_buf_zero(buf, alignment - over);
    }
}

void
la_buf_u8(la_buf *buf, uint8_t v)
{
    la_buf_put(buf, &v, sizeof v);
}

void
la_buf_u16(la_buf *buf, uint16_t v)
{
    la_buf_put(buf, &v, sizeof v);
}

void
la_buf_u32(la_buf *buf, uint32_t v)
{
    la_buf_put(buf, &v, sizeof v);
}

void
la_buf_u64(la_buf *buf, uint64_t v)
{
    la_buf_put(buf, &v, sizeof v);
}

void
la_buf_varint(la_buf *buf, uint64_t v)
{
    uint8_t bytes[10];
    size_t size = 0;
    while (v >= 0x80u) {
        bytes[size++] = (uint8_t)(v | 0x80u);
        v >>= 7;
    }
    bytes[size++] = (uint8_t)v;
    la_buf_put(buf, bytes, size);
}

void
la_buf_text(la_buf *buf, const char *text)
{
    la_buf_put(buf, text, strlen(text));
}

void
la_buf_printf(la_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) {
        buf->failed = true;
        return;
    }
    uint8_t *to = la_buf_room(buf, (size_t)size + 1);
    if (to == NULL) {
        return;
    }
    va_start(args, format);
    vsnprintf((char *)to, (size_t)size + 1, format, args);
    va_end(args);
    buf->size += (size_t)size;
}

/* -------------------------------------------------------------------- bytes */

const uint8_t *
la_bytes_take(la_bytes *b, size_t size)
{
    if (b->bad || size > la_bytes_left(b)) {
        b->bad = true;
        return NULL;
    }
    const uint8_t *at = b->at;
    b->at += size;
    return at;
}

static void
take_value(la_bytes *b, void *to, size_t size)
{
    const uint8_t *at = la_bytes_take(b, size);
    if (at != NULL) {
        memcpy(to, at, size);
    }
}

uint8_t
la_bytes_u8(la_bytes *b)
{
    uint8_t v = 0;
    take_value(b, &v, sizeof v);
    return v;
}

uint16_t
la_bytes_u16(la_bytes *b)
{
    uint16_t v = 0;
    take_value(b, &v, sizeof v);
    return v;
}

uint32_t
la_bytes_u32(la_bytes *b)
{
    uint32_t v = 0;
    take_value(b, &v, sizeof v);
    return v;
}

uint64_t
la_bytes_u64(la_bytes *b)
{
    uint64_t v = 0;
    take_value(b, &v, sizeof v);
    return v;
}

uint64_t
la_bytes_varint(la_bytes *b)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 70 && !b->bad; shift += 7) {
        uint8_t byte = la_bytes_u8(b);
        if (b->bad) {
            return 0;
        }
        if (shift == 63 && byte > 1) {
            break; /* beyond 64 bits */
        }
        v |= (uint64_t)(byte & 0x7Fu) << shift;
        if (byte < 0x80u) {
            if (byte == 0 && shift > 0) {
                break; /* a shorter form exists; one value has one form */
            }
            return v;
        }
    }
    b->bad = true;
    return 0;
}

/* -------------------------------------------------------------------- arena */

#define ARENA_BLOCK_MIN ((size_t)4096)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)

/* head -> the block being filled, then older and oversized ones. */
struct la_arena_block {
    la_arena_block *next;
    size_t size; /* with this header */
    size_t used; /* with this header */
};

_Static_assert(sizeof(la_arena_block) % 8 == 0, "pieces start 8-byte aligned");

void
la_arena_init(la_arena *arena, const la_env *env)
{
    memset(arena, 0, sizeof *arena);
    arena->env = env;
}

static void
free_blocks(la_arena *arena, la_arena_block *block)
{
    while (block != NULL) {
        la_arena_block *next = block->next;
        arena->total -= block->size;
        la_dealloc(arena->env, block, block->size);
        block = next;
    }
}

void
la_arena_fini(la_arena *arena)
{
    free_blocks(arena, arena->head);
    la_arena_init(arena, arena->env);
}

void
la_arena_reset(la_arena *arena)
{
    if (arena->head != NULL) {
        free_blocks(arena, arena->head->next);
        arena->head->next = NULL;
        arena->head->used = sizeof(la_arena_block);
    }
    arena->used = 0;
}

static la_arena_block *
new_block(la_arena *arena, size_t size)
{
    la_arena_block *block = la_alloc(arena->env, size);
    if (block != NULL) {
        block->next = NULL;
        block->size = size;
        block->used = sizeof *block;
        arena->total += size;
    }
    return block;
}

static size_t
next_block_size(const la_arena *arena)
{
    size_t size = arena->head == NULL ? ARENA_BLOCK_MIN : arena->head->size * 2;
    return size > ARENA_BLOCK_MAX ? ARENA_BLOCK_MAX : size;
}

void *
la_arena_alloc(la_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = size == 0 ? 8 : (size + 7) & ~(size_t)7;
    la_arena_block *block = arena->head;
    if (block == NULL || size > block->size - block->used) {
        size_t block_size = next_block_size(arena);
        bool oversized = size > block_size / 4;
        if (oversized) {
            block_size = size + sizeof *block;
        }
        block = new_block(arena, block_size);
        if (block == NULL) {
            return NULL;
        }
        if (oversized && arena->head != NULL) {
            block->next = arena->head->next; /* the head goes on being filled */
            arena->head->next = block;
        }
        else {
            block->next = arena->head;
            arena->head = block;
        }
    }
    void *piece = (uint8_t *)block + block->used;
    block->used += size;
    arena->used += size;
    return piece;
}

char *
la_arena_strndup(la_arena *arena, const char *text, size_t size)
{
    char *copy = size == SIZE_MAX ? NULL : la_arena_alloc(arena, size + 1);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}
