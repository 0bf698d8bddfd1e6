/* SPDX-License-Identifier: Apache-2.0 */
/* Civil dates in UTC, and calendar units for windows.
 *
 * Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March,
 * so the leap day is the last of its year, and 400 years ("an era") have 146,097 days
 * always.
 *
 * A unit's start can lie before the first int64 microsecond, and the next start after
 * the last one: both are clamped, so every instant has a window and none wraps
 * around. */
#include "chunk/calendar.h"

#define DAYS_PER_ERA 146097
#define DAYS_TO_EPOCH 719468 /* 0000-03-01 to 1970-01-01 */
#define FIRST_MONDAY (-3)    /* 1969-12-29, the Monday before 1970-01-01 */

void
la_civil_from_days(int64_t days, int64_t *year, int32_t *month, int32_t *day)
{
    int64_t era = la_floor_div(days, DAYS_PER_ERA);
    int64_t rest = days - era * DAYS_PER_ERA + DAYS_TO_EPOCH;
    era += rest / DAYS_PER_ERA;
    int64_t doe = rest % DAYS_PER_ERA;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153; /* 0 = March */
    *day = (int32_t)(doy - (153 * mp + 2) / 5 + 1);
    *month = (int32_t)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

int64_t
la_days_from_civil(int64_t year, int32_t month, int32_t day)
{
    int64_t y = year - (month <= 2);
    int64_t era = la_floor_div(y, 400);
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * DAYS_PER_ERA + doe - DAYS_TO_EPOCH;
}

static int64_t
us_from_days(int64_t days)
{
    int64_t us;
    if (__builtin_mul_overflow(days, LA_US_PER_DAY, &us)) {
        return days < 0 ? INT64_MIN : INT64_MAX;
    }
    return us;
}

static int64_t
month_index(int64_t days)
{
    int64_t year;
    int32_t month, day;
    la_civil_from_days(days, &year, &month, &day);
    return (year - 1970) * 12 + month - 1;
}

static int64_t
days_from_month_index(int64_t index)
{
    int64_t years = la_floor_div(index, 12);
    return la_days_from_civil(1970 + years, (int32_t)(index - years * 12) + 1, 1);
}

static int64_t
months_in(la_unit unit)
{
    return unit == LA_UNIT_YEAR ? 12 : unit == LA_UNIT_QUARTER ? 3 : 1;
}

/* More units than int64 microseconds can hold make one window: a bound that keeps every
 * product below in range (an int64 of microseconds spans about 213.5 million days). */
static int64_t
bounded(int64_t count)
{
    const int64_t count_max = INT64_C(1) << 32;
    return count < 1 ? 1 : count > count_max ? count_max : count;
}

int64_t
la_calendar_floor(int64_t us, la_unit unit, int64_t count)
{
    int64_t days = la_floor_div(us, LA_US_PER_DAY);
    int64_t n = bounded(count);
    switch (unit) {
    case LA_UNIT_DAY:
        return us_from_days(la_floor_div(days, n) * n);
    case LA_UNIT_WEEK:
        return us_from_days(FIRST_MONDAY +
                            la_floor_div(days - FIRST_MONDAY, 7 * n) * 7 * n);
    case LA_UNIT_MONTH:
    case LA_UNIT_QUARTER:
    case LA_UNIT_YEAR:
        break;
    }
    int64_t step = months_in(unit) * n;
    int64_t index = la_floor_div(month_index(days), step) * step;
    return us_from_days(days_from_month_index(index));
}

int64_t
la_calendar_next(int64_t start_us, la_unit unit, int64_t count)
{
    int64_t days = la_floor_div(start_us, LA_US_PER_DAY);
    int64_t n = bounded(count);
    switch (unit) {
    case LA_UNIT_DAY:
        /* By floor, so that a clamped start has the true next one. */
        return us_from_days((la_floor_div(days, n) + 1) * n);
    case LA_UNIT_WEEK:
        return us_from_days(FIRST_MONDAY +
                            (la_floor_div(days - FIRST_MONDAY, 7 * n) + 1) * 7 * n);
    case LA_UNIT_MONTH:
    case LA_UNIT_QUARTER:
    case LA_UNIT_YEAR:
        break;
    }
    int64_t step = months_in(unit) * n;
    int64_t index = (la_floor_div(month_index(days), step) + 1) * step;
    return us_from_days(days_from_month_index(index));
}
