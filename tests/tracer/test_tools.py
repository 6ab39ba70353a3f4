"""The tool decorator: true times and errors, nothing changed for the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import trimtab
from trimtab_tracer.digests import canonical, digest
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
