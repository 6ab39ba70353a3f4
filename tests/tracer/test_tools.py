"""The tool decorator: true times and errors, nothing changed for the caller."""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

import trimtab
from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.instrument.switch import switch
from trimtab_tracer.records import Site, ToolRun

Recorded = Callable[[type], list[Any]]


@trimtab.tool
def add(a: int, b: int = 2) -> int:
    """Add."""
    time.sleep(0.01)
    return a + b


@trimtab.tool(name="lookup_order", mutates=True)
async def lookup(order: str) -> dict[str, str]:
    """Look up."""
    if not order:
        raise KeyError("no order sk-proj-" + "x1Y2" * 10)
    return {"order": order}


def test_execution_is_recorded(recorded: Recorded) -> None:
    """An execution has name, duration, digests and the tool's definition."""
    assert 3 == add(1)
    (run,) = recorded(ToolRun)
    site = next(s for s in recorded(Site) if s.site_id == run.site_id)
    assert ("add", "ok", digest("3")) == (run.name, run.status, run.result_digest)
    assert run.duration_ns >= 10e6
    assert "add" == site.function


def test_arguments_are_named_as_a_model_names_them(recorded: Recorded) -> None:
    """Positional and keyword calls of one meaning have the digest of the model's JSON."""
    add(1, 5)
    add(b=5, a=1)
    assert {digest(canonical({"a": 1, "b": 5}))} == {r.args_digest for r in recorded(ToolRun)}


def test_async_tool_and_error(recorded: Recorded) -> None:
    """A coroutine tool's exception passes unchanged and is recorded without its secret."""
    assert {"order": "7"} == asyncio.run(lookup("7"))
    with pytest.raises(KeyError):
        asyncio.run(lookup(""))
    fine, failed = recorded(ToolRun)
    assert ("lookup_order", True, "ok") == (fine.name, fine.mutates, fine.status)
    assert ("error", "KeyError") == (failed.status, failed.error_type)
    assert "x1Y2" not in failed.error_message


def test_untraced_tool_is_the_function() -> None:
    """Without tracing the decorated tool just runs, under its own name."""
    assert (5, "add", "Add.") == (add(2, 3), add.__name__, add.__doc__)


class Desk:
    """Tools that are methods."""

    @trimtab.tool
    def book(self, room: str, /, **extra: int) -> str:
        """Book."""
        return room

    @trimtab.tool
    @classmethod
    def open(cls, room: str) -> str:
        """Open."""
        return room

    @trimtab.tool
    @staticmethod
    def close(room: str) -> str:
        """Close."""
        return room


def test_a_methods_object_is_no_argument(recorded: Recorded) -> None:
    """A method, a class method and a static method have the digest of what the model wrote, nothing more."""
    assert ["a", "a", "a"] == [Desk().book("a"), Desk.open("a"), Desk.close("a")]
    Desk().book("a", n=1)
    *plain, extra = (r.args_digest for r in recorded(ToolRun))
    assert {digest(canonical({"room": "a"}))} == set(plain)
    assert digest(canonical({"room": "a", "n": 1})) == extra


def test_arguments_that_do_not_fit_are_the_tools_error(recorded: Recorded) -> None:
    """A call with too many arguments raises the function's own error, and that is on record."""
    with pytest.raises(TypeError, match="takes from 1 to 2 positional arguments"):
        add(1, 2, 3)  # type: ignore[call-arg]
    (run,) = recorded(ToolRun)
    assert ("error", "TypeError", None) == (run.status, run.error_type, run.args_digest)


def test_arguments_are_those_it_was_called_with(recorded: Recorded) -> None:
    """A tool that empties its argument is still recorded with what was in it."""

    @trimtab.tool
    def drain(items: list[int]) -> None:
        items.clear()

    drain([1, 2])
    assert [digest(canonical({"items": [1, 2]}))] == [r.args_digest for r in recorded(ToolRun)]


