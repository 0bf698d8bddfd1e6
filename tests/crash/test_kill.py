# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a real writer, again and again, on one store that keeps growing.

After every kill: all acknowledged rows are there, none twice, positions are dense, and
the batch part agrees with a fold of the log.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lambdaarch as la

from . import writer

KILLS = 50


def run_and_kill(
    folder: Path, first: int, seed: int, after_s: float
) -> tuple[int, int]:
    """One life of a writer; the first id not acknowledged, and its batch runs."""
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, writer.__file__, str(folder), str(first), str(seed)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdout is not None
    said = [process.stdout.readline()]  # it lives: now it may die at any moment
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    said += process.communicate()[0].splitlines(keepends=True)
    assert process.returncode == -signal.SIGKILL, "the writer ended by itself"
    lines = [line.decode().split() for line in said if line.endswith(b"\n")]
    acked = [int(words[1]) for words in lines if words[0] == "acked"]
    return max(acked, default=first), sum(words[0] == "batch" for words in lines)


def check(folder: Path, promised: int) -> int:
    """What must hold; the first id that is not in the log."""
    with la.open(folder, mode="r") as store:
        answer = store["ids"].query()
        receipt = answer.receipt
        end = len(answer)
        assert end >= promised, f"ids {end} to {promised - 1} were acknowledged"
        assert np.array_equal(answer["id"], np.arange(end, dtype=np.uint64))
        assert (answer["n"] == 1).all()
        # a life begins at the first id that the reader before it saw: rows that were
        # written but not yet promised may come again, and are then duplicates
        assert receipt.position == end + receipt.rows.duplicate
        assert receipt.cutoff <= receipt.position
        check_daily(store["daily"].query(), end)
    return end


def check_daily(answer: la.Answer, end: int) -> None:
    """Batch part and live part together are what the ids alone say."""
    ids = np.arange(end)
    day = (writer.START_US + ids * writer.MINUTE_US) // (1440 * writer.MINUTE_US)
    groups, group = np.unique(ids % writer.SHOPS * 10**6 + day, return_inverse=True)
    n = np.bincount(group)
    cents = np.bincount(group, weights=writer.cents(ids)).astype(np.int64)
    assert answer["shop"].tolist() == [f"shop-{g // 10**6}" for g in groups.tolist()]
    days = answer["window_start"].astype("datetime64[D]").astype(np.int64)
    assert np.array_equal(days, groups % 10**6)
    assert np.array_equal(answer["n"], n)
    assert [int(v) for v in answer.exact("cents").integers] == cents.tolist()


def test_kill_nine(tmp_path: Path) -> None:
    seed = int(
        os.environ.get("LAMBDAARCH_SEED", random.SystemRandom().randrange(2**32))
    )
    print(f"repeat with LAMBDAARCH_SEED={seed}")
    rng = random.Random(seed)
    folder, first, batches = tmp_path / "store", 0, 0
    for kill in range(KILLS):
        promised, runs = run_and_kill(folder, first, seed + kill, rng.uniform(0, 0.15))
        batches += runs
        first = check(folder, promised)
    assert batches > 0, "no kill ever came after a batch run"
    with la.open(folder) as store:
        log = writer.open_log(store)
        again = log.append([writer.row(i) for i in range(min(first, 1000))])
        assert again.duplicate == again.rows, "an acknowledged id was forgotten"
        store.verify()


def test_two_writers(tmp_path: Path) -> None:
    """The lock is real, and dies with its owner."""
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, writer.__file__, str(tmp_path / "store"), "0", "1"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline()
        with la.open(tmp_path / "store") as store, pytest.raises(la.BusyError):
            writer.open_log(store).append(writer.row(10**9))
    finally:
        process.kill()
        process.communicate()
    with la.open(tmp_path / "store") as store:
        writer.open_log(store).append(writer.row(10**9))
