"""From captured bytes to records: what an LLM call said, decided, asked of tools and got back.

In: one :class:`Captured` attempt at a time, in the order in which they ended. Out: its
:class:`~.records.Exchange`, the decisions in force and its redacted content.

Runs in the writer thread of the agent, off the caller's path. A module of its own because it alone turns
facts into records, and decides there what the content mode lets through. What links a request to earlier calls is
remembered in :mod:`.memory`. Odd bodies yield what can be read of them; nothing raises.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from .decisions import Order, choice, obeyed, placed
from .digests import canonical, digest
from .estimate import estimated
from .links import Links, links
from .memory import Journal, RunMemory, Setup, memo_of
from .records import Attempt, CallDecisions, Choice, Content, Exchange, Record, ToolRequest, ToolResult
from .redact import redact, redact_name
from .rejections import rejection
from .schema_check import schema_error
from .shapes import value_class
from .signals import signals
from .verdicts import tool_status
from .wire import ndjson, sse
from .wire.facts import RequestFacts, ResponseFacts, ToolAnswer, ToolCall, Usage
from .wire.formats import WireFormat
from .wire.values import loads, obj, text

MESSAGE_CHARS = 200
"""How much of a rejecting message or a tool's error is kept."""

ERROR_CHARS = 500
"""How much of a provider's error message is kept, whatever the content mode: without it no one can tell a full context
from a bad parameter."""

NAME_CHARS = 200
"""How much is kept of a name that a model or provider wrote: a tool's, a model's, an error type."""

MAX_ITEMS = 50
"""How many items of a list or object among a request's parameters are kept."""

_WORD = re.compile(r"[\w.:/-]{1,64}")

_KNOBS = ("model", "max_tokens", "temperature", "stop", "tools", "prompt_version", "stream")
"""Decisions that hold for every conversational call, set or not."""


@value_class
class Captured:
    """One attempt with the bytes that went over the wire."""

    attempt: Attempt
    fmt: WireFormat
    request_body: bytes | None
    """None where it can't be read without consuming it."""
    response_body: bytes | None
    """Decoded (after content-encoding); None where no response came."""
    is_sse: bool
    prompt_version: str | None = None
    """What the user named; the digest of the prompt counts where None."""
    choices: tuple[Choice, ...] = ()
    """Decisions on the call that its body does not show."""
    orders: tuple[Order, ...] = ()
    """What a policy set for the call; stands in the place of what the code chose."""


