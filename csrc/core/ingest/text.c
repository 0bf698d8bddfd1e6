/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values.
 *
 *   bool     true | false | 1 | 0, any case
 *   int      [+-] digits
 *   float    [+-] digits [. digits] [e [+-] digits] | [+-] inf | infinity | nan
 *   decimal  the first form of float, if it is exact at the column's scale
 *   date     YYYY-MM-DD
 *   time     date [T or space, HH:MM [:SS [. digits]] [Z | +hh:mm | +hhmm | +hh]]
 *
 * Invariants
 *  1. A value is what the text says or an error: nothing is rounded but floats, once.
 *  2. No locale has a say: digits are read here, or by strtod in the "C" locale. */
#include "ingest/text.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "chunk/calendar.h"
#include "chunk/chunk.h"
#include "chunk/utf8.h"

#define DECIMAL_BOUND UINT64_C(1000000000000000000)
#define EXPONENT_BOUND 100000 /* an exponent beyond it says the same as this one */
#define FLOAT_BYTES_MAX 1100u /* 767 digits can matter to rounding; more is no number */

static la_status
unreadable(la_error *err, const char *text, size_t size, const char *as,
           const char *why)
{
    char quoted[LA_QUOTE_BYTES];
    la_quote(quoted, text, size);
    return la_fail(err, LA_INVALID, "could not read %s as %s: %s", quoted, as, why);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
equals_folded(const char *text, size_t size, const char *lower)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
        if (lower[i] == '\0' || c != lower[i]) {
            return false;
        }
    }
    return lower[size] == '\0';
}

/* --------------------------------------------------------------- bool, integers */

la_status
la_parse_bool(const char *text, size_t size, bool *value, la_error *err)
{
    bool yes = equals_folded(text, size, "true") || equals_folded(text, size, "1");
    bool no = equals_folded(text, size, "false") || equals_folded(text, size, "0");
    if (!yes && !no) {
        return unreadable(err, text, size, "bool", "it is none of true, false, 1, 0");
    }
    *value = yes;
    return LA_OK;
}

typedef enum digits_found { DIGITS_OK, DIGITS_NONE, DIGITS_OVER } digits_found;

static digits_found
read_digits(const char *text, size_t size, uint64_t *value)
{
    uint64_t v = 0;
    bool over = false;
    for (size_t i = 0; i < size; i++) {
        if (!is_digit(text[i])) {
            return DIGITS_NONE;
        }
        over = over || __builtin_mul_overflow(v, 10u, &v) ||
               __builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v);
    }
    *value = v;
    return size == 0 ? DIGITS_NONE : over ? DIGITS_OVER : DIGITS_OK;
}

static la_status
read_integer(const char *text, size_t size, const char *as, bool *negative,
             uint64_t *magnitude, la_error *err)
{
    bool is_signed = size > 0 && (text[0] == '-' || text[0] == '+');
    *negative = is_signed && text[0] == '-';
    switch (read_digits(text + is_signed, size - is_signed, magnitude)) {
    case DIGITS_NONE:
        return unreadable(err, text, size, as, "it is not a whole number");
    case DIGITS_OVER:
        return unreadable(err, text, size, as, "it is out of range");
    case DIGITS_OK:
        break;
    }
    return LA_OK;
}

la_status
la_parse_i64(const char *text, size_t size, int64_t *value, la_error *err)
{
    bool negative;
    uint64_t magnitude;
    la_status status = read_integer(text, size, "i64", &negative, &magnitude, err);
    if (status != LA_OK) {
        return status;
    }
    if (magnitude > (uint64_t)INT64_MAX + negative) {
        return unreadable(err, text, size, "i64", "it is out of range");
    }
    *value = (int64_t)(negative ? 0 - magnitude : magnitude);
    return LA_OK;
}

la_status
la_parse_u64(const char *text, size_t size, uint64_t *value, la_error *err)
{
    bool negative;
    uint64_t magnitude;
    la_status status = read_integer(text, size, "u64", &negative, &magnitude, err);
    if (status != LA_OK) {
        return status;
    }
    if (negative && magnitude != 0) {
        return unreadable(err, text, size, "u64", "it is negative");
    }
    *value = magnitude;
    return LA_OK;
}

/* ------------------------------------------------------------- floats, decimals */

/* A decimal number taken apart: +-mantissa * 10^exponent, the mantissa without trailing
 * zeros. `wide`: it has more digits than 64 bits hold. */
typedef struct number {
    bool negative;
    bool wide;
    uint64_t mantissa;
    int32_t exponent;
} number;

typedef struct scan {
    const char *at;
    const char *end;
} scan;

/* Digits after or before the point; zeros are held back until another digit follows, so
 * that "1.000...0" is as short as "1". */
