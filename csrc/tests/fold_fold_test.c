/* SPDX-License-Identifier: Apache-2.0 */
/* Folds of random plans over random chunks: whatever the chunks, splits, orders of
 * merging and ways through bytes, the sorted (key, state) bytes are the same; rolling
 * up a fold is folding with fewer keys; every row is in one class; budgets and failing
 * allocations are reported. */
#include "fold/fold.h"

#include "base/error.h"
#include "fault_env.h"
#include "test.h"

enum {
    COL_TS,
    COL_PRODUCT,
    COL_COUNTRY,
    COL_NAME,
    COL_USER,
    COL_QTY,
    COL_PRICE,
    COL_COST,
    COL_DAY,
    COL_FLAG,
    COL_BIG
};

static const la_field fields[] = {
    {"ts", LA_T_TIME, 0, false},     {"product", LA_T_CAT, 0, true},
    {"country", LA_T_CAT, 0, false}, {"name", LA_T_STR, 0, true},
    {"user", LA_T_I64, 0, true},     {"qty", LA_T_I32, 0, false},
    {"price", LA_T_F64, 0, true},    {"cost", LA_T_DECIMAL, 2, true},
    {"day", LA_T_DATE, 0, false},    {"flag", LA_T_BOOL, 0, true},
    {"big", LA_T_U64, 0, false},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static uint64_t rng;

/* ------------------------------------------------------------ rows and plans */

typedef struct world {
    const la_env *env;
    const la_schema *schema;
    la_dict *products, *others, *countries; /* others: the same texts, other codes */
    uint64_t spread;                        /* of users and products */
    int64_t span_us;                        /* of times */
} world;

static void
must_add(la_dict *dict, uint32_t i)
{
    char text[32];
    uint32_t code;
    la_error err;
    int size = snprintf(text, sizeof text, "%c%u", 'a' + (int)(i * 7 % 26), i);
    CHECK_OK(la_dict_add(dict, text, (size_t)size, &code, &err), &err);
}

static void
world_init(world *w, const la_env *env)
{
    la_error err;
    w->env = env;
    w->spread = 1 + test_below(&rng, test_below(&rng, 2) ? 20 : 3000);
    w->span_us = (int64_t)(1 + test_below(&rng, 400)) *
                 (test_below(&rng, 2) ? INT64_C(3600000000) : INT64_C(86400000000));
    CHECK_OK(la_schema_new(env, fields, FIELDS, &w->schema, &err), &err);
    CHECK_OK(la_dict_new(env, &w->products, &err), &err);
    CHECK_OK(la_dict_new(env, &w->others, &err), &err);
    CHECK_OK(la_dict_new(env, &w->countries, &err), &err);
    for (uint32_t i = 0; i < 3000; i++) {
        must_add(w->products, i);
        must_add(w->others, 2999 - i);
    }
    for (uint32_t i = 0; i < 40; i++) {
        must_add(w->countries, i * 31);
    }
}

static void
world_fini(world *w)
{
    la_dict_release(w->products);
    la_dict_release(w->others);
    la_dict_release(w->countries);
    la_schema_release(w->schema);
}

static double
random_price(void)
{
    switch (test_below(&rng, 40)) {
    case 0:
        return test_below(&rng, 5) ? -0.0 : __builtin_nan("");
    case 1:
        return test_below(&rng, 2) ? 1e300 : -1e300;
    case 2:
        return 1e-300;
    default:
        return (double)(int64_t)test_below(&rng, 20000) / 100.0;
    }
}

static la_chunk *
random_chunk(const world *w, uint64_t position, uint32_t rows, bool verdicts)
{
    la_chunk *chunk;
    la_error err;
    char *heap;
    uint32_t used = 0;
    CHECK_OK(la_chunk_new(w->env, w->schema, rows, &chunk, &err), &err);
    CHECK_OK(la_chunk_heap(chunk, COL_NAME, rows * 6 + 1, &heap, &err), &err);
    la_chunk_set_dict(chunk, COL_PRODUCT,
                      test_below(&rng, 3) ? w->products : w->others);
    la_chunk_set_dict(chunk, COL_COUNTRY, w->countries);
    chunk->position = position;
    bool sorted = test_below(&rng, 2), nulls = test_below(&rng, 2);
    for (uint32_t i = 0; i < rows; i++) {
        int64_t t = sorted ? (int64_t)(position + i) * (w->span_us / 20000)
                           : (int64_t)(test_next(&rng) % (uint64_t)w->span_us);
        ((int64_t *)la_chunk_data(chunk, COL_TS))[i] = t - INT64_C(86400000000) * 40;
        ((uint32_t *)la_chunk_data(chunk, COL_PRODUCT))[i] =
            (uint32_t)test_below(&rng, w->spread);
        ((uint32_t *)la_chunk_data(chunk, COL_COUNTRY))[i] =
            (uint32_t)(test_below(&rng, 3) ? 0 : test_below(&rng, 40));
        ((int64_t *)la_chunk_data(chunk, COL_USER))[i] =
            (int64_t)(test_below(&rng, w->spread) * (w->spread % 3 ? 1 : 1000003)) - 5;
        ((int32_t *)la_chunk_data(chunk, COL_QTY))[i] =
            (int32_t)test_below(&rng, 9) - 2;
        ((double *)la_chunk_data(chunk, COL_PRICE))[i] = random_price();
        ((int64_t *)la_chunk_data(chunk, COL_COST))[i] =
            (int64_t)test_below(&rng, 5000);
        ((int32_t *)la_chunk_data(chunk, COL_DAY))[i] =
            (int32_t)test_below(&rng, 30) - 9;
        ((uint8_t *)la_chunk_data(chunk, COL_FLAG))[i] = (uint8_t)test_below(&rng, 2);
        ((uint64_t *)la_chunk_data(chunk, COL_BIG))[i] =
            test_below(&rng, 9) ? test_below(&rng, 100) : test_next(&rng);
        uint32_t size = (uint32_t)test_below(&rng, 6);
        for (uint32_t k = 0; k < size; k++) {
            heap[used++] =
                (char)(test_below(&rng, 30) ? 'a' + (int)test_below(&rng, 2) : 0);
        }
        la_chunk_offsets(chunk, COL_NAME)[i + 1] = used;
        for (uint32_t c = 0; c < FIELDS && nulls; c++) {
            if (fields[c].nullable && test_below(&rng, 6) == 0) {
                la_chunk_valid(chunk, c)[i] = 0;
            }
        }
    }
    for (uint32_t c = 0; c < FIELDS; c++) {
        if (fields[c].nullable && test_below(&rng, 8) == 0) {
            memset(la_chunk_valid(chunk, c), 0, rows);
        }
    }
    if (verdicts) {
        void *kept;
        CHECK_OK(la_chunk_keep(chunk, rows, &kept, &err), &err);
        for (uint32_t i = 0; i < rows; i++) {
            ((uint8_t *)kept)[i] =
                (uint8_t)(test_below(&rng, 4) ? 0 : test_below(&rng, 8));
        }
        chunk->verdicts = kept;
    }
    return chunk;
}

static la_status
find(void *ctx, const char *log, const la_schema **schema, int32_t *time_column,
     la_error *err)
{
    (void)log;
    (void)err;
    *schema = ctx;
    *time_column = COL_TS;
    return LA_OK;
}

static const char *const key_texts[] = {
    "[\"col\",\"product\"]",
    "[\"col\",\"country\"]",
    "[\"col\",\"name\"]",
    "[\"col\",\"user\"]",
    "[\"col\",\"price\"]",
    "[\"col\",\"day\"]",
    "[\"col\",\"flag\"]",
    "[\"col\",\"big\"]",
    "[\"col\",\"cost\"]",
    "[\"lit\",\"str\",\"all\"]",
    "[\"mod\",[\"col\",\"user\"],[\"col\",\"qty\"]]", /* fails where qty is 0 */
};
static const char *const window_texts[] = {
    "null",
    "{\"kind\":\"tumbling\",\"size_us\":3600000000,\"origin_us\":60000000}",
    "{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"}",
    "{\"kind\":\"calendar\",\"unit\":\"week\",\"count\":1,\"tz\":\"UTC\"}",
    "{\"kind\":\"calendar\",\"unit\":\"month\",\"count\":2,\"tz\":\"UTC\"}",
};
static const char *const where_texts[] = {
    "null",
    "null",
    "[\"gt\",[\"col\",\"price\"],[\"lit\",\"f64\",20]]",
    "[\"col\",\"flag\"]",
    "[\"ne\",[\"floordiv\",[\"lit\",\"i32\",7],[\"col\",\"qty\"]],[\"lit\",\"i32\",3]]",
};
static const char *const filter_texts[] = {
    "null",
    "null",
    "null",
    "[\"is_not_null\",[\"col\",\"flag\"]]",
    "[\"gt\",[\"col\",\"qty\"],[\"lit\",\"i32\",0]]",
};
static const char *const agg_texts[] = {
    "\"fn\":\"len\"",
    "\"fn\":\"count\",\"arg\":[\"col\",\"name\"]",
    "\"fn\":\"null_count\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"sum\",\"arg\":[\"col\",\"qty\"]",
    "\"fn\":\"sum\",\"arg\":[\"col\",\"cost\"]",
    "\"fn\":\"sum\",\"arg\":[\"col\",\"big\"]",
    "\"fn\":\"mean\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"mean\",\"arg\":[\"col\",\"cost\"]",
    "\"fn\":\"min\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"max\",\"arg\":[\"col\",\"product\"]",
    "\"fn\":\"max\",\"arg\":[\"col\",\"ts\"]",
    "\"fn\":\"min\",\"arg\":[\"col\",\"name\"]",
    "\"fn\":\"first\",\"arg\":[\"col\",\"product\"]",
    "\"fn\":\"last\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"last\",\"arg\":[\"lit\",\"str\",\"same\"]",
    "\"fn\":\"sum\",\"arg\":[\"lit\",\"i64\",3]",
    "\"fn\":\"n_unique\",\"arg\":[\"col\",\"user\"]",
    "\"fn\":\"n_unique\",\"arg\":[\"col\",\"name\"]",
    "\"fn\":\"n_unique\",\"arg\":[\"col\",\"price\"]",
    "\"fn\":\"n_unique\",\"arg\":[\"col\",\"product\"]",
    "\"fn\":\"sum\",\"arg\":[\"floordiv\",[\"col\",\"user\"],[\"col\",\"qty\"]]",
};
#define PICK(list) list[test_below(&rng, sizeof list / sizeof list[0])]
#define COUNT(list) (sizeof list / sizeof list[0])

