"""A rule of a scenario: when to answer, what to answer, and what goes wrong first.

In: values that :mod:`.reading` has checked. Out: yes or no to a request. A rule keeps no state; how often it was used
is known to :mod:`.script` and passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from .answers import Answer, Fault


@dataclass(frozen=True, slots=True)
class Request:
    """What a rule's conditions look at."""

    api: str
    model: str
    step: int
    nth: int
    last_user: str
    embeds: bool
    body: str
    """The request's body as compact JSON."""
    api_key: str
    """The key that the request was sent with; empty for none."""
    in_flight: int
    """Requests under way, this one included."""


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
    body: tuple[str, ...] = ()
    body_lacks: tuple[str, ...] = ()
    body_above_chars: int | None = None
    api_key: str | None = None
    in_flight_above: int | None = None
    probability: float = 1.0
    times: int | None = None

    def fits(self, request: Request) -> bool:
        """Whether the rule's conditions hold; :mod:`.script` adds those that depend on earlier requests."""
        if request.embeds and self.api is None:
            return False
        return (
            (self.api is None or fnmatchcase(request.api, self.api))
            and (self.model is None or fnmatchcase(request.model, self.model))
            and (self.step is None or request.step in self.step)
            and (self.nth is None or request.nth in self.nth)
            and (self.contains is None or self.contains in request.last_user)
            and (self.api_key is None or fnmatchcase(request.api_key, self.api_key))
            and (self.in_flight_above is None or request.in_flight > self.in_flight_above)
            and (self.body_above_chars is None or len(request.body) > self.body_above_chars)
            and all(text in request.body for text in self.body)
            and not any(text in request.body for text in self.body_lacks)
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
