# SPDX-License-Identifier: Apache-2.0
"""How much the laws try: `LAMBDAARCH_TEST_SCALE` times the newcomer's few hundred
cases."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SCALE = float(os.environ.get("LAMBDAARCH_TEST_SCALE", "1"))
EXAMPLES = 100

settings.register_profile(
    "laws",
    max_examples=max(int(EXAMPLES * SCALE), 5),
    stateful_step_count=20,
    deadline=None,  # a slow disk is not a broken law
    print_blob=True,  # prints what repeats a failure
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("laws")
