# SPDX-License-Identifier: Apache-2.0
"""Store: a folder with logs and views. One process writes, any number of processes
read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from . import _core
from ._times import DurationLike
from .errors import (
    ConflictError,
    DamagedError,
    FieldTypeError,
    InvalidError,
    NotFoundError,
)
from .expressions import Aggregate, Expr, to_predicate
from .jobs import Job, Progress
from .log import Log
from .schema import Schema, check_name, whole
from .views import View, view_plan
from .windows import Window

__all__ = ["Store", "open"]

NO_POSITION = 2**64 - 1
MOST = 2**63 - 1
MOST_THREADS = 1024
MODES = {"w": True, "r": False}


def open(path: str | os.PathLike[str], mode: str = "w") -> Store:
    """Open the store in folder `path`.

    Parameters
    ----------
    path : str or path
        A folder; its parent must exist.
    mode : {"w", "r"}
        ``"w"`` makes the store when absent and may write; ``"r"`` reads beside a writer
        in another process.

    Returns
    -------
    Store
        A context manager.

    Raises
    ------
    NotFoundError
        There is no store (mode ``"r"``).
    InvalidError
        The folder is not empty and no store.
    StorageError
        The parent folder does not exist (mode ``"w"``), or the system refused.
    NewerFormatError, DamagedError, ReadOnlyError
        As their names say; a writer of the same log elsewhere shows at the first
        append.

    Examples
    --------
    >>> import tempfile, lambdaarch as la
    >>> folder = tempfile.mkdtemp()
    >>> with la.open(f"{folder}/shop") as store:
    ...     list(store.logs)
    []
    """
    if mode not in MODES:
        msg = f"mode is 'w' or 'r', not {mode!r}"
        raise InvalidError(msg)
    try:
        text = os.fsdecode(path)
    except TypeError:
        msg = f"a store's folder is a path, not {path!r}"
        raise FieldTypeError(msg) from None
    if "\0" in text:
        msg = f"a path has no NUL, but {text!r} does"
        raise InvalidError(msg)
    return Store(_core.Store(text, MODES[mode]), text, mode)


class Store:
    """An open store; made by `open`. Close it, or use it as a context manager.

    ``store["revenue"]`` is a view. All methods may be called from any thread, but not
    in a child process after a fork.
    """

    def __init__(self, core: _core.Store, path: str, mode: str) -> None:
        self._core = core
        self._path = path
        self._mode = mode

    # ---------------------------------------------------------------------- life

    @property
    def path(self) -> str:
        """The folder."""
        return self._path

    @property
    def mode(self) -> str:
        """``"w"`` or ``"r"``."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    def close(self) -> None:
        """Close the store, its logs and views. Answers and rows stay valid."""
        self._core.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"mode={self._mode!r}"
        return f"<Store {self._path!r} {state}>"

    # ---------------------------------------------------------------------- logs

    def log(
        self,
        name: str,
        schema: Mapping[str, str] | Sequence[tuple[str, str]] | Schema | None = None,
        *,
        time: str | None = None,
        dedupe: str | Sequence[str] | None = None,
        check: Sequence[Expr] = (),
        sync: str = "commit",
    ) -> Log:
        """Open log `name`, making it when absent.

        Parameters
        ----------
        name : str
            The log's name.
        schema : dict of str to str or list of pairs, optional
            Field to type, as in ``{"id": "u64", "amount": "decimal(2)", "note":
            "str?"}`` (see `lambdaarch.schema`). Without it the log must exist.
        time : str, optional
            The field that holds event time.
        dedupe : str, optional
            The field that identifies an event: a row whose id was there before keeps
            its position as a duplicate and counts nowhere.
        check : list of Expr, optional
            Conditions that every row must fulfil; a row that does not is bad.
        sync : {"commit", "interval:5ms", ...}
            How appends through this handle are made durable; see `Log.append`.

        Raises
        ------
        ConflictError
            It exists with another schema, time, dedupe or check.
        NotFoundError
            It does not exist and no schema was given.
        InvalidError, FieldTypeError
            The schema or a check cannot be accepted.
        """
        check_name("log", name)
        if schema is None:
            if time is not None or dedupe is not None or check:
                msg = f'log "{name}": time, dedupe and check go with a schema'
                raise InvalidError(msg)
            return Log(self._core.log(name, None), sync=sync)
        fields = Schema(schema)
        ids = [dedupe] if isinstance(dedupe, str) else dedupe
        for field in [*([] if time is None else [time]), *(ids or [])]:
            if field not in fields:
                error = NotFoundError(f'log "{name}": there is no field {field!r}')
                error.add_note(f"fields: {', '.join(fields)}")
                raise error
        if isinstance(check, Expr):
            check = [check]
        spec = {
            "fields": fields.to_spec(),
            "time": time,
            "dedupe": list(ids) if ids else None,
            "check": [to_predicate(expr).to_plan(fields.types) for expr in check],
        }
        try:
            core = self._core.log(name, json.dumps(spec, ensure_ascii=False))
        except NotFoundError as error:
            if self._mode == "r":
                error.add_note('the store is open for reading: la.open(path, mode="w")')
            raise
        return Log(core, sync=sync)

    @property
    def logs(self) -> dict[str, Log]:
        """The store's logs by name."""
        return {
            entry["name"]: self.log(entry["name"]) for entry in self.status()["logs"]
        }

    # --------------------------------------------------------------------- views

    def view(
        self,
        name: str,
        log: Log | str | None = None,
        *,
        by: Sequence[str | tuple[str, Expr]] | Mapping[str, Expr | str] = (),
        window: Window | DurationLike | None = None,
        agg: Mapping[str, Aggregate] | None = None,
        where: Expr | None = None,
        on_error: str = "set_aside",
        replace: bool = False,
    ) -> View:
        """Define view `name`, or with the name alone open it.

        The same definition again is a no-op, so a notebook's cell may run twice.

        Parameters
        ----------
        name : str
            The view's name.
        log : Log or str
            What feeds it.
        by : list of str or dict of str to Expr
            Group keys: columns, or names of expressions.
        window : Window or duration, optional
            How event time is cut: ``la.tumbling("1d")``.
        agg : dict of str to Aggregate
            What is kept for each group.
        where : Expr, optional
            Rows where this is not true are filtered.
        on_error : {"set_aside", "null", "stop"}
            What happens to a row on which an expression fails: it counts as failed, the
            expression is null, or the fold stops.
        replace : bool, default False
            Another definition under this name becomes a candidate, which the next batch
            run publishes.

        Raises
        ------
        ConflictError
            It exists with another definition; the text shows the first difference.
        InvalidError, FieldTypeError, NotFoundError
            The definition cannot be accepted; the text names the place in it.
        """
        check_name("view", name)
        if log is None:
            if agg is not None:
                msg = f'view "{name}": the log is missing'
                raise InvalidError(msg)
            return View(self, self._core.view(name))
        source = log if isinstance(log, Log) else self.log(log)
        plan = view_plan(
            source.name, source.schema,
            by=by, window=window, agg={} if agg is None else agg, where=where,
            on_error=on_error,
        )  # fmt: skip
        text = json.dumps(plan, ensure_ascii=False)
        try:
            return View(self, self._core.define(name, text, replace))
        except ConflictError as error:
            if not replace:
                error.add_note("replace=True makes the new definition a candidate")
            raise

    def __getitem__(self, name: str) -> View:
        return View(self, self._core.view(check_name("view", name)))

    def __contains__(self, name: object) -> bool:
        return any(entry["name"] == name for entry in self.status()["views"])

    def __iter__(self) -> Iterator[str]:
        return iter([entry["name"] for entry in self.status()["views"]])

    @property
    def views(self) -> dict[str, View]:
        """The store's views by name."""
        return {name: self[name] for name in self}

    # ---------------------------------------------------------------------- jobs

    def batch(
        self,
        views: Sequence[str | View] | None = None,
        *,
        cutoff: int | None = None,
        incremental: bool = False,
        memory: int = 0,
        threads: int = 0,
        publish: bool = True,
        progress: bool | Callable[[int, int, str], None] | None = None,
    ) -> Job:
        """Recompute views from the log and publish them, all in one step.

        Ctrl-C and errors leave the store as it was.

        Parameters
        ----------
        views : list of str or View, optional
            Default: all.
        cutoff : int, optional
            First position not in the batch part; default: the durable end now.
        incremental : bool, default False
            Merge the rows since the old cutoff into the old version, where that is
            allowed.
        memory : int, optional
            Bytes for all states together; 0: the default.
        threads : int, optional
            0: all cores; 1024 at most.
        publish : bool, default True
            False keeps the new versions without making them current (a dry run).
        progress : bool or callable, optional
            Show a bar; default: on a terminal. A function gets (done, total, text).

        Returns
        -------
        Job
            `Job.report` tells per view version, cutoff, groups, bytes, seconds by
            stage.

        Raises
        ------
        BusyError
            Another process publishes.
        BudgetError
            `memory` is too small.
        StaleError
            `cutoff` is behind the published one.
        InvalidError
            `cutoff`, `memory` or `threads` is no such number.
        """
        names = None
        if views is not None:
            if isinstance(views, (str, View)):
                views = [views]
            names = tuple(
                v.name if isinstance(v, View) else check_name("view", v) for v in views
            )
        started = time.monotonic()
        core = self._core.batch(
            names,
            NO_POSITION if cutoff is None else whole("cutoff", cutoff, MOST),
            whole("memory", memory, MOST),
            whole("threads", threads, MOST_THREADS),
            incremental,
            publish,
        )
        try:
            with Progress(show=progress, title="batch") as bar:
                more = True
                while more:
                    more, done, total, _, _, view, stage = core.step()
                    bar.update(done, total, f"{stage or ''} {view or ''}".strip())
            report = json.loads(core.report())
        finally:
            core.close()
        return Job("batch", report, time.monotonic() - started)

    def verify(
        self, *, progress: bool | Callable[[int, int, str], None] | None = None,
        on_damage: str = "raise",
    ) -> dict[str, Any]:  # fmt: skip
        """Check every byte of every file against its checksums.

        Parameters
        ----------
        progress : bool or callable, optional
            As in `batch`.
        on_damage : {"raise", "report"}
            Raise at the end when there is damage, or only report it.

        Returns
        -------
        dict
            ``bytes`` checked, ``damages``, and ``damage``: file, byte and what, for
            each.

        Raises
        ------
        DamagedError
            The first damage; a note has the number of all.
        """
        if on_damage not in ("raise", "report"):
            msg = f"on_damage is 'raise' or 'report', not {on_damage!r}"
            raise InvalidError(msg)
        core = self._core.verify()
        try:
            with Progress(show=progress, title="verify") as bar:
                more = True
                while more:
                    more, done, total = core.step()
                    bar.update(done, total, "")
        except DamagedError as error:
            report: dict[str, Any] = json.loads(core.report())
            if on_damage == "raise":
                error.add_note(f"{report.get('damages', 1)} damages in all")
                raise
        else:
            report = json.loads(core.report())
        finally:
            core.close()
        return report

    def status(self) -> dict[str, Any]:
        """Logs with their rows by verdict, views with versions and the accounting of
        rows.
        """
        status: dict[str, Any] = json.loads(self._core.status())
        return status
