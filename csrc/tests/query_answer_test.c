/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: every way to choose, order and roll up, compared with the whole answer looked at
 * line by line, or with a fold of a plan that says the same. Each test runs where nothing was
 * published, where all was, and where the cutoff lies in between with deltas. */
#include <inttypes.h>

#include "chunk/value.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define PATH "/shop"
#define ROWS 600u
#define HOUR INT64_C(3600000000)
#define START (INT64_C(1790000000000000) / HOUR * HOUR)

static sim *disk;
static shop s;
static la_view *hourly, *totals, *daily;

static void
open_shop(int stage)
{
    disk = sim_new(1);
    shop_open(&s, sim_env(disk), PATH);
    hourly = shop_define(&s, "hourly", SHOP_HOURLY);
    totals = shop_define(&s, "totals", SHOP_TOTALS);
    daily = shop_define(&s, "daily", SHOP_DAILY);
    shop_append(&s, ROWS);
    la_batch_options options = {.cutoff = stage == 1 ? ROWS : 330, .publish = true};
    if (stage > 0) {
        shop_run(&s, options);
    }
    options.incremental = true;
    for (options.cutoff = 340; stage == 2 && options.cutoff <= 400;
         options.cutoff += 30) {
        shop_run(&s, options);
    }
}

static void
close_shop(void)
{
    shop_close(&s);
    CHECK_EQ(sim_open_files(disk), 0);
    sim_free(disk);
}

/* -------------------------------------------------------------- lines of cells */

typedef struct table {
    char *text;
    char *lines[4096];
    uint32_t count;
} table;

static table
table_of(char *text)
{
    static table t;
    t.text = text;
    t.count = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        CHECK(t.count < 4096);
        t.lines[t.count++] = line;
    }
    return t;
}

static table
ask(la_view *view, const char *spec)
{
    answer a;
    shop_ask(view, spec, &a);
    check_accounting(&a);
    CHECK_EQ(a.position, ROWS);
    table t = table_of(a.rows);
    CHECK_EQ(t.count, a.count);
    a.rows = NULL;
    answer_free(&a);
    return t;
}

/* Cell `c` of a line, in one of a few buffers. Cells hold no spaces. */
static const char *
cell(const char *line, uint32_t c)
{
    static char buffers[8][400];
    static int next;
    char *to = buffers[next++ % 8];
    for (; c > 0; c--) {
        line = strchr(line, ' ') + 1;
    }
    size_t size = strcspn(line, " ");
    snprintf(to, 400, "%.*s", (int)size, line);
    return to;
}

static double
number(const char *line, uint32_t c)
{
    const char *text = cell(line, c);
    return strtod(*text == '\'' ? text + 1 : text, NULL);
}

typedef bool (*predicate)(const char *line);

/* Asks a reader of its own, that has loaded nothing yet; then what it has loaded is wanted. */
static table
ask_anew(const char *name, const char *spec)
{
    la_store *store;
    la_view *view;
    la_error err;
    CHECK_OK(la_store_open(s.env, PATH, LA_MODE_READ, &store, &err), &err);
    CHECK_OK(la_view_open(store, name, &view, &err), &err);
    table t = ask(view, spec);
    la_store_close(store);
    return t;
}

static void
check_chosen(la_view *view, const char *spec, predicate keep)
{
    table all = ask(view, "{}"), some = ask_anew(la_view_name(view), spec);
    uint32_t n = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (keep(all.lines[i])) {
            CHECK_MSG(n < some.count, "%s lacks %s", spec, all.lines[i]);
            CHECK_STR(some.lines[n], all.lines[i]);
            n++;
        }
    }
    CHECK_MSG(n == some.count, "%s: %u rows, not %u", spec, some.count, n);
    free(all.text);
    free(some.text);
}

/* --------------------------------------------------------------------- choosing */

