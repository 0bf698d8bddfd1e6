# SPDX-License-Identifier: Apache-2.0
"""The whole architecture at work, in under a minute: `make demo`.

A shop's history is appended and recomputed into a batch view. Then three processes
share the store's folder: one streams orders, one recomputes the batch view again and
again, and this one asks. Every answer merges the batch part with the live part. At the
end everything is counted again by other means, and must agree to the last bit.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing as mp
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

import lambdaarch as la
from examples.shop.generator import DAY_US, SCHEMA, Chunk, Shop
from lambdaarch import col, when

FRAME_ROWS = 200
BATCH_EVERY_SECONDS = 2.5
APPENDS_MAX = 1_000_000


def open_orders(store: la.Store) -> la.Log:
    """The log of orders: an id counts once however often it is delivered."""
    return store.log(
        "orders", SCHEMA, time="ts", dedupe="id", check=[col("amount") >= 0]
    )


def define_revenue(store: la.Store, orders: la.Log) -> la.View:
    """Revenue by day and product; refunds count against it."""
    net = when(col("kind") == "refund").then(-col("amount")).otherwise(col("amount"))
    return store.view(
        "revenue",
        orders,
        by=["sku"],
        window=la.tumbling("1d"),
        agg={
            "orders": la.len().filter(col("kind") == "sale"),
            "revenue": net.sum(),
            "mean": net.mean(),
            "with_tax": (net.cast("f64") * 1.19).sum(),
            "buyers": col("user").n_unique(),
        },
    )


# --------------------------------------------------------------------- the three


class Ledger:
    """What the writer has been promised, shared with the asker: how far, and when."""

    def __init__(self, context: Any) -> None:
        self.count = context.RawValue("q", 0)
        self.ends = context.RawArray("q", APPENDS_MAX)
        self.times_ns = context.RawArray("q", APPENDS_MAX)
        self.failed = context.RawValue("q", 0)

    def acknowledge(self, end: int) -> None:
        at = self.count.value
        self.ends[at], self.times_ns[at] = end, time.monotonic_ns()
        self.count.value = at + 1

    def end(self) -> int:
        """First position that no append has promised yet."""
        count = self.count.value
        return self.ends[count - 1] if count else 0

    def age_ms(self, position: int) -> float:
        """How long ago the newest row below `position` was acknowledged."""
        count = self.count.value
        ends = np.frombuffer(self.ends, dtype=np.int64)[:count]
        at = int(np.searchsorted(ends, position, side="right")) - 1
        then_ns = self.times_ns[max(at, 0)]
        return (time.monotonic_ns() - then_ns) / 1e6


@dataclass(frozen=True)
class Plan:
    folder: str
    shop: Shop
    history: int  # chunks
    live: int  # chunks
    seconds: float


def write_live(plan: Plan, ledger: Ledger) -> None:
    """Streams the live chunks at an even pace, a few hundred orders an append."""
    with la.open(plan.folder) as store:
        orders = open_orders(store)
        frames = plan.live * plan.shop.chunk_rows / FRAME_ROWS
        start, sent = time.monotonic(), 0
        for chunk in plan.shop.chunks(plan.history, plan.history + plan.live):
            for at in range(0, chunk["id"].size, FRAME_ROWS):
                frame = {k: v[at : at + FRAME_ROWS] for k, v in chunk.items()}
                done = orders.append(frame)
                ledger.acknowledge(done.first + done.rows)
                sent += 1
                ahead = start + sent * plan.seconds / frames - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)


def recompute(folder: str, stop: Any, runs: Any) -> None:
    """Publishes the batch view from all of the log, again and again."""
    with la.open(folder) as store:
        while not stop.wait(BATCH_EVERY_SECONDS):
            store.batch(progress=False)
            runs.value += 1


def ask(plan: Plan, ledger: Ledger, writer: Any, runs: Any) -> list[float]:
    """Asks for the best products of the newest day until the writer is done."""
    waits_ms = []
    shown = 0.0
    with la.open(plan.folder, mode="r") as store:
        revenue = store["revenue"]
        while writer.is_alive():
            promised = ledger.end()
            began = time.perf_counter()
            newest = newest_day(plan, promised)
            answer = revenue.query(
                since=newest, order_by="-revenue", limit=8, parts=True
            )
            took_ms = (time.perf_counter() - began) * 1e3
            position = answer.receipt.position
            if position < promised:
                raise AssertionError(
                    f"row {promised - 1} was promised, the answer ends at {position}"
                )
            waits_ms.append(took_ms)
            if time.monotonic() - shown >= 1.0:
                shown = time.monotonic()
                show(answer, took_ms, ledger.age_ms(position), runs.value)
            time.sleep(0.05)
    return waits_ms


def newest_day(plan: Plan, position: int) -> np.datetime64:
    """The shop's day at that place of its stream."""
    start = np.datetime64(plan.shop.start, "us")
    orders = position / (1 + plan.shop.repeated)
    day = int(max(orders - plan.shop.per_day / 24, 0) // plan.shop.per_day)
    return start + np.timedelta64(day * DAY_US, "us")


def show(answer: la.Answer, took_ms: float, age_ms: float, runs: int) -> None:
    """One picture of the live table."""
    receipt = answer.receipt
    print(
        f"\n  day         product      batch part     live part       revenue"
        f"      cutoff {receipt.cutoff:,} of {receipt.position:,}"
    )
    batch, speed = answer.parts.batch, answer.parts.speed
    for i, (day, sku) in enumerate(
        zip(answer["window_start"], answer["sku"], strict=True)
    ):
        print(
            f"  {np.datetime_as_string(day, 'D')}  {sku:<9}"
            f"{number(batch['revenue'][i]):>14}{number(speed['revenue'][i]):>14}"
            f"{number(answer['revenue'][i]):>14}"
        )
    print(
        f"  answered in {took_ms:.1f} ms; its newest order is {age_ms:.1f} ms old; "
        f"batch runs: {runs}",
        flush=True,
    )


def number(value: float) -> str:
    return f"{0.0 if math.isnan(value) else value:,.2f}"


# --------------------------------------------------------------------- the proof


@dataclass
class Recount:
    """Groups in key order, counted from the generator's own rows."""

    days: list[int]
    skus: list[str]
    orders: list[int]
    cents: list[int]
    means: list[float]
    with_tax: list[float]
    buyers: list[int]


def recount(chunks: Sequence[Chunk]) -> Recount:
    """The same answer by other means: whole cents, fractions, sets; no lambdaarch."""
    _, once = np.unique(column(chunks, "id"), return_index=True)
    day = column(chunks, "ts")[once].astype("datetime64[D]").astype(np.int64)
    skus, sku = np.unique(column(chunks, "sku")[once], return_inverse=True)
    refund = column(chunks, "kind")[once] == "refund"
    amount = column(chunks, "amount")[once]
    net = np.where(refund, -amount, amount)
    cents = np.rint(net * 100).astype(np.int64)
    user = column(chunks, "user")[once]
    group = sku * 1_000_000 + day  # products first: the order of the keys
    order = np.argsort(group, kind="stable")
    keys, starts = np.unique(group[order], return_index=True)
    out = Recount([], [], [], [], [], [], [])
    for key, rows in zip(keys, np.split(order, starts[1:]), strict=True):
        total = int(cents[rows].sum())
        out.days.append(int(key % 1_000_000))
        out.skus.append(str(skus[key // 1_000_000]))
        out.orders.append(int((~refund[rows]).sum()))
        out.cents.append(total)
        out.means.append(float(Fraction(total, 100 * rows.size)))
        out.with_tax.append(math.fsum(net[rows] * 1.19))
        out.buyers.append(int(np.unique(user[rows]).size))
    return out


def column(chunks: Sequence[Chunk], name: str) -> Any:
    return np.concatenate([c[name] for c in chunks])


def bits(values: Any) -> Any:
    return np.asarray(values, dtype=np.float64).view(np.uint64)


def prove(answer: la.Answer, expected: Recount) -> int:
    """Compares every value of every group; returns how many groups there were."""
    days = answer["window_start"].astype("datetime64[D]").astype(np.int64)
    exact = answer.exact("revenue").integers
    checks = {
        "products": list(answer["sku"]) == expected.skus,
        "days": days.tolist() == expected.days,
        "orders": answer["orders"].tolist() == expected.orders,
        "revenue": [int(v) for v in exact] == expected.cents,
        "mean": np.array_equal(bits(answer["mean"]), bits(expected.means)),
        "with_tax": np.array_equal(bits(answer["with_tax"]), bits(expected.with_tax)),
        "buyers": answer["buyers"].tolist() == expected.buyers,
    }
    wrong = [name for name, same in checks.items() if not same]
    if wrong:
        raise AssertionError(f"the recount differs in: {', '.join(wrong)}")
    return len(expected.skus)


def plot(answer: la.Answer, path: Path) -> None:
    """Revenue by day, batch part below, live part on top."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    days = [np.datetime_as_string(d, "D")[5:] for d in answer["window_start"]]
    batch = np.nan_to_num(answer.parts.batch["revenue"]) / 1e6
    speed = np.nan_to_num(answer.parts.speed["revenue"]) / 1e6
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    axes.bar(days, batch, label="batch part", color="#35618f")
    axes.bar(days, speed, bottom=batch, label="live part", color="#e2853c")
    axes.set(title="Revenue by day", xlabel="day", ylabel="million")
    axes.tick_params(axis="x", rotation=60)
    axes.set_ylim(0, 1.15 * float((batch + speed).max()))
    axes.legend(loc="upper left", ncols=2)
    figure.savefig(path, dpi=130)
    plt.close(figure)


# ---------------------------------------------------------------------- the demo


def run(plan: Plan, picture: Path) -> None:
    """History, three processes, proof, picture."""
    context = mp.get_context("spawn")
    ledger = Ledger(context)
    runs, stop = context.RawValue("q", 0), context.Event()
    with la.open(plan.folder) as store:
        orders = open_orders(store)
        revenue = define_revenue(store, orders)
        began = time.perf_counter()
        rows = 0
        for chunk in plan.shop.chunks(0, plan.history):
            done = orders.append(chunk)
            rows += done.rows
            ledger.acknowledge(done.first + done.rows)
        took = time.perf_counter() - began
        print(f"history: {rows:,} orders appended, durable, in {took:.1f} s")
        began = time.perf_counter()
        store.batch(progress=False)
        print(f"batch view of all of it in {time.perf_counter() - began:.2f} s")

    writer = context.Process(target=write_live, args=(plan, ledger), name="writer")
    batcher = context.Process(
        target=recompute, args=(plan.folder, stop, runs), name="batch"
    )
    writer.start()
    batcher.start()
    try:
        waits_ms = ask(plan, ledger, writer, runs)
    finally:
        stop.set()
        writer.join()
        batcher.join()
    for process in (writer, batcher):
        if process.exitcode != 0:
            raise RuntimeError(f"the {process.name} process ended with an error")

    with la.open(plan.folder, mode="r") as store:
        revenue = store["revenue"]
        answer = revenue.query()
        groups = prove(
            answer, recount(list(plan.shop.chunks(0, plan.history + plan.live)))
        )
        receipt = answer.receipt
        print(
            f"\n{len(waits_ms)} answers while orders came and {runs.value} batch runs"
            f" published: median {np.median(waits_ms):.1f} ms,"
            f" slowest {max(waits_ms, default=0):.1f} ms"
        )
        print(
            f"proof: {groups:,} groups over {receipt.position:,} deliveries, "
            f"{receipt.cutoff:,} in the batch part, the rest live:\n"
            "       an independent recount agrees to the last bit"
        )
        plot(revenue.query(rollup={"by": []}, parts=True), picture)
        print(f"plot:  {picture}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line; 0 when the proof holds."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument(
        "--rows",
        type=int,
        default=1_000_000,
        help="orders of history, in chunks of 10,000 (default: a million)",
    )
    parser.add_argument(
        "--live", type=int, default=300_000, help="orders streamed live, likewise"
    )
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="time for the stream (default: 15)"
    )
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--folder", help="keep the store here (must not exist yet)")
    parser.add_argument(
        "--plot", type=Path, default=Path("demo.png"), help="PNG to write"
    )
    options = parser.parse_args(arguments)
    shop = Shop(seed=options.seed)
    if min(options.rows, options.live) < shop.chunk_rows:
        parser.error(f"--rows and --live are {shop.chunk_rows:,} at least")
    if options.seconds <= 0:
        parser.error("--seconds must be more than 0")
    if options.folder is not None and Path(options.folder).exists():
        parser.error(f"--folder {options.folder}: exists already")
    if not options.plot.resolve().parent.is_dir():
        parser.error(f"--plot {options.plot}: there is no such folder")
    folder = options.folder or tempfile.mkdtemp(prefix="lambdaarch-demo-") + "/shop"
    plan = Plan(
        folder=folder,
        shop=shop,
        history=options.rows // shop.chunk_rows,
        live=options.live // shop.chunk_rows,
        seconds=options.seconds,
    )
    try:
        run(plan, options.plot)
    finally:
        if options.folder is None:
            shutil.rmtree(Path(folder).parent, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
