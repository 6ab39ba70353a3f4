"""How long answers take, where some were never waited for: what time limits and second requests are set from.

In: seconds, and whether the answer came within them. Out: the share of answers that take longer, any quantile, and what
a second request after a delay would do to the tail. A module of its own because these knobs are not learned by trying
values: where a wait should end follows from how long answers take.

A wait that a limit, a cancelled second request or the agent itself ended says only that the answer takes longer. Left
out, or counted as an answer, it would make every limit look generous; so the estimate is the product-limit one of
E. L. Kaplan and P. Meier, "Nonparametric estimation from incomplete observations", Journal of the American Statistical
Association 53 (1958), 457-481, with the interval by log(-log S) of J. D. Kalbfleisch and R. L. Prentice, "The
statistical analysis of failure time data" (1980), section 1.3. It assumes that what ended a wait knew nothing of how
long the answer would have taken; beyond the longest wait nothing is said.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab_analyzer.statistics import Interval

Floats = NDArray[np.float64]

LEAST_COUNT: Final = 100
"""Answers below which nothing is said of the tail."""
Z95: Final = 1.959964


class Waits:
    """Waits for answers at one place."""

    def __init__(self, seconds: Any, answered: Any) -> None:
        """Take in waits.

        Args:
            seconds: How long each was, array of shape ``(n,)``.
            answered: Whether its answer came then, booleans of shape ``(n,)``.

        Raises:
            ValueError: a wait is negative or not finite, or the two are of other lengths.
        """
        waited, came = np.asarray(seconds, float), np.asarray(answered, bool)
        if waited.shape != came.shape or waited.ndim != 1:
            raise ValueError(f"waits and answers differ in shape: {waited.shape} and {came.shape}")
        if not (np.isfinite(waited) & (waited >= 0)).all():
            bad = waited[~(np.isfinite(waited) & (waited >= 0))][0]
            raise ValueError(f"a wait is a finite number of seconds of at least 0, got {bad!r}")
        self.count = int(came.sum())
        """Answers."""
        self.times = np.unique(waited[came])
        """When answers came, each time once, in order."""
        order = np.sort(waited)
        at_risk = len(order) - np.searchsorted(order, self.times, "left")
        events = np.bincount(np.searchsorted(self.times, waited[came]), minlength=len(self.times))
        self.longer_than = np.cumprod(1 - events / at_risk) if self.count else np.zeros(0)
        """Share of answers that take longer than each of these times."""
        with np.errstate(divide="ignore", invalid="ignore"):
            self._greenwood = np.cumsum(events / (at_risk * (at_risk - events)))

    def longer(self, latency_s: float) -> float:
        """Share of answers that take longer; 1 before the first."""
        return float(self.survival(np.array([latency_s]))[0])

    def survival(self, latencies_s: Floats) -> Floats:
        """The same for an array of any length."""
        at = np.searchsorted(self.times, latencies_s, "right")
        return np.concatenate((np.ones(1), self.longer_than))[at]

    def longer_within(self, latency_s: float) -> Interval:
        """The same with its 95 % interval."""
        at = int(np.searchsorted(self.times, latency_s, "right"))
        share = self.longer(latency_s)
        if at == 0 or not 0 < share < 1:
            # Wilson's bound of none, or all, of as many: the other formula has no width there.
            room = Z95**2 / (self.count + Z95**2) if self.count else 1.0
            return Interval(share, max(0.0, share - room), min(1.0, share + room))
        width = Z95 * np.sqrt(self._greenwood[at - 1]) / abs(np.log(share))
        low, high = (float(share ** np.exp(sign * width)) for sign in (1, -1))
        return Interval(share, low, high)

    def quantile(self, q: float) -> float | None:
        """The latency that a share ``q`` of the answers lies below, seconds; None where so few came that it is not
        known."""
        reached = np.flatnonzero(self.longer_than <= 1 - q + 1e-12)
        return float(self.times[reached[0]]) if len(reached) else None


class Hedge(NamedTuple):
    """What a second request after a delay would do."""

    delay_s: float
    extra: Interval
    """Share of calls that would be sent twice."""
    before_s: float
    """The tail now: the quantile asked for."""
    after_s: float
    """The same with the hedge, if both requests take their time independently of each other."""
    saved_s: float
    """Mean seconds less per call, within what was seen."""


def hedge(waits: Waits, at: float = 0.95, tail: float = 0.99) -> Hedge | None:
    """A hedge at the quantile ``at``, as J. Dean and L. A. Barroso, "The tail at scale", Communications of the ACM 56
    (2013), 74-80, have it: ``P(min(X, d + X') > t) = S(t) S(t - d)``. None before :data:`LEAST_COUNT` answers, and
    where the tail was never waited for.
    """
    delay, before = waits.quantile(at), waits.quantile(tail)
    if waits.count < LEAST_COUNT or delay is None or before is None:
        return None
    times = np.union1d(waits.times, waits.times + delay)
    alone = waits.survival(times)
    both = alone * waits.survival(times - delay)
    reached = np.flatnonzero(both <= 1 - tail + 1e-12)
    after = float(times[reached[0]]) if len(reached) else before
    # the mean of a positive time is the area under its survival, here up to the longest wait
    steps = np.diff(times, append=times[-1])
    saved = float(((alone - both) * steps)[times <= waits.times[-1]].sum())
    return Hedge(delay, waits.longer_within(delay), before, min(after, before), saved)


def timeout_s(waits: Waits, at: float = 0.995, room: float = 1.5) -> float | None:
    """A wait after which an answer is not to be expected: a quantile with room. None before :data:`LEAST_COUNT`
    answers, and where so many were cut that the quantile is not known."""
    found = waits.quantile(at)
    return None if waits.count < LEAST_COUNT or found is None else found * room
