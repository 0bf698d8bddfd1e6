/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text: what parses has one canonical text, and that text parses to the same value. */
#include "base/json.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const la_json *a, *b;
    la_buf first, second;
    la_arena arena;
    la_error err = {0};
    char text[200];

    fuzz_begin();
    la_arena_init(&arena, fuzz_env());
    la_buf_init(&first, fuzz_env());
    la_buf_init(&second, fuzz_env());
    la_status status = la_json_parse(&arena, (const char *)data, size, &a, &err);
    if (status == LA_OK) {
        la_json_put(&first, a);
        FUZZ_CHECK(!first.failed);
        FUZZ_CHECK(la_json_parse(&arena, (const char *)first.data, first.size, &b,
                                 &err) == LA_OK);
        la_json_put(&second, b);
        FUZZ_CHECK(first.size == second.size &&
                   memcmp(first.data, second.data, first.size) == 0);
        FUZZ_CHECK(a->kind == LA_J_OBJECT || a->kind == LA_J_ARRAY ||
                   !la_json_difference(a, b, text, sizeof text));
        (void)la_json_get(a, "a");
    }
    else {
        FUZZ_CHECK(status == LA_NOMEM || (status == LA_INVALID && err.byte <= size));
    }
    la_buf_fini(&first);
    la_buf_fini(&second);
    la_arena_fini(&arena);
    return fuzz_end();
}
