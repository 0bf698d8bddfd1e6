# SPDX-License-Identifier: Apache-2.0
"""Files into a log: CSV, JSON lines and Parquet, plain or gzip.

A file is read in pieces of some tens of thousands of rows, and each piece is one
append. A row that cannot be read goes to quarantine, whole, with the reason; nothing
vanishes.
"""

from __future__ import annotations

import csv
import datetime as dt
import glob
import gzip
import io
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .._columns import Bad, arrow_list, raw_text
from .._times import EPOCH
from ..errors import InvalidError, LambdaError, NotFoundError
from ..jobs import Progress
from ..log import Appended, is_quarantine

if TYPE_CHECKING:
    from ..log import Log
    from ..schema import Field

__all__ = ["Loaded", "load", "load_lines", "make_time"]

ROWS = 32_768
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
ROW = re.compile(r"(?<=[ :])row (\d+)")
US = dt.timedelta(microseconds=1)
TRUTH = {"true": True, "1": True, "false": False, "0": False}
Row = dict[str, Any]


@dataclass(slots=True)
class Loaded:
    """What a load did.

    Attributes
    ----------
    files : list of str
    rows, ok, duplicate, quarantined : int
        Rows that got a position, and how many of each verdict.
    first : int or None
        Position of the first row.
    ignored : list of str
        Columns of the files that no field takes.
    seconds : float
    """

    files: list[str] = field(default_factory=list)
    rows: int = 0
    ok: int = 0
    duplicate: int = 0
    quarantined: int = 0
    first: int | None = None
    ignored: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def where(self, end: int | None = None) -> str:
        """The rows that are in, as text; `end` is the log's position, if known."""
        if self.first is None:
            return "no row is in the log"
        stop = self.first + self.rows if end is None else end
        return (
            f"{stop - self.first:,} rows: positions [{self.first}, {stop}) are in "
            "the log"
        )

    def add(self, done: Appended) -> None:
        """Counts one append."""
        if done.rows and self.first is None:
            self.first = done.first
        self.rows += done.rows
        self.ok += done.ok
        self.duplicate += done.duplicate
        self.quarantined += done.quarantined


@dataclass(frozen=True, slots=True)
class make_time:  # noqa: N801 - used as a function
    """A time of columns that hold its parts, for `Log.load`'s ``derive``.

    Parameters
    ----------
    year, month, day, hour, minute, second : str
        Names of columns; what is not given is the first month, day, or 0. UTC.

    Examples
    --------
    >>> make_time("year", "month", "day")({"year": "2013", "month": "3", "day": "1"})
    1362096000000000
    """

    year: str
    month: str | None = None
    day: str | None = None
    hour: str | None = None
    minute: str | None = None
    second: str | None = None

    def __call__(self, row: Mapping[str, Any]) -> int:
        """Microseconds since 1970 of a row."""
        first = (self.year, self.month, self.day, self.hour, self.minute, self.second)
        parts = [
            int(row[name]) if name else (1 if i < 3 else 0)
            for i, name in enumerate(first)
        ]
        return (dt.datetime(*parts) - EPOCH) // US  # type: ignore[arg-type]


def load(
    log: Log,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    format: str | None = None,  # noqa: A002
    rename: Mapping[str, str] | None = None,
    derive: Mapping[str, Callable[[Row], Any]] | None = None,
    null: Sequence[str] = ("",),
    on_bad: str = "quarantine",
    progress: bool | None = None,
    loaded: Loaded | None = None,
) -> Loaded:
    """Append files to `log`; `Log.load` has the parameters.

    What was done so far is always in `loaded`, also when this raises.
    """
    is_quarantine(on_bad)
    if format is not None and format not in FORMATS.values():
        msg = f"format is 'csv', 'jsonl' or 'parquet', not {format!r}"
        raise InvalidError(msg)
    files = _files(path)
    for name in derive or {}:
        if name not in log.schema:
            msg = f'derive: log "{log.name}" has no field {name!r}'
            raise NotFoundError(msg)
    into = _Into(log, rename or {}, derive or {}, frozenset(null), on_bad)
    into.loaded = Loaded() if loaded is None else loaded
    started = time.monotonic()
    total = sum(file.stat().st_size for file in files)
    done = 0
    try:
        with Progress(show=progress, title="load") as bar:
            for file in files:
                kind = format or _format(file)
                into.loaded.files.append(str(file))
                for at in _read(kind, into, file):
                    bar.update(done + at, total, file.name)
                done += file.stat().st_size
    except LambdaError as error:
        if into.loaded.rows:
            error.add_note(f"before it, {into.loaded.where()}")
        raise
    into.loaded.seconds = time.monotonic() - started
    return into.loaded


