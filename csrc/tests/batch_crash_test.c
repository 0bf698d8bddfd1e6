/* SPDX-License-Identifier: Apache-2.0 */
/* Power cuts and failing calls at every point of a store's life: append, define, a full run, an
 * incremental run, a rollback. Afterwards the store opens, holds all that was acked, answers as
 * one fold of its log does, and goes on working. */
#include <errno.h>
#include <inttypes.h>

#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define PATH "/shop"
#define FIRST 60u
#define SECOND 25u
#define THIRD 15u

static uint64_t states; /* that were looked at */

/* LA_TEST_SCALE=20 for a torture run. */
static uint64_t
scale(void)
{
    const char *given = getenv("LA_TEST_SCALE");
    uint64_t n = given == NULL ? 1 : strtoull(given, NULL, 10);
    return n == 0 ? 1 : n;
}

/* What the workload was told to be done. */
typedef struct acked {
    uint64_t rows;
    bool hourly, totals;
    uint64_t version;    /* current one of both views, at least */
    bool rolled_back;    /* hourly, to version 1 */
    bool tried_rollback; /* it may be at version 1 */
} acked;

/* Answers of both views at each possible end of the log. */
static const uint64_t ends[] = {0, FIRST, FIRST + SECOND, FIRST + SECOND + THIRD};
static char *hourly_at[4], *totals_at[4];

static void
make_model(void)
{
    sim *disk = sim_new(1);
    shop s;
    shop_open(&s, sim_env(disk), PATH);
    shop_append(&s, FIRST);
    shop_append(&s, SECOND);
    shop_append(&s, THIRD);
    for (int i = 0; i < 4; i++) {
        hourly_at[i] = shop_fold(&s, SHOP_HOURLY, ends[i]);
        totals_at[i] = shop_fold(&s, SHOP_TOTALS, ends[i]);
    }
    shop_close(&s);
    sim_free(disk);
}

static void
free_model(void)
{
    for (int i = 0; i < 4; i++) {
        free(hourly_at[i]);
        free(totals_at[i]);
    }
}

/* ------------------------------------------------------------------ workload */

static bool
append_some(shop *s, uint32_t rows, acked *done)
{
    la_error err;
    if (shop_append_try(s, rows, &err) != LA_OK) {
        return false;
    }
    done->rows += rows;
    return true;
}

static bool
run_some(shop *s, bool incremental, acked *done)
{
    la_error err;
    la_batch_options options = {
        .cutoff = LA_NO_POSITION, .incremental = incremental, .publish = true};
    if (shop_run_try(s, &options, &err) != LA_OK) {
        return false;
    }
    done->version++;
    return true;
}

static void
live(const la_env *env, acked *done)
{
    shop s;
    la_error err;
    la_view *hourly, *totals;
    memset(done, 0, sizeof *done);
    if (shop_open_try(&s, env, PATH, &err) != LA_OK) {
        return;
    }
    if (append_some(&s, FIRST, done)) {
        done->hourly = la_view_define(s.store, "hourly", SHOP_HOURLY, false, &hourly,
                                      &err) == LA_OK;
    }
    done->totals = done->hourly && la_view_define(s.store, "totals", SHOP_TOTALS, false,
                                                  &totals, &err) == LA_OK;
    if (done->totals && run_some(&s, false, done) && append_some(&s, SECOND, done) &&
        run_some(&s, true, done) && append_some(&s, THIRD, done)) {
        done->tried_rollback = true;
        done->rolled_back = la_view_rollback(hourly, 1, &err) == LA_OK;
    }
    shop_close(&s);
}

/* ------------------------------------------------------------------- checks */

static int
end_of(uint64_t position)
{
    for (int i = 0; i < 4; i++) {
        if (ends[i] == position) {
            return i;
        }
    }
    return -1;
}

