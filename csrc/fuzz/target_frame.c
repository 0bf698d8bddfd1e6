/* SPDX-License-Identifier: Apache-2.0 */
/* Frames one after another, decoded whole as recovery does, gathered into one frame and decoded
 * again: the same rows. Byte 0: flags of fuzz_repair_frames. */
#include "frames.h"
#include "log/gather.h"

enum { SEED = 1 };

static la_status
count_entry(void *arg, uint32_t column, uint32_t code, const char *text, size_t size,
            la_error *err)
{
    (void)column, (void)code, (void)err;
    *(size_t *)arg += size + (size == 0 ? 0 : (uint8_t)text[size - 1] & 1);
    return LA_OK;
}

/* The rows held, written and read. */
static void
write_again(la_gather *g)
{
    la_frame_writer writer;
    la_frame_rows rows;
    la_frame_info info;
    la_frame_header header;
    la_frame_view view;
    la_decoded d;
    la_buf out;
    la_error err;

    la_buf_init(&out, fuzz_env());
    FUZZ_CHECK(la_frame_writer_init(&writer, fuzz_env(), NULL) == LA_OK);
    FUZZ_CHECK(la_gather_rows(g, INT64_MIN, &rows, NULL) == LA_OK);
    la_status status =
        la_frame_put(&writer, &rows, SEED, 1, 0, LA_EFFORT_SEALED, &out, &info, &err);
    if (status == LA_OK) {
        la_buf_zero(&out, LA_FRAME_SLACK);
        FUZZ_CHECK(la_frame_read_header(out.data, SEED, &header) == NULL &&
                   la_frame_check(&header, out.data) == NULL);
        FUZZ_CHECK(la_frame_open(out.data, &header, "", 0, &view, NULL) == LA_OK);
        FUZZ_CHECK(la_decoded_init(&d, fuzz_env(), fuzz_schema(), NULL) == LA_OK);
        status = la_decode_frame(&d, fuzz_schema(), &view, &err);
        if (status != LA_OK && status != LA_NOMEM) {
            fprintf(stderr, "%s\n", err.message);
            abort();
        }
        la_decoded_fini(&d);
    }
    else {
        FUZZ_CHECK(status == LA_NOMEM || status == LA_INVALID);
    }
    la_frame_writer_fini(&writer);
    la_buf_fini(&out);
}

/* false: no good frame. */
static bool
take(const uint8_t *at, size_t size, la_decoded *d, la_gather *g, uint64_t *position)
{
    la_frame_header header;
    la_frame_view view;
    uint32_t quarantined = 0, rows;
    size_t text = 0;

    if (size < LA_FRAME_HEADER || la_frame_read_header(at, SEED, &header) != NULL ||
        la_frame_size(header.payload_size) > size ||
        la_frame_check(&header, at) != NULL ||
        la_frame_open(at, &header, "", 0, &view, NULL) != LA_OK) {
        return false;
    }
    la_status dict = la_frame_dict(&view, count_entry, &text, NULL);
    if (la_decode_frame(d, fuzz_schema(), &view, NULL) != LA_OK || dict != LA_OK ||
        header.position != *position || la_gather_dict(g, &view, NULL) != LA_OK) {
        return false;
    }
    *position += header.rows;
    for (uint32_t from = 0; from < d->rows; from += rows) {
        rows = la_gather_fits(g, d, from);
        if (rows == 0) {
            return false;
        }
        if (la_gather_add(g, d, from, rows, header.ingest_us, &quarantined, NULL) !=
            LA_OK) {
            return false;
        }
    }
    return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t position = 20, end = 20;
    la_decoded d;
    la_gather g;

    if (size == 0) {
        return 0;
    }
    fuzz_schema();
    fuzz_begin();
    uint8_t *bytes = malloc(size + LA_FRAME_SLACK);
    memcpy(bytes, data + 1, --size);
    memset(bytes + size, 0, LA_FRAME_SLACK);
    if (data[0] & FUZZ_FRAME_REPAIR) {
        fuzz_repair_frames(bytes, size, data[0], SEED, 1, &end);
    }
    FUZZ_CHECK(la_decoded_init(&d, fuzz_env(), fuzz_schema(), NULL) == LA_OK);
    FUZZ_CHECK(la_gather_init(&g, fuzz_env(), fuzz_schema(), 6, 20, NULL) == LA_OK);
    bool good = true;
    for (size_t at = 0; good && at < size;) {
        good = take(bytes + at, size - at, &d, &g, &position);
        at += (size_t)la_frame_size(good ? la_load_u32(bytes + at + 24) : 0);
    }
    if (good && g.rows > 0 && position == 20 + g.rows) {
        write_again(&g);
    }
    la_gather_fini(&g);
    la_decoded_fini(&d);
    free(bytes);
    return fuzz_end();
}
