/* SPDX-License-Identifier: Apache-2.0 */
/* Plans: what is refused and where, canonical form, fingerprint, result schema, windows. */
#include "base/hash.h"
#include "expr/agg.h"
#include "expr/plan.h"
#include "fault_env.h"
#include "test.h"

static la_field fields[] = {
    {"b", LA_T_BOOL, 0, true},    {"i", LA_T_I32, 0, true},
    {"n", LA_T_I64, 0, true},     {"u", LA_T_U64, 0, true},
    {"f", LA_T_F32, 0, true},     {"x", LA_T_F64, 0, true},
    {"t", LA_T_TIME, 0, false},   {"d", LA_T_DATE, 0, true},
    {"m", LA_T_DECIMAL, 2, true}, {"c", LA_T_CAT, 0, true},
    {"s", LA_T_STR, 0, true},     {"raw", LA_T_BYTES, 0, true},
    {"id", LA_T_I64, 0, false},   {"m9", LA_T_DECIMAL, 9, false},
};
#define FIELD_COUNT ((uint32_t)(sizeof fields / sizeof fields[0]))

typedef struct log_source {
    la_plan_source source;
    const la_schema *schema;
    int32_t time_column;
} log_source;

static la_status
find_log(void *ctx, const char *log, const la_schema **schema, int32_t *time_column,
         la_error *err)
{
    log_source *s = ctx;
    if (strcmp(log, "orders") != 0) {
        memset(err, 0, sizeof *err);
        err->status = LA_NOT_FOUND;
        snprintf(err->message, sizeof err->message, "there is no log \"%s\"", log);
        return LA_NOT_FOUND;
    }
    *schema = s->schema;
    *time_column = s->time_column;
    return LA_OK;
}

static void
source_init(log_source *s, const la_env *env, int32_t time_column)
{
    la_error err;
    s->source.ctx = s;
    s->source.find = find_log;
    s->time_column = time_column;
    CHECK_OK(la_schema_new(env, fields, FIELD_COUNT, &s->schema, &err), &err);
}

static la_plan *
parse_good(log_source *s, const char *json)
{
    la_error err;
    la_plan *plan = NULL;
    la_status status =
        la_plan_parse(la_env_system(), json, strlen(json), &s->source, &plan, &err);
    CHECK_MSG(status == LA_OK, "%s\n%s", json, err.message);
    return plan;
}

/* -------------------------------------------------------------------- good plans */

static const char full[] =
    "{ \"v\":1, \"logs\":[\"orders\"],"
    "  \"by\":[[\"country\",[\"col\",\"c\"]],[\"big\",[\"gt\",[\"col\",\"n\"],[\"lit\",\"i64\",10]]],"
    "          [\"m\",[\"add\",[\"col\",\"m\"],[\"lit\",\"i32\",1]]],[\"id\",[\"col\",\"id\"]]],"
    "  \"window\":{\"kind\":\"tumbling\",\"size_us\":3600000000},"
    "  \"where\":[\"and\",[\"lit\",\"null\",null],[\"is_nan\",[\"col\",\"f\"]]],"
    "  \"aggs\":[{\"name\":\"rows\",\"fn\":\"len\"},"
    "            {\"name\":\"total\",\"fn\":\"sum\",\"arg\":[\"mul\",[\"col\",\"x\"],[\"lit\",\"f64\",2]]},"
    "            {\"fn\":\"max\",\"arg\":[\"col\",\"c\"],\"name\":\"top\",\"filter\":[\"col\",\"b\"]}] }";

static const char full_canonical[] =
    "{\"aggs\":[{\"arg\":null,\"filter\":null,\"fn\":\"len\",\"name\":\"rows\"},"
    "{\"arg\":[\"mul\",[\"col\",\"x\"],[\"lit\",\"f64\",2.0]],\"filter\":null,\"fn\":\"sum\",\"name\":\"total\"},"
    "{\"arg\":[\"col\",\"c\"],\"filter\":[\"col\",\"b\"],\"fn\":\"max\",\"name\":\"top\"}],"
    "\"by\":[[\"country\",[\"col\",\"c\"]],[\"big\",[\"gt\",[\"col\",\"n\"],[\"lit\",\"i64\",10]]],"
    "[\"m\",[\"add\",[\"col\",\"m\"],[\"lit\",\"i32\",1]]],[\"id\",[\"col\",\"id\"]]],"
    "\"late\":{\"then\":\"update\"},\"logs\":[\"orders\"],\"on_error\":\"set_aside\",\"v\":1,"
    "\"where\":[\"and\",[\"lit\",\"null\",null],[\"is_nan\",[\"col\",\"f\"]]],"
    "\"window\":{\"kind\":\"tumbling\",\"origin_us\":0,\"size_us\":3600000000}}";

