/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values: what is read, what is refused, and how that is said. */
#include "ingest/text.h"

#include "chunk/calendar.h"
#include "test.h"

static la_error err;
static uint64_t seed;

static int64_t
time_of(const char *text)
{
    int64_t us = INT64_MIN;
    CHECK_OK(la_parse_time(text, strlen(text), &us, &err), &err);
    return us;
}

static void
times_are_read(void)
{
    int64_t nine = la_days_from_civil(2026, 11, 21) * LA_US_PER_DAY + 9 * 3600000000;
    CHECK_EQ(time_of("2026-11-21T09:00"), nine);
    CHECK_EQ(time_of("2026-11-21 09:00:00"), nine);
    CHECK_EQ(time_of("2026-11-21T09:00:00Z"), nine);
    CHECK_EQ(time_of("2026-11-21t10:30:00+01:30"), nine);
    CHECK_EQ(time_of("2026-11-21T10:30+0130"), nine);
    CHECK_EQ(time_of("2026-11-21T04:00:00.000-05"), nine);
    CHECK_EQ(time_of("2026-11-21T09:00:00.5"), nine + 500000);
    CHECK_EQ(time_of("2026-11-21T09:00:00.123456000Z"), nine + 123456);
    CHECK_EQ(time_of("2026-11-21"), nine - 9 * 3600000000);
    CHECK_EQ(time_of("1970-01-01T00:00"), 0);
    CHECK_EQ(time_of("0001-01-01"), la_days_from_civil(1, 1, 1) * LA_US_PER_DAY);
    CHECK_EQ(time_of("9999-12-31T23:59:59.999999"),
             la_days_from_civil(10000, 1, 1) * LA_US_PER_DAY - 1);
    CHECK_EQ(time_of("2024-02-29"), la_days_from_civil(2024, 2, 29) * LA_US_PER_DAY);
}

static void
bad_times_are_refused(void)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "2026",
                                      "2026-11",
                                      "2026-11-21T",
                                      "26-11-21",
                                      "2026-13-01",
                                      "2026-02-29",
                                      "2026-00-10",
                                      "2026-01-32",
                                      "0000-01-01",
                                      "2026-11-21T24:00",
                                      "2026-11-21T09:60",
                                      "2026-11-21T09:00:60",
                                      "2026-11-21T09",
                                      "2026-11-21T9:00",
                                      "2026-11-21T09:00:0",
                                      "2026-11-21T09:00:00.",
                                      "2026-11-21T09:00:00.1234567",
                                      "2026-11-21T09:00:00.0000000000",
                                      "2026-11-21T09:00+24:00",
                                      "2026-11-21T09:00+1",
                                      "2026-11-21T09:00+01:",
                                      "2026-11-21T09:00 Z",
                                      "2026-11-21T09:00ZZ",
                                      "2026-11-21x09:00",
                                      " 2026-11-21",
                                      "2026-11-21 ",
                                      "10000-01-01",
                                      "-001-01-01"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t us = 77;
        CHECK_MSG(la_parse_time(bad[i], strlen(bad[i]), &us, &err) == LA_INVALID, "%s",
                  bad[i]);
        CHECK_EQ(us, 77);
    }
    int64_t us;
    CHECK_STATUS(la_parse_time("2026-11-21T09:00:00.1234567", 27, &us, &err),
                 LA_INVALID, &err);
    CHECK_STR(err.message,
              "could not read \"2026-11-21T09:00:00.1234567\" as time[us]: it "
              "is more precise than microseconds");
    int32_t days;
    CHECK_OK(la_parse_date("2026-11-21", 10, &days, &err), &err);
    CHECK_EQ(days, 20778);
    CHECK_STATUS(la_parse_date("2026-11-21T", 11, &days, &err), LA_INVALID, &err);
}

static void
decimals_are_exact(void)
{
    static const struct {
        const char *text;
        uint8_t scale;
        int64_t value;
    } good[] = {{"9.99", 2, 999},
                {"-9.99", 2, -999},
                {"+9.9", 2, 990},
                {"9", 2, 900},
                {".5", 1, 5},
                {"5.", 1, 50},
                {"1.5000000000000000000000000000000", 1, 15},
                {"000000000000000000000000000001", 0, 1},
                {"1e3", 0, 1000},
                {"1.25E+1", 1, 125},
                {"1500e-2", 0, 15},
                {"0e999999999999", 3, 0},
                {"0.000", 2, 0},
                {"-0", 2, 0},
                {"999999999999999999", 0, 999999999999999999},
                {"-9.99999999999999999", 17, -999999999999999999},
                {"100000000000000000000e-20", 0, 1}};
    static const struct {
        const char *text;
        uint8_t scale;
    } bad[] = {{"", 2},
               {".", 2},
               {"-", 2},
               {"1.234", 2},
               {"1e", 2},
               {"1e-3", 2},
               {"0x10", 2},
               {"nan", 2},
               {"1 ", 2},
               {"1,5", 2},
               {"1e18", 0},
               {"1e17", 1},
               {"--1", 2},
               {"1.2.3", 2},
               {"1e+", 2},
               {"1000000000000000000", 0},
               {"99999999999999999999999", 0},
               {"1e99999999999", 2},
               {"1e-99999999999", 2},
               {"0.00000000000000000000001", 18}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t v = 1;
        CHECK_OK(la_parse_decimal(good[i].text, strlen(good[i].text), good[i].scale, &v,
                                  &err),
                 &err);
        CHECK_EQ(v, good[i].value);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t v = 77;
        CHECK_MSG(la_parse_decimal(bad[i].text, strlen(bad[i].text), bad[i].scale, &v,
                                   &err) == LA_INVALID,
                  "%s", bad[i].text);
        CHECK_EQ(v, 77);
    }
}

