# SPDX-License-Identifier: Apache-2.0
"""Reconcile: where two answers differ, group by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .answer import WINDOW_COLUMNS, Answer, _python
from .errors import InvalidError

__all__ = ["Change", "Diff", "diff"]


@dataclass(frozen=True, slots=True)
class Change:
    """A group whose values differ: None instead of `old` or `new` where it is
    absent.
    """

    group: dict[str, Any]
    old: dict[str, Any] | None
    new: dict[str, Any] | None

    @property
    def weight(self) -> float:
        """How large the difference is: the greatest of any number column."""
        if self.old is None or self.new is None:
            one = self.old or self.new or {}
            return max(
                (abs(float(v)) for v in one.values() if _is_number(v)), default=0.0
            )
        return max(
            (abs(float(self.new[n] or 0) - float(self.old[n] or 0)) for n in self.old
             if _is_number(self.old[n]) or _is_number(self.new[n])),
            default=0.0,
        )  # fmt: skip

    def __str__(self) -> str:
        group = ", ".join(f"{k}={v}" for k, v in self.group.items()) or "the only group"
        if self.old is None:
            return f"{group}: new {self.new}"
        if self.new is None:
            return f"{group}: gone {self.old}"
        cells = (f"{n} {self.old[n]} -> {self.new[n]}" for n in self.old
                 if self.old[n] != self.new[n])  # fmt: skip
        return f"{group}: {', '.join(cells)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == value


class Diff(Sequence[Change]):
    """Groups that differ, the largest first. Empty: the answers are the same to the
    bit.

    Attributes
    ----------
    groups : int
        Groups compared.
    total : int
        Groups that differ; ``len()`` counts those that are kept (``top``).
    """

    def __init__(self, changes: list[Change], *, groups: int, total: int) -> None:
        self._changes = changes
        self.groups = groups
        self.total = total

    def __len__(self) -> int:
        return len(self._changes)

    def __getitem__(self, index: Any) -> Any:
        return self._changes[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dict a group: the group's keys, ``old`` and ``new``."""
        return [{**c.group, "old": c.old, "new": c.new} for c in self._changes]

    def __repr__(self) -> str:
        if not self._changes:
            return f"<Diff: none in {self.groups:,} groups>"
        lines = [f"{self.total:,} of {self.groups:,} groups differ"]
        lines += [f"  {change}" for change in self._changes]
        if self.total > len(self._changes):
            lines.append(f"  ... {self.total - len(self._changes):,} more")
        return "\n".join(lines)


def diff(old: Answer, new: Answer, *, top: int | None = None) -> Diff:
    """Compare two answers of one view, group by group, to the last bit.

    Parameters
    ----------
    old, new : Answer
        With the same columns and keys.
    top : int, optional
        Keep the largest differences only.

    Raises
    ------
    InvalidError
        They have different columns.
    """
    if old.columns != new.columns:
        msg = f"columns differ: {', '.join(old.columns)} and {', '.join(new.columns)}"
        raise InvalidError(msg)
    keys = [n for n in old.columns if n in old._keys or n in WINDOW_COLUMNS]
    before, after = _groups(old, keys), _groups(new, keys)
    changes = []
    for group in before.keys() | after.keys():
        a, b = before.get(group), after.get(group)
        if a is None or b is None or a[0] != b[0]:
            named = dict(zip(keys, (a or b or ([], [], {}))[1], strict=True))
            changes.append(
                Change(named, None if a is None else a[2], None if b is None else b[2])
            )
    changes.sort(key=lambda c: (-c.weight, str(c.group)))
    total = len(changes)
    kept = changes if top is None else changes[:top]
    return Diff(kept, groups=len(before.keys() | after.keys()), total=total)


def _groups(answer: Answer, keys: list[str]) -> dict[Any, tuple[Any, list[Any], Any]]:
    """Group -> (comparable cells, the group's values, the cells as a dict)."""
    values = [n for n in answer.columns if n not in keys]
    columns = {n: _cells(answer, n) for n in answer.columns}
    shown = {n: _shown(answer, n) for n in answer.columns}
    return {
        tuple(columns[k][i] for k in keys): (
            tuple(columns[n][i] for n in values),
            [shown[k][i] for k in keys],
            {n: shown[n][i] for n in values},
        )
        for i in range(len(answer))
    }


def _cells(answer: Answer, name: str) -> list[Any]:
    """Values that compare by bits: NaN is itself, null is None, decimals are
    integers.
    """
    values, valid = answer._pair(name)
    cells: Any
    field = answer.fields[answer.columns.index(name)]
    if field.type.startswith("decimal") or field.type in ("i64", "u64", "i32"):
        exact = answer.exact(name).integers.tolist()
        wide = answer._overflows.get(answer.columns.index(name), {})
        cells = zip(exact, valid.tolist(), strict=True)
        return [v if ok or i in wide else None for i, (v, ok) in enumerate(cells)]
    if values.dtype.kind == "f":
        width = np.uint64 if values.dtype.itemsize == 8 else np.uint32
        cells = np.ascontiguousarray(values).view(width).tolist()
    else:
        cells = (values.view(np.int64) if values.dtype.kind == "M" else values).tolist()
    return [v if ok else None for v, ok in zip(cells, valid.tolist(), strict=True)]


def _shown(answer: Answer, name: str) -> list[Any]:
    values, valid = answer._pair(name)
    cells = (
        values.astype(object).tolist() if values.dtype.kind == "T" else _python(values)
    )
    return [v if ok else None for v, ok in zip(cells, valid.tolist(), strict=True)]