static void
reads_a_full_plan(void)
{
    log_source s;
    source_init(&s, la_env_system(), 6);
    la_plan *plan = parse_good(&s, full);
    CHECK_STR(plan->canonical, full_canonical);
    CHECK_EQ(plan->canonical_size, strlen(full_canonical));
    CHECK_STR(plan->log, "orders");
    CHECK_EQ(plan->key_count, 4);
    CHECK_EQ(plan->agg_count, 3);
    CHECK_EQ(plan->time_column, 6);
    CHECK(plan->order_free);
    la_buf text;
    la_buf_init(&text, la_env_system());
    la_schema_to_json(plan->result_schema, &text);
    la_buf_u8(&text, 0);
    CHECK_STR(
        (const char *)text.data,
        "[{\"name\":\"country\",\"type\":\"str?\"},{\"name\":\"big\",\"type\":\"bool?\"},"
        "{\"name\":\"m\",\"type\":\"decimal(2)?\"},{\"name\":\"id\",\"type\":\"i64\"},"
        "{\"name\":\"window_start\",\"type\":\"time[us]\"},"
        "{\"name\":\"window_end\",\"type\":\"time[us]\"},"
        "{\"name\":\"rows\",\"type\":\"i64\"},{\"name\":\"total\",\"type\":\"f64?\"},"
        "{\"name\":\"top\",\"type\":\"str?\"}]");
    la_buf_fini(&text);
    /*                             b i n u f x t d m c s raw id m9 */
    static const uint8_t used[] = {1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 0};
    CHECK_BYTES(plan->columns_used, used, FIELD_COUNT);
    la_plan *again = la_plan_retain(plan);
    CHECK(again == plan);
    la_plan_release(plan);
    CHECK_EQ(la_live_count(LA_LIVE_PLAN), 1);
    la_plan_release(again);
    la_plan_release(NULL);
    la_schema_release(s.schema);
}

/* A change here is a change of what stored answers mean, or of the canonical form: every
 * store's views would become candidates. Independent of the core: Python's hashlib gave it. */
static void
fingerprint_is_golden(void)
{
    static const char plain[] =
        "{\"v\":1,\"logs\":[\"orders\"],\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"}]}";
    log_source s;
    source_init(&s, la_env_system(), 6);
    la_plan *plan = parse_good(&s, plain);
    CHECK_STR(
        plan->canonical,
        "{\"aggs\":[{\"arg\":null,\"filter\":null,\"fn\":\"len\",\"name\":\"n\"}],\"by\":[],"
        "\"late\":{\"then\":\"update\"},\"logs\":[\"orders\"],\"on_error\":\"set_aside\","
        "\"v\":1,\"where\":null,\"window\":null}");
    CHECK_EQ(la_agg_find("len")->semantics, 1);
    char hex[65];
    la_hex(plan->fingerprint, 32, hex);
    CHECK_STR(hex, "81439e002b87c02018056bd23d3c8d13aa0566c074dd646d49331505a3e70fac");
    la_plan_release(plan);
    la_schema_release(s.schema);
}

static void
fingerprint_names_the_meaning(void)
{
    static const char *const same[] = {
        "{\"v\":1,\"logs\":[\"orders\"],\"aggs\":[{\"name\":\"a\",\"fn\":\"sum\",\"arg\":[\"col\",\"n\"]}]}",
        " { \"aggs\" : [ { \"arg\" : [ \"col\", \"n\" ], \"fn\" : \"sum\", \"name\" : \"a\",\n"
        "\"filter\" : null } ], \"logs\":[\"orders\"], \"v\":1, \"by\":[], \"where\":null,"
        " \"window\":null, \"on_error\":\"set_aside\", \"late\":{\"then\":\"update\"} } ",
    };
    static const char *const others[] = {
        "{\"v\":1,\"logs\":[\"orders\"],\"aggs\":[{\"name\":\"a\",\"fn\":\"max\",\"arg\":[\"col\",\"n\"]}]}",
        "{\"v\":1,\"logs\":[\"orders\"],\"on_error\":\"null\",\"aggs\":[{\"name\":\"a\",\"fn\":\"sum\","
        "\"arg\":[\"col\",\"n\"]}]}",
    };
    log_source s;
    source_init(&s, la_env_system(), 6);
    la_plan *a = parse_good(&s, same[0]);
    la_plan *b = parse_good(&s, same[1]);
    CHECK_STR(a->canonical, b->canonical);
    CHECK_BYTES(a->fingerprint, b->fingerprint, 32);
    for (size_t i = 0; i < 2; i++) {
        la_plan *c = parse_good(&s, others[i]);
        CHECK(memcmp(a->fingerprint, c->fingerprint, 32) != 0);
        la_plan_release(c);
    }
    la_plan_release(a);
    la_plan_release(b);
    la_schema_release(s.schema);
}

