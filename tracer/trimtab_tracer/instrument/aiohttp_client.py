"""The hook on ``ClientSession._request`` of aiohttp.

google-genai's asynchronous client, voyageai and others, and many hand-written agents, call models over aiohttp. Every
``.post()`` and ``.request()`` of any session goes through this one coroutine, also for sessions built before
``instrument()``. A client of httpx that sends through aiohttp (LiteLLM, the SDKs' aiohttp extras) has its call captured
above, and comes by here within it.

What a caller passes as ``json`` is serialised once, as without us, and only then looked at; other traffic is let by
after a look at its path.

aiohttp hands a response over before its body, and the reader of that body has slots and is fed by a parser that knows
it: it can be neither wrapped nor extended. It gets another class of the same layout (:func:`reader_class`) for as long
as its body is being read. Should aiohttp's private parts change so that this fails, the attempt is recorded without its
body.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from .. import context
from ..calls import begin
from ..capture import Capture
from ..guard import guarded
from ..wire import formats
from .exchanges import Reading, RequestView, ResponseView, UrlView
from .http_clients import Active
from .patches import Patches

UNDONE = ("gzip", "deflate", "br", "zstd")
"""Encodings of a body that aiohttp undoes."""


def patch(patches: Patches, module: ModuleType, active: Active) -> None:
    """Hook the sessions of ``module`` (aiohttp)."""
    teed = reader_class(module)
    patches.replace(module.ClientSession, "_request", functools.partial(_hooked, active, module, teed))


def _hooked(active: Active, module: ModuleType, teed: type, original: Any) -> Any:
    @functools.wraps(original)
    async def _request(self: Any, method: Any, str_or_url: Any, **kwargs: Any) -> Any:
        capture = _begin(active, module, self, method, str_or_url, kwargs)
        if capture is None:
            return await original(self, method, str_or_url, **kwargs)
        token = context.in_send.set(True)
        try:
            response = await original(self, method, str_or_url, **kwargs)
        except BaseException as error:
            _failed(module, capture, error)
            raise
        finally:
            context.leave_send(token)
        _deliver(capture, response, teed, self, kwargs.get("auto_decompress"))
        return response

    return _request


@guarded()
def _begin(
    active: Active, module: ModuleType, session: Any, method: Any, url: Any, kwargs: dict[str, Any]
) -> Capture | None:
    tracer = active()
    if tracer is None or context.in_send.get() or not isinstance(method, str) or method.upper() != "POST":
        return None
    request = _view(module, session, url, kwargs)
    return begin(tracer, session, request, request.asks_stream, is_steerable=False) if request is not None else None


def _view(module: ModuleType, session: Any, str_or_url: Any, kwargs: dict[str, Any]) -> RequestView | None:
    """The request; None where it is no LLM call, or aiohttp itself will not make one of it."""
    try:
        url = session._build_url(str_or_url)
        if session.closed or formats.match("POST", url.path) is None:
            return None
        _serialise(module, session, kwargs)
    except Exception:
        return None
    netloc = url.raw_authority.rpartition("@")[2].encode()
    timeout = {"read": _timeout_s(kwargs.get("timeout", session.timeout), module.ClientTimeout)}
    return RequestView("POST", UrlView(netloc, url.path), _body(kwargs.get("data")), extensions={"timeout": timeout})


def _serialise(module: ModuleType, session: Any, kwargs: dict[str, Any]) -> None:
    """Put the payload that aiohttp would make of ``json`` in its place: what it is made of may be read only once."""
    value = kwargs.get("json")
    if value is None:
        return
    if kwargs.get("data") is not None:
        raise ValueError("aiohttp refuses data beside json")
    as_bytes = getattr(session, "_json_serialize_bytes", None)  # not in every version
    if as_bytes is not None:
        payload = module.payload.JsonBytesPayload(value, dumps=as_bytes)
    else:
        payload = module.JsonPayload(value, dumps=session._json_serialize)
    kwargs["data"] = payload
    del kwargs["json"]


def _body(data: Any) -> bytes | None:
    """The request's body, or None where reading it would consume it."""
    if isinstance(data, str):
        return data.encode()
    data = getattr(data, "_value", data)  # aiohttp's own wrapper around bytes
    return bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else None


