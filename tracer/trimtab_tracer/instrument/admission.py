"""Waits until a request may go out: for its place, and past the breaker, with and without ``await``.

In: a capture whose call is under :mod:`..delivery`. Out: nothing, or the failure to hand on because the breaker is
open. A module of its own because it waits where the request is sent, and that is not where the SDK's timeouts begin. An
error of ours lets the request go; an interrupt or a cancellation frees the place and passes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from ..capture import Capture
from ..guard import guarded, guarded_async
from ..retries import Failure


@guarded()
def sync(capture: Capture) -> Failure | None:
    """Wait for the turn of ``capture``'s request."""
    try:
        while (pause_s := _pause_s(capture)) is not None:
            time.sleep(pause_s)
    except BaseException:
        leave(capture)
        raise
    return _depart(capture)


@guarded_async
async def awaited(capture: Capture, sleep: Callable[[float], Awaitable[None]]) -> Failure | None:
    """The same, awaited."""
    try:
        while (pause_s := _pause_s(capture)) is not None:
            await sleep(pause_s)
    except BaseException:
        leave(capture)
        raise
    return _depart(capture)


@guarded()
def _pause_s(capture: Capture) -> float | None:
    """How long to wait before asking again; None where the request has its place, or no time is left to wait."""
    if capture.delivery is None:
        return None
    if capture.trip is None:
        capture.trip = capture.delivery.trip(capture.model)
    pause_s, left_s = capture.trip.wait_s(), capture.delivery.left_s()
    if pause_s is None or left_s == 0.0:
        return None
    return pause_s if left_s is None else min(pause_s, left_s)


@guarded()
def _depart(capture: Capture) -> Failure | None:
    if capture.trip is None:
        return None
    capture.restart()
    return capture.trip.depart()


@guarded()
def leave(capture: Capture) -> None:
    """The request is not sent: its place is free."""
    if capture.trip is not None:
        capture.trip.leave()


@guarded()
def told(capture: Capture, failure: Failure | None) -> None:
    """What became of the request; None for an answer."""
    if capture.trip is not None:
        capture.trip.ended(failure)
