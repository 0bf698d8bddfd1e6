/* SPDX-License-Identifier: Apache-2.0 */
/* The tail page; byte 0 of the input makes its checksum right. What it claims is fuzzed in
 * target_log.c. */
#include "base/hash.h"
#include "fuzz.h"
#include "log/tail.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_tail tail = {0};
    la_tail_values values;

    if (size == 0) {
        return 0;
    }
    fuzz_begin();
    size_t page_size = size - 1 < LA_TAIL_BYTES && size > 88 ? LA_TAIL_BYTES : size - 1;
    uint8_t *page = calloc(1, page_size + 1);
    memcpy(page, data + 1, size - 1);
    if (page_size >= 88 && (data[0] & 1)) {
        la_store_u64(page + 80, la_crc32c(0, page + 16, 64));
    }
    const la_env *env = fuzz_file_env(page, page_size);
    FUZZ_CHECK(la_tail_open(env, "/", false, &tail, NULL) == LA_OK);
    if (la_tail_load(&tail, fuzz_uuid, &values)) {
        FUZZ_CHECK(memcmp(&values, page + 32, sizeof values) == 0);
    }
    la_tail_close(env, &tail);
    free(page);
    return fuzz_end();
}
