"""What calls share on the way to a model: breaker, budget, places and hedges keep their bounds for every order."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.breaker import BELIEVED_AFTER_S, Breaker, BreakerTerms
from trimtab_tracer.budgets import HEDGES_SAVED, BudgetTerms, HedgeShare, RetryBudget
from trimtab_tracer.concurrency import Concurrency, Place
from trimtab_tracer.delivery import Delivery, DeliveryTerms, is_harmless
from trimtab_tracer.lanes import MAX_LANES, Lanes, LaneTerms
from trimtab_tracer.policy_values import MAX_OPEN_S
from trimtab_tracer.retries import Failure, RetryLoop, Step, Terms

DOWN = Failure("overloaded", True, status=529)
LIMITED = Failure("rate_limit", True, status=429)
TIMEOUT = Failure("timeout", True)
TERMS = BreakerTerms(failures=3, window_s=10, open_s=2)


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class NoPurse:
    """Grants nothing beyond the incumbent's."""

    def owed(self) -> int:
        return 0

    def grant(self) -> bool:
        return False

    def settle(self, saved: int) -> None: ...


def opened(at_s: float = 10.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(DOWN, TERMS, at_s, at_s)
    return breaker


def test_breaker_opens_after_failures_in_a_row() -> None:
    """Three in a row open it, two and an answer do not, and neither do rate limits or failures long ago."""
    assert opened().denies(10.5)
    one = Breaker()
    for sent_s, failure in ((1.0, DOWN), (2.0, DOWN), (3.0, None), (4.0, DOWN), (5.0, LIMITED), (6.0, DOWN)):
        one.failed(failure, TERMS, sent_s, sent_s) if failure is not None else one.succeeded(sent_s)
    assert not one.is_open
    one.failed(DOWN, TERMS, 30.0, 30.0)
    assert not one.is_open, "the others lie before the window"


def test_breaker_goes_by_when_requests_were_sent() -> None:
    """An answer to a request of before the outage does not end it, nor does a late timeout begin one."""
    breaker = opened(10.0)
    breaker.succeeded(9.0)
    assert breaker.is_open
    well = Breaker()
    well.succeeded(5.0)
    for _ in range(9):
        well.failed(TIMEOUT, TERMS, 1.0, 61.0)
    assert well.is_well


def test_one_probe_at_a_time_and_its_answer_closes() -> None:
    """While open one request passes per ``open_s``; its answer closes the breaker."""
    breaker, passed = opened(10.0), []
    for tenth in range(100, 170):
        if breaker.enter(TERMS, tenth / 10):
            passed.append(tenth / 10)
            breaker.failed(DOWN, TERMS, tenth / 10, tenth / 10)
    assert [12.0, 14.0, 16.0] == passed
    assert breaker.enter(TERMS, 18.0)
    breaker.succeeded(18.0)
    assert breaker.enter(TERMS, 18.1)


def test_oldest_probe_is_believed_however_many_follow() -> None:
    """Where failures take long and probes follow each other fast, the first of them still counts."""
    breaker, terms = Breaker(), BreakerTerms(failures=1, window_s=600, open_s=0.1)
    breaker.failed(TIMEOUT, terms, 0.0, 25.0)
    for tenth in range(251, 751):
        breaker.enter(terms, tenth / 10)
    assert breaker.enter(terms, 75.12), "a probe"
    assert breaker.enter(terms, 75.15), "because the first one, of 25.1, has not failed"


def test_probe_that_does_not_fail_is_believed() -> None:
    """One that is under way for longer than failures took lets others through, until it fails or is left."""
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(DOWN, TERMS, 10.0, 10.4)
    assert breaker.enter(TERMS, 12.5)
    assert [True, False] == [breaker.denies(13.4), breaker.denies(13.6)]
    breaker.left(12.5)
    assert breaker.denies(13.6)
    assert breaker.enter(TERMS, 14.6)
    breaker.failed(TIMEOUT, TERMS, 14.6, 17.6)
    assert breaker.enter(TERMS, 17.7)
    assert breaker.denies(19.6), "failures take three seconds now"


@given(
    st.floats(0.1, MAX_OPEN_S),
    st.integers(1, 9),
    st.floats(1, 600),
    st.floats(0.01, 0.9),
    st.floats(0.05, 30),
    st.randoms(),
)
def test_recovery_whatever_the_answers_take(
    open_s: float, failures: int, outage_s: float, gap_s: float, fails_after_s: float, dice: random.Random
) -> None:
    """Whatever the outage, and though no answer ever comes: once the breaker has opened no more than one request per
    ``open_s`` is sent while it lasts, and all pass again in that time and twice that of a failure after the last."""
    breaker, terms = Breaker(), BreakerTerms(failures, 600, open_s)
    coming, results, sent = 0.0, list[float](), list[float]()
    opened_s = None

    def fail_until(now_s: float) -> None:
        for sent_s in [s for s in results if s + fails_after_s <= now_s]:
            results.remove(sent_s)
            breaker.failed(DOWN, terms, sent_s, sent_s + fails_after_s)

    while coming < outage_s:
        fail_until(coming)
        opened_s = coming if opened_s is None and breaker.is_open else opened_s
        if breaker.enter(terms, coming):
            sent.append(coming)
            results.append(coming)
        coming += gap_s * dice.uniform(0.5, 1.0)
    if opened_s is not None:
        assert len([s for s in sent if s > opened_s]) <= (outage_s - opened_s) / open_s + 1
    last_failure_s = outage_s + fails_after_s
    all_pass_s = last_failure_s + open_s + gap_s + max(BELIEVED_AFTER_S, 2 * fails_after_s)
    while coming < all_pass_s + 20 * gap_s:
        fail_until(coming)
        is_passed = breaker.enter(terms, coming)
        assert is_passed or coming <= all_pass_s + 1e-6
        coming += gap_s


@given(
    st.floats(0, 500), st.floats(1, 50), st.floats(1, 50), st.floats(0, 5), st.lists(st.integers(0, 3), max_size=300)
)
def test_budget_bounds_what_fails(
    capacity: float, retry_cost: float, timeout_cost: float, refill: float, events: list[int]
) -> None:
    """Retries that bring nothing are at most what the capacity pays, and what answers have given back."""
    terms, budget = BudgetTerms(capacity, retry_cost, timeout_cost, refill), RetryBudget()
    spent = answers = 0.0
    for event in events:
        if event == 0:
            budget.give_back(refill)
            answers += refill
        elif (cost := budget.take(terms, after_timeout=event == 1)) is not None:
            assert cost == (timeout_cost if event == 1 else retry_cost)
            spent += cost
        assert spent <= capacity + answers + 1e-6
        assert 0 <= budget.spent <= capacity + 1e-6


@given(st.lists(st.booleans(), max_size=500))
def test_hedges_are_a_tenth(events: list[bool]) -> None:
    """However calls come: second requests are at most a tenth of the first ones, and one."""
    share, second = HedgeShare(), 0
    for first, wants in enumerate(events, start=1):
        share.sent()
        second += wants and share.take()
        assert second <= 1 + first / 10 + 1e-9
    assert sum(share.take() for _ in range(100)) <= HEDGES_SAVED


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=200))
def test_places_are_never_more_than_the_ceiling(ceiling: int, events: list[tuple[int, int]]) -> None:
    """In any order of coming, going, giving up and failing: the limit stays within 1 and the ceiling, and so do those
    who have a place; once all have gone nothing is held."""
    places, known, now_s = Concurrency(), [Place() for _ in range(10)], 0.0
    inside: set[Place] = set()
    for event, who in events:
        now_s += 0.1
        place = known[who]
        if event in (0, 1) and place not in inside and places.enter(place, ceiling, now_s):
            inside.add(place)
        elif event == 2:
            places.leave(place)
            inside.discard(place)
        elif event == 3:
            places.succeeded(ceiling)
        elif event == 4:
            places.crowded("rate_limit", ceiling, now_s, now_s)
        assert 1 <= places.limit(ceiling) <= ceiling
        assert len(inside) == places.in_flight <= ceiling
    for place in known:
        places.leave(place)
    assert 0 == places.in_flight
    assert places.enter(Place(), ceiling, now_s + 10)


