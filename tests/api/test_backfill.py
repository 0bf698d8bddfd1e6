# SPDX-License-Identifier: Apache-2.0
"""Backfill refuses ranges that hold nothing."""

from __future__ import annotations

import pytest

import lambdaarch as la


def test_an_empty_range_is_refused(store: la.Store) -> None:
    log = store.log("events", {"t": "time[us]"}, time="t")
    view = store.view("view", log, window="1d", agg={"n": la.len()})
    log.append({"t": "2026-01-01"})
    store.batch()
    with pytest.raises(la.InvalidError, match="compares nothing"):
        view.backfill("2026-01-02", "2026-01-02", dry_run=True)
    with pytest.raises(la.InvalidError, match="compares nothing"):
        view.backfill("2026-01-02", "2026-01-01", dry_run=True)
