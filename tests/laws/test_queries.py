# SPDX-License-Identifier: Apache-2.0
"""Queries over merged answers: filters, order, limit, roll-up, against the oracle."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import bridge, generate
from oracle.expressions import US_PER_DAY

import lambdaarch as la

from .test_splits import events, twin

DAY = {"kind": "calendar", "unit": "day", "count": 1, "tz": "UTC"}
COARSER = [
    {"kind": "tumbling", "size_us": 2 * US_PER_DAY, "origin_us": 0},
    {"kind": "calendar", "unit": "week", "count": 1, "tz": "UTC"},
    {"kind": "calendar", "unit": "month", "count": 1, "tz": "UTC"},
]
PLAN: dict[str, Any] = {
    "v": 1,
    "logs": ["events"],
    "by": [["c", ["col", "c"]], ["b", ["col", "b"]]],
    "window": DAY,
    "where": None,
    "aggs": [
        {"name": "n", "fn": "len", "arg": None, "filter": None},
        {"name": "total", "fn": "sum", "arg": ["col", "x"], "filter": None},
        {"name": "money", "fn": "sum", "arg": ["col", "d"], "filter": None},
        {"name": "mean", "fn": "mean", "arg": ["col", "i"], "filter": None},
        {"name": "ids", "fn": "n_unique", "arg": ["col", "s"], "filter": None},
        {"name": "last", "fn": "last", "arg": ["col", "k"], "filter": None},
    ],
}
DAYS = st.one_of(st.integers(-1, 4), st.integers(-1, 75))
MOMENTS = DAYS.map(lambda d: generate.START + d * US_PER_DAY)


@st.composite
def queries(draw: Any) -> dict[str, Any]:
    """A query document of plan.md; every member now and then."""
    out: dict[str, Any] = {}
    if draw(st.booleans()):
        out["since"], out["until"] = sorted([draw(MOMENTS), draw(MOMENTS)])
    if draw(st.booleans()):
        out["keys"] = {"c": draw(st.lists(st.sampled_from(generate.TEXTS), max_size=3))}
    if draw(st.booleans()):
        kept = draw(st.sampled_from([[], ["c"], ["b"], ["c", "b"]]))
        out["rollup"] = {"by": kept, "window": draw(st.sampled_from([DAY, *COARSER]))}
    if draw(st.booleans()):
        bound = ["lit", "i64", draw(st.integers(0, 3))]
        out["where"] = ["ge", ["col", "n"], bound]
    if draw(st.booleans()):
        columns = draw(
            st.lists(
                st.sampled_from(["n", "total", "money", "last", "window_start"]),
                unique=True,
                min_size=1,
                max_size=2,
            )
        )
        out["order_by"] = [[c, draw(st.sampled_from(["asc", "desc"]))] for c in columns]
    if draw(st.booleans()):
        out["limit"] = draw(st.integers(0, 5))
    return out


def arguments(spec: dict[str, Any]) -> dict[str, Any]:
    """The same question in Python."""
    out: dict[str, Any] = {}
    for name in ("since", "until"):
        if name in spec:
            out[name] = bridge.time_of(spec[name])
    if "rollup" in spec:
        rollup = spec["rollup"]
        out["rollup"] = {"by": rollup["by"], "window": bridge.window(rollup["window"])}
    if "where" in spec:
        out["where"] = bridge.expression(spec["where"])
    if "order_by" in spec:
        out["order_by"] = [
            ("-" if d == "desc" else "") + c for c, d in spec["order_by"]
        ]
    if "limit" in spec:
        out["limit"] = spec["limit"]
    return out


@given(st.data(), generate.rows(), queries())
def test_any_query(
    data: st.DataObject, rows: list[dict[str, Any]], spec: dict[str, Any]
) -> None:
    cut = data.draw(st.integers(0, len(rows)), label="cut")
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = events(store)
        view = bridge.define(store, log, "view", PLAN)
        bridge.append(log, rows[:cut], generate.SCHEMA)
        store.batch(progress=False)
        bridge.append(log, rows[cut:], generate.SCHEMA)
        oracle = twin(rows, PLAN)
        want = oracle.query(**spec)
        got = bridge.ask(view, spec.get("keys"), **arguments(spec))
        bridge.assert_same(got, want)


@given(st.data(), generate.rows())
def test_parts_add_up(data: st.DataObject, rows: list[dict[str, Any]]) -> None:
    """Every row's batch and live part are the two halves of what is merged."""
    cut = data.draw(st.integers(0, len(rows)), label="cut")
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = events(store)
        view = bridge.define(store, log, "view", PLAN)
        bridge.append(log, rows[:cut], generate.SCHEMA)
        store.batch(progress=False)
        bridge.append(log, rows[cut:], generate.SCHEMA)
        answer = bridge.ask(view)
        assume(len(answer) > 0)
        parts = answer.parts
        batch, speed = (
            bridge.column(p, "n", "i64") for p in (parts.batch, parts.speed)
        )
        merged = bridge.column(answer, "n", "i64")
        assert merged == [
            (a or 0) + (b or 0) for a, b in zip(batch, speed, strict=True)
        ]
        assert answer.receipt.cutoff == cut
