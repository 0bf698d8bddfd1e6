# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, one class per status of the core.

::

    LambdaError
    ├── InvalidError          ValueError       a value, name or definition is refused
    │   └── FieldTypeError    + TypeError      a value has the wrong type
    ├── NotFoundError         LookupError      no such store, log, column, view, ...
    ├── ConflictError         ValueError       the name has another definition
    ├── BusyError             OSError          another process or thread has the lock
    ├── ReadOnlyError         OSError          store, files or handle are read-only
    ├── StorageError          OSError          the operating system refused
    │   ├── StorageFullError                   no space left, or a quota reached
    │   └── OutcomeUnknownError                a sync failed
    ├── DamagedError          OSError          bytes on disk are not what was written
    ├── NewerFormatError      OSError          written by a newer format version
    ├── OutOfMemoryError      MemoryError      no memory
    ├── BudgetError           ValueError       the memory budget is too small
    ├── ResultOverflowError   ArithmeticError  a result does not fit its type
    ├── StaleError            ValueError       the cutoff is behind the published one
    ├── ClosedError           ValueError       the handle is closed or crossed a fork
    ├── CancelledError                         stopped by request
    └── EvaluationError       ArithmeticError  an expression failed; the view stops

Each text says what could not be done, to what, and why; what to do about it is a note
(PEP 678), which tracebacks show.
"""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "BusyError",
    "CancelledError",
    "ClosedError",
    "ConflictError",
    "DamagedError",
    "EvaluationError",
    "FieldTypeError",
    "InvalidError",
    "LambdaError",
    "NewerFormatError",
    "NotFoundError",
    "OutOfMemoryError",
    "OutcomeUnknownError",
    "ReadOnlyError",
    "ResultOverflowError",
    "StaleError",
    "StorageError",
    "StorageFullError",
]


class LambdaError(Exception):
    """Base of all errors of lambdaarch.

    Attributes
    ----------
    status : str
        The core's name for it, such as ``"BUSY"``.
    path : str or None
        The file that is meant.
    byte : int or None
        The byte in `path`.
    position : int or None
        The row's position in its log.
    retriable : bool
        The same call may succeed later, with nothing changed.
    """

    status: str = "INVALID"
    path: str | None = None
    byte: int | None = None
    position: int | None = None
    retriable: bool = False

    @property
    def hint(self) -> str:
        """What to do about it, or ``""``."""
        return "\n".join(getattr(self, "__notes__", ()))


class InvalidError(LambdaError, ValueError):
    """A value, name or definition cannot be accepted: correct the call."""


class FieldTypeError(InvalidError, TypeError):
    """A value has the wrong type for its field or place: convert it first.

    Nothing is guessed: a bool is no integer, a float becomes an integer only when it is
    whole, and a decimal only when it reads back as the same float.
    """

    status = "TYPE"


class NotFoundError(LambdaError, LookupError):
    """There is no such store, log, column, view, version or position."""

    status = "NOT_FOUND"


class ConflictError(LambdaError, ValueError):
    """The name exists with another definition; the text shows the first difference.

    For a view, ``replace=True`` makes the new definition a candidate.
    """

    status = "CONFLICT"


class BusyError(LambdaError, OSError):
    """Another process or thread writes this log or publishes: try again later."""

    status = "BUSY"


class ReadOnlyError(LambdaError, OSError):
    """The store was opened with ``mode="r"``, or its files cannot be written."""

    status = "READONLY"


class StorageError(LambdaError, OSError):
    """The operating system refused; `errno` says why."""

    status = "IO"


class StorageFullError(StorageError):
    """No space left or a quota reached: nothing of the call is readable. Free space."""

    status = "FULL"


class OutcomeUnknownError(StorageError):
    """A sync failed: the last rows may or may not be durable.

    The handle is dead. Open the store again; the log then tells which rows are there.
    """

    status = "UNKNOWN"


class DamagedError(LambdaError, OSError):
    """Bytes on disk are not what was written; `path` and `byte` name them.

    Nothing is deleted or repaired by itself. ``store.verify()`` lists every damage.
    """

    status = "DAMAGED"


class NewerFormatError(LambdaError, OSError):
    """The store was written by a newer version of the format: upgrade lambdaarch."""

    status = "NEWER"


class OutOfMemoryError(LambdaError, MemoryError):
    """No memory; the call can be repeated."""

    status = "NOMEM"


class BudgetError(LambdaError, ValueError):
    """The memory budget given is too small for the states: raise ``memory=``."""

    status = "BUDGET"


class ResultOverflowError(LambdaError, ArithmeticError):
    """A finished value does not fit its type; the text names the group.

    ``answer.exact(column)`` has the integer, ``answer.valid[column]`` is False there,
    and ``query(overflow="null")`` gives nulls instead of this error.
    """

    status = "OVERFLOW"


class StaleError(LambdaError, ValueError):
    """The cutoff asked for is behind the published one: use rollback to go back."""

    status = "STALE"


class ClosedError(LambdaError, ValueError):
    """The handle was closed, has failed, or crossed a fork: open the store again."""

    status = "CLOSED"


class CancelledError(LambdaError):
    """Stopped by request; the store is as it was."""

    status = "CANCELLED"


class EvaluationError(LambdaError, ArithmeticError):
    """An expression failed on a row, and the view was defined with ``on_error="stop"``.

    `position` is the lowest failing row.
    """

    status = "EVALUATION"
