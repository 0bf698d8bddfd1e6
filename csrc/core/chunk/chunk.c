/* SPDX-License-Identifier: Apache-2.0 */
/* Owned chunks: columns that live and die together.
 *
 *   one allocation: | owner | columns | dicts | adopted | data, valid, offsets, heap |
 *   plus a list of blocks made later (la_chunk_keep) or brought along (la_chunk_own)
 *
 * Invariants
 *  1. `chunk->owner` is the owner that holds the chunk, or NULL for borrowed chunks
 *     (slices, spans of mapped files), which la_chunk_free leaves alone.
 *  2. Each section starts at a multiple of 64 bytes and 64 bytes follow the last, so
 *     vector code may read whole words. */
#include "chunk/chunk.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/live.h"

#define SECTION_ALIGN 64u
#define BLOCKS_PER_COLUMN 3u

typedef struct kept {
    struct kept *next;
    size_t size; /* of the whole allocation */
} kept;

typedef struct adopted {
    void *p;
    size_t size;
} adopted;

typedef struct owner {
    la_chunk chunk; /* first: the chunk's address is the owner's */
    const la_env *env;
    size_t size; /* of this allocation */
    kept *kept;
    la_dict **dicts; /* one a column, NULL = none */
    adopted *adopted;
    uint32_t adopted_count;
    uint32_t adopted_max;
} owner;

static size_t
align_up(size_t size)
{
    return (size + SECTION_ALIGN - 1) & ~(size_t)(SECTION_ALIGN - 1);
}

static bool
is_text(la_type type)
{
    return type == LA_T_STR || type == LA_T_BYTES;
}

/* Places of one column's sections inside the allocation; 0 = none. */
typedef struct sections {
    size_t data, valid, offsets;
} sections;

/* Rows are below 2^32, sizes at most 8 and columns at most 1,024: only heaps can make
 * the sum overflow, and they are checked. */
static bool
place_column(const la_chunk_shape *shape, uint64_t room, size_t *size, sections *out)
{
    *out = (sections){0, 0, 0};
    if (shape->foreign || shape->type == LA_T_NULL) {
        return true;
    }
    if (shape->heap > SIZE_MAX / 4) {
        return false;
    }
    out->data = *size;
    *size += align_up(is_text(shape->type) ? shape->heap + 1
                                           : room * la_type_size(shape->type));
    if (is_text(shape->type)) {
        out->offsets = *size;
        *size += align_up((room + 1) * sizeof(uint32_t));
    }
    if (shape->with_valid) {
        out->valid = *size;
        *size += align_up(room);
    }
    return *size <= SIZE_MAX / 2;
}

static la_chunk_shape
shape_of(const la_schema *schema, const la_chunk_shape *shapes, uint32_t column)
{
    if (shapes != NULL) {
        return shapes[column];
    }
    const la_field *field = la_schema_field(schema, column);
    return (la_chunk_shape){field->type, field->nullable, false, 0};
}

