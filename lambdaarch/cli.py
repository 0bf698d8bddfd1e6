# SPDX-License-Identifier: Apache-2.0
"""The command line: the same verbs as in Python.

Exit codes: 0 done; 1 an error (its text is on standard error); 2 wrong usage; 3 damage
found; 4 busy: another process holds the lock, try again later.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .answer import Answer
from .errors import BusyError, DamagedError, InvalidError, LambdaError
from .log import Log
from .sources.files import Loaded, load, load_lines
from .store import open
from .views import View

__all__ = ["main"]

OK, ERROR, USAGE, DAMAGED, BUSY = range(5)
NUMBERS = ("i64", "u64", "i32")
READ_BYTES = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except BusyError as error:
        return _complain(error, BUSY)
    except DamagedError as error:
        return _complain(error, DAMAGED)
    except BrokenPipeError:
        return OK
    except (LambdaError, OSError, ImportError) as error:
        return _complain(error, ERROR)
    except _StopError as stopped:
        return _complain(stopped, ERROR)
    except KeyboardInterrupt:
        print("lambdaarch: stopped; the store is as it was", file=sys.stderr)
        return ERROR


class _StopError(Exception):
    """Ctrl-C after rows may have been written."""


@contextmanager
def _telling(log: Log, loaded: Loaded) -> Iterator[None]:
    """On Ctrl-C, say which rows are in the log."""
    begin = log.position
    try:
        yield
    except KeyboardInterrupt:
        # The log knows better than `loaded`: the last append may be done, uncounted.
        end = log.position
        if loaded.first is None and end > begin:
            loaded.first = begin
        if loaded.first is None:
            raise _StopError("stopped; no row was written") from None
        raise _StopError(f"stopped after {loaded.where(end)}") from None


def _complain(error: BaseException, code: int) -> int:
    print(f"lambdaarch: {error}", file=sys.stderr)
    for note in getattr(error, "__notes__", ()):
        print(f"  {note}", file=sys.stderr)
    return code


# ------------------------------------------------------------------------- commands


def _status(options: argparse.Namespace) -> int:
    with open(options.store, mode="r") as store:
        status = store.status()
    if options.json:
        return _print_json(status)
    print(f"store {options.store}")
    for log in status["logs"]:
        rows = ", ".join(f"{n:,} {name}" for name, n in log["rows"].items() if n)
        print(f"  log  {log['name']}: {log['durable']:,} rows ({rows or 'empty'})")
    for view in status["views"]:
        receipt = view.get("receipt") or {}
        cutoff = receipt.get("cutoff") or {}
        position = receipt.get("position") or {}
        live = sum(position.values()) - sum(cutoff.values())
        version = f"version {view['current']}" if view["current"] else "never published"
        candidate = ", a candidate waits for batch" if view.get("candidate") else ""
        classes = ", ".join(
            f"{n:,} {name}" for name, n in (receipt.get("rows") or {}).items()
            if n and isinstance(n, int)
        )  # fmt: skip
        print(
            f"  view {view['name']}: {version}, {live:,} rows live{candidate} "
            f"({classes})"
        )
    return OK


def _query(options: argparse.Namespace) -> int:
    with open(options.store, mode="r") as store:
        view = store[options.view]
        answer = view.query(
            _keys(view, options.key),
            since=options.since,
            until=options.until,
            order_by=options.order_by,
            limit=options.limit,
            columns=options.columns.split(",") if options.columns else None,
            rollup=_rollup(options),
            as_of=_as_of(options.as_of),
            version=options.version,
            parts=options.parts,
            overflow="null",
        )
    if options.json:
        return _print_json(_answer_json(answer, parts=options.parts))
    print(answer)
    return OK


def _keys(view: View, pairs: Sequence[str]) -> dict[str, Any]:
    keys: dict[str, list[Any]] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            msg = f"--key is written as name=value, not {pair!r}"
            raise InvalidError(msg)
        keys.setdefault(name, []).append(_key_value(text, view.columns.get(name)))
    return keys


def _key_value(text: str, kind: str | None) -> Any:
    try:
        if kind in NUMBERS:
            return int(text)
        if kind in ("f64", "f32"):
            return float(text)
    except ValueError:
        msg = f"{text!r} is no {kind}"
        raise InvalidError(msg) from None
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _rollup(options: argparse.Namespace) -> dict[str, Any] | None:
    rollup: dict[str, Any] = {}
    if options.rollup is not None:
        rollup["window"] = None if options.rollup == "all" else options.rollup
    if options.by is not None:
        rollup["by"] = [name for name in options.by.split(",") if name]
    return rollup or None


def _as_of(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdigit() else text


def _answer_json(answer: Answer, *, parts: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "columns": answer.columns,
        "rows": [list(row.values()) for row in answer.to_dicts()],
        "receipt": answer.receipt.to_dict(),
    }
    if parts:
        out["parts"] = {
            name: [list(row.values()) for row in part.to_dicts()]
            for name, part in answer.parts._asdict().items()
        }
    return out


def _batch(options: argparse.Namespace) -> int:
    with open(options.store) as store:
        job = store.batch(
            options.view or None,
            cutoff=options.cutoff,
            incremental=options.incremental,
            memory=options.memory,
            threads=options.threads,
            publish=not options.dry_run,
            progress=False if options.json or options.quiet else None,
        )
    if options.json:
        return _print_json({**job.report, "seconds": job.seconds})
    print(job)
    return OK


def _verify(options: argparse.Namespace) -> int:
    with open(options.store, mode="r") as store:
        report = store.verify(
            progress=False if options.json or options.quiet else None,
            on_damage="report",
        )
    damages = int(report.get("damages", 0))
    if options.json:
        _print_json(report)
    else:
        print(f"{report.get('bytes', 0):,} bytes checked, {damages} damages")
        for damage in report.get("damage", []):
            at = f" at byte {damage['byte']}" if damage.get("byte") is not None else ""
            print(f"  {damage.get('file', '')}{at}: {damage.get('what', damage)}")
    return DAMAGED if damages else OK


def _append(options: argparse.Namespace) -> int:
    total = Loaded(files=["standard input"])
    with open(options.store) as store:
        log = store.log(options.log, sync=options.sync)
        with _telling(log, total):
            _append_lines(log, total, options.on_bad)
    return _print_loaded(total, as_json=options.json)


def _append_lines(log: Log, total: Loaded, on_bad: str) -> None:
    first = 1
    for lines in _stdin_lines():
        try:
            done = load_lines(log, lines, on_bad=on_bad, first=first)
        except LambdaError as error:
            if total.rows:
                error.add_note(f"before it, {total.where()}")
            raise
        first += len(lines)
        total.rows += done.rows
        total.ok += done.ok
        total.duplicate += done.duplicate
        total.quarantined += done.quarantined
        total.seconds += done.seconds
        total.first = done.first if total.first is None else total.first
        total.ignored = list(dict.fromkeys([*total.ignored, *done.ignored]))


def _stdin_lines() -> Iterator[list[bytes]]:
    """Whole lines as they come, so that a slow source is not kept waiting."""
    rest = b""
    source = sys.stdin.buffer
    while True:
        piece = source.read1(READ_BYTES) if hasattr(source, "read1") else source.read()
        if not piece:
            break
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        if lines:
            yield lines
    if rest.strip():
        yield [rest]


def _load(options: argparse.Namespace) -> int:
    rename = dict(_pairs("--rename", options.rename))
    loaded = Loaded()
    with open(options.store) as store:
        log = store.log(options.log)
        with _telling(log, loaded):
            load(
                log,
                options.file,
                format=options.format,
                rename=rename,
                null=options.null if options.null is not None else [""],
                on_bad=options.on_bad,
                progress=False if options.json or options.quiet else None,
                loaded=loaded,
            )
    return _print_loaded(loaded, as_json=options.json)


def _pairs(option: str, pairs: Sequence[str]) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        left, sign, right = pair.partition("=")
        if not sign:
            msg = f"{option} is written as column=field, not {pair!r}"
            raise InvalidError(msg)
        yield left, right


def _print_loaded(loaded: Loaded, *, as_json: bool) -> int:
    if as_json:
        return _print_json({name: getattr(loaded, name) for name in Loaded.__slots__})
    ignored = (
        f"; columns left out: {', '.join(loaded.ignored)}" if loaded.ignored else ""
    )
    print(
        f"{loaded.rows:,} rows: {loaded.ok:,} ok, {loaded.duplicate:,} duplicate, "
        f"{loaded.quarantined:,} quarantined, {loaded.seconds:.2f} s{ignored}"
    )
    return OK


def _rollback(options: argparse.Namespace) -> int:
    with open(options.store) as store:
        version = store[options.view].rollback(options.version)
    if options.json:
        return _print_json({"view": options.view, "version": version})
    print(f"view {options.view}: version {version} is current")
    return OK


def _print_json(value: Any) -> int:
    print(json.dumps(value, default=_plain, ensure_ascii=False))
    return OK


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


# --------------------------------------------------------------------------- parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambdaarch",
        description="A Lambda Architecture in a folder: append once, ask always.",
        epilog="exit codes: 0 done, 1 error, 2 usage, 3 damage found, 4 busy",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> Any:
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("store", metavar="STORE", help="the store's folder")
        one.add_argument("--json", action="store_true", help="print JSON")
        one.set_defaults(command=command)
        return one

    add("status", _status, "logs, views, versions, and every row by class")
    _query_options(add("query", _query, "ask a view"))
    batch = add("batch", _batch, "recompute views and publish them")
    batch.add_argument("view", metavar="VIEW", nargs="*", help="default: all")
    batch.add_argument(
        "--incremental", action="store_true", help="merge the new rows only"
    )
    batch.add_argument(
        "--cutoff", type=int, help="first position not in the batch part"
    )
    batch.add_argument("--memory", type=int, default=0, help="bytes for all states")
    batch.add_argument("--threads", type=int, default=0, help="default: all cores")
    batch.add_argument("--dry-run", action="store_true", help="do not make it current")
    batch.add_argument("--quiet", action="store_true", help="no progress bar")
    verify = add("verify", _verify, "check every byte of every file")
    verify.add_argument("--quiet", action="store_true", help="no progress bar")
    append = add("append", _append, "append JSON lines from standard input")
    append.add_argument("log", metavar="LOG")
    append.add_argument("--on-bad", choices=["raise", "quarantine"], default="raise")
    append.add_argument("--sync", default="commit", help="commit, or interval:5ms")
    load = add("load", _load, "append CSV, JSON lines or Parquet files")
    load.add_argument("log", metavar="LOG")
    load.add_argument("file", metavar="FILE", nargs="+")
    load.add_argument("--format", choices=["csv", "jsonl", "parquet"])
    load.add_argument("--rename", metavar="COLUMN=FIELD", action="append", default=[])
    load.add_argument(
        "--null", metavar="TEXT", action="append", help="cells meaning null"
    )
    load.add_argument("--on-bad", choices=["raise", "quarantine"], default="quarantine")
    load.add_argument("--quiet", action="store_true", help="no progress bar")
    rollback = add("rollback", _rollback, "make an older version the current one")
    rollback.add_argument("view", metavar="VIEW")
    rollback.add_argument("version", metavar="VERSION", type=int, nargs="?")
    return parser


def _query_options(query: argparse.ArgumentParser) -> None:
    query.add_argument("view", metavar="VIEW")
    query.add_argument("--key", metavar="NAME=VALUE", action="append", default=[])
    query.add_argument("--since", help="first window start, UTC")
    query.add_argument("--until", help="the window start after the last")
    query.add_argument(
        "--order-by",
        metavar="COLUMN",
        action="append",
        help="'-revenue' (as --order-by=-revenue) for descending",
    )
    query.add_argument("--limit", type=int)
    query.add_argument("--columns", help="names, separated by commas")
    query.add_argument(
        "--rollup", metavar="WINDOW", help="1d, 1mo, ...; all: no windows"
    )
    query.add_argument("--by", help="keys to keep, separated by commas")
    query.add_argument("--as-of", metavar="POSITION|TIME")
    query.add_argument("--version", type=int)
    query.add_argument("--parts", action="store_true", help="batch and speed parts too")


def _program() -> None:  # pragma: no cover - python -m lambdaarch.cli
    code = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    _program()
