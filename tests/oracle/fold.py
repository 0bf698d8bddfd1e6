# SPDX-License-Identifier: Apache-2.0
"""Rows into cells, cells into values: groups, windows, aggregates.

A cell's state is the list of (event time, position, value) that entered it, so merging
two states is list concatenation and nothing can drift.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from .expressions import (
    FLOATS,
    LIMITS,
    NAN,
    Failed,
    Row,
    Value,
    calendar_floor,
    calendar_next,
    canonical,
    compile_expr,
    order_key,
    rounded,
    scale,
)

Plan = Mapping[str, Any]
Group = tuple[Value, ...]  # keys, then the window start where the view has windows


class Entry(NamedTuple):
    """One value that entered one aggregate of one cell."""

    time: int
    position: int
    value: Value


class Overflow(NamedTuple):
    """A finished sum that its type cannot hold: null, marked, readable exactly."""

    exact: int


@dataclass
class Cell:
    """One group's states: per aggregate, the entries folded into it."""

    states: list[list[Entry]]

    def merge(self, other: Cell) -> Cell:
        return Cell([a + b for a, b in zip(self.states, other.states, strict=True)])


@dataclass
class Folded:
    """What a fold over some rows gives: cells, and the class of every row."""

    cells: dict[Group, Cell] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def merge(self, other: Folded) -> Folded:
        cells = dict(self.cells)
        for group, cell in other.cells.items():
            cells[group] = cells[group].merge(cell) if group in cells else cell
        return Folded(cells, self.counts + other.counts)


# ----------------------------------------------------------------------- windows


def window_start(window: Plan | None, us: int) -> int:
    if window is None:
        raise ValueError("a view without windows has no window start")
    if window["kind"] == "tumbling":
        size, origin = window["size_us"], window.get("origin_us", 0)
        return (us - origin) // size * size + origin
    return calendar_floor(us, window["unit"], window.get("count", 1))


def window_end(window: Plan, start: int) -> int:
    if window["kind"] == "tumbling":
        return start + int(window["size_us"])
    return calendar_next(start, window["unit"], window.get("count", 1))


# -------------------------------------------------------------------- aggregates


def exact_total(values: list[Value], kind: str) -> Fraction | float:
    """The exact sum of finite values; otherwise the infinity or NaN it must be."""
    wild = [v for v in values if isinstance(v, float) and not math.isfinite(v)]
    if wild:
        return NAN if len({str(v) for v in wild}) > 1 else canonical(wild[0])
    return sum((Fraction(v) for v in values), Fraction(0)) / 10 ** scale(kind)


def agg_sum(values: list[Value], kind: str) -> Value:
    if kind in FLOATS:
        total = exact_total(values, kind)
        return rounded(total) if isinstance(total, Fraction) else total
    exact = sum(int(v) for v in values)
    low, high = LIMITS.get(sum_type(kind), (1 - 10**18, 10**18 - 1))
    return exact if low <= exact <= high else Overflow(exact)


def agg_mean(values: list[Value], kind: str) -> float:
    total = exact_total(values, kind)
    return rounded(total / len(values)) if isinstance(total, Fraction) else total


def extreme(pick: Callable[..., Value]) -> Callable[[list[Value], str], Value]:
    """min or max; NaN only where there is nothing else."""

    def run(values: list[Value], kind: str) -> Value:
        numbers = [v for v in values if v == v]
        return canonical(pick(numbers or values, key=order_key))

    return run


def sum_type(kind: str) -> str:
    if kind in FLOATS:
        return "f64"
    return "i64" if kind in ("bool", "i32") else kind


AGGREGATES: dict[str, Callable[[list[Value], str], Value]] = {
    "sum": agg_sum,
    "mean": agg_mean,
    "min": extreme(min),
    "max": extreme(max),
    "first": lambda values, kind: canonical(values[0]),
    "last": lambda values, kind: canonical(values[-1]),
}


def result_type(fn: str, kind: str) -> str:
    if fn in ("len", "count", "null_count", "n_unique"):
        return "i64"
    if fn == "mean":
        return "f64"
    return sum_type(kind) if fn == "sum" else {"cat": "str"}.get(kind, kind)


def finish(fn: str, kind: str, state: list[Entry]) -> Value:
    """One aggregate's answer, from everything that was folded into it."""
    if fn == "len":
        return len(state)
    if fn == "null_count":
        return sum(e.value is None for e in state)
    known = sorted(e for e in state if e.value is not None)  # (time, position) decide
    if fn == "count":
        return len(known)
    if fn == "n_unique":
        return len({canonical(e.value) for e in known})
    return AGGREGATES[fn]([e.value for e in known], kind) if known else None


# -------------------------------------------------------------------------- fold


class Compiled:
    """A plan with its expressions compiled against a log's columns."""

    def __init__(self, plan: Plan, schema: Mapping[str, str], time: str | None) -> None:
        def expr(e: Any) -> Any:
            return None if e is None else compile_expr(e, schema)

        self.time = time
        self.window = plan.get("window")
        self.on_error = plan.get("on_error", "set_aside")
        self.where = expr(plan.get("where"))
        self.keys = [(name, expr(e)) for name, e in plan.get("by", [])]
        self.aggs = [
            (a["name"], a["fn"], expr(a.get("arg")), expr(a.get("filter")))
            for a in plan["aggs"]
        ]

    def value(self, expr: Any, row: Row) -> Value:
        try:
            return expr.run(row)
        except Failed:
            if self.on_error == "null":
                return None
            raise

    def place(self, row: Row, position: int) -> tuple[Group, list[Entry | None]]:
        """The row's group, and what it adds to each aggregate (None: nothing)."""
        group = [canonical(self.value(e, row)) for _, e in self.keys]
        if self.window is not None:
            group.append(window_start(self.window, row[self.time or ""]))
        time = row[self.time] if self.time else 0
        entries: list[Entry | None] = []
        for _, _, arg, admit in self.aggs:
            if admit is not None and self.value(admit, row) is not True:
                entries.append(None)
                continue
            value = None if arg is None else self.value(arg, row)
            entries.append(Entry(time, position, value))
        return tuple(group), entries


def fold(plan: Compiled, rows: Iterable[tuple[int, str, Row]]) -> Folded:
    """Folds (position, verdict, row): each row lands in exactly one class."""
    out = Folded()
    for position, verdict, row in rows:
        if verdict != "ok":
            out.counts[verdict] += 1
            continue
        try:
            kept = plan.where is None or plan.value(plan.where, row) is True
            if not kept:
                out.counts["filtered"] += 1
                continue
            group, entries = plan.place(row, position)
        except Failed:
            if plan.on_error == "stop":
                raise
            out.counts["failed"] += 1
            continue
        out.counts["counted"] += 1
        cell = out.cells.setdefault(group, Cell([[] for _ in entries]))
        for state, entry in zip(cell.states, entries, strict=True):
            if entry is not None:
                state.append(entry)
    return out
