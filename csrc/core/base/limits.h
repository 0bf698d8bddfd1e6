/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound of the core, with its reason. */
#ifndef LA_BASE_LIMITS_H
#define LA_BASE_LIMITS_H

/* Rows a chunk flows with: 2,048 doubles are 16 KiB, so a kernel's inputs, output and
 * masks stay in a 32 KiB L1 cache. A multiple of the codec's block. */
#define LA_CHUNK_ROWS 2048u
/* Rows a codec block has: one base and bit width each (FastLanes' unit). */
#define LA_BLOCK_ROWS 1024u
/* Rows a frame has at most: a leaf of the hash chain, 64 codec blocks. */
#define LA_FRAME_ROWS_MAX 65536u
/* Stored bytes a frame has at most; a longer append is split by rows. */
#define LA_FRAME_BYTES_MAX (64u << 20)
/* A segment is rolled when it holds this many bytes. */
#define LA_SEGMENT_BYTES (64u << 20)
/* One value's bytes at most: a row must fit a frame. */
#define LA_VALUE_BYTES_MAX (16u << 20)
/* Entries a dictionary holds: above it a column is no category any more. */
#define LA_DICT_ENTRIES_MAX (1u << 24)
#define LA_COLUMNS_MAX 1024u
#define LA_NAME_BYTES_MAX 128u
#define LA_PATH_BYTES_MAX 4096u
/* Group keys of a view. */
#define LA_KEYS_MAX 16u
#define LA_AGGREGATES_MAX 256u
/* Nesting of JSON read from outside. */
#define LA_DEPTH_MAX 64u
/* Nesting of an expression: its JSON stands in a plan (3 deep), that in a catalogue (5
 * more), and a list of literals may stand in it (1). What is accepted must be readable
 * from there. */
#define LA_EXPR_DEPTH_MAX (LA_DEPTH_MAX - 10u)
/* Bytes of JSON read or written at once: nodes take about ten times that in memory. */
#define LA_JSON_BYTES_MAX (64u << 20)
/* Numbered documents (manifest, catalogue) that are kept behind the newest. */
#define LA_DOCUMENTS_KEPT 8u
/* Segment entries in a manifest before they move to a chained page. */
#define LA_MANIFEST_ENTRIES_MAX 64u
/* Version files: groups a block holds, so that a point read decodes little. */
#define LA_PART_BLOCK_GROUPS 256u
/* Delta files a version has before partitions are folded into their base. */
#define LA_DELTAS_MAX 4u
/* Versions of a view that stay readable. */
#define LA_VERSIONS_KEPT 8u
#define LA_THREADS_MAX 64u
#define LA_MEMORY_DEFAULT (4ull << 30)

#endif
