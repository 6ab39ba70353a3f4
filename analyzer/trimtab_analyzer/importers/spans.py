"""Spans in files, whichever tool exported them, in one shape.

In: the JSON values of a file. Out: :class:`Trace` objects, each with its :class:`Span` objects and whatever labels
stand beside them. A module of its own because there are many ways to write a span down and one way to read it: what a
span's attributes mean is in :mod:`trimtab_tracer.wire.otel`, what becomes of it in :mod:`.span_records`.

Shapes that are known, by what they hold: OTLP JSON (``resourceSpans``); single spans (``name`` and ids at the top,
under ``context`` or under ``spanContext``), in a list, one per line, or in lists by name; flat rows
(``context.span_id``, ``attributes.…``); trees (``spans``, each with ``child_spans``); Langfuse traces
(``observations``); and labels alone. A part of the wrong type reads as absent; a span without ids is refused by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.wire.otel_names import GenAi, OpenInference
from trimtab_tracer.wire.values import obj, objs, text

from .source import Document
from .span_values import attributes_of, duration_ns, flat, hex_id, moment_ns, opened, written

NAME: Final = "OpenTelemetry spans"

LABELS: Final = ("annotations", "labels", "scores", "errors", "evaluations", "feedback")
"""Keys beside a trace's spans, or in a span, that hold what people or graders said of it."""

