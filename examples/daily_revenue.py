# SPDX-License-Identifier: Apache-2.0
"""The example every text on the Lambda Architecture tells: one day's revenue.

The batch layer has computed what it saw, orders went on coming in, and the answer is
both.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder, la.open(f"{folder}/shop") as store:
...     answer = get_daily_revenue(open_shop(store), "2026-11-21")
>>> print(answer)
revenue of 2026-11-21: 871,239
  from batch  847,392  (orders before position 1,412)
  from live    23,847  (52 orders since)
>>> answer.total == answer.batch + answer.live
True
>>> answer.last_batch_update is not None
True
"""

from __future__ import annotations

import datetime as dt
import tempfile
from dataclasses import dataclass

import numpy as np

import lambdaarch as la
from lambdaarch import col


@dataclass(frozen=True)
class DailyRevenue:
    """One day's revenue, where it came from, and how fresh its batch part is."""

    day: str
    total: int
    batch: int
    live: int
    cutoff: int
    position: int
    last_batch_update: dt.datetime

    def __str__(self) -> str:
        return (
            f"revenue of {self.day}: {self.total:,}\n"
            f"  from batch  {self.batch:,}  (orders before position {self.cutoff:,})\n"
            f"  from live   {self.live:>7,}  "
            f"({self.position - self.cutoff} orders since)"
        )


def get_daily_revenue(revenue: la.View, day: str) -> DailyRevenue:
    """What `day` has brought so far, up to the last order.

    Parameters
    ----------
    revenue : View
        Has windows of a day and an aggregate ``revenue``.
    day : str
        As in ``"2026-11-21"``, UTC.
    """
    start = np.datetime64(day, "us")
    answer = revenue.query(
        since=start, until=start + np.timedelta64(1, "D"), parts=True
    )
    receipt = answer.receipt
    return DailyRevenue(
        day=day,
        total=int(answer["revenue"][0]),
        batch=int(answer.parts.batch["revenue"][0]),
        live=int(answer.parts.speed["revenue"][0]),
        cutoff=receipt.cutoff,
        position=receipt.position,
        last_batch_update=receipt.last_batch_update,
    )


def open_shop(store: la.Store) -> la.View:
    """A shop after its nightly batch run, with a few orders since."""
    orders = store.log("orders", {"ts": "time[us]", "amount": "i64"}, time="ts")
    revenue = store.view(
        "revenue",
        orders,
        window=la.tumbling("1d"),
        agg={"revenue": col("amount").sum()},
    )
    orders.append(amounts("2026-11-21T00:00", total=847_392, count=1_412))
    store.batch(progress=False)
    orders.append(amounts("2026-11-21T18:00", total=23_847, count=52))
    return revenue


def amounts(start: str, *, total: int, count: int) -> dict[str, np.ndarray]:
    """`count` orders, a second apart, worth `total` together."""
    share, rest = divmod(total, count)
    amount = np.full(count, share)
    amount[:rest] += 1
    seconds = np.arange(count).astype("timedelta64[s]")
    return {"ts": np.datetime64(start, "us") + seconds, "amount": amount}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, la.open(f"{folder}/shop") as shop:
        result = get_daily_revenue(open_shop(shop), "2026-11-21")
        print(result)
        print(f"last batch update: {result.last_batch_update}")
