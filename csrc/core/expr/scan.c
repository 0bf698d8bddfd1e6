/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text.
 *
 * Doubles: digits and exponent are taken apart here. Up to 2^53 times or over 10^22 one
 * operation rounds correctly (Clinger, "How to Read Floating Point Numbers Accurately", 1990);
 * others go to strtod as "<digits>e<exponent>", which has no decimal point, so no locale
 * matters. 800 digits decide every double (767 at most); a later non-zero digit only breaks
 * ties, as one more digit 1. */
#include "expr/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 800
#define EXPONENT_END 1000000000

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Sign and magnitude of an integer. */
static bool
scan_integer(const char *text, size_t size, bool *negative, uint64_t *magnitude)
{
    size_t i = size > 0 && (text[0] == '-' || text[0] == '+');
    *negative = size > 0 && text[0] == '-';
    *magnitude = 0;
    if (i == size) {
        return false;
    }
    for (; i < size; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (!is_digit(text[i]) || __builtin_mul_overflow(*magnitude, UINT64_C(10), magnitude)
            || __builtin_add_overflow(*magnitude, digit, magnitude)) {
            return false;
        }
    }
    return true;
}

bool
la_scan_i64(const char *text, size_t size, int64_t *out)
{
    bool negative;
    uint64_t magnitude;
    if (!scan_integer(text, size, &negative, &magnitude)
        || magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

bool
la_scan_u64(const char *text, size_t size, uint64_t *out)
{
    bool negative;
    return scan_integer(text, size, &negative, out) && !(negative && *out != 0);
}

/* -------------------------------------------------------------------- doubles */

typedef struct number {
    char digits[DIGITS_MAX + 32]; /* room for "1e<exponent>" behind them */
    int count;
    bool more;        /* a digit that was left out is not 0 */
    int64_t exponent; /* value = digits * 10^exponent */
} number;

static void
take_digit(number *n, char digit, bool fraction)
{
    n->exponent -= fraction;
    if (n->count == 0 && digit == '0') {
        return;
    }
    if (n->count < DIGITS_MAX) {
        n->digits[n->count++] = digit;
        return;
    }
    n->exponent++;
    n->more = n->more || digit != '0';
}

/* Digits, point, digits. Returns the bytes read, 0 when there was no digit. */
static size_t
scan_digits(number *n, const char *text, size_t size)
{
    size_t i = 0, digits = 0;
    bool fraction = false;
    for (; i < size; i++) {
        if (text[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (!is_digit(text[i])) {
            break;
        }
        take_digit(n, text[i], fraction);
        digits++;
    }
    return digits == 0 ? 0 : i;
}

static bool
scan_exponent(number *n, const char *text, size_t size)
{
    if (size == 0) {
        return true;
    }
    if (text[0] != 'e' && text[0] != 'E') {
        return false;
    }
    size_t i = 1 + (size > 1 && (text[1] == '-' || text[1] == '+'));
    bool negative = size > 1 && text[1] == '-';
    int64_t exponent = 0;
    if (i == size) {
        return false;
    }
    for (; i < size; i++) {
        if (!is_digit(text[i])) {
            return false;
        }
        exponent = exponent < EXPONENT_END ? exponent * 10 + (text[i] - '0') : exponent;
    }
    n->exponent += negative ? -exponent : exponent;
    return true;
}

static double
round_number(number *n)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (n->count <= 15 && n->exponent >= -22 && n->exponent <= 22) {
        int64_t whole = 0;
        for (int i = 0; i < n->count; i++) {
            whole = whole * 10 + (n->digits[i] - '0');
        }
        return n->exponent < 0 ? (double)whole / powers[-n->exponent]
                               : (double)whole * powers[n->exponent];
    }
    if (n->more) {
        n->digits[n->count++] = '1';
        n->exponent--;
    }
    int64_t exponent = n->exponent < -99999 ? -99999 : n->exponent > 99999 ? 99999 : n->exponent;
    (void)snprintf(n->digits + n->count, sizeof n->digits - (size_t)n->count, "e%lld",
                   (long long)exponent);
    return strtod(n->digits, NULL);
}

static bool
scan_name(const char *text, size_t size, double *out)
{
    if (size != 3) {
        return false;
    }
    if (memcmp(text, "nan", 3) == 0) {
        *out = __builtin_nan("");
        return true;
    }
    *out = __builtin_inf();
    return memcmp(text, "inf", 3) == 0;
}

bool
la_scan_f64(const char *text, size_t size, double *out)
{
    size_t sign = size > 0 && (text[0] == '-' || text[0] == '+');
    bool negative = size > 0 && text[0] == '-';
    double x;
    if (!scan_name(text + sign, size - sign, &x)) {
        number n;
        n.count = 0;
        n.more = false;
        n.exponent = 0;
        size_t read = scan_digits(&n, text + sign, size - sign);
        if (read == 0 || !scan_exponent(&n, text + sign + read, size - sign - read)) {
            return false;
        }
        x = n.count == 0 ? 0.0 : round_number(&n);
        if (x - x != 0) {
            return false;
        }
    }
    *out = negative ? -x : x;
    return true;
}
