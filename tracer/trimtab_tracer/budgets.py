"""What a process may send on top of first requests: retries, fallbacks and hedges, over all of its calls. Sans-IO.

In: each such request, and each answer. Out: yes or no. A module of its own because one call can't know what the others
send: in an outage each of them finds its own two retries modest.

The retry budget is the token bucket of the AWS SDKs (smithy-rs ``token_bucket.rs``: 500 tokens, a retry 5, one after a
timeout 10, 1 back per answer that needed no retry; a retry that brought the answer is paid back). So of retries that
fail no more are sent than ``capacity / retry_cost``, and from then on ``refill / retry_cost`` per answer: a fifth, in
the range of ratios that *Site Reliability Engineering* (2016, ch. 21) and Finagle cap retries at.
"""

from __future__ import annotations

import threading

from .shapes import value_class

HEDGE_SHARE = 0.1
"""Second requests per first one, at most, in one process."""
HEDGES_SAVED = 10.0
"""Most that may be sent at once after a time without any."""


@value_class
class BudgetTerms:
    """The knob ``retry_budget``, in tokens."""

    capacity: float = 500.0
    retry_cost: float = 5.0
    timeout_cost: float = 10.0
    """Of a request after one that timed out: that one may still be worked on."""
    refill: float = 1.0
    """What an answer to a first request gives back."""


class RetryBudget:
    """The bucket of one model at one provider; begins full. Not thread-safe."""

    def __init__(self) -> None:
        self.spent = 0.0
        """Tokens missing in it: so it stays right where calls are told different capacities."""

    def take(self, terms: BudgetTerms, *, after_timeout: bool = False) -> float | None:
        """Pay for one more request; the tokens paid, or None where they are not there."""
        cost = terms.timeout_cost if after_timeout else terms.retry_cost
        if self.spent + cost > terms.capacity:
            return None
        self.spent += cost
        return cost

    def give_back(self, tokens: float) -> None:
        """Put tokens back, up to all that are missing."""
        self.spent = max(0.0, self.spent - tokens)


class HedgeShare:
    """How many second requests a process may send. Thread-safe, also where a signal handler interrupts."""

    def __init__(self) -> None:
        self._saved = 1.0
        self._lock = threading.RLock()

    def sent(self) -> None:
        """A first request goes out."""
        with self._lock:
            self._saved = min(self._saved + HEDGE_SHARE, HEDGES_SAVED)

    def take(self) -> bool:
        """Whether a second request may go out; it counts as sent."""
        with self._lock:
            # 0.1 is no binary fraction: ten of them are a little less than 1.
            if self._saved < 1.0 - 1e-9:
                return False
            self._saved -= 1.0
            return True

    def give_back(self) -> None:
        """It was not sent after all."""
        with self._lock:
            self._saved += 1.0
