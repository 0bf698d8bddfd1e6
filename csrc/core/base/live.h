/* SPDX-License-Identifier: Apache-2.0 */
/* Counting live objects, so that tests can prove that nothing leaks. */
#ifndef LA_BASE_LIVE_H
#define LA_BASE_LIVE_H

#include "lambdaarch.h"

void la_live_add(la_live kind, int64_t by); /* atomic */

#endif
