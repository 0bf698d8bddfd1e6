# SPDX-License-Identifier: Apache-2.0
"""Expressions become the plan's JSON, and print as they were written."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest

import lambdaarch as la
from lambdaarch import col, lit, when

X = ["col", "x"]
ONE = ["lit", "i64", 1]


@pytest.mark.parametrize(
    ("expr", "plan"),
    [
        (col("x") + 1, ["add", X, ONE]),
        (1 + col("x"), ["add", ONE, X]),
        (col("x") - 1, ["sub", X, ONE]),
        (1 - col("x"), ["sub", ONE, X]),
        (col("x") * 1, ["mul", X, ONE]),
        (1 * col("x"), ["mul", ONE, X]),
        (col("x") / 1, ["div", X, ONE]),
        (1 / col("x"), ["div", ONE, X]),
        (col("x") // 1, ["floordiv", X, ONE]),
        (1 // col("x"), ["floordiv", ONE, X]),
        (col("x") % 1, ["mod", X, ONE]),
        (1 % col("x"), ["mod", ONE, X]),
        (-col("x"), ["neg", X]),
        (abs(col("x")), ["abs", X]),
        (col("x").abs(), ["abs", X]),
        (col("x") == 1, ["eq", X, ONE]),
        (col("x") != 1, ["ne", X, ONE]),
        (col("x") < 1, ["lt", X, ONE]),
        (col("x") <= 1, ["le", X, ONE]),
        (col("x") > 1, ["gt", X, ONE]),
        (col("x") >= 1, ["ge", X, ONE]),
        ((col("x") > 1) & col("b"), ["and", ["gt", X, ONE], ["col", "b"]]),
        (True & col("b"), ["and", ["lit", "bool", True], ["col", "b"]]),
        (col("b") | (col("x") > 1), ["or", ["col", "b"], ["gt", X, ONE]]),
        (False | col("b"), ["or", ["lit", "bool", False], ["col", "b"]]),
        (~col("b"), ["not", ["col", "b"]]),
        (col("b").not_(), ["not", ["col", "b"]]),
        (col("x").is_null(), ["is_null", X]),
        (col("x").is_not_null(), ["is_not_null", X]),
        (col("x").is_nan(), ["is_nan", X]),
        (col("x").fill_null(1), ["fill_null", X, ONE]),
        (col("x").cast("f64"), ["cast", X, "f64"]),
        (col("x").is_in([1, None]), ["is_in", X, [ONE, ["lit", "null", None]]]),
        (col("x").is_between(1, 1), ["and", ["ge", X, ONE], ["le", X, ONE]]),
        (
            col("x").is_between(1, 1, closed="none"),
            ["and", ["gt", X, ONE], ["lt", X, ONE]],
        ),
        (col("t").dt.truncate("1h"), ["truncate", ["col", "t"], {"us": 3_600_000_000}]),
        (
            col("t").dt.truncate("2mo"),
            ["truncate", ["col", "t"], {"unit": "month", "count": 2}],
        ),
        (
            col("t").dt.offset_by("-1w"),
            ["offset_by", ["col", "t"], {"us": -7 * 86_400_000_000}],
        ),
        (
            when(col("b")).then(1).otherwise("x"),
            ["when", ["col", "b"], ONE, X],
        ),
        (
            when(col("b")).then(1).when(col("c")).then("x"),
            ["when", ["col", "b"], ONE,
             ["when", ["col", "c"], X, ["lit", "null", None]]],
        ),
        (lit(1, "f64"), ["cast", ONE, "f64"]),
    ],
)  # fmt: skip
def test_an_expression_is_this_plan(expr, plan):
    assert expr.to_plan() == plan


@pytest.mark.parametrize(
    ("value", "node"),
    [
        (None, ["lit", "null", None]),
        (True, ["lit", "bool", True]),
        (np.True_, ["lit", "bool", True]),
        (2**63 - 1, ["lit", "i64", 2**63 - 1]),
        (2**63, ["lit", "u64", 2**63]),
        (np.int32(3), ["lit", "i64", 3]),
        (0.1, ["lit", "f64", 0.1]),
        (float("nan"), ["lit", "f64", "nan"]),
        (float("inf"), ["lit", "f64", "inf"]),
        (-float("inf"), ["lit", "f64", "-inf"]),
        (-0.0, ["lit", "f64", "-0.0"]),
        ("a", ["lit", "str", "a"]),
        (np.str_("a"), ["lit", "str", "a"]),
        (Decimal("9.90"), ["lit", "decimal(2)", 990]),
        (Decimal("1E+2"), ["lit", "decimal(0)", 100]),
        (dt.datetime(1970, 1, 1, 0, 0, 1), ["lit", "time[us]", 1_000_000]),
        (
            dt.datetime(1970, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
            ["lit", "time[us]", 0],
        ),
        (dt.date(1970, 1, 2), ["lit", "date", 1]),
        (np.datetime64("1970-01-01T00:00:01"), ["lit", "time[us]", 1_000_000]),
        (dt.timedelta(seconds=1), ["lit", "i64", 1_000_000]),
    ],
)
def test_a_literal_has_the_type_of_its_value(value, node):
    assert lit(value).to_plan() == node


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, Decimal("NaN"), Decimal(10**18)]
)
def test_a_literal_that_fits_nowhere_is_refused(value):
    with pytest.raises(la.InvalidError):
        lit(value)


@pytest.mark.parametrize("value", [object(), b"x", [1], {"a": 1}, 1j])
def test_other_values_are_no_literals(value):
    with pytest.raises(la.FieldTypeError, match="cannot be a literal"):
        col("x") == value  # noqa: B015


def test_texts_beside_times_dates_and_decimals_are_read():
    types = {"ts": "time[us]", "day": "date", "amount": "decimal(2)", "name": "str"}
    ts = ["col", "ts"]
    second = ["lit", "time[us]", 1_000_000]
    assert (col("ts") >= "1970-01-01T00:00:01").to_plan(types) == ["ge", ts, second]
    assert (col("ts").dt.truncate("1d") == "1970-01-01").to_plan(types)[2] == [
        "lit", "time[us]", 0,
    ]  # fmt: skip
    assert (col("day") == "1970-01-02").to_plan(types)[2] == ["lit", "date", 1]
    assert (col("amount") > "9.99").to_plan(types)[2] == ["lit", "decimal(2)", 999]
    assert (col("amount") * 2 > "0.5").to_plan(types)[2] == ["lit", "decimal(1)", 5]
    assert (col("name") == "9.99").to_plan(types)[2] == ["lit", "str", "9.99"]
    assert col("day").is_in(["1970-01-01"]).to_plan(types)[2] == [["lit", "date", 0]]
    assert col("ts").fill_null("1970-01-01").to_plan(types)[2] == ["lit", "time[us]", 0]
    chosen = when(col("name") == "x").then("ts").otherwise(lit("1970-01-01"))
    assert chosen.to_plan(types)[3] == ["lit", "time[us]", 0]
    with pytest.raises(la.InvalidError):
        (col("ts") >= "soon").to_plan(types)


def test_an_expression_has_no_truth_and_says_what_to_write():
    with pytest.raises(la.FieldTypeError) as caught:
        bool(col("x") > 1)
    assert "&" in caught.value.hint
    with pytest.raises(la.FieldTypeError):
        0 < col("x") < 1  # noqa: B015
    with pytest.raises(la.FieldTypeError):
        1 in col("x")  # noqa: B015
    with pytest.raises(TypeError):
        list(col("x"))


def test_an_expression_prints_as_it_was_written():
    expr = when(col("kind") == "refund").then(-col("amount")).otherwise(col("amount"))
    text = (
        'when((col("kind") == "refund")).then(-col("amount")).otherwise(col("amount"))'
    )
    assert repr(expr) == text
    assert expr.explain() == text
    assert repr(col("x").is_in([1, 2])) == 'col("x").is_in([1, 2])'
    assert repr(col("t").dt.truncate("1mo")) == "col(\"t\").dt.truncate('1 month')"
    assert repr(~col("b")) == '~col("b")'


def test_aggregates_take_filters_on_either_side():
    sale = col("kind") == "sale"
    wanted = {
        "name": "n",
        "fn": "sum",
        "arg": ["col", "x"],
        "filter": ["eq", ["col", "kind"], ["lit", "str", "sale"]],
    }
    assert col("x").sum().filter(sale).to_plan("n") == wanted
    assert col("x").filter(sale).sum().to_plan("n") == wanted
    twice = col("x").filter(sale).filter(col("b")).sum()
    assert twice.to_plan("n")["filter"] == ["and", wanted["filter"], ["col", "b"]]
    assert la.len().to_plan("n") == {"name": "n", "fn": "len"}
    assert repr(la.len().filter(col("b"))) == 'len().filter(col("b"))'
    with pytest.raises(AttributeError, match="aggregates only"):
        col("x").filter(sale).cast("f64")


@pytest.mark.parametrize(
    "name",
    ["sum", "mean", "min", "max", "first", "last", "n_unique", "count", "null_count"],
)
def test_each_aggregate_has_its_method(name):
    assert getattr(col("x"), name)().to_plan("a") == {
        "name": "a",
        "fn": name,
        "arg": ["col", "x"],
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: col(""),
        lambda: col(3),
        lambda: col("x").cast("f65"),
        lambda: col("x").is_in("abc"),
        lambda: col("x").is_in([col("y")]),
        lambda: col("x").is_between(1, 2, closed="all"),
        lambda: col("t").dt.truncate("0s"),
        lambda: col("t").dt.truncate("soon"),
        lambda: col("t").dt.offset_by("1mo"),
        lambda: when(True),
        lambda: la.len().filter("x"),
        lambda: col("x") + la.len(),
    ],
)
def test_mistakes_are_named_early(make):
    with pytest.raises(la.InvalidError):
        make()
