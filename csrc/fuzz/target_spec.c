/* SPDX-License-Identifier: Apache-2.0 */
/* A log's definition: what is accepted has a canonical text that is a fixpoint, and fits into a
 * manifest. */
#include "fuzz.h"
#include "log/spec.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_log_def def, again;
    la_arena arena;
    la_buf body;
    const la_json *root;

    fuzz_begin();
    const la_env *env = fuzz_env();
    char *text = la_strndup(env, (const char *)data, size);
    if (la_log_def_parse(env, text, &def, NULL) == LA_OK) {
        la_error err;
        if (la_log_def_parse(env, def.canonical, &again, &err) != LA_OK) {
            fprintf(stderr, "%s\n", err.message);
            abort();
        }
        FUZZ_CHECK(strcmp(def.canonical, again.canonical) == 0);
        FUZZ_CHECK(la_log_def_same(env, "x", def.canonical, again.canonical, NULL) ==
                   LA_OK);
        la_log_def_fini(&again);
        la_buf_init(&body, env);
        la_arena_init(&arena, env);
        la_buf_printf(&body, "{\"spec\":");
        la_buf_put(&body, def.canonical, strlen(def.canonical));
        la_buf_text(&body, "}");
        FUZZ_CHECK(la_json_parse(&arena, (const char *)body.data, body.size, &root,
                                 NULL) == LA_OK);
        la_arena_fini(&arena);
        la_buf_fini(&body);
        la_log_def_fini(&def);
    }
    la_strfree(env, text);
    return fuzz_end();
}
