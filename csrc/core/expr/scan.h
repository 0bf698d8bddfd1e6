/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text, whatever the process's locale. */
#ifndef LA_EXPR_SCAN_H
#define LA_EXPR_SCAN_H

#include "lambdaarch.h"

/* [+-] digits, all of the text; false where it is something else or does not fit. */
bool la_scan_i64(const char *text, size_t size, int64_t *out);
bool la_scan_u64(const char *text, size_t size, uint64_t *out);
/* [+-] digits [. digits] [e [+-] digits], or nan, inf with a sign; correctly rounded. A number
 * beyond the range of double is refused. */
bool la_scan_f64(const char *text, size_t size, double *out);

#endif
