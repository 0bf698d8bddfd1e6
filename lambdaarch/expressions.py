# SPDX-License-Identifier: Apache-2.0
"""Expressions over a row, and aggregates over rows: Polars' words with Polars' meaning.

An expression is a description. It is frozen, prints as it was written, and runs nowhere
but in the core, on chunks of rows. The meaning of null is SQL's.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

from ._times import DurationLike, every_parts, to_us
from ._typing import Types, node_type
from .errors import FieldTypeError, InvalidError
from .schema import parse_type, scale_of

__all__ = ["Aggregate", "Expr", "Filtered", "Then", "When", "col", "len", "lit", "when"]

SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "floordiv": "//", "mod": "%",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and": "&", "or": "|",
}  # fmt: skip
PARSED = ("time[us]", "date")


class Expr:
    """An expression over the columns of a row. Made by `col`, `lit`, `when` and
    operators.

    Examples
    --------
    >>> (col("amount") >= 0) & (col("kind") == "sale")
    ((col("amount") >= 0) & (col("kind") == "sale"))
    """

    __slots__ = ("_args", "_op")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, op: str, *args: Any) -> None:
        self._op = op
        self._args = args

    # ------------------------------------------------------------ no truth value

    def __bool__(self) -> NoReturn:
        error = FieldTypeError(f"the truth of {self!r} is not known before it runs")
        error.add_note(
            "use & | ~ instead of and, or, not; is_between instead of a < x < b"
        )
        raise error

    def __iter__(self) -> NoReturn:
        msg = f"{self!r} is an expression, not a sequence"
        raise TypeError(msg)

    def __contains__(self, item: object) -> NoReturn:
        error = FieldTypeError(f"`in` does not work on {self!r}")
        error.add_note("use col(...).is_in([...])")
        raise error

    # ---------------------------------------------------------------- arithmetic

    def __add__(self, other: Any) -> Expr:
        return Expr("add", self, to_expr(other))

    def __radd__(self, other: Any) -> Expr:
        return Expr("add", to_expr(other), self)

    def __sub__(self, other: Any) -> Expr:
        return Expr("sub", self, to_expr(other))

    def __rsub__(self, other: Any) -> Expr:
        return Expr("sub", to_expr(other), self)

    def __mul__(self, other: Any) -> Expr:
        return Expr("mul", self, to_expr(other))

    def __rmul__(self, other: Any) -> Expr:
        return Expr("mul", to_expr(other), self)

    def __truediv__(self, other: Any) -> Expr:
        return Expr("div", self, to_expr(other))

    def __rtruediv__(self, other: Any) -> Expr:
        return Expr("div", to_expr(other), self)

    def __floordiv__(self, other: Any) -> Expr:
        return Expr("floordiv", self, to_expr(other))

    def __rfloordiv__(self, other: Any) -> Expr:
        return Expr("floordiv", to_expr(other), self)

    def __mod__(self, other: Any) -> Expr:
        return Expr("mod", self, to_expr(other))

    def __rmod__(self, other: Any) -> Expr:
        return Expr("mod", to_expr(other), self)

    def __neg__(self) -> Expr:
        return Expr("neg", self)

    def __abs__(self) -> Expr:
        return Expr("abs", self)

    def abs(self) -> Expr:
        """The magnitude."""
        return Expr("abs", self)

    # ---------------------------------------------------------------- comparison

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr("eq", self, to_expr(other))

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr("ne", self, to_expr(other))

    def __lt__(self, other: Any) -> Expr:
        return Expr("lt", self, to_expr(other))

    def __le__(self, other: Any) -> Expr:
        return Expr("le", self, to_expr(other))

    def __gt__(self, other: Any) -> Expr:
        return Expr("gt", self, to_expr(other))

    def __ge__(self, other: Any) -> Expr:
        return Expr("ge", self, to_expr(other))

    def is_between(
        self, lower_bound: Any, upper_bound: Any, closed: str = "both"
    ) -> Expr:
        """Whether the value lies between two others.

        Parameters
        ----------
        lower_bound, upper_bound : Expr or value
            A str is a literal here (Polars would take it for a column).
        closed : {"both", "left", "right", "none"}
            Which bounds belong to it.
        """
        if closed not in ("both", "left", "right", "none"):
            msg = f"closed is 'both', 'left', 'right' or 'none', not {closed!r}"
            raise InvalidError(msg)
        low = self >= lower_bound if closed in ("both", "left") else self > lower_bound
        high = (
            self <= upper_bound if closed in ("both", "right") else self < upper_bound
        )
        both: Expr = low & high
        return both

    def is_in(self, other: Iterable[Any]) -> Expr:
        """Whether the value is one of `other`; null stays null."""
        if isinstance(other, (str, bytes, Expr)):
            msg = f"is_in takes a list of values, not {other!r}"
            raise FieldTypeError(msg)
        values = [to_expr(value) for value in other]
        if any(value._op != "lit" for value in values):
            msg = "is_in takes values, not expressions"
            raise FieldTypeError(msg)
        return Expr("is_in", self, values)

    # ------------------------------------------------------------------- boolean

    def __and__(self, other: Any) -> Expr:
        return Expr("and", self, to_expr(other))

    def __rand__(self, other: Any) -> Expr:
        return Expr("and", to_expr(other), self)

    def __or__(self, other: Any) -> Expr:
        return Expr("or", self, to_expr(other))

    def __ror__(self, other: Any) -> Expr:
        return Expr("or", to_expr(other), self)

    def __invert__(self) -> Expr:
        return Expr("not", self)

    def not_(self) -> Expr:
        """The same as ``~``."""
        return Expr("not", self)

    def is_null(self) -> Expr:
        """Whether there is no value."""
        return Expr("is_null", self)

    def is_not_null(self) -> Expr:
        """Whether there is a value."""
        return Expr("is_not_null", self)

    def is_nan(self) -> Expr:
        """Whether a float is NaN; null stays null."""
        return Expr("is_nan", self)

    def fill_null(self, value: Any) -> Expr:
        """The value, or `value` where it is null."""
        return Expr("fill_null", self, to_expr(value))

    def cast(self, dtype: str) -> Expr:
        """The value as another type (see `Schema`); a row fails where that is
        impossible.
        """
        return Expr("cast", self, parse_type(dtype, place="cast")[0])

    @property
    def dt(self) -> TimeNamespace:
        """What can be done with times and dates."""
        return TimeNamespace(self)

    # ---------------------------------------------------------------- aggregates

    def sum(self) -> Aggregate:
        """Exact; null over nothing. Floats are rounded once, at the end."""
        return Aggregate("sum", self)

    def mean(self) -> Aggregate:
        """The exact quotient, rounded once; null over nothing."""
        return Aggregate("mean", self)

    def min(self) -> Aggregate:
        """The least value; NaN only if all are NaN."""
        return Aggregate("min", self)

    def max(self) -> Aggregate:
        """The greatest value; NaN only if all are NaN."""
        return Aggregate("max", self)

    def first(self) -> Aggregate:
        """The value of the row with the least event time (then position), nulls
        skipped.
        """
        return Aggregate("first", self)

    def last(self) -> Aggregate:
        """The value of the row with the greatest event time (then position)."""
        return Aggregate("last", self)

    def n_unique(self) -> Aggregate:
        """Distinct values, exactly; nulls are not counted."""
        return Aggregate("n_unique", self)

    def count(self) -> Aggregate:
        """Rows that are not null."""
        return Aggregate("count", self)

    def null_count(self) -> Aggregate:
        """Rows that are null."""
        return Aggregate("null_count", self)

    def filter(self, predicate: Expr) -> Filtered:
        """Only rows where `predicate` is true, for the aggregate that follows."""
        return Filtered(self, to_predicate(predicate))

    # --------------------------------------------------------------------- plans

    def to_plan(self, types: Types | None = None) -> list[Any]:
        """The JSON of docs/internals/plan.md.

        Parameters
        ----------
        types : mapping of str to str, optional
            Types of the columns; texts beside a time, date or decimal are then read as
            one.
        """
        known: Types = {} if types is None else types
        if self._op == "col":
            return ["col", self._args[0]]
        if self._op == "lit":
            return literal(self._args[0])
        if self._op in ("cast", "truncate", "offset_by"):
            return [self._op, self._args[0].to_plan(known), self._args[1]]
        if self._op == "is_in":
            inner, values = self._args
            node = inner.to_plan(known)
            kind = node_type(node, known)
            return ["is_in", node, [read_literal(v.to_plan(), kind) for v in values]]
        nodes = [arg.to_plan(known) for arg in self._args]
        if self._op in SYMBOLS or self._op == "fill_null":
            nodes = read_texts(nodes, known)
        elif self._op == "when":
            nodes = [nodes[0], *read_texts(nodes[1:], known)]
        return [self._op, *nodes]

    def explain(self) -> str:
        """The expression as text."""
        return repr(self)

    def __repr__(self) -> str:
        return _show(self)


def _show(expr: Expr) -> str:
    op, args = expr._op, expr._args
    if op == "col":
        return f'col("{args[0]}")'
    if op == "lit":
        return f'"{args[0]}"' if isinstance(args[0], str) else repr(args[0])
    if op in SYMBOLS:
        return f"({args[0]!r} {SYMBOLS[op]} {args[1]!r})"
    if op == "neg":
        return f"-{args[0]!r}"
    if op == "not":
        return f"~{args[0]!r}"
    if op == "when":
        return f"when({args[0]!r}).then({args[1]!r}).otherwise({args[2]!r})"
    if op in ("truncate", "offset_by"):
        every = args[1]
        text = (
            f"{every['us']}us" if "us" in every else f"{every['count']} {every['unit']}"
        )
        return f"{args[0]!r}.dt.{op}({text!r})"
    return f"{args[0]!r}.{op}({', '.join(map(repr, args[1:]))})"


@dataclass(frozen=True, slots=True)
class TimeNamespace:
    """`Expr.dt`: what can be done with times and dates."""

    _expr: Expr

    def truncate(self, every: DurationLike) -> Expr:
        """Start of the period that holds the time: ``"1h"``, ``"1w"``, ``"1mo"``,
        ...
        """
        us, unit, count = every_parts(every)
        if us <= 0 and count <= 0:
            msg = f"a period is longer than nothing, not {every!r}"
            raise InvalidError(msg)
        period = {"us": us} if unit is None else {"unit": unit, "count": count}
        return Expr("truncate", self._expr, period)

    def offset_by(self, by: DurationLike) -> Expr:
        """The time moved by a fixed duration: ``"1h"``, ``"-30m"``."""
        us, unit, count = every_parts(by)
        if unit == "week":
            us, unit = count * 7 * 86_400_000_000, None
        if unit is not None:
            msg = f"offset_by takes a fixed duration, not {by!r}"
            raise InvalidError(msg)
        return Expr("offset_by", self._expr, {"us": us})


# ---------------------------------------------------------------------- literals


def literal(value: Any) -> list[Any]:
    """``["lit", type, value]`` of a Python or NumPy value."""
    if isinstance(value, np.generic) and not isinstance(
        value, (np.datetime64, np.timedelta64)
    ):
        value = value.item()
    if value is None:
        return ["lit", "null", None]
    if isinstance(value, bool):
        return ["lit", "bool", value]
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            msg = f"the literal {value} does not fit 64 bits"
            raise InvalidError(msg)
        return ["lit", "i64" if value < 2**63 else "u64", value]
    if isinstance(value, float):
        return ["lit", "f64", _float(value)]
    if isinstance(value, str):
        return ["lit", "str", value]
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, (dt.datetime, np.datetime64)):
        return ["lit", "time[us]", to_us(value)]
    if isinstance(value, dt.date):
        return ["lit", "date", to_us(value) // 86_400_000_000]
    if isinstance(value, dt.timedelta):
        return ["lit", "i64", value // dt.timedelta(microseconds=1)]
    msg = f"{value!r} ({type(value).__name__}) cannot be a literal"
    raise FieldTypeError(msg)


def _float(value: float) -> float | str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return "-0.0" if value == 0 and math.copysign(1, value) < 0 else value


def _decimal(value: Decimal) -> list[Any]:
    if not value.is_finite():
        msg = f"the literal {value} is not finite"
        raise InvalidError(msg)
    scale = max(0, -int(value.as_tuple().exponent))
    scaled = int(value.scaleb(scale))
    if scale > 18 or abs(scaled) >= 10**18:
        msg = f"the literal {value} has more than 18 digits"
        raise InvalidError(msg)
    return ["lit", f"decimal({scale})", scaled]


def read_literal(node: list[Any], kind: str | None) -> list[Any]:
    """A text beside a time, date or decimal, read as one. Other nodes stay."""
    if node[0] != "lit" or node[1] != "str" or kind is None or node[2] is None:
        return node
    from . import _core

    text: str = node[2]
    if kind == "time[us]":
        return ["lit", kind, _core.parse_time(text)]
    if kind == "date":
        return ["lit", kind, _core.parse_date(text)]
    if kind.startswith("decimal"):
        try:
            return _decimal(Decimal(text))
        except ArithmeticError:
            return ["lit", kind, _core.parse_decimal(text, scale_of(kind))]
    return node


def read_texts(nodes: list[list[Any]], types: Types) -> list[list[Any]]:
    """Two operands: each text literal is read by the other's type."""
    kinds = [node_type(node, types) for node in nodes]
    return [read_literal(nodes[0], kinds[1]), read_literal(nodes[1], kinds[0])]


