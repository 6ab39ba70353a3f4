"""Evaluators: what they see and say, and that nothing they do reaches the agent."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import trimtab
from trimtab_tracer.evaluators import EvaluatedRun, Evaluators, Verdict, evaluators
from trimtab_tracer.records import Attempt, Loss, Outcome, RunStart, ToolRun
from trimtab_tuner.provider import Provider

Recorded = Callable[[type], list[Any]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No judge is left behind for other tests."""
    monkeypatch.setattr(evaluators, "_judges", {})
    monkeypatch.setattr(evaluators, "_hangs", {})
    monkeypatch.setattr(evaluators, "_logged", {})


def test_a_run_is_judged_with_all_that_is_known(recorded: Recorded) -> None:
    """A judge sees the run as it ended; its verdict is kept with its name and version."""
    seen: list[EvaluatedRun] = []

    @trimtab.evaluator(name="exact", version="2")
    def judge(run: EvaluatedRun) -> Verdict:
        seen.append(run)
        return Verdict(success=run.result == 4, score=0.5, comment="sk-proj-" + "x1Y2" * 10)

    @trimtab.run("add", task="2+2", team="blue")
    def add() -> int:
        return 4

    assert 4 == add()
    (outcome,) = recorded(Outcome)
    (run,) = seen
    assert (run.run_id, True, 0.5, "evaluator", "exact", "2") == (
        outcome.run_id,
        outcome.success,
        outcome.score,
        outcome.source,
        outcome.evaluator,
        outcome.evaluator_version,
    )
    assert "x1Y2" not in outcome.comment
    assert ("add", "2+2", "ok", {"team": "blue"}, 4) == (run.name, run.task, run.status, run.attributes, run.result)
    assert run.started_ns <= run.ended_ns


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (True, (True, None)),
        (False, (False, None)),
        (0.25, (None, 0.25)),
        (3, (None, 3.0)),
        (Verdict(score=1), (None, 1.0)),
    ],
)
def test_short_answers(recorded: Recorded, said: Any, expected: tuple[Any, Any]) -> None:
    """Yes or no is success, a number a score."""
    trimtab.evaluator(lambda run: said)
    with trimtab.run("r"):
        pass
    assert [expected] == [(o.success, o.score) for o in recorded(Outcome)]


@pytest.mark.parametrize("said", [None, Verdict(comment="no idea")])
def test_no_opinion(recorded: Recorded, said: Any) -> None:
    """None, or a verdict without success and score, is no outcome and no loss."""
    trimtab.evaluator(lambda run: said)
    with trimtab.run("r"):
        pass
    assert ([], []) == (recorded(Outcome), recorded(Loss))


