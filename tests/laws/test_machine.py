# SPDX-License-Identifier: Apache-2.0
"""A store and the oracle live the same life; after every step they must answer the
same."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from oracle import Store, bridge, generate

import lambdaarch as la

from .conftest import SCALE

VERSIONS_KEPT = 8
CHECK: list[Any] = ["ge", ["col", "k"], ["lit", "i64", -1_000_000]]


def plan(**members: Any) -> dict[str, Any]:
    agg = [
        {"name": "n", "fn": "len", "arg": None, "filter": None},
        {"name": "total", "fn": "sum", "arg": ["col", "x"], "filter": None},
        {"name": "money", "fn": "sum", "arg": ["col", "d"], "filter": ["col", "b"]},
        {"name": "low", "fn": "min", "arg": ["col", "s"], "filter": None},
        {"name": "last", "fn": "last", "arg": ["col", "i"], "filter": None},
        {"name": "kinds", "fn": "n_unique", "arg": ["col", "x"], "filter": None},
    ]
    base = {"v": 1, "logs": ["events"], "by": [], "window": None, "where": None}
    return base | {"aggs": agg} | members


PLANS = {
    "whole": plan(),
    # u + 1 fails at the top of u64; x by value has NaN and infinities as keys
    "awkward": plan(
        by=[
            ["next", ["add", ["col", "u"], ["lit", "u64", 1]]],
            ["x", ["col", "x"]],
        ]
    ),
    "weekly": plan(
        by=[["c", ["col", "c"]]],
        window={"kind": "calendar", "unit": "week", "count": 1, "tz": "UTC"},
        where=["is_not_null", ["col", "b"]],
    ),
}


class StoreMachine(RuleBasedStateMachine):
    """append, bad rows, batch, reopen, kill, rollback; answers checked after each."""

    def __init__(self) -> None:
        super().__init__()
        where = bridge.MEMORY if bridge.MEMORY.is_dir() else None
        self.folder = tempfile.mkdtemp(prefix="lambdaarch-machine-", dir=where)
        self.oracle = Store()
        schema = dict(generate.SCHEMA)
        self.twin = self.oracle.log(
            "events", schema, time="ts", dedupe="id", check=[CHECK]
        )
        for name, document in PLANS.items():
            self.oracle.view(name, document)
        self.cutoffs: dict[tuple[str, int], int] = {}  # of (view, version)
        self.open()

    def open(self) -> None:
        """Definitions are repeated at every start, as scripts do: a no-op."""
        self.store = la.open(f"{self.folder}/store")
        self.log = self.store.log(
            "events",
            generate.SCHEMA,
            time="ts",
            dedupe="id",
            check=[bridge.expression(CHECK)],
        )
        for name, document in PLANS.items():
            bridge.define(self.store, self.log, name, document)

    @rule(rows=generate.rows(count=12), door=st.sampled_from(["arrow", "rows"]))
    def append(self, rows: list[dict[str, Any]], door: str) -> None:
        good = [r for r in rows if self.twin.passes(r)]
        bridge.append(self.log, good, generate.SCHEMA, door=door)
        self.twin.append(good)

    @rule(rows=generate.rows(count=12))
    def append_with_quarantine(self, rows: list[dict[str, Any]]) -> None:
        plain = [bridge.natural(r, generate.SCHEMA) for r in rows]
        done = self.log.append(plain, on_bad="quarantine")
        verdicts = self.twin.append(rows, on_bad="quarantine")
        assert done.rows == len(rows)
        assert done.ok == verdicts["ok"]
        assert done.duplicate == verdicts["duplicate"]
        assert done.quarantined == verdicts["quarantined"]

    @rule(rows=generate.rows(count=6))
    def refuse_bad_rows(self, rows: list[dict[str, Any]]) -> None:
        """A raise leaves nothing behind, wherever in the call the bad row stood."""
        bad = [dict(r, k=-2_000_000) for r in rows[-1:]]
        if not bad:
            return
        plain = [bridge.natural(r, generate.SCHEMA) for r in rows[:-1] + bad]
        with pytest.raises(la.LambdaError):
            self.log.append(plain)

    @rule(threads=st.integers(1, 2), incremental=st.booleans())
    def batch(self, threads: int, incremental: bool) -> None:  # noqa: FBT001
        job = self.store.batch(threads=threads, incremental=incremental, progress=False)
        self.oracle.batch()
        for name, version in job.versions.items():
            self.cutoffs[name, version] = self.twin.end

    @precondition(lambda self: self.older("weekly"))
    @rule()
    def rollback(self) -> None:
        """Back by one version: the live part grows, the answer stays."""
        want = max(self.older("weekly"))
        assert self.store["weekly"].rollback() == want
        self.oracle.views["weekly"].publish(self.cutoffs["weekly", want])

    def older(self, name: str) -> list[int]:
        """Kept versions before the current one."""
        now = self.store[name].version
        kept = [version.number for version in self.store[name].versions]
        assert len(kept) <= VERSIONS_KEPT
        return [number for number in kept if now is not None and number < now]

    @rule()
    def seal(self) -> None:
        self.log.seal()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def kill(self) -> None:
        """The files as a killed writer leaves them: taken before it can close."""
        shutil.copytree(f"{self.folder}/store", f"{self.folder}/left")
        self.store.close()
        shutil.rmtree(f"{self.folder}/store")
        shutil.move(f"{self.folder}/left", f"{self.folder}/store")
        self.open()

    @invariant()
    def answers_are_the_same(self) -> None:
        for name, twin in self.oracle.views.items():
            answer = bridge.ask(self.store[name])
            bridge.assert_same(answer, twin.query())
            assert answer.receipt.cutoff == twin.cutoff

    @invariant()
    def a_reader_sees_the_same(self) -> None:
        with la.open(f"{self.folder}/store", mode="r") as reader:
            twin = self.oracle.views["whole"]
            answer = bridge.ask(reader["whole"])
            bridge.assert_same(answer, twin.query())

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder, ignore_errors=True)


TestStoreMachine = StoreMachine.TestCase
# a life has many steps, and each is checked in full
TestStoreMachine.settings = settings(max_examples=max(int(25 * SCALE), 5))
