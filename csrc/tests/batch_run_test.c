/* SPDX-License-Identifier: Apache-2.0 */
/* Batch runs. The law: whatever was run when, in full or incrementally, on how many threads,
 * an answer is one fold of the log up to its position, and a version's content hash depends on
 * its cutoff alone. */
#include <inttypes.h>

#include "base/file.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define PATH "/shop"
#define HOURLY_FOLDER PATH "/views/hourly"

static uint64_t rng;

static void
check_all(shop *s)
{
    shop_check(s, shop_view(s, "hourly"), SHOP_HOURLY, "{}");
    shop_check(s, shop_view(s, "totals"), SHOP_TOTALS, "{}");
    shop_check(s, shop_view(s, "daily"), SHOP_DAILY, "{}");
}

static void
define_all(shop *s)
{
    shop_define(s, "hourly", SHOP_HOURLY);
    shop_define(s, "totals", SHOP_TOTALS);
    shop_define(s, "daily", SHOP_DAILY);
}

/* Content hashes and group counts of all views in the last report, as text. */
static char *
contents(const char *report)
{
    char *text = calloc(1, 4096);
    size_t used = 0;
    for (const char *at = report; (at = strstr(at, "\"groups\":")) != NULL; at++) {
        const char *hash = strstr(at, "\"content_hash\":");
        used += (size_t)snprintf(text + used, 4096 - used, "%.*s %.*s\n",
                                 (int)strcspn(at, ","), at, 50, hash);
    }
    return text;
}

/* ------------------------------------------------------------------ the law */

static void
random_step(shop *s, uint64_t *cutoff)
{
    la_error err;
    if (test_below(&rng, 5) == 0) {
        CHECK_OK(la_log_seal(s->orders, &err), &err);
    }
    shop_append(s, 1 + (uint32_t)test_below(&rng, test_below(&rng, 3) == 0 ? 300 : 20));
    check_all(s);
    la_batch_options options = {.cutoff =
                                    *cutoff + test_below(&rng, s->rows - *cutoff + 1),
                                .threads = 1 + (uint32_t)test_below(&rng, 4),
                                .incremental = test_below(&rng, 5) != 0,
                                .publish = true};
    char *made = contents(shop_run(s, options));
    *cutoff = options.cutoff;
    check_all(s);
    /* The same cutoff in full, and as a dry run: it must hold the same. */
    options.incremental = false;
    options.publish = false;
    char *full = contents(shop_run(s, options));
    CHECK_STR(made, full);
    free(made);
    free(full);
}

static void
the_law_holds_for_random_runs(void)
{
    for (int round = 0; round < 6; round++) {
        sim *disk = sim_new(test_next(&rng));
        shop s;
        uint64_t cutoff = 0;
        shop_open(&s, sim_env(disk), PATH);
        s.seed = test_next(&rng);
        define_all(&s);
        for (int step = 0; step < 14; step++) {
            random_step(&s, &cutoff);
        }
        uint64_t seed = s.seed;
        shop_close(&s);
        shop_open(&s, sim_env(disk), PATH); /* nothing of it lived in memory only */
        s.seed = seed;
        check_all(&s);
        la_error err;
        CHECK_OK(verify_try(s.store, NULL, &err), &err);
        shop_close(&s);
        CHECK_EQ(sim_open_files(disk), 0);
        CHECK_EQ(sim_open_maps(disk), 0);
        sim_free(disk);
    }
}

/* Enough rows that threads are really used. */
static sim *
large_shop(shop *s, uint32_t rows)
{
    sim *disk = sim_new(7);
    shop_open(s, sim_env(disk), PATH);
    define_all(s);
    for (uint32_t at = 0; at < rows; at += 25000) {
        shop_append(s, 25000);
    }
    return disk;
}

static void
threads_cannot_be_seen(void)
{
    shop s;
    sim *disk = large_shop(&s, 300000);
    char *first = NULL;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        char *made =
            contents(shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION,
                                                     .threads = threads,
                                                     .publish = threads == 1}));
        if (first != NULL) {
            CHECK_STR(made, first);
            free(made);
        }
        first = first == NULL ? made : first;
    }
    check_all(&s);
    free(first);
    shop_close(&s);
    sim_free(disk);
}

