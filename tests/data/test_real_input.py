# SPDX-License-Identifier: Apache-2.0
"""Real input, end to end: half is history, half streams in while batch runs.

Each delivery (in order, with redelivered copies, shuffled) must give every answer of
expected.json that tumbling and calendar windows and these aggregates cover.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import lambdaarch as la
from lambdaarch import col

from . import realdata
from .realdata import AIR

pytestmark = pytest.mark.skipif(
    realdata.folder() is None, reason="no real data: set LAMBDAARCH_DATA"
)
LIVE_ROWS = 4_000
Rows = dict[Any, tuple[Any, ...]]


def wiki_views(store: la.Store, edits: la.Log) -> None:
    """The Druid tutorial's questions."""
    sums = {name: col(name).sum() for name in ("added", "deleted", "delta")}
    robots = la.len().filter(col("isRobot"))
    store.view(
        "whole",
        edits,
        agg={
            "edits": la.len(),
            **sums,
            "pages": col("page").n_unique(),
            "users": col("user").n_unique(),
            "channels": col("channel").n_unique(),
            "robot": robots,
            "anonymous": la.len().filter(col("isAnonymous")),
            "countries": col("countryIsoCode").n_unique(),
            "with_city": col("cityName").count(),
        },
    )
    store.view(
        "hourly",
        edits,
        window=la.tumbling("1h"),
        agg={
            "edits": la.len(),
            **sums,
            "users": col("user").n_unique(),
            "robot": robots,
        },
    )
    store.view("top_pages", edits, by=["page"], agg={"edits": la.len()})
    store.view("top_users", edits, by=["user"], agg={"edits": la.len()})
    store.view(
        "top_channels",
        edits,
        by=["channel"],
        agg={"edits": la.len(), "added": col("added").sum()},
    )


def beijing_views(store: la.Store, air: la.Log) -> None:
    """A sensor network's questions."""
    pm = col("PM2.5")
    measured = {"rows": la.len(), "measured": pm.count()}
    counts = {f"{n}_n": col(n).count() for n in [*AIR[:7], "wd"]}
    store.view(
        "whole",
        air,
        agg={
            "rows": la.len(),
            **counts,
            "pm_sum": pm.sum(),
            "coldest": col("TEMP").min(),
            "hottest": col("TEMP").max(),
        },
    )
    store.view(
        "station",
        air,
        by=["station"],
        agg={
            **measured,
            "mean": pm.mean(),
            "max": pm.max(),
            "first": col("TEMP").first(),
            "last": col("TEMP").last(),
        },
    )
    spread = {**measured, "mean": pm.mean(), "max": pm.max()}
    store.view(
        "station_month", air, by=["station"], window=la.calendar("month"), agg=spread
    )
    store.view("daily", air, window=la.tumbling("1d"), agg=spread)
    store.view(
        "wind", air, by=["wd"], agg={"hours": la.len(), "rain": col("RAIN").sum()}
    )


def deliver(store: la.Store, log: la.Log, table: pa.Table) -> None:
    """Half as history, the rest live while batch runs go on, the end after them."""
    half = table.num_rows // 2
    log.append(table.slice(0, half))
    store.batch(progress=False)
    pieces = [
        table.slice(at, LIVE_ROWS) for at in range(half, table.num_rows, LIVE_ROWS)
    ]
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        runs = pool.submit(recompute, store, stop)
        try:
            for piece in pieces[:-1]:
                log.append(piece)
        finally:
            stop.set()
        assert runs.result() > 0
    log.append(pieces[-1])


def recompute(store: la.Store, stop: threading.Event) -> int:
    """Batch runs, full and incremental in turn, until `stop`; how many."""
    for run in count():
        if run and stop.is_set():
            return run
        store.batch(incremental=run % 2 == 1, progress=False)
    raise AssertionError("count() ended")


SETS: dict[str, tuple[Callable[[], pa.Table], dict[str, str], Callable[..., None]]] = {
    "wikiticker": (realdata.wiki, realdata.WIKI_SCHEMA, wiki_views),
    "beijing": (realdata.beijing, realdata.BEIJING_SCHEMA, beijing_views),
}


@pytest.fixture(scope="module")
def delivered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[la.Store]:
    """A store that got one data set in one delivery."""
    name, delivery = request.param
    table_of, schema, define = SETS[name]
    path: Path = tmp_path_factory.mktemp(f"{name}-{delivery}") / "store"
    with la.open(path) as store:
        log = store.log("events", schema, time="time", dedupe="line")
        define(store, log)
        deliver(store, log, realdata.DELIVERIES[delivery](table_of()))
        yield store


