/* SPDX-License-Identifier: Apache-2.0 */
/* How many nanoseconds a row does the fold take, from decoded columns in memory?
 *
 *   make -C csrc lib BUILD=release OUT=/tmp/la-speed
 *   gcc -O2 -std=c11 -D_GNU_SOURCE -Icsrc/include -Icsrc/core benchmarks/c/fold_speed.c
 *   \
 *       /tmp/la-speed/liblambdaarch.a -lzstd -lxxhash -lcrypto -lpthread -o
 *       /tmp/fold_speed
 *   taskset -c 0 /tmp/fold_speed [rows] [name]
 *
 * The rows are the reference event of docs/reference/performance: 90 days in time order
 * with 2 % up to an hour late, 4,000 products (Zipf 1.3), 38 countries (one with 90 %),
 * 100,000 customers, prices with two decimals. Chunks are brought to the caches first,
 * as decoding would leave them, and the time for that is taken off. The best of seven
 * runs is shown, in time of the processor; each starts from an empty fold whose memory
 * is kept, as a batch run's threads do. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fold/fold.h"

#define DAYS 90
#define PRODUCTS 4000
#define COUNTRIES 38
#define CUSTOMERS 100000
#define CHUNK LA_CHUNK_ROWS

enum {
    COL_ID,
    COL_TS,
    COL_PRODUCT,
    COL_COUNTRY,
    COL_CUSTOMER,
    COL_QUANTITY,
    COL_PRICE
};

static const la_field fields[] = {
    {"id", LA_T_U64, 0, false},       {"ts", LA_T_TIME, 0, false},
    {"product", LA_T_CAT, 0, false},  {"country", LA_T_CAT, 0, false},
    {"customer", LA_T_I64, 0, false}, {"quantity", LA_T_I32, 0, false},
    {"price", LA_T_F64, 0, false},
};

static const struct {
    const char *name;
    double target_ns;
    const char *plan;
} cases[] = {
    {"total len sum", 2,
     "{\"v\":1,\"logs\":[\"o\"],\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]}]}"},
    {"total where sum", 0,
     "{\"v\":1,\"logs\":[\"o\"],\"where\":[\"gt\",[\"col\",\"price\"],[\"lit\",\"f64\",50]],"
     "\"aggs\":[{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]}]}"},
    {"country len sum", 5,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"country\",[\"col\",\"country\"]]],"
     "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]}]}"},
    {"product x day len sum min max", 14,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"product\",[\"col\",\"product\"]]],"
     "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"},"
     "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]},"
     "{\"name\":\"a\",\"fn\":\"min\",\"arg\":[\"col\",\"price\"]},"
     "{\"name\":\"b\",\"fn\":\"max\",\"arg\":[\"col\",\"price\"]}]}"},
    {"minute len sum", 6,
     "{\"v\":1,\"logs\":[\"o\"],"
     "\"window\":{\"kind\":\"tumbling\",\"size_us\":60000000,\"origin_us\":0},"
     "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]}]}"},
    {"customer len sum max(ts)", 20,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"customer\",[\"col\",\"customer\"]]],"
     "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]},"
     "{\"name\":\"t\",\"fn\":\"max\",\"arg\":[\"col\",\"ts\"]}]}"},
    {"sparse id key (hashed) len sum", 0,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"id\",[\"col\",\"id\"]]],"
     "\"aggs\":[{\"name\":\"n\",\"fn\":\"len\"},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"price\"]}]}"},
    {"day n_unique(customer)", 25,
     "{\"v\":1,\"logs\":[\"o\"],"
     "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"},"
     "\"aggs\":[{\"name\":\"u\",\"fn\":\"n_unique\",\"arg\":[\"col\",\"customer\"]}]}"},
    {"day n_unique(id), sparse", 0,
     "{\"v\":1,\"logs\":[\"o\"],"
     "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"},"
     "\"aggs\":[{\"name\":\"u\",\"fn\":\"n_unique\",\"arg\":[\"col\",\"id\"]}]}"},
    {"day n_unique(product)", 0,
     "{\"v\":1,\"logs\":[\"o\"],"
     "\"window\":{\"kind\":\"calendar\",\"unit\":\"day\",\"count\":1,\"tz\":\"UTC\"},"
     "\"aggs\":[{\"name\":\"u\",\"fn\":\"n_unique\",\"arg\":[\"col\",\"product\"]}]}"},
    {"country mean(quantity) sum(quantity)", 0,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"country\",[\"col\",\"country\"]]],"
     "\"aggs\":[{\"name\":\"m\",\"fn\":\"mean\",\"arg\":[\"col\",\"quantity\"]},"
     "{\"name\":\"s\",\"fn\":\"sum\",\"arg\":[\"col\",\"quantity\"]}]}"},
    {"product last(price)", 0,
     "{\"v\":1,\"logs\":[\"o\"],\"by\":[[\"product\",[\"col\",\"product\"]]],"
     "\"aggs\":[{\"name\":\"l\",\"fn\":\"last\",\"arg\":[\"col\",\"price\"]}]}"},
};

static uint64_t state = 42;

static uint64_t
next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double
uniform(void)
{
    return (double)(next() >> 11) * 0x1p-53;
}

static double
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void
must(la_status status, const la_error *err)
{
    if (status != LA_OK) {
        fprintf(stderr, "%s: %s\n", la_status_name(status), err->message);
        exit(1);
    }
}

static la_dict *
dict_of(const char *prefix, uint32_t count)
{
    la_dict *dict;
    la_error err;
    must(la_dict_new(la_env_system(), &dict, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        uint32_t code;
        int size = snprintf(text, sizeof text, "%s%04u", prefix, i);
        must(la_dict_add(dict, text, (size_t)size, &code, &err), &err);
    }
    return dict;
}

/* Product ranks by a table of the cumulated Zipf weights. */
static uint32_t
zipf(const double *cumulated)
{
    double u = uniform() * cumulated[PRODUCTS - 1];
    uint32_t low = 0, high = PRODUCTS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (cumulated[middle] < u) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

static void
fill(la_chunk *chunk, uint64_t position, uint64_t rows, const double *cumulated)
{
    uint64_t *id = la_chunk_data(chunk, COL_ID);
    int64_t *ts = la_chunk_data(chunk, COL_TS),
            *customer = la_chunk_data(chunk, COL_CUSTOMER);
    uint32_t *product = la_chunk_data(chunk, COL_PRODUCT);
    uint32_t *country = la_chunk_data(chunk, COL_COUNTRY);
    int32_t *quantity = la_chunk_data(chunk, COL_QUANTITY);
    double *price = la_chunk_data(chunk, COL_PRICE);
    for (uint32_t i = 0; i < chunk->rows; i++) {
        double day = (double)(position + i) / (double)rows * DAYS;
        ts[i] = INT64_C(1700000000) * 1000000 + (int64_t)(day * 86400e6);
        if (uniform() < 0.02) {
            ts[i] -= (int64_t)(uniform() * 3600e6);
        }
        id[i] = (next() % 100000) << 40 | 12345;
        product[i] = zipf(cumulated);
        country[i] = uniform() < 0.9 ? 0 : (uint32_t)(next() % COUNTRIES);
        customer[i] = (int64_t)(next() % CUSTOMERS);
        quantity[i] = 1 + (int32_t)(next() % 9);
        price[i] = (double)(100 + next() % 20000) / 100.0;
    }
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

/* Brings a chunk to the nearest caches, where decoding would have left it. */
static uint64_t
touch(const la_chunk *chunk)
{
    uint64_t sum = 0;
    for (uint32_t c = 0; c < chunk->column_count; c++) {
        size_t size = chunk->rows * la_type_size(fields[c].type);
        for (size_t i = 0; i < size; i += 64) {
            sum += ((const uint8_t *)chunk->columns[c].data)[i];
        }
    }
    return sum;
}

/* Nanoseconds a row for touching all chunks and, where there is a fold, folding
 * them. */
static double
pass(la_chunk *const *chunk, uint64_t chunks, la_fold *fold, uint64_t *sum)
{
    la_error err;
    double start = now_ns();
    for (uint64_t c = 0; c < chunks; c++) {
        *sum += touch(chunk[c]);
        if (fold != NULL) {
            must(la_fold_chunk(fold, chunk[c], &err), &err);
        }
    }
    return (now_ns() - start) / (double)(chunks * CHUNK);
}

int
main(int argc, char **argv)
{
    uint64_t rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000000;
    const la_env *env = la_env_system();
    const la_schema *schema;
    la_error err;
    double cumulated[PRODUCTS], sum = 0;

    for (uint32_t i = 0; i < PRODUCTS; i++) {
        sum += pow((double)i + 1, -1.3);
        cumulated[i] = sum;
    }
    must(la_schema_new(env, fields, sizeof fields / sizeof fields[0], &schema, &err),
         &err);
    la_dict *products = dict_of("product-", PRODUCTS),
            *countries = dict_of("C", COUNTRIES);
    uint64_t chunks = (rows + CHUNK - 1) / CHUNK;
    la_chunk **chunk = calloc(chunks, sizeof *chunk);
    for (uint64_t c = 0; c < chunks; c++) {
        must(la_chunk_new(env, schema, CHUNK, &chunk[c], &err), &err);
        la_chunk_set_dict(chunk[c], COL_PRODUCT, products);
        la_chunk_set_dict(chunk[c], COL_COUNTRY, countries);
        chunk[c]->position = c * CHUNK;
        fill(chunk[c], c * CHUNK, rows, cumulated);
    }
    rows = chunks * CHUNK;
    uint64_t touched = 0;
    printf("%-38s %9s %9s %7s %8s %8s\n", "", "groups", "MB", "ns/row", "target",
           "first");
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        la_plan_source source = {(void *)schema, find};
        la_plan *plan;
        la_fold *fold;
        double best = 1e300, first = 0;
        if (argc > 2 && strstr(cases[k].name, argv[2]) == NULL) {
            continue;
        }
        must(la_plan_parse(env, cases[k].plan, strlen(cases[k].plan), &source, &plan,
                           &err),
             &err);
        must(la_fold_new(plan, 0, &fold, &err), &err);
        for (int run = 0; run < 7; run++) {
            la_fold_clear(fold);
            double taken = pass(chunk, chunks, fold, &touched);
            taken -= pass(chunk, chunks, NULL, &touched);
            best = taken < best ? taken : best;
            first = run == 0 ? taken : first;
        }
        printf("%-38s %9u %9.1f %7.2f %8.0f %8.2f\n", cases[k].name,
               la_fold_group_count(fold), (double)la_fold_memory(fold) / 1e6, best,
               cases[k].target_ns, first);
        la_fold_free(fold);
        la_plan_release(plan);
    }
    return touched == 1;
}
