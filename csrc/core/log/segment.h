/* SPDX-License-Identifier: Apache-2.0 */
/* One segment file: header, frames, footer; its index of frames in memory; lists of
 * sealed segments. Bytes: docs/internals/format/log.md, "Segment". Private to log/. */
#ifndef LA_LOG_SEGMENT_H
#define LA_LOG_SEGMENT_H

#include <stdatomic.h>

#include "base/sync.h"
#include "log/frame.h"
#include "log/manifest.h"

#define LA_SEGMENT_HEADER 128u
/* Frames a segment holds at most, so that its index is a fixed table of pages. */
#define LA_SEGMENT_FRAMES_MAX 65536u
#define LA_SEGMENT_PAGE 256u
/* A frame of so many rows is encoded for keeps; smaller ones are merged when
 * sealing. */
#define LA_SEALED_ROWS 8192u

/* Reference counted. Sealed: mapped whole, so that it stays readable after its name is
 * gone; indexed on first use. Open: read through `fd`; its owner adds frames, and a
 * reader may use those below a count that it got under the log's lock. */
typedef struct la_segment {
    const la_env *env;
    atomic_uint references;
    uint8_t uuid[16];
    uint64_t number;
    uint64_t first;
    uint32_t seed;
    uint32_t epoch;
    bool sealed;
    la_segment_entry entry; /* sealed */
    la_mutex mutex;         /* guards indexing of a sealed segment */
    atomic_bool indexed;
    const uint8_t *map;
    int fd;               /* open segments; -1 */
    uint32_t frame_count; /* owner's */
    uint64_t length;      /* open: end of the last indexed frame */
    la_frame_info *pages[LA_SEGMENT_FRAMES_MAX / LA_SEGMENT_PAGE];
    char path[]; /* NUL-terminated */
} la_segment;

la_segment *la_segment_retain(la_segment *segment);
void la_segment_release(la_segment *segment);

/* "<folder>/segments/<20 digits>.segment", or another ending */
LA_MUST_CHECK la_status la_segment_path(char *path, size_t size, const char *folder,
                                        uint64_t number, const char *ending,
                                        la_error *err);
/* LA_NOT_FOUND when the file is missing (compacted away: look at a newer manifest). */
LA_MUST_CHECK la_status la_segment_open_sealed(const la_env *env, const char *folder,
                                               const uint8_t uuid[16],
                                               const la_segment_entry *entry,
                                               la_segment **out, la_error *err);
LA_MUST_CHECK la_status la_segment_open_growing(const la_env *env, const char *folder,
                                                const uint8_t uuid[16], uint64_t number,
                                                uint64_t first, bool writable,
                                                la_segment **out, la_error *err);
/* A new open segment with a header only, durable but for its folder. */
LA_MUST_CHECK la_status la_segment_create(const la_env *env, const char *folder,
                                          const uint8_t uuid[16], uint64_t number,
                                          uint64_t first, uint32_t epoch,
                                          const la_segment_entry *previous,
                                          la_segment **out, la_error *err);
void la_segment_put_header(la_buf *to, const uint8_t uuid[16], uint64_t number,
                           uint64_t first, uint32_t epoch,
                           const la_segment_entry *previous, int64_t now_us);

/* Sealed: reads footer and frame headers once and checks them against the manifest. */
LA_MUST_CHECK la_status la_segment_index(la_segment *segment, la_error *err);
/* Open: adds the frames up to byte `length`, which must end at position `end`
 * (LA_NO_POSITION: wherever). */
LA_MUST_CHECK la_status la_segment_follow(la_segment *segment, uint64_t length,
                                          uint64_t end, la_error *err);
/* Open: room for `more` frames, then adding cannot fail. LA_BUDGET: table full. */
LA_MUST_CHECK la_status la_segment_reserve(la_segment *segment, uint64_t more,
                                           la_error *err);
void la_segment_add(la_segment *segment, const la_frame_info *info);
static inline la_frame_info *
la_segment_frame(const la_segment *segment, uint32_t i)
{
    return &segment->pages[i / LA_SEGMENT_PAGE][i % LA_SEGMENT_PAGE];
}
/* Index of the frame among the first `count` that holds `position`. */
uint32_t la_segment_find(const la_segment *segment, uint32_t count, uint64_t position);

/* Checks one frame whole and opens it; its bytes stand in the map or in `scratch`. */
LA_MUST_CHECK la_status la_segment_load(const la_segment *segment,
                                        const la_frame_info *info, la_buf *scratch,
                                        la_frame_view *view, la_error *err);

void la_segment_put_entry(la_buf *to, const la_frame_info *info);
/* A footer's payload for the first `count` frames. */
void la_segment_put_index(la_buf *to, const la_segment *segment, uint32_t count);

/* Sealed segments of one manifest, oldest first; immutable, reference counted. */
typedef struct la_segment_list {
    const la_env *env;
    atomic_uint references;
    la_page_head head; /* of the manifest: the first head.segments came from pages */
    uint64_t end;      /* position after the last */
    int64_t max_time;  /* of ok rows; INT64_MIN: none */
    int64_t last_ingest;
    uint64_t counts[LA_VERDICTS];
    uint32_t count;
    la_segment *segments[];
} la_segment_list;
la_segment_list *la_segment_list_retain(la_segment_list *list);
void la_segment_list_release(la_segment_list *list);
/* Takes segments from `old` (may be NULL) where they are the same. LA_NOT_FOUND: a file
 * is missing; a newer manifest may explain it. */
LA_MUST_CHECK la_status la_segment_list_load(const la_env *env, const char *folder,
                                             const la_manifest *manifest,
                                             const la_segment_list *old,
                                             la_segment_list **out, la_error *err);
/* Place of the segment that holds `position`; `count` when none does. */
uint32_t la_segment_list_find(const la_segment_list *list, uint64_t position);

#endif
