/* SPDX-License-Identifier: Apache-2.0 */
/* A section of integers: blocks of LA_BLOCK_ROWS, each with its own base and bit width,
 * so that any block decodes alone. The building block of all pieces that are packed.
 * Bytes: docs/internals/format/columns.md, "Integer section". */
#ifndef LA_CODEC_INTS_H
#define LA_CODEC_INTS_H

#include "base/limits.h"
#include "base/mem.h"

#define LA_INTS_HEAD 8u
#define LA_INTS_ENTRY 24u

typedef enum la_ints_mode {
    LA_INTS_FOR,           /* min + field */
    LA_INTS_FOR_PATCHED,   /* base + field, some rows replaced */
    LA_INTS_DELTA,         /* first + running sum of (base + field) */
    LA_INTS_DELTA_PATCHED, /* the same, some rows replaced afterwards */
    LA_INTS_MODE_COUNT
} la_ints_mode;

/* What an encoder may try besides LA_INTS_FOR. */
#define LA_TRY_DELTA 1u
#define LA_TRY_PATCHES 2u

typedef struct la_ints {
    const uint8_t *table; /* count / LA_BLOCK_ROWS entries, rounded up */
    const uint8_t *body;
    uint32_t body_size;
    uint32_t count;
    uint32_t bits; /* 32 or 64: of a value and of a lane's word */
} la_ints;

/* Work space of one block, so that encoding allocates nothing. */
typedef struct la_ints_scratch {
    uint64_t deltas[LA_BLOCK_ROWS];
    uint64_t fields[LA_BLOCK_ROWS];
    uint64_t patches[LA_BLOCK_ROWS];
    uint32_t narrow[LA_BLOCK_ROWS];
    uint16_t rows[LA_BLOCK_ROWS];
} la_ints_scratch;

static inline uint32_t
la_block_count(uint32_t rows)
{
    return (rows + LA_BLOCK_ROWS - 1) / LA_BLOCK_ROWS;
}
static inline uint32_t
la_block_rows(uint32_t rows, uint32_t block)
{
    uint32_t left = rows - block * LA_BLOCK_ROWS;
    return left < LA_BLOCK_ROWS ? left : LA_BLOCK_ROWS;
}

/* Writing: begin, every block in order, end. `section` is what begin returned; a failed
 * growth latches in `to`. `flip` is the sign bit for unsigned 64-bit values, else 0:
 * values are compared as signed after that flip. min and max are given back in stored
 * form. */
size_t la_ints_begin(la_buf *to, uint32_t count);
void la_ints_block(la_ints_scratch *scratch, const uint64_t *values, uint32_t count,
                   uint32_t bits, uint64_t flip, unsigned tries, la_buf *to,
                   size_t section, uint32_t block, uint64_t *min, uint64_t *max);
/* A block of running sums: row i is first + steps[0] + ... + steps[i]. For text
 * offsets. */
void la_ints_block_sums(la_ints_scratch *scratch, const uint64_t *steps, uint32_t count,
                        uint64_t first, la_buf *to, size_t section, uint32_t block);
void la_ints_end(la_buf *to, size_t section);

/* Takes a section of `count` values from `from` and checks it. false: damaged. */
bool la_ints_open(la_bytes *from, uint32_t count, uint32_t bits, la_ints *ints);
/* Block `block` into `to`, which has room for LA_BLOCK_ROWS values. false: damaged. */
bool la_ints_decode64(const la_ints *ints, uint32_t block, uint64_t *to);
bool la_ints_decode32(const la_ints *ints, uint32_t block, uint32_t *to);
/* A block written by la_ints_block_sums into to[0 .. rows]: `first`, then each row.
 * false: damaged, or a sum beyond `limit`. */
bool la_ints_decode_sums(const la_ints *ints, uint32_t block, uint32_t limit,
                         uint32_t *to);
void la_ints_range(const la_ints *ints, uint32_t block, uint64_t *min, uint64_t *max);

#endif
