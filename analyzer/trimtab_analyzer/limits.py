"""How a time limit stands to what successful calls take: too tight, too loose, or neither.

In: how long successful calls ran against a limit, and the limit. Out: a :class:`Fit`, and the limit that one would try
instead. Apart from the rule because a recommendation must name the limit that the finding names. It is a comparison of
what was seen and no model of latency: what a call takes that its limit ended was not seen by anyone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

MIN_SUCCESSES: Final = 5
"""Successful calls below which their latencies are no distribution to compare with."""

TIGHT_FROM: Final = 0.5
"""A limit is too tight where the slowest hundredth of the successful calls takes this part of it or more."""

LOOSE_TIMES: Final = 3.0
"""A limit is too loose where it is more than this many times the slowest successful call …"""

LOOSE_FLOOR_S: Final = 10.0
"""… and more than this many seconds: a cold start or a queue at the provider may take as long."""

LONGEST_S: Final = 600.0
"""Longest limit that is named: what the SDKs themselves set."""

_FRIENDLY: Final = (
    *(0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0),
    *(40.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0, 240.0, 300.0, 360.0, 420.0, 480.0, 540.0, 600.0),
)
"""Limits that a person would write."""


class Fit(NamedTuple):
    """What successful calls say about the limit they ran under. Times in seconds; None where they are too few."""

    verdict: str
    """``too_tight | too_loose | fits | unknown``."""
    n: int
    p50_s: float | None = None
    p99_s: float | None = None
    max_s: float | None = None
    is_censored: bool = False
    """None of them took longer than the limit, so the slow ones may be missing: the 99 % are a lower bound."""

    def numbers(self) -> dict[str, Any]:
        """As evidence: ``verdict``, ``successes`` and, where known, ``success_{p50,p99,max}_s`` and ``is_censored``."""
        said: dict[str, Any] = {"verdict": self.verdict, "successes": self.n}
        if self.max_s is not None:
            said |= {"success_p50_s": self.p50_s, "success_p99_s": self.p99_s, "success_max_s": self.max_s}
            said["is_censored"] = self.is_censored
        return said


def fit(taken_s: Sequence[float], limit_s: float) -> Fit:
    """How ``limit_s`` stands to the successful calls under it.

    Args:
        taken_s: How long each ran against the limit, in seconds.
        limit_s: The limit, in seconds.
    """
    if len(taken_s) < MIN_SUCCESSES:
        return Fit("unknown", len(taken_s))
    median, p99 = (float(q) for q in np.quantile(taken_s, [0.5, 0.99]))
    slowest = float(max(taken_s))
    verdict = "too_loose" if tighter_s(slowest) < limit_s else "fits"
    if p99 >= TIGHT_FROM * limit_s:
        verdict = "too_tight"
    return Fit(verdict, len(taken_s), median, p99, slowest, slowest <= limit_s)


def tighter_s(slowest_s: float) -> float:
    """The limit to try where one is too loose, from the slowest successful call."""
    return friendly(max(LOOSE_FLOOR_S, LOOSE_TIMES * slowest_s))


def wider_s(limit_s: float, p99_s: float, *, is_censored: bool) -> float:
    """The limit to try where one is too tight: twice what 99 % of the successful calls take.

    Where no call was seen to take longer than the limit that is not known, and it is twice the limit.
    """
    return friendly(2 * limit_s if is_censored else max(2 * p99_s, limit_s))


def friendly(seconds: float) -> float:
    """The next limit from ``seconds`` on that a person would write; at most :data:`LONGEST_S`."""
    return _FRIENDLY[min(bisect_left(_FRIENDLY, seconds - 1e-9), len(_FRIENDLY) - 1)]
