# SPDX-License-Identifier: Apache-2.0
"""check_layers and check_house find what they are for, and the tree passes both.

The tools that guard the tree are tested too: a check that finds nothing proves nothing.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("file", "included", "allowed"),
    [
        ("fold/fold.c", "base/mem.h", True),
        ("fold/fold.c", "expr/agg.h", True),
        ("merge/merge.c", "speed/live.h", True),
        ("log/append.c", "expr/program.h", True),  # checks are expressions
        ("expr/plan.c", "log/log.h", False),
        ("base/mem.c", "chunk/chunk.h", False),
        ("batch/run.c", "speed/live.h", False),
        ("merge/merge.c", "query/query.h", False),
        ("ingest/text.c", "log/log.h", False),
        ("ingest/text.c", "chunk/chunk.h", True),
        ("log/log.c", "lambdaarch.h", True),
        ("python/module.c", "base/mem.h", False),
    ],
)
def test_arrow(file: str, included: str, allowed: bool) -> None:  # noqa: FBT001
    assert (tool("check_layers").may_include(file, included) is None) is allowed


def test_breaks_are_found_in_files(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mem.c").write_text('\n#  include "log/log.h" /* oh */\n')
    (found,) = tool("check_layers").breaks(tmp_path)
    assert str(found).startswith('base/mem.c:2: #include "log/log.h": ')


def test_house_finds_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = tool("check_house")
    monkeypatch.setattr(house, "ROOT", tmp_path)
    place = "/ho" + "me/somebody/data"
    texts = {
        "clean.py": f"# {house.SPDX}\nx = 1\n",
        "place.py": f"# {house.SPDX}\nx = '{place}'\n",
        "long.c": f"/* {house.SPDX} */\n" + "\n" * 1_300,
        "bare.h": "int x;\n",
        "url.md": "https://example.org" + place + "\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = {name: list(house.complaints(tmp_path / name)) for name in texts}
    assert [name for name, lines in found.items() if lines] == [
        "place.py",
        "long.c",
        "bare.h",
    ]
    assert all(len(lines) == 1 for name, lines in found.items() if lines)


@pytest.mark.parametrize("name", ["check_layers", "check_house"])
def test_the_tree_passes(name: str) -> None:
    done = subprocess.run(
        [sys.executable, TOOLS / f"{name}.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
