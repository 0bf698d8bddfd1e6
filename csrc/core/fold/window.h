/* SPDX-License-Identifier: Apache-2.0 */
/* Windows as words: consecutive windows have consecutive int64 *indices*, so that
 * direct tables of groups stay small. index <-> start is one to one. */
#ifndef LA_FOLD_WINDOW_H
#define LA_FOLD_WINDOW_H

#include "expr/plan.h"

typedef struct la_window_axis {
    la_window window;
    int64_t size; /* > 0: every window is that long, and starts at origin + k * size */
    int64_t origin;
    int64_t months; /* else: months a window has, from 1970-01 */
} la_window_axis;

void la_window_axis_init(la_window_axis *axis, const la_window *window);
int64_t la_window_index(const la_window_axis *axis, int64_t us);
/* Clamped to int64, as la_window_start is. */
int64_t la_window_index_start(const la_window_axis *axis, int64_t index);
/* Indices of `count` times, those of `rows` where given, in that order. Returns true
 * when all are the same: then only to[0] was written. count > 0. */
bool la_window_indices(const la_window_axis *axis, const int64_t *times,
                       const uint32_t *rows, uint32_t count, int64_t *to);

#endif
