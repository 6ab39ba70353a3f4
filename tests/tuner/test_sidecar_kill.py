"""SIGKILL of the whole sidecar at random moments, while an agent process writes: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from trimtab_tracer.policy import parse
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store

KILLS = 20
WITH_PYARROW = ("pandas", "pyarrow.pandas_compat", "pyarrow.parquet")
"""What is imported with the first rows."""

AGENT = """
import os, sys, threading, time
from trimtab_tracer.records import Attempt, Content, Exchange, Process, RunEnd, RunStart, Site, ToolRequest
from trimtab_tracer.segments import read_boot_id
from trimtab_tracer.spool import SpoolWriter

now = time.time_ns()
me = Process("agent", os.getpid(), now, "shop", "shop.py", "/srv", "3.11", "0.1.0", "redacted", read_boot_id())
spool = SpoolWriter(sys.argv[1], me, 1 << 30, segment_bytes=20_000)
told = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
kept = [spool.write(RunStart("r", "agent", now, "order", "explicit"))]
kept.append(spool.write(Site("s", "shop.py", "main", 1, 1, "x")))
n = 0
while not told.wait(0.01):
    call, attempt = f"c{n}", f"a{n}"
    kept.append(spool.write(Attempt(attempt, call, "r", "agent", 1, time.time_ns(), 1000, "openai.chat", "POST",
                                    "api.openai.com", "/v1/chat/completions", "s", "complete", http_status=200)))
    kept.append(spool.write(Exchange(attempt, call, "r", "openai.chat", "gpt-4o-mini", input_tokens=10, output_tokens=1,
                                     usage_source="reported", cost_reported_usd="0.000007",
                                     tool_requests=(ToolRequest(0, f"t{n}", "search", "d", True),))))
    kept.append(spool.write(Content(attempt, call, "r", "request", time.time_ns(), "{}")))
    n += 1
spool.write(RunEnd("r", time.time_ns(), "ok", "block exit"))
spool.close()
print(n, all(kept))
"""


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts Python processes; whatever still runs at the end is killed."""
    with ExitStack() as ended:

        def start(*arguments: object) -> subprocess.Popen[str]:
            command = [sys.executable, *map(str, arguments)]
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
            ended.enter_context(process)  # waits, and closes its pipes
            ended.callback(process.kill)
            return process

        yield start


def wait_for_work(settings: Settings) -> bool:
    """Wait until it is up and commits: DuckDB's log beside the store changes."""
    logs = (settings.store_path, settings.store_path.with_name("trimtab.duckdb.wal"))
    before, end = None, time.monotonic() + 60
    while time.monotonic() < end:
        sizes = [path.stat().st_size for path in logs if path.exists()]
        if settings.sidecar_path.exists():
            before = before or sizes
            if sizes != before:
                return True
        time.sleep(0.005)
    return False


def test_twenty_kills_lose_and_double_nothing(
    settings: Settings, spawn: Callable[..., subprocess.Popen[str]], warm: Callable[..., Any], tmp_path: Path
) -> None:
    """After 20 kills, some during start-up, some in full work, the store opens and has every record exactly once."""
    variables = os.environ | {"TRIMTAB_COLLECT_INTERVAL_S": "0.01", "TRIMTAB_ANALYZE_INTERVAL_S": "0.3"}
    draw = random.Random(20261121)
    up = ("-m", "trimtab", "up", "--no-dashboard", "--port", "0", "--home", str(settings.home))
    imported = warm("trimtab_tuner.sidecar", "trimtab_tuner.api", "uvicorn", "genai_prices.data", *WITH_PYARROW)
    out, err = tmp_path / "up.out", tmp_path / "up.err"
    agent = spawn("-c", AGENT, settings.spool_dir)
    served = 0
    for n in range(KILLS):
        settings.sidecar_path.unlink(missing_ok=True)
        sidecar = imported.start(*up, cwd=tmp_path, env=variables, stdout=out, stderr=err)
        if n % 2:
            served += wait_for_work(settings)
            time.sleep(draw.uniform(0.0, 0.3))
        else:
            time.sleep(draw.uniform(0.0, 1.0))
        os.kill(sidecar, signal.SIGKILL)
        assert imported.wait(sidecar) == -signal.SIGKILL, err.read_text()
        assert "Traceback" not in err.read_text()
    written, whole = agent.communicate("", timeout=60)[0].split()
    assert whole == "True"
    assert served == KILLS // 2
    settings.sidecar_path.unlink(missing_ok=True)
    last = spawn(*up)
    while not settings.sidecar_path.exists():
        assert last.poll() is None
        time.sleep(0.01)
    last.terminate()
    _, log = last.communicate(timeout=60)
    assert (last.returncode, log) == (0, "")
    check(settings, int(written))


def check(settings: Settings, n: int) -> None:
    """The store has ``n`` of everything, money and texts included, and the spool is empty."""
    assert n > 500
    assert list(settings.spool_dir.glob("*.seg")) == []
    assert parse(settings.policy_path.read_bytes(), time.time_ns()).version == 1
    with Store.open(settings.store_path) as store, closing(store.cursor()) as con:
        for table in ("attempts", "calls", "tool_calls", "content"):
            assert con.execute(f"SELECT count(*) FROM {table}").fetchall() == [(n,)], table
        assert con.execute("SELECT sum(cost_musd), sum(input_tokens) FROM attempts").fetchall() == [(7 * n, 10 * n)]
        assert con.execute("SELECT count(*), max(status) FROM runs").fetchall() == [(1, "ok")]
        assert con.execute("SELECT count(*) FROM losses").fetchall() == [(0,)]
        con.execute(f"CREATE VIEW texts AS FROM read_parquet('{settings.content_dir}/*.parquet', filename = true)")
        named = "(c.attempt_id, c.role) = (t.attempt_id, t.role) AND ends_with(t.filename, c.segment)"
        assert con.execute(f"SELECT count(*) FROM content AS c JOIN texts AS t ON {named}").fetchall() == [(n,)]
