# SPDX-License-Identifier: Apache-2.0
"""Law 5: nothing vanishes unseen, whatever door it came through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import bridge, generate

import lambdaarch as la
from lambdaarch import col

from .test_splits import events, twin

TEXTS = ["1", "no number", "3", "", "5"]


def reader(values: list[str]) -> pa.RecordBatchReader:
    """Two batches that can be read once."""
    schema = pa.schema([("x", pa.string())])
    halves = [values[:2], values[2:]]
    batches = [pa.record_batch({"x": half}, schema=schema) for half in halves]
    return pa.RecordBatchReader.from_batches(schema, batches)


DOORS: dict[str, Callable[[list[str]], Any]] = {
    "dicts": lambda values: [{"x": v} for v in values],
    "lists": lambda values: {"x": values},
    "objects": lambda values: {"x": np.array(values, dtype=object)},
    "texts": lambda values: {"x": np.array(values, dtype=np.dtypes.StringDType())},
    "pandas": lambda values: pd.DataFrame({"x": values}),
    "polars": lambda values: pl.DataFrame({"x": values}),
    "arrow": lambda values: pa.table({"x": values}),
    "arrow_reader": reader,
}


@pytest.mark.parametrize("door", DOORS)
def test_unreadable_rows_go_to_quarantine(store: la.Store, door: str) -> None:
    """Text where a number belongs: each row gets a position and a class."""
    log = store.log("events", {"x": "i64"})
    view = store.view("view", log, agg={"total": col("x").sum()})
    done = log.append(DOORS[door](TEXTS), on_bad="quarantine")
    assert done.rows == len(TEXTS)
    assert done.ok + done.quarantined == len(TEXTS)
    assert len(log.quarantine()) == done.quarantined > 0
    receipt = view.query().receipt
    assert receipt.position == receipt.rows.total == len(TEXTS)
    assert receipt.rows.quarantined == done.quarantined


@pytest.mark.parametrize("door", DOORS)
def test_a_raise_leaves_nothing(store: la.Store, door: str) -> None:
    log = store.log("events", {"x": "i64"})
    with pytest.raises(la.InvalidError):
        log.append(DOORS[door](TEXTS))
    assert log.position == 0


@given(st.data(), generate.rows(count=60), generate.plans())
def test_parts_account_for_their_own_rows(
    data: st.DataObject, rows: list[dict[str, Any]], plan: dict[str, Any]
) -> None:
    """The batch part's classes sum to the cutoff, the speed part's to the rest."""
    cut = data.draw(st.integers(0, len(rows)), label="cut")
    with bridge.fresh_folder() as folder, la.open(folder) as opened:
        log = events(opened)
        view = bridge.define(opened, log, "view", plan)
        bridge.append(log, rows[:cut], generate.SCHEMA)
        opened.batch(progress=False)
        bridge.append(log, rows[cut:], generate.SCHEMA)
        receipt = bridge.ask(view).receipt
        parts = receipt.rows_by_part
        assert parts["batch"].total == receipt.cutoff == cut
        assert parts["speed"].total == receipt.position - cut
        want = dict(+twin(rows, plan).query().counts)
        assert bridge.row_counts(receipt) == want