static void
budgets_are_kept(void)
{
    shop s;
    la_error err;
    sim *disk = large_shop(&s, 150000);
    bool refused = false, done = false, alone = false;
    for (uint64_t memory = 1 << 16; !done; memory += memory / 4) {
        la_batch_options options = {
            .cutoff = LA_NO_POSITION, .memory_max = memory, .threads = 2};
        la_status status = shop_run_try(&s, &options, &err);
        CHECK(status == LA_OK || status == LA_BUDGET);
        done = status == LA_OK;
        refused = refused || !done;
        options.threads = 1; /* two threads never do with less than one */
        alone = alone || shop_run_try(&s, &options, &err) == LA_OK;
        CHECK(!done || alone);
    }
    CHECK(refused);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

/* Rows fail at the end of the first range and at the start of the second: the second thread
 * finds its own first. */
static void
the_first_failing_row_stops_a_run(void)
{
#define PER_20(from)                                                                   \
    "[\"floordiv\",[\"sub\",[\"col\",\"id\"],[\"lit\",\"i64\"," #from                  \
    "]],[\"lit\",\"i64\",20]]"
    static const char plan[] =
        "{\"v\":1,\"logs\":[\"orders\"],\"by\":[],\"aggs\":[{\"name\":\"m\",\"fn\":\"max\","
        "\"arg\":[\"floordiv\",[\"floordiv\",[\"col\",\"big\"]," PER_20(
            19980) "]," PER_20(20000) "],\"filter\":null}],\"on_error\":\"stop\"}";
    sim *disk = sim_new(3);
    shop s;
    la_error err, found;
    shop_open(&s, sim_env(disk), PATH);
    la_view *view = shop_define(&s, "stops", plan);
    answer a;
    for (uint32_t i = 0; i < 8; i++) {
        shop_append(&s, 20000);
    }
    CHECK_STATUS(shop_ask_try(view, "{}", &a, &found), LA_EVALUATION, &found);
    CHECK(found.position >= 19980 && found.position < 20000);
    for (uint32_t round = 0; round < 24; round++) { /* who is first, differs */
        la_batch_options options = {
            .cutoff = LA_NO_POSITION, .threads = 1 + round % 4, .publish = true};
        CHECK_STATUS(shop_run_try(&s, &options, &err), LA_EVALUATION, &err);
        CHECK_EQ(err.position, found.position);
    }
    /* Up to there all is well. */
    shop_run(&s, (la_batch_options){.cutoff = found.position, .publish = true});
    char spec[64];
    snprintf(spec, sizeof spec, "{\"as_of\":%" PRIu64 "}", found.position);
    shop_ask(view, spec, &a);
    answer_free(&a);
    CHECK_STATUS(shop_ask_try(view, "{}", &a, &err), LA_EVALUATION, &err);
    CHECK_EQ(err.position, found.position);
    shop_close(&s);
    sim_free(disk);
}

/* ------------------------------------------------------------------- versions */

static void
unchanged_runs_publish_nothing(void)
{
    sim *disk = sim_new(4);
    shop s;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    la_batch_options options = {
        .cutoff = LA_NO_POSITION, .incremental = true, .publish = true};
    shop_run(&s, options); /* of nothing: a version all the same */
    CHECK_STR(shop_version(shop_view(&s, "hourly"), 0, "groups"), "0");
    shop_append(&s, 100);
    shop_run(&s, options);
    char *before = file_names(s.env, PATH "/catalogue");
    char *files = file_names(s.env, HOURLY_FOLDER);
    const char *report = shop_run(&s, options);
    CHECK_EQ(shop_report(report, 0, "unchanged"), 1);
    CHECK_EQ(shop_report(report, 0, "version"), 2);
    CHECK_EQ(shop_report(report, 0, "rows"), 0);
    char *after = file_names(s.env, PATH "/catalogue");
    char *files_after = file_names(s.env, HOURLY_FOLDER);
    CHECK_STR(after, before);
    CHECK_STR(files_after, files);
    free(before);
    free(after);
    free(files);
    free(files_after);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

static void
full_runs_of_the_same_rows_share_files(void)
{
    sim *disk = sim_new(4);
    shop s;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 1500);
    la_batch_options options = {.cutoff = LA_NO_POSITION, .publish = true};
    shop_run(&s, options);
    uint32_t files = count_files(s.env, HOURLY_FOLDER, ".groups");
    CHECK(files > 1);
    shop_run(&s, options);
    CHECK_EQ(count_files(s.env, HOURLY_FOLDER, ".groups"), files);
    shop_append(&s, 200); /* the first days are what they were */
    shop_run(&s, options);
    CHECK(count_files(s.env, HOURLY_FOLDER, ".groups") < 2 * files);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

static void
deltas_are_merged_in_time(void)
{
    sim *disk = sim_new(5);
    shop s;
    bool compacted = false, grew = false;
    uint64_t last = 0;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 1000);
    la_batch_options options = {
        .cutoff = LA_NO_POSITION, .incremental = true, .publish = true};
    shop_run(&s, options);
    for (uint32_t run = 0; run < 12; run++) {
        shop_append(&s, 3 + run);
        const char *report = shop_run(&s, options);
        uint64_t deltas = shop_report(report, 0, "deltas");
        CHECK(deltas <= LA_DELTAS_MAX);
        grew = grew || deltas == LA_DELTAS_MAX;
        compacted = compacted || deltas < last;
        last = deltas;
        check_all(&s);
    }
    CHECK(compacted && grew);
    shop_append(&s, 700); /* more than a quarter: at once */
    CHECK_EQ(shop_report(shop_run(&s, options), 0, "deltas"), 0);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

static void
eight_versions_are_kept(void)
{
    sim *disk = sim_new(6);
    shop s;
    la_error err;
    char *said[13] = {NULL};
    shop_open(&s, sim_env(disk), PATH);
    la_view *view = shop_define(&s, "hourly", SHOP_HOURLY);
    for (uint64_t version = 1; version <= 12; version++) {
        answer a;
        shop_append(&s, 60);
        shop_ask(view, "{}", &a);
        said[version] = strdup(a.rows);
        answer_free(&a);
        shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION,
                                        .incremental = version % 3 != 0,
                                        .publish = true});
    }
    CHECK_EQ(count_files(s.env, HOURLY_FOLDER, ".version"), LA_VERSIONS_KEPT);
    CHECK_EQ(count_files(s.env, HOURLY_FOLDER, ".tmp"), 0);
    for (uint64_t version = 1; version <= 12; version++) {
        char spec[64];
        answer a;
        snprintf(spec, sizeof spec, "{\"version\":%" PRIu64 "}", version);
        bool kept = version > 12 - LA_VERSIONS_KEPT;
        CHECK_STATUS(shop_ask_try(view, spec, &a, &err), kept ? LA_OK : LA_NOT_FOUND,
                     &err);
        if (kept) { /* what was said then, without a live part */
            CHECK_STR(a.rows, said[version]);
            CHECK_EQ(a.position, version * 60);
            CHECK_EQ(a.cutoff, version * 60);
            check_accounting(&a);
            answer_free(&a);
        }
        CHECK_STATUS(la_view_rollback(view, version, &err), kept ? LA_OK : LA_NOT_FOUND,
                     &err);
        shop_check(&s, view, SHOP_HOURLY, "{}"); /* today's answer is today's, anyway */
        free(said[version]);
    }
    CHECK_OK(la_view_rollback(view, 7, &err), &err);
    CHECK_OK(la_view_rollback(view, 0, &err), &err);
    CHECK_STR(shop_version(view, 0, "version"), "6");
    CHECK_OK(la_view_rollback(view, 5, &err), &err);
    CHECK_STATUS(la_view_rollback(view, 0, &err), LA_NOT_FOUND, &err);
    /* On from the old one; the current version is never the one that leaves. */
    for (int i = 0; i < 10; i++) {
        shop_append(&s, 10);
        shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .incremental = true});
        CHECK_STR(shop_version(view, 0, "version"), "5");
        shop_check(&s, view, SHOP_HOURLY, "{}");
    }
    CHECK_EQ(count_files(s.env, HOURLY_FOLDER, ".version"), LA_VERSIONS_KEPT);
    CHECK_OK(verify_try(s.store, NULL, &err), &err);
    shop_close(&s);
    sim_free(disk);
}

