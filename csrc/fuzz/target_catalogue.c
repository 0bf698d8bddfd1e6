/* SPDX-License-Identifier: Apache-2.0 */
/* A catalogue's body in a valid document; what is accepted can be written, and reads the same. */
#include "../tests/sim_env.h"
#include "fuzz.h"
#include "views/catalogue.h"

static uint64_t
write_read(const la_env *env, const la_catalogue *from, la_catalogue **again)
{
    la_catalogue *draft;
    la_error err;

    FUZZ_CHECK(la_catalogue_copy(from, &draft, NULL) == LA_OK);
    if (la_catalogue_write(draft, "/", fuzz_uuid, &err) != LA_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    uint64_t number = draft->id.number;
    if (la_catalogue_read(env, "/", fuzz_uuid, number, again, &err) != LA_OK) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    la_catalogue_release(draft);
    return number;
}

static void
check_again(la_catalogue *c)
{
    sim *s = sim_new(1);
    la_env env = fuzz_env_with(sim_env(s));
    la_catalogue *second, *third;
    size_t a_size, b_size;
    char path[64];

    c->env = &env;
    uint64_t first = write_read(&env, c, &second);
    uint64_t next = write_read(&env, second, &third);
    la_doc_path(path, sizeof path, "", LA_DOC_CATALOGUE, first);
    const uint8_t *a = sim_content(s, path, &a_size);
    uint8_t *kept = malloc(a_size);
    memcpy(kept, a, a_size);
    la_doc_path(path, sizeof path, "", LA_DOC_CATALOGUE, next);
    const uint8_t *b = sim_content(s, path, &b_size);
    FUZZ_CHECK(a_size == b_size && memcmp(kept + 96, b + 96, a_size - 96) == 0);
    free(kept);
    la_catalogue_release(second);
    la_catalogue_release(third);
    sim_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_catalogue *c;
    la_buf file;

    fuzz_begin();
    la_buf_init(&file, fuzz_env());
    fuzz_put_document(&file, LA_DOC_CATALOGUE, 3, data, size, NULL);
    const la_env *env = fuzz_file_env(file.data, file.size);
    la_status status = la_catalogue_read(env, "/", fuzz_uuid, 3, &c, NULL);
    if (status == LA_OK) {
        for (uint32_t i = 0; i < c->view_count; i++) {
            FUZZ_CHECK(strchr(c->views[i].name, '/') == NULL);
            FUZZ_CHECK(c->views[i].current == 0 || la_view_entry_current(&c->views[i]));
        }
        check_again(c);
        c->env = env;
        la_catalogue_release(c);
    }
    else {
        FUZZ_CHECK(status == LA_DAMAGED || status == LA_NOMEM || status == LA_NEWER);
    }
    la_buf_fini(&file);
    return fuzz_end();
}
