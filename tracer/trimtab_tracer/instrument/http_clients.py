"""The hook on ``Client.send`` and ``AsyncClient.send`` of httpx and httpx2.

Every ``.post()``, ``.stream()`` and SDK call goes through ``send``; transports do not see them all, and SDK methods
differ. A response that is read inside ``send`` is captured there. A streamed one gets its stream replaced by a tee
that subclasses that library's own stream class and forwards what it does not know. Works for clients built before
``instrument()``, because the classes are patched and not the objects.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import Token
from types import ModuleType
from typing import Any

from .. import context
from ..capture import Capture, begin
from ..guard import guarded
from ..tracer import Tracer
from .patches import Patches

Active = Callable[[], Tracer | None]
"""Gives the tracer of this process, or None while tracing is off."""

Other = Callable[[], None]
"""Called at a request that is no LLM call."""


def patch(patches: Patches, module: ModuleType, active: Active, other: Other) -> None:
    """Hook both clients of ``module`` (httpx or httpx2)."""
    tees = make_tees(module)
    patches.replace(module.Client, "send", functools.partial(_sync_send, active, other, tees[0]))
    patches.replace(module.AsyncClient, "send", functools.partial(_async_send, active, other, tees[1]))


def _sync_send(active: Active, other: Other, tee: Any, original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        capture = _begin(active, other, request, kwargs)
        if capture is None:
            return original(self, request, *args, **kwargs)
        token = context.in_send.set(True)
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            _leave(token)
        _end(capture, response, tee)
        return response

    return send


def _async_send(active: Active, other: Other, tee: Any, original: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        capture = _begin(active, other, request, kwargs)
        if capture is None:
            return await original(self, request, *args, **kwargs)
        token = context.in_send.set(True)
        try:
            response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            capture.fail(error)
            raise
        finally:
            _leave(token)
        _end(capture, response, tee)
        return response

    return send


@guarded()
def _leave(token: Token[bool]) -> None:
    with suppress(ValueError):  # a coroutine that is destroyed is closed in another context
        context.in_send.reset(token)


@guarded()
def _begin(active: Active, other: Other, request: Any, kwargs: dict[str, Any]) -> Capture | None:
    tracer = active()
    if tracer is None:
        return None
    capture = begin(tracer, request, bool(kwargs.get("stream")))
    if capture is None and not context.in_send.get():
        other()
    return capture


@guarded()
def _end(capture: Capture, response: Any, tee: Any) -> None:
    if response.is_stream_consumed or hasattr(response, "_content"):
        capture.read(response)
        return
    capture.opened(response)
    response.stream = tee(response.stream, capture)


def make_tees(module: ModuleType) -> tuple[type, type]:
    """The sync and the async tee for ``module``, which accepts no stream class but its own."""
    sync_base: Any = module.SyncByteStream
    async_base: Any = module.AsyncByteStream

    class SyncTee(sync_base):  # type: ignore[misc]
        """Passes a response's chunks on and notes them."""

        def __init__(self, inner: Any, capture: Capture) -> None:
            self._inner = inner
            self._capture = capture

        def __iter__(self) -> Iterator[bytes]:
            try:
                for chunk in self._inner:
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

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["_inner"], name)

        def __del__(self) -> None:
            if "_capture" in self.__dict__:  # not where its construction failed
                self._capture.closed()

    class AsyncTee(async_base):  # type: ignore[misc]
        """Passes a response's chunks on and notes them."""

        def __init__(self, inner: Any, capture: Capture) -> None:
            self._inner = inner
            self._capture = capture

        async def __aiter__(self) -> AsyncIterator[bytes]:
            inner = self._inner.__aiter__()
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

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["_inner"], name)

        def __del__(self) -> None:
            if "_capture" in self.__dict__:  # not where its construction failed
                self._capture.closed()

    return SyncTee, AsyncTee
