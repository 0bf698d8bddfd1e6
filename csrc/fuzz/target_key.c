/* SPDX-License-Identifier: Apache-2.0 */
/* Key bytes: byte 0 is the type, byte 1 the scale, then parts. A part that is accepted is
 * canonical: writing the value gives the same bytes. */
#include "chunk/value.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_arena arena;
    la_value value, before = {0};
    la_buf again;

    if (size < 2) {
        return 0;
    }
    fuzz_begin();
    la_type type = (la_type)(1 + data[0] % (LA_T_JSON - 1));
    uint8_t scale = type == LA_T_DECIMAL ? data[1] % 19 : 0;
    la_arena_init(&arena, fuzz_env());
    la_buf_init(&again, fuzz_env());
    la_bytes from = la_bytes_of(data + 2, size - 2);
    for (int n = 0; n < 64 && la_bytes_left(&from) > 0; n++) {
        const uint8_t *start = from.at;
        if (!la_key_take(&from, type, scale, &arena, &value)) {
            break;
        }
        size_t taken = (size_t)(from.at - start);
        la_buf_clear(&again);
        la_key_put(&again, &value);
        FUZZ_CHECK(again.size == taken && memcmp(again.data, start, taken) == 0);
        FUZZ_CHECK(value.type == type && la_value_compare(&value, &value) == 0);
        if (n > 0) {
            int c = la_value_compare(&before, &value);
            FUZZ_CHECK(c == -la_value_compare(&value, &before));
        }
        la_value_text(&again, &value);
        FUZZ_CHECK(!again.failed);
        before = value;
    }
    la_buf_fini(&again);
    la_arena_fini(&arena);
    return fuzz_end();
}
