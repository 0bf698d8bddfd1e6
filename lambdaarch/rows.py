# SPDX-License-Identifier: Apache-2.0
"""Rows of a log, as they are read back: arrays that outlive the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._times import LEAST, LEAST_DAY

if TYPE_CHECKING:
    from types import TracebackType

    from . import _core
    from .schema import Field

__all__ = ["Rows", "Scan", "arrow_type"]

SCAN_ROWS = 65_536
VERDICTS = (
    "ok",
    "quarantined",
    "duplicate",
    "negative",
    "pending",
    "cancelled",
    "hole",
    "erased",
)


class Rows(Mapping[str, NDArray[Any]]):
    """Columns of consecutive rows, as scanned: a mapping from name to array.

    Arrays are read-only and outlive the store. Null cells hold NaN, NaT, 0, False or
    "".

    Attributes
    ----------
    positions : ndarray of uint64, shape (n,)
    verdicts : ndarray of uint8, shape (n,)
        0 for ok; ``verdict(i)`` is the word.
    valid : dict of str to ndarray of bool, shape (n,)
        False in null cells.
    """

    __slots__ = ("_columns", "_scaled", "positions", "schema", "valid", "verdicts")

    def __init__(
        self,
        schema: dict[str, Field],
        columns: dict[str, NDArray[Any]],
        valid: dict[str, NDArray[np.bool_]],
        scaled: dict[str, NDArray[np.int64]],
        positions: NDArray[np.uint64],
        verdicts: NDArray[np.uint8],
    ) -> None:
        self.schema = schema
        self._columns = columns
        self._scaled = scaled
        self.valid = valid
        self.positions = positions
        self.verdicts = verdicts

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def count(self) -> int:
        """Rows."""
        return int(self.positions.size)

    def verdict(self, row: int) -> str:
        """The verdict of row `row`, such as ``"ok"`` or ``"duplicate"``."""
        return VERDICTS[int(self.verdicts[row])]

    def exact(self, name: str) -> list[Decimal | None]:
        """A decimal column without rounding; null is None."""
        field = self.schema[name]
        scaled = self._scaled[name].tolist()
        return [
            Decimal(value).scaleb(-field.scale) if ok else None
            for value, ok in zip(scaled, self.valid[name].tolist(), strict=True)
        ]

    def lists(self) -> dict[str, list[Any]]:
        """Columns as lists of Python values; decimals as Decimal, null is None."""
        return {
            name: self.exact(name)
            if name in self._scaled
            else [
                value if ok else None
                for value, ok in zip(
                    _python(values), self.valid[name].tolist(), strict=True
                )
            ]
            for name, values in self._columns.items()
        }

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as dicts of Python values, as `Log.append` takes them."""
        lists = self.lists()
        return [
            dict(zip(lists, row, strict=True))
            for row in zip(*lists.values(), strict=True)
        ]

    def __repr__(self) -> str:
        first = int(self.positions[0]) if self.count else 0
        return f"<Rows: {self.count:,} from position {first:,}: {', '.join(self)}>"


def _python(values: NDArray[Any]) -> list[Any]:
    """Python values; microseconds or days where Python has no such time."""
    out: list[Any] = values.tolist()
    if values.dtype.kind == "M":
        least = LEAST_DAY if values.dtype == np.dtype("datetime64[D]") else LEAST
        out = [least if value is None else value for value in out]
    return out


class Scan(Iterator[Rows]):
    """Rows of one core scan; closes it at the end."""

    def __init__(
        self,
        core: _core.Scan,
        fields: dict[str, Field],
        numbers: tuple[int, ...],
        verdict: str,
    ) -> None:
        self._core = core
        self._fields = fields
        self._numbers = numbers
        self._verdict = verdict

    def __iter__(self) -> Scan:
        return self

    def __enter__(self) -> Scan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the scan."""
        self._core.close()

    def __next__(self) -> Rows:
        while True:
            read = self._core.read(SCAN_ROWS)
            if read is None:
                self._core.close()
                raise StopIteration
            rows = self._rows(*read)
            if rows.count:
                return rows

    def _rows(
        self, count: int, position: int, verdicts: bytes | None, columns: list[Any]
    ) -> Rows:
        marks = (
            np.zeros(count, dtype=np.uint8)
            if verdicts is None
            else np.frombuffer(verdicts, dtype=np.uint8)
        )
        positions = np.arange(position, position + count, dtype=np.uint64)
        values: dict[str, NDArray[Any]] = {}
        valid: dict[str, NDArray[np.bool_]] = {}
        scaled: dict[str, NDArray[np.int64]] = {}
        for name, number in zip(self._fields, self._numbers, strict=True):
            array, present, integers = columns[number]
            values[name] = array
            valid[name] = np.ones(count, dtype=np.bool_) if present is None else present
            if integers is not None:
                scaled[name] = integers
        if self._verdict == "ok" and marks.any():
            keep = marks == 0
            values = {name: array[keep] for name, array in values.items()}
            valid = {name: mask[keep] for name, mask in valid.items()}
            scaled = {name: array[keep] for name, array in scaled.items()}
            positions, marks = positions[keep], marks[keep]
        return Rows(self._fields, values, valid, scaled, positions, marks)


def arrow_type(field: Field) -> Any:
    """The pyarrow type of a field."""
    import pyarrow as pa

    simple = {
        "i64": pa.int64(),
        "u64": pa.uint64(),
        "i32": pa.int32(),
        "f64": pa.float64(),
        "f32": pa.float32(),
        "bool": pa.bool_(),
        "time[us]": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "cat": pa.string(),
        "str": pa.string(),
        "bytes": pa.binary(),
    }
    found = simple.get(field.type)
    return pa.decimal128(18, field.scale) if found is None else found
