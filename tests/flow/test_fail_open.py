"""Whatever goes wrong in our code, the agent gets what it would have got without us.

`TRIMTAB_WALK=whole` walks every function of ours that runs, as the checks before a merge do.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from trimtab_tracer.handover import IS_ABLE

SHARES = 2
"""Processes that share the walk."""
IS_WHOLE = os.environ.get("TRIMTAB_WALK") == "whole"
"""Whether every function is walked, which takes minutes; else every twelfth one."""

SCENARIO: dict[str, Any] = {
    "rules": [
        {"model": "refuses*", "fault": {"status": 429, "retry_after_ms": 1}},
        {"model": "breaks", "words": 9, "fault": {"kind": "drop_mid_stream", "after_chunks": 3}},
        {"model": "picky", "body": '"temperature":0.5', "fault": {"status": 400, "message": "no such temperature"}},
        {"model": "strange", "fault": {"status": 400, "message": "what?"}},
        {"text": "Hello to you."},
    ]
}

WRAPPERS = {
    # the guard itself
    "guard.py:guarded.<locals>.decorate.<locals>.wrapper",
    "guard.py:guarded_async.<locals>.wrapper",
    "guard.py:swallow",
    # in place of a library's own function
    "http_clients.py:_async_send.<locals>.send",
    "http_clients.py:_sync_send.<locals>.send",
    "tees.py:async_tee.<locals>.AsyncTee.__aiter__",
    "tees.py:Tee.__getattr__",
    "tees.py:async_tee.<locals>.AsyncTee.aclose",
    "tees.py:sync_tee.<locals>.SyncTee.__iter__",
    "tees.py:sync_tee.<locals>.SyncTee.close",
    "http_span_recorder.py:_private.<locals>.Private._handle_async_request_wrapper",
    "http_span_recorder.py:_private.<locals>.Private._handle_request_wrapper",
    "http_span_recorder.py:_send",
    "http_span_recorder.py:_send_async",
    "aiohttp_client.py:_hooked.<locals>._request",
    "aiohttp_client.py:reader_class.<locals>.StreamReader._read_nowait_chunk",
    "aiohttp_client.py:reader_class.<locals>.StreamReader._wait",
    "aiohttp_client.py:reader_class.<locals>.StreamReader.feed_eof",
    "aiohttp_client.py:reader_class.<locals>.StreamReader.set_exception",
    "lm15.py:AsyncTold.__aiter__",
    "lm15.py:AsyncTold.__anext__",
    "lm15.py:Told.__iter__",
    "lm15.py:Told.__next__",
    "lm15.py:_async.<locals>._do_stream",
    "lm15.py:_sync.<locals>.stream",
    "lm15.py:_told_async_release.<locals>.released",
    "lm15.py:_told_release.<locals>.released",
    "stripping.py:async_stripped.<locals>.Stripped.__aiter__",
    "stripping.py:sync_stripped.<locals>.Stripped.__iter__",
    "usage_chunk.py:UsageFilter.__init__",
    "usage_chunk.py:UsageFilter.feed",
    "usage_chunk.py:UsageFilter.rest",
    "imports.py:Announcing.__getattr__",
    "imports.py:Announcing.create_module",
    "imports.py:Announcing.exec_module",
    "process_exit.py:ProcessExit._before_exit.<locals>._exit",
    "process_exit.py:ProcessExit._noting.<locals>.hook",
    "stainless.py:_client_init.<locals>.__init__",
    "propagation.py:Carried.__call__",
    "propagation.py:_bootstrap.<locals>._bootstrap_inner",
    "propagation.py:_create_task.<locals>.create_task",
    "propagation.py:_start.<locals>.start",
    "propagation.py:_submit.<locals>.submit",
    "send_again.py:_after_error",
    "send_again.py:_after_response",
    "send_again.py:_asent",
    "send_again.py:_sent",
    "send_again.py:awaited",
    "send_again.py:sync",
    "racing.py:_aread",
    "racing.py:_fastest",
    "racing.py:awaited",
    "racing.py:sync",
    "limits.py:_async_chunks",
    "limits.py:_chunks",
    "limits.py:read",
    "stainless.py:_build_request.<locals>.build",
    "stainless.py:_get_max_retries.<locals>.get_max_retries",
    "stainless.py:_init.<locals>.__init__",
    # around the user's own function
    "watching.py:watched.<locals>.run_async",
    "watching.py:watched.<locals>.run_sync",
    "runs.py:Run.__call__.<locals>.run_async",
    # the door, and what it opens
    "__init__.py:flush",
    "__init__.py:knob",
    "__init__.py:outcome",
    "__init__.py:run",
    "__init__.py:uninstrument",
    "knobs.py:read",
    "verifiers.py:register",
    "verifiers.py:register.<locals>.add",
    "verifiers.py:Verifiers.add",
    "runs.py:Run.__aenter__",
    "runs.py:Run.__aexit__",
    "runs.py:Run.__enter__",
    "runs.py:Run.__exit__",
    "runs.py:Run.__init__",
    "runs.py:Run._again",
    "runs.py:Run.outcome",
    "switch.py:Switch.off",
    "switch.py:Switch._end",
}
"""Functions that consist of a call of what they stand for and calls of guarded functions: these can't be guarded."""

TO_UNDO = (
    *("sagas.py:", "runs.py:Run._open", "runs.py:Run._to_undo", "tools.py:observe.<locals>.start"),
    *("watching.py:_end", "watching.py:_follow", "watching.py:_is_future"),
)
"""Beginnings of functions without which a run can't undo what its tools did: that may change, and nothing else."""