/* In hourly: customer, note, window_start, window_end, n, total, ... */
static bool
is_c3(const char *line)
{
    return strcmp(cell(line, 0), "'\"c3\"'") == 0;
}
static bool
is_c1_c3(const char *line)
{
    return is_c3(line) || strcmp(cell(line, 0), "'\"c1\"'") == 0;
}
static bool
is_null(const char *line)
{
    return strcmp(cell(line, 1), "-") == 0;
}
static bool
is_empty(const char *line)
{
    return strcmp(cell(line, 1), "'\"\"'") == 0;
}
static bool
is_x(const char *line)
{
    return strcmp(cell(line, 1), "'\"x\"'") == 0;
}
static bool
is_xy(const char *line)
{
    return strcmp(cell(line, 1), "'\"x\\u0000y\"'") == 0;
}
static bool
is_c3_x(const char *line)
{
    return is_c3(line) && is_x(line);
}
static bool
is_null_or_x(const char *line)
{
    return is_null(line) || is_x(line);
}
static bool
never(const char *line)
{
    return line == NULL;
}
static bool
always(const char *line)
{
    return line != NULL;
}

static void
keys_choose(void)
{
    check_chosen(hourly, "{\"keys\":{}}", always);
    check_chosen(hourly, "{\"keys\":null}", always);
    check_chosen(hourly, "{\"keys\":{\"customer\":\"c3\"}}", is_c3);
    check_chosen(hourly, "{\"keys\":{\"customer\":[\"c3\",\"none\",\"c1\",\"c3\"]}}",
                 is_c1_c3);
    check_chosen(hourly, "{\"keys\":{\"note\":null}}", is_null);
    check_chosen(hourly, "{\"keys\":{\"note\":\"\"}}", is_empty);
    check_chosen(hourly, "{\"keys\":{\"note\":\"x\"}}", is_x);
    check_chosen(hourly, "{\"keys\":{\"note\":\"x\\u0000y\"}}", is_xy);
    check_chosen(hourly, "{\"keys\":{\"note\":[null,\"x\"]}}", is_null_or_x);
    check_chosen(hourly, "{\"keys\":{\"note\":\"x\",\"customer\":\"c3\"}}", is_c3_x);
    check_chosen(hourly, "{\"keys\":{\"customer\":[]}}", never);
    check_chosen(hourly, "{\"keys\":{\"customer\":\"c\"}}", never);
    check_chosen(hourly, "{\"keys\":{\"customer\":null}}", never);
    check_chosen(totals, "{\"keys\":{\"customer\":\"c3\"}}", is_c3); /* a point */
    check_chosen(totals, "{\"keys\":{\"customer\":\"nobody\"}}", never);
    check_chosen(totals, "{\"keys\":{\"customer\":[\"c1\",\"c3\"]}}", is_c1_c3);
}

static char since_text[40], until_text[40];
static bool
in_range(const char *line)
{
    const char *start = cell(line, 2);
    return strcmp(start, since_text) >= 0 && strcmp(start, until_text) < 0;
}
static bool
is_c3_in_range(const char *line)
{
    return is_c3(line) && in_range(line);
}
static bool
is_point(const char *line)
{
    return is_c3_x(line) && in_range(line);
}

static void
time_text(int64_t us, char to[40])
{
    la_buf text;
    la_value value = {.type = LA_T_TIME, .i64 = us};
    la_buf_init(&text, la_env_system());
    la_value_text(&text, &value);
    snprintf(to, 40, "'%.*s'", (int)text.size, (const char *)text.data);
    la_buf_fini(&text);
}

static void
ranges_choose(void)
{
    for (int64_t from = -3; from < 20; from++) {
        for (int64_t hours = 0; hours < 30; hours += 1 + hours / 3) {
            char spec[300];
            int64_t since = START + from * HOUR, until = since + hours * HOUR;
            time_text(since, since_text);
            time_text(until, until_text);
            snprintf(spec, sizeof spec, "{\"since\":%" PRId64 ",\"until\":%" PRId64 "}",
                     since, until);
            check_chosen(hourly, spec, in_range);
            snprintf(spec, sizeof spec,
                     "{\"since\":%" PRId64 ",\"until\":%" PRId64
                     ",\"keys\":{\"customer\":\"c3\"}}",
                     since, until);
            check_chosen(hourly, spec, is_c3_in_range);
            snprintf(spec, sizeof spec,
                     "{\"since\":%" PRId64 ",\"until\":%" PRId64
                     ",\"keys\":{\"customer\":\"c3\",\"note\":\"x\"}}",
                     since, until);
            check_chosen(hourly, spec,
                         is_point); /* with hours = 1 a look-up of one group */
        }
    }
    snprintf(since_text, sizeof since_text, "'");
    snprintf(until_text, sizeof until_text, "~");
    check_chosen(hourly,
                 "{\"since\":-9223372036854775808,\"until\":9223372036854775807}",
                 in_range);
    check_chosen(hourly, "{\"since\":null}", in_range);
}

