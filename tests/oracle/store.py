# SPDX-License-Identifier: Apache-2.0
"""A log as a list of rows with verdicts, views with versions, and merged answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .expressions import Failed, Row, Value, compile_expr, order_key
from .fold import (
    Cell,
    Compiled,
    Folded,
    Group,
    Overflow,
    Plan,
    finish,
    fold,
    result_type,
    window_end,
    window_start,
)


class BadRow(ValueError):
    """The row breaks a check of its log, and the caller asked to raise."""


@dataclass
class Log:
    """The only truth: rows in arrival order, each with the verdict it got at append."""

    schema: dict[str, str]
    time: str | None = None
    dedupe: str | None = None
    check: Sequence[list[Any]] = ()
    rows: list[tuple[int, str, Row]] = field(default_factory=list)
    seen: set[Value] = field(default_factory=set)

    @property
    def end(self) -> int:
        return len(self.rows)

    def append(self, rows: Iterable[Row], *, on_bad: str = "raise") -> Counter[str]:
        """All or nothing: a bad row raises before anything is written."""
        rows = [dict(r) for r in rows]
        bad = [not self.passes(row) for row in rows]
        if on_bad == "raise" and any(bad):
            raise BadRow(f"row {bad.index(True)} breaks a check")
        verdicts = [self.verdict(r, is_bad=b) for r, b in zip(rows, bad, strict=True)]
        start = self.end
        self.rows += [
            (start + i, v, r)
            for i, (v, r) in enumerate(zip(verdicts, rows, strict=True))
        ]
        return Counter(verdicts)

    def passes(self, row: Row) -> bool:
        """As SQL's CHECK: only a false refuses, an unknown passes."""
        for check in self.check:
            try:
                if compile_expr(list(check), self.schema).run(row) is False:
                    return False
            except Failed:
                return False
        return True

    def verdict(self, row: Row, *, is_bad: bool) -> str:
        if is_bad:
            return "quarantined"
        if self.dedupe is None:
            return "ok"
        if row[self.dedupe] in self.seen:
            return "duplicate"
        self.seen.add(row[self.dedupe])
        return "ok"


@dataclass
class Answer:
    """Result columns by name, their types, and every row's class."""

    columns: dict[str, list[Value]]
    types: dict[str, str]
    counts: Counter[str]
    cutoff: int
    position: int


@dataclass
class View:
    """A definition and its versions: a version is nothing but a cutoff."""

    log: Log
    plan: Plan
    versions: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.compiled = Compiled(self.plan, self.log.schema, self.log.time)

    @property
    def cutoff(self) -> int:
        return self.versions[-1] if self.versions else 0

    def publish(self, cutoff: int | None = None) -> None:
        self.versions.append(self.log.end if cutoff is None else cutoff)

    def fold(self, start: int, stop: int) -> Folded:
        return fold(self.compiled, self.log.rows[start:stop])

    def types(self, keys: Sequence[str], plan_window: Plan | None) -> dict[str, str]:
        """Result columns and their types."""
        of = {n: {"cat": "str"}.get(e.type, e.type) for n, e in self.compiled.keys}
        out = {n: of[n] for n in keys}
        if plan_window is not None:
            out |= {"window_start": "time[us]", "window_end": "time[us]"}
        for name, fn, arg, _ in self.compiled.aggs:
            out[name] = result_type(fn, arg.type if arg else "i64")
        return out

    def query(self, **spec: Any) -> Answer:
        """plan.md, "Query": merged from [0, cutoff) and [cutoff, position)."""
        position = self.log.end if spec.get("as_of") is None else spec["as_of"]
        cutoff = min(self.cutoff, position)
        merged = self.fold(0, cutoff).merge(self.fold(cutoff, position))
        keys = [name for name, _ in self.compiled.keys]
        window = self.compiled.window
        cells = self.select(merged.cells, keys, spec)
        if (rollup := spec.get("rollup")) is not None:
            kept = rollup.get("by", keys)
            outer = rollup.get("window", window)
            cells = self.roll_up(cells, keys, kept, outer)
            keys, window = list(kept), outer
        rows = [self.finished(g, cells[g], keys, window) for g in sorted_groups(cells)]
        types = self.types(keys, window)
        if (where := spec.get("where")) is not None:
            test = compile_expr(where, types)
            rows = [r for r in rows if test.run(plain(r)) is True]
        for column, direction in reversed(spec.get("order_by") or []):
            rows = ordered(rows, column, descending=direction == "desc")
        rows = rows[: spec.get("limit")]
        names = spec.get("columns") or list(types)
        columns = {n: [r[n] for r in rows] for n in names}
        kinds = {n: types[n] for n in names}
        return Answer(columns, kinds, merged.counts, cutoff, position)

    def select(
        self, cells: dict[Group, Cell], keys: list[str], spec: Mapping[str, Any]
    ) -> dict[Group, Cell]:
        """Groups that the key and time filters admit."""
        wanted = [
            (keys.index(k), v if isinstance(v, list) else [v])
            for k, v in (spec.get("keys") or {}).items()
        ]
        since, until = spec.get("since"), spec.get("until")
        return {
            group: cell
            for group, cell in cells.items()
            if all(group[i] in values for i, values in wanted)
            and (since is None or group[-1] >= since)
            and (until is None or group[-1] < until)
        }

    def roll_up(
        self,
        cells: dict[Group, Cell],
        keys: list[str],
        kept: Sequence[str],
        outer: Plan | None,
    ) -> dict[Group, Cell]:
        """Coarser windows, fewer keys: states merge, nothing is finished before."""
        out: dict[Group, Cell] = {}
        for group, cell in cells.items():
            coarse = [group[keys.index(k)] for k in kept]
            if outer is not None:
                coarse.append(window_start(outer, group[-1]))
            key = tuple(coarse)
            out[key] = out[key].merge(cell) if key in out else cell
        return out

    def finished(
        self, group: Group, cell: Cell, keys: Sequence[str], window: Plan | None
    ) -> dict[str, Value]:
        row = dict(zip(keys, group, strict=False))
        if window is not None:
            row["window_start"] = group[-1]
            row["window_end"] = window_end(window, group[-1])
        for (name, fn, arg, _), state in zip(
            self.compiled.aggs, cell.states, strict=True
        ):
            row[name] = finish(fn, arg.type if arg else "i64", state)
        return row


def plain(row: Mapping[str, Value]) -> dict[str, Value]:
    """An overflowing cell reads as null."""
    return {k: None if isinstance(v, Overflow) else v for k, v in row.items()}


def sorted_groups(cells: Mapping[Group, Cell]) -> list[Group]:
    return sorted(cells, key=lambda group: [order_key(v) for v in group])


def ordered(
    rows: list[dict[str, Value]], column: str, *, descending: bool
) -> list[dict[str, Value]]:
    """Stable, nulls last either way."""
    known = [r for r in rows if plain(r)[column] is not None]
    nulls = [r for r in rows if plain(r)[column] is None]
    # `reverse` keeps equal rows in their order
    known.sort(key=lambda r: order_key(r[column]), reverse=descending)
    return known + nulls


@dataclass
class Store:
    """Logs and views by name."""

    logs: dict[str, Log] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)

    def log(self, name: str, schema: dict[str, str], **spec: Any) -> Log:
        return self.logs.setdefault(name, Log(schema, **spec))

    def view(self, name: str, plan: Plan) -> View:
        log = self.logs[plan["logs"][0]]
        return self.views.setdefault(name, View(log, plan))

    def batch(self, cutoff: int | None = None) -> None:
        for view in self.views.values():
            view.publish(cutoff)
