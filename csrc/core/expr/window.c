/* SPDX-License-Identifier: Apache-2.0 */
/* Windows: which one holds an instant, and which lie within which.
 *
 * Invariants
 *  1. start(t) <= t < end(start(t)) and start(start(t)) = start(t), but for the first and the
 *     last window of int64 microseconds, whose outer ends are clamped to INT64_MIN and MAX.
 *  2. Days and weeks of UTC are all equally long, so for nesting they are tumbling windows;
 *     months, quarters and years are counts of months from 1970-01. */
#include "base/error.h"
#include "expr/place.h"

#define WINDOW_COUNT_MAX 100000

#define DAYS_PER_ERA 146097 /* 400 years, after which the calendar repeats */
#define MONTHS_PER_ERA 4800

/* How far `us` stands behind the start of its tumbling window. */
static int64_t
tumbling_rest(const la_window *window, int64_t us)
{
    /* us - origin may leave int64, so the remainder comes first. */
    int64_t rest = us % window->size_us;
    rest = rest < 0 ? rest + window->size_us : rest;
    rest -= window->origin_us;
    return rest < 0 ? rest + window->size_us : rest;
}

static int64_t
tumbling_start(const la_window *window, int64_t us)
{
    int64_t start;
    bool before = __builtin_sub_overflow(us, tumbling_rest(window, us), &start);
    return before ? INT64_MIN : start;
}

static int64_t
tumbling_end(const la_window *window, int64_t start)
{
    /* The first window's start is clamped, so its end is not start + size. */
    int64_t end, left = window->size_us - tumbling_rest(window, start);
    return __builtin_add_overflow(start, left, &end) ? INT64_MAX : end;
}

int64_t
la_window_start(const la_window *window, int64_t us)
{
    switch (window->kind) {
    case LA_WINDOW_NONE:
        break;
    case LA_WINDOW_TUMBLING:
        return tumbling_start(window, us);
    case LA_WINDOW_CALENDAR:
        return la_calendar_floor(us, window->unit, window->count);
    }
    return 0;
}

int64_t
la_window_end(const la_window *window, int64_t start_us)
{
    switch (window->kind) {
    case LA_WINDOW_NONE:
        break;
    case LA_WINDOW_TUMBLING:
        return tumbling_end(window, start_us);
    case LA_WINDOW_CALENDAR:
        return la_calendar_next(start_us, window->unit, window->count);
    }
    return INT64_MAX;
}

/* ------------------------------------------------------------------ nesting */

/* Days and weeks as tumbling windows; others stay what they are. */
static la_window
as_tumbling(const la_window *window)
{
    la_window flat = *window;
    if (window->kind != LA_WINDOW_CALENDAR ||
        (window->unit != LA_UNIT_DAY && window->unit != LA_UNIT_WEEK)) {
        return flat;
    }
    bool week = window->unit == LA_UNIT_WEEK;
    flat.kind = LA_WINDOW_TUMBLING;
    flat.size_us = (week ? 7 : 1) * window->count * LA_US_PER_DAY;
    flat.origin_us =
        week ? flat.size_us - 3 * LA_US_PER_DAY : 0; /* Monday, 1969-12-29 */
    return flat;
}

static int64_t
months_of(const la_window *window)
{
    int64_t unit = window->unit == LA_UNIT_YEAR      ? 12
                   : window->unit == LA_UNIT_QUARTER ? 3
                                                     : 1;
    return unit * window->count;
}

static int64_t
greatest_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int64_t
month_start_day(int64_t index)
{
    int64_t years = la_floor_div(index, 12);
    return la_days_from_civil(1970 + years, (int32_t)(index - years * 12) + 1, 1);
}

/* Every start of `months` months from 1970-01 is also a start of the tumbling window. */
static bool
tumbling_in_months(const la_window *inner, int64_t months)
{
    /* The greatest number of days that divides all starts: day 0 is one of them, and one
     * full turn through the eras tells of all. */
    int64_t index = 0, step = 0;
    do {
        index += months;
        step = greatest_divisor(step, month_start_day(index));
    } while (index % MONTHS_PER_ERA != 0);
    __int128 step_us = (__int128)step * LA_US_PER_DAY;
    return inner->origin_us == 0 && step_us % inner->size_us == 0;
}

/* Every start of the tumbling window is also a start of `months` months. */
static bool
months_in_tumbling(int64_t months, const la_window *outer)
{
    if (outer->size_us % LA_US_PER_DAY != 0 || outer->origin_us % LA_US_PER_DAY != 0) {
        return false;
    }
    int64_t size = outer->size_us / LA_US_PER_DAY;
    int64_t day = outer->origin_us / LA_US_PER_DAY;
    /* After so many windows the calendar stands where it stood, whole eras later. */
    int64_t windows = DAYS_PER_ERA / greatest_divisor(size, DAYS_PER_ERA);
    for (int64_t k = 0; k <= windows; k++, day += size) {
        int64_t year;
        int32_t month, of_month;
        la_civil_from_days(day, &year, &month, &of_month);
        int64_t index = (year - 1970) * 12 + month - 1;
        if (of_month != 1 || index % months != 0) {
            return false;
        }
    }
    return true;
}

