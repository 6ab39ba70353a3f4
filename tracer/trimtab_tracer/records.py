"""The frozen records that an agent process spools and the collector ingests.

In: facts measured by the hooks (:mod:`.instrument`), the door (:mod:`trimtab`) and the importers.
Out: one JSON object per record, ``{"kind": "<class name in snake case>", **fields}``.

This module is the contract between the agent and everything behind it, so it imports nothing of
ours. A published shape never changes: new facts get new fields with defaults, and a reader that
meets a ``SCHEMA_VERSION`` above its own stops (see :mod:`.collect`).

Units: ``*_ns`` are nanoseconds (``ts_ns`` and ``*_ns`` points in time since the Unix epoch, UTC),
``*_s`` seconds, ``*_bytes`` bytes. Ids are opaque strings, unique without a registry. A ``*_digest``
is the first 16 hex digits of an unsalted SHA-256: it tells equal from different, and a short text behind it can be
guessed.
"""

from __future__ import annotations

import re
from dataclasses import field, fields
from typing import Any, ClassVar

from .shapes import value_class

SCHEMA_VERSION = 1
"""Version of the shapes below; stored in the :class:`Process` record that opens every segment."""


@value_class
class Process:
    """One life of one agent process. The first record of every segment it writes."""

    process_id: str
    """Random; a reused operating-system pid gets another one."""
    pid: int
    ts_ns: int
    """When tracing started in this process."""
    service: str
    """Name of the agent, from the settings; the script's name by default."""
    script: str
    cwd: str
    python: str
    trimtab: str
    """Our own version."""
    content_mode: str
    """``off | redacted | full``: what this process was told to keep."""
    boot_id: str = ""
    """Identity of the machine's boot; with ``pid`` it tells a dead writer from a living one."""
    is_child: bool = False
    """Forked or spawned by another Python process (a pool's worker): others end it as they see fit."""
    schema_version: int = SCHEMA_VERSION


@value_class
class Harness:
    """Version of the code around the model: what the user named, else the git commit and a dirty mark."""

    process_id: str
    version: str


@value_class
class RunStart:
    """A run began: one execution of an agent on one task."""

    run_id: str
    process_id: str
    ts_ns: int
    name: str
    origin: str
    """``explicit`` (``with trimtab.run()``), ``process`` (none was declared: the process is the run) or ``import``. The
    store also knows ``rebuilt``: one of several that a process's run was found to hold (:mod:`.rebuild`)."""
    parent_run_id: str | None = None
    task: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    harness: str | None = None
    service: str | None = None
    """Overrides the process's service (importers)."""
    annotations: dict[str, Any] = field(default_factory=dict)
    """Labels that came with an imported run, for people and benchmarks, never for rules; left out where empty."""


@value_class
class RunEnd:
    """A run ended."""

    run_id: str
    ts_ns: int
    status: str
    """``ok | error``: whether an exception left the run. Says nothing about the answer being right."""
    rule: str
    """What told us that it ended: ``block exit | process exit | import``."""
    error_type: str | None = None
    error_message: str | None = None
    site_id: str | None = None
    """The user's line that the exception left through."""


@value_class
class Site:
    """A place in the user's code that made a choice. Written once per process before its first use, and once more when
    the first request from there shows the packages between."""

    site_id: str
    """Digest of file, function and the statement's text: survives edits elsewhere in the file."""
    file: str
    """Relative to the working directory where it lies below it, else absolute."""
    function: str
    """Qualified name, ``<module>`` at the top level."""
    line: int
    end_line: int
    source: str
    """The statement's lines, dedented and redacted; empty where the source can't be read."""
    owner: str = "user"
    """``user`` or ``library``: the latter where no frame of the user's own code was found."""
    via: tuple[str, ...] = ()
    """Installed packages between this line and the request, the outermost first, as its first request passed through
    them: a loop around the SDK is in one of them, or in the user's own code. Empty where no request was seen."""


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