def _timeout_s(timeout: Any, kind: type) -> float | None:
    """The longest wait for an answer, in seconds: for a part of it or, where that is less, for all of it."""
    if not isinstance(timeout, kind):
        return timeout if isinstance(timeout, (int, float)) else None
    limits: Any = timeout
    return min((limit for limit in (limits.sock_read, limits.total) if limit), default=None)


@guarded()
def _failed(module: ModuleType, capture: Capture, error: Any) -> None:
    # `raise_for_status` raises this class too, and unlike a response that can't be read it has no other cause.
    if type(error) is module.ClientResponseError and error.__cause__ is None:
        capture.opened(ResponseView(error.status, error.headers or {}))
        capture.broke(error)
    else:
        capture.fail(error)


@guarded()
def _deliver(capture: Capture, response: Any, teed: Any, session: Any, auto_decompress: bool | None) -> None:
    """Capture ``response``: at once where its body is known, else as its reader goes on."""
    is_undone = session.auto_decompress if auto_decompress is None else auto_decompress
    headers = {name.lower(): value for name, value in response.headers.items()}
    if is_undone and headers.get("content-encoding", "").lower() in UNDONE:
        del headers["content-encoding"]
    view = ResponseView(response.status, headers, response._body or b"")
    reader = response.content
    if response._body is not None or type(reader) is not teed.__base__:
        capture.read(view)
        return
    reading = Reading(capture, view)
    try:
        _tee(reader, teed, reading)
    except Exception:
        reading.closed()
        raise


class Kept(list[Any]):
    """A reader's list of callbacks: emptied at its end, but its own for life. Holds what we keep for it."""

    reading: Reading
    is_taking = False
    """The caller takes a chunk now, which may let the parser reach the end before the chunk was told."""

    def __del__(self) -> None:
        if hasattr(self, "reading"):
            self.reading.closed()


def reader_class(module: ModuleType) -> type:
    """The class of readers whose chunks are told; without slots of its own, so that a reader can become one."""
    base: Any = module.StreamReader

    class StreamReader(base):  # type: ignore[misc]
        """Passes chunks on."""

        __slots__ = ()

        def _read_nowait_chunk(self, n: int) -> bytes:
            _note_taking(self)
            data: bytes = super()._read_nowait_chunk(n)
            _note_chunk(self, data)
            return data

        async def _wait(self, func_name: str) -> None:
            try:
                await super()._wait(func_name)
            except BaseException as error:
                _note_stumble(self, error)
                raise

        def feed_eof(self) -> None:
            super().feed_eof()
            _note_end(self)

        def set_exception(self, exc: BaseException, *args: Any, **kwargs: Any) -> None:
            # Exactly this class, none of its children, is what a reader gets when the caller closes the response.
            _note_break(self, exc, type(exc) is module.ClientConnectionError)
            super().set_exception(exc, *args, **kwargs)

    return StreamReader


def _tee(reader: Any, teed: type, reading: Reading) -> None:
    """Make ``reader`` one whose chunks are told."""
    kept = Kept(reader._eof_callbacks)
    kept.reading = reading
    reader._eof_callbacks = kept
    reader.__class__ = teed
    if reader.exception() is not None:
        reading.broke(reader.exception())
    _note_end(reader)


@guarded()
def _note_taking(reader: Any) -> None:
    reader._eof_callbacks.is_taking = True


@guarded()
def _note_chunk(reader: Any, data: bytes) -> None:
    kept = reader._eof_callbacks
    kept.is_taking = False
    kept.reading.chunk(data)
    _note_end(reader)


@guarded()
def _note_end(reader: Any) -> None:
    kept = reader._eof_callbacks
    if reader._eof and not reader._buffer and not kept.is_taking:
        kept.reading.exhausted()


@guarded()
def _note_stumble(reader: Any, error: BaseException) -> None:
    reader._eof_callbacks.reading.stumbled(error)


@guarded()
def _note_break(reader: Any, error: BaseException, is_closed: bool) -> None:
    reading = reader._eof_callbacks.reading
    if is_closed:
        reading.closed()
    else:
        reading.broke(error)