static void
a_dry_run_can_be_applied(void)
{
    sim *disk = sim_new(8);
    shop s;
    la_error err;
    answer a, b;
    shop_open(&s, sim_env(disk), PATH);
    la_view *view = shop_define(&s, "totals", SHOP_TOTALS);
    shop_append(&s, 200);
    shop_run(&s, (la_batch_options){.cutoff = 100, .publish = true});
    const char *report = shop_run(&s, (la_batch_options){.cutoff = 200});
    CHECK_EQ(shop_report(report, 0, "version"), 2);
    CHECK_STR(shop_version(view, 0, "version"), "1");
    shop_ask(view, "{\"version\":2}", &a);
    shop_ask(view, "{}", &b);
    CHECK_EQ(b.cutoff, 100);
    CHECK_STR(a.rows, b.rows);
    answer_free(&a);
    answer_free(&b);
    CHECK_OK(la_view_rollback(view, 2, &err), &err);
    shop_ask(view, "{}", &a);
    CHECK_EQ(a.cutoff, 200);
    CHECK_EQ(a.version, 2);
    answer_free(&a);
    shop_check(&s, view, SHOP_TOTALS, "{}");
    shop_close(&s);
    sim_free(disk);
}

static void
a_new_definition_is_a_candidate(void)
{
    sim *disk = sim_new(9);
    shop s;
    la_error err;
    la_view *view, *same;
    shop_open(&s, sim_env(disk), PATH);
    view = shop_define(&s, "v", SHOP_TOTALS);
    shop_append(&s, 300);
    CHECK_STATUS(la_view_define(s.store, "v", SHOP_DAILY, false, &same, &err),
                 LA_CONFLICT, &err);
    CHECK(strstr(err.message, "$.") != NULL);
    shop_check(&s, view, SHOP_TOTALS, "{}");
    /* Never published: redefined at once. */
    CHECK_OK(la_view_define(s.store, "v", SHOP_DAILY, true, &same, &err), &err);
    CHECK(view == same);
    shop_check(&s, view, SHOP_DAILY, "{}");
    shop_run(&s, (la_batch_options){.cutoff = 200, .publish = true});
    CHECK_OK(la_view_define(s.store, "v", SHOP_HOURLY, true, &same, &err), &err);
    const char *candidate = la_view_plan(view);
    shop_check(&s, view, SHOP_DAILY, "{}"); /* the published one still answers */
    shop_check(&s, view, SHOP_DAILY, "{\"as_of\":100}");
    shop_append(&s, 50);
    shop_check(&s, view, SHOP_DAILY, "{}");
    /* Incremental is asked, but another definition must be computed in full; also below the
     * old cutoff. */
    const char *report = shop_run(
        &s, (la_batch_options){.cutoff = 150, .incremental = true, .publish = true});
    CHECK_EQ(shop_report(report, 0, "incremental"), 0);
    shop_check(&s, view, SHOP_HOURLY, "{}");
    shop_check(&s, view, SHOP_HOURLY, "{\"as_of\":100}");
    CHECK_OK(la_view_define(s.store, "v", SHOP_TOTALS, true, &same, &err), &err);
    shop_check(&s, view, SHOP_HOURLY, "{}");
    shop_run(&s,
             (la_batch_options){.cutoff = 250, .incremental = true, .publish = true});
    shop_check(&s, view, SHOP_TOTALS, "{}");
    CHECK_OK(la_view_rollback(view, 1, &err), &err);
    shop_check(&s, view, SHOP_DAILY, "{}");
    CHECK(strcmp(la_view_plan(view), candidate) != 0);
    CHECK(strstr(candidate, "ratio") != NULL); /* borrowed text lives until close */
    shop_close(&s);
    sim_free(disk);
}

