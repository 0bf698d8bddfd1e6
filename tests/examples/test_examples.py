# SPDX-License-Identifier: Apache-2.0
"""Everything a user may copy runs as it stands: demo, scripts, notebooks.

An example that does not run is a failing test.
"""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lambdaarch as la
from lambdaarch import col

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(*arguments: str, expected: int = 0) -> str:
    """A command in the repository's root; its standard output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def test_demo_proves_itself(tmp_path: Path) -> None:
    picture = tmp_path / "demo.png"
    sizes = ["--rows", "30000", "--live", "20000", "--seconds", "4"]
    text = run("-m", "examples.shop", *sizes, "--plot", str(picture))
    assert "agrees to the last bit" in text
    assert "batch part" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_demo_keeps_the_folder_asked_for(tmp_path: Path) -> None:
    sizes = ["--rows", "10000", "--live", "10000", "--seconds", "1"]
    folder = tmp_path / "shop"
    run("-m", "examples.shop", *sizes, "--folder", str(folder), "--plot", os.devnull)
    with la.open(folder, mode="r") as store:
        assert store["revenue"].query().receipt.position >= 20_000


def test_daily_revenue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from examples import daily_revenue

    failed, tried = doctest.testmod(daily_revenue)
    assert (failed, tried > 0) == (0, True)
    assert "871,239" in run("examples/daily_revenue.py")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Ten days of orders under a published view."""
    folder = tmp_path / "shop"
    with la.open(folder) as store:
        orders = store.log("orders", {"ts": "time[us]", "amount": "i64"}, time="ts")
        store.view(
            "revenue",
            orders,
            window=la.tumbling("1d"),
            agg={"revenue": col("amount").sum()},
        )
        days = np.datetime64("2026-10-01", "us") + np.arange(10).astype("m8[D]")
        orders.append({"ts": days, "amount": np.arange(10)})
        store.batch(progress=False)
    return folder


def test_backfill_of_a_healthy_range_changes_nothing(shop: Path) -> None:
    text = run("examples/backfill.py", str(shop), "revenue", "2026-10-02", "2026-10-04")
    assert "nothing differs" in text


def test_backfill_says_what_is_wrong(shop: Path) -> None:
    run(
        "examples/backfill.py",
        str(shop),
        "no_view",
        "2026-10-02",
        "2026-10-04",
        expected=2,
    )
    run(
        "examples/backfill.py",
        str(shop),
        "revenue",
        "2026-10-04",
        "2026-10-02",
        expected=2,
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        book,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT)}},
    ).execute()
    drawn = [
        output
        for cell in book.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert drawn, "the story ends with a picture"


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