static bool
has_3(const char *line)
{
    return number(line, 4) >= 3;
}
static bool
has_3_x(const char *line)
{
    return has_3(line) && is_x(line);
}
static bool
no_high(const char *line)
{
    return strcmp(cell(line, 8), "-") == 0;
}
static bool
few(const char *line)
{
    return number(line, 1) < 80;
}

static void
where_chooses(void)
{
    check_chosen(hourly, "{\"where\":[\"ge\",[\"col\",\"n\"],[\"lit\",\"i64\",3]]}",
                 has_3);
    check_chosen(
        hourly,
        "{\"where\":[\"and\",[\"ge\",[\"col\",\"n\"],[\"lit\",\"i64\",3]],[\"eq\","
        "[\"col\",\"note\"],[\"lit\",\"str\",\"x\"]]]}",
        has_3_x);
    check_chosen(hourly, "{\"where\":[\"is_null\",[\"col\",\"high\"]]}", no_high);
    check_chosen(totals, "{\"where\":[\"lt\",[\"col\",\"n\"],[\"lit\",\"i64\",80]]}",
                 few);
    check_chosen(totals, "{\"where\":[\"lit\",\"bool\",false]}", never);
    check_chosen(totals, "{\"where\":null}", always);
}

/* ---------------------------------------------------------- order, limit, columns */

static void
check_order(const char *spec, const uint32_t *columns, const int *signs, uint32_t count)
{
    table all = ask(hourly, "{}"), sorted = ask(hourly, spec);
    CHECK_EQ(all.count, sorted.count);
    uint32_t last = 0;
    for (uint32_t i = 0; i < sorted.count; i++) {
        uint32_t at = 0;
        while (strcmp(all.lines[at], sorted.lines[i]) != 0) {
            CHECK(++at < all.count);
        }
        int c = 0;
        for (uint32_t k = 0; i > 0 && k < count && c == 0; k++) {
            bool p = strcmp(cell(sorted.lines[i - 1], columns[k]), "-") == 0;
            bool q = strcmp(cell(sorted.lines[i], columns[k]), "-") == 0;
            double x = number(sorted.lines[i - 1], columns[k]);
            double y = number(sorted.lines[i], columns[k]);
            c = p || q ? p - q : (x > y) - (x < y); /* 1: the first should come later */
            c = p || q ? c : c * signs[k];
        }
        CHECK_MSG(i == 0 || c < 0 || (c == 0 && last < at), "%s: %s before %s", spec,
                  sorted.lines[i - 1], sorted.lines[i]);
        last = at;
    }
    free(all.text);
    free(sorted.text);
}

static void
answers_are_ordered(void)
{
    check_order("{\"order_by\":[[\"total\",\"asc\"]]}", (uint32_t[]){5}, (int[]){1}, 1);
    check_order("{\"order_by\":[[\"total\",\"desc\"]]}", (uint32_t[]){5}, (int[]){-1},
                1);
    check_order("{\"order_by\":[[\"high\",\"asc\"]]}", (uint32_t[]){8}, (int[]){1}, 1);
    check_order("{\"order_by\":[[\"high\",\"desc\"],[\"n\",\"asc\"]]}",
                (uint32_t[]){8, 4}, (int[]){-1, 1}, 2);
    check_order("{\"order_by\":[[\"n\",\"desc\"]]}", (uint32_t[]){4}, (int[]){-1}, 1);
    check_order("{\"order_by\":[]}", NULL, NULL, 0);
}

