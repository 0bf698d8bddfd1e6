/* SPDX-License-Identifier: Apache-2.0 */
/* Integer sections: choosing, writing and reading blocks.
 *
 *   section  | body size u32 | count u32 | entry of block 0 | entry 1 | ... | body |
 *   entry    | byte u32 | width u8 | mode u8 | patches u16 | min u64 | max u64 |
 *   block    FOR            fields
 *            FOR_PATCHED    base u64, fields, patch places, patch values
 *            DELTA          first u64, base u64, fields
 *            DELTA_PATCHED  first u64, base u64, fields, patch places, patch values
 *
 * Patches are rows that would have made all fields wide. Their values are put in last,
 * as value - min in the width of max - min, over whatever their fields gave. In
 * DELTA_PATCHED the running sum passes a patched row by, so that one late event costs
 * one patch, not two.
 *
 * Invariants
 *  1. The choice is a function of the values alone (samples are taken at fixed places).
 *  2. A patched or delta form is taken only where it saves at least a bit a value:
 *     plain fields are the fastest to read.
 *  3. la_ints_open has checked that every block's bytes lie inside the body, so
 *     decoding checks only what the bytes say: places of patches, sums of text
 *     offsets. */
#include "codec/ints.h"

#include "codec/bitpack.h"

#define SAMPLES 32u
#define SAMPLE_CUT 2u /* samples dropped at each end before looking at the spread */
#define PATCH_COST_BITS 16u /* what reading a patch costs, as bits of storage */
#define TRY_ROWS_MIN 64u    /* shorter blocks: the choice costs more than it saves */

typedef struct plan {
    la_ints_mode mode;
    unsigned width;
    uint64_t base;
    uint64_t first;
    uint32_t patches;
    uint64_t cost; /* bits, with penalties */
} plan;

typedef struct block_in {
    const uint64_t *values;
    uint32_t count;
    uint64_t flip;
    uint64_t min;  /* stored form */
    unsigned wide; /* bits of max - min */
} block_in;

static bool
places_are_list(uint32_t patches, uint32_t count)
{
    return patches <= count / 16;
}

static size_t
places_size(uint32_t patches, uint32_t count)
{
    size_t list = ((size_t)patches * 2 + 7) / 8 * 8;
    size_t bitmap = ((size_t)count + 63) / 64 * 8;
    return places_are_list(patches, count) ? list : bitmap;
}

static size_t
block_size(la_ints_mode mode, uint32_t count, unsigned width, uint32_t patches,
           unsigned wide)
{
    bool patched = mode == LA_INTS_FOR_PATCHED || mode == LA_INTS_DELTA_PATCHED;
    size_t head = mode == LA_INTS_FOR ? 0 : mode == LA_INTS_FOR_PATCHED ? 8 : 16;
    size_t tail =
        patched ? places_size(patches, count) + la_packed_size(patches, wide) : 0;
    return head + la_packed_size(count, width) + tail;
}

/* --------------------------------------------------------------------- choosing */

/* What 32 values tell about a block: the third lowest and third highest of them, and
 * the value that more than half of them have. */
typedef struct sampled {
    int64_t low;
    int64_t high;
    int64_t top;
    uint32_t top_count;
} sampled;

/* Moves the smaller of *kept and *other into *kept: no branch depends on the values. */
static inline void
keep_smaller(int64_t *kept, int64_t *other)
{
    int64_t a = *kept;
    int64_t b = *other;
    *kept = a < b ? a : b;
    *other = a < b ? b : a;
}

/* Samples of values[1 .. count): places spread by a stride that shares no factor with
 * usual periods, so that two interleaved sources both show. The top value is found by
 * Boyer and Moore's vote. */
