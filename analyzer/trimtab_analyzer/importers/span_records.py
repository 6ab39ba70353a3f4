"""From the spans of one trace to the records that a live agent would have written under ``trimtab.attach()``.

In: a :class:`.spans.Trace`. Out: an :class:`.to_records.ImportedRun`, with ids that depend on the trace alone. A
module of its own beside :mod:`.to_records` because spans bring what message logs lack (durations, parents, tools seen
running) and lack what those have (which call asked for which tool): they go the way of live spans, and the store
joins those that tell of the same call (:mod:`trimtab_tracer.span_calls`).

A trace is a run. Its labels become the run's annotations; a trace whose outermost span failed ended in an error, and
nothing says whether an answer was right.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.records import Content, Decision, GenAiSpan, Record, RunEnd, RunStart, Site, ToolRun
from trimtab_tracer.tool_spans import tool_run_of
from trimtab_tracer.wire import otel
from trimtab_tracer.wire.otel import SpanFacts
from trimtab_tracer.wire.otel_names import General
from trimtab_tracer.wire.values import loads, obj

from .source import Document
from .span_words import request_of, response_of
from .spans import NAME, Span, Trace, merged, traces
from .texts import MAX_TEXT, Texts
from .to_records import IMPORT_DIGEST, IMPORT_VERSION, ImportedRun, process_of

STEP_NS: Final = 1_000_000
"""Between spans of a trace without times: only their order is known."""

_SHARED: Final = tuple({f.name for f in fields(GenAiSpan)} & {f.name for f in fields(SpanFacts)})
_PARAMETERS: Final = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.top_p": "top_p",
    "llm.invocation_parameters": "",
}
"""Attributes that hold what a request set; the last one is an object of several."""
_KNOBS: Final = ("temperature", "max_tokens", "top_p", "stop")


@dataclass(frozen=True, slots=True)
class Told:
    """A span about a call, a tool or an agent, with its times filled in."""

    span: Span
    facts: SpanFacts
    started_ns: int
    ended_ns: int

    @property
    def key(self) -> str:
        """As the store names the span, and the call that only this span tells of."""
        return self.span.trace_id + self.span.span_id


@dataclass(frozen=True, slots=True)
class Part:
    """What one file holds of a trace, and how it is to be read: enough to make the run anew with what others hold."""

    traces: tuple[Trace, ...]
    mtime_ns: int
    stem: str
    """Of the file's name: the service where nothing names one."""
    content: str
    service: str | None


def to_runs(documents: Sequence[Document], *, content: str, service: str | None = None) -> list[ImportedRun]:
    """All runs of one file of spans.

    Args:
        documents: The file's JSON values, all of them spans (:func:`.spans.matches`).
        content: ``off | redacted | full``, as for live capture.
        service: Name of the agent where a person gave one; by default what the spans say.

    Raises:
        ImportFormatError: a span has no ids, or no span is about a model, a tool or an agent.
    """
    found = traces(documents)
    path, mtime_ns = documents[0].path, documents[0].mtime_ns
    parts = [Part((trace,), mtime_ns, path.name.split(".")[0], content, service) for trace in found]
    runs = [run for part in parts if (run := _run(part) or _labels_of(part)) is not None]
    if not runs:
        names = sorted({span.name for trace in found for span in trace.spans})[:5]
        raise ImportFormatError(
            f"{path}: {sum(len(t.spans) for t in found)} spans, none of them about an LLM call, a tool or an"
            f" agent in a dialect that is read (named {', '.join(names)}, …); docs/opentelemetry.md lists the dialects."
        )
    return runs


def join(runs: Sequence[ImportedRun]) -> ImportedRun:
    """One run of the parts of a trace that several files hold; of a span told twice the later one counts."""
    parts: list[Part] = [run.part for run in runs]
    first = next((run.part for run in runs if run.records), parts[0])
    whole = _run(replace(first, traces=tuple(trace for part in parts for trace in part.traces)))
    return runs[-1] if whole is None else whole


