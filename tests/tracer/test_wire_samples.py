from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.records import Attempt, Content, Exchange
from trimtab_tracer.verdicts import tool_status
from trimtab_tracer.wire.formats import match
from trimtab_tracer.wire.tokens import usage
from trimtab_tracer.wire.usage import fragment, model_of

FRAMEWORKS = (
    *(
        "ag2",
        "aider",
        "anthropic-sdk-1",
        "anthropic-sdk-2",
        "autogen",
        "crewai",
        "dspy",
        "google-genai_mistralai_ollama",
    ),
    *(
        "langchain",
        "litellm",
        "llamaindex",
        "openai-agents",
        "openai-sdk-2",
        "openai-sdk-3",
        "pydantic-ai",
        "smolagents",
    ),
)
FAULTY = (
    *("ag2", "anthropic_runner", "autogen", "crewai", "dspy", "genai", "langchain", "langgraph_prebuilt", "llamaindex"),
    *("oaagents", "pydanticai", "smol"),
)
FOLDERS = [*FRAMEWORKS, *(f"_tool-errors/{f}-{kind}" for f in FAULTY for kind in ("mal", "raise", "type"))]
NOT_ANSWERED = [
    *("_tool-errors/ag2-mal", "_tool-errors/pydanticai-raise", "_tool-errors/langchain-mal"),
    *("_tool-errors/langchain-raise", "_tool-errors/langgraph_prebuilt-mal", "_tool-errors/langgraph_prebuilt-raise"),
]
"""Recordings that end with an open tool call: there the framework's exception left the run."""


def exchanges(folder: Path) -> list[tuple[dict[str, Any], Attempt, Exchange, list[Content]]]:
    """Every LLM call of a recorded conversation with what was read from it."""
    builder = ExchangeBuilder("redacted")
    found = []
    for number, file in enumerate(sorted(folder.glob("*.json"))):
        sample = json.loads(file.read_text())
        fmt = match(sample["method"], sample["path"])
        if fmt is None:
            assert sample["path"] == "/api/show"  # LiteLLM asks Ollama what a model can do
            continue
        is_stream = "sse" in sample["resp"]
        answer = "".join(sample["resp"]["sse"]) if is_stream else json.dumps(sample["resp"])
        sent, came = json.dumps(sample["req"]).encode(), answer.encode()
        attempt = Attempt(
            attempt_id=f"a{number}", call_id=f"c{number}", run_id="r", process_id="p", number=1, ts_ns=number,
            duration_ns=1, api=fmt.api, method="POST", host="h", path=sample["path"], site_id="s", end="complete",
            http_status=200, model=model_of(sent, sample["path"]), usage_fragment=fragment(came[-8192:], came[:4096]),
        )  # fmt: skip
        exchange, *rest = builder.build(Captured(attempt, fmt, sent, came, is_stream))
        assert isinstance(exchange, Exchange)
        found.append((sample, attempt, exchange, [r for r in rest if isinstance(r, Content)]))
    return found


def states_usage(value: Any) -> bool:
    """Whether a recorded response holds token counts anywhere."""
    text = json.dumps(value).replace("\\", "")
    return any(f'"{key}": {{' in text for key in ("usage", "usageMetadata")) or '"eval_count"' in text


@pytest.mark.parametrize("name", FOLDERS)
def test_every_recorded_exchange_is_read(real_data: Path, name: str) -> None:
    """Each recorded call has model, finish and the usage its body states, read alike in the cheap and the exact way.

    Where a body states none it is estimated, and says so.
    """
    found = exchanges(real_data / "wire_samples" / name)
    assert found
    for sample, attempt, exchange, content in found:
        assert exchange.model
        assert exchange.model == attempt.model
        assert exchange.finish_reason in ("stop", "tool_calls")
        is_stated = states_usage(sample["resp"])
        assert exchange.usage_source == ("reported" if is_stated else "estimated")
        tokens = usage(attempt.api, json.loads(attempt.usage_fragment or "null"))
        assert (tokens is not None) is is_stated
        if tokens is not None:
            assert (exchange.input_tokens, exchange.output_tokens) == (tokens.input_tokens, tokens.output_tokens)
        assert [json.loads(c.body) is not None for c in content] == [True, True]


