"""What the provider may say, in no provider's words: answers, tool calls, usage, faults.

In: nothing; these are the values that :mod:`.scenario` reads from a file and :mod:`.formats` writes to the wire. Apart
from both so that a wire format never sees a scenario and a scenario never sees a wire format. All are frozen: applying
a fault or a template makes a new answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

FINISHES = ("stop", "length", "content_filter")
"""Why an answer may end, in neutral words; ``stop`` becomes ``tool_calls`` where the answer has some."""

FAULTS = (
    "status",
    "drop",
    "drop_mid_stream",
    "stream_error",
    "delay",
    "malformed_arguments",
    "truncate",
    "empty",
    "content_filter",
)
"""Kinds of fault, see docs/provider.md."""

CHARS_PER_TOKEN = 4
"""Characters that an estimated token stands for."""

_SLOT = re.compile(r"\{(last_user|last_tool_result|model|step|n)\}")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of an answer."""

    name: str
    arguments: str
    """As sent: JSON text, or a broken piece of it."""

    def parsed(self) -> dict[str, Any] | None:
        """The arguments as an object; None where they are none."""
        try:
            value = json.loads(self.arguments)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer. ``input_tokens`` counts cached ones, ``output_tokens`` counts reasoning."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    """Price that the provider puts into the body itself (OpenAI-compatible routers do)."""


@dataclass(frozen=True, slots=True)
class UsageScript:
    """Usage as a scenario gives it: what it leaves open is estimated from the request and the answer."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None

    def filled(self, input_chars: int, answer: Answer) -> Usage:
        """The usage for a request of ``input_chars`` characters that got ``answer``."""
        cached = self.cached_tokens + self.cache_write_tokens
        estimate = max(_tokens(input_chars), cached + 1)
        output = answer.tokens() + self.reasoning_tokens
        return Usage(
            estimate if self.input_tokens is None else self.input_tokens,
            output if self.output_tokens is None else self.output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
            self.cost_usd,
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong."""

    kind: str
    times: int | None = None
    """Requests of its rule that it hits; None for all."""
    status: int = 500
    message: str | None = None
    type: str | None = None
    code: str | None = None
    retry_after_s: float | None = None
    retry_after_ms: float | None = None
    should_retry: bool | None = None
    after_chunks: int = 1
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, and how it is sent."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    usage: UsageScript | None = UsageScript()
    """None: none is sent."""
    chunks: int | None = None
    """Text deltas of a stream; None for one per word."""
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    response_model: str | None = None
    dimensions: int = 8
    stop_sequence: str | None = None
    """The stop sequence that ended it."""

    def tokens(self) -> int:
        """Estimated output tokens, reasoning not included."""
        return _tokens(len(self.text) + sum(len(c.name) + len(c.arguments) for c in self.tool_calls))

    def pieces(self) -> list[str]:
        """The text as the deltas of a stream; empty for no text."""
        if self.chunks is None:
            return re.findall(r"\s*\S+|\s+", self.text)
        return cut(self.text, self.chunks)

    def rendered(self, slots: Mapping[str, str]) -> Answer:
        """The answer with its ``{slots}`` filled, in the text and in strings inside the arguments."""

        def fill(text: str) -> str:
            return _SLOT.sub(lambda match: slots[match[1]], text)

        def fill_arguments(call: ToolCall) -> ToolCall:
            parsed = call.parsed()
            if parsed is None or not _SLOT.search(call.arguments):
                return call
            return replace(call, arguments=json.dumps(_map_strings(parsed, fill), ensure_ascii=False))

        return replace(self, text=fill(self.text), tool_calls=tuple(fill_arguments(c) for c in self.tool_calls))

    def spoiled(self, fault: Fault) -> Answer:
        """The answer after a ``fault`` that changes what is said; others leave it as it is."""
        match fault.kind:
            case "malformed_arguments":
                return replace(
                    self, tool_calls=tuple(replace(c, arguments=_broken(c.arguments)) for c in self.tool_calls)
                )
            case "truncate":
                return self.truncated(0.5)
            case "empty":
                return replace(self, text="", tool_calls=(), finish="stop")
            case "content_filter":
                return replace(self, text="", tool_calls=(), finish="content_filter")
        return self

    def stopped(self, sequences: Iterable[str]) -> Answer:
        """The answer up to the first of ``sequences`` in its text, which goes with all that follows, tool calls too."""
        found = [(at, sequence) for sequence in sequences if (at := self.text.find(sequence)) >= 0]
        if not found:
            return self
        at, sequence = min(found)
        return replace(self, text=self.text[:at], tool_calls=(), stop_sequence=sequence)

    def truncated(self, share: float) -> Answer:
        """The first ``share`` (0 to 1) of the text and of each call's arguments, ended for length."""
        calls = tuple(replace(c, arguments=_broken(c.arguments, share)) for c in self.tool_calls)
        return replace(self, text=self.text[: math.floor(len(self.text) * share)], tool_calls=calls, finish="length")


def cut(text: str, parts: int) -> list[str]:
    """``text`` in ``parts`` pieces of nearly the same length, fewer if it has fewer characters."""
    parts = min(parts, len(text))
    return [text[len(text) * i // parts : len(text) * (i + 1) // parts] for i in range(parts)]


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)


def _broken(arguments: str, share: float = 0.5) -> str:
    # At least the closing brace goes, and at least the opening one stays, so that the rest is never valid JSON.
    return arguments[: max(1, min(len(arguments) - 1, math.ceil(len(arguments) * share)))] if arguments else "{"


def _map_strings(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_strings(v, change) for v in value]
    if isinstance(value, dict):
        return {k: _map_strings(v, change) for k, v in value.items()}
    return value
