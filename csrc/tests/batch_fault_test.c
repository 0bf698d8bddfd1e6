/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation fails once, then all from it on: every call then says so or gives the right
 * answer, nothing leaks, the catalogue is as it was, and the same call works afterwards. */
#include <inttypes.h>

#include "base/document.h"
#include "fault_env.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define PATH "/shop"

static uint64_t points; /* allocations that failed */
/* la_fold_add calls a failing allocation in an aggregate's decode damage. */
static uint64_t misreported;

/* A store with both views published up to 60 of 85 rows. */
static sim *base;
static char *hourly_rows, *totals_rows, *point_rows;

static const char POINT[] = "{\"keys\":{\"customer\":\"c3\"}}";

static void
make_base(void)
{
    base = sim_new(1);
    shop s;
    answer a;
    shop_open(&s, sim_env(base), PATH);
    shop_append(&s, 60);
    shop_define(&s, "hourly", SHOP_HOURLY);
    la_view *totals = shop_define(&s, "totals", SHOP_TOTALS);
    shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
    shop_append(&s, 25);
    hourly_rows = shop_fold(&s, SHOP_HOURLY, 85);
    totals_rows = shop_fold(&s, SHOP_TOTALS, 85);
    shop_ask(totals, POINT, &a);
    point_rows = strdup(a.rows);
    answer_free(&a);
    shop_close(&s);
}

/* ---------------------------------------------------------------------- works */

typedef la_status (*work)(shop *s, la_error *err);

static la_status
ask(shop *s, const char *name, const char *spec, const char *expected, la_error *err)
{
    la_view *view;
    answer a;
    la_status status = la_view_open(s->store, name, &view, err);
    if (status == LA_OK) {
        status = shop_ask_try(view, spec, &a, err);
    }
    if (status == LA_OK) {
        if (expected != NULL) {
            CHECK_STR(a.rows, expected);
        }
        check_accounting(&a);
        answer_free(&a);
    }
    return status;
}

static la_status
asks_all(shop *s, la_error *err)
{
    la_status status = ask(s, "hourly", "{\"parts\":true}", hourly_rows, err);
    return status == LA_OK ? ask(s, "totals", "{}", totals_rows, err) : status;
}

static la_status
asks_for_one(shop *s, la_error *err)
{
    return ask(s, "totals", POINT, point_rows, err);
}

static la_status
asks_much(shop *s, la_error *err)
{
    return ask(s, "hourly",
               "{\"keys\":{\"note\":[null,\"x\"]},\"since\":1790000000000000,"
               "\"where\":[\"gt\",[\"col\",\"n\"],[\"lit\",\"i64\",0]],\"order_by\":"
               "[[\"total\",\"desc\"]],\"limit\":5,\"columns\":[\"total\",\"note\"],"
               "\"rollup\":{\"by\":[\"note\"],\"window\":null},\"as_of\":70}",
               NULL, err);
}

static la_status
defines(shop *s, la_error *err)
{
    la_view *view;
    la_status status = la_view_define(s->store, "daily", SHOP_DAILY, false, &view, err);
    return status == LA_OK
               ? la_view_define(s->store, "totals", SHOP_HOURLY, true, &view, err)
               : status;
}

static la_status
runs_in_full(shop *s, la_error *err)
{
    la_batch_options options = {.cutoff = LA_NO_POSITION, .publish = true};
    return shop_run_try(s, &options, err);
}

static la_status
runs_incrementally(shop *s, la_error *err)
{
    la_batch_options options = {.cutoff = 62, .incremental = true, .publish = true};
    la_status status = shop_run_try(s, &options, err); /* one delta */
    options.cutoff = LA_NO_POSITION;
    return status == LA_OK ? shop_run_try(s, &options, err) : status; /* compaction */
}

static la_status
rolls_back(shop *s, la_error *err)
{
    la_view *view;
    la_status status = la_view_open(s->store, "totals", &view, err);
    return status == LA_OK ? la_view_rollback(view, 1, err) : status;
}

