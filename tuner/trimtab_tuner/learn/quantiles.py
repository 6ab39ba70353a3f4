"""Quantiles of latencies that are heavy-tailed and change: what timeouts and hedges are set from.

In: one latency at a time. Out: any quantile within 2 %, and what a hedge would do to the tail. A module of its own
because these knobs are not learned by trying values: where a wait should end follows from how long answers take.

A histogram with buckets that grow by a constant factor, after C. Masson, J. E. Rim and H. K. Lee, "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12 (2019), 2195-2205; old counts fade, so that
the tail is that of the present.
"""

from __future__ import annotations

from math import ceil, exp, isfinite, log
from typing import Any, Final, NamedTuple, Self

from .states import Reader, StateError

ACCURACY: Final = 0.02
"""Largest relative error of a quantile."""
GROWTH: Final = (1 + ACCURACY) / (1 - ACCURACY)
LEAST_S: Final = 1e-3
"""Latencies below a millisecond are one bucket."""
MOST_S: Final = 86_400.0
FADE: Final = 1 / 2_000
"""Part of the weight that each new latency takes from the old ones: the last 2,000 count."""
LEAST_COUNT: Final = 100
"""Latencies below which nothing is said of the tail."""


class Quantiles:
    """Latencies of one arm, of the whole call or of its first token."""

    KIND = "quantiles"

    def __init__(self) -> None:
        self._buckets: dict[int, float] = {}
        self.count = 0
        self._weight = 1.0
        """Of the next latency: it grows, which is the same as all others fading."""

    def add(self, latency_s: float) -> None:
        """Take in a latency, seconds. ValueError where it is negative or not finite."""
        if not isfinite(latency_s) or latency_s < 0:
            raise ValueError(f"a latency is a finite number of at least 0, got {latency_s!r}")
        bucket = ceil(log(min(max(latency_s, LEAST_S), MOST_S)) / log(GROWTH))
        self._buckets[bucket] = self._buckets.get(bucket, 0.0) + self._weight
        self._weight /= 1 - FADE
        self.count += 1
        if self._weight > 1e12:
            kept = {at: weight / self._weight for at, weight in self._buckets.items()}
            self._buckets = {at: weight for at, weight in kept.items() if weight > 1e-9}
            self._weight = 1.0

    def quantile(self, q: float) -> float | None:
        """The latency that a share ``q`` lies below, seconds; None before the first."""
        if not self._buckets:
            return None
        left = q * sum(self._buckets.values())
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                break
        return 2 * exp(bucket * log(GROWTH)) / (1 + GROWTH)

    def longer(self, latency_s: float) -> float:
        """Share of latencies above this one; 0 before the first."""
        total = sum(self._buckets.values())
        above = sum(weight for at, weight in self._buckets.items() if exp((at - 0.5) * log(GROWTH)) > latency_s)
        return above / total if total else 0.0

    def state(self) -> dict[str, Any]:
        """As JSON."""
        buckets = {str(at): weight / self._weight for at, weight in self._buckets.items()}
        return {"kind": self.KIND, "schema": 1, "count": self.count, "buckets": buckets}

    @classmethod
    def of_state(cls, state: Any, where: str = "quantiles") -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls()
        made.count = reader.count("count")
        try:
            made._buckets = {int(at): weight for at, weight in reader.numbers("buckets", low=0.0).items()}
        except ValueError as error:
            raise StateError(f"{where}.buckets: expected whole numbers as keys: {error}") from error
        reader.end()
        return made


class Hedge(NamedTuple):
    """What a second request after a delay would do."""

    delay_s: float
    extra: float
    """Share of calls that would be sent twice."""
    before_s: float
    """The tail now: the quantile asked for."""
    after_s: float
    """The same with the hedge, if both requests take their time independently of each other."""


def hedge(latencies: Quantiles, at: float = 0.95, tail: float = 0.999) -> Hedge | None:
    """A hedge at the quantile ``at``, as J. Dean and L. A. Barroso, "The tail at scale", Communications of the ACM 56
    (2013), 74-80, have it. ``P(min(X, d + X') > t) = S(t) S(t - d)``. None before :data:`LEAST_COUNT` latencies.
    """
    if latencies.count < LEAST_COUNT:
        return None
    delay, before = latencies.quantile(at), latencies.quantile(tail)
    assert delay is not None
    assert before is not None
    low, high = delay, max(before, delay)
    for _ in range(40):
        middle = (low + high) / 2
        if latencies.longer(middle) * latencies.longer(middle - delay) > 1 - tail:
            low = middle
        else:
            high = middle
    return Hedge(delay, latencies.longer(delay), before, high)


def timeout_s(latencies: Quantiles, at: float = 0.995, room: float = 1.5) -> float | None:
    """A wait after which an answer is not to be expected: a quantile with room. None before :data:`LEAST_COUNT`."""
    found = latencies.quantile(at)
    return None if latencies.count < LEAST_COUNT or found is None else found * room
