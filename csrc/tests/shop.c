/* SPDX-License-Identifier: Apache-2.0 */
#include "shop.h"

#include "chunk/value.h"
#include "fold/fold.h"
#include "log/log.h"
#include "test.h"

#define COL(name) "[\"col\",\"" name "\"]"
#define AGG(name, fn, arg)                                                             \
    "{\"name\":\"" name "\",\"fn\":\"" fn "\",\"arg\":" arg ",\"filter\":null}"

const char *const SHOP_ORDERS =
    "{\"fields\":[{\"name\":\"id\",\"type\":\"i64\"},"
    "{\"name\":\"ts\",\"type\":\"time[us]\"},"
    "{\"name\":\"customer\",\"type\":\"cat\"},"
    "{\"name\":\"note\",\"type\":\"str\",\"nullable\":true},"
    "{\"name\":\"amount\",\"type\":\"decimal(2)\"},"
    "{\"name\":\"qty\",\"type\":\"i32\",\"nullable\":true},"
    "{\"name\":\"price\",\"type\":\"f64\",\"nullable\":true},"
    "{\"name\":\"big\",\"type\":\"i64\"}],"
    "\"time\":\"ts\",\"dedupe\":[\"id\"],"
    "\"check\":[[\"ge\"," COL("qty") ",[\"lit\",\"i32\",-5]]]}";

const char *const SHOP_HOURLY =
    "{\"v\":1,\"logs\":[\"orders\"],"
    "\"by\":[[\"customer\"," COL("customer") "],[\"note\"," COL(
        "note") "]],"
                "\"window\":{\"kind\":\"tumbling\",\"size_us\":3600000000,\"origin_us\":0},"
                "\"where\":[\"ne\"," COL(
                    "customer") ",[\"lit\",\"str\",\"c6\"]],"
                                "\"aggs\":[" AGG("n", "len", "null") "," AGG(
                                    "total", "sum",
                                    COL("amount")) "," AGG("mean", "mean", COL("price")) "," AGG("low",
                                                                                                 "min", COL("price")) "," AGG("high", "max", COL("qty")) "," AGG("first", "first", COL("price")) "," AGG("last", "last", COL("note")) "," AGG("kinds", "n_unique", COL("qty")) "," AGG("prices",
                                                                                                                                                                                                                                                                                       "sum", COL("price")) "," AGG("ratio",
                                                                                                                                                                                                                                                                                                                    "max",
                                                                                                                                                                                                                                                                                                                    "[\"floordiv\"," COL("big") "," COL("qty") "]") ","
                                                                                                                                                                                                                                                                                                                                                                    "{\"name\":\"some\",\"fn\":\"count\",\"arg\":" COL(
                                                                                                                                                                                                                                                                                                                                                                        "price") ",\"filter\":[\"gt\"," COL("qty") ",[\"lit\",\"i32\",3]]}],"
                                                                                                                                                                                                                                                                                                                                                                                                                   "\"on_error\":\"set_aside\"}";

const char *const SHOP_TOTALS =
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"customer\"," COL(
        "customer") "]],"
                    "\"aggs\":[" AGG("n", "len", "null") "," AGG(
                        "huge", "sum",
                        COL("big")) "," AGG("mean", "mean",
                                            COL("price")) "," AGG("ids", "n_unique",
                                                                  COL("id")) "]}";

const char *const SHOP_DAILY =
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":[],"
    "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"},"
    "\"aggs\":[" AGG("n", "len", "null") "," AGG("prices", "sum", COL("price")) "]}";

/* ------------------------------------------------------------------- opening */

la_status
shop_open_try(shop *s, const la_env *env, const char *path, la_error *err)
{
    memset(s, 0, sizeof *s);
    s->env = env;
    s->seed = 1;
    la_status status = la_store_open(env, path, LA_MODE_WRITE, &s->store, err);
    if (status == LA_OK) {
        status = la_log_open(s->store, "orders", SHOP_ORDERS, &s->orders, err);
        if (status != LA_OK) {
            la_store_close(s->store);
            memset(s, 0, sizeof *s);
        }
    }
    if (status == LA_OK) {
        uint64_t published;
        status = la_log_positions(s->orders, &s->rows, &published, err);
        if (status != LA_OK) {
            shop_close(s);
        }
    }
    return status;
}