/* Each as the filter of a plan, with the canonical text where it differs. */
static const char *const good_filters[][2] = {
    {"[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",0.1]]",
     "[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",0.10000000000000001]]"},
    {"[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",-0.0]]",
     "[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",\"-0.0\"]]"},
    {"[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",\"nan\"]]", NULL},
    {"[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",18446744073709551615]]",
     "[\"eq\",[\"col\",\"x\"],[\"lit\",\"f64\",1.8446744073709552e+19]]"},
    {"[\"eq\",[\"col\",\"f\"],[\"lit\",\"f32\",1e300]]",
     "[\"eq\",[\"col\",\"f\"],[\"lit\",\"f32\",\"inf\"]]"},
    {"[\"eq\",[\"cast\",[\"col\",\"n\"],\"decimal(02)\"],[\"lit\",\"decimal(02)\",5]]",
     "[\"eq\",[\"cast\",[\"col\",\"n\"],\"decimal(2)\"],[\"lit\",\"decimal(2)\",5]]"},
    {"[\"eq\",[\"col\",\"c\"],[\"lit\",\"cat\",\"DE\"]]",
     "[\"eq\",[\"col\",\"c\"],[\"lit\",\"str\",\"DE\"]]"},
    {"[\"eq\",[\"truncate\",[\"col\",\"t\"],{\"unit\":\"month\"}],[\"col\",\"d\"]]",
     "[\"eq\",[\"truncate\",[\"col\",\"t\"],{\"count\":1,\"unit\":\"month\"}],[\"col\",\"d\"]]"},
    {"[\"eq\",[\"truncate\",[\"col\",\"d\"],{\"us\":86400000000}],[\"col\",\"d\"]]",
     NULL},
    {"[\"lt\",[\"offset_by\",[\"col\",\"t\"],{\"us\":-5}],[\"col\",\"t\"]]", NULL},
    {"[\"is_in\",[\"col\",\"u\"],[[\"lit\",\"i64\",3],[\"lit\",\"i64\",-1],[\"lit\",\"i64\",3]]]",
     NULL},
    {"[\"is_in\",[\"col\",\"c\"],[]]", NULL},
    {"[\"is_null\",[\"col\",\"raw\"]]", NULL},
    {"[\"eq\",[\"col\",\"raw\"],[\"col\",\"raw\"]]", NULL},
    {"[\"eq\",[\"when\",[\"col\",\"b\"],[\"lit\",\"null\",null],[\"col\",\"c\"]],[\"col\",\"s\"]]",
     NULL},
    {"[\"lt\",[\"neg\",[\"col\",\"u\"]],[\"abs\",[\"col\",\"m\"]]]", NULL},
    {"[\"not\",[\"or\",[\"col\",\"b\"],[\"ge\",[\"div\",[\"col\",\"m\"],[\"col\",\"u\"]],[\"col\",\"x\"]]]]",
     NULL},
    {"[\"le\",[\"floordiv\",[\"col\",\"i\"],[\"lit\",\"i64\",2]],[\"mod\",[\"col\",\"x\"],[\"col\",\"f\"]]]",
     NULL},
    {"[\"eq\",[\"lit\",\"str\",\"\\u00e9\\n\\\"\"],[\"cast\",[\"col\",\"t\"],\"str\"]]",
     "[\"eq\",[\"lit\",\"str\",\"\xc3\xa9\\n\\\"\"],[\"cast\",[\"col\",\"t\"],\"str\"]]"},
    {"[\"lit\",\"null\",null]", NULL},
};

static void
canonical_form_is_its_own(void)
{
    log_source s;
    source_init(&s, la_env_system(), 6);
    for (size_t i = 0; i < sizeof good_filters / sizeof good_filters[0]; i++) {
        char json[1024], expected[1024];
        snprintf(
            json, sizeof json,
            "{\"v\":1,\"logs\":[\"orders\"],\"where\":%s,\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"}]}",
            good_filters[i][0]);
        const char *filter =
            good_filters[i][1] == NULL ? good_filters[i][0] : good_filters[i][1];
        snprintf(expected, sizeof expected, "\"where\":%s,\"window\":null}", filter);
        la_plan *plan = parse_good(&s, json);
        CHECK_STR(strstr(plan->canonical, "\"where\""), expected);
        la_plan *again = parse_good(&s, plan->canonical);
        CHECK_STR(again->canonical, plan->canonical);
        CHECK_BYTES(again->fingerprint, plan->fingerprint, 32);
        la_plan_release(again);
        la_plan_release(plan);
    }
    la_schema_release(s.schema);
}

/* --------------------------------------------------------------------- bad plans */

typedef struct bad_case {
    const char *json;
    la_status status;
    const char *message; /* its beginning */
} bad_case;

#define HEAD "{\"v\":1,\"logs\":[\"orders\"],"
#define AGGS "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"}]"
#define WHERE(e) HEAD "\"where\":" e "," AGGS "}"
#define LIT(t, v) "[\"lit\",\"" t "\"," v "]"
#define COL(c) "[\"col\",\"" c "\"]"