def _run(part: Part) -> ImportedRun | None:
    """The run that these spans tell; None where none of them is about a model, a tool or an agent."""
    trace = merged(part.traces)
    told = _told(trace, part.mtime_ns)
    return _Run(trace, told, part).run() if told else None


def _labels_of(part: Part) -> ImportedRun | None:
    """What a file of labels says of a run whose spans are in another one: a part of it that has no records."""
    trace = merged(part.traces)
    if trace.spans:
        return None
    run_id = _run_id(trace)
    return ImportedRun(run_id, "", "", "", trace.trace_id, part.mtime_ns, (), 0, 0, None, None, part)


def _run_id(trace: Trace) -> str:
    return f"import-{digest(canonical([NAME, trace.trace_id]))}"


def _told(trace: Trace, fallback_ns: int) -> list[Told]:
    """The spans that say something, in order of time."""
    found = []
    for n, span in enumerate(trace.spans):
        facts = otel.read(span.name, span.attributes, span.is_server)
        if facts is None:
            continue
        started = span.started_ns if span.started_ns is not None else fallback_ns + n * STEP_NS
        ended = span.ended_ns if span.ended_ns is not None else started  # before its start: kept, and named as such
        found.append(Told(span, facts, started, ended))
    return sorted(found, key=lambda told: told.started_ns)


