"""Tools of LangChain and LangGraph, run by their own nodes; LangGraph's limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import interrupt

import trimtab
from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.records import Decision, Site, ToolRun
from trimtab_tuner.provider import Provider, Scenario

Recorded = Callable[[type], list[Any]]


class State(TypedDict):
    """What a graph of these tests passes on."""

    messages: Annotated[list[Any], add_messages]


@tool
def divide(a: int, b: int) -> float:
    """Divide."""
    return a / b


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


@tool
def count(word: str, state: Annotated[dict[str, Any], InjectedState]) -> int:
    """Count messages."""
    return len(state["messages"])


def asked(*calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """The state after a model asked for these tools; ids are ``call_0``, ``call_1``, …."""
    wanted = [{"name": name, "args": args, "id": f"call_{n}"} for n, (name, args) in enumerate(calls)]
    return {"messages": [AIMessage("", tool_calls=wanted)]}


def graph(*tools: BaseTool | Callable[..., Any]) -> Any:
    """A graph whose one node runs tools and hands errors to the model."""
    builder = StateGraph(State)
    builder.add_node("tools", ToolNode(list(tools), handle_tool_errors=True))
    builder.add_edge(START, "tools")
    return builder.compile()


def test_tools_of_a_node_are_seen(recorded: Recorded) -> None:
    """Each tool that a node runs side by side has its own record with the model's id, arguments and error."""
    graph(divide).invoke(asked(("divide", {"a": 4, "b": 2}), ("divide", {"a": 1, "b": 0})))
    runs = {run.provider_id: run for run in recorded(ToolRun)}
    assert {"call_0", "call_1"} == set(runs)
    assert ("ok", digest(canonical({"a": 4, "b": 2}))) == (runs["call_0"].status, runs["call_0"].args_digest)
    assert ("error", "ZeroDivisionError") == (runs["call_1"].status, runs["call_1"].error_type)
    functions = {site.site_id: site.function for site in recorded(Site)}
    assert {"divide"} == {functions[run.site_id] for run in runs.values()}


def test_async_and_sync_tools_of_an_async_graph_are_seen(recorded: Recorded) -> None:
    """In an async graph, coroutine tools run in tasks and plain ones in threads: seen alike, in their run."""

    async def main() -> None:
        async with trimtab.run("one") as one:
            await graph(divide, wait).ainvoke(asked(("wait", {"seconds": 0.02}), ("divide", {"a": 1, "b": 0})))
        assert one.run_id is not None
        ids.append(one.run_id)

    ids: list[str] = []
    asyncio.run(main())
    runs = {run.name: run for run in recorded(ToolRun)}
    assert {"wait": "ok", "divide": "error"} == {name: run.status for name, run in runs.items()}
    assert set(ids) == {run.run_id for run in runs.values()}
    assert runs["wait"].duration_ns >= 15e6


def test_injected_arguments_are_none_of_the_models(recorded: Recorded) -> None:
    """What the framework adds to the arguments is not among those that name the execution."""
    graph(count).invoke(asked(("count", {"word": "x"})))
    (run,) = recorded(ToolRun)
    assert ("ok", digest(canonical({"word": "x"}))) == (run.status, run.args_digest)


def test_refused_arguments_are_the_tool_calls_error(recorded: Recorded) -> None:
    """Arguments that the schema refuses end the execution before the function runs, with the validation's type."""
    graph(divide).invoke(asked(("divide", {"a": "x"})))
    (run,) = recorded(ToolRun)
    assert ("error", "ValidationError") == (run.status, run.error_type.rpartition(".")[2])


@pytest.mark.parametrize("tool_call_id", [None, "call_7"])
def test_an_error_that_the_tool_turns_into_text_is_one(recorded: Recorded, tool_call_id: str | None) -> None:
    """With ``handle_tool_error`` the model gets a text and the caller no exception; the record has its type."""

    def fail(word: str) -> str:
        """Fail."""
        raise ToolException("no such word")

    failing = StructuredTool.from_function(fail, handle_tool_error=True)
    failing.run({"word": "x"}, tool_call_id=tool_call_id)
    asyncio.run(failing.arun({"word": "x"}, tool_call_id=tool_call_id))
    facts = {(run.status, run.error_type, run.error_message) for run in recorded(ToolRun)}
    assert {("error", "langchain_core.tools.base.ToolException", "no such word")} == facts
    assert 2 == len(recorded(ToolRun))


def test_an_interrupted_tool_has_not_run(recorded: Recorded) -> None:
    """A tool that asks a person waits; it is no error, and runs anew when there is an answer."""

    @tool
    def ask(question: str) -> str:
        """Ask."""
        return str(interrupt(question))

    graph(ask).invoke(asked(("ask", {"question": "?"})))
    assert not recorded(ToolRun)


def test_a_decorated_function_is_seen_once(recorded: Recorded) -> None:
    """A function under both decorators is one execution, under the framework's name, with what it mutates."""

    @trimtab.tool(mutates=True)
    def write(text: str) -> str:
        """Write."""
        return text

    graph(tool("save")(write)).invoke(asked(("save", {"text": "x"})))
    (run,) = recorded(ToolRun)
    assert ("save", "call_0", True) == (run.name, run.provider_id, run.mutates)


def test_the_recursion_limit_is_a_knob(recorded: Recorded) -> None:
    """The limit in force is a decision of the run, at the line of the call; once per value and line."""
    app = graph(divide)
    for limit in (5, 5, None):
        config = {"recursion_limit": limit} if limit else {}
        app.invoke(asked(("divide", {"a": 1, "b": 1})), config)
    lines = {site.site_id: site.source for site in recorded(Site)}
    decisions = [d for d in recorded(Decision) if d.knob == "recursion_limit"]
    assert [(5, "code"), ("default", "default")] == [
        (d.value if d.source == "code" else "default", d.source) for d in decisions
    ]
    assert all("app.invoke" in lines[d.site_id] for d in decisions)


def test_what_a_chat_model_holds_is_decided_where_it_was_built(recorded: Recorded) -> None:
    """What the call gives is the call's, whatever the model holds."""
    with Provider(Scenario.from_dict({})) as provider, trimtab.run("a"):
        model = ChatOpenAI(model="gpt-scripted", base_url=f"{provider.url}/v1", api_key="any", temperature=0.5)
        model.invoke("Hello", max_tokens=20)
        model.invoke("Hello", temperature=0.1)
    source = {site.site_id: site.source for site in recorded(Site)}
    decisions = [decision for decision in recorded(Decision) if decision.call_id is not None]
    calls = dict.fromkeys(decision.call_id for decision in decisions)
    at = [{d.knob: source[d.site_id] for d in decisions if d.call_id == call_id} for call_id in calls]
    assert all("ChatOpenAI(" in at[0][knob] for knob in ("model", "temperature"))
    assert "max_tokens=20" in at[0]["max_tokens"]
    assert "ChatOpenAI(" in at[1]["model"]
    assert "temperature=0.1" in at[1]["temperature"]


def test_taken_out_again() -> None:
    """After ``uninstrument()`` the library's methods are its own."""
    before = BaseTool.run, BaseTool.arun
    trimtab.instrument()
    assert BaseTool.run is not before[0]
    trimtab.uninstrument()
    assert before == (BaseTool.run, BaseTool.arun)
