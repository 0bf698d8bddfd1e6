# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fresh store, and the proof that nothing is left alive."""

from __future__ import annotations

import gc

import pytest

import lambdaarch as la


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_at_the_end():
    """After the last test no core object is alive."""
    yield
    gc.collect()
    assert not any(la.live_counts().values()), la.live_counts()


@pytest.fixture(autouse=True)
def _nothing_left_alive():
    """Core objects alive after a test are those alive before it.

    Tests that share a store between them are checked when the session ends.
    """
    before = la.live_counts()
    yield
    after = la.live_counts()
    if before["STORE"] or after == before:
        return
    gc.collect()  # tracebacks of expected errors make cycles
    after = la.live_counts()
    assert after["STORE"] or after == before, after


@pytest.fixture
def folder(tmp_path):
    """A path where no store is yet."""
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    """A new store, open for writing."""
    with la.open(folder) as opened:
        yield opened