class _Run:
    """The records of one trace."""

    def __init__(self, trace: Trace, told: list[Told], part: Part) -> None:
        self.trace, self.told, self.part, self.content = trace, told, part, part.content
        self.texts = Texts(part.content)
        services = (span.service for span in trace.spans if span.service)
        self.service = part.service or next(services, None) or part.stem
        self.run_id = _run_id(trace)
        self.process_id = f"import-{digest(canonical([NAME, 'process', trace.trace_id]))}"
        said = [asdict(span) for span in trace.spans]
        self.digest = digest(canonical([said, trace.labels, IMPORT_VERSION, part.content, part.service]))
        scopes = sorted({one.span.scope for one in told if one.span.scope})
        self.harness = ", ".join(scopes[:3]) or NAME
        self.site_id = digest("\0".join(("import", self.harness, self.service)))
        self.calls = sorted(self._innermost(), key=lambda call: call.ended_ns)
        self.call_keys = {call.key for call in self.calls}
        self.call_ends = [call.ended_ns for call in self.calls]

    def run(self) -> ImportedRun:
        started = min(one.started_ns for one in self.told)
        ended = max(max(one.started_ns, one.ended_ns) for one in self.told)
        roots = self._roots()
        name = self.trace.name or (roots[0].name if roots else "") or self.trace.trace_id
        body = [record for one in self.told for record in self._records(one)]
        decisions = self._decisions(started)
        records = (*self._start(started, name), *decisions, *body, self._end(ended, roots))
        return ImportedRun(
            run_id=self.run_id,
            digest=self.digest,
            process_id=self.process_id,
            service=self.service,
            name=name,
            started_ns=started,
            records=records,
            calls=len(self.calls),
            rejected=0,
            logged_calls=None,
            logged_cost_usd=None,
            part=self.part,
        )

    def _roots(self) -> list[Span]:
        known = {span.span_id for span in self.trace.spans}
        return [span for span in self.trace.spans if span.parent_id not in known]

    def _innermost(self) -> list[Told]:
        """The call spans with no other call span below them: those that the store makes calls of."""
        parents = {span.span_id: span.parent_id for span in self.trace.spans}
        around: set[str] = set()
        calls = [one for one in self.told if one.facts.subject == otel.CALL]
        for one in calls:
            at = parents.get(one.span.span_id)
            while at is not None and at not in around:
                around.add(at)
                at = parents.get(at)
        return [one for one in calls if one.span.span_id not in around]

    def _start(self, started: int, name: str) -> tuple[Record, ...]:
        process = process_of(self.process_id, started, self.service, self.harness, self.content)
        run = RunStart(
            run_id=self.run_id,
            process_id=self.process_id,
            ts_ns=started,
            name=self.texts.clean(name)[:MAX_TEXT],
            origin="import",
            attributes={
                "format": NAME,
                "trace_id": self.trace.trace_id,
                IMPORT_DIGEST: self.digest,
                "times": "logged" if any(one.span.started_ns is not None for one in self.told) else "file",
            },
            harness=self.harness,
            service=self.service,
            annotations=self.trace.labels,
        )
        site = Site(self.site_id, self.harness, self.service, 0, 0, "", owner="library")
        return process, run, site

    def _end(self, ended: int, roots: Sequence[Span]) -> RunEnd:
        failed = next((span for span in roots if span.is_error), None)
        kind, message = _error(failed, None) if failed else (None, None)
        return RunEnd(
            run_id=self.run_id,
            ts_ns=ended,
            status="error" if failed else "ok",
            rule="import",
            error_type=kind or ("error" if failed else None),
            error_message=self.texts.short(message),
        )

    def _records(self, one: Told) -> list[Record]:
        span = self._span(one)
        if one.facts.subject == otel.TOOL:
            return [span, self._tool(one, span)]
        if one.key not in self.call_keys or self.content == "off":
            return [span]
        bodies = (("request", request_of(one.span.attributes)), ("response", response_of(one.span.attributes)))
        records: list[Record] = [span]
        for role, body in bodies:
            if body is not None:
                said = self.texts.clean(json.dumps(body, ensure_ascii=False))
                records.append(Content(one.key, one.key, self.run_id, role, one.started_ns, said))
        return records

    def _span(self, one: Told) -> GenAiSpan:
        facts, span = one.facts, one.span
        kind, message = _error(span, facts)
        said = {name: getattr(facts, name) for name in _SHARED}
        if facts.subject == otel.AGENT and facts.agent_name is None:
            said["agent_name"] = span.name or None
        return GenAiSpan(
            trace_id=span.trace_id,
            span_id=span.span_id,
            run_id=self.run_id,
            process_id=self.process_id,
            name=self.texts.clean(span.name)[:MAX_TEXT],
            ts_ns=one.started_ns,
            duration_ns=one.ended_ns - one.started_ns,
            scope=span.scope,
            parent_span_id=span.parent_id,
            status="error" if span.is_error or kind else "ok",
            error_message=self.texts.short(message),
            site_id=self.site_id,
            **said | {"error_type": kind},
        )

    def _tool(self, one: Told, span: GenAiSpan) -> ToolRun:
        before = bisect_right(self.call_ends, one.started_ns)
        return tool_run_of(span, one.facts, self.calls[before - 1].key if before else None)

    def _decisions(self, started: int) -> list[Decision]:
        """What every call of the run was set to, where all agree."""
        seen: dict[str, set[str]] = {}
        for one in self.calls:
            for knob, value in _settings(one).items():
                seen.setdefault(knob, set()).add(canonical(value))
        return [
            Decision(
                f"{self.run_id}:{knob}",
                self.run_id,
                knob,
                json.loads(next(iter(values))),
                "code",
                self.site_id,
                started,
            )
            for knob, values in sorted(seen.items())
            if len(values) == 1
        ]


def _settings(one: Told) -> dict[str, Any]:
    found: dict[str, Any] = {"model": one.facts.model} if one.facts.model else {}
    for name, knob in _PARAMETERS.items():
        value = one.span.attributes.get(name)
        if knob and isinstance(value, int | float):
            found[knob] = value
        elif not knob and isinstance(value, str):
            found |= {k: v for k, v in obj(loads(value)).items() if k in _KNOBS and v is not None}
    return found


def _error(span: Span, facts: SpanFacts | None) -> tuple[str | None, str | None]:
    """Type and message of what went wrong, None where nothing did."""
    exceptions = [attributes for name, attributes in span.events if name == General.EXCEPTION_EVENT]
    raised = exceptions[-1] if exceptions else {}
    kind = (facts.error_type if facts else None) or (raised.get(General.EXCEPTION_TYPE) if span.is_error else None)
    if not span.is_error and kind is None:
        return None, None
    message = raised.get(General.EXCEPTION_MESSAGE) or span.message
    return str(kind) if kind else "error", str(message) if message else None
