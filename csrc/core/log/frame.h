/* SPDX-License-Identifier: Apache-2.0 */
/* One frame: the unit of append. Bytes: docs/internals/format/log.md, "Frame". Private
 * to log/. A frame is bound to its log and segment by a seed and to its position by a
 * hash, so stale or misdirected bytes never pass for one. */
#ifndef LA_LOG_FRAME_H
#define LA_LOG_FRAME_H

#include "base/limits.h"
#include "codec/codec.h"

#define LA_FRAME_HEADER 128u
#define LA_FRAME_TRAILER 8u
#define LA_FRAME_MAGIC 0x5246414cu /* "LAFR" */
/* Readable bytes behind a payload that the codec may look at. */
#define LA_FRAME_SLACK 64u
/* Payload a frame must have room for beside its rows' plain bytes. */
#define LA_FRAME_RAW_MAX (LA_FRAME_BYTES_MAX / 2)

enum { LA_FRAME_ROWS = 1, LA_FRAME_FOOTER = 2 };
enum {
    LA_FRAME_VERDICTS = 1,
    LA_FRAME_TARGETS = 2,
    LA_FRAME_QUARANTINE = 4,
    LA_FRAME_INGESTS = 8
};
/* Numbers of pieces that are no column of the schema. */
#define LA_PIECE_VERDICTS 0xffffff00u
#define LA_PIECE_TARGETS 0xffffff01u
#define LA_PIECE_RAW 0xffffff02u
#define LA_PIECE_REASONS 0xffffff03u
#define LA_PIECE_INGESTS 0xffffff04u

typedef struct la_frame_header {
    uint64_t position;
    uint32_t rows;
    uint8_t type;
    uint16_t flags;
    uint32_t payload_size;
    uint32_t schema_id;
    uint32_t epoch;
    uint64_t hash;
    uint64_t raw_hash;
    int64_t ingest_us;
    int64_t event_min;
    int64_t event_max;
    int64_t max_time; /* of all ok rows up to and with this frame */
    uint64_t durable_len;
    uint32_t dict_size;
    uint32_t pieces;
    uint32_t ok, duplicate, quarantined;
} la_frame_header;

/* What is kept about a frame in memory. The first ten members are a footer's entry. */
typedef struct la_frame_info {
    uint64_t byte;
    uint64_t position;
    uint32_t rows;
    uint32_t size;
    int64_t ingest_us;
    int64_t event_min;
    int64_t event_max;
    uint32_t dict_size;
    uint32_t ok;
    uint64_t hash;
    /* known for frames whose header was read */
    uint32_t duplicate, quarantined;
    uint64_t durable_len;
    int64_t max_time;
} la_frame_info;

uint32_t la_frame_seed(const uint8_t uuid[16], uint64_t segment);
static inline uint64_t
la_frame_size(uint32_t payload_size)
{
    return LA_FRAME_HEADER + (uint64_t)payload_size + LA_FRAME_TRAILER;
}
/* NULL when the 128 bytes are a header of this segment; else what is wrong with
 * them. */
const char *la_frame_read_header(const uint8_t *at, uint32_t seed,
                                 la_frame_header *out);
/* NULL when payload and trailer (at + 128 on) are what the header says. */
const char *la_frame_check(const la_frame_header *header, const uint8_t *at);
void la_frame_info_of(const la_frame_header *header, uint64_t byte,
                      la_frame_info *info);

/* Rows to write as one frame. Columns have the schema's physical types. */
typedef struct la_frame_rows {
    const la_schema *schema;
    int32_t time_column; /* -1: none */
    uint64_t position;
    uint32_t rows;
    const la_column *columns;
    const uint8_t *verdicts;  /* NULL: all ok */
    const uint64_t *targets;  /* NULL: none */
    const la_column *raw;     /* of the quarantined rows only; NULL: none */
    const la_column *reasons; /* same */
    const int64_t *ingests;   /* a row; NULL: all ingest_us */
    int64_t ingest_us;        /* of the last row */
    int64_t max_time;         /* before this frame */
    const uint8_t *dict;      /* dictionary section, padded; size 0: none */
    size_t dict_size;
} la_frame_rows;

/* Scratch of one writer of frames. */
typedef struct la_frame_writer {
    const la_env *env;
    la_codec *codec;
    la_buf values, heap, offsets;
} la_frame_writer;

LA_MUST_CHECK la_status la_frame_writer_init(la_frame_writer *writer, const la_env *env,
                                             la_error *err);
void la_frame_writer_fini(la_frame_writer *writer); /* accepts zeroed */
/* Appends one frame of rows to `to`; info->byte is left 0. */
LA_MUST_CHECK la_status la_frame_put(la_frame_writer *writer, const la_frame_rows *rows,
                                     uint32_t seed, uint32_t epoch,
                                     uint64_t durable_len, la_codec_effort effort,
                                     la_buf *to, la_frame_info *info, la_error *err);
/* Appends a footer frame with this payload. */
void la_frame_put_footer(la_buf *to, uint32_t seed, uint32_t epoch, uint64_t position,
                         const void *payload, uint32_t payload_size, int64_t ingest_us,
                         int64_t max_time, uint64_t durable_len);

/* The raw hash of one column, chained on `h`; null rows must hold zero or no text. */
uint64_t la_raw_hash(uint64_t h, const la_column *column, uint32_t rows,
                     const uint32_t *sizes);

/* A checked frame, opened for reading. Borrows `at`, which has LA_FRAME_SLACK readable
 * bytes behind its payload. */
typedef struct la_frame_view {
    la_frame_header header;
    const uint8_t *payload;
    const uint8_t *directory;
    uint64_t byte; /* of the frame, for messages */
    const char *path;
} la_frame_view;

LA_MUST_CHECK la_status la_frame_open(const uint8_t *at, const la_frame_header *header,
                                      const char *path, uint64_t byte,
                                      la_frame_view *out, la_error *err);
LA_MUST_CHECK la_status la_frame_piece(const la_env *env, const la_frame_view *view,
                                       uint32_t column, la_type type, uint32_t rows,
                                       la_piece *piece, la_error *err);
/* Calls `each` for every dictionary entry of the frame, in order; stops at its
 * failure. */
typedef la_status (*la_dict_each)(void *arg, uint32_t column, uint32_t code,
                                  const char *text, size_t size, la_error *err);
LA_MUST_CHECK la_status la_frame_dict(const la_frame_view *view, la_dict_each each,
                                      void *arg, la_error *err);

#endif
