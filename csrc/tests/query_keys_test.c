/* SPDX-License-Identifier: Apache-2.0 */
/* Key filters by keys of every type: each value that an answer shows selects exactly the rows
 * that show it. */
#include <inttypes.h>

#include "chunk/value.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

static const char plan[] =
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":["
    "[\"customer\",[\"col\",\"customer\"]],[\"note\",[\"col\",\"note\"]],"
    "[\"qty\",[\"col\",\"qty\"]],[\"price\",[\"col\",\"price\"]],"
    "[\"flag\",[\"gt\",[\"col\",\"qty\"],[\"lit\",\"i32\",3]]],"
    "[\"day\",[\"cast\",[\"col\",\"ts\"],\"date\"]],[\"ts\",[\"col\",\"ts\"]],"
    "[\"amount\",[\"col\",\"amount\"]],[\"id\",[\"col\",\"id\"]],"
    "[\"unsigned\",[\"cast\",[\"col\",\"big\"],\"u64\"]],"
    "[\"single\",[\"cast\",[\"col\",\"price\"],\"f32\"]]],"
    "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\",\"arg\":null,\"filter\":null}],"
    "\"on_error\":\"null\"}";
#define KEYS 11u

static void
put_literal(la_buf *to, const la_value *value)
{
    if (value->null) {
        la_buf_text(to, "null");
        return;
    }
    switch (value->type) {
    case LA_T_BOOL:
        la_buf_text(to, value->i64 ? "true" : "false");
        break;
    case LA_T_F32:
    case LA_T_F64:
        if (value->f64 - value->f64 != 0) {
            la_buf_text(to, value->f64 != value->f64 ? "\"nan\""
                            : value->f64 > 0         ? "\"inf\""
                                                     : "\"-inf\"");
        }
        else {
            la_buf_printf(to, "%.17g", value->f64);
        }
        break;
    case LA_T_STR:
        la_json_put_text(to, value->text, value->size);
        break;
    case LA_T_U64:
        la_buf_printf(to, "%" PRIu64, (uint64_t)value->i64);
        break;
    default:
        la_buf_printf(to, "%" PRId64, value->i64);
    }
}

static uint32_t
count_same(const la_chunk *rows, uint32_t column, uint32_t row)
{
    la_value wanted = la_value_of(&rows->columns[column], row);
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->rows; i++) {
        la_value value = la_value_of(&rows->columns[column], i);
        count += value.null == wanted.null &&
                 (value.null || la_value_compare(&value, &wanted) == 0);
    }
    return count;
}

static la_query *
asked(la_view *view, const char *spec)
{
    la_query *query;
    la_error err;
    la_status status;
    CHECK_OK(la_query_open(view, spec, &query, &err), &err);
    while ((status = la_query_step(query, &err)) == LA_MORE) {
    }
    CHECK_OK(status, &err);
    return query;
}

static void
check_key(la_view *view, const la_chunk *rows, uint32_t column, uint32_t row)
{
    la_value wanted = la_value_of(&rows->columns[column], row);
    la_buf spec;
    la_buf_init(&spec, la_env_system());
    la_buf_printf(&spec,
                  "{\"keys\":{\"%s\":", la_schema_field(rows->schema, column)->name);
    put_literal(&spec, &wanted);
    la_buf_text(&spec, "}}");
    la_buf_u8(&spec, 0);
    la_query *query = asked(view, (const char *)spec.data);
    const la_chunk *found = la_query_result(query, LA_PART_MERGED);
    CHECK_MSG(found->rows == count_same(rows, column, row), "%s: %u rows, not %u",
              (const char *)spec.data, found->rows, count_same(rows, column, row));
    for (uint32_t i = 0; i < found->rows; i++) {
        la_value value = la_value_of(&found->columns[column], i);
        CHECK(value.null == wanted.null &&
              (value.null || la_value_compare(&value, &wanted) == 0));
    }
    la_query_close(query);
    la_buf_fini(&spec);
}

static void
every_value_selects_its_rows(void)
{
    sim *disk = sim_new(1);
    shop s;
    shop_open(&s, sim_env(disk), "/shop");
    shop_append(&s, 250);
    la_view *view = shop_define(&s, "typed", plan);
    shop_run(&s, (la_batch_options){.cutoff = 150, .publish = true});
    la_query *all = asked(view, "{}");
    const la_chunk *rows = la_query_result(all, LA_PART_MERGED);
    CHECK(rows->rows > 200);
    for (uint32_t row = 0; row < rows->rows; row += 3) {
        for (uint32_t column = 0; column < KEYS; column++) {
            check_key(view, rows, column, row);
        }
    }
    la_query_close(all);
    shop_close(&s);
    sim_free(disk);
}

static void
values_of_other_types_are_refused(void)
{
    static const char *const wrong[] = {"\"qty\":1.0",
                                        "\"qty\":2147483648",
                                        "\"qty\":-2147483649",
                                        "\"qty\":\"1\"",
                                        "\"price\":\"1\"",
                                        "\"price\":true",
                                        "\"flag\":1",
                                        "\"day\":\"2026-01-01\"",
                                        "\"day\":99999999999",
                                        "\"ts\":1.5",
                                        "\"id\":9223372036854775808",
                                        "\"unsigned\":-1",
                                        "\"note\":1",
                                        "\"unsigned\":18446744073709551616.0",
                                        "\"amount\":9.99",
                                        "\"flag\":[[]]"};
    static const char *const right[] = {
        "\"price\":1",        "\"price\":18446744073709551615",
        "\"price\":\"-0.0\"", "\"unsigned\":18446744073709551615",
        "\"unsigned\":0",     "\"qty\":-2147483648",
        "\"single\":0.1"};
    sim *disk = sim_new(1);
    shop s;
    char spec[100];
    answer a;
    la_error err;
    shop_open(&s, sim_env(disk), "/shop");
    shop_append(&s, 20);
    la_view *view = shop_define(&s, "typed", plan);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        snprintf(spec, sizeof spec, "{\"keys\":{%s}}", wrong[i]);
        la_status status = shop_ask_try(view, spec, &a, &err);
        CHECK_MSG(status == LA_TYPE, "%s: %s", spec, la_status_name(status));
    }
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        snprintf(spec, sizeof spec, "{\"keys\":{%s}}", right[i]);
        shop_ask(view, spec, &a);
        answer_free(&a);
    }
    shop_close(&s);
    sim_free(disk);
}

int
main(void)
{
    RUN(every_value_selects_its_rows);
    RUN(values_of_other_types_are_refused);
    return test_end();
}
