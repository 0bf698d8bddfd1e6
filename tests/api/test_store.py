# SPDX-License-Identifier: Apache-2.0
"""Stores: opening, names, locks, readers beside the writer, damage, closing."""

from __future__ import annotations

import multiprocessing
import os
import stat
import threading

import pytest

import lambdaarch as la
from lambdaarch import col


def make(folder):
    with la.open(folder) as store:
        log = store.log("log", {"x": "i64"})
        log.append({"x": list(range(1000))})
        log.seal()
        store.view("v", log, agg={"n": la.len(), "s": col("x").sum()})
        store.batch(progress=False)


def test_life(folder):
    with la.open(folder) as store:
        assert store.path == str(folder)
        assert store.mode == "w"
        assert not store.closed
        assert "mode='w'" in repr(store)
        log = store.log("log", {"x": "i64"})
    assert store.closed
    assert "closed" in repr(store)
    store.close()
    for call in (store.status, lambda: log.append({"x": 1}), lambda: log.position):
        with pytest.raises(la.ClosedError):
            call()
    assert la.open(str(folder), mode="r").close() is None


def test_where_no_store_is(folder, tmp_path):
    with pytest.raises(la.NotFoundError):
        la.open(folder, mode="r")
    with pytest.raises(la.LambdaError):
        la.open(tmp_path / "no" / "parent")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(la.InvalidError):
        la.open(tmp_path / "full")
    with pytest.raises(la.InvalidError, match="mode"):
        la.open(folder, mode="a")
    with pytest.raises(TypeError):
        la.open(3)


def test_logs_and_views_by_name(store):
    log = store.log(
        "log", {"x": "i64", "t": "time[us]"}, time="t", check=[col("x") > 0]
    )
    store.view("v", log, agg={"n": la.len()})
    assert list(store.logs) == ["log"]
    assert list(store.views) == ["v"]
    assert list(store) == ["v"]
    assert "v" in store
    assert store["v"].name == store.view("v").name == "v"
    assert store.log("log").time == "t"
    assert store.status()["logs"][0]["name"] == "log"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.log("nope"), la.NotFoundError),
        (lambda s: s["nope"], la.NotFoundError),
        (lambda s: s.view("nope"), la.NotFoundError),
        (lambda s: s.view("v", agg={"n": la.len()}), la.InvalidError),
        (lambda s: s.view("v", "nope", agg={"n": la.len()}), la.NotFoundError),
        (lambda s: s.log("log", time="t"), la.InvalidError),
        (lambda s: s.log("other", {"x": "i64"}, time="t"), la.NotFoundError),
        (lambda s: s.log("other", {"x": "i64"}, time="x"), la.LambdaError),
        (lambda s: s.log("other", {"x": "i64"}, dedupe="t"), la.NotFoundError),
        (lambda s: s.log("other", {"x": "i64"}, check=["x > 0"]), la.FieldTypeError),
        (lambda s: s.log("other", {"x": "i64"}, check=[col("y") > 0]), la.LambdaError),
        (lambda s: s.log("../up", {"x": "i64"}), la.InvalidError),
        (lambda s: s.log("", {"x": "i64"}), la.InvalidError),
        (lambda s: s.log("log", {"x": "i32"}), la.ConflictError),
        (lambda s: s.log("log", {"x": "i64", "y": "i64"}), la.ConflictError),
    ],
)
def test_names_that_do_not_fit(store, call, error):
    store.log("log", {"x": "i64"})
    with pytest.raises(error):
        call(store)


def test_the_same_log_again(store):
    one = store.log("log", {"x": "i64"})
    two = store.log("log", {"x": "i64"})
    one.append({"x": 1})
    assert two.position == 1


# ---------------------------------------------------------------- several processes