def test_what_cannot_be_followed_is_left_alone(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """Generators and objects come back as they are, with one line in the log for each."""

    def rows() -> Iterator[int]:
        yield 1

    async def arows() -> AsyncIterator[int]:
        yield 1

    class Search:
        def __call__(self) -> int:
            return 1

    with caplog.at_level(logging.WARNING, "trimtab"):
        for tool in (rows, arows, Search(), Search):
            assert trimtab.tool(tool) is tool
    assert 4 == caplog.text.count("trimtab.tool can't follow")
    assert not recorded(ToolRun)


def test_partial_is_a_tool(recorded: Recorded) -> None:
    """A partial function is recorded under the name and the line of the function inside."""
    tool = trimtab.tool(functools.partial(lookup.__wrapped__, order="9"))  # type: ignore[attr-defined]
    assert {"order": "9"} == asyncio.run(tool())
    (run,) = recorded(ToolRun)
    assert ("lookup", "ok") == (run.name, run.status)
    assert run.site_id in {s.site_id for s in recorded(Site)}


def test_a_returned_awaitable_ends_the_run(recorded: Recorded) -> None:
    """A function that returns a coroutine or a task has run when that is done, and failed if that failed."""

    async def slow(order: str) -> str:
        await asyncio.sleep(0.02)
        return order

    async def broken() -> str:
        raise KeyError

    @trimtab.tool
    def later(order: str) -> Awaitable[str]:
        return slow(order) if order == "coroutine" else asyncio.ensure_future(slow(order) if order else broken())

    async def main() -> list[Any]:
        return [await later("coroutine"), await later("task"), *await asyncio.gather(later(""), return_exceptions=True)]

    assert ["coroutine", "task"] == asyncio.run(main())[:2]
    one, two, failed = recorded(ToolRun)
    assert [digest("coroutine"), digest("task")] == [one.result_digest, two.result_digest]
    assert min(one.duration_ns, two.duration_ns) >= 15e6
    assert ("error", "KeyError") == (failed.status, failed.error_type)


def test_the_switch_is_pickled_by_name() -> None:
    """What a tool holds of us travels with it: libraries that send functions by value send a name for it."""
    assert pickle.loads(pickle.dumps(switch.active)) == switch.active


class Shy:
    """An object that answers to no name at all, and says so in a way of its own."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


def test_a_result_is_asked_nothing(recorded: Recorded) -> None:
    """Objects that answer to every name, or to none, are results like others: nothing of theirs is called."""
    mock = MagicMock()
    assert mock is trimtab.tool(name="mocked")(lambda: mock)()
    assert [] == mock.mock_calls
    shy = Shy()
    assert shy is trimtab.tool(name="shy")(lambda: shy)()
    assert [("mocked", "ok"), ("shy", "ok")] == [(run.name, run.status) for run in recorded(ToolRun)]


def test_large_and_foreign_results_are_not_read(recorded: Recorded) -> None:
    """A large result costs nothing, and an object of the agent's own is not asked for its text."""

    class Own:
        def __str__(self) -> str:
            raise AssertionError("asked")

        __repr__ = __str__

    results = [[{"id": n, "name": "x"} for n in range(300_000)], Own(), {"a": [Own()]}, {"a": [1, None]}, "x" * 10**6]
    give = trimtab.tool(name="give")(lambda n: results[n])
    give(4)
    started = time.thread_time()
    for n in range(3):
        give(n)
    assert time.thread_time() - started < 0.05
    give(3)
    assert [None, None, None, None, digest('{"a":[1,null]}')] == [r.result_digest for r in recorded(ToolRun)]


def test_with_content_off_an_error_is_its_type(recorded_off: Recorded) -> None:
    """With content ``off`` an error's text stays in the process."""
    with pytest.raises(KeyError):
        asyncio.run(lookup(""))
    (run,) = recorded_off(ToolRun)
    assert ("KeyError", None) == (run.error_type, run.error_message)
