"""Span attributes of every dialect read as the same facts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.wire import otel, otel_names
from trimtab_tracer.wire.otel import SpanFacts, may_be_about_models, read

NEWEST = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-haiku-4-5",
    "gen_ai.response.model": "claude-haiku-4-5-20251001",
    "gen_ai.response.id": "msg_1",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 60,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "gen_ai.conversation.id": "talk",
}
OF_41 = {name: value for name, value in NEWEST.items() if "cache_write" not in name and "reasoning" not in name} | {
    "gen_ai.usage.cache_creation.input_tokens": 10,
    "gen_ai.usage.reasoning_tokens": 5,
}
OF_26 = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-haiku-4-5",
    "gen_ai.response.model": "claude-haiku-4-5-20251001",
    "gen_ai.response.id": "msg_1",
    "gen_ai.response.finish_reasons": ["end_turn"],
    "gen_ai.usage.prompt_tokens": 100,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.usage.cache_read_input_tokens": 60,
    "gen_ai.usage.cache_creation_input_tokens": 10,
    "gen_ai.usage.thinking_tokens": 5,
    "session.id": "talk",
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "Anthropic",
    "llm.request.model_name": "claude-haiku-4-5",
    "llm.model_name": "claude-haiku-4-5-20251001",
    "llm.response.model_name": "claude-haiku-4-5-20251001",
    "output.value": '{"id":"msg_1","content":[{"text":"hello","type":"text"}]}',
    "llm.finish_reason": "end_turn",
    "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20,
    "llm.token_count.prompt_details.cache_read": 60,
    "llm.token_count.prompt_details.cache_write": 10,
    "llm.token_count.completion_details.reasoning": 5,
    "session.id": "talk",
}


@pytest.mark.parametrize("attributes", [NEWEST, OF_41, OF_26, OPENINFERENCE])
def test_one_call_in_every_dialect(attributes: dict[str, Any]) -> None:
    """The same call has the same facts, whatever the names of its attributes."""
    assert SpanFacts(
        subject="call",
        operation="chat",
        provider="anthropic",
        model="claude-haiku-4-5",
        response_model="claude-haiku-4-5-20251001",
        response_id="msg_1",
        finish_reason="stop",
        input_tokens=100,
        cache_read_tokens=60,
        cache_write_tokens=10,
        output_tokens=20,
        reasoning_tokens=5,
        conversation_id="talk",
    ) == read("any", attributes)


def test_the_ai_sdk_tells_a_call_once() -> None:
    """The span that sends the request is the call, with what the SDK's own names say; the one around it is none."""
    sent = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-5", "ai.model.provider": "openai.chat"}
    facts = read(
        "any", sent | {"ai.usage.promptTokens": 9, "ai.usage.outputTokens": 2, "ai.response.finishReason": "tool-calls"}
    )
    assert facts is not None
    assert ("openai", "gpt-5", 9, 2) == (facts.provider, facts.model, facts.input_tokens, facts.output_tokens)
    assert "tool_calls" == facts.finish_reason
    assert read("any", sent | {"ai.operationId": "ai.generateText"}) is None


@pytest.mark.parametrize(
    ("attributes", "about"),
    [
        ({"gen_ai.operation.name": "embeddings"}, ("call", "embeddings")),
        ({"gen_ai.operation.name": "generate_content"}, ("call", "generate_content")),
        ({"gen_ai.operation.name": "execute_tool"}, ("tool", "execute_tool")),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 9}, ("agent", "invoke_agent")),
        ({"gen_ai.operation.name": "create_agent"}, ("agent", "create_agent")),
        ({"gen_ai.operation.name": "invoke_workflow"}, ("agent", "invoke_workflow")),
        ({"gen_ai.operation.name": "llm_call"}, ("call", "chat")),
        ({"openinference.span.kind": "EMBEDDING"}, ("call", "embeddings")),
        ({"openinference.span.kind": "AGENT"}, ("agent", "invoke_agent")),
        ({"openinference.span.kind": "TOOL"}, ("tool", "execute_tool")),
        ({"traceloop.span.kind": "workflow"}, ("agent", "invoke_workflow")),
        ({"traceloop.span.kind": "tool"}, ("tool", "execute_tool")),
        ({"llm.request.type": "completion"}, ("call", "text_completion")),
        ({"mcp.method.name": "tools/call"}, ("tool", "execute_tool")),
        ({"ai.operationId": "ai.streamText.doStream"}, ("call", "chat")),
        ({"ai.operationId": "ai.embed.doEmbed"}, ("call", "embeddings")),
        ({"ai.operationId": "ai.toolCall"}, ("tool", "execute_tool")),
    ],
)
def test_what_a_span_is_about(attributes: dict[str, Any], about: tuple[str, str]) -> None:
    """Operation, span kind or MCP method say whether it is a call, a tool or an agent."""
    facts = read("any", attributes)
    assert facts is not None
    assert about == (facts.subject, facts.operation)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"http.request.method": "POST", "url.full": "http://x/v1/chat/completions"},
        {"gen_ai.operation.name": "fetch_response", "gen_ai.response.id": "resp_1"},
        {"gen_ai.operation.name": "retrieval"},
        {"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 5},
        {"traceloop.span.kind": "task"},
        {"mcp.method.name": "tools/list"},
        {"gen_ai.operation.name": 7},
        {"ag2.span.type": "usage", "gen_ai.usage.input_tokens": 5},
    ],
)
def test_what_is_no_call(attributes: dict[str, Any]) -> None:
    """Requests, retrieval, chains and looks at an older response are none; neither is a report of usage."""
    assert read("any", attributes) is None