typedef struct parts {
    uint32_t keys[3];
    uint32_t key_count;
    const char *window, *where, *on_error;
    char aggs[4096];
} parts;

static void
random_parts(parts *p)
{
    p->key_count = (uint32_t)test_below(&rng, 4);
    for (uint32_t k = 0; k < p->key_count; k++) {
        p->keys[k] = (uint32_t)test_below(&rng, COUNT(key_texts));
    }
    p->window = PICK(window_texts);
    p->where = PICK(where_texts);
    p->on_error = test_below(&rng, 2) ? "set_aside" : "null";
    size_t used = 0;
    uint32_t count = 1 + (uint32_t)test_below(&rng, 5);
    for (uint32_t a = 0; a < count; a++) {
        const char *agg = PICK(agg_texts), *filter = PICK(filter_texts);
        used += (size_t)snprintf(p->aggs + used, sizeof p->aggs - used,
                                 "%s{\"name\":\"a%u\",%s,\"filter\":%s}", a ? "," : "",
                                 a, agg, filter);
    }
}

/* The plan of these parts; `keep` leaves keys out, `window` may replace the window. */
static la_plan *
plan_of(const world *w, const parts *p, const uint8_t *keep, const char *window)
{
    char text[8192];
    size_t used = 0;
    la_plan_source source = {(void *)w->schema, find};
    la_plan *plan;
    la_error err;
    bool any = false;
    used += (size_t)snprintf(text, sizeof text, "{\"v\":1,\"logs\":[\"o\"],\"by\":[");
    for (uint32_t k = 0; k < p->key_count; k++) {
        if (keep == NULL || keep[k]) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s[\"k%u\",%s]",
                                     any ? "," : "", k, key_texts[p->keys[k]]);
            any = true;
        }
    }
    snprintf(text + used, sizeof text - used,
             "],\"window\":%s,\"where\":%s,\"on_error\":\"%s\",\"aggs\":[%s]}",
             window != NULL ? window : p->window, p->where, p->on_error, p->aggs);
    la_status status = la_plan_parse(w->env, text, strlen(text), &source, &plan, &err);
    CHECK_MSG(status == LA_OK, "%s\n%s", text, err.message);
    return plan;
}

