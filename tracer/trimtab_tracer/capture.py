"""One HTTP request of an LLM call, from before it is sent until its last byte: the hot path.

In: a request of either HTTP library and what came of it. Out: an :class:`.records.Attempt`, spooled before control
returns to the agent, and the captured bytes, queued for the writer thread that parses them. Nothing is parsed here.

The two HTTP libraries (httpx and its fork httpx2) share this code, because their objects look alike; everything that
differs by library stands in :mod:`.instrument.http_clients`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from . import context
from .caught import Caught, decode
from .digests import digest
from .guard import guarded
from .instrument import stainless
from .records import Attempt, Site
from .redact import redact_url
from .tracer import Tracer, message_of, new_id, type_name
from .wire import formats, sse, usage

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Response bytes kept for parsing; of a longer body only the end is kept, which holds the usage."""

TAIL_CHUNKS = 16
"""Last chunks of a stream that are searched for the usage object."""


class Capture:
    """One attempt in the making.

    Built by :func:`begin` just before the request is sent; then exactly one of :meth:`fail`, :meth:`read` or the
    stream methods end it. Ending twice is harmless: the first end counts.
    """

    def __init__(
        self,
        tracer: Tracer,
        fmt: formats.WireFormat,
        request: Any,
        body: bytes | None,
        model: str | None,
        stream: bool,
        site: Site,
    ) -> None:
        self.tracer = tracer
        self.fmt = fmt
        self.body = body
        self.model = model
        self.stream = stream
        self.site = site
        self.method: str = request.method
        self.host = request.url.netloc.decode("ascii", "replace").rpartition("@")[2]
        self.path = redact_url(request.url.path)
        self.digest = digest(self.body) if self.body is not None else None
        self.sdk_retry = _integer(request.headers.get("x-stainless-retry-count"))
        self._extensions = request.extensions  # httpx fills in the client's timeout while it sends
        self.hint = stainless.hint_for(request)
        self.run_id = tracer.run_id()
        self.call_id, self.number = self._call()
        self._chunks: list[bytes] = []
        self._chunk_count = 0
        self._body_size = 0
        self._ttft_ns: int | None = None
        self._http_status: int | None = None
        self._headers: Any = None
        self._error: BaseException | None = None
        self._ended = False
        self.ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    def _call(self) -> tuple[str, int]:
        """The call this attempt belongs to: the SDK's retries of the same body in this context make one call."""
        last = context.last_attempt.get()
        if self.sdk_retry and last is not None and last.body_digest == self.digest and last.number == self.sdk_retry:
            call_id, number = last.call_id, last.number + 1
        else:
            # A retry whose first attempt was made out of sight keeps its number.
            call_id, number = new_id(), (self.sdk_retry or 0) + 1
        context.last_attempt.set(context.LastAttempt(call_id, self.digest, number))
        return call_id, number

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
        if not self._chunk_count or self._headers is None:
            return ""
        encoding: str = self._headers.get("content-encoding", "")
        return encoding

    def _see(self, response: Any) -> None:
        self._http_status = response.status_code
        self._headers = response.headers

    def _end(self, end: str) -> None:
        if self._ended:
            return
        self._ended = True
        duration = time.perf_counter_ns() - self._started
        if self.tracer.pid != os.getpid():
            return  # a stream that was open when the process forked is the parent's to tell
        attempt = self._attempt(end, duration)
        self.tracer.write(attempt)
        self.tracer.writer.submit(self._caught(attempt))
        # The response may live long, and an exception holds the frames that hold us.
        self._chunks, self._error, self._headers, self.body, self.hint = [], None, None, None, None

    def _attempt(self, end: str, duration_ns: int) -> Attempt:
        headers: Any = self._headers if self._headers is not None else {}
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
            retry_after_s=_retry_after(headers),
            sdk_retry=self.sdk_retry,
            model=self.model,
            # A stream that was left brings no final count: Anthropic's begins with a placeholder.
            usage_fragment=self._usage() if end == "complete" else None,
            timeout_s=self._timeout_s(),
            max_retries=self.hint.max_retries.value if self.hint is not None else None,
        )

    def _timeout_s(self) -> float | None:
        timeout = self._extensions.get("timeout")
        return timeout.get("read") if isinstance(timeout, dict) else None

    def _usage(self) -> str | None:
        if not self._chunks:
            return None
        tail = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks[-TAIL_CHUNKS:])
        return usage.fragment(tail, self._chunks[0])

    def _caught(self, attempt: Attempt) -> Caught:
        headers: Any = self._headers if self._headers is not None else {}
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
        )


@guarded()
def begin(tracer: Tracer, request: Any, stream: bool) -> Capture | None:
    """Start to capture ``request``, or None where it is no LLM call or lies within another one."""
    if context.in_send.get():
        return None
    path = request.url.path
    fmt = formats.match(request.method, path)
    if fmt is None:
        return None
    body = _body(request)
    model = usage.model_of(body, path) if body is not None else None
    if body is not None and model is None:
        return None  # a path that merely looks alike: other services have a /responses too
    return Capture(tracer, fmt, request, body, model, stream, tracer.sites.here(sys._getframe(1)))


def _body(request: Any) -> bytes | None:
    """The request's body, or None where reading it would consume it (generators, multipart streams)."""
    try:
        content: bytes = request.content
    except Exception:
        return None
    return content


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _retry_after(headers: Any) -> float | None:
    """Seconds that the provider asks to wait; None where it does not, or names a date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is not None:
            try:
                return float(text) * unit
            except ValueError:
                return None
    return None
