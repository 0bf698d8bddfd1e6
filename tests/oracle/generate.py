# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for rows and plans over one test log of all stored types.

`rows` draws awkward values (nulls, NaN, -0.0, infinities, extremes, time ties, repeated
ids); `plans` draws well-typed plan.md documents. `tame=True` keeps to what SQL means
the same way: no NaN, sums that are exact in any order, no failing rows.
"""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from .expressions import US_PER_DAY

SCHEMA = {
    "id": "u64",
    "ts": "time[us]",
    "i": "i64?",
    "k": "i32",
    "u": "u64?",
    "x": "f64?",
    "d": "decimal(2)?",
    "b": "bool?",
    "c": "cat",
    "s": "str?",
    "day": "date?",
}
START = 1_767_225_600_000_000  # 2026-01-01T00:00Z
Expr = list[Any]
TEXTS = ["", "a", "A", "b", "ä", "日本", "a\x00b", "zz", "a b,\"c'"]
NUMBERS = ("i64", "f64", "decimal(2)")


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, values, values, st.none())


def floats(*, tame: bool) -> st.SearchStrategy[float]:
    if tame:
        return st.integers(-400, 400).map(lambda n: n / 4)
    awkward = [math.nan, math.inf, -math.inf, -0.0, 1e308, -1e308, 5e-324, 1e16, 1.0]
    return st.one_of(
        st.sampled_from(awkward[4:]), st.sampled_from(awkward), st.floats(-1e6, 1e6)
    )


def integers(low: int, high: int, *, tame: bool) -> st.SearchStrategy[int]:
    small = st.integers(max(low, -50), 50)
    return small if tame else st.one_of(small, small, st.sampled_from([low, high]))


def times(*, tame: bool) -> st.SearchStrategy[int]:
    """Few distinct instants, most in a few days: ties, edges of windows, months."""
    halves = st.one_of(st.integers(0, 6), st.integers(0, 140))
    days = halves.map(lambda h: START + h * US_PER_DAY // 2)
    edges = [0, -1, -US_PER_DAY, -3 * US_PER_DAY - 1, START - 1, 951_782_400_000_000]
    return days if tame else st.one_of(days, days, days, st.sampled_from(edges))


@st.composite
def rows(draw: Any, *, count: int = 30, tame: bool = False) -> list[dict[str, Any]]:
    """Rows of SCHEMA as the oracle holds them; ids repeat now and then."""
    n = draw(st.integers(0, count))
    texts = st.sampled_from([t for t in TEXTS if not (tame and "\x00" in t)])
    row = st.fixed_dictionaries(
        {
            "id": st.integers(0, 2 * count),
            "ts": times(tame=tame),
            "i": maybe(integers(-(2**63), 2**63 - 1, tame=tame)),
            "k": integers(-(2**31), 2**31 - 1, tame=tame),
            "u": maybe(integers(0, 2**64 - 1, tame=tame)),
            "x": maybe(floats(tame=tame)),
            "d": maybe(integers(1 - 10**18, 10**18 - 1, tame=tame)),
            "b": maybe(st.booleans()),
            "c": texts,
            "s": maybe(texts),
            "day": maybe(st.integers(20_454, 20_520)),
        }
    )
    return draw(st.lists(row, min_size=n, max_size=n))


def literals(kind: str) -> st.SearchStrategy[Expr]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "i64": st.integers(-9, 9),
        "decimal(2)": st.integers(-999, 999),
        "f64": st.sampled_from([-2.5, 0.0, 0.25, 1.0, 7.0]),
        "bool": st.booleans(),
        "str": st.sampled_from(["", "a", "b", "ä"]),
        "time[us]": st.integers(0, 70).map(lambda d: START + d * US_PER_DAY),
    }
    return values[kind].map(lambda v: ["lit", kind, v])


COLUMNS = {
    "i64": ["i", "k"],
    "decimal(2)": ["d"],
    "f64": ["x"],
    "bool": ["b"],
    "str": ["s", "c"],
    "time[us]": ["ts"],
}


@st.composite
def expressions(draw: Any, kind: str, *, depth: int = 2, tame: bool = False) -> Expr:
    """A well-typed EXPR of (about) type `kind`; an i64 may be an i32 inside."""
    again = {"depth": depth - 1, "tame": tame}
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        if draw(st.integers(0, 4)) == 0:
            return draw(literals(kind))
        return ["col", draw(st.sampled_from(COLUMNS[kind]))]
    if kind == "bool":
        return draw(predicates(**again))
    shapes = ["when", "fill_null"]
    if kind in NUMBERS:
        shapes += ["add", "sub", "neg", "abs"] + ["mul"] * (kind != "decimal(2)")
    if kind == "f64":
        shapes += ["div"]
    if kind == "i64":
        shapes += ["floordiv", "mod"]
    if kind == "time[us]":
        shapes += ["truncate", "offset_by"]
    shape = draw(st.sampled_from(shapes))
    a = draw(expressions(kind, **again))
    if shape in ("neg", "abs"):
        return [shape, a]
    if shape == "truncate":
        every = st.sampled_from([{"us": 3_600_000_000}, {"unit": "week", "count": 1}])
        return ["truncate", a, draw(every)]
    if shape == "offset_by":
        return ["offset_by", a, {"us": draw(st.integers(-(10**9), 10**9))}]
    if shape in ("floordiv", "mod", "div") and tame:
        return [shape, a, ["lit", kind, draw(st.sampled_from([1, 2, 4]))]]
    b = draw(expressions(kind, **again))
    if shape == "when":
        return ["when", draw(predicates(**again)), a, b]
    return [shape, a, b]


@st.composite
def predicates(draw: Any, *, depth: int = 1, tame: bool = False) -> Expr:
    again = {"depth": max(depth - 1, 0), "tame": tame}
    shape = draw(st.sampled_from(["compare", "compare", "logic", "null", "in", "col"]))
    kind = draw(st.sampled_from(["i64", "decimal(2)", "f64", "str", "time[us]"]))
    if shape == "col":
        return ["col", "b"]
    if shape == "null":
        test = draw(st.sampled_from(["is_null", "is_not_null"]))
        return [test, draw(expressions(kind, **again))]
    if shape == "in":
        column = ["col", draw(st.sampled_from(["s", "c"]))]
        members = draw(st.lists(literals("str"), min_size=1, max_size=3))
        return ["is_in", column, members]
    if shape == "logic" and depth > 0:
        a, b = draw(predicates(**again)), draw(predicates(**again))
        return draw(st.sampled_from([["and", a, b], ["or", a, b], ["not", a]]))
    test = draw(st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]))
    a, b = draw(expressions(kind, **again)), draw(expressions(kind, **again))
    return [test, a, b]


WINDOWS: list[dict[str, Any] | None] = [
    None,
    {"kind": "tumbling", "size_us": 3_600_000_000, "origin_us": 0},
    {"kind": "tumbling", "size_us": US_PER_DAY, "origin_us": 0},
    {"kind": "tumbling", "size_us": 7 * US_PER_DAY, "origin_us": US_PER_DAY},
    {"kind": "calendar", "unit": "day", "count": 1, "tz": "UTC"},
    {"kind": "calendar", "unit": "week", "count": 1, "tz": "UTC"},
    {"kind": "calendar", "unit": "month", "count": 1, "tz": "UTC"},
]
FUNCTIONS = {
    "len": [None],
    "count": [*NUMBERS, "bool", "str", "time[us]"],
    "null_count": [*NUMBERS, "bool", "str"],
    "sum": [*NUMBERS, "bool"],
    "mean": list(NUMBERS),
    "min": [*NUMBERS, "bool", "str", "time[us]"],
    "max": [*NUMBERS, "bool", "str", "time[us]"],
    "first": [*NUMBERS, "bool", "str", "time[us]"],
    "last": [*NUMBERS, "bool", "str", "time[us]"],
    "n_unique": [*NUMBERS, "bool", "str", "time[us]"],
}


@st.composite
def aggregates(draw: Any, name: str, *, tame: bool = False) -> dict[str, Any]:
    fn = draw(st.sampled_from(sorted(FUNCTIONS)))
    kind = draw(st.sampled_from(FUNCTIONS[fn]))
    arg = None if kind is None else draw(expressions(kind, tame=tame))
    admit = draw(st.one_of(st.none(), predicates(tame=tame)))
    return {"name": name, "fn": fn, "arg": arg, "filter": admit}


@st.composite
def plans(draw: Any, *, tame: bool = False) -> dict[str, Any]:
    keys = []
    for i in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from(["str", "str", "i64", "bool", "f64", "decimal(2)"]))
        keys.append([f"key{i}", draw(expressions(kind, depth=1, tame=tame))])
    count = draw(st.integers(1, 4))
    return {
        "v": 1,
        "logs": ["events"],
        "by": keys,
        "window": draw(st.sampled_from(WINDOWS)),
        "where": draw(st.one_of(st.none(), st.none(), predicates(tame=tame))),
        "aggs": [draw(aggregates(f"a{i}", tame=tame)) for i in range(count)],
        "on_error": "set_aside",
        "late": {"then": "update"},
    }
