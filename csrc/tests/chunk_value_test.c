/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes: memcmp order is value order; texts; the calendar. */
#include "chunk/calendar.h"
#include "chunk/chunk.h"
#include "chunk/value.h"
#include "test.h"

static const la_env *env;
static la_error err;
static uint64_t seed;

static double
f64_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static la_value
random_value(la_type type, uint64_t *state, char text[16])
{
    static const double floats[] = {0.0,   -0.0,   1.0,    -1.0,
                                    1e308, -1e308, 5e-324, -5e-324};
    la_value v = {.type = type, .scale = type == LA_T_DECIMAL ? 2 : 0};
    v.null = test_below(state, 10) == 0;
    uint64_t random = test_next(state) >> test_below(state, 64);
    random = test_below(state, 2) == 0 ? random : 0 - random;
    switch (type) {
    case LA_T_BOOL:
        v.i64 = (int64_t)(random & 1);
        break;
    case LA_T_I32:
    case LA_T_DATE:
        v.i64 = (int32_t)random;
        break;
    case LA_T_DECIMAL:
        v.i64 = (int64_t)random % 1000000000000000000;
        break;
    case LA_T_F32:
    case LA_T_F64:
        v.f64 = test_below(state, 3) == 0   ? floats[random % 8]
                : test_below(state, 9) == 0 ? f64_of(0x7ff0000000000000 | random)
                                            : f64_of(random);
        v.f64 = type == LA_T_F32 ? (double)(float)v.f64 : v.f64;
        break;
    case LA_T_STR:
    case LA_T_BYTES:
    case LA_T_CAT:
        v.size = test_below(state, 8);
        for (size_t i = 0; i < v.size; i++) {
            static const char letters[] = {0, 0, 1, 'a', 'b', 0x7f};
            static const char bytes[] = {0, 0, 1, 'a', (char)0xff, (char)0xfe};
            text[i] = (type == LA_T_BYTES ? bytes : letters)[test_below(state, 6)];
        }
        v.text = text;
        break;
    default:
        v.i64 = (int64_t)random;
        break;
    }
    return v;
}

static const la_type types[] = {LA_T_BOOL, LA_T_I32, LA_T_I64,     LA_T_U64,
                                LA_T_F32,  LA_T_F64, LA_T_TIME,    LA_T_DATE,
                                LA_T_CAT,  LA_T_STR, LA_T_DECIMAL, LA_T_BYTES};

static void
byte_order_is_value_order(void)
{
    uint64_t state = seed;
    la_buf a, b;
    la_arena arena;
    la_buf_init(&a, env);
    la_buf_init(&b, env);
    la_arena_init(&arena, env);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        for (int round = 0; round < 20000; round++) {
            char x_text[16], y_text[16];
            la_value x = random_value(types[t], &state, x_text), back;
            la_value y = random_value(types[t], &state, y_text);
            la_buf_clear(&a);
            la_buf_clear(&b);
            la_key_put(&a, &x);
            la_key_put(&b, &y);
            size_t common = a.size < b.size ? a.size : b.size;
            int bytes = memcmp(a.data, b.data, common);
            /* No key is a prefix of another. */
            CHECK(bytes != 0 || a.size == b.size);
            int order = la_value_compare(&x, &y);
            CHECK_EQ((bytes > 0) - (bytes < 0), order);
            la_bytes from = la_bytes_of(a.data, a.size);
            CHECK(la_key_take(&from, types[t], x.scale, &arena, &back));
            CHECK_EQ(la_bytes_left(&from), 0);
            CHECK_EQ(la_value_compare(&x, &back), 0);
            la_buf_clear(&b);
            la_key_put(&b, &back);
            CHECK_EQ(a.size, b.size);
            CHECK_BYTES(a.data, b.data, a.size);
            for (size_t cut = 0; cut < a.size; cut++) {
                from = la_bytes_of(a.data, cut);
                CHECK(!la_key_take(&from, types[t], x.scale, &arena, &back));
            }
            la_arena_reset(&arena);
        }
    }
    la_buf_fini(&a);
    la_buf_fini(&b);
    la_arena_fini(&arena);
}

static void
noncanonical_keys_are_refused(void)
{
    static const struct {
        la_type type;
        const char *bytes;
        size_t size;
    } bad[] = {
        {LA_T_BOOL, "\2\0", 2},
        {LA_T_BOOL, "\1\2", 2},
        {LA_T_F64, "\1\x7f\xff\xff\xff\xff\xff\xff\xff", 9}, /* -0.0 */
        {LA_T_F64, "\1\xff\xf8\0\0\0\0\0\1", 9},             /* another NaN */
        {LA_T_F32, "\1\xbf\xb9\x99\x99\x99\x99\x99\x9a", 9}, /* 0.1 is no f32 */
        {LA_T_STR, "\1\xff\0\0", 4},
        {LA_T_STR, "\1a\0\1", 4},
        {LA_T_STR, "\1a\0", 3},
        {LA_T_DECIMAL, "\1\xff\xff\xff\xff\xff\xff\xff\xff", 9},
    };
    la_arena arena;
    la_value v;
    la_arena_init(&arena, env);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        la_bytes from = la_bytes_of(bad[i].bytes, bad[i].size);
        CHECK_MSG(!la_key_take(&from, bad[i].type, 2, &arena, &v), "case %zu", i);
    }
    la_arena_fini(&arena);
}