def load_lines(
    log: Log, lines: Iterable[bytes], *, on_bad: str = "raise", first: int = 1
) -> Loaded:
    """Append JSON lines that come one by one, such as those of standard input.

    `first` is the number of the first of them.
    """
    into = _Into(log, {}, {}, frozenset(), on_bad)
    started = time.monotonic()
    kept = [(n, line) for n, line in enumerate(lines, first) if line.strip()]
    into.lines(
        [line for _, line in kept], "standard input", [number for number, _ in kept]
    )
    into.loaded.seconds = time.monotonic() - started
    return into.loaded


def _files(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[Path]:
    many = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    files: list[Path] = []
    for one in many:
        text = os.fspath(one)
        found = [text] if Path(text).exists() else sorted(glob.glob(text))  # noqa: PTH207
        if not found:
            msg = f"there is no file {text!r}"
            raise NotFoundError(msg)
        files += [Path(name) for name in found]
    return files


def _format(file: Path) -> str:
    suffixes = [s for s in file.suffixes if s != ".gz"]
    kind = FORMATS.get(suffixes[-1].lower()) if suffixes else None
    if kind is None:
        error = InvalidError(f"the format of {str(file)!r} is not known by its name")
        error.add_note("give format='csv', 'jsonl' or 'parquet'")
        raise error
    return kind


class _Into:
    """Rows on their way into one log."""

    def __init__(
        self,
        log: Log,
        rename: Mapping[str, str],
        derive: Mapping[str, Callable[[Row], Any]],
        null: frozenset[str],
        on_bad: str,
    ) -> None:
        self.log = log
        self.rename = rename
        self.derive = derive
        self.null = null
        self.on_bad = on_bad
        self.loaded = Loaded()

    def field_of(self, column: str) -> str | None:
        """The field that takes a column, or None."""
        name = self.rename.get(column, column)
        if name in self.log.schema and name not in self.derive:
            return name
        if column not in self.loaded.ignored:
            self.loaded.ignored.append(column)
        return None

    def check(self, columns: Iterable[str], place: str) -> None:
        """Every field that must have a value has a column."""
        have = {self.rename.get(column, column) for column in columns} | set(
            self.derive
        )
        for one in self.log.schema.values():
            if not one.nullable and one.name not in have:
                error = NotFoundError(
                    f'could not load {place} into log "{self.log.name}": no column for '
                    f'field "{one.name}"'
                )
                error.add_note(f"columns: {', '.join(columns)}; use rename= or derive=")
                raise error

    def derived(self, name: str, rows: Sequence[Row | None], bad: Bad) -> list[Any]:
        """A derived column; a row on which the function fails is bad."""
        make = self.derive[name]
        out: list[Any] = []
        for number, row in enumerate(rows):
            try:
                out.append(None if row is None else make(row))
            except (ValueError, TypeError, LookupError, ArithmeticError) as error:
                out.append(None)
                why = f"could not derive {name}: {error}"
                bad.setdefault(number, (why, False))
        return out

    def append(
        self,
        table: dict[str, list[Any]],
        count: int,
        bad: Bad,
        raw: Callable[[int], str],
        place: Callable[[int], str],
    ) -> None:
        """One append of the columns in `table`; `place` tells where a row is."""
        if count == 0:
            return
        columns = tuple((table.get(n), None, False) for n in self.log.schema)
        try:
            done = self.log._core.append_columns(
                columns, count, bad, raw, self.on_bad == "quarantine", 0
            )
        except LambdaError as error:
            raise _placed(error, place) from None
        self.loaded.add(Appended(*done))

    # ------------------------------------------------------------------ JSON lines

    def lines(self, lines: Sequence[bytes], file: str, numbers: Sequence[int]) -> None:
        """One append of JSON lines, with their numbers in the file."""
        bad: Bad = {}
        rows: list[Row | None] = []
        for number, line in enumerate(lines):
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TypeError(f"it is {type(row).__name__}, not an object")
                rows.append(row)
            except (ValueError, TypeError, RecursionError) as error:
                bad[number] = (f"no JSON row: {error}", False)
                rows.append(None)
        names = {name: None for row in rows if row is not None for name in row}
        table: dict[str, list[Any]] = {}
        for column in names:
            target = self.field_of(column)
            if target is not None:
                table[target] = [
                    None if row is None else row.get(column) for row in rows
                ]
        for name in self.derive:
            table[name] = self.derived(name, rows, bad)

        def raw(number: int) -> str:
            return lines[number].rstrip(b"\r\n").decode("utf-8", "backslashreplace")

        def place(row: int) -> str:
            return f"{file}, line {numbers[row]}"

        self.append(table, len(lines), bad, raw, place)

    # ------------------------------------------------------------------------- CSV

    def cells(
        self, header: list[str], rows: list[list[str]], file: str, numbers: list[int]
    ) -> None:
        """One append of CSV rows, with the numbers of their first lines."""
        if not rows:
            for name in header:
                self.field_of(name)
            return
        bad: Bad = {}
        width = len(header)
        for number, row in enumerate(rows):
            if len(row) != width:
                bad[number] = (f"{len(row)} cells, the header has {width}", False)
        columns: list[Sequence[str]] = (
            list(zip(*rows, strict=True))
            if not bad
            else [
                [row[i] if i < len(row) else "" for row in rows] for i in range(width)
            ]
        )
        table: dict[str, list[Any]] = {}
        for name, texts in zip(header, columns, strict=True):
            target = self.field_of(name)
            if target is not None:
                table[target] = _column(texts, self.log.schema[target], self.null)
        if self.derive:
            dicts: list[Row | None] = [
                None if i in bad else dict(zip(header, row, strict=True))
                for i, row in enumerate(rows)
            ]
            for name in self.derive:
                table[name] = self.derived(name, dicts, bad)

        def raw(number: int) -> str:
            text = io.StringIO()
            csv.writer(text, lineterminator="").writerow(rows[number])
            return text.getvalue().encode("utf-8", "backslashreplace").decode()

        def place(row: int) -> str:
            return f"{file}, line {numbers[row]}"

        self.append(table, len(rows), bad, raw, place)


# ------------------------------------------------------------------------ CSV cells


def _integer(text: str) -> Any:
    try:
        return text if "_" in text else int(text)
    except ValueError:
        return _real(text)


def _real(text: str) -> Any:
    try:
        return text if "_" in text else float(text)
    except ValueError:
        return text


def _truth(text: str) -> Any:
    return TRUTH.get(text.strip().lower(), text)


def _stripped(text: str) -> Any:
    return text.strip()


_CELL: dict[str, Callable[[str], Any]] = {
    "i64": _integer, "u64": _integer, "i32": _integer, "f64": _real, "f32": _real,
    "bool": _truth, "time[us]": _stripped, "date": _stripped,
    "bytes": str.encode,
}  # fmt: skip


def _column(texts: Sequence[str], target: Field, null: frozenset[str]) -> list[Any]:
    """Cells by the field's type; what cannot be read stays text, and the core refuses
    it.
    """
    read = _CELL.get(
        target.type, _stripped if target.type.startswith("decimal") else None
    )
    if read is None:
        return [None if text in null else text for text in texts]
    return [None if text in null else read(text) for text in texts]


# --------------------------------------------------------------------------- readers


class _Counted(io.RawIOBase):
    """Counts the bytes read of a file, compressed or not."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._file.readinto(buffer)
        self.at += size
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(counted: _Counted, file: Path) -> IO[bytes]:
    buffered = io.BufferedReader(counted, 1 << 20)
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]
    if file.suffix == ".gz":
        msg = f"could not read {str(file)!r}: by its name it is gzip, but it is not"
        raise InvalidError(msg)
    return buffered


def _read(kind: str, into: _Into, file: Path) -> Iterator[int]:
    """Read a file into the log; gives bytes read so far."""
    try:
        yield from _READERS[kind](into, file)
    except LambdaError:
        raise
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else None
        msg = f"could not read {str(file)!r} as {kind}: {why or error}"
        raise InvalidError(msg) from error


def _placed(error: LambdaError, place: Callable[[int], str]) -> LambdaError:
    """The error with a row's place in its file instead of its number in the piece."""
    text = str(error)
    found = ROW.search(text, max(0, text.find('": ')))
    if found is None:
        error.add_note(f"the piece begins at {place(0)}")
    else:
        where = place(int(found[1]))
        error.args = (f"{text[: found.start()]}{where}{text[found.end() :]}",)
    return error


def _read_jsonl(into: _Into, file: Path) -> Iterator[int]:
    counted = _Counted(file)
    with counted, _open(counted, file) as stream:
        lines: list[bytes] = []
        numbers: list[int] = []
        checked = False
        for number, line in enumerate(stream, 1):
            if line.strip():
                if not checked:
                    checked = _check_first(into, line, str(file))
                lines.append(line)
                numbers.append(number)
            if len(lines) == ROWS:
                into.lines(lines, str(file), numbers)
                lines, numbers = [], []
                yield counted.at
        into.lines(lines, str(file), numbers)
        yield counted.at


def _check_first(into: _Into, line: bytes, place: str) -> bool:
    """The first readable line tells whether the file fits at all."""
    try:
        row = json.loads(line)
    except ValueError:
        return False
    if isinstance(row, dict):
        into.check(row, place)
    return True


def _read_csv(into: _Into, file: Path) -> Iterator[int]:
    counted = _Counted(file)
    with counted, _open(counted, file) as stream:
        text = io.TextIOWrapper(
            stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        reader = csv.reader(text, delimiter="\t" if ".tsv" in file.suffixes else ",")
        header = next(reader, None)
        if header is None:
            msg = f"{str(file)!r} is empty: CSV begins with a header"
            raise InvalidError(msg)
        into.check(header, str(file))
        rows: list[list[str]] = []
        numbers: list[int] = []
        number = reader.line_num + 1
        for row in reader:
            if row:
                rows.append(row)
                numbers.append(number)
            number = reader.line_num + 1
            if len(rows) == ROWS:
                into.cells(header, rows, str(file), numbers)
                rows, numbers = [], []
                yield counted.at
        into.cells(header, rows, str(file), numbers)
        yield counted.at


def _read_parquet(into: _Into, file: Path) -> Iterator[int]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        error.add_note("Parquet needs pyarrow: pip install 'lambdaarch[arrow]'")
        raise
    try:
        source = pq.ParquetFile(file)
    except pa.ArrowException as error:
        msg = f"could not read {str(file)!r} as parquet: {error}"
        raise InvalidError(msg) from error
    into.check(source.schema_arrow.names, str(file))
    size, seen = file.stat().st_size, 0
    rows_total = max(1, source.metadata.num_rows)
    batches = source.iter_batches(batch_size=ROWS * 8)
    while True:
        try:
            batch = next(batches, None)
        except pa.ArrowException as error:
            msg = f"could not read {str(file)!r} as parquet: {error}"
            raise InvalidError(msg) from error
        if batch is None:
            break

        def place(row: int, seen: int = seen) -> str:
            return f"{file}, row {seen + row}"

        names = {n: into.field_of(n) for n in batch.schema.names}
        kept = {
            target: batch.column(n) for n, target in names.items() if target is not None
        }
        if into.derive:
            bad: Bad = {}
            lists = {name: arrow_list(batch.column(name)) for name in names}
            rows: list[Row | None] = [
                dict(zip(lists, row, strict=True))
                for row in zip(*lists.values(), strict=True)
            ]
            table = {t: lists[name] for name, t in names.items() if t is not None}
            for name in into.derive:
                table[name] = into.derived(name, rows, bad)
            into.append(table, batch.num_rows, bad, _raw_of(rows), place)
        else:
            try:
                done = into.log.append(pa.table(kept), on_bad=into.on_bad)
            except LambdaError as error:
                raise _placed(error, place) from None
            into.loaded.add(done)
        seen += batch.num_rows
        yield size * seen // rows_total


def _raw_of(rows: Sequence[Row | None]) -> Callable[[int], str]:
    return lambda number: raw_text(rows[number] or {})


_READERS: dict[str, Callable[[_Into, Path], Iterator[int]]] = {
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
