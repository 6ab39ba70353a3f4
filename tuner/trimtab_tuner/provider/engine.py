"""One request in, one complete plan of the response out; no socket is touched.

In: a :class:`RawRequest`. Out: an :class:`Outgoing`: status, headers, body or stream, waits, where the connection
breaks, and the request's log entry as far as it is known before sending. Apart from :mod:`.connection`, which carries
the plan out, so that what is said and how it is sent can each be read alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .answers import Fault, UsageScript
from .formats import nearest, route
from .formats.base import Asked, BadRequestError, Chunk, Format, Problem, Reply, dumps
from .formats.models import model_listing
from .ids import Ids
from .incoming import RawRequest, check_method, new_entry, parse_json
from .log import LogEntry, SentToolCall
from .scenario import Scenario
from .script import Pick, Script

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What to send, when, and where to break off."""

    entry: LogEntry
    """Complete but for what depends on the sending."""
    status: int | None = None
    """None: close the connection instead of answering."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    chunks: tuple[Chunk, ...] | None = None
    """Events of a stream, instead of ``body``."""
    breaks: bool = False
    """Close the connection after ``chunks``, or after half of ``body``, without ending the response."""
    delay_s: float = 0.0
    chunk_delay_s: float = 0.0
    gzip: bool = False
    tool_calls: tuple[SentToolCall, ...] = ()
    """Those of the stream; an entry gets each when its arguments are complete."""
    finish: str | None = None
    """Goes into the entry when the response was sent completely."""
    usage: dict[str, Any] | None = None


class Engine:
    """Answers requests by a scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._script = Script(scenario, seed)
        self._seed = seed
        self._n = 0
        self.in_flight = 0
        """Requests received and not done with; :mod:`.connection` counts."""

    def respond(self, raw: RawRequest) -> Outgoing:
        """The response to ``raw``, which counts as the next request."""
        self._n += 1
        ids = Ids(self._seed, self._n)
        url = urlsplit(raw.target)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in raw.headers}
        found = route(url.path)
        fmt = found.format if found else nearest(url.path, headers)
        entry = new_entry(self._n, raw, fmt.api if found else None, ids.make("req_"))
        try:
            if found is None:
                return self._other(entry, raw, url.path, headers)
            check_method(raw.method, headers)
            body = parse_json(raw.body, headers.get("content-encoding", ""))
            entry = replace(entry, body=body, model=_named_model(body, found.path))
            path = {**dict(parse_qsl(url.query)), **{k: unquote(v) for k, v in found.path.items()}}
            return self._answer(entry, fmt, fmt.read(body, path), ids, headers)
        except BadRequestError as error:
            return _failed(entry, fmt, error.problem)

    def _answer(self, entry: LogEntry, fmt: Format, asked: Asked, ids: Ids, headers: Mapping[str, str]) -> Outgoing:
        continued = self._script.continued(asked)
        if continued is None:
            raise BadRequestError(_unknown_previous(fmt, asked))
        entry = replace(
            entry,
            model=asked.model,
            stream=asked.stream,
            step=None if fmt.embeds else continued.step,
            tool_result_ids=asked.tool_result_ids,
        )
        try:
            pick = self._script.pick(continued, fmt, _api_key(headers), self.in_flight)
        except BadRequestError as error:
            return _failed(replace(entry, fault=error.problem.code), fmt, error.problem)
        entry = replace(entry, rule=pick.rule, fault=pick.fault.kind if pick.fault else None)
        gzip = "gzip" in headers.get("accept-encoding", "")
        return self._faulted(entry, fmt, self._reply(continued, pick, ids, entry), pick.fault, gzip)

    def _reply(self, asked: Asked, pick: Pick, ids: Ids, entry: LogEntry) -> Reply:
        slots = {
            "last_user": asked.last_user,
            "last_tool_result": asked.last_tool_result,
            "model": asked.model,
            "step": str(asked.step),
            "n": str(ids.n),
        }
        answer = pick.answer.rendered(slots)
        if pick.fault is not None:
            answer = answer.spoiled(pick.fault)
        if self._scenario.honour_stop:
            answer = answer.stopped(asked.stop)
        usage = (answer.usage or UsageScript()).filled(len(dumps(entry.body)), answer)
        if self._scenario.honour_max_tokens and asked.max_tokens and usage.output_tokens > asked.max_tokens:
            answer = answer.truncated(asked.max_tokens / usage.output_tokens)
            usage = replace(
                usage, output_tokens=asked.max_tokens, reasoning_tokens=min(usage.reasoning_tokens, asked.max_tokens)
            )
        return Reply(asked, answer, usage, ids, self._scenario.clock_s + ids.n, entry.request_id or "")

    def _faulted(self, entry: LogEntry, fmt: Format, reply: Reply, fault: Fault | None, gzip: bool) -> Outgoing:
        delay_s = reply.answer.delay_s + (fault.delay_s if fault else 0.0)
        streams = reply.asked.stream and not fmt.embeds
        if fault is not None and fault.kind == "drop":
            return Outgoing(entry, delay_s=delay_s)
        if fault is not None and (fault.kind == "status" or (fault.kind == "stream_error" and not streams)):
            return _failed(entry, fmt, _problem(fault), delay_s)
        adapted = fmt.adapt(reply)
        if isinstance(adapted, Problem):
            return _failed(entry, fmt, adapted, delay_s)
        reply = adapted
        sent = replace(
            entry, status=200, response_id=reply.ids.make(fmt.response_prefix) if fmt.response_prefix else None
        )
        if sent.response_id is not None:
            self._script.remember(sent.response_id, reply.asked)
        out = Outgoing(
            sent,
            status=200,
            headers=_headers(fmt, sent, fmt.stream_type(reply.asked) if streams else JSON_TYPE),
            delay_s=delay_s,
            chunk_delay_s=reply.answer.chunk_delay_s,
            gzip=gzip and self._scenario.gzip,
            tool_calls=() if fmt.embeds else _sent_calls(fmt, reply),
            finish=None if fmt.embeds else reply.finish,
            usage=None if reply.answer.usage is None else asdict(reply.usage),
        )
        breaks = fault is not None and fault.kind == "drop_mid_stream"
        if not streams:
            text = "" if fmt.embeds else reply.answer.text
            return replace(out, body=dumps(fmt.body(reply)), breaks=breaks, entry=replace(sent, text=text))
        chunks = tuple(fmt.stream(reply))
        if fault is not None and fault.kind in ("drop_mid_stream", "stream_error"):
            chunks = chunks[: fault.after_chunks]
        if fault is not None and fault.kind == "stream_error":
            chunks += (Chunk(fmt.stream_error(_problem(fault), reply, len(chunks))),)
            out = replace(out, finish=None)
        return replace(out, chunks=chunks, breaks=breaks)

    def _other(self, entry: LogEntry, raw: RawRequest, path: str, headers: Mapping[str, str]) -> Outgoing:
        listing = model_listing(raw.method, path, headers, self._scenario.models, self._scenario.clock_s)
        fmt = nearest(path, headers)
        if listing is None:
            raise BadRequestError(
                Problem(404, f"The scripted provider has nothing at {raw.method} {path}.", code="unknown_url")
            )
        entry = replace(entry, status=200)
        return Outgoing(entry, status=200, headers=_headers(fmt, entry, JSON_TYPE), body=dumps(listing))