static sampled
take_samples(const uint64_t *values, uint32_t count, uint64_t flip)
{
    int64_t v[SAMPLES];
    for (uint32_t k = 0; k < SAMPLES; k++) {
        uint32_t place = 1 + (k * 389 + 17) % (count - 1);
        v[k] = (int64_t)(values[place] ^ flip);
    }
    int64_t low[3] = {INT64_MAX, INT64_MAX, INT64_MAX};
    int64_t high[3] = {INT64_MIN, INT64_MIN, INT64_MIN};
    sampled found = {0, 0, v[0], 0};
    uint32_t votes = 0;
    for (uint32_t k = 0; k < SAMPLES; k++) {
        int64_t up = v[k];
        int64_t down = v[k];
        for (unsigned i = 0; i < 3; i++) {
            keep_smaller(&low[i], &up);
            keep_smaller(&down, &high[i]);
        }
        bool same = v[k] == found.top;
        found.top = votes == 0 ? v[k] : found.top;
        votes = same || votes == 0 ? votes + 1 : votes - 1;
    }
    for (uint32_t k = 0; k < SAMPLES; k++) {
        found.top_count += v[k] == found.top;
    }
    found.low = low[SAMPLE_CUT];
    found.high = high[SAMPLE_CUT];
    return found;
}

static uint64_t
patched_cost(const block_in *in, unsigned width, uint32_t patches, bool delta)
{
    return (uint64_t)width * in->count +
           (uint64_t)patches * (in->wide + PATCH_COST_BITS) +
           places_size(patches, in->count) * 8 + (delta ? 128 : 64) +
           in->count; /* invariant 2 */
}

/* The best of four widths from `width` on, by counting what does not fit each. */
static void
try_widths(const block_in *in, const uint64_t *values, uint32_t count, uint64_t base,
           unsigned width, bool delta, plan *best)
{
    uint64_t limits[4];
    uint32_t over[4];
    for (unsigned k = 0; k < 4; k++) {
        limits[k] = la_width_mask(width + k < 64 ? width + k : 64);
    }
    la_count_above64(values, count, base, limits, over);
    for (unsigned k = 0; k < 4 && width + k < in->wide; k++) {
        /* A late row makes two odd deltas but one patch. */
        uint32_t patches = delta ? (over[k] + 1) / 2 : over[k];
        uint64_t cost = patched_cost(in, width + k, patches, delta);
        if (cost < best->cost) {
            *best = (plan){delta ? LA_INTS_DELTA_PATCHED : LA_INTS_FOR_PATCHED,
                           width + k,
                           base,
                           0,
                           patches,
                           cost};
        }
    }
}

static void
try_for_patched(const block_in *in, plan *best)
{
    sampled seen = take_samples(in->values, in->count, in->flip);
    uint64_t lo = (uint64_t)seen.low;
    uint64_t spread = (uint64_t)seen.high - lo;
    unsigned width = la_bit_width(spread);
    if (width + 2 < in->wide) {
        uint64_t above_min = lo - (in->min ^ in->flip);
        uint64_t slack = spread / 8;
        uint64_t base = in->min + (above_min > slack ? above_min - slack : 0);
        try_widths(in, in->values, in->count, base, width, false, best);
    }
    if (seen.top_count > SAMPLES / 2) {
        uint64_t top = (uint64_t)seen.top ^ in->flip;
        try_widths(in, in->values, in->count, top, 0, false, best);
    }
}

/* The field of a patched row: any will do for the row itself, so it is what brings the
 * next row within reach. Rows ahead of the chain's pace pull it on by whole steps; a
 * row far off is taken for another odd one and ignored. */
static uint64_t
catch_up(const block_in *in, uint32_t i, uint64_t expected, uint64_t base,
         uint64_t mask)
{
    if (i + 1 == in->count) {
        return 0;
    }
    uint64_t ahead = in->values[i + 1] - expected - base;
    if ((int64_t)ahead < 0 || ahead <= mask || ahead / 64 > mask) {
        return 0;
    }
    return ahead - mask < mask ? ahead - mask : mask;
}

/* Walks the chain: fields into scratch, rows that do not fit aside. Starts from the
 * first two rows that agree, so that an odd first row does not spoil the block. */
