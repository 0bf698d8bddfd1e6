# SPDX-License-Identifier: Apache-2.0
"""What an attacker with fresh eyes found, each thing once."""

from __future__ import annotations

import datetime as dt
import gzip
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lambdaarch as la
from lambdaarch import cli, col
from lambdaarch.backfill import Backfill
from lambdaarch.cli import main
from lambdaarch.jobs import Job

FAR = 2**63 - 1  # DuckDB's 'infinity'
WIDE = {"i": "i64?", "t": "time[us]?", "d": "decimal(2)?", "s": "str?", "f": "f64?"}


def rows_of(log):
    return [row for rows in log.scan() for row in rows.to_dicts()]


@pytest.fixture
def wide(store):
    return store.log("wide", WIDE)


# ------------------------------------------------------------------------ backfill


@pytest.fixture
def daily(store):
    log = store.log("events", {"t": "time[us]", "x": "f64"}, time="t")
    view = store.view("daily", log, window="1d", agg={"x": col("x").sum()})
    log.append({"t": ["2026-01-01", "2026-01-02"], "x": [1.0, 2.0]})
    store.batch(progress=False)
    return view


def test_a_stale_backfill_does_not_move_current_back(store, daily):
    fix = daily.backfill(dry_run=True, progress=False)
    store.log("events").append({"t": "2026-01-03", "x": 3.0})
    store.batch(progress=False)
    now = daily.version
    assert now not in (fix.old, fix.new)
    with pytest.raises(la.StaleError, match="is current now") as caught:
        fix.apply()
    assert "run the backfill again" in caught.value.hint
    assert daily.version == now


def test_a_backfill_that_differs_is_applied_once_and_not_when_stale(store, daily):
    store.log("events").append({"t": "2026-01-03", "x": 3.0})
    old = daily.version
    store.batch(progress=False)
    new = daily.version
    daily.rollback(old)
    job = Job("batch", {}, 0.0)
    fix = Backfill(
        daily, old=old, new=new, start=None, end=None, candidate=False, job=job
    )
    assert not fix.same
    assert fix.apply() == new
    assert fix.apply() == new
    daily.rollback(old)
    store.log("events").append({"t": "2026-01-04", "x": 4.0})
    store.batch(progress=False)
    with pytest.raises(la.StaleError):
        fix.apply()


# ---------------------------------------------------------------------------- cli


@pytest.fixture
def shop(folder):
    with la.open(folder) as store:
        store.log("n", {"a": "i64"})
    return str(folder)


def test_load_stopped_tells_what_is_in(shop, tmp_path, capsys, monkeypatch):
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file in files:
        file.write_text("a\n1\n2\n3\n")
    update = cli.Loaded.add

    def stop(self, done):
        update(self, done)
        if self.rows > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli.Loaded, "add", stop)
    assert main(["load", shop, "n", *map(str, files), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "stopped after 6 rows: positions [0, 6) are in the log" in error
    monkeypatch.setattr("lambdaarch.sources.files._files", _interrupt)
    assert main(["load", shop, "n", str(files[0]), "--quiet"]) == 1
    assert "stopped; no row was written" in capsys.readouterr().err


def _interrupt(*_args, **_options):
    raise KeyboardInterrupt


def test_append_stopped_tells_what_is_in(shop, capsys, monkeypatch):
    def lines():
        yield [b'{"a": 1}', b'{"a": 2}']
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_stdin_lines", lines)
    assert main(["append", shop, "n"]) == 1
    error = capsys.readouterr().err
    assert "stopped after 2 rows: positions [0, 2) are in the log" in error


def test_batch_stopped_leaves_the_store(shop, capsys, monkeypatch):
    monkeypatch.setattr(la.Store, "batch", _interrupt)
    assert main(["batch", shop]) == 1
    assert "the store is as it was" in capsys.readouterr().err


def test_append_tells_the_line_on_standard_input(shop, capsys, monkeypatch):
    def lines():
        yield [b'{"a": 1}', b""]
        yield [b"", b'{"a": 2}', b'{"a": "x"}']

    monkeypatch.setattr(cli, "_stdin_lines", lines)
    assert main(["append", shop, "n"]) == 1
    error = capsys.readouterr().err
    assert 'standard input, line 5, field "a"' in error
    assert "positions [0, 1) are in the log" in error


def test_the_command_line_refuses_numbers(shop):
    for option in ("--cutoff=-1", "--threads=-1", "--threads=9999", "--memory=-5"):
        assert main(["batch", shop, option]) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"cutoff": -1}, {"cutoff": 2**64}, {"cutoff": 1.5}, {"threads": -1},
        {"threads": 1025}, {"threads": "x"}, {"memory": -1}, {"memory": 2**70},
    ],
)  # fmt: skip
def test_batch_refuses_numbers(store, options):
    with pytest.raises(la.InvalidError, match=f"{next(iter(options))} is a number"):
        store.batch(progress=False, **options)


# -------------------------------------------------------------------------- times


