# SPDX-License-Identifier: Apache-2.0
"""Columns on their way into a log: whole arrays, checked at once, to the physical type.

An array that already has the physical type is not copied. Whatever is no plain numeric
array goes to the core value by value, which applies the same rules one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import FieldTypeError, InvalidError, LambdaError
from .schema import Field, Schema

__all__ = ["Bad", "CoreColumn", "arrow_list", "columns_of", "module_of", "row_text"]

# (values, mask of nulls or None, whether values have the physical type)
CoreColumn: TypeAlias = tuple[Any, Any, bool]
# row -> (reason, whether the type is wrong)
Bad: TypeAlias = dict[int, tuple[str, bool]]
Mask: TypeAlias = "NDArray[np.bool_] | None"

PHYSICAL: dict[str, type[np.generic]] = {
    "i64": np.int64,
    "u64": np.uint64,
    "i32": np.int32,
    "f64": np.float64,
    "f32": np.float32,
    "bool": np.bool_,
}
TEXT = ("str", "cat")
DECIMAL_END = 10**18
FLOAT_SURE = 2.0**52  # below, no two decimals of one scale are the same float


def columns_of(
    table: Mapping[str, Any], schema: Schema, log: str
) -> tuple[tuple[CoreColumn, ...], int, Bad]:
    """What the core takes, the number of rows, and rows found bad so far.

    Raises
    ------
    InvalidError
        A field is unknown or missing, or columns have different lengths.
    """
    check_names(table, schema, log)
    lengths = {name: _length(name, values, log) for name, values in table.items()}
    rows = next(iter(lengths.values()), 0)
    for name, length in lengths.items():
        if length != rows:
            first = next(iter(lengths))
            msg = (
                f'could not append to log "{log}": column "{name}" has {length} rows, '
                f'column "{first}" has {rows}'
            )
            raise InvalidError(msg)
    bad: Bad = {}
    columns = tuple(
        column_of(table[field.name], field, bad)
        if field.name in table
        else (None, None, False)
        for field in schema.values()
    )
    return columns, rows, bad


def check_names(names: Mapping[str, Any], schema: Schema, log: str) -> None:
    """Every name is a field, every field that must be there is."""
    from .errors import NotFoundError

    for name in names:
        if name not in schema:
            error = NotFoundError(
                f'could not append to log "{log}": no field {name!r} in the schema'
            )
            error.add_note(f"fields: {', '.join(schema)}")
            raise error
    for field in schema.values():
        if field.name not in names and not field.nullable:
            msg = (
                f'could not append to log "{log}": field "{field.name}" is missing and '
                "not nullable"
            )
            raise InvalidError(msg)


def _length(name: str, values: Any, log: str) -> int:
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return len(values)
    except TypeError:
        error = FieldTypeError(
            f'could not append to log "{log}": column "{name}" is {values!r}, '
            "neither an array nor a list"
        )
        error.add_note("one row is a dict of values, many rows a dict of columns")
        raise error from None


def column_of(values: Any, field: Field, bad: Bad) -> CoreColumn:
    """One column for the core."""
    values = _from_arrow(values, field)
    array, mask = _array(values, field)
    if array is None:
        return values, None, False
    if array.ndim != 1:
        msg = f'field "{field.name}": a column has one dimension, not {array.ndim}'
        raise InvalidError(msg)
    kind = array.dtype.kind
    if field.type in TEXT:
        if kind == "U":
            return array.astype(np.dtypes.StringDType()), mask, False
        return array, mask, False
    if kind in "OSUVT" or field.type == "bytes":
        return array, mask, False
    if field.type in PHYSICAL:
        return _number(array, mask, field, bad)
    if field.type == "time[us]":
        return _time(array, mask, field, bad)
    if field.type == "date":
        return _date(array, mask, field, bad)
    return _decimal(array, mask, field, bad)


# ----------------------------------------------------------------- to arrays


def _array(values: Any, field: Field) -> tuple[NDArray[Any] | None, Mask]:
    """An array and the mask of its nulls; no array where values go one by one."""
    if isinstance(values, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(values)
        return np.asarray(values.data), (mask if mask.any() else None)
    if isinstance(values, np.ndarray):
        return values, None
    if isinstance(values, (list, tuple)):
        return None, None
    try:
        if module_of(values) == "pandas":
            return _pandas(values, field)
        if hasattr(values, "to_numpy"):
            return _array(values.to_numpy(), field)
        return np.asarray(values), None
    except LambdaError:
        raise
    except (ValueError, TypeError, NotImplementedError) as error:
        kind = f"{module_of(values)} {type(values).__name__}"
        msg = f'field "{field.name}": could not read the {kind}: {error}'
        raise FieldTypeError(msg) from error


def module_of(value: Any) -> str:
    """The package that a value's class comes from."""
    return type(value).__module__.partition(".")[0]


