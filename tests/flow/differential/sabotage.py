"""Hooks that are broken on purpose, each in one small way, to show that the comparison finds it.

Each is a context manager that sits where trimtab's hook sits, on ``send`` of both clients of httpx and httpx2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import httpx2


class Skipping(httpx.SyncByteStream, httpx.AsyncByteStream, httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A stream without the second of its chunks."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __iter__(self) -> Any:
        yield from (chunk for number, chunk in enumerate(self._inner) if number != 1)

    async def __aiter__(self) -> Any:
        number = 0
        async for chunk in self._inner:
            if number != 1:
                yield chunk
            number += 1

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


def swallow(call: Any, client: Any, request: Any, **options: Any) -> Any:
    """Lose a chunk."""
    response = yield call(client, request, **options)
    if not response.is_stream_consumed:
        response.stream = Skipping(response.stream)
    return response


def repeat(call: Any, client: Any, request: Any, **options: Any) -> Any:
    """Send again what failed."""
    response = yield call(client, request, **options)
    if response.status_code >= 500:
        response = yield call(client, request, **options)
    return response


def rewrite(call: Any, client: Any, request: Any, **options: Any) -> Any:
    """Leave a mark on the request."""
    request.headers["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    return (yield call(client, request, **options))


def rewrap(call: Any, client: Any, request: Any, **options: Any) -> Any:
    """Raise an exception like the one that came."""
    try:
        return (yield call(client, request, **options))
    except (httpx.TransportError, httpx2.TransportError) as error:
        raise type(error)(str(error), request=request) from error


def read_ahead(call: Any, client: Any, request: Any, **options: Any) -> Any:
    """Read a stream before its reader does."""
    response = yield call(client, request, **options)
    yield response.aread() if hasattr(client, "aclose") else response.read()
    return response


def _sync(steps: Callable[..., Any], original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any, request: Any, **options: Any) -> Any:
        work = steps(original, self, request, **options)
        try:
            value = next(work)
            while True:
                value = work.send(value)
        except StopIteration as end:
            return end.value

    return send


def _async(steps: Callable[..., Any], original: Any) -> Any:
    @functools.wraps(original)
    async def send(self: Any, request: Any, **options: Any) -> Any:
        work = steps(original, self, request, **options)
        try:
            waiting = next(work)
            while True:
                try:
                    value = await waiting
                except BaseException as error:
                    waiting = work.throw(error)
                else:
                    waiting = work.send(value)
        except StopIteration as end:
            return end.value

    return send


@contextmanager
def broken(steps: Callable[..., Any]) -> Iterator[None]:
    """``steps`` in the place of every ``send``."""
    kept = []
    for module in (httpx, httpx2):
        for cls, hook in ((module.Client, _sync), (module.AsyncClient, _async)):
            kept.append((cls, cls.send))
            cls.send = hook(steps, cls.send)
    try:
        yield
    finally:
        for cls, original in kept:
            cls.send = original


SABOTAGES: dict[str, Callable[[], Any]] = {
    steps.__name__: functools.partial(broken, steps) for steps in (swallow, repeat, rewrite, rewrap, read_ahead)
}
"""By what they do."""
