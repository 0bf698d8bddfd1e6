/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for our own documents: plans, specs, manifests, catalogues, query specs. Strict
 * RFC 8259, depth and size bounded, integers kept exact. (Event JSON is decoded in
 * ingest/.) */
#ifndef LA_BASE_JSON_H
#define LA_BASE_JSON_H

#include "base/mem.h"

typedef enum la_json_kind {
    LA_J_NULL,
    LA_J_BOOL,
    LA_J_INT,  /* fits int64 */
    LA_J_UINT, /* above INT64_MAX, fits uint64 */
    LA_J_FLOAT,
    LA_J_TEXT,
    LA_J_ARRAY,
    LA_J_OBJECT
} la_json_kind;

typedef struct la_json {
    la_json_kind kind;
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        struct {
            const char *at; /* NUL after the end too */
            size_t size;
        } text;
        struct {
            struct la_json *items; /* object: key, value, key, ... in given order */
            uint32_t count;        /* array: items; object: members */
        } list;
    };
} la_json;

/* Parses all of `text`; nodes and strings live in `arena`. LA_INVALID gives the byte.
 * Duplicate member names are refused. */
LA_MUST_CHECK la_status la_json_parse(la_arena *arena, const char *text, size_t size,
                                      const la_json **out, la_error *err);
const la_json *la_json_get(const la_json *object, const char *name); /* NULL: none */
bool la_json_is(const la_json *node, const char *text);              /* text equals */
/* Typed member access; LA_INVALID names `name` and what was expected. */
LA_MUST_CHECK la_status la_json_u64(const la_json *object, const char *name,
                                    uint64_t *out, la_error *err);
LA_MUST_CHECK la_status la_json_i64(const la_json *object, const char *name,
                                    int64_t *out, la_error *err);
LA_MUST_CHECK la_status la_json_text(const la_json *object, const char *name,
                                     const char **out, size_t *size, la_error *err);
LA_MUST_CHECK la_status la_json_array(const la_json *object, const char *name,
                                      const la_json **out, la_error *err);
LA_MUST_CHECK la_status la_json_hex(const la_json *object, const char *name, void *out,
                                    size_t size, la_error *err);

/* Writing. Text is escaped as the shortest form; floats with 17 digits and always a
 * point or an exponent, so that they stay floats. NaN and infinities are our mistakes:
 * asserted. */
void la_json_put_text(la_buf *buf, const char *text, size_t size);
/* Canonical form: members sorted by name bytes, no spaces. */
void la_json_put(la_buf *buf, const la_json *node);
/* Human-readable place of the first difference of two nodes, such as
 * "$.by[0][1]: \"a\" != \"b\""; false when equal. */
bool la_json_difference(const la_json *a, const la_json *b, char *text, size_t size);

#endif
