"""Function tools of the OpenAI Agents SDK, and its limit of turns, with a real agent and a scripted provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import agents
import openai
import pytest
from agents import Agent, MaxTurnsExceeded, ModelSettings, RunConfig, Runner, function_tool
from agents.models.openai_provider import OpenAIProvider

import trimtab
from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.records import Decision, Site, ToolRun
from trimtab_tuner.provider import Provider, Scenario

Recorded = Callable[[type], list[Any]]


@function_tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@function_tool
async def divide(a: int, b: int) -> float:
    """Divide."""
    return a / b


@function_tool(timeout=0.05)
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


def calls(*wanted: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """An answer that asks for tools."""
    return {"tool_calls": [{"name": name, "arguments": arguments} for name, arguments in wanted]}


@pytest.fixture
def ask() -> Iterator[Callable[..., Any]]:
    """Run an agent whose model gives the answers, one for each turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")

        def run(agent: Agent[Any], *answers: dict[str, Any], **options: Any) -> Any:
            rules = [{"nth": n, **answer} for n, answer in enumerate(answers, 1)]

            async def main() -> Any:
                with Provider(Scenario.from_dict({"rules": [*rules, {"text": "Done."}]})) as provider:
                    async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="any") as client:
                        models = OpenAIProvider(openai_client=client)
                        config = RunConfig(model_provider=models, tracing_disabled=True)
                        return await Runner.run(agent, "go", run_config=config, **options)

            return asyncio.run(main())

        yield run


def calculator(*tools: Any) -> Agent[Any]:
    """An agent with these tools."""
    return Agent(name="calculator", model="gpt-scripted", tools=list(tools))


def test_tools_are_seen_with_their_reasons(recorded: Recorded, ask: Callable[..., Any]) -> None:
    """Parallel tools have a record each, with the model's id; the exception that the SDK hides is in it."""
    ask(calculator(add, divide), calls(("add", {"a": 1, "b": 2}), ("divide", {"a": 1, "b": 0})))
    runs = {run.name: run for run in recorded(ToolRun)}
    assert {"add", "divide"} == set(runs)
    assert ("ok", digest(canonical({"a": 1, "b": 2}))) == (runs["add"].status, runs["add"].args_digest)
    divided = runs["divide"]
    assert ("error", "ZeroDivisionError", "division by zero") == (
        divided.status,
        divided.error_type,
        divided.error_message,
    )
    assert all(run.provider_id.startswith("call_scripted") for run in runs.values())
    functions = {site.site_id: site.function for site in recorded(Site)}
    assert {"add", "divide"} == {functions[run.site_id] for run in runs.values()}


def test_refused_arguments_and_timeouts_are_errors(recorded: Recorded, ask: Callable[..., Any]) -> None:
    """Arguments that don't fit, and a tool that takes too long, are the execution's error."""
    ask(calculator(add, wait), calls(("add", {"a": "x"}), ("wait", {"seconds": 5})))
    runs = {run.name: run for run in recorded(ToolRun)}
    assert "agents.exceptions.ModelBehaviorError" == runs["add"].error_type
    assert ("error", "timeout") == (runs["wait"].status, runs["wait"].error_type)


def test_an_agent_as_a_tool_has_executions_of_its_own(recorded: Recorded, ask: Callable[..., Any]) -> None:
    """An agent that is a tool is one execution, and each tool that it calls another."""
    inner = Agent(name="inner", model="gpt-inner", tools=[add])
    within = {"model": "gpt-inner", **calls(("add", {"a": 1, "b": 2}))}
    without = {"model": "gpt-scripted", "nth": 1, **calls(("calculate", {"input": "1+2"}))}
    ask(calculator(inner.as_tool("calculate", "Calculates.")), within, without)
    runs = recorded(ToolRun)
    assert [("add", "ok"), ("calculate", "ok")] == [(run.name, run.status) for run in runs]
    assert runs[1].duration_ns > runs[0].duration_ns


def test_max_turns_is_a_knob(recorded: Recorded, ask: Callable[..., Any]) -> None:
    """The limit of turns is a decision, given or not; and hitting it is the SDK's own exception."""
    loop = calls(("add", {"a": 1, "b": 2}))
    with pytest.raises(MaxTurnsExceeded), trimtab.run("a"):
        ask(calculator(add), loop, loop, loop, max_turns=2)
    with trimtab.run("b"):
        ask(calculator(add))
    decisions = [(d.value, d.source) for d in recorded(Decision) if d.knob == "max_turns"]
    assert [(2, "code"), (agents.run.DEFAULT_MAX_TURNS, "default")] == decisions


def test_what_an_agent_holds_is_decided_where_it_was_built(recorded: Recorded, ask: Callable[..., Any]) -> None:
    """Model, instructions, tools and settings are the agent's lines; what nobody gave is the call's."""
    settings = ModelSettings(max_tokens=50)
    with trimtab.run("a"):
        ask(Agent(name="held", instructions="Add.", model="gpt-scripted", model_settings=settings, tools=[add]))
    source = {site.site_id: site.source for site in recorded(Site)}
    said = {decision.knob: decision for decision in recorded(Decision) if decision.call_id is not None}
    assert all('Agent(name="held"' in source[said[knob].site_id] for knob in ("model", "prompt_version", "tools"))
    assert "ModelSettings(" in source[said["max_tokens"].site_id]
    assert {"call"} == {said[knob].site_role for knob in ("temperature", "stop")}
    assert said["model"].value == "gpt-scripted"