/* ------------------------------------------------------------------- refusals */

static void
wrong_runs_are_refused(void)
{
    sim *disk = sim_new(10);
    shop s;
    la_error err;
    la_batch *batch;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 100);
    shop_run(&s, (la_batch_options){.cutoff = 80, .publish = true});
    la_batch_options options = {.cutoff = 79, .publish = true};
    CHECK_STATUS(shop_run_try(&s, &options, &err), LA_STALE, &err);
    options.cutoff = 101;
    CHECK_STATUS(shop_run_try(&s, &options, &err), LA_NOT_FOUND, &err);
    options.cutoff = 100;
    const char *unknown[] = {"totals", "nothing"},
               *twice[] = {"totals", "daily", "totals"};
    CHECK_STATUS(la_batch_open(s.store, unknown, 2, &options, &batch, &err),
                 LA_NOT_FOUND, &err);
    CHECK_STATUS(la_batch_open(s.store, twice, 3, &options, &batch, &err), LA_INVALID,
                 &err);
    CHECK_OK(la_batch_open(s.store, twice, 2, NULL, &batch, &err), &err); /* defaults */
    la_batch_close(batch);
    la_store *reader;
    CHECK_OK(la_store_open(sim_env(disk), PATH, LA_MODE_READ, &reader, &err), &err);
    CHECK_STATUS(la_batch_open(reader, NULL, 0, &options, &batch, &err), LA_READONLY,
                 &err);
    la_store_close(reader);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