static la_status
chunk_new(const la_env *env, const la_schema *schema, uint32_t rows, uint64_t room,
          const la_chunk_shape *shapes, la_chunk **out, la_error *err)
{
    uint32_t count = la_schema_count(schema);
    uint32_t foreign = 0;
    size_t head = align_up(sizeof(owner)) + align_up(count * sizeof(la_column)) +
                  align_up(count * sizeof(la_dict *));
    for (uint32_t c = 0; c < count; c++) {
        foreign += shape_of(schema, shapes, c).foreign;
    }
    size_t adopted_at = head;
    head += align_up(foreign * BLOCKS_PER_COLUMN * sizeof(adopted));
    size_t size = head;
    sections at;
    for (uint32_t c = 0; c < count; c++) {
        la_chunk_shape shape = shape_of(schema, shapes, c);
        if (!place_column(&shape, room, &size, &at)) {
            return la_fail(
                err, LA_NOMEM,
                "could not make a chunk of %u rows: column \"%s\" is too large", rows,
                la_schema_field(schema, c)->name);
        }
    }
    size += SECTION_ALIGN;
    uint8_t *base = la_alloc(env, size);
    if (base == NULL) {
        return la_fail_nomem(err, size);
    }
    memset(base, 0, head);
    owner *own = (owner *)(void *)base;
    la_chunk *chunk = &own->chunk;
    own->env = env;
    own->size = size;
    chunk->columns = (la_column *)(void *)(base + align_up(sizeof(owner)));
    own->dicts = (la_dict **)(void *)(base + align_up(sizeof(owner)) +
                                      align_up(count * sizeof(la_column)));
    own->adopted = (adopted *)(void *)(base + adopted_at);
    own->adopted_max = foreign * BLOCKS_PER_COLUMN;
    size = head;
    for (uint32_t c = 0; c < count; c++) {
        la_chunk_shape shape = shape_of(schema, shapes, c);
        (void)place_column(&shape, room, &size, &at);
        la_column *column = &chunk->columns[c];
        column->type = shape.type;
        column->scale = la_schema_field(schema, c)->scale;
        column->data = at.data == 0 ? NULL : base + at.data;
        if (at.offsets != 0) {
            memset(base + at.offsets, 0, (room + 1) * sizeof(uint32_t));
            column->offsets = (const uint32_t *)(const void *)(base + at.offsets);
        }
        if (at.valid != 0) {
            memset(base + at.valid, 1, room);
            column->valid = base + at.valid;
        }
    }
    chunk->schema = la_schema_retain(schema);
    chunk->rows = rows;
    chunk->column_count = count;
    chunk->owner = own;
    la_live_add(LA_LIVE_CHUNK, 1);
    *out = chunk;
    return LA_OK;
}

