/* SPDX-License-Identifier: Apache-2.0 */
/* zstd for whole byte strings: the only file that includes zstd.h.
 *
 * A decoder believes no length inside the data: the caller says what must come out.
 * zstd's own contexts come from malloc, not from la_env: its custom allocators are no
 * stable API. */
#include <zstd.h>

#include "base/error.h"
#include "codec/state.h"

void
la_zstd_fini(la_codec *codec)
{
    ZSTD_freeCCtx((ZSTD_CCtx *)codec->zstd);
    codec->zstd = NULL;
}

la_status
la_zstd_pack(la_codec *codec, const void *from, size_t size, int level, la_buf *to,
             la_error *err)
{
    if (codec->zstd == NULL) {
        codec->zstd = ZSTD_createCCtx();
        if (codec->zstd == NULL) {
            return la_fail_nomem(err, sizeof(void *));
        }
    }
    size_t bound = ZSTD_compressBound(size);
    if (ZSTD_isError(bound)) {
        return la_fail(err, LA_INVALID, "could not compress %zu bytes: too many", size);
    }
    uint8_t *at = la_buf_room(to, bound);
    if (at == NULL) {
        return la_fail_nomem(err, bound);
    }
    size_t packed =
        ZSTD_compressCCtx((ZSTD_CCtx *)codec->zstd, at, bound, from, size, level);
    if (ZSTD_isError(packed)) {
        return la_fail(err, LA_NOMEM, "could not compress %zu bytes: %s", size,
                       ZSTD_getErrorName(packed));
    }
    to->size += packed;
    return LA_OK;
}

la_status
la_zstd_unpack(const void *from, size_t size, void *to, size_t raw_size, la_error *err)
{
    size_t raw = ZSTD_decompress(to, raw_size, from, size);
    if (ZSTD_isError(raw)) {
        return la_fail(err, LA_DAMAGED, "could not decompress %zu bytes: %s", size,
                       ZSTD_getErrorName(raw));
    }
    if (raw != raw_size) {
        return la_fail(
            err, LA_DAMAGED,
            "could not decompress %zu bytes: %zu came out, %zu were expected", size,
            raw, raw_size);
    }
    return LA_OK;
}
