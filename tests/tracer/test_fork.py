"""Forked processes: each tells its own story, and none tells another's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.records import Attempt, Process, RunEnd, RunStart
from trimtab_tracer.spool import list_segments, read_segment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

HEAD = """
import multiprocessing, os, sys
import httpx2
import trimtab
trimtab.instrument()
def parts():
    yield b"data: 1\\n\\n"
    yield b"data: 2\\n\\n"
client = httpx2.Client(transport=httpx2.MockTransport(lambda r: httpx2.Response(200, content=parts())))
ASK = ("POST", "http://provider.invalid/v1/chat/completions")
BODY = {"model": "m", "messages": [], "stream": True}
def call():
    with client.stream(*ASK, json=BODY) as response:
        list(response.iter_raw())
"""


def spooled(tmp_path: Path, program: str) -> list[Any]:
    """What a program and its children spooled."""
    (tmp_path / "agent.py").write_text(HEAD + program)
    subprocess.run([sys.executable, "agent.py"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    lines = (line for path in list_segments(tmp_path / ".trimtab/spool") for line in read_segment(path))
    return [line.record for line in lines if line.record is not None]


def of(records: list[Any], kind: type) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def test_stream_open_across_a_fork_is_told_once(tmp_path: Path) -> None:
    """A child that closes the parent's stream does not record the parent's attempt."""
    records = spooled(
        tmp_path,
        """
with client.stream(*ASK, json=BODY) as response:
    chunks = response.iter_raw()
    next(chunks)
    if (pid := os.fork()) == 0:
        response.close()
        os._exit(0)
    os.waitpid(pid, 0)
    list(chunks)
""",
    )
    assert ["complete"] == [a.end for a in of(records, Attempt)]


def test_run_open_across_a_fork_ends_once(tmp_path: Path) -> None:
    """A child that leaves the parent's block does not end the parent's run."""
    records = spooled(
        tmp_path,
        """
with trimtab.run("triage"):
    call()
    pid = os.fork()
if pid:
    os.waitpid(pid, 0)
""",
    )
    assert 1 == len([e for e in of(records, RunEnd) if e.rule == "block exit"])


def test_child_that_does_nothing_leaves_nothing(tmp_path: Path) -> None:
    """Forking without calling a model makes no process, run or segment."""
    records = spooled(
        tmp_path,
        """
call()
for _ in range(3):
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
""",
    )
    assert (1, 1) == (len(of(records, Process)), len(of(records, RunStart)))


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [("pass", "ok", None), ("raise LookupError('x')", "error", "LookupError"), ("sys.exit(3)", "error", "exit code 3")],
)
def test_multiprocessing_child_tells_how_it_ended(tmp_path: Path, ending: str, status: str, error: str | None) -> None:
    """A child's run ends with the child: well, by its exception, or by its exit code."""
    records = spooled(
        tmp_path,
        f"""
def work():
    call()
    {ending}
call()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
""",
    )
    child = next(s for s in of(records, RunStart) if s.parent_run_id is not None)
    (end,) = [e for e in of(records, RunEnd) if e.run_id == child.run_id]
    assert (status, error) == (end.status, end.error_type)
