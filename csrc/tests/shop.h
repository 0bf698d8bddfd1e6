/* SPDX-License-Identifier: Apache-2.0 */
/* A store with a log of orders, for tests of views, batch, merge and query. An order is a pure
 * function of its number and a seed, so a test knows the log without reading it.
 *
 *     shop s;
 *     shop_open(&s, sim_env(sim), "/shop");
 *     shop_append(&s, 500);
 *     la_view *view = shop_define(&s, "hourly", SHOP_HOURLY);
 *     shop_run(&s, (la_batch_options){.cutoff = 300, .publish = true});
 *     shop_check(&s, view, "{}");     the answer is one fold of [0, its own position)
 *     shop_close(&s);
 *
 * What ends in _try returns a status; all else must succeed. */
#ifndef LA_TESTS_SHOP_H
#define LA_TESTS_SHOP_H

#include "base/json.h"
#include "expr/plan.h"
#include "fold/fold.h"
#include "views/store.h"

typedef struct shop {
    const la_env *env;
    la_store *store;
    la_log *orders;
    uint64_t seed;
    uint64_t rows; /* appended and acked so far */
} shop;

/* id i64 (dedupe), ts time, customer cat, note str?, amount decimal(2), qty i32?, price f64?,
 * big i64; orders with qty below -5 are quarantined. */
extern const char *const SHOP_ORDERS;
/* By customer and note, hours of ts; customer c6 filtered, qty 0 fails. All aggregates. */
extern const char *const SHOP_HOURLY;
/* By customer, without windows; `huge` overflows. */
extern const char *const SHOP_TOTALS;
/* By nothing, days. */
extern const char *const SHOP_DAILY;

void shop_open(shop *s, const la_env *env, const char *path);
la_status shop_open_try(shop *s, const la_env *env, const char *path, la_error *err);
void shop_close(shop *s);

/* The next `count` orders, durable. On failure s->rows stays. */
void shop_append(shop *s, uint32_t count);
la_status shop_append_try(shop *s, uint32_t count, la_error *err);
uint64_t shop_durable(shop *s);

la_view *shop_define(shop *s, const char *name, const char *plan);
la_view *shop_view(shop *s, const char *name);

/* All views; the report, until the next call of a shop_run. */
const char *shop_run(shop *s, la_batch_options options);
la_status shop_run_try(shop *s, const la_batch_options *options, la_error *err);
/* Member of the report's view `i`. */
uint64_t shop_report(const char *report, uint32_t view, const char *member);
/* The view's version as status shows it, `number` 0: the current; member as text, until the
 * next call. */
const char *shop_version(la_view *view, uint64_t number, const char *member);

typedef struct answer {
    char *rows; /* a line a row, its cells as text, '!' after one that does not fit */
    char *batch, *speed; /* with parts */
    char *receipt;
    uint32_t count;
    uint64_t position, cutoff, version;
} answer;
void shop_ask(la_view *view, const char *spec, answer *out);
la_status shop_ask_try(la_view *view, const char *spec, answer *out, la_error *err);
void answer_free(answer *a);
/* counted + filtered + ... == position, in all and in each part. */
void check_accounting(const answer *a);

/* A fold of [0, position) from nothing; la_fold_free it. */
la_fold *shop_states(shop *s, la_plan *plan, uint64_t position);
/* The rows that a fold of [0, position) from nothing gives; free() them. */
char *shop_fold(shop *s, const char *plan, uint64_t position);
char *chunk_rows(const la_env *env, const la_chunk *chunk, const la_query *query);
/* Asks `spec` (which must not choose rows) and compares with shop_fold at the answer's own
 * position under `plan`; checks the accounting. Returns that position. */
uint64_t shop_check(shop *s, la_view *view, const char *plan, const char *spec);

/* A number member of a JSON text. */
uint64_t json_number(const char *json, const char *name);
/* Files of a folder that end in `suffix`. */
uint32_t count_files(const la_env *env, const char *folder, const char *suffix);
/* Names of a folder, sorted, a line each; free() them. */
char *file_names(const la_env *env, const char *folder);
/* Steps until something other than LA_MORE. */
la_status verify_try(la_store *store, char **report, la_error *err);

#endif