/* --------------------------------------------------------------- the contents */

/* All groups as (sizes, key bytes, state bytes), in order; the order is checked too. */
static void
contents(const la_fold *fold, la_buf *to)
{
    uint32_t count = la_fold_group_count(fold);
    uint32_t *order = malloc((count + 1) * sizeof *order);
    la_buf key, last, states;
    la_error err;
    la_buf_init(&key, la_env_system());
    la_buf_init(&last, la_env_system());
    la_buf_init(&states, la_env_system());
    CHECK_OK(la_fold_sorted(fold, order, &err), &err);
    la_buf_clear(to);
    for (uint32_t i = 0; i < count; i++) {
        la_buf_clear(&key);
        la_buf_clear(&states);
        la_fold_key(fold, order[i], &key);
        la_fold_encode(fold, order[i], &states);
        CHECK(!key.failed && !states.failed);
        CHECK_EQ(la_fold_find(fold, key.data, key.size), order[i]);
        if (i > 0) {
            size_t common = key.size < last.size ? key.size : last.size;
            int compared = memcmp(last.data, key.data, common);
            CHECK(compared < 0 || (compared == 0 && last.size < key.size));
        }
        la_buf_u32(to, (uint32_t)key.size);
        la_buf_put(to, key.data, key.size);
        la_buf_u32(to, (uint32_t)states.size);
        la_buf_put(to, states.data, states.size);
        la_buf_clear(&last);
        la_buf_put(&last, key.data, key.size);
    }
    la_buf_fini(&key);
    la_buf_fini(&last);
    la_buf_fini(&states);
    free(order);
}

