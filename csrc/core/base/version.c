/* SPDX-License-Identifier: Apache-2.0 */
/* The core's version; the package reads it from here at run time. */
#include "lambdaarch.h"

const char *
la_version(void)
{
    return "0.1.0";
}