static const bad_case bad_plans[] = {
    {"", LA_INVALID, "$: could not read JSON"},
    {"[]", LA_INVALID, "$: expected an object, not a list"},
    {"{}", LA_INVALID, "$.v: expected the plan's version, 1, not nothing"},
    {"{\"v\":2}", LA_NEWER, "$.v: plans of version 2 cannot be read, only 1"},
    {"{\"v\":1,\"log\":1}", LA_INVALID,
     "$: there is no member \"log\" here (members: aggs, "},
    {"{\"v\":1}", LA_INVALID, "$.logs: expected a list of log names, not nothing"},
    {"{\"v\":1,\"logs\":[\"a\",\"b\"]}", LA_INVALID,
     "$.logs: expected exactly one log, not 2"},
    {"{\"v\":1,\"logs\":[3]}", LA_INVALID,
     "$.logs[0]: expected a log name, not an integer"},
    {"{\"v\":1,\"logs\":[\"x\"]}", LA_NOT_FOUND, "$.logs[0]: there is no log \"x\""},
    {HEAD "\"by\":{}," AGGS "}", LA_INVALID,
     "$.by: expected a list of [name, expression]"},
    {HEAD "\"by\":[[\"a\"]]," AGGS "}", LA_INVALID,
     "$.by[0]: expected [name, expression]"},
    {HEAD "\"by\":[[3," COL("n") "]]," AGGS "}", LA_INVALID,
     "$.by[0][0]: expected a name"},
    {HEAD "\"by\":[[\"\"," COL("n") "]]," AGGS "}", LA_INVALID,
     "$.by[0][0]: a name has 1 to"},
    {HEAD "\"by\":[[\"a\\u0000b\"," COL("n") "]]," AGGS "}", LA_INVALID,
     "$.by[0][0]: a name has no control characters"},
    {HEAD "\"by\":[[\"n\"," COL("n") "]]," AGGS "}", LA_INVALID,
     "$.aggs[0].name: the name \"n\" is there already"},
    {HEAD "\"by\":[[\"window_end\"," COL("n") "]]," AGGS "}", LA_INVALID,
     "$.by[0][0]: the name \"window_end\" is kept for windows"},
    {HEAD "\"by\":[[\"a\",[\"lit\",\"null\",null]]]," AGGS "}", LA_TYPE,
     "$.by[0][1]: a null without a type"},
    {HEAD "\"window\":3," AGGS "}", LA_INVALID, "$.window: expected null or an object"},
    {HEAD "\"window\":{\"kind\":\"hopping\"}," AGGS "}", LA_INVALID,
     "$.window.kind: this kind is reserved"},
    {HEAD "\"window\":{\"kind\":\"tumbling\",\"size_us\":0}," AGGS "}", LA_INVALID,
     "$.window.size_us: expected microseconds, an integer from 1"},
    {HEAD "\"window\":{\"kind\":\"tumbling\",\"size_us\":5,\"origin_us\":5}," AGGS "}",
     LA_INVALID,
     "$.window.origin_us: expected microseconds from 0 to below size_us, 5"},
    {HEAD "\"window\":{\"kind\":\"tumbling\",\"size_us\":5,\"unit\":\"day\"}," AGGS "}",
     LA_INVALID,
     "$.window: there is no member \"unit\" here (members: kind, origin_us, size_us)"},
    {HEAD "\"window\":{\"kind\":\"calendar\",\"unit\":\"hour\"}," AGGS "}", LA_INVALID,
     "$.window.unit: expected \"day\""},
    {HEAD "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":0}," AGGS "}",
     LA_INVALID, "$.window.count: expected an integer from 1 to"},
    {HEAD "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"tz\":\"CET\"}," AGGS
          "}",
     LA_INVALID, "$.window.tz: expected \"UTC\""},
    {WHERE(COL("n")), LA_TYPE, "$.where: expected a bool, not i64"},
    {WHERE("{}"), LA_INVALID,
     "$.where: expected an expression, [operation, ...], not an object"},
    {WHERE("[]"), LA_INVALID,
     "$.where: expected an expression, [operation, ...], not a list"},
    {WHERE("[\"frobnicate\",1]"), LA_INVALID,
     "$.where[0]: there is no operation \"frobnicate\""},
    {WHERE("[\"eq\"," COL("n") "]"), LA_INVALID,
     "$.where: expected [\"eq\", a, b], found 1 items after the operation"},
    {WHERE("[\"eq\"," COL("n") "," COL("amout") "]"), LA_NOT_FOUND,
     "$.where[2]: no column \"amout\" in log \"orders\" (columns: b, i, n, u, f, x, t, d, m, "
     "c, s, raw, id, m9)"},
    {WHERE("[\"col\",1]"), LA_INVALID, "$.where[1]: expected the name of a column"},
    {WHERE("[\"eq\"," COL("n") "," COL("s") "]"), LA_TYPE,
     "$.where: \"eq\" takes two values of types that compare, not i64 and str"},
    {WHERE("[\"eq\"," COL("t") "," LIT("str", "\"2026-01-01\"") "]"), LA_TYPE,
     "$.where: \"eq\" takes"},
    {WHERE("[\"eq\"," LIT("null", "null") "," LIT("null", "null") "]"), LA_TYPE,
     "$.where: \"eq\" takes two values of types that compare, not null and null"},
    {WHERE("[\"lt\",[\"add\"," COL("b") "," COL("n") "]," COL("n") "]"), LA_TYPE,
     "$.where[1]: \"add\" takes two numbers, not bool and i64"},
    {WHERE("[\"lt\",[\"add\"," COL("t") "," COL("n") "]," COL("n") "]"), LA_TYPE,
     "$.where[1]: \"add\" takes two numbers, not time[us] and i64"},
    {WHERE("[\"lt\",[\"mod\"," COL("m") "," COL("n") "]," COL("n") "]"), LA_TYPE,
     "$.where[1]: \"mod\" takes two integers or floats, not decimal(2) and i64"},
    {WHERE("[\"lt\",[\"mul\"," COL("m9") ",[\"mul\"," COL("m9") "," COL("m") "]]," COL(
         "n") "]"),
     LA_TYPE, "$.where[1]: the product of decimal(9) and decimal(11) has scale 20"},
    {WHERE("[\"lt\",[\"neg\"," COL("s") "]," COL("n") "]"), LA_TYPE,
     "$.where[1]: \"neg\" takes a number, not str"},
    {WHERE("[\"and\"," COL("b") "," COL("n") "]"), LA_TYPE,
     "$.where[2]: expected a bool, not i64"},
    {WHERE("[\"is_nan\"," COL("n") "]"), LA_TYPE,
     "$.where: \"is_nan\" takes a float, not i64"},
    {WHERE("[\"is_null\"," LIT("null", "null") "]"), LA_TYPE,
     "$.where: \"is_null\" takes a value with a type, not null"},
    {WHERE("[\"fill_null\"," COL("b") "," COL("n") "]"), LA_TYPE,
     "$.where: \"fill_null\" takes two values of one type, not bool and i64"},
    {WHERE("[\"when\"," COL("n") "," COL("b") "," COL("b") "]"), LA_TYPE,
     "$.where[1]: expected a bool, not i64"},
    {WHERE("[\"when\"," COL("b") "," COL("d") "," COL("t") "]"), LA_TYPE,
     "$.where: \"when\" takes two values of one type, not date and time[us]"},
    {WHERE("[\"cast\"," COL("s") ",\"bool\"]"), LA_TYPE,
     "$.where: a cast from str to bool is not there"},
    {WHERE("[\"cast\"," COL("s") ",\"int\"]"), LA_INVALID,
     "$.where[2]: there is no type \"int\""},
    {WHERE("[\"cast\"," COL("s") ",\"i64?\"]"), LA_INVALID,
     "$.where[2]: a cast has no \"?\""},
    {WHERE("[\"is_in\"," COL("n") "," COL("u") "]"), LA_INVALID,
     "$.where[2][0]: expected a literal, [\"lit\", TYPE, value]"},
    {WHERE("[\"is_in\"," COL("n") ",3]"), LA_INVALID,
     "$.where[2]: expected a list of literals"},
    {WHERE("[\"is_in\"," COL("n") ",[" LIT("i64", "1") "," LIT("i64", "null") "]]"),
     LA_INVALID, "$.where[2][1]: a null equals nothing"},
    {WHERE("[\"is_in\"," COL("n") ",[" LIT("i64", "1") "," LIT("str", "\"a\"") "]]"),
     LA_TYPE,
     "$.where[2][1]: \"is_in\" takes a value and literals of its type, not i64 and str"},
    {WHERE("[\"eq\"," COL("n") "," LIT("i64", "1.5") "]"), LA_TYPE,
     "$.where[2][2]: a literal of type i64 is an integer, not a float"},
    {WHERE("[\"eq\"," COL("n") "," LIT("i32", "2147483648") "]"), LA_INVALID,
     "$.where[2][2]: the literal does not fit type i32"},
    {WHERE("[\"eq\"," COL("n") "," LIT("u64", "-1") "]"), LA_INVALID,
     "$.where[2][2]: the literal does not fit type u64"},
    {WHERE("[\"eq\"," COL("m") "," LIT("decimal(2)", "1000000000000000000") "]"),
     LA_INVALID, "$.where[2][2]: the literal does not fit type decimal(2)"},
    {WHERE("[\"eq\"," COL("x") "," LIT("f64", "\"NaN\"") "]"), LA_TYPE,
     "$.where[2][2]: a literal of type f64 is a number, \"nan\""},
    {WHERE("[\"eq\"," COL("x") "," LIT("f65", "1") "]"), LA_INVALID,
     "$.where[2][1]: there is no type \"f65\""},
    {WHERE("[\"eq\"," COL("raw") "," LIT("bytes", "\"a\"") "]"), LA_INVALID,
     "$.where[2][1]: there are no literals of type \"bytes\""},
    {WHERE("[\"eq\"," COL("n") "," LIT("null", "1") "]"), LA_TYPE,
     "$.where[2][2]: a literal of type null is null, not an integer"},
    {WHERE("[\"eq\",[\"truncate\"," COL("n") ",{\"us\":1}]," COL("t") "]"), LA_TYPE,
     "$.where[1]: \"truncate\" takes a time or date, not i64"},
    {WHERE("[\"eq\",[\"truncate\"," COL("t") ",{\"us\":0}]," COL("t") "]"), LA_INVALID,
     "$.where[1][2].us: expected microseconds, an integer from 1"},
    {WHERE("[\"eq\",[\"truncate\"," COL("d") ",{\"us\":5}]," COL("t") "]"), LA_INVALID,
     "$.where[1][2]: a date is truncated to whole days"},
    {WHERE(
         "[\"eq\",[\"truncate\"," COL("t") ",{\"unit\":\"fortnight\"}]," COL("t") "]"),
     LA_INVALID, "$.where[1][2].unit: expected \"day\""},
    {WHERE("[\"eq\",[\"truncate\"," COL("t") ",7]," COL("t") "]"), LA_INVALID,
     "$.where[1][2]: expected an object such as {\"us\":N}, not an integer"},
    {WHERE("[\"eq\",[\"offset_by\"," COL("d") ",{\"us\":1}]," COL("t") "]"), LA_TYPE,
     "$.where[1]: \"offset_by\" takes a time, not date"},
    {WHERE("[\"eq\",[\"offset_by\"," COL("t") ",{\"ms\":1}]," COL("t") "]"), LA_INVALID,
     "$.where[1][2]: there is no member \"ms\" here (members: us)"},
    {HEAD "\"aggs\":[]}", LA_INVALID, "$.aggs: 0 aggregates, 1 to 256 are possible"},
    {HEAD "\"aggs\":[3]}", LA_INVALID, "$.aggs[0]: expected an object"},
    {HEAD "\"aggs\":[{\"name\":\"a\"}]}", LA_INVALID,
     "$.aggs[0].fn: expected the name of an agg"},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"median\"}]}", LA_INVALID,
     "$.aggs[0].fn: there is no aggregate \"median\" (there are: len, "},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"len\",\"by\":1}]}", LA_INVALID,
     "$.aggs[0]: there is no member \"by\" here (members: arg, filter, fn, name)"},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"len\"},{\"name\":\"b\",\"fn\":\"sum\"}]}",
     LA_INVALID, "$.aggs[1].arg: \"sum\" needs an argument"},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"len\",\"arg\":" COL("n") "}]}",
     LA_INVALID, "$.aggs[0].arg: \"len\" takes no argument"},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"sum\",\"arg\":" COL("s") "}]}", LA_TYPE,
     "$.aggs[0].arg: "},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"sum\",\"arg\":[\"mul\"," COL("n") "," COL(
         "q") "]}]}",
     LA_NOT_FOUND, "$.aggs[0].arg[2]: no column \"q\" in log \"orders\""},
    {HEAD "\"aggs\":[{\"name\":\"a\",\"fn\":\"len\",\"filter\":" COL("n") "}]}",
     LA_TYPE, "$.aggs[0].filter: expected a bool, not i64"},
    {HEAD "\"on_error\":\"raise\"," AGGS "}", LA_INVALID,
     "$.on_error: expected \"set_aside\""},
    {HEAD "\"late\":{\"then\":\"drop\"}," AGGS "}", LA_INVALID,
     "$.late: expected {\"then\":\"update\"}: others are reserved"},
};