static void
check_contents(const la_fold *fold, const la_buf *expected, const char *law)
{
    la_buf found;
    la_buf_init(&found, la_env_system());
    contents(fold, &found);
    CHECK_MSG(
        found.size == expected->size &&
            (found.size == 0 || memcmp(found.data, expected->data, found.size) == 0),
        "%s: %zu bytes, %zu expected; plan %s", law, found.size, expected->size,
        la_fold_plan(fold)->canonical);
    la_buf_fini(&found);
}

static void
check_counts(const la_fold *fold, const la_counts *expected, uint64_t rows)
{
    const la_counts *c = la_fold_counts(fold);
    CHECK_EQ(c->counted + c->filtered + c->failed + c->late + c->duplicate +
                 c->retracted + c->quarantined + c->erased,
             rows);
    uint64_t failed = 0;
    for (int r = 0; r < LA_REASON_COUNT; r++) {
        failed += c->failed_by[r];
    }
    CHECK_EQ(failed, c->failed);
    if (expected != NULL) {
        CHECK(memcmp(c, expected, sizeof *c) == 0);
    }
}

static la_fold *
new_fold(la_plan *plan)
{
    la_fold *fold;
    la_error err;
    CHECK_OK(la_fold_new(plan, 0, &fold, &err), &err);
    return fold;
}

/* A fold from the bytes in `from` (contents), every other group in two halves of
 * itself. */
static la_fold *
fold_of_bytes(la_plan *plan, const la_buf *from)
{
    la_fold *fold = new_fold(plan);
    la_bytes bytes = la_bytes_of(from->data, from->size);
    la_error err;
    while (la_bytes_left(&bytes) > 0) {
        uint32_t key_size = la_bytes_u32(&bytes);
        const uint8_t *key = la_bytes_take(&bytes, key_size);
        uint32_t size = la_bytes_u32(&bytes);
        const uint8_t *states = la_bytes_take(&bytes, size);
        CHECK_OK(la_fold_add(fold, key, key_size, states, size, &err), &err);
    }
    return fold;
}

/* ------------------------------------------------------------------- the laws */

#define CHUNKS 6u

static void
fold_slices(la_fold *fold, const la_chunk *chunk)
{
    la_column columns[FIELDS];
    la_chunk slice;
    la_error err;
    for (uint32_t from = 0; from < chunk->rows;) {
        uint32_t left = chunk->rows - from;
        uint32_t rows = 1 + (uint32_t)test_below(&rng, left < 700 ? left : 700);
        la_chunk_slice(chunk, from, rows, columns, &slice);
        CHECK_OK(la_fold_chunk(fold, &slice, &err), &err);
        from += rows;
    }
}

