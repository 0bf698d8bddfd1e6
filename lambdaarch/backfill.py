# SPDX-License-Identifier: Apache-2.0
"""Backfill: a view's past recomputed from the log, compared, and put right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import InvalidError, StaleError
from .reconcile import Diff, diff

if TYPE_CHECKING:
    from .jobs import Job
    from .views import View

__all__ = ["Backfill"]


class Backfill:
    """A recomputed version beside the published one.

    Attributes
    ----------
    job : Job
        The run that made it.
    old, new : int
        Versions.
    """

    def __init__(
        self, view: View, *, old: int, new: int, start: int | None, end: int | None,
        candidate: bool, job: Job,
    ) -> None:  # fmt: skip
        self._view = view
        self.old = old
        self.new = new
        self._start = start
        self._end = end
        self._candidate = candidate
        self.job = job
        hashes = {v.number: v.content_hash for v in view.versions}
        self._same = old == new or (old in hashes and hashes[old] == hashes.get(new))

    @property
    def same(self) -> bool:
        """Whether every group and state is the same, to the bit."""
        return self._same

    def diff(self, *, top: int | None = 20) -> Diff:
        """Groups in [start, end) whose finished values differ, the largest first."""
        return self._diff(self._start, self._end, top)

    def _diff(self, start: int | None, end: int | None, top: int | None) -> Diff:
        old = self._view.query(
            version=self.old, since=start, until=end, parts=False, overflow="null"
        )
        new = self._view.query(
            version=self.new, since=start, until=end, parts=False, overflow="null"
        )
        return diff(old, new, top=top)

    def outside(self, *, top: int | None = 20) -> Diff:
        """Groups outside of [start, end) that differ."""
        changes = []
        groups = 0
        if self._start is not None:
            before = self._diff(None, self._start, None)
            changes += list(before)
            groups += before.groups
        if self._end is not None:
            after = self._diff(self._end, None, None)
            changes += list(after)
            groups += after.groups
        total = len(changes)
        return Diff(
            changes if top is None else changes[:top], groups=groups, total=total
        )

    def apply(self) -> int:
        """Make the recomputed version the current one; a second call changes nothing.

        Returns
        -------
        int
            The version that is now current.

        Raises
        ------
        StaleError
            Another version than `old` was published meanwhile.
        InvalidError
            Groups outside of [start, end) differ too.
        """
        if self._view.version == self.new:
            return self.new
        self._check_current()
        if self.same:
            return self.old
        outside = self.outside()
        if outside.total:
            error = InvalidError(
                f'could not apply the backfill of "{self._view.name}": '
                f"{outside.total} groups outside of the range differ, such as "
                f"{outside[0]}"
            )
            error.add_note(
                "widen the range, or recompute everything with store.batch()"
            )
            raise error
        self._check_current()
        self._view.rollback(self.new)
        return self.new

    def _check_current(self) -> None:
        """What was compared is still what answers are made from."""
        current = self._view.version
        if current != self.old:
            error = StaleError(
                f'could not apply the backfill of "{self._view.name}": it was compared '
                f"with version {self.old}, but version {current} is current now"
            )
            error.add_note("run the backfill again")
            raise error

    def __repr__(self) -> str:
        state = "same" if self.same else "differs"
        name = self._view.name
        return f"<Backfill of {name}: version {self.new} {state} from {self.old}>"
