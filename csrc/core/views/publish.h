/* SPDX-License-Identifier: Apache-2.0 */
/* The file that makers and publishers of a store lock. Private to views/; publishing itself is
 * in store.h. */
#ifndef LA_VIEWS_PUBLISH_H
#define LA_VIEWS_PUBLISH_H

#include "views/store.h"

/* Opens and locks LOCK; closing `*fd` gives it back. LA_BUSY: somebody else has it. */
LA_MUST_CHECK la_status la_store_lock_file(const la_store *store, int *fd,
                                           la_error *err);

#endif