void
shop_open(shop *s, const la_env *env, const char *path)
{
    la_error err;
    CHECK_OK(shop_open_try(s, env, path, &err), &err);
}

void
shop_close(shop *s)
{
    la_store_close(s->store);
    memset(s, 0, sizeof *s);
}

/* -------------------------------------------------------------------- orders */

enum { ID, TS, CUSTOMER, NOTE, AMOUNT, QTY, PRICE, BIG };

static la_status
put_price(la_builder *b, uint64_t r, la_error *err)
{
    switch (r % 50) {
    case 0:
    case 1:
        return la_builder_null(b, PRICE, err);
    case 2:
        return la_builder_float(b, PRICE, r % 5000 == 2 ? __builtin_nan("") : -0.0,
                                err);
    case 3:
        return la_builder_float(b, PRICE, r % 100 < 50 ? 1e300 : -1e300, err);
    default:
        return la_builder_float(b, PRICE, (double)(int64_t)(r % 200000) / 128.0 - 100.1,
                                err);
    }
}

static la_status
put_order(la_builder *b, uint64_t number, uint64_t seed, la_error *err)
{
    static const int64_t start = INT64_C(1790000000000000);
    uint64_t state = seed * 1000003u + number, r = test_next(&state);
    bool again = number > 20 && r % 23 == 0;
    int64_t id = (int64_t)(again ? number - 1 - r / 23 % 20 : number);
    int64_t ts = start + (int64_t)number * 97000000 -
                 (int64_t)(test_next(&state) % 7200) * 1000000;
    char text[16];
    la_status status = la_builder_int(b, ID, id, err);
    if (status == LA_OK) {
        status = la_builder_int(b, TS, ts, err);
    }
    if (status == LA_OK) {
        int size =
            snprintf(text, sizeof text, "c%u", (unsigned)(test_next(&state) % 7));
        status = la_builder_text(b, CUSTOMER, text, (size_t)size, err);
    }
    uint64_t note = test_next(&state) % 4;
    if (status == LA_OK) {
        /* "", "x\0y" and null are different keys */
        status = note == 0   ? la_builder_null(b, NOTE, err)
                 : note == 1 ? la_builder_text(b, NOTE, "", 0, err)
                 : note == 2 ? la_builder_text(b, NOTE, "x\0y", 3, err)
                             : la_builder_text(b, NOTE, "x", 1, err);
    }
    if (status == LA_OK) {
        status = la_builder_int(b, AMOUNT,
                                (int64_t)(test_next(&state) % 1000000) - 1000, err);
    }
    uint64_t qty = test_next(&state) % 40;
    if (status == LA_OK) {
        status = qty == 39 ? la_builder_null(b, QTY, err)
                           : la_builder_int(b, QTY, (int64_t)qty - 6, err);
    }
    if (status == LA_OK) {
        status = put_price(b, test_next(&state), err);
    }
    if (status == LA_OK) {
        status = la_builder_int(b, BIG, INT64_MAX - (int64_t)(test_next(&state) % 1000),
                                err);
    }
    return status;
}

la_status
shop_append_try(shop *s, uint32_t count, la_error *err)
{
    static const la_append_options options = {.sync = LA_SYNC_COMMIT,
                                              .on_bad = LA_BAD_QUARANTINE};
    la_builder *builder;
    la_status status = la_builder_new(s->env, la_log_schema(s->orders), &builder, err);
    if (status != LA_OK) {
        return status;
    }
    for (uint32_t i = 0; i < count && status == LA_OK; i++) {
        status = put_order(builder, s->rows + i, s->seed, err);
    }
    la_chunk *chunk = NULL;
    if (status == LA_OK) {
        status = la_builder_finish(builder, &chunk, err);
    }
    la_appended done;
    if (status == LA_OK) {
        status =
            la_log_append(s->orders, chunk, NULL, NULL, NULL, &options, &done, err);
    }
    if (status == LA_OK) {
        CHECK_EQ(done.first, s->rows);
        CHECK_EQ(done.rows, count);
        CHECK_EQ(done.durable, true);
        s->rows += count;
    }
    la_chunk_free(chunk);
    la_builder_free(builder);
    return status;
}

