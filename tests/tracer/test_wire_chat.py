from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab_tracer.wire.chat import OpenAIChat
from trimtab_tracer.wire.embeddings import OpenAIEmbeddings
from trimtab_tracer.wire.facts import INCOMPLETE, ToolAnswer, ToolCall, Usage
from trimtab_tracer.wire.sse import ServerSentEvent
from trimtab_tracer.wire.tokens import usage

CHAT = OpenAIChat()


def events(*chunks: Any) -> list[ServerSentEvent]:
    """A stream of these chunks."""
    return [ServerSentEvent(None, c if isinstance(c, str) else json.dumps(c)) for c in chunks]


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def function(index: int | None, name: str | None = None, args: str = "", ident: str | None = None) -> dict[str, Any]:
    """A piece of a tool call."""
    return {"index": index, "id": ident, "function": {"name": name, "arguments": args}}


def test_request_facts() -> None:
    """Prompt, settings, tools, tool results and the last words of both sides are read from one request."""
    facts = CHAT.request(
        {
            "model": "m",
            "stream": True,
            "max_completion_tokens": 50,
            "stop": ["END"],
            "temperature": None,
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "tools": [{"type": "function", "function": {"name": "add"}}, {"type": "web_search"}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "2+3?"},
                {"role": "assistant", "content": "adding", "tool_calls": [{"id": "t1", "function": {"name": "add"}}]},
                {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "5"}]},
                {"role": "user", "content": [{"type": "text", "text": "and?"}, {"type": "image_url"}]},
            ],
        },
        "/v1/chat/completions",
    )
    assert facts.params == {"stream": True, "max_tokens": 50, "stop": ["END"], "tool_choice": "add"}
    assert (facts.model, facts.stream, facts.message_count, facts.prompt) == ("m", True, 5, "Be brief.")
    assert facts.tools_offered == ("add", "web_search")
    assert facts.tool_answers == (ToolAnswer("t1", None, "5"),)
    assert (facts.last_user_text, facts.last_assistant_text, facts.last_assistant_tool_ids) == (
        "and?",
        "adding",
        ("t1",),
    )


@pytest.mark.parametrize(
    ("choice", "finish"),
    [
        ({"finish_reason": "stop", "message": {"content": "hi"}}, "stop"),
        ({"finish_reason": "length", "message": {"content": "hi"}}, "length"),
        ({"finish_reason": "content_filter", "message": {}}, "content_filter"),
        ({"finish_reason": "stop", "message": {"content": None, "refusal": "No."}}, "refusal"),
        ({"finish_reason": "stop", "message": {"tool_calls": [{"function": {"name": "a"}}]}}, "tool_calls"),
        ({"finish_reason": "function_call", "message": {"function_call": {"name": "a"}}}, "tool_calls"),
        ({"finish_reason": "novelty", "message": {}}, "other"),
        ({"finish_reason": None, "message": {}}, None),
        ({"finish_reason": "stop", "error": {"code": 502, "message": "upstream"}}, "error"),
    ],
)
def test_finish_reasons(choice: dict[str, Any], finish: str | None) -> None:
    """Every way to finish has one name; an unknown one is ``other`` and none is None."""
    assert CHAT.response({"choices": [choice]}).finish_reason == finish


