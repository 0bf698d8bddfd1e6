/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 validation: eight ASCII bytes at a time, else one character at a time. */
#include "chunk/utf8.h"

#include <stdint.h>
#include <string.h>

static bool
is_continuation(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the character at `s`, 0 when there is none. */
static size_t
character_size(const uint8_t *s, size_t left)
{
    uint8_t c = s[0];
    if (c < 0x80) {
        return 1;
    }
    if (c >= 0xc2 && c <= 0xdf) {
        return left >= 2 && is_continuation(s[1]) ? 2 : 0;
    }
    if ((c & 0xf0) == 0xe0) {
        if (left < 3 || !is_continuation(s[1]) || !is_continuation(s[2])) {
            return 0;
        }
        bool overlong = c == 0xe0 && s[1] < 0xa0;
        bool surrogate = c == 0xed && s[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (c >= 0xf0 && c <= 0xf4) {
        if (left < 4 || !is_continuation(s[1]) || !is_continuation(s[2]) ||
            !is_continuation(s[3])) {
            return 0;
        }
        bool overlong = c == 0xf0 && s[1] < 0x90;
        bool beyond = c == 0xf4 && s[1] >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

bool
la_utf8_is_valid(const char *text, size_t size)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t i = 0;
    while (i < size) {
        uint64_t word;
        while (size - i >= sizeof word) {
            memcpy(&word, s + i, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) != 0) {
                break;
            }
            i += sizeof word;
        }
        if (i == size) {
            break;
        }
        size_t step = character_size(s + i, size - i);
        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}

void
la_quote(char out[LA_QUOTE_BYTES], const char *text, size_t size)
{
    const size_t shown_max = 60;
    const uint8_t *s = (const uint8_t *)text;
    size_t at = 0;
    size_t i = 0;
    out[at++] = '"';
    while (i < size) {
        size_t step = character_size(s + i, size - i);
        bool shown = step > 0 && s[i] >= 0x20 && s[i] != 0x7f;
        size_t taken = step == 0 ? 1 : step;
        if (i + taken > shown_max) {
            break;
        }
        if (shown) {
            memcpy(out + at, s + i, taken);
            at += taken;
        }
        else {
            out[at++] = '?';
        }
        i += taken;
    }
    memcpy(out + at, i < size ? "...\"" : "\"", i < size ? 5 : 2);
}
