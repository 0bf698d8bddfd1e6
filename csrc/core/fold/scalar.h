/* SPDX-License-Identifier: Apache-2.0 */
/* One value inside a state: a word or a text that the state owns, and its canonical
 * bytes (format/states.md, "Values"). */
#ifndef LA_FOLD_SCALAR_H
#define LA_FOLD_SCALAR_H

#include "expr/agg.h"

/* Text owned by a state. Zeroed = none. */
typedef struct la_owned_text {
    char *at;
    uint32_t size;
    uint32_t capacity;
} la_owned_text;

LA_MUST_CHECK la_status la_owned_text_set(const la_agg_context *context,
                                          la_owned_text *text, const char *at,
                                          size_t size, la_error *err);
void la_owned_text_fini(const la_agg_context *context, la_owned_text *text);

/* A value of the argument's type as a key part (chunk/value.h): `text` where it is one,
 * else `word` (fold/kernel.h); null where the state has none. */
void la_scalar_put(const la_agg_context *context, bool has, uint64_t word,
                   const la_owned_text *text, la_buf *to);
/* false: not what put writes, or out of memory. */
LA_MUST_CHECK bool la_scalar_take(const la_agg_context *context, la_bytes *from,
                                  bool *has, uint64_t *word, la_owned_text *text);

/* Elements of sets, shorter: words as varints (zigzag but for u64) or 8 bytes of a
 * double; texts with their size. take refuses what `type` cannot hold and what is not
 * canonical, and borrows texts from `from`. */
void la_word_put(la_type type, uint64_t word, la_buf *to);
LA_MUST_CHECK bool la_word_take(la_type type, la_bytes *from, uint64_t *word);
bool la_word_is_canonical(la_type type, uint64_t word);
void la_text_put(const char *at, size_t size, la_buf *to);
LA_MUST_CHECK bool la_text_take(la_type type, la_bytes *from, const char **at,
                                size_t *size);

/* Row `row` of a result column of the argument's type. */
void la_word_finish(la_type type, uint64_t word, uint32_t row, void *data);

/* memcmp order, shorter first. */
int la_text_compare(const char *a, size_t a_size, const char *b, size_t b_size);

/* LA_TYPE with the list of types that `name` takes. */
LA_MUST_CHECK la_status la_agg_refuse(const char *name, const char *takes, la_type arg,
                                      uint8_t arg_scale, la_error *err);

#endif
