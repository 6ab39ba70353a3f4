"""What the running code knows of the calls before it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

import trimtab
from trimtab_tracer import context
from trimtab_tracer.records import Attempt, Outcome, ToolRun

Recorded = Callable[[type], list[Any]]

URL = "http://provider.invalid/v1/chat/completions"


def call(word: str) -> None:
    """An LLM call that asks ``word``."""
    with httpx2.Client(transport=httpx2.MockTransport(lambda r: httpx2.Response(200, json={}))) as client:
        client.post(URL, json={"model": word, "messages": []})


@pytest.fixture(autouse=True)
def no_call_before() -> None:
    """Nothing is left of the calls of other tests."""
    context.last_attempt.set(None)


def before(recorded: Recorded) -> dict[str, tuple[str | None, bool]]:
    """By model: the model of the call before, and whether it was inherited."""
    attempts = recorded(Attempt)
    model = {a.call_id: a.model for a in attempts}
    return {a.model: (model.get(a.after_call_id), a.is_branch) for a in attempts}


def test_calls_of_one_context_follow_each_other(recorded: Recorded) -> None:
    """Each call names the one before it in its thread."""
    for word in "abc":
        call(word)
    assert {"a": (None, False), "b": ("a", False), "c": ("b", False)} == before(recorded)


def test_threads_and_tasks_branch_off(recorded: Recorded) -> None:
    """The first call of spawned work names the last one before it was spawned; what it does is not seen beside it."""
    call("a")
    threads = [threading.Thread(target=lambda w=word: [call(w), call(w + w)]) for word in "bc"]
    for thread in threads:
        thread.start()
        thread.join()

    async def gathered() -> None:
        await asyncio.gather(*(asyncio.to_thread(call, word) for word in "de"))

    asyncio.run(gathered())
    call("f")
    branches = dict.fromkeys("bcde", ("a", True)) | {"bb": ("b", False), "cc": ("c", False)}
    assert {"a": (None, False), "f": ("a", False)} | branches == before(recorded)


def test_a_pool_forgets_what_its_thread_did_before(recorded: Recorded) -> None:
    """Work in a reused thread follows who handed it over, not the work before it."""
    with ThreadPoolExecutor(1) as pool:
        for word in "abc":
            pool.submit(call, word).result()
    assert dict.fromkeys("abc", (None, False)) == before(recorded)


def test_an_outcome_names_the_call_it_is_about(recorded: Recorded) -> None:
    """The last call of the code that says it, or of a thread of that code; none in a declared run."""
    told: list[str] = []

    def task(word: str) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(call, word).result()
        trimtab.outcome(success=True)
        told.append(word)

    for word in "ab":
        thread = threading.Thread(target=task, args=(word,))
        thread.start()
        thread.join()
    with trimtab.run("declared"):
        call("c")
        trimtab.outcome(success=True)
    model = {a.call_id: a.model for a in recorded(Attempt)}
    assert ["a", "b", None] == [model.get(o.after_call_id) for o in recorded(Outcome)]


def test_a_tool_names_the_call_that_led_to_it(recorded: Recorded) -> None:
    """A tool in a task beside the one that made the call asks the work that spawned both."""
    call("warm")
    tool = trimtab.tool(lambda: "done")

    def agent() -> None:
        for work in (lambda: call("a"), tool):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    thread = threading.Thread(target=agent)
    thread.start()
    thread.join()
    (_, made), (run,) = recorded(Attempt), recorded(ToolRun)
    assert made.call_id == run.after_call_id


def test_work_that_spawns_its_successor_for_ever_is_let_go() -> None:
    """What is remembered of the work before is bounded."""
    made = context.Made()
    for _ in range(10 * context.Made.MAX_DEPTH):
        made = context.Made(made)
    depth, at = 0, made
    while at._parent is not None:
        depth, at = depth + 1, at._parent
    assert depth <= context.Made.MAX_DEPTH