@pytest.mark.parametrize("us", [FAR - 2 * 86_400_000_000, -(2**62), -(2**63)])
def test_times_python_does_not_have(folder, capsys, us):
    with la.open(folder) as store:
        log = store.log("x", {"t": "time[us]"}, time="t")
        view = store.view("v", log, agg={"t": col("t").max(), "n": la.len()})
        log.append({"t": [us]})
        answer = view.query()
        assert "null" not in repr(answer)
        assert "NaT" not in repr(answer)
        answer._repr_html_()
        text = answer.to_dicts()[0]["t"]
        assert isinstance(text, str)
        assert "NaT" not in text
        assert answer.row(0)["t"] == text
        assert str(answer.receipt)
        wm = answer.receipt.watermark
        assert wm is None or isinstance(wm, (str, dt.datetime))
        assert rows_of(log) == [{"t": us}]
        store.batch(progress=False)
        assert repr(view.query())
        assert len(la.diff(answer, view.query())) == 0
    assert main(["query", str(folder), "v", "--json"]) == 0
    assert main(["query", str(folder), "v"]) == 0
    assert main(["status", str(folder)]) == 0
    assert text.split(".")[0] in capsys.readouterr().out


def test_far_times_from_arrow(wide):
    table = pa.table(
        {"t": pa.array([FAR, None, 0], pa.timestamp("us")), "i": [1, 2, 3]}
    )
    wide.append(table)
    wide.append(table, on_bad="quarantine")
    wide.append({"t": table["t"]})
    assert [row["t"] for row in rows_of(wide)] == [
        FAR,
        None,
        dt.datetime(1970, 1, 1),
    ] * 3


def test_far_dates(store):
    log = store.log("x", {"d": "date?"})
    view = store.view("v", log, by=["d"], agg={"n": la.len()})
    days = [-(2**31), 2**31 - 1]
    log.append({"d": np.array(days, "int32")})
    assert [row["d"] for row in rows_of(log)] == days
    texts = [row["d"] for row in view.query().to_dicts()]
    assert texts == ["-5877641-06-23", "5881580-07-11"]
    assert "NaT" not in repr(view.query())


def test_far_windows():
    for us in (2**62, -(2**62)):
        start = la.calendar("month").start(us)
        assert start <= us < start + 32 * 86_400_000_000
    eastern = dt.timezone(dt.timedelta(hours=5))
    first = dt.datetime(1, 1, 1, tzinfo=eastern)
    assert la.tumbling("1h").start(first) < la.tumbling("1h").start("0001-01-01")


# -------------------------------------------------------------------------- bytes


def test_bytes_keys(store):
    log = store.log("b", {"k": "bytes?"})
    view = store.view("by", log, by=["k"], agg={"n": la.len()})
    log.append({"k": [b"\xff\x00", b"a", None]})
    frame = view.query().to_pandas()
    assert set(frame["k"]) == {b"\xff\x00", b"a", None}
    for ask in (lambda: view[b"a"], lambda: view.query({"k": [b"a"]})):
        with pytest.raises(la.InvalidError, match="cannot be asked for yet"):
            ask()
    assert view[None]["n"] == 1


# -------------------------------------------------------------------------- files


