#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints every include in csrc/core that breaks the arrow of the layers.

    base <- chunk <- {codec, ingest} <- expr <- log <- fold <- views <- {batch, speed}
         <- merge <- query

A folder may include itself and what stands left of it. Exit code 1 when an include
breaks the arrow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ARROW = [
    {"base"},
    {"chunk"},
    {"codec", "ingest"},
    {"expr"},
    {"log"},
    {"fold"},
    {"views"},
    {"batch", "speed"},
    {"merge"},
    {"query"},
]
LEVEL = {name: level for level, names in enumerate(ARROW) for name in names}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


class Break(NamedTuple):
    file: str
    line: int
    included: str
    why: str

    def __str__(self) -> str:
        return f'{self.file}:{self.line}: #include "{self.included}": {self.why}'


def may_include(file: str, included: str) -> str | None:
    """Why `file` (relative to csrc/core) must not include `included`, or None."""
    if "/" not in included:
        return None  # lambdaarch.h, or a neighbour in the same folder
    layer, other = file.split("/")[0], included.split("/")[0]
    if layer not in LEVEL:
        return f"{layer}/ is in no layer: add it to tools/check_layers.py"
    if other not in LEVEL:
        return f"{other}/ is no layer of the core"
    if layer == other or LEVEL[other] < LEVEL[layer]:
        return None
    beside = "beside" if LEVEL[other] == LEVEL[layer] else "above"
    return f"{other}/ stands {beside} {layer}/"


def breaks(core: Path) -> Iterator[Break]:
    """Every include below `core` that goes against the arrow."""
    for path in sorted([*core.rglob("*.c"), *core.rglob("*.h")]):
        file = path.relative_to(core).as_posix()
        for number, text in enumerate(path.read_text().splitlines(), start=1):
            found = INCLUDE.match(text)
            why = may_include(file, found[1]) if found else None
            if found and why:
                yield Break(file, number, found[1], why)


def main() -> int:
    core = Path(__file__).resolve().parents[1] / "csrc" / "core"
    found = list(breaks(core))
    for item in found:
        print(f"csrc/core/{item}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
