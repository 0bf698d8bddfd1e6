# SPDX-License-Identifier: Apache-2.0
"""Views and answers: define, batch, query, roll up, look back, backfill, compare."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import lambdaarch as la
from lambdaarch import col, when

mpl.use("Agg")

SCHEMA = {
    "id": "u64", "ts": "time[us]", "sku": "cat?", "kind": "cat", "amount": "decimal(2)",
    "weight": "f64?",
}  # fmt: skip
ROWS = [
    {"id": 1, "ts": "2026-11-21T09:00", "sku": "A1", "kind": "sale", "amount": "9.99",
     "weight": 1.5},
    {"id": 2, "ts": "2026-11-21T10:00", "sku": "A1", "kind": "refund", "amount": "5.00",
     "weight": None},
    {"id": 3, "ts": "2026-11-22T10:00", "sku": "B2", "kind": "sale", "amount": "1.00",
     "weight": 0.25},
    {"id": 4, "ts": "2026-12-01T00:00", "sku": None, "kind": "sale", "amount": "2.50",
     "weight": None},
]  # fmt: skip
NET = when(col("kind") == "refund").then(-col("amount")).otherwise(col("amount"))


@pytest.fixture
def orders(store):
    return store.log("orders", SCHEMA, time="ts", dedupe="id")


def define(store, orders, **options):
    return store.view(
        "revenue",
        orders,
        by=["sku"],
        window=la.tumbling("1d"),
        agg={
            "orders": la.len().filter(col("kind") == "sale"),
            "revenue": NET.sum(),
            "weight": col("weight").sum(),
            "last": col("amount").last(),
            "ids": col("id").n_unique(),
        },
        **options,
    )


@pytest.fixture
def view(store, orders):
    """Two rows in the batch part, two live."""
    made = define(store, orders)
    orders.append(ROWS[:2])
    store.batch(progress=False)
    orders.append(ROWS[2:])
    return made


# ------------------------------------------------------------------------- answers


def test_an_answer_merges_batch_and_live(view):
    a = view.query(order_by="window_start")
    assert a.columns == [
        "sku", "window_start", "window_end", "orders", "revenue", "weight", "last",
        "ids",
    ]  # fmt: skip
    assert len(a) == 3
    assert a["revenue"].tolist() == [4.99, 1.0, 2.5]
    assert a["revenue"].dtype == np.float64
    assert a["orders"].tolist() == [1, 1, 1]
    assert a["sku"].dtype == np.dtypes.StringDType()
    assert a["sku"].tolist() == ["A1", "B2", ""]
    assert a.valid["sku"].tolist() == [True, True, False]
    assert a["window_start"].dtype == np.dtype("M8[us]")
    assert a["window_end"][0] == np.datetime64("2026-11-22")
    assert a["weight"].tolist()[:2] == [1.5, 0.25]
    assert np.isnan(a["weight"][2])
    assert not a.valid["weight"][2]
    assert a.masked("weight").mask.tolist() == [False, False, True]
    assert list(a.valid) == a.columns
    assert "sku" in a
    assert "nope" not in a
    assert a.fields[4] == la.Field("revenue", "decimal(2)", nullable=True)


def test_arrays_are_read_only_and_outlive_the_store(folder):
    with la.open(folder) as store:
        orders = store.log("orders", SCHEMA, time="ts", dedupe="id")
        view = define(store, orders)
        orders.append(ROWS)
        a = view.query()
    assert a["orders"].tolist() == [1, 1, 1]
    assert a.receipt.rows.counted == 4
    with pytest.raises(ValueError, match="read-only"):
        a["orders"][0] = 5
    counts = a["orders"]
    del a
    assert counts.tolist() == [1, 1, 1]
    with pytest.raises(la.ClosedError):
        view.query()


def test_exact(view):
    a = view.query(order_by="window_start")
    exact = a.exact("revenue")
    assert exact.integers.tolist() == [499, 100, 250]
    assert exact.integers.dtype == np.int64
    assert exact.scale == 2
    assert a.exact("orders").scale == 0
    with pytest.raises(la.FieldTypeError, match="no integers"):
        a.exact("weight")


def test_parts(view):
    a = view.query({"sku": ["A1", "B2"]})
    assert a.parts.batch["revenue"].tolist()[0] == 4.99
    assert a.parts.batch.valid["revenue"].tolist() == [True, False]
    assert a.parts.speed.valid["revenue"].tolist() == [False, True]
    bare = view.query(parts=False)
    with pytest.raises(la.InvalidError, match="without its parts") as caught:
        _ = bare.parts
    assert "parts=True" in caught.value.hint


def test_receipt(view, orders):
    r = view.query().receipt
    assert (r.view, r.version, r.cutoff, r.position) == ("revenue", 1, 2, 4)
    assert r.cutoffs == {"orders": 2}
    assert r.live_rows == 2
    assert r.durable
    assert len(r.fingerprint) == 64
    assert r.rows.counted == r.rows.total == 4
    assert r.rows_by_part["batch"].counted == 2
    assert r.rows_by_part["speed"].counted == 2
    assert r.last_batch_update.tzinfo is dt.UTC
    assert r.staleness >= dt.timedelta(0)
    assert r.watermark == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert "version 1" in str(r)
    assert r.to_dict()["view"] == "revenue"
    orders.append(ROWS[0])
    assert view.query().receipt.rows.duplicate == 1
    with pytest.raises(AttributeError):
        r.version = 3


def test_a_view_never_published_answers_from_the_log(store, orders):
    view = define(store, orders)
    empty = view.query()
    assert len(empty) == 0
    assert empty["revenue"].shape == (0,)
    assert empty.to_pandas().empty
    orders.append(ROWS)
    r = view.query().receipt
    assert (r.version, r.cutoff, r.last_batch_update, r.staleness) == (
        None,
        0,
        None,
        None,
    )
    assert view.version is None


def test_other_forms(view):
    a = view.query(order_by="window_start")
    dicts = a.to_dicts()
    assert dicts[2]["sku"] is None
    assert dicts[0]["window_start"] == dt.datetime(2026, 11, 21)
    assert a.to_dict()["orders"] == [1, 1, 1]
    assert a.row(-1)["revenue"] == 2.5
    with pytest.raises(la.NotFoundError):
        a.row(3)
    frame = a.to_pandas()
    assert frame["sku"].isna().tolist() == [False, False, True]
    assert frame["revenue"].tolist() == [4.99, 1.0, 2.5]
    assert pd.api.types.is_datetime64_any_dtype(frame["window_start"])
    table = a.to_arrow()
    assert table.column("revenue").to_pylist()[0] == Decimal("4.99")
    assert pa.table(a).equals(table)
    assert a.to_polars().equals(pl.DataFrame(table))


def test_it_prints(view):
    a = view.query(order_by="window_start")
    assert "4.99" in repr(a)
    assert "null" in repr(a)
    assert "2026-11-21T00:00:00" in repr(a)
    page = a._repr_html_()
    assert page.count("<tr>") == 4
    assert "[0, 2) batch" in page
    assert "(no rows)" in repr(view.query({"sku": "none"}))


def test_it_plots(view):
    import matplotlib.pyplot as plt

    axes = view.query().plot("revenue", by="sku")
    assert len(axes.lines) == 3
    bars = view.query(rollup={"by": ["sku"], "window": None}).plot()
    assert len(bars.patches) == 3
    assert axes.get_ylabel() == "revenue"
    plt.close("all")


# ------------------------------------------------------------------------- queries


def test_keys_range_where_order_limit_columns(view):
    def ids(**options):
        return view.query(**options)["sku"].tolist()

    assert view.query({"sku": "A1"})["orders"].tolist() == [1]
    assert len(view.query({"sku": ["A1", None]})) == 2
    assert len(view.query({"sku": np.array(["A1", "B2"])})) == 2
    assert len(view.query({"sku": None})) == 1
    assert ids(since="2026-11-22") == ["", "B2"]
    assert ids(since="2026-11-22", until=np.datetime64("2026-12-01")) == ["B2"]
    assert ids(where=col("revenue") > 2, order_by="revenue") == ["", "A1"]
    assert ids(where=col("revenue") == "4.99") == ["A1"]
    assert ids(where=col("window_start") >= "2026-12-01") == [""]
    assert ids(order_by="-revenue", limit=1) == ["A1"]
    assert ids(order_by=["orders", "-window_start"]) == ["", "B2", "A1"]
    assert view.query(columns=["revenue", "sku"]).columns == ["revenue", "sku"]
    assert len(view.query(limit=0)) == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"keys": {"nope": 1}}, la.NotFoundError),
        ({"keys": {"sku": 5}}, la.FieldTypeError),
        ({"since": "soon"}, la.InvalidError),
        ({"where": True}, la.FieldTypeError),
        ({"where": col("nope") > 1}, la.LambdaError),
        ({"order_by": "nope"}, la.NotFoundError),
        ({"order_by": "-"}, la.FieldTypeError),
        ({"limit": -1}, la.InvalidError),
        ({"columns": ["nope"]}, la.NotFoundError),
        ({"rollup": "90m"}, la.InvalidError),
        ({"rollup": {"by": ["nope"]}}, la.NotFoundError),
        ({"rollup": {"keys": []}}, la.InvalidError),
        ({"as_of": 5}, la.LambdaError),
        ({"version": 9}, la.NotFoundError),
        ({"overflow": "wrap"}, la.InvalidError),
    ],
)
def test_bad_queries(view, options, error):
    with pytest.raises(error):
        view.query(**options)


def test_key_values_of_every_type(store):
    log = store.log(
        "k",
        {"i": "i64", "u": "u64", "b": "bool", "d": "date", "t": "time[us]",
         "m": "decimal(2)", "f": "f64", "s": "str"},
    )  # fmt: skip
    row = {
        "i": -1, "u": 2**64 - 1, "b": True, "d": dt.date(2026, 1, 2),
        "t": dt.datetime(2026, 1, 2, 3), "m": "1.50", "f": 0.5, "s": "x",
    }  # fmt: skip
    log.append([row, {**row, "i": 2, "u": 3, "b": False, "s": "y"}])
    by = list(log.schema)
    view = store.view("k", log, by=by, agg={"n": la.len()})
    wanted = [
        {"i": -1}, {"i": np.int32(-1)}, {"u": 2**64 - 1}, {"b": True}, {"s": "x"},
        {"d": "2026-01-02", "s": "x"}, {"d": dt.date(2026, 1, 2), "s": "x"},
        {"t": "2026-01-02T03:00", "s": "x"},
        {"t": dt.datetime(2026, 1, 2, 3), "s": "x"},
        {"m": "1.5", "s": "x"}, {"m": 1.5, "s": "x"}, {"m": Decimal("1.500"), "s": "x"},
        {"f": 0.5, "s": "x"},
    ]  # fmt: skip
    for keys in wanted:
        assert view.query(keys)["s"].tolist() == ["x"], keys
    for keys in (
        {"i": "x"},
        {"i": 1.5},
        {"b": 1},
        {"m": 0.001},
        {"m": True},
        {"t": 1.5},
    ):
        with pytest.raises(la.FieldTypeError):
            view.query(keys)
    assert view[-1, 2**64 - 1, True, "2026-01-02", "2026-01-02T03:00", "1.5", 0.5, "x"][
        "n"
    ] == 1  # fmt: skip


def test_point_read(view, store, orders):
    row = view["A1", "2026-11-21T23:00"]
    assert row["revenue"] == 4.99
    assert row["window_start"] == dt.datetime(2026, 11, 21)
    with pytest.raises(la.NotFoundError, match="no group"):
        view["A1", "2026-11-25"]
    with pytest.raises(la.InvalidError, match="2 values"):
        view["A1"]
    total = store.view("total", orders, agg={"n": la.len()})
    assert total[()]["n"] == 4


def test_rollup(view):
    month = view.query(rollup="1mo", order_by=["window_start", "sku"])
    assert month["revenue"].tolist() == [4.99, 1.0, 2.5]
    days = view.query(rollup={"by": []})
    assert days["ids"].tolist() == [2, 1, 1]
    total = view.query(rollup={"by": [], "window": None})
    assert total.columns[0] == "orders"
    assert total["revenue"].tolist() == [8.49]
    by_sku = view.query(rollup={"by": "sku", "window": la.calendar("year")})
    assert len(by_sku) == 3


def test_as_of_and_version(view, orders):
    assert view.query(as_of=1)["revenue"].tolist() == [9.99]
    assert len(view.query(as_of=0)) == 0
    assert len(view.query(as_of="1990-01-01")) == 0
    assert len(view.query(as_of=dt.datetime(2100, 1, 1))) == 3
    old = view.query(version=1)
    assert old["revenue"].tolist() == [4.99]
    assert old.receipt.position == 2


# ----------------------------------------------------------------- versions and jobs


def test_versions_rollback_batch(view, store, orders):
    job = view.batch(progress=False)
    assert job.versions == {"revenue": 2}
    assert job.kind == "batch"
    assert job.seconds > 0
    assert "version 2" in repr(job)
    first, second = view.versions
    assert (first.number, first.cutoff, first.current) == (1, 2, False)
    assert (second.number, second.cutoff, second.groups) == (2, 4, 3)
    assert view.version == 2
    before = view.query().to_dicts()
    assert view.rollback() == 1
    assert view.version == 1
    assert view.query().to_dicts() == before
    with pytest.raises(la.NotFoundError, match="no version before"):
        view.rollback()
    assert view.rollback(2) == 2
    with pytest.raises(la.NotFoundError):
        view.rollback(77)


def test_incremental_gives_the_same_content(view, store):
    store.batch(progress=False, incremental=True)
    incremental = view.versions[-1]
    store.batch(progress=False, threads=1)
    assert incremental.incremental
    assert view.versions[-1].content_hash == incremental.content_hash


def test_batch_options(view, store):
    seen = []
    store.batch("revenue", cutoff=3, progress=lambda *now: seen.append(now))
    assert seen
    assert view.versions[-1].cutoff == 3
    with pytest.raises(la.NotFoundError):
        store.batch(["nope"])
    with pytest.raises(la.LambdaError):
        store.batch(cutoff=2, progress=False)
    store.batch([view], publish=False, progress=False)
    assert view.version == 2


def test_interrupt_leaves_the_store_as_it_was(view, store):
    def stop(done, total, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.batch(progress=stop)
    assert view.version == 1
    store.batch(progress=False)
    assert view.version == 2


def test_the_bar_draws_on_standard_error(view, store, capsys):
    store.batch(progress=True)
    assert "batch [" in capsys.readouterr().err


def test_backfill_of_unchanged_code_changes_nothing(view):
    fix = view.backfill("2026-11-01", "2026-12-01", dry_run=True)
    assert fix.same
    assert len(fix.diff()) == 0
    assert fix.diff().groups == 1
    assert fix.apply() == 1
    assert "same" in repr(fix)
    assert view.version == 1
    assert view.backfill().same


def test_backfill_of_a_candidate_shows_what_changes(view, store, orders):
    store.batch(progress=False)
    other = store.view(
        "revenue", orders, by=["sku"], window="1d",
        agg={
            "orders": la.len(), "revenue": NET.sum(), "weight": col("weight").sum(),
            "last": col("amount").last(), "ids": col("id").n_unique(),
        },
        replace=True,
    )  # fmt: skip
    assert other.status()["candidate"]
    fix = other.backfill("2026-11-21", "2026-11-22", dry_run=True)
    assert not fix.same
    (change,) = fix.diff()
    assert change.group["sku"] == "A1"
    assert (change.old["orders"], change.new["orders"]) == (1, 2)
    assert "1 of 1 groups differ" in repr(fix.diff())
    assert fix.apply() == fix.new
    assert view.query({"sku": "A1"})["orders"].tolist() == [2]


def test_backfill_outside_of_its_range_is_refused(view, store, orders):
    store.batch(progress=False)
    other = store.view("revenue", orders, by=["sku"], window="1d",
                       agg={"orders": la.len(), "revenue": NET.sum(),
                            "weight": col("weight").sum(), "last": col("amount").last(),
                            "ids": col("id").n_unique()}, replace=True)  # fmt: skip
    with pytest.raises(la.InvalidError, match="outside"):
        other.backfill("2026-12-01", "2027-01-01")
    assert view.version == 2


def test_backfill_needs_a_version(store, orders):
    with pytest.raises(la.NotFoundError, match="never published"):
        define(store, orders).backfill()


def test_diff_of_answers(view):
    old, new = view.query(version=1), view.query()
    found = la.diff(old, new)
    assert (len(found), found.total, found.groups) == (2, 2, 3)
    assert all(change.old is None for change in found)
    assert found[0].weight == 2.5  # the largest difference comes first
    assert len(la.diff(old, new, top=1)) == 1
    assert la.diff(new, new).to_dicts() == []
    assert "none in 3 groups" in repr(la.diff(new, new))
    assert "gone" in repr(la.diff(new, old))
    with pytest.raises(la.InvalidError, match="columns differ"):
        la.diff(old, view.query(columns=["orders"]))


# ----------------------------------------------------------------------- overflow


def test_a_sum_that_does_not_fit_names_its_group(store):
    log = store.log("big", {"k": "cat", "x": "i64", "m": "decimal(2)"})
    most = 2**63 - 1
    log.append({"k": ["a", "a", "b"], "x": [most, most, 1], "m": [0, 0, 0]})
    view = store.view("big", log, by=["k"], agg={"s": col("x").sum(), "n": la.len()})
    a = view.query()
    assert a["n"].tolist() == [2, 1]
    with pytest.raises(la.ResultOverflowError) as caught:
        a["s"]
    assert str(caught.value) == (
        'column "s" of group k=a: 18446744073709551614 does not fit i64'
    )
    assert "exact" in caught.value.hint
    assert a.valid["s"].tolist() == [False, True]
    assert a.exact("s").integers.tolist() == [2 * most, 1]
    assert [type(e) for e in a.errors] == [la.ResultOverflowError]
    for read in (a.to_pandas, a.to_arrow, a.to_dicts, lambda: a.row(1)):
        with pytest.raises(la.ResultOverflowError):
            read()
    assert "overflow" in repr(a)
    assert view.query(overflow="null")["s"].tolist() == [0, 1]
    assert view.query({"k": "b"})["s"].tolist() == [1]


# --------------------------------------------------------------------- definitions


def test_the_same_definition_is_a_no_op(store, orders, view):
    again = define(store, orders)
    assert again.fingerprint == view.fingerprint
    assert view.version == 1
    assert store["revenue"].keys == ["sku"]
    with pytest.raises(la.ConflictError, match="revenue") as caught:
        store.view("revenue", orders, agg={"n": la.len()})
    assert "replace=True" in caught.value.hint


def test_a_view_describes_itself(view):
    assert view.name == "revenue"
    assert view.logs == ["orders"]
    assert view.window == la.tumbling("1d")
    assert view.columns["revenue"] == "decimal(2)"
    assert view.columns["window_start"] == "time[us]"
    assert view.order_free is False
    assert '"fn": "sum"' in view.explain()
    assert repr(view) == (
        '<View "revenue" of orders: orders, revenue, weight, last, ids by sku in '
        "tumbling('1d')>"
    )


def test_keys_may_be_expressions(store, orders):
    orders.append(ROWS)
    view = store.view(
        "hours", orders,
        by={"hour": col("ts").dt.truncate("1h"), "what": "kind"},
        where=col("amount") > 1, agg={"n": la.len()},
    )  # fmt: skip
    a = view.query()
    assert a["hour"][0] == np.datetime64("2026-11-21T09:00")
    assert a.receipt.rows.filtered == 1
    assert view["2026-11-21T09:00", "sale"]["n"] == 1
    pairs = store.view("pairs", orders, by=[("k", col("kind"))], agg={"n": la.len()})
    assert pairs.keys == ["k"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"agg": {}}, la.InvalidError),
        ({"agg": {"n": col("amount")}}, la.FieldTypeError),
        ({"agg": {"n": col("nope").sum()}}, la.NotFoundError),
        ({"agg": {"n": col("kind").sum()}}, la.InvalidError),
        ({"by": ["nope"]}, la.NotFoundError),
        ({"by": "sku"}, la.FieldTypeError),
        ({"by": [3]}, la.FieldTypeError),
        ({"by": ["sku", "sku"]}, la.InvalidError),
        ({"by": ["window_start"]}, la.LambdaError),
        ({"where": col("amount")}, la.InvalidError),
        ({"where": "amount > 0"}, la.FieldTypeError),
        ({"window": "0d"}, la.InvalidError),
        ({"on_error": "ignore"}, la.InvalidError),
    ],
)
def test_bad_definitions(store, orders, options, error):
    with pytest.raises(error):
        store.view("bad", orders, **{"agg": {"n": la.len()}, **options})
    assert "bad" not in store


def test_a_window_needs_event_time(store):
    log = store.log("plain", {"x": "i64"})
    with pytest.raises(la.InvalidError):
        store.view("v", log, window="1d", agg={"n": la.len()})


def test_failing_rows_are_set_aside_counted_and_located(store):
    log = store.log("f", {"x": "i64"})
    log.append({"x": [1, 0, 2]})
    agg = {"n": la.len(), "s": (10 // col("x")).sum()}
    aside = store.view("aside", log, agg=agg)
    a = aside.query()
    assert a["s"].tolist() == [15]
    assert (a.receipt.rows.failed, a.receipt.failed_first) == (1, 1)
    assert sum(a.receipt.failed_by.values()) == 1
    null = store.view("null", log, agg=agg, on_error="null")
    assert null.query()["n"].tolist() == [3]
    stop = store.view("stop", log, agg=agg, on_error="stop")
    with pytest.raises(la.EvaluationError) as caught:
        stop.query()
    assert caught.value.position == 1
    assert caught.value.status == "EVALUATION"