static uint32_t
scan_digits(scan *s, number *n, int32_t *zeros, bool fraction)
{
    uint32_t count = 0;
    for (; s->at < s->end && is_digit(*s->at); s->at++, count++) {
        if (fraction && n->exponent > -EXPONENT_BOUND) {
            n->exponent--;
        }
        if (*s->at == '0') {
            *zeros += *zeros < EXPONENT_BOUND && (n->mantissa != 0 || n->wide);
            continue;
        }
        for (; *zeros > 0 && !n->wide; (*zeros)--) {
            n->wide = __builtin_mul_overflow(n->mantissa, 10u, &n->mantissa);
        }
        n->wide =
            n->wide || __builtin_mul_overflow(n->mantissa, 10u, &n->mantissa) ||
            __builtin_add_overflow(n->mantissa, (uint64_t)(*s->at - '0'), &n->mantissa);
    }
    return count;
}

static bool
scan_exponent(scan *s, int32_t *exponent)
{
    s->at++;
    bool negative = s->at < s->end && *s->at == '-';
    s->at += s->at < s->end && (*s->at == '-' || *s->at == '+');
    int32_t value = 0;
    const char *first = s->at;
    for (; s->at < s->end && is_digit(*s->at); s->at++) {
        value = value < EXPONENT_BOUND ? value * 10 + (*s->at - '0') : value;
    }
    *exponent += negative ? -value : value;
    return s->at > first;
}

