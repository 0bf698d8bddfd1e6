#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints what the house does not want in any file of the tree.

- a path of somebody's machine: it works nowhere else
- a source file longer than 1,200 lines: split it by stage
- a source file without its SPDX line: one line instead of a licence block

Exit code 1 when something was found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINES_MAX = 1_200
SOURCES = {".c", ".h", ".py", ".pyi", ".sh"}
TEXTS = SOURCES | {
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".ipynb",
    ".cfg",
    ".txt",
    "",
}
# spelled in pieces, so that this file passes its own check
PLACES = ["/ho" + r"me/\w", "/Us" + r"ers/\w", "/ro" + r"ot/\w", "/wo" + r"rk/\w"]
MACHINE_PATH = re.compile(r"(?<![\w.:/])(?:" + "|".join(PLACES) + ")")
BUILT = {
    ".git",
    ".venv",
    "build",
    "dist",
    "__pycache__",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
}  # made here, never committed
SPDX = "SPDX-License-Identifier: Apache-2.0"


def files() -> list[Path]:
    """Files git knows or would add; every file where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = set(ROOT.rglob("*"))
    if shutil.which("git") is not None:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            found = {ROOT / name for name in done.stdout.split("\0") if name}
    return sorted(
        path
        for path in found
        if path.is_file() and BUILT.isdisjoint(path.relative_to(ROOT).parts)
    )


def complaints(path: Path) -> Iterator[str]:
    """One line for each thing wrong with a file."""
    if path.suffix not in TEXTS:
        return
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    name = path.relative_to(ROOT)
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if found := MACHINE_PATH.search(line):
            yield f"{name}:{number}: a path of one machine: {found[0]}..."
    if path.suffix not in SOURCES:
        return
    if len(lines) > LINES_MAX:
        yield f"{name}: {len(lines):,} lines, at most {LINES_MAX:,}: split it"
    if lines and SPDX not in "".join(lines[:3]):
        yield f"{name}:1: no SPDX line"


def main() -> int:
    found = [line for path in files() for line in complaints(path)]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