def test_a_header_alone_is_no_row(wide, tmp_path):
    (tmp_path / "h.csv").write_text("i,zz\n")
    loaded = wide.load(tmp_path / "h.csv", progress=False)
    assert (loaded.rows, loaded.ignored) == (0, ["zz"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.parquet", b"no parquet"),
        ("x.parquet", b""),
        ("x.csv.gz", b"i\n1\n"),
        ("x.csv.gz", gzip.compress(b"i\n" + b"1\n" * 999)[:-9]),
        ("x.jsonl.gz", b"\x1f\x8bno gzip at all"),
        ("x.jsonl.gz", gzip.compress(b'{"i": 1}\n')[:12] + b"\xff" * 20),
        ("x.csv", b'i\n"' + b"1" * 200_000 + b'"\n'),
    ],
)
def test_files_that_cannot_be_read(folder, tmp_path, capsys, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    with la.open(folder) as store:
        log = store.log("wide", WIDE)
        with pytest.raises(la.InvalidError, match="x\\."):
            log.load(file, progress=False)
        with pytest.raises(la.InvalidError, match="could not read"):
            log.load(tmp_path, format="csv", progress=False)
    assert main(["load", str(folder), "wide", str(file)]) == 1
    assert name in capsys.readouterr().err


def test_a_bad_row_is_named_by_its_line(wide, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text('i,s\n\n1,"two\nlines"\n\nx,a\n')
    with pytest.raises(la.FieldTypeError, match='x.csv, line 6, field "i"'):
        wide.load(file, on_bad="raise", progress=False)
    file = tmp_path / "x.jsonl"
    file.write_text('{"i": 1}\n\n\n{"i": "x"}\n')
    with pytest.raises(la.FieldTypeError, match='x.jsonl, line 4, field "i"'):
        wide.load(file, on_bad="raise", progress=False)
    pq.write_table(pa.table({"i": ["1", "x"]}), tmp_path / "x.parquet")
    with pytest.raises(la.FieldTypeError, match='x.parquet, row 0, field "i"'):
        wide.load(tmp_path / "x.parquet", on_bad="raise", progress=False)
    assert wide.position == 0


# ------------------------------------------------------------------ foreign errors


def test_arrow_columns_with_nulls(wide):
    for make in (pa.array, lambda *a: pa.chunked_array([pa.array(*a)])):
        wide.append(
            {
                "i": make([1, None]),
                "s": make(["a", None]),
                "f": make([1.5, None]),
                "t": make([7, None], pa.timestamp("ms")),
            }
        )
    time = dt.datetime(1970, 1, 1, 0, 0, 0, 7000)
    one = {"i": 1, "t": time, "d": None, "s": "a", "f": 1.5}
    assert rows_of(wide) == [one, dict.fromkeys(WIDE), one, dict.fromkeys(WIDE)]


def test_pandas_frames_that_arrow_does_not_take(wide):
    mixed = pd.DataFrame({"i": pd.Series([1, "a", None], dtype=object)})
    with pytest.raises(la.FieldTypeError, match='row 1, field "i"'):
        wide.append(mixed)
    done = wide.append(mixed, on_bad="quarantine")
    assert (done.ok, done.quarantined) == (2, 1)
    twice = pd.DataFrame([[1, 2]], columns=["i", "i"])
    for on_bad in ("raise", "quarantine"):
        with pytest.raises(la.InvalidError, match='column "i" is there twice'):
            wide.append(twice, on_bad=on_bad)


def test_frames_as_read_csv_gives_them(wide):
    text = "i,t,d,s,f\n1,2026-01-01,1.50,a,2\n,2026-01-02 09:00,2.25,,\n"
    frame = pd.read_csv(io.StringIO(text))
    wide.append(frame)
    wide.append(frame[frame["d"] > 2])  # with an index that is no range
    rows = rows_of(wide)
    assert rows[0]["i"] == 1
    assert rows[0]["t"] == dt.datetime(2026, 1, 1)
    assert str(rows[0]["d"]) == "1.50"
    assert rows[1] == rows[2]
    assert (rows[1]["i"], rows[1]["s"], rows[1]["f"]) == (None, None, None)
    with pytest.raises(la.InvalidError, match=r"1\.5 .*not a whole number"):
        wide.append(pd.DataFrame({"i": [1.5]}))


def test_arrow_types_by_their_names(wide):
    table = pa.table({"t": pa.array(["2026-01-01"], pa.large_string())})
    with pytest.raises(la.FieldTypeError, match="Arrow type large_string does not"):
        wide.append(table.to_reader())
    assert wide.append(table).ok == 1


@pytest.mark.parametrize(
    "schema", [[("a", "i64"), ("a", "i64")], "i64", 5, [5], [("a", 5)], [(None, "i64")]]
)
def test_schemas_that_are_none(store, schema):
    with pytest.raises(la.InvalidError):
        store.log("x", schema)


def test_a_schema_of_pairs(store):
    log = store.log("x", [("a", "i64"), ("b", "str?")])
    assert log.schema == la.Schema({"a": "i64", "b": "str?"})
    with pytest.raises(la.InvalidError, match='"a" is there twice'):
        store.log("y", [("a", "i64"), ("a", "i64")])


@pytest.mark.parametrize("name", [None, 5, "a\0b", "\ud800"])
def test_names_that_are_none(store, wide, name):
    view = store.view("v", wide, by=["s"], agg={"n": la.len()})
    for call in (
        lambda: store.log(name, {"a": "i64"}),
        lambda: store.log(name),
        lambda: store.view(name, wide, agg={"n": la.len()}),
        lambda: store[name],
        lambda: store.batch([name], progress=False),
        lambda: store.log("q", {name: "i64"}),
        lambda: view.query(columns=[name]),
        lambda: view.query(order_by=[name]),
        lambda: view.query(rollup={"by": [name]}),
    ):
        with pytest.raises(la.InvalidError):
            call()


def test_queries_that_are_none(store, wide):
    view = store.view("v", wide, by=["s"], agg={"n": la.len()})
    for keys in ("a", ["a"], 5):
        with pytest.raises(la.FieldTypeError, match="keys is a dict"):
            view.query(keys)
    with pytest.raises(la.InvalidError, match="not valid Unicode"):
        view.query({"s": "\ud800"})
    with pytest.raises(la.InvalidError, match="64 bits"):
        view.query(since=2**70)


def test_paths_that_are_none(tmp_path):
    with pytest.raises(la.FieldTypeError):
        la.open(None)
    with pytest.raises(la.InvalidError):
        la.open("a\0b")
    with pytest.raises(la.StorageError):
        la.open(tmp_path / "no" / "store")
    with pytest.raises(la.NotFoundError):
        la.open(tmp_path / "no" / "store", mode="r")