void
shop_append(shop *s, uint32_t count)
{
    la_error err;
    CHECK_OK(shop_append_try(s, count, &err), &err);
}

uint64_t
shop_durable(shop *s)
{
    uint64_t durable, published;
    la_error err;
    CHECK_OK(la_log_positions(s->orders, &durable, &published, &err), &err);
    return durable;
}

/* --------------------------------------------------------------------- views */

la_view *
shop_define(shop *s, const char *name, const char *plan)
{
    la_view *view;
    la_error err;
    CHECK_OK(la_view_define(s->store, name, plan, false, &view, &err), &err);
    return view;
}

la_view *
shop_view(shop *s, const char *name)
{
    la_view *view;
    la_error err;
    CHECK_OK(la_view_open(s->store, name, &view, &err), &err);
    return view;
}

static char last_report[65536];

la_status
shop_run_try(shop *s, const la_batch_options *options, la_error *err)
{
    la_batch *batch;
    la_status status = la_batch_open(s->store, NULL, 0, options, &batch, err);
    if (status != LA_OK) {
        return status;
    }
    do {
        la_progress progress;
        status = la_batch_step(batch, &progress, err);
        CHECK(progress.rows_done <= progress.rows_total);
        CHECK(progress.views_done <= progress.views_total);
    } while (status == LA_MORE);
    snprintf(last_report, sizeof last_report, "%s", la_batch_report(batch));
    la_batch_close(batch);
    return status;
}

const char *
shop_run(shop *s, la_batch_options options)
{
    la_error err;
    CHECK_OK(shop_run_try(s, &options, &err), &err);
    return last_report;
}

static const la_json *
parse(la_arena *arena, const char *text)
{
    const la_json *root;
    la_error err;
    la_arena_init(arena, la_env_system());
    CHECK_OK(la_json_parse(arena, text, strlen(text), &root, &err), &err);
    return root;
}

uint64_t
shop_report(const char *report, uint32_t view, const char *member)
{
    la_arena arena;
    const la_json *views = la_json_get(parse(&arena, report), "views");
    CHECK(views != NULL && view < views->list.count);
    const la_json *node = la_json_get(&views->list.items[view], member);
    CHECK_MSG(node != NULL, "%s in %s", member, report);
    uint64_t value = node->kind == LA_J_BOOL ? node->boolean : (uint64_t)node->i64;
    la_arena_fini(&arena);
    return value;
}

const char *
shop_version(la_view *view, uint64_t number, const char *member)
{
    static char text[4096];
    char *json;
    la_error err;
    la_arena arena;
    CHECK_OK(la_view_status(view, &json, &err), &err);
    const la_json *root = parse(&arena, json);
    const la_json *versions = la_json_get(root, "versions");
    const la_json *current = la_json_get(root, "current");
    uint64_t wanted = number == 0 ? (uint64_t)current->i64 : number;
    text[0] = '\0';
    for (uint32_t i = 0; i < versions->list.count; i++) {
        const la_json *version = &versions->list.items[i];
        if ((uint64_t)la_json_get(version, "version")->i64 == wanted) {
            la_buf buf;
            la_buf_init(&buf, la_env_system());
            la_json_put(&buf, la_json_get(version, member));
            la_buf_u8(&buf, 0);
            snprintf(text, sizeof text, "%s", (const char *)buf.data);
            la_buf_fini(&buf);
        }
    }
    la_arena_fini(&arena);
    la_text_free(view->store, json);
    return text;
}

/* ------------------------------------------------------------------- answers */

static void
put_cell(la_buf *to, const la_column *column, uint32_t row)
{
    la_value value = la_value_of(column, row);
    if (value.null) {
        la_buf_text(to, "-");
        return;
    }
    la_buf_text(to, "'");
    if (value.type == LA_T_STR || value.type == LA_T_CAT || value.type == LA_T_BYTES) {
        la_json_put_text(to, value.text, value.size);
    }
    else {
        la_value_text(to, &value);
    }
    la_buf_text(to, "'");
}

