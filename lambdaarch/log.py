# SPDX-License-Identifier: Apache-2.0
"""Log: the only truth. Rows go in at the end, get a position, and never change."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from ._columns import columns_of, module_of, raw_text, row_text
from ._times import TimeLike, every_parts, to_us
from .errors import FieldTypeError, InvalidError, LambdaError, NotFoundError
from .rows import Rows, Scan, arrow_type
from .schema import Field, Schema

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from .sources.files import Loaded

__all__ = ["Appended", "Log", "Quarantined"]

TABLES = ("pyarrow", "polars")
ARROW = re.compile(r'Arrow type "([^"]*)"')
UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}
ARROW_NAMES = {
    "n": "null", "b": "bool", "c": "int8", "C": "uint8", "s": "int16", "S": "uint16",
    "i": "int32", "I": "uint32", "l": "int64", "L": "uint64", "e": "float16",
    "f": "float32", "g": "float64", "u": "string", "U": "large_string",
    "vu": "string_view", "z": "binary", "Z": "large_binary", "vz": "binary_view",
    "tdD": "date32", "tdm": "date64", "+l": "list", "+L": "large_list",
    "+s": "struct", "+m": "map",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did.

    Attributes
    ----------
    first : int
        Position of the first row.
    rows : int
        Rows that got a position, whatever their verdict.
    ok, duplicate, quarantined : int
        Rows by verdict.
    durable : bool
        Whether a crash of the machine can no longer lose them.
    """

    first: int
    rows: int
    ok: int
    duplicate: int
    quarantined: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that could not be read: `position`, `raw` text, and `reason`."""

    position: int
    raw: str
    reason: str


class Log:
    """A log of an open store; got from ``store.log(...)``.

    One process writes to a log; any number reads beside it. All methods may be called
    from any thread.
    """

    def __init__(self, core: _core.Log, *, sync: str = "commit") -> None:
        self._core = core
        self._name = core.name()
        self._schema = Schema([Field(n, t, null) for n, t, null in core.schema()])
        self._sync = sync
        sync_interval(sync)

    # ----------------------------------------------------------------- identity

    @property
    def name(self) -> str:
        """The log's name in its store."""
        return self._name

    @property
    def schema(self) -> Schema:
        """Its fields."""
        return self._schema

    @property
    def spec(self) -> dict[str, Any]:
        """What it was made with: fields, time, dedupe, check."""
        spec: dict[str, Any] = json.loads(self._core.spec())
        return spec

    @property
    def time(self) -> str | None:
        """The field that holds event time, or None."""
        name: str | None = self.spec.get("time")
        return name

    @property
    def position(self) -> int:
        """The position that the next row gets: rows so far."""
        return self._core.positions()[1]

    @property
    def durable(self) -> int:
        """The first position that a crash of the machine may still lose."""
        return self._core.positions()[0]

    def __repr__(self) -> str:
        fields = ", ".join(f"{f.name}: {f.text}" for f in self._schema.values())
        return f'<Log "{self._name}": {fields}>'

    # ------------------------------------------------------------------- append

    def append(
        self, rows: Any, *, on_bad: str = "raise", sync: str | None = None
    ) -> Appended:
        """Append rows, all or none.

        Parameters
        ----------
        rows : dict, list of dict, mapping of columns, structured array, table or Arrow
        stream
            One row as a dict of values; many as a list of dicts, a dict of arrays or
            lists, a NumPy structured array, a pandas DataFrame, or anything with
            ``__arrow_c_stream__`` (Polars, DuckDB relations, pyarrow). Fields that
            allow nulls may be absent; masked cells, None, NaT and pandas' missing cells
            are null. An array of the physical type (``int64``, ``datetime64[us]``, ...)
            is not copied; do not change it while the call runs.
        on_bad : {"raise", "quarantine"}
            A row that cannot be read raises and nothing is written; or it is set aside,
            raw, with the reason, and the others are appended.
        sync : {"commit", "interval:5ms", ...}, optional
            ``"commit"``: durable on return. ``"interval:T"``: written on return, so
            that a crash of the process loses nothing; a crash of the machine may lose
            what came in the last T. Default: as the log was opened.

        Returns
        -------
        Appended
            Position of the first row, and rows by verdict. A row whose event id was
            there before keeps a position as a duplicate, and counts nowhere.

        Raises
        ------
        FieldTypeError, InvalidError, NotFoundError
            The first bad row, with its number, field and value; or an unknown field.
        BusyError
            Another process writes this log.
        StorageFullError, StorageError
            Nothing of this call is readable.
        OutcomeUnknownError
            A sync failed; open the store again to learn which rows are there.

        Examples
        --------
        >>> import tempfile, lambdaarch as la
        >>> with tempfile.TemporaryDirectory() as d, la.open(d + "/s") as store:
        ...     log = store.log("clicks", {"ts": "time[us]", "user": "u64"}, time="ts")
        ...     log.append({"ts": "2026-11-21T09:00", "user": 7})
        Appended(first=0, rows=1, ok=1, duplicate=0, quarantined=0, durable=True)
        """
        quarantine = is_quarantine(on_bad)
        interval_us = sync_interval(self._sync if sync is None else sync)
        if isinstance(rows, dict):
            if _is_table(rows):
                return self._append_columns(
                    rows, quarantine=quarantine, interval_us=interval_us
                )
            return self._append_dicts(
                [rows], quarantine=quarantine, interval_us=interval_us
            )
        if isinstance(rows, list):
            return self._append_dicts(
                rows, quarantine=quarantine, interval_us=interval_us
            )
        if isinstance(rows, Rows):
            return self._append_columns(
                rows.lists(), quarantine=quarantine, interval_us=interval_us
            )
        if isinstance(rows, np.ndarray):
            return self._append_columns(
                _structured(rows), quarantine=quarantine, interval_us=interval_us
            )
        if module_of(rows) == "pandas" and hasattr(rows, "columns"):
            return self._append_pandas(
                rows, quarantine=quarantine, interval_us=interval_us
            )
        if hasattr(rows, "__arrow_c_stream__"):
            return self._append_arrow(
                rows, quarantine=quarantine, interval_us=interval_us
            )
        if isinstance(rows, Mapping):
            return self.append(dict(rows), on_bad=on_bad, sync=sync)
        error = FieldTypeError(
            f'could not append to log "{self._name}": {type(rows).__name__} has no rows'
        )
        error.add_note(
            "give a dict, a list of dicts, a dict of columns, a structured array, a "
            "pandas DataFrame, or anything with __arrow_c_stream__"
        )
        raise error

    def _append_dicts(
        self, rows: list[Any], *, quarantine: bool, interval_us: int
    ) -> Appended:
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                msg = (
                    f'could not append to log "{self._name}": row {number} is no dict '
                    f"but {row!r}"
                )
                raise FieldTypeError(msg)
        if not rows:
            return self._nothing()

        def raw(number: int) -> str:
            return raw_text(rows[number])

        return Appended(*self._core.append_rows(rows, raw, quarantine, interval_us))

    def _append_columns(
        self, table: Mapping[str, Any], *, quarantine: bool, interval_us: int
    ) -> Appended:
        columns, rows, bad = columns_of(table, self._schema, self._name)
        if rows == 0:
            return self._nothing()
        return Appended(
            *self._core.append_columns(
                columns, rows, bad, row_text(table), quarantine, interval_us
            )
        )

    def _append_arrow(
        self, stream: Any, *, quarantine: bool, interval_us: int
    ) -> Appended:
        # A stream can be read once, and quarantine may need a second look.
        table = _arrow_table(stream) if quarantine else None
        capsule = (stream if table is None else table).__arrow_c_stream__()
        try:
            done = self._core.append_arrow(capsule, quarantine, interval_us)
        except InvalidError as error:
            if table is None and module_of(stream) in TABLES and _is_sized(stream):
                table = _arrow_table(stream)
            if table is None or _twice(table.column_names) is not None:
                raise _readable(error) from None
        else:
            return self._nothing() if done is None else Appended(*done)
        # What Arrow's types do not say, such as times as text, is read cell by cell.
        columns = dict(zip(table.column_names, table.columns, strict=True))
        return self._append_columns(
            columns, quarantine=quarantine, interval_us=interval_us
        )

    def _append_pandas(
        self, frame: Any, *, quarantine: bool, interval_us: int
    ) -> Appended:
        names = [str(name) for name in frame.columns]
        twice = _twice(names)
        if twice is not None:
            msg = (
                f'could not append to log "{self._name}": column "{twice}" is there '
                "twice"
            )
            raise InvalidError(msg)
        if hasattr(frame, "__arrow_c_stream__"):
            try:
                capsule = frame.__arrow_c_stream__()
                done = self._core.append_arrow(capsule, False, interval_us)  # noqa: FBT003
                return self._nothing() if done is None else Appended(*done)
            except (InvalidError, NotFoundError, ImportError):
                pass
            except LambdaError:
                raise
            except (ValueError, TypeError, NotImplementedError, OverflowError):
                pass  # pyarrow's own errors: a column that is no Arrow column
        columns = {name: frame.iloc[:, i] for i, name in enumerate(names)}
        return self._append_columns(
            columns, quarantine=quarantine, interval_us=interval_us
        )

    def _nothing(self) -> Appended:
        durable, position = self._core.positions()
        return Appended(position, 0, 0, 0, 0, durable == position)

    def load(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        format: str | None = None,  # noqa: A002
        rename: Mapping[str, str] | None = None,
        derive: Mapping[str, Callable[[dict[str, Any]], Any]] | None = None,
        null: Sequence[str] = ("",),
        on_bad: str = "quarantine",
        progress: bool | None = None,
    ) -> Loaded:
        """Append files: CSV, JSON lines or Parquet, plain or gzip.

        Parameters
        ----------
        path : path, pattern or list of them
            ``"data/*.csv.gz"``; files are taken in order of their names.
        format : {"csv", "jsonl", "parquet"}, optional
            Default: by the file's name.
        rename : dict of str to str, optional
            The file's column to the log's field. Columns without a field are left out,
            and named in `Loaded.ignored`.
        derive : dict of str to callable, optional
            Field to a function of the row, a dict of cells as the file has them:
            ``{"ts": la.make_time("year", "month", "day", "hour")}``.
        null : sequence of str, default ("",)
            Cells of CSV that mean null, such as ``["NA", ""]``.
        on_bad : {"quarantine", "raise"}
            Rows that cannot be read are kept raw, with the reason; or the first one
            raises.
        progress : bool, optional
            Show a bar; default: on a terminal.

        Returns
        -------
        Loaded

        Raises
        ------
        NotFoundError
            No such file, or a field that must be there is in no column.
        """
        from .sources.files import load

        return load(
            self,
            path,
            format=format,
            rename=rename,
            derive=derive,
            null=null,
            on_bad=on_bad,
            progress=progress,
        )

    def sync(self) -> None:
        """Make all rows durable that were appended so far."""
        self._core.sync()

    def seal(self) -> None:
        """Turn the open segment's small frames into large blocks; else by itself."""
        self._core.seal()

    # --------------------------------------------------------------------- read

    def position_at(self, time: TimeLike) -> int:
        """First position whose row was taken in at or after `time` (by ingest time)."""
        return self._core.position_at(to_us(time))

    def scan(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        columns: Sequence[str] | None = None,
        verdict: str = "ok",
    ) -> Scan:
        """Read rows in order of position.

        Parameters
        ----------
        start, stop : int
            Positions [start, stop); stop None: the durable end (the writer's own: all).
        columns : sequence of str, optional
            Fields to read; default all.
        verdict : {"ok", "all"}
            Only rows that count, or also duplicates and quarantined ones.

        Yields
        ------
        Rows
            Some tens of thousands of rows each, as read-only arrays.
        """
        if verdict not in ("ok", "all"):
            msg = f"verdict is 'ok' or 'all', not {verdict!r}"
            raise InvalidError(msg)
        names = list(self._schema if columns is None else columns)
        order = list(self._schema)
        for name in names:
            if name not in self._schema:
                error = NotFoundError(f'log "{self._name}" has no field {name!r}')
                error.add_note(f"fields: {', '.join(order)}")
                raise error
        end = self.position if stop is None else stop
        if start < 0 or end < start:
            msg = f"positions are 0 <= start <= stop, not [{start}, {end})"
            raise InvalidError(msg)
        numbers = tuple(order.index(name) for name in names)
        fields = {name: self._schema[name] for name in names}
        return Scan(self._core.scan(start, end, numbers), fields, numbers, verdict)

    def to_arrow(
        self,
        start: int = 0,
        stop: int | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows that count, as one pyarrow table (a copy)."""
        import pyarrow as pa

        names = list(self._schema if columns is None else columns)
        fields = pa.schema([(name, arrow_type(self._schema[name])) for name in names])
        batches = []
        for rows in self.scan(start, stop, columns=names):
            lists = rows.lists()
            arrays = [
                pa.array(lists[name], type=fields.field(name).type) for name in names
            ]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=fields))
        return pa.Table.from_batches(batches, schema=fields)

    def quarantine(self, start: int = 0, stop: int | None = None) -> list[Quarantined]:
        """Rows among positions [start, stop) that are bad, raw, with the reasons.

        A row that could be read but broke a check is shown as JSON of its values.
        """
        end = self.position if stop is None else stop
        positions, raw, reasons = self._core.quarantine(start, end)
        texts = [_text(what) for what in raw.tolist()]
        places = positions.tolist()
        read = self._values_at(
            [p for p, text in zip(places, texts, strict=True) if not text]
        )
        return [
            Quarantined(position, text or read.get(position, ""), str(why))
            for position, text, why in zip(places, texts, reasons.tolist(), strict=True)
        ]

    def _values_at(self, positions: list[int]) -> dict[int, str]:
        """Rows at these positions as JSON."""
        if not positions:
            return {}
        wanted = set(positions)
        out: dict[int, str] = {}
        for rows in self.scan(min(wanted), max(wanted) + 1, verdict="all"):
            at = rows.positions.tolist()
            if wanted.isdisjoint(at):
                continue
            for position, row in zip(at, rows.to_dicts(), strict=True):
                if position in wanted:
                    out[position] = raw_text(row)
        return out


def _text(raw: str | bytes) -> str:
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw


# ------------------------------------------------------------------------- inputs


def _is_table(rows: Mapping[str, Any]) -> bool:
    """Whether a dict holds columns (any of them is one) or the values of a row."""
    return any(_is_column(value) for value in rows.values())


def _is_column(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0  # np.ma.masked is an array without dimensions
    if isinstance(value, (str, bytes, np.generic)):
        return False
    return (
        isinstance(value, (list, tuple))
        or (hasattr(value, "__len__") and hasattr(value, "dtype"))
        or hasattr(value, "__arrow_c_array__")
        or hasattr(value, "__arrow_c_stream__")
    )


def _is_sized(rows: Any) -> bool:
    """Whether it holds its rows, so that they can be read again."""
    return hasattr(rows, "__len__")


def _twice(names: Sequence[str]) -> str | None:
    """The first name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _readable(error: InvalidError) -> InvalidError:
    """The error with Arrow's format letters as names of types."""
    text = str(error)
    found = ARROW.search(text)
    if found is not None:
        kind = arrow_name(found[1])
        error.args = (f"{text[: found.start()]}Arrow type {kind}{text[found.end() :]}",)
        error.add_note("cast the column, or give a dict of columns")
    return error


def arrow_name(letters: str) -> str:
    """The type of an Arrow format string (of the C data interface) as pyarrow names it.

    Examples
    --------
    >>> arrow_name("U"), arrow_name("tsu:UTC"), arrow_name("d:18,2")
    ('large_string', 'timestamp[us, UTC]', 'decimal128(18,2)')
    """
    unit = UNITS.get(letters[2:3], "")
    if letters.startswith("ts"):
        zone = letters[4:]
        return f"timestamp[{unit}, {zone}]" if zone else f"timestamp[{unit}]"
    if letters.startswith("tt"):
        return f"time[{unit}]"
    if letters.startswith("tD"):
        return f"duration[{unit}]"
    if letters.startswith("d:"):
        return f"decimal128({letters[2:]})"
    if letters.startswith("w:"):
        return f"fixed_size_binary[{letters[2:]}]"
    return ARROW_NAMES.get(letters, f'"{letters}"')


def _structured(rows: NDArray[Any]) -> dict[str, Any]:
    if rows.dtype.names is None:
        error = FieldTypeError(f"an array of {rows.dtype} has no fields")
        error.add_note("give a structured array, or a dict of arrays")
        raise error
    if isinstance(rows, np.ma.MaskedArray):
        return {name: rows[name] for name in rows.dtype.names}
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names}


def _arrow_table(stream: Any) -> Any | None:
    """The whole stream, to be read more than once; None without pyarrow."""
    try:
        import pyarrow as pa
    except ImportError:
        return None
    return pa.table(stream)


def is_quarantine(on_bad: str) -> bool:
    """The choice of `on_bad`, checked."""
    if on_bad not in ("raise", "quarantine"):
        msg = f"on_bad is 'raise' or 'quarantine', not {on_bad!r}"
        raise InvalidError(msg)
    return on_bad == "quarantine"


def sync_interval(sync: str) -> int:
    """Microseconds of ``"interval:5ms"``, 0 for ``"commit"``."""
    if sync == "commit":
        return 0
    if isinstance(sync, str) and sync.startswith("interval:"):
        us, unit, _ = every_parts(sync.removeprefix("interval:"))
        if unit is None and us > 0:
            return us
    error = InvalidError(f"there is no sync mode {sync!r}")
    error.add_note("'commit', or 'interval:T' with a duration such as 'interval:5ms'")
    raise error
