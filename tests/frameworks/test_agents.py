"""What is seen of each framework's real agent: every tool execution once, its error, its line, the limits in force."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

Observe = Callable[..., Any]


def code(written: str) -> dict[str, Any]:
    """A step of a ``CodeAgent``."""
    return {"text": f"Thought: so be it.\n<code>\n{written}\n</code>"}


def react(tool: str, **arguments: int) -> dict[str, Any]:
    """A step of DSPy's ReAct."""
    step = {"next_thought": "So be it.", "next_tool_name": tool, "next_tool_args": arguments}
    return {"text": json.dumps(step)}


def in_order(*answers: dict[str, Any]) -> dict[str, Any]:
    """A scenario that gives these answers one after the other."""
    return {"rules": [{"nth": n, **answer} for n, answer in enumerate(answers, 1)]}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    """An answer that asks for one tool."""
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


ADD, DIVIDE = call("add", a=2, b=3), call("divide", a=1, b=0)


class Case(NamedTuple):
    """One agent."""

    name: str
    environment: str
    package: str
    limits: tuple[tuple[str, Any, str, str], ...]
    """Knob, value, source, mark of its line."""
    scenario: dict[str, Any] = in_order(ADD, DIVIDE, {"text": "The answer is 5."})
    asks_by_id: bool = True
    """Whether the model's requests for tools are on the wire."""
    ends: tuple[str, ...] = ()
    """Executions of the framework's own tool by which the agent ends."""


CASES = (
    Case("ag2_agent", "ag2", "ag2", ()),
    Case("anthropic_runner_agent", "modern", "anthropic", (("max_iterations", 6, "code", "limit"),)),
    Case("autogen_agent", "autogen", "autogen_agentchat", (("max_tool_iterations", 5, "code", "built"),
        ("max_turns", 3, "code", "team"), ("max_messages", 2, "code", "team"))),
    Case("crewai_agent", "crewai", "crewai", (("max_iter", 6, "code", "built"),
        ("max_retry_limit", 2, "default", "built"))),
    Case("dspy_agent", "legacy", "dspy", (("max_iters", 4, "code", "built"),),
        in_order(react("add", a=2, b=3), react("divide", a=1, b=0), react("finish"),
            {"text": '{"reasoning": "-", "answer": "5"}'}),
        asks_by_id=False, ends=("finish",)),
    Case("langchain_agent", "modern", "langchain", (("recursion_limit", 12, "code", "limit"),)),
    Case("llama_index_agent", "legacy", "llama_index", (("max_iterations", 8, "code", "limit"),
        ("workflow_timeout_s", 60, "code", "built"))),
    Case("openai_agents_agent", "modern", "agents", (("max_turns", 7, "code", "limit"),)),
    Case("pydantic_ai_agent", "modern", "pydantic_ai", (("request_limit", 9, "code", "limit"),
        ("retries", 3, "code", "built"))),
    Case("smolagents_code_agent", "legacy", "smolagents", (("max_steps", 6, "code", "limit"),),
        in_order(code("print(add(2, b=3))"), code("divide(1, 0)"), code("final_answer(5)")),
        asks_by_id=False, ends=("final_answer",)),
    Case("smolagents_tool_agent", "legacy", "smolagents", (("max_steps", 5, "code", "built"),),
        in_order(ADD, DIVIDE, call("final_answer", answer="5")), ends=("final_answer",)),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_frameworks_tools_and_limits_are_seen(observe: Observe, case: Case) -> None:
    """Each execution is there once, with the model's name, how it ended and its definition; so is each limit."""
    seen = observe(case.name, case.environment, case.package, case.scenario)
    facts = [(tool["name"], tool["origin"], tool["status"], tool["error_type"]) for tool in seen.tools]
    ends = [(name, "observed", "ok", None) for name in case.ends]
    assert [("add", "observed", "ok", None), ("divide", "observed", "error", "ZeroDivisionError"), *ends] == facts
    add, divide = seen.tools[:2]
    assert "division by zero" == divide["error_message"]
    assert {seen.script.name} == {add["file"], divide["file"]}
    assert [seen.line_of("add"), seen.line_of("divide")] == [_last_line(seen, tool) for tool in (add, divide)]
    assert case.asks_by_id == (seen.requests > 0) == all(tool["call_id"] for tool in seen.tools[:2])
    limits = {(d["knob"], d["value"], d["source"], d["line"]) for d in seen.decisions}
    assert {(knob, value, source, seen.line_of(mark)) for knob, value, source, mark in case.limits} == limits


def _last_line(seen: Any, tool: dict[str, Any]) -> int:
    """The line of the ``def``: a decorated function begins with its decorator."""
    lines = seen.script.read_text(encoding="utf-8").splitlines()
    return next(n for n in range(tool["line"], len(lines)) if "def " in lines[n - 1])
