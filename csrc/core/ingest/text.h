/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values: what CSV, JSON and Python dicts share. Public beside these:
 * la_parse_time, la_parse_date, la_parse_decimal, la_builder_parse (lambdaarch.h).
 * Nothing is trimmed or guessed; LA_INVALID quotes the text and says what would have
 * been read. */
#ifndef LA_INGEST_TEXT_H
#define LA_INGEST_TEXT_H

#include "lambdaarch.h"

LA_MUST_CHECK la_status la_parse_bool(const char *text, size_t size, bool *value,
                                      la_error *err);
LA_MUST_CHECK la_status la_parse_i64(const char *text, size_t size, int64_t *value,
                                     la_error *err);
LA_MUST_CHECK la_status la_parse_u64(const char *text, size_t size, uint64_t *value,
                                     la_error *err);
/* Correctly rounded; "inf" and "nan" in any case. A finite text beyond the range is
 * refused. */
LA_MUST_CHECK la_status la_parse_f64(const char *text, size_t size, double *value,
                                     la_error *err);
LA_MUST_CHECK la_status la_parse_f32(const char *text, size_t size, float *value,
                                     la_error *err);

#endif
