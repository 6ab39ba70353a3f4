from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trimtab_tracer.links import Links, links
from trimtab_tracer.wire.formats import match

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI, OLLAMA = "/v1beta/models/g:generateContent", "/api/chat"


def tied(path: str, request: dict[str, Any], response: dict[str, Any] | None = None) -> Links:
    """The links of a call with these bodies."""
    fmt = match("POST", path)
    assert fmt is not None
    return links(fmt.api, request, fmt.request(request, path), fmt.response(response or {}))


def kinds(first: Links, second: Links) -> str:
    """The kinds of link by which the second call may continue the first."""
    return "".join(sorted({key[0] for key in set(first.offered) & set(second.wanted)}))


def chat_answer(message: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant"} | message, "finish_reason": "stop"}]}


ASKED = {"role": "user", "content": "Where is A-17?"}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"id": "A-17", "n": 1}'}}]
FIRST = tied(CHAT, {"messages": [ASKED]}, chat_answer({"content": "I will look.", "tool_calls": CALLS}))


def second(**changed: Any) -> Links:
    """The next request of the same agent, with its answer's turn as some client writes it."""
    turn = {"role": "assistant", "content": "I will look.", "tool_calls": CALLS} | changed
    return tied(CHAT, {"messages": [ASKED, turn, {"role": "tool", "tool_call_id": "c1", "content": "Oslo"}]})


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"content": " I  will\nlook. "},
        {"content": [{"type": "text", "text": "I will", "cache_control": {"type": "ephemeral"}}, {"text": " look."}]},
        {"tool_calls": [CALLS[0] | {"function": {"name": "look", "arguments": '{"n":1,"id":"A-17"}'}}]},
        {"refusal": None, "reasoning_content": "hm"},
    ],
)
def test_a_history_is_known_however_it_is_written(changed: dict[str, Any]) -> None:
    """White space, parts, cache marks, the order of arguments and thoughts do not hide what a request goes on from."""
    assert "ast" == kinds(FIRST, second(**changed))


def test_another_history_is_another_one() -> None:
    """Another word, another argument or another id is not what was answered."""
    assert "at" == kinds(FIRST, second(content="I won't look."))
    other = [CALLS[0] | {"id": "c2", "function": {"name": "look", "arguments": '{"id": "B"}'}}]
    assert "a" == kinds(FIRST, second(tool_calls=other))


def test_the_system_prompt_may_move() -> None:
    """A prompt that changes, moves or is left out between turns is no part of the history."""
    moved = {"messages": [{"role": "system", "content": "now"}, ASKED, {"role": "assistant", "content": "Oslo"}, ASKED]}
    first = tied(
        CHAT, {"messages": [{"role": "developer", "content": "before"}, ASKED]}, chat_answer({"content": "Oslo"})
    )
    assert "as" == kinds(first, tied(CHAT, moved))


