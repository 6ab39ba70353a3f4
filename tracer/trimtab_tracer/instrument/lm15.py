"""The hook on lm15, an HTTP client over plain sockets that DSPy brings along in a copy of its own.

Two transports, one blocking and one for asyncio, have one method each that every request goes through:
``StdlibTransport.stream`` and ``StdlibAsyncTransport._do_stream``. What they return hands out the body by ``_chunks``,
undone of its compression, and is let go of by ``_release``: both are replaced by ones that tell. lm15 sends nothing
again by itself. In a version where those names are others the hook is not installed, or the attempt is recorded
without its body.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from .. import context
from ..calls import begin
from ..capture import Capture
from ..guard import guarded
from .exchanges import Reading, RequestView, ResponseView, UrlView
from .http_clients import Active
from .patches import Patches

TRANSPORTS = ("lm15.transports", "dspy._vendor.lm15.transports")
"""Packages whose modules ``_sync`` and ``_async`` hold the two."""


def patch_sync(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook the blocking transport of ``module`` (``_sync``)."""
    patches.replace(module.StdlibTransport, "stream", functools.partial(_sync, active))


def patch_async(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook the awaited transport of ``module`` (``_async``)."""
    patches.replace(module.StdlibAsyncTransport, "_do_stream", functools.partial(_async, active))


def _sync(active: Active, original: Any) -> Any:
    @functools.wraps(original)
    def stream(self: Any, request: Any) -> Any:
        capture = _begin(active, self, request)
        if capture is None:
            return original(self, request)
        token = context.in_send.set(True)
        try:
            response = original(self, request)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            context.leave_send(token)
        _deliver(capture, response, Told, _told_release)
        return response

    return stream


def _async(active: Active, original: Any) -> Any:
    @functools.wraps(original)
    async def _do_stream(self: Any, request: Any) -> Any:
        capture = _begin(active, self, request)
        if capture is None:
            return await original(self, request)
        token = context.in_send.set(True)
        try:
            response = await original(self, request)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            context.leave_send(token)
        _deliver(capture, response, AsyncTold, _told_async_release)
        return response

    return _do_stream


@guarded()
def _begin(active: Active, transport: Any, request: Any) -> Capture | None:
    tracer = active()
    if tracer is None or context.in_send.get():
        return None
    url = urlsplit(request.url)
    where = UrlView(url.netloc.rpartition("@")[2].encode(), unquote(url.path))
    timeout = {"read": request.read_timeout or transport._read_timeout}
    body = request.body if isinstance(request.body, bytes) else None
    view = RequestView(request.method.upper(), where, body, extensions={"timeout": timeout})
    return begin(tracer, transport, view, view.asks_stream, is_steerable=False)


@guarded()
def _deliver(capture: Capture, response: Any, told: Any, told_release: Any) -> None:
    """Capture ``response`` as its caller reads it."""
    headers = {name.lower(): value for name, value in response.headers}
    headers.pop("content-encoding", None)
    reading = Reading(capture, ResponseView(response.status, headers))
    try:
        chunks, release = told(response._chunks, reading), told_release(response._release, reading)
        response._chunks, response._release = chunks, release
    except Exception:
        reading.closed()
        raise


def _told_release(release: Callable[[bool], None], reading: Reading) -> Callable[[bool], None]:
    def released(body_consumed: bool) -> None:
        try:
            release(body_consumed)
        finally:
            reading.closed()

    return released


def _told_async_release(release: Callable[[bool], Awaitable[None]], reading: Reading) -> Any:
    async def released(body_consumed: bool) -> None:
        try:
            await release(body_consumed)
        finally:
            reading.closed()

    return released


class Told:
    """A body's chunks, told as they are taken."""

    def __init__(self, chunks: Any, reading: Reading) -> None:
        self._chunks = chunks
        self._reading = reading

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk: bytes = next(self._chunks)
        except StopIteration:
            self._reading.exhausted()
            raise
        except BaseException as error:
            self._reading.broke(error)
            raise
        self._reading.chunk(chunk)
        return chunk

    def __del__(self) -> None:
        self._reading.closed()


class AsyncTold(Told):
    """The same, awaited."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await self._chunks.__anext__()
        except StopAsyncIteration:
            self._reading.exhausted()
            raise
        except BaseException as error:
            self._reading.broke(error)
            raise
        self._reading.chunk(chunk)
        return chunk
