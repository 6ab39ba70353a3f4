"""Requests that wait for something to happen, without a thread for each of them.

In: a look at the state of things, and how long to wait. Out: what the look found, as soon as it finds something. A
:class:`Bell` is rung from any thread after every change; each waiting request then looks once, in FastAPI's thread
pool, and goes back to sleep on the event loop, so that a hundred agents waiting for a policy leave the pool to everyone
else. A module of its own because it is the only place where threads and the event loop meet. When the bell is stopped,
every waiter looks a last time and answers at once: a sidecar that stops keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

T = TypeVar("T")


class Bell:
    """What waits for changes. :meth:`ring` and :meth:`stop` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._is_stopped = False

    def ring(self) -> None:
        """Something has changed: everyone who waits looks again."""
        with self._lock:
            waiting = list(self._waiting.items())
        for event, loop in waiting:
            with suppress(RuntimeError):  # its loop is closed, nobody waits there any more
                loop.call_soon_threadsafe(event.set)

    def stop(self) -> None:
        """Nobody waits from now on."""
        self._is_stopped = True
        self.ring()

    async def until(self, look: Callable[[], T | None], wait_s: float) -> T | None:
        """What ``look`` returns once it is not None; None where it never was within ``wait_s`` seconds.

        ``look`` runs in the thread pool, at least once and then after every ring.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + wait_s
        rung = asyncio.Event()
        with self._lock:
            self._waiting[rung] = loop  # before the first look: a change in between rings
        try:
            while True:
                rung.clear()
                is_last = self._is_stopped or loop.time() >= end
                found = await run_in_threadpool(look)
                if found is not None or is_last:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), max(0.0, end - loop.time()))
        finally:
            with self._lock:
                del self._waiting[rung]