def test_places_in_the_order_of_asking() -> None:
    """Who asked first goes first; a waiter that asks no more is passed over, and its pause tells how far it is."""
    places, (held, gone, first, last) = Concurrency(), [Place() for _ in range(4)]
    assert places.enter(held, 1, 0.0)
    assert [False] * 3 == [places.enter(each, 1, 0.1) for each in (gone, first, last)]
    assert places.pause_s(gone) < places.pause_s(first) < places.pause_s(last)
    assert [False, False] == [places.enter(each, 1, 2.0) for each in (first, last)]
    places.leave(held)
    assert [False, True, False] == [places.enter(each, 1, 2.5) for each in (last, first, last)]


def test_limit_moves_by_one_and_by_half() -> None:
    """Crowding halves what is under way, once for all requests that were sent before; a round of answers adds one."""
    places = Concurrency()
    for _ in range(15):
        places.enter(Place(), 64, 5.0)
    places.crowded("rate_limit", 64, 5.0, 6.0)
    places.crowded("rate_limit", 64, 5.5, 7.0)
    assert 8 == places.limit(64)
    for _ in range(9):
        places.succeeded(64)
    assert 9 == places.limit(64)
    places.reset()
    assert 64 == places.limit(64)


def test_few_requests_do_not_wait_for_a_provider_that_is_down() -> None:
    """Overload lowers the limit only where at least half of it was used; a rate limit is always about us."""
    places = Concurrency()
    places.crowded("overloaded", 64, 5.0, 6.0)
    assert 64 == places.limit(64)
    places.crowded("overloaded", 2, 5.0, 6.0)
    assert 1 == places.limit(2)


def delivery(clock: Clock, **values: Any) -> Delivery:
    terms = DeliveryTerms.of(values)
    assert terms is not None
    return Delivery(Lanes(clock), HedgeShare(), "host", "m", terms)


