# SPDX-License-Identifier: Apache-2.0
"""A writer to be killed: appends rows, recomputes now and then, says what was promised.

    python writer.py FOLDER FIRST_ID SEED

After each `append` returned it writes "acked <end id>" to standard output, after each
batch run "batch <cutoff>". It never ends by itself.
"""

from __future__ import annotations

import os
import random
import sys
from decimal import Decimal
from itertools import count
from typing import Any

import numpy as np

import lambdaarch as la
from lambdaarch import col

SCHEMA = {"id": "u64", "ts": "time[us]", "shop": "cat", "amount": "decimal(2)"}
START_US = 1_767_225_600_000_000
MINUTE_US = 60_000_000
SHOPS = 7


def open_log(store: la.Store) -> la.Log:
    return store.log("events", SCHEMA, time="ts", dedupe="id")


def define_views(store: la.Store, log: la.Log) -> None:
    agg = {"n": la.len(), "cents": col("amount").sum()}
    store.view("ids", log, by=["id"], agg={"n": la.len()})
    store.view("daily", log, by=["shop"], window=la.tumbling("1d"), agg=agg)


def cents(i: Any) -> Any:
    """What row `i` (or rows, as an array) is worth."""
    return i * 7919 % 100_000


def row(i: int) -> dict[str, object]:
    """Row `i`, a function of its id, so a reader can tell what must be there."""
    return {
        "id": i,
        "ts": np.datetime64(START_US + i * MINUTE_US, "us"),
        "shop": f"shop-{i % SHOPS}",
        "amount": Decimal(cents(i)).scaleb(-2),
    }


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one write: the pipe keeps it whole


def main() -> None:
    folder, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    with la.open(folder) as store:
        log = open_log(store)
        define_views(store, log)
        at = first
        for step in count(1):
            size = rng.choice([1, 1, 5, 200, 1_000])
            log.append([row(i) for i in range(at, at + size)])
            at += size
            say(f"acked {at}")
            if step % 9 == 0:
                log.seal()
            if step % 5 == 0:
                store.batch(progress=False)
                say("batch")


if __name__ == "__main__":
    main()
