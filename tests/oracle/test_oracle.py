# SPDX-License-Identifier: Apache-2.0
"""The oracle against cases small enough to check by hand, and against DuckDB."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import NAN, BadRow, Failed, Log, View, compile_expr, generate, sql
from .expressions import EPOCH, US_PER_DAY, calendar_floor, calendar_next, micros
from .fold import Overflow

I64 = {"a": "i64", "b": "i64"}


def value(expr: list[Any], schema: dict[str, str] | None = None, **row: Any) -> Any:
    return compile_expr(expr, schema or I64).run(row)


def plan(fn: str, arg: str | None = "x", **members: Any) -> dict[str, Any]:
    agg = {"name": "out", "fn": fn, "arg": arg and ["col", arg], "filter": None}
    return {"logs": ["l"], "by": [], "window": None, "aggs": [agg]} | members


def answer(kind: str, values: list[Any], fn: str) -> Any:
    log = Log({"x": kind})
    log.append({"x": v} for v in values)
    (out,) = View(log, plan(fn)).query().columns["out"]
    return out


COL_A, COL_B = ["col", "a"], ["col", "b"]


@pytest.mark.parametrize(
    ("expr", "a", "b", "expected"),
    [
        (["floordiv", COL_A, COL_B], -7, 2, -4),
        (["mod", COL_A, COL_B], -7, 2, 1),
        (["mod", COL_A, COL_B], 7, -2, -1),
        (["div", COL_A, COL_B], 1, 3, 1 / 3),
        (["add", COL_A, COL_B], None, 1, None),
        (["and", ["gt", COL_A, COL_B], ["lit", "bool", False]], None, 1, False),
        (["or", ["gt", COL_A, COL_B], ["lit", "bool", False]], None, 1, None),
        (["is_in", COL_A, [["lit", "i64", 1], ["lit", "i64", 5]]], 5, 0, True),
        (["when", ["lit", "bool", None], COL_A, COL_B], 1, 2, 2),
        (["fill_null", COL_A, COL_B], None, 2, 2),
        (["fill_null", COL_A, ["mod", COL_A, COL_B]], 4, 0, 4),
        # only the chosen branch may fail
        (
            ["when", ["eq", COL_B, ["lit", "i64", 0]], COL_A, ["mod", COL_A, COL_B]],
            4,
            0,
            4,
        ),
    ],
)
def test_expression(expr: list[Any], a: Any, b: Any, expected: Any) -> None:
    assert value(expr, a=a, b=b) == expected


@pytest.mark.parametrize(
    ("expr", "row"),
    [
        (["add", COL_A, COL_B], {"a": 2**63 - 1, "b": 1}),
        (["neg", COL_A], {"a": -(2**63), "b": 0}),
        (["floordiv", COL_A, COL_B], {"a": 1, "b": 0}),
        (["cast", COL_A, "i32"], {"a": 2**31, "b": 0}),
        (["cast", ["lit", "f64", "nan"], "i64"], {"a": 0, "b": 0}),
    ],
)
def test_failing_row(expr: list[Any], row: dict[str, int]) -> None:
    with pytest.raises(Failed):
        value(expr, **row)


def test_nan_equals_itself_and_is_greatest() -> None:
    schema = {"a": "f64", "b": "f64"}
    assert value(["eq", COL_A, COL_B], schema, a=NAN, b=math.nan) is True
    assert value(["gt", COL_A, COL_B], schema, a=NAN, b=math.inf) is True
    assert value(["eq", COL_A, COL_B], schema, a=-0.0, b=0.0) is True


def test_decimal_arithmetic_keeps_scale() -> None:
    schema = {"a": "decimal(2)", "b": "decimal(3)"}
    total = compile_expr(["add", COL_A, COL_B], schema)
    assert (total.type, total.run({"a": 125, "b": 1000})) == ("decimal(3)", 2250)
    product = compile_expr(["mul", COL_A, COL_B], schema)
    assert (product.type, product.run({"a": 150, "b": 2000})) == ("decimal(5)", 300000)
    half = ["cast", ["lit", "f64", 0.125], "decimal(2)"]  # exactly half: to even
    assert compile_expr(half, {}).run({}) == 12


@pytest.mark.parametrize(
    ("unit", "count", "moment", "start", "end"),
    [
        ("week", 1, "2026-01-01", "2025-12-29", "2026-01-05"),
        ("week", 2, "1970-01-01", "1969-12-29", "1970-01-12"),
        ("month", 1, "2024-02-29", "2024-02-01", "2024-03-01"),
        ("quarter", 1, "2026-11-21", "2026-10-01", "2027-01-01"),
        ("year", 1, "1969-07-20", "1969-01-01", "1970-01-01"),
        ("day", 3, "1970-01-05", "1970-01-04", "1970-01-07"),
    ],
)
def test_calendar(unit: str, count: int, moment: str, start: str, end: str) -> None:
    def us(text: str) -> int:
        return micros(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC))

    floor = calendar_floor(us(moment), unit, count)
    assert floor == us(start)
    assert calendar_next(floor, unit, count) == us(end)
    assert micros(EPOCH) == 0


@pytest.mark.parametrize(
    ("values", "fn", "expected"),
    [
        ([1e308, 1e308, -1e308], "sum", 1e308),  # math.fsum raises here
        ([1e308, 1e308], "sum", math.inf),
        ([1e308, 1e308], "mean", 1e308),
        ([0.1] * 10, "sum", 1.0),
        ([1e16, 1.0, -1e16], "sum", 1.0),
        ([-0.0], "sum", 0.0),
        ([math.inf, 1.0], "sum", math.inf),
        ([math.nan, 2.0], "min", 2.0),
        ([None, None], "sum", None),
        ([None, 1.0], "null_count", 1),
        ([math.nan, math.nan, -0.0, 0.0, None], "n_unique", 2),
    ],
)
def test_float_aggregate(values: list[Any], fn: str, expected: Any) -> None:
    got = answer("f64?", values, fn)
    assert got == expected
    assert not (isinstance(got, float) and math.copysign(1, got) < 0)


@pytest.mark.parametrize("values", [[math.inf, -math.inf], [math.nan, 1.0]])
def test_nan_sum(values: list[float]) -> None:
    assert math.isnan(answer("f64", values, "sum"))


def test_integer_sum_overflows_at_finish_only() -> None:
    top = 2**63 - 1
    assert answer("i64", [top, top, -top], "sum") == top
    assert answer("i64", [top, top], "sum") == Overflow(2 * top)
    assert answer("i64", [top, top], "mean") == float(top)


def test_first_and_last_go_by_time_then_position() -> None:
    log = Log({"t": "time[us]", "x": "i64?"}, time="t")
    log.append({"t": t, "x": x} for t, x in [(5, 1), (3, 2), (3, 3), (9, None), (5, 4)])
    assert View(log, plan("first")).query().columns["out"] == [2]
    assert View(log, plan("last")).query().columns["out"] == [4]


def test_every_row_has_one_class() -> None:
    log = Log(
        {"id": "u64", "x": "i64"},
        dedupe="id",
        check=[["ge", ["col", "x"], ["lit", "i64", 0]]],
    )
    rows = [(1, 5), (1, 5), (2, -1), (2, 0), (3, 2**62), (4, 7)]
    with pytest.raises(BadRow):
        log.append([{"id": 9, "x": -1}])
    assert log.end == 0
    log.append([{"id": i, "x": x} for i, x in rows], on_bad="quarantine")
    # 2**62 fails (times four overflows), 5 is filtered
    big = ["mul", ["col", "x"], ["lit", "i64", 4]]
    where = ["ne", ["col", "x"], ["lit", "i64", 5]]
    view = View(log, plan("len", None, by=[["big", big]], where=where))
    counts = view.query().counts
    assert counts == {
        "duplicate": 1,
        "quarantined": 1,
        "filtered": 1,
        "failed": 1,
        "counted": 2,
    }
    assert counts.total() == log.end


def test_rollup_merges_states_instead_of_results() -> None:
    log = Log({"t": "time[us]", "x": "i64"}, time="t")
    day = US_PER_DAY
    log.append({"t": t * day // 2, "x": x} for t, x in [(0, 1), (1, 2), (2, 1), (4, 1)])
    daily = {"kind": "tumbling", "size_us": day}
    month = {"kind": "calendar", "unit": "month", "count": 1}
    view = View(log, plan("n_unique", window=daily))
    assert view.query().columns["out"] == [2, 1, 1]
    assert view.query(rollup={"window": month}).columns["out"] == [2]
    assert view.query(since=day, until=2 * day).columns["window_start"] == [day]


@given(st.data())
def test_any_cutoff_gives_the_same_answer(data: st.DataObject) -> None:
    log = Log(dict(generate.SCHEMA), time="ts", dedupe="id")
    log.append(data.draw(generate.rows()))
    view = View(log, data.draw(generate.plans()))
    whole = view.query()
    view.publish(data.draw(st.integers(0, log.end)))
    assert repr(view.query().columns) == repr(whole.columns)
    assert view.query().counts == whole.counts
    assert whole.counts.total() == log.end


def comparable(cell: Any) -> Any:
    """A DuckDB value in the oracle's terms."""
    if isinstance(cell, dt.datetime):
        return micros(cell.replace(tzinfo=dt.UTC))
    return cell


