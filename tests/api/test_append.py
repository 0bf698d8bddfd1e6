# SPDX-License-Identifier: Apache-2.0
"""Append: every form of rows, every type, and what is refused."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lambdaarch as la
from lambdaarch import col

NaN = float("nan")
TYPES = {
    "i": "i64", "u": "u64", "s": "i32", "f": "f64", "g": "f32", "b": "bool",
    "t": "time[us]", "d": "date", "m": "decimal(2)", "c": "cat", "x": "str",
    "y": "bytes",
}  # fmt: skip
ROW = {
    "i": -5, "u": 2**64 - 1, "s": 7, "f": 0.1, "g": 0.5, "b": True,
    "t": dt.datetime(2026, 11, 21, 9, 0, 0, 5), "d": dt.date(2026, 11, 21),
    "m": Decimal("9.99"), "c": "de", "x": "é", "y": b"\x00\xff",
}  # fmt: skip
NULLABLE = {name: text + "?" for name, text in TYPES.items()}


@pytest.fixture
def log(store):
    return store.log("all", TYPES)


@pytest.fixture
def nulls(store):
    return store.log("nulls", NULLABLE)


def rows_of(log, **options):
    return [row for rows in log.scan(**options) for row in rows.to_dicts()]


def one(store, type_text):
    return store.log("one", {"x": type_text})


# --------------------------------------------------------------------------- forms


def test_one_dict(log):
    done = log.append(ROW)
    assert done == la.Appended(0, 1, 1, 0, 0, durable=True)
    assert rows_of(log) == [ROW]
    assert (log.position, log.durable) == (1, 1)


def test_list_of_dicts_and_nothing(log):
    assert log.append([ROW, ROW]).rows == 2
    assert log.append([]).rows == 0
    assert log.append({name: [] for name in TYPES}).rows == 0
    assert rows_of(log) == [ROW, ROW]


def test_dict_of_lists(log):
    log.append({name: [value] * 3 for name, value in ROW.items()})
    assert rows_of(log) == [ROW] * 3


def arrays(n):
    return {
        "i": np.arange(n), "u": np.arange(n, dtype=np.uint64),
        "s": np.arange(n, dtype=np.int32), "f": np.arange(n) / 3,
        "g": np.arange(n, dtype=np.float32), "b": np.arange(n) % 2 == 0,
        "t": np.datetime64("2026-11-21", "us") + np.arange(n),
        "d": np.datetime64("2026-11-21") + np.arange(n),
        "m": np.arange(n) / 100, "c": np.array(["a", "b"] * (n // 2)),
        "x": np.array([f"é{i}" for i in range(n)], dtype=np.dtypes.StringDType()),
        "y": np.array([bytes([i % 256]) for i in range(n)], dtype=object),
    }  # fmt: skip


def check_arrays(log, n):
    got = list(log.scan())
    want = arrays(n)
    for name, values in want.items():
        found = np.concatenate([rows[name] for rows in got])
        assert np.array_equal(found.astype(values.dtype), values), name
    assert np.array_equal(
        np.concatenate([rows.positions for rows in got]), np.arange(n, dtype=np.uint64)
    )


def test_dict_of_arrays(log):
    log.append(arrays(1000))
    check_arrays(log, 1000)


def test_large_append_spans_frames_and_scans_in_pieces(log):
    n = 150_000
    assert log.append(arrays(n)).rows == n
    check_arrays(log, n)
    assert len(list(log.scan())) > 1


def test_structured_array(store):
    log = store.log("s", {"a": "i64", "b": "f64", "t": "time[us]"})
    rows = np.array(
        [(1, 0.5, "2026-11-21T09:00"), (2, 1.5, "2026-11-21T10:00")],
        dtype=[("a", "i4"), ("b", "f8"), ("t", "M8[s]")],
    )
    log.append(rows)
    assert rows_of(log)[1] == {"a": 2, "b": 1.5, "t": dt.datetime(2026, 11, 21, 10)}
    with pytest.raises(la.FieldTypeError, match="no fields"):
        log.append(np.arange(3))


def test_strided_and_swapped_arrays(store):
    log = one(store, "i64")
    log.append({"x": np.arange(10)[::2]})
    log.append({"x": np.arange(3, dtype=">i8")})
    assert [row["x"] for row in rows_of(log)] == [0, 2, 4, 6, 8, 0, 1, 2]


def test_pandas(log, nulls):
    frame = pd.DataFrame({name: [value] * 2 for name, value in ROW.items()})
    log.append(frame)
    assert rows_of(log) == [ROW] * 2
    table = pd.DataFrame(
        {
            "i": pd.array([1, None], dtype="Int64"),
            "f": [1.5, NaN],
            "b": pd.array([True, None], dtype="boolean"),
            "t": pd.to_datetime(["2026-11-21T09:00:00Z", None]),
            "c": pd.Categorical(["a", None]),
            "x": ["a", None],
        }
    )
    nulls.append(table)
    first, second = rows_of(nulls)
    assert first["t"] == dt.datetime(2026, 11, 21, 9)
    assert (first["i"], first["f"], first["b"], first["c"], first["x"]) == (
        1, 1.5, True, "a", "a",
    )  # fmt: skip
    assert all(value is None for value in second.values())


def test_arrow_polars_duckdb(log):
    schema = pa.schema(
        [("i", pa.int64()), ("u", pa.uint64()), ("s", pa.int32()), ("f", pa.float64()),
         ("g", pa.float32()), ("b", pa.bool_()), ("t", pa.timestamp("us", "UTC")),
         ("d", pa.date32()), ("m", pa.decimal128(18, 2)),
         ("c", pa.dictionary(pa.int32(), pa.string())), ("x", pa.string()),
         ("y", pa.binary())]
    )  # fmt: skip
    table = pa.Table.from_pylist([ROW] * 3, schema=schema)
    log.append(table)
    log.append(pa.concat_tables([table.slice(1), table]))  # several record arrays
    log.append(pl.DataFrame(table))
    assert rows_of(log) == [ROW] * 11
    single = table.slice(0, 1)
    assert single.num_rows == 1
    log.append(duckdb.sql("select * from single"))
    assert rows_of(log)[-1] == ROW
    assert log.append(table.slice(0, 0)).rows == 0


def test_arrow_nulls_and_missing_columns(nulls):
    nulls.append(pa.table({"i": pa.array([1, None])}))
    assert [row["i"] for row in rows_of(nulls)] == [1, None]
    assert all(row["x"] is None for row in rows_of(nulls))


def test_arrow_mistakes(log, store):
    with pytest.raises(la.NotFoundError, match="nope"):
        log.append(pa.table({"nope": [1]}))
    with pytest.raises(la.InvalidError, match='"i" is missing'):
        log.append(pa.table({"u": pa.array([1], pa.uint64())}))
    with pytest.raises(la.InvalidError, match="x"):
        one(store, "i64").append(pa.table({"x": ["text"]}))


def test_rows_of_one_log_go_into_another(nulls, store):
    nulls.append([{}, ROW])
    other = store.log("other", NULLABLE)
    for rows in nulls.scan():
        other.append(rows)
    assert rows_of(other) == rows_of(nulls)


def test_something_without_rows(log):
    with pytest.raises(la.FieldTypeError, match="has no rows"):
        log.append(3)
    with pytest.raises(la.FieldTypeError, match="row 1 is no dict"):
        log.append([ROW, 3])


# --------------------------------------------------------------------------- nulls


def test_nulls_of_every_kind(nulls):
    nulls.append({})
    nulls.append({"i": None})
    nulls.append({"t": [np.datetime64("NaT"), pd.NaT, pd.NA, None]})
    nulls.append({"i": np.ma.masked_array([1, 2], mask=[True, False])})
    nulls.append(
        {"x": np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None))}
    )
    nulls.append(
        {"t": np.array(["NaT"], dtype="M8[ns]"), "d": np.array(["NaT"], "M8[D]")}
    )
    rows = rows_of(nulls)
    assert [row["i"] for row in rows] == [None] * 7 + [2] + [None] * 3
    assert [row["x"] for row in rows][8:] == ["a", None, None]
    assert {row["t"] for row in rows} == {None}


def test_null_cells_hold_nan_and_nat(nulls):
    nulls.append([{}, ROW])
    (rows,) = nulls.scan()
    assert np.isnan(rows["f"][0])
    assert np.isnat(rows["t"][0])
    assert np.isnat(rows["d"][0])
    assert np.isnan(rows["m"][0])
    assert (rows["i"][0], rows["x"][0], rows["b"][0]) == (0, "", False)
    assert rows.valid["i"].tolist() == [False, True]


def test_nan_is_a_value_in_numpy_and_missing_in_pandas(store):
    log = store.log("f", {"x": "f64?"})
    log.append({"x": np.array([NaN])})
    log.append(pd.DataFrame({"x": [NaN]}))
    first, second = rows_of(log)
    assert first["x"] != first["x"]
    assert second["x"] is None


@pytest.mark.parametrize("value", [None, pd.NA, np.ma.masked])
def test_null_where_none_is_allowed(store, value):
    with pytest.raises(la.InvalidError, match='row 0, field "x": null'):
        one(store, "i64").append({"x": value})
    with pytest.raises(la.InvalidError, match="row 1.*null"):
        one(store, "i64").append({"x": np.ma.masked_array([1, 2], mask=[False, True])})


# --------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("type_text", "given", "kept"),
    [
        ("i64", 5.0, 5), ("i64", np.int8(5), 5), ("i64", np.float32(5), 5),
        ("i64", 2**63 - 1, 2**63 - 1), ("u64", np.uint64(2**64 - 1), 2**64 - 1),
        ("i32", -(2**31), -(2**31)), ("f64", 3, 3.0), ("f64", np.float32(0.5), 0.5),
        ("f32", 0.1, float(np.float32(0.1))), ("bool", np.True_, True),
        ("decimal(2)", "9.99", Decimal("9.99")), ("decimal(2)", 3, Decimal("3.00")),
        ("decimal(2)", 9.99, Decimal("9.99")), ("decimal(2)", "-.5", Decimal("-0.50")),
        ("decimal(2)", Decimal("9.990"), Decimal("9.99")),
        ("decimal(2)", Decimal("1E+3"), Decimal("1000.00")),
        ("decimal(0)", "100", Decimal(100)),
        ("decimal(18)", 0.1, Decimal("0.1").quantize(Decimal(1).scaleb(-18))),
        ("time[us]", 5, dt.datetime(1970, 1, 1, 0, 0, 0, 5)),
        ("time[us]", "2026-11-21T09:00", dt.datetime(2026, 11, 21, 9)),
        ("time[us]", "2026-11-21T09:00:00.5+02:00",
         dt.datetime(2026, 11, 21, 7, 0, 0, 500000)),
        ("time[us]", dt.date(2026, 11, 21), dt.datetime(2026, 11, 21)),
        ("time[us]", dt.datetime(1, 1, 1), dt.datetime(1, 1, 1)),
        ("time[us]", dt.datetime(9999, 12, 31), dt.datetime(9999, 12, 31)),
        ("time[us]", np.datetime64("2026-11-21T09", "ns"),
         dt.datetime(2026, 11, 21, 9)),
        ("time[us]", np.datetime64("2026-11-21", "D"), dt.datetime(2026, 11, 21)),
        ("time[us]", pd.Timestamp("2026-11-21 09:00", tz="Asia/Tokyo"),
         dt.datetime(2026, 11, 21)),
        ("date", "2026-11-21", dt.date(2026, 11, 21)), ("date", 1, dt.date(1970, 1, 2)),
        ("date", np.datetime64("1969-12-31"), dt.date(1969, 12, 31)),
        ("date", dt.datetime(2026, 11, 21), dt.date(2026, 11, 21)),
        ("cat", "", ""), ("str", "a\0b", "a\0b"), ("str", np.str_("𝄞"), "𝄞"),
    ],
)  # fmt: skip
def test_values_that_lose_nothing(store, type_text, given, kept):
    log = one(store, type_text)
    log.append({"x": given})
    log.append({"x": [given]})
    assert [row["x"] for row in rows_of(log)] == [kept, kept]


@pytest.mark.parametrize(
    ("type_text", "value", "says"),
    [
        ("i64", True, "expected i64, got True (bool)"),
        ("i64", "5", "got '5' (str)"),
        ("i64", 5.5, "not a whole number"),
        ("i64", NaN, "not a whole number"),
        ("i64", 2**63, "out of range"),
        ("i32", 2**31, "out of range"),
        ("u64", -1, "out of range"),
        ("u64", 2**64, "out of range"),
        ("f64", "1.5", "got '1.5' (str)"),
        ("f64", True, "(bool)"),
        ("f64", 2**53 + 1, "more than 53 bits"),
        ("f64", 10**400, "got 1000"),
        ("f32", 1e300, "out of range"),
        ("bool", 1, "(int)"),
        ("decimal(2)", "9.999", "scale"),
        ("decimal(2)", "nine", "could not read"),
        ("decimal(2)", 0.001, "read back"),
        ("decimal(2)", NaN, "read back"),
        ("decimal(2)", 10**17, "out of range"),
        ("decimal(2)", Decimal("NaN"), "could not read"),
        ("decimal(2)", True, "(bool)"),
        ("time[us]", "yesterday", "could not read"),
        ("time[us]", 1.5, "(float)"),
        ("time[us]", np.datetime64(1, "ns"), "parts of a microsecond"),
        ("date", dt.datetime(2026, 11, 21, 9), "time of day"),
        ("date", "2026-02-30", "could not read"),
        ("str", 5, "(int)"),
        ("str", b"x", "decode it first"),
        ("str", "\ud800", "not valid Unicode"),
        ("cat", 5, "expected cat"),
        ("bytes", "x", "expected bytes"),
    ],
)
def test_values_that_would_lose_something(store, type_text, value, says):
    log = one(store, type_text)
    for rows in ({"x": value}, [{"x": value}], {"x": [value]}):
        with pytest.raises(la.InvalidError) as caught:
            log.append(rows)
        text = str(caught.value)
        assert 'log "one": row 0, field "x": ' in text
        assert says in text
    assert "quarantine" in caught.value.hint
    assert log.position == 0


@pytest.mark.parametrize(
    ("type_text", "values", "says"),
    [
        ("i64", np.array([1, 2**63], dtype=np.uint64), "out of range"),
        ("i32", np.array([1, 2**31]), "out of range"),
        ("u64", np.array([1, -1]), "out of range"),
        ("i64", np.array([1.0, 1.5]), "whole"),
        ("i64", np.array([1.0, 2.0**63]), "range"),
        ("i64", np.array([1.0, NaN]), "whole"),
        ("f32", np.array([1.0, 1e300]), "out of range"),
        ("f64", np.array([1, 2**53 + 1]), "same"),
        ("decimal(2)", np.array([1.0, 0.001]), "read back"),
        ("decimal(2)", np.array([1, 10**16]), "out of range"),
        ("time[us]", np.array([0, 1], dtype="M8[ns]"), "microseconds"),
        ("date", np.array([0, 1], dtype="M8[s]"), "time of day"),
    ],
)
def test_arrays_are_checked_cell_by_cell(store, type_text, values, says):
    log = one(store, type_text)
    with pytest.raises(la.InvalidError, match=f'row 1, field "x": .*{says}'):
        log.append({"x": values})
    done = log.append({"x": values}, on_bad="quarantine")
    assert (done.rows, done.ok, done.quarantined) == (2, 1, 1)


@pytest.mark.parametrize(
    ("type_text", "values"),
    [
        ("i64", np.array([True])), ("bool", np.array([1])), ("i64", np.array([1j])),
        ("time[us]", np.array([1.0])), ("i64", np.array(["2026"], dtype="M8[Y]")),
    ],
)  # fmt: skip
def test_arrays_of_another_kind_are_refused(store, type_text, values):
    with pytest.raises(la.FieldTypeError, match='field "x": expected'):
        one(store, type_text).append({"x": values})


def test_shapes(store):
    log = store.log("two", {"a": "i64", "b": "i64"})
    with pytest.raises(la.InvalidError, match='"b" has 2 rows'):
        log.append({"a": [1], "b": [1, 2]})
    with pytest.raises(la.FieldTypeError, match="neither an array nor a list"):
        log.append({"a": [1], "b": 1})
    with pytest.raises(la.InvalidError, match="one dimension"):
        log.append({"a": np.zeros((2, 2), dtype=np.int64), "b": [1, 2]})


def test_decimal_arrays_are_exact(store):
    log = one(store, "decimal(2)")
    cents = np.arange(-100_000, 100_000)
    log.append({"x": cents / 100})
    got = np.concatenate([rows["x"] for rows in log.scan()])
    assert np.array_equal(got, cents / 100)
    big = [Decimal("9007199254740993.01"), Decimal("-9999999999999999.99")]
    log.append({"x": big})
    (rows,) = log.scan(len(cents))
    assert rows.exact("x") == big


# ---------------------------------------------------------------- names, quarantine


def test_unknown_and_missing_fields(store):
    log = store.log("two", {"a": "i64", "b": "str?"})
    with pytest.raises(la.LambdaError, match="row 1, no field 'zz' in the schema"):
        log.append([{"a": 1}, {"a": 1, "zz": 2}])
    with pytest.raises(la.NotFoundError, match="no field 'zz'") as caught:
        log.append({"a": [1], "zz": [2]})
    assert "fields: a, b" in caught.value.hint
    with pytest.raises(la.InvalidError, match='row 0, field "a": missing'):
        log.append({"b": "x"})
    with pytest.raises(la.InvalidError, match='"a" is missing'):
        log.append({"b": ["x"]})
    assert log.position == 0


def test_a_bad_row_writes_nothing(log):
    with pytest.raises(la.InvalidError, match="row 2"):
        log.append([ROW, ROW, {**ROW, "i": "x"}, {**ROW, "m": "y"}])
    assert log.position == 0


def test_quarantine_keeps_rows_whole_with_reasons(store):
    log = store.log(
        "q", {"id": "u64", "amount": "decimal(2)"}, check=[col("amount") >= 0]
    )
    done = log.append(
        [
            {"id": 1, "amount": "1.00"},
            {"id": "two", "amount": []},
            {"id": 3, "amount": "-1"},
        ],
        on_bad="quarantine",
    )
    assert done == la.Appended(0, 3, 1, 0, 2, durable=True)
    unread, unfit = log.quarantine()
    assert unread.position == 1
    assert unread.raw == '{"id": "two", "amount": []}'
    assert 'field "id": expected u64' in unread.reason
    assert 'field "amount"' in unread.reason
    assert unfit.position == 2
    assert "check" in unfit.reason
    assert unfit.raw == '{"id": 3, "amount": "-1.00"}'
    assert [row["id"] for row in rows_of(log)] == [1]
    (rows,) = log.scan(verdict="all")
    assert [rows.verdict(i) for i in range(3)] == ["ok", "quarantined", "quarantined"]
    with pytest.raises(la.InvalidError):
        log.append({"id": 4, "amount": "-1"})


def test_quarantine_of_columns_and_arrow(store):
    log = one(store, "i32")
    log.append({"x": np.array([1, 2**40])}, on_bad="quarantine")
    log.append({"x": [1, "x"]}, on_bad="quarantine")
    log.append(pa.table({"x": [1, 2**40]}), on_bad="quarantine")
    assert [q.position for q in log.quarantine()] == [1, 3, 5]
    assert log.quarantine()[0].raw == '{"x": 1099511627776}'
    assert len(log.quarantine(2, 4)) == 1


def test_dedupe(store):
    log = store.log("ids", {"id": "u64", "x": "i64"}, dedupe="id")
    assert log.append({"id": [1, 2, 1], "x": [1, 2, 3]}).duplicate == 1
    assert log.append({"id": 2, "x": 9}) == la.Appended(3, 1, 0, 1, 0, durable=True)
    assert [row["x"] for row in rows_of(log)] == [1, 2]
    assert len(rows_of(log, verdict="all")) == 4


# ------------------------------------------------------------------- sync, reading


def test_sync_modes(store, log):
    assert log.append(ROW, sync="commit").durable
    relaxed = store.log("all", sync="interval:1h")
    relaxed.append(ROW)
    assert relaxed.position == 2
    relaxed.sync()
    assert relaxed.durable == 2
    for bad in ("none", "interval", "interval:0s", "interval:1mo", 5):
        with pytest.raises(la.InvalidError, match="sync mode"):
            log.append(ROW, sync=bad)
    with pytest.raises(la.InvalidError, match="on_bad"):
        log.append(ROW, on_bad="ignore")


def test_scan_ranges_columns_and_mistakes(log):
    log.append([{**ROW, "i": i} for i in range(10)])
    log.seal()
    log.append([{**ROW, "i": i} for i in range(10, 12)])
    assert [row["i"] for row in rows_of(log, start=8)] == [8, 9, 10, 11]
    assert rows_of(log, start=3, stop=5, columns=["x", "i"]) == [
        {"x": "é", "i": 3},
        {"x": "é", "i": 4},
    ]
    assert rows_of(log, start=12) == []
    with pytest.raises(la.NotFoundError, match="'zz'"):
        log.scan(columns=["zz"])
    with pytest.raises(la.InvalidError):
        log.scan(5, 3)
    with pytest.raises(la.InvalidError):
        log.scan(verdict="bad")


def test_scanned_arrays_are_read_only_and_outlive_the_store(folder):
    with la.open(folder) as store:
        log = store.log("all", TYPES)
        log.append(ROW)
        (rows,) = log.scan()
        scan = log.scan()
    with pytest.raises(ValueError, match="read-only"):
        rows["i"][0] = 1
    assert rows.to_dicts() == [ROW]
    with pytest.raises(la.ClosedError):
        next(scan)


def test_a_scan_may_end_early(log):
    log.append([ROW] * 10)
    with log.scan() as scan:
        assert next(scan).count == 10
    with pytest.raises(la.ClosedError):
        next(scan)


def test_to_arrow(nulls):
    nulls.append([ROW, {}])
    table = nulls.to_arrow()
    assert table.column("m").type == pa.decimal128(18, 2)
    first, second = table.to_pylist()
    assert first["m"] == Decimal("9.99")
    assert first["t"] == dt.datetime(2026, 11, 21, 9, 0, 0, 5, tzinfo=dt.UTC)
    assert second["i"] is None
    assert nulls.to_arrow(columns=["x"]).column_names == ["x"]


def test_position_at(log):
    log.append(ROW)
    assert log.position_at("1990-01-01") == 0
    assert log.position_at("2100-01-01") == 1


def test_identity(log):
    assert log.name == "all"
    assert log.time is None
    assert log.schema.types == TYPES
    assert log.spec["fields"][0] == {"name": "i", "type": "i64"}
    assert repr(log).startswith('<Log "all": i: i64')
