"""The tool execution that a span tells of.

In: the record of a tool's span and what its attributes say. Out: a :class:`.records.ToolRun`. A module of its own
because spans of this process and spans in files must give the same one, and what reads the former needs
OpenTelemetry's SDK.
"""

from __future__ import annotations

from .digests import digest
from .records import GenAiSpan, ToolRun
from .wire.otel import SpanFacts


def tool_run_of(span: GenAiSpan, facts: SpanFacts, after_call_id: str | None) -> ToolRun:
    """The execution; its id is the span's, so that the two stay together.

    Args:
        span: The tool's span.
        facts: What its attributes say.
        after_call_id: The LLM call made last before it, where that is known.
    """
    is_ok = span.status == "ok"
    return ToolRun(
        tool_run_id=span.trace_id + span.span_id,
        run_id=span.run_id,
        process_id=span.process_id,
        name=span.tool_name or span.name,
        ts_ns=span.ts_ns,
        duration_ns=span.duration_ns,
        status="unknown" if is_ok and facts.is_mcp else span.status,
        args_digest=digest(facts.tool_arguments) if facts.tool_arguments is not None else None,
        result_digest=digest(facts.tool_result) if facts.tool_result is not None and is_ok else None,
        result_chars=len(facts.tool_result or "") if is_ok else 0,
        error_type=span.error_type,
        error_message=span.error_message,
        provider_id=span.tool_call_id,
        span_scope=span.scope,
        after_call_id=after_call_id,
    )
