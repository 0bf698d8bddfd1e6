/* SPDX-License-Identifier: Apache-2.0 */
/* A query's text: byte 0 chooses the view, the rest is parsed, bound, and asked of a store with a
 * few rows, a published version and a live part. */
#include "../tests/sim_env.h"
#include "fuzz.h"
#include "query/select.h"
#include "views/store.h"

#define VIEWS 3u
#define COL(name) "[\"col\",\"" name "\"]"
#define AGG(name, fn, arg) "{\"name\":\"" name "\",\"fn\":\"" fn "\",\"arg\":" arg "}"

static const char *const plans[VIEWS] = {
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"c\"," COL("c") "],[\"i\"," COL(
        "i") "]],"
             "\"window\":{\"kind\":\"tumbling\",\"size_us\":3600000000},\"aggs\":[" AGG(
                 "n", "len", "null") "," AGG("d", "sum",
                                             COL("d")) "," AGG("s", "last",
                                                               COL("s")) "]}",
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":[[\"s\"," COL("s") "],[\"m\"," COL("m") "],[\"d\"," COL("d") "],[\"raw\"," COL(
        "raw") "],[\"day\"," COL("day") "],[\"b\"," COL("b") "]],"
                                                             "\"aggs\":[" AGG(
                                                                 "big", "sum",
                                                                 COL("l")) "," AGG("u",
                                                                                   "n_unique",
                                                                                   COL("c")) "]}",
    "{\"v\":1,\"logs\":[\"orders\"],\"by\":[],\"window\":{\"kind\":\"calendar\",\"unit\":"
    "\"day\",\"count\":1,\"tz\":\"UTC\"},\"aggs\":[" AGG(
        "mean", "mean", COL("f")) "," AGG("max", "max", COL("ts")) "]}"};

static la_store *store;
static la_view *views[VIEWS];

static void
make_store(void)
{
    static const la_batch_options options = {
        .cutoff = 6, .threads = 1, .publish = true};
    const la_env *env = sim_env(sim_new(1));
    la_batch *batch;
    la_appended appended;
    la_log *log;
    la_error err;

    FUZZ_CHECK(la_store_open(env, "/store", LA_MODE_WRITE, &store, &err) == LA_OK);
    FUZZ_CHECK(la_log_open(store, "orders", fuzz_spec, &log, &err) == LA_OK);
    la_chunk rows = *fuzz_chunk();
    rows.verdicts = NULL;
    rows.targets = NULL;
    if (la_log_append(log, &rows, NULL, NULL, NULL, NULL, &appended, &err) != LA_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    for (uint32_t i = 0; i < VIEWS; i++) {
        char name[] = {(char)('a' + i), '\0'};
        FUZZ_CHECK(la_view_define(store, name, plans[i], false, &views[i], &err) ==
                   LA_OK);
    }
    FUZZ_CHECK(la_batch_open(store, NULL, 0, &options, &batch, &err) == LA_OK);
    la_status status;
    do {
        status = la_batch_step(batch, NULL, &err);
    } while (status == LA_MORE);
    FUZZ_CHECK(status == LA_OK);
    la_batch_close(batch);
}

static void
ask(la_view *view, const char *spec)
{
    la_query *query;
    la_status status = la_query_open(view, spec, &query, NULL);
    char text[64];

    if (status != LA_OK) {
        return;
    }
    while ((status = la_query_step(query, NULL)) == LA_MORE) {
    }
    if (status == LA_OK) {
        const la_chunk *rows = la_query_result(query, LA_PART_MERGED);
        FUZZ_CHECK(rows != NULL && rows->column_count == la_schema_count(rows->schema));
        for (uint32_t c = 0; c < rows->column_count && rows->rows > 0; c++) {
            (void)la_query_overflow(query, c);
            status = la_query_exact(query, c, 0, text, sizeof text, NULL);
            FUZZ_CHECK(status == LA_OK || status == LA_NOT_FOUND ||
                       status == LA_INVALID);
        }
        FUZZ_CHECK(la_query_receipt(query) != NULL);
    }
    la_query_close(query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_query_spec spec;
    la_buf key;

    if (store == NULL) {
        make_store();
    }
    if (size == 0) {
        return 0;
    }
    la_view *view = views[data[0] % VIEWS];
    char *text = la_strndup(fuzz_env(), (const char *)data + 1, size - 1);
    fuzz_begin();
    la_status status = la_query_spec_parse(fuzz_env(), text, &spec, NULL);
    if (status == LA_OK) {
        status = la_query_spec_bind(&spec, view->plan, NULL);
        if (status == LA_OK) {
            la_buf_init(&key, fuzz_env());
            (void)la_select_point(&spec, view->plan, &key);
            la_buf_fini(&key);
            FUZZ_CHECK(la_query_spec_bind(&spec, view->plan, NULL) == LA_OK);
        }
        la_query_spec_fini(&spec);
    }
    (void)fuzz_end();
    int64_t chunks = la_live_count(LA_LIVE_CHUNK);
    ask(view, text);
    FUZZ_CHECK(la_live_count(LA_LIVE_QUERY) == 0 &&
               la_live_count(LA_LIVE_CHUNK) == chunks);
    la_strfree(fuzz_env(), text);
    return 0;
}
