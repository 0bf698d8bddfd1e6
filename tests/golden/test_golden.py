# SPDX-License-Identifier: Apache-2.0
"""Old stores stay readable, and today's writer still means the same bytes.

`tools/make_golden.py` writes `<format>/store.tar` and `<format>/meaning.json`; it runs
once a format version, and never over an old one.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from oracle import bridge

import lambdaarch as la

from . import story

FORMATS = sorted(p.parent for p in Path(__file__).parent.glob("*/store.tar"))


def meaning(store: la.Store) -> dict[str, Any]:
    """What must never change for a definition and its rows: names of content."""
    out = {}
    for name in story.PLANS:
        view = store[name]
        out[name] = {
            "fingerprint": view.fingerprint,
            "content_hash": view.versions[-1].content_hash,
        }
    return out


def assert_as_told(store: la.Store) -> None:
    for name, view in story.oracle().views.items():
        answer = bridge.ask(store[name])
        assert answer.receipt.cutoff == view.cutoff
        bridge.assert_same(answer, view.query())


def test_there_is_a_golden_store() -> None:
    assert FORMATS


@pytest.mark.parametrize("format_folder", FORMATS, ids=lambda p: p.name)
def test_old_store_reads(format_folder: Path, tmp_path: Path) -> None:
    with tarfile.open(format_folder / "store.tar") as tar:
        # 3.11.4 brought filters; the archive is our own either way
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(tmp_path, **safe)
    with la.open(tmp_path / "store", mode="r") as store:
        assert_as_told(store)
    with la.open(tmp_path / "store") as store:  # and goes on
        log = store.log(
            "events",
            story.SCHEMA,
            time="ts",
            dedupe="id",
            check=[bridge.expression(story.CHECK)],
        )
        again = log.append(bridge.natural(story.row(0), story.SCHEMA))
        assert again.duplicate == 1
        store.batch(progress=False)
        assert store["whole"].query().receipt.position == story.ROWS + 1
        store.verify()


@pytest.mark.parametrize("format_folder", FORMATS[-1:], ids=lambda p: p.name)
def test_the_same_story_has_the_same_content(
    format_folder: Path, tmp_path: Path
) -> None:
    """Fingerprints and content hashes are promises: parity checks compare them."""
    story.tell(tmp_path / "store")
    with la.open(tmp_path / "store", mode="r") as store:
        assert_as_told(store)
        assert meaning(store) == json.loads(
            (format_folder / "meaning.json").read_text()
        )
