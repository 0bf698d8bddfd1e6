# SPDX-License-Identifier: Apache-2.0
"""The oracle beside the real thing: the same log, plans and rows in both, compared
bitwise.

Only the package's public API is used. A plan document becomes the expressions a user
would have written, so the tests also cover how Python builds plans.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

import lambdaarch as la

from . import sql
from .expressions import LIMITS, Row, Value
from .fold import Overflow, Plan
from .store import Answer

MEMORY = Path("/dev/shm")  # laws are about values: spare the disk their many stores


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder for a store that does not exist yet; gone afterwards."""
    where = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="lambdaarch-law-", dir=where) as folder:
        yield Path(folder) / "store"


# ---------------------------------------------------------------- plans to Python


def time_of(us: int) -> np.datetime64:
    return np.datetime64(us, "us")


def literal(kind: str, value: Value) -> la.Expr:
    if kind.startswith("decimal") and value is not None:
        value = Decimal(value).scaleb(-int(kind[8:-1]))
    elif kind == "time[us]" and value is not None:
        value = time_of(value)
    return la.lit(value) if value is not None else la.lit(None, kind)


def every_text(every: Mapping[str, Any]) -> str:
    if "us" in every:
        return f"{every['us']}us"
    units = {"day": "d", "week": "w", "month": "mo", "quarter": "q", "year": "y"}
    return f"{every.get('count', 1)}{units[every['unit']]}"


def expression(expr: Sequence[Any]) -> la.Expr:
    """An EXPR of plan.md as a user writes it."""
    op, *rest = expr
    if op == "col":
        return la.col(rest[0])
    if op == "lit":
        return literal(rest[0], rest[1])
    a = expression(rest[0])
    if op == "is_in":
        return a.is_in([expression(e) for e in rest[1]])
    if op == "cast":
        return a.cast(rest[1])
    if op == "truncate":
        return a.dt.truncate(every_text(rest[1]))
    if op == "offset_by":
        return a.dt.offset_by(f"{rest[1]['us']}us")
    b = [expression(e) for e in rest[1:]]
    if op == "when":
        return la.when(a).then(b[0]).otherwise(b[1])
    if op in ("is_null", "is_not_null", "is_nan", "fill_null", "abs"):
        return getattr(a, op)(*b)
    names = {
        "and": "__and__",
        "or": "__or__",
        "not": "__invert__",
        "div": "__truediv__",
    }
    return getattr(a, names.get(op, f"__{op}__"))(*b)


def window(plan: Plan | None) -> Any:
    if plan is None:
        return None
    if plan["kind"] == "calendar":
        return la.calendar(plan["unit"], count=plan.get("count", 1))
    origin = time_of(plan.get("origin_us", 0))
    return la.tumbling(f"{plan['size_us']}us", origin=origin)


def aggregate(spec: Mapping[str, Any]) -> Any:
    if spec["fn"] == "len":
        out = la.len()
    else:
        out = getattr(expression(spec["arg"]), spec["fn"])()
    return out if spec["filter"] is None else out.filter(expression(spec["filter"]))


def define(store: la.Store, log: la.Log, name: str, plan: Plan) -> la.View:
    return store.view(
        name,
        log,
        by={key: expression(e) for key, e in plan["by"]},
        window=window(plan["window"]),
        where=None if plan["where"] is None else expression(plan["where"]),
        agg={a["name"]: aggregate(a) for a in plan["aggs"]},
    )


# ------------------------------------------------------------------ rows to Python


def natural(row: Row, schema: Mapping[str, str]) -> dict[str, Any]:
    """A row as a user writes it."""
    out = dict(row)
    for name, kind in schema.items():
        value = row[name]
        if value is None:
            continue
        if kind.startswith("decimal"):
            digits = int(kind.rstrip("?")[8:-1])
            out[name] = Decimal(value).scaleb(-digits)
        elif kind.startswith("time"):
            out[name] = time_of(value)
        elif kind.startswith("date"):
            out[name] = np.datetime64(value, "D")
    return out


def append(
    log: la.Log, rows: Sequence[Row], schema: Mapping[str, str], *, door: str = "arrow"
) -> Any:
    """Appends through one of the doors: "rows", "row" (one by one) or "arrow"."""
    if door == "arrow":
        return log.append(sql.arrow(rows, schema))
    plain = [natural(row, schema) for row in rows]
    if door == "rows":
        return log.append(plain)
    for row in plain:
        log.append(row)
    return None


# --------------------------------------------------------------------- comparison


def bits(value: Value) -> Value:
    """A double's 64 bits, anything else as it is."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value).hex()
    return value


def ask(view: la.View, keys: Any = None, **question: Any) -> la.Answer:
    """A query in which overflowing cells can be read."""
    return view.query(keys, overflow="null", **question)


def column(answer: la.Answer, name: str, kind: str) -> list[Value]:
    """A result column in the oracle's terms: None, ints, floats, text, Overflow."""
    valid = answer.valid[name].tolist()
    if kind in LIMITS or kind.startswith("decimal"):
        values = answer.exact(name).integers.tolist()
        # a null cell holds 0; an overflowing one, no value either, its exact integer
        return [
            v if ok else Overflow(v) if v else None
            for v, ok in zip(values, valid, strict=True)
        ]
    if kind in ("time[us]", "date"):
        values = answer[name].astype(np.int64).tolist()
    else:
        values = answer[name].tolist()
    return [v if ok else None for v, ok in zip(values, valid, strict=True)]


def row_counts(receipt: la.Receipt) -> dict[str, int]:
    """Rows by class, classes without rows left out."""
    return {name: n for name, n in asdict(receipt.rows).items() if n}


def assert_same(answer: la.Answer, want: Answer) -> None:
    """Column by column, row by row, bit by bit; and every row's class."""
    assert answer.columns == list(want.columns)
    assert {f.name: f.type for f in answer.fields} == want.types
    for name, values in want.columns.items():
        got = [bits(v) for v in column(answer, name, want.types[name])]
        expected = [bits(v) for v in values]
        assert got == expected, f"{name}: {got} is not {expected}"
    receipt = answer.receipt
    assert receipt.position == want.position
    assert row_counts(receipt) == dict(+want.counts)
    assert receipt.rows.total == receipt.position