@value_class
class Decision:
    """One value of one knob in force at one site, for one call or one run."""

    decision_id: str
    run_id: str
    knob: str
    value: Any
    """JSON value; None means that the code set nothing and the provider's or library's default holds."""
    source: str
    """``code | default | human | experiment``."""
    site_id: str
    ts_ns: int
    call_id: str | None = None
    propensity: float = 1.0
    """Probability with which this value was drawn, in (0, 1]."""
    site_role: str = "call"
    """``call | constructor | knob``: which line ``site_id`` names."""
    policy_version: int | None = None
    choices: tuple[Any, ...] = ()
    """JSON values that the code says a declared knob may take; left out of the segment where it names none."""
    rule_id: str | None = None
    """The policy's rule that was obeyed."""
    seen: dict[str, Any] | None = None
    """As in :class:`Choice`."""
    verdict: str | None = None
    """As in :class:`Choice`."""


@value_class
class Choice:
    """One decision of :class:`CallDecisions`: what it says beyond the call it holds for."""

    knob: str
    value: Any
    source: str
    site_id: str | None = None
    """None for the line of the call."""
    site_role: str = "call"
    propensity: float = 1.0
    policy_version: int | None = None
    rule_id: str | None = None
    """The policy's rule that was obeyed; None where the code decided."""
    seen: dict[str, Any] | None = None
    """The run as it was when the call began, where the obeyed rule, or one that gave way to it, has a ``when``:
    ``calls`` and ``tokens`` so far, ``previous_failed``. With it anyone can check which rule had to be obeyed."""
    verdict: str | None = None
    """Of ``escalate``, what was said of the first model's answer: ``passed``, ``failed: CHECK``, or why nothing was."""


@value_class
class CallDecisions:
    """All decisions in force on one call, in one record: a call makes ten of them."""

    call_id: str
    run_id: str
    site_id: str
    """The line of the call."""
    ts_ns: int
    choices: tuple[Choice, ...]

    def decisions(self) -> tuple[Decision, ...]:
        """One :class:`Decision` for each choice; ids are ``<call_id>:<knob>``."""
        return tuple(
            Decision(
                decision_id=f"{self.call_id}:{choice.knob}",
                run_id=self.run_id,
                knob=choice.knob,
                value=choice.value,
                source=choice.source,
                site_id=choice.site_id or self.site_id,
                ts_ns=self.ts_ns,
                call_id=self.call_id,
                propensity=choice.propensity,
                site_role=choice.site_role,
                policy_version=choice.policy_version,
                rule_id=choice.rule_id,
                seen=choice.seen,
                verdict=choice.verdict,
            )
            for choice in self.choices
        )


@value_class
class Outcome:
    """What came of a run."""

    outcome_id: str
    run_id: str
    ts_ns: int
    success: bool | None
    score: float | None = None
    source: str = "explicit"
    """``explicit | evaluator | inferred``; inferred never overwrites explicit."""
    comment: str | None = None
    after_call_id: str | None = None
    """Where no run was named or declared: the LLM call made last by the code that says it."""
    evaluator: str | None = None
    """Name of the evaluator that says it."""
    evaluator_version: str | None = None


@value_class
class SagaStep:
    """What became of one side effect of a failed run. Written when it is known."""

    saga_id: str
    number: int
    """From 1, in the order of undoing: the effect that was completed last comes first."""
    run_id: str
    tool: str
    status: str
    """``compensated``; ``failed``: the compensation raised; ``undeclared``: the tool has none; ``unknown``: the tool
    was cancelled or still ran; ``not_done``: the tool raised, so there is nothing to undo; ``not_run``: an interrupt
    came."""
    ts_ns: int
    duration_ns: int
    """Of the compensation; 0 where it was not called."""
    tool_run_id: str | None = None
    """The execution that is undone (:class:`ToolRun`)."""
    compensation: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    site_id: str | None = None
    """The compensation's definition."""


