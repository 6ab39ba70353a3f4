"""How many requests to one model are under way at once: more while it answers, half when it is crowded. Sans-IO.

In: requests that want to go out, and what became of them. Out: whether one may go now. A module of its own because the
same queue serves threads and event loops: who has no place asks again after :meth:`Concurrency.pause_s`, so nobody has
to be woken across threads, a forgotten one blocks nobody, and there is nothing to repair after a fork.

The limit moves as in D.-M. Chiu and R. Jain, *Analysis of the increase and decrease algorithms for congestion avoidance
in computer networks* (1989): one more per round of answers, half of what is under way at a sign of crowding, once per
round. It never leaves 1 to the knob's value, where it begins.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

CROWDED = frozenset({"rate_limit", "overloaded", "timeout"})
"""Error classes that fewer requests at once may heal."""
OURS = "rate_limit"
"""The one that is about this agent; the others may be everybody's doing."""
DECREASE = 0.5
"""What remains of the limit."""
FORGOTTEN_S = 2.0
"""A waiter that has not asked for so long has gone."""
LONGEST_S = 3600.0
"""A place held for longer is free: no timeout is longer."""
MAX_PAUSE_S = 0.1
"""Longest pause between two questions."""


class Place:
    """Who waits for a place, and then has it. Compared by identity."""

    __slots__ = ()


class Concurrency:
    """The places at one model. Not thread-safe; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._limit: float | None = None
        self._halved_s = float("-inf")
        self._held: dict[Place, float] = {}
        self._queue: OrderedDict[Place, float] = OrderedDict()

    @property
    def in_flight(self) -> int:
        """Places taken."""
        return len(self._held)

    def limit(self, ceiling: int) -> int:
        """Places there are now."""
        return ceiling if self._limit is None else max(1, min(ceiling, int(self._limit)))

    def enter(self, place: Place, ceiling: int, now_s: float) -> bool:
        """Take ``place`` now; else it stands in the queue, in the order of first questions."""
        while self._queue and now_s - next(iter(self._queue.values())) > FORGOTTEN_S:
            self._queue.popitem(last=False)
        free = self.limit(ceiling) - len(self._held)
        if free <= 0:
            self._held = {held: since for held, since in self._held.items() if now_s - since < LONGEST_S}
        if place not in self._queue and free <= len(self._queue):
            self._queue[place] = now_s
            return False
        if place in self._queue:
            self._queue[place] = now_s
            if place not in islice(self._queue, max(0, free)):
                return False
            del self._queue[place]
        self._held[place] = now_s
        return True

    def force(self, place: Place, now_s: float) -> None:
        """Take it although there is none: who has waited long enough goes."""
        self._queue.pop(place, None)
        self._held[place] = now_s

    def leave(self, place: Place) -> None:
        """Give it back, or stop waiting for it."""
        self._held.pop(place, None)
        self._queue.pop(place, None)

    def pause_s(self, place: Place) -> float:
        """How long to wait before asking again: the longer the more are before it."""
        ahead = next((i for i, waiting in enumerate(islice(self._queue, 20)) if waiting is place), 20)
        return min(MAX_PAUSE_S, 0.005 * (1 + ahead))

    def succeeded(self, ceiling: int) -> None:
        """A request was answered."""
        if self._limit is not None:
            self._limit += 1.0 / self._limit
            if self._limit >= ceiling:
                self._limit = None

    def crowded(self, error_class: str, ceiling: int, sent_s: float, now_s: float) -> None:
        """A request that was sent at ``sent_s`` failed with ``error_class``, one of :data:`CROWDED`."""
        if sent_s < self._halved_s:
            return  # sent before the limit was last lowered: that was for this one, too
        limit, under_way = self.limit(ceiling), len(self._held) + 1  # the one that failed has left already
        if error_class != OURS and under_way < limit * DECREASE:
            return  # it is down, and not for our few requests: they must not have to wait for each other
        self._limit = max(1.0, min(limit, under_way) * DECREASE)
        self._halved_s = now_s

    def reset(self) -> None:
        """The limit is the ceiling again: what failed in an outage says nothing about how many are too many."""
        self._limit = None