static void
check_finish(const la_fold *fold)
{
    la_error err;
    la_chunk *chunk;
    const uint8_t *overflow[8];
    uint32_t count = la_fold_group_count(fold);
    uint32_t groups[3] = {UINT32_MAX, 0, UINT32_MAX};
    CHECK_OK(la_fold_finish(fold, NULL, count, &chunk, overflow, &err), &err);
    CHECK_EQ(chunk->rows, count);
    CHECK_EQ(chunk->column_count, la_schema_count(la_fold_result_schema(fold)));
    /* Keys of the chunk are the groups' keys. */
    la_buf a, b;
    la_buf_init(&a, la_env_system());
    la_buf_init(&b, la_env_system());
    uint32_t aggs = la_fold_plan(fold)->agg_count;
    uint32_t windows = la_fold_plan(fold)->window.kind != LA_WINDOW_NONE ? 2 : 0;
    for (uint32_t g = 0; g < count; g++) {
        la_buf_clear(&a);
        la_buf_clear(&b);
        la_fold_key(fold, g, &a);
        for (uint32_t k = 0; k + aggs + (windows ? 1 : 0) < chunk->column_count; k++) {
            la_value value = la_value_of(&chunk->columns[k], g);
            la_key_put(&b, &value);
        }
        CHECK_EQ(a.size, b.size);
        CHECK(a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
    }
    la_buf_fini(&a);
    la_buf_fini(&b);
    la_chunk_free(chunk);
    CHECK_OK(la_fold_finish(fold, groups, count > 0 ? 3 : 1, &chunk, NULL, &err), &err);
    for (uint32_t c = 0; c < chunk->column_count; c++) {
        CHECK(la_column_is_null(&chunk->columns[c], 0));
    }
    la_chunk_free(chunk);
}

static void
any_split_gives_the_same_bytes(void)
{
    for (int round = 0; round < 120; round++) {
        world w;
        parts p;
        la_chunk *chunks[CHUNKS];
        la_fold *folds[CHUNKS];
        la_buf expected;
        la_error err;
        uint64_t rows = 0;
        world_init(&w, la_env_system());
        random_parts(&p);
        la_plan *plan = plan_of(&w, &p, NULL, NULL);
        la_fold *whole = new_fold(plan), *sliced = new_fold(plan),
                *merged = new_fold(plan);
        la_buf_init(&expected, la_env_system());
        for (uint32_t c = 0; c < CHUNKS; c++) {
            chunks[c] = random_chunk(&w, 100 + rows,
                                     (uint32_t)test_below(&rng, c == 1 ? 5000 : 1500),
                                     test_below(&rng, 2));
            rows += chunks[c]->rows;
            CHECK_OK(la_fold_chunk(whole, chunks[c], &err), &err);
            fold_slices(sliced, chunks[c]);
            folds[c] = new_fold(plan);
            fold_slices(folds[c], chunks[c]);
        }
        contents(whole, &expected);
        check_counts(whole, NULL, rows);
        check_finish(whole);
        check_contents(sliced, &expected, "slices");
        check_counts(sliced, la_fold_counts(whole), rows);
        /* Merge in a random order, some of them among themselves first. */
        for (uint32_t left = CHUNKS; left > 0; left--) {
            uint32_t at = (uint32_t)test_below(&rng, left);
            la_fold *from = folds[at];
            la_fold *into =
                left > 1 && test_below(&rng, 2) ? folds[(at + 1) % left] : merged;
            CHECK_OK(la_fold_merge(into, from, &err), &err);
            la_fold_free(from);
            folds[at] = folds[left - 1];
        }
        check_contents(merged, &expected, "merged");
        check_counts(merged, la_fold_counts(whole), rows);
        la_fold *back = fold_of_bytes(plan, &expected);
        check_contents(back, &expected, "from bytes");
        la_fold_clear(whole);
        CHECK_EQ(la_fold_group_count(whole), 0);
        for (uint32_t c = CHUNKS; c-- > 0;) {
            fold_slices(whole, chunks[c]);
        }
        check_contents(whole, &expected, "cleared, and in the other order");
        for (uint32_t c = 0; c < CHUNKS; c++) {
            la_chunk_free(chunks[c]);
        }
        la_fold_free(back);
        la_fold_free(whole);
        la_fold_free(sliced);
        la_fold_free(merged);
        la_plan_release(plan);
        la_buf_fini(&expected);
        world_fini(&w);
    }
}

/* Coarser windows for window_texts[i]. */
static const char *
coarser(const char *window)
{
    static const char *const wider[] = {
        "null",
        "{\"kind\":\"tumbling\",\"size_us\":7200000000,\"origin_us\":3660000000}",
        "{\"kind\":\"calendar\",\"unit\":\"month\",\"count\":1,\"tz\":\"UTC\"}",
        "{\"kind\":\"calendar\",\"unit\":\"week\",\"count\":3,\"tz\":\"UTC\"}",
        "{\"kind\":\"calendar\",\"unit\":\"year\",\"count\":1,\"tz\":\"UTC\"}",
    };
    for (size_t i = 0; i < COUNT(window_texts); i++) {
        if (window == window_texts[i]) {
            return test_below(&rng, 3) == 0 ? "null"
                   : test_below(&rng, 3)    ? wider[i]
                                            : window;
        }
    }
    return window;
}

static void
rolling_up_is_folding_with_fewer_keys(void)
{
    for (int round = 0; round < 100; round++) {
        world w;
        parts p;
        uint8_t keep[3];
        la_buf expected;
        la_error err;
        la_window window;
        la_fold *rolled;
        world_init(&w, la_env_system());
        random_parts(&p);
        for (uint32_t k = 0; k < p.key_count; k++) {
            /* A dropped key must not be one that fails: its failing rows would come
             * back. */
            keep[k] = test_below(&rng, 2) || p.keys[k] == COUNT(key_texts) - 1;
        }
        const char *wider = coarser(p.window);
        la_plan *fine = plan_of(&w, &p, NULL, NULL),
                *coarse = plan_of(&w, &p, keep, wider);
        window = coarse->window;
        la_fold *from = new_fold(fine), *direct = new_fold(coarse);
        for (uint32_t c = 0; c < 3; c++) {
            la_chunk *chunk = random_chunk(&w, c * 3000, 3000, true);
            CHECK_OK(la_fold_chunk(from, chunk, &err), &err);
            CHECK_OK(la_fold_chunk(direct, chunk, &err), &err);
            la_chunk_free(chunk);
        }
        la_buf_init(&expected, la_env_system());
        contents(direct, &expected);
        CHECK_OK(la_fold_new_rollup(fine, keep, &window, 0, &rolled, &err), &err);
        CHECK_OK(la_fold_rollup(rolled, from, &err), &err);
        check_contents(rolled, &expected, "rolled up");
        CHECK(la_schema_count(la_fold_result_schema(rolled)) ==
              la_schema_count(coarse->result_schema));
        la_chunk *chunk;
        CHECK_OK(la_fold_finish(rolled, NULL, la_fold_group_count(rolled), &chunk, NULL,
                                &err),
                 &err);
        la_chunk_free(chunk);
        la_buf_fini(&expected);
        la_fold_free(rolled);
        la_fold_free(from);
        la_fold_free(direct);
        la_plan_release(fine);
        la_plan_release(coarse);
        world_fini(&w);
    }
}

/* ---------------------------------------------------------------- single cases */

static la_plan *
plan_text(const world *w, const char *text)
{
    la_plan_source source = {(void *)w->schema, find};
    la_plan *plan;
    la_error err;
    CHECK_OK(la_plan_parse(w->env, text, strlen(text), &source, &plan, &err), &err);
    return plan;
}

static void
classes_are_counted_in_order(void)
{
    world w;
    la_error err;
    world_init(&w, la_env_system());
    la_plan *plan = plan_text(
        &w, "{\"v\":1,\"logs\":[\"o\"],"
            "\"where\":[\"ge\",[\"col\",\"qty\"],[\"lit\",\"i32\",0]],"
            "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
            "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"floordiv\",[\"lit\",\"i32\",12],"
            "[\"col\",\"qty\"]],\"filter\":[\"col\",\"flag\"]}]}");
    static const int32_t qty[] = {4, 0, 0, -1, 3, 3, 3, 3, 3, 3, 3, 0};
    static const uint8_t flag[] = {1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t verdicts[] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0};
    la_chunk *chunk = random_chunk(&w, 500, 12, false);
    memcpy(la_chunk_data(chunk, COL_QTY), qty, sizeof qty);
    memcpy(la_chunk_data(chunk, COL_FLAG), flag, sizeof flag);
    memset(la_chunk_valid(chunk, COL_FLAG), 1, 12);
    chunk->verdicts = verdicts;
    la_fold *fold = new_fold(plan);
    CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
    const la_counts *c = la_fold_counts(fold);
    CHECK_EQ(c->counted, 2); /* 4, and the 0 behind a false filter */
    CHECK_EQ(c->filtered, 1);
    CHECK_EQ(c->failed, 2);
    CHECK_EQ(c->failed_by[LA_REASON_DIVISION_BY_ZERO], 2);
    CHECK_EQ(c->failed_first, 501);
    CHECK_EQ(c->quarantined, 2);
    CHECK_EQ(c->duplicate, 1);
    CHECK_EQ(c->retracted, 3);
    CHECK_EQ(c->erased, 1);
    __int128 value;
    uint8_t scale;
    CHECK(la_fold_exact(fold, 0, 1, &value, &scale) && value == 3 && scale == 0);
    la_fold_free(fold);
    la_plan_release(plan);
    plan = plan_text(
        &w, "{\"v\":1,\"logs\":[\"o\"],\"on_error\":\"stop\",\"aggs\":["
            "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"mod\",[\"lit\",\"i32\",12],"
            "[\"col\",\"qty\"]]}]}");
    fold = new_fold(plan);
    CHECK_STATUS(la_fold_chunk(fold, chunk, &err), LA_EVALUATION, &err);
    CHECK_EQ(err.position, 501);
    la_fold_free(fold);
    la_plan_release(plan);
    la_chunk_free(chunk);
    world_fini(&w);
}

static void
an_overflow_marks_its_cell_alone(void)
{
    world w;
    la_error err;
    world_init(&w, la_env_system());
    la_plan *plan = plan_text(
        &w, "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"c\",[\"col\",\"qty\"]]],"
            "\"aggs\":[{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"big\"]}]}");
    la_chunk *chunk = random_chunk(&w, 0, 4, false), *out;
    static const int32_t qty[] = {1, 2, 1, 2};
    static const uint64_t big[] = {UINT64_MAX, 5, 2, 6};
    const uint8_t *overflow;
    memcpy(la_chunk_data(chunk, COL_QTY), qty, sizeof qty);
    memcpy(la_chunk_data(chunk, COL_BIG), big, sizeof big);
    la_fold *fold = new_fold(plan);
    CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
    CHECK_OK(la_fold_finish(fold, NULL, 2, &out, &overflow, &err), &err);
    CHECK(overflow != NULL && overflow[0] == 1 && overflow[1] == 0);
    CHECK(la_column_is_null(&out->columns[1], 0));
    CHECK_EQ(((const uint64_t *)out->columns[1].data)[1], 11);
    __int128 value;
    uint8_t scale;
    char text[48];
    CHECK(la_fold_exact(fold, 0, 0, &value, &scale));
    (void)text;
    CHECK(value == (__int128)UINT64_MAX + 2);
    la_chunk_free(out);
    la_chunk_free(chunk);
    la_fold_free(fold);
    la_plan_release(plan);
    world_fini(&w);
}

/* A direct table that knows of nulls alone must not take a first value for inside. */
static void
values_may_follow_nulls(void)
{
    world w;
    la_error err;
    la_buf bytes;
    world_init(&w, la_env_system());
    la_plan *plan = plan_text(&w, "{\"v\":1,\"logs\":[\"o\"],"
                                  "\"by\":[[\"f\",[\"col\",\"flag\"]]],"
                                  "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"}]}");
    la_chunk *chunk = random_chunk(&w, 0, 10, false);
    la_fold *fold = new_fold(plan);
    la_buf_init(&bytes, la_env_system());
    memset(la_chunk_valid(chunk, COL_FLAG), 0, 10);
    CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
    memset(la_chunk_valid(chunk, COL_FLAG), 1, 10);
    memset(la_chunk_data(chunk, COL_FLAG), 1, 10);
    CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
    CHECK_EQ(la_fold_group_count(fold), 2);
    contents(fold, &bytes);
    la_buf_fini(&bytes);
    la_chunk_free(chunk);
    la_fold_free(fold);
    la_plan_release(plan);
    world_fini(&w);
}