static void
limits_and_columns_cut(void)
{
    table all = ask(hourly, "{}");
    for (uint32_t limit = 0; limit < all.count + 20; limit += 1 + limit / 2) {
        char spec[200];
        snprintf(spec, sizeof spec, "{\"limit\":%u}", limit);
        table some = ask(hourly, spec);
        CHECK_EQ(some.count, limit < all.count ? limit : all.count);
        for (uint32_t i = 0; i < some.count; i++) {
            CHECK_STR(some.lines[i], all.lines[i]);
        }
        free(some.text);
        snprintf(spec, sizeof spec,
                 "{\"limit\":%u,\"columns\":[\"total\",\"window_start\",\"customer\"]}",
                 limit);
        some = ask(hourly, spec);
        for (uint32_t i = 0; i < some.count; i++) {
            char expected[400];
            snprintf(expected, sizeof expected, "%s %s %s", cell(all.lines[i], 5),
                     cell(all.lines[i], 2), cell(all.lines[i], 0));
            CHECK_STR(some.lines[i], expected);
        }
        free(some.text);
    }
    /* A column may choose and order without being shown. */
    table best =
        ask(hourly, "{\"columns\":[\"n\"],\"order_by\":[[\"n\",\"desc\"]],\"where\":"
                    "[\"ge\",[\"col\",\"n\"],[\"lit\",\"i64\",2]],\"limit\":3}");
    CHECK_EQ(best.count, 3);
    CHECK(number(best.lines[0], 0) >= number(best.lines[2], 0));
    free(best.text);
    free(all.text);
}

/* ----------------------------------------------------------------------- rollup */

#define COL(name) "[\"col\",\"" name "\"]"
#define AGG(name, fn, arg)                                                             \
    "{\"name\":\"" name "\",\"fn\":\"" fn "\",\"arg\":" arg ",\"filter\":null}"
/* SHOP_HOURLY with other keys, window and where. */
#define LIKE_HOURLY(by, window, where)                                                                                                                                               \
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":" by ",\"window\":" window                                                                                                                \
    ",\"where\":" where                                                                                                                                                              \
    ",\"aggs\":[" AGG("n", "len", "null") "," AGG("total", "sum", COL("amount")) "," AGG("mean", "mean", COL("price")) "," AGG("low", "min", COL("price")) "," AGG(                  \
        "high", "max",                                                                                                                                                               \
        COL("qty")) "," AGG("first", "first",                                                                                                                                        \
                            COL("price")) "," AGG("last", "last",                                                                                                                    \
                                                  COL("note")) "," AGG("kinds",                                                                                                      \
                                                                       "n_unique",                                                                                                   \
                                                                       COL("qty")) "," AGG("prices",                                                                                 \
                                                                                           "sum",                                                                                    \
                                                                                           COL("price")) "," AGG("ratio",                                                            \
                                                                                                                 "max",                                                              \
                                                                                                                 "[\"floordiv\"," COL("big") "," COL(                                \
                                                                                                                     "qty") "]") ","                                                 \
                                                                                                                                 "{\"name\":\"some\",\"fn\":\"count\",\"arg\":" COL( \
                                                                                                                                     "price") ",\"filter\":[\"gt\"," COL("qty") ",[\"lit\",\"i32\",3]]}]}"
#define NOT_C6 "[\"ne\"," COL("customer") ",[\"lit\",\"str\",\"c6\"]]"
#define DAY "{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"}"
#define WEEK "{\"kind\":\"calendar\",\"unit\":\"week\",\"count\":1,\"tz\":\"UTC\"}"
#define BY_HOUR "{\"kind\":\"tumbling\",\"size_us\":3600000000,\"origin_us\":0}"
#define CUSTOMER "[[\"customer\"," COL("customer") "]]"
#define BOTH "[[\"customer\"," COL("customer") "],[\"note\"," COL("note") "]]"

static void
check_rollup(const char *spec, const char *plan)
{
    answer a;
    shop_ask(hourly, spec, &a);
    char *expected = shop_fold(&s, plan, ROWS);
    CHECK_STR(a.rows, expected);
    check_accounting(&a);
    free(expected);
    answer_free(&a);
}