@pytest.mark.parametrize("name", [n for n in FOLDERS if "dspy" not in n and "smol" not in n])
def test_recorded_tools_link_up(real_data: Path, name: str) -> None:
    """Every tool result that a framework sends back is linked to its call exactly once, whatever becomes of the id."""
    asked: list[str] = []
    answered: list[str] = []
    for _, _, exchange, _ in exchanges(real_data / "wire_samples" / name):
        asked += [f"{exchange.call_id}:{t.index}" for t in exchange.tool_requests]
        answered += [t.tool_id for t in exchange.tool_results]
    assert bool(asked) is (name != "aider")
    assert answered == ([] if name in NOT_ANSWERED else asked)


def test_recorded_tool_failures(real_data: Path) -> None:
    """When a tool raises, a marker in what the framework tells the model is an error, a bare message unknown."""
    status: dict[str, str] = {}
    for name in FOLDERS:
        if name.endswith("-raise"):
            for _, _, exchange, _ in exchanges(real_data / "wire_samples" / name):
                status |= {name.removeprefix("_tool-errors/"): t.status for t in exchange.tool_results}
    by_status = defaultdict(set)
    for name, value in status.items():
        by_status[value].add(name.removesuffix("-raise"))
    assert by_status["unknown"] == {"autogen", "llamaindex"}
    assert by_status["error"] == {"ag2", "anthropic_runner", "crewai", "genai", "oaagents"}
    assert "ok" not in by_status


def test_recorded_tool_failures_by_kind(real_data: Path) -> None:
    """Of every framework whose text says so, arguments of a wrong type are told from a tool that raised."""
    kinds = defaultdict(set)
    for name in FOLDERS:
        for _, _, exchange, _ in exchanges(real_data / "wire_samples" / name):
            for result in exchange.tool_results:
                kinds[name.removeprefix("_tool-errors/")].add((result.status, result.error_type))
    said = {name.removesuffix("-type") for name, found in kinds.items() if ("error", "validation") in found}
    assert {"autogen", "crewai", "genai", "langchain", "langgraph_prebuilt", "llamaindex", "pydanticai"} <= said
    assert {("error", "ValidationError")} == kinds["ag2-type"]
    assert {("error", "ValueError")} == kinds["ag2-raise"] == kinds["anthropic_runner-raise"]
    assert {("error", "error")} == kinds["crewai-raise"] == kinds["genai-raise"] == kinds["oaagents-raise"]
    assert {("unknown", None)} == kinds["autogen-raise"] == kinds["llamaindex-raise"]


@pytest.mark.parametrize(("name", "kind"), [("raise", "ValueError"), ("type", "validation"), ("mal", "validation")])
def test_recorded_text_protocol_failures(real_data: Path, name: str, kind: str) -> None:
    """What smolagents writes into a user's message about a tool that failed is an error, and says of which kind."""
    texts = [
        facts.last_user_text or ""
        for path in sorted((real_data / "wire_samples" / "_tool-errors" / f"smol-{name}").glob("*.json"))
        for sample in [json.loads(path.read_text())]
        for fmt in [match("POST", sample["path"])]
        if fmt is not None
        for facts in [fmt.request(sample["req"], sample["path"])]
    ]
    verdicts = [tool_status(text) for text in texts]
    assert ["unknown", "error"] == [verdict.status for verdict in verdicts]
    assert kind == verdicts[1].error_type


def test_recorded_malformed_arguments(real_data: Path) -> None:
    """Arguments that are no JSON are seen as such wherever the model wrote them as text."""
    bad = set()
    for name in FOLDERS:
        for _, _, exchange, _ in exchanges(real_data / "wire_samples" / name):
            bad |= {name.removeprefix("_tool-errors/") for t in exchange.tool_requests if not t.args_valid}
    typed = {"ag2", "autogen", "crewai", "langchain", "langgraph_prebuilt", "llamaindex", "oaagents", "pydanticai"}
    assert bad == {f"{f}-mal" for f in typed | {"smol"}}
