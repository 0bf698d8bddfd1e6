# SPDX-License-Identifier: Apache-2.0
"""`log.load` on the real files themselves, gzip and all, against expected.json."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import lambdaarch as la
from lambdaarch import col

DATA = Path(
    os.environ.get("LAMBDAARCH_DATA", Path(__file__).parents[3] / "shared/data")
)
pytestmark = pytest.mark.skipif(
    not (DATA / "expected.json").exists(), reason="no real data: set LAMBDAARCH_DATA"
)


def expected(data: str) -> dict[str, list[int]]:
    whole: dict[str, list[int]] = json.loads((DATA / "expected.json").read_text())[
        data
    ]["whole"]["columns"]
    return whole


def test_edits(store: la.Store) -> None:
    fields = {"time": "time[us]", "page": "str", "added": "i64", "deleted": "i64"}
    log = store.log("edits", fields, time="time")
    path = DATA / "wikiticker-2015-09-12-sampled.json.gz"
    assert log.load(path, progress=False).quarantined == 0
    aggregates = {
        "edits": la.len(),
        "added": col("added").sum(),
        "deleted": col("deleted").sum(),
        "pages": col("page").n_unique(),
    }
    answer = store.view("whole", log, agg=aggregates).query()
    assert {n: answer[n].tolist() for n in aggregates} == {
        n: expected("wikiticker")[n] for n in aggregates
    }


@pytest.mark.parametrize(("null", "bad"), [(["NA", ""], 1), (["NA", "", " "], 0)])
def test_readings(store: la.Store, null: list[str], bad: int) -> None:
    """One cell of the file is a blank: quarantined unless it is said to be a null."""
    fields = {"at": "time[us]", "pm": "f64?", "SO2": "f64?"}
    log = store.log("readings", fields, time="at")
    loaded = log.load(
        DATA / "beijing-air-2013-2017.csv.gz",
        rename={"PM2.5": "pm"},
        derive={"at": la.make_time("year", "month", "day", "hour")},
        null=null,
        progress=False,
    )
    assert (loaded.rows, loaded.quarantined) == (420_768, bad)
    whole = store.view("whole", log, agg={"pm": col("pm").count(), "n": la.len()})
    want = expected("beijing")
    assert whole.query()["n"].tolist() == [want["rows"][0] - bad]
    if not bad:
        assert whole.query()["pm"].tolist() == want["PM2.5_n"]