static void
check_view(shop *s, const char *name, char *const *at, const acked *done, bool must)
{
    la_view *view;
    la_error err;
    answer a;
    la_status status = la_view_open(s->store, name, &view, &err);
    CHECK(status == LA_OK || (status == LA_NOT_FOUND && !must));
    if (status != LA_OK) {
        return;
    }
    shop_ask(view, "{}", &a);
    int end = end_of(a.position);
    CHECK_MSG(end >= 0, "the log ends at %" PRIu64, a.position);
    CHECK_STR(a.rows, at[end]);
    CHECK(a.cutoff <= a.position && a.position >= done->rows);
    check_accounting(&a);
    bool went_back =
        done->tried_rollback && strcmp(name, "hourly") == 0 && a.version == 1;
    CHECK(a.version >= done->version || went_back);
    CHECK(!done->rolled_back || strcmp(name, "hourly") != 0 || a.version == 1);
    answer_free(&a);
    for (uint64_t version = 1; version <= 2; version++) { /* every kept one is whole */
        char spec[64];
        snprintf(spec, sizeof spec, "{\"version\":%" PRIu64 "}", version);
        status = shop_ask_try(view, spec, &a, &err);
        CHECK(status == LA_OK || status == LA_NOT_FOUND);
        CHECK(status == LA_OK || version > done->version);
        if (status == LA_OK) {
            CHECK_STR(a.rows, at[end_of(a.position)]);
            answer_free(&a);
        }
    }
}

static void
check_store(shop *s, const acked *done)
{
    la_error err;
    uint64_t durable = shop_durable(s);
    CHECK(durable >= done->rows && end_of(durable) >= 0);
    check_view(s, "hourly", hourly_at, done, done->hourly);
    check_view(s, "totals", totals_at, done, done->totals);
    CHECK_OK(verify_try(s->store, NULL, &err), &err);
}

/* The rest of the workload, from wherever it stopped. */
static void
go_on(shop *s, acked *done)
{
    uint64_t end = ends[3];
    if (s->rows < end) {
        for (int i = 1; i < 4; i++) {
            if (s->rows < ends[i]) {
                shop_append(s, (uint32_t)(ends[i] - s->rows));
            }
        }
    }
    done->rows = end;
    shop_define(s, "hourly", SHOP_HOURLY);
    shop_define(s, "totals", SHOP_TOTALS);
    done->hourly = done->totals = true;
    done->version = 0; /* a crash may have used up numbers */
    done->tried_rollback = true;
    done->rolled_back = false;
    shop_run(s, (la_batch_options){
                    .cutoff = LA_NO_POSITION, .incremental = true, .publish = true});
    CHECK_EQ(count_files(s->env, PATH "/views/hourly", ".tmp"), 0);
    check_store(s, done);
}

static void
check_survivor(sim *after, acked done)
{
    shop s;
    states++;
    shop_open(&s, sim_env(after), PATH);
    check_store(&s, &done);
    go_on(&s, &done);
    shop_close(&s);
    sim_reboot(after, 0); /* what was done since is durable too */
    shop_open(&s, sim_env(after), PATH);
    check_store(&s, &done);
    shop_close(&s);
    CHECK_EQ(sim_open_files(after), 0);
    CHECK_EQ(sim_open_maps(after), 0);
}

/* ------------------------------------------------------------------- crashes */

static void
survives_a_crash_at_every_call(void)
{
    uint64_t variants = 32 * scale(), seed = test_seed(), calls = 0;
    for (uint64_t n = 1;; n++) {
        sim *s = sim_new(seed + n);
        acked done;
        sim_crash_at(s, n);
        live(sim_env(s), &done);
        CHECK_EQ(sim_open_files(s), 0);
        if (!sim_crashed(s)) {
            sim_free(s);
            break;
        }
        for (uint64_t variant = 0; variant < variants; variant++) {
            sim *after = sim_survivor(s, variant);
            check_survivor(after, done);
            sim_free(after);
        }
        sim_free(s);
        calls++;
    }
    printf("    %" PRIu64 " calls, %" PRIu64 " states\n", calls, states);
}