static void
one_run_at_a_time(void)
{
    sim *disk = sim_new(11);
    shop s, other;
    la_error err;
    la_batch *batch;
    la_view *view;
    la_batch_options options = {.cutoff = LA_NO_POSITION, .publish = true};
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 100);
    shop_open(&other, sim_env(disk), PATH);
    CHECK_OK(la_batch_open(s.store, NULL, 0, &options, &batch, &err), &err);
    shop *const both[] = {&s, &other};
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(shop_run_try(both[i], &options, &err), LA_BUSY, &err);
        CHECK(err.retriable);
        CHECK_STATUS(
            la_view_define(both[i]->store, "x", SHOP_DAILY, false, &view, &err),
            LA_BUSY, &err);
        CHECK_STATUS(la_view_rollback(shop_view(both[i], "daily"), 1, &err), LA_BUSY,
                     &err);
        check_all(both[i]); /* queries do not wait */
    }
    la_batch_close(batch);
    shop_run(&other, options);
    shop_run(&s, options);
    check_all(&other);
    shop_close(&other);
    shop_close(&s);
    sim_free(disk);
}

static void
a_removed_lock_file_fences_its_holder(void)
{
    sim *disk = sim_new(12);
    shop s, other;
    la_error err;
    la_batch *batch;
    la_status status;
    la_batch_options options = {.cutoff = LA_NO_POSITION, .publish = true};
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 100);
    shop_open(&other, sim_env(disk), PATH);
    CHECK_OK(la_batch_open(s.store, NULL, 0, &options, &batch, &err), &err);
    CHECK_EQ(s.env->io.unlink(s.env->io.ctx, PATH "/LOCK"), 0);
    shop_run(&other, options);
    do {
        status = la_batch_step(batch, NULL, &err);
    } while (status == LA_MORE);
    CHECK_STATUS(status, LA_BUSY, &err);
    CHECK_STATUS(la_batch_step(batch, NULL, &err), LA_BUSY, &err);
    la_batch_close(batch);
    check_all(&s);
    CHECK_STR(shop_version(shop_view(&s, "daily"), 0, "version"), "1");
    CHECK_OK(verify_try(s.store, NULL, &err), &err);
    shop_close(&other);
    shop_close(&s);
    sim_free(disk);
}

