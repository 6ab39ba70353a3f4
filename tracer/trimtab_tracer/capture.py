"""One HTTP request of an LLM call, from before it is sent until its last byte: the hot path.

In: a request of either HTTP library and what came of it. Out: an :class:`.records.Attempt`, spooled before control
returns to the agent, and the captured bytes, queued for the writer thread that parses them. Nothing is parsed here.

The two HTTP libraries (httpx and its fork httpx2) share this code, because their objects look alike; everything that
differs by library stands in :mod:`.instrument.http_clients`.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import partial
from typing import Any

from . import context
from .caught import Caught, decode
from .conversations import response_id_in, response_key
from .decisions import Hint, obeyed
from .delivery import Delivery, Trip
from .detours import Detour
from .digests import digest
from .guard import guarded
from .headers import picked
from .otel_context import current_span_ids
from .progress import Progress
from .records import Attempt, CallDecisions, Site
from .redact import redact_name, redact_url
from .resending import Resending, Sending, sdk_retry_of
from .retries import retry_after
from .rewrite import remade
from .segments import encode
from .steered import Steered
from .tracer import Tracer, message_of, new_id, type_name
from .wire import formats, sse, usage
from .writer import tokens_of

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Response bytes kept for parsing; of a longer body only the end is kept, which holds the usage."""

TAIL_CHUNKS = 16
"""Last chunks of a stream that are searched for the usage object."""