def oracle_cell(cell: Any, kind: str) -> Any:
    if kind.startswith("decimal") and cell is not None:
        return Decimal(cell).scaleb(-int(kind[8:-1]))
    return cell


@settings(deadline=None, print_blob=True)
@given(generate.rows(tame=True), generate.plans(tame=True))
def test_duckdb_agrees(rows: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    log = Log(dict(generate.SCHEMA), time="ts")
    log.append(rows)
    view = View(log, plan)
    got = view.query()
    types = view.types([n for n, _ in plan["by"]], plan["window"])
    names = [n for n in got.columns if n != "window_end"]
    ours = [
        tuple(oracle_cell(got.columns[n][i], types[n]) for n in names)
        for i in range(len(next(iter(got.columns.values()))))
    ]
    theirs = [
        tuple(comparable(c) for c in row)
        for row in sql.answer(plan, rows, generate.SCHEMA)
    ]
    assert len(ours) == len(theirs)
    ours.sort(key=repr_key)
    theirs.sort(key=repr_key)
    for mine, other in zip(ours, theirs, strict=True):
        for name, a, b in zip(names, mine, other, strict=True):
            if isinstance(a, float) and b is not None:
                assert a == pytest.approx(float(b), rel=1e-12, abs=1e-9), name
            else:
                assert a == b, name


def repr_key(row: tuple[Any, ...]) -> tuple[str, ...]:
    """Any total order that both sides share; null is not the empty text."""
    return tuple(
        "\x00null"
        if c is None
        else str(Decimal(str(c)).normalize())
        if isinstance(c, (int, float, Decimal)) and not isinstance(c, bool)
        else str(c)
        for c in row
    )
