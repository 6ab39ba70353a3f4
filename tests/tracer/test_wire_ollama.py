from __future__ import annotations

import json
from typing import Any

from trimtab_tracer.wire import ndjson
from trimtab_tracer.wire.facts import INCOMPLETE, ToolAnswer, ToolCall, Usage
from trimtab_tracer.wire.ollama import Ollama

OLLAMA = Ollama()


def lines(*values: dict[str, Any]) -> bytes:
    """A streamed body."""
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


def test_request_facts() -> None:
    """Options are settings, results name their tool only, and a request streams unless it says no."""
    facts = OLLAMA.request(
        {
            "model": "llama",
            "options": {"num_predict": 9, "temperature": 0.5, "num_ctx": 4096},
            "tools": [{"function": {"name": "add"}}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "assistant", "content": "x", "tool_calls": [{"function": {"name": "add"}}]},
                {"role": "tool", "tool_name": "add", "content": "5"},
            ],
        },
        "/api/chat",
    )
    assert (facts.model, facts.stream, facts.prompt, facts.tools_offered) == ("llama", True, "Be brief.", ("add",))
    assert facts.params == {"max_tokens": 9, "temperature": 0.5}
    assert (facts.tool_answers, facts.last_user_text) == ((ToolAnswer(None, "add", "5"),), None)
    assert not OLLAMA.request({"stream": False}, "").stream


def test_stream_folds_to_the_response() -> None:
    """Pieces of text and calls are joined; the last line carries the counts."""
    body = OLLAMA.fold(
        ndjson.parse(
            lines(
                {"model": "llama", "message": {"role": "assistant", "content": "Add"}, "done": False},
                {"message": {"content": "ing", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 2}}}]}},
                {
                    "message": {"content": ""},
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": 9,
                    "eval_count": 7,
                },
            )
        )
    )
    facts = OLLAMA.response(body)
    assert (facts.text, facts.tool_calls) == ("Adding", (ToolCall(None, "add", '{"a":2}'),))
    assert (facts.finish_reason, facts.finish_reason_raw, facts.usage) == (
        "tool_calls",
        "stop",
        Usage(9, None, None, 7),
    )


def test_cut_stream_generate_and_error() -> None:
    """A stream that is not done is marked; ``generate`` answers in ``response``; errors are plain text."""
    cut = OLLAMA.fold(ndjson.parse(lines({"response": "Hal"}, {"response": "f"})))
    assert (cut[INCOMPLETE], OLLAMA.response(cut).text, OLLAMA.response(cut).finish_reason) == (True, "Half", None)
    assert OLLAMA.request({"prompt": "hi", "system": "s"}, "/api/generate").last_user_text == "hi"
    failed = OLLAMA.response({"error": "model 'x' not found"})
    assert (failed.finish_reason, failed.error_message) == ("error", "model 'x' not found")
    assert OLLAMA.response({"done": True, "done_reason": "length"}).finish_reason == "length"