static void
bad_plans_name_their_place(void)
{
    log_source s;
    source_init(&s, la_env_system(), 6);
    for (size_t i = 0; i < sizeof bad_plans / sizeof bad_plans[0]; i++) {
        const bad_case *bad = &bad_plans[i];
        la_error err;
        la_plan *plan = NULL;
        la_status status = la_plan_parse(la_env_system(), bad->json, strlen(bad->json),
                                         &s.source, &plan, &err);
        bool place = status != LA_OK &&
                     strncmp(err.message, bad->message, strlen(bad->message)) == 0;
        CHECK_MSG(status == bad->status && place, "%s\n%s: %s\nexpected %s: %s",
                  bad->json, la_status_name(status), status == LA_OK ? "" : err.message,
                  la_status_name(bad->status), bad->message);
        CHECK(plan == NULL);
        CHECK_EQ(la_plan_parse(la_env_system(), bad->json, strlen(bad->json), &s.source,
                               &plan, NULL),
                 bad->status);
    }
    la_schema_release(s.schema);
}

static void
windows_need_event_time(void)
{
    static const char json[] =
        HEAD "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\"}," AGGS "}";
    log_source s;
    source_init(&s, la_env_system(), -1);
    la_error err;
    la_plan *plan;
    CHECK_STATUS(
        la_plan_parse(la_env_system(), json, strlen(json), &s.source, &plan, &err),
        LA_INVALID, &err);
    CHECK_STR(err.message,
              "$.window: log \"orders\" has no event time to take windows from");
    la_schema_release(s.schema);
}

