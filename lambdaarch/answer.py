# SPDX-License-Identifier: Apache-2.0
"""Answer: the finished rows of a query as arrays, with the receipt that says where they
came from. An answer is a copy: it never changes and outlives its store.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._times import far_text, times_of
from .errors import FieldTypeError, InvalidError, NotFoundError, ResultOverflowError
from .receipt import Receipt
from .schema import Field

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from . import _core

__all__ = ["Answer", "Exact", "Parts"]

MERGED, BATCH, SPEED = range(3)
SHOWN_ROWS = 20
WINDOW_COLUMNS = ("window_start", "window_end")


class Exact(NamedTuple):
    """Integers behind a column: the value is ``integers / 10**scale``.

    `integers` is an int64 or uint64 array of shape (n,), or an object array of Python
    integers where a value needs more than 64 bits; 0 in null cells.
    """

    integers: NDArray[Any]
    scale: int


class Parts(NamedTuple):
    """The two halves of an answer, row by row: `batch` (< cutoff) and `speed` (>=
    cutoff).

    A group that one part does not have is a null row there.
    """

    batch: Answer
    speed: Answer


class _Valid(Mapping[str, "NDArray[np.bool_]"]):
    """``answer.valid``: where a column has a value."""

    __slots__ = ("_answer",)

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        return self._answer._pair(name)[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answer.columns)

    def __len__(self) -> int:
        return len(self._answer.columns)


class Answer:
    """The rows of a query.

    ``answer["revenue"]`` is a NumPy array of shape (rows,): numbers as themselves,
    decimals as float64 rounded once, text as ``StringDType``, times as
    ``datetime64[us]``, dates as ``datetime64[D]``. Null cells hold NaN, NaT, 0, False
    or "", and ``answer.valid["revenue"]`` is False there. Arrays are read-only; numbers
    and times are not copied.

    A sum that does not fit its type is an *overflow*. Reading such a column raises
    `ResultOverflowError`, naming the group; ``answer.exact(name)`` has the integers,
    and a query with ``overflow="null"`` treats the cells as nulls.

    Attributes
    ----------
    columns : list of str
        Keys, then ``window_start`` and ``window_end``, then aggregates.
    valid : mapping of str to ndarray of bool
        Where columns have values.
    receipt : Receipt
        Where the answer came from.
    """

    def __init__(
        self,
        core: _core.Answer,
        *,
        keys: list[str],
        overflow: str = "raise",
        part: int = MERGED,
    ) -> None:
        self._core = core
        self._part = part
        self._keys = keys
        self._raise = overflow == "raise"
        self._fields = [Field(n, t, null) for n, t, null in core.schema()]
        self._order = {field.name: i for i, field in enumerate(self._fields)}
        self._rows = core.rows()
        self._pairs: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {}
        self._receipt: Receipt | None = None
        self._overflow: dict[int, dict[int, int | None]] | None = None

    # ------------------------------------------------------------------ columns

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._order)

    @property
    def fields(self) -> list[Field]:
        """Names and types of the columns."""
        return list(self._fields)

    @property
    def valid(self) -> Mapping[str, NDArray[np.bool_]]:
        """Where each column has a value: ``valid[name]`` has shape (rows,)."""
        return _Valid(self)

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, name: object) -> bool:
        return name in self._order

    def __getitem__(self, name: str) -> NDArray[Any]:
        values = self._pair(name)[0]
        cells = self._overflows.get(self._order[name])
        if cells and self._raise:
            raise self._overflow_error(name, cells)
        return values

    def _pair(self, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        pair = self._pairs.get(name)
        if pair is None:
            values, valid = self._core.column(self._part, self._place(name))
            if valid is None:
                valid = np.ones(self._rows, dtype=np.bool_)
                valid.flags.writeable = False
            pair = self._pairs[name] = values, valid
        return pair

    def _place(self, name: str) -> int:
        try:
            return self._order[name]
        except (KeyError, TypeError):
            error = NotFoundError(f"the answer has no column {name!r}")
            error.add_note(f"columns: {', '.join(self._order)}")
            raise error from None

    def masked(self, name: str) -> np.ma.MaskedArray[Any, Any]:
        """A column as a masked array (text as objects)."""
        values, valid = self[name], self.valid[name]
        if values.dtype.kind == "T":
            values = values.astype(object)
        return np.ma.MaskedArray(values, mask=~valid)

    # ----------------------------------------------------------------- overflow

    @property
    def _overflows(self) -> dict[int, dict[int, int | None]]:
        if self._overflow is None:
            self._overflow = self._core.overflow() if self._part == MERGED else {}
        return self._overflow

    @property
    def errors(self) -> list[ResultOverflowError]:
        """One error per cell that does not fit its type, unraised."""
        return [
            self._overflow_error(self._fields[column].name, {row: exact})
            for column, cells in self._overflows.items()
            for row, exact in cells.items()
        ]

    def _overflow_error(
        self, name: str, cells: dict[int, int | None]
    ) -> ResultOverflowError:
        row, exact = min(cells.items())
        group = self._group(row)
        value = "" if exact is None else f" {self._decimal(name, exact)}"
        more = f" ({len(cells) - 1} more groups too)" if len(cells) > 1 else ""
        kind = self._fields[self._order[name]].type
        error = ResultOverflowError(
            f'column "{name}" of {group}:{value or " the value"} does not fit '
            f"{kind}{more}"
        )
        error.add_note(
            f'answer.exact("{name}") has the integers; '
            'query(overflow="null") gives nulls'
        )
        return error

    def _decimal(self, name: str, exact: int) -> str:
        scale = self._fields[self._order[name]].scale
        if scale == 0:
            return str(exact)
        digits = f"{abs(exact):0{scale + 1}d}"
        return f"{'-' if exact < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"

    def _group(self, row: int) -> str:
        names = [n for n in (*self._keys, "window_start") if n in self._order]
        if not names:
            return f"row {row}"
        cells = (f"{n}={self._cell(n, row)!s}" for n in names)
        return f"group {', '.join(cells)}"

    def _cell(self, name: str, row: int) -> Any:
        values, valid = self._pair(name)
        return _python(values[row : row + 1])[0] if valid[row] else None

    def exact(self, name: str) -> Exact:
        """The integers behind an integer or decimal column, without rounding or
        overflow.

        Returns
        -------
        Exact
            ``(integers, scale)``: an array of shape (rows,), and the number of
            decimals.

        Raises
        ------
        FieldTypeError
            The column holds neither integers nor decimals.
        """
        place = self._place(name)
        field = self._fields[place]
        if field.type not in ("i32", "i64", "u64") and not field.type.startswith(
            "decimal"
        ):
            msg = f'column "{name}" of type {field.type} has no integers behind it'
            raise FieldTypeError(msg)
        integers = self._core.scaled(self._part, place)
        cells = self._overflows.get(place)
        if cells:
            integers = integers.astype(object)
            for row, value in cells.items():
                integers[row] = value
        return Exact(integers, field.scale)

    # ---------------------------------------------------------- parts and receipt

    @property
    def parts(self) -> Parts:
        """Finished values of the batch part and the speed part, row by row.

        Raises
        ------
        InvalidError
            The query was made with ``parts=False``.
        """
        if not self._core.has_parts():
            error = InvalidError("this answer was made without its parts")
            error.add_note("ask with query(parts=True)")
            raise error
        return Parts(
            Answer(self._core, keys=self._keys, part=BATCH),
            Answer(self._core, keys=self._keys, part=SPEED),
        )

    @property
    def receipt(self) -> Receipt:
        """Where the answer came from."""
        if self._receipt is None:
            self._receipt = Receipt.from_json(self._core.receipt())
        return self._receipt

    # --------------------------------------------------------------- other forms

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns as lists of Python values; null is None."""
        return {name: self._list(name) for name in self._order}

    def to_dicts(self) -> list[dict[str, Any]]:
        """Rows as dicts; null is None."""
        lists = self.to_dict()
        return [
            dict(zip(lists, row, strict=True))
            for row in zip(*lists.values(), strict=True)
        ]

    def row(self, index: int) -> dict[str, Any]:
        """One row as a dict of Python values; null is None."""
        if not -self._rows <= index < self._rows:
            msg = f"the answer has {self._rows} rows, there is no row {index}"
            raise NotFoundError(msg)
        index %= self._rows
        for name in self._order:
            self[name]  # an overflow raises
        return {name: self._cell(name, index) for name in self._order}

    def _list(self, name: str) -> list[Any]:
        values, valid = _python(self[name]), self.valid[name].tolist()
        return [value if ok else None for value, ok in zip(values, valid, strict=True)]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows as an Arrow stream (decimals as decimal128); a copy."""
        self._check_overflow()
        return self._core.arrow(self._part)

    def to_arrow(self) -> pa.Table:
        """The rows as a pyarrow table; decimals as decimal128."""
        import pyarrow as pa

        return pa.table(self)

    def to_polars(self) -> pl.DataFrame:
        """The rows as a Polars frame."""
        import polars as pl

        return pl.DataFrame(self)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame.

        Integers and bools with nulls become pandas' nullable types; decimals are
        float64.
        """
        import pandas as pd

        self._check_overflow()
        nullable = {"i32": "Int32", "i64": "Int64", "u64": "UInt64", "bool": "boolean"}
        columns: dict[str, Any] = {}
        for field in self._fields:
            values, valid = self._pair(field.name)
            if field.type == "bytes":
                columns[field.name] = pd.Series(self._list(field.name), dtype=object)
            elif values.dtype.kind in "TO":
                columns[field.name] = pd.Series(self._list(field.name), dtype="str")
            elif valid.all() or values.dtype.kind in "fM":
                columns[field.name] = pd.Series(values.copy())
            else:
                cells: Any = pd.Series(values.copy())
                columns[field.name] = cells.astype(nullable[field.type]).mask(~valid)
        return pd.DataFrame(columns, columns=self.columns)

    def _check_overflow(self) -> None:
        if self._raise and self._overflows:
            raise self.errors[0]

    # ---------------------------------------------------------------------- show

    def plot(
        self, y: str | None = None, *, by: str | None = None, ax: Any = None
    ) -> Any:
        """Draw an aggregate over window starts (or over the keys); needs matplotlib.

        Parameters
        ----------
        y : str, optional
            The column; default the first aggregate.
        by : str, optional
            One line for each value of this key.
        ax : matplotlib Axes, optional
            Where to draw; default a new figure.

        Returns
        -------
        matplotlib Axes
        """
        import matplotlib.pyplot as plt

        names = [
            n for n in self._order if n not in self._keys and n not in WINDOW_COLUMNS
        ]
        y = names[0] if y is None else y
        values = self[y]
        axes = plt.subplots()[1] if ax is None else ax
        if "window_start" in self._order:
            self._lines(axes, values, y, by)
        else:
            labels = [", ".join(str(self._cell(k, i)) for k in self._keys) or y
                      for i in range(self._rows)]  # fmt: skip
            axes.bar(labels, values)
        axes.set_ylabel(y)
        return axes

    def _lines(self, axes: Any, values: NDArray[Any], y: str, by: str | None) -> None:
        starts = self["window_start"]
        names = np.array([y] * self._rows) if by is None else self[by].astype(object)
        for name in dict.fromkeys(names.tolist()):
            rows = np.flatnonzero(names == name)
            rows = rows[np.argsort(starts[rows], kind="stable")]
            axes.plot(starts[rows], values[rows], label=str(name), marker=".")
        axes.set_xlabel("window_start")
        if by is not None:
            axes.legend(title=by)

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        rows = range(min(self._rows, SHOWN_ROWS))
        lists = []
        for field in self._fields:
            values, valid = self._pair(field.name)
            wrong = self._overflows.get(self._order[field.name], {})
            cells = [_text(values[i], field) if valid[i] else "null" for i in rows]
            lists.append(
                ["overflow" if i in wrong else cell for i, cell in enumerate(cells)]
            )
        return self.columns, [list(row) for row in zip(*lists, strict=True)]

    def __repr__(self) -> str:
        names, rows = self._shown()
        widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) for cell, width in zip(row, widths, strict=True)
            )
            for row in (names, *rows)
        ]
        if self._rows > len(rows):
            lines.append(f"... {self._rows - len(rows):,} more rows")
        if not self._rows:
            lines.append("(no rows)")
        return "\n".join([*lines, f"# {self.receipt}"])

    def _repr_html_(self) -> str:
        names, rows = self._shown()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        more = self._rows - len(rows)
        tail = f"<p>… {more:,} more rows</p>" if more else ""
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tail}"
            f"<p><small>{html.escape(str(self.receipt))}</small></p>"
        )


def _python(values: NDArray[Any]) -> list[Any]:
    """Python values of a column; times that Python does not have as ISO text."""
    if values.dtype.kind == "M":
        return times_of(values)
    out: list[Any] = values.tolist()
    return out


def _text(value: Any, field: Field) -> str:
    if field.type == "time[us]":
        return far_text(value).removesuffix(".000000")
    if field.type == "date":
        return far_text(value)
    if field.type.startswith("decimal"):
        return f"{value:.{field.scale}f}"
    return str(value)
