# SPDX-License-Identifier: Apache-2.0
"""The reference event and the reference queries (three ways: lambdaarch, SQL, Polars).

An event: id, time, product (4,000, Zipf 1.3), country (38, one with 90 %), customer
(100,000), quantity, price with two decimals; 90 days, 2 % up to an hour late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import polars as pl

    import lambdaarch as la

SCHEMA = {
    "id": "u64",
    "time": "time[us]",
    "product": "cat",
    "country": "cat",
    "customer": "u64",
    "quantity": "i32",
    "price": "f64",
}
PRODUCTS, COUNTRIES, CUSTOMERS, DAYS = 4_000, 38, 100_000, 90
DAY_US = 86_400_000_000
START_US = 20_454 * DAY_US  # 2026-01-01
CHUNK_ROWS = 1_000_000


def chunks(rows: int, *, seed: int = 7) -> Iterator[pa.Table]:
    """The first `rows` events as Arrow tables; text columns are dictionaries."""
    for number in range(-(-rows // CHUNK_ROWS)):
        first = number * CHUNK_ROWS
        yield chunk(number, first, min(CHUNK_ROWS, rows - first), rows, seed)


def chunk(number: int, first: int, n: int, rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng([seed, number])
    index = np.arange(first, first + n)
    gap_us = DAYS * DAY_US / rows
    arrival = index * gap_us + rng.uniform(0, gap_us, n)
    late = (rng.random(n) < 0.02) * rng.uniform(0, DAY_US / 24, n)
    product = rng.choice(PRODUCTS, n, p=zipf(PRODUCTS, 1.3)).astype(np.int32)
    country = np.where(rng.random(n) < 0.9, 0, rng.integers(1, COUNTRIES, n))
    return pa.table(
        {
            "id": index.astype(np.uint64),
            "time": pa.array(
                (START_US + arrival - late).astype(np.int64), pa.timestamp("us")
            ),
            "product": dictionary(product, "product-{:04d}", PRODUCTS),
            "country": dictionary(country.astype(np.int32), "C{:02d}", COUNTRIES),
            "customer": rng.integers(0, CUSTOMERS, n).astype(np.uint64),
            "quantity": rng.geometric(0.5, n).astype(np.int32),
            "price": rng.integers(99, 50_000, n) / 100,
        }
    )


def zipf(n: int, exponent: float) -> Any:
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def dictionary(codes: Any, form: str, count: int) -> pa.DictionaryArray:
    names = pa.array([form.format(i) for i in range(count)])
    return pa.DictionaryArray.from_arrays(pa.array(codes), names)


def table(rows: int, *, seed: int = 7) -> pa.Table:
    """All of them at once."""
    return pa.concat_tables(chunks(rows, seed=seed)).combine_chunks()


def define_views(store: la.Store, log: la.Log) -> None:
    """The reference queries as views. The sketch (HLL a day) awaits its aggregate."""
    import lambdaarch as la
    from lambdaarch import col

    price, day = col("price"), la.tumbling("1d")
    store.view(
        "day_product",
        log,
        by=["product"],
        window=day,
        agg={
            "n": la.len(),
            "total": price.sum(),
            "low": price.min(),
            "high": price.max(),
        },
    )
    store.view(
        "country",
        log,
        by=["country"],
        agg={"n": la.len(), "total": price.sum(), "mean": price.mean()},
    )
    store.view(
        "minute",
        log,
        window=la.tumbling("1m"),
        agg={"n": la.len(), "total": price.sum()},
    )
    store.view(
        "customer",
        log,
        by=["customer"],
        agg={"n": la.len(), "total": price.sum(), "latest": col("time").max()},
    )
    store.view(
        "customers_a_day",
        log,
        window=day,
        agg={"customers": col("customer").n_unique()},
    )
    store.view(
        "total",
        log,
        agg={"n": la.len(), "quantity": col("quantity").sum(), "total": price.sum()},
    )


SQL = {
    "day_product": "SELECT date_trunc('day', time) AS day, product, count(*) AS n,"
    " sum(price) AS total, min(price) AS low, max(price) AS high"
    " FROM events GROUP BY ALL",
    "country": "SELECT country, count(*) AS n, sum(price) AS total, avg(price) AS mean"
    " FROM events GROUP BY ALL",
    "minute": "SELECT date_trunc('minute', time) AS minute, count(*) AS n,"
    " sum(price) AS total FROM events GROUP BY ALL",
    "customer": "SELECT customer, count(*) AS n, sum(price) AS total,"
    " max(time) AS latest FROM events GROUP BY ALL",
    "customers_a_day": "SELECT date_trunc('day', time) AS day,"
    " count(DISTINCT customer) AS customers FROM events GROUP BY ALL",
    "total": "SELECT count(*) AS n, sum(quantity) AS quantity, sum(price) AS total"
    " FROM events",
}


def polars_queries() -> dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]]:
    """The same on a Polars frame; `.collect()` runs one."""
    import polars as pl

    price, day = pl.col("price"), pl.col("time").dt.truncate("1d").alias("day")
    n, total = pl.len().alias("n"), price.sum().alias("total")
    return {
        "day_product": lambda f: f.group_by(day, "product").agg(
            n, total, price.min().alias("low"), price.max().alias("high")
        ),
        "country": lambda f: f.group_by("country").agg(
            n, total, price.mean().alias("mean")
        ),
        "minute": lambda f: f.group_by(
            pl.col("time").dt.truncate("1m").alias("minute")
        ).agg(n, total),
        "customer": lambda f: f.group_by("customer").agg(
            n, total, pl.col("time").max().alias("latest")
        ),
        "customers_a_day": lambda f: f.group_by(day).agg(
            pl.col("customer").n_unique().alias("customers")
        ),
        "total": lambda f: f.select(n, pl.col("quantity").sum(), total),
    }
