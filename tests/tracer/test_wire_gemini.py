from __future__ import annotations

import json
import re
from typing import Any

import pytest

from trimtab_tracer.wire.facts import INCOMPLETE, ToolAnswer, ToolCall, Usage
from trimtab_tracer.wire.gemini import Gemini
from trimtab_tracer.wire.sse import ServerSentEvent

GEMINI = Gemini()
PATH = "/v1beta/models/gemini-x:generateContent"


def chunk(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A response, or a piece of a streamed one."""
    finish = {"finishReason": fields.pop("finish")} if "finish" in fields else {}
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **finish}], **fields}


def events(*chunks: Any) -> list[ServerSentEvent]:
    """A stream of these chunks."""
    return [ServerSentEvent(None, json.dumps(c)) for c in chunks]


@pytest.mark.parametrize("is_snake", [False, True])
def test_request_facts(is_snake: bool) -> None:
    """Model and streaming come from the path; field names may be camel or snake."""
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 9, "stopSequences": ["END"], "thinkingConfig": {"thinkingBudget": 64}},
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "tools": [{"functionDeclarations": [{"name": "add"}]}, {"googleSearch": {}}],
        "contents": [
            {"role": "model", "parts": [{"text": "x"}, {"functionCall": {"id": "f1", "name": "add", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "f1", "name": "add", "response": {"result": 5}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "sub", "response": {"error": "boom"}}}]},
            {"role": "user", "parts": [{"text": "and?"}]},
        ],
    }
    if is_snake:
        names = re.findall(r'"([a-z]+[A-Z]\w+)":', json.dumps(body))
        snake = {n: re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", n) for n in names}
        text = json.dumps(body)
        for camel, name in snake.items():
            text = text.replace(f'"{camel}"', f'"{name}"')
        body = json.loads(text)
    facts = GEMINI.request(body, "/v1beta/models/gemini-x:streamGenerateContent?alt=sse")
    assert (facts.model, facts.stream, facts.prompt) == ("gemini-x", True, "Be brief.")
    assert facts.params == {
        "max_tokens": 9,
        "stop": ["END"],
        "reasoning_effort": 64,
        "tool_choice": "ANY",
        "stream": True,
    }
    assert (facts.tools_offered[0], len(facts.tools_offered)) == ("add", 2)
    assert facts.tool_answers == (ToolAnswer("f1", "add", "5"), ToolAnswer(None, "sub", "boom", True))
    assert (facts.last_user_text, facts.last_assistant_text, facts.last_assistant_tool_ids) == ("and?", "x", ("f1",))


@pytest.mark.parametrize(
    ("body", "finish", "raw"),
    [
        (chunk({"text": "hi"}, finish="STOP"), "stop", "STOP"),
        (chunk({"functionCall": {"name": "a"}}, finish="STOP"), "tool_calls", "STOP"),
        (chunk({"text": "hi"}, finish="MAX_TOKENS"), "length", "MAX_TOKENS"),
        (chunk(finish="SAFETY"), "content_filter", "SAFETY"),
        (chunk(finish="MALFORMED_FUNCTION_CALL"), "other", "MALFORMED_FUNCTION_CALL"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "content_filter", "OTHER"),
        (chunk({"text": "hi"}), None, None),
    ],
)
def test_finish_reasons(body: dict[str, Any], finish: str | None, raw: str | None) -> None:
    """Finish reasons and blocked prompts have one vocabulary."""
    facts = GEMINI.response(body)
    assert (facts.finish_reason, facts.finish_reason_raw) == (finish, raw)


def test_response_facts() -> None:
    """Thoughts are no answer, calls need no id, and thought tokens are output."""
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "thoughtsTokenCount": 4}
    parts = (
        {"text": "hm", "thought": True},
        {"text": "5"},
        {"functionCall": {"name": "add", "args": {"b": 1, "a": 2}}},
    )
    facts = GEMINI.response(chunk(*parts, usageMetadata=usage, modelVersion="gemini-x-1", responseId="r"))
    assert (facts.text, facts.tool_calls) == ("5", (ToolCall(None, "add", '{"a":2,"b":1}'),))
    assert (facts.usage, facts.model, facts.response_id) == (Usage(11, None, None, 11, 4), "gemini-x-1", "r")


def test_stream_folds_to_the_response() -> None:
    """Text of chunks is joined, the last usage and finish count, as events and as one JSON array."""
    chunks = [
        chunk({"text": "The "}, usageMetadata={"promptTokenCount": 1}),
        chunk({"text": "answer"}),
        chunk({"functionCall": {"name": "add", "args": {}}}, finish="STOP", usageMetadata={"promptTokenCount": 11}),
    ]
    body = GEMINI.fold(events(*chunks))
    assert body == GEMINI.fold(events(chunks))
    assert body["candidates"][0]["content"]["parts"][0] == {"text": "The answer"}
    facts = GEMINI.response(body)
    assert (facts.text, facts.finish_reason, facts.usage) == ("The answer", "tool_calls", Usage(11))


def test_cut_stream_and_error() -> None:
    """A stream without a finish is marked as cut; an error envelope, also inside an array, is an error."""
    cut = GEMINI.fold(events(chunk({"text": "Hal"})))
    error = {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}
    assert cut[INCOMPLETE] is True
    for body in (error, GEMINI.fold(events([error]))):
        facts = GEMINI.response(body)
        assert (facts.finish_reason, facts.error_type, facts.error_code) == ("error", "RESOURCE_EXHAUSTED", "429")