static void
budgets_are_kept(void)
{
    for (int round = 0; round < 20; round++) {
        world w;
        la_error err;
        la_fold *fold;
        world_init(&w, la_env_system());
        la_plan *plan = plan_text(
            &w, "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"n\",[\"col\",\"big\"]]],"
                "\"aggs\":[{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]},"
                "{\"name\":\"u\",\"fn\":\"n_unique\",\"arg\":[\"col\",\"user\"]}]}");
        uint64_t budget = 1000000 + test_below(&rng, 1000000);
        CHECK_OK(la_fold_new(plan, budget, &fold, &err), &err);
        la_status status = LA_OK;
        uint64_t position = 0;
        while (status == LA_OK && position < 1000000) {
            la_chunk *chunk = random_chunk(&w, position, 2000, false);
            status = la_fold_chunk(fold, chunk, &err);
            position += chunk->rows;
            la_chunk_free(chunk);
        }
        CHECK_STATUS(status, LA_BUDGET, &err);
        CHECK(strstr(err.message, "groups") != NULL &&
              strstr(err.hint, "memory=") != NULL);
        CHECK(la_fold_memory(fold) < budget + budget / 2);
        la_fold_free(fold);
        la_plan_release(plan);
        world_fini(&w);
    }
}

static void
foreign_bytes_are_damage(void)
{
    world w;
    la_error err;
    parts p;
    for (int round = 0; round < 60; round++) {
        world_init(&w, la_env_system());
        random_parts(&p);
        la_plan *plan = plan_of(&w, &p, NULL, NULL);
        la_fold *fold = new_fold(plan), *other = new_fold(plan);
        la_chunk *chunk = random_chunk(&w, 0, 300, false);
        CHECK_OK(la_fold_chunk(fold, chunk, &err), &err);
        la_buf key, states;
        la_buf_init(&key, la_env_system());
        la_buf_init(&states, la_env_system());
        for (uint32_t g = 0; g < la_fold_group_count(fold) && g < 20; g++) {
            la_buf_clear(&key);
            la_buf_clear(&states);
            la_fold_key(fold, g, &key);
            la_fold_encode(fold, g, &states);
            for (int i = 0; i < 20; i++) {
                la_buf *hurt = test_below(&rng, 2) && key.size > 0 ? &key : &states;
                uint8_t *byte = &hurt->data[test_below(&rng, hurt->size)], old = *byte;
                size_t key_size = key.size, size = states.size;
                *byte ^= (uint8_t)(1u << test_below(&rng, 8));
                if (test_below(&rng, 3) == 0) {
                    size = test_below(&rng, size + 1);
                }
                if (test_below(&rng, 3) == 0) {
                    key_size = test_below(&rng, key_size + 1);
                }
                la_status status =
                    la_fold_add(other, key.data, key_size, states.data, size, &err);
                CHECK(status == LA_OK || status == LA_DAMAGED);
                *byte = old;
            }
        }
        la_buf_fini(&key);
        la_buf_fini(&states);
        la_chunk_free(chunk);
        la_fold_free(fold);
        la_fold_free(other);
        la_plan_release(plan);
        world_fini(&w);
    }
}