def to_expr(value: Any) -> Expr:
    """An expression as it is, anything else as a literal."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, (Aggregate, Filtered, When, Then)) and not isinstance(
        value, Expr
    ):
        msg = f"expected an expression, got {value!r}"
        raise FieldTypeError(msg)
    literal(value)  # raises early
    return Expr("lit", value)


def to_predicate(value: Any) -> Expr:
    """An expression; anything else is a mistake."""
    if not isinstance(value, Expr):
        error = FieldTypeError(
            f"expected a condition such as col('x') > 0, got {value!r}"
        )
        raise error
    return value


# ------------------------------------------------------------------- constructors


def col(name: str) -> Expr:
    """A column of the log (in a query's `where`: of the answer).

    Examples
    --------
    >>> col("amount") * 2
    (col("amount") * 2)
    """
    if not isinstance(name, str) or not name:
        msg = f"a column's name is a text, not {name!r}"
        raise FieldTypeError(msg)
    return Expr("col", name)


def lit(value: Any, dtype: str | None = None) -> Expr:
    """A literal: bool, int, float, str, Decimal, datetime, date, NumPy scalar or None.

    Parameters
    ----------
    value : object
        Its Python type gives the literal's type.
    dtype : str, optional
        Casts to this type.
    """
    expr = to_expr(value)
    return expr if dtype is None else expr.cast(dtype)


@dataclass(frozen=True, slots=True)
class When:
    """``when(condition)``, waiting for `then`."""

    _conditions: tuple[tuple[Expr, Expr], ...]
    _condition: Expr

    def then(self, statement: Any) -> Then:
        """The value where the condition is true; a str names a column, as in Polars."""
        return Then((*self._conditions, (self._condition, _column_or_value(statement))))


class Then(Expr):
    """``when(...).then(...)``: null where no condition is true."""

    __slots__ = ("_cases",)

    def __init__(self, cases: tuple[tuple[Expr, Expr], ...]) -> None:
        self._cases = cases
        built = _cases(cases, Expr("lit", None))
        super().__init__(built._op, *built._args)

    def when(self, condition: Expr) -> When:
        """One more case, looked at where those before are not true."""
        return When(self._cases, to_predicate(condition))

    def otherwise(self, statement: Any) -> Expr:
        """The value where no condition is true (also where one is null)."""
        return _cases(self._cases, _column_or_value(statement))


def _cases(cases: tuple[tuple[Expr, Expr], ...], last: Expr) -> Expr:
    for condition, value in reversed(cases):
        last = Expr("when", condition, value, last)
    return last


def _column_or_value(value: Any) -> Expr:
    return col(value) if isinstance(value, str) else to_expr(value)


def when(condition: Expr) -> When:
    """A value by cases.

    Examples
    --------
    >>> when(col("kind") == "refund").then(-col("amount")).otherwise(col("amount"))
    when((col("kind") == "refund")).then(-col("amount")).otherwise(col("amount"))
    """
    return When((), to_predicate(condition))


# --------------------------------------------------------------------- aggregates


class Aggregate:
    """What a view keeps for each group, made by `len` and methods such as `Expr.sum`.

    Examples
    --------
    >>> col("amount").sum().filter(col("kind") == "sale")
    col("amount").sum().filter((col("kind") == "sale"))
    """

    __slots__ = ("arg", "fn", "predicate")

    def __init__(
        self, fn: str, arg: Expr | None, predicate: Expr | None = None
    ) -> None:
        self.fn = fn
        self.arg = arg
        self.predicate = predicate

    def filter(self, predicate: Expr) -> Aggregate:
        """Only rows where `predicate` is true enter; several filters must all be
        true.
        """
        predicate = to_predicate(predicate)
        both = predicate if self.predicate is None else self.predicate & predicate
        return Aggregate(self.fn, self.arg, both)

    def to_plan(self, name: str, types: Types | None = None) -> dict[str, Any]:
        """The JSON of docs/internals/plan.md."""
        plan: dict[str, Any] = {"name": name, "fn": self.fn}
        if self.arg is not None:
            plan["arg"] = self.arg.to_plan(types)
        if self.predicate is not None:
            plan["filter"] = self.predicate.to_plan(types)
        return plan

    def explain(self) -> str:
        """The aggregate as text."""
        return repr(self)

    def __repr__(self) -> str:
        text = "len()" if self.arg is None else f"{self.arg!r}.{self.fn}()"
        return text if self.predicate is None else f"{text}.filter({self.predicate!r})"


class Filtered:
    """``expr.filter(condition)``, waiting for an aggregate (Polars' order of words)."""

    __slots__ = ("_expr", "_predicate")

    def __init__(self, expr: Expr, predicate: Expr) -> None:
        self._expr = expr
        self._predicate = predicate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._expr, name, None)
        if name not in AGGREGATES or method is None:
            msg = f"a filtered expression has aggregates only, not {name!r}"
            raise AttributeError(msg)
        return lambda: method().filter(self._predicate)

    def filter(self, predicate: Expr) -> Filtered:
        """Both conditions must be true."""
        return Filtered(self._expr, self._predicate & to_predicate(predicate))

    def __repr__(self) -> str:
        return f"{self._expr!r}.filter({self._predicate!r})"


AGGREGATES = frozenset(
    {"sum", "mean", "min", "max", "first", "last", "n_unique", "count", "null_count"}
)


def len() -> Aggregate:
    """Rows of the group.

    Examples
    --------
    >>> len().filter(col("kind") == "sale")
    len().filter((col("kind") == "sale"))
    """
    return Aggregate("len", None)
