"""Tokens that no one reported, estimated from the text that went over the wire.

In: the parsed bodies of an attempt whose provider sent no usage: streams that were not asked for it, streams that the
agent left. Out: a :class:`.wire.facts.Usage` whose counts are estimates; whoever keeps it says so (``usage_source =
estimated``). A module of its own because it knows no provider and no tokenizer: real ones take megabytes of tables, and
differ by model. It counts words, digits, runs of signs and characters by script, in a few passes over the bytes.

What it can't see it leaves out, so that an estimate is rather a lower bound: pictures and files, reasoning that is not
in the answer, and what a server adds on its own. ``tests/tracer/test_estimate.py`` measures the error on real traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .records import Attempt
from .wire.facts import Usage

PER_MESSAGE = 4
"""Tokens around each message: its role and its ends."""

WORD, DIGIT, SIGNS, LINE = 1.2, 0.8, 1.1, 0.4
"""Tokens of a run of letters, a digit, a run of signs and a line's end: English and code under the tokenizers of today;
digits are between one token each (Gemini) and one for three (OpenAI)."""
ALPHABETIC, IDEOGRAPHIC, SYLLABIC, PICTOGRAPHIC = 0.45, 0.9, 0.6, 2.0
"""Tokens of one character beyond ASCII: other alphabets, Chinese, Japanese and Korean, India's and others, emoji."""

_ASKED = (
    *("messages", "system", "tools", "functions", "response_format"),
    *("input", "instructions", "text", "contents", "systemInstruction", "system_instruction", "prompt"),
)
"""Fields of a request that the model reads."""
_SAID = ("choices", "content", "output", "candidates", "message", "response")
"""Fields of a response that the model wrote."""
_SILENT = frozenset(
    (
        *("id", "call_id", "tool_call_id", "tool_use_id", "type", "role", "status", "index", "finish_reason"),
        *("native_finish_reason", "finishReason", "object", "model", "created", "signature", "thoughtSignature"),
        *("encrypted_content", "data", "image_url", "url", "file_data", "file_id", "cache_control", "logprobs"),
    )
)
"""Keys whose values the model neither reads nor writes as text."""
_NAMED = frozenset(("tools", "functions", "response_format", "text"))
"""Fields whose keys are read too: a schema's names are part of what it says."""


def estimated(attempt: Attempt, request: Any, response: Any, known: Usage | None) -> Usage | None:
    """``known`` completed with estimates, or None where nothing is to be estimated.

    Args:
        attempt: Errors are never estimated: nobody knows whether they were billed.
        request: The request's JSON value.
        response: The response's JSON value, a stream folded.
        known: What the provider reported; it may lack the output's count where a stream was left.
    """
    if attempt.end == "error" or not 200 <= (attempt.http_status or 0) < 300 or not isinstance(request, dict):
        return None
    if response is None and attempt.end == "abandoned" and not attempt.response_bytes:
        response = {"choices": []}  # it was answered, and nobody read a word of it
    if not isinstance(response, dict) or response.get("error") or not any(field in response for field in _SAID):
        return None
    usage = known or Usage()
    has_output = attempt.api != "openai.embeddings"
    given, written = usage.input_tokens, usage.output_tokens
    if given is not None and (written is not None or not has_output):
        return None
    if given is None:
        given = _given(request)
    if written is None and has_output:
        written = _count(text for field in _SAID if field in response for text in _texts(response[field], False))
    return replace(usage, input_tokens=given, output_tokens=written)


def _given(request: dict[str, Any]) -> int:
    messages = next((m for f in ("messages", "input", "contents") if isinstance(m := request.get(f), list)), [None])
    texts = (t for f in _ASKED if f in request for t in _texts(request[f], f in _NAMED))
    return _count(texts) + PER_MESSAGE * len(messages)


def _texts(value: Any, with_keys: bool) -> Iterator[str]:
    """Every text in a JSON value that a model sees. Walks without recursion: bodies may nest as deep as they like."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            if not one.startswith("data:"):
                yield one
        elif isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            seen = {key: inner for key, inner in one.items() if key not in _SILENT}
            if with_keys:
                waiting.extend(seen)
            waiting.extend(seen.values())


def _count(texts: Iterator[str]) -> int:
    return round(sum(map(tokens_in, texts)))


def _class_of(byte: int) -> int:
    """The class of a byte of UTF-8: of a character beyond ASCII the first byte says the script well enough."""
    character = chr(byte)
    if byte < 0x80:
        if character == "\n" or character.isdigit() or character.isalpha():
            return ord("\n" if character == "\n" else "0" if character.isdigit() else "a")
        return ord(" " if byte <= 0x20 else ".")
    if byte < 0xC0:
        return ord("x")  # the rest of a character
    if byte < 0xE0:
        return ord("L")
    return ord("E" if byte >= 0xF0 else "K" if 0xE3 <= byte <= 0xED else "I")


_CLASSES = bytes(map(_class_of, range(256)))
_BREAKS = (b" ", b"\n", b".", b"0", b"x", b"a")


SLICE = 32_768
"""Characters counted at a time, so that no pass holds the interpreter for long."""


def tokens_in(text: str) -> float:
    """About how many tokens a text is; about 8 ms for 200 kB."""
    return sum(_tokens_in(text[at : at + SLICE]) for at in range(0, len(text), SLICE))


def _tokens_in(text: str) -> float:
    kinds = b" " + text.encode("utf-8", "replace").translate(_CLASSES)
    ascii_tokens = (
        WORD * _runs(kinds, b"a") + DIGIT * kinds.count(b"0") + SIGNS * _runs(kinds, b".") + LINE * kinds.count(b"\n")
    )
    if text.isascii():
        return ascii_tokens
    return ascii_tokens + (
        ALPHABETIC * kinds.count(b"L")
        + IDEOGRAPHIC * kinds.count(b"K")
        + SYLLABIC * kinds.count(b"I")
        + PICTOGRAPHIC * kinds.count(b"E")
    )


def _runs(kinds: bytes, kind: bytes) -> int:
    """How many runs of one class there are."""
    return sum(kinds.count(before + kind) for before in _BREAKS if before != kind)