def test_the_server_side_of_a_tool_call_is_not_read() -> None:
    """The client's span tells of the same execution."""
    attributes = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}
    assert read("tools/call search", attributes) is not None
    assert read("tools/call search", attributes, is_server=True) is None


@pytest.mark.parametrize(
    ("name", "attributes", "tool"),
    [
        ("MCP send tools/call search", {"mcp.method.name": "tools/call"}, ("search", None, None)),
        ("tools/call search", {"mcp.method.name": "tools/call"}, ("search", None, None)),
        (
            "execute_tool search",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.call.id": "call_1",
                "gen_ai.tool.call.arguments": '{"b": 1, "a": 2}',
            },
            ("search", "call_1", '{"a":2,"b":1}'),
        ),
        (
            "search.tool",
            {"traceloop.span.kind": "tool", "traceloop.entity.name": "search", "traceloop.entity.input": "[1]"},
            ("search", None, None),
        ),
        (
            "x",
            {"openinference.span.kind": "TOOL", "tool.name": "search", "tool.id": "t1", "input.value": "{'a': 1}"},
            ("search", "t1", None),
        ),
    ],
)
def test_tools(name: str, attributes: dict[str, Any], tool: tuple[str | None, ...]) -> None:
    """A tool's name, the id of the model's call, and its arguments where they are a JSON object."""
    facts = read(name, attributes)
    assert facts is not None
    assert tool == (facts.tool_name, facts.tool_call_id, facts.tool_arguments)


@pytest.mark.parametrize(
    ("given", "said"),
    [("AWS", "aws.bedrock"), ("mistralai", "mistral_ai"), ("google-gla", "gcp.gemini"), ("OpenAI", "openai")],
)
def test_providers_have_the_conventions_names(given: str, said: str) -> None:
    """Older and other names of providers become those of the newest conventions."""
    facts = read("any", {"gen_ai.operation.name": "chat", "gen_ai.system": given})
    assert facts is not None
    assert said == facts.provider


def test_server_status_and_first_chunk() -> None:
    """Host with its port, HTTP status also where only the error's type tells it, and the time to the first chunk."""
    said = {"server.address": "h", "server.port": 8080, "error.type": "429", "gen_ai.operation.name": "chat"}
    facts = read("chat", said | {"gen_ai.response.time_to_first_chunk": 0.5, "anthropic.request.id": "req_1"})
    assert facts is not None
    assert ("h:8080", 429, 500_000_000) == (facts.host, facts.http_status, facts.ttft_ns)
    assert "req_1" == facts.request_id
    plain = read("chat", said | {"server.port": 443})
    assert plain is not None
    assert "h" == plain.host


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("user:hunter2Zq9x@h", "h"),
        ("https://user:pw@h:8080/v1?key=a@b", "h:8080"),
        ("https://user:p/w@h/v1", None),
        ("https://h:443", "h"),
        ("/run/model.sock", "/run/model.sock"),
    ],
)
def test_a_host_is_without_its_password(address: str, host: str | None) -> None:
    """What stands before the host, and behind it in a URL, is no part of it; what can't be told apart is not kept."""
    facts = read("chat", {"server.address": address, "gen_ai.operation.name": "chat"})
    assert facts is not None
    assert host == facts.host


@pytest.mark.parametrize(
    ("scope", "attributes", "may_be"),
    [
        ("com.anthropic.sdk.python", {}, True),
        ("my.app", {"gen_ai.operation.name": "chat"}, True),
        ("opentelemetry.instrumentation.openai.v1", {}, True),
        ("opentelemetry.instrumentation.requests", {"http.method": "GET"}, False),
    ],
)
def test_which_spans_are_looked_at_from_their_start(scope: str, attributes: dict[str, Any], may_be: bool) -> None:
    """The scope or the first attributes tell that a span may be about a model."""
    assert may_be is may_be_about_models(scope, attributes)


NAMES = [
    value
    for holder in (
        otel_names.GenAi,
        otel_names.OpenInference,
        otel_names.Traceloop,
        otel_names.Mcp,
        otel_names.VercelAi,
        otel_names.General,
    )
    for name, value in vars(holder).items()
    if not name.startswith("_")
]
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    st.sampled_from(["chat", "execute_tool", "LLM", "tools/call"]),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


@given(st.text(max_size=20), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_anything_can_be_read(name: str, attributes: dict[str, Any]) -> None:
    """Values of any type never raise; token counts are numbers from 0 on, or absent."""
    facts = read(name, attributes)
    if facts is not None:
        assert facts.subject in ("call", "tool", "agent")
        for count in (facts.input_tokens, facts.output_tokens, facts.cache_read_tokens):
            assert count is None or (type(count) is int and count >= 0)


def test_names_stand_in_one_module() -> None:
    """No other module of the tracer spells an attribute of the GenAI conventions."""
    from pathlib import Path

    package = Path(otel.__file__).parent.parent
    spelled = [
        path.name
        for path in package.rglob("*.py")
        if path.name not in ("otel_names.py", "otel.py", "records.py") and '"gen_ai.' in path.read_text()
    ]
    assert [] == spelled
