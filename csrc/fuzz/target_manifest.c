/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of manifests and of their pages in valid documents: byte 0 says which. */
#include "fuzz.h"
#include "log/manifest.h"
#include "log/spec.h"

static void
check_entries(const la_segment_entry *entries, uint32_t count, uint64_t end)
{
    for (uint32_t i = 0; i < count; i++) {
        FUZZ_CHECK(entries[i].first == end && entries[i].end > end);
        end = entries[i].end;
    }
}

static la_status
read_manifest(const la_env *env)
{
    la_manifest m, copy;
    la_log_def def;
    la_status status = la_manifest_read(env, "/", fuzz_uuid, 9, &m, NULL);

    if (status == LA_OK) {
        check_entries(m.segments, m.count, m.head.end);
        FUZZ_CHECK(la_manifest_copy(&m, 1, &copy, NULL) == LA_OK);
        FUZZ_CHECK(la_manifest_end(&m) == la_manifest_end(&copy));
        la_manifest_fini(&copy);
        if (la_log_def_parse(env, m.spec, &def, NULL) == LA_OK) {
            la_log_def_fini(&def);
        }
        la_manifest_fini(&m);
    }
    return status;
}

static la_status
read_page(const la_env *env, const la_doc_id *id, uint64_t segments, uint64_t end)
{
    la_page_head head = {.id = *id, .segments = segments, .end = end};
    la_page page;
    la_status status = la_page_read(env, "/", fuzz_uuid, &head, &page, NULL);

    if (status == LA_OK) {
        check_entries(page.segments, page.count, page.previous.end);
        la_page_fini(env, &page);
    }
    return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    la_doc_id id;
    la_buf file;
    la_status status;

    if (size < 3) {
        return 0;
    }
    fuzz_begin();
    la_buf_init(&file, fuzz_env());
    bool page = data[0] & 1;
    fuzz_put_document(&file, page ? LA_DOC_MANIFEST_PAGE : LA_DOC_MANIFEST, 9, data + 3,
                      size - 3, &id);
    const la_env *env = fuzz_file_env(file.data, file.size);
    status = page ? read_page(env, &id, data[1], data[2]) : read_manifest(env);
    FUZZ_CHECK(status == LA_OK || status == LA_DAMAGED || status == LA_NOMEM ||
               status == LA_NEWER);
    la_buf_fini(&file);
    return fuzz_end();
}
