# SPDX-License-Identifier: Apache-2.0
"""View: a definition and what it gives: answers that merge the batch part and the live
part.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _core
from ._times import TimeLike, clock_of, to_us
from ._typing import agg_type, node_type
from .answer import Answer
from .backfill import Backfill
from .errors import FieldTypeError, InvalidError, NotFoundError
from .expressions import Aggregate, Expr, col, literal, read_literal, to_predicate
from .schema import Schema, check_name, scale_of, whole
from .windows import Window, window_from_plan, window_of

if TYPE_CHECKING:
    from ._times import DurationLike
    from .jobs import Job
    from .store import Store

__all__ = ["Version", "View", "view_plan"]

WINDOW_TYPES = {"window_start": "time[us]", "window_end": "time[us]"}


def view_plan(
    log: str,
    schema: Schema,
    *,
    by: Sequence[str | tuple[str, Expr]] | Mapping[str, Expr | str],
    window: Window | DurationLike | None,
    agg: Mapping[str, Aggregate],
    where: Expr | None,
    on_error: str,
) -> dict[str, Any]:
    """The plan of docs/internals/plan.md."""
    types = schema.types
    if not isinstance(agg, Mapping) or not agg:
        msg = "a view has at least one aggregate: agg={'n': la.len()}"
        raise InvalidError(msg)
    for name, what in agg.items():
        if not isinstance(what, Aggregate):
            error = FieldTypeError(f'aggregate "{name}" is {what!r}')
            error.add_note("an aggregate ends in .sum(), .mean(), ..., or is la.len()")
            raise error
    if on_error not in ("set_aside", "null", "stop"):
        msg = f"on_error is 'set_aside', 'null' or 'stop', not {on_error!r}"
        raise InvalidError(msg)
    return {
        "v": 1,
        "logs": [log],
        "by": [[name, expr.to_plan(types)] for name, expr in _keys(by)],
        "window": None if window is None else window_of(window).to_plan(),
        "where": None if where is None else to_predicate(where).to_plan(types),
        "aggs": [what.to_plan(name, types) for name, what in agg.items()],
        "on_error": on_error,
        "late": {"then": "update"},
    }


def _keys(
    by: Sequence[str | tuple[str, Expr]] | Mapping[str, Expr | str],
) -> list[tuple[str, Expr]]:
    if isinstance(by, (str, Expr)):
        msg = f"by is a list of column names or a dict of expressions, not {by!r}"
        raise FieldTypeError(msg)
    pairs: list[tuple[str, Expr]] = []
    for item in by.items() if isinstance(by, Mapping) else by:
        if isinstance(item, str):
            pairs.append((item, col(item)))
            continue
        if not isinstance(item, tuple) or len(item) != 2:
            msg = f"a key is a column's name or a pair (name, expression), not {item!r}"
            raise FieldTypeError(msg)
        name, expr = item
        pairs.append((name, col(expr) if isinstance(expr, str) else to_predicate(expr)))
    return pairs


@dataclass(frozen=True, slots=True)
class Version:
    """One publication of a view.

    Attributes
    ----------
    number : int
    current : bool
        Whether answers are made from it.
    cutoffs : dict of str to int
        Per log, the first position not in it.
    published : datetime
    groups, bytes : int
    incremental : bool
    content_hash : str
        Equal for equal groups and states, whatever the files look like.
    """

    number: int
    current: bool
    cutoffs: dict[str, int]
    published: dt.datetime
    groups: int
    bytes: int
    incremental: bool
    content_hash: str

    @property
    def cutoff(self) -> Any:
        """The cutoff: an int for a view of one log."""
        one = list(self.cutoffs.values())
        return one[0] if len(one) == 1 else dict(self.cutoffs)


class View:
    """A view of an open store; got from ``store.view(...)`` or ``store["name"]``.

    A view is its definition, kept in the store as data, and its published versions. All
    methods may be called from any thread.
    """

    def __init__(self, store: Store, core: _core.View) -> None:
        self._store = store
        self._core = core
        self._name = core.name()
        self._shape: _Shape | None = None

    # ------------------------------------------------------------------ identity

    @property
    def name(self) -> str:
        """The view's name in its store."""
        return self._name

    @property
    def plan(self) -> dict[str, Any]:
        """The definition (docs/internals/plan.md)."""
        plan: dict[str, Any] = json.loads(self._core.plan())
        return plan

    @property
    def logs(self) -> list[str]:
        """Names of the logs that feed it."""
        return list(self.plan["logs"])

    @property
    def keys(self) -> list[str]:
        """Names of the group keys, in order."""
        return list(self._known().keys)

    @property
    def window(self) -> Window | None:
        """Its window."""
        return self._known().window

    @property
    def columns(self) -> dict[str, str | None]:
        """Columns of an answer and their types."""
        return dict(self._known().types)

    @property
    def order_free(self) -> bool:
        """Whether rows in another order would give the same answers (semantics 2)."""
        return bool(self.status()["order_free"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the definition and of the aggregates' meaning."""
        return str(self.status()["fingerprint"])

    def status(self) -> dict[str, Any]:
        """Versions, candidate, and the receipt of an answer now."""
        status: dict[str, Any] = json.loads(self._core.status())
        return status

    def explain(self) -> str:
        """The definition as text."""
        return json.dumps(self.plan, indent=2, ensure_ascii=False)

    def __repr__(self) -> str:
        known = self._known()
        by = f" by {', '.join(known.keys)}" if known.keys else ""
        window = f" in {known.window!r}" if known.window is not None else ""
        skipped = {*known.keys, *WINDOW_TYPES}
        aggs = ", ".join(name for name in known.types if name not in skipped)
        return f'<View "{self._name}" of {", ".join(known.logs)}: {aggs}{by}{window}>'

    def _known(self) -> _Shape:
        if self._shape is None:
            plan = self.plan
            schema = self._store.log(plan["logs"][0]).schema
            self._shape = _Shape.of_plan(plan, schema)
        return self._shape

    # ------------------------------------------------------------------- queries

    def query(
        self,
        keys: Mapping[str, Any] | None = None,
        *,
        since: TimeLike | None = None,
        until: TimeLike | None = None,
        where: Expr | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        rollup: str | Window | Mapping[str, Any] | None = None,
        as_of: int | TimeLike | None = None,
        version: int | None = None,
        parts: bool = True,
        overflow: str = "raise",
    ) -> Answer:
        """Ask: the merged answer over everything up to the last row.

        Parameters
        ----------
        keys : dict, optional
            Key to a value or a list of values; None is the null group.
        since, until : time, optional
            Windows with ``since <= window_start < until``; text, datetime, datetime64
            or microseconds, UTC.
        where : Expr, optional
            A condition over the answer's columns.
        order_by : str or list of str, optional
            Columns, ``"-revenue"`` for descending; nulls last. Default: by key.
        limit : int, optional
            Rows, after ordering.
        columns : list of str, optional
            Columns to give, in this order.
        rollup : str, Window or dict, optional
            Coarser, by merging states: ``"1mo"``, or ``{"by": ["sku"], "window":
            "1mo"}``; window None joins all time. Distinct counts and means stay right.
        as_of : int or time, optional
            The published definition over the rows before this position, or over the
            rows taken in before this time.
        version : int, optional
            What a kept version said, without the live part.
        parts : bool, default True
            Also make `Answer.parts`.
        overflow : {"raise", "null"}
            What reading a column does where a sum does not fit its type.

        Returns
        -------
        Answer

        Raises
        ------
        NotFoundError
            No such key, column or version.
        InvalidError
            A window that does not nest, a time that cannot be read, ...
        """
        if overflow not in ("raise", "null"):
            msg = f"overflow is 'raise' or 'null', not {overflow!r}"
            raise InvalidError(msg)
        known = self._known()
        spec: dict[str, Any] = {}
        rolled = _rollup(rollup)
        if keys is not None and not isinstance(keys, Mapping):
            error = FieldTypeError(f"keys is a dict of key to value, not {keys!r}")
            error.add_note(f"keys: {', '.join(known.keys) or 'none'}")
            raise error
        if keys:
            spec["keys"] = {
                name: self._key_values(name, want) for name, want in keys.items()
            }
        if since is not None:
            spec["since"] = to_us(since)
        if until is not None:
            spec["until"] = to_us(until)
        if where is not None:
            spec["where"] = to_predicate(where).to_plan(known.known_types)
        if order_by is not None:
            spec["order_by"] = _order(order_by)
        if limit is not None:
            spec["limit"] = _count("limit", limit)
        if columns is not None:
            spec["columns"] = [check_name("column", name) for name in columns]
        if rolled is not None:
            spec["rollup"] = rolled
        if as_of is not None:
            spec["as_of"] = self._position_of(as_of)
        if version is not None:
            spec["version"] = _count("version", version)
        if parts:
            spec["parts"] = True
        text = json.dumps(spec, ensure_ascii=False)
        try:
            core = self._core.query(text)
        except UnicodeEncodeError as error:
            msg = f"a text in the query is not valid Unicode: {error}"
            raise InvalidError(msg) from None
        return Answer(core, keys=known.keys, overflow=overflow)

    def __getitem__(self, key: Any) -> dict[str, Any]:
        """One group: ``revenue["A1", "2026-11-21"]``: its keys, then a time in its
        window.

        Returns
        -------
        dict
            The row; null is None.

        Raises
        ------
        NotFoundError
            There is no such group.
        """
        known = self._known()
        wanted = key if isinstance(key, tuple) else (key,)
        if known.keys == [] and known.window is None and key == ():
            wanted = ()
        need = len(known.keys) + (known.window is not None)
        if len(wanted) != need:
            names = [*known.keys, *(["a time"] if known.window is not None else [])]
            msg = (
                f'view "{self._name}" is read by {need} values ({", ".join(names)}), '
                f"got {key!r}"
            )
            raise InvalidError(msg)
        since = until = None
        if known.window is not None:
            since = known.window.start(wanted[-1])
            until = since + 1
        named = dict(zip(known.keys, wanted, strict=False))
        answer = self.query(named, since=since, until=until, parts=False)
        if len(answer) == 0:
            msg = f'view "{self._name}" has no group {key!r}'
            raise NotFoundError(msg)
        return answer.row(0)

    def _key_values(self, name: str, want: Any) -> Any:
        known = self._known()
        if name not in known.keys:
            error = NotFoundError(f'view "{self._name}" has no key {name!r}')
            error.add_note(f"keys: {', '.join(known.keys) or 'none'}")
            raise error
        kind = known.types[name]
        if isinstance(want, (list, tuple, set, frozenset)) or (
            hasattr(want, "tolist") and getattr(want, "ndim", 0) == 1
        ):
            return [_key_value(name, value, kind) for value in want]
        return _key_value(name, want, kind)

    def _position_of(self, as_of: int | TimeLike) -> int:
        if isinstance(as_of, int) and not isinstance(as_of, bool):
            return _count("as_of", as_of)
        return self._store.log(self.logs[0]).position_at(as_of)

    # ------------------------------------------------------------------ versions

    @property
    def versions(self) -> list[Version]:
        """Versions that are kept, oldest first."""
        return [
            Version(
                number=int(v["version"]),
                current=bool(v["current"]),
                cutoffs={log: int(at) for log, at in v["cutoff"].items()},
                published=clock_of(int(v["published_us"])),
                groups=int(v["groups"]),
                bytes=int(v["bytes"]),
                incremental=bool(v["incremental"]),
                content_hash=str(v["content_hash"]),
            )
            for v in self.status()["versions"]
        ]

    @property
    def version(self) -> int | None:
        """The version answers are made from; None: never published."""
        return next((v.number for v in self.versions if v.current), None)

    def rollback(self, version: int | None = None) -> int:
        """Make an older version the current one; the live part grows, nothing is lost.

        Parameters
        ----------
        version : int, optional
            Default: the newest one before the current.

        Returns
        -------
        int
            The version that is now current.

        Raises
        ------
        NotFoundError
            It is not kept, or there is none before.
        """
        if version is None:
            now = self.version
            older = [
                v.number for v in self.versions if now is not None and v.number < now
            ]
            if not older:
                msg = f'view "{self._name}" has no version before the current one'
                raise NotFoundError(msg)
            version = max(older)
        self._core.rollback(_count("version", version))
        return version

    def batch(self, **options: Any) -> Job:
        """Recompute this view alone; see `Store.batch`."""
        return self._store.batch([self._name], **options)

    def backfill(
        self,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        dry_run: bool = False,
        memory: int = 0,
        threads: int = 0,
        progress: bool | None = None,
    ) -> Backfill:
        """Recompute [0, cutoff) from the log, compare windows in [start, end), publish.

        With unchanged code this is a repair and changes nothing (law 2).

        Parameters
        ----------
        start, end : time, optional
            Windows to compare; a difference outside of them refuses `Backfill.apply`.
        dry_run : bool, default False
            Do not publish: look at `Backfill.diff`, then call `Backfill.apply`.
        """
        since = None if start is None else to_us(start)
        until = None if end is None else to_us(end)
        if since is not None and until is not None and since >= until:
            msg = f"a backfill from {start} to {end} compares nothing: start < end"
            raise InvalidError(msg)
        status = self.status()
        before = next((v for v in self.versions if v.current), None)
        if before is None:
            error = NotFoundError(f'view "{self._name}" was never published')
            error.add_note("store.batch() publishes it")
            raise error
        job = self._store.batch(
            [self._name],
            cutoff=before.cutoff,
            memory=memory,
            threads=threads,
            publish=False,
            progress=progress,
        )
        fix = Backfill(
            self,
            old=before.number,
            new=job.versions.get(self._name) or before.number,
            start=since,
            end=until,
            candidate=bool(status["candidate"]),
            job=job,
        )
        if not dry_run:
            fix.apply()
        return fix


# ------------------------------------------------------------------------- helpers


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a plan's answers look like."""

    logs: list[str]
    keys: list[str]
    window: Window | None
    types: dict[str, str | None]

    @property
    def known_types(self) -> dict[str, str]:
        return {name: kind for name, kind in self.types.items() if kind is not None}

    @classmethod
    def of_plan(cls, plan: dict[str, Any], schema: Schema) -> _Shape:
        source = schema.types
        types: dict[str, str | None] = {
            name: _by_value(node_type(node, source))
            for name, node in plan.get("by") or []
        }
        keys = list(types)
        window = window_from_plan(plan.get("window"))
        if window is not None:
            types.update(WINDOW_TYPES)
        for agg in plan["aggs"]:
            arg = agg.get("arg")
            types[agg["name"]] = agg_type(
                agg["fn"], None if arg is None else node_type(arg, source)
            )
        return cls(list(plan["logs"]), keys, window, types)


def _by_value(kind: str | None) -> str | None:
    return "str" if kind == "cat" else kind


def _key_value(name: str, value: Any, kind: str | None) -> Any:
    """A key's value as in ``lit``, of the key's own type."""
    if value is None:
        return None
    if kind == "bytes":
        error = InvalidError(f'key "{name}" holds bytes, which cannot be asked for yet')
        error.add_note(
            "ask for all groups and choose among them; None is the null group"
        )
        raise error
    wrong = FieldTypeError(f'key "{name}" of type {kind} cannot be {value!r}')
    node = read_literal(literal(value), kind)
    have, out = node[1], node[2]
    if kind is None or have == kind:
        return out
    if kind in ("f64", "f32") and have in ("f64", "i64"):
        return out
    if kind in ("i64", "u64", "i32") and have in ("i64", "u64"):
        return out
    if kind == "time[us]" and have == "date":
        return out * 86_400_000_000
    if kind in ("time[us]", "date") and have == "i64":
        return out
    if kind == "date" and have == "time[us]" and out % 86_400_000_000 == 0:
        return out // 86_400_000_000
    if kind.startswith("decimal"):
        return _scaled(name, value, have, out, scale_of(kind))
    raise wrong


def _scaled(name: str, value: Any, have: str, out: Any, scale: int) -> int:
    power: int = 10**scale
    if have in ("i64", "u64"):
        return int(out) * power
    if have == "f64":
        have, out = f"decimal({scale})", round(float(value) * power)
        if out / power != float(value):
            have = ""
    if have.startswith("decimal"):
        digits = scale_of(have)
        if digits <= scale:
            more: int = 10 ** (scale - digits)
            return int(out) * more
        fewer: int = 10 ** (digits - scale)
        if out % fewer == 0:
            return int(out) // fewer
    msg = f'key "{name}" of type decimal({scale}) cannot be {value!r}'
    raise FieldTypeError(msg)


def _order(order_by: str | Sequence[str]) -> list[list[str]]:
    names = [order_by] if isinstance(order_by, str) else list(order_by)
    out = []
    for name in names:
        if not isinstance(name, str) or not name.lstrip("-"):
            msg = f"order_by takes names of columns such as '-revenue', not {name!r}"
            raise FieldTypeError(msg)
        check_name("column", name)
        descending = name.startswith("-")
        out.append([name[1:] if descending else name, "desc" if descending else "asc"])
    return out


def _rollup(rollup: str | Window | Mapping[str, Any] | None) -> dict[str, Any] | None:
    if rollup is None:
        return None
    if not isinstance(rollup, Mapping):
        return {"window": window_of(rollup).to_plan()}
    unknown = set(rollup) - {"by", "window"}
    if unknown:
        msg = f"rollup takes 'by' and 'window', not {sorted(unknown)}"
        raise InvalidError(msg)
    out: dict[str, Any] = {}
    if "by" in rollup:
        by = rollup["by"]
        names = [by] if isinstance(by, str) else by
        out["by"] = [check_name("key", name) for name in names]
    if "window" in rollup:
        window = rollup["window"]
        out["window"] = None if window is None else window_of(window).to_plan()
    return out


def _count(name: str, value: Any) -> int:
    return whole(name, value)
