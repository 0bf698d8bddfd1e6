# SPDX-License-Identifier: Apache-2.0
"""Receipt: where an answer came from, and every row of the log in one class."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._times import clock_of, time_of

__all__ = ["Receipt", "RowCounts"]

CLASSES = (
    "counted", "filtered", "failed", "late", "duplicate", "retracted", "quarantined",
    "erased",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Every row of the log, in exactly one class (law 5).

    Attributes
    ----------
    counted, filtered, failed, late, duplicate, retracted, quarantined, erased : int
    """

    counted: int = 0
    filtered: int = 0
    failed: int = 0
    late: int = 0
    duplicate: int = 0
    retracted: int = 0
    quarantined: int = 0
    erased: int = 0

    @property
    def total(self) -> int:
        """The sum of all classes: the position."""
        return sum(getattr(self, name) for name in CLASSES)

    def to_dict(self) -> dict[str, int]:
        """Rows by class."""
        return {name: getattr(self, name) for name in CLASSES}

    @classmethod
    def from_json(cls, counts: Mapping[str, Any]) -> RowCounts:
        """From the core's JSON; classes it does not name are 0."""
        return cls(**{name: int(counts.get(name) or 0) for name in CLASSES})


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an answer came from.

    Attributes
    ----------
    view, fingerprint : str
        The view, and the SHA-256 of its definition.
    version : int or None
        The published version behind the batch part; None: there was none.
    catalogue : int
        The number of the catalogue the answer was read from.
    cutoffs, positions : mapping of str to int
        Per log: the first position not in the batch part, and not in the answer.
    last_batch_update : datetime or None
        When the version was published.
    watermark : datetime, str or None
        Event time believed complete; ISO text outside of the years 1 to 9999.
    rows : RowCounts
        All rows of [0, position) by class.
    rows_by_part : mapping of str to RowCounts
        The same for ``"batch"`` and ``"speed"``.
    failed_by : mapping of str to int
        Failed rows by reason.
    failed_first : int or None
        The lowest position that failed.
    durable : bool
        False: it holds rows of the writer that a crash of the machine may still lose.
    answered : datetime or None
        When the answer was made.
    json : str
        The receipt as the core wrote it.
    """

    view: str
    fingerprint: str
    version: int | None
    catalogue: int
    cutoffs: Mapping[str, int]
    positions: Mapping[str, int]
    last_batch_update: dt.datetime | None
    watermark: dt.datetime | str | None
    rows: RowCounts
    rows_by_part: Mapping[str, RowCounts]
    durable: bool
    failed_by: Mapping[str, int] = field(default_factory=dict)
    failed_first: int | None = None
    answered: dt.datetime | None = None
    erasure_epoch: int = 0
    json: str = ""

    @property
    def cutoff(self) -> Any:
        """The cutoff: an int for a view of one log, else a dict by log."""
        return _scalar(self.cutoffs)

    @property
    def position(self) -> Any:
        """The position: an int for a view of one log, else a dict by log."""
        return _scalar(self.positions)

    @property
    def live_rows(self) -> int:
        """Rows that came after the cutoff: those that the speed part covers."""
        return sum(self.positions.values()) - sum(self.cutoffs.values())

    @property
    def staleness(self) -> dt.timedelta | None:
        """Age of the batch part when the answer was made; None: there is none."""
        if self.answered is None or self.last_batch_update is None:
            return None
        return self.answered - self.last_batch_update

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """From the core's JSON."""
        got = json.loads(text)
        parts = got.get("rows_by_part") or {}
        updated, watermark = got.get("last_batch_update_us"), got.get("watermark_us")
        answered = got.get("answered_us")
        return cls(
            view=got["view"],
            fingerprint=got["fingerprint"],
            version=got.get("version") or None,
            catalogue=int(got.get("catalogue", 0)),
            cutoffs={k: int(v) for k, v in got["cutoff"].items()},
            positions={k: int(v) for k, v in got["position"].items()},
            last_batch_update=None if updated is None else clock_of(updated),
            watermark=None if watermark is None else time_of(watermark),
            rows=RowCounts.from_json(got["rows"]),
            rows_by_part={
                name: RowCounts.from_json(counts) for name, counts in parts.items()
            },
            durable=bool(got.get("durable", True)),
            failed_by=dict(got["rows"].get("failed_by") or {}),
            failed_first=got["rows"].get("failed_first"),
            answered=None if answered is None else clock_of(answered),
            erasure_epoch=int(got.get("erasure_epoch", 0)),
            json=text,
        )

    def to_dict(self) -> dict[str, Any]:
        """The receipt as plain JSON values."""
        out: dict[str, Any] = json.loads(self.json)
        return out

    def __str__(self) -> str:
        version = "no batch part" if self.version is None else f"version {self.version}"
        when = self.last_batch_update
        updated = "" if when is None else f" of {when:%Y-%m-%d %H:%M:%S}Z"
        logs = ", ".join(
            f"{log} [0, {self.cutoffs.get(log, 0):,}) batch + "
            f"[{self.cutoffs.get(log, 0):,}, {end:,}) live"
            for log, end in self.positions.items()
        )
        counted = f"{self.rows.counted:,} rows counted"
        return f"{self.view}: {version}{updated}; {logs}; {counted}"


def _scalar(vector: Mapping[str, int]) -> Any:
    return next(iter(vector.values())) if len(vector) == 1 else dict(vector)
