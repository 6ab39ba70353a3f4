"""What a rule is: one failure mode, and how it is found.

In: nothing. Out: :class:`Rule`, which the tables of :mod:`.failures` are made of. A module of its own so that the two
tables do not import each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from .case import Blame, Case

Find = Callable[[Case, str], Iterator[Blame]]
Layer = Literal["preflight", "incident", "evaluator", "agent"]
"""Whose fault a rule looks for. The layers are asked in this order: what was never the agent's is not blamed on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One failure mode that a rule alone can tell, or can name a candidate for."""

    id: str
    mode: int | None
    """Its number among the failure modes (analyzer/README.md); None for what belongs to none of them."""
    question: str
    knob: str
    """The harness's decision it belongs to."""
    advice: str
    """What mends it in general; a finding says it for its own line and numbers."""
    taxonomy: str
    """What it is called elsewhere: MAST (Cemri et al. 2025), TRAIL (Deshpande et al. 2025), or the provider's term."""
    find: Find
    severity: float
    """How surely this alone loses a run, in [0, 1]: 1 where no run gets over it, 0 where none is lost by it. Stated
    from what the mode is, not fitted to any data; ``rank`` and whoever shares out the blame for a run weigh by it."""
    cost_class: str | None = None
    """Class of the ledger that holds what it wastes (:data:`~.cost.CLASSES`); None where it wastes nothing itself."""
    ends_runs: bool = False
    """Whether an exception that ends the run right after a hit follows from it, so that no other finding names it."""
    layer: Layer = "agent"
    is_candidate: bool = False
    """Whether it only may be so: what it needs beside the records is in ``condition``."""
    condition: str = ""
    """Under which condition a candidate counts, as the end of a sentence; empty where the rule alone decides."""
    excuses: bool = False
    """Whether it answers alone for the attempts that it hits, so that no later rule blames them."""
