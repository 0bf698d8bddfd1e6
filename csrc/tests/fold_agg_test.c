/* SPDX-License-Identifier: Apache-2.0 */
/* The laws of aggregates, for every one in the registry and every argument type it
 * takes: splits and merges give the same bytes, the empty state is neutral, bytes go
 * round, foreign bytes are refused; and the finished value is that of a plain loop. */
#include "base/error.h"
#include "chunk/chunk.h"
#include "chunk/value.h"
#include "expr/agg.h"
#include "fault_env.h"
#include "test.h"

#define ROWS 400u
#define GROUPS 5u
#define POSITION 1000u

static uint64_t rng;

/* A random column of one type, and all that points into it. */
typedef struct data {
    la_column column;
    uint64_t values[ROWS];
    uint8_t valid[ROWS];
    uint32_t offsets[ROWS + 1];
    char heap[ROWS * 12];
    la_dict *dict;
    uint32_t groups[ROWS];
    int64_t times[ROWS];
} data;

static const char *const texts[] = {"",          "a",        "b",   "ab",     "abc",
                                    "z\xc3\xa9", "zz",       "abd", "a\x01b", "product",
                                    "0",         "productt", "~~~", "A"};
#define TEXTS (sizeof texts / sizeof texts[0])

static double
random_double(void)
{
    static const double known[] = {0.0,    -0.0,   1.5, -1.5, 1e300,   -1e300,
                                   5e-324, 1e-300, 0.1, 99.9, -5e-324, 1e308};
    switch (test_below(&rng, 8)) {
    case 0:
        return test_below(&rng, 3) == 0 ? __builtin_nan("")
                                        : known[test_below(&rng, 12)];
    case 1:
        return test_below(&rng, 9) == 0 ? __builtin_inf() : known[test_below(&rng, 12)];
    case 2:
        return test_below(&rng, 20) == 0 ? -__builtin_inf()
                                         : known[test_below(&rng, 12)];
    default:
        return (double)(int64_t)test_below(&rng, 4000) / 100.0 - 10;
    }
}

static int64_t
random_int(la_type type, uint32_t spread)
{
    int64_t x = (int64_t)test_below(&rng, spread) - spread / 4;
    bool extreme = test_below(&rng, 15) == 0;
    switch (type) {
    case LA_T_BOOL:
        return (int64_t)test_below(&rng, 2);
    case LA_T_I32:
    case LA_T_DATE:
        return extreme ? (test_below(&rng, 2) ? INT32_MIN : INT32_MAX) : x;
    case LA_T_U64:
        return extreme ? (int64_t)(test_below(&rng, 2) ? 0 : UINT64_MAX) : x + spread;
    case LA_T_DECIMAL:
        return extreme ? INT64_C(999999999999999999) : x;
    default:
        return extreme ? (test_below(&rng, 2) ? INT64_MIN : INT64_MAX) : x;
    }
}

static void
fill_text(data *d, la_type type)
{
    uint32_t size = 0;
    la_error err;
    if (type == LA_T_CAT) {
        CHECK_OK(la_dict_new(la_env_system(), &d->dict, &err), &err);
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        const char *text = texts[test_below(&rng, TEXTS)];
        if (type == LA_T_CAT) {
            uint32_t code;
            CHECK_OK(la_dict_add(d->dict, text, strlen(text), &code, &err), &err);
            ((uint32_t *)d->values)[i] = code;
        }
        memcpy(d->heap + size, text, strlen(text));
        d->offsets[i] = size;
        size += (uint32_t)strlen(text);
    }
    d->offsets[ROWS] = size;
    if (type == LA_T_CAT) {
        d->column.dict = d->dict;
    }
    else {
        d->column.data = d->heap;
        d->column.offsets = d->offsets;
    }
}

static void
fill(data *d, la_type type)
{
    uint32_t spread = test_below(&rng, 2) ? 30 : 100000;
    bool nulls = test_below(&rng, 3) != 0;
    memset(d, 0, sizeof *d);
    d->column = (la_column){.type = type, .scale = type == LA_T_DECIMAL ? 2 : 0};
    d->column.data = d->values;
    for (uint32_t i = 0; i < ROWS; i++) {
        d->valid[i] = test_below(&rng, 5) != 0;
        d->groups[i] =
            (uint32_t)test_below(&rng, GROUPS - 1); /* the last stays empty */
        d->times[i] = (int64_t)test_below(&rng, 50) - 10;
        int64_t x = random_int(type, spread);
        switch (type) {
        case LA_T_BOOL:
            ((uint8_t *)d->values)[i] = (uint8_t)x;
            break;
        case LA_T_I32:
        case LA_T_DATE:
            ((int32_t *)d->values)[i] = (int32_t)x;
            break;
        case LA_T_F32: {
            double y = random_double();
            y = y > 3e38 ? 3e38 : y < -3e38 ? -3e38 : y;
            ((float *)d->values)[i] = (float)y;
            break;
        }
        case LA_T_F64:
            ((double *)d->values)[i] = random_double();
            break;
        default:
            d->values[i] = (uint64_t)x;
        }
    }
    d->column.valid = nulls ? d->valid : NULL;
    if (type == LA_T_CAT || type == LA_T_STR || type == LA_T_BYTES) {
        fill_text(d, type);
    }
}

