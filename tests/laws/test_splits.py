# SPDX-License-Identifier: Apache-2.0
"""Law 2: one log gives the same bytes for any split, chunking, thread count and
door."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oracle import Log, View, bridge, generate

import lambdaarch as la

Rows = list[dict[str, Any]]
DOORS = st.sampled_from(["arrow", "rows", "row"])


def pieces(data: st.DataObject, rows: Rows) -> list[Rows]:
    """`rows` cut at random places."""
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=4), label="cuts")
    edges = [0, *sorted(cuts), len(rows)]
    return [rows[a:b] for a, b in pairwise(edges) if a < b]


def twin(rows: Rows, plan: dict[str, Any]) -> View:
    """The oracle's view of these rows."""
    log = Log(dict(generate.SCHEMA), time="ts", dedupe="id")
    log.append(rows)
    return View(log, plan)


def events(store: la.Store) -> la.Log:
    return store.log("events", generate.SCHEMA, time="ts", dedupe="id")


@given(st.data(), generate.rows(), generate.plans())
def test_any_split_and_chunking(
    data: st.DataObject, rows: Rows, plan: dict[str, Any]
) -> None:
    oracle = twin(rows, plan)
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = events(store)
        view = bridge.define(store, log, "view", plan)
        for piece in pieces(data, rows):
            bridge.append(log, piece, generate.SCHEMA, door=data.draw(DOORS))
            if data.draw(st.booleans(), label="batch here"):
                threads = data.draw(st.integers(1, 3), label="threads")
                store.batch(threads=threads, progress=False)
        bridge.assert_same(bridge.ask(view), oracle.query())


@given(generate.rows(count=60), generate.plans())
def test_batch_alone_equals_speed_alone(rows: Rows, plan: dict[str, Any]) -> None:
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = events(store)
        view = bridge.define(store, log, "view", plan)
        bridge.append(log, rows, generate.SCHEMA)
        speed = bridge.ask(view)
        store.batch(progress=False)
        batch = bridge.ask(view)
        assert batch.receipt.cutoff == speed.receipt.position
        for name, kind in twin(rows, plan).query().types.items():
            a, b = (bridge.column(x, name, kind) for x in (speed, batch))
            assert list(map(bridge.bits, a)) == list(map(bridge.bits, b)), name


@given(st.data(), generate.rows(count=60), generate.plans())
def test_incremental_publishes_what_full_does(
    data: st.DataObject, rows: Rows, plan: dict[str, Any]
) -> None:
    """Same cutoff, same content hash, however often the version was extended."""
    hashes = []
    for incremental in (True, False):
        with bridge.fresh_folder() as folder, la.open(folder) as store:
            log = events(store)
            view = bridge.define(store, log, "view", plan)
            for piece in pieces(data, rows):
                bridge.append(log, piece, generate.SCHEMA)
                store.batch(incremental=incremental, progress=False)
            store.batch(incremental=incremental, progress=False)
            hashes.append(view.versions[-1].content_hash)
            oracle = twin(rows, plan)
            bridge.assert_same(bridge.ask(view), oracle.query())
    assert hashes[0] == hashes[1]


@given(st.data(), generate.rows(), generate.plans())
def test_as_of_is_the_prefix(
    data: st.DataObject, rows: Rows, plan: dict[str, Any]
) -> None:
    """Law 4: what was known at a position depends on the log before it alone."""
    position = data.draw(st.integers(0, len(rows)), label="as of")
    with bridge.fresh_folder() as folder, la.open(folder) as store:
        log = events(store)
        view = bridge.define(store, log, "view", plan)
        for piece in pieces(data, rows):
            bridge.append(log, piece, generate.SCHEMA)
            if data.draw(st.booleans(), label="batch here"):
                store.batch(progress=False)
        then = twin(rows[:position], plan)
        answer = bridge.ask(view, as_of=position)
        bridge.assert_same(answer, then.query())
