/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of rows in memory, dictionaries, builders. la_chunk itself is public. */
#ifndef LA_CHUNK_CHUNK_H
#define LA_CHUNK_CHUNK_H

#include "base/mem.h"
#include "chunk/schema.h"

/* Dictionary. One adder at a time (the caller's lock); any number of readers of codes
 * below la_dict_count without a lock: entries live in pages that never move. Reference
 * counted. */
LA_MUST_CHECK la_status la_dict_new(const la_env *env, la_dict **out, la_error *err);
la_dict *la_dict_retain(la_dict *dict);
void la_dict_release(la_dict *dict);
/* Code of `text`, added when absent. LA_BUDGET past LA_DICT_ENTRIES_MAX. */
LA_MUST_CHECK la_status la_dict_add(la_dict *dict, const char *text, size_t size,
                                    uint32_t *code, la_error *err);
/* Code of `text` or UINT32_MAX. Not lock-free against an adder. */
uint32_t la_dict_find(const la_dict *dict, const char *text, size_t size);

/* An owned chunk with room for `rows` rows rounded up to LA_BLOCK_ROWS, so that pieces
 * decode straight into it. Column pointers are the chunk's own, writable through
 * la_chunk_data; fixed size data is not initialised, offsets are all 0 and the heap is
 * empty (la_chunk_heap). `valid` is allocated for nullable fields and all ones. */
LA_MUST_CHECK la_status la_chunk_new(const la_env *env, const la_schema *schema,
                                     uint32_t rows, la_chunk **out, la_error *err);
void *la_chunk_data(la_chunk *chunk, uint32_t column);
uint32_t *la_chunk_offsets(la_chunk *chunk, uint32_t column);
uint8_t *la_chunk_valid(la_chunk *chunk, uint32_t column);
/* Sets a str column's heap (size bytes, uninitialised) and returns it. */
LA_MUST_CHECK la_status la_chunk_heap(la_chunk *chunk, uint32_t column, size_t size,
                                      char **out, la_error *err);
/* The owned chunk keeps `dict` alive for column (retains it). */
void la_chunk_set_dict(la_chunk *chunk, uint32_t column, la_dict *dict);
/* A memory block that the owned chunk frees with itself (for converted data). */
LA_MUST_CHECK la_status la_chunk_keep(la_chunk *chunk, size_t size, void **out,
                                      la_error *err);

/* As la_chunk_new, column by column as `shapes` say (one a column), with exactly `rows`
 * rows: for makers whose physical types differ from the schema's (cat as str) or who
 * bring blocks. */
typedef struct la_chunk_shape {
    la_type type;    /* physical; LA_T_NULL leaves the column all zero */
    bool with_valid; /* allocate `valid`, all ones */
    bool foreign;    /* allocate nothing; up to 3 blocks come through la_chunk_own */
    size_t heap;     /* bytes of a str or bytes column */
} la_chunk_shape;
LA_MUST_CHECK la_status la_chunk_new_shaped(const la_env *env, const la_schema *schema,
                                            uint32_t rows, const la_chunk_shape *shapes,
                                            la_chunk **out, la_error *err);
/* The chunk frees block `p` (from la_alloc, `size` bytes) with itself. Cannot fail:
 * room for three blocks per foreign column was made. */
void la_chunk_own(la_chunk *chunk, void *p, size_t size);

/* Rows [from, from + rows) of `whole` as a borrowed chunk; `columns` is the caller's
 * array of whole->column_count entries. Offsets of str columns stay absolute (offsets +
 * from). */
void la_chunk_slice(const la_chunk *whole, uint32_t from, uint32_t rows,
                    la_column *columns, la_chunk *out);
/* Text of row `row` of a str, bytes or cat column; NULL when null. */
const char *la_column_text(const la_column *column, uint32_t row, size_t *size);
static inline bool
la_column_is_null(const la_column *column, uint32_t row)
{
    return column->valid != NULL && column->valid[row] == 0;
}

/* Rows `order[0 .. count)` of `chunk` (NULL: its first `count` rows) as a new owned
 * chunk: used for where, order_by and limit of answers. Columns that are all zero stay
 * so. */
LA_MUST_CHECK la_status la_chunk_take(const la_env *env, const la_chunk *chunk,
                                      const uint32_t *order, uint32_t count,
                                      la_chunk **out, la_error *err);

/* What a builder builds, and how many rows its first column has: for la_builder_parse,
 * which stands in ingest/text.c because reading text is ingest's work. */
const la_schema *la_builder_schema(const la_builder *builder);
uint32_t la_builder_rows(const la_builder *builder, uint32_t column);

#endif