char *
chunk_rows(const la_env *env, const la_chunk *chunk, const la_query *query)
{
    (void)env;
    la_buf text;
    la_buf_init(&text, la_env_system());
    for (uint32_t row = 0; row < chunk->rows; row++) {
        for (uint32_t c = 0; c < chunk->column_count; c++) {
            la_buf_text(&text, c == 0 ? "" : " ");
            put_cell(&text, &chunk->columns[c], row);
            const uint8_t *overflow =
                query == NULL ? NULL : la_query_overflow(query, c);
            if (overflow != NULL && overflow[row]) {
                la_buf_text(&text, "!");
            }
        }
        la_buf_text(&text, "\n");
    }
    la_buf_u8(&text, 0);
    return (char *)text.data; /* malloc'd by the system's environment */
}

uint64_t
json_number(const char *json, const char *name)
{
    la_arena arena;
    const la_json *node = la_json_get(parse(&arena, json), name);
    CHECK_MSG(node != NULL, "%s in %s", name, json);
    if (node->kind == LA_J_OBJECT) { /* {"orders":N} */
        node = &node->list.items[1];
    }
    CHECK_MSG(node->kind == LA_J_INT, "%s in %s", name, json);
    uint64_t value = (uint64_t)node->i64;
    la_arena_fini(&arena);
    return value;
}

static void
take_answer(la_query *query, answer *out)
{
    const la_chunk *merged = la_query_result(query, LA_PART_MERGED);
    const la_chunk *batch = la_query_result(query, LA_PART_BATCH);
    const la_chunk *speed = la_query_result(query, LA_PART_SPEED);
    CHECK(merged != NULL && (batch == NULL) == (speed == NULL));
    memset(out, 0, sizeof *out);
    out->count = merged->rows;
    out->rows = chunk_rows(NULL, merged, query);
    if (batch != NULL) {
        CHECK_EQ(batch->rows, merged->rows);
        CHECK_EQ(speed->rows, merged->rows);
        out->batch = chunk_rows(NULL, batch, NULL);
        out->speed = chunk_rows(NULL, speed, NULL);
    }
    out->receipt = strdup(la_query_receipt(query));
    out->position = json_number(out->receipt, "position");
    out->cutoff = json_number(out->receipt, "cutoff");
    out->version = json_number(out->receipt, "version");
}

la_status
shop_ask_try(la_view *view, const char *spec, answer *out, la_error *err)
{
    la_query *query;
    la_status status = la_query_open(view, spec, &query, err);
    if (status != LA_OK) {
        return status;
    }
    do {
        status = la_query_step(query, err);
    } while (status == LA_MORE);
    if (status == LA_OK) {
        take_answer(query, out);
    }
    la_query_close(query);
    return status;
}

void
shop_ask(la_view *view, const char *spec, answer *out)
{
    la_error err;
    CHECK_OK(shop_ask_try(view, spec, out, &err), &err);
}

void
answer_free(answer *a)
{
    free(a->rows);
    free(a->batch);
    free(a->speed);
    free(a->receipt);
    memset(a, 0, sizeof *a);
}

static uint64_t
sum_of_classes(const la_json *counts)
{
    static const char *const classes[] = {"counted",     "filtered",  "failed",
                                          "late",        "duplicate", "retracted",
                                          "quarantined", "erased"};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        const la_json *node = la_json_get(counts, classes[i]);
        CHECK(node != NULL && node->kind == LA_J_INT);
        sum += (uint64_t)node->i64;
    }
    return sum;
}

void
check_accounting(const answer *a)
{
    la_arena arena;
    const la_json *root = parse(&arena, a->receipt);
    const la_json *parts = la_json_get(root, "rows_by_part");
    CHECK_EQ(sum_of_classes(la_json_get(root, "rows")), a->position);
    CHECK_EQ(sum_of_classes(la_json_get(parts, "batch")), a->cutoff);
    CHECK_EQ(sum_of_classes(la_json_get(parts, "speed")), a->position - a->cutoff);
    la_arena_fini(&arena);
}

/* -------------------------------------------------------------------- oracle */

