"""Records of decisions: which value of a setting was in force, who chose it, and how likely that choice was.

Apart from the others because a decision is about a call and is none: it is written when the choice is made, whatever
becomes of the call. What holds for all records is said in :mod:`.records`, which is what others import.
"""

from __future__ import annotations

from typing import Any

from .shapes import value_class


@value_class
class Decision:
    """One value of one knob in force at one site, for one call or one run."""

    decision_id: str
    run_id: str
    knob: str
    value: Any
    """JSON value; None means that the code set nothing and the provider's or library's default holds."""
    source: str
    """``code | default | human | experiment``."""
    site_id: str
    ts_ns: int
    call_id: str | None = None
    propensity: float = 1.0
    """Probability with which this value was drawn, in (0, 1]."""
    site_role: str = "call"
    """``call | constructor | knob``: which line ``site_id`` names."""
    policy_version: int | None = None
    choices: tuple[Any, ...] = ()
    """JSON values that the code says a declared knob may take; left out of the segment where it names none."""
    rule_id: str | None = None
    """The policy's rule that was obeyed."""
    drawn: str | None = None
    """As in :class:`Choice`."""
    seen: dict[str, Any] | None = None
    """As in :class:`Choice`."""
    verdict: str | None = None
    """As in :class:`Choice`."""


@value_class
class Choice:
    """One decision of :class:`CallDecisions`: what it says beyond the call it holds for."""

    knob: str
    value: Any
    source: str
    site_id: str | None = None
    """None for the line of the call."""
    site_role: str = "call"
    propensity: float = 1.0
    policy_version: int | None = None
    rule_id: str | None = None
    """The policy's rule that was obeyed; None where the code decided."""
    drawn: str | None = None
    """``incumbent`` where an experiment drew that: ``value`` is then the code's own. None everywhere else."""
    seen: dict[str, Any] | None = None
    """The run as it was when the call began, where the obeyed rule, or one that gave way to it, has a ``when``:
    ``calls`` and ``tokens`` so far, ``previous_failed``. With it anyone can check which rule had to be obeyed."""
    verdict: str | None = None
    """Of ``escalate``, what was said of the first model's answer: ``passed``, ``failed: CHECK``, with the grade behind
    it where a check gave one (``passed 0.82``), or why nothing was said."""


@value_class
class CallDecisions:
    """All decisions in force on one call, in one record: a call makes ten of them."""

    call_id: str
    run_id: str
    site_id: str
    """The line of the call."""
    ts_ns: int
    choices: tuple[Choice, ...]

    def decisions(self) -> tuple[Decision, ...]:
        """One :class:`Decision` for each choice; ids are ``<call_id>:<knob>``."""
        return tuple(
            Decision(
                decision_id=f"{self.call_id}:{choice.knob}",
                run_id=self.run_id,
                knob=choice.knob,
                value=choice.value,
                source=choice.source,
                site_id=choice.site_id or self.site_id,
                ts_ns=self.ts_ns,
                call_id=self.call_id,
                propensity=choice.propensity,
                site_role=choice.site_role,
                policy_version=choice.policy_version,
                rule_id=choice.rule_id,
                drawn=choice.drawn,
                seen=choice.seen,
                verdict=choice.verdict,
            )
            for choice in self.choices
        )
