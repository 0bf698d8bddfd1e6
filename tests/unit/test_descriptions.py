# SPDX-License-Identifier: Apache-2.0
"""Schemas, windows, durations, times, and the tree of errors."""

from __future__ import annotations

import datetime as dt
import inspect
import random
from fractions import Fraction

import numpy as np
import pytest

import lambdaarch as la
from lambdaarch import _core, errors
from lambdaarch._times import every_parts, time_of, to_us

DAY = 86_400_000_000


# ------------------------------------------------------------------------ schemas


def test_a_schema_reads_types():
    schema = la.Schema(
        {"id": "u64", "t": "time", "m": "decimal(2)?", "x": la.nullable("f64")}
    )
    assert schema.types == {"id": "u64", "t": "time[us]", "m": "decimal(2)", "x": "f64"}
    assert [f.nullable for f in schema.values()] == [False, False, True, True]
    assert schema["m"].scale == 2
    assert schema["m"].text == "decimal(2)?"
    assert la.nullable("f64?") == "f64?"
    assert la.Schema(schema) == schema
    assert "decimal(2)?" in repr(schema)


@pytest.mark.parametrize(
    "fields",
    [{}, {"": "i64"}, {"x": "i65"}, {"x": "decimal(19)"}, {"x": 3}, {3: "i64"},
     {"x" * 129: "i64"}],
)  # fmt: skip
def test_a_bad_schema_is_refused(fields):
    with pytest.raises(la.InvalidError):
        la.Schema(fields)


def test_an_unknown_type_lists_those_there_are():
    with pytest.raises(la.InvalidError, match='field "x".*int') as caught:
        la.Schema({"x": "int"})
    assert "decimal" in caught.value.hint


# ------------------------------------------------------------------------ windows


def test_windows_become_plans():
    assert la.tumbling("1d").to_plan() == {
        "kind": "tumbling", "size_us": DAY, "origin_us": 0,
    }  # fmt: skip
    assert la.tumbling(dt.timedelta(hours=1)).size_us == DAY // 24
    assert la.tumbling(np.timedelta64(1, "h")).size_us == DAY // 24
    assert la.tumbling("1d12h").size_us == DAY * 3 // 2
    assert la.tumbling("1d", origin="1970-01-03T06:00").origin_us == DAY // 4
    for text, unit in [
        ("1w", "week"),
        ("1mo", "month"),
        ("1q", "quarter"),
        ("1y", "year"),
    ]:
        assert la.tumbling(text) == la.calendar(unit)
        assert la.tumbling(text).to_plan()["tz"] == "UTC"
    assert la.tumbling("2w").count == 2
    assert la.tumbling("1w", origin="1970-01-01").size_us == 7 * DAY
    assert repr(la.tumbling("90m")) == "tumbling('90m')"
    assert repr(la.calendar("month", count=2)) == "calendar('month', count=2)"


@pytest.mark.parametrize(
    "make",
    [
        lambda: la.tumbling("0s"),
        lambda: la.tumbling("-1d"),
        lambda: la.tumbling("1mo", origin="2020-01-01"),
        lambda: la.tumbling("1mo1d"),
        lambda: la.tumbling("day"),
        lambda: la.tumbling(5),
        lambda: la.calendar("fortnight"),
        lambda: la.calendar("day", count=0),
        lambda: la.calendar("day", count=True),
    ],
)
def test_bad_windows_are_refused(make):
    with pytest.raises(la.InvalidError):
        make()


@pytest.mark.parametrize(
    ("window", "start"),
    [
        (la.tumbling("1h"), "2024-02-29T13:00"),
        (la.tumbling("1d", origin="2000-01-01T06:00"), "2024-02-29T06:00"),
        (la.calendar("day"), "2024-02-29"),
        (la.calendar("week"), "2024-02-26"),
        (la.calendar("month"), "2024-02-01"),
        (la.calendar("quarter"), "2024-01-01"),
        (la.calendar("year"), "2024-01-01"),
        (la.calendar("month", count=5), "2023-10-01"),
        (la.calendar("year", count=10), "2020-01-01"),
    ],
)
def test_window_starts(window, start):
    assert window.start("2024-02-29T13:14:15.123456") == to_us(start)


# --------------------------------------------------------------------------- times


def test_times_are_utc_microseconds():
    us = 1_795_258_800_000_000
    for time in (
        "2026-11-21T11:00", "2026-11-21T12:00+01:00", "2026-11-21 11:00:00Z",
        dt.datetime(2026, 11, 21, 11),
        dt.datetime(2026, 11, 21, 12, tzinfo=dt.timezone(dt.timedelta(hours=1))),
        np.datetime64("2026-11-21T11"), np.int64(us), us,
    ):  # fmt: skip
        assert to_us(time) == us
    assert to_us(dt.date(1970, 1, 2)) == DAY
    assert time_of(us) == dt.datetime(2026, 11, 21, 11, tzinfo=dt.UTC)
    for bad in ("noon", 1.5, None, True, np.datetime64("NaT")):
        with pytest.raises(la.InvalidError):
            to_us(bad)


def test_durations():
    assert every_parts("1ms") == (1_000, None, 0)
    assert every_parts("-90s") == (-90_000_000, None, 0)
    assert every_parts("3mo") == (0, "month", 3)


# ------------------------------------------------------------------------ decimals


def test_decimals_become_the_nearest_float():
    rng = random.Random(7)
    for _ in range(20_000):
        scale = rng.randrange(19)
        value = rng.randrange(-(2 ** rng.randrange(1, 64)), 2 ** rng.randrange(1, 64))
        value = max(-(2**63), min(2**63 - 1, value))
        want = float(Fraction(value, 10**scale))
        assert _core.decimal_to_float(value, scale) == want, (value, scale)
    with pytest.raises(ValueError, match="scale"):
        _core.decimal_to_float(1, 19)


def test_decimal_texts():
    assert _core.parse_decimal("9.99", 2) == 999
    with pytest.raises(la.InvalidError):
        _core.parse_decimal("9.999", 2)


# -------------------------------------------------------------------------- errors


def test_every_status_has_a_class_and_a_docstring():
    classes = [
        c for _, c in inspect.getmembers(errors, inspect.isclass)
        if issubclass(c, errors.LambdaError)
    ]  # fmt: skip
    assert len({c.status for c in classes if c is not errors.LambdaError}) == 18
    for one in classes:
        assert one.__name__ in errors.__all__
        assert one.__doc__
        assert one.__name__ in errors.__doc__
        assert getattr(la, one.__name__) is one


def test_natural_bases():
    assert issubclass(la.InvalidError, ValueError)
    assert issubclass(la.FieldTypeError, TypeError)
    assert issubclass(la.NotFoundError, LookupError)
    assert issubclass(la.BusyError, OSError)
    assert issubclass(la.StorageFullError, OSError)
    assert issubclass(la.OutOfMemoryError, MemoryError)
    assert issubclass(la.ResultOverflowError, ArithmeticError)


def test_public_names_are_there_and_documented():
    for name in la.__all__:
        value = getattr(la, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name