static void
an_abandoned_run_leaves_nothing(void)
{
    sim *disk = sim_new(13);
    shop s;
    la_error err;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 400);
    shop_run(&s, (la_batch_options){.cutoff = 200, .publish = true});
    char *files = file_names(s.env, HOURLY_FOLDER);
    char *documents = file_names(s.env, PATH "/catalogue");
    la_batch_options options = {
        .cutoff = LA_NO_POSITION, .incremental = true, .publish = true};
    bool done = false;
    for (int steps = 0; !done; steps++) {
        la_batch *batch;
        options.incremental = !options.incremental;
        CHECK_OK(la_batch_open(s.store, NULL, 0, &options, &batch, &err), &err);
        for (int i = 0; i < steps && !done; i++) {
            done = la_batch_step(batch, NULL, &err) == LA_OK;
        }
        CHECK_STR(done ? "" : la_batch_report(batch), done ? "" : "{}");
        la_batch_close(batch);
        char *files_now = file_names(s.env, HOURLY_FOLDER);
        char *documents_now = file_names(s.env, PATH "/catalogue");
        CHECK_EQ(strcmp(documents_now, documents) == 0, !done);
        CHECK_EQ(strcmp(files_now, files) == 0, !done);
        free(files_now);
        free(documents_now);
        check_all(&s);
    }
    free(files);
    free(documents);
    shop_close(&s);
    sim_free(disk);
}

static void
readers_outlive_sweeps(void)
{
    sim *disk = sim_new(14);
    shop s, reader = {0};
    la_error err;
    answer a;
    shop_open(&s, sim_env(disk), PATH);
    define_all(&s);
    shop_append(&s, 1500);
    shop_run(&s, (la_batch_options){.cutoff = 1200, .publish = true});
    reader.env = s.env;
    CHECK_OK(la_store_open(s.env, PATH, LA_MODE_READ, &reader.store, &err), &err);
    CHECK_OK(la_log_open(reader.store, "orders", NULL, &reader.orders, &err), &err);
    la_view *view = shop_view(&reader, "hourly");
    la_query *slow; /* asked for, then left alone while the world goes on */
    CHECK_OK(la_query_open(view, "{\"version\":1}", &slow, &err), &err);
    /* One partition only; the others are read later, when their files are gone. */
    shop_ask(view, "{\"since\":1790000000000000,\"until\":1790003600000001}", &a);
    answer_free(&a);
    for (int i = 0; i < 10; i++) {
        shop_append(&s, 30);
        shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
        if (i % 4 == 3) {
            shop_check(&reader, view, SHOP_HOURLY, "{}");
        }
    }
    CHECK_EQ(shop_check(&reader, view, SHOP_HOURLY, "{}"), 1800);
    CHECK_STATUS(la_query_step(slow, &err), LA_NOT_FOUND, &err);
    la_query_close(slow);
    la_verify *verify; /* it goes on with a catalogue whose versions leave one by one */
    uint64_t done, total;
    CHECK_OK(la_verify_open(reader.store, &verify, &err), &err);
    for (int i = 0; i < 10; i++) {
        shop_append(&s, 30);
        shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
        CHECK_STATUS(la_verify_step(verify, &done, &total, &err), LA_MORE, &err);
    }
    la_status status;
    while ((status = la_verify_step(verify, &done, &total, &err)) == LA_MORE) {
    }
    CHECK_OK(status, &err);
    la_verify_close(verify);
    la_store_close(reader.store);
    shop_close(&s);
    sim_free(disk);
}

/* The world moves between two calls of a reader: `hook` runs when a file of a view whose name
 * ends in `hook_suffix` is about to be opened. */
static int (*real_open)(void *ctx, const char *path, int flags, int mode);
static const char *hook_suffix;
static shop *hook_shop;

