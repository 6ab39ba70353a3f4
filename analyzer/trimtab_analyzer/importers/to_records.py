"""From an imported run to the records that a live agent would have written.

In: a :class:`.trace.Trace`. Out: :class:`ImportedRun`: records with ids that depend on the run alone, so that
importing again, from a copy, under another name, writes the same rows again and changes nothing. It is a module
of its own because every format ends here; formats differ in how they tell a story, not in what we keep of it.

Where live capture and a file differ, the record says so: a site has owner ``library`` and no line, an attempt
has no duration (files log when a response was made, not how long it took), and each call's request content
holds only the messages added since the call before it (``trimtab_earlier_messages`` counts the others), because a
history repeated in every call would make the store grow with the square of the run's length.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from trimtab_tracer import __version__
from trimtab_tracer.digests import canonical, digest
from trimtab_tracer.records import (
    Attempt,
    Content,
    Decision,
    Exchange,
    Outcome,
    Process,
    Record,
    RunEnd,
    RunStart,
    Site,
    ToolRequest,
    ToolResult,
)
from trimtab_tracer.redact import redact_name
from trimtab_tracer.schema_check import schema_error
from trimtab_tracer.signals import signals
from trimtab_tracer.wire.facts import RequestFacts, ResponseFacts, ToolAnswer, ToolCall
from trimtab_tracer.wire.formats import CHAT

from .texts import Texts
from .trace import Trace, Turn

IMPORT_VERSION = 2
"""Counts changes of the records that the same file gives; part of a run's digest, so that old imports are renewed."""

IMPORT_DIGEST = "import_digest"
"""Attribute of an imported run: a run that the store holds with the same digest need not be imported again."""


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """The records of one run, and what is needed to tell whether the store has them already."""

    run_id: str
    digest: str
    """Of everything that decides the records; the store keeps it as the run's attribute :data:`IMPORT_DIGEST`."""
    process_id: str
    service: str
    name: str
    started_ns: int
    records: tuple[Record, ...]
    calls: int
    rejected: int
    logged_calls: int | None
    logged_cost_usd: float | None
    part: Any = None
    """Where other files may hold more of this run: what :func:`.span_records.join` puts together; else None."""


def to_run(trace: Trace, *, content: str, fallback_ns: int, service: str | None = None) -> ImportedRun:
    """All records of a run.

    Args:
        trace: The run as the file tells it.
        content: ``off | redacted | full``, as for live capture.
        fallback_ns: Time of a run whose file holds no clock.
        service: Name of the agent where a person gave one; by default the trace's.
    """
    return _Writer(trace, content, fallback_ns, service).run()