/* ----------------------------------------------------------------- states */

typedef struct states {
    const la_agg_kind *kind;
    la_agg_context context;
    size_t heap_used;
    size_t size;
    char *at;
} states;

static void
states_init(states *s, const la_agg_kind *kind, la_type type, const la_env *env)
{
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->context =
        (la_agg_context){env, type, type == LA_T_DECIMAL ? 2 : 0, &s->heap_used};
    s->size = kind->size(&s->context);
    s->at = malloc(s->size * GROUPS);
    for (uint32_t g = 0; g < GROUPS; g++) {
        kind->init(&s->context, s->at + g * s->size);
    }
}

static void
states_fini(states *s)
{
    for (uint32_t g = 0; g < GROUPS; g++) {
        s->kind->fini(&s->context, s->at + g * s->size);
    }
    CHECK_EQ(s->heap_used, 0);
    free(s->at);
}

/* Folds rows [from, to) in steps, some of them as lists of rows. */
static la_status
fold_rows(states *s, const data *d, uint32_t from, uint32_t to, la_error *err)
{
    while (from < to) {
        uint32_t step = 1 + (uint32_t)test_below(&rng, to - from), list[ROWS];
        la_column column = d->column;
        la_agg_rows rows = {.groups = d->groups,
                            .count = step,
                            .arg = s->kind->takes_arg ? &column : NULL,
                            .times = d->times,
                            .position = POSITION};
        for (uint32_t i = 0; i < step; i++) {
            list[i] = from + i;
        }
        if (from > 0 || test_below(&rng, 2)) {
            rows.rows = list;
        }
        rows.single = true;
        for (uint32_t i = 0; i < step; i++) {
            rows.single &= d->groups[from + i] == d->groups[from];
        }
        if (test_below(&rng, 2)) {
            rows.group_span = GROUPS; /* else not known */
        }
        la_status status = s->kind->update(&s->context, s->at, &rows, err);
        if (status != LA_OK) {
            return status;
        }
        from += step;
    }
    return LA_OK;
}

static la_status
merge_all(states *into, const states *from, la_error *err)
{
    for (uint32_t g = 0; g < GROUPS; g++) {
        la_status status = into->kind->merge(&into->context, into->at + g * into->size,
                                             from->at + g * from->size, err);
        if (status != LA_OK) {
            return status;
        }
    }
    return LA_OK;
}

static void
encode(const states *s, la_buf *to)
{
    la_buf_clear(to);
    for (uint32_t g = 0; g < GROUPS; g++) {
        s->kind->encode(&s->context, s->at + g * s->size, to);
    }
    CHECK(!to->failed);
}

static void
check_bytes(const la_buf *a, const la_buf *b, const states *s, const char *law)
{
    char text[32];
    la_type_text(s->context.arg_type, s->context.arg_scale, text, sizeof text);
    CHECK_MSG(a->size == b->size && memcmp(a->data, b->data, a->size) == 0,
              "%s of %s: %s", s->kind->name, text, law);
}

/* ------------------------------------------------------------------- laws */