def test_tool_calls_of_all_kinds() -> None:
    """Functions, custom tools and arguments sent as an object all read as calls with text arguments."""
    message = {
        "tool_calls": [
            {"id": "a", "function": {"name": "add", "arguments": '{"x": 1'}},
            {"id": "b", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}},
            {"id": "c", "function": {"name": "add", "arguments": {"x": 1}}},
        ]
    }
    assert CHAT.response({"choices": [{"message": message}]}).tool_calls == (
        ToolCall("a", "add", '{"x": 1'),
        ToolCall("b", "sh", "ls -l", True),
        ToolCall("c", "add", '{"x":1}'),
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "t", "code": "c", "message": "m"}}, ("t", "c", "m")),
        ({"error": {"code": 429, "message": "m", "metadata": {}}}, (None, "429", "m")),
        ({"error": "model not loaded"}, (None, None, "model not loaded")),
        ({"object": "error", "type": "BadRequest", "code": 400, "message": "m"}, ("BadRequest", "400", "m")),
        ({"error": None, "choices": []}, (None, None, None)),
    ],
)
def test_error_envelopes(body: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    """The envelopes of OpenAI, OpenRouter, Ollama and vLLM give type, code and message."""
    facts = CHAT.response(body)
    assert (facts.error_type, facts.error_code, facts.error_message) == expected
    assert (facts.finish_reason == "error") is any(expected)


def test_stream_folds_to_the_response() -> None:
    """Text, parallel tool calls in pieces, the finish and a usage chunk without choices add up to one response."""
    body = CHAT.fold(
        events(
            delta(role="assistant", content=""),
            delta(content="Add"),
            delta(content="ing."),
            delta(tool_calls=[function(0, "add", "", "t0")]),
            delta(tool_calls=[function(0, None, '{"a":')]),
            delta(tool_calls=[function(1, "sub", '{"b":2}', "t1"), function(0, None, "1}")]),
            delta("tool_calls"),
            {"id": "c1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7}},
            "[DONE]",
        )
    )
    facts = CHAT.response(body)
    assert INCOMPLETE not in body
    assert (facts.text, facts.finish_reason, facts.response_id, facts.model) == ("Adding.", "tool_calls", "c1", "m-1")
    assert facts.tool_calls == (ToolCall("t0", "add", '{"a":1}'), ToolCall("t1", "sub", '{"b":2}'))
    assert facts.usage == Usage(9, None, None, 7)


def test_refusal_stream() -> None:
    """A refusal that comes in pieces reads as a refusal with its text."""
    facts = CHAT.response(CHAT.fold(events(delta(refusal="I "), delta(refusal="can't."), delta("stop"))))
    assert (facts.finish_reason, facts.text) == ("refusal", "I can't.")


def test_imitations_of_the_stream() -> None:
    """Calls that all have index 0 or none stay apart by their ids, and continuations find theirs."""
    same = CHAT.fold(
        events(delta(tool_calls=[function(0, "a", "{}", "x")]), delta(tool_calls=[function(0, "b", "{}", "y")]))
    )
    none = CHAT.fold(
        events(delta(tool_calls=[function(None, "a", "{", "x")]), delta(tool_calls=[function(None, None, "}")]))
    )
    assert [c.name for c in CHAT.response(same).tool_calls] == ["a", "b"]
    assert CHAT.response(none).tool_calls == (ToolCall("x", "a", "{}"),)


def test_cut_stream_is_marked() -> None:
    """A stream cut in the middle keeps what arrived, has no finish and says so."""
    body = CHAT.fold([*events(delta(content="Half an ans")), ServerSentEvent(None, '{"choices": [{"ind')])
    facts = CHAT.response(body)
    assert body[INCOMPLETE] is True
    assert (facts.text, facts.finish_reason, facts.incomplete) == ("Half an ans", None, True)


def test_error_inside_a_stream() -> None:
    """An error event ends the response as an error, not as a cut."""
    facts = CHAT.response(CHAT.fold(events(delta(content="x"), {"error": {"type": "server_error", "message": "boom"}})))
    assert (facts.finish_reason, facts.error_type, facts.incomplete) == ("error", "server_error", False)


def test_embeddings() -> None:
    """An embeddings call has model, number of texts and tokens, and nothing else."""
    fmt = OpenAIEmbeddings()
    asked = fmt.request({"model": "e", "input": ["a", "b"], "dimensions": 64}, "/v1/embeddings")
    said = fmt.response({"model": "e-1", "data": [{}, {}], "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    assert (asked.model, asked.message_count, asked.params) == ("e", 2, {"dimensions": 64})
    assert (said.model, said.finish_reason, said.usage) == ("e-1", "stop", Usage(4))
    assert fmt.request({"input": [1, 2, 3]}, "").message_count == 1
    assert fmt.response({"error": {"message": "no"}}).finish_reason == "error"
    assert fmt.fold([]) == {}


def test_embeddings_of_ollama() -> None:
    """Ollama's answer has the vectors under another name, and its count beside them."""
    said = OpenAIEmbeddings().response({"model": "e", "embeddings": [[0.1]], "prompt_eval_count": 7})
    assert ("stop", 7, None) == (said.finish_reason, said.usage and said.usage.input_tokens, said.usage.output_tokens)
    assert Usage(input_tokens=7) == usage("openai.embeddings", {"prompt_eval_count": 7})
    assert OpenAIEmbeddings().response({"model": "e", "embeddings": [[0.1]]}).usage is None
