#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden store of the current format: tests/golden/v<format>/.

    tools/make_golden.py 1

Run once, when a format version is released. Refuses to write over an older one: a
golden store that changes proves nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> int:
    from golden import story, test_golden

    import lambdaarch as la

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "format", type=int, help="the format version that is written now"
    )
    to = ROOT / "tests" / "golden" / f"v{parser.parse_args().format}"
    if to.exists():
        print(f"{to.relative_to(ROOT)} is there already", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "store"
        story.tell(made)
        with la.open(made, mode="r") as store:
            test_golden.assert_as_told(store)
            meaning = test_golden.meaning(store)
        to.mkdir()
        with tarfile.open(to / "store.tar", "w") as tar:
            tar.add(made, "store")
        text = json.dumps(meaning, indent=2, sort_keys=True)
        (to / "meaning.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
