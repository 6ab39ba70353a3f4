"""What "better" means: of several arms with a quality, a cost and a latency, which one is wanted.

In: draws of what each arm's means may be. Out: a number per draw and arm, the larger the better; the share of draws in
which an arm is best is its Thompson weight. A module of its own because the learners know no money, and the objective
knows no statistics.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .states import StateError

Floats = NDArray[np.float64]
Kind = Literal["value", "cheapest", "best_within", "fastest"]
KINDS: Final = ("value", "cheapest", "best_within", "fastest")

FORBIDDEN: Final = 1e6
"""What an arm loses that breaks a constraint: more than any quality, cost or latency differs by. Among arms that all
break it, the one that breaks it least is best."""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is wanted.

    ``cheapest``     least cost with a quality of at least the incumbent's minus ``margin`` (the default)
    ``best_within``  best quality within ``usd_per_day``, by the pacer's price of a dollar
    ``fastest``      least latency with that quality, within ``usd_per_day`` where it is given
    ``value``        quality minus cost divided by ``value_usd``: what a success is worth in USD
    """

    kind: Kind = "cheapest"
    margin: float = 0.02
    """How much quality may be lost against the incumbent, 0 to 1."""
    usd_per_day: float | None = None
    value_usd: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"an objective is one of {', '.join(KINDS)}, got {self.kind!r}")
        if not (isfinite(self.margin) and 0 <= self.margin <= 1):
            raise ValueError(f"a margin lies in [0, 1], got {self.margin!r}")
        needed = {"best_within": "usd_per_day", "value": "value_usd"}.get(self.kind)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"the objective {self.kind!r} needs {needed}")
        for name in ("usd_per_day", "value_usd"):
            amount = getattr(self, name)
            if amount is not None and not (isfinite(amount) and amount > 0):
                raise ValueError(f"{name} is a number above 0, got {amount!r}")

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def of_state(cls, state: Any) -> Self:
        """From JSON; StateError where it does not fit."""
        if not isinstance(state, dict) or set(state) != {"kind", "margin", "usd_per_day", "value_usd"}:
            raise StateError(f"objective: expected kind, margin, usd_per_day and value_usd, got {state!r}")
        try:
            return cls(**state)
        except (TypeError, ValueError) as error:
            raise StateError(f"objective: {error}") from error

    def scores(
        self, quality: Floats, cost_usd: Floats, latency_s: Floats, incumbent: int, price_of_a_dollar: float = 0.0
    ) -> Floats:
        """How good each arm is in each draw, ``(..., arms)``; only differences between arms mean something.

        Args:
            quality: ``(..., arms)``, possible means.
            cost_usd: the same, USD per unit.
            latency_s: the same, seconds per unit.
            incumbent: index of the incumbent's arm.
            price_of_a_dollar: quality that a dollar is worth now, from :class:`~.pacer.Pacer`; >= 0.
        """
        if self.kind == "value":
            return np.asarray(quality - cost_usd / (self.value_usd or 1.0))
        if self.kind == "best_within":
            return np.asarray(quality - cost_usd * price_of_a_dollar)
        short = np.maximum(quality[..., [incumbent]] - self.margin - quality, 0.0)
        wanted = cost_usd if self.kind == "cheapest" else latency_s + cost_usd * price_of_a_dollar
        return np.asarray(-wanted - FORBIDDEN * short)