static la_status
all_of_it(la_plan *plan, la_chunk *const *chunks, const la_buf *bytes, la_error *err)
{
    la_fold *a = NULL, *b = NULL;
    la_chunk *out = NULL;
    uint32_t order[8000];
    uint8_t keep[3] = {0, 1, 1};
    la_fold *rolled = NULL;
    la_status status = la_fold_new(plan, 0, &a, err);
    if (status == LA_OK) {
        status = la_fold_new(plan, 0, &b, err);
    }
    if (status == LA_OK) {
        status = la_fold_chunk(a, chunks[0], err);
    }
    if (status == LA_OK) {
        status = la_fold_chunk(b, chunks[1], err);
    }
    if (status == LA_OK) {
        status = la_fold_merge(a, b, err);
    }
    if (status == LA_OK && bytes->size > 0) {
        la_bytes from = la_bytes_of(bytes->data, bytes->size);
        uint32_t key_size = la_bytes_u32(&from);
        const uint8_t *key = la_bytes_take(&from, key_size);
        uint32_t size = la_bytes_u32(&from);
        const uint8_t *states = la_bytes_take(&from, size);
        status = la_fold_add(a, key, key_size, states, size, err);
        status = status == LA_DAMAGED ? LA_NOMEM : status; /* decode cannot tell */
    }
    if (status == LA_OK) {
        status = la_fold_sorted(a, order, err);
    }
    if (status == LA_OK) {
        status = la_fold_finish(a, order, la_fold_group_count(a), &out, NULL, err);
    }
    if (status == LA_OK) {
        status = la_fold_new_rollup(plan, keep, NULL, 0, &rolled, err);
    }
    if (status == LA_OK) {
        status = la_fold_rollup(rolled, a, err);
    }
    la_chunk_free(out);
    la_fold_free(a);
    la_fold_free(b);
    la_fold_free(rolled);
    return status;
}

