# SPDX-License-Identifier: Apache-2.0
"""Print the packages of an optional group in pyproject.toml, one a line.

So that the Makefile installs what the project declares, from one list.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Print the group named by the first argument."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    groups = project["optional-dependencies"]
    if len(sys.argv) != 2 or sys.argv[1] not in groups:
        sys.exit(f"usage: dependencies.py {{{','.join(groups)}}}")
    print("\n".join(groups[sys.argv[1]]))


if __name__ == "__main__":
    main()
