"""Bodies of every wire format, told in the messages of the GenAI conventions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tuner.export.messages import Asked, answered, asked

CALL = {"type": "tool_call", "id": "t1", "name": "add", "arguments": {"a": 1}}
RESULT = {"type": "tool_call_response", "id": "t1", "response": "3"}
HELLO = {"role": "user", "parts": [{"type": "text", "content": "Hello?"}]}
TURN = [HELLO, {"role": "assistant", "parts": [CALL]}]

TOOL_CALL = {"id": "t1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hello?"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
        {"role": "tool", "tool_call_id": "t1", "content": "3"},
    ]
}
MESSAGES = {
    "system": [{"type": "text", "text": "Be kind."}],
    "messages": [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": ["3"]}]},
    ],
}
RESPONSES = {
    "instructions": "Be kind.",
    "input": [
        {"role": "user", "content": "Hello?"},
        {"type": "function_call", "call_id": "t1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "t1", "output": "3"},
    ],
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be kind."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Hello?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "t1", "name": "add", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "t1", "response": {"result": 3}}}]},
    ],
}


def test_a_chat_request() -> None:
    """Roles stay, a picture keeps its type and loses its data, arguments become values."""
    found = asked(json.dumps(CHAT))
    assert found is not None
    system, user, assistant, tool = found.messages
    assert ({"role": "system", "parts": [{"type": "text", "content": "Be kind."}]}, []) == (system, found.system)
    assert [{"type": "text", "content": "Hello?"}, {"type": "image_url"}] == user["parts"]
    assert ({"role": "assistant", "parts": [CALL]}, {"role": "tool", "parts": [RESULT]}) == (assistant, tool)


@pytest.mark.parametrize(
    ("body", "last"),
    [
        (MESSAGES, {"role": "user", "parts": [RESULT]}),
        (RESPONSES, {"role": "tool", "parts": [RESULT]}),
        (GEMINI, {"role": "user", "parts": [RESULT | {"response": {"result": 3}}]}),
    ],
    ids=["messages", "responses", "gemini"],
)
def test_other_formats_tell_the_same(body: dict[str, Any], last: dict[str, Any]) -> None:
    """The system prompt stands apart, and a turn with a tool reads the same whoever carried it."""
    assert Asked([{"type": "text", "content": "Be kind."}], [*TURN, last]) == asked(json.dumps(body))


def test_a_response() -> None:
    """Text and tool calls of an answer are one message with its reason to end."""
    message = {"content": "Sure.", "tool_calls": [TOOL_CALL]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    parts = [{"type": "text", "content": "Sure."}, CALL]
    expected = [{"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}]
    assert expected == answered("openai.chat", json.dumps(body))
    assert None is answered("openai.chat", json.dumps({"error": {"message": "no"}}))
    assert None is answered("unheard-of", json.dumps(body))


def test_a_plain_input() -> None:
    """An input that is one text is one message of the user."""
    assert Asked([], [HELLO]) == asked('{"input": "Hello?"}')


KEYS = st.sampled_from(
    ["content", "parts", "role", "type", "tool_calls", "function", "text", "functionCall", "functionResponse", "output"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["tool", "function_call", "tool_use", "tool_result"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ITEMS = JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=3)


@given(ITEMS, st.sampled_from(["openai.chat", "openai.responses", "anthropic.messages", "gemini", "ollama"]))
def test_no_body_breaks_it(items: Any, api: str) -> None:
    """Whatever JSON is kept gives messages that are JSON again, or None."""
    for body in ({"messages": items}, {"input": items}, {"choices": items, "content": items, "system": items}, items):
        json.dumps([asked(json.dumps(body)), answered(api, json.dumps(body))])
    assert None is asked("no JSON")
