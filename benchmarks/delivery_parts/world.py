"""A provider in virtual time: heavy-tailed answers, transient errors, outages, a limit of requests at once. Synthetic.

In: a scenario and a seed. Out: for each request when it ends, and how. Nothing sleeps: calls are generators that yield
the time they want to go on at, and :meth:`World.run` takes them in that order. All that is random comes from two
generators, one for arrivals and answers and one for the jitter of policies, so that every policy meets the same calls.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from trimtab_tracer.retries import Failure

MEDIAN_S, SIGMA = 2.0, 0.6
"""Body of the answers' times: log-normal."""
TAIL_SHARE, TAIL_FROM_S, TAIL_ALPHA, TAIL_MOST_S = 0.03, 8.0, 1.3, 300.0
"""And their tail: Pareto, cut off."""
FAILS_AFTER_S = 0.3
"""Mean time until a refusal, exponential."""

DOWN = Failure("overloaded", True, status=529)
BROKEN = Failure("server", True, status=500)
CROWDED = Failure("rate_limit", True, retry_after_s=1.0, status=429)

Call = Generator[float, None, "Answer | None"]


class Answer(NamedTuple):
    """What a call came to."""

    is_answered: bool
    was_sent: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, in seconds from the start."""

    name: str
    lasts_s: float
    calls_per_s: float = 1.0
    errors: float = 0.01
    """Share of requests that fail for no reason."""
    outage: tuple[float, float] = (math.inf, math.inf)
    is_silent: bool = False
    """Requests in the outage get no answer at all, instead of a refusal."""
    places: int = 10**9
    """Requests at once; more are refused with 429."""
    burst: int = 1
    """Calls that come together."""


@dataclass(slots=True)
class Flight:
    """One request under way."""

    sent_s: float
    ends_s: float
    failure: Failure | None


@dataclass(slots=True)
class World:
    """One run of one scenario."""

    scenario: Scenario
    seed: int
    now_s: float = 0.0
    requests: int = 0
    requests_in_outage: int = 0
    held_back_s: float = 0.0
    """How long after the outage's end a call that came after it was last failed or held without a request."""
    times: list[tuple[float, bool]] = field(default_factory=list)
    """Per call: seconds until the agent knew, and whether it had an answer."""
    dice: random.Random = field(init=False)
    """For the policies' jitter."""
    _luck: random.Random = field(init=False)
    _under_way: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._luck = random.Random(f"{self.scenario.name} {self.seed}")
        self.dice = random.Random(f"dice {self.seed}")

    def clock(self) -> float:
        """The virtual time."""
        return self.now_s

    def send(self, model: str = "m") -> Flight:
        """Send a request now; a ``model`` other than ``m`` has no outage."""
        self.requests += 1
        begins_s, ends_s = self.scenario.outage
        is_down = model == "m" and begins_s <= self.now_s < ends_s
        self.requests_in_outage += is_down
        while self._under_way and self._under_way[0] <= self.now_s:
            heapq.heappop(self._under_way)
        luck = self._luck
        soon_s = self.now_s + luck.expovariate(1 / FAILS_AFTER_S)
        answer_s = self.now_s + self._answer_s()
        is_unlucky = luck.random() < self.scenario.errors
        if is_down:
            flight = Flight(self.now_s, math.inf if self.scenario.is_silent else soon_s, DOWN)
        elif len(self._under_way) >= self.scenario.places:
            flight = Flight(self.now_s, soon_s, CROWDED)
        else:
            flight = Flight(self.now_s, soon_s if is_unlucky else answer_s, BROKEN if is_unlucky else None)
        if flight.failure is None:  # what is refused takes no place
            heapq.heappush(self._under_way, flight.ends_s)
        return flight

    def end(self, flight: Flight) -> None:
        """The client hangs up before its end."""
        if flight.ends_s in self._under_way:
            self._under_way.remove(flight.ends_s)
            heapq.heapify(self._under_way)

    def _answer_s(self) -> float:
        if self._luck.random() < TAIL_SHARE:
            return min(TAIL_MOST_S, TAIL_FROM_S * self._luck.paretovariate(TAIL_ALPHA))
        return MEDIAN_S * math.exp(SIGMA * self._luck.gauss(0.0, 1.0))

    def run(self, policy: Callable[[World, int], Call]) -> None:
        """Let calls come, each under ``policy``, until the last one has ended."""
        order, waiting = count(), list[tuple[float, int, float, Call]]()
        comes_s, n, arrivals = 0.0, 0, random.Random(f"arrivals {self.scenario.name} {self.seed}")
        while comes_s < self.scenario.lasts_s:
            for _ in range(self.scenario.burst):
                heapq.heappush(waiting, (comes_s, next(order), comes_s, policy(self, n)))
                n += 1
            comes_s += arrivals.expovariate(self.scenario.calls_per_s / self.scenario.burst)
        while waiting:
            self.now_s, _, came_s, call = heapq.heappop(waiting)
            try:
                heapq.heappush(waiting, (max(self.now_s, next(call)), next(order), came_s, call))
            except StopIteration as stop:
                self._note(came_s, stop.value)

    def _note(self, came_s: float, answer: Answer) -> None:
        self.times.append((self.now_s - came_s, answer.is_answered))
        if came_s >= self.scenario.outage[1] and not answer.was_sent:
            self.held_back_s = max(self.held_back_s, came_s - self.scenario.outage[1])