class ExchangeBuilder:
    """Turns captured attempts into records. One per process; not thread-safe, for one thread writes."""

    MAX_RUNS = 256
    """Runs whose calls are remembered at once."""

    def __init__(self, content_mode: str) -> None:
        """Keep content as ``content_mode`` says: ``off | redacted | full``."""
        self._content_mode = content_mode
        self._runs: OrderedDict[str, RunMemory] = OrderedDict()
        self.journal = Journal()
        """What has been remembered, in order."""

    def restore(self) -> None:
        """Remember what the journal says, and nothing else: others did the work meanwhile, or before.

        Raises:
            ValueError, TypeError: a line of it is no memo.
        """
        self._runs.clear()
        for memo in self.journal:
            self._memory(memo.run_id).recall(memo)

    def build(self, captured: Captured) -> list[Record]:
        """The records of one attempt: exchange, then decisions (first attempt of a call), then content."""
        attempt, fmt = captured.attempt, captured.fmt
        sent = _Body(captured.request_body, loads(captured.request_body or b""))
        came = _read_response(captured)
        asked = fmt.request(obj(sent.value), attempt.path)
        params = self._params(asked.params)
        said = _without_torn_calls(fmt.response(obj(came.value)))
        guess = estimated(attempt, sent.value, came.value, said.usage)
        memory = self._memory(attempt.run_id)
        setup = memory.setup(asked)
        tied = links(attempt.api, obj(sent.value), asked, said)
        answer = replace(said, usage=guess or said.usage)
        exchange = self._exchange(captured, sent, asked, params, answer, setup, memory, tied)
        if guess is not None:
            exchange = replace(exchange, usage_source="estimated")
        records: list[Record] = [exchange]
        if attempt.number == 1:
            readable = isinstance(sent.value, dict)
            shown = _choices(captured, params, setup, exchange.model) if readable else ()
            choices = placed(captured.choices, shown)
            choices = obeyed(choices, captured.orders)
            if choices:
                records.append(CallDecisions(attempt.call_id, attempt.run_id, attempt.site_id, attempt.ts_ns, choices))
        records += self._content(attempt, sent, came)
        answered = tuple([result.tool_id for result in exchange.tool_results])
        memo = memo_of(attempt.run_id, attempt.call_id, said, setup, answered)
        memory.recall(memo)
        self.journal.add(memo)
        return records

    def _memory(self, run_id: str) -> RunMemory:
        memory = self._runs.setdefault(run_id, RunMemory())
        self._runs.move_to_end(run_id)
        while len(self._runs) > self.MAX_RUNS:
            self._runs.popitem(last=False)
        return memory

    def _exchange(
        self,
        captured: Captured,
        sent: _Body,
        asked: RequestFacts,
        params: dict[str, Any],
        said: ResponseFacts,
        setup: Setup,
        memory: RunMemory,
        tied: Links,
    ) -> Exchange:
        attempt = captured.attempt
        usage = said.usage or Usage()
        last = asked.last_user_text
        rejected = memory.answer_to(asked) if last else None
        if last and rejected is not None and not rejection(last):
            rejected = None
        body, answered = obj(sent.value), memory.answered(asked.tool_answers)
        tools = body.get("tools") or body.get("functions")
        return Exchange(
            attempt_id=attempt.attempt_id,
            call_id=attempt.call_id,
            run_id=attempt.run_id,
            api=attempt.api,
            model=_name(asked.model or attempt.model),
            response_model=_name(said.model),
            response_id=_name(said.response_id),
            previous_response_id=_name(asked.previous_response_id),
            finish_reason=said.finish_reason,
            finish_reason_raw=self._word(said.finish_reason_raw),
            usage_source="reported" if said.usage is not None else "unknown",
            provider_error_type=_name(said.error_type),
            provider_error_code=_name(said.error_code),
            provider_error_message=redact(said.error_message[:4000])[:ERROR_CHARS] if said.error_message else None,
            message_count=asked.message_count,
            output_chars=len(said.text),
            output_digest=digest(said.text) if said.text else None,
            prompt_digest=setup.prompt_digest,
            tools_digest=setup.tools_digest,
            tools_offered=tuple(_name(tool) or "" for tool in setup.tools_offered),
            params=params,
            tool_requests=tuple(
                self._tool_request(i, c, setup.tools_offered, tools) for i, c in enumerate(said.tool_calls)
            ),
            tool_results=tuple(self._tool_result(tool_id, answer, attempt.ts_ns) for tool_id, answer in answered),
            rejects_call_id=rejected,
            rejection_text=self._kept(last) if rejected else None,
            links_in=tied.wanted,
            links_out=tied.offered,
            signals=signals(body, sent.raw or b"", asked, said, answered, self._shown),
            **usage.stated() | {"service_tier": said.service_tier or usage.service_tier},
        )

    def _kept(self, said: str | None) -> str | None:
        """The beginning of a text, as the content mode allows."""
        if said is None or self._content_mode == "off":
            return None
        # Redacted before it is cut, so that no half of a secret slips through; the margin bounds the work.
        return (said if self._content_mode == "full" else redact(said[:4000]))[:MESSAGE_CHARS]

    def _shown(self, said: str) -> str:
        """A word as :meth:`_word` keeps it."""
        return self._word(said) or ""

    def _word(self, said: str | None) -> str | None:
        """A name as :func:`_name` keeps it; with content ``off`` a digest where it is no single word."""
        if said and self._content_mode == "off" and not _WORD.fullmatch(said):
            return f"digest:{digest(said)}"
        return _name(said)

    def _params(self, params: dict[str, Any]) -> dict[str, Any]:
        """A request's parameters, texts redacted and cut; with content ``off`` stop texts are count and digest."""
        kept = {name: _bounded(value) for name, value in params.items()}
        stop = params.get("stop")
        if stop is not None and self._content_mode == "off":
            kept["stop"] = {"count": len(stop) if isinstance(stop, list) else 1, "digest": digest(canonical(stop))}
        return kept

    def _tool_request(self, index: int, call: ToolCall, offered: tuple[str, ...], tools: Any) -> ToolRequest:
        value, error = call.arguments, None
        is_valid, misfit = call.is_free_text, None
        if not is_valid:
            value, error = _arguments(call.arguments)
            is_valid = error is None
            misfit = schema_error(tools, call.name, loads(value)) if is_valid and tools else None
        return ToolRequest(
            index=index,
            provider_id=_name(call.provider_id),
            name=(_name(call.name) if call.name in offered else self._word(call.name)) or "",
            args_digest=digest(value),
            args_valid=is_valid,
            args_error=error,
            args_chars=len(call.arguments),
            schema_error=self._misfit(misfit),
        )

    def _misfit(self, said: str | None) -> str | None:
        """What is wrong with arguments; an argument that no schema names is a word of the model's."""
        kind, colon, key = (said or "").partition(": ")
        return f"{kind}: {self._word(key)}" if kind == "unexpected" and colon else _name(said)

    def _tool_result(self, tool_id: str, answer: ToolAnswer, seen_ns: int) -> ToolResult:
        verdict = tool_status(answer.text, answer.is_error)
        return ToolResult(
            tool_id=tool_id,
            seen_ns=seen_ns,
            status=verdict.status,
            error_type=_name(verdict.error_type),
            error_message=self._kept(verdict.message) if verdict.status == "error" else None,
            result_digest=digest(answer.text),
            result_chars=len(answer.text),
        )

    def _content(self, attempt: Attempt, sent: _Body, came: _Body) -> Iterator[Content]:
        if self._content_mode == "off":
            return
        end_ns = attempt.ts_ns + attempt.duration_ns
        for role, ts_ns, body in (("request", attempt.ts_ns, sent), ("response", end_ns, came)):
            if (kept := body.as_json()) is not None:
                kept = kept if self._content_mode == "full" else redact(kept)
                yield Content(attempt.attempt_id, attempt.call_id, attempt.run_id, role, ts_ns, kept)


