/* SPDX-License-Identifier: Apache-2.0 */
/* A document's file. Byte 0 of the input: bit 0 makes the header's checksum right, bit 1 body
 * size and hash; the rest is the file. */
#include "base/hash.h"
#include "fuzz.h"

#define HEADER 96u

static void
repair(uint8_t *file, size_t size, uint8_t flags, uint64_t number)
{
    if (size >= HEADER && (flags & 2)) {
        la_store_u64(file + 40, size - HEADER);
        la_store_u64(file + 80, la_xxh3(file + HEADER, size - HEADER, number));
    }
    if (size >= HEADER && (flags & 1)) {
        la_store_u32(file + 92, la_crc32c(0, file, 92));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t number = 7;
    const char *body;
    size_t body_size;
    la_doc_id id, other;
    la_buf read;

    if (size == 0) {
        return 0;
    }
    fuzz_begin();
    uint8_t *file = malloc(size);
    memcpy(file, data + 1, size - 1);
    repair(file, size - 1, data[0], number);
    const la_env *env = fuzz_file_env(file, size - 1);
    la_doc_kind kind = size > HEADER ? (la_doc_kind)file[10] : LA_DOC_MANIFEST;
    kind = kind >= LA_DOC_MANIFEST && kind <= LA_DOC_STORE ? kind : LA_DOC_STORE;
    la_buf_init(&read, env);
    la_status status = la_doc_read(env, "f", kind, data[0] & 4 ? fuzz_uuid : NULL,
                                   number, NULL, &read, &body, &body_size, &id, NULL);
    if (status == LA_OK) {
        FUZZ_CHECK(id.size == size - 1 && body_size == size - 1 - HEADER);
        FUZZ_CHECK(memcmp(body, file + HEADER, body_size) == 0);
        FUZZ_CHECK(la_doc_read(env, "f", kind, NULL, number, &id, &read, &body,
                               &body_size, &other, NULL) == LA_OK);
        id.digest[31] ^= 1;
        FUZZ_CHECK(la_doc_read(env, "f", kind, NULL, number, &id, &read, &body,
                               &body_size, NULL, NULL) == LA_DAMAGED);
    }
    else {
        FUZZ_CHECK(status == LA_DAMAGED || status == LA_NEWER);
    }
    la_buf_fini(&read);
    free(file);
    return fuzz_end();
}
