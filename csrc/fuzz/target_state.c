/* SPDX-License-Identifier: Apache-2.0 */
/* State bytes of every aggregate over every type: byte 0 says which, byte 1 where the bytes are
 * cut in two states. What is accepted is canonical, merges and finishes. */
#include "fold/fold.h"
#include "fuzz.h"

static void
add(la_fold *fold, const uint8_t *states, size_t size)
{
    static const uint8_t key[] = {0};
    bool first = la_fold_group_count(fold) == 0;
    la_status status = la_fold_add(fold, key, sizeof key, states, size, NULL);
    la_buf again;

    FUZZ_CHECK(status == LA_OK || status == LA_DAMAGED || status == LA_NOMEM ||
               status == LA_BUDGET || status == LA_OVERFLOW);
    la_buf_init(&again, fuzz_env());
    if (status == LA_OK && first) {
        la_fold_encode(fold, 0, &again);
        FUZZ_CHECK(again.size == size && memcmp(again.data, states, size) == 0);
    }
    la_buf_fini(&again);
}

static void
finish(const la_fold *fold)
{
    const uint8_t *overflow[1];
    __int128 exact;
    la_chunk *chunk;
    uint8_t scale;

    if (la_fold_finish(fold, NULL, la_fold_group_count(fold), &chunk, overflow, NULL) ==
        LA_OK) {
        la_chunk_free(chunk);
    }
    (void)la_fold_exact(fold, 0, 0, &exact, &scale);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_fold *fold;

    uint32_t plan_count;
    la_plan *const *plans = fuzz_state_plans(&plan_count);
    if (size < 2) {
        return 0;
    }
    fuzz_begin();
    la_plan *plan = plans[data[0] % plan_count];
    size_t cut = data[1] < size - 2 ? data[1] : size - 2;
    /* The plan's environment is the system's; the fold's bytes are bounded by its budget. */
    FUZZ_CHECK(la_fold_new(plan, FUZZ_MEMORY_MAX, &fold, NULL) == LA_OK);
    add(fold, data + 2, cut);
    add(fold, data + 2 + cut, size - 2 - cut);
    if (la_fold_group_count(fold) == 1) {
        la_buf merged;
        la_buf_init(&merged, fuzz_env());
        la_fold_encode(fold, 0, &merged);
        finish(fold);
        la_fold_clear(fold);
        add(fold, merged.data, merged.size);
        FUZZ_CHECK(la_fold_group_count(fold) == 1);
        la_buf_fini(&merged);
    }
    la_fold_free(fold);
    return fuzz_end();
}