static void
check_merge_laws(const la_agg_kind *kind, const data *d, la_type type)
{
    const la_env *env = la_env_system();
    states whole, a, b, c, empty;
    la_buf expected, found;
    la_error err;
    uint32_t cut = (uint32_t)test_below(&rng, ROWS), second = cut / 2;
    la_buf_init(&expected, env);
    la_buf_init(&found, env);
    states_init(&whole, kind, type, env);
    states_init(&a, kind, type, env);
    states_init(&b, kind, type, env);
    states_init(&c, kind, type, env);
    states_init(&empty, kind, type, env);
    CHECK_OK(fold_rows(&whole, d, 0, ROWS, &err), &err);
    encode(&whole, &expected);
    CHECK_OK(fold_rows(&a, d, 0, second, &err), &err);
    CHECK_OK(fold_rows(&b, d, second, cut, &err), &err);
    CHECK_OK(fold_rows(&c, d, cut, ROWS, &err), &err);
    CHECK_OK(merge_all(&b, &c, &err), &err); /* c + (b) + a, the other way round */
    CHECK_OK(merge_all(&b, &a, &err), &err);
    encode(&b, &found);
    check_bytes(&expected, &found, &whole, "a split merges to the whole, in any order");
    CHECK_OK(merge_all(&whole, &empty, &err), &err);
    encode(&whole, &found);
    check_bytes(&expected, &found, &whole, "nothing merged in changes nothing");
    CHECK_OK(merge_all(&empty, &whole, &err), &err);
    encode(&empty, &found);
    check_bytes(&expected, &found, &whole, "merged into nothing it is the same");
    states_fini(&whole);
    states_fini(&a);
    states_fini(&b);
    states_fini(&c);
    states_fini(&empty);
    la_buf_fini(&expected);
    la_buf_fini(&found);
}

/* Decodes what may be hostile; what is accepted must encode to the same bytes. */
static void
check_decoding(states *s, const uint8_t *bytes, size_t size, la_buf *out)
{
    char *state = malloc(s->size);
    /* A copy of its own, so that a sanitizer sees a read past the end. */
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    memcpy(copy, bytes, size);
    la_bytes from = la_bytes_of(copy, size);
    s->kind->init(&s->context, state);
    if (s->kind->decode(&s->context, state, &from) && !from.bad) {
        size_t taken = size - la_bytes_left(&from);
        la_buf_clear(out);
        s->kind->encode(&s->context, state, out);
        CHECK_MSG(out->size == taken && memcmp(out->data, bytes, taken) == 0,
                  "%s: accepted bytes are not canonical", s->kind->name);
    }
    s->kind->fini(&s->context, state);
    free(copy);
    free(state);
}

static void
check_bytes_laws(const la_agg_kind *kind, const data *d, la_type type)
{
    const la_env *env = la_env_system();
    states s, back;
    la_buf bytes, again;
    la_error err;
    la_buf_init(&bytes, env);
    la_buf_init(&again, env);
    states_init(&s, kind, type, env);
    states_init(&back, kind, type, env);
    CHECK_OK(fold_rows(&s, d, 0, ROWS, &err), &err);
    encode(&s, &bytes);
    la_bytes from = la_bytes_of(bytes.data, bytes.size);
    for (uint32_t g = 0; g < GROUPS; g++) {
        CHECK_MSG(kind->decode(&back.context, back.at + g * back.size, &from),
                  "%s of %d", kind->name, type);
    }
    CHECK(!from.bad && la_bytes_left(&from) == 0);
    encode(&back, &again);
    check_bytes(&bytes, &again, &s, "bytes go round");
    for (int i = 0; i < 60; i++) {
        uint8_t hostile[64];
        size_t size = test_below(&rng, sizeof hostile);
        for (size_t k = 0; k < size; k++) {
            hostile[k] =
                (uint8_t)(test_below(&rng, 2) ? test_below(&rng, 12) : test_next(&rng));
        }
        check_decoding(&s, hostile, size, &again);
        size = test_below(&rng, bytes.size + 1); /* cut, then one byte changed */
        check_decoding(&s, bytes.data, size, &again);
        uint8_t *byte = &bytes.data[test_below(&rng, bytes.size)], old = *byte;
        *byte = (uint8_t)(test_below(&rng, 2) ? test_next(&rng)
                                              : *byte ^ 1u << test_below(&rng, 8));
        check_decoding(&s, bytes.data, bytes.size, &again);
        *byte = old;
    }
    states_fini(&s);
    states_fini(&back);
    la_buf_fini(&bytes);
    la_buf_fini(&again);
}

/* --------------------------------------------------------- a plain reference */

typedef struct answer {
    bool null;
    bool overflow;
    bool skip;
    la_value value;
} answer;

static bool
is_nan(const la_value *v)
{
    return (v->type == LA_T_F32 || v->type == LA_T_F64) && v->f64 != v->f64;
}

static answer
plain_count(const char *name, const data *d, uint32_t group)
{
    answer a = {.value.type = LA_T_I64};
    for (uint32_t i = 0; i < ROWS; i++) {
        la_value v = la_value_of(&d->column, i);
        if (d->groups[i] != group) {
            continue;
        }
        bool counts = strcmp(name, "len") == 0 ||
                      (strcmp(name, "null_count") == 0 ? v.null : !v.null);
        for (uint32_t k = 0; k < i && counts && strcmp(name, "n_unique") == 0; k++) {
            la_value w = la_value_of(&d->column, k);
            counts = d->groups[k] != group || w.null || la_value_compare(&v, &w) != 0;
        }
        a.value.i64 += counts;
    }
    return a;
}

