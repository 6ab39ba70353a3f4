"""Run and spawning line follow the work over tasks, executors and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import httpx2
import pytest
import uvloop

import trimtab
from trimtab_tracer.records import Attempt, RunStart, Site

Recorded = Callable[[type], list[Any]]

FRAMEWORK = """\
import asyncio, contextvars, threading
from concurrent.futures import ThreadPoolExecutor

URL = "http://provider.invalid/v1/chat/completions"
ASK = {"model": "m", "messages": []}

def call():
    with httpx2.Client(transport=httpx2.MockTransport(lambda r: httpx2.Response(200, json={}))) as client:
        client.post(URL, json=ASK)

async def acall():
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda r: httpx2.Response(200, json={}))) as client:
        await client.post(URL, json=ASK)

async def gathered(n):
    await asyncio.gather(*[acall() for _ in range(n)])

async def grouped(n):
    async with asyncio.TaskGroup() as group:
        for _ in range(n):
            group.create_task(acall())

async def streamed(n):
    async def inner():
        for _ in range(n):
            await acall()
            yield
    async def outer():
        pieces = inner()
        for _ in range(n):
            yield await asyncio.create_task(pieces.__anext__())
    pieces = outer()
    try:
        while True:
            await asyncio.create_task(pieces.__anext__())
    except StopAsyncIteration:
        pass

async def in_thread():
    await asyncio.to_thread(call)

async def in_executor():
    await asyncio.get_running_loop().run_in_executor(None, call)

def pooled(n):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: call(), range(n)))

def pooled_in_old_context(context):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(context.run, call).result()

def threaded():
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

class Worker(threading.Thread):
    def run(self):
        call()
"""
"""What a framework does with an agent's work: no frame of the user's is left on the stack."""


@pytest.fixture(scope="module")
def framework() -> ModuleType:
    module = ModuleType("framework")
    module.__dict__["httpx2"] = httpx2
    exec(compile(FRAMEWORK, "/srv/venv/lib/python3.11/site-packages/framework/core.py", "exec"), module.__dict__)
    return module


def lines(recorded: Recorded) -> list[str]:
    """The source line each attempt is pinned to."""
    sites = {s.site_id: s for s in recorded(Site)}
    return [sites[a.site_id].source for a in recorded(Attempt)]


@pytest.mark.parametrize("way", ["gathered", "grouped", "streamed"])
def test_tasks_keep_the_line_that_awaited_them(recorded: Recorded, framework: ModuleType, way: str) -> None:
    """Calls in tasks that a framework made are pinned to the user's line that went into the framework."""

    async def agent() -> None:
        await getattr(framework, way)(3)

    asyncio.run(agent())
    assert ["await getattr(framework, way)(3)"] * 3 == [line.strip() for line in lines(recorded)]


@pytest.mark.parametrize("way", ["in_thread", "in_executor"])
def test_threads_of_a_loop_keep_the_line(recorded: Recorded, framework: ModuleType, way: str) -> None:
    """Work that a loop hands to a thread keeps its line."""

    async def agent() -> None:
        await getattr(framework, way)()

    asyncio.run(agent())
    assert ["await getattr(framework, way)()"] == lines(recorded)


@pytest.mark.parametrize("way", ["pooled", "threaded", "worker", "old context"])
def test_threads_keep_the_line(recorded: Recorded, framework: ModuleType, way: str) -> None:
    """Executors, threads, subclasses of Thread and contexts copied earlier keep the line that started the work."""
    import contextvars

    earlier = contextvars.copy_context()
    if way == "pooled":
        framework.pooled(2)
    elif way == "threaded":
        framework.threaded()
    elif way == "worker":
        worker = framework.Worker()
        worker.start()
        worker.join()
    else:
        framework.pooled_in_old_context(earlier)
    expected = {
        "pooled": "framework.pooled(2)",
        "threaded": "framework.threaded()",
        "worker": "worker.start()",
        "old context": "framework.pooled_in_old_context(earlier)",
    }
    assert {expected[way]} == set(lines(recorded))


def test_uvloop_keeps_the_line(recorded: Recorded, framework: ModuleType) -> None:
    """The event loop that is written in C is followed like the standard one."""

    async def agent() -> None:
        await framework.gathered(2)
        await framework.grouped(2)
        await framework.in_thread()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(agent())
    ways = ("gathered(2)", "gathered(2)", "grouped(2)", "grouped(2)", "in_thread()")
    assert [f"await framework.{way}" for way in ways] == lines(recorded)


def test_user_frame_wins_over_the_spawning_line(recorded: Recorded, framework: ModuleType) -> None:
    """Where the user's own code runs in the task, its line is the site."""

    async def step() -> None:
        await framework.acall()

    async def agent() -> None:
        await asyncio.gather(step(), step())

    asyncio.run(agent())
    assert ["await framework.acall()"] * 2 == lines(recorded)


def test_runs_in_parallel_stay_apart(recorded: Recorded, framework: ModuleType) -> None:
    """Calls of parallel runs belong each to their own, in tasks, executors and threads alike."""

    async def one(name: str) -> None:
        with trimtab.run(name):
            await framework.gathered(2)
            await framework.in_thread()
            await framework.in_executor()

    async def agents() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(agents())
    runs = {r.name: r.run_id for r in recorded(RunStart)}
    counts = {name: sum(a.run_id == run_id for a in recorded(Attempt)) for name, run_id in runs.items()}
    assert {"a": 4, "b": 4} == {name: counts[name] for name in ("a", "b")}


def test_pool_thread_does_not_remember_an_earlier_run(recorded: Recorded, framework: ModuleType) -> None:
    """A worker thread started inside a run serves later work without that run."""
    with ThreadPoolExecutor(1) as pool:
        with trimtab.run("first"):
            pool.submit(framework.call).result()
        pool.submit(framework.call).result()
    first, second = recorded(Attempt)
    starts = {r.run_id: r for r in recorded(RunStart)}
    assert ("explicit", "process") == (starts[first.run_id].origin, starts[second.run_id].origin)


def test_results_exceptions_and_names_pass_unchanged(recorded: Recorded) -> None:
    """What threads and tasks return, raise and are called is what they would without us."""

    def fail() -> None:
        raise LookupError("mine")

    async def name() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    async def named() -> str:
        return await asyncio.create_task(name(), name="my-task")

    with ThreadPoolExecutor(1) as pool, pytest.raises(LookupError, match="mine"):
        pool.submit(fail).result()
    assert "my-task" == asyncio.run(named())
    assert "plain" == threading.Thread(name="plain").name
