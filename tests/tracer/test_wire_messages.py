from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab_tracer.wire import formats
from trimtab_tracer.wire.facts import INCOMPLETE, ToolAnswer, ToolCall, Usage
from trimtab_tracer.wire.messages import AnthropicMessages
from trimtab_tracer.wire.sse import ServerSentEvent

MESSAGES = AnthropicMessages()
START = {"id": "msg_1", "model": "c-1", "content": [], "stop_reason": None}
START |= {"usage": {"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 1}}


def event(kind: str, **fields: Any) -> ServerSentEvent:
    """One event of a stream."""
    return ServerSentEvent(kind, json.dumps({"type": kind, **fields}))


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[ServerSentEvent]:
    """The events of one content block."""
    return [
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=d) for d in deltas),
        event("content_block_stop", index=index),
    ]


def partial(text: str) -> dict[str, Any]:
    """A piece of tool arguments."""
    return {"type": "input_json_delta", "partial_json": text}


def test_request_facts() -> None:
    """System blocks are the prompt, and tool results inside user messages carry their own error flag."""
    facts = MESSAGES.request(
        {
            "model": "c",
            "max_tokens": 50,
            "stop_sequences": ["END"],
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "system": [{"type": "text", "text": "Be brief."}],
            "tools": [{"name": "add"}, {"type": "web_search_20250305", "name": "web_search"}],
            "messages": [
                {"role": "user", "content": "2+3?"},
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "x"}, {"type": "tool_use", "id": "t1", "name": "add"}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t1",
                            "content": [{"type": "text", "text": "no"}],
                            "is_error": True,
                        },
                        {"type": "tool_result", "tool_use_id": "t2", "content": "5"},
                        {"type": "text", "text": "hurry"},
                    ],
                },
            ],
        },
        "/v1/messages",
    )
    assert facts.params == {
        "max_tokens": 50, "stop": ["END"], "reasoning_effort": 2048, "tool_choice": "any", "parallel_tool_calls": False,
    }  # fmt: skip
    assert facts.tool_answers == (ToolAnswer("t1", None, "no", True), ToolAnswer("t2", None, "5"))
    assert (facts.prompt, facts.tools_offered, facts.last_user_text) == ("Be brief.", ("add", "web_search"), "hurry")
    assert (facts.last_assistant_text, facts.last_assistant_tool_ids) == ("x", ("t1",))


def test_thread_continuation() -> None:
    """A continued thread names the message before it, and keeps its prompt and tools at the provider."""
    facts = MESSAGES.request({"model": "c", "thread": {"type": "continue", "previous_message_id": "msg_0"}}, "")
    created = MESSAGES.request({"model": "c", "thread": {"type": "create"}}, "")
    assert (facts.previous_response_id, facts.inherits_setup) == ("msg_0", True)
    assert (created.previous_response_id, created.inherits_setup) == (None, False)


@pytest.mark.parametrize(
    ("raw", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
        (None, None),
    ],
)
def test_finish_reasons(raw: str | None, finish: str | None) -> None:
    """Every stop reason has one name of ours."""
    assert MESSAGES.response({"stop_reason": raw}).finish_reason == finish


def test_server_tools_are_not_the_agents() -> None:
    """Only ``tool_use`` asks something of the agent; thinking is no answer."""
    content = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "t", "name": "add", "input": {"b": 1, "a": 2}},
    ]
    facts = MESSAGES.response({"content": content, "stop_reason": "tool_use"})
    assert (facts.text, facts.tool_calls) == ("hi", (ToolCall("t", "add", '{"a":2,"b":1}'),))


def test_stream_folds_to_the_message() -> None:
    """Blocks, argument pieces and the last usage add up to the message that was not streamed."""
    body = MESSAGES.fold(
        [
            event("message_start", message=START),
            event("ping"),
            *block(0, {"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "hm"}),
            *block(
                1,
                {"type": "text", "text": ""},
                {"type": "text_delta", "text": "Add"},
                {"type": "text_delta", "text": "ing"},
            ),
            *block(
                2,
                {"type": "tool_use", "id": "t", "name": "add", "input": {}},
                partial(""),
                partial('{"a":'),
                partial(" 2}"),
            ),
            event(
                "message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 7}
            ),
            event("message_stop"),
        ]
    )
    facts = MESSAGES.response(body)
    assert [b.get("thinking") or b.get("text") or b.get("input") for b in body["content"]] == ["hm", "Adding", {"a": 2}]
    assert (facts.finish_reason, facts.response_id, facts.incomplete) == ("tool_calls", "msg_1", False)
    assert facts.usage == Usage(12, 3, None, 7)


def test_cut_stream_is_marked() -> None:
    """A stream cut inside a tool call keeps the arguments as text, the input tokens of the start, and no finish."""
    cut = block(0, {"type": "tool_use", "id": "t", "name": "add", "input": {}}, partial('{"a":'))[:-1]
    body = MESSAGES.fold([event("message_start", message=START), *cut])
    facts = MESSAGES.response(body)
    assert body[INCOMPLETE] is True
    assert (facts.finish_reason, facts.incomplete, facts.tool_calls) == (None, True, (ToolCall("t", "add", '{"a":'),))
    assert facts.usage == Usage(12, 3, None, None)


def test_error_envelope_and_error_event() -> None:
    """The error of a refused request and the one inside a stream read alike."""
    envelope = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"}
    streamed = MESSAGES.fold([event("message_start", message=START), event("error", error=envelope["error"])])
    for facts in (MESSAGES.response(envelope), MESSAGES.response(streamed)):
        assert (facts.finish_reason, facts.error_type, facts.error_message) == (
            "error",
            "overloaded_error",
            "Overloaded",
        )
        assert not facts.incomplete


def test_cache_marks_are_no_part_of_a_tool() -> None:
    """Tools that differ in where a cache may end are the same tools."""
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in ("a", "b")]
    marked = [tools[0], {**tools[1], "cache_control": {"type": "ephemeral"}}]
    plain, other = (formats.MESSAGES.request({"tools": each}, "/v1/messages") for each in (tools, marked))
    assert plain.tools_text == other.tools_text
    assert ("a", "b") == other.tools_offered
