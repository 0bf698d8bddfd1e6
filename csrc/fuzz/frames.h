/* SPDX-License-Identifier: Apache-2.0 */
/* Frames whose checksums are made right after mutation, so that decoders behind them are reached. */
#ifndef LA_FUZZ_FRAMES_H
#define LA_FUZZ_FRAMES_H

#include "fuzz.h"
#include "log/frame.h"

enum {
    FUZZ_FRAME_REPAIR = 1,  /* sizes, hashes, checksums */
    FUZZ_FRAME_PLACE = 2,   /* positions and epochs */
    FUZZ_FRAME_RAW_HASH = 4 /* as far as the columns can be decoded */
};
/* Over all frames of fuzz_schema() in `bytes`, which have LA_FRAME_SLACK more behind `size`. Returns
 * where the last frame ends; *position moves past its rows. */
size_t fuzz_repair_frames(uint8_t *bytes, size_t size, uint8_t flags, uint32_t seed,
                          uint32_t epoch, uint64_t *position);

#endif
