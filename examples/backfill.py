#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recompute a range of days of a view from the log, show what changes, put it right.

    backfill.py /srv/shop revenue 2026-10-01 2026-10-08             # look
    backfill.py /srv/shop revenue 2026-10-01 2026-10-08 --apply     # and do

Made for cron. Exit codes: 0 nothing differs, or the difference was applied; 1 something
differs and was left as it is; 2 the backfill could not be done (the reason is on
standard error); 3 another process publishes right now, try again later.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import lambdaarch as la

SAME, DIFFERS, REFUSED, BUSY = 0, 1, 2, 3


def backfill(options: argparse.Namespace) -> int:
    """Runs it; the exit code."""
    la.open(
        options.folder, mode="r"
    ).close()  # a mistyped folder must not become a store
    with la.open(options.folder) as store:
        view = store[options.view]
        fix = view.backfill(options.start, options.end, dry_run=True)
        difference = fix.diff(top=options.top)
        if len(difference) == 0:
            print(
                f"{options.view}: nothing differs in [{options.start}, {options.end})"
            )
            return SAME
        print(difference)
        if not options.apply:
            print(f"{options.view}: not applied; run again with --apply")
            return DIFFERS
        fix.apply()
        print(f"{options.view}: applied; view.rollback() takes it back")
        return SAME


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", help="the store")
    parser.add_argument("view", help="the view to put right")
    parser.add_argument("start", help="first day, as 2026-10-01 (UTC)")
    parser.add_argument("end", help="the day after the last")
    parser.add_argument("--apply", action="store_true", help="publish the difference")
    parser.add_argument("--top", type=int, default=20, help="differences to show")
    options = parser.parse_args(arguments)
    try:
        return backfill(options)
    except la.BusyError as error:
        print(f"backfill: {error}", file=sys.stderr)
        return BUSY
    except la.LambdaError as error:
        print(f"backfill: {error}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