static void
order_matters_to_first_and_last(void)
{
    static const char json[] = HEAD
        "\"aggs\":[{\"name\":\"a\",\"fn\":\"len\"},{\"name\":\"b\",\"fn\":\"first\",\"arg\":" COL(
            "n") "}]}";
    log_source s;
    source_init(&s, la_env_system(), 6);
    la_plan *plan = parse_good(&s, json);
    CHECK_EQ(plan->order_free, la_agg_find("first")->order_free);
    CHECK_EQ(plan->columns_used[6], 1); /* t */
    CHECK_EQ(plan->columns_used[2], 1); /* n */
    CHECK_EQ(plan->columns_used[0], 0);
    la_plan_release(plan);
    s.time_column = -1;
    plan = parse_good(&s, json);
    CHECK_EQ(plan->columns_used[6], 0);
    la_plan_release(plan);
    la_schema_release(s.schema);
}

static void
failures_make_keys_nullable(void)
{
    static const char json[] = HEAD "\"by\":[[\"k\",[\"add\"," COL("id") "," LIT(
        "i64", "1") "]]],\"on_error\":\"%s\"," AGGS "}";
    char text[512];
    log_source s;
    source_init(&s, la_env_system(), 6);
    snprintf(text, sizeof text, json, "null");
    la_plan *plan = parse_good(&s, text);
    CHECK(la_schema_field(plan->result_schema, 0)->nullable);
    la_plan_release(plan);
    snprintf(text, sizeof text, json, "stop");
    plan = parse_good(&s, text);
    CHECK(!la_schema_field(plan->result_schema, 0)->nullable);
    la_plan_release(plan);
    la_schema_release(s.schema);
}

/* ------------------------------------------------------------------------ bounds */

static la_status
parse_repeated(log_source *s, const char *head, const char *open, const char *middle,
               const char *close, const char *tail, int times, la_error *err)
{
    la_buf text;
    la_buf_init(&text, la_env_system());
    la_buf_text(&text, head);
    for (int i = 0; i < times; i++) {
        la_buf_printf(&text, open, i);
    }
    la_buf_text(&text, middle);
    for (int i = 0; i < times; i++) {
        la_buf_text(&text, close);
    }
    la_buf_text(&text, tail);
    la_plan *plan = NULL;
    la_status status = la_plan_parse(la_env_system(), (const char *)text.data,
                                     text.size, &s->source, &plan, err);
    la_plan_release(plan);
    la_buf_fini(&text);
    return status;
}

static void
bounds_are_kept(void)
{
    log_source s;
    source_init(&s, la_env_system(), 6);
    la_error err;
    CHECK_OK(parse_repeated(&s, HEAD "\"where\":", "[\"not\",", COL("b"), "]",
                            "," AGGS "}", 50, &err),
             &err);
    CHECK_STATUS(parse_repeated(&s, HEAD "\"where\":", "[\"not\",", COL("b"), "]",
                                "," AGGS "}", 70, &err),
                 LA_INVALID, &err);
    CHECK_STATUS(parse_repeated(&s, HEAD "\"by\":[[\"x\"," COL("n") "]",
                                ",[\"k%d\"," COL("n") "]", "", "", "]," AGGS "}", 16,
                                &err),
                 LA_INVALID, &err);
    CHECK_STR(err.message, "$.by: 17 keys, at most 16 are possible");
    CHECK_STATUS(parse_repeated(&s, HEAD "\"aggs\":[{\"name\":\"x\",\"fn\":\"len\"}",
                                ",{\"name\":\"a%d\",\"fn\":\"len\"}", "", "", "]}", 256,
                                &err),
                 LA_INVALID, &err);
    CHECK_STR(err.message, "$.aggs: 257 aggregates, 1 to 256 are possible");
    /* 255 aggregates of 17 operations are more than 4,096 together. */
#define E                                                                              \
    "[\"not\",[\"not\",[\"not\",[\"not\",[\"not\",[\"not\",[\"not\",[\"not\",[\"not\","
    CHECK_STATUS(parse_repeated(&s, HEAD "\"aggs\":[{\"name\":\"x\",\"fn\":\"len\"}",
                                ",{\"name\":\"a%d\",\"fn\":\"len\",\"filter\":" E E COL(
                                    "b") "]]]]]]]]]]]]]]]]]]}",
                                "", "", "]}", 255, &err),
                 LA_INVALID, &err);
    CHECK(strstr(err.message, "more than 4096 operations") != NULL);
#undef E
    CHECK_STATUS(
        parse_repeated(&s, HEAD "\"where\":[\"eq\"," COL("s") ",[\"lit\",\"str\",\"",
                       "x", "", "", "\"]]," AGGS "}", 32769, &err),
        LA_INVALID, &err);
    CHECK_STR(err.message,
              "$.where[2][2]: a literal has at most 32768 bytes, this one has 32769");
    char name[200];
    memset(name, 'k', sizeof name);
    name[129] = 0;
    char json[512];
    snprintf(json, sizeof json, HEAD "\"by\":[[\"%s\"," COL("n") "]]," AGGS "}", name);
    la_plan *plan;
    CHECK_STATUS(
        la_plan_parse(la_env_system(), json, strlen(json), &s.source, &plan, &err),
        LA_INVALID, &err);
    la_schema_release(s.schema);
}

