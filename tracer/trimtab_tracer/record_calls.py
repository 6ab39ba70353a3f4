"""Records of calls: each HTTP attempt, what was asked and said in it, and the tools that ran for it.

Apart from the others because these are written in the agent's path, the attempt within the call itself. What holds for
all records is said in :mod:`.records`, which is what others import.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from .shapes import value_class


@value_class
class Attempt:
    """One HTTP request of a call. Written inside the call, so that a killed process loses none that ended."""

    attempt_id: str
    call_id: str
    run_id: str
    process_id: str
    number: int
    """1 for the first attempt of its call."""
    ts_ns: int
    duration_ns: int
    """Until the last byte was read, the stream was closed or the request failed."""
    api: str
    """Wire format: ``openai.chat | openai.responses | openai.embeddings | anthropic.messages | gemini | ollama``."""
    method: str
    host: str
    """Host and port."""
    path: str
    """URL path; secret query values removed, the query dropped."""
    site_id: str
    end: str
    """``complete | error | abandoned``: the stream was left before its end, or closed early."""
    stream: bool = False
    http_status: int | None = None
    error_type: str | None = None
    """Exception class as ``module.Name`` where the request or the stream raised."""
    error_message: str | None = None
    ttft_ns: int | None = None
    """From the request to the first body bytes; None when not streamed."""
    chunks: int = 0
    """Body chunks read; 0 when not streamed."""
    request_bytes: int = 0
    response_bytes: int = 0
    body_digest: str | None = None
    """Digest of the request body; None where the body can't be read without consuming it."""
    request_id: str | None = None
    """``x-request-id`` / ``request-id`` of the response."""
    retry_after_s: float | None = None
    sdk_retry: int | None = None
    """Retry number that the SDK put on the wire (``x-stainless-retry-count``)."""
    model: str | None = None
    """As read cheaply from the request; :class:`Exchange` is the exact one."""
    usage_fragment: str | None = None
    """The response's raw usage object, at most 2 kB, so that tokens survive even if no :class:`Exchange` follows."""
    timeout_s: float | None = None
    """Read timeout in force; None for no limit."""
    max_retries: int | None = None
    """Retries the SDK was told to make; None where it does not say."""
    trace_id: str | None = None
    """OpenTelemetry trace that was current when the request was sent, 32 hex digits; None outside of any span."""
    span_id: str | None = None
    """The current span of that trace, 16 hex digits: not ours, but one of the agent's or of a library's."""
    after_call_id: str | None = None
    """The call made before this one in its context (thread or task), or in the one that spawned it; None for none."""
    is_branch: bool = False
    """Whether that call was made in the context that spawned this one's."""
    agent: str | None = None
    """Who made the call, where an imported log of several agents says; left out of the segment where it does not."""
    step: int | None = None
    """Index of the call in that log, as its format counts; left out likewise."""


@value_class
class ToolRequest:
    """A tool call that a model asked for."""

    index: int
    provider_id: str | None
    name: str
    args_digest: str
    """Of the arguments as canonical JSON where they parse, else of their text."""
    args_valid: bool
    """Whether the arguments are a JSON object."""
    args_error: str | None = None
    args_chars: int = 0
    schema_error: str | None = None
    """How the arguments break the schema that the request offered (:mod:`.schema_check`); None where they do not."""


@value_class
class ToolResult:
    """A tool's answer as it went back to a model."""

    tool_id: str
    """``<call_id>:<index>`` of the request it answers."""
    seen_ns: int
    """Start of the request that carried it: an upper bound of the tool's end."""
    status: str
    """``ok | error | unknown``, as far as the wire says."""
    error_type: str | None = None
    error_message: str | None = None
    result_digest: str | None = None
    result_chars: int = 0


@value_class
class Exchange:
    """What request and response of one attempt said. Parsed off the caller's path."""

    attempt_id: str
    call_id: str
    run_id: str
    api: str
    model: str | None
    """As requested."""
    response_model: str | None = None
    response_id: str | None = None
    previous_response_id: str | None = None
    finish_reason: str | None = None
    """``stop | length | tool_calls | content_filter | refusal | error | other``; None where there was no response."""
    finish_reason_raw: str | None = None
    input_tokens: int | None = None
    """All input tokens, cached ones included, for every provider."""
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    """All output tokens, reasoning included."""
    reasoning_tokens: int | None = None
    usage_source: str = "unknown"
    """``reported | estimated | unknown``."""
    cost_reported_usd: str | None = None
    """Decimal text, where the provider put a price in the body (OpenRouter's ``usage.cost``)."""
    provider_error_type: str | None = None
    provider_error_code: str | None = None
    provider_error_message: str | None = None
    message_count: int = 0
    output_chars: int = 0
    output_digest: str | None = None
    prompt_digest: str | None = None
    """Of the system prompt / instructions: the prompt version where the user names none."""
    tools_digest: str | None = None
    tools_offered: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    """``max_tokens, temperature, stop, stream, tool_choice, reasoning_effort, …`` where the request set them."""
    tool_requests: tuple[ToolRequest, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    """Only those not seen in an earlier request of this process."""
    rejects_call_id: str | None = None
    """The earlier call whose answer this request's last message turns down ("provide exactly one …")."""
    rejection_text: str | None = None
    """First 200 characters of that message; None with content off."""
    cache_write_1h_tokens: int | None = None
    """Those of ``cache_write_tokens`` that are kept for an hour, at another price than the rest."""
    input_audio_tokens: int | None = None
    """Audio within ``input_tokens``, cached audio included."""
    cache_audio_read_tokens: int | None = None
    """Audio within ``cache_read_tokens``."""
    output_audio_tokens: int | None = None
    """Audio within ``output_tokens``."""
    output_image_tokens: int | None = None
    """Pictures within ``output_tokens``."""
    web_searches: int | None = None
    """Searches on the web that the provider made and bills one by one."""
    service_tier: str | None = None
    """Tier that served the request, as the provider says: ``default``, ``flex``, ``priority``, ``batch``, …"""
    speed: str | None = None
    """``fast | standard``, where Anthropic says so."""
    inference_geo: str | None = None
    """Where Anthropic ran the model, as it says."""
    links_in: tuple[str, ...] = ()
    """Keys of earlier calls that the request names (:mod:`.links`), each a letter and 16 hex digits."""
    links_out: tuple[str, ...] = ()
    """Keys by which later requests may name this call."""
    signals: dict[str, Any] = field(default_factory=dict)
    """What request and response tell together, for rules (:mod:`.signals`)."""


@value_class
class ToolRun:
    """A tool execution seen as it ran (decorator, adapter), or told of by a span. Written inside the call."""

    tool_run_id: str
    run_id: str
    process_id: str
    name: str
    ts_ns: int
    duration_ns: int
    status: str
    """``ok | error``; ``unknown`` where only a span tells of it, and does not say."""
    args_digest: str | None = None
    result_digest: str | None = None
    result_chars: int = 0
    error_type: str | None = None
    error_message: str | None = None
    site_id: str | None = None
    """The tool's definition."""
    mutates: bool | None = None
    provider_id: str | None = None
    """Id of the model's tool call, where the framework hands it to the tool."""
    span_scope: str | None = None
    """Instrumentation scope of the OpenTelemetry span that told of it; None where we saw it run."""
    after_call_id: str | None = None
    """The LLM call made last in the context it ran in."""
    compensation: str | None = None
    """Name of the function that the code declares to undo it."""
