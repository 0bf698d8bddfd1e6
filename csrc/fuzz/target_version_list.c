/* SPDX-License-Identifier: Apache-2.0 */
/* A version list's body in a valid document; what is accepted, written and read again is the
 * same. */
#include "../tests/sim_env.h"
#include "fuzz.h"
#include "views/version_list.h"

static void
check_again(const la_version_list *list)
{
    sim *s = sim_new(1);
    la_env env = fuzz_env_with(sim_env(s));
    la_version_list mine = *list, again;
    la_doc_id id;

    mine.env = &env;
    FUZZ_CHECK(la_version_list_write(&mine, "/", fuzz_uuid, 5, &id, NULL) == LA_OK);
    FUZZ_CHECK(la_version_list_read(&env, "/", fuzz_uuid, &id, &again, NULL) == LA_OK);
    FUZZ_CHECK(again.partition_count == list->partition_count &&
               again.delta_count == list->delta_count &&
               again.bucket_bits == list->bucket_bits);
    FUZZ_CHECK(la_version_list_groups(&again) == la_version_list_groups(list) &&
               la_version_list_bytes(&again) == la_version_list_bytes(list));
    for (uint32_t i = 0; i < list->partition_count; i++) {
        FUZZ_CHECK(memcmp(&again.partitions[i], &list->partitions[i],
                          sizeof(la_partition)) == 0);
        FUZZ_CHECK(strchr(list->partitions[i].base.name, '/') == NULL);
        FUZZ_CHECK(la_version_list_find(list, list->partitions[i].id) ==
                   &list->partitions[i]);
    }
    la_version_list_fini(&again);
    sim_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_version_list list;
    la_doc_id id;
    la_buf file;

    fuzz_begin();
    la_buf_init(&file, fuzz_env());
    fuzz_put_document(&file, LA_DOC_VERSION, 5, data, size, &id);
    const la_env *env = fuzz_file_env(file.data, file.size);
    la_status status = la_version_list_read(env, "/", fuzz_uuid, &id, &list, NULL);
    if (status == LA_OK) {
        check_again(&list);
        la_version_list_fini(&list);
    }
    else {
        FUZZ_CHECK(status == LA_DAMAGED || status == LA_NOMEM);
    }
    la_buf_fini(&file);
    return fuzz_end();
}
