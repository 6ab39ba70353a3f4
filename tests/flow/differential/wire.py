"""Transports and event hooks such as users give to an HTTP client, for httpx and httpx2, sync and async.

The transport counts what goes to the network, so that a test knows how many requests to wait for. The slicing one also
hands bodies on in pieces of seven bytes, whatever the network made of them: chunks can then be compared exactly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

PIECE = 7
"""Bytes of a slice."""


class Wire:
    """Makes transports and counts the requests through all of them."""

    def __init__(self, slices: bool) -> None:
        self.sent = 0
        self.slices = slices

    def transport(self, module: ModuleType, is_async: bool) -> Any:
        """A transport for ``module``'s clients."""
        # There are no certificates here, and to load the system's takes longer than a case.
        if is_async:
            return _async_transport(module)(self, module.AsyncHTTPTransport(verify=False))
        return _sync_transport(module)(self, module.HTTPTransport(verify=False))


def _sync_transport(module: ModuleType) -> Any:
    class Transport(module.BaseTransport):
        def __init__(self, wire: Wire, inner: Any) -> None:
            self._wire, self._inner = wire, inner

        def handle_request(self, request: Any) -> Any:
            self._wire.sent += 1
            response = self._inner.handle_request(request)
            if self._wire.slices:
                response.stream = Slices(response.stream)
            return response

        def close(self) -> None:
            self._inner.close()

    class Slices(module.SyncByteStream):
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            held = b""
            for chunk in self._inner:
                held += chunk
                while len(held) >= PIECE:
                    yield held[:PIECE]
                    held = held[PIECE:]
            if held:
                yield held

        def close(self) -> None:
            self._inner.close()

    return Transport


def _async_transport(module: ModuleType) -> Any:
    class Transport(module.AsyncBaseTransport):
        def __init__(self, wire: Wire, inner: Any) -> None:
            self._wire, self._inner = wire, inner

        async def handle_async_request(self, request: Any) -> Any:
            self._wire.sent += 1
            response = await self._inner.handle_async_request(request)
            if self._wire.slices:
                response.stream = Slices(response.stream)
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    class Slices(module.AsyncByteStream):
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            held = b""
            async for chunk in self._inner:
                held += chunk
                while len(held) >= PIECE:
                    yield held[:PIECE]
                    held = held[PIECE:]
            if held:
                yield held

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Transport


class HookError(Exception):
    """Raised by a user's event hook."""


def event_hooks(name: str, is_async: bool) -> dict[str, list[Any]]:
    """The event hooks of one client: they raise, or read what nobody has read yet."""

    def raise_at_request(request: Any) -> None:
        raise HookError("request", request.method)

    def raise_at_response(response: Any) -> None:
        raise HookError("response", response.status_code)

    def raise_for_status(response: Any) -> None:
        response.raise_for_status()

    def read(response: Any) -> None:
        response.read()

    async def read_async(response: Any) -> None:
        await response.aread()

    hooks = {
        "none": {},
        "request raises": {"request": raise_at_request},
        "response raises": {"response": raise_at_response},
        "raise for status": {"response": raise_for_status},
        "read": {"response": read_async if is_async else read},
    }[name]
    return {event: [_awaitable(hook) if is_async and hook is not read_async else hook] for event, hook in hooks.items()}


def _awaitable(hook: Any) -> Any:
    async def awaited(message: Any) -> None:
        hook(message)

    return awaited
