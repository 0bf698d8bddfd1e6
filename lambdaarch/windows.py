# SPDX-License-Identifier: Apache-2.0
"""Windows: how event time is cut into groups. Times are UTC; a window is [start,
end).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._times import DurationLike, TimeLike, every_parts, to_us
from .errors import InvalidError

__all__ = ["Window", "calendar", "tumbling"]

UNITS = ("day", "week", "month", "quarter", "year")
DAY_US = 86_400_000_000
MONTHS = {"month": 1, "quarter": 3, "year": 12}
WEEK_ORIGIN_DAYS = -3  # Monday 1969-12-29


@dataclass(frozen=True, slots=True)
class Window:
    """A way to cut time; made by `tumbling` and `calendar`.

    Attributes
    ----------
    kind : str
        ``"tumbling"`` or ``"calendar"``.
    size_us, origin_us : int
        Of tumbling windows, microseconds.
    unit, count : str, int
        Of calendar windows.
    """

    kind: str
    size_us: int = 0
    origin_us: int = 0
    unit: str = ""
    count: int = 0

    def to_plan(self) -> dict[str, Any]:
        """The JSON of docs/internals/plan.md."""
        if self.kind == "tumbling":
            return {
                "kind": "tumbling",
                "size_us": self.size_us,
                "origin_us": self.origin_us,
            }
        return {"kind": "calendar", "unit": self.unit, "count": self.count, "tz": "UTC"}

    def __repr__(self) -> str:
        if self.kind == "tumbling":
            origin = f", origin={self.origin_us}" if self.origin_us else ""
            return f"tumbling({_duration_text(self.size_us)!r}{origin})"
        count = f", count={self.count}" if self.count != 1 else ""
        return f"calendar({self.unit!r}{count})"

    def start(self, time: TimeLike) -> int:
        """Microseconds of the start of the window that holds `time`."""
        us = to_us(time)
        if self.kind == "tumbling":
            return us - (us - self.origin_us) % self.size_us
        days = us // DAY_US
        if self.unit == "day":
            return (days - days % self.count) * DAY_US
        if self.unit == "week":
            since = (days - WEEK_ORIGIN_DAYS) % (7 * self.count)
            return (days - since) * DAY_US
        month = np.datetime64(days, "D").astype("datetime64[M]")
        months = int(month.astype(np.int64))
        months -= months % (MONTHS[self.unit] * self.count)
        first = np.datetime64(months, "M").astype("datetime64[D]")
        return int(first.astype(np.int64)) * DAY_US


def _duration_text(us: int) -> str:
    for unit, size in (("d", DAY_US), ("h", 3_600_000_000), ("m", 60_000_000),
                       ("s", 1_000_000), ("ms", 1_000)):  # fmt: skip
        if us % size == 0:
            return f"{us // size}{unit}"
    return f"{us}us"


def tumbling(every: DurationLike, *, origin: TimeLike | None = None) -> Window:
    """Windows side by side, each `every` long.

    Parameters
    ----------
    every : str, timedelta or timedelta64
        ``"5m"``, ``"1h"``, ``"1d"``, ...; ``"1w"`` (from Monday), ``"1mo"``, ``"1q"``
        and ``"1y"`` follow the calendar.
    origin : time, optional
        A window starts there; default 1970-01-01. Not for calendar units, but ``"1w"``
        with an origin is seven days from it.

    Raises
    ------
    InvalidError
        Nothing or less than nothing long.

    Examples
    --------
    >>> tumbling("1d")
    tumbling('1d')
    >>> tumbling("1mo")
    calendar('month')
    """
    us, unit, count = every_parts(every)
    if unit == "week" and origin is not None:
        us, unit = 7 * DAY_US * count, None
    if unit is not None:
        if origin is not None:
            msg = f"{every!r} follows the calendar, so it takes no origin"
            raise InvalidError(msg)
        return calendar(unit, count=count)
    if us <= 0:
        msg = f"a window is longer than nothing, not {every!r}"
        raise InvalidError(msg)
    return Window(
        "tumbling", size_us=us, origin_us=0 if origin is None else to_us(origin) % us
    )


def calendar(unit: str, *, count: int = 1) -> Window:
    """Windows of calendar units in UTC.

    Parameters
    ----------
    unit : {"day", "week", "month", "quarter", "year"}
        Weeks begin on Monday.
    count : int, default 1
        Units together, counted from 1970-01 (weeks from 1969-12-29).
    """
    if unit not in UNITS:
        msg = f"there is no calendar unit {unit!r}: {', '.join(UNITS)}"
        raise InvalidError(msg)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        msg = f"count is at least 1, not {count!r}"
        raise InvalidError(msg)
    return Window("calendar", unit=unit, count=count)


def window_of(window: Window | DurationLike) -> Window:
    """A window, or the tumbling window of a duration."""
    return window if isinstance(window, Window) else tumbling(window)


def window_from_plan(plan: dict[str, Any] | None) -> Window | None:
    """The window of a plan's JSON."""
    if plan is None:
        return None
    if plan["kind"] == "tumbling":
        return Window(
            "tumbling", size_us=plan["size_us"], origin_us=plan.get("origin_us", 0)
        )
    return Window("calendar", unit=plan["unit"], count=plan.get("count", 1))
