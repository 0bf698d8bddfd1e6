# SPDX-License-Identifier: Apache-2.0
"""Where rows come from, beside `Log.append`: files. Optional packages are imported here
only.
"""

from __future__ import annotations

from .files import Loaded, load, make_time

__all__ = ["Loaded", "load", "make_time"]