la_status
la_chunk_new(const la_env *env, const la_schema *schema, uint32_t rows, la_chunk **out,
             la_error *err)
{
    uint64_t blocks = ((uint64_t)rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS;
    return chunk_new(env, schema, rows, blocks * LA_BLOCK_ROWS, NULL, out, err);
}

la_status
la_chunk_new_shaped(const la_env *env, const la_schema *schema, uint32_t rows,
                    const la_chunk_shape *shapes, la_chunk **out, la_error *err)
{
    return chunk_new(env, schema, rows, rows, shapes, out, err);
}

void
la_chunk_free(la_chunk *chunk)
{
    if (chunk == NULL || chunk->owner == NULL) {
        return;
    }
    owner *own = chunk->owner;
    const la_env *env = own->env;
    for (uint32_t c = 0; c < chunk->column_count; c++) {
        la_dict_release(own->dicts[c]);
    }
    for (uint32_t i = 0; i < own->adopted_count; i++) {
        la_dealloc(env, own->adopted[i].p, own->adopted[i].size);
    }
    for (kept *block = own->kept; block != NULL;) {
        kept *next = block->next;
        la_dealloc(env, block, block->size);
        block = next;
    }
    la_schema_release(chunk->schema);
    la_dealloc(env, own, own->size);
    la_live_add(LA_LIVE_CHUNK, -1);
}

void *
la_chunk_data(la_chunk *chunk, uint32_t column)
{
    return (void *)(uintptr_t)chunk->columns[column].data;
}

uint32_t *
la_chunk_offsets(la_chunk *chunk, uint32_t column)
{
    return (uint32_t *)(uintptr_t)chunk->columns[column].offsets;
}

uint8_t *
la_chunk_valid(la_chunk *chunk, uint32_t column)
{
    return (uint8_t *)(uintptr_t)chunk->columns[column].valid;
}

la_status
la_chunk_keep(la_chunk *chunk, size_t size, void **out, la_error *err)
{
    owner *own = chunk->owner;
    if (size > SIZE_MAX / 2) {
        return la_fail_nomem(err, size);
    }
    size_t total = SECTION_ALIGN + size + SECTION_ALIGN;
    kept *block = la_alloc(own->env, total);
    if (block == NULL) {
        return la_fail_nomem(err, total);
    }
    block->next = own->kept;
    block->size = total;
    own->kept = block;
    *out = (uint8_t *)block + SECTION_ALIGN;
    return LA_OK;
}

void
la_chunk_own(la_chunk *chunk, void *p, size_t size)
{
    owner *own = chunk->owner;
    if (p != NULL && own->adopted_count < own->adopted_max) {
        own->adopted[own->adopted_count++] = (adopted){p, size};
    }
}

la_status
la_chunk_heap(la_chunk *chunk, uint32_t column, size_t size, char **out, la_error *err)
{
    void *heap = NULL;
    la_status status = la_chunk_keep(chunk, size, &heap, err);
    if (status == LA_OK) {
        chunk->columns[column].data = heap;
        *out = heap;
    }
    return status;
}

void
la_chunk_set_dict(la_chunk *chunk, uint32_t column, la_dict *dict)
{
    owner *own = chunk->owner;
    la_dict *before = own->dicts[column];
    own->dicts[column] = dict == NULL ? NULL : la_dict_retain(dict);
    chunk->columns[column].dict = dict;
    la_dict_release(before);
}

void
la_chunk_slice(const la_chunk *whole, uint32_t from, uint32_t rows, la_column *columns,
               la_chunk *out)
{
    for (uint32_t c = 0; c < whole->column_count; c++) {
        la_column column = whole->columns[c];
        if (is_text(column.type)) {
            column.offsets = column.offsets == NULL ? NULL : column.offsets + from;
        }
        else if (column.data != NULL) {
            column.data =
                (const uint8_t *)column.data + (size_t)from * la_type_size(column.type);
        }
        column.valid = column.valid == NULL ? NULL : column.valid + from;
        columns[c] = column;
    }
    la_chunk slice = *whole;
    slice.rows = rows;
    slice.columns = columns;
    slice.position =
        whole->position == LA_NO_POSITION ? LA_NO_POSITION : whole->position + from;
    slice.verdicts = whole->verdicts == NULL ? NULL : whole->verdicts + from;
    slice.targets = whole->targets == NULL ? NULL : whole->targets + from;
    slice.owner = NULL;
    *out = slice;
}

const char *
la_column_text(const la_column *column, uint32_t row, size_t *size)
{
    *size = 0;
    if (la_column_is_null(column, row)) {
        return NULL;
    }
    if (column->type == LA_T_CAT) {
        return la_dict_get(column->dict, ((const uint32_t *)column->data)[row], size);
    }
    uint32_t begin = column->offsets[row];
    *size = column->offsets[row + 1] - begin;
    return column->data == NULL ? "" : (const char *)column->data + begin;
}

/* ------------------------------------------------------------------ taking rows */

static void
gather(const void *from, size_t width, const uint32_t *order, uint32_t count, void *to)
{
    if (order == NULL) {
        memcpy(to, from, count * width);
        return;
    }
    switch (width) {
    case 1:
        for (uint32_t i = 0; i < count; i++) {
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[order[i]];
        }
        break;
    case 4:
        for (uint32_t i = 0; i < count; i++) {
            ((uint32_t *)to)[i] = ((const uint32_t *)from)[order[i]];
        }
        break;
    default:
        for (uint32_t i = 0; i < count; i++) {
            ((uint64_t *)to)[i] = ((const uint64_t *)from)[order[i]];
        }
        break;
    }
}

static size_t
text_bytes(const la_column *column, const uint32_t *order, uint32_t count)
{
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = order == NULL ? i : order[i];
        total += column->offsets[row + 1] - column->offsets[row];
    }
    return total;
}