def _from_arrow(values: Any, field: Field) -> Any:
    """An Arrow column as NumPy has it, or as a list; anything else as it is."""
    stream = hasattr(values, "__arrow_c_stream__")
    if module_of(values) == "pandas" or not (
        stream or hasattr(values, "__arrow_c_array__")
    ):
        return values
    try:
        import pyarrow as pa
    except ImportError:
        return values
    try:
        if not isinstance(values, (pa.Array, pa.ChunkedArray)):
            values = pa.chunked_array(values) if stream else pa.array(values)
        if isinstance(values, pa.ChunkedArray):
            chunks = values.chunks
            values = pa.concat_arrays(chunks) if chunks else pa.array([], values.type)
        return _arrow_array(values)
    except (ValueError, TypeError, NotImplementedError) as error:
        msg = f'field "{field.name}": could not read the Arrow column: {error}'
        raise FieldTypeError(msg) from error


def _arrow_array(array: Any) -> Any:
    import pyarrow as pa

    kind, dtype = array.type, ""
    if pa.types.is_timestamp(kind):
        array, dtype = array.cast(pa.int64()), f"datetime64[{kind.unit}]"
    elif pa.types.is_date32(kind):
        array, dtype = array.cast(pa.int32()), "datetime64[D]"
    elif pa.types.is_date64(kind):
        array, dtype = array.cast(pa.int64()), "datetime64[ms]"
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    ):
        return arrow_list(array)
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if mask is not None:
        array = array.fill_null(False if pa.types.is_boolean(kind) else 0)
    values = array.to_numpy(zero_copy_only=False)
    if dtype:
        values = values.astype(np.int64).view(dtype)
    return values if mask is None else np.ma.MaskedArray(values, mask=mask)


def arrow_list(column: Any) -> list[Any]:
    """Cells of an Arrow column; times that Python does not have as integers."""
    try:
        cells: list[Any] = column.to_pylist()
    except (OverflowError, ValueError):
        import pyarrow as pa

        if not pa.types.is_timestamp(column.type):
            raise
        cells = column.cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    return cells


def _pandas(values: Any, field: Field) -> tuple[NDArray[Any], Mask]:
    """A pandas column. Its missing cells are nulls; NaN stays NaN where no null may
    be.
    """
    missing = np.asarray(values.isna(), dtype=np.bool_)
    dtype = values.dtype
    if getattr(dtype, "tz", None) is not None:
        accessor = getattr(values, "dt", values)
        values = accessor.tz_convert("UTC").dt.tz_localize(None)
    elif isinstance(dtype, np.dtype):
        if dtype.kind == "f" and not field.nullable and field.type in ("f64", "f32"):
            return values.to_numpy(), None
    elif getattr(dtype, "kind", "O") in "iufb" and not missing.any():
        return values.to_numpy(dtype=dtype.numpy_dtype), None
    elif getattr(dtype, "kind", "O") in "iufb":
        fill = values.fillna(False if dtype.kind == "b" else 0)
        return fill.to_numpy(dtype=dtype.numpy_dtype), missing
    else:
        values = values.astype(object)
    array = values.to_numpy()
    return array, (missing if missing.any() else None)


# -------------------------------------------------------------------- checks


def _mark(
    wrong: NDArray[np.bool_],
    mask: Mask,
    array: NDArray[Any],
    field: Field,
    bad: Bad,
    why: str,
    *,
    type_error: bool = False,
) -> None:
    """Rows that are wrong and not null become bad, with the value in the reason."""
    if mask is not None:
        wrong = wrong & ~mask
    for row in np.flatnonzero(wrong).tolist():
        shown = array[row]
        text = f'field "{field.name}": expected {field.type}, got {shown!s}'
        text += f" ({array.dtype})" + (f": {why}" if why else "")
        known = bad.get(row)
        bad[row] = (text if known is None else f"{known[0]}; {text}", type_error)


def _refuse(array: NDArray[Any], field: Field) -> FieldTypeError:
    return FieldTypeError(
        f'field "{field.name}": expected {field.type}, got an array of {array.dtype}'
    )


def _number(array: NDArray[Any], mask: Mask, field: Field, bad: Bad) -> CoreColumn:
    target = np.dtype(PHYSICAL[field.type])
    kind = array.dtype.kind
    if array.dtype == target:
        return array, mask, True
    if (field.type == "bool") != (kind == "b") or kind in "mMcb":
        raise _refuse(array, field)
    if target.kind == "f":
        return _float(array, mask, field, bad, target)
    wrong: NDArray[np.bool_]
    info = np.iinfo(target)
    if kind == "f":
        # 2^63 and 2^64 are floats; the greatest integers below them are not.
        high = float(info.max) if target.itemsize < 8 else float(int(info.max) + 1)
        with np.errstate(invalid="ignore"):
            wrong = (array != np.floor(array)) | ~np.isfinite(array)
            wrong |= (array < float(info.min)) | (
                (array > high) if target.itemsize < 8 else (array >= high)
            )
        if mask is not None:
            array = np.where(mask, 0, array)
        _mark(wrong, mask, array, field, bad, "not a whole number in range")
        with np.errstate(invalid="ignore"):
            return np.where(wrong, 0, array).astype(target), mask, True
    low, high_int = int(info.min), int(info.max)
    have = np.iinfo(array.dtype)
    wrong = np.zeros(array.shape, dtype=np.bool_)
    if int(have.min) < low:
        wrong |= array < low
    if int(have.max) > high_int:
        wrong |= array > high_int
    _mark(wrong, mask, array, field, bad, "out of range")
    return array.astype(target), mask, True


