"""What comparisons of values say: records, and their JSON.

In: numbers. Out: :class:`Effect`, :class:`Association` and both together. Apart from :mod:`.comparisons`, which makes
them, because those who show them need nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..statistics import number
from .weighting import Estimate


@dataclass(frozen=True, slots=True)
class Pair:
    """Two values of one knob at one line, by one measure."""

    site_id: str
    place: str
    """The line: ``file:line``; the id of a line that the store does not know."""
    knob: str
    base: str
    """JSON text of the value that the other one is compared with."""
    value: str
    measure: str
    runs_base: int
    runs_value: int
    mean_base: float
    mean_value: float
    """Of drawn values self-normalised: what all runs would have come to."""


@dataclass(frozen=True, slots=True)
class Effect(Pair):
    """One value against the base, drawn at random with known probabilities."""

    ipw: Estimate
    snips: Estimate
    dr: Estimate
    low: float
    """Interval around ``dr`` that holds at any time, at 95 %."""
    high: float
    log_e: float
    is_exact: bool
    """The interval holds at every size; else as the number of runs grows."""
    is_adaptive: bool
    """Propensities changed along the way: then only ``low`` and ``high`` hold for sure."""
    missing_base: int
    """Runs that drew the base and could not be counted."""
    missing_value: int
    is_declared: bool = False
    """The e-value stands among all comparisons of the measure (e-BH at 5 %)."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = asdict(self) | {name: getattr(self, name).as_json() for name in ("ipw", "snips", "dr")}
        return said | {name: number(getattr(self, name)) for name in ("low", "high", "log_e")} | {"kind": "effect"}


@dataclass(frozen=True, slots=True)
class Association(Pair):
    """One value against the base, within strata; nobody drew them."""

    difference: float
    """Value minus base within strata."""
    low: float
    high: float
    p: float
    strata: int
    by: tuple[str, ...]
    """What strata are made of."""
    left_out: int
    """Runs in strata in which only one of the two values occurred."""
    missing: int
    """Runs that could not be counted."""
    q: float = 1.0
    """Benjamini-Hochberg over all comparisons made."""
    is_clear: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        bounds = {"low": number(self.low), "high": number(self.high)}
        return asdict(self) | bounds | {"by": list(self.by), "kind": "association"}


@dataclass(frozen=True, slots=True)
class Comparisons:
    """All of them, and what was left out."""

    effects: tuple[Effect, ...]
    associations: tuple[Association, ...]
    outcomes: dict[str, Any]
    """See :meth:`~.units.Units.outcomes`."""
    mixed: int
    """Runs with several values of one knob at one line, summed over lines and knobs."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "effects": [effect.as_json() for effect in self.effects],
            "associations": [association.as_json() for association in self.associations],
            "outcomes": self.outcomes,
            "mixed": self.mixed,
        }