static la_status
reports(shop *s, la_error *err)
{
    char *json;
    la_status status = la_store_status(s->store, &json, err);
    if (status == LA_OK) {
        la_text_free(s->store, json);
        status = verify_try(s->store, NULL, err);
    }
    return status;
}

/* ---------------------------------------------------------------------- sweep */

static void
check_after(sim *s)
{
    shop t;
    la_error err;
    shop_open(&t, sim_env(s), PATH);
    shop_check(&t, shop_view(&t, "hourly"), SHOP_HOURLY, "{}");
    answer a;
    shop_ask(shop_view(&t, "totals"), "{}", &a); /* of whichever definition */
    check_accounting(&a);
    answer_free(&a);
    CHECK_OK(verify_try(t.store, NULL, &err), &err);
    shop_close(&t);
}

static bool
fail_one(work what, uint64_t n, bool forever)
{
    sim *s = sim_clone(base);
    fault_env f;
    shop t;
    la_error err;
    fault_env_init(&f, sim_env(s));
    shop_open(&t, &f.env, PATH);
    fault_env_fail_at(&f, n, forever);
    la_status status = what(&t, &err);
    bool fired = fault_env_fired(&f);
    fault_env_fail_at(&f, 0, false);
    bool known = fired && status == LA_DAMAGED &&
                 (strstr(err.message, "not of this view") != NULL ||
                  strstr(err.message, "are not those of") != NULL);
    misreported += known;
    CHECK_MSG(status == LA_OK || (fired && status == LA_NOMEM) || known,
              "allocation %" PRIu64 ": %s: %s", n, la_status_name(status), err.message);
    if (status != LA_OK) { /* the same handle goes on */
        CHECK_OK(what(&t, &err), &err);
    }
    shop_close(&t);
    CHECK_EQ(fault_env_in_use(&f), 0);
    CHECK_EQ(sim_open_files(s), 0);
    CHECK_EQ(sim_open_maps(s), 0);
    if (n % 8 == 0) {
        check_after(s);
    }
    sim_free(s);
    points += fired;
    return fired;
}

static void
sweep(work what)
{
    for (int forever = 0; forever < 2; forever++) {
        for (uint64_t n = 1; fail_one(what, n, forever != 0); n++) {
        }
    }
}

static void
asking_survives_each_allocation_failure(void)
{
    sweep(asks_all);
    sweep(asks_for_one);
    sweep(asks_much);
}

static void
defining_survives_each_allocation_failure(void)
{
    sweep(defines);
    sweep(rolls_back);
}

static void
running_survives_each_allocation_failure(void)
{
    sweep(runs_in_full);
    sweep(runs_incrementally);
}

static void
reporting_survives_each_allocation_failure(void)
{
    sweep(reports);
}

static void
opening_survives_each_allocation_failure(void)
{
    for (int fresh = 0; fresh < 2; fresh++) {
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            sim *s = fresh ? sim_new(n) : sim_clone(base);
            fault_env f;
            shop t;
            la_error err;
            fault_env_init(&f, sim_env(s));
            fault_env_fail_at(&f, n, false);
            la_status status = shop_open_try(&t, &f.env, PATH, &err);
            fired = fault_env_fired(&f);
            fault_env_fail_at(&f, 0, false);
            CHECK(status == LA_OK || (fired && status == LA_NOMEM));
            if (status == LA_OK) {
                shop_close(&t);
            }
            CHECK_EQ(fault_env_in_use(&f), 0);
            CHECK_EQ(sim_open_files(s), 0);
            shop_open(&t, &f.env, PATH);
            shop_close(&t);
            CHECK_EQ(fault_env_in_use(&f), 0);
            sim_free(s);
        }
    }
}

int
main(void)
{
    make_base();
    RUN(opening_survives_each_allocation_failure);
    RUN(asking_survives_each_allocation_failure);
    RUN(defining_survives_each_allocation_failure);
    RUN(running_survives_each_allocation_failure);
    RUN(reporting_survives_each_allocation_failure);
    printf("    %" PRIu64 " failures, %" PRIu64 " reported as damage\n", points,
           misreported);
    sim_free(base);
    free(hourly_rows);
    free(totals_rows);
    free(point_rows);
    return test_end();
}