_ID_KEYS: Final = (
    ("traceId", "trace_id", "trace.id"),
    ("spanId", "span_id", "id"),
    ("parentSpanId", "parent_id", "parent_span_id"),
)
_NAMES: Final = ("name", "span_name")
_STARTS: Final = ("startTimeUnixNano", "start_time", "startTime", "timestamp", "start_time_unix_nano")
_ENDS: Final = ("endTimeUnixNano", "end_time", "endTime", "end_time_unix_nano")
_KINDS: Final = ("llm", "embedding", "tool", "agent", "chain", "retriever", "reranker", "guardrail", "evaluator")
_LANGFUSE_KINDS: Final = {"GENERATION": "llm", "EMBEDDING": "embedding", "TOOL": "tool", "AGENT": "agent"}


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Attributes are flat, their names joined with dots."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    started_ns: int | None
    ended_ns: int | None
    attributes: dict[str, Any]
    is_error: bool = False
    message: str | None = None
    """Of its status."""
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    is_server: bool = False
    scope: str = ""
    service: str | None = None
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of one trace in a file, in the order of the file."""

    trace_id: str
    spans: tuple[Span, ...]
    labels: dict[str, Any]
    name: str | None = None


def matches(value: Any) -> bool:
    """Whether a JSON value holds spans: a whole file, one line of it, or one item of a list."""
    if isinstance(value, list):
        return bool(value) and all(matches(item) for item in value)
    if not isinstance(value, dict) or not value:
        return False
    if _wrapped(value) is not None:
        return True
    if any(isinstance(value.get(key), list) for key in ("resourceSpans", "resource_spans")):
        return True
    if _is_tree(value) or _is_langfuse(value) or _is_span(value) or _is_labels(value):
        return True
    return all(
        isinstance(v, list) and v and all(_is_span(s) for s in objs(v)) and len(objs(v)) == len(v)
        for v in value.values()
    )


def traces(documents: Sequence[Document]) -> list[Trace]:
    """The traces that these values of one file hold, in the order in which they begin in it.

    Raises:
        ImportFormatError: a span has no ids.
    """
    found: dict[str, list[Trace]] = defaultdict(list)
    for document in documents:
        for trace in _of(document, document.value):
            found[trace.trace_id].append(trace)
    return [merged(parts) for parts in found.values()]


def merged(parts: Sequence[Trace]) -> Trace:
    """One trace of its parts; of a span that comes twice the later one counts."""
    spans = {span.span_id: span for part in parts for span in part.spans}
    labels = {key: said for part in parts for key, said in part.labels.items()}
    of_spans = {span.span_id: span.labels for span in spans.values() if span.labels}
    name = next((part.name for part in parts if part.name), None)
    return Trace(parts[0].trace_id, tuple(spans.values()), labels | ({"spans": of_spans} if of_spans else {}), name)


def _of(document: Document, value: Any) -> Iterator[Trace]:
    if isinstance(value, list):
        for item in value:
            yield from _of(document, item)
        return
    value = obj(value)
    if (inner := _wrapped(value)) is not None:
        labels = {key: opened(value[key]) for key in LABELS if value.get(key) not in (None, "", [], {})}
        for found in _of(document, inner):
            yield Trace(found.trace_id, found.spans, found.labels | labels, found.name)
    elif any(key in value for key in ("resourceSpans", "resource_spans")):
        yield from _otlp(document, value)
    elif _is_tree(value):
        trace_id = text(value.get("trace_id")) or text(value.get("traceId"))
        flat = [span for root in objs(value["spans"]) for span in _tree(document, root, trace_id, None)]
        yield from _by_trace(flat, _labels(value), text(value.get("name")))
    elif _is_langfuse(value):
        yield _langfuse(value)
    elif _is_span(value):
        yield from _by_trace([_span(document, value)])
    elif _is_labels(value):
        trace_id = text(value.get("trace_id")) or text(value.get("traceId")) or document.path.name.split(".")[0]
        yield Trace(hex_id(trace_id), (), _labels(value))
    else:
        for group in value.values():
            yield from _of(document, group)


def _by_trace(spans: Sequence[Span], labels: dict[str, Any] | None = None, name: str | None = None) -> Iterator[Trace]:
    groups: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        groups[span.trace_id].append(span)
    for trace_id, own in groups.items():
        yield Trace(trace_id, tuple(own), labels or {}, name)


def _wrapped(value: dict[str, Any]) -> Any:
    """The trace inside a row that keeps it beside its labels, perhaps as text; None where this is no such row."""
    if "trace" not in value or not any(key in value for key in LABELS):
        return None
    inner = opened(value["trace"])
    return inner if isinstance(inner, dict | list) and matches(inner) else None


def _is_tree(value: dict[str, Any]) -> bool:
    spans = value.get("spans")
    return isinstance(spans, list) and bool(spans) and all(isinstance(s, dict) and _has_id(s) for s in spans)


def _is_labels(value: dict[str, Any]) -> bool:
    """Whether these are only labels: of the trace that they name, else of the one that the file is named after."""
    return bool(_labels(value)) and value.keys() <= {*LABELS, "trace_id", "traceId"}


def _is_langfuse(value: dict[str, Any]) -> bool:
    seen = objs(value.get("observations"))
    return bool(seen) and all(text(o.get("id")) and text(o.get("type")) for o in seen)


def _is_span(value: Any) -> bool:
    return isinstance(value, dict) and any(text(value.get(key)) is not None for key in _NAMES) and _has_id(value)


def _has_id(value: dict[str, Any]) -> bool:
    inner = obj(value.get("context")) or obj(value.get("spanContext")) or value
    return any(text(inner.get(key)) or text(value.get(f"context.{key}")) for key in ("spanId", "span_id"))


def _otlp(document: Document, value: dict[str, Any]) -> Iterator[Trace]:
    found = []
    for resource in objs(value.get("resourceSpans") or value.get("resource_spans")):
        service = text(attributes_of(obj(resource.get("resource")).get("attributes")).get("service.name"))
        for scope in objs(resource.get("scopeSpans") or resource.get("scope_spans")):
            name = text(obj(scope.get("scope")).get("name")) or ""
            found += [_span(document, span, scope=name, service=service) for span in objs(scope.get("spans"))]
    yield from _by_trace(found, _labels(value))


def _tree(document: Document, value: dict[str, Any], trace_id: str | None, parent_id: str | None) -> Iterator[Span]:
    span = _span(document, value, trace_id=trace_id, parent_id=parent_id)
    yield span
    for child in objs(value.get("child_spans") or value.get("children")):
        yield from _tree(document, child, span.trace_id, span.span_id)


def _span(
    document: Document,
    value: dict[str, Any],
    *,
    trace_id: str | None = None,
    parent_id: str | None = None,
    scope: str = "",
    service: str | None = None,
) -> Span:
    """A span written as one object."""
    context = obj(value.get("context")) or obj(value.get("spanContext")) or value
    ids = []
    for keys in _ID_KEYS:
        given = (context.get(k) or value.get(k) or value.get(f"context.{k}") for k in keys)
        ids.append(next((hex_id(i) for i in given if isinstance(i, str) and i), None))
    trace_id, span_id, parent_id = ids[0] or trace_id, ids[1], ids[2] or parent_id
    if trace_id is None or span_id is None:
        raise ImportFormatError(
            f"{document.where}: a span with the keys {sorted(map(str, value))[:8]} names no"
            f" {'span' if span_id is None else 'trace'}; expected its ids at the top, under 'context' or 'spanContext'."
        )
    attributes = attributes_of(value.get("attributes", value.get("span_attributes")))
    attributes |= {
        k[len("attributes.") :]: v for k, v in value.items() if k.startswith("attributes.") and v is not None
    }
    if (kind := text(value.get("span_kind"))) is not None and kind.lower() in _KINDS:
        attributes.setdefault(OpenInference.KIND, kind)  # Phoenix's own column; others keep OpenTelemetry's kinds there
    started = next((t for k in _STARTS if (t := moment_ns(value.get(k))) is not None), None)
    ended = next((t for k in _ENDS if (t := moment_ns(value.get(k))) is not None), None)
    if ended is None and started is not None and (lasted := duration_ns(value.get("duration"))) is not None:
        ended = started + lasted
    status = value.get("status", value.get("status_code"))
    code = status.get("code", status.get("status_code")) if isinstance(status, dict) else status
    message = obj(status).get("message") or obj(status).get("description") or value.get("status_message")
    resource = attributes_of(value.get("resource_attributes")) | attributes_of(
        obj(value.get("resource")).get("attributes")
    )
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent_id,
        name=next((n for key in _NAMES if (n := text(value.get(key)))), ""),
        started_ns=started,
        ended_ns=ended,
        attributes=attributes,
        is_error=code == 2 or str(code).upper().rpartition("_")[2].rpartition(".")[2] == "ERROR",
        message=text(message),
        events=tuple((str(e.get("name", "")), attributes_of(e.get("attributes"))) for e in objs(value.get("events"))),
        is_server=str(value.get("kind", value.get("span_kind"))).upper().rpartition("_")[2] in ("SERVER", "2"),
        scope=scope or text(value.get("scope_name")) or text(obj(value.get("instrumentationScope")).get("name")) or "",
        service=service or text(value.get("service_name")) or text(resource.get("service.name")),
        labels=_labels(value),
    )


def _langfuse(value: dict[str, Any]) -> Trace:
    """A trace with its observations, as Langfuse's API and export write it."""
    observations = objs(value["observations"])
    trace_id = text(value.get("id")) or text(observations[0].get("traceId")) or digest(canonical(value))
    spans = []
    for seen in observations:
        parent = text(seen.get("parentObservationId"))
        usage = obj(seen.get("usageDetails")) or obj(seen.get("usage"))
        attributes = {k: v for k, v in flat(obj(seen.get("metadata"))).items() if "." in k}
        given: dict[str, Any] = {
            OpenInference.KIND: _LANGFUSE_KINDS.get(str(seen["type"]).upper(), "chain"),
            GenAi.REQUEST_MODEL: seen.get("model"),
            GenAi.INPUT_TOKENS: usage.get("input", seen.get("promptTokens")),
            GenAi.OUTPUT_TOKENS: usage.get("output", seen.get("completionTokens")),
            OpenInference.TOOL_NAME: seen.get("name"),
            OpenInference.AGENT_NAME: seen.get("name"),
            OpenInference.INPUT_VALUE: written(seen.get("input")),
            OpenInference.OUTPUT_VALUE: written(seen.get("output")),
        }
        attributes |= {k: v for k, v in given.items() if v is not None}
        started = moment_ns(seen.get("startTime"))
        spans.append(
            Span(
                trace_id=hex_id(trace_id),
                span_id=hex_id(str(seen["id"])),
                parent_id=hex_id(parent) if parent else None,
                name=text(seen.get("name")) or "",
                started_ns=started,
                ended_ns=moment_ns(seen.get("endTime")) or started,
                attributes=attributes,
                is_error=str(seen.get("level")).upper() == "ERROR",
                message=text(seen.get("statusMessage")),
                scope="langfuse",
                labels=_labels(seen),
            )
        )
    return Trace(hex_id(trace_id), tuple(spans), _labels(value), text(value.get("name")))


def _labels(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: opened(value[key]) for key in LABELS if value.get(key) not in (None, "", [], {})}
