# SPDX-License-Identifier: Apache-2.0
"""A plan as DuckDB SQL, for tests that want a second opinion.

Only where SQL and plan.md agree: rows as `generate.rows(tame=True)` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from .expressions import Row, Value

BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "eq": "=",
    "ne": "<>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "and": "AND",
    "or": "OR",
}
TYPES = {
    "i32": "INTEGER",
    "i64": "BIGINT",
    "u64": "UBIGINT",
    "f64": "DOUBLE",
    "bool": "BOOLEAN",
    "str": "VARCHAR",
    "cat": "VARCHAR",
    "time[us]": "TIMESTAMP",
    "date": "DATE",
}


def sql_type(kind: str) -> str:
    kind = kind.rstrip("?")
    return f"DECIMAL(18,{kind[8:-1]})" if kind.startswith("decimal") else TYPES[kind]


def literal(kind: str, value: Value) -> str:
    if value is None:
        return f"CAST(NULL AS {sql_type(kind)})"
    if kind == "str":
        return "'" + value.replace("'", "''") + "'"
    if kind == "time[us]":
        return f"make_timestamp({value})"
    if kind.startswith("decimal"):
        digits = int(kind[8:-1])
        return f"CAST({value} / {10**digits} AS {sql_type(kind)})"
    return f"CAST({value} AS {sql_type(kind)})"


def expression(expr: list[Any]) -> str:
    """The SQL text of an EXPR."""
    op, *rest = expr
    if op == "col":
        return f'"{rest[0]}"'
    if op == "lit":
        return literal(rest[0], rest[1])
    if op == "truncate":
        return truncate(expression(rest[0]), rest[1])
    if op == "offset_by":
        return f"({expression(rest[0])} + to_microseconds({rest[1]['us']}))"
    if op == "cast":
        return f"CAST({expression(rest[0])} AS {sql_type(rest[1])})"
    if op == "is_in":
        members = ", ".join(expression(e) for e in rest[1])
        return f"({expression(rest[0])} IN ({members}))"
    parts = [expression(e) for e in rest]
    if op in BINARY:
        return f"({parts[0]} {BINARY[op]} {parts[1]})"
    shapes = {
        "floordiv": "CAST(floor({0} / {1}) AS BIGINT)",
        "mod": "({0} - {1} * CAST(floor({0} / {1}) AS BIGINT))",
        "neg": "(- {0})",
        "abs": "abs({0})",
        "not": "(NOT {0})",
        "is_null": "({0} IS NULL)",
        "is_not_null": "({0} IS NOT NULL)",
        "fill_null": "coalesce({0}, {1})",
        "when": "CASE WHEN {0} THEN {1} ELSE {2} END",
    }
    return shapes[op].format(*parts)


def truncate(time: str, every: Mapping[str, Any]) -> str:
    if "us" in every:
        size = every["us"]
        return f"make_timestamp(CAST(epoch_us({time}) // {size} * {size} AS BIGINT))"
    assert every.get("count", 1) == 1, "DuckDB truncates to single units only"
    return f"CAST(date_trunc('{every['unit']}', {time}) AS TIMESTAMP)"


def aggregate(spec: Mapping[str, Any]) -> str:
    arg = None if spec["arg"] is None else expression(spec["arg"])
    admit = None if spec["filter"] is None else expression(spec["filter"])
    fn = spec["fn"]
    if fn in ("first", "last"):
        direction = "ASC" if fn == "first" else "DESC"
        call = f"first({arg} ORDER BY ts {direction}, pos {direction})"
        known = f"({arg}) IS NOT NULL"
        admit = known if admit is None else f"{known} AND {admit}"
    elif fn == "null_count":
        call = "count(*)"
        admit = f"({arg}) IS NULL" + ("" if admit is None else f" AND {admit}")
    elif fn == "n_unique":
        call = f"count(DISTINCT {arg})"
    else:
        name = {"len": "count", "mean": "avg"}.get(fn, fn)
        inner = arg or "*"
        if fn == "sum":  # DuckDB cannot sum booleans
            inner = f"({inner})::INT" if is_bool(spec["arg"]) else inner
        call = f"{name}({inner})"
    return call if admit is None else f"{call} FILTER (WHERE {admit})"


def is_bool(expr: list[Any]) -> bool:
    """An expression of `generate` whose value is a truth."""
    op = expr[0]
    if op in ("when", "fill_null"):
        return is_bool(expr[-1])
    return (
        op in ("and", "or", "not", "is_null", "is_not_null", "is_in", "eq", "ne")
        or op in ("lt", "le", "gt", "ge")
        or (op == "col" and expr[1] == "b")
        or (op == "lit" and expr[1] == "bool")
    )


def window_start(window: Mapping[str, Any]) -> str:
    if window["kind"] == "calendar":
        return truncate("ts", window)
    size, origin = window["size_us"], window.get("origin_us", 0)
    return (
        f"make_timestamp(CAST({origin} + (epoch_us(ts) - {origin}) // {size} * {size}"
        " AS BIGINT))"
    )


def select(plan: Mapping[str, Any], table: str = "events") -> str:
    """The whole view as one SELECT, groups in any order."""
    keys = [(f'"{n}"', expression(e)) for n, e in plan["by"]]
    if plan["window"] is not None:
        keys.append(("window_start", window_start(plan["window"])))
    items = [f"{e} AS {n}" for n, e in keys]
    items += [f'{aggregate(a)} AS "{a["name"]}"' for a in plan["aggs"]]
    text = f"SELECT {', '.join(items)} FROM {table}"
    if plan["where"] is not None:
        text += f" WHERE {expression(plan['where'])}"
    # without keys SQL answers one row over no input; a view has no group then
    if keys:
        return text + " GROUP BY " + ", ".join(str(i + 1) for i in range(len(keys)))
    return text + " HAVING count(*) > 0"


def arrow(rows: Iterable[Row], schema: Mapping[str, str]) -> pa.Table:
    """Oracle rows as an Arrow table with the log's types."""
    kinds: dict[str, pa.DataType] = {
        "u64": pa.uint64(),
        "i64": pa.int64(),
        "i32": pa.int32(),
        "f64": pa.float64(),
        "bool": pa.bool_(),
        "str": pa.string(),
        "cat": pa.string(),
        "time[us]": pa.timestamp("us"),
        "date": pa.date32(),
    }
    rows = list(rows)
    columns = {}
    for name, kind in schema.items():
        values = [r[name] for r in rows]
        plain = kind.rstrip("?")
        if plain.startswith("decimal"):
            from decimal import Decimal

            digits = int(plain[8:-1])
            exact = [None if v is None else Decimal(v).scaleb(-digits) for v in values]
            columns[name] = pa.array(exact, pa.decimal128(18, digits))
        else:
            columns[name] = pa.array(values, kinds[plain])
    return pa.table(columns)


def answer(
    plan: Mapping[str, Any], rows: list[Row], schema: Mapping[str, str]
) -> list[tuple[Any, ...]]:
    """What DuckDB says: rows of keys, window start, aggregates."""
    table = arrow(rows, schema).append_column("pos", pa.array(range(len(rows))))
    with duckdb.connect() as connection:
        connection.register("arrow_events", table)
        connection.execute("CREATE TABLE events AS FROM arrow_events")
        return connection.execute(select(plan)).fetchall()
