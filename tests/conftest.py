# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fresh store, and the proof that nothing is left alive."""

from __future__ import annotations

import gc

import pytest

import lambdaarch as la


@pytest.fixture(autouse=True)
def _nothing_left_alive():
    """Core objects alive after a test are those alive before it."""
    before = la.live_counts()
    yield
    if la.live_counts() != before:
        gc.collect()  # tracebacks of expected errors make cycles
    assert la.live_counts() == before


@pytest.fixture
def folder(tmp_path):
    """A path where no store is yet."""
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    """A new store, open for writing."""
    with la.open(folder) as opened:
        yield opened