def each_delivery(source: str, *more: str) -> pytest.MarkDecorator:
    """Every delivery of one data set, with each of `more`."""
    cases = [
        pytest.param((source, delivery), *extra, id="-".join([delivery, *extra]))
        for delivery in realdata.DELIVERIES
        for extra in ([(m,) for m in more] or [()])
    ]
    names = "delivered, query" if more else "delivered"
    return pytest.mark.parametrize(names, cases, indirect=["delivered"])


KEYS: dict[str, dict[str, list[str]]] = {
    "wikiticker": {"whole": [], "hourly": ["win"]},
    "beijing": {
        "whole": [],
        "station": ["station"],
        "station_month": ["station", "ym"],
        "daily": ["win"],
        "wind": ["wd"],
    },
}
# expected.json summed these in doubles: right to 1e-9 of the sum of absolute values,
# and as neither PM2.5 nor RAIN is ever negative, that is 1e-9 of the value itself
SUMMED = {"pm_sum", "mean", "rain"}


@each_delivery("wikiticker", *KEYS["wikiticker"])
def test_edits(delivered: la.Store, query: str) -> None:
    check_answer("wikiticker", query, delivered[query].query())


@each_delivery("beijing", *KEYS["beijing"])
def test_air(delivered: la.Store, query: str) -> None:
    check_answer("beijing", query, delivered[query].query())


def check_answer(source: str, query: str, answer: la.Answer) -> None:
    """Every cell that expected.json gives, and its totals."""
    want = realdata.expected()[source][query]
    keys = KEYS[source][query]
    receipt = answer.receipt
    assert 0 < receipt.cutoff < receipt.position, "the answer has two parts"
    got = {key_of(answer, keys, i): i for i in range(len(answer))}
    assert len(got) == want["groups"]
    shown = len(next(iter(want["columns"].values())))
    names = [n for n in want["columns"] if n not in keys and has(answer, n)]
    assert names
    for row in range(shown):
        key = tuple(want["columns"][k][row] for k in keys)
        assert key in got
        for column in names:
            check_cell(answer, got[key], column, want["columns"][column][row])
    for column, total in want.get("totals", {}).items():
        if column in names:
            values = np.asarray(answer[column], dtype=np.float64)
            assert math.fsum(values) == pytest.approx(total, rel=1e-9)


def has(answer: la.Answer, column: str) -> bool:
    """var and quantiles come with later aggregates."""
    return column in answer.columns


def key_of(answer: la.Answer, keys: list[str], row: int) -> tuple[Any, ...]:
    """The row's key in expected.json's terms."""
    out: list[Any] = []
    for key in keys:
        if key == "win":
            out.append(int(answer["window_start"][row].astype(np.int64)))
        elif key == "ym":
            text = np.datetime_as_string(answer["window_start"][row], "M")
            out.append(int(text.replace("-", "")))
        else:
            out.append(str(answer[key][row]) if answer.valid[key][row] else None)
    return tuple(out)


def check_cell(answer: la.Answer, row: int, column: str, want: Any) -> None:
    got = answer[column][row].item()
    if column in SUMMED:
        assert got == pytest.approx(want, rel=1e-9, abs=0), (column, row)
    else:
        assert got == want, (column, row)


@each_delivery("wikiticker", "top_pages", "top_users", "top_channels")
def test_top(delivered: la.Store, query: str) -> None:
    want = realdata.expected()["wikiticker"][query]
    shown = len(want["columns"]["edits"])
    assert len(delivered[query].query()) == want["groups"]
    answer = delivered[query].query(order_by="-edits", limit=shown)
    for column, values in want["columns"].items():
        assert answer[column].tolist() == values, column


@each_delivery("beijing")
def test_sums_are_the_exact_ones_rounded_once(delivered: la.Store) -> None:
    table = realdata.beijing()
    answer = delivered["station"].query()
    for row, station in enumerate(answer["station"]):
        rows = table.filter(pc.equal(table["station"], str(station)))
        values = rows["PM2.5"].drop_null().to_pylist()
        exact = sum(map(Fraction, values), Fraction(0))
        assert answer["mean"][row] == float(exact / len(values))
    total = sum(map(Fraction, table["PM2.5"].drop_null().to_pylist()), Fraction(0))
    assert delivered["whole"].query()["pm_sum"][0] == float(total)


@each_delivery("wikiticker")
def test_no_edit_vanishes(delivered: la.Store) -> None:
    check_classes(delivered, realdata.wiki())


@each_delivery("beijing")
def test_no_reading_vanishes(delivered: la.Store) -> None:
    check_classes(delivered, realdata.beijing())


def check_classes(store: la.Store, table: pa.Table) -> None:
    """Law 5: every delivered row is in one class; copies are duplicates."""
    receipt = store["whole"].query().receipt
    assert receipt.rows.total == receipt.position
    assert receipt.rows.counted == table.num_rows
    assert receipt.rows.duplicate == receipt.position - table.num_rows
