/* SPDX-License-Identifier: Apache-2.0 */
/* One canonical encoding of single values: keys of groups and values inside states.
 * Bytes: docs/internals/format/columns.md, "Key bytes". memcmp order of key bytes is
 * value order; null sorts first. */
#ifndef LA_CHUNK_VALUE_H
#define LA_CHUNK_VALUE_H

#include "base/mem.h"

typedef struct la_value {
    la_type type;
    uint8_t scale;
    bool null;
    union {
        int64_t i64; /* bool i32 i64 time date decimal; u64 as bits */
        double f64;  /* f32 f64 */
    };
    const char *text; /* str bytes cat: borrowed */
    size_t size;
} la_value;

la_value la_value_of(const la_column *column, uint32_t row);
/* One NaN, no -0.0 (semantics 24). */
static inline double
la_canonical_f64(double x)
{
    return x != x ? __builtin_nan("") : x + 0.0;
}
/* Appends a key part: marker byte, then the ordered form. */
void la_key_put(la_buf *to, const la_value *value);
/* Reads one key part of a known type; text is unescaped into `arena`. false:
 * damaged. */
bool la_key_take(la_bytes *from, la_type type, uint8_t scale, la_arena *arena,
                 la_value *value);
int la_value_compare(const la_value *a, const la_value *b); /* same type; null first */
/* Appends the value as text a person reads ("9.99", "2026-11-21T09:00:00Z"). */
void la_value_text(la_buf *to, const la_value *value);

#endif
