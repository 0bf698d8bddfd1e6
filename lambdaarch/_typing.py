# SPDX-License-Identifier: Apache-2.0
"""Types of expressions, as far as the Python face must know them.

The core types every plan and has the last word. Python needs a type only where it must
read a text: ``col("ts") >= "2026-11-01"`` is a time, ``col("amount") > "9.99"`` a
decimal. An unknown type is None, and then a text stays a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .schema import scale_of

__all__ = ["Node", "Types", "agg_type", "node_type"]

Node = Sequence[Any]
Types = Mapping[str, str]

BOOLEAN = {
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not",
    "is_null", "is_not_null", "is_nan", "is_in",
}  # fmt: skip
SAME = {"neg", "abs", "truncate", "offset_by"}
EXACT_SUM = {"bool": "i64", "i32": "i64", "i64": "i64", "u64": "u64"}


def node_type(node: Node, types: Types) -> str | None:
    """The type of a plan's EXPR, or None where it is not known here."""
    op = node[0]
    if op == "col":
        return types.get(node[1])
    if op == "lit":
        return None if node[1] == "null" else str(node[1])
    if op == "cast":
        return str(node[2])
    if op in BOOLEAN:
        return "bool"
    if op == "div":
        return "f64"
    if op in SAME:
        return node_type(node[1], types)
    if op == "when":
        return node_type(node[2], types) or node_type(node[3], types)
    if op == "fill_null":
        return node_type(node[1], types) or node_type(node[2], types)
    return _number(op, node_type(node[1], types), node_type(node[2], types))


def _number(op: str, a: str | None, b: str | None) -> str | None:
    if a is None or b is None:
        return None
    if a == b and not a.startswith("decimal"):
        return "i64" if op == "sub" and a == "time[us]" else a
    pair = {a, b}
    if pair & {"f64", "f32"}:
        return "f64"
    if any(t.startswith("decimal") for t in pair):
        scales = (scale_of(a), scale_of(b))
        return f"decimal({sum(scales) if op == 'mul' else max(scales)})"
    return "i64"


def agg_type(fn: str, arg: str | None) -> str | None:
    """The result type of an aggregate."""
    if fn in ("len", "count", "null_count", "n_unique"):
        return "i64"
    if fn == "mean":
        return "f64"
    if fn == "sum":
        if arg is not None and arg.startswith("decimal"):
            return arg
        return EXACT_SUM.get(arg or "", "f64" if arg in ("f32", "f64") else None)
    return "str" if arg == "cat" else arg
