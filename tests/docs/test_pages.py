# SPDX-License-Identifier: Apache-2.0
"""Every Python block of the documentation runs, page by page, in its own folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [
    ROOT / "README.md",
    *sorted(
        page
        for page in (ROOT / "docs").rglob("*.md")
        if BLOCK.search(page.read_text(encoding="utf-8"))
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        source = page.read_text(encoding="utf-8")[: block.start(1)]
        # Line numbers in a traceback are those of the page.
        code = "\n" * source.count("\n") + block.group(1)
        exec(compile(code, str(page), "exec"), names)


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "csrc/README.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken
