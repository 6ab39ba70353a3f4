"""How much quality a dollar is worth now, so that a day's spending ends at its budget.

In: what each unit cost and when it ended. Out: a price, 0 where there is room. Apart from the learners, which know no
budget: the price enters through the objective alone.

Primal-dual: the price is the multiplier of the budget's constraint, moved after each unit by how far its cost lay off
the allowance, ``λ ← max(0, λ + η (cost - allowance) / allowance)``: S. Agrawal and N. R. Devanur, "Bandits with concave
rewards and convex knapsacks", ACM EC 2014, 989-1006; A. Badanidiyuru, R. Kleinberg and A. Slivkins, "Bandits with
knapsacks", Journal of the ACM 65 (2018), 13.
"""

from __future__ import annotations

from typing import Any, Final, Self

from .states import Reader

DAY_NS: Final = 86_400 * 10**9
STEP: Final = 0.02
"""η: how far one unit moves the price, as a part of what a whole allowance is worth."""
GUESS_UNITS: Final = 20
"""Units from which the traffic of a day is told."""
MOST: Final = 5.0
"""The largest price: an allowance is worth at most so much quality."""


class Pacer:
    """Watches the spending against USD per day."""

    KIND = "pacer"

    def __init__(self, usd_per_day: float) -> None:
        self.usd_per_day = usd_per_day
        self._dual = 0.0
        self._interval_ns: float | None = None
        self._units = 0
        self._last_ns: int | None = None

    def spent(self, cost_usd: float, at_ns: int) -> None:
        """Take in a unit. A clock that went back counts as one that stood still."""
        if self._last_ns is not None:
            gap = float(max(at_ns - self._last_ns, 0))
            share = max(1.0 / (self._units + 1), 1.0 / 200)
            self._interval_ns = (
                gap if self._interval_ns is None else self._interval_ns + share * (gap - self._interval_ns)
            )
        self._last_ns = max(at_ns, self._last_ns or 0)
        self._units += 1
        allowance = self.allowance_usd()
        if allowance is not None and self._units >= GUESS_UNITS:
            off = min((cost_usd - allowance) / allowance, 5.0)
            self._dual = min(max(self._dual + STEP * off, 0.0), MOST)

    def allowance_usd(self) -> float | None:
        """What a unit may cost on average at today's traffic; None before that is known."""
        if not self._interval_ns:
            return None
        return self.usd_per_day * self._interval_ns / DAY_NS

    @property
    def price_of_a_dollar(self) -> float:
        """Quality that a dollar is worth now."""
        allowance = self.allowance_usd()
        return 0.0 if allowance is None else self._dual / allowance

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kind": self.KIND,
            "schema": 1,
            "usd_per_day": self.usd_per_day,
            "dual": self._dual,
            "interval_ns": self._interval_ns,
            "units": self._units,
            "last_ns": self._last_ns,
        }

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls(reader.number("usd_per_day", low=0.0))
        made._dual = reader.number("dual", 0.0, MOST)
        made._interval_ns = reader.optional("interval_ns", low=0.0)
        made._units = reader.count("units")
        last = reader.optional("last_ns", low=0.0)
        made._last_ns = None if last is None else int(last)
        reader.end()
        return made