static bool
scan_number(const char *text, size_t size, number *n)
{
    scan s = {text, text + size};
    *n = (number){false, false, 0, 0};
    if (s.at < s.end && (*s.at == '-' || *s.at == '+')) {
        n->negative = *s.at == '-';
        s.at++;
    }
    int32_t zeros = 0;
    uint32_t digits = scan_digits(&s, n, &zeros, false);
    if (s.at < s.end && *s.at == '.') {
        s.at++;
        digits += scan_digits(&s, n, &zeros, true);
    }
    n->exponent += zeros;
    if (digits > 0 && s.at < s.end && (*s.at == 'e' || *s.at == 'E') &&
        !scan_exponent(&s, &n->exponent)) {
        return false;
    }
    return digits > 0 && s.at == s.end;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void
make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* NUL-terminated, for strtod. false: too long. */
static bool
copy_number(const char *text, size_t size, char copy[FLOAT_BYTES_MAX])
{
    if (size >= FLOAT_BYTES_MAX) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    (void)pthread_once(&c_locale_once, make_c_locale);
    return true;
}

static bool
read_special(const char *text, size_t size, double *value)
{
    bool is_signed = size > 0 && (text[0] == '-' || text[0] == '+');
    const char *word = text + is_signed;
    size_t word_size = size - is_signed;
    double sign = is_signed && text[0] == '-' ? -1.0 : 1.0;
    if (equals_folded(word, word_size, "inf") ||
        equals_folded(word, word_size, "infinity")) {
        *value = sign * __builtin_inf();
        return true;
    }
    if (equals_folded(word, word_size, "nan")) {
        *value = __builtin_nan("");
        return true;
    }
    return false;
}

/* Clinger's fast path: both numbers are exact doubles, so one operation rounds once. */
static bool
read_short(const number *n, double *value)
{
    static const double powers[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (n->wide || n->mantissa > UINT64_C(1) << 53 || n->exponent < -22 ||
        n->exponent > 22) {
        return false;
    }
    double m = (double)n->mantissa;
    double v = n->exponent < 0 ? m / powers[-n->exponent] : m * powers[n->exponent];
    *value = n->negative ? -v : v;
    return true;
}

la_status
la_parse_f64(const char *text, size_t size, double *value, la_error *err)
{
    number n;
    char copy[FLOAT_BYTES_MAX];
    if (read_special(text, size, value)) {
        return LA_OK;
    }
    if (!scan_number(text, size, &n)) {
        return unreadable(err, text, size, "f64", "it is not a number");
    }
    if (read_short(&n, value)) {
        return LA_OK;
    }
    if (!copy_number(text, size, copy)) {
        return unreadable(err, text, size, "f64", "it is too long");
    }
    double read = strtod_l(copy, NULL, c_locale);
    if (read - read != 0.0) {
        return unreadable(err, text, size, "f64", "it is out of range");
    }
    *value = read;
    return LA_OK;
}

la_status
la_parse_f32(const char *text, size_t size, float *value, la_error *err)
{
    number n;
    double special;
    char copy[FLOAT_BYTES_MAX];
    if (read_special(text, size, &special)) {
        *value = (float)special;
        return LA_OK;
    }
    if (!scan_number(text, size, &n)) {
        return unreadable(err, text, size, "f32", "it is not a number");
    }
    if (!copy_number(text, size, copy)) {
        return unreadable(err, text, size, "f32", "it is too long");
    }
    float read = strtof_l(copy, NULL, c_locale);
    if (read - read != 0.0F) {
        return unreadable(err, text, size, "f32", "it is out of range");
    }
    *value = read;
    return LA_OK;
}

la_status
la_parse_decimal(const char *text, size_t size, uint8_t scale, int64_t *value,
                 la_error *err)
{
    char as[32];
    number n;
    la_type_text(LA_T_DECIMAL, scale, as, sizeof as);
    if (scale > 18) {
        return la_fail(err, LA_INVALID, "there is no type %s: scales are 0 to 18", as);
    }
    if (!scan_number(text, size, &n)) {
        return unreadable(err, text, size, as, "it is not a number");
    }
    if (n.mantissa == 0 && !n.wide) {
        *value = 0;
        return LA_OK;
    }
    int32_t shift = n.exponent + scale;
    if (shift < 0) {
        return unreadable(err, text, size, as, "it has more digits than the scale");
    }
    bool over = n.wide || shift > 18;
    for (; shift > 0 && !over; shift--) {
        over = __builtin_mul_overflow(n.mantissa, 10u, &n.mantissa);
    }
    if (over || n.mantissa >= DECIMAL_BOUND) {
        return unreadable(err, text, size, as, "it is out of range: 18 digits fit");
    }
    *value = n.negative ? -(int64_t)n.mantissa : (int64_t)n.mantissa;
    return LA_OK;
}

/* ------------------------------------------------------------------ date, time */

/* Exactly `count` digits. */
static bool
scan_fixed(scan *s, uint32_t count, int32_t *value)
{
    int32_t v = 0;
    for (uint32_t i = 0; i < count; i++, s->at++) {
        if (s->at == s->end || !is_digit(*s->at)) {
            return false;
        }
        v = v * 10 + (*s->at - '0');
    }
    *value = v;
    return true;
}

static bool
scan_char(scan *s, char c)
{
    if (s->at < s->end && *s->at == c) {
        s->at++;
        return true;
    }
    return false;
}

static int32_t
days_in_month(int32_t year, int32_t month)
{
    static const int32_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* NULL, or what is wrong. */
static const char *
scan_date(scan *s, int32_t *days)
{
    int32_t year, month, day;
    if (!scan_fixed(s, 4, &year) || !scan_char(s, '-') || !scan_fixed(s, 2, &month) ||
        !scan_char(s, '-') || !scan_fixed(s, 2, &day)) {
        return "it does not begin as YYYY-MM-DD";
    }
    if (year < 1) {
        return "years are 0001 to 9999";
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return "there is no such day";
    }
    *days = (int32_t)la_days_from_civil(year, month, day);
    return NULL;
}

/* ".123456": up to nine digits, of which the last three must be zero. */
static const char *
scan_fraction(scan *s, int64_t *us)
{
    int64_t value = 0;
    uint32_t digits = 0;
    for (; s->at < s->end && is_digit(*s->at); s->at++, digits++) {
        if (digits < 6) {
            value = value * 10 + (*s->at - '0');
        }
        else if (*s->at != '0') {
            return "it is more precise than microseconds";
        }
    }
    if (digits == 0 || digits > 9) {
        return "a fraction of a second has 1 to 9 digits";
    }
    for (; digits < 6; digits++) {
        value *= 10;
    }
    *us += value;
    return NULL;
}

/* A zone's offset from UTC in minutes; none means UTC. */
static const char *
scan_zone(scan *s, int32_t *minutes)
{
    *minutes = 0;
    if (s->at == s->end || scan_char(s, 'Z') || scan_char(s, 'z')) {
        return NULL;
    }
    bool west = *s->at == '-';
    int32_t hour, minute = 0;
    if (!scan_char(s, '+') && !scan_char(s, '-')) {
        return "after the time comes Z, +hh:mm or nothing";
    }
    if (!scan_fixed(s, 2, &hour)) {
        return "a zone is written +hh:mm";
    }
    if (s->at < s->end && (scan_char(s, ':') || true) && !scan_fixed(s, 2, &minute)) {
        return "a zone is written +hh:mm";
    }
    if (hour > 23 || minute > 59) {
        return "there is no such zone offset";
    }
    *minutes = (hour * 60 + minute) * (west ? -1 : 1);
    return NULL;
}

static const char *
scan_clock(scan *s, int64_t *us)
{
    int32_t hour, minute, second = 0, zone;
    if (!scan_fixed(s, 2, &hour) || !scan_char(s, ':') || !scan_fixed(s, 2, &minute)) {
        return "the time of day does not begin as HH:MM";
    }
    int64_t fraction = 0;
    if (scan_char(s, ':')) {
        if (!scan_fixed(s, 2, &second)) {
            return "seconds have two digits";
        }
        const char *wrong = scan_char(s, '.') ? scan_fraction(s, &fraction) : NULL;
        if (wrong != NULL) {
            return wrong;
        }
    }
    if (hour > 23 || minute > 59 || second > 59) {
        return "there is no such time of day";
    }
    const char *wrong = scan_zone(s, &zone);
    *us = ((hour * INT64_C(60) + minute - (wrong == NULL ? zone : 0)) * 60 + second) *
              LA_US_PER_SECOND +
          fraction;
    return wrong;
}

la_status
la_parse_time(const char *text, size_t size, int64_t *us, la_error *err)
{
    scan s = {text, text + size};
    int32_t days = 0;
    int64_t clock = 0;
    const char *wrong = scan_date(&s, &days);
    if (wrong == NULL && s.at < s.end) {
        if (!scan_char(&s, 'T') && !scan_char(&s, 't') && !scan_char(&s, ' ')) {
            wrong = "between date and time comes T or a space";
        }
        else {
            wrong = scan_clock(&s, &clock);
        }
    }
    if (wrong == NULL && s.at != s.end) {
        wrong = "something follows its end";
    }
    if (wrong != NULL) {
        return unreadable(err, text, size, "time[us]", wrong);
    }
    *us = days * LA_US_PER_DAY + clock;
    return LA_OK;
}

la_status
la_parse_date(const char *text, size_t size, int32_t *days, la_error *err)
{
    scan s = {text, text + size};
    int32_t read = 0;
    const char *wrong = scan_date(&s, &read);
    if (wrong == NULL && s.at != s.end) {
        wrong = "something follows its end";
    }
    if (wrong != NULL) {
        return unreadable(err, text, size, "date", wrong);
    }
    *days = read;
    return LA_OK;
}

/* -------------------------------------------------------------------- builders */

static la_status
parse_number(la_builder *builder, uint32_t column, const la_field *field,
             const char *text, size_t size, la_error *err)
{
    la_status status;
    int64_t value = 0;
    int32_t days = 0;
    uint64_t bits = 0;
    bool truth = false;
    switch (field->type) {
    case LA_T_BOOL:
        status = la_parse_bool(text, size, &truth, err);
        value = truth;
        break;
    case LA_T_U64:
        status = la_parse_u64(text, size, &bits, err);
        value = (int64_t)bits;
        break;
    case LA_T_TIME:
        status = la_parse_time(text, size, &value, err);
        break;
    case LA_T_DATE:
        status = la_parse_date(text, size, &days, err);
        value = days;
        break;
    case LA_T_DECIMAL:
        status = la_parse_decimal(text, size, field->scale, &value, err);
        break;
    default:
        status = la_parse_i64(text, size, &value, err);
        if (status == LA_OK && field->type == LA_T_I32 &&
            (value < INT32_MIN || value > INT32_MAX)) {
            status = unreadable(err, text, size, "i32", "it is out of range");
        }
        break;
    }
    return status == LA_OK ? la_builder_int(builder, column, value, err) : status;
}

static la_status
parse_value(la_builder *builder, uint32_t column, const la_field *field,
            const char *text, size_t size, la_error *err)
{
    la_status status;
    double wide = 0;
    float narrow = 0;
    switch (field->type) {
    case LA_T_CAT:
    case LA_T_STR:
    case LA_T_BYTES:
        return la_builder_text(builder, column, text, size, err);
    case LA_T_F64:
        status = la_parse_f64(text, size, &wide, err);
        break;
    case LA_T_F32:
        status = la_parse_f32(text, size, &narrow, err);
        wide = (double)narrow;
        break;
    default:
        return parse_number(builder, column, field, text, size, err);
    }
    return status == LA_OK ? la_builder_float(builder, column, wide, err) : status;
}

la_status
la_builder_parse(la_builder *builder, uint32_t column, const char *text, size_t size,
                 la_error *err)
{
    const la_field *field = la_schema_field(la_builder_schema(builder), column);
    if (field == NULL) {
        return la_fail(err, LA_NOT_FOUND, "there is no column %u: the schema has %u",
                       column, la_schema_count(la_builder_schema(builder)));
    }
    la_error local;
    la_status status = parse_value(builder, column, field, text, size, &local);
    if (status == LA_INVALID && strncmp(local.message, "could not read ", 15) == 0) {
        return la_fail(err, status, "%s (column \"%s\")", local.message, field->name);
    }
    if (status != LA_OK && err != NULL) {
        *err = local;
    }
    return status;
}
