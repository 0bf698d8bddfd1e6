/* SPDX-License-Identifier: Apache-2.0 */
/* Filling in la_error. Every failing path ends in one of these. */
#ifndef LA_BASE_ERROR_H
#define LA_BASE_ERROR_H

#include "lambdaarch.h"

/* Fills `err` (may be NULL) and returns `status`, so that `return la_fail(...)` reads
 * well. Text: what could not be done, to what, why; lower case, no full stop, values
 * quoted. */
LA_MUST_CHECK la_status la_fail(la_error *err, la_status status, const char *format,
                                ...) LA_PRINTF(3, 4);
/* As la_fail, with the status, errno and retriability following from `os_errno` (> 0):
 * ENOSPC, EDQUOT -> FULL; EROFS, EACCES -> READONLY; ENOMEM -> NOMEM; else IO. Appends
 * ": <strerror>". `path` may be NULL. */
LA_MUST_CHECK la_status la_fail_os(la_error *err, int os_errno, const char *path,
                                   const char *format, ...) LA_PRINTF(4, 5);
LA_MUST_CHECK la_status la_fail_nomem(la_error *err, size_t size);
/* Damage at `byte` of `path`. */
LA_MUST_CHECK la_status la_fail_damaged(la_error *err, const char *path, uint64_t byte,
                                        const char *format, ...) LA_PRINTF(4, 5);
/* Adds to a filled error. */
void la_error_hint(la_error *err, const char *format, ...) LA_PRINTF(2, 3);
void la_error_path(la_error *err, const char *path);

#endif