def _name(said: str | None) -> str | None:
    """A short text that is a name by its place, and may be anything: without secrets, cut to 200 characters."""
    return redact_name(said[:2000])[:NAME_CHARS] if said else said


def _bounded(value: Any, depth: int = 0) -> Any:
    """A parameter's JSON value with its texts as :func:`_name` keeps them; what is nested deep becomes such a text."""
    if isinstance(value, str):
        return _name(value)
    if isinstance(value, list | dict) and depth > 3:
        return _name(canonical(value))
    if isinstance(value, list):
        return [_bounded(v, depth + 1) for v in value[:MAX_ITEMS]]
    if isinstance(value, dict):
        return {_name(k): _bounded(v, depth + 1) for k, v in list(value.items())[:MAX_ITEMS]}
    return value


class _Body(NamedTuple):
    """A body as sent, and the JSON value it holds or adds up to."""

    raw: bytes | None
    value: Any
    is_folded: bool = False

    def as_json(self) -> str | None:
        """The body as JSON text: as it was sent where that is JSON, a stream folded, anything else as a JSON string."""
        if not self.raw:
            return None
        if self.is_folded:
            return canonical(self.value)
        if self.value is None:
            return canonical(self.raw.decode("utf-8", "replace"))
        try:
            said = self.raw.decode()
        except UnicodeDecodeError:  # JSON in UTF-16, which Python reads and no one sends
            return canonical(self.value)
        is_strict = not any(odd in said for odd in ("\0", "\ufeff", "NaN", "Infinity"))
        return said if is_strict else canonical(self.value)


def _read_response(captured: Captured) -> _Body:
    """The response's JSON value; a stream as the response it adds up to."""
    raw, fmt = captured.response_body, captured.fmt
    if not raw:
        return _Body(None, None)
    start = raw.lstrip()[:6]
    # Errors come as plain JSON also where a stream was asked for and announced.
    value = None if captured.is_sse and start[:1] not in (b"{", b"[") else loads(raw)
    if isinstance(value, dict):
        said = text(value.get("message")) or text(value.get("detail"))
        if said and "error" not in value and (captured.attempt.http_status or 0) >= 400:
            value |= {"error": {"message": said}}  # gateways answer with envelopes of their own
        return _Body(raw, value)
    if isinstance(value, list):  # Gemini streams without `alt=sse` are one JSON array
        return _Body(raw, fmt.fold([sse.ServerSentEvent(None, canonical(value))]), True)
    if captured.is_sse or fmt.is_ndjson or start in (b"data: ", b"event:"):
        return _Body(raw, fmt.fold(ndjson.parse(raw) if fmt.is_ndjson else sse.parse(raw)), True)
    return _Body(raw, value)


def _without_torn_calls(said: ResponseFacts) -> ResponseFacts:
    """Facts without the tool calls whose arguments a broken stream cut: no one wrote those wrong."""
    if not said.incomplete:
        return said
    whole = tuple(c for c in said.tool_calls if c.is_free_text or _arguments(c.arguments)[1] is None)
    return replace(said, tool_calls=whole)


def _choices(captured: Captured, params: dict[str, Any], setup: Setup, model: str | None) -> tuple[Choice, ...]:
    """The choices that this call's code made, or left to a default."""
    values: dict[str, Any] = {k: params.get(k) for k in _KNOBS}
    values |= {"model": model, "tools": setup.tools_digest}
    values["prompt_version"] = captured.prompt_version or setup.prompt_digest
    if captured.attempt.api == "openai.embeddings":
        values = {"model": model}
    if "reasoning_effort" in params:
        values["reasoning_effort"] = params["reasoning_effort"]
    return tuple([choice(knob, value, "default" if value is None else "code") for knob, value in values.items()])


def _arguments(written: str) -> tuple[str, str | None]:
    """The canonical text of tool arguments, and what is wrong with them; no arguments at all are an empty object."""
    if not written.strip():
        return "{}", None
    try:
        value = json.loads(written)
    except (ValueError, RecursionError) as error:
        return written, f"{type(error).__name__}: {str(error)[:100]}"
    if not isinstance(value, dict):
        return canonical(value), f"a JSON {type(value).__name__}, not an object"
    return canonical(value), None
