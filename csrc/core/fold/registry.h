/* SPDX-License-Identifier: Apache-2.0 */
/* The aggregates there are. A new one: its file, a line here, a line in registry.c, its
 * bytes in docs/internals/format/states.md. */
#ifndef LA_FOLD_REGISTRY_H
#define LA_FOLD_REGISTRY_H

#include "expr/agg.h"

extern const la_agg_kind la_agg_len, la_agg_count, la_agg_null_count; /* agg_count.c */
extern const la_agg_kind la_agg_sum, la_agg_mean;                     /* agg_sum.c */
extern const la_agg_kind la_agg_min, la_agg_max;                      /* agg_minmax.c */
extern const la_agg_kind la_agg_first, la_agg_last;                   /* agg_first.c */
extern const la_agg_kind la_agg_n_unique;                             /* agg_unique.c */

#endif