class Capture:
    """One attempt in the making.

    Built by :func:`.calls.begin` just before the request is sent; then exactly one of :meth:`fail`, :meth:`read` or the
    stream methods end it. Ending twice is harmless: the first end counts.

    Args:
        tracer: Of this process.
        fmt: The request's format.
        sending: The request as it goes out.
        stream: Whether the caller asked for a stream.
        site: The line of the call.
        hint: What the SDK said about the request.
        steered: What a policy made of the call, if anything.
        before: The call's attempt before this one, where our own retry loop makes it.
    """

    def __init__(
        self,
        tracer: Tracer,
        fmt: formats.WireFormat,
        sending: Sending,
        stream: bool,
        site: Site,
        hint: Hint | None,
        steered: Steered | None = None,
        before: Capture | None = None,
    ) -> None:
        request = sending.request
        self.tracer = tracer
        self.fmt = fmt
        self.sending = sending
        self.request = request
        self.body = sending.body
        self.model = sending.model
        self.stream = stream
        self.site = site
        self.steered = steered
        self.resending: Resending | None = steered.resending if steered is not None else None
        self.delivery: Delivery | None = steered.delivery if steered is not None else None
        self.trip: Trip | None = None
        self.socket: Any = None
        self.detour: Detour | None = steered.detour if steered is not None else None
        # More than one request of the call may be ours to send, or it is ours when it is sent.
        self.is_ours = (
            self.resending is not None
            or self.delivery is not None
            or sending.plain is not None
            or self.detour is not None
        )
        self.method: str = request.method
        self.host = request.url.netloc.decode("ascii", "replace").rpartition("@")[2]
        self.path = redact_url(request.url.path)
        self.digest = digest(self.body) if self.body is not None else None
        self.sdk_retry = sdk_retry_of(request)
        self.span = current_span_ids()
        self._extensions = request.extensions  # httpx fills in the client's timeout while it sends
        self.hint = hint
        self.run_id: str = tracer.run_id() if before is None else before.run_id
        self.progress: Progress | None = tracer.progress() if before is None else before.progress
        self.call_id: str
        self.number: int
        self.after_call_id, self.is_branch = context.last_call() if before is None else (None, False)
        self.call_id, self.number = self._call(before)
        self.last_number = self.number
        self._chunks: list[bytes] = []
        self._chunk_count = 0
        self._body_size = 0
        self._ttft_ns: int | None = None
        self._http_status: int | None = None
        self._headers: dict[str, str] | None = None
        self._error: BaseException | None = None
        self._ended = False
        self.ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    @guarded()
    def restart(self) -> None:
        """The request is sent now, and not yet when this was built."""
        self.ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    def _call(self, before: Capture | None) -> tuple[str, int]:
        """The call this attempt belongs to: the SDK's retries of the same body in this context make one call."""
        asked, plan = self._asked_digest(), self.steered.plan if self.steered is not None else None
        last = context.continued(self.sdk_retry, asked) if self.sdk_retry else None
        if before is not None:
            call_id, number = before.call_id, before.last_number + 1
        elif last is not None:
            call_id, number = last.call_id, last.number + 1
            self.after_call_id = None
        else:
            # A retry whose first attempt was made out of sight keeps its number.
            call_id, number = new_id(), (self.sdk_retry or 0) + 1
            if self.progress is not None:
                self.progress.began_call()
        self.sdk_count: int = (self.sdk_retry or 0) if before is None else before.sdk_count
        spawned = context.scope.get().spawned
        context.last_attempt.set(context.LastAttempt(call_id, asked, number, plan, spawned, self.sdk_count))
        context.note_call(call_id)
        return call_id, number

    def _asked_digest(self) -> str | None:
        """Of the body as the agent made it."""
        if self.steered is not None:
            return self.steered.asked_digest
        plain = self.sending.plain
        return self.digest if plain is None or plain.body is None else digest(plain.body)

    def answered(self) -> None:
        """Nothing of the call is sent again: let go of what that would need, for a stream may be read for long."""
        self.resending = self.detour = None
        self.steered = replace(self.steered, resending=None, detour=None) if self.steered is not None else None

    def next(self, sending: Sending) -> Capture:
        """The call's next attempt, which we make."""
        hint = self.steered.hint if self.steered is not None else None
        if self.tracer.usage_option is not None and self.stream:
            sending = self.tracer.usage_option.ask(self.fmt, sending)
        return Capture(self.tracer, self.fmt, sending, self.stream, self.site, hint, self.steered, self)

    def beside(self) -> Capture:
        """The same request once more, beside this one."""
        sending = self.sending
        other = self.next(sending._replace(request=remade(sending.request), is_spending=True))
        self.last_number = other.number
        return other

    def was_not_sent(self) -> None:
        """No request of it went out, so it does not count as one."""
        self.last_number = self.number - 1

    @guarded()
    def lost(self) -> None:
        """Another request of the same call was faster: this one was left."""
        self._end("abandoned")

    @guarded()
    def fail(self, error: BaseException) -> None:
        """The request raised before there was a response to read."""
        self._error = error
        response = getattr(error, "response", None)  # a user's event hook may raise for a status
        if isinstance(getattr(response, "status_code", None), int):
            self._see(response)
        self._end("error")

    @guarded()
    def read(self, response: Any) -> None:
        """The whole response was read while it was sent."""
        self._see(response)
        content: bytes = response.content
        self._chunks.append(content)
        self._body_size = len(content)
        self._end("complete")

    @guarded()
    def opened(self, response: Any) -> None:
        """The response's head arrived; its body will be streamed to the caller."""
        self._see(response)

    @guarded()
    def chunk(self, data: bytes) -> None:
        """The caller got ``data`` from the stream."""
        if self._ttft_ns is None:
            self._ttft_ns = time.perf_counter_ns() - self._started
        self._chunk_count += 1
        self._body_size += len(data)
        self._chunks.append(data)
        if self._body_size > MAX_BODY_BYTES and len(self._chunks) > 2 * TAIL_CHUNKS:
            del self._chunks[:-TAIL_CHUNKS]

    @guarded()
    def broke(self, error: BaseException) -> None:
        """The stream raised while the caller read it."""
        self._error = error
        self._end("error")

    @guarded()
    def exhausted(self) -> None:
        """The caller read the stream to its end."""
        self._end("complete")

    @guarded()
    def closed(self) -> None:
        """The caller closed the stream, perhaps before its end."""
        if not self._ended:
            self._end("complete" if self._saw_end() else "abandoned")

    def _saw_end(self) -> bool:
        # An error response needs no reading, and SDKs stop at the event that says the answer is complete.
        if self._http_status is not None and self._http_status >= 400:
            return True
        if encoding := self._encoding():
            whole = decode(b"".join(self._chunks), encoding) or b""
            return sse.has_line(whole, self.fmt.terminal)
        return sse.has_line(b"".join(self._chunks[-TAIL_CHUNKS:]), self.fmt.terminal)

    def _encoding(self) -> str:
        """Encodings still on the kept bytes: a response that was read has been decoded, a teed stream is as it came."""
        return self._headers.get("content-encoding", "") if self._chunk_count and self._headers is not None else ""

    def _see(self, response: Any) -> None:
        self._http_status = response.status_code
        self._headers = picked(response.headers)

    def _end(self, end: str) -> None:
        if self._ended:
            return
        self._ended = True
        duration = time.perf_counter_ns() - self._started
        if self.trip is not None:
            self.trip.leave()
        if self.tracer.pid != os.getpid():
            return  # a stream that was open when the process forked is the parent's to tell
        attempt = self._attempt(end, duration)
        line = encode(attempt)
        self.tracer.write(attempt, line)
        self.tracer.writer.submit(self._caught(attempt, line))
        if self.steered is not None:
            self._note_conversation(self.steered)
        # The response may live long, and an exception holds the frames that hold us.
        self._chunks, self._error, self._headers, self.body, self.hint, self.socket = [], None, None, None, None, None
        if self.progress is not None:
            self._note_progress(self.progress, attempt)

    @guarded()
    def note_verdict(self, detour: Detour) -> None:
        """Record the decision to escalate, which was made before, with what came of it."""
        if detour.escalation is not None and detour.verdict is not None:
            order = replace(detour.escalation.order, verdict=detour.verdict)
            detour.escalation = None
            choices = obeyed((), (order,))
            self.tracer.write(CallDecisions(self.call_id, self.run_id, self.site.site_id, self.ts_ns, choices))

    def _note_progress(self, progress: Progress, attempt: Attempt) -> None:
        has_failed = attempt.end == "error" or (attempt.http_status or 0) >= 400
        progress.ended(has_failed, partial(tokens_of, attempt) if self.tracer.steering.counts_tokens else None)

    @guarded()
    def _note_conversation(self, steered: Steered) -> None:
        """Note the id of a response that the provider keeps: what goes on from it keeps its model."""
        order = next((order for order in steered.orders if order.knob == "model"), None)
        if order is None or self.fmt is not formats.RESPONSES or not self._chunks:
            return
        encoding = self._encoding()
        head = decode(b"".join(self._chunks), encoding) if encoding else b"".join(self._chunks[:TAIL_CHUNKS])
        response_id = response_id_in(head or b"")
        if response_id is not None:
            self.tracer.steering.conversations.remember(self.run_id, order, (response_key(response_id),))

    def _attempt(self, end: str, duration_ns: int) -> Attempt:
        headers = self._headers if self._headers is not None else {}
        error = self._error
        streamed = self._chunk_count > 0 or self.stream
        return Attempt(
            attempt_id=new_id(),
            call_id=self.call_id,
            run_id=self.run_id,
            process_id=self.tracer.process.process_id,
            number=self.number,
            ts_ns=self.ts_ns,
            duration_ns=duration_ns,
            api=self.fmt.api,
            method=self.method,
            host=self.host,
            path=self.path,
            site_id=self.site.site_id,
            end=end,
            stream=streamed,
            http_status=self._http_status,
            error_type=type_name(error) if error is not None else None,
            error_message=message_of(error) if error is not None else None,
            ttft_ns=self._ttft_ns,
            chunks=self._chunk_count,
            request_bytes=len(self.body) if self.body is not None else 0,
            response_bytes=self._body_size,
            body_digest=self.digest,
            request_id=headers.get("x-request-id") or headers.get("request-id"),
            retry_after_s=retry_after(headers, time.time()),
            sdk_retry=self.sdk_retry,
            model=redact_name(self.model) if self.model is not None else None,
            # A stream that was left brings no final count: Anthropic's begins with a placeholder.
            usage_fragment=self._usage() if end == "complete" else None,
            timeout_s=self._timeout_s(),
            max_retries=self._max_retries(),
            trace_id=self.span.trace_id,
            span_id=self.span.span_id,
            after_call_id=self.after_call_id,
            is_branch=self.is_branch,
        )

    def _timeout_s(self) -> float | None:
        timeout = self._extensions.get("timeout")
        return timeout.get("read") if isinstance(timeout, dict) else None

    def _max_retries(self) -> int | None:
        if self.steered is not None and self.steered.max_retries is not None:
            return self.steered.max_retries
        return self.hint.max_retries.value if self.hint is not None else None

    def _usage(self) -> str | None:
        if not self._chunks:
            return None
        tail = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks[-TAIL_CHUNKS:])
        return usage.fragment(tail, self._chunks[0])

    def _caught(self, attempt: Attempt, line: bytes) -> Caught:
        headers = self._headers if self._headers is not None else {}
        whole = sum(map(len, self._chunks)) == self._body_size
        return Caught(
            attempt=attempt,
            fmt=self.fmt,
            request_body=self.body,
            response_body=b"".join(self._chunks) if self._headers is not None and whole else None,
            content_type=headers.get("content-type", ""),
            content_encoding=self._encoding(),
            site=self.site,
            hint=self.hint,
            orders=self.steered.orders if self.steered is not None else (),
            is_spending=self.sending.is_spending,
            line=line,
        )