bool
la_window_nests(const la_window *inner, const la_window *outer)
{
    if (outer->kind == LA_WINDOW_NONE || inner->kind == LA_WINDOW_NONE) {
        return outer->kind == LA_WINDOW_NONE;
    }
    la_window in = as_tumbling(inner);
    la_window out = as_tumbling(outer);
    if (in.kind == LA_WINDOW_TUMBLING && out.kind == LA_WINDOW_TUMBLING) {
        return out.size_us % in.size_us == 0 &&
               (out.origin_us - in.origin_us) % in.size_us == 0;
    }
    if (in.kind == LA_WINDOW_TUMBLING) {
        return tumbling_in_months(&in, months_of(&out));
    }
    if (out.kind == LA_WINDOW_TUMBLING) {
        return months_in_tumbling(months_of(&in), &out);
    }
    return months_of(&out) % months_of(&in) == 0;
}

/* ------------------------------------------------------------------ parsing */

bool
la_unit_parse(const la_json *json, la_unit *unit)
{
    static const char *const names[] = {"day", "week", "month", "quarter", "year"};
    for (uint32_t i = 0; i < 5; i++) {
        if (la_json_is(json, names[i])) {
            *unit = (la_unit)i;
            return true;
        }
    }
    return false;
}

la_status
la_unit_count_parse(const la_json *json, const la_place *place, la_unit *unit,
                    int64_t *count, la_error *err)
{
    la_place unit_place = la_place_member(place, "unit");
    if (!la_unit_parse(la_json_get(json, "unit"), unit)) {
        return la_place_fail(&unit_place, err, LA_INVALID,
                             "expected \"day\", \"week\", \"month\", \"quarter\" or "
                             "\"year\"");
    }
    const la_json *given = la_json_get(json, "count");
    *count = 1;
    if (given != NULL) {
        la_place count_place = la_place_member(place, "count");
        if (given->kind != LA_J_INT || given->i64 < 1 ||
            given->i64 > WINDOW_COUNT_MAX) {
            return la_place_fail(&count_place, err, LA_INVALID,
                                 "expected an integer from 1 to %d", WINDOW_COUNT_MAX);
        }
        *count = given->i64;
    }
    return LA_OK;
}

static la_status
parse_tumbling(const la_json *json, const la_place *place, la_window *window,
               la_error *err)
{
    static const char *const members[] = {"kind", "origin_us", "size_us", NULL};
    la_status status = la_place_members(place, json, members, err);
    if (status != LA_OK) {
        return status;
    }
    const la_json *size = la_json_get(json, "size_us");
    const la_json *origin = la_json_get(json, "origin_us");
    if (size == NULL || size->kind != LA_J_INT || size->i64 < 1) {
        la_place at = la_place_member(place, "size_us");
        return la_place_fail(&at, err, LA_INVALID,
                             "expected microseconds, an integer from 1");
    }
    if (origin != NULL &&
        (origin->kind != LA_J_INT || origin->i64 < 0 || origin->i64 >= size->i64)) {
        la_place at = la_place_member(place, "origin_us");
        return la_place_fail(&at, err, LA_INVALID,
                             "expected microseconds from 0 to below size_us, %lld",
                             (long long)size->i64);
    }
    window->kind = LA_WINDOW_TUMBLING;
    window->size_us = size->i64;
    window->origin_us = origin == NULL ? 0 : origin->i64;
    return LA_OK;
}

static la_status
parse_calendar(const la_json *json, const la_place *place, la_window *window,
               la_error *err)
{
    static const char *const members[] = {"count", "kind", "tz", "unit", NULL};
    la_status status = la_place_members(place, json, members, err);
    if (status != LA_OK) {
        return status;
    }
    const la_json *zone = la_json_get(json, "tz");
    if (zone != NULL && !la_json_is(zone, "UTC")) {
        la_place at = la_place_member(place, "tz");
        return la_place_fail(&at, err, LA_INVALID,
                             "expected \"UTC\": this version has no other time zones");
    }
    window->kind = LA_WINDOW_CALENDAR;
    return la_unit_count_parse(json, place, &window->unit, &window->count, err);
}

la_status
la_window_parse_at(const la_json *json, const la_place *place, la_window *out,
                   la_error *err)
{
    la_window window = {.kind = LA_WINDOW_NONE};
    la_status status = LA_OK;
    if (json != NULL && json->kind != LA_J_NULL) {
        if (json->kind != LA_J_OBJECT) {
            return la_place_fail(place, err, LA_INVALID,
                                 "expected null or an object, not %s",
                                 la_json_kind_text(json));
        }
        const la_json *kind = la_json_get(json, "kind");
        if (la_json_is(kind, "tumbling")) {
            status = parse_tumbling(json, place, &window, err);
        }
        else if (la_json_is(kind, "calendar")) {
            status = parse_calendar(json, place, &window, err);
        }
        else {
            la_place at = la_place_member(place, "kind");
            bool reserved = la_json_is(kind, "hopping") ||
                            la_json_is(kind, "session") || la_json_is(kind, "count") ||
                            la_json_is(kind, "global");
            return la_place_fail(
                &at, err, LA_INVALID,
                reserved ? "this kind is reserved; there are \"tumbling\" and "
                           "\"calendar\""
                         : "expected \"tumbling\" or \"calendar\"");
        }
    }
    if (status == LA_OK) {
        *out = window;
    }
    return status;
}

la_status
la_window_parse(const la_json *json, const char *place, la_window *out, la_error *err)
{
    la_place root = la_place_root(place);
    return la_window_parse_at(json, &root, out, err);
}