static void
rollups_are_folds_of_coarser_plans(void)
{
    check_rollup("{\"rollup\":{}}", SHOP_HOURLY);
    check_rollup("{\"rollup\":{\"by\":[\"customer\",\"note\"],\"window\":" BY_HOUR "}}",
                 SHOP_HOURLY);
    check_rollup("{\"rollup\":{\"by\":[\"customer\"],\"window\":null}}",
                 LIKE_HOURLY(CUSTOMER, "null", NOT_C6));
    check_rollup("{\"rollup\":{\"window\":" DAY "}}", LIKE_HOURLY(BOTH, DAY, NOT_C6));
    check_rollup("{\"rollup\":{\"by\":[],\"window\":" WEEK "}}",
                 LIKE_HOURLY("[]", WEEK, NOT_C6));
    check_rollup("{\"rollup\":{\"by\":[],\"window\":null}}",
                 LIKE_HOURLY("[]", "null", NOT_C6));
    check_rollup("{\"rollup\":{\"by\":[\"customer\"],\"window\":" DAY
                 "},\"keys\":{\"note\":null}}",
                 LIKE_HOURLY(CUSTOMER, DAY,
                             "[\"and\"," NOT_C6 ",[\"is_null\"," COL("note") "]]"));
    char spec[300], plan[4000];
    snprintf(spec, sizeof spec,
             "{\"rollup\":{\"by\":[\"note\"],\"window\":null},\"since\":%" PRId64
             ",\"until\":%" PRId64 "}",
             START + 4 * HOUR, START + 11 * HOUR);
    snprintf(plan, sizeof plan,
             LIKE_HOURLY("[[\"note\"," COL("note") "]]", "null",
                         "[\"and\"," NOT_C6 ",[\"and\",[\"ge\"," COL(
                             "ts") ",[\"lit\",\"time[us]\",%" PRId64
                                   "]],[\"lt\"," COL(
                                       "ts") ",[\"lit\",\"time[us]\",%" PRId64 "]]]]"),
             START + 4 * HOUR, START + 11 * HOUR);
    answer a;
    shop_ask(hourly, spec, &a);
    char *expected = shop_fold(&s, plan, ROWS);
    CHECK_STR(a.rows, expected);
    free(expected);
    answer_free(&a);
    /* No groups at all roll up to none, as everywhere. */
    shop_ask(hourly,
             "{\"rollup\":{\"by\":[],\"window\":null},\"keys\":{\"customer\":[]}}", &a);
    CHECK_EQ(a.count, 0);
    answer_free(&a);
}

/* ------------------------------------------------------------------ parts, past */

/* n is cell 4 in each of the specs. */
static void
check_parts(const char *spec)
{
    answer a;
    shop_ask(hourly, spec, &a);
    CHECK_EQ(a.version == 0, a.cutoff == 0);
    table merged = table_of(a.rows), batch = table_of(a.batch),
          speed = table_of(a.speed);
    for (uint32_t row = 0; row < a.count; row++) {
        const char *of_batch = batch.lines[row], *of_speed = speed.lines[row];
        CHECK_EQ(number(of_batch, 4) + number(of_speed, 4),
                 number(merged.lines[row], 4));
        if (strcmp(cell(of_batch, 4), "-") == 0) { /* no such group before the cutoff */
            CHECK_STR(of_speed, merged.lines[row]);
        }
        if (strcmp(cell(of_speed, 4), "-") == 0) {
            CHECK_STR(of_batch, merged.lines[row]);
        }
    }
    answer_free(&a);
}

static void
parts_add_up(void)
{
    check_parts("{\"parts\":true}");
    check_parts("{\"parts\":true,\"order_by\":[[\"n\",\"desc\"]],\"limit\":7}");
    check_parts("{\"parts\":true,\"keys\":{\"customer\":\"c3\"}}");
    check_parts(
        "{\"parts\":true,\"columns\":[\"note\",\"window_start\",\"customer\",\"high\","
        "\"n\"]}");
    check_parts("{\"parts\":true,\"limit\":0}");
    answer a, version;
    shop_ask(hourly, "{\"parts\":true}", &a);
    if (a.version != 0) { /* the batch part is what the version says alone */
        char spec[60];
        uint32_t next = 0;
        snprintf(spec, sizeof spec, "{\"version\":%" PRIu64 "}", a.version);
        shop_ask(hourly, spec, &version);
        table said = table_of(version.rows), part = table_of(a.batch);
        for (uint32_t row = 0; row < part.count; row++) {
            if (strcmp(cell(part.lines[row], 4), "-") != 0) {
                CHECK_STR(part.lines[row], said.lines[next]);
                next++;
            }
        }
        CHECK_EQ(next, version.count);
        answer_free(&version);
    }
    answer_free(&a);
}