@value_class
class Saga:
    """The compensations of one failed run, after they ran."""

    saga_id: str
    run_id: str
    process_id: str
    ts_ns: int
    duration_ns: int
    cause: str
    """Why the run counts as failed: ``exception | outcome``."""
    outcome: str
    """``compensated | partly | failed | nothing to do``, over all steps but those that are ``not_done``."""
    steps: int
    """How many :class:`SagaStep` belong to it."""


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


Record = (
    Process
    | Harness
    | RunStart
    | RunEnd
    | Site
    | Attempt
    | Exchange
    | ToolRun
    | Decision
    | CallDecisions
    | Outcome
    | SagaStep
    | Saga
    | Content
    | HttpSpan
    | GenAiSpan
    | Loss
)


def kind_of(record_type: type) -> str:
    """Name of a record type on the wire: ``RunStart`` → ``run_start``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", record_type.__name__).lower()


class _Shapes:
    """Which class each kind decodes to, and which of its fields hold nested records."""

    kinds: ClassVar[dict[type, str]] = {t: kind_of(t) for t in Record.__args__}
    by_kind: ClassVar[dict[str, type]] = {kind_of(t): t for t in Record.__args__}
    nested: ClassVar[dict[type, dict[str, type]]] = {
        Exchange: {"tool_requests": ToolRequest, "tool_results": ToolResult},
        CallDecisions: {"choices": Choice},
    }
    names: ClassVar[dict[type, tuple[str, ...]]] = {
        t: tuple(f.name for f in fields(t)) for t in (*Record.__args__, ToolRequest, ToolResult, Choice)
    }


def to_dict(record: Record) -> dict[str, Any]:
    """The record as a JSON-able mapping, with its ``kind``. Shallow except for the nested tool records."""
    out: dict[str, Any] = {"kind": _Shapes.kinds[type(record)]}
    nested = _Shapes.nested.get(type(record), {})
    for name in _Shapes.names[type(record)]:
        value = getattr(record, name)
        if name in nested:
            value = [_said({n: getattr(v, n) for n in _Shapes.names[type(v)]}, type(v)) for v in value]
        out[name] = value
    return _said(out, type(record))


def _said(written: dict[str, Any], shape: type) -> dict[str, Any]:
    """It without later fields that say nothing, so that a sidecar of an earlier version reads what has none."""
    for name in _LATER.get(shape, ()):
        if written[name] is None or written[name] in ((), {}):
            del written[name]
    return written


_LATER: dict[type, tuple[str, ...]] = {
    Attempt: ("agent", "step"),
    RunStart: ("annotations",),
    Decision: ("choices", "rule_id", "seen", "verdict"),
    Choice: ("rule_id", "seen", "verdict"),
    Site: ("via",),
    ToolRun: ("compensation",),
    Outcome: ("evaluator", "evaluator_version"),
}
"""Fields that came later than their kind, left out where they say nothing."""


def from_dict(data: dict[str, Any]) -> Record:
    """The record that :func:`to_dict` gave ``data``.

    Raises:
        ValueError: the kind or a field is not one of this version's, or a required field is missing.
    """
    values = dict(data)
    kind = values.pop("kind", None)
    shape = _Shapes.by_kind.get(str(kind))
    if shape is None:
        raise ValueError(f"unknown record kind {kind!r}; this version knows {', '.join(sorted(_Shapes.by_kind))}")
    nested = _Shapes.nested.get(shape, {})
    for name in ("choices", "tool_requests", "tool_results", "tools_offered", "via", "links_in", "links_out"):
        if name in values:
            inner = nested.get(name)
            values[name] = tuple(inner(**v) if inner is not None else v for v in values[name])
    try:
        record: Record = shape(**values)
    except TypeError as error:
        raise ValueError(f"record of kind {kind!r} does not fit its shape: {error}") from error
    return record
