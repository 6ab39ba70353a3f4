"""What a request or a response says, in one vocabulary for all providers.

In: nothing; these are the shapes that the parsers of this package fill. Out: frozen values that
:mod:`..exchange` and the importers turn into records. A module of its own so that parsers, importers and
tests share the shapes without importing each other. Facts hold plain text: redaction and the choice to
keep content are made by the reader of these shapes.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..shapes import value_class

INCOMPLETE = "trimtab_incomplete"
"""Key that a folded stream carries, with the value true, when it ended before its terminal event."""


@value_class
class Usage:
    """Tokens and money of one response. A field is None where the provider does not say."""

    input_tokens: int | None = None
    """All input tokens, cached ones included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    """All output tokens, reasoning included."""
    reasoning_tokens: int | None = None
    cost_reported_usd: str | None = None
    """Decimal text, where the provider put a price in the body."""
    cache_write_1h_tokens: int | None = None
    """Those of the cache write that are kept for an hour instead of five minutes (Anthropic), at another price."""
    input_audio_tokens: int | None = None
    """Audio within the input, cached audio included."""
    cache_audio_read_tokens: int | None = None
    """Audio within what was read from the cache."""
    output_audio_tokens: int | None = None
    """Audio within the output."""
    output_image_tokens: int | None = None
    """Pictures within the output."""
    web_searches: int | None = None
    """Searches that the provider made on the web, billed one by one."""
    service_tier: str | None = None
    """The tier that served the request, in lower case, as the provider says: it may differ from the one asked for."""
    speed: str | None = None
    """Anthropic's ``fast`` or ``standard``."""
    inference_geo: str | None = None
    """Where Anthropic ran the model."""

    def stated(self) -> dict[str, Any]:
        """All fields by name: :class:`~trimtab_tracer.records.Exchange` has them under the same ones."""
        return {name: getattr(self, name) for name in type(self).__annotations__}


@value_class
class ToolCall:
    """A tool call that a response asks for."""

    provider_id: str | None
    name: str
    arguments: str
    """As JSON text: what the model wrote, or the canonical text where the provider sends an object."""
    is_free_text: bool = False
    """Whether the tool takes plain text by its definition, so that no JSON is expected."""


@value_class
class ToolAnswer:
    """A tool's result that a request carries back."""

    provider_id: str | None
    name: str | None
    text: str
    is_error: bool | None = None
    """What the wire format itself says; None where it has no such flag."""


@value_class
class RequestFacts:
    """What a request says."""

    model: str | None = None
    stream: bool = False
    params: dict[str, Any] = field(default_factory=dict)
    """Only what the request set, under one name for all providers: ``max_tokens, temperature, top_p, top_k, stop,
    stream, tool_choice, parallel_tool_calls, reasoning_effort, response_format, n, seed, service_tier, dimensions``."""
    message_count: int = 0
    prompt: str | None = None
    """System prompt or instructions; None where the request has none."""
    tools_offered: tuple[str, ...] = ()
    tools_text: str | None = None
    """Canonical JSON of the tools offered; None where there are none."""
    tool_answers: tuple[ToolAnswer, ...] = ()
    """In the order of the request, old ones of a re-sent history included."""
    last_user_text: str | None = None
    """Text of the last message where it is the user's; None where something else is last."""
    last_assistant_text: str | None = None
    """Text of the last assistant message, however far back."""
    last_assistant_tool_ids: tuple[str, ...] = ()
    previous_response_id: str | None = None
    inherits_setup: bool = False
    """Whether the provider takes prompt and tools from the previous response's request (Anthropic threads)."""


@value_class
class ResponseFacts:
    """What a response says."""

    model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    """``stop | length | tool_calls | content_filter | refusal | error | other``; None where the response was cut."""
    finish_reason_raw: str | None = None
    text: str = ""
    """The answer's text, without reasoning."""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    service_tier: str | None = None
    """As :attr:`Usage.service_tier`, where the provider says it beside the usage object."""
    error_type: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    incomplete: bool = False
    """Whether a stream ended before its terminal event."""