static answer
plain_pick(const char *name, const data *d, uint32_t group)
{
    answer a = {.null = true};
    uint32_t at = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        la_value v = la_value_of(&d->column, i);
        if (d->groups[i] != group || v.null) {
            continue;
        }
        bool wins = a.null;
        if (!a.null && strcmp(name, "first") == 0) {
            wins = d->times[i] < d->times[at];
        }
        else if (!a.null && strcmp(name, "last") == 0) {
            wins = d->times[i] >= d->times[at];
        }
        else if (!a.null && !is_nan(&v)) {
            int order = la_value_compare(&v, &a.value);
            wins =
                is_nan(&a.value) || (strcmp(name, "min") == 0 ? order < 0 : order > 0);
        }
        if (wins) {
            a = (answer){.value = v};
            at = i;
        }
    }
    return a;
}

static answer
plain_sum(const data *d, uint32_t group)
{
    answer a = {.null = true, .value.type = d->column.type};
    la_type type = d->column.type;
    __int128 sum = 0;
    if (type == LA_T_F32 || type == LA_T_F64) {
        return (answer){.skip = true}; /* fold_exact_test */
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        la_value v = la_value_of(&d->column, i);
        if (d->groups[i] == group && !v.null) {
            sum += type == LA_T_U64 ? (__int128)(uint64_t)v.i64 : (__int128)v.i64;
            a.null = false;
        }
    }
    __int128 limit = (__int128)1000000000000000000;
    a.overflow = type == LA_T_U64       ? sum < 0 || sum > UINT64_MAX
                 : type == LA_T_DECIMAL ? sum <= -limit || sum >= limit
                                        : sum < INT64_MIN || sum > INT64_MAX;
    a.null |= a.overflow;
    a.value.type = type == LA_T_U64 || type == LA_T_DECIMAL ? type : LA_T_I64;
    a.value.i64 = (int64_t)sum;
    return a;
}

static answer
plain(const char *name, const data *d, uint32_t group)
{
    if (strcmp(name, "sum") == 0) {
        return plain_sum(d, group);
    }
    if (strcmp(name, "mean") == 0) {
        return (answer){.skip = true};
    }
    if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0 ||
        strcmp(name, "first") == 0 || strcmp(name, "last") == 0) {
        return plain_pick(name, d, group);
    }
    return plain_count(name, d, group);
}

static void
check_finish(const la_agg_kind *kind, const data *d, la_type type, la_type result)
{
    uint64_t values[GROUPS];
    uint32_t offsets[GROUPS + 1] = {0};
    uint8_t valid[GROUPS], overflow[GROUPS] = {0};
    states s;
    la_buf heap;
    la_error err;
    la_buf_init(&heap, la_env_system());
    states_init(&s, kind, type, la_env_system());
    CHECK_OK(fold_rows(&s, d, 0, ROWS, &err), &err);
    memset(valid, 1, sizeof valid);
    for (uint32_t g = 0; g < GROUPS; g++) {
        CHECK_OK(kind->finish(&s.context, s.at + g * s.size, g, values, valid, overflow,
                              &heap, &err),
                 &err);
        offsets[g + 1] = (uint32_t)heap.size;
    }
    bool text = result == LA_T_STR || result == LA_T_BYTES;
    la_column column = {.type = result,
                        .data = text ? (void *)heap.data : (void *)values,
                        .offsets = offsets,
                        .valid = valid};
    for (uint32_t g = 0; g < GROUPS; g++) {
        answer a = plain(kind->name, d, g);
        la_value found = la_value_of(&column, g);
        if (a.skip) {
            continue;
        }
        a.value.type = a.value.type == LA_T_CAT ? LA_T_STR : a.value.type;
        CHECK_MSG(
            found.null == a.null && overflow[g] == a.overflow &&
                (a.null || la_value_compare(&found, &a.value) == 0),
            "%s of type %d, group %u: null %d (%d), overflow %d (%d), %lld (%lld)",
            kind->name, type, g, found.null, a.null, overflow[g], a.overflow,
            (long long)found.i64, (long long)a.value.i64);
    }
    states_fini(&s);
    la_buf_fini(&heap);
}