static void
gather_text(const la_column *column, const uint32_t *order, uint32_t count,
            uint32_t *offsets, char *heap)
{
    uint32_t at = 0;
    offsets[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = order == NULL ? i : order[i];
        uint32_t begin = column->offsets[row];
        uint32_t size = column->offsets[row + 1] - begin;
        if (size > 0) {
            memcpy(heap + at, (const char *)column->data + begin, size);
        }
        at += size;
        offsets[i + 1] = at;
    }
}

static la_status
take_shapes(const la_chunk *chunk, const uint32_t *order, uint32_t count,
            la_chunk_shape *shapes, la_error *err)
{
    for (uint32_t c = 0; c < chunk->column_count; c++) {
        const la_column *column = &chunk->columns[c];
        bool read = column->data != NULL || column->offsets != NULL;
        shapes[c].type = read ? column->type : LA_T_NULL;
        shapes[c].with_valid = read && column->valid != NULL;
        if (read && is_text(column->type)) {
            shapes[c].heap = text_bytes(column, order, count);
            if (shapes[c].heap > UINT32_MAX) {
                return la_fail(err, LA_BUDGET,
                               "could not take %u rows: column \"%s\" would hold %zu "
                               "bytes of text, at most %u are possible",
                               count, la_schema_field(chunk->schema, c)->name,
                               shapes[c].heap, UINT32_MAX);
            }
        }
    }
    return LA_OK;
}

static la_status
take_verdicts(const la_chunk *chunk, const uint32_t *order, uint32_t count,
              la_chunk *to, la_error *err)
{
    if (chunk->verdicts != NULL) {
        void *verdicts = NULL;
        la_status status = la_chunk_keep(to, count, &verdicts, err);
        if (status != LA_OK) {
            return status;
        }
        gather(chunk->verdicts, 1, order, count, verdicts);
        to->verdicts = verdicts;
    }
    if (chunk->targets != NULL) {
        void *targets = NULL;
        la_status status = la_chunk_keep(to, (size_t)count * 8, &targets, err);
        if (status != LA_OK) {
            return status;
        }
        gather(chunk->targets, 8, order, count, targets);
        to->targets = targets;
    }
    return LA_OK;
}

la_status
la_chunk_take(const la_env *env, const la_chunk *chunk, const uint32_t *order,
              uint32_t count, la_chunk **out, la_error *err)
{
    size_t shapes_size = chunk->column_count * sizeof(la_chunk_shape);
    la_chunk_shape *shapes = la_calloc(env, chunk->column_count, sizeof *shapes);
    if (shapes == NULL) {
        return la_fail_nomem(err, shapes_size);
    }
    la_chunk *taken = NULL;
    la_status status = take_shapes(chunk, order, count, shapes, err);
    if (status == LA_OK) {
        status = la_chunk_new_shaped(env, chunk->schema, count, shapes, &taken, err);
    }
    la_dealloc(env, shapes, shapes_size);
    if (status == LA_OK) {
        status = take_verdicts(chunk, order, count, taken, err);
    }
    if (status != LA_OK) {
        la_chunk_free(taken);
        return status;
    }
    for (uint32_t c = 0; c < chunk->column_count; c++) {
        const la_column *column = &chunk->columns[c];
        if (taken->columns[c].type == LA_T_NULL) {
            taken->columns[c].scale = 0;
            continue;
        }
        taken->columns[c].scale = column->scale;
        if (is_text(column->type)) {
            gather_text(column, order, count, la_chunk_offsets(taken, c),
                        la_chunk_data(taken, c));
        }
        else if (count > 0) {
            gather(column->data, la_type_size(column->type), order, count,
                   la_chunk_data(taken, c));
        }
        if (column->valid != NULL) {
            gather(column->valid, 1, order, count, la_chunk_valid(taken, c));
        }
        if (column->dict != NULL) {
            la_chunk_set_dict(taken, c, (la_dict *)(uintptr_t)column->dict);
        }
    }
    taken->position = order == NULL ? chunk->position : LA_NO_POSITION;
    taken->ingest_us = chunk->ingest_us;
    *out = taken;
    return LA_OK;
}