/* Again while the recovery of the first crash is under way. */
static void
survives_two_crashes(void)
{
    uint64_t seed = test_seed(), rng = seed;
    for (uint64_t round = 0; round < 250 * scale(); round++) {
        sim *s = sim_new(test_next(&rng));
        acked done, again;
        sim_crash_at(s, 1 + test_below(&rng, 260));
        live(sim_env(s), &done);
        sim_reboot(s, test_below(&rng, 64));
        sim_crash_at(s, 1 + test_below(&rng, 60));
        live(sim_env(s), &again); /* recovers, then appends behind what is there */
        sim_reboot(s, test_below(&rng, 64));
        shop t;
        la_error err;
        states++;
        shop_open(&t, sim_env(s), PATH);
        CHECK(shop_durable(&t) >= done.rows + again.rows);
        if (done.totals) {
            shop_check(&t, shop_view(&t, "totals"), SHOP_TOTALS, "{}");
            shop_check(&t, shop_view(&t, "hourly"), SHOP_HOURLY, "{}");
        }
        CHECK_OK(verify_try(t.store, NULL, &err), &err);
        shop_define(&t, "totals", SHOP_TOTALS);
        shop_run(&t, (la_batch_options){.cutoff = LA_NO_POSITION,
                                        .incremental = true,
                                        .publish = true});
        shop_check(&t, shop_view(&t, "totals"), SHOP_TOTALS, "{}");
        shop_close(&t);
        sim_free(s);
    }
}

/* -------------------------------------------------------------------- faults */

/* Every stride-th call, another choice with each seed; all of them in a torture run. */
static void
survives_failing_calls(sim_scope scope, int os_errno, bool forever, uint64_t stride)
{
    uint64_t seed = test_seed();
    stride = scale() > 1 ? 1 : stride;
    for (uint64_t n = 1 + seed % stride;; n += stride) {
        sim *s = sim_new(seed + n);
        acked done;
        sim_short_transfers(s, n % 2 == 0);
        sim_fail_at(s, scope, n, os_errno, forever);
        live(sim_env(s), &done);
        bool fired = sim_fired(s);
        sim_fail_at(s, scope, 0, 0, false);
        CHECK_EQ(sim_open_files(s), 0);
        CHECK_EQ(sim_open_maps(s), 0);
        for (uint64_t variant = 0; variant < 4; variant++) {
            sim *after = sim_survivor(s, variant);
            check_survivor(after, done);
            sim_free(after);
        }
        check_survivor(s, done); /* no power cut at all */
        sim_free(s);
        if (!fired) {
            break;
        }
    }
}

static void
survives_each_failing_change(void)
{
    survives_failing_calls(SIM_CHANGES, EIO, false, 1);
    survives_failing_calls(SIM_CHANGES, ENOSPC, false, 1);
    survives_failing_calls(SIM_CHANGES, ENOSPC, true, 1);
}

static void
survives_each_failing_call(void)
{
    survives_failing_calls(SIM_CALLS, EIO, false, 3);
    survives_failing_calls(SIM_CALLS, EIO, true, 11);
}

static void
survives_a_full_disk(void)
{
    uint64_t seed = test_seed();
    bool full = true;
    for (uint64_t space = 2000; full; space += 997) {
        sim *s = sim_new(seed);
        acked done;
        sim_space(s, space);
        live(sim_env(s), &done);
        full = !done.rolled_back;
        CHECK_EQ(sim_open_files(s), 0);
        sim_space(s, UINT64_MAX);
        check_survivor(s, done);
        sim_free(s);
    }
}

int
main(void)
{
    make_model();
    RUN(survives_a_crash_at_every_call);
    RUN(survives_two_crashes);
    RUN(survives_each_failing_change);
    RUN(survives_each_failing_call);
    RUN(survives_a_full_disk);
    printf("    %" PRIu64 " states\n", states);
    free_model();
    return test_end();
}
