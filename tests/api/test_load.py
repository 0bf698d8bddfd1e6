# SPDX-License-Identifier: Apache-2.0
"""Loading files: formats, names, derived columns, nulls, rows that cannot be read."""

from __future__ import annotations

import datetime as dt
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lambdaarch as la

SCHEMA = {"ts": "time[us]", "place": "cat", "pm": "f64?", "n": "i64?"}
CSV = """No,year,month,day,hour,"PM2.5",station,n
1,2013,3,1,0,4,Aotizhongxin,7
2,2013,3,1,1,NA,"Chang""ping, N",
3,2013,13,1,2,5.5,Dingling,1
4,2013,3,1,3,x,Dingling,1
5,2013,3,1
6,2013,3,1,5,1e2,Gucheng,3.0
"""
OPTIONS = {
    "rename": {"PM2.5": "pm", "station": "place"},
    "derive": {"ts": la.make_time("year", "month", "day", "hour")},
    "null": ["NA", ""],
    "progress": False,
}


@pytest.fixture
def log(store):
    return store.log("air", SCHEMA, time="ts")


def rows_of(log):
    return [row for rows in log.scan() for row in rows.to_dicts()]


def test_csv(log, tmp_path):
    file = tmp_path / "air.csv"
    file.write_bytes(CSV.replace("\n", "\r\n").encode())
    loaded = log.load(file, **OPTIONS)
    assert (loaded.rows, loaded.ok, loaded.quarantined, loaded.first) == (6, 3, 3, 0)
    assert loaded.ignored == ["No", "year", "month", "day", "hour"]
    assert loaded.files == [str(file)]
    assert rows_of(log) == [
        {"ts": dt.datetime(2013, 3, 1), "place": "Aotizhongxin", "pm": 4.0, "n": 7},
        {"ts": dt.datetime(2013, 3, 1, 1), "place": 'Chang"ping, N', "pm": None,
         "n": None},
        {"ts": dt.datetime(2013, 3, 1, 5), "place": "Gucheng", "pm": 100.0, "n": 3},
    ]  # fmt: skip
    month, number, short = log.quarantine()
    assert month.raw == "3,2013,13,1,2,5.5,Dingling,1"
    assert "could not derive ts" in month.reason
    assert 'field "pm": expected f64' in number.reason
    assert short.raw == "5,2013,3,1"
    assert short.reason == "4 cells, the header has 8"


def test_json_lines_gzip(log, tmp_path):
    lines = [
        {"ts": "2026-11-21T09:00:00.123Z", "place": "é", "pm": 1.5, "other": [1]},
        {"ts": "2026-11-21", "place": "b", "n": 5},
        {"ts": None, "place": "b"},
        {"ts": "2026-11-21", "place": "b", "n": 1.5},
    ]
    text = "\n".join([*map(json.dumps, lines), "{broken", "[1]", "", ""])
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    loaded = log.load(str(tmp_path / "*.jsonl.gz"), progress=False)
    assert (loaded.rows, loaded.ok, loaded.quarantined) == (6, 2, 4)
    assert loaded.ignored == ["other"]
    bad = log.quarantine()
    assert [q.position for q in bad] == [2, 3, 4, 5]
    assert bad[2].raw == "{broken"
    assert bad[2].reason.startswith("no JSON row")
    assert "it is list, not an object" in bad[3].reason


def test_parquet(log, tmp_path):
    table = pa.table(
        {
            "ts": pa.array([0, 1], pa.timestamp("us")),
            "station": ["a", "b"],
            "PM2.5": pa.array([1.5, None]),
            "wd": ["N", "S"],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    rename = OPTIONS["rename"]
    loaded = log.load(tmp_path / "x.parquet", rename=rename, progress=False)
    assert (loaded.ok, loaded.ignored) == (2, ["wd"])
    log.load(
        tmp_path / "x.parquet",
        rename=rename,
        derive={"n": lambda row: len(row["wd"])},
        progress=False,
    )
    assert [row["n"] for row in rows_of(log)] == [None, None, 1, 1]


def test_several_files_in_order_and_pieces(log, tmp_path):
    for name, start in (("b", 40_000), ("a", 0)):
        rows = "".join(f"{i},p,{i},1\n" for i in range(start, start + 40_000))
        (tmp_path / f"{name}.csv").write_text("ts,place,pm,n\n" + rows)
    loaded = log.load(tmp_path / "a.csv", progress=False)
    assert loaded.rows == 40_000
    everything = log.load([tmp_path / "a.csv", str(tmp_path / "b*")], progress=False)
    assert everything.rows == 80_000
    assert log.position == 120_000


def test_integers_in_csv_are_times_when_the_field_is_one(log, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("ts,place\n2026-11-21 09:00,a\n")
    log.load(file, progress=False)
    assert rows_of(log)[0]["ts"] == dt.datetime(2026, 11, 21, 9)


def test_raise_says_where(log, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("ts,place,pm\n2026-11-21,a,1\n2026-11-21,b,x\n")
    with pytest.raises(la.FieldTypeError, match='x.csv, line 3, field "pm"'):
        log.load(file, on_bad="raise", progress=False)
    assert log.position == 0


@pytest.mark.parametrize(
    ("name", "text", "options", "error"),
    [
        ("x.csv", "", {}, la.InvalidError),
        ("x.csv", "a,b\n1,2\n", {}, la.NotFoundError),
        ("x.jsonl", '{"a": 1}\n', {}, la.NotFoundError),
        ("x.txt", "hello", {}, la.InvalidError),
        ("x.csv", "ts,place\n", {"format": "xml"}, la.InvalidError),
        ("x.csv", "ts,place\n", {"on_bad": "skip"}, la.InvalidError),
        ("x.csv", "ts,place\n", {"derive": {"zz": len}}, la.NotFoundError),
    ],
)
def test_files_that_do_not_fit(log, tmp_path, name, text, options, error):
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(error):
        log.load(file, progress=False, **options)
    assert log.position == 0


def test_no_file(log, tmp_path):
    with pytest.raises(la.NotFoundError, match="no file"):
        log.load(tmp_path / "none*.csv")


def test_text_that_is_no_utf8_goes_to_quarantine(log, tmp_path):
    file = tmp_path / "x.csv"
    file.write_bytes(b"ts,place\n2026-11-21,\xff\n2026-11-21,a\n")
    loaded = log.load(file, progress=False)
    assert (loaded.ok, loaded.quarantined) == (1, 1)
    assert "not valid Unicode" in log.quarantine()[0].reason


def test_progress(log, tmp_path, capsys):
    file = tmp_path / "x.csv"
    file.write_text("ts,place\n2026-11-21,a\n")
    log.load(file, progress=True)
    assert "load [" in capsys.readouterr().err
