from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trimtab_tracer.content import read
from trimtab_tracer.store import Store

ROUNDS, SEGMENTS, CALLS = 20, 2, 25
"""Kills; segments written before each; calls in a segment."""

HERD = """
# Spools records and starts a collector, over and over, and kills it at a random moment. Forked from one warm process,
# so that the moments are spread over the collector's work and not over Python's start.
import os, random, signal, sys, time
from pathlib import Path
from trimtab_tracer import records as r
from trimtab_tracer.collect import Collector
from trimtab_tracer.prices import PriceList
from trimtab_tracer.settings import Settings
from trimtab_tracer.spool import SpoolWriter
from trimtab_tracer.store import Store

home, rounds, segments, calls = Path(sys.argv[1]), *map(int, sys.argv[2:])
settings = Settings(home=home)
PriceList().cost("openai.chat", "api.openai.com", "/", ("gpt-4o",), 0, None)  # loads the list once, before forking


def spool(name):
    process = r.Process(name, os.getpid(), time.time_ns(), "s", "a.py", "/", "3", "0", "full")
    writer = SpoolWriter(settings.spool_dir, process, 1 << 30)
    wire = ("openai.chat", "POST", "api.openai.com", "/v1/chat/completions", "site", "complete")
    writer.write(r.RunStart(f"run-{name}", name, 1, "run", "explicit"))
    for n in range(calls):
        ids = (f"a-{name}-{n}", f"c-{name}-{n}", f"run-{name}")
        asked = (r.ToolRequest(0, "id", "tool", "digest", True),)
        writer.write(r.Attempt(*ids, name, 1, n, 1, *wire, http_status=200))
        writer.write(r.Exchange(*ids, "openai.chat", "gpt-4o", input_tokens=100, output_tokens=10, tool_requests=asked))
        writer.write(r.Content(*ids, "response", n, f"text of {ids[0]}"))
    writer.write(r.RunEnd(f"run-{name}", 10**6, "ok", "block exit"))
    writer.close()


def collect():
    with Store.open(settings.store_path) as store:
        collector = Collector(store, settings)
        collector.BATCH_RECORDS = 20
        while collector.collect_once().segments:
            pass


moments = random.Random(7)
for round in range(rounds):
    for segment in range(segments):
        spool(f"p{round}-{segment}")
    pid = os.fork()
    if pid == 0:
        collect()
        os._exit(0)
    time.sleep(moments.uniform(0.05, 0.5))
    os.kill(pid, signal.SIGKILL)
    print(os.waitpid(pid, 0)[1] == signal.SIGKILL, flush=True)
print(len(list(settings.spool_dir.iterdir())))
collect()
"""


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A home whose collector was killed again and again, and what its herder said."""
    home = tmp_path_factory.mktemp("home")
    arguments = [str(n) for n in (ROUNDS, SEGMENTS, CALLS)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HERD, home, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return home, done.stdout.split()


def test_the_kills_hit_the_work(survived: tuple[Path, list[str]]) -> None:
    """The experiment means something: most collectors died at work, and the last kill left work behind."""
    *killed, left = survived[1]
    assert killed.count("True") >= 15
    assert int(left) > 0


def test_sigkill_of_the_collector_loses_and_doubles_nothing(survived: tuple[Path, list[str]]) -> None:
    """After 20 kills and one quiet run the store opens and holds each spooled record exactly once."""
    home, _ = survived
    names = [f"p{n}-{segment}" for n in range(ROUNDS) for segment in range(SEGMENTS)]
    with Store.open(home / "trimtab.duckdb") as store:
        con = store.cursor()
        found = con.sql("SELECT attempt_id FROM attempts WHERE parsed").fetchall()
        assert sorted(f"a-{name}-{n}" for name in names for n in range(CALLS)) == sorted(row for (row,) in found)
        counted = con.sql("SELECT count(*), count(DISTINCT call_id), sum(cost_musd) FROM calls").fetchall()
        total = len(names) * CALLS
        assert [(total, total, total * 350)] == counted  # 100 x 2.5 + 10 x 10 USD per million
        assert [(total,)] == con.sql("SELECT count(*) FROM tool_calls").fetchall()
        assert [(len(names), len(names))] == con.sql(
            "SELECT count(*), count(*) FILTER (status = 'ok') FROM runs"
        ).fetchall()
        lines = [(True, len(names), len(names) * (3 * CALLS + 3))]
        assert lines == con.sql("SELECT bool_and(closed), count(*), sum(records) FROM ingest_ledger").fetchall()
        assert [(total,)] == con.sql("SELECT count(*) FROM content").fetchall()
        assert con.sql("FROM losses").fetchall() == []
    assert list((home / "spool").iterdir()) == []


def test_every_text_is_there_after_the_kills(survived: tuple[Path, list[str]]) -> None:
    """Each call's text can be read, and no content file is unfinished or unknown to the index."""
    home, _ = survived
    with Store.open(home / "trimtab.duckdb") as store:
        for n in range(0, ROUNDS, 5):
            call = f"p{n}-1-{CALLS - 1}"
            texts = read(store, store.content_dir, f"c-{call}")
            assert [{"role": "response", "body": f"text of a-{call}", "attempt": 1}] == texts
        named = {name for (name,) in store.cursor().sql("SELECT DISTINCT segment FROM content").fetchall()}
    assert named == {path.name for path in (home / "content").iterdir()}
