"""A rule of a scenario: when to answer, what to answer, and what goes wrong first.

In: values that :mod:`.reading` has checked. Out: yes or no to a request. A rule keeps no state; how often it was used
is known to :mod:`.script` and passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from .answers import Answer, Fault


@dataclass(frozen=True, slots=True)
class Rule:
    """When to answer, what to answer, and what goes wrong first. ``None`` conditions match everything."""

    answer: Answer | None
    """None: the rule has only faults."""
    faults: tuple[Fault, ...] = ()
    model: str | None = None
    api: str | None = None
    step: frozenset[int] | None = None
    nth: frozenset[int] | None = None
    contains: str | None = None
    probability: float = 1.0
    times: int | None = None

    def fits(self, *, api: str, model: str, step: int, nth: int, last_user: str, embeds: bool) -> bool:
        """Whether the rule's conditions hold; :mod:`.script` adds those that depend on earlier requests."""
        if embeds and self.api is None:
            return False
        return (
            (self.api is None or fnmatchcase(api, self.api))
            and (self.model is None or fnmatchcase(model, self.model))
            and (self.step is None or step in self.step)
            and (self.nth is None or nth in self.nth)
            and (self.contains is None or self.contains in last_user)
        )

    def limit(self) -> int | None:
        """Requests that the rule can answer; None for no limit."""
        if self.answer is not None or any(f.times is None for f in self.faults):
            return self.times
        spent = sum(f.times or 0 for f in self.faults)
        return spent if self.times is None else min(spent, self.times)

    def fault_at(self, use: int) -> Fault | None:
        """The fault that hits the rule's ``use``-th request (from 0); None when they are used up."""
        for fault in self.faults:
            if fault.times is None or use < fault.times:
                return fault
            use -= fault.times
        return None
