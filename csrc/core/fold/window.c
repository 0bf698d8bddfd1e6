/* SPDX-License-Identifier: Apache-2.0 */
/* Window indices of rows. Times of neighbouring rows lie mostly in one window: a row is
 * compared with the window of the row before, and only a change costs a division. */
#include "fold/window.h"

#include "fold/kernel.h"

typedef __int128 i128;

static int64_t
clamp(i128 x)
{
    return x < INT64_MIN ? INT64_MIN : x > INT64_MAX ? INT64_MAX : (int64_t)x;
}

void
la_window_axis_init(la_window_axis *axis, const la_window *window)
{
    memset(axis, 0, sizeof *axis);
    axis->window = *window;
    if (window->kind == LA_WINDOW_TUMBLING) {
        axis->size = window->size_us;
        axis->origin = window->origin_us;
    }
    else if (window->kind == LA_WINDOW_CALENDAR) {
        switch (window->unit) {
        case LA_UNIT_DAY:
            axis->size = window->count * LA_US_PER_DAY;
            break;
        case LA_UNIT_WEEK:
            axis->size = window->count * 7 * LA_US_PER_DAY;
            axis->origin = -3 * LA_US_PER_DAY; /* Monday, 1969-12-29 */
            break;
        case LA_UNIT_MONTH:
            axis->months = window->count;
            break;
        case LA_UNIT_QUARTER:
            axis->months = window->count * 3;
            break;
        case LA_UNIT_YEAR:
            axis->months = window->count * 12;
            break;
        }
    }
}

int64_t
la_window_index(const la_window_axis *axis, int64_t us)
{
    if (axis->size > 0) {
        int64_t rest;
        if (!__builtin_sub_overflow(us, axis->origin, &rest)) {
            return la_floor_div(rest, axis->size);
        }
        i128 wide = (i128)us - axis->origin;
        i128 quotient = wide / axis->size;
        return (int64_t)(quotient - (wide % axis->size != 0 && wide < 0));
    }
    if (axis->months > 0) {
        int64_t year;
        int32_t month, day;
        la_civil_from_days(la_floor_div(us, LA_US_PER_DAY), &year, &month, &day);
        return la_floor_div((year - 1970) * 12 + month - 1, axis->months);
    }
    return 0;
}

int64_t
la_window_index_start(const la_window_axis *axis, int64_t index)
{
    if (axis->size > 0) {
        return clamp((i128)index * axis->size + axis->origin);
    }
    if (axis->months > 0) {
        int64_t month = index * axis->months;
        int64_t years = la_floor_div(month, 12);
        int64_t days =
            la_days_from_civil(1970 + years, (int32_t)(month - years * 12) + 1, 1);
        return clamp((i128)days * LA_US_PER_DAY);
    }
    return 0;
}

/* Start of the window of `us` and its length, 0 where it is cut off at the ends of
 * time. */
static int64_t
window_of(const la_window_axis *axis, int64_t us, int64_t *index, uint64_t *size)
{
    *index = la_window_index(axis, us);
    int64_t start = la_window_index_start(axis, *index), end;
    if (axis->size > 0) {
        bool cut =
            __builtin_add_overflow(start, axis->size, &end) || start == INT64_MIN;
        *size = cut ? 0 : (uint64_t)axis->size;
        return start;
    }
    end = la_window_index_start(axis, *index + 1);
    *size = (uint64_t)end - (uint64_t)start;
    if (start == INT64_MIN || end == INT64_MAX) {
        *size = 0;
    }
    return start;
}

#define BLOCK 256u

LA_LOOP static bool
block_within(const int64_t *times, uint32_t count, int64_t start, uint64_t size)
{
    /* Signed order of offsets turned by 2^63, which vector units have. */
    int64_t limit = (int64_t)(size ^ UINT64_C(1) << 63), outside = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = (uint64_t)times[i] - (uint64_t)start;
        outside |= -(int64_t)((int64_t)(offset ^ UINT64_C(1) << 63) >= limit);
    }
    return outside == 0;
}

/* Stops at the first block that is not. */
static bool
all_within(const int64_t *times, const uint32_t *rows, uint32_t count, int64_t start,
           uint64_t size)
{
    for (uint32_t i = 0; rows != NULL && i < count; i++) {
        if ((uint64_t)times[rows[i]] - (uint64_t)start >= size) {
            return false;
        }
    }
    for (uint32_t i = 0; rows == NULL && i < count; i += BLOCK) {
        if (!block_within(times + i, count - i < BLOCK ? count - i : BLOCK, start,
                          size)) {
            return false;
        }
    }
    return true;
}

/* Windows of one length, by a multiplication: with m = floor(2^64 / size), floor(x * m
 * / 2^64) is the quotient or one less for 0 <= x < 2^63, as x * (2^64 / size - m) <
 * 2^64. x is counted from 2^20 windows before the first row's; false: some row lies
 * outside of that. */
LA_INLINE int64_t
divide(uint64_t x, uint64_t size, uint64_t reciprocal)
{
    uint64_t quotient = (uint64_t)((unsigned __int128)x * reciprocal >> 64);
    return (int64_t)(quotient + (x - quotient * size >= size));
}

static bool
indices_of_length(const la_window_axis *axis, const int64_t *restrict times,
                  const uint32_t *restrict rows, uint32_t count, int64_t start,
                  int64_t first, int64_t *restrict to)
{
    const int64_t before = 1 << 20;
    uint64_t size = (uint64_t)axis->size, below = 0;
    uint64_t reciprocal = UINT64_MAX / size;
    if (axis->size > INT64_MAX / (4 * before) || size < 2) {
        return false;
    }
    uint64_t origin = (uint64_t)start - (uint64_t)before * size;
    first -= before;
    if (rows == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t x = (uint64_t)times[i] - origin;
            below |= x;
            to[i] = first + divide(x, size, reciprocal);
        }
    }
    else {
        for (uint32_t i = 0; i < count; i++) {
            uint64_t x = (uint64_t)times[rows[i]] - origin;
            below |= x;
            to[i] = first + divide(x, size, reciprocal);
        }
    }
    return below >> 63 == 0;
}

bool
la_window_indices(const la_window_axis *axis, const int64_t *times,
                  const uint32_t *rows, uint32_t count, int64_t *to)
{
    uint64_t size;
    int64_t index;
    int64_t start = window_of(axis, times[rows != NULL ? rows[0] : 0], &index, &size);

    if (all_within(times, rows, count, start, size)) {
        to[0] = index;
        return true;
    }
    if (size != 0 && axis->size > 0 &&
        indices_of_length(axis, times, rows, count, start, index, to)) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t us = times[rows != NULL ? rows[i] : i];
        if (LA_UNLIKELY((uint64_t)us - (uint64_t)start >= size)) {
            start = window_of(axis, us, &index, &size);
        }
        to[i] = index;
    }
    return false;
}