static void
check_text(la_value v, const char *expected)
{
    la_buf text;
    la_buf_init(&text, env);
    la_value_text(&text, &v);
    la_buf_u8(&text, 0);
    CHECK_STR((const char *)text.data, expected);
    la_buf_fini(&text);
}

static void
values_have_texts(void)
{
    la_value v = {.type = LA_T_DECIMAL, .scale = 2, .i64 = 999};
    check_text(v, "9.99");
    v.i64 = -5;
    check_text(v, "-0.05");
    v.i64 = -999999999999999999;
    check_text(v, "-9999999999999999.99");
    v.scale = 18;
    v.i64 = 1;
    check_text(v, "0.000000000000000001");
    v.scale = 0;
    check_text(v, "1");
    check_text((la_value){.type = LA_T_TIME, .i64 = 0}, "1970-01-01T00:00:00Z");
    check_text((la_value){.type = LA_T_TIME, .i64 = -1}, "1969-12-31T23:59:59.999999Z");
    check_text((la_value){.type = LA_T_TIME, .i64 = 500000},
               "1970-01-01T00:00:00.500Z");
    check_text((la_value){.type = LA_T_TIME, .i64 = INT64_MIN},
               "-290308-12-21T19:59:05.224192Z");
    check_text((la_value){.type = LA_T_DATE, .i64 = 20778}, "2026-11-21");
    check_text((la_value){.type = LA_T_F64, .f64 = 0.1}, "0.1");
    check_text((la_value){.type = LA_T_F64, .f64 = 0.1 + 0.2}, "0.30000000000000004");
    check_text((la_value){.type = LA_T_F64, .f64 = 5e-324}, "4.94065645841247e-324");
    check_text((la_value){.type = LA_T_F64, .f64 = -__builtin_inf()}, "-inf");
    check_text((la_value){.type = LA_T_F64, .f64 = __builtin_nan("")}, "nan");
    check_text((la_value){.type = LA_T_F32, .f64 = (double)0.1F}, "0.1");
    check_text((la_value){.type = LA_T_U64, .i64 = -1}, "18446744073709551615");
    check_text((la_value){.type = LA_T_BOOL, .i64 = 1}, "true");
    check_text((la_value){.type = LA_T_BYTES, .text = "\x01\xab", .size = 2}, "0x01ab");
    check_text((la_value){.type = LA_T_I64, .null = true}, "null");
}

static void
days_and_dates_agree(void)
{
    int64_t year = -2000;
    int32_t month = 1, day = 1;
    static const int32_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t days = la_days_from_civil(year, month, day);
    CHECK_EQ(la_days_from_civil(1970, 1, 1), 0);
    CHECK_EQ(la_days_from_civil(2026, 11, 21), 20778);
    for (; year < 4000; days++) {
        int64_t y;
        int32_t m, d;
        la_civil_from_days(days, &y, &m, &d);
        CHECK(y == year && m == month && d == day);
        CHECK_EQ(la_days_from_civil(year, month, day), days);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (++day > lengths[month - 1] + (month == 2 && leap)) {
            day = 1;
            year += ++month > 12;
            month = month > 12 ? 1 : month;
        }
    }
}

static void
calendar_units_tile_time(void)
{
    uint64_t state = seed + 1;
    for (int round = 0; round < 20000; round++) {
        la_unit unit = (la_unit)test_below(&state, 5);
        int64_t count = 1 + (int64_t)test_below(&state, 20);
        int64_t us = (int64_t)(test_next(&state) >> test_below(&state, 30));
        us = test_below(&state, 2) == 0 ? us : -us;
        int64_t start = la_calendar_floor(us, unit, count);
        int64_t next = la_calendar_next(start, unit, count);
        CHECK(start <= us && (us < next || next == INT64_MAX));
        if (start != INT64_MIN && next != INT64_MAX) {
            CHECK_EQ(la_calendar_floor(start, unit, count), start);
            CHECK_EQ(la_calendar_floor(next - 1, unit, count), start);
            CHECK_EQ(la_calendar_floor(next, unit, count), next);
        }
    }
    int64_t day = la_days_from_civil(2026, 11, 21) * LA_US_PER_DAY; /* a Saturday */
    CHECK_EQ(la_calendar_floor(day + 5, LA_UNIT_WEEK, 1), day - 5 * LA_US_PER_DAY);
    CHECK_EQ(la_calendar_floor(day, LA_UNIT_QUARTER, 1),
             la_days_from_civil(2026, 10, 1) * LA_US_PER_DAY);
    CHECK_EQ(la_calendar_next(la_calendar_floor(day, LA_UNIT_YEAR, 1), LA_UNIT_YEAR, 1),
             la_days_from_civil(2027, 1, 1) * LA_US_PER_DAY);
    (void)la_calendar_next(INT64_MAX, LA_UNIT_WEEK, INT64_MAX);
    (void)la_calendar_floor(INT64_MIN, LA_UNIT_YEAR, INT64_MAX);
}

int
main(void)
{
    env = la_env_system();
    seed = test_seed();
    (void)err;
    RUN(byte_order_is_value_order);
    RUN(noncanonical_keys_are_refused);
    RUN(values_have_texts);
    RUN(days_and_dates_agree);
    RUN(calendar_units_tile_time);
    return test_end();
}