class _Writer:
    """Walks the turns of one trace; its state is the conversation so far."""

    def __init__(self, trace: Trace, content: str, fallback_ns: int, service: str | None) -> None:
        self.trace = trace
        self.service = service or trace.service
        self.content = content
        self.texts = Texts(content)
        self.run_id = f"import-{digest(trace.identity)}"
        self.process_id = f"import-{digest('process' + trace.identity)}"
        self.times = _times(trace, fallback_ns)
        self.facts = CHAT.request({**trace.request, "messages": _first_messages(trace)}, trace.path)
        self.digest = digest(canonical([trace.fingerprint, IMPORT_VERSION, content, service]))
        self.sites: dict[str, Site] = {}
        self.conversation = hashlib.sha256(canonical(trace.request).encode())
        self.messages = 0
        self.said = bytearray()  # all text so far, to tell which numbers of an answer are in it
        self.answers: list[tuple[str, ToolAnswer]] = []  # of tools, those that came last

    def run(self) -> ImportedRun:
        trace = self.trace
        body: list[Record] = []
        for n, turn in enumerate(trace.turns):
            body += self._turn(n, turn)
        decisions = self._decisions()
        records = (*self._start(), *self.sites.values(), *decisions, *body, *self._end())
        return ImportedRun(
            run_id=self.run_id,
            digest=self.digest,
            process_id=self.process_id,
            service=self.service,
            name=trace.name,
            started_ns=self.times[0],
            records=records,
            calls=len(trace.turns),
            rejected=sum(turn.rejection is not None for turn in trace.turns),
            logged_calls=trace.logged_calls,
            logged_cost_usd=trace.logged_cost_usd,
        )

    def _start(self) -> tuple[Record, ...]:
        trace, started = self.trace, self.times[0]
        process = process_of(self.process_id, started, self.service, trace.harness, self.content)
        attributes = {
            **trace.attributes,
            IMPORT_DIGEST: self.digest,
            "times": "logged" if trace.started_ns is not None else "file",
        }
        if trace.logged_calls is not None:
            attributes["logged_calls"] = trace.logged_calls
        if trace.logged_cost_usd is not None:
            attributes["logged_cost_usd"] = trace.logged_cost_usd
        run = RunStart(
            run_id=self.run_id,
            process_id=self.process_id,
            ts_ns=started,
            name=trace.name,
            origin="import",
            task=None if trace.task is None or self.content == "off" else self.texts.clean(trace.task),
            attributes=attributes,
            harness=trace.harness,
            service=self.service,
            annotations=trace.annotations,
        )
        return process, run

    def _end(self) -> tuple[Record, ...]:
        trace, ended = self.trace, self.times[-1]
        end = RunEnd(
            run_id=self.run_id,
            ts_ns=ended,
            status=trace.status,
            rule="import",
            error_type=trace.error_type,
            error_message=self.texts.short(trace.error_message),
        )
        if trace.success is None and trace.score is None:
            return (end,)
        outcome = Outcome(
            outcome_id=f"{self.run_id}:outcome",
            run_id=self.run_id,
            ts_ns=ended,
            success=trace.success,
            score=trace.score,
            source=trace.outcome_source,
            comment=self.texts.short(trace.outcome_comment),
        )
        return outcome, end

    def _site(self, knob: str = "", quote: str = "") -> str:
        """The site of the calls, or of one setting; every one names the harness and none has a line."""
        quote = "" if self.texts.content == "off" else self.texts.clean(quote)
        site_id = digest("\0".join(("import", self.trace.harness, self.trace.function, knob, quote)))
        self.sites[site_id] = Site(
            site_id=site_id,
            file=self.trace.harness,
            function=self.trace.function,
            line=0,
            end_line=0,
            source=quote,
            owner="library",
        )
        return site_id

    def _decisions(self) -> list[Record]:
        return [
            Decision(
                decision_id=f"{self.run_id}:{knob.name}",
                run_id=self.run_id,
                knob=knob.name,
                value=knob.value,
                source="default" if knob.value is None else "code",
                site_id=self._site(knob.name, knob.quote),
                ts_ns=self.times[0],
                site_role="knob",
            )
            for knob in self.trace.knobs
        ]

    def _turn(self, n: int, turn: Turn) -> list[Record]:
        call_id, attempt_id = self._call_id(n), f"{self._call_id(n)}-1"
        ts_ns = self.times[n + 1]
        earlier = self.messages
        for message in turn.sent:
            text = canonical(message).encode("utf-8", "replace")
            self.conversation.update(text)
            self.said += text
        self.messages += len(turn.sent)
        records: list[Record] = [
            Attempt(
                attempt_id=attempt_id,
                call_id=call_id,
                run_id=self.run_id,
                process_id=self.process_id,
                number=1,
                ts_ns=ts_ns,
                duration_ns=0,
                api=CHAT.api,
                method="POST",
                host=self.trace.host,
                path=self.trace.path,
                site_id=self._site(),
                end="complete",
                model=turn.model or self.facts.model,
                body_digest=self.conversation.hexdigest()[:16],
                agent=turn.agent,
                step=turn.step,
            ),
            self._exchange(n, turn, attempt_id),
        ]
        if turn.model is not None and turn.model != self.facts.model:
            decision_id = f"{call_id}:model"
            records.append(
                Decision(decision_id, self.run_id, "model", turn.model, "code", self._site("model"), ts_ns, call_id)
            )
        if self.content != "off":
            request = {**self.trace.request, "messages": list(turn.sent), "trimtab_earlier_messages": earlier}
            for role, value in (("request", request), ("response", turn.reply)):
                body = self.texts.clean(json.dumps(value, ensure_ascii=False))
                records.append(Content(attempt_id, call_id, self.run_id, role, ts_ns, body))
        self.conversation.update(canonical(turn.reply.get("choices")).encode("utf-8", "replace"))
        self.messages += 1
        return records

    def _exchange(self, n: int, turn: Turn, attempt_id: str) -> Exchange:
        reply = CHAT.response(turn.reply)
        usage = reply.usage
        calls = reply.tool_calls if turn.tools is None else turn.tools
        said = replace(reply, tool_calls=tuple(calls))
        refused, refusal = self._rejection(n)
        facts: RequestFacts = self.facts
        return Exchange(
            attempt_id=attempt_id,
            call_id=self._call_id(n),
            run_id=self.run_id,
            api=CHAT.api,
            model=turn.model or facts.model,
            response_model=reply.model,
            response_id=reply.response_id,
            finish_reason=reply.finish_reason,
            finish_reason_raw=reply.finish_reason_raw,
            usage_source="reported" if usage and usage.output_tokens is not None else "unknown",
            message_count=self.messages,
            output_chars=len(reply.text),
            output_digest=digest(reply.text) if reply.text else None,
            prompt_digest=digest(facts.prompt) if facts.prompt else None,
            tools_digest=digest(facts.tools_text) if facts.tools_text else None,
            tools_offered=facts.tools_offered,
            params=facts.params,
            tool_requests=tuple(_tool_request(i, call, self.trace.request) for i, call in enumerate(calls)),
            tool_results=self._tool_results(n),
            rejects_call_id=refused,
            rejection_text=self.texts.short(refusal),
            signals=self._signals(n, turn, said),
            **(usage.stated() if usage else {}),
        )

    def _signals(self, n: int, turn: Turn, said: ResponseFacts) -> dict[str, Any]:
        """What request and answer tell together, as in live capture."""
        first, last = _first_messages(self.trace), turn.sent[-1] if turn.sent else {}
        added = CHAT.request({"messages": [last]}, self.trace.path).last_user_text
        before = self.trace.turns[n - 1].answers if n else ()
        answered = [(f"{self._call_id(n - 1)}:{a.index}", ToolAnswer(None, None, a.text)) for a in before]
        self.answers = answered or self.answers
        history = tuple(answer for _, answer in self.answers)
        asked = replace(self.facts, message_count=self.messages, last_user_text=added, tool_answers=history)
        return signals({**self.trace.request, "messages": first}, self.said, asked, said, answered, self._shown)

    def _shown(self, word: str) -> str:
        """A word as the content mode allows."""
        return f"digest:{digest(word)}" if self.texts.content == "off" else redact_name(word)

    def _rejection(self, n: int) -> tuple[str | None, str | None]:
        """The call that this one's request turns down, and in which words.

        A rejection of the run's last answer reached no later request. It is noted on the last call itself, or on the
        first one, which can turn nothing down, where the last one turns down the call before it.
        """
        turns = self.trace.turns
        last = len(turns) - 1
        if n and (said := turns[n - 1].rejection) is not None:
            return self._call_id(n - 1), said
        last_carries_another = last > 0 and turns[last - 1].rejection is not None
        if n == (0 if last_carries_another else last) and (said := turns[last].rejection) is not None:
            return self._call_id(last), said
        return None, None

    def _tool_results(self, n: int) -> tuple[ToolResult, ...]:
        """Results that came back with this call's request; the last call also carries those that came after it."""
        turns = self.trace.turns
        carried = [(n - 1, self.times[n + 1])] if n else []
        if n == len(turns) - 1:
            carried.append((n, self.times[-1]))
        return tuple(
            ToolResult(
                tool_id=f"{self._call_id(of)}:{answer.index}",
                seen_ns=seen_ns,
                status=answer.status,
                error_type=answer.error_type,
                error_message=self.texts.short(answer.error_message),
                result_digest=digest(answer.text),
                result_chars=len(answer.text),
            )
            for of, seen_ns in carried
            for answer in turns[of].answers
        )

    def _call_id(self, n: int) -> str:
        return f"{self.run_id}-{n + 1:04d}"


