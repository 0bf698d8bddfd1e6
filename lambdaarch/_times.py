# SPDX-License-Identifier: Apache-2.0
"""Times and durations as people write them, to microseconds. Naive times are UTC."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import FieldTypeError, InvalidError

__all__ = [
    "DurationLike",
    "TimeLike",
    "clock_of",
    "every_parts",
    "far_text",
    "time_of",
    "time_text",
    "times_of",
    "to_us",
]

TimeLike: TypeAlias = "str | dt.datetime | dt.date | np.datetime64 | int"
DurationLike: TypeAlias = "str | dt.timedelta | np.timedelta64"

EPOCH = dt.datetime(1970, 1, 1)
ONE_US = dt.timedelta(microseconds=1)
LEAST = -(2**63)  # which NumPy takes for NaT
LEAST_DAY = -(2**31)  # of dates
US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 7 * 86_400_000_000,
}
CALENDAR = {"w": "week", "mo": "month", "q": "quarter", "y": "year"}
PART = re.compile(r"(\d+)(us|ms|mo|s|m|h|d|w|q|y)")


def to_us(time: TimeLike) -> int:
    """Microseconds since 1970-01-01T00:00Z.

    Raises
    ------
    InvalidError
        Text that is no time.
    FieldTypeError
        Something else than a text, datetime, date, datetime64 or integer.
    """
    if isinstance(time, str):
        return _parse(time)
    if isinstance(time, np.datetime64):
        if np.isnat(time):
            msg = "NaT is no time"
            raise InvalidError(msg)
        return int(time.astype("datetime64[us]").astype(np.int64))
    if isinstance(time, dt.datetime):
        offset = time.utcoffset() or dt.timedelta()
        return (time.replace(tzinfo=None) - EPOCH - offset) // ONE_US
    if isinstance(time, dt.date):
        return (time - EPOCH.date()).days * US["d"]
    if isinstance(time, (int, np.integer)) and not isinstance(time, bool):
        if not LEAST <= int(time) < -LEAST:
            msg = f"{time} microseconds are no time: it has 64 bits"
            raise InvalidError(msg)
        return int(time)
    msg = f"expected a time, got {time!r} ({type(time).__name__})"
    raise FieldTypeError(msg)


def time_of(us: int) -> dt.datetime | str:
    """The aware datetime (UTC) of microseconds since 1970; text outside of its years.

    Examples
    --------
    >>> time_of(2**62)
    '148108-07-06T14:00:27.387904'
    """
    try:
        return (EPOCH + dt.timedelta(microseconds=us)).replace(tzinfo=dt.UTC)
    except OverflowError:
        return time_text(us)


def clock_of(us: int) -> dt.datetime:
    """The aware datetime (UTC) that a clock showed, within the years 1 to 9999."""
    time = time_of(us)
    if isinstance(time, str):
        time = (dt.datetime.max if us > 0 else dt.datetime.min).replace(tzinfo=dt.UTC)
    return time


def time_text(us: int) -> str:
    """Any int64 of microseconds since 1970 as ISO text."""
    if us == LEAST:
        return "-290308-12-21T19:59:05.224192"
    return str(np.datetime64(us, "us"))


def times_of(values: NDArray[np.datetime64]) -> list[Any]:
    """Times or dates as Python has them; as ISO text outside of the years 1 to 9999."""
    out: list[Any] = values.tolist()
    far = [i for i, v in enumerate(out) if v is None or isinstance(v, int)]
    for i in far:
        out[i] = far_text(values[i])
    return out


def far_text(value: np.datetime64) -> str:
    """A time or date as ISO text; NaT is the least one, since it is no null here."""
    if not np.isnat(value):
        return str(np.datetime_as_string(value))
    if value.dtype == np.dtype("datetime64[D]"):
        return str(np.datetime64(LEAST_DAY, "D"))
    return time_text(LEAST)


def _parse(text: str) -> int:
    from . import _core

    return _core.parse_time(text)


def every_parts(every: DurationLike) -> tuple[int, str | None, int]:
    """A duration as (microseconds, None, 0), or as (0, calendar unit, count).

    ``"1w"`` is the calendar's week, ``"1d"`` is 24 hours.
    """
    if isinstance(every, dt.timedelta):
        us = every // dt.timedelta(microseconds=1)
    elif isinstance(every, np.timedelta64):
        us = int(every.astype("timedelta64[us]").astype(np.int64))
    elif isinstance(every, str):
        return _duration(every)
    else:
        msg = f"expected a duration such as '1d', got {every!r}"
        raise FieldTypeError(msg)
    return us, None, 0


def _duration(text: str) -> tuple[int, str | None, int]:
    negative = text.startswith("-")
    body = text[1:] if negative else text
    parts = PART.findall(body)
    if not parts or "".join(n + unit for n, unit in parts) != body:
        error = InvalidError(f"{text!r} is no duration")
        error.add_note(
            "write '30s', '5m', '1h', '1d', '1d12h', '1w', '1mo', '1q' or '1y'"
        )
        raise error
    if len(parts) == 1 and parts[0][1] in CALENDAR:
        count = int(parts[0][0])
        return 0, CALENDAR[parts[0][1]], -count if negative else count
    if any(unit not in US for _, unit in parts):
        msg = f"{text!r} mixes calendar units with others"
        raise InvalidError(msg)
    us = sum(int(n) * US[unit] for n, unit in parts)
    return (-us if negative else us), None, 0