def run(function, *args):
    """Runs a function in a fresh process; its result."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def read_elsewhere(folder):
    with la.open(folder, mode="r") as store:
        return store["v"].query()["s"].tolist(), store.log("log").position


def append_elsewhere(folder):
    with la.open(folder) as store:
        try:
            store.log("log").append({"x": 1})
        except la.BusyError as error:
            return error.status, error.retriable
    return None


def test_readers_see_the_writer_and_one_writes(folder):
    make(folder)
    with la.open(folder) as store:
        store.log("log").append({"x": 1})
        assert run(read_elsewhere, str(folder)) == ([499_501], 1001)
        assert run(append_elsewhere, str(folder)) == ("BUSY", True)
    assert run(append_elsewhere, str(folder)) is None


def test_a_fork_must_not_use_the_handle(folder):
    make(folder)
    with la.open(folder) as store:
        log = store.log("log")
        log.append({"x": 1})
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                log.append({"x": 2})
            except la.ClosedError:
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert log.append({"x": 3}).first == 1001


def test_many_threads(folder):
    make(folder)
    with la.open(folder) as store:
        log, view = store.log("log"), store["v"]
        errors = []

        def work():
            try:
                for _ in range(20):
                    log.append({"x": 1})
                    view.query()
            except la.LambdaError as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        store.batch(progress=False)
        for thread in threads:
            thread.join()
        assert not errors
        assert view.query()["n"].tolist() == [1080]


def test_closing_while_others_work(folder):
    make(folder)
    store = la.open(folder)
    view = store["v"]
    ended = []

    def ask():
        try:
            while True:
                view.query()
        except la.ClosedError:
            ended.append(True)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    store.close()
    for thread in threads:
        thread.join(30)
    assert ended == [True] * 3


# --------------------------------------------------------------- reading, read-only


def test_a_reader_cannot_write(folder):
    make(folder)
    with la.open(folder, mode="r") as store:
        log = store.log("log")
        calls = (
            lambda: log.append({"x": 1}),
            lambda: store.batch(progress=False),
            lambda: store.view("new", log, agg={"n": la.len()}),
            lambda: store["v"].rollback(1),
        )
        for call in calls:
            with pytest.raises(la.ReadOnlyError):
                call()
        with pytest.raises(la.NotFoundError) as caught:
            store.log("new", {"x": "i64"})
        assert 'mode="w"' in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(la.ReadOnlyError):
            la.open(tmp_path / "store")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def segment_of(folder):
    return max((folder / "logs/log/segments").iterdir(), key=lambda p: p.stat().st_size)


def test_verify(folder):
    make(folder)
    with la.open(folder, mode="r") as store:
        report = store.verify(progress=False)
    assert report["damages"] == 0
    assert report["bytes"] > 0
    path = min(p for p in (folder / "logs/log/segments").iterdir())
    with path.open("r+b") as file:
        file.seek(300)
        byte = file.read(1)
        file.seek(300)
        file.write(bytes([byte[0] ^ 1]))
    with la.open(folder, mode="r") as store:
        with pytest.raises(la.DamagedError) as caught:
            store.verify(progress=False)
        assert "damages in all" in caught.value.hint
        assert store.verify(on_damage="report", progress=False)["damages"] >= 1
        with pytest.raises(la.InvalidError):
            store.verify(on_damage="ignore")


def test_a_damaged_catalogue_is_named(folder):
    make(folder)
    newest = max((folder / "catalogue").iterdir())
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.chmod(0o600)
    newest.write_bytes(content)
    with pytest.raises(la.DamagedError) as caught, la.open(folder, mode="r") as store:
        store.status()
    assert caught.value.path.endswith(".catalogue")


def test_a_budget_that_is_too_small(folder):
    with la.open(folder) as store:
        log = store.log("log", {"x": "i64"})
        log.append({"x": list(range(50_000))})
        store.view("v", log, by=["x"], agg={"n": la.len()})
        with pytest.raises(la.BudgetError):
            store.batch(memory=10_000, progress=False)
        assert store["v"].version is None
