/* SPDX-License-Identifier: Apache-2.0 */
/* Which groups of a fold a query wants. */
#ifndef LA_QUERY_SELECT_H
#define LA_QUERY_SELECT_H

#include "fold/fold.h"
#include "query/spec.h"

/* When the spec names exactly one group, writes its key bytes and returns true. */
bool la_select_point(const la_query_spec *spec, const la_plan *plan, la_buf *key);
/* Keeps those of `groups` (count of them) that pass since, until and the key filters, in
 * place and in order; returns how many, or UINT32_MAX when memory ran out. */
uint32_t la_select_groups(const la_query_spec *spec, const la_fold *fold,
                          uint32_t *groups, uint32_t count);

/* The group of `key`, UINT32_MAX: there is none. As la_fold_find, but tells when memory ran
 * out, since an answer must not lack a group for that. */
LA_MUST_CHECK la_status la_select_find(const la_fold *fold, const la_buf *key,
                                       uint32_t *group, la_error *err);

#endif
