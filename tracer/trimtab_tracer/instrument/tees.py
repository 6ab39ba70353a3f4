"""Streams that pass a response's chunks on to the caller and note them on the way.

httpx and httpx2 accept no stream class but their own, so there is a pair for each library. A tee forwards what it does
not know, because the libraries and SDKs look for further attributes on a stream, and it tells its end wherever it
comes: at the last chunk, at an error, when it is closed, or when it is forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

from ..capture import Capture
from ..guard import guarded
from ..wire.usage_chunk import whole_without_usage
from .limits import async_chunks, chunks, socket_of
from .stripping import async_stripped, strip, sync_stripped


@guarded()
def deliver(capture: Capture, response: Any, tee: Any) -> None:
    """Capture ``response``: at once where it was read while it was sent, else as its reader goes on."""
    if response.is_stream_consumed or hasattr(response, "_content"):
        capture.read(response)
        if capture.sending.plain is not None:
            response._content = whole_without_usage(response.content)
        return
    capture.opened(response)
    if capture.delivery is not None:
        capture.socket = socket_of(response)
    if capture.sending.plain is None:
        response.stream = tee(response.stream, capture)
    else:
        strip(response, tee, capture)


class Tee:
    """What both kinds share."""

    stripped: type
    """The same that keeps the usage we asked for from the caller."""
    decoding_error: type[Exception]
    """What the library raises where a body's compression can't be undone."""

    def __init__(self, inner: Any, capture: Capture) -> None:
        self._inner = inner
        self._capture = capture

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def __del__(self) -> None:
        if "_capture" in self.__dict__:  # not where its construction failed
            self._capture.closed()


def sync_tee(module: ModuleType) -> type:
    """The tee for ``module.Client``."""
    base: Any = module.SyncByteStream

    class SyncTee(Tee, base):  # type: ignore[misc]
        """Passes chunks on."""

        decoding_error = module.DecodingError

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in chunks(self._inner, self._capture) or self._inner:
                    self._capture.chunk(chunk)
                    yield chunk
            except GeneratorExit:
                self._capture.closed()
                raise
            except BaseException as error:
                self._capture.broke(error)
                raise
            self._capture.exhausted()

        def close(self) -> None:
            try:
                self._inner.close()
            finally:
                self._capture.closed()

    SyncTee.stripped = sync_stripped(SyncTee)
    return SyncTee


def async_tee(module: ModuleType) -> type:
    """The tee for ``module.AsyncClient``."""
    base: Any = module.AsyncByteStream

    class AsyncTee(Tee, base):  # type: ignore[misc]
        """Passes chunks on."""

        decoding_error = module.DecodingError

        async def __aiter__(self) -> AsyncIterator[bytes]:
            inner = (async_chunks(self._inner, self._capture) or self._inner).__aiter__()
            try:
                async for chunk in inner:
                    self._capture.chunk(chunk)
                    yield chunk
            except GeneratorExit:
                self._capture.closed()
                raise
            except BaseException as error:
                self._capture.broke(error)
                raise
            finally:
                # Without this an abandoned stream would keep its connection until the garbage collector comes.
                if hasattr(inner, "aclose"):
                    await inner.aclose()
            self._capture.exhausted()

        async def aclose(self) -> None:
            try:
                await self._inner.aclose()
            finally:
                self._capture.closed()

    AsyncTee.stripped = async_stripped(AsyncTee)
    return AsyncTee