@pytest.mark.parametrize("said", ["yes", math.nan, math.inf, [True], ValueError("mine")])
def test_what_is_no_verdict_or_raises_is_said(recorded: Recorded, said: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, counted as lost, and the agent goes on; other judges are asked all the same."""

    @trimtab.evaluator
    def bad(run: EvaluatedRun) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    trimtab.evaluator(name="good")(lambda run: True)
    for _ in range(2):
        with trimtab.run("r"):
            pass
    assert ["good", "good"] == [o.evaluator for o in recorded(Outcome)]
    assert [("outcome", "evaluator raised", 1)] * 2 == [(x.lost_kind, x.reason, x.count) for x in recorded(Loss)]
    assert 1 == caplog.text.count("has no outcome from it")


def test_async_judge(recorded: Recorded) -> None:
    """A coroutine function is awaited in a loop of its own, also after a run inside a running loop."""

    @trimtab.evaluator
    async def judge(run: EvaluatedRun) -> bool:
        await asyncio.sleep(0)
        return run.error_type == "ZeroDivisionError"

    @trimtab.run("r")
    async def agent() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(agent())
    assert [True] == [o.success for o in recorded(Outcome)]


def test_the_agent_does_not_wait(recorded: Recorded) -> None:
    """A run's end returns while its judge is still at work."""
    may_end = threading.Event()
    trimtab.evaluator(lambda run: may_end.wait(30))
    with trimtab.run("r"):
        pass
    assert not may_end.is_set()
    may_end.set()
    assert [True] == [o.success for o in recorded(Outcome)]


def test_a_judge_that_hangs_is_left_behind(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """It is given its time, counted as lost, and after three times in a row not asked again; others are."""
    may_end = threading.Event()
    asked = []

    @trimtab.evaluator(timeout_s=0.01)
    def hangs(run: EvaluatedRun) -> bool:
        asked.append(run)
        return may_end.wait(30)

    trimtab.evaluator(name="good")(lambda run: True)
    for _ in range(5):
        with trimtab.run("r"):
            pass
    outcomes = recorded(Outcome)
    may_end.set()
    assert ["good"] * 5 == [o.evaluator for o in outcomes]
    assert Evaluators.MAX_HANGS == len(asked) == sum(x.count for x in recorded(Loss))
    assert "is not asked again" in caplog.text


def test_async_judge_is_cancelled_in_time(recorded: Recorded) -> None:
    """A coroutine that takes too long is cancelled instead of left behind."""
    ended = []

    @trimtab.evaluator(timeout_s=0.05)
    async def slow(run: EvaluatedRun) -> bool:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(run)
        return True

    with trimtab.run("r"):
        pass
    assert [] == recorded(Outcome)
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended


def test_what_a_judge_calls_is_not_traced(recorded: Recorded, serve: Callable[[dict[str, Any]], Provider]) -> None:
    """A judge's own LLM call and tools are no part of the agent: no attempt, no tool run, no run."""
    provider = serve({"rules": [{"text": "yes"}]})
    look = trimtab.tool(name="look")(lambda: 1)

    @trimtab.evaluator
    @trimtab.run("judging")  # else each judgement would be judged again
    def judge(run: EvaluatedRun) -> bool:
        look()
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": "Was it right?"}]}
        return httpx.post(f"{provider.url}/v1/chat/completions", json=body).is_success

    with trimtab.run("r"):
        pass
    assert [True] == [o.success for o in recorded(Outcome)]
    assert ([], []) == (recorded(Attempt), recorded(ToolRun))
    assert ["r"] == [start.name for start in recorded(RunStart)]


def test_too_many_waiting_runs_are_counted(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs beyond the queue's bound are not judged, and counted."""
    monkeypatch.setattr(Evaluators, "MAX_WAITING", 2)
    may_end = threading.Event()
    trimtab.evaluator(lambda run: may_end.wait(30))
    for _ in range(5):
        with trimtab.run("r"):
            pass
    may_end.set()
    assert 2 == len(recorded(Outcome))
    assert 3 == sum(x.count for x in recorded(Loss) if x.reason == "evaluator queue full")


def test_nothing_is_asked_while_tracing_is_off() -> None:
    """Without a recorded run there is nothing to judge."""
    asked: list[EvaluatedRun] = []
    trimtab.evaluator(asked.append)  # type: ignore[arg-type]
    with trimtab.run("r"):
        pass
    evaluators.wait(1)
    assert [] == asked


class Told:
    """Takes what a tracer would record."""

    def __init__(self) -> None:
        self.process = SimpleNamespace(process_id="p")
        self.records: list[Any] = []
        self.write = self.records.append


def ended() -> EvaluatedRun:
    """A run that has ended."""
    return EvaluatedRun("r", "r", None, None, 0, 1, "ok")


def test_the_end_of_the_program_waits_once() -> None:
    """What was waited while threads could be started is not waited again; what is not judged by then is counted."""
    judges, told, may_end = Evaluators(), Told(), threading.Event()
    for name in "ab":  # together they take longer than one may
        judges.add(lambda run: may_end.wait(30), name, None, 0.4)
    judges.submit(told, ended())  # type: ignore[arg-type]
    times = [time.monotonic()]
    for wait in (judges._before_exit, lambda: judges.finish(told, is_hurried=False)):  # type: ignore[arg-type]
        wait()
        times.append(time.monotonic())
    may_end.set()
    first, second = (later - earlier for earlier, later in pairwise(times))
    assert second < first / 2
    assert 1 == sum(x.count for x in told.records if x.reason == "process ended")


def test_what_a_broken_thread_left_is_judged_by_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours that ends the thread keeps nobody waiting: another one judges what it left."""
    judges, told = Evaluators(), Told()
    judges.add(lambda run: True, "j", None, 30)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluators, "_loop", lambda self: None)
        judges.submit(told, ended())  # type: ignore[arg-type]
        judges._thread.join()  # type: ignore[union-attr]
    judges.wait(30)
    assert [True] == [outcome.success for outcome in told.records]


def test_nobody_waits_for_a_thread_that_can_not_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program may have no more threads, what is left is counted at once."""
    judges, told, looks = Evaluators(), Told(), []
    judges.add(lambda run: True, "j", None, 30)
    monkeypatch.setattr(Evaluators, "_loop", lambda self: None)
    judges.submit(told, ended())  # type: ignore[arg-type]
    judges._thread.join()  # type: ignore[union-attr]

    def refuse(thread: threading.Thread) -> None:
        looks.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    judges.finish(told, is_hurried=False)  # type: ignore[arg-type]
    assert (1, ["process ended"]) == (len(looks), [loss.reason for loss in told.records])


def test_same_name_replaces(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """A judge registered again under its name is asked once, in its newest form."""
    caplog.set_level(logging.WARNING)
    trimtab.evaluator(name="j", version="1")(lambda run: False)
    trimtab.evaluator(name="j", version="2")(lambda run: True)
    with trimtab.run("r"):
        pass
    assert [(True, "2")] == [(o.success, o.evaluator_version) for o in recorded(Outcome)]


PROGRAM = """
import asyncio, os, sys, trimtab
trimtab.instrument()
@trimtab.evaluator
async def judge(run):
    await asyncio.to_thread(sum, [1])  # a thread can still be had
    await asyncio.sleep(0.2)
    return True
with trimtab.run("r"):
    pass
if sys.argv[1] == "fork" and not os.fork():
    with trimtab.run("child"):
        pass
    sys.exit()
if sys.argv[1] == "hurry":
    os._exit(0)
"""


@pytest.mark.parametrize(("how", "judged", "lost"), [("end", 1, 0), ("fork", 2, 0), ("hurry", 0, 1)])
def test_end_of_the_program(tmp_path: Path, how: str, judged: int, lost: int) -> None:
    """The end of a program waits for its judges; `os._exit` does not, and what was not judged is counted."""
    from trimtab_tracer.spool import list_segments, read_segment

    environment = {k: v for k, v in os.environ.items() if not k.startswith("TRIMTAB_")} | {
        "TRIMTAB_HOME": str(tmp_path)
    }
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, how]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the forked child may end later
        records = [line.record for path in list_segments(tmp_path / "spool") for line in read_segment(path)]
        found = sum(isinstance(record, Outcome) for record in records)
        if found == judged:
            break
        time.sleep(0.05)
    assert judged == found, done.stderr
    assert lost == sum(record.count for record in records if isinstance(record, Loss))
