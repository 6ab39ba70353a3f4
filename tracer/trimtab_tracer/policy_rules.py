"""Rules of a policy: which one is for a call, and what it gives a run. Sans-IO.

In: a call's sites, service and model; what its run was declared as and has come to (:class:`InRun`); a run's id. Out:
the one :class:`Rule` that holds, and :func:`draw`, its value with the probability it had. A module of its own because
this much runs at every call of an agent, while the document (:mod:`.policy`) is read once; it trusts what it is given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .caps import HARD, Guardrails
from .shapes import value_class


class Seen(NamedTuple):
    """A run so far, when a call of it begins."""

    calls: int
    """LLM calls that began before."""
    tokens: int | None
    """Input and output tokens of its requests that ended; None where they were not counted from its beginning."""
    previous_failed: bool
    """Whether what ended last, an LLM request or a tool, failed; False where nothing ended yet."""


class InRun(Protocol):
    """The run that a call belongs to (:class:`.progress.Progress`)."""

    @property
    def name(self) -> str:
        """As it was declared."""
        ...

    @property
    def context(self) -> Mapping[str, str]:
        """Its attributes and its task as text."""
        ...

    def seen(self) -> Seen:
        """What it has come to."""
        ...


@value_class
class Match:
    """Which calls a rule is for; None is any."""

    site: str | None = None
    service: str | None = None
    model: str | None = None
    name: str | None = None
    """Of the run."""
    context: tuple[tuple[str, str], ...] = ()
    """Attributes of the run and their values as text, all of which must be so; ordered by key."""

    def covers(self, sites: Collection[str], service: str, model: str | None, run: InRun | None = None) -> bool:
        """Whether a call is one of these; no rule about a run covers a call of an unknown one."""
        return (
            (self.site is None or self.site in sites)
            and (self.model is None or self.model == model)
            and (self.service is None or self.service == service)
            and (self.name is None or (run is not None and self.name == run.name))
            and (not self.context or (run is not None and all(run.context.get(k) == v for k, v in self.context)))
        )

    @property
    def specificity(self) -> tuple[int, ...]:
        """Larger for the narrower: the site counts first, then the model, the number of attributes, the name and the
        service."""
        given = [value is not None for value in (self.site, self.model, self.name, self.service)]
        return (*given[:2], len(self.context), *given[2:])


@value_class
class When:
    """What a run must have come to for a rule to hold; None is anything."""

    previous_failed: bool | None = None
    min_step: int | None = None
    """Least number of LLM calls before this one."""
    max_step: int | None = None
    min_tokens: int | None = None
    """Least number of tokens of the run before this call."""
    max_tokens: int | None = None

    def holds(self, seen: Seen | None) -> bool:
        """Whether it has; nothing holds of what is not known."""
        return (
            seen is not None
            and self.previous_failed in (None, seen.previous_failed)
            and _is_within(seen.calls, self.min_step, self.max_step)
            and _is_within(seen.tokens, self.min_tokens, self.max_tokens)
        )


def _is_within(count: int | None, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    return count is not None and (low is None or count >= low) and (high is None or count <= high)


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
    when: When | None = None
    """Holds only then; None for always."""

    @property
    def specificity(self) -> tuple[int, ...]:
        """That of its match; of equals one with a condition comes first, and gives way where that does not hold."""
        return (*self.match.specificity, self.when is not None)


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
    counts_tokens: bool = field(init=False, repr=False, compare=False)
    """Whether an active rule asks for the tokens of a run."""
    _conditional: frozenset[str] = field(init=False, repr=False, compare=False)
    _by_knob: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        active = () if self.is_frozen else self.rules
        by_knob: dict[str, list[Rule]] = {}
        for rule in sorted(active, key=lambda rule: rule.specificity, reverse=True):  # stable: ties stay as listed
            by_knob.setdefault(rule.knob, []).append(rule)
        object.__setattr__(self, "_by_knob", {knob: tuple(rules) for knob, rules in by_knob.items()})
        object.__setattr__(self, "knobs", frozenset(by_knob))
        limits = [(rule.when.min_tokens, rule.when.max_tokens) for rule in active if rule.when is not None]
        object.__setattr__(self, "_conditional", frozenset(rule.knob for rule in active if rule.when is not None))
        object.__setattr__(self, "counts_tokens", any(limit != (None, None) for limit in limits))

    def holds_at(self, now_ns: int) -> bool:
        """Whether its lifetime has not ended at ``now_ns``."""
        return now_ns < self.issued_ns + self.lifetime_s * 10**9

    def rule(
        self,
        knob: str,
        sites: Collection[str],
        service: str,
        model: str | None,
        run: InRun | None = None,
        seen: Seen | None = None,
    ) -> Rule | None:
        """The rule for ``knob`` of one call: the most specific one that holds, of equals the one listed first.

        Args:
            knob: Which knob is asked about.
            sites: Ids of the call's line and of the line the knob is pinned to.
            service: The agent's name.
            model: The model that the code asked for.
            run: The run that the call belongs to, where it is known.
            seen: What it has come to.
        """
        return first_holding(self.covering(knob, sites, service, model, run), seen)

    def covering(
        self, knob: str, sites: Collection[str], service: str, model: str | None, run: InRun | None = None
    ) -> Iterator[Rule]:
        """All rules for ``knob`` of one call, whatever its run has come to; the most specific one first."""
        for rule in self._by_knob.get(knob, ()):
            if rule.match.covers(sites, service, model, run):
                yield rule

    def has_conditions(self, knobs: Collection[str]) -> bool:
        """Whether an active rule for one of ``knobs`` has a condition."""
        return not self._conditional.isdisjoint(knobs)


def first_holding(rules: Iterable[Rule], seen: Seen | None) -> Rule | None:
    """The first of these rules that holds for a run that has come to what was ``seen``; None where none does."""
    return next((rule for rule in rules if rule.when is None or rule.when.holds(seen)), None)


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
