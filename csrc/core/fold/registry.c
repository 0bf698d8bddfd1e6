/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: a table, by name. */
#include "fold/registry.h"

static const la_agg_kind *const kinds[] = {
    &la_agg_len, &la_agg_count, &la_agg_null_count, &la_agg_sum,  &la_agg_mean,
    &la_agg_min, &la_agg_max,   &la_agg_first,      &la_agg_last, &la_agg_n_unique,
};

const la_agg_kind *
la_agg_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

const la_agg_kind *const *
la_agg_all(uint32_t *count)
{
    *count = (uint32_t)(sizeof kinds / sizeof kinds[0]);
    return kinds;
}