/* ------------------------------------------------------------------- allocations */

static void
survives_failing_allocations(void)
{
    fault_env f;
    fault_env_init(&f, la_env_system());
    log_source s;
    source_init(&s, la_env_system(), 6);
    for (uint64_t n = 1;; n++) {
        fault_env_fail_at(&f, n, n % 2 == 0);
        la_error err;
        la_plan *plan = NULL;
        la_status status =
            la_plan_parse(&f.env, full, strlen(full), &s.source, &plan, &err);
        bool fired = fault_env_fired(&f);
        CHECK_MSG(status == (fired ? LA_NOMEM : LA_OK), "allocation %llu: %s",
                  (unsigned long long)n, status == LA_OK ? "" : err.message);
        la_plan_release(plan);
        CHECK_EQ(fault_env_in_use(&f), 0);
        if (!fired) {
            CHECK(n > 5);
            break;
        }
    }
    la_schema_release(s.schema);
}

/* ----------------------------------------------------------------------- windows */

static la_window
random_window(uint64_t *rng)
{
    static const int64_t sizes[] = {1,          7,           1000000,
                                    3600000000, 86400000000, 604800000000};
    la_window w = {.kind = LA_WINDOW_TUMBLING};
    if (test_below(rng, 2) == 0) {
        w.size_us = sizes[test_below(rng, 6)] * (int64_t)(1 + test_below(rng, 40));
        if (test_below(rng, 10) == 0) {
            w.size_us = (int64_t)(test_next(rng) >> 1 >> test_below(rng, 60)) + 1;
        }
        w.origin_us = test_below(rng, 2) == 0
                          ? 0
                          : (int64_t)(test_next(rng) % (uint64_t)w.size_us);
        return w;
    }
    w.kind = LA_WINDOW_CALENDAR;
    w.unit = (la_unit)test_below(rng, 5);
    w.count = (int64_t)(1 + test_below(rng, test_below(rng, 4) == 0 ? 5000 : 6));
    return w;
}

static int64_t
random_time(uint64_t *rng)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MIN + 1, -1,       0,
                                    1,         INT64_MAX - 1, INT64_MAX};
    if (test_below(rng, 10) == 0) {
        return edges[test_below(rng, 7)];
    }
    int64_t bits = (int64_t)test_next(rng);
    return bits >> test_below(rng, 63);
}

static void
windows_hold_their_times(void)
{
    uint64_t rng = test_seed();
    for (int i = 0; i < 200000; i++) {
        la_window w = random_window(&rng);
        int64_t t = random_time(&rng);
        int64_t start = la_window_start(&w, t);
        int64_t end = la_window_end(&w, start);
        CHECK(start <= t);
        CHECK(t < end || end == INT64_MAX);
        CHECK_EQ(la_window_start(&w, start), start);
        CHECK_EQ(la_window_end(&w, t), end);
        if (end != INT64_MAX) {
            CHECK_EQ(la_window_start(&w, end), end);
            CHECK_EQ(la_window_start(&w, end - 1), start);
        }
        if (w.kind == LA_WINDOW_TUMBLING && start != INT64_MIN) {
            __int128 behind = (__int128)start - w.origin_us;
            CHECK(behind % w.size_us == 0);
            CHECK(end == INT64_MAX || end - start == w.size_us);
        }
    }
    la_window none = {.kind = LA_WINDOW_NONE};
    CHECK_EQ(la_window_start(&none, 5), 0);
    CHECK_EQ(la_window_end(&none, 0), INT64_MAX);
}

/* By the definition: no boundary of the outer one lies inside a window of the inner one. */
static bool
nests_by_force(const la_window *inner, const la_window *outer, uint64_t *rng)
{
    for (int i = 0; i < 3000; i++) {
        int64_t t = random_time(rng) >> 8; /* away from clamped ends */
        int64_t boundary = la_window_start(outer, t);
        if (la_window_start(inner, boundary) != boundary) {
            return false;
        }
    }
    return true;
}