def _api_key(headers: Mapping[str, str]) -> str:
    """The key in whichever header its API puts it."""
    keys = (headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key", "api-key"))
    return next((key.removeprefix("Bearer ") for key in keys if key), "")


def _named_model(body: Mapping[str, Any], path: Mapping[str, str]) -> str | None:
    model = body.get("model") or path.get("model")
    return str(model) if model else None


def _unknown_previous(fmt: Format, asked: Asked) -> Problem:
    if fmt.api == "anthropic.messages":
        return Problem(404, f"No usable Thread state was found for {asked.previous_id}.", code="thread_not_found")
    return Problem(
        400,
        f"Previous response with id '{asked.previous_id}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def _problem(fault: Fault) -> Problem:
    return Problem(
        fault.status,
        fault.message,
        fault.type,
        fault.code,
        retry_after_s=fault.retry_after_s,
        retry_after_ms=fault.retry_after_ms,
        should_retry=fault.should_retry,
    )


def _failed(entry: LogEntry, fmt: Format, problem: Problem, delay_s: float = 0.0) -> Outgoing:
    entry = replace(entry, status=problem.status)
    headers = _headers(fmt, entry, JSON_TYPE)
    if problem.retry_after_s is not None:
        headers.append(("retry-after", f"{problem.retry_after_s:g}"))
    if problem.retry_after_ms is not None:
        headers.append(("retry-after-ms", f"{problem.retry_after_ms:g}"))
    if problem.should_retry is not None:
        headers.append(("x-should-retry", "true" if problem.should_retry else "false"))
    body = dumps(fmt.error(problem, entry.request_id or ""))
    return Outgoing(entry, status=problem.status, headers=headers, body=body, delay_s=delay_s)


def _headers(fmt: Format, entry: LogEntry, content_type: str) -> list[tuple[str, str]]:
    name = "request-id" if fmt.api == "anthropic.messages" else "x-request-id"
    return [("content-type", content_type), (name, entry.request_id or ""), ("x-trimtab-provider", "scripted")]


def _sent_calls(fmt: Format, reply: Reply) -> tuple[SentToolCall, ...]:
    return tuple(
        SentToolCall(reply.ids.make(fmt.call_prefix, i) if fmt.call_prefix else None, call.name, call.arguments)
        for i, call in enumerate(reply.answer.tool_calls)
    )
