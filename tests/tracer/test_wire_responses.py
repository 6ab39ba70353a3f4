from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab_tracer.wire.facts import INCOMPLETE, ToolAnswer, ToolCall, Usage
from trimtab_tracer.wire.responses import OpenAIResponses
from trimtab_tracer.wire.sse import ServerSentEvent

RESPONSES = OpenAIResponses()
CALL = {"type": "function_call", "id": "fc", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}


def event(kind: str, **fields: Any) -> ServerSentEvent:
    """One event of a stream."""
    return ServerSentEvent(kind, json.dumps({"type": kind, **fields}))


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    """An assistant message item."""
    return {"type": "message", "role": "assistant", "content": list(parts)}


def test_request_facts() -> None:
    """Items carry history, calls and their outputs; instructions and developer messages are the prompt."""
    facts = RESPONSES.request(
        {
            "model": "m",
            "instructions": "Be brief.",
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "Answer"}},
            "tool_choice": "auto",
            "tools": [{"type": "function", "name": "add"}, {"type": "web_search"}],
            "previous_response_id": "resp_0",
            "input": [
                {"role": "developer", "content": "Really."},
                CALL,
                {"type": "function_call_output", "call_id": "c1", "output": "5"},
                {"type": "apply_patch_call_output", "call_id": "c2", "status": "failed", "output": "no file"},
                {"role": "user", "content": [{"type": "input_text", "text": "go on"}]},
            ],
        },
        "/v1/responses",
    )
    assert facts.params == {
        "max_tokens": 9, "reasoning_effort": "low", "tool_choice": "auto", "response_format": "Answer",
    }  # fmt: skip
    assert facts.tool_answers == (ToolAnswer("c1", None, "5"), ToolAnswer("c2", None, "no file", True))
    assert (facts.prompt, facts.previous_response_id, facts.last_user_text) == (
        "Be brief.\n\nReally.",
        "resp_0",
        "go on",
    )
    assert (facts.tools_offered, facts.last_assistant_tool_ids) == (("add", "web_search"), ("c1",))


def test_plain_input_is_the_users() -> None:
    """An input that is a string is one message of the user."""
    facts = RESPONSES.request({"model": "m", "input": "hi"}, "")
    assert (facts.message_count, facts.last_user_text, facts.prompt) == (1, "hi", None)


@pytest.mark.parametrize(
    ("body", "finish", "raw"),
    [
        ({"status": "completed", "output": [said({"type": "output_text", "text": "hi"})]}, "stop", "completed"),
        ({"status": "completed", "output": [CALL]}, "tool_calls", "completed"),
        ({"status": "completed", "output": [said({"type": "refusal", "refusal": "No."})]}, "refusal", "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            "content_filter",
        ),
        ({"status": "failed", "error": {"code": "server_error", "message": "boom"}}, "error", "failed"),
        ({"status": "in_progress"}, None, "in_progress"),
    ],
)
def test_finish_reasons(body: dict[str, Any], finish: str | None, raw: str) -> None:
    """Status and details give one finish reason, and the raw word stays."""
    facts = RESPONSES.response(body)
    assert (facts.finish_reason, facts.finish_reason_raw) == (finish, raw)


def test_only_the_agents_calls_count() -> None:
    """Calls that the agent must answer are tool calls; those the server ran itself are not."""
    output = [
        {"type": "web_search_call", "id": "ws", "status": "completed"},
        CALL,
        {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
        {"type": "local_shell_call", "call_id": "c3", "action": {"command": ["ls"]}},
    ]
    assert RESPONSES.response({"output": output}).tool_calls == (
        ToolCall("c1", "add", '{"a": 1}'),
        ToolCall("c2", "sh", "ls", True),
        ToolCall("c3", "local_shell", '{"command":["ls"]}'),
    )


def test_stream_folds_to_its_last_response() -> None:
    """The terminal event's response is the body, usage and all."""
    final = {
        "id": "resp_1", "status": "completed", "output": [CALL],
        "usage": {"input_tokens": 8, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 7},
    }  # fmt: skip
    body = RESPONSES.fold(
        [event("response.created", response={"id": "resp_1"}), event("response.completed", response=final)]
    )
    assert body == final
    assert RESPONSES.response(body).usage == Usage(8, 3, None, 7)


def test_empty_final_output_is_rebuilt() -> None:
    """Backends that leave the last response's output empty are read from the items before it."""
    body = RESPONSES.fold(
        [
            event("response.output_item.done", output_index=0, item=CALL),
            event("response.completed", response={"status": "completed", "output": []}),
        ]
    )
    assert RESPONSES.response(body).tool_calls == (ToolCall("c1", "add", '{"a": 1}'),)


def test_cut_stream_is_rebuilt_from_items() -> None:
    """Without a terminal event, items and deltas add up to what arrived, marked as cut."""
    body = RESPONSES.fold(
        [
            event("response.created", response={"id": "resp_1", "model": "m-1", "status": "in_progress", "output": []}),
            event("response.output_item.added", output_index=0, item={"type": "message", "content": []}),
            event("response.output_text.delta", output_index=0, content_index=0, delta="Half "),
            event("response.output_text.delta", output_index=0, content_index=0, delta="an"),
            event("response.output_item.added", output_index=1, item=CALL | {"arguments": ""}),
            event("response.function_call_arguments.delta", output_index=1, delta='{"a":'),
        ]
    )
    facts = RESPONSES.response(body)
    assert body[INCOMPLETE] is True
    assert (facts.text, facts.finish_reason, facts.incomplete, facts.model) == ("Half an", None, True, "m-1")
    assert facts.tool_calls == (ToolCall("c1", "add", '{"a":'),)


def test_error_event() -> None:
    """An error event makes the response an error, with the code it names."""
    facts = RESPONSES.response(RESPONSES.fold([event("error", code="rate_limit_exceeded", message="slow down")]))
    assert (facts.finish_reason, facts.error_code, facts.error_message) == ("error", "rate_limit_exceeded", "slow down")
    assert not facts.incomplete
