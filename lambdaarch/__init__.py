# SPDX-License-Identifier: Apache-2.0
"""lambdaarch: a Lambda Architecture in a folder. Append once, ask always.

>>> import tempfile
>>> import lambdaarch as la
>>> from lambdaarch import col
>>> store = la.open(tempfile.mkdtemp() + "/shop")
>>> orders = store.log(
...     "orders",
...     {"id": "u64", "ts": "time[us]", "sku": "cat", "amount": "decimal(2)"},
...     time="ts",
...     dedupe="id",
... )
>>> revenue = store.view(
...     "revenue",
...     orders,
...     by=["sku"],
...     window=la.tumbling("1d"),
...     agg={"orders": la.len(), "revenue": col("amount").sum()},
... )
>>> row = {"id": 1, "ts": "2026-11-21T09:00", "sku": "A1", "amount": "9.99"}
>>> orders.append(row).ok
1
>>> job = store.batch()
>>> orders.append({**row, "id": 2, "amount": "0.01"}).ok
1
>>> revenue["A1", "2026-11-21"]["revenue"]
10.0
>>> store.close()
"""

from __future__ import annotations

from . import errors, sources
from ._core import live_counts
from ._core import version as _version
from .answer import Answer, Exact, Parts
from .backfill import Backfill
from .errors import (
    BudgetError,
    BusyError,
    CancelledError,
    ClosedError,
    ConflictError,
    DamagedError,
    EvaluationError,
    FieldTypeError,
    InvalidError,
    LambdaError,
    NewerFormatError,
    NotFoundError,
    OutcomeUnknownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResultOverflowError,
    StaleError,
    StorageError,
    StorageFullError,
)
from .expressions import Aggregate, Expr, col, len, lit, when
from .jobs import Job
from .log import Appended, Log, Quarantined
from .receipt import Receipt, RowCounts
from .reconcile import Change, Diff, diff
from .rows import Rows
from .schema import Field, Schema, nullable
from .sources.files import Loaded, make_time
from .store import Store, open
from .views import Version, View
from .windows import Window, calendar, tumbling

__version__: str = _version()

__all__ = [
    "Aggregate",
    "Answer",
    "Appended",
    "Backfill",
    "BudgetError",
    "BusyError",
    "CancelledError",
    "Change",
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "Diff",
    "EvaluationError",
    "Exact",
    "Expr",
    "Field",
    "FieldTypeError",
    "InvalidError",
    "Job",
    "LambdaError",
    "Loaded",
    "Log",
    "NewerFormatError",
    "NotFoundError",
    "OutOfMemoryError",
    "OutcomeUnknownError",
    "Parts",
    "Quarantined",
    "ReadOnlyError",
    "Receipt",
    "ResultOverflowError",
    "RowCounts",
    "Rows",
    "Schema",
    "StaleError",
    "StorageError",
    "StorageFullError",
    "Store",
    "Version",
    "View",
    "Window",
    "__version__",
    "calendar",
    "col",
    "diff",
    "errors",
    "len",
    "lit",
    "live_counts",
    "make_time",
    "nullable",
    "open",
    "sources",
    "tumbling",
    "when",
]