SETTINGS = {"TRIMTAB_STRICT": "0", "TRIMTAB_INCLUDE_USAGE": "1"}


AT_THE_END = (
    "ProcessExit._at_exit",
    "SiteFinder.of_traceback",
    "SpoolWriter.close",
    "SpoolWriter.write",
    "Switch._ended",
    "Tracer.end_process",
    "Writer.close",
)
"""Functions that run when the process ends."""


FILES = {
    *("aiohttp_client.py", "calls.py", "capture.py", "demands.py", "evaluators.py", "exchange.py", "exchanges.py"),
    *("body_knobs.py", "detours.py", "endpoints.py", "knob_reads.py", "progress.py", "verifiers.py"),
    *("answer_checks.py", "trials.py"),
    *("extras.py", "memory.py", "sagas.py", "signals.py"),
    *("admission.py", "delivery.py", "lanes.py", "limits.py", "racing.py"),
    *("http_span_recorder.py", "include_usage.py", "lm15.py", "process_exit.py", "propagation.py", "resending.py"),
    *("retries.py", "rewrite.py", "send_again.py", "sites.py", "spool.py", "stainless.py", "steered.py", "steering.py"),
    *("stripping.py", "usage_chunk.py", "watching.py", "writer.py"),
}
"""Files of which at least one function is walked."""


def changes(outcome: dict[str, Any], expected: list[str]) -> list[str]:
    """What came out differently while a function raised."""
    changed = [result for result in outcome["results"] if result not in expected]
    if outcome["function"].startswith(TO_UNDO):
        return [result for result in changed if not result.startswith("undone: ")]
    return changed


def test_process_ends_as_without_us(flow: Any) -> None:
    """Whatever of ours raises while the process ends, its exit code and its traceback are its own."""

    def leave(name: str, disabled: str = "0") -> Any:
        return flow.run(flow.program("leaving.py"), {}, name, TRIMTAB_STRICT="0", TRIMTAB_DISABLED=disabled)

    with ThreadPoolExecutor(2) as pool:
        untraced = leave("none", "1")
        ends = dict(zip(AT_THE_END, pool.map(leave, AT_THE_END), strict=True))
    assert "ValueError: the agent's own" in untraced.stderr
    assert {untraced.returncode} == {ran.returncode for ran in ends.values()}
    assert [name for name, ran in ends.items() if ran.stdout != "raised\n"] == []
    for ran in ends.values():
        ours = [line for line in ran.stderr.splitlines() if line.startswith("trimtab could not record")]
        assert len(ours) == 1
        assert ran.stderr.replace(ours[0] + "\n", "") == untraced.stderr


BESIDE = ("frames.py", "handover.py")
"""Files that run only beside a sidecar; others are walked there, too."""


@pytest.mark.skipif(not IS_ABLE, reason="this system has no such sockets")
@pytest.mark.timeout(1000)
def test_walk_beside_a_sidecar_changes_nothing(flow: Any) -> None:
    """The same where what is captured is handed over: functions of ours that do so raise in turn."""
    home = flow.home()
    shares = "1" if IS_WHOLE else "4"
    files = (*BESIDE, "writer.py", "memory.py")
    with flow.receiving(home) as receiver:
        ran = flow.run(flow.program("raising.py"), SCENARIO, "0", shares, *files, limit_s=950, home=home, **SETTINGS)
    assert ran.returncode == 0, ran.stderr[-3000:]
    bare, *outcomes = [json.loads(line) for line in ran.stdout.splitlines()]
    assert int(receiver.told) > 10
    changed = {o["function"]: changes(o, bare["results"]) for o in outcomes}
    assert {name: results for name, results in changed.items() if results} == {}
    assert outcomes
    assert {o["function"].partition(":")[0] for o in outcomes} >= set(BESIDE) or not IS_WHOLE


@pytest.mark.timeout(1000)
def test_walk_finds_the_hooks_and_changes_nothing(flow: Any) -> None:
    """Functions of ours that run during an agent's work raise in turn: results and exceptions stay the same."""

    def walk(share: int) -> list[dict[str, Any]]:
        shares = SHARES if IS_WHOLE else 12 * SHARES
        ran = flow.run(flow.program("raising.py"), SCENARIO, str(share), str(shares), limit_s=950, **SETTINGS)
        assert ran.returncode == 0, ran.stderr[-3000:]
        return [json.loads(line) for line in ran.stdout.splitlines()]

    with ThreadPoolExecutor(SHARES) as pool:
        walks = list(pool.map(walk, range(SHARES)))
    expected = walks[0][0]["results"]
    assert {tuple(w[0]["results"]) for w in walks} == {tuple(expected)}
    outcomes = [line for w in walks for line in w if line["function"] not in WRAPPERS | {None}]
    changed = {o["function"]: changes(o, expected) for o in outcomes}
    assert {name: results for name, results in changed.items() if results} == {}
    assert [o["function"] for o in outcomes if not o["fired"]] == []
    held_up = [o["function"] for o in outcomes if o["held_up"]]
    assert len(held_up) <= len(outcomes) / 50, held_up  # a machine may stall; whoever breaks keeps nobody waiting
    files = {o["function"].partition(":")[0] for o in outcomes}
    assert len(files) >= 25
    assert FILES <= files or not IS_WHOLE
