/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef LA_CHUNK_UTF8_H
#define LA_CHUNK_UTF8_H

#include <stdbool.h>
#include <stddef.h>

bool la_utf8_is_valid(const char *text, size_t size);

/* For messages: up to 60 bytes of `text` in double quotes, "..." where it goes on;
 * control characters and what is not UTF-8 show as '?'. NUL-terminated. */
#define LA_QUOTE_BYTES 72
void la_quote(char out[LA_QUOTE_BYTES], const char *text, size_t size);

#endif
