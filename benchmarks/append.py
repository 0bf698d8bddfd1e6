# SPDX-License-Identifier: Apache-2.0
"""How fast is a bulk durable append beside Parquet (zstd) and DuckDB?

    python benchmarks/append.py --rows 4_000_000

Every side gets the same Arrow tables and ends with its bytes synced to the disk:
lambdaarch `append`, pyarrow's Parquet writer with zstd and an fsync, DuckDB's INSERT
and CHECKPOINT.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import duckdb
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import reference

import lambdaarch as la


def plain_text(table: pa.Table) -> pa.Table:
    """Dictionary columns as plain strings."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[i].cast(pa.string()))
    return table


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """NumPy columns; text as StringDType."""
    return {
        name: np.asarray(column.to_numpy(), dtype=np.dtypes.StringDType())
        if pa.types.is_string(column.type)
        else column.to_numpy()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def append_lambdaarch(path: Path, chunks: list[object]) -> tuple[float, int]:
    with la.open(path) as store:
        log = store.log("events", reference.SCHEMA, time="time")
        began = time.perf_counter()
        for chunk in chunks:
            log.append(chunk)
        took = time.perf_counter() - began
    return took, harness.folder_bytes(path / "logs")


def append_parquet(path: Path, chunks: list[pa.Table]) -> tuple[float, int]:
    began = time.perf_counter()
    with path.open("wb") as file:
        writer = pq.ParquetWriter(file, chunks[0].schema, compression="zstd")
        for chunk in chunks:
            writer.write_table(chunk)
        writer.close()
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began, path.stat().st_size


def append_duckdb(
    path: Path, chunks: list[pa.Table], threads: int
) -> tuple[float, int]:
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"SET threads = {threads}")
        connection.register("chunk", chunks[0].slice(0, 0))
        connection.execute("CREATE TABLE events AS FROM chunk")
        began = time.perf_counter()
        for chunk in chunks:
            connection.register("chunk", chunk)
            connection.execute("INSERT INTO events FROM chunk")
        connection.execute("CHECKPOINT")
        took = time.perf_counter() - began
    return took, path.stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, help="where to write: a real disk")
    options = parser.parse_args()
    coded = list(reference.chunks(options.rows))
    plain = [plain_text(chunk) for chunk in coded]
    numpy = [arrays(chunk) for chunk in plain]
    sizes: dict[str, int] = {}

    def side(name: str, make: object, chunks: object, *more: object) -> object:
        def run() -> float:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                took, sizes[name] = make(Path(folder) / "x", chunks, *more)  # type: ignore[operator]
            return float(took)

        return run

    sides = {
        "lambdaarch, Arrow dictionaries": side("a", append_lambdaarch, coded),
        "Parquet zstd, Arrow dictionaries": side("b", append_parquet, coded),
        "lambdaarch, Arrow strings": side("c", append_lambdaarch, plain),
        "lambdaarch, NumPy": side("d", append_lambdaarch, numpy),
        "Parquet zstd, Arrow strings": side("e", append_parquet, plain),
        "DuckDB, Arrow strings": side("f", append_duckdb, plain, options.threads),
    }
    took = harness.interleaved(sides, options.rounds)  # type: ignore[arg-type]
    medians = {name: harness.median_ms(s) / 1e3 for name, s in took.items()}
    base = {"dict": medians["Parquet zstd, Arrow dictionaries"]}
    base["text"] = medians["Parquet zstd, Arrow strings"]
    rows = [
        (
            name,
            options.rows / s / 1e6,
            size / 2**20,
            base["dict" if "dict" in name else "text"] / s,
        )
        for (name, s), size in zip(medians.items(), sizes.values(), strict=True)
    ]
    print(f"Bulk durable append of {options.rows:,} events,")
    print(f"medians of {options.rounds} interleaved rounds. {harness.machine()}\n")
    header = ["writer", "M rows/s", "MiB", "x Parquet of the same input"]
    print(harness.markdown(header, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