static void
the_past_is_a_fold_of_its_prefix(void)
{
    for (uint64_t position = 0; position <= ROWS; position++) {
        char spec[60];
        snprintf(spec, sizeof spec, "{\"as_of\":%" PRIu64 "}", position);
        CHECK_EQ(shop_check(&s, totals, SHOP_TOTALS, spec), position);
        if (position % 13 == 0 || position % 30 == 10) {
            CHECK_EQ(shop_check(&s, hourly, SHOP_HOURLY, spec), position);
            CHECK_EQ(shop_check(&s, daily, SHOP_DAILY, spec), position);
        }
    }
    answer a;
    la_error err;
    CHECK_STATUS(shop_ask_try(totals, "{\"as_of\":601}", &a, &err), LA_NOT_FOUND, &err);
    CHECK_STATUS(shop_ask_try(totals, "{\"version\":99}", &a, &err), LA_NOT_FOUND,
                 &err);
    CHECK_STATUS(shop_ask_try(totals, "{\"version\":1,\"as_of\":5}", &a, &err),
                 LA_INVALID, &err);
}

/* ----------------------------------------------------------- counted by hand */

typedef struct tally {
    int64_t n;
    __int128 huge;
} tally;

static void
count_by_hand(tally tallies[7])
{
    la_scan *scan;
    la_error err;
    memset(tallies, 0, 7 * sizeof *tallies);
    CHECK_OK(la_scan_open(s.orders, 0, ROWS, NULL, 0, &scan, &err), &err);
    for (;;) {
        const la_chunk *chunk;
        CHECK_OK(la_scan_next(scan, &chunk, &err), &err);
        if (chunk->rows == 0) {
            break;
        }
        for (uint32_t row = 0; row < chunk->rows; row++) {
            la_value customer = la_value_of(&chunk->columns[2], row);
            la_value big = la_value_of(&chunk->columns[7], row);
            if (chunk->verdicts == NULL || chunk->verdicts[row] == LA_V_OK) {
                tally *t = &tallies[customer.text[1] - '0'];
                t->n++;
                t->huge += big.i64;
            }
        }
    }
    la_scan_close(scan);
}

static void
i128_text(__int128 value, char *to)
{
    char digits[48];
    int n = 0;
    for (; value > 0; value /= 10) {
        digits[n++] = (char)('0' + (int)(value % 10));
    }
    while (n > 0) {
        *to++ = digits[--n];
    }
    *to = '\0';
}

static void
sums_that_do_not_fit_are_marked_and_exact(void)
{
    tally tallies[7];
    la_query *query;
    la_error err;
    la_status status;
    count_by_hand(tallies);
    CHECK_OK(la_query_open(totals,
                           "{\"order_by\":[[\"n\",\"desc\"]],\"columns\":[\"mean\","
                           "\"huge\",\"customer\",\"n\"]}",
                           &query, &err),
             &err);
    CHECK(la_query_result(query, LA_PART_MERGED) == NULL);
    CHECK(la_query_schema(query) == NULL);
    CHECK_STR(la_query_receipt(query), "{}");
    while ((status = la_query_step(query, &err)) == LA_MORE) {
    }
    CHECK_OK(status, &err);
    CHECK_OK(la_query_step(query, &err), &err);
    const la_chunk *rows = la_query_result(query, LA_PART_MERGED);
    CHECK(la_query_result(query, LA_PART_BATCH) == NULL);
    CHECK_EQ(rows->rows, 7);
    const uint8_t *marks = la_query_overflow(query, 1);
    CHECK(marks != NULL);
    CHECK(la_query_overflow(query, 0) == NULL && la_query_overflow(query, 99) == NULL);
    for (uint32_t row = 0; row < 7; row++) {
        char text[64], expected[64], tiny[4];
        const tally *t = &tallies[la_value_of(&rows->columns[2], row).text[1] - '0'];
        CHECK_EQ(la_value_of(&rows->columns[3], row).i64, t->n);
        CHECK_EQ(marks[row], 1);
        CHECK(la_column_is_null(&rows->columns[1], row));
        CHECK_OK(la_query_exact(query, 1, row, text, sizeof text, &err), &err);
        i128_text(t->huge, expected);
        CHECK_STR(text, expected);
        CHECK_OK(la_query_exact(query, 1, row, tiny, sizeof tiny, &err), &err);
        CHECK_EQ(strlen(tiny), 3);
        CHECK_OK(la_query_exact(query, 3, row, text, sizeof text, &err), &err);
        CHECK_EQ(strtoll(text, NULL, 10), t->n);
        CHECK_STATUS(la_query_exact(query, 0, row, text, sizeof text, &err),
                     LA_NOT_FOUND, &err);
    }
    char text[8];
    CHECK_STATUS(la_query_exact(query, 1, 7, text, sizeof text, &err), LA_NOT_FOUND,
                 &err);
    CHECK_STATUS(la_query_exact(query, 9, 0, text, sizeof text, &err), LA_NOT_FOUND,
                 &err);
    la_query_close(query);
    la_query_close(NULL);
}