la_fold *
shop_states(shop *s, la_plan *plan, uint64_t position)
{
    la_snapshot *snapshot;
    la_reader *reader;
    la_fold *fold;
    la_error err;
    CHECK_OK(la_fold_new(plan, LA_MEMORY_DEFAULT, &fold, &err), &err);
    CHECK_OK(la_log_snapshot(s->orders, &snapshot, &err), &err);
    CHECK(position <= la_snapshot_end(snapshot));
    CHECK_OK(la_reader_open(snapshot, 0, position, plan->columns_used, &reader, &err),
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

static char *
overflowing_rows(const la_chunk *chunk, const uint8_t **overflow, uint32_t agg_count)
{
    la_buf text;
    la_buf_init(&text, la_env_system());
    for (uint32_t row = 0; row < chunk->rows; row++) {
        for (uint32_t c = 0; c < chunk->column_count; c++) {
            uint32_t first = chunk->column_count - agg_count;
            la_buf_text(&text, c == 0 ? "" : " ");
            put_cell(&text, &chunk->columns[c], row);
            if (c >= first && overflow[c - first] != NULL && overflow[c - first][row]) {
                la_buf_text(&text, "!");
            }
        }
        la_buf_text(&text, "\n");
    }
    la_buf_u8(&text, 0);
    return (char *)text.data;
}

char *
shop_fold(shop *s, const char *plan_text, uint64_t position)
{
    la_plan *plan;
    la_error err;
    CHECK_OK(la_store_plan(s->store, plan_text, &plan, &err), &err);
    la_fold *fold = shop_states(s, plan, position);
    uint32_t count = la_fold_group_count(fold);
    uint32_t *order = malloc((count + 1) * sizeof *order);
    const uint8_t *overflow[LA_AGGREGATES_MAX];
    la_chunk *chunk;
    CHECK_OK(la_fold_sorted(fold, order, &err), &err);
    CHECK_OK(la_fold_finish(fold, order, count, &chunk, overflow, &err), &err);
    char *rows = overflowing_rows(chunk, overflow, plan->agg_count);
    la_chunk_free(chunk);
    free(order);
    la_fold_free(fold);
    la_plan_release(plan);
    return rows;
}

uint64_t
shop_check(shop *s, la_view *view, const char *plan, const char *spec)
{
    answer a;
    shop_ask(view, spec, &a);
    char *expected = shop_fold(s, plan, a.position);
    CHECK_STR(a.rows, expected);
    check_accounting(&a);
    uint64_t position = a.position;
    free(expected);
    answer_free(&a);
    return position;
}

/* --------------------------------------------------------------------- files */

static int
collect(void *arg, const char *name)
{
    la_buf_put(arg, name, strlen(name) + 1);
    return 0;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

char *
file_names(const la_env *env, const char *folder)
{
    la_buf found, text;
    const char *names[4096];
    size_t count = 0;
    la_buf_init(&found, la_env_system());
    la_buf_init(&text, la_env_system());
    CHECK(env->io.list(env->io.ctx, folder, collect, &found) >= 0);
    const char *at = (const char *)found.data, *end = at + found.size;
    for (; at < end; at += strlen(at) + 1) {
        CHECK(count < 4096);
        names[count++] = at;
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        la_buf_text(&text, names[i]);
        la_buf_text(&text, "\n");
    }
    la_buf_u8(&text, 0);
    la_buf_fini(&found);
    return (char *)text.data;
}

uint32_t
count_files(const la_env *env, const char *folder, const char *suffix)
{
    char *names = file_names(env, folder);
    uint32_t count = 0;
    for (char *line = strtok(names, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        size_t size = strlen(line), n = strlen(suffix);
        count += size >= n && strcmp(line + size - n, suffix) == 0;
    }
    free(names);
    return count;
}

la_status
verify_try(la_store *store, char **report, la_error *err)
{
    la_verify *verify;
    uint64_t done, total;
    la_status status = la_verify_open(store, &verify, err);
    if (status != LA_OK) {
        return status;
    }
    do {
        status = la_verify_step(verify, &done, &total, err);
    } while (status == LA_MORE);
    if (report != NULL) {
        *report = strdup(la_verify_report(verify));
    }
    la_verify_close(verify);
    return status;
}
