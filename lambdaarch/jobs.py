# SPDX-License-Identifier: Apache-2.0
"""Jobs: work that publishes or loads, with its progress and its report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any

__all__ = ["Job", "Progress"]

WIDTH = 30
REDRAW_SECONDS = 0.1


class Job:
    """Work that was done.

    Attributes
    ----------
    kind : str
        ``"batch"``, ``"verify"``, ...
    report : dict
        What was done, as the core tells it.
    seconds : float
        Wall time.
    """

    def __init__(self, kind: str, report: dict[str, Any], seconds: float) -> None:
        self.kind = kind
        self.report = report
        self.seconds = seconds

    @property
    def versions(self) -> dict[str, int]:
        """View to the version that this job made or found unchanged."""
        return {
            str(view["view"]): int(view["version"])
            for view in self.report.get("views", [])
        }

    def __repr__(self) -> str:
        views = self.report.get("views", [])
        done = ", ".join(
            f"{view['view']} version {view['version']} ({view['groups']:,} groups)"
            for view in views
        )
        return f"<Job {self.kind}: {done or 'done'} in {self.seconds:.2f} s>"


class Progress:
    """A bar on standard error: rich's where it is installed, else one line of text.

    ``progress=None`` shows it on a terminal only, True always, False never; a function
    is called with (done, total, text).
    """

    def __init__(
        self, *, show: bool | Callable[[int, int, str], None] | None, title: str
    ) -> None:
        self._call = show if callable(show) else None
        stream = sys.stderr
        terminal = stream is not None and stream.isatty()
        self._stream: IO[str] | None = None
        if self._call is None and (terminal if show is None else show):
            self._stream = stream
        self._title = title
        self._drawn = 0.0
        self._rich: Any = None
        self._task: Any = None
        if self._stream is not None and terminal:
            self._start_rich()

    def _start_rich(self) -> None:
        try:
            from rich.progress import BarColumn, TimeElapsedColumn
            from rich.progress import Progress as RichProgress
        except ImportError:
            return
        self._rich = RichProgress(
            "{task.description}",
            BarColumn(),
            "{task.percentage:>3.0f}%",
            TimeElapsedColumn(),
        )
        self._task = self._rich.add_task(self._title, total=None)
        self._rich.start()

    def __enter__(self) -> Progress:
        return self

    def update(self, done: int, total: int, text: str) -> None:
        """Show that `done` of `total` is done; draws ten times a second at most."""
        if self._call is not None:
            self._call(done, total, text)
        if self._stream is None:
            return
        if self._rich is not None:
            self._rich.update(
                self._task,
                completed=done,
                total=total,
                description=f"{self._title} {text}",
            )
            return
        now = time.monotonic()
        if now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        self._draw(done, total, text)

    def _draw(self, done: int, total: int, text: str) -> None:
        share = min(1.0, done / total) if total else 0.0
        bar = "#" * round(share * WIDTH)
        line = f"\r{self._title} [{bar:<{WIDTH}}] {share:4.0%} {text}"
        print(f"{line:<78.78}", end="", file=self._stream, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
        elif self._stream is not None and self._drawn:
            if error is None:
                self._draw(1, 1, "done")
            print(file=self._stream)