static void
receipts_say_where_answers_come_from(void)
{
    static const char *const members[] = {
        "view",         "fingerprint",   "version",
        "catalogue",    "cutoff",        "position",
        "watermark_us", "answered_us",   "last_ingest_us",
        "durable",      "erasure_epoch", "batch_rows",
        "speed_rows",   "batch_groups",  "speed_groups",
        "rows",         "rows_by_part",  "last_batch_update_us"};
    answer a;
    la_arena arena;
    const la_json *root;
    la_error err;
    shop_ask(hourly, "{}", &a);
    la_arena_init(&arena, la_env_system());
    CHECK_OK(la_json_parse(&arena, a.receipt, strlen(a.receipt), &root, &err), &err);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        CHECK_MSG(la_json_get(root, members[i]) != NULL, "%s", members[i]);
    }
    CHECK(la_json_is(la_json_get(root, "view"), "hourly"));
    CHECK_EQ(json_number(a.receipt, "batch_rows"), a.cutoff);
    CHECK_EQ(json_number(a.receipt, "speed_rows"), ROWS - a.cutoff);
    CHECK_EQ(la_json_get(root, "watermark_us")->kind, LA_J_INT);
    CHECK_EQ(la_json_get(root, "last_batch_update_us")->kind == LA_J_NULL,
             a.version == 0);
    answer_free(&a);
    la_arena_fini(&arena);
    la_arena_init(&arena, la_env_system());
    shop_ask(hourly, "{\"as_of\":10}",
             &a); /* the log's watermark is not that prefix's */
    CHECK_OK(la_json_parse(&arena, a.receipt, strlen(a.receipt), &root, &err), &err);
    CHECK_EQ(la_json_get(root, "watermark_us")->kind, LA_J_NULL);
    answer_free(&a);
    la_arena_fini(&arena);
}

/* ----------------------------------------------------------------------- errors */