static void
walk_chain(const block_in *in, la_ints_scratch *scratch, plan *chosen)
{
    const uint64_t *values = in->values;
    uint64_t mask = la_width_mask(chosen->width);
    uint64_t base = chosen->base;
    uint32_t start = 0;
    while (start + 1 < in->count && scratch->deltas[start + 1] - base > mask) {
        start++;
    }
    uint64_t sum = values[start] - (start + 1) * base;
    uint32_t patches = 0;
    chosen->first = sum;
    for (uint32_t i = 0; i < in->count; i++) {
        uint64_t expected = sum + base;
        uint64_t field = values[i] - expected;
        if (field > mask) {
            field = catch_up(in, i, expected, base, mask);
            scratch->rows[patches] = (uint16_t)i;
            scratch->patches[patches] = values[i] - in->min;
            patches++;
        }
        scratch->fields[i] = field;
        sum = expected + field;
    }
    chosen->patches = patches;
    chosen->cost = patched_cost(in, chosen->width, patches, true);
}

static void
try_delta(const block_in *in, la_ints_scratch *scratch, unsigned tries, plan *best)
{
    const uint64_t *deltas = scratch->deltas + 1;
    uint32_t count = in->count - 1;
    int64_t min, max;
    la_deltas64(in->values, in->count, scratch->deltas);
    la_range64(deltas, count, 0, &min, &max);
    unsigned width = la_bit_width((uint64_t)max - (uint64_t)min);
    uint64_t cost = (uint64_t)(width + 1) * in->count + 128;
    if (cost < best->cost) {
        *best = (plan){LA_INTS_DELTA, width, (uint64_t)min, 0, 0, cost};
    }
    if ((tries & LA_TRY_PATCHES) == 0 || width < 4) {
        return;
    }
    sampled seen = take_samples(scratch->deltas, in->count, 0);
    int64_t lo = seen.low;
    uint64_t spread = (uint64_t)seen.high - (uint64_t)lo;
    unsigned inner = la_bit_width(spread);
    if (inner + 3 >= width || inner + 2 >= in->wide) {
        return;
    }
    uint64_t slack = spread / 4;
    uint64_t base = lo >= 0 && slack > (uint64_t)lo ? 0 : (uint64_t)lo - slack;
    plan trial = *best;
    try_widths(in, deltas, count, base, inner, true, &trial);
    if (trial.cost < best->cost) {
        walk_chain(in, scratch, &trial);
        *best = trial.cost < best->cost ? trial : *best;
    }
}

/* ---------------------------------------------------------------------- writing */

static void
put_fields(la_ints_scratch *scratch, const uint64_t *values, uint32_t count,
           uint32_t bits, uint64_t base, unsigned width, la_buf *to)
{
    size_t size = la_packed_size(count, width);
    uint8_t *at = la_buf_room(to, size);
    if (at == NULL || size == 0) {
        return;
    }
    if (count < LA_BLOCK_ROWS) {
        la_pack_tail(values, count, base, width, at);
    }
    else if (bits == 64) {
        la_pack64(values, base, width, at);
    }
    else {
        for (uint32_t i = 0; i < LA_BLOCK_ROWS; i++) {
            scratch->narrow[i] = (uint32_t)values[i];
        }
        la_pack32(scratch->narrow, (uint32_t)base, width, at);
    }
    to->size += size;
}

static void
put_patches(const la_ints_scratch *scratch, const block_in *in, uint32_t patches,
            la_buf *to)
{
    size_t size = places_size(patches, in->count);
    uint8_t *at = la_buf_room(to, size);
    if (at != NULL && size > 0) {
        memset(at, 0, size);
        if (places_are_list(patches, in->count)) {
            memcpy(at, scratch->rows, patches * sizeof scratch->rows[0]);
        }
        else {
            for (uint32_t k = 0; k < patches; k++) {
                uint32_t row = scratch->rows[k];
                at[row / 8] = (uint8_t)(at[row / 8] | 1u << (row % 8));
            }
        }
        to->size += size;
    }
    size = la_packed_size(patches, in->wide);
    at = la_buf_room(to, size);
    if (at != NULL && size > 0) {
        la_pack_tail(scratch->patches, patches, 0, in->wide, at);
        to->size += size;
    }
}

