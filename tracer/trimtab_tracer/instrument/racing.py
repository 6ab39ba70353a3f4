"""Sends one request of a call within the call's time, and a second one beside it where the first takes long.

In: the HTTP library's own ``send`` and a capture under :mod:`..delivery`. Out: the response of the one that was faster,
or the failure of the first; the other is cancelled, or closed when it arrives, and recorded as an attempt that was
left. A module of its own because it is the one place where a request does not run in the caller's own thread or task: a
thread that waits for a socket can't look at the time. Helpers run in a copy of the caller's context, are daemons, and
end with their request, which has the library's own timeouts.

What of ours fails leaves the first request to itself.
"""

from __future__ import annotations

import contextvars
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import context, retries
from ..capture import Capture
from ..guard import guarded, guarded_async
from ..rewrite import capped
from . import admission, limits

LOOK_S = 1.0
"""How often a waiting caller looks after the one that sends for it."""


@dataclass(slots=True)
class Turn:
    """Whose result counts: the request that is under way, or that of them which was faster."""

    capture: Capture


class Head(NamedTuple):
    """What came of one request, before its body was read."""

    capture: Capture
    response: Any
    error: BaseException | None

    @property
    def is_answer(self) -> bool:
        """Whether it is what was asked for."""
        return self.error is None and self.response.status_code < 400


@guarded(default=False)
def is_limited(capture: Capture) -> bool:
    """Whether the caller may not simply wait for this request."""
    if capture.delivery is None:
        return False
    terms = capture.delivery.terms
    first_token_s = terms.first_token_s if capture.stream else None
    return any(limit is not None for limit in (terms.total_s, terms.hedge_delay_s, first_token_s))


class Duel:
    """When the second request is due, when the time is over, and who has won. Sans-IO."""

    def __init__(self, capture: Capture) -> None:
        self._first = capture
        self._started_s = time.monotonic()
        self._is_tried = False
        self._under_way = 1
        self._failed: Head | None = None

    @guarded()
    def left_s(self) -> float | None:
        """Seconds until the time is over; None for no limit."""
        delivery, trip = self._first.delivery, self._first.trip
        if delivery is None:
            return None
        if self._first.stream and trip is not None:
            return delivery.stream_left_s(trip.sent_s, has_begun=False)
        return delivery.left_s()

    @guarded()
    def wait_s(self) -> float | None:
        """Seconds until there is something to do, if nothing comes."""
        times = (self.left_s(), self._hedge_s())
        return min((s for s in times if s is not None), default=None)

    @guarded(default=False)
    def is_late(self) -> bool:
        """Whether the time is over."""
        return self.left_s() == 0.0

    @guarded()
    def second(self) -> Capture | None:
        """The request to send beside the first one now; None where there is none."""
        if self._first.delivery is None or self._hedge_s() != 0.0:
            return None
        self._is_tried = True
        trip = self._first.delivery.hedge()
        if trip is None:
            return None
        other = self._first.beside()
        other.trip = trip
        self._under_way += 1
        return other

    @guarded()
    def took(self, head: Head) -> tuple[Head | None, Head | None]:
        """``head`` has come: who has won, if that is known now, and who has lost with it."""
        self._under_way -= 1
        before, self._failed = self._failed, None
        if head.is_answer or (before is None and self._under_way == 0):
            return head, before
        if before is not None:  # both failed: the agent gets what it would have got
            return (before, head) if before.capture is self._first else (head, before)
        self._failed = head
        return None, None

    def _hedge_s(self) -> float | None:
        delay_s = self._first.delivery.terms.hedge_delay_s if self._first.delivery is not None else None
        if delay_s is None or self._is_tried:
            return None
        return max(0.0, self._started_s + delay_s - time.monotonic())


@guarded()
def shorten(capture: Capture) -> None:
    """Let the library give up by itself once the call's time is over, so that no helper stays behind."""
    left_s = capture.delivery.left_s() if capture.delivery is not None else None
    given = capture.request.extensions.get("timeout")
    if left_s is not None and isinstance(given, dict):  # of our own request: it was remade for its timeouts
        capture.request.extensions["timeout"] = capped(given, max(left_s, 0.001))


