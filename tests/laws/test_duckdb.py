# SPDX-License-Identifier: Apache-2.0
"""A second opinion: random group-bys, filters and aggregates against DuckDB."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Log, View, bridge, generate, sql
from oracle.expressions import EPOCH, micros

import lambdaarch as la

from .conftest import SCALE


def theirs(cell: Any) -> Any:
    """A DuckDB value in the oracle's terms."""
    if isinstance(cell, dt.datetime):
        return micros(cell.replace(tzinfo=dt.UTC))
    return cell


def ours(cell: Any, kind: str) -> Any:
    if kind.startswith("decimal") and cell is not None:
        return Decimal(cell).scaleb(-int(kind[8:-1]))
    return cell


def assert_agrees(
    answer: la.Answer, plan: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Groups are matched by key: SQL promises no order."""
    twin = View(Log(dict(generate.SCHEMA), time="ts"), plan)
    kinds = twin.query().types
    names = [n for n in kinds if n != "window_end"]
    columns = [bridge.column(answer, n, kinds[n]) for n in names]
    key_count = len(plan["by"]) + (plan["window"] is not None)
    got = {}
    for row in zip(*columns, strict=True):
        cells = tuple(ours(c, kinds[n]) for c, n in zip(row, names, strict=True))
        got[cells[:key_count]] = cells[key_count:]
    want = {}
    for row in sql.answer(plan, rows, generate.SCHEMA):
        cells = tuple(theirs(c) for c in row)
        want[cells[:key_count]] = cells[key_count:]
    assert got.keys() == want.keys()
    for key, cells in got.items():
        for name, a, b in zip(names[key_count:], cells, want[key], strict=True):
            if isinstance(a, float) and b is not None:
                assert a == pytest.approx(float(b), rel=1e-12, abs=1e-9), (key, name)
            else:
                assert a == b, (key, name)


@given(st.data(), generate.rows(count=80, tame=True), generate.plans(tame=True))
def test_random_views(
    data: st.DataObject, rows: list[dict[str, Any]], plan: dict[str, Any]
) -> None:
    cut = data.draw(st.integers(0, len(rows)), label="cut")
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = store.log("events", generate.SCHEMA, time="ts")
        view = bridge.define(store, log, "view", plan)
        bridge.append(log, rows[:cut], generate.SCHEMA)
        store.batch(progress=False)
        bridge.append(log, rows[cut:], generate.SCHEMA)
        assert_agrees(bridge.ask(view), plan, rows)


def big_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """Several chunks, blocks and frames; dictionaries with thousands of codes."""
    rng = np.random.default_rng(seed)
    day = 86_400_000_000
    start = micros(EPOCH) + 20_454 * day

    def sometimes(values: list[Any]) -> list[Any]:
        return [
            None if r < 0.05 else v
            for v, r in zip(values, rng.random(count), strict=True)
        ]

    columns: dict[str, list[Any]] = {
        "id": list(range(count)),
        "ts": (start + rng.integers(0, 90 * day, count)).tolist(),
        "i": sometimes(rng.integers(-1000, 1000, count).tolist()),
        "k": rng.integers(-50, 50, count).tolist(),
        "u": sometimes(rng.integers(0, 2**40, count).tolist()),
        "x": sometimes((rng.integers(-4000, 4000, count) / 4).tolist()),
        "d": sometimes(rng.integers(-99999, 99999, count).tolist()),
        "b": sometimes((rng.random(count) < 0.3).tolist()),
        "c": [f"c{n}" for n in rng.zipf(1.3, count) % 5000],
        "s": sometimes([f"s{n}" for n in rng.integers(0, 300, count)]),
        "day": sometimes(rng.integers(20_454, 20_520, count).tolist()),
    }
    return [
        dict(zip(columns, values, strict=True))
        for values in zip(*columns.values(), strict=True)
    ]


@pytest.mark.parametrize("number", range(max(int(4 * SCALE), 2)))
def test_big_views(number: int, tmp_path: Any) -> None:
    """Enough rows that every loop of the core has to go round."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"repeat with big_rows(seed={seed}, ...)")
    rows = big_rows(seed, 30_000)
    plans = [
        {"by": [["c", ["col", "c"]]], "window": generate.WINDOWS[2]},
        {"by": [["s", ["col", "s"]], ["b", ["col", "b"]]], "window": None},
        {"by": [], "window": generate.WINDOWS[1]},
        {"by": [["k", ["col", "k"]]], "window": generate.WINDOWS[6]},
    ]
    arguments = {"len": None, "sum": "d", "mean": "x", "min": "i", "max": "s"}
    arguments |= {"first": "x", "last": "s", "n_unique": "u", "count": "i"}
    plan: dict[str, Any] = {
        "v": 1,
        "logs": ["events"],
        "where": None if number % 2 else ["gt", ["col", "k"], ["lit", "i64", -40]],
        "aggs": [
            {"name": fn, "fn": fn, "arg": arg and ["col", arg], "filter": None}
            for fn, arg in arguments.items()
        ],
        **plans[number % len(plans)],
    }
    with la.open(tmp_path / "store") as store:
        log = store.log("events", generate.SCHEMA, time="ts")
        view = bridge.define(store, log, "view", plan)
        bridge.append(log, rows[:20_000], generate.SCHEMA)
        store.batch(threads=2, progress=False)
        for at in range(20_000, 30_000, 3_000):
            bridge.append(log, rows[at : at + 3_000], generate.SCHEMA)
        assert_agrees(bridge.ask(view), plan, rows)
