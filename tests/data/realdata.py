# SPDX-License-Identifier: Apache-2.0
"""The two real data sets as Arrow tables, and the answers they must give.

The folder is `LAMBDAARCH_DATA`, else `shared/data` beside the repository. Credit:
Wikipedia edits as distributed with Apache Druid (Apache-2.0); Song Xi Chen, Beijing
Multi-Site Air Quality, UCI Machine Learning Repository (CC BY 4.0).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson

ROOT = Path(__file__).resolve().parents[2]
WIKI = "wikiticker-2015-09-12-sampled.json.gz"
BEIJING = "beijing-air-2013-2017.csv.gz"

WIKI_SCHEMA = {
    "line": "u64",
    "time": "time[us]",
    "channel": "cat",
    "cityName": "str?",
    "comment": "str",
    "countryIsoCode": "cat?",
    "countryName": "cat?",
    "isAnonymous": "bool",
    "isMinor": "bool",
    "isNew": "bool",
    "isRobot": "bool",
    "isUnpatrolled": "bool",
    "metroCode": "i64?",
    "namespace": "cat",
    "page": "str",
    "regionIsoCode": "str?",
    "regionName": "str?",
    "user": "str",
    "delta": "i64",
    "added": "i64",
    "deleted": "i64",
}
AIR = [
    "PM2.5",
    "PM10",
    "SO2",
    "NO2",
    "CO",
    "O3",
    "TEMP",
    "PRES",
    "DEWP",
    "RAIN",
    "WSPM",
]
BEIJING_SCHEMA = {
    "line": "u64",
    "time": "time[us]",
    "station": "cat",
    "wd": "cat?",
    **dict.fromkeys(AIR, "f64?"),
}


def folder() -> Path | None:
    """Where the data is, or None."""
    given = os.environ.get("LAMBDAARCH_DATA")
    candidates = [Path(given)] if given else [ROOT.parent / "shared" / "data"]
    return next((c for c in candidates if (c / "expected.json").is_file()), None)


def required() -> Path:
    found = folder()
    assert found is not None
    return found


@cache
def expected() -> dict[str, Any]:
    with (required() / "expected.json").open() as file:
        return json.load(file)


def unpacked(name: str) -> bytes:
    """A file's content, after its checksum was found right."""
    packed = (required() / name).read_bytes()
    digest = hashlib.sha256(packed).hexdigest()
    assert digest == expected()["files"][name]["sha256"], f"{name} is another file"
    return gzip.decompress(packed)


@cache
def wiki() -> pa.Table:
    """39,244 edits in time order; the line number is the id."""
    types = {"bool": pa.bool_(), "i64": pa.int64(), "str": pa.string()}
    fields = [
        (name, types.get(kind.rstrip("?"), pa.string()))
        for name, kind in WIKI_SCHEMA.items()
        if name != "line"
    ]
    table = pajson.read_json(
        io.BytesIO(unpacked(WIKI)),
        read_options=pajson.ReadOptions(block_size=32 << 20),
        parse_options=pajson.ParseOptions(
            explicit_schema=pa.schema(fields), unexpected_field_behavior="error"
        ),
    )
    text = pc.utf8_rtrim(table["time"], characters="Z")
    time = pc.strptime(
        pc.utf8_slice_codeunits(text, 0, 19), format="%Y-%m-%dT%H:%M:%S", unit="us"
    )
    ms = pc.cast(pc.utf8_slice_codeunits(text, 20, 23), pa.int64())
    us = pc.add(pc.cast(time, pa.int64()), pc.multiply(ms, 1000))
    table = table.set_column(
        table.schema.get_field_index("time"), "time", pc.cast(us, pa.timestamp("us"))
    )
    return numbered(table)


@cache
def beijing() -> pa.Table:
    """420,768 readings, station after station: 12 overlapping runs through time."""
    table = pacsv.read_csv(
        io.BytesIO(unpacked(BEIJING)),
        read_options=pacsv.ReadOptions(block_size=64 << 20),
        convert_options=pacsv.ConvertOptions(
            null_values=["NA", "", " "],  # a blank stands in one place
            strings_can_be_null=True,
            column_types={name: pa.float64() for name in AIR},
        ),
    )
    months = (np.asarray(table["year"]) - 1970) * 12 + np.asarray(table["month"]) - 1
    day = months.astype("datetime64[M]").astype("datetime64[D]") + (
        np.asarray(table["day"]) - 1
    )
    time = day.astype("datetime64[us]") + np.asarray(table["hour"]).astype("m8[h]")
    table = table.append_column("time", pa.array(time, pa.timestamp("us")))
    return numbered(table.select(["time", "station", "wd", *AIR])).combine_chunks()


def numbered(table: pa.Table) -> pa.Table:
    line = pa.array(np.arange(table.num_rows, dtype=np.uint64))
    return table.add_column(0, "line", line)


# --------------------------------------------------------------------- deliveries


def in_order(table: pa.Table) -> pa.Table:
    return table


def redelivered(table: pa.Table, seed: int = 11) -> pa.Table:
    """Every tenth row comes again, up to a few thousand rows later."""
    rng = np.random.default_rng(seed)
    n = table.num_rows
    again = np.flatnonzero(rng.random(n) < 0.1)
    when = np.concatenate([np.arange(n), again + rng.integers(1, 5_000, again.size)])
    row = np.concatenate([np.arange(n), again])
    # stable: at equal places the first delivery stays before its copy
    return table.take(pa.array(row[np.argsort(when, kind="stable")]))


def shuffled(table: pa.Table, seed: int = 12) -> pa.Table:
    """No order at all."""
    rng = np.random.default_rng(seed)
    return table.take(pa.array(rng.permutation(table.num_rows)))


DELIVERIES = {"in_order": in_order, "redelivered": redelivered, "shuffled": shuffled}
