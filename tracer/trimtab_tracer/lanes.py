"""One lane per model and provider: what all calls of a process know together about the way there.

In: each request's model, the knobs of its call, and what became of it. Out: whether it may go, and what it cost. A
module of its own because breaker, retry budget and places are shared by every call site of the process, so here is
their one lock. Nothing here sends or waits. A forked child begins anew: it has another :class:`.steering.Steering`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from .breaker import MAX_FAILURES, Breaker, BreakerTerms
from .budgets import BudgetTerms, RetryBudget
from .concurrency import CROWDED, Concurrency, Place
from .retries import Failure
from .shapes import value_class

MAX_LANES = 1024
"""Lanes remembered; the one unused for longest is forgotten first."""


@value_class
class LaneTerms:
    """The knobs of one call that are about its lane; None where there is no rule."""

    breaker: BreakerTerms | None = None
    budget: BudgetTerms | None = None
    max_concurrency: int | None = None


class Lane:
    """One of them. Thread-safe, also where a signal handler interrupts."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._now = monotonic
        self._lock = threading.RLock()
        self._breaker = Breaker()
        self._budget = RetryBudget()
        self._places = Concurrency()
        self._answered_s = self._hedged_s = float("-inf")

    def is_open(self, terms: LaneTerms) -> bool:
        """Whether only probes are let through."""
        with self._lock:
            return terms.breaker is not None and self._breaker.is_open

    def denial(self, terms: LaneTerms) -> Failure | None:
        """The failure that a request would be turned away with now; None where it would be let through."""
        with self._lock:
            is_denied = terms.breaker is not None and self._breaker.denies(self._now())
            return self._breaker.cause if is_denied else None

    def admit(self, terms: LaneTerms, now_s: float) -> Failure | None:
        """The same, for a request that is sent now if it may: while the breaker is open it is the probe."""
        with self._lock:
            if terms.breaker is None or self._breaker.enter(terms.breaker, now_s):
                return None
            return self._breaker.cause

    def pay(self, terms: LaneTerms, *, after_timeout: bool = False) -> float | None:
        """Tokens paid for one request more; None where they are not there, 0 without a budget."""
        with self._lock:
            return self._budget.take(terms.budget, after_timeout=after_timeout) if terms.budget is not None else 0.0

    def give_back(self, tokens: float) -> None:
        """What was paid for was not sent."""
        with self._lock:
            self._budget.give_back(tokens)

    def may_hedge(self) -> bool:
        """Whether a second request may help: nothing failed since the last answer, and one came since the last hedge.

        Else the lane may be silent, and all that wait for it would ask twice.
        """
        with self._lock:
            return self._breaker.is_well and self._answered_s >= self._hedged_s

    def hedged(self) -> None:
        """A second request is sent now."""
        with self._lock:
            self._hedged_s = self._now()

    def enter(self, place: Place, terms: LaneTerms, *, is_forced: bool = False) -> float | None:
        """Take ``place``; None where that is done, else how many seconds to wait before asking again."""
        with self._lock:
            if terms.max_concurrency is None:
                return None
            if is_forced:
                self._places.force(place, self._now())
            elif not self._places.enter(place, terms.max_concurrency, self._now()):
                return self._places.pause_s(place)
            return None

    def leave(self, place: Place, sent_s: float) -> None:
        """Give it back, or stop waiting for it: the request that was sent at ``sent_s`` is no longer under way."""
        with self._lock:
            self._places.leave(place)
            self._breaker.left(sent_s)

    def answered(self, terms: LaneTerms, sent_s: float, *, is_first: bool) -> None:
        """A request was answered; one that nobody paid for fills the budget."""
        with self._lock:
            self._answered_s = self._now()
            if self._breaker.succeeded(sent_s):
                self._places.reset()
            if is_first:
                self._budget.give_back((terms.budget or DEFAULT).refill)
            if terms.max_concurrency is not None:
                self._places.succeeded(terms.max_concurrency)

    def failed(self, terms: LaneTerms, failure: Failure, sent_s: float) -> None:
        """A request failed."""
        with self._lock:
            self._breaker.failed(failure, terms.breaker or UNBROKEN, sent_s, self._now())
            if terms.max_concurrency is not None and failure.error_class in CROWDED:
                self._places.crowded(failure.error_class, terms.max_concurrency, sent_s, self._now())

    def __repr__(self) -> str:
        return f"Lane(open={self._breaker.is_open}, spent={self._budget.spent}, in_flight={self._places.in_flight})"


DEFAULT = BudgetTerms()
UNBROKEN = BreakerTerms(failures=MAX_FAILURES + 1, window_s=60.0, open_s=1.0)
"""Where no rule is about it a breaker never opens; what it sees still tells whether the lane is well."""


class Lanes:
    """All lanes of one process. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self._lanes: OrderedDict[tuple[str, str], Lane] = OrderedDict()
        self._lock = threading.RLock()

    def lane(self, host: str, model: str | None) -> Lane:
        """The lane to ``model`` at ``host``."""
        key = host, model or ""
        with self._lock:
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = Lane(self.monotonic)
                if len(self._lanes) > MAX_LANES:
                    self._lanes.popitem(last=False)
            self._lanes.move_to_end(key)
            return lane
