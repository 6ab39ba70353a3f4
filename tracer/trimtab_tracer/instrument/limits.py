"""Ends the reading of an answer whose time is over: the first bytes of a stream, or all of it.

In: a response's stream and its capture. Out: the same chunks, and the HTTP library's own read timeout where the
policy's ``timeout_s.first_token`` or ``.total`` is over. A module of its own because the libraries know a limit per
chunk only. An event loop cancels the waiting. A thread that waits for a socket can't be cancelled, so a timer shuts the
socket down under it; where there is none to be found (HTTP/2, transports of the user's own) the limit is seen at the
next chunk.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from ..capture import Capture
from ..delivery import Delivery
from ..guard import guarded
from .refusal import time_is_over


@dataclass(slots=True)
class Watch:
    """Shuts a connection down once its time is over. Not for two readers."""

    connection: socket.socket | None
    _timer: threading.Timer | None = None
    _ends_s: float | None = None

    @guarded(default=False)
    def is_over(self) -> bool:
        """Whether the time is over."""
        return self._ends_s is not None and time.monotonic() >= self._ends_s

    @guarded()
    def arm(self, left_s: float | None) -> None:
        """From now on there are ``left_s`` seconds; None for no limit."""
        self.stop()
        self._ends_s = None if left_s is None else time.monotonic() + left_s
        if left_s is not None and self.connection is not None:
            self._timer = threading.Timer(left_s, self._shut)
            self._timer.daemon = True
            self._timer.start()

    @guarded()
    def stop(self) -> None:
        """Nothing is read any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @guarded()
    def _shut(self) -> None:
        if self.connection is None:
            return
        with contextlib.suppress(OSError):
            # Not the method of an SSL socket, which takes its state away from the thread that reads.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


@guarded()
def socket_of(response: Any) -> Any:
    """The socket that only this response comes through; None where there is none."""
    connection = response.extensions.get("network_stream")
    if connection is None or not response.extensions.get("http_version", b"").startswith(b"HTTP/1"):
        return None
    found = connection.get_extra_info("socket")
    return found if isinstance(found, socket.socket) else None


@guarded()
def _limited(capture: Capture) -> tuple[Delivery, float] | None:
    """What limits the reading of a stream, and when its request was sent; None where nothing does."""
    delivery, trip = capture.delivery, capture.trip
    if delivery is None or trip is None or (delivery.terms.total_s is None and delivery.terms.first_token_s is None):
        return None
    return delivery, trip.sent_s


def read(response: Any, capture: Capture, left_s: float | None) -> None:
    """Read ``response`` to its end, as ``send`` does where no stream is asked for, within ``left_s``."""
    watch = Watch(socket_of(response))
    watch.arm(left_s)
    try:
        response.read()
    except BaseException as error:
        response.close()
        if isinstance(error, Exception) and watch.is_over():
            raise over(capture) from None
        raise
    finally:
        watch.stop()
    if watch.is_over():  # a body without a length ends where its connection does
        raise over(capture)


def over(capture: Capture, *, has_begun: bool = True) -> Exception:
    """The timeout for the limit that is over."""
    terms = capture.delivery.terms if capture.delivery is not None else None
    is_first = terms is not None and not has_begun and capture.stream and terms.first_token_s is not None
    if terms is not None and is_first and (terms.total_s is None or capture.delivery.left_s()):  # type: ignore[union-attr]
        return time_is_over(capture.request, "first_token", terms.first_token_s)
    return time_is_over(capture.request, "total", terms.total_s if terms is not None else None)


@guarded()
def chunks(stream: Any, capture: Capture) -> Iterator[bytes] | None:
    """The chunks of ``stream`` within the limits; None where there are none."""
    found = _limited(capture)
    return None if found is None else _chunks(stream, capture, Watch(capture.socket), *found)


def _chunks(stream: Any, capture: Capture, watch: Watch, delivery: Delivery, sent_s: float) -> Iterator[bytes]:
    inner, has_begun = iter(stream), False
    watch.arm(delivery.stream_left_s(sent_s, has_begun=False))
    try:
        while True:
            try:
                chunk = next(inner)
            except StopIteration:
                break
            except Exception:
                if watch.is_over():
                    break
                raise
            if watch.is_over():
                break
            if not has_begun:
                has_begun = True
                watch.arm(delivery.stream_left_s(sent_s, has_begun=True))
            yield chunk
    finally:
        watch.stop()
    if watch.is_over():
        raise over(capture, has_begun=has_begun)


@guarded()
def async_chunks(stream: Any, capture: Capture) -> AsyncIterator[bytes] | None:
    """The same, awaited."""
    found = _limited(capture)
    return None if found is None else _async_chunks(stream, capture, *found)


async def _async_chunks(stream: Any, capture: Capture, delivery: Delivery, sent_s: float) -> AsyncIterator[bytes]:
    import anyio  # the HTTP libraries bring it along

    inner, has_begun = stream.__aiter__(), False
    try:
        while True:
            chunk = None
            with anyio.move_on_after(delivery.stream_left_s(sent_s, has_begun=has_begun)) as scope:
                try:
                    chunk = await inner.__anext__()
                except StopAsyncIteration:
                    return
            if scope.cancelled_caught or chunk is None:
                raise over(capture, has_begun=has_begun)
            has_begun = True
            yield chunk
    finally:
        if hasattr(inner, "aclose"):
            await inner.aclose()
