"""Agents beside a sidecar, each a real process: what they captured is there, however they or the sidecar end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer import content
from trimtab_tracer.frames import SOCKET
from trimtab_tracer.handover import IS_ABLE

pytestmark = pytest.mark.skipif(not IS_ABLE, reason="this system has no such sockets")


def texts(records: Any, home: Path, call_id: str) -> str:
    """The texts of a call."""
    return json.dumps(content.read(records.store, home / "content", call_id))


def test_a_call_is_whole_though_its_agent_was_killed(flow: Any) -> None:
    """SIGKILL right after an answer: the attempt, what it said, and its texts are in the store."""
    provider, home = flow.provider({"rules": [{"text": "a last answer"}]}), flow.home()
    with flow.receiving(home) as receiver:
        agent = flow.start(flow.program("answered.py"), provider, home)
        assert agent.stdout.readline() == "answered\n", agent.communicate()[1]
        agent.send_signal(signal.SIGKILL)
        agent.communicate()
    assert receiver.told == "2"
    records = flow.records(home)
    rows = records.rows("FROM attempts ORDER BY started_ns")
    assert [True, True] == [row["parsed"] for row in rows]
    assert "the last question" in texts(records, home, rows[1]["call_id"])
    assert "a last answer" in texts(records, home, rows[1]["call_id"])
    assert [] == records.rows("FROM losses")
    assert [] == records.left_in_spool


def test_children_hand_over_by_themselves(flow: Any) -> None:
    """Forked, spawned and pooled children are recorded once each, in their own process, beside a sidecar, too."""
    provider, home = flow.provider({"rules": [{"text": "peace"}]}), flow.home()
    with flow.receiving(home):
        agent = flow.start(flow.program("forks.py"), provider, home)
        stdout, stderr = agent.communicate(timeout=60)
    assert agent.returncode == 0, stderr
    records = flow.records(home)
    attempts = records.rows("FROM attempts a JOIN processes p USING (process_id)")
    assert len(stdout.splitlines()) == len(attempts) == len(provider.log.entries)
    assert sorted(e.request_id for e in provider.log.entries) == sorted(a["request_id"] for a in attempts)
    by_body = {e.body_digest: e.body["messages"][0]["content"] for e in provider.log.entries}
    assert {by_body[a["body_digest"]] for a in attempts if not a["parsed"]} <= {"forked child"}
    assert 5 <= len({a["pid"] for a in attempts})


def test_what_users_run(flow: Any) -> None:
    """Beside `trimtab up` an agent hands over: the store has it all, and the socket is gone in the end."""
    provider, home = flow.provider({"rules": [{"text": "hello to you"}]}), flow.home()
    command = [sys.executable, "-m", "trimtab", "up", "--no-dashboard", "--port", "0", "--home", str(home)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIMTAB_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as sidecar:
        try:
            assert sidecar.stdout is not None
            assert "listens" in sidecar.stdout.readline()
            assert (home / SOCKET).exists()
            agent = flow.start(flow.program("answered.py"), provider, home)
            assert agent.stdout.readline() == "answered\n", agent.communicate()[1]
            agent.send_signal(signal.SIGKILL)
            agent.communicate()
            sidecar.send_signal(signal.SIGTERM)
            assert 0 == sidecar.wait(timeout=60)
        finally:
            sidecar.kill()
    assert not (home / SOCKET).exists()
    records = flow.records(home)
    rows = records.rows("FROM attempts ORDER BY started_ns")
    assert [True, True] == [row["parsed"] for row in rows]
    assert "the last question" in texts(records, home, rows[1]["call_id"])
    assert 1 == len(records.rows("FROM processes"))