static void
check_failures(const la_agg_kind *kind, const data *d, la_type type)
{
    fault_env f;
    la_error err;
    uint64_t seed = rng;
    fault_env_init(&f, la_env_system());
    for (uint64_t n = 1; n < 2000; n++) {
        states a, b;
        rng = seed;
        states_init(&a, kind, type, &f.env);
        states_init(&b, kind, type, &f.env);
        fault_env_fail_at(&f, n, false);
        la_status status = fold_rows(&a, d, 0, ROWS / 2, &err);
        if (status == LA_OK) {
            status = fold_rows(&b, d, ROWS / 2, ROWS, &err);
        }
        if (status == LA_OK) {
            status = merge_all(&a, &b, &err);
        }
        bool fired = fault_env_fired(&f);
        CHECK_EQ(status, fired ? LA_NOMEM : LA_OK);
        states_fini(&a);
        states_fini(&b);
        CHECK_EQ(fault_env_in_use(&f), 0);
        if (!fired) {
            return;
        }
    }
}

static void
every_aggregate_keeps_the_laws(void)
{
    uint32_t count;
    const la_agg_kind *const *kinds = la_agg_all(&count);
    data *d = malloc(sizeof *d);
    int combinations = 0;
    for (uint32_t k = 0; k < count; k++) {
        for (int type = LA_T_NULL; type < LA_T_COUNT; type++) {
            la_type result;
            uint8_t scale;
            la_error err;
            bool takes =
                kinds[k]->type((la_type)type, 2, &result, &scale, &err) == LA_OK;
            if (!takes || type == LA_T_JSON) {
                CHECK_MSG(takes || (err.status == LA_TYPE && err.message[0] != '\0'),
                          "%s of %d", kinds[k]->name, type);
                continue;
            }
            combinations++;
            for (int round = 0; round < 25; round++) {
                fill(d, type == LA_T_NULL ? LA_T_I64 : (la_type)type);
                check_merge_laws(kinds[k], d, (la_type)type);
                check_bytes_laws(kinds[k], d, (la_type)type);
                check_finish(kinds[k], d, (la_type)type, result);
                if (round < 2) {
                    check_failures(kinds[k], d, (la_type)type);
                }
                la_dict_release(d->dict);
            }
        }
        CHECK(la_agg_find(kinds[k]->name) == kinds[k]);
    }
    CHECK(la_agg_find("median") == NULL);
    printf("    %d combinations of aggregate and type\n", combinations);
    free(d);
}

/* n_unique's forms: inline, table, bitmap, back to table. */
static void
sets_count_through_all_forms(void)
{
    const la_agg_kind *kind = la_agg_find("n_unique");
    static uint8_t seen[1u << 20];
    data *d = calloc(1, sizeof *d);
    la_error err;
    for (int round = 0; round < 30; round++) {
        states s, half;
        uint64_t expected = 0, spread = UINT64_C(1) << (3 + test_below(&rng, 17));
        la_buf a, b;
        states_init(&s, kind, LA_T_I64, la_env_system());
        states_init(&half, kind, LA_T_I64, la_env_system());
        memset(seen, 0, sizeof seen);
        d->column = (la_column){.type = LA_T_I64, .data = d->values};
        for (int step = 0; step < 300; step++) {
            for (uint32_t i = 0; i < ROWS; i++) {
                uint64_t x = test_below(&rng, spread);
                if (round % 3 == 2 && step > 150 && test_below(&rng, 50) == 0) {
                    x = test_below(&rng, 1u << 20);
                }
                expected += !seen[x];
                seen[x] = 1;
                d->values[i] = x * (round % 5 == 4 ? UINT64_C(1) << 43 : 1) -
                               (round % 2 ? 500000 : 0);
            }
            CHECK_OK(fold_rows(test_below(&rng, 3) ? &s : &half, d, 0, ROWS, &err),
                     &err);
        }
        CHECK_OK(merge_all(&half, &s, &err), &err);
        CHECK_OK(merge_all(&s, &half, &err), &err);
        la_buf_init(&a, la_env_system());
        la_buf_init(&b, la_env_system());
        encode(&s, &a);
        encode(&half, &b);
        check_bytes(&a, &b, &s, "both ways");
        int64_t count;
        CHECK_OK(kind->finish(&s.context, s.at, 0, &count, NULL, NULL, NULL, &err),
                 &err);
        CHECK_EQ(count, expected);
        states_fini(&s);
        states_fini(&half);
        la_buf_fini(&a);
        la_buf_fini(&b);
    }
    free(d);
}

int
main(void)
{
    rng = test_seed();
    RUN(every_aggregate_keeps_the_laws);
    RUN(sets_count_through_all_forms);
    return test_end();
}
