# SPDX-License-Identifier: Apache-2.0
"""The whole architecture again, in plain Python, so that tests can ask who is right.

Read in the order data flows: `expressions` (what a plan's EXPR means for one row),
`fold` (windows, groups, aggregates), `store` (a log as a list of rows with verdicts,
versions, merge, query). Nothing here is shared with the package: the only common ground
is docs/internals/plan.md. Integers are Python's, sums are `fractions.Fraction` rounded
once, a state is simply the list of what was folded.
"""

from __future__ import annotations

from .expressions import NAN, Failed, compile_expr
from .fold import Cell, Folded, fold
from .store import Answer, BadRow, Log, Store, View

__all__ = [
    "NAN",
    "Answer",
    "BadRow",
    "Cell",
    "Failed",
    "Folded",
    "Log",
    "Store",
    "View",
    "compile_expr",
    "fold",
]
