# SPDX-License-Identifier: Apache-2.0
"""The command line: verbs, JSON, exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

import lambdaarch as la
from lambdaarch import col
from lambdaarch.cli import main


@pytest.fixture
def shop(folder):
    with la.open(folder) as store:
        log = store.log(
            "orders",
            {"id": "u64", "ts": "time[us]", "sku": "cat", "amount": "decimal(2)"},
            time="ts",
            dedupe="id",
        )
        store.view(
            "revenue", log, by=["sku"], window="1d",
            agg={"n": la.len(), "revenue": col("amount").sum()},
        )  # fmt: skip
        log.append({"id": 1, "ts": "2026-11-21", "sku": "A1", "amount": "9.99"})
    return str(folder)


def ask(capsys, *arguments):
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_status(shop, capsys):
    assert main(["status", shop]) == 0
    text = capsys.readouterr().out
    assert "log  orders: 1 rows (1 ok)" in text
    assert "view revenue: never published, 1 rows live (1 counted)" in text
    code, status = ask(capsys, "status", shop)
    assert (code, status["logs"][0]["durable"]) == (0, 1)


def test_append(shop, capsys, monkeypatch):
    def feed(text):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    row = '{"id": 2, "ts": "2026-11-22", "sku": "B2", "amount": "0.01"}'
    feed(f"{row}\n{row}")
    code, done = ask(capsys, "append", shop, "orders")
    assert (code, done["ok"], done["duplicate"], done["first"]) == (0, 1, 1, 1)
    feed("{broken\n")
    assert main(["append", shop, "orders"]) == 1
    assert "no JSON row" in capsys.readouterr().err
    feed("{broken\n")
    assert main(["append", shop, "orders", "--on-bad", "quarantine"]) == 0
    assert "1 quarantined" in capsys.readouterr().out


def test_batch_query_rollback(shop, capsys):
    code, report = ask(capsys, "batch", shop)
    assert (code, report["views"][0]["version"]) == (0, 1)
    assert main(["batch", shop, "revenue", "--incremental", "--quiet"]) == 0
    capsys.readouterr()
    code, answer = ask(
        capsys, "query", shop, "revenue", "--key", "sku=A1", "--since", "2026-11-01",
        "--until", "2026-12-01", "--order-by=-revenue", "--limit", "5", "--parts",
    )  # fmt: skip
    assert code == 0
    assert answer["columns"][0] == "sku"
    assert answer["rows"][0][-1] == 9.99
    assert answer["receipt"]["version"] >= 1
    assert set(answer["parts"]) == {"batch", "speed"}
    assert main(["query", shop, "revenue", "--rollup", "all", "--by", ""]) == 0
    assert "9.99" in capsys.readouterr().out
    assert main(["query", shop, "revenue", "--as-of", "0", "--columns", "n"]) == 0
    with la.open(shop) as store:
        store.log("orders").append(
            {"id": 9, "ts": "2026-11-22", "sku": "B", "amount": "1"}
        )
    assert main(["batch", shop, "--quiet"]) == 0
    capsys.readouterr()
    code, done = ask(capsys, "rollback", shop, "revenue", "1")
    assert (code, done["version"]) == (0, 1)


def test_load(shop, tmp_path, capsys):
    file = tmp_path / "x.csv"
    file.write_text("id,ts,product,amount\n5,2026-11-21,A1,1.00\n6,x,A1,1.00\n")
    code, done = ask(
        capsys, "load", shop, "orders", str(file), "--rename", "product=sku"
    )
    assert (code, done["ok"], done["quarantined"]) == (0, 1, 1)
    assert main(["load", shop, "orders", str(file), "--rename", "product"]) == 1


def test_verify(shop, tmp_path, capsys):
    assert main(["verify", shop]) == 0
    assert "0 damages" in capsys.readouterr().out
    catalogue = max((tmp_path / "store" / "catalogue").iterdir())
    content = bytearray(catalogue.read_bytes())
    content[-3] ^= 1
    catalogue.chmod(0o600)
    catalogue.write_bytes(content)
    assert main(["verify", shop, "--quiet"]) == 3


def test_exit_codes(shop, capsys):
    assert main(["query", shop, "nope"]) == 1
    assert "nope" in capsys.readouterr().err
    assert main(["status", shop + "/nope"]) == 1
    assert main(["query", shop, "revenue", "--key", "sku"]) == 1
    with pytest.raises(SystemExit) as caught:
        main(["fly", shop])
    assert caught.value.code == 2


def test_busy(shop, capsys):
    holder = subprocess.Popen(
        [sys.executable, "-c", f"""
import lambdaarch as la
with la.open({shop!r}) as store:
    store.log("orders").append({{"id": 7, "ts": 0, "sku": "x", "amount": 1}})
    print("ready", flush=True)
    input()
"""],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "ready\n"
        command = [sys.executable, "-m", "lambdaarch", "append", shop, "orders"]
        row = '{"id": 8, "ts": 0, "sku": "x", "amount": 1}'
        done = subprocess.run(
            command, input=row, text=True, capture_output=True, check=False
        )
        assert done.returncode == 4
        assert done.stderr.startswith("lambdaarch: ")
    finally:
        holder.communicate("\n", timeout=60)
