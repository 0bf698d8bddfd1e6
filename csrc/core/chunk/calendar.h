/* SPDX-License-Identifier: Apache-2.0 */
/* Civil dates in UTC: days <-> year, month, day (Howard Hinnant, chrono-compatible
 * low-level date algorithms). */
#ifndef LA_CHUNK_CALENDAR_H
#define LA_CHUNK_CALENDAR_H

#include <stdint.h>

#define LA_US_PER_SECOND INT64_C(1000000)
#define LA_US_PER_DAY (INT64_C(86400) * LA_US_PER_SECOND)

typedef enum la_unit {
    LA_UNIT_DAY,
    LA_UNIT_WEEK,
    LA_UNIT_MONTH,
    LA_UNIT_QUARTER,
    LA_UNIT_YEAR
} la_unit;

void la_civil_from_days(int64_t days, int64_t *year, int32_t *month, int32_t *day);
int64_t la_days_from_civil(int64_t year, int32_t month, int32_t day);
/* floor(a / b) for b > 0 */
static inline int64_t
la_floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return q - ((a % b != 0) & (a < 0));
}
/* Start of the calendar unit that holds `us` (weeks begin on Monday), and the next
 * start after a start. `count` units are grouped from 1970-01 (weeks: from
 * 1969-12-29). */
int64_t la_calendar_floor(int64_t us, la_unit unit, int64_t count);
int64_t la_calendar_next(int64_t start_us, la_unit unit, int64_t count);

#endif
