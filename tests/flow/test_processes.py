"""More than one process: forks keep working, and a killed agent loses no finished attempt."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KILLS = 20
LONGEST_LIFE_S = 0.8
"""Of an agent after its first answer."""


def test_children_are_recorded_each_in_its_own_process(flow: Any) -> None:
    """Parent, forked, spawned and pooled children record every call once, and leave by themselves."""
    ran = flow.run(flow.program("forks.py"), {"rules": [{"text": "peace"}]})
    assert ran.returncode == 0, ran.stderr
    records = flow.records(ran.home)
    who = ["parent before", "forked child", "fork child", "spawn child", "pool one", "pool two", "parent after"]
    assert sorted(f"{name} got peace" for name in who) == sorted(ran.stdout.splitlines())
    attempts = records.rows("FROM attempts a JOIN processes p USING (process_id)")
    assert sorted(e.request_id for e in ran.log) == sorted(a["request_id"] for a in attempts)
    by_body = {e.body_digest: e.body["messages"][0]["content"] for e in ran.log}
    pids = {by_body[a["body_digest"]]: a["pid"] for a in attempts}
    assert pids["parent before"] == pids["parent after"]
    assert len({pids[name] for name in who[:4]}) == 4
    # os._exit() lets nobody finish, so what that child's call said is known from its own record alone.
    assert {by_body[a["body_digest"]] for a in attempts if not a["parsed"]} <= {"forked child"}
    assert {a["output_tokens"] for a in attempts} == {ran.log[0].usage["output_tokens"]}
    (root,) = records.rows("FROM runs WHERE parent_run_id IS NULL AND run_id IN (SELECT parent_run_id FROM runs)")
    assert len(records.rows("FROM runs WHERE parent_run_id = ?", root["run_id"])) >= 3


def test_sigkill_loses_no_finished_attempt(flow: Any, warm: Any, tmp_path: Path) -> None:
    """Of agents killed at random moments, every call whose answer they had got is in the store, with its tokens."""
    provider = flow.provider({"rules": [{"text": "one two three four"}]})
    home, draw = flow.home(), random.Random(20)
    script, imported = flow.program("talk.py"), warm("openai")

    def live_and_die(life_s: float) -> list[str]:
        said, cried = (tmp_path / f"{life_s}.{kind}" for kind in ("out", "err"))
        variables = flow.environment(provider.url, home)
        pid = imported.start(str(script), cwd=script.parent, env=variables, stdout=said, stderr=cried)
        end = time.monotonic() + 60
        while not (said.exists() and b"\n" in said.read_bytes()):
            assert time.monotonic() < end, cried.read_text()
            time.sleep(0.01)
        time.sleep(life_s)
        os.kill(pid, signal.SIGKILL)
        assert imported.wait(pid) == -signal.SIGKILL
        return [line.strip() for line in said.read_text().splitlines(keepends=True) if line.endswith("\n")]

    with ThreadPoolExecutor(4) as pool:
        lives = [draw.uniform(0, LONGEST_LIFE_S) for _ in range(KILLS)]
        acknowledged = {response_id for ids in pool.map(live_and_die, lives) for response_id in ids}
    records = flow.records(home)
    log = {e.response_id: e for e in provider.log.entries}
    attempts = {a["body_digest"]: a for a in records.rows("FROM attempts")}
    assert len(acknowledged) > KILLS
    assert acknowledged <= set(log)
    missing = [i for i in acknowledged if log[i].body_digest not in attempts]
    assert missing == []
    for response_id in acknowledged:
        entry, attempt = log[response_id], attempts[log[response_id].body_digest]
        assert (entry.request_id, "complete", 200) == (attempt["request_id"], attempt["end"], attempt["http_status"])
        if not entry.stream:  # a stream of this program asks for no usage
            assert entry.usage["output_tokens"] == attempt["output_tokens"]
    everything = records.rows("SELECT count(*) AS n, count(DISTINCT attempt_id) AS d FROM attempts")
    assert everything == [{"n": len(attempts), "d": len(attempts)}]


def test_collector_reads_the_spool_of_the_dead_to_the_end(flow: Any) -> None:
    """Segments of a killed process are finished: collected whole, then deleted, and its run ends as vanished."""
    provider = flow.provider({"rules": [{"text": "one"}]})
    home = flow.home()
    process = flow.start(flow.program("talk.py"), provider, home)
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    process.communicate()
    records = flow.records(home)
    assert records.left_in_spool == []
    assert len(records.rows("FROM attempts")) >= 5
    run = records.row("FROM runs WHERE origin = 'process'")
    assert (run["status"], run["end_rule"]) == ("error", "process vanished")
    assert [] == records.rows("FROM runs WHERE ended_ns IS NULL")