def test_time_of_a_call() -> None:
    """Total and first token run out beside each other, and no pause is made that is longer than what is left."""
    clock = Clock()
    one = delivery(clock, timeout_s={"total": 10, "first_token": 3})
    clock.now_s += 2
    assert (8, 1, 8) == (one.left_s(), one.stream_left_s(100, has_begun=False), one.stream_left_s(100, has_begun=True))
    assert [True, False] == [one.has_time(7), one.has_time(8)]
    clock.now_s += 20
    assert (0, 0) == (one.left_s(), one.stream_left_s(100, has_begun=False))


def test_nothing_steered_is_no_delivery() -> None:
    """A plain timeout, and knobs of other modules, need none."""
    assert DeliveryTerms.of({"timeout_s": 3, "max_retries": 2}) is None
    assert DeliveryTerms(lane=LaneTerms(max_concurrency=4)) == DeliveryTerms.of({"max_concurrency": 4})


def next_step(loop: RetryLoop, failure: Failure, **more: Any) -> Step | None:
    return loop.next(failure, holds=True, draw=lambda: 0.0, may_wait=lambda: True, **more)


def test_loop_pays_and_gets_back() -> None:
    """A retry that is not made is not paid; one that brought the answer is paid back."""
    clock = Clock()
    one = delivery(clock, retry_budget={"capacity": 10, "retry_cost": 5, "timeout_cost": 10, "refill": 1})
    budget = one._lane._budget
    loop = RetryLoop(Terms(), 1, NoPurse(), one)
    assert next_step(loop, DOWN) is not None
    one.trip("m").ended(None)
    assert 0 == budget.spent
    assert next_step(loop, DOWN) is None
    assert 0 == budget.spent
    other = RetryLoop(Terms(), 9, NoPurse(), one)
    assert next_step(other, TIMEOUT) is not None
    assert next_step(other, DOWN) is None


def test_fallback_is_paid_back_to_the_model_that_failed() -> None:
    """What the fallback's answer gives back goes to the budget that paid, so that an outage does not use it up."""
    one = delivery(Clock(), retry_budget={"capacity": 10, "retry_cost": 5, "timeout_cost": 10, "refill": 1})
    failing = one._lane._budget
    for _ in range(5):
        one.trip("m").ended(DOWN)
        assert one.pay(DOWN)
        one.trip("b").ended(None)
    assert 0 == failing.spent


def test_shut_lane_is_not_asked_again() -> None:
    """Once the breaker is open a call makes no retry, and no fallback that is down as well."""
    clock = Clock()
    one = delivery(clock, circuit_breaker={"failures": 1, "window_s": 9, "open_s": 2})
    terms = Terms(fallback_on=frozenset({"overloaded"}), fallback_models=("b", "c"))
    for model in ("m", "b"):
        trip = one.trip(model)
        assert trip.depart() is None
        trip.ended(DOWN)
    one.trip("m")
    loop = RetryLoop(terms, 2, NoPurse(), one)
    assert Step(0.0, "c") == next_step(loop, DOWN, was_sent=False)
    assert next_step(RetryLoop(Terms(), 2, NoPurse(), one), DOWN) is None
    clock.now_s += 2.5
    assert next_step(RetryLoop(Terms(), 2, NoPurse(), one), DOWN) is not None


def test_no_second_request_where_something_fails() -> None:
    """After a failure the next hedge waits for an answer: an outage is not made worse."""
    clock = Clock()
    one = delivery(clock, hedge_delay_s=1)
    trip = one.trip("m")
    trip.ended(DOWN)
    assert one.hedge() is None
    clock.now_s += 1
    again = one.trip("m")
    again.ended(None)
    assert one.hedge() is not None
    assert one.hedge() is None, "the share is used up"


def test_lanes_are_bounded_and_apart() -> None:
    """Each model of each host has its own; of too many the one unused for longest is forgotten."""
    lanes = Lanes()
    first = lanes.lane("h", "0")
    assert first is lanes.lane("h", "0")
    assert first is not lanes.lane("other", "0")
    for n in range(MAX_LANES):
        lanes.lane("h", str(n + 1))
    assert first is not lanes.lane("h", "0")
    assert MAX_LANES == len(lanes._lanes)


def test_what_may_be_asked_twice() -> None:
    """Plain questions and the agent's own tools; nothing that acts, or is kept, at the provider."""
    own = [{"type": "function", "function": {"name": "f"}}]
    for api, body, expected in (
        ("openai.chat", {"tools": own}, True),
        ("openai.chat", {"store": True}, False),
        ("openai.responses", {}, False),
        ("openai.responses", {"store": False, "tools": own}, True),
        ("openai.responses", {"store": False, "previous_response_id": "resp_1"}, False),
        ("anthropic.messages", {"tools": [{"name": "f", "input_schema": {}}]}, True),
        ("anthropic.messages", {"tools": [{"type": "computer_20250124", "name": "computer"}]}, False),
        ("anthropic.messages", {"mcp_servers": [{"name": "x"}]}, False),
        ("gemini", {"tools": [{"functionDeclarations": []}]}, True),
        ("gemini", {"tools": [{"googleSearch": {}}]}, False),
    ):
        assert expected is is_harmless(api, body), (api, body)