/* Splits values into fields and patches around plan's base. */
static void
split_patches(const block_in *in, la_ints_scratch *scratch, const plan *chosen)
{
    uint64_t mask = la_width_mask(chosen->width);
    uint32_t patches = 0;
    for (uint32_t i = 0; i < in->count; i++) {
        uint64_t field = in->values[i] - chosen->base;
        bool fits = field <= mask;
        scratch->fields[i] = fits ? field : 0;
        scratch->rows[patches] = (uint16_t)i;
        scratch->patches[patches] = in->values[i] - in->min;
        patches += !fits;
    }
}

static void
put_entry(la_buf *to, size_t section, uint32_t block, size_t byte, const plan *chosen,
          uint64_t min, uint64_t max)
{
    if (to->failed) {
        return;
    }
    uint8_t *entry = to->data + section + LA_INTS_HEAD + (size_t)block * LA_INTS_ENTRY;
    la_store_u32(entry, (uint32_t)byte);
    entry[4] = (uint8_t)chosen->width;
    entry[5] = (uint8_t)chosen->mode;
    entry[6] = (uint8_t)chosen->patches;
    entry[7] = (uint8_t)(chosen->patches >> 8);
    la_store_u64(entry + 8, min);
    la_store_u64(entry + 16, max);
}

static size_t
body_start(const la_buf *to, size_t section)
{
    uint32_t count = to->failed ? 0 : la_load_u32(to->data + section + 4);
    return section + LA_INTS_HEAD + (size_t)la_block_count(count) * LA_INTS_ENTRY;
}

size_t
la_ints_begin(la_buf *to, uint32_t count)
{
    size_t section = to->size;
    la_buf_u32(to, 0);
    la_buf_u32(to, count);
    la_buf_zero(to, (size_t)la_block_count(count) * LA_INTS_ENTRY);
    return section;
}

void
la_ints_block(la_ints_scratch *scratch, const uint64_t *values, uint32_t count,
              uint32_t bits, uint64_t flip, unsigned tries, la_buf *to, size_t section,
              uint32_t block, uint64_t *min, uint64_t *max)
{
    int64_t lo, hi;
    la_range64(values, count, flip, &lo, &hi);
    *min = (uint64_t)lo ^ flip;
    *max = (uint64_t)hi ^ flip;
    block_in in = {values, count, flip, *min,
                   la_bit_width((uint64_t)hi - (uint64_t)lo)};
    plan best = {LA_INTS_FOR, in.wide, *min, 0, 0, (uint64_t)in.wide * count};
    if (count >= TRY_ROWS_MIN && in.wide > 1) {
        if ((tries & LA_TRY_PATCHES) != 0) {
            try_for_patched(&in, &best);
        }
        if ((tries & LA_TRY_DELTA) != 0) {
            try_delta(&in, scratch, tries, &best);
        }
    }
    size_t byte = to->size - body_start(to, section);
    switch (best.mode) {
    case LA_INTS_FOR_PATCHED:
        la_buf_u64(to, best.base);
        split_patches(&in, scratch, &best);
        put_fields(scratch, scratch->fields, count, bits, 0, best.width, to);
        put_patches(scratch, &in, best.patches, to);
        break;
    case LA_INTS_DELTA:
        scratch->deltas[0] = best.base;
        la_buf_u64(to, values[0] - best.base);
        la_buf_u64(to, best.base);
        put_fields(scratch, scratch->deltas, count, bits, best.base, best.width, to);
        break;
    case LA_INTS_DELTA_PATCHED:
        la_buf_u64(to, best.first);
        la_buf_u64(to, best.base);
        put_fields(scratch, scratch->fields, count, bits, 0, best.width, to);
        put_patches(scratch, &in, best.patches, to);
        break;
    case LA_INTS_FOR:
    case LA_INTS_MODE_COUNT:
        put_fields(scratch, values, count, bits, best.base, best.width, to);
        break;
    }
    put_entry(to, section, block, byte, &best, *min, *max);
}

