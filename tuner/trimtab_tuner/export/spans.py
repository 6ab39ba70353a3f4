"""Runs, calls, attempts and tool calls as OpenTelemetry spans.

In: rows of the store (:mod:`.source`). Out: finished :class:`~opentelemetry.sdk.trace.ReadableSpan` objects in the
newest GenAI conventions (:mod:`.genai_attributes`): a run is ``invoke_agent``, a call ``chat MODEL`` below it with one
HTTP span per attempt, a tool call ``execute_tool``, an outcome a ``gen_ai.evaluation.result`` event. A rebuilt run is a
trace of its own that links to its process's run. Ids derive from ours and from nothing else, so exporting twice gives
the same spans. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from trimtab_tracer import __version__

from . import genai_attributes as name
from . import messages
from .source import Portion, Row, Source

SCOPE = InstrumentationScope("trimtab", __version__)
MAX_DEPTH = 64
"""Runs within runs that are followed to find the outermost one."""
_HEX = re.compile(r"[0-9a-f]{32}")


def spans_of(portion: Portion, source: Source) -> Iterator[ReadableSpan]:
    """Every span of a portion's runs: each run's own first, then what belongs to it."""
    for run in portion.runs:
        yield from _RunSpans(run, portion, source).all()


def trace_id(run_id: str, parents: dict[str, str | None]) -> int:
    """The trace of a run: that of the outermost run it belongs to, whose id it is where that can be one."""
    for _ in range(MAX_DEPTH):
        parent = parents.get(run_id)
        if parent is None or parent not in parents:
            break
        run_id = parent
    text = run_id if _HEX.fullmatch(run_id) and int(run_id, 16) else _digest(f"trace {run_id}")
    return int(text[:32], 16)


def span_id(kind: str, own: str) -> int:
    """The id of the span of the ``kind`` of thing called ``own``."""
    return int(_digest(f"{kind} {own}")[:16], 16) or 1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _RunSpans:
    """The spans of one run."""

    def __init__(self, run: Row, portion: Portion, source: Source) -> None:
        self._run = run
        self._source = source
        self._of = {part: portion.of(part, run["run_id"]) for part in portion.parts}
        self._trace = trace_id(run["run_id"], source.parents)
        self._resource = _resource(run, source.processes.get(run["process_id"], {}))
        self._own = span_id("run", run["run_id"])

    def all(self) -> Iterator[ReadableSpan]:
        """All of them."""
        yield self._run_span()
        asked: dict[str, list[Row]] = {}
        for tool in self._of["tool_calls"]:
            if tool["started_ns"] is None or tool["ended_ns"] is None:
                asked.setdefault(tool["call_id"] or "", []).append(tool)
            else:
                yield self._tool(tool)
        for call in self._of["calls"]:
            yield self._call(call, asked.get(call["call_id"], []))
        for attempt in self._of["attempts"]:
            if attempt["api"] != "otel":  # that is a span of others standing in: no request was seen
                yield self._attempt(attempt)
        for span in self._of["spans"]:
            yield self._http(span)

    def _run_span(self) -> ReadableSpan:
        run = self._run
        attributes = {
            name.OPERATION_NAME: name.INVOKE_AGENT,
            name.AGENT_NAME: run["name"],
            name.AGENT_VERSION: run["harness"],
            name.CONVERSATION_ID: run["conversation_id"],
            name.ERROR_TYPE: (run["error_type"] or "error") if run["status"] == "error" else None,
            **_own("run", run, "run_id", "task", "origin", "end_rule"),
            **{f"{name.OWN}run.attributes.{key}": value for key, value in (run["attributes"] or {}).items()},
            **self._decisions(None),
        }
        attributes |= self._code(run["error_site_id"]) if run["error_site_id"] else {}
        parents = self._source.parents
        parent = parents[run["run_id"]]
        return self._span(
            f"{name.INVOKE_AGENT} {run['name']}",
            self._own,
            (run["started_ns"], run["ended_ns"]),
            attributes,
            parent=span_id("run", parent) if parent in parents else None,
            error=run["error_message"] or "" if run["status"] == "error" else None,
            events=[_outcome(row) for row in self._of["outcomes"]],
            links=[_link(run["parent_run_id"], parents)] if run["origin"] == "rebuilt" else None,
        )

    def _call(self, call: Row, asked: list[Row]) -> ReadableSpan:
        operation = name.OPERATIONS.get(call["api"], name.CHAT)
        params = call["params"] or {}
        attributes = {
            name.OPERATION_NAME: operation,
            name.PROVIDER_NAME: name.PROVIDERS.get(call["provider"], call["provider"]),
            name.CONVERSATION_ID: call["conversation_id"],
            name.REQUEST_MODEL: call["model"],
            name.REQUEST_STREAM: call["stream"] or None,
            name.RESPONSE_ID: call["response_id"],
            name.RESPONSE_MODEL: call["response_model"],
            name.RESPONSE_FINISH_REASONS: [call["finish_reason"]] if call["finish_reason"] else None,
            name.RESPONSE_TIME_TO_FIRST_CHUNK: call["ttft_ns"] / 1e9 if call["ttft_ns"] is not None else None,
            name.USAGE_INPUT_TOKENS: call["input_tokens"],
            name.USAGE_OUTPUT_TOKENS: call["output_tokens"],
            name.USAGE_CACHE_READ_INPUT_TOKENS: call["cache_read_tokens"],
            name.USAGE_CACHE_WRITE_INPUT_TOKENS: call["cache_write_tokens"],
            name.USAGE_REASONING_OUTPUT_TOKENS: call["reasoning_tokens"],
            name.ERROR_TYPE: (call["error_class"] or call["status"]) if call["status"] != "ok" else None,
            name.HTTP_RESPONSE_STATUS_CODE: call["http_status"],
            **_server(call["host"]),
            **_parameters(params),
            **self._code(call["site_id"]),
            **_own("call", call, "call_id", "api", "attempts", "usage_source", "cost_source", "rejected_by_call_id"),
            f"{name.OWN}call.cost_usd": _usd(call["cost_musd"]),
            f"{name.OWN}call.wait_s": call["wait_ns"] / 1e9,
            **self._decisions(call["call_id"]),
            **self._texts(call),
        }
        return self._span(
            f"{operation} {call['model']}" if call["model"] else operation,
            span_id("call", call["call_id"]),
            (call["started_ns"], call["ended_ns"]),
            attributes,
            parent=self._own,
            kind=SpanKind.CLIENT,
            error=call["error_message"] or "" if call["status"] != "ok" else None,
            events=[_asked(tool, call["ended_ns"]) for tool in asked],
        )

    def _attempt(self, attempt: Row) -> ReadableSpan:
        attributes = {
            name.HTTP_REQUEST_METHOD: attempt["method"],
            name.HTTP_REQUEST_RESEND_COUNT: attempt["number"] - 1 or None,
            name.HTTP_RESPONSE_STATUS_CODE: attempt["http_status"],
            name.URL_PATH: attempt["path"],
            name.ERROR_TYPE: attempt["error_class"],
            **_server(attempt["host"]),
            **_own("attempt", attempt, "attempt_id", "number", "end", "retry_after_s", "request_id", "sdk_retry"),
            f"{name.OWN}attempt.cost_usd": _usd(attempt["cost_musd"]),
        }
        return self._span(
            attempt["method"],
            span_id("attempt", attempt["attempt_id"]),
            (attempt["started_ns"], attempt["ended_ns"]),
            attributes,
            parent=span_id("call", attempt["call_id"]),
            kind=SpanKind.CLIENT,
            error=attempt["error_message"] or "" if attempt["error_class"] else None,
        )

    def _tool(self, tool: Row) -> ReadableSpan:
        attributes = {
            name.OPERATION_NAME: name.EXECUTE_TOOL,
            name.TOOL_NAME: tool["name"],
            name.TOOL_TYPE: "function",
            name.TOOL_CALL_ID: tool["provider_id"],
            name.ERROR_TYPE: (tool["error_type"] or "error") if tool["status"] == "error" else None,
            **(self._code(tool["site_id"]) if tool["site_id"] else {}),
            **_own("tool", tool, "tool_id", "origin", "is_upper_bound", "status", "call_id", "args_valid", "mutates"),
        }
        return self._span(
            f"{name.EXECUTE_TOOL} {tool['name']}",
            span_id("tool", tool["tool_id"]),
            (tool["started_ns"], tool["ended_ns"]),
            attributes,
            parent=self._own,
            error=tool["error_message"] or "" if tool["status"] == "error" else None,
        )

    def _http(self, span: Row) -> ReadableSpan:
        attributes = {
            name.HTTP_REQUEST_METHOD: span["method"],
            name.URL_FULL: span["url"],
            name.HTTP_RESPONSE_STATUS_CODE: span["http_status"],
            name.ERROR_TYPE: span["error_type"],
            **(self._code(span["site_id"]) if span["site_id"] else {}),
        }
        return self._span(
            span["name"],
            span_id("http", span["span_id"]),
            (span["started_ns"], span["ended_ns"]),
            attributes,
            parent=self._own,
            kind=SpanKind.CLIENT,
            error="" if span["error_type"] else None,
        )

    def _code(self, site_id: str) -> Row:
        site = self._source.sites.get(site_id)
        if site is None:
            return {}
        return {
            name.CODE_FILE_PATH: site["file"],
            name.CODE_LINE_NUMBER: site["line"],
            name.CODE_FUNCTION_NAME: site["function"],
            f"{name.OWN}site.id": site_id,
            f"{name.OWN}site.owner": site["owner"],
        }

    def _decisions(self, call_id: str | None) -> Row:
        """The values in force for a call, or for the run where ``call_id`` is None."""
        found: Row = {}
        for row in sorted(self._of["decisions"], key=lambda row: row["decided_ns"]):
            if row["call_id"] == call_id:
                own = f"{name.OWN}decision.{row['knob']}"
                found |= {own: row["value"], f"{own}.source": row["source"], f"{own}.propensity": row["propensity"]}
                found[f"{own}.policy_version"] = row["policy_version"]
        return found

    def _texts(self, call: Row) -> Row:
        """Kept texts of a call's last attempt, where they are exported: as messages, else as they were on the wire."""
        rows = [row for row in self._of.get("content", []) if row["call_id"] == call["call_id"]]
        found: Row = {}
        for role, body in {row["role"]: row["body"] for row in sorted(rows, key=lambda r: r["recorded_ns"])}.items():
            said = messages.asked(body) if role == "request" else messages.answered(call["api"], body)
            if said is None:
                found[f"{name.OWN}call.{role}"] = body
            elif isinstance(said, messages.Asked):
                found |= {name.SYSTEM_INSTRUCTIONS: said.system or None, name.INPUT_MESSAGES: said.messages}
            else:
                found[name.OUTPUT_MESSAGES] = said
        return found

    def _span(
        self,
        title: str,
        own: int,
        times: tuple[int, int],
        attributes: Row,
        *,
        parent: int | None,
        kind: SpanKind = SpanKind.INTERNAL,
        error: str | None = None,
        events: list[Event] | None = None,
        links: list[Link] | None = None,
    ) -> ReadableSpan:
        return ReadableSpan(
            title,
            _context(self._trace, own),
            _context(self._trace, parent) if parent is not None else None,
            self._resource,
            _plain(attributes),
            events or [],
            links or [],
            kind=kind,
            status=Status(StatusCode.ERROR, error or None) if error is not None else Status(StatusCode.UNSET),
            start_time=times[0],
            end_time=max(times),
            instrumentation_scope=SCOPE,
        )


