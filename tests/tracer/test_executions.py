"""Two who watch one tool execution write one record of it; two executions stay two."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import trimtab
from trimtab_tracer import context
from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.executions import Failure, Told, args_digest, begin
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Site, ToolRun
from trimtab_tracer.watching import watched

Recorded = Callable[[type], list[Any]]
ARGS = {"a": 1, "b": 2}


def seen_by(observer: str, name: str, function: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """``function`` as a framework would watch it."""
    judge = more.pop("judge", None)

    def start(args: Any, kwargs: Any) -> Any:
        return begin(switch.active, Told(observer, name, kwargs, function, **more))

    return watched(function, start, judge)


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("add", "add"),
        ("server_add", "add"),
        ("Calc-Add", "calc_add"),
        ("plus", "anything"),  # the same arguments
    ],
)
def test_two_views_are_one_execution(recorded: Recorded, outer: str, inner: str) -> None:
    """A tool inside a tool of the same name, a prefix aside, or with the same arguments is the same execution."""
    within = seen_by("mcp", inner, add)
    tool = seen_by("langchain", outer, lambda a, b: within(a=a, b=b), provider_id="call_1")
    assert 3 == tool(**ARGS)
    (run,) = recorded(ToolRun)
    assert (outer, "call_1", "ok", digest(canonical(ARGS))) == (run.name, run.provider_id, run.status, run.args_digest)


def test_the_same_definition_is_one_execution(recorded: Recorded) -> None:
    """A decorated function under another name in a framework is one execution, with what the decorator knows."""
    own = trimtab.tool(name="internal", mutates=True)(add)
    tool = seen_by("langchain", "plus", own)
    assert 3 == tool(a=1, b=2)
    (run,) = recorded(ToolRun)
    functions = {site.site_id: site.function for site in recorded(Site)}
    assert ("plus", True, "add") == (run.name, run.mutates, functions[run.site_id])


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (("langchain", "research"), ("mcp", "fetch")),
        (("openai-agents", "delegate"), ("openai-agents", "delegate")),  # an agent as a tool, which has itself as tool
        (("openai-agents", "research"), ("openai-agents", "add")),
    ],
)
def test_a_tool_that_a_tool_calls_is_its_own_execution(recorded: Recorded, outer: Any, inner: Any) -> None:
    """Other name and other arguments are another execution; one observer sees each execution once."""
    within = seen_by(*inner, lambda url: url)
    tool = seen_by(*outer, lambda a, b: within(url=f"{a}{b}"))
    assert "12" == tool(**ARGS)
    assert [inner[1], outer[1]] == [run.name for run in recorded(ToolRun)]


def test_a_class_that_hands_on_to_its_parent_is_one(recorded: Recorded) -> None:
    """The same name and arguments from one observer, one in the other, are a method that calls its parent's."""
    within = seen_by("smolagents", "add", add)
    assert 3 == seen_by("smolagents", "add", lambda a, b: within(a=a, b=b))(**ARGS)
    assert 1 == len(recorded(ToolRun))


def test_one_execution_after_the_other_is_two(recorded: Recorded) -> None:
    """What ran to its end has no part in what runs next, also in a thread or task that it started."""
    tasks: list[threading.Thread] = []

    def spawn(a: int, b: int) -> None:
        tasks.append(threading.Thread(target=lambda: (go.wait(), later(a=a, b=b))))
        tasks[0].start()

    go = threading.Event()
    later = seen_by("mcp", "add", add)
    seen_by("langchain", "add", spawn)(**ARGS)
    go.set()
    tasks[0].join()
    assert 2 == len(recorded(ToolRun))
    assert context.scope.get().tool is None


def test_views_find_each_other_across_threads_and_tasks(recorded: Recorded) -> None:
    """An inner view in an executor's thread or a task of its own belongs to the outer one; parallel ones to theirs."""
    inner = seen_by("decorator", "add", add)

    async def via_task(a: int, b: int) -> int:
        async def work() -> int:
            return await asyncio.get_running_loop().run_in_executor(pool, lambda: inner(a=a, b=b))

        return await asyncio.create_task(work())

    async def main() -> list[int]:
        tool = seen_by("langchain", "add", via_task)
        return await asyncio.gather(*[tool(a=n, b=n) for n in range(20)])

    with ThreadPoolExecutor(4) as pool:
        assert [2 * n for n in range(20)] == asyncio.run(main())
    runs = recorded(ToolRun)
    assert {digest(canonical({"a": n, "b": n})) for n in range(20)} == {run.args_digest for run in runs}
    assert 20 == len(runs)


class BoomError(Exception):
    """Raised by tools of these tests."""


def raise_boom(**_: Any) -> None:
    """Raise."""
    raise BoomError("inside")