static int
hooked_open(void *ctx, const char *path, int flags, int mode)
{
    size_t size = strlen(path), n = hook_suffix == NULL ? 0 : strlen(hook_suffix);
    if (hook_suffix != NULL && strstr(path, "/views/") != NULL && size > n &&
        strcmp(path + size - n, hook_suffix) == 0) {
        hook_suffix = NULL;
        for (int i = 0; i < 10; i++) {
            shop_append(hook_shop, 30);
            shop_run(hook_shop,
                     (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
        }
    }
    return real_open(ctx, path, flags, mode);
}

static void
a_sweep_between_two_calls_starts_a_query_anew(void)
{
    static const char *const suffixes[] = {".version", ".groups"};
    for (size_t i = 0; i < 2; i++) {
        for (int past = 0; past < 3; past++) {
            sim *disk = sim_new(17);
            shop s, reader = {0};
            la_error err;
            answer a;
            shop_open(&s, sim_env(disk), PATH);
            define_all(&s);
            shop_append(&s, 500);
            shop_run(&s, (la_batch_options){.cutoff = 400, .publish = true});
            la_env hooked = *sim_env(disk);
            real_open = hooked.io.open;
            hooked.io.open = hooked_open;
            reader.env = &hooked;
            CHECK_OK(la_store_open(&hooked, PATH, LA_MODE_READ, &reader.store, &err),
                     &err);
            CHECK_OK(la_log_open(reader.store, "orders", NULL, &reader.orders, &err),
                     &err);
            la_view *view = shop_view(&reader, "hourly");
            hook_shop = &s;
            hook_suffix = suffixes[i];
            if (past == 0) {
                CHECK_EQ(shop_check(&reader, view, SHOP_HOURLY, "{}"), 800);
            }
            else if (past == 1) {
                CHECK_EQ(shop_check(&reader, view, SHOP_HOURLY, "{\"as_of\":450}"),
                         450);
            }
            else {
                CHECK_STATUS(shop_ask_try(view, "{\"version\":1}", &a, &err),
                             LA_NOT_FOUND, &err);
            }
            CHECK(hook_suffix == NULL);
            la_store_close(reader.store);
            shop_close(&s);
            sim_free(disk);
        }
    }
}

static void
a_receipt_alone_reads_no_files(void)
{
    sim *disk = sim_new(18);
    shop s;
    answer a;
    la_env hooked = *sim_env(disk);
    real_open = hooked.io.open;
    hooked.io.open = hooked_open;
    shop_open(&s, &hooked, PATH);
    define_all(&s);
    shop_append(&s, 100);
    shop_run(&s, (la_batch_options){.cutoff = 80, .publish = true});
    hook_suffix = ".groups";
    shop_ask(shop_view(&s, "hourly"), "{\"limit\":0}", &a);
    CHECK_EQ(a.count, 0);
    CHECK_EQ(a.position, 100);
    check_accounting(&a);
    CHECK(hook_suffix != NULL);
    hook_suffix = NULL;
    answer_free(&a);
    check_all(&s);
    shop_close(&s);
    sim_free(disk);
}

/* ------------------------------------------------------------- what must not be */

static void
empty_folder(const la_env *env, const char *folder)
{
    char *names = file_names(env, folder);
    for (char *line = strtok(names, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", folder, line);
        CHECK_EQ(env->io.unlink(env->io.ctx, path), 0);
    }
    free(names);
}

static void
copy_folder(sim *from, sim *to, const char *folder)
{
    la_error err;
    char *names = file_names(sim_env(from), folder), *rest = NULL;
    for (char *line = strtok_r(names, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char path[200];
        size_t size;
        snprintf(path, sizeof path, "%s/%s", folder, line);
        const uint8_t *data = sim_content(from, path, &size);
        CHECK_OK(la_file_publish(sim_env(to), folder, line, data, size, &err), &err);
    }
    free(names);
}

/* A log that was put back to an older state: rows that a version counts are gone. */
static void
a_log_that_lost_rows_is_noticed(void)
{
    static const char *const folders[] = {"manifest", "segments", "pages",
                                          "quarantine"};
    sim *disk = sim_new(15), *old;
    shop s;
    la_error err;
    answer a;
    shop_open(&s, sim_env(disk), PATH);
    shop_define(&s, "totals", SHOP_TOTALS);
    shop_append(&s, 50);
    shop_close(&s);
    old = sim_clone(disk);
    shop_open(&s, sim_env(disk), PATH);
    shop_append(&s, 50);
    shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION, .publish = true});
    shop_ask(shop_view(&s, "totals"), "{}", &a);
    shop_close(&s);
    CHECK_EQ(sim_env(disk)->io.unlink(sim_env(disk)->io.ctx, PATH "/logs/orders/tail"),
             0);
    for (size_t i = 0; i < 4; i++) {
        char folder[100];
        snprintf(folder, sizeof folder, PATH "/logs/orders/%s", folders[i]);
        empty_folder(sim_env(disk), folder);
        copy_folder(old, disk, folder);
    }
    shop_open(&s, sim_env(disk), PATH);
    CHECK_EQ(s.rows, 50);
    la_view *view = shop_view(&s, "totals");
    answer b;
    CHECK_STATUS(shop_ask_try(view, "{}", &b, &err), LA_DAMAGED, &err);
    CHECK(strstr(err.message, "lost rows") != NULL);
    shop_ask(view, "{\"version\":1}", &b); /* what was said then was said */
    CHECK_STR(b.rows, a.rows);
    answer_free(&b);
    shop_check(&s, view, SHOP_TOTALS, "{\"as_of\":50}");
    la_batch_options options = {.cutoff = LA_NO_POSITION, .publish = true};
    CHECK_STATUS(shop_run_try(&s, &options, &err), LA_DAMAGED, &err);
    options.publish = false; /* the way to accept it */
    shop_run(&s, options);
    CHECK_OK(la_view_rollback(view, 2, &err), &err);
    CHECK_EQ(shop_check(&s, view, SHOP_TOTALS, "{}"), 50);
    answer_free(&a);
    shop_close(&s);
    sim_free(old);
    sim_free(disk);
}

/* A version of a program whose aggregates meant something else. */
static void
states_of_another_meaning_are_not_read(void)
{
    sim *disk = sim_new(16);
    shop s;
    la_error err;
    answer a;
    la_catalogue *newest, *draft;
    shop_open(&s, sim_env(disk), PATH);
    la_view *view = shop_define(&s, "totals", SHOP_TOTALS);
    shop_append(&s, 50);
    shop_run(&s, (la_batch_options){.cutoff = 30, .publish = true});
    CHECK_OK(la_store_publish_lock(s.store, &err), &err);
    CHECK_OK(la_store_catalogue(s.store, &newest, &err), &err);
    CHECK_OK(la_catalogue_copy(newest, &draft, &err), &err);
    la_view_entry *entry = la_catalogue_view(draft, "totals");
    entry->versions[0].fingerprint[0] ^= 1;
    memcpy(entry->fingerprint, entry->versions[0].fingerprint, 32);
    CHECK_OK(la_store_publish(s.store, draft, &err), &err);
    la_catalogue_release(newest);
    la_store_publish_unlock(s.store);
    shop_close(&s);
    shop_open(&s, sim_env(disk), PATH);
    view = shop_view(&s, "totals");
    CHECK_STATUS(shop_ask_try(view, "{}", &a, &err), LA_CONFLICT, &err);
    const char *report = shop_run(&s, (la_batch_options){.cutoff = LA_NO_POSITION,
                                                         .incremental = true,
                                                         .publish = true});
    CHECK_EQ(shop_report(report, 0, "incremental"), 0);
    CHECK_EQ(shop_check(&s, view, SHOP_TOTALS, "{}"), 50);
    shop_close(&s);
    sim_free(disk);
}

int
main(void)
{
    rng = test_seed();
    RUN(the_law_holds_for_random_runs);
    RUN(threads_cannot_be_seen);
    RUN(budgets_are_kept);
    RUN(the_first_failing_row_stops_a_run);
    RUN(unchanged_runs_publish_nothing);
    RUN(full_runs_of_the_same_rows_share_files);
    RUN(deltas_are_merged_in_time);
    RUN(eight_versions_are_kept);
    RUN(a_dry_run_can_be_applied);
    RUN(a_new_definition_is_a_candidate);
    RUN(wrong_runs_are_refused);
    RUN(one_run_at_a_time);
    RUN(a_removed_lock_file_fences_its_holder);
    RUN(an_abandoned_run_leaves_nothing);
    RUN(readers_outlive_sweeps);
    RUN(a_sweep_between_two_calls_starts_a_query_anew);
    RUN(a_receipt_alone_reads_no_files);
    RUN(a_log_that_lost_rows_is_noticed);
    RUN(states_of_another_meaning_are_not_read);
    return test_end();
}