def _context(trace: int, own: int) -> SpanContext:
    return SpanContext(trace, own, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _link(run_id: str, parents: dict[str, str | None]) -> Link:
    """To a run's span, whether or not that is exported by now."""
    return Link(_context(trace_id(run_id, parents), span_id("run", run_id)))


def _resource(run: Row, process: Row) -> Resource:
    told = {
        name.SERVICE_NAME: run["service"],
        name.SERVICE_INSTANCE_ID: run["process_id"],
        name.PROCESS_PID: process.get("pid") or None,
        name.PROCESS_RUNTIME_NAME: "cpython" if process.get("python") else None,
        name.PROCESS_RUNTIME_VERSION: process.get("python") or None,
    }
    return Resource(_plain(told))


def _outcome(row: Row) -> Event:
    said = {True: "pass", False: "fail", None: None}[row["success"]]
    score = row["score"] if row["score"] is not None else None if row["success"] is None else float(row["success"])
    attributes = {
        name.EVALUATION_NAME: "outcome",
        name.EVALUATION_SCORE_VALUE: score,
        name.EVALUATION_SCORE_LABEL: said,
        name.EVALUATION_EXPLANATION: row["comment"],
        f"{name.OWN}outcome.source": row["source"],
    }
    return Event(name.EVALUATION_RESULT, _plain(attributes), row["recorded_ns"])


def _asked(tool: Row, at_ns: int) -> Event:
    """A tool call that the model asked for and nobody was seen to make."""
    attributes = {name.TOOL_NAME: tool["name"], name.TOOL_CALL_ID: tool["provider_id"]}
    return Event(f"{name.OWN}tool.requested", _plain(attributes | _own("tool", tool, "tool_id", "args_valid")), at_ns)


def _server(host: str) -> Row:
    address, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return {name.SERVER_ADDRESS: address.strip("[]"), name.SERVER_PORT: int(port)}
    return {name.SERVER_ADDRESS: host}


def _parameters(params: Row) -> Row:
    found = {attribute: params.get(own) for own, attribute in name.PARAMETERS.items()}
    stop = found[name.REQUEST_STOP_SEQUENCES]
    return found | ({name.REQUEST_STOP_SEQUENCES: [stop]} if isinstance(stop, str) else {})


def _own(kind: str, row: Row, *columns: str) -> Row:
    """Columns under names of ours: ``run_id`` of a run is ``trimtab.run.id``."""
    return {f"{name.OWN}{kind}.{column.removeprefix(f'{kind}_')}": row[column] for column in columns}


def _usd(musd: int | None) -> float | None:
    return musd / 1e6 if musd is not None else None


def _plain(attributes: Row) -> dict[str, Any]:
    """Values that OpenTelemetry takes; those that are not there are left out, and what has parts becomes JSON.

    Of ours an empty text is a value; under a name of the conventions it is one that is not known.
    """
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        if value is None or (value == "" and not key.startswith(name.OWN)):
            continue
        is_texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        plain[key] = value if isinstance(value, str | bool | int | float) or is_texts else json.dumps(value)
    return plain