def test_formats_agree() -> None:
    """The same conversation links over every format, and from one to the other: a fallback goes on with it."""
    said = {"content": [{"type": "text", "text": "I will look."}]}
    use = {"type": "tool_use", "id": "c1", "name": "look", "input": {"id": "A-17", "n": 1}}
    first = tied(MESSAGES, {"messages": [ASKED]}, {"content": [*said["content"], use], "stop_reason": "tool_use"})
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "Oslo"}
    turns = [ASKED, {"role": "assistant", "content": [*said["content"], use]}, {"role": "user", "content": [result]}]
    assert "ast" == kinds(first, tied(MESSAGES, {"messages": turns}))
    assert "ast" == kinds(first, second())
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"id":"A-17","n":1}'}
    spoke = {"role": "assistant", "content": [{"type": "output_text", "text": "I will look."}]}
    items = [ASKED, spoke, call, {"type": "function_call_output", "call_id": "c1", "output": "Oslo"}]
    assert "ast" == kinds(first, tied(RESPONSES, {"input": items}))
    parts = [{"text": "thought", "thought": True}, {"text": "I will look."}]
    asked = {"functionCall": {"name": "look", "args": {"id": "A-17", "n": 1}}}
    contents = [{"role": "user", "parts": [{"text": "Where is A-17?"}]}, {"role": "model", "parts": [*parts, asked]}]
    answered = {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": "Oslo"}}}]}
    assert "as" == kinds(first, tied(GEMINI, {"contents": [*contents, answered]}))
    plain = {
        "role": "assistant",
        "content": "I will look.",
        "tool_calls": [{"function": {"name": "look", "arguments": use["input"]}}],
    }
    assert "as" == kinds(first, tied(OLLAMA, {"messages": [ASKED, plain, {"role": "tool", "content": "Oslo"}]}))


def test_what_the_provider_keeps_is_named_by_its_id() -> None:
    """Requests that hold nothing but what is new name the response, or the tool calls, that they follow."""
    first = tied(RESPONSES, {"input": "hi"}, {"id": "resp_1", "status": "completed", "output": []})
    assert "r" == kinds(first, tied(RESPONSES, {"input": "and?", "previous_response_id": "resp_1"}))
    thread = tied(MESSAGES, {"messages": [ASKED]}, {"id": "msg_1", "content": [], "stop_reason": "end_turn"})
    follows = {"messages": [ASKED], "thread": {"type": "continue", "previous_message_id": "msg_1"}}
    assert "r" in kinds(thread, tied(MESSAGES, follows))
    only = {"messages": [{"role": "tool", "tool_call_id": "c1", "content": "Oslo"}]}
    assert "t" == kinds(FIRST, tied(CHAT, only))


@pytest.mark.parametrize(
    ("body", "is_key"),
    [
        ({"conversation": "conv_1"}, True),
        ({"conversation": {"id": "conv_1"}}, True),
        ({"prompt_cache_key": "01a1fb4f-2d17-74e1-bfef-cd3eaceb8f11"}, True),
        ({"prompt_cache_key": "kettle-shop-v2"}, False),
    ],
)
def test_conversation_keys(body: dict[str, Any], is_key: bool) -> None:
    """A conversation's own id links; so does a cache key that is one, as Codex sends it, and no other."""
    first, later = (tied(RESPONSES, body | {"input": said}) for said in ("a", "b"))
    assert ("k" if is_key else "") == kinds(first, later)


def test_a_request_without_an_answer_may_be_sent_again() -> None:
    """A call that got no answer offers its whole request; one that was answered does not."""
    again = tied(CHAT, {"messages": [ASKED]})
    assert "f" == kinds(again, again)
    assert "" == kinds(FIRST, again)


def test_a_beginning_of_the_answer_is_part_of_it() -> None:
    """What the agent wrote into the model's mouth and what the model added are one turn afterwards."""
    begun = tied(
        MESSAGES,
        {"messages": [ASKED, {"role": "assistant", "content": "{"}]},
        {"content": [{"type": "text", "text": "}"}]},
    )
    later = {"messages": [ASKED, {"role": "assistant", "content": "{}"}, ASKED]}
    assert "s" in kinds(begun, tied(MESSAGES, later))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "role", "content", "parts", "input", "type", "text", "tool_calls", "function", "id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(json_values, json_values, st.sampled_from([CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA]))
@example([{"role": []}], None, CHAT)
@settings(max_examples=100)
def test_odd_bodies_have_no_links_and_raise_nothing(request: Any, response: Any, path: str) -> None:
    """Whatever JSON comes, the keys are letters and digests."""
    request, response = (
        v if isinstance(v, dict) else {"messages": v, "input": v, "contents": v} for v in (request, response)
    )
    found = tied(path, json.loads(json.dumps(request)), response)
    assert all(len(key) == 17 and key[0] in "rktsfa" for key in (*found.wanted, *found.offered))
