"""One call on its way: the time it has, the lanes its requests take, and whether a second one may follow. Sans-IO.

In: the knobs of one call (:class:`DeliveryTerms`), the lanes of the process (:mod:`.lanes`), and what became of each
request. Out: how long to wait, whether to send, which failure to hand on instead. A module of its own because the same
decisions are carried out by threads, by event loops and, in virtual time, by ``benchmarks/delivery.py``.

It is the :class:`.retries.Gate` of the call's retry loop. Anything of ours that raises here lets the request through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any

from .breaker import BreakerTerms
from .budgets import BudgetTerms, HedgeShare
from .concurrency import Place
from .lanes import Lane, Lanes, LaneTerms
from .retries import Failure
from .shapes import value_class
from .wire.values import obj

MAX_QUEUE_S = 30.0
"""Longest that a request waits for a place; then it goes out, because a policy about crowding must not fail a call."""


@value_class
class DeliveryTerms:
    """The knobs of one call that are about its way."""

    lane: LaneTerms = field(default_factory=LaneTerms)
    total_s: float | None = None
    """For all requests and pauses of the call, and for reading its answer."""
    first_token_s: float | None = None
    """From a stream's request to the first bytes of its body."""
    hedge_delay_s: float | None = None
    """When a second request follows one without a response."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> DeliveryTerms | None:
        """From the values of the knobs, as far as they are steered; None where none of them is."""
        timeout, budget, breaker = values.get("timeout_s"), values.get("retry_budget"), values.get("circuit_breaker")
        limits = timeout if isinstance(timeout, dict) else {}
        terms = cls(
            lane=LaneTerms(
                breaker=BreakerTerms(**breaker) if breaker is not None else None,
                budget=BudgetTerms(**budget) if budget is not None else None,
                max_concurrency=values.get("max_concurrency"),
            ),
            total_s=limits.get("total"),
            first_token_s=limits.get("first_token"),
            hedge_delay_s=values.get("hedge_delay_s"),
        )
        return terms if terms != cls() else None


class Trip:
    """One request on its lane. Used by one thread at a time; ending it twice is harmless.

    Args:
        lane: Where it goes.
        terms: What is in force there.
        now: The clock.
        payer: The lane whose budget it was paid from: that of the model which failed, for a fallback.
        paid: How much.
    """

    def __init__(
        self, lane: Lane, terms: LaneTerms, now: Callable[[], float], payer: Lane | None = None, paid: float = 0.0
    ) -> None:
        self._lane = lane
        self._terms = terms
        self._now = now
        self._payer = payer
        self._paid = paid
        self._place = Place()
        self._is_told = False
        self._waits_until_s = now() + MAX_QUEUE_S
        self.sent_s = now()

    def wait_s(self) -> float | None:
        """Seconds to wait before asking again; None where it has its place, or needs none.

        While the breaker is open nobody waits: what is no probe is denied, and a probe must not stand behind others.
        """
        if self._lane.is_open(self._terms):
            return None
        return self._lane.enter(self._place, self._terms, is_forced=self._now() >= self._waits_until_s)

    def depart(self) -> Failure | None:
        """It is sent now; or the failure to hand on instead, because the breaker is open."""
        self.sent_s = self._now()
        denial = self._lane.admit(self._terms, self.sent_s)
        if denial is not None:
            self.leave()
        return denial

    def leave(self) -> None:
        """Its place is free."""
        self._lane.leave(self._place, self.sent_s)

    def ended(self, failure: Failure | None) -> None:
        """What became of it; None for an answer. Frees no place: its body may still be read."""
        if self._is_told:
            return
        self._is_told = True
        if failure is None:
            self._lane.answered(self._terms, self.sent_s, is_first=not self._paid)
            if self._payer is not None:
                self._payer.give_back(self._paid)
        else:
            self._lane.failed(self._terms, failure, self.sent_s)


class Delivery:
    """One call. Not thread-safe, but for what its lanes share.

    Args:
        lanes: Of the process; their clock counts.
        hedges: Of the process.
        host: Where the call goes.
        model: Which model it asks first.
        terms: What is in force.
        holds: Whether the policy still does.
    """

    def __init__(
        self,
        lanes: Lanes,
        hedges: HedgeShare,
        host: str,
        model: str | None,
        terms: DeliveryTerms,
        holds: Callable[[], bool] = lambda: True,
    ) -> None:
        self.terms = terms
        self._lanes = lanes
        self._hedges = hedges
        self._host = host
        self._holds = holds
        self._now = lanes.monotonic
        self._lane = lanes.lane(host, model)
        self._paid = 0.0
        self._ends_s = None if terms.total_s is None else self._now() + terms.total_s

    # The time

    def left_s(self) -> float | None:
        """Seconds that the whole call has left; None for no limit."""
        return None if self._ends_s is None else max(0.0, self._ends_s - self._now())

    def stream_left_s(self, sent_s: float, *, has_begun: bool) -> float | None:
        """Seconds that are left for the next bytes of a stream whose request was sent at ``sent_s``."""
        left, first = self.left_s(), self.terms.first_token_s
        if has_begun or first is None:
            return left
        first = max(0.0, sent_s + first - self._now())
        return first if left is None else min(left, first)

    def has_time(self, delay_s: float) -> bool:
        """Whether the call may still be under way after this pause."""
        left = self.left_s()
        return left is None or delay_s < left

    # The retry loop's gate

    def is_shut(self, model: str | None) -> bool:
        """Whether a request to ``model`` would be turned away now; None for the model of the last one."""
        lane = self._lane if model is None else self._lanes.lane(self._host, model)
        return lane.denial(self.terms.lane) is not None

    def pay(self, failure: Failure) -> bool:
        """Pay for one request after ``failure``, if that can be paid for."""
        paid = self._lane.pay(self.terms.lane, after_timeout=failure.error_class == "timeout")
        self._paid = paid or 0.0
        return paid is not None

    def give_back(self) -> None:
        """The request that was paid for last is not sent."""
        self._lane.give_back(self._paid)
        self._paid = 0.0

    # Its requests

    def trip(self, model: str | None) -> Trip:
        """The next request, to ``model``; paid for where the loop paid."""
        payer, self._lane = self._lane, self._lanes.lane(self._host, model)
        paid, self._paid = self._paid, 0.0
        if self.terms.hedge_delay_s is not None:
            self._hedges.sent()
        return Trip(self._lane, self.terms.lane, self._now, payer, paid)

    def hedge(self) -> Trip | None:
        """A second request beside the one under way, sent now; None where that may not be.

        Not while something fails there or nothing comes back, not without a place, and within the shares of
        :mod:`.budgets`, also where no ``retry_budget`` is in force.
        """
        lane = self._lane
        terms = replace(self.terms.lane, budget=self.terms.lane.budget or BudgetTerms())
        if not self._holds() or not lane.may_hedge() or not self._hedges.take():
            return None
        paid = lane.pay(terms)
        trip = Trip(lane, terms, self._now, lane, paid or 0.0)
        if paid is None or trip.wait_s() is not None:
            trip.leave()
            lane.give_back(paid or 0.0)
            self._hedges.give_back()
            return None
        trip.depart()
        lane.hedged()
        return trip


def is_harmless(api: str, body: dict[str, Any]) -> bool:
    """Whether a request may be sent twice: nothing is done or kept at the provider besides giving an answer.

    Not harmless are tools that run there or drive a computer, conversations and responses that are kept, and work in
    the background.
    """
    kept = ("conversation", "thread", "previous_response_id", "container", "background", "mcp_servers", "cachedContent")
    if any(body.get(key) for key in kept):
        return False
    store = body.get("store")
    if store or (store is None and api == "openai.responses"):  # which keeps its answers unless it is told not to
        return False
    tools = body.get("tools")
    return all(_runs_here(api, obj(tool)) for tool in tools) if isinstance(tools, list) else True


def _runs_here(api: str, tool: dict[str, Any]) -> bool:
    """Whether the agent's own code carries a tool out, after the answer."""
    if api == "gemini":
        return set(tool) <= {"functionDeclarations", "function_declarations"}
    return tool.get("type", "custom") in ("function", "custom")
