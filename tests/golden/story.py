# SPDX-License-Identifier: Apache-2.0
"""The rows and views of every golden store: fixed, all types, awkward values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from oracle import Log, Store, bridge
from oracle.expressions import US_PER_DAY

import lambdaarch as la

SCHEMA = {
    "id": "u64",
    "ts": "time[us]",
    "i": "i64?",
    "k": "i32",
    "x": "f64?",
    "d": "decimal(2)?",
    "b": "bool?",
    "c": "cat",
    "s": "str?",
    "day": "date?",
}
START = 1_767_225_600_000_000
CHECK: list[Any] = ["ge", ["col", "k"], ["lit", "i32", 0]]
FLOATS = [0.1, -0.0, math.nan, math.inf, 1e308, 5e-324, -1e16, None]
TEXTS = ["", "a", "Ä", "日本", "a\x00b", None]


def row(n: int) -> dict[str, Any]:
    """Row `n`; every eleventh repeats an id, every thirteenth breaks the check."""
    return {
        "id": n - 5 if n % 11 == 10 else n,
        "ts": START + n * 7 * US_PER_DAY // 24 - (n % 5) * US_PER_DAY,
        "i": None if n % 9 == 4 else (n - 50) * 10**17 * (n % 3 - 1),
        "k": -1 if n % 13 == 12 else n % 4,
        "x": FLOATS[n % len(FLOATS)],
        "d": None if n % 7 == 3 else n * 12_345 - 600_000,
        "b": (True, False, None)[n % 3],
        "c": f"c{n % 6}",
        "s": TEXTS[n % len(TEXTS)],
        "day": None if n % 10 == 0 else 20_454 + n % 40,
    }


def agg(name: str, fn: str, arg: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "fn": fn,
        "arg": arg and ["col", arg],
        "filter": None,
    }


ALL = [
    agg("rows", "len"),
    agg("count", "count", "x"),
    agg("nulls", "null_count", "s"),
    agg("sum_i", "sum", "i"),
    agg("sum_x", "sum", "x"),
    agg("sum_d", "sum", "d"),
    agg("mean_d", "mean", "d"),
    agg("mean_x", "mean", "x"),
    agg("min_s", "min", "s"),
    agg("max_x", "max", "x"),
    agg("first_c", "first", "c"),
    agg("last_d", "last", "d"),
    agg("kinds", "n_unique", "x"),
    agg("texts", "n_unique", "s"),
]
BASE: dict[str, Any] = {"v": 1, "logs": ["events"], "where": None, "aggs": ALL}
PLANS: dict[str, dict[str, Any]] = {
    "whole": BASE | {"by": [], "window": None},
    "by_text": BASE
    | {"by": [["s", ["col", "s"]], ["b", ["col", "b"]]], "window": None},
    "by_float": BASE | {"by": [["x", ["col", "x"]]], "window": None},
    "weekly": BASE
    | {
        "by": [["c", ["col", "c"]]],
        "window": {"kind": "calendar", "unit": "week", "count": 1, "tz": "UTC"},
    },
    "hourly": BASE
    | {
        "by": [],
        "window": {"kind": "tumbling", "size_us": 3_600_000_000, "origin_us": 0},
    },
}
BATCHES = [40, 65]  # batch runs at these many rows
ROWS = 80


def oracle() -> Store:
    """What the story means."""
    store = Store()
    log = store.log("events", dict(SCHEMA), time="ts", dedupe="id", check=[CHECK])
    for name, plan in PLANS.items():
        store.view(name, plan)
    assert isinstance(log, Log)
    for n in range(ROWS):
        log.append([row(n)], on_bad="quarantine")
        if n + 1 in BATCHES:
            store.batch()
    return store


def tell(folder: Path) -> None:
    """Lives the story in a new store: batch part, delta, sealed and open segments."""
    with la.open(folder) as store:
        log = store.log(
            "events",
            SCHEMA,
            time="ts",
            dedupe="id",
            check=[bridge.expression(CHECK)],
        )
        for name, plan in PLANS.items():
            bridge.define(store, log, name, plan)
        for n in range(ROWS):
            log.append(bridge.natural(row(n), SCHEMA), on_bad="quarantine")
            if n == 20:
                log.seal()
            if n + 1 in BATCHES:
                store.batch(progress=False)