# Threads


class Race:
    """Requests of one call in threads of their own."""

    def __init__(self, send: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._send = send
        self._args = args
        self._kwargs = {**kwargs, "stream": True}
        self._lock = threading.Lock()
        self._is_over = False
        self._captures: list[Capture] = []
        self._begun: set[Capture] = set()
        self.heads: queue.SimpleQueue[Head] = queue.SimpleQueue()

    @guarded(default=False)
    def start(self, capture: Capture) -> bool:
        """Send one; False where no thread can be had."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run, capture), name="trimtab-send", daemon=True).start()
        self._captures.append(capture)
        return True

    @guarded(default=False)
    def withdraw(self, capture: Capture) -> bool:
        """Whether no thread has begun with ``capture``; then none will."""
        with self._lock:
            self._is_over = self._is_over or capture not in self._begun
            return self._is_over

    @guarded()
    def _run(self, capture: Capture) -> None:
        with self._lock:
            if self._is_over:
                return
            self._begun.add(capture)
        context.in_send.set(True)
        response = error = None
        try:
            response = self._send(capture.request, *self._args, **self._kwargs)
        except BaseException as caught:
            error = caught
        with self._lock:
            if not self._is_over:
                self.heads.put(Head(capture, response, error))
                return
        if response is not None:
            response.close()

    @guarded()
    def end(self, winner: Capture) -> None:
        """All but ``winner`` have lost."""
        with self._lock:
            self._is_over = True
        for capture in self._captures:
            if capture is not winner:
                capture.lost()
        while not self.heads.empty():
            late = self.heads.get()
            if late.response is not None:
                late.response.close()


def sync(send: Callable[..., Any], turn: Turn, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Send the turn's request; raises as the library does."""
    prepared = _prepared(send, turn, args, kwargs)
    if prepared is None:
        return send(turn.capture.request, *args, **kwargs)
    race, duel = prepared
    if duel.is_late():
        raise limits.over(turn.capture, has_begun=False)
    response = None
    if race.start(turn.capture):
        try:
            response = _fastest(race, duel, turn)
        finally:
            race.end(turn.capture)
    if response is None:
        return send(turn.capture.request, *args, **kwargs)
    if not kwargs.get("stream"):
        limits.read(response, turn.capture, duel.left_s())
    return response


@guarded()
def _prepared(send: Callable[..., Any], turn: Turn, args: Any, kwargs: Any) -> tuple[Race, Duel] | None:
    shorten(turn.capture)
    return Race(send, args, kwargs), Duel(turn.capture)


def _fastest(race: Race, duel: Duel, turn: Turn) -> Any:
    """The head of the response that counts; raises what counts instead. None where no thread of ours got to it."""
    while True:
        try:
            wait_s = duel.wait_s()
            head = race.heads.get(timeout=LOOK_S if wait_s is None else min(wait_s, LOOK_S))
        except queue.Empty:
            if duel.is_late():
                raise limits.over(turn.capture, has_begun=False) from None
            if race.withdraw(turn.capture):
                return None
            other = duel.second()
            if other is not None and not race.start(other):
                other.lost()
            continue
        won, lost = duel.took(head) or (head, None)
        if lost is not None:
            _dispose(lost)
        if won is not None:
            turn.capture = won.capture
            if won.error is not None:
                raise won.error
            return won.response


@guarded()
def _dispose(head: Head) -> None:
    """Record a failure that the agent does not see."""
    if head.error is not None:
        head.capture.fail(head.error)
    else:
        head.capture.opened(head.response)
        head.response.close()
        head.capture.closed()
    _tell(head)


def _tell(head: Head) -> None:
    if head.error is None:
        admission.told(head.capture, retries.of_status(head.response.status_code, head.response.headers, None))
    elif (failure := retries.of_error(head.error)) is not None:
        admission.told(head.capture, failure)


# Event loops


class AsyncRace:
    """Requests of one call in tasks of their own."""

    def __init__(
        self, send: Callable[..., Awaitable[Any]], turn: Turn, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        import anyio

        self._send = send
        self._turn = turn
        self._args = args
        self._kwargs = {**kwargs, "stream": True}
        self._cancelled = anyio.get_cancelled_exc_class()
        self._new_event = anyio.Event
        self._arrived = anyio.Event()
        self._heads: deque[Head] = deque()
        self.begun: set[Capture] = set()

    @guarded_async
    async def run(self, capture: Capture) -> None:
        """Send one."""
        self.begun.add(capture)
        context.in_send.set(True)
        response = error = None
        try:
            response = await self._send(capture.request, *self._args, **self._kwargs)
        except self._cancelled:
            if capture is not self._turn.capture:
                capture.lost()
            raise
        except BaseException as caught:
            error = caught
        self._heads.append(Head(capture, response, error))
        self._arrived.set()

    @guarded_async
    async def next(self, wait_s: float | None) -> Head | None:
        """What has come; None after ``wait_s`` seconds without anything, or a look's time."""
        import anyio

        if not self._heads:
            self._arrived = self._new_event()
            with anyio.move_on_after(LOOK_S if wait_s is None else min(wait_s, LOOK_S)):
                await self._arrived.wait()
        return self._heads.popleft() if self._heads else None

    @guarded_async
    async def end(self, winner: Capture) -> None:
        """All but ``winner`` have lost."""
        while self._heads:
            late = self._heads.popleft()
            if late.capture is not winner:
                late.capture.lost()
            if late.response is not None:
                await late.response.aclose()


async def awaited(
    send: Callable[..., Awaitable[Any]], turn: Turn, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """The same, awaited."""
    import anyio

    capture, prepared = turn.capture, _aprepared(send, turn, args, kwargs)
    if prepared is None:
        return await send(capture.request, *args, **kwargs)
    race, duel = prepared
    if duel.is_late():
        raise limits.over(capture, has_begun=False)
    if capture.delivery is None or capture.delivery.terms.hedge_delay_s is None:
        with anyio.move_on_after(duel.left_s()):
            return await send(capture.request, *args, **kwargs)
        raise limits.over(capture, has_begun=False)
    run: Any = race.run
    async with anyio.create_task_group() as group:
        group.start_soon(run, capture)
        won = await _afastest(race, duel, group)
        if won is not None:
            turn.capture = won.capture
        group.cancel_scope.cancel()
    await race.end(turn.capture)
    if won is None:
        if capture not in race.begun:
            return await send(capture.request, *args, **kwargs)
        raise limits.over(capture, has_begun=False)
    if won.error is not None:
        raise won.error
    if not kwargs.get("stream"):
        with anyio.move_on_after(duel.left_s()) as scope:
            await _aread(won.response)
        if scope.cancelled_caught:
            raise limits.over(won.capture)
    return won.response


@guarded()
def _aprepared(send: Any, turn: Turn, args: Any, kwargs: Any) -> tuple[AsyncRace, Duel] | None:
    return AsyncRace(send, turn, args, kwargs), Duel(turn.capture)


@guarded_async
async def _afastest(race: AsyncRace, duel: Duel, group: Any) -> Head | None:
    """What counts; None where the time is over, or no task of ours got to it."""
    while not duel.is_late():
        head = await race.next(duel.wait_s())
        if head is None:
            if not race.begun:
                return None
            if (other := duel.second()) is not None:
                group.start_soon(race.run, other)
            continue
        won, lost = duel.took(head) or (head, None)
        if lost is not None:
            await _adispose(lost)
        if won is not None:
            return won
    return None


async def _aread(response: Any) -> None:
    try:
        await response.aread()
    except BaseException:
        await response.aclose()
        raise


@guarded_async
async def _adispose(head: Head) -> None:
    if head.error is not None:
        head.capture.fail(head.error)
    else:
        head.capture.opened(head.response)
        await head.response.aclose()
        head.capture.closed()
    _tell(head)