static void
integers_are_read(void)
{
    int64_t i;
    uint64_t u;
    CHECK_OK(la_parse_i64("-9223372036854775808", 20, &i, &err), &err);
    CHECK_EQ(i, INT64_MIN);
    CHECK_OK(la_parse_i64("+0009223372036854775807", 23, &i, &err), &err);
    CHECK_EQ(i, INT64_MAX);
    CHECK_STATUS(la_parse_i64("9223372036854775808", 19, &i, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_i64("-9223372036854775809", 20, &i, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_i64("99999999999999999999999", 23, &i, &err), LA_INVALID,
                 &err);
    CHECK_STATUS(la_parse_i64("1.0", 3, &i, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_i64("", 0, &i, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_i64("-", 1, &i, &err), LA_INVALID, &err);
    CHECK_OK(la_parse_u64("18446744073709551615", 20, &u, &err), &err);
    CHECK_EQ(u, UINT64_MAX);
    CHECK_OK(la_parse_u64("-0", 2, &u, &err), &err);
    CHECK_STATUS(la_parse_u64("-1", 2, &u, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_u64("18446744073709551616", 20, &u, &err), LA_INVALID, &err);
}

static void
booleans_are_read(void)
{
    bool b = false;
    CHECK_OK(la_parse_bool("TRUE", 4, &b, &err), &err);
    CHECK(b);
    CHECK_OK(la_parse_bool("0", 1, &b, &err), &err);
    CHECK(!b);
    CHECK_STATUS(la_parse_bool("", 0, &b, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_bool("tru", 3, &b, &err), LA_INVALID, &err);
    CHECK_STATUS(la_parse_bool("true\0", 5, &b, &err), LA_INVALID, &err);
}

static void
floats_are_rounded_once(void)
{
    uint64_t state = seed;
    for (int round = 0; round < 50000; round++) {
        char text[64];
        double x, expected;
        uint64_t bits = test_next(&state);
        memcpy(&expected, &bits, sizeof bits);
        if (expected - expected != 0.0) {
            continue;
        }
        if (round % 2 == 0) {
            snprintf(text, sizeof text, "%.17g", expected);
        }
        else {
            snprintf(text, sizeof text, "%llu.%llue%d",
                     (unsigned long long)(bits >> (bits % 60)),
                     (unsigned long long)test_below(&state, 100000),
                     (int)test_below(&state, 60) - 30);
            expected = strtod(text, NULL);
        }
        CHECK_OK(la_parse_f64(text, strlen(text), &x, &err), &err);
        CHECK_MSG(memcmp(&x, &expected, sizeof x) == 0, "%s", text);
        float f, expected_f = strtof(text, NULL);
        if (expected_f - expected_f == 0.0F) {
            CHECK_OK(la_parse_f32(text, strlen(text), &f, &err), &err);
            CHECK(memcmp(&f, &expected_f, sizeof f) == 0);
        }
    }
    static const char *const bad[] = {"",    "0x1p3", "1e",     "e5",    ".",
                                      "1_0", "infi",  "nan(1)", "1e999", "-1e999",
                                      " 1",  "1 ",    "--1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        double x = 77;
        CHECK_MSG(la_parse_f64(bad[i], strlen(bad[i]), &x, &err) == LA_INVALID, "%s",
                  bad[i]);
        CHECK(x == 77);
    }
    double x;
    CHECK_OK(la_parse_f64("-0.0", 4, &x, &err), &err);
    CHECK(x == 0 && __builtin_signbit(x));
    CHECK_OK(la_parse_f64("-Infinity", 9, &x, &err), &err);
    CHECK(x == -__builtin_inf());
    CHECK_OK(la_parse_f64("NaN", 3, &x, &err), &err);
    CHECK(x != x);
}

static void
long_texts_are_cut_in_messages(void)
{
    char text[3000];
    int64_t v;
    memset(text, '7', sizeof text);
    text[3] = '\n';
    CHECK_STATUS(la_parse_i64(text, sizeof text, &v, &err), LA_INVALID, &err);
    CHECK(strstr(err.message, "777?777") != NULL);
    CHECK(strstr(err.message, "7...\"") != NULL);
    CHECK(strlen(err.message) < 150);
}

int
main(void)
{
    seed = test_seed();
    RUN(times_are_read);
    RUN(bad_times_are_refused);
    RUN(decimals_are_exact);
    RUN(integers_are_read);
    RUN(booleans_are_read);
    RUN(floats_are_rounded_once);
    RUN(long_texts_are_cut_in_messages);
    return test_end();
}
