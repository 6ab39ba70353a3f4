"""Rules of a policy: which one is for a call, and what it gives a run. Sans-IO.

In: a call's sites, service and model; a run's id. Out: the one :class:`Rule` that holds, and :func:`draw`, its value
with the probability it had. A module of its own because this much runs at every call of an agent, while the document
(:mod:`.policy`) is read once; it trusts what it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .caps import HARD, Guardrails
from .shapes import value_class


@value_class
class Match:
    """Which calls a rule is for; None is any."""

    site: str | None = None
    service: str | None = None
    model: str | None = None

    def covers(self, sites: Collection[str], service: str, model: str | None) -> bool:
        """Whether a call is one of these."""
        return (
            (self.site is None or self.site in sites)
            and (self.model is None or self.model == model)
            and (self.service is None or self.service == service)
        )

    @property
    def specificity(self) -> int:
        """Larger for the narrower: a site counts more than model and service together."""
        return 4 * (self.site is not None) + 2 * (self.model is not None) + (self.service is not None)


@value_class
class Arm:
    """One value that a rule may give, and how often."""

    value: Any
    """None for the incumbent, which has no value here."""
    weight: float
    is_incumbent: bool = False


@value_class
class Rule:
    """What one knob is set to for the calls that match. A fixed value is one arm of weight 1."""

    rule_id: str
    knob: str
    match: Match
    source: str
    """``human`` for a fixed value, ``experiment`` for arms."""
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole document."""

    version: int
    issued_ns: int
    lifetime_s: int
    is_frozen: bool = False
    """Steering is stopped: no rule is active."""
    rules: tuple[Rule, ...] = ()
    guardrails: Guardrails = HARD
    knobs: frozenset[str] = field(init=False, repr=False, compare=False)
    """Knobs that active rules are about."""
    _by_knob: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        active = () if self.is_frozen else self.rules
        by_knob: dict[str, list[Rule]] = {}
        for rule in sorted(active, key=lambda rule: -rule.match.specificity):  # stable: ties stay as they are listed
            by_knob.setdefault(rule.knob, []).append(rule)
        object.__setattr__(self, "_by_knob", {knob: tuple(rules) for knob, rules in by_knob.items()})
        object.__setattr__(self, "knobs", frozenset(by_knob))

    def holds_at(self, now_ns: int) -> bool:
        """Whether its lifetime has not ended at ``now_ns``."""
        return now_ns < self.issued_ns + self.lifetime_s * 10**9

    def rule(self, knob: str, sites: Collection[str], service: str, model: str | None) -> Rule | None:
        """The rule for ``knob`` of one call: the most specific one that matches, of equals the one listed first.

        Args:
            knob: Which knob is asked about.
            sites: Ids of the call's line and of the line the knob is pinned to.
            service: The agent's name.
            model: The model that the code asked for.
        """
        for rule in self._by_knob.get(knob, ()):
            if rule.match.covers(sites, service, model):
                return rule
        return None


NONE = Policy(version=0, issued_ns=0, lifetime_s=0)
"""No policy: the incumbent everywhere."""


class Drawn(NamedTuple):
    """What a rule gives one run at one site."""

    value: Any
    """None for the incumbent."""
    is_incumbent: bool
    propensity: float
    """Probability with which this value was drawn."""


def draw(rule: Rule, run_id: str, site_id: str) -> Drawn:
    """The rule's value for a run at a site: a hash decides, so the same question always has the same answer.

    No state and no random numbers: every process that a run spans draws alike, draws of different rules are
    independent of each other, and anyone can check a logged decision. ``u`` is uniform on [0, 1).
    """
    chosen = rule.arms[-1]
    if len(rule.arms) > 1:
        key = f"{rule.rule_id}|{run_id}|{site_id}".encode("utf-8", "replace")
        u = int.from_bytes(hashlib.sha256(key).digest()[:8]) / 2**64
        reached = 0.0
        for arm in rule.arms:
            reached += arm.weight
            if u < reached:
                chosen = arm
                break
    return Drawn(_own(chosen.value), chosen.is_incumbent, chosen.weight)


def _own(value: Any) -> Any:
    """A value that its receiver may change without changing the policy."""
    if isinstance(value, dict):
        return {key: _own(inner) for key, inner in value.items()}
    return [_own(inner) for inner in value] if isinstance(value, list) else value
