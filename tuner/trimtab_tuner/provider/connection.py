"""One client connection: HTTP/1.1 through h11, keep-alive, and the planned breakages.

In: bytes of a client; plans of :mod:`.engine`. Out: bytes to the client, and one log entry per request. While a
response is on its way the connection is also read, so that a client that hangs up is noticed at once and logged. What
a client sends beyond HTTP ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import h11

from .engine import Engine, Outgoing
from .incoming import RawRequest
from .log import RequestLog, SentToolCall

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""A longer request body ends the connection; agents send far less."""

_READ_BYTES = 64 * 1024


@dataclass(slots=True)
class _Sent:
    """What of a response has been sent so far."""

    status: int | None = None
    text: str = ""
    tool_calls: list[SentToolCall] = field(default_factory=list)
    usage: bool = False
    chunks: int = 0
    response_bytes: int = 0
    complete: bool = False
    logged: bool = False


class Connection:
    """Serves one client until it leaves."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, engine: Engine, log: RequestLog
    ) -> None:
        self._reader, self._writer = reader, writer
        self._engine, self._log = engine, log
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=256 * 1024)
        self._reading: asyncio.Task[bytes] | None = None
        # asyncio leaves Nagle's algorithm on for a listening socket that was made without a protocol number, which
        # holds small chunks back until the client's delayed acknowledgement (40 ms).
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Then drain() waits until everything went to the kernel, and an abort right after it loses nothing.
        writer.transport.set_write_buffer_limits(high=0)

    async def serve(self) -> None:
        """Answer requests until the client leaves, a plan breaks the connection, or the server stops."""
        try:
            while (raw := await self._receive()) is not None:
                self._engine.in_flight += 1
                try:
                    usable = await self._send(self._engine.respond(raw))
                finally:
                    self._engine.in_flight -= 1
                if not usable or self._http.our_state is h11.MUST_CLOSE:
                    return
                self._http.start_next_cycle()
        except (ConnectionError, h11.ProtocolError):
            pass  # the client is gone, or speaks something else
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            self._writer.close()

    async def _receive(self) -> RawRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._writer.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                self._http.receive_data(await self._read())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_REQUEST_BYTES:
                    return None
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = list(head.headers.raw_items())
                return RawRequest(
                    head.method.decode("ascii"), head.target.decode("latin-1"), headers, bytes(body), time.time_ns()
                )
            else:  # ConnectionClosed, or PAUSED by a client that wants another protocol
                return None

    async def _read(self) -> bytes:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_READ_BYTES))
        data = await self._reading
        self._reading = None
        return data

    async def _send(self, out: Outgoing) -> bool:
        """Carry out the plan; False where the connection is not usable any more."""
        sent = _Sent()
        work = asyncio.ensure_future(self._perform(out, sent))
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_READ_BYTES))
        try:
            await asyncio.wait({work, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not _got_data(self._reading):
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                self._finish(out, sent, client_closed=True)
                return False
            return await work
        except ConnectionError:
            self._finish(out, sent, client_closed=not sent.complete)
            return False
        except asyncio.CancelledError:
            work.cancel()
            self._finish(out, sent)
            raise

    async def _perform(self, out: Outgoing, sent: _Sent) -> bool:
        if out.delay_s:
            await asyncio.sleep(out.delay_s)
        if out.status is None:
            self._finish(out, sent, then=self._writer.transport.abort)
            return False
        squeeze = zlib.compressobj(wbits=31) if out.gzip else None
        return await (self._perform_stream if out.chunks is not None else self._perform_body)(out, sent, squeeze)

    async def _perform_body(self, out: Outgoing, sent: _Sent, squeeze: zlib._Compress | None) -> bool:
        body = out.body if squeeze is None else squeeze.compress(out.body) + squeeze.flush()
        head = self._head(out, [("content-length", str(len(body)))])
        sent.status = out.status
        if out.breaks:
            part = body[: len(body) // 2]
            self._writer.write(head + part)
            await self._writer.drain()
            sent.response_bytes = len(part)
            self._finish(replace(out, entry=replace(out.entry, text="")), sent, then=self._writer.transport.abort)
            return False
        data = head + (self._http.send(h11.Data(data=body)) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        sent.response_bytes, sent.text, sent.tool_calls = len(out.body), out.entry.text, list(out.tool_calls)
        sent.complete = sent.usage = True
        self._finish(out, sent, then=lambda: self._writer.write(data))
        await self._writer.drain()
        return True

    async def _perform_stream(self, out: Outgoing, sent: _Sent, squeeze: zlib._Compress | None) -> bool:
        self._writer.write(self._head(out, []))
        sent.status = out.status
        await self._writer.drain()
        chunks = out.chunks or ()
        for i, chunk in enumerate(chunks):
            # Without a wait this still lets other connections have their turn.
            await asyncio.sleep(out.chunk_delay_s)
            data = chunk.data if squeeze is None else squeeze.compress(chunk.data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
            framed = self._http.send(h11.Data(data=data)) or b""
            sent.chunks, sent.response_bytes = i + 1, sent.response_bytes + len(chunk.data)
            sent.text, sent.usage = sent.text + chunk.text, sent.usage or chunk.usage
            if chunk.tool is not None:
                sent.tool_calls.append(out.tool_calls[chunk.tool])
            if i + 1 < len(chunks) or out.breaks:
                self._writer.write(framed)
                await self._writer.drain()
            else:
                tail = self._http.send(h11.Data(data=squeeze.flush())) or b"" if squeeze is not None else b""
                last = framed + tail + (self._http.send(h11.EndOfMessage()) or b"")
                sent.complete = True
                self._finish(out, sent, then=lambda: self._writer.write(last))  # noqa: B023 - called at once
                await self._writer.drain()
                return True
        self._finish(out, sent, then=self._writer.transport.abort)
        return False

    def _head(self, out: Outgoing, extra: list[tuple[str, str]]) -> bytes:
        headers = out.headers + extra + ([("content-encoding", "gzip")] if out.gzip else [])
        return self._http.send(h11.Response(status_code=out.status or 500, headers=headers)) or b""

    def _finish(
        self, out: Outgoing, sent: _Sent, *, client_closed: bool = False, then: Callable[[], object] | None = None
    ) -> None:
        """Log a request and only then do the last thing for it, so that whoever saw the latter finds the former."""
        if not sent.logged:
            sent.logged = True
            entry = replace(
                out.entry,
                finished_ns=time.time_ns(),
                status=sent.status,
                response_id=out.entry.response_id if sent.response_bytes else None,
                finish=out.finish if sent.complete else None,
                text=sent.text,
                tool_calls=tuple(sent.tool_calls),
                usage=out.usage if sent.usage else None,
                chunks=sent.chunks,
                response_bytes=sent.response_bytes,
                client_closed=client_closed,
            )
            self._log.add(entry)
        if then is not None:
            then()


def _got_data(reading: asyncio.Task[bytes]) -> bool:
    """Whether the client sent more, rather than hung up."""
    return reading.done() and not reading.cancelled() and reading.exception() is None and bool(reading.result())