def test_a_reported_error_counts_for_both(recorded: Recorded) -> None:
    """An error that is reported inside is the execution's, also where the outer view sees a plain result."""
    inner = seen_by("mcp", "add", lambda **_: "no", judge=lambda text: Failure("error", text, True))
    assert "no" == seen_by("openai-agents", "add", inner)(**ARGS)
    (run,) = recorded(ToolRun)
    assert ("error", "error", "no") == (run.status, run.error_type, run.error_message)


def test_a_caught_exception_is_dealt_with(recorded: Recorded) -> None:
    """A tool that catches what fails inside it, and gives a result, did not fail."""

    def careful(**kwargs: Any) -> str:
        with pytest.raises(BoomError):
            inner(**kwargs)
        return "fallback"

    inner = seen_by("mcp", "add", raise_boom)
    assert "fallback" == seen_by("langchain", "add", careful)(**ARGS)
    (run,) = recorded(ToolRun)
    assert "ok" == run.status


def test_an_exception_made_a_result_keeps_its_reason(recorded: Recorded) -> None:
    """Where the framework only reports an error, the exception inside says what it was."""

    def hide(**kwargs: Any) -> str:
        with pytest.raises(BoomError):
            inner(**kwargs)
        return "An error occurred."

    inner = seen_by("decorator", "add", raise_boom)
    seen_by("langchain", "add", hide, judge=lambda text: Failure("error", text, True))(**ARGS)
    (run,) = recorded(ToolRun)
    assert ("error", "BoomError", "inside") == (run.status, run.error_type.rpartition(".")[2], run.error_message)


def test_a_tool_that_waits_for_a_person_has_not_ended(recorded: Recorded) -> None:
    """The exceptions by which frameworks suspend a tool are no errors and no executions."""

    class GraphBubbleUp(Exception):  # noqa: N818 - the framework's name
        pass

    class GraphInterrupt(GraphBubbleUp):
        pass

    def ask(**_: Any) -> None:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        seen_by("langchain", "ask", ask)(**ARGS)
    assert not recorded(ToolRun)
    assert context.scope.get().tool is None


def test_a_stream_is_one_execution(recorded: Recorded) -> None:
    """A tool that gives items one by one runs while it makes them; its reader is no part of it, and may leave."""

    async def count(n: int) -> AsyncIterator[int]:
        for item in range(n):
            inner(a=item, b=n)
            yield item
        if n > 2:
            raise BoomError

    async def main() -> None:
        tool = seen_by("autogen", "add", count)
        assert [0, 1] == [item async for item in tool(n=2) if context.scope.get().tool is None]
        async for _ in (left := tool(n=2)):
            break
        await left.aclose()
        with pytest.raises(BoomError):
            [item async for item in tool(n=3)]

    inner = seen_by("decorator", "add", add)
    asyncio.run(main())
    assert ["ok", "ok", "error"] == [run.status for run in recorded(ToolRun)]


def test_with_content_off_a_reported_error_is_its_type(recorded_off: Recorded) -> None:
    """With content ``off`` the text of an error stays in the process, whoever tells of it."""
    seen_by("mcp", "add", add, judge=lambda _: Failure("validation", "a is 'x'", True))(**ARGS)
    (run,) = recorded_off(ToolRun)
    assert ("error", "validation", None) == (run.status, run.error_type, run.error_message)


def test_a_name_may_be_anything(recorded: Recorded) -> None:
    """Names and ids that a model made up are kept short, and without secrets."""
    secret = "sk-proj-" + "x1Y2" * 10
    seen_by("mcp", f"add {secret} " + "y" * 999, add, provider_id=secret)(**ARGS)
    (run,) = recorded(ToolRun)
    assert "x1Y2" not in run.name + run.provider_id
    assert len(run.name) <= 200


@pytest.mark.parametrize("text", ['{"b": 2, "a": 1}', '{"a":1,"b":2}'])
def test_arguments_as_text_are_those_of_the_wire(text: str) -> None:
    """JSON text has the digest of the same arguments as a mapping, broken text its own, none that of an empty one."""
    assert args_digest(ARGS) == args_digest(text) == digest(canonical(ARGS))
    assert digest(text[:-1]) == args_digest(text[:-1])
    assert digest("{}") == args_digest("") == args_digest({})
    assert args_digest(None) is None


def test_an_observer_that_fails_costs_nothing(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong while an execution begins, is judged or ends leaves result and exception as they are."""
    monkeypatch.delenv("TRIMTAB_STRICT")
    broken = seen_by("langchain", "add", add, judge=lambda _: 1 / 0)
    assert 3 == broken(**ARGS)
    monkeypatch.setattr("trimtab_tracer.executions.Execution._write", lambda *_: 1 / 0)
    assert 3 == broken(**ARGS)
    with pytest.raises(BoomError):
        seen_by("langchain", "add", raise_boom)(**ARGS)
    assert context.scope.get().tool is None
    assert 1 == len(recorded(ToolRun))
