"""A circuit breaker: while a provider's model is down, calls learn it at once instead of asking again. Sans-IO.

In: when each request was sent and what became of it. Out: whether one more may be sent. A module of its own because
it must hold for every order of results: those of slow requests come late, and tell how the provider was when they were
sent.

Closed, it lets everything through. It opens when the newest requests in a row failed as one that is down does. Open, it
lets one request through per ``open_s``, the probe, until one of those has an answer (M. Nygard, *Release It!*, 2007).
The next probe does not wait for the one before it. And a model that is well may think for a minute, where one that is
down refuses at once: so a probe that is still under way after twice the time that failures took is believed, and until
it fails others are let through.
"""

from __future__ import annotations

from .retries import Failure
from .shapes import value_class

TRIPPING = frozenset({"server", "overloaded", "timeout", "connection"})
"""Error classes of one that is down; a rate limit or a wrong request says nothing about it."""

MAX_FAILURES = 100
"""Failures in a row that are remembered."""
BELIEVED_AFTER = 2.0
"""Times the longest that a failure took."""
BELIEVED_AFTER_S = 1.0
"""And at least so long."""
MAX_PROBES = 100
"""Probes under way that are remembered."""


@value_class
class BreakerTerms:
    """The knob ``circuit_breaker``."""

    failures: int
    """So many in a row open it."""
    window_s: float
    """They were sent within this time."""
    open_s: float
    """From one probe to the next."""


class Breaker:
    """The breaker of one model at one provider. Not thread-safe; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failed: list[float] = []
        """When the requests were sent that failed since the last one known to have been answered."""
        self._answered_s = float("-inf")
        """When the newest request was sent that was answered."""
        self._opened_s: float | None = None
        self._probe_s = 0.0
        """From when on the next probe may be sent."""
        self._probes: list[float] = []
        """When those were sent that are under way."""
        self._slowest_s = 0.0
        """Longest that a failure took since the last answer."""
        self.cause: Failure | None = None
        """The failure met last."""

    @property
    def is_open(self) -> bool:
        """Whether only probes are let through."""
        return self._opened_s is not None

    @property
    def is_well(self) -> bool:
        """Whether the newest request whose end is known was answered, or none is known."""
        return not self._failed and self._opened_s is None

    def denies(self, now_s: float) -> bool:
        """Whether a request that comes now would be turned away."""
        return self._opened_s is not None and now_s < self._probe_s and not self._is_believed(now_s)

    def _is_believed(self, now_s: float) -> bool:
        """Whether a probe has been under way for longer than what is down would let it."""
        patience_s = max(BELIEVED_AFTER_S, BELIEVED_AFTER * self._slowest_s)
        return bool(self._probes) and now_s - self._probes[0] > patience_s

    def enter(self, terms: BreakerTerms, now_s: float) -> bool:
        """Whether a request may be sent now; while open, it is the probe."""
        if self.denies(now_s):
            return False
        if self._opened_s is not None and now_s >= self._probe_s:
            self._probe_s = now_s + terms.open_s
            if len(self._probes) < MAX_PROBES:  # the oldest is the one that is believed
                self._probes.append(now_s)
        return True

    def left(self, sent_s: float) -> None:
        """A request that was sent at ``sent_s`` is no longer under way, whatever came of it."""
        if sent_s in self._probes:
            self._probes.remove(sent_s)

    def succeeded(self, sent_s: float) -> bool:
        """A request that was sent at ``sent_s`` has an answer: the provider was well then. Whether that closes it."""
        self._answered_s = max(self._answered_s, sent_s)
        self._failed = [failed_s for failed_s in self._failed if failed_s > sent_s]
        if self._opened_s is None or sent_s < self._opened_s:
            return False
        self._opened_s = None
        self._probes = []
        self._slowest_s = 0.0
        return True

    def failed(self, failure: Failure, terms: BreakerTerms, sent_s: float, now_s: float) -> None:
        """A request that was sent at ``sent_s`` has failed."""
        self.left(sent_s)
        if failure.error_class not in TRIPPING or sent_s <= self._answered_s:
            return
        self._slowest_s = max(self._slowest_s, now_s - sent_s) if self._failed else now_s - sent_s
        self.cause = failure
        self._failed = [failed_s for failed_s in self._failed if now_s - failed_s <= terms.window_s]
        self._failed = [*self._failed, sent_s][-MAX_FAILURES:]
        if self._opened_s is None and len(self._failed) >= terms.failures:
            self._opened_s = now_s
            self._probe_s = now_s + terms.open_s
