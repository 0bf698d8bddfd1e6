# SPDX-License-Identifier: Apache-2.0
"""How long does a full recompute take beside DuckDB and Polars?

    python benchmarks/recompute.py --rows 10_000_000

lambdaarch folds its log (durable, on disk) view by view; *fold* is the time to the
states in memory, before they are finished into columns; *published* is the whole run:
states encoded, written, synced and current. DuckDB reads its native table, Polars a
Parquet file; both give finished columns. All get the same threads, interleaved in one
run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import harness
import pyarrow.parquet as pq
import reference

import lambdaarch as la


def make_store(path: Path, rows: int) -> la.Store:
    store = la.open(path)
    log = store.log("events", reference.SCHEMA, time="time")
    for chunk in reference.chunks(rows):
        log.append(chunk)
    log.seal()
    reference.define_views(store, log)
    return store


def make_duckdb(path: Path, rows: int, threads: int) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(path))
    connection.execute(f"SET threads = {threads}")
    for number, chunk in enumerate(reference.chunks(rows)):
        connection.register("chunk", chunk)
        made = "CREATE TABLE events AS" if number == 0 else "INSERT INTO events"
        connection.execute(f"{made} FROM chunk")
    connection.execute("CHECKPOINT")
    return connection


def make_parquet(path: Path, rows: int) -> None:
    writer = None
    for chunk in reference.chunks(rows):
        writer = writer or pq.ParquetWriter(path, chunk.schema, compression="zstd")
        writer.write_table(chunk)
    if writer is not None:
        writer.close()


def fold_seconds(report: dict[str, object]) -> float:
    """Time in the fold stage of a run's report: log on disk to states in memory."""
    (view,) = report["views"]  # type: ignore[misc]
    return float(view["fold_seconds"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--folder", type=Path, help="where to build (default: temporary)"
    )
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = str(options.threads)
    import polars as pl

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        base = Path(folder)
        store = make_store(base / "store", options.rows)
        base_duckdb = make_duckdb(base / "duck.db", options.rows, options.threads)
        make_parquet(base / "events.parquet", options.rows)
        frame = pl.scan_parquet(base / "events.parquet")
        results = []
        for name, polars_query in reference.polars_queries().items():
            folds: list[float] = []

            def ours(name: str = name, folds: list[float] = folds) -> float:
                began = time.perf_counter()
                job = store.batch([name], threads=options.threads, progress=False)
                took = time.perf_counter() - began
                folds.append(fold_seconds(job.report))
                return took

            sides: dict[str, Callable[[], float | None]] = {
                "published": ours,
                "duckdb": lambda name=name: seconds(
                    lambda: base_duckdb.sql(reference.SQL[name]).to_arrow_table()
                ),
                "polars": lambda query=polars_query: seconds(
                    lambda: query(frame).collect()
                ),
            }
            took = harness.interleaved(sides, options.rounds)
            fold = harness.median_ms(folds[1:])
            published, duck, pola = (harness.median_ms(took[s]) for s in sides)
            peer = min(duck, pola)
            results.append(
                (name, fold, published, duck, pola, peer / fold, peer / published)
            )
        store.close()

    print(f"Full recompute of {options.rows:,} events, {options.threads} threads,")
    print(f"medians of {options.rounds} interleaved rounds, ms. {harness.machine()}\n")
    header = ["view", "fold", "published", "DuckDB native", "Polars Parquet"]
    header += ["fastest peer / fold", "/ published"]
    print(harness.markdown(header, results))
    for place, what in ((5, "fold"), (6, "published")):
        mean = harness.geometric_mean(row[place] for row in results)
        print(f"\nFastest peer over {what}, geometric mean: {mean:.2f}x")
    return 0


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
