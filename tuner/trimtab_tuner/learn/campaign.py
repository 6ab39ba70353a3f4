"""One learned experiment: what it was told, what it would publish now, and when a challenger has earned its place.

In: a :class:`~.advice.CampaignSpec`, observations, times. Out: :class:`~.advice.Advice`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from .advice import Advice, Arm, CampaignSpec
from .learner import Json
from .observation import Observation


class Campaign:
    """A state machine: ``exploring`` → (:meth:`promote`) ``promoted`` → (gate, or :meth:`roll_back`) ``exploring``.

    ``halted`` is the incumbent alone, from a state that could not be read or readings that are broken, until
    :meth:`resume`. Nothing here reads a clock, a store or the network; not thread-safe.
    """

    def __init__(self, spec: CampaignSpec) -> None:
        self.spec = spec

    def observe(self, observation: Observation) -> None:
        """Take in one unit. Never raises for what is in it: what can't be learned from is counted and told once."""
        raise NotImplementedError

    def warm(self, pairs: Iterable[Mapping[str, Observation]]) -> None:
        """Take in tasks that were answered by several arms (shadow runs): they inform the learner, never the gates.

        Args:
            pairs: per task the observation of each arm; propensities are not looked at.
        """
        raise NotImplementedError

    def advance(self, now_ns: int) -> Advice:
        """Look at what is known: move gates and weights, and say so. To be called at each publication."""
        raise NotImplementedError

    def promote(self, arm: str, now_ns: int) -> None:
        """Make a challenger the leader; the incumbent keeps the holdout. ValueError for an unknown or dropped arm."""
        raise NotImplementedError

    def roll_back(self, now_ns: int, why: str) -> None:
        """Give the lead back to the incumbent and drop the promoted arm. ValueError where none is promoted."""
        raise NotImplementedError

    def add_arm(self, arm: Arm) -> None:
        """Try another value, or one again that was dropped."""
        raise NotImplementedError

    def remove_arm(self, key: str) -> None:
        """Try a value no more. The incumbent can't be removed."""
        raise NotImplementedError

    def reprice(self, key: str, price_usd: float | None, factor: float = 1.0) -> None:
        """A price changed: declare the new cost of a unit, or scale what was learned by ``factor``."""
        raise NotImplementedError

    def halt(self, why: str, now_ns: int) -> None:
        """The incumbent alone, until :meth:`resume`; what was learned stays."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on after :meth:`halt`."""
        raise NotImplementedError

    def state(self) -> Json:
        """All that was learned, as JSON without NaN or infinity, with a schema number; without the spec."""
        raise NotImplementedError

    @classmethod
    def of_state(cls, spec: CampaignSpec, state: Json) -> Self:
        """The campaign that gave this state. :class:`~.states.StateError` where it does not fit: keep the text, and
        go on with ``Campaign(spec)`` and :meth:`halt`, which is the incumbent.
        """
        raise NotImplementedError
