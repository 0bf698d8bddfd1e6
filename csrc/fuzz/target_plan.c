/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: what is accepted has a canonical form that is a fixpoint, that can stand in a
 * catalogue, and that folds hard rows; states go round. */
#include "fold/fold.h"
#include "fuzz.h"

static void
check_canonical(const la_plan *plan)
{
    la_plan *again;
    la_arena arena;
    la_buf body;
    la_error err;
    const la_json *root;

    if (la_plan_parse(fuzz_env(), plan->canonical, plan->canonical_size, fuzz_source(),
                      &again, &err) != LA_OK) {
        fprintf(stderr, "%s\n%s\n", plan->canonical, err.message);
        abort();
    }
    FUZZ_CHECK(plan->canonical_size == again->canonical_size &&
               memcmp(plan->canonical, again->canonical, plan->canonical_size) == 0);
    FUZZ_CHECK(memcmp(plan->fingerprint, again->fingerprint, 32) == 0);
    la_plan_release(again);
    la_arena_init(&arena, fuzz_env());
    la_buf_init(&body, fuzz_env());
    la_buf_text(&body, "{\"views\":[{\"versions\":[{\"plan\":");
    la_buf_put(&body, plan->canonical, plan->canonical_size);
    la_buf_text(&body, "}]}]}");
    FUZZ_CHECK(la_json_parse(&arena, (const char *)body.data, body.size, &root, NULL) ==
               LA_OK);
    la_buf_fini(&body);
    la_arena_fini(&arena);
}

/* Every group's bytes added to another fold give the same bytes. */
static void
check_round(const la_fold *fold, la_plan *plan)
{
    la_fold *other;
    la_buf key, states, again;

    FUZZ_CHECK(la_fold_new(plan, FUZZ_MEMORY_MAX, &other, NULL) == LA_OK);
    la_buf_init(&key, fuzz_env());
    la_buf_init(&states, fuzz_env());
    la_buf_init(&again, fuzz_env());
    for (uint32_t g = 0; g < la_fold_group_count(fold); g++) {
        la_buf_clear(&key);
        la_buf_clear(&states);
        la_buf_clear(&again);
        la_fold_key(fold, g, &key);
        la_fold_encode(fold, g, &states);
        FUZZ_CHECK(la_fold_add(other, key.data, key.size, states.data, states.size,
                               NULL) == LA_OK);
        uint32_t at = la_fold_find(other, key.data, key.size);
        FUZZ_CHECK(at != UINT32_MAX && at == g);
        la_fold_encode(other, at, &again);
        FUZZ_CHECK(again.size == states.size &&
                   memcmp(again.data, states.data, again.size) == 0);
    }
    la_buf_fini(&key);
    la_buf_fini(&states);
    la_buf_fini(&again);
    la_fold_free(other);
}

static void
fold_rows(la_plan *plan)
{
    la_fold *fold;
    la_chunk *result;
    la_error err;

    if (la_fold_new(plan, FUZZ_MEMORY_MAX, &fold, NULL) != LA_OK) {
        return;
    }
    la_status status = la_fold_chunk(fold, fuzz_chunk(), &err);
    if (status == LA_OK) {
        const la_counts *n = la_fold_counts(fold);
        FUZZ_CHECK(n->counted + n->filtered + n->failed + n->late + n->duplicate +
                       n->retracted + n->quarantined + n->erased ==
                   fuzz_chunk()->rows);
        check_round(fold, plan);
        if (la_fold_finish(fold, NULL, la_fold_group_count(fold), &result, NULL,
                           NULL) == LA_OK) {
            la_chunk_free(result);
        }
    }
    la_fold_free(fold);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_plan *plan;

    fuzz_chunk();
    fuzz_begin();
    if (la_plan_parse(fuzz_env(), (const char *)data, size, fuzz_source(), &plan,
                      NULL) == LA_OK) {
        check_canonical(plan);
        fold_rows(plan);
        la_plan_release(plan);
    }
    return fuzz_end();
}
