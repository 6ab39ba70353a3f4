"""The span processor that turns other tracers' spans into records. Imports the OpenTelemetry SDK.

In: every span of a provider that the user attached, when it starts and when it ended. Out: for spans about LLM calls,
tools and agents (:mod:`..wire.otel`) a :class:`~..records.GenAiSpan`, and for tools a :class:`~..records.ToolRun`.
Spans are read, never written: what must be known from their start (the run, the user's line) is noted beside them.

Runs on the agent's path, so it is guarded, and looks no further at spans that are about something else.
"""

from __future__ import annotations

import sys
import time
from dataclasses import fields
from types import FrameType
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from ..context import call_before, scope
from ..executions import Execution, is_name_of
from ..guard import guarded
from ..records import GenAiSpan
from ..redact import redact
from ..tool_spans import tool_run_of
from ..tracer import Tracer
from ..wire import otel
from ..wire.otel import SpanFacts
from ..wire.otel_names import General

MAX_OPEN = 10_000
"""Spans whose start is noted; of more the oldest notes go, and those spans are placed where they end."""

NAME_CHARS = 200
MESSAGE_CHARS = 500


_SHARED = sorted({f.name for f in fields(SpanFacts)} & {f.name for f in fields(GenAiSpan)} - {"error_type"})
"""What a record takes from the facts as it is."""


class _Start(NamedTuple):
    """Where a span began."""

    run_id: str
    site_id: str
    after_call_id: str | None
    """The LLM call made last in the context it began in."""
    inside: Execution | None
    """The tool execution that we saw begin around it."""


class SpanReader(SpanProcessor):
    """Reads one provider's spans until it is closed."""

    def __init__(self, active: Any) -> None:
        self._active = active
        self._starts: dict[tuple[int, int], _Start] = {}

    def close(self) -> None:
        """Do nothing from here on: not every provider lets go of its processors."""
        self._active = _inactive
        self._starts.clear()

    @guarded()
    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Note the run and the line: when the span ends it may be too late to tell."""
        tracer = self._active()
        if tracer is None or span.context is None:
            return
        scope = span.instrumentation_scope
        if not otel.may_be_about_models(scope.name if scope is not None else "", span.attributes or {}):
            return
        if len(self._starts) >= MAX_OPEN:
            self._starts.pop(next(iter(self._starts)), None)
        self._starts[span.context.trace_id, span.context.span_id] = _here(tracer, sys._getframe(1))

    @guarded()
    def on_end(self, span: ReadableSpan) -> None:
        """Spool what the span says, if it is about a model, a tool or an agent."""
        tracer = self._active()
        if tracer is None or span.context is None:
            return
        noted = self._starts.pop((span.context.trace_id, span.context.span_id), None)
        attributes = dict(span.attributes or {})  # theirs takes a lock at each look
        facts = otel.read(span.name, attributes, span.kind is SpanKind.SERVER)
        if facts is None:
            return
        start = noted or _here(tracer, sys._getframe(1))
        record = _record(tracer, span, span.context, facts, start)
        tracer.write(record)
        if facts.subject == otel.TOOL and not _is_seen(start, record.tool_name or record.name):
            tracer.write(tool_run_of(record, facts, start.after_call_id))


def add_to(provider: Any, processor: SpanProcessor) -> None:
    """Add ``processor`` to a provider.

    The SDK's own method is used also where a subclass has another: Phoenix's replaces the processors that were there.
    """
    if isinstance(provider, TracerProvider):
        TracerProvider.add_span_processor(provider, processor)
    else:
        provider.add_span_processor(processor)


def _inactive() -> None:
    """No tracer."""


def _record(tracer: Tracer, span: ReadableSpan, context: SpanContext, facts: SpanFacts, start: _Start) -> GenAiSpan:
    ended_ns = span.end_time or time.time_ns()
    started_ns = span.start_time or ended_ns
    error_type, message = _error(span, facts)
    if facts.subject != otel.CALL and tracer.settings.content == "off":
        message = None  # the text of a tool's error may be the tool's content
    is_error = span.status.status_code is StatusCode.ERROR or error_type is not None
    said = {name: getattr(facts, name) for name in _SHARED}
    kept: dict[str, Any] = {name: _name(value) if isinstance(value, str) else value for name, value in said.items()}
    return GenAiSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        run_id=start.run_id,
        process_id=tracer.process.process_id,
        name=_name(span.name) or "",
        ts_ns=started_ns,
        duration_ns=max(0, ended_ns - started_ns),
        scope=_name(span.instrumentation_scope.name) or "" if span.instrumentation_scope is not None else "",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent is not None else None,
        status="error" if is_error else "ok",
        error_type=_name(error_type),
        error_message=redact(message[:2000])[:MESSAGE_CHARS] if message else None,
        site_id=start.site_id,
        **kept,
    )


def _error(span: ReadableSpan, facts: SpanFacts) -> tuple[str | None, str | None]:
    """Type and message of what went wrong, None where nothing did."""
    events = [e for e in span.events if e.name == General.EXCEPTION_EVENT]
    said: dict[str, Any] = dict(events[-1].attributes or {}) if events else {}
    is_error = span.status.status_code is StatusCode.ERROR
    error_type = facts.error_type or (said.get(General.EXCEPTION_TYPE) if is_error else None)
    if not is_error and error_type is None:
        return None, None
    message = said.get(General.EXCEPTION_MESSAGE) or span.status.description
    return str(error_type) if error_type else None, str(message) if message else None


def _here(tracer: Tracer, frame: FrameType) -> _Start:
    return _Start(tracer.run_id(), tracer.sites.here(frame).site_id, call_before(), scope.get().tool)


def _is_seen(start: _Start, name: str) -> bool:
    """Whether an execution that we saw is this one under a longer name, which no join of names would find."""
    told = start.inside.told if start.inside is not None else None
    return told is not None and told.name != name and is_name_of(told.name, name)


def _name(said: str | None) -> str | None:
    """A name that a library or a model wrote: without secrets, cut to 200 characters."""
    return redact(said[:2000])[:NAME_CHARS] if said else said