def _float(
    array: NDArray[Any], mask: Mask, field: Field, bad: Bad, target: np.dtype[Any]
) -> CoreColumn:
    if array.dtype.kind in "iu":
        out = array.astype(target)
        if array.dtype.itemsize >= target.itemsize:
            limit = 2**53 if target.itemsize == 8 else 2**24
            for row in np.flatnonzero((array > limit) | (array < -limit)).tolist():
                if int(out[row]) != int(array[row]):
                    one = np.zeros(array.shape, dtype=np.bool_)
                    one[row] = True
                    _mark(
                        one, mask, array, field, bad, "the float would not be the same"
                    )
        return out, mask, True
    with np.errstate(over="ignore"):
        out = array.astype(target)
    wrong = np.isinf(out) & ~np.isinf(array)
    _mark(wrong, mask, array, field, bad, "out of range")
    return out, mask, True


def _time(array: NDArray[Any], mask: Mask, field: Field, bad: Bad) -> CoreColumn:
    if array.dtype.kind in "iu":
        return _number(array, mask, Field(field.name, "i64", field.nullable), bad)
    if array.dtype.kind != "M":
        raise _refuse(array, field)
    us = array.astype("datetime64[us]")
    null = np.isnat(array)
    if (
        not np.issubdtype(array.dtype, np.dtype("datetime64[us]"))
        or us.dtype != array.dtype
    ):
        wrong = (us.astype(array.dtype) != array) & ~null
        _mark(wrong, mask, array, field, bad, "it does not fit microseconds")
    return us.view(np.int64), _either(mask, null), True


def _date(array: NDArray[Any], mask: Mask, field: Field, bad: Bad) -> CoreColumn:
    if array.dtype.kind in "iu":
        return _number(array, mask, Field(field.name, "i32", field.nullable), bad)
    if array.dtype.kind != "M":
        raise _refuse(array, field)
    days = array.astype("datetime64[D]")
    null = np.isnat(array)
    wrong = (days.astype(array.dtype) != array) & ~null
    _mark(wrong, mask, array, field, bad, "it has a time of day")
    count = days.view(np.int64)
    far = ((count > 2**31 - 1) | (count < -(2**31))) & ~null
    _mark(far, mask, array, field, bad, "out of range")
    return np.where(null, 0, count).astype(np.int32), _either(mask, null), True


def _either(mask: Mask, null: NDArray[np.bool_]) -> Mask:
    if not null.any():
        return mask
    return null if mask is None else mask | null


def _decimal(array: NDArray[Any], mask: Mask, field: Field, bad: Bad) -> CoreColumn:
    power = 10**field.scale
    if array.dtype.kind in "iu":
        limit = (DECIMAL_END - 1) // power
        wrong = array > limit
        if array.dtype.kind == "i":
            wrong |= array < -limit
        _mark(wrong, mask, array, field, bad, "out of range")
        return np.where(wrong, 0, array).astype(np.int64) * power, mask, True
    if array.dtype.kind != "f":
        raise _refuse(array, field)
    exact = array.astype(np.float64)
    if array.dtype.itemsize < 8 or field.scale > 15:
        # Few digits are certain here: the careful way, one by one.
        return array.astype(object), mask, False
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(exact * power)
        sure = np.abs(scaled) < FLOAT_SURE
        same = scaled / power == exact
    # A correctly rounded quotient that gives the float back is the decimal it was read
    # from.
    wrong = ~(sure & same)
    if mask is not None:
        wrong &= ~mask
    large = wrong & np.isfinite(exact) & ~sure
    if large.any():
        return array.astype(object), mask, False
    _mark(wrong, mask, array, field, bad,
          "a float must read back as itself at this scale; round it first",
          type_error=True)  # fmt: skip
    fine = sure & same
    return np.where(fine, scaled, 0).astype(np.int64), mask, True


# ------------------------------------------------------------------------ raw


def row_text(table: Mapping[str, Any]) -> Callable[[int], str]:
    """Gives a row's raw text for quarantine: JSON where its values allow it."""

    def text(row: int) -> str:
        return raw_text({name: _cell(values, row) for name, values in table.items()})

    return text


def _cell(values: Any, row: int) -> Any:
    value = values.iloc[row] if hasattr(values, "iloc") else values[row]
    if hasattr(value, "as_py"):
        try:
            return value.as_py()
        except (OverflowError, ValueError):
            return str(value)
    return value.item() if isinstance(value, np.generic) else value


def raw_text(row: Mapping[Any, Any]) -> str:
    """A row as JSON; what JSON cannot say stands as its str."""
    import json

    text = json.dumps(
        {str(k): v for k, v in row.items()}, default=str, ensure_ascii=False
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