void
la_ints_block_sums(la_ints_scratch *scratch, const uint64_t *steps, uint32_t count,
                   uint64_t first, la_buf *to, size_t section, uint32_t block)
{
    int64_t lo, hi;
    la_range64(steps, count, 0, &lo, &hi);
    plan sums = {LA_INTS_DELTA,
                 la_bit_width((uint64_t)hi - (uint64_t)lo),
                 (uint64_t)lo,
                 first,
                 0,
                 0};
    size_t byte = to->size - body_start(to, section);
    la_buf_u64(to, first);
    la_buf_u64(to, sums.base);
    put_fields(scratch, steps, count, 32, sums.base, sums.width, to);
    put_entry(to, section, block, byte, &sums, (uint64_t)lo, (uint64_t)hi);
}

void
la_ints_end(la_buf *to, size_t section)
{
    if (!to->failed) {
        la_store_u32(to->data + section,
                     (uint32_t)(to->size - body_start(to, section)));
    }
}

/* ---------------------------------------------------------------------- reading */

typedef struct entry {
    const uint8_t *at; /* the block's bytes */
    uint64_t min;
    unsigned width;
    unsigned wide;
    la_ints_mode mode;
    uint32_t patches;
    uint32_t count;
    uint32_t byte;
} entry;

static entry
read_entry(const la_ints *ints, uint32_t block)
{
    const uint8_t *p = ints->table + (size_t)block * LA_INTS_ENTRY;
    uint64_t min = la_load_u64(p + 8);
    uint64_t max = la_load_u64(p + 16);
    uint32_t byte = la_load_u32(p);
    return (entry){.at = ints->body + byte,
                   .min = min,
                   .width = p[4],
                   .wide = la_bit_width(max - min),
                   .mode = (la_ints_mode)p[5],
                   .patches = p[6] | (uint32_t)p[7] << 8,
                   .count = la_block_rows(ints->count, block),
                   .byte = byte};
}

bool
la_ints_open(la_bytes *from, uint32_t count, uint32_t bits, la_ints *ints)
{
    uint32_t body_size = la_bytes_u32(from);
    uint32_t stored_count = la_bytes_u32(from);
    uint32_t blocks = la_block_count(count);
    const uint8_t *table = la_bytes_take(from, (size_t)blocks * LA_INTS_ENTRY);
    const uint8_t *body = la_bytes_take(from, body_size);
    if (from->bad || stored_count != count) {
        return false;
    }
    la_ints opened = {table, body, body_size, count, bits};
    for (uint32_t b = 0; b < blocks; b++) {
        const uint8_t *p = table + (size_t)b * LA_INTS_ENTRY;
        if (p[5] >= LA_INTS_MODE_COUNT || la_load_u32(p) > body_size) {
            return false;
        }
        entry e = read_entry(&opened, b);
        bool patched = e.mode == LA_INTS_FOR_PATCHED || e.mode == LA_INTS_DELTA_PATCHED;
        if (e.width > bits || e.byte % 8 != 0 || e.patches > (patched ? e.count : 0) ||
            block_size(e.mode, e.count, e.width, e.patches, e.wide) >
                body_size - e.byte) {
            return false;
        }
    }
    *ints = opened;
    return true;
}

/* Rows and values of a block's patches. false: a place outside the block. */
static bool
read_patches(const entry *e, const uint8_t *at, uint16_t *rows, uint64_t *values)
{
    uint32_t found = 0;
    if (places_are_list(e->patches, e->count)) {
        memcpy(rows, at, e->patches * sizeof rows[0]);
        for (; found < e->patches; found++) {
            if (rows[found] >= e->count) {
                return false;
            }
        }
    }
    else {
        for (uint32_t from = 0; from < e->count; from += 64) {
            uint64_t word = la_load_u64(at + from / 8);
            for (; word != 0; word &= word - 1) {
                uint32_t row = from + (uint32_t)__builtin_ctzll(word);
                if (row >= e->count || found == e->patches) {
                    return false;
                }
                rows[found++] = (uint16_t)row;
            }
        }
    }
    at += places_size(e->patches, e->count);
    la_unpack_tail64(at, e->patches, e->min, e->wide, values);
    return found == e->patches;
}

