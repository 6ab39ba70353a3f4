"""Records of what others saw and what is kept beside: spans of HTTP clients and of OpenTelemetry, texts, and losses.

Apart from the others because a run is analysed without any of them. What holds for all records is said in
:mod:`.records`, which is what others import.
"""

from __future__ import annotations

from .shapes import value_class


@value_class
class Content:
    """Redacted request or response text of one attempt. First to be dropped when space is short."""

    attempt_id: str
    call_id: str
    run_id: str
    role: str
    """``request | response``."""
    ts_ns: int
    body: str
    """JSON text; streams are stored as the response they add up to."""


@value_class
class HttpSpan:
    """An HTTP request of the agent that is no LLM call, from the OpenTelemetry instrumentation."""

    span_id: str
    run_id: str
    process_id: str
    name: str
    ts_ns: int
    duration_ns: int
    method: str
    url: str
    """Without query."""
    http_status: int | None = None
    error_type: str | None = None
    site_id: str | None = None
    after_call_id: str | None = None
    """The LLM call made last in the context it was sent in."""


@value_class
class GenAiSpan:
    """A span about an LLM call, a tool or an agent that the agent's own OpenTelemetry tracing made.

    Attributes are normalised from several dialects (:mod:`.wire.otel`). No content: prompts and answers are in
    :class:`Content`, where we saw the request ourselves.
    """

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    run_id: str
    process_id: str
    subject: str
    """``call | tool | agent``: what it is about."""
    operation: str
    """``gen_ai.operation.name`` of the newest conventions: ``chat``, ``embeddings``, ``execute_tool``, …"""
    name: str
    ts_ns: int
    duration_ns: int
    scope: str
    """Name of the instrumentation scope: who made the span."""
    parent_span_id: str | None = None
    status: str = "ok"
    """``ok | error``."""
    error_type: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    provider: str | None = None
    """``gen_ai.provider.name``."""
    host: str | None = None
    """Host and port of the server, where the span says."""
    model: str | None = None
    """As requested."""
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    """As in :class:`Exchange`."""
    stream: bool = False
    ttft_ns: int | None = None
    input_tokens: int | None = None
    """All input tokens, cached ones included."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    agent_name: str | None = None
    conversation_id: str | None = None
    site_id: str | None = None
    """The user's line that the span was started on behalf of."""


@value_class
class Loss:
    """Records that could not be kept, counted exactly since the last such record of this kind and reason."""

    process_id: str
    lost_kind: str
    """Kind of the lost records, e.g. ``content``."""
    reason: str
    count: int
    size_bytes: int
    ts_ns: int