static void
nesting_is_as_by_force(void)
{
    uint64_t rng = test_seed();
    int nested = 0;
    for (int i = 0; i < 3000; i++) {
        la_window inner = random_window(&rng);
        la_window outer = random_window(&rng);
        if (i % 3 == 0 && inner.kind == outer.kind) { /* make it likely */
            outer = inner;
            if (outer.kind == LA_WINDOW_TUMBLING) {
                int64_t times = (int64_t)(1 + test_below(&rng, 9));
                if (__builtin_mul_overflow(inner.size_us, times, &outer.size_us)) {
                    continue;
                }
            }
            else {
                outer.count *= (int64_t)(1 + test_below(&rng, 9));
            }
        }
        /* Windows longer than the times tried have too few boundaries to tell. */
        if ((outer.kind == LA_WINDOW_TUMBLING && outer.size_us > INT64_MAX >> 20) ||
            (outer.kind == LA_WINDOW_CALENDAR && outer.count > 100)) {
            continue;
        }
        bool nests = la_window_nests(&inner, &outer);
        bool force = nests_by_force(&inner, &outer, &rng);
        CHECK_MSG(
            nests == force,
            "inner %d size %lld origin %lld unit %d count %lld; outer %d %lld %lld %d %lld",
            (int)inner.kind, (long long)inner.size_us, (long long)inner.origin_us,
            (int)inner.unit, (long long)inner.count, (int)outer.kind,
            (long long)outer.size_us, (long long)outer.origin_us, (int)outer.unit,
            (long long)outer.count);
        nested += nests;
    }
    CHECK(nested > 100);
}

static void
nesting_of_known_windows(void)
{
#define TUMBLING(s, o)                                                                 \
    {                                                                                  \
        .kind = LA_WINDOW_TUMBLING, .size_us = (s), .origin_us = (o)                   \
    }
#define CALENDAR(u, c)                                                                 \
    {                                                                                  \
        .kind = LA_WINDOW_CALENDAR, .unit = LA_UNIT_##u, .count = (c)                  \
    }
    const int64_t day = LA_US_PER_DAY, hour = day / 24;
    const struct {
        la_window inner, outer;
        bool nests;
    } cases[] = {
        {TUMBLING(hour, 0), CALENDAR(MONTH, 1), true},
        {TUMBLING(hour, 1), CALENDAR(MONTH, 1), false},
        {TUMBLING(day, 0), CALENDAR(DAY, 1), true},
        {CALENDAR(DAY, 1), TUMBLING(day, 0), true},
        {CALENDAR(DAY, 1), CALENDAR(WEEK, 1), true},
        {CALENDAR(WEEK, 1), CALENDAR(MONTH, 1), false},
        {CALENDAR(WEEK, 1), TUMBLING(14 * day, 4 * day),
         true}, /* 1970-01-05, a Monday */
        {CALENDAR(WEEK, 1), TUMBLING(14 * day, 0), false},
        {CALENDAR(WEEK, 1), CALENDAR(YEAR, 400), false}, /* 1970-01-01 is a Thursday */
        {TUMBLING(7 * day, 0), CALENDAR(YEAR, 400), true}, /* an era is 20,871 weeks */
        {TUMBLING(7 * day, 0), CALENDAR(YEAR, 200), false},
        {CALENDAR(YEAR, 1), TUMBLING(146097 * day, 0), true},
        {CALENDAR(YEAR, 3), TUMBLING(146097 * day, 0), false},
        {CALENDAR(MONTH, 1), TUMBLING(31 * day, 0), false},
        {CALENDAR(MONTH, 3), CALENDAR(QUARTER, 1), true},
        {CALENDAR(QUARTER, 1), CALENDAR(MONTH, 3), true},
        {CALENDAR(QUARTER, 1), CALENDAR(YEAR, 1), true},
        {CALENDAR(MONTH, 5), CALENDAR(YEAR, 1), false},
        {CALENDAR(YEAR, 1), {.kind = LA_WINDOW_NONE}, true},
        {{.kind = LA_WINDOW_NONE}, CALENDAR(YEAR, 1), false},
        {{.kind = LA_WINDOW_NONE}, {.kind = LA_WINDOW_NONE}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK_MSG(la_window_nests(&cases[i].inner, &cases[i].outer) == cases[i].nests,
                  "case %zu", i);
    }
}

static void
windows_read_on_their_own(void)
{
    la_error err;
    la_arena arena;
    la_arena_init(&arena, la_env_system());
    const la_json *json;
    static const char text[] =
        "{\"kind\":\"calendar\",\"unit\":\"quarter\",\"count\":2}";
    CHECK_OK(la_json_parse(&arena, text, strlen(text), &json, &err), &err);
    la_window w;
    CHECK_OK(la_window_parse(json, "$.rollup.window", &w, &err), &err);
    CHECK_EQ(w.kind, LA_WINDOW_CALENDAR);
    CHECK_EQ(w.unit, LA_UNIT_QUARTER);
    CHECK_EQ(w.count, 2);
    CHECK_OK(la_json_parse(&arena, "{}", 2, &json, &err), &err);
    CHECK_STATUS(la_window_parse(json, "$.rollup.window", &w, &err), LA_INVALID, &err);
    CHECK_STR(err.message,
              "$.rollup.window.kind: expected \"tumbling\" or \"calendar\"");
    la_arena_fini(&arena);
}

int
main(void)
{
    RUN(reads_a_full_plan);
    RUN(fingerprint_is_golden);
    RUN(fingerprint_names_the_meaning);
    RUN(canonical_form_is_its_own);
    RUN(bad_plans_name_their_place);
    RUN(windows_need_event_time);
    RUN(order_matters_to_first_and_last);
    RUN(failures_make_keys_nullable);
    RUN(bounds_are_kept);
    RUN(survives_failing_allocations);
    RUN(windows_hold_their_times);
    RUN(nesting_is_as_by_force);
    RUN(nesting_of_known_windows);
    RUN(windows_read_on_their_own);
    return test_end();
}