bool
la_ints_decode64(const la_ints *ints, uint32_t block, uint64_t *to)
{
    entry e = read_entry(ints, block);
    const uint8_t *at = e.at;
    uint64_t first = 0;
    uint64_t base = e.min;
    bool delta = e.mode == LA_INTS_DELTA || e.mode == LA_INTS_DELTA_PATCHED;
    if (delta) {
        first = la_load_u64(at);
        at += 8;
    }
    if (e.mode != LA_INTS_FOR) {
        base = la_load_u64(at);
        at += 8;
    }
    if (delta && e.width == 0) { /* an arithmetic series */
        la_series64(first + base, base, e.count, to);
    }
    else {
        if (e.count == LA_BLOCK_ROWS) {
            la_unpack64(at, base, e.width, to);
        }
        else {
            la_unpack_tail64(at, e.count, base, e.width, to);
        }
        if (delta) {
            la_prefix64(to, e.count, first);
        }
    }
    if (e.patches > 0) {
        uint16_t rows[LA_BLOCK_ROWS];
        uint64_t values[LA_BLOCK_ROWS];
        at += la_packed_size(e.count, e.width);
        if (!read_patches(&e, at, rows, values)) {
            return false;
        }
        for (uint32_t k = 0; k < e.patches; k++) {
            to[rows[k]] = values[k];
        }
    }
    return true;
}

bool
la_ints_decode32(const la_ints *ints, uint32_t block, uint32_t *to)
{
    entry e = read_entry(ints, block);
    const uint8_t *at = e.at;
    uint32_t first = 0;
    uint32_t base = (uint32_t)e.min;
    bool delta = e.mode == LA_INTS_DELTA || e.mode == LA_INTS_DELTA_PATCHED;
    if (delta) {
        first = (uint32_t)la_load_u64(at);
        at += 8;
    }
    if (e.mode != LA_INTS_FOR) {
        base = (uint32_t)la_load_u64(at);
        at += 8;
    }
    if (e.count == LA_BLOCK_ROWS) {
        la_unpack32(at, base, e.width, to);
    }
    else {
        la_unpack_tail32(at, e.count, base, e.width, to);
    }
    if (delta) {
        la_prefix32(to, e.count, first);
    }
    if (e.patches > 0) {
        uint16_t rows[LA_BLOCK_ROWS];
        uint64_t values[LA_BLOCK_ROWS];
        at += la_packed_size(e.count, e.width);
        if (!read_patches(&e, at, rows, values)) {
            return false;
        }
        for (uint32_t k = 0; k < e.patches; k++) {
            to[rows[k]] = (uint32_t)values[k];
        }
    }
    return true;
}

bool
la_ints_decode_sums(const la_ints *ints, uint32_t block, uint32_t limit, uint32_t *to)
{
    entry e = read_entry(ints, block);
    uint64_t first = e.mode == LA_INTS_DELTA ? la_load_u64(e.at) : UINT64_MAX;
    uint64_t base = e.mode == LA_INTS_DELTA ? la_load_u64(e.at + 8) : 0;
    if (first > limit || base > limit) {
        return false;
    }
    if (e.count == LA_BLOCK_ROWS) {
        la_unpack32(e.at + 16, 0, e.width, to + 1);
    }
    else {
        la_unpack_tail32(e.at + 16, e.count, 0, e.width, to + 1);
    }
    /* 1,024 steps below 2^33 cannot overflow 64 bits, so one check at the end is
     * enough. */
    uint64_t sum = first + base * e.count;
    for (uint32_t i = 1; i <= e.count; i++) {
        sum += to[i];
    }
    if (sum > limit) {
        return false;
    }
    for (uint32_t i = 1; i <= e.count; i++) {
        to[i] += (uint32_t)base;
    }
    to[0] = (uint32_t)first;
    la_prefix32(to + 1, e.count, (uint32_t)first);
    return true;
}

void
la_ints_range(const la_ints *ints, uint32_t block, uint64_t *min, uint64_t *max)
{
    const uint8_t *p = ints->table + (size_t)block * LA_INTS_ENTRY;
    *min = la_load_u64(p + 8);
    *max = la_load_u64(p + 16);
}
