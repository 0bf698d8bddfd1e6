# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a fresh store, and the proof that nothing is left alive."""

from __future__ import annotations

import gc

import pytest

import lambdaarch as la


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_at_the_end(request):
    """After the last test no core object is alive."""
    yield
    gc.collect()
    counts = la.live_counts()
    assert request.session.testsfailed or not any(counts.values()), counts


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[FAILED] = True  # its traceback keeps objects alive
    return report


@pytest.fixture(autouse=True)
def _nothing_left_alive(request):
    """No core object that a test made is alive after it.

    Tests that share a store between them are checked when the session ends.
    """
    before = la.live_counts()
    yield
    after = la.live_counts()
    if before["STORE"] or after == before or FAILED in request.node.stash:
        return
    gc.collect()  # tracebacks of expected errors make cycles
    after = la.live_counts()
    assert after["STORE"] or all(after[k] <= before[k] for k in after), after


@pytest.fixture
def folder(tmp_path):
    """A path where no store is yet."""
    return tmp_path / "store"


@pytest.fixture
def store(folder):
    """A new store, open for writing."""
    with la.open(folder) as opened:
        yield opened