static void
failed_allocations_leak_nothing(void)
{
    for (int round = 0; round < 12; round++) {
        fault_env f;
        world w;
        parts p;
        la_error err;
        la_buf bytes;
        fault_env_init(&f, la_env_system());
        world_init(&w, &f.env);
        random_parts(&p);
        la_plan *plan = plan_of(&w, &p, NULL, NULL);
        la_chunk *chunks[2] = {random_chunk(&w, 0, 900, true),
                               random_chunk(&w, 900, 500, false)};
        la_buf_init(&bytes, la_env_system());
        la_fold *fold = new_fold(plan);
        CHECK_OK(la_fold_chunk(fold, chunks[1], &err), &err);
        contents(fold, &bytes);
        la_fold_free(fold);
        uint64_t before = fault_env_in_use(&f);
        for (uint64_t n = 1;; n += 1 + n / 60) {
            fault_env_fail_at(&f, n, test_below(&rng, 2));
            la_status status = all_of_it(plan, chunks, &bytes, &err);
            bool fired = fault_env_fired(&f);
            fault_env_fail_at(&f, 0, false);
            CHECK_MSG(status == (fired ? LA_NOMEM : LA_OK), "allocation %llu: %s: %s",
                      (unsigned long long)n, la_status_name(status), err.message);
            CHECK_EQ(fault_env_in_use(&f), before);
            if (!fired) {
                break;
            }
        }
        la_chunk_free(chunks[0]);
        la_chunk_free(chunks[1]);
        la_plan_release(plan);
        la_buf_fini(&bytes);
        world_fini(&w);
        CHECK_EQ(fault_env_in_use(&f), 0);
    }
}

int
main(void)
{
    rng = test_seed();
    RUN(classes_are_counted_in_order);
    RUN(an_overflow_marks_its_cell_alone);
    RUN(any_split_gives_the_same_bytes);
    RUN(rolling_up_is_folding_with_fewer_keys);
    RUN(values_may_follow_nulls);
    RUN(budgets_are_kept);
    RUN(foreign_bytes_are_damage);
    RUN(failed_allocations_leak_nothing);
    return test_end();
}