static void
wrong_questions_are_refused(void)
{
    static const struct {
        const char *spec;
        la_status status;
        const char *says; /* part of the message */
    } wrong[] = {
        {"", LA_INVALID, ""},
        {"{", LA_INVALID, ""},
        {"[]", LA_INVALID, "object"},
        {"{} x", LA_INVALID, ""},
        {"{\"key\":{}}", LA_INVALID, "\"key\""},
        {"{\"keys\":[]}", LA_INVALID, "keys"},
        {"{\"keys\":{\"custmer\":1}}", LA_NOT_FOUND, "\"customer\", \"note\""},
        {"{\"keys\":{\"customer\":7}}", LA_TYPE, "customer"},
        {"{\"keys\":{\"customer\":[\"c1\",true]}}", LA_TYPE, "customer"},
        {"{\"keys\":{\"customer\":{}}}", LA_TYPE, "customer"},
        {"{\"since\":\"today\"}", LA_INVALID, "since"},
        {"{\"since\":1.5}", LA_INVALID, "since"},
        {"{\"until\":9223372036854775808}", LA_INVALID, "until"},
        {"{\"limit\":-1}", LA_INVALID, "limit"},
        {"{\"version\":-1}", LA_INVALID, "version"},
        {"{\"as_of\":true}", LA_INVALID, "as_of"},
        {"{\"parts\":1}", LA_INVALID, "parts"},
        {"{\"columns\":[]}", LA_INVALID, "columns"},
        {"{\"columns\":\"n\"}", LA_INVALID, "columns"},
        {"{\"columns\":[1]}", LA_INVALID, "columns"},
        {"{\"columns\":[\"m\"]}", LA_NOT_FOUND, "\"m\""},
        {"{\"columns\":[\"n\",\"n\"]}", LA_INVALID, ""},
        {"{\"order_by\":\"n\"}", LA_INVALID, "order_by"},
        {"{\"order_by\":[\"n\"]}", LA_INVALID, "order_by"},
        {"{\"order_by\":[[\"n\",\"up\"]]}", LA_INVALID, "order_by"},
        {"{\"order_by\":[[\"m\",\"asc\"]]}", LA_NOT_FOUND, "\"m\""},
        {"{\"where\":[\"col\",\"n\"]}", LA_TYPE, "where"},
        {"{\"where\":[\"col\",\"m\"]}", LA_NOT_FOUND, "m"},
        {"{\"where\":7}", LA_INVALID, "where"},
        {"{\"where\":[\"gt\",[\"floordiv\",[\"col\",\"n\"],[\"lit\",\"i64\",0]],[\"lit\","
         "\"i64\",0]]}",
         LA_EVALUATION, "where"},
        {"{\"rollup\":[]}", LA_INVALID, "rollup"},
        {"{\"rollup\":{\"bye\":[]}}", LA_INVALID, "bye"},
        {"{\"rollup\":{\"by\":\"customer\"}}", LA_INVALID, "rollup.by"},
        {"{\"rollup\":{\"by\":[\"n\"]}}", LA_NOT_FOUND, "\"n\""},
        {"{\"rollup\":{\"by\":[1]}}", LA_INVALID, "rollup.by"},
        {"{\"rollup\":{\"window\":{\"kind\":\"tumbling\",\"size_us\":5400000000,"
         "\"origin_us\":0}}}",
         LA_INVALID, "nest"},
        {"{\"rollup\":{\"window\":{\"kind\":\"tumbling\",\"size_us\":7200000000,"
         "\"origin_us\":1}}}",
         LA_INVALID, "nest"},
        {"{\"rollup\":{\"window\":7}}", LA_INVALID, "window"},
        {"{\"rollup\":{\"by\":[\"customer\"]},\"columns\":[\"note\"]}", LA_NOT_FOUND,
         "note"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        answer a;
        la_error err = {0};
        la_status status = shop_ask_try(hourly, wrong[i].spec, &a, &err);
        CHECK_MSG(status == wrong[i].status, "%s is %s: %s", wrong[i].spec,
                  la_status_name(status), err.message);
        CHECK_MSG(strstr(err.message, wrong[i].says) != NULL, "%s says: %s",
                  wrong[i].spec, err.message);
    }
    answer a;
    la_error err;
    CHECK_STATUS(shop_ask_try(totals, "{\"since\":5}", &a, &err), LA_INVALID, &err);
    CHECK_STATUS(shop_ask_try(totals, "{\"rollup\":{\"window\":" DAY "}}", &a, &err),
                 LA_INVALID, &err);
    shop_check(&s, hourly, SHOP_HOURLY, "{}"); /* no harm done */
}

int
main(void)
{
    for (int stage = 0; stage < 3; stage++) {
        open_shop(stage);
        printf("-- stage %d\n", stage);
        RUN(keys_choose);
        RUN(ranges_choose);
        RUN(where_chooses);
        RUN(answers_are_ordered);
        RUN(limits_and_columns_cut);
        RUN(rollups_are_folds_of_coarser_plans);
        RUN(parts_add_up);
        RUN(the_past_is_a_fold_of_its_prefix);
        RUN(sums_that_do_not_fit_are_marked_and_exact);
        RUN(receipts_say_where_answers_come_from);
        RUN(wrong_questions_are_refused);
        close_shop();
    }
    return test_end();
}
