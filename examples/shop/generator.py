# SPDX-License-Identifier: Apache-2.0
"""A shop's orders as they arrive: skewed, some late, some delivered twice.

The same seed gives the same orders, chunk by chunk, whatever was asked before, so that
a recount needs no log: it generates the orders again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Chunk = dict[str, NDArray[np.generic]]

SCHEMA = {
    "id": "u64",
    "ts": "time[us]",
    "user": "u64",
    "sku": "cat",
    "country": "cat",
    "kind": "cat",
    "quantity": "i32",
    "amount": "decimal(2)",
}
"""The log's columns; `amount` is what the order (or refund) is worth, never
negative."""

COUNTRIES = [
    "DE", "AT", "CH", "FR", "IT", "ES", "PT", "NL", "BE", "LU", "DK", "SE", "NO",
    "FI", "IS", "IE", "GB", "PL", "CZ", "SK", "HU", "SI", "HR", "RO", "BG", "GR",
    "CY", "MT", "EE", "LV", "LT", "US", "CA", "MX", "BR", "JP", "KR", "AU",
]  # fmt: skip
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


@dataclass(frozen=True)
class Shop:
    """Orders in order of arrival.

    Parameters
    ----------
    seed : int
        Gives everything that follows.
    products : int
        Distinct `sku`, drawn from Zipf's law with exponent 1.3.
    users : int
        Distinct `user`.
    start : str
        When the first order arrives (UTC).
    per_day : int
        Orders that arrive in a day.
    late : float
        Share of orders that arrive up to an hour after their own time.
    repeated : float
        Share of deliveries that are copies of an order delivered shortly before.
    chunk_rows : int
        Orders in a chunk.
    """

    seed: int = 2026
    products: int = 4_000
    users: int = 20_000
    start: str = "2026-11-01"
    per_day: int = 50_000
    late: float = 0.02
    repeated: float = 0.005
    chunk_rows: int = 10_000

    def chunks(self, first: int, last: int) -> Iterator[Chunk]:
        """Chunks number `first` to `last` - 1, each a dict of equally long arrays."""
        for number in range(first, last):
            yield self.chunk(number)

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`; an amount is the double nearest to its cents / 100."""
        n = self.chunk_rows
        rng = np.random.default_rng([self.seed, number])
        index = np.arange(number * n, (number + 1) * n, dtype=np.int64)
        gap_us = DAY_US / self.per_day
        arrival = (index * gap_us + rng.uniform(0, gap_us, n)).astype(np.int64)
        delay = rng.integers(1, HOUR_US, n) * (rng.random(n) < self.late)
        sku = rng.choice(self.products, n, p=zipf(self.products, 1.3))
        country = rng.choice(len(COUNTRIES), n, p=one_heavy(len(COUNTRIES), 0.9))
        quantity = np.minimum(rng.geometric(0.6, n), 20).astype(np.int32)
        cents = self.prices()[sku] * quantity
        refund = rng.random(n) < 0.03
        columns: Chunk = {
            "id": index.astype(np.uint64),
            "ts": np.datetime64(self.start, "us") + (arrival - delay),
            "user": rng.integers(0, self.users, n).astype(np.uint64),
            "sku": names("sku-", self.products)[sku],
            "country": text(COUNTRIES)[country],
            "kind": text(["sale", "refund"])[refund.astype(np.intp)],
            "quantity": quantity,
            "amount": cents / 100,
        }
        delivered = self.deliveries(rng)
        return {name: values[delivered] for name, values in columns.items()}

    def deliveries(self, rng: np.random.Generator) -> NDArray[np.intp]:
        """Which row each delivery carries: every row once, a few again soon after."""
        n = self.chunk_rows
        copies = np.flatnonzero(rng.random(n) < self.repeated)
        delay = rng.integers(1, 500, copies.size)
        when = np.concatenate([np.arange(n) * 1.0, np.minimum(copies + delay, n) + 0.5])
        row = np.concatenate([np.arange(n), copies])
        return row[np.argsort(when, kind="stable")]

    def prices(self) -> NDArray[np.int64]:
        """A product's price in cents, from 0.99 to about 500."""
        rng = np.random.default_rng([self.seed, 2**32 - 1])
        return (
            np.rint(np.exp(rng.uniform(0, 6.2, self.products)) * 100).astype(np.int64)
            - 1
        )


def zipf(n: int, exponent: float) -> NDArray[np.float64]:
    """Probabilities of `n` products by rank."""
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def one_heavy(n: int, share: float) -> NDArray[np.float64]:
    """Probabilities with `share` for the first and the rest spread evenly."""
    p = np.full(n, (1 - share) / (n - 1))
    p[0] = share
    return p / p.sum()


def text(values: list[str]) -> NDArray[np.generic]:
    return np.array(values, dtype=np.dtypes.StringDType())


def names(prefix: str, count: int) -> NDArray[np.generic]:
    return text([f"{prefix}{i:04d}" for i in range(count)])
