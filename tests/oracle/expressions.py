# SPDX-License-Identifier: Apache-2.0
"""What an EXPR of docs/internals/plan.md means, one row at a time.

A value is None (null), bool, int (integers; time in microseconds; date in days; a
decimal as value times 10^scale), float or str. `compile_expr` gives the static type and
a function from a row (a mapping) to a value, which raises `Failed` where the row fails.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

Value = Any
Row = Mapping[str, Value]
NAN = float("nan")  # the one NaN: grouping compares it by identity
US_PER_DAY = 86_400_000_000
LIMITS = {
    "i32": (-(2**31), 2**31 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "u64": (0, 2**64 - 1),
}
FLOATS = ("f32", "f64")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Failed(Exception):
    """The expression has no value for this row: overflow, division by zero, a cast."""


class Expr(NamedTuple):
    type: str
    run: Callable[[Row], Value]
    literal: Value = None


def scale(kind: str) -> int:
    """Digits after the point; 0 for an integer."""
    return int(kind[8:-1]) if kind.startswith("decimal") else 0


def is_exact(kind: str) -> bool:
    return kind in LIMITS or kind.startswith("decimal")


def canonical(value: Value) -> Value:
    """One NaN, no -0.0."""
    if isinstance(value, float):
        return NAN if math.isnan(value) else value + 0.0
    return value


def order_key(value: Value) -> tuple[Any, ...]:
    """Value order: null first, text by bytes, NaN above every number."""
    if value is None:
        return (0,)
    if isinstance(value, str):
        return (1, value.encode())
    if isinstance(value, float):
        return (1, 1, 0) if math.isnan(value) else (1, 0, value)
    return (1, 0, value)


def rounded(exact: Fraction) -> float:
    """The nearest double, ties to even; infinity beyond the range."""
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def fit(value: int, kind: str) -> int:
    """`value` if type `kind` holds it; else the row fails."""
    low, high = LIMITS.get(kind, (1 - 10**18, 10**18 - 1))
    if not low <= value <= high:
        raise Failed(f"{value} does not fit {kind}")
    return value


def widen(value: Value, kind: str, to: str) -> Value:
    """A number, time or date under the common type of two operands."""
    if value is None or kind == to or to == "str":
        return value
    if to in FLOATS:
        return float(value) if kind in FLOATS else to_float(value, kind)
    if to == "time[us]" and kind == "date":
        return value * US_PER_DAY
    return fit(value * 10 ** (scale(to) - scale(kind)), to)


def to_float(value: int, kind: str) -> float:
    return rounded(Fraction(value, 10 ** scale(kind)))


def common(a: Expr, b: Expr, *, multiply: bool = False) -> str:
    """The type two operands meet in (plan.md, "Arithmetic")."""
    kinds = {a.type, b.type}
    if "null" in kinds:
        return (kinds - {"null"} or {"null"}).pop()
    if kinds & set(FLOATS):
        return "f64"
    if kinds == {"date", "time[us]"}:
        return "time[us]"
    if kinds <= {"str", "cat"}:
        return "str"
    if any(k.startswith("decimal") for k in kinds):
        pair = scale(a.type), scale(b.type)
        return f"decimal({sum(pair) if multiply else max(pair)})"
    if len(kinds) == 1:
        return a.type
    assert kinds <= set(LIMITS), f"no common type: {kinds}"
    if "u64" in kinds:
        other = b if a.type == "u64" else a
        taken = other.literal is not None and other.literal >= 0
        return "u64" if taken else "i64"
    return "i64"


# ---------------------------------------------------------------------- calendar


def civil(us: int) -> dt.datetime:
    return EPOCH + dt.timedelta(microseconds=us)


def micros(when: dt.datetime) -> int:
    return (when - EPOCH) // dt.timedelta(microseconds=1)


def month_start(months: int) -> int:
    """Start of the month that many months after 1970-01."""
    year, month = divmod(months, 12)
    return micros(dt.datetime(1970 + year, month + 1, 1, tzinfo=dt.UTC))


MONTHS = {"month": 1, "quarter": 3, "year": 12}
DAYS = {"day": (1, 0), "week": (7, -3)}  # weeks are counted from Monday 1969-12-29


def calendar_floor(us: int, unit: str, count: int) -> int:
    if unit in DAYS:
        days, origin = DAYS[unit]
        step = days * count
        return ((us // US_PER_DAY - origin) // step * step + origin) * US_PER_DAY
    step = MONTHS[unit] * count
    day = civil(us)
    return month_start(((day.year - 1970) * 12 + day.month - 1) // step * step)


def calendar_next(start: int, unit: str, count: int) -> int:
    if unit in DAYS:
        return start + DAYS[unit][0] * count * US_PER_DAY
    day = civil(start)
    return month_start((day.year - 1970) * 12 + day.month - 1 + MONTHS[unit] * count)


# -------------------------------------------------------------------- operations


def arithmetic(op: str, a: Value, b: Value, kind: str) -> Value:
    if kind in FLOATS:
        return float_arithmetic(op, a, b)
    if op in ("floordiv", "mod"):
        if b == 0:
            raise Failed("division by zero")
        return fit(a // b if op == "floordiv" else a % b, kind)
    exact = {"add": a + b, "sub": a - b, "mul": a * b}[op]
    return exact if kind == "time[us]" else fit(exact, kind)


def float_arithmetic(op: str, a: float, b: float) -> float:
    if op in ("div", "floordiv", "mod") and b == 0.0:
        if op == "mod" or a == 0.0 or math.isnan(a):
            return NAN
        return math.copysign(math.inf, a) * math.copysign(1.0, b)
    return {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "div": lambda: a / b,
        "floordiv": lambda: a // b,
        "mod": lambda: a % b,
    }[op]()


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}


def cast(value: Value, kind: str, to: str) -> Value:
    """plan.md, "Casts"; the value is not null."""
    if kind == to or {kind, to} <= {"str", "cat"}:
        return value
    if kind == "bool" or to == "bool":
        return bool(value) if to == "bool" else widen(int(value), "i64", to)
    if to == "date" and kind == "time[us]":
        return value // US_PER_DAY
    if to in FLOATS or to == "time[us]":
        return widen(value, kind, to)
    if kind in FLOATS and not math.isfinite(value):
        raise Failed(f"{value} has no {to}")
    exact = Fraction(value) / 10 ** scale(kind)
    if to in LIMITS:
        return fit(math.trunc(exact), to)
    return fit(round(exact * 10 ** scale(to)), to)  # half to even


def literal(kind: str, value: Value) -> Value:
    return float(value) if kind in FLOATS and value is not None else value


def compile_expr(expr: list[Any], schema: Mapping[str, str]) -> Expr:
    """`schema` maps column names to type texts (a trailing "?" is ignored)."""
    op, *rest = expr
    if op == "col":
        return Expr(schema[rest[0]].rstrip("?"), lambda row: row[rest[0]])
    if op == "lit":
        value = literal(rest[0], rest[1])
        return Expr(rest[0], lambda row: value, value)
    parts = [compile_expr(e, schema) for e in rest if is_expr(e)]
    a, b = parts[0], parts[-1]
    if op in ("and", "or"):
        return Expr("bool", lambda row: logic(op, a.run(row), b.run(row)))
    if op == "not":
        return Expr("bool", lambda row: None if (v := a.run(row)) is None else not v)
    if op in ("is_null", "is_not_null"):
        return Expr("bool", lambda row: (a.run(row) is None) == (op == "is_null"))
    if op == "is_nan":
        return nullable("bool", a, math.isnan)
    if op == "fill_null":
        kind = common(a, b)
        return Expr(kind, lambda row: first_known(row, a, b, kind))
    if op == "when":
        yes, no = parts[1:]
        kind = common(yes, no)
        return Expr(kind, lambda row: choose(row, a, yes, no, kind))
    if op in COMPARE:
        test = COMPARE[op]
        if is_exact(a.type) and is_exact(b.type):  # u64 with i64 too: never fails
            return exact_pair("bool", a, b, test)
        return pair(
            "bool", a, b, common(a, b), lambda x, y: test(order_key(x), order_key(y))
        )
    if op == "div":
        if is_exact(a.type) and is_exact(b.type):
            return exact_pair("f64", a, b, divide)
        return pair("f64", a, b, "f64", lambda x, y: float_arithmetic(op, x, y))
    if op in ("add", "sub", "mul", "floordiv", "mod"):
        kind = common(a, b, multiply=op == "mul")
        result = "i64" if kind == "time[us]" else kind
        meet = a.type if op == "mul" and a.type == b.type else kind
        if op == "mul" and kind.startswith("decimal"):
            return Expr(kind, lambda row: multiply_decimals(row, a, b, kind))
        return pair(result, a, b, meet, lambda x, y: arithmetic(op, x, y, kind))
    if op in ("neg", "abs"):
        kind = "i64" if (op, a.type) == ("neg", "u64") else a.type
        return nullable(kind, a, lambda v: signed(op, v, kind))
    if op == "cast":
        return nullable(rest[1], a, lambda v: cast(v, a.type, rest[1]))
    if op == "is_in":
        members = [compile_expr(e, schema) for e in rest[1]]
        tests = [compile_expr(["eq", rest[0], e], schema) for e in rest[1]]
        assert all(m.literal is not None for m in members), "null members: say is_null"
        return Expr("bool", lambda row: any_true(row, a, tests))
    if op == "truncate":
        return nullable(a.type, a, lambda v: truncate(v, a.type, rest[1]))
    if op == "offset_by":
        return nullable(a.type, a, lambda v: fit(v + rest[1]["us"], "i64"))
    raise ValueError(f"no such operation: {op!r}")


def is_expr(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and isinstance(item[0], str)


def nullable(kind: str, a: Expr, run: Callable[[Any], Value]) -> Expr:
    return Expr(kind, lambda row: None if (v := a.run(row)) is None else run(v))


def pair(
    kind: str, a: Expr, b: Expr, meet: str, run: Callable[[Any, Any], Value]
) -> Expr:
    """Both operands widened to `meet`; null if either is null."""

    def evaluate(row: Row) -> Value:
        x, y = a.run(row), b.run(row)
        if x is None or y is None:
            return None
        return run(widen(x, a.type, meet), widen(y, b.type, meet))

    return Expr(kind, evaluate)


def exact_pair(
    kind: str, a: Expr, b: Expr, run: Callable[[Fraction, Fraction], Value]
) -> Expr:
    """Integers and decimals meet as the numbers they are."""
    to_a, to_b = 10 ** scale(a.type), 10 ** scale(b.type)

    def evaluate(row: Row) -> Value:
        x, y = a.run(row), b.run(row)
        if x is None or y is None:
            return None
        return run(Fraction(x, to_a), Fraction(y, to_b))

    return Expr(kind, evaluate)


def divide(x: Fraction, y: Fraction) -> float:
    if y == 0:
        raise Failed("division by zero")
    return rounded(x / y)


def multiply_decimals(row: Row, a: Expr, b: Expr, kind: str) -> Value:
    x, y = a.run(row), b.run(row)
    return None if x is None or y is None else fit(x * y, kind)


def logic(op: str, a: bool | None, b: bool | None) -> bool | None:
    decided = op == "or"  # true decides an or, false an and
    if decided in (a, b):
        return decided
    return None if a is None or b is None else not decided


def first_known(row: Row, a: Expr, b: Expr, kind: str) -> Value:
    """b, and so what fails in it, counts only where a is null."""
    value = a.run(row)
    if value is not None:
        return widen(value, a.type, kind)
    return widen(b.run(row), b.type, kind)


def choose(row: Row, condition: Expr, yes: Expr, no: Expr, kind: str) -> Value:
    taken = yes if condition.run(row) is True else no
    return widen(taken.run(row), taken.type, kind)


def signed(op: str, value: Value, kind: str) -> Value:
    result = -value if op == "neg" else abs(value)
    return result if kind in FLOATS else fit(result, kind)


def any_true(row: Row, a: Expr, tests: list[Expr]) -> bool | None:
    return None if a.run(row) is None else any(t.run(row) for t in tests)


def truncate(value: int, kind: str, every: Mapping[str, Any]) -> int:
    us = value * US_PER_DAY if kind == "date" else value
    if "us" in every:
        start = us // every["us"] * every["us"]
    else:
        start = calendar_floor(us, every["unit"], every.get("count", 1))
    return start // US_PER_DAY if kind == "date" else start
