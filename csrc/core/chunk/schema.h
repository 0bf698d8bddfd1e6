/* SPDX-License-Identifier: Apache-2.0 */
/* Types and schemas, and their JSON form. */
#ifndef LA_CHUNK_SCHEMA_H
#define LA_CHUNK_SCHEMA_H

#include "base/json.h"

/* Bytes a value takes in la_column.data; 0 for str and bytes. */
size_t la_type_size(la_type type);
/* "i64", "time[us]", "decimal(2)", ...: writes the text of a type. */
void la_type_text(la_type type, uint8_t scale, char *text, size_t size);
/* The reverse; a trailing "?" marks nullable. LA_INVALID lists the types there are. */
LA_MUST_CHECK la_status la_type_parse(const char *text, size_t size, la_type *type,
                                      uint8_t *scale, bool *nullable, la_error *err);
/* From/to [{"name":"id","type":"u64"},{"name":"x","type":"f64?"}] */
LA_MUST_CHECK la_status la_schema_from_json(const la_env *env, const la_json *fields,
                                            const la_schema **out, la_error *err);
void la_schema_to_json(const la_schema *schema, la_buf *to);
bool la_schema_equal(const la_schema *a, const la_schema *b);

#endif
