/* SPDX-License-Identifier: Apache-2.0 */
/* The merge by itself: two folds of any two parts of a log, zipped, are one fold of both. */
#include "merge/merge.h"

#include "log/log.h"
#include "shop.h"
#include "sim_env.h"
#include "test.h"

#define ROWS 400u

static sim *disk;
static shop s;
static la_plan *plan;
static uint64_t rng;

static la_status
make_empty(void *ctx, la_fold **out, la_error *err)
{
    return la_fold_new(ctx, LA_MEMORY_DEFAULT, out, err);
}

/* A fold of [from, to). */
static la_fold *
fold_range(uint64_t from, uint64_t to)
{
    la_snapshot *snapshot;
    la_reader *reader;
    la_fold *fold;
    la_error err;
    CHECK_OK(la_fold_new(plan, LA_MEMORY_DEFAULT, &fold, &err), &err);
    CHECK_OK(la_log_snapshot(s.orders, &snapshot, &err), &err);
    CHECK_OK(la_reader_open(snapshot, from, to, plan->columns_used, &reader, &err),
             &err);
    for (;;) {
        const la_chunk *chunk;
        CHECK_OK(la_reader_next(reader, &chunk, &err), &err);
        if (chunk->rows == 0) {
            break;
        }
        CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
    }
    la_reader_close(reader);
    la_snapshot_release(snapshot);
    return fold;
}

/* Random groups of a fold, in key order. */
static uint32_t *
some_groups(const la_fold *fold, uint32_t *count, bool all)
{
    la_error err;
    uint32_t groups = la_fold_group_count(fold);
    uint32_t *order = malloc((groups + 1) * sizeof *order);
    CHECK_OK(la_fold_sorted(fold, order, &err), &err);
    *count = 0;
    for (uint32_t i = 0; i < groups; i++) {
        order[*count] = order[i];
        *count += all || test_below(&rng, 2) == 0;
    }
    return order;
}

static void
check_rows(const la_merge *merge)
{
    la_buf last, key;
    la_buf_init(&last, s.env);
    la_buf_init(&key, s.env);
    for (uint32_t i = 0; i < merge->count; i++) {
        const la_merge_row *row = &merge->rows[i];
        uint32_t group;
        const la_fold *fold = la_merge_source(merge, row, &group);
        CHECK((row->merged != UINT32_MAX) ==
              (row->batch != UINT32_MAX && row->speed != UINT32_MAX));
        la_buf_clear(&key);
        la_fold_key(fold, group, &key);
        size_t n = key.size < last.size ? key.size : last.size;
        int c = n == 0 ? 0 : memcmp(last.data, key.data, n);
        CHECK(i == 0 || c < 0 || (c == 0 && last.size < key.size));
        la_buf_clear(&last);
        la_buf_put(&last, key.data, key.size);
    }
    la_buf_fini(&last);
    la_buf_fini(&key);
}

static void
check_split(uint64_t cutoff, bool all)
{
    la_fold *batch = fold_range(0, cutoff), *speed = fold_range(cutoff, ROWS);
    uint32_t batch_count, speed_count;
    uint32_t *batch_groups = some_groups(batch, &batch_count, all);
    uint32_t *speed_groups = some_groups(speed, &speed_count, all);
    la_merge merge;
    la_merge_shape of_plan = {plan, make_empty};
    la_error err;
    CHECK_OK(la_merge_init(&merge, s.env, batch, batch_groups, batch_count, speed,
                           speed_groups, speed_count, &of_plan, &err),
             &err);
    check_rows(&merge);
    la_chunk *chunk;
    const uint8_t *overflow[LA_AGGREGATES_MAX];
    CHECK_OK(la_merge_finish(&merge, merge.rows, merge.count, &chunk, overflow, &err),
             &err);
    char *rows = chunk_rows(s.env, chunk, NULL);
    if (all) {
        char *expected = shop_fold(&s, SHOP_HOURLY, ROWS);
        CHECK_STR(rows, expected);
        free(expected);
    }
    la_chunk_free(chunk);
    /* Any rows in any order: the same lines. */
    uint32_t picked = merge.count == 0 ? 0 : (uint32_t)test_below(&rng, merge.count);
    CHECK_OK(la_merge_finish(&merge, merge.rows + merge.count - picked, picked, &chunk,
                             overflow, &err),
             &err);
    CHECK_EQ(chunk->rows, picked);
    char *tail = chunk_rows(s.env, chunk, NULL);
    CHECK_STR(tail, rows + strlen(rows) - strlen(tail));
    la_chunk_free(chunk);
    free(tail);
    free(rows);
    la_merge_fini(&merge);
    la_merge_fini(&merge);
    free(batch_groups);
    free(speed_groups);
    la_fold_free(batch);
    la_fold_free(speed);
}

static void
two_sides_are_one_fold(void)
{
    for (uint64_t cutoff = 0; cutoff <= ROWS; cutoff += 1 + test_below(&rng, 20)) {
        check_split(cutoff, true);
    }
    check_split(ROWS, true);
}

static void
chosen_groups_keep_their_order(void)
{
    for (int i = 0; i < 40; i++) {
        check_split(test_below(&rng, ROWS + 1), false);
    }
}

int
main(void)
{
    la_error err;
    rng = test_seed();
    disk = sim_new(1);
    shop_open(&s, sim_env(disk), "/shop");
    shop_append(&s, ROWS);
    CHECK_OK(la_store_plan(s.store, SHOP_HOURLY, &plan, &err), &err);
    RUN(two_sides_are_one_fold);
    RUN(chosen_groups_keep_their_order);
    la_plan_release(plan);
    shop_close(&s);
    sim_free(disk);
    return test_end();
}
