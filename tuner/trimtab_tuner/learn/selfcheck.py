"""Whether the experiment itself can be believed: the incumbent against itself, and the draws against their weights.

In: units as they were drawn. Out: a verdict of each check. A module of its own because it must not share anything with
what it checks but the observations.

- A/A: a hash halves the units that drew the incumbent; both halves had the same, so nothing may differ. A difference
  means that outcomes or costs reach the wrong units.
- Share: an arm drawn with probability p is seen in a share p of the units; ``x = 1{A=a}/p - 1`` has the mean 0. Another
  mean means that draws are not as logged, or that the units of an arm get lost: A. Fabijan et al., "Diagnosing sample
  ratio mismatch in online controlled experiments", KDD 2019, 2156-2164.

Both are looked at all the time. The first is a sequence (:mod:`trimtab_analyzer.effects.sequences`). The second is the
capital of someone who bets on x, ``Π (1 + λ x)``, averaged over some λ of both signs: while draws are as logged it
exceeds 1/α at any time with probability α at most (Ville's inequality), however few units there are.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Self

import numpy as np

from .cells import Floats
from .contrast import Contrasts
from .states import Reader

_BETS: Final = np.array((0.02, 0.1, 0.3))
"""λ on too many draws of an arm; on too few, the same parts of what can be lost when the arm is drawn."""
_MOST_LOST: Final = 0.9
"""Part of the capital that one unit may take, where the logged propensity is not the published weight."""
HALVES: Final = ["first half", "second half"]
_EVEN: Final = np.array([0.5, 0.5])


def half(unit: str) -> int:
    """0 or 1, by the unit's hash; apart from the one that draws."""
    return hashlib.sha256(b"aa|" + unit.encode("utf-8", "replace")).digest()[0] & 1


class SelfCheck:
    """The incumbent against itself, and draws against weights."""

    KIND = "selfcheck"
    AA_ALPHA = 0.01
    """Probability that an experiment in order fails the A/A check, over all looks and both measures."""
    SHARE_ALPHA = 0.001
    """The same for the shares, over all looks, per arm."""
    AA_UNITS = 100
    """Rewards of the incumbent from which the check can pass."""

    def __init__(self, arms: list[str]) -> None:
        self.arms = list(arms)
        self.quality, self.cost = Contrasts(HALVES, HALVES[0], 0.5), Contrasts(HALVES, HALVES[0], None)
        self.hits = np.zeros(len(arms))
        self.capital = np.zeros((2 * len(_BETS), len(arms)))
        """Logarithm of each bet's capital."""

    def incumbent(self, unit: str, quality: float | None, cost_usd: float | None) -> None:
        """A unit that drew the incumbent."""
        if not unit:
            return
        if quality is not None:
            self.quality.add(half(unit), 0.5, quality, None, _EVEN)
        if cost_usd is not None:
            self.cost.add(half(unit), 0.5, cost_usd, None, _EVEN)

    def drew(self, column: int, propensity: float, weights: Floats) -> None:
        """A unit drew an arm while the arms had these probabilities, 0 where they could not be drawn.

        An arm counts after its first draw, which shows that agents have the policy that it is in.
        """
        counts = (weights > 0) & (weights < 1) & (self.hits > 0)
        x = np.full(len(self.arms), -1.0)
        x[column] += 1.0 / propensity
        odds = weights / np.maximum(1.0 - weights, 1e-9)
        growth = np.concatenate((_BETS[:, None] * x, -_BETS[:, None] * odds * x))
        self.capital += np.where(counts, np.log1p(np.maximum(growth, -_MOST_LOST)), 0.0)
        self.hits[column] += 1.0

    def rejoin(self, column: int) -> None:
        """An arm left the set or came back: its share is counted anew."""
        self.hits[column] = 0.0
        self.capital[:, column] = 0.0

    def aa(self) -> dict[str, float] | None:
        """Differences between the halves: of quality and cost, with their bounds. None before enough is known."""
        if self.quality.known(0) + self.quality.known(1) < self.AA_UNITS:
            return None
        found: dict[str, float] = {}
        for name, contrast in (("quality", self.quality), ("cost_usd", self.cost)):
            sequence = contrast.difference(1, self.AA_ALPHA / 2)
            if np.isfinite(sequence.low):
                found |= {
                    name: (sequence.low + sequence.high) / 2,
                    f"{name}_low": sequence.low,
                    f"{name}_high": sequence.high,
                }
        return found if "quality" in found else None

    def mismatched(self) -> list[int]:
        """Arms that are seen more or less often than they were drawn."""
        mean = np.exp(np.minimum(self.capital, 50.0)).mean(axis=0)
        return np.flatnonzero(mean >= 1.0 / self.SHARE_ALPHA).tolist()

    def add_arm(self, arm: str) -> None:
        """One more arm."""
        self.arms.append(arm)
        self.hits = np.append(self.hits, 0.0)
        self.capital = np.concatenate((self.capital, np.zeros((2 * len(_BETS), 1))), axis=1)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("hits", "capital")}
        both = {"quality": self.quality.state(), "cost": self.cost.state()}
        return {"kind": self.KIND, "schema": 1, "arms": list(self.arms), **both, **arrays}

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls(reader.texts("arms", least=1))
        made.quality = Contrasts.of_state(reader.take("quality"), f"{where}.quality", HALVES, 0.5)
        made.cost = Contrasts.of_state(reader.take("cost"), f"{where}.cost", HALVES, None)
        k = len(made.arms)
        made.hits = reader.array("hits", (k,), low=0.0)
        made.capital = reader.array("capital", (2 * len(_BETS), k))
        reader.end()
        return made