def process_of(process_id: str, ts_ns: int, service: str, harness: str, content: str) -> Process:
    """The process that stands for the one whose run is imported: nothing is known of it but its harness."""
    return Process(
        process_id=process_id,
        pid=0,
        ts_ns=ts_ns,
        service=service,
        script=harness,
        cwd="",
        python="",
        trimtab=__version__,
        content_mode=content,
    )


def _times(trace: Trace, fallback_ns: int) -> list[int]:
    """Start, each turn, end; strictly rising over the turns, because files log seconds and order must survive."""
    now = trace.started_ns
    if now is None:
        now = next((t.ts_ns for t in trace.turns if t.ts_ns is not None), fallback_ns)
    times = [now]
    for turn in trace.turns:
        times.append(max(turn.ts_ns or 0, times[-1] + (len(times) > 1)))
    times.append(max(trace.ended_ns or 0, times[-1]))
    return times


def _first_messages(trace: Trace) -> list[dict[str, Any]]:
    return list(trace.turns[0].sent) if trace.turns else []


def _tool_request(index: int, call: ToolCall, request: dict[str, Any]) -> ToolRequest:
    written, error, misfit = call.arguments, None, None
    if not call.is_free_text:
        try:
            # No arguments at all are an empty object, as in live capture.
            arguments = json.loads(written) if written.strip() else {}
            written = canonical(arguments)
            error = None if isinstance(arguments, dict) else f"a JSON {type(arguments).__name__}, not an object"
            misfit = schema_error(request.get("tools"), call.name, arguments) if error is None else None
        except (ValueError, RecursionError) as problem:
            error = f"{type(problem).__name__}: {str(problem)[:100]}"
    return ToolRequest(
        index=index,
        provider_id=call.provider_id,
        name=call.name,
        args_digest=digest(written),
        args_valid=error is None,
        args_error=error,
        args_chars=len(call.arguments),
        schema_error=None if misfit is None else redact_name(misfit),
    )
