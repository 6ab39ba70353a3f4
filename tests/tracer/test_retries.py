"""Our retry loop as arithmetic: caps hold for every order of failures, and an outage costs no more than without us."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.caps import MAX_CALL_DELAY_S, Guardrails
from trimtab_tracer.extras import HOST_BUDGET, REPEAT_WINDOW_S, Account, Extras, TokenMeter
from trimtab_tracer.policy import check_value
from trimtab_tracer.retries import (
    OWN_MODEL,
    SDK_MAX_DELAY_S,
    Backoff,
    Failure,
    RetryLoop,
    Step,
    Terms,
    of_error,
    of_status,
    retry_after,
)

OVERLOADED = Failure("overloaded", True)
LIMITED = Failure("rate_limit", True)
QUOTA = Failure("quota", True)
MISSING = Failure("not_found", False)
BACKOFF = {"initial_s": 1, "factor": 2, "max_s": 8, "jitter": 0}
CLASSES = ("rate_limit", "overloaded", "server", "timeout", "connection", "quota", "not_found", "context_overflow")


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def account(extras: Extras | None = None, body: str = "body", allowed: bool = True) -> Account:
    return (extras or Extras()).account("run", body, "host", lambda: allowed)


def steps(
    terms: Terms, incumbent: int, failures: list[Failure], purse: Account | None = None, holds: bool = True
) -> list[Step]:
    """What a call does after each failure, until it gives up."""
    loop = RetryLoop(terms, incumbent, purse or account())
    found: list[Step] = []
    for failure in failures:
        step = loop.next(failure, holds=holds, draw=lambda: 0.0, may_wait=lambda: True)
        if step is None:
            break
        found.append(step)
    return found


def retries(value: Any, incumbent: int, failure: Failure) -> int:
    """How often a call that always fails alike is sent again."""
    return len(steps(Terms(max_retries=value), incumbent, [failure] * 20))


def test_steered_number_takes_the_place_of_the_incumbents() -> None:
    """More or fewer retries than the code's, and the code's where the policy names none."""
    assert [4, 1, 2] == [retries(value, 2, LIMITED) for value in (4, 1, None)]
    assert [3, 0] == [retries(value, 0, LIMITED) for value in (3, None)]


def test_classes_have_numbers_of_their_own() -> None:
    """A class that is named has its number, others have that of "other", and without it the incumbent's."""
    by_class = {"overloaded": 4, "other": 1}
    assert [4, 1] == [retries(by_class, 2, failure) for failure in (OVERLOADED, LIMITED)]
    assert 2 == retries({"overloaded": 4}, 2, LIMITED)


def test_what_no_repetition_heals_is_repeated_only_by_name() -> None:
    """Used-up quotas and missing models are handed on, unless the policy names just these classes."""
    assert [0, 0] == [retries(5, 2, failure) for failure in (QUOTA, MISSING)]
    assert [0, 0] == [retries({"other": 5}, 2, failure) for failure in (QUOTA, MISSING)]
    assert [3, 3] == [retries({"quota": 3, "not_found": 3}, 2, failure) for failure in (QUOTA, MISSING)]


def test_provider_has_the_last_word() -> None:
    """``x-should-retry`` is obeyed against status, class and policy alike."""
    assert 0 == retries({"server": 5}, 2, Failure("server", True, said=False))
    assert 5 == retries(5, 0, Failure("bad_request", False, said=True))


def test_pauses_grow_as_told() -> None:
    """A steered backoff gives the pauses; without one they are the SDKs'."""
    terms = Terms.of({"max_retries": 5, "backoff": BACKOFF}, Guardrails())
    assert [1, 2, 4, 8, 8] == [step.delay_s for step in steps(terms, 0, [LIMITED] * 9)]
    assert [0.5, 1, 2, 4, 8] == [step.delay_s for step in steps(Terms(max_retries=5), 0, [LIMITED] * 9)]
    assert [3.0, 1.5] == [Backoff(3, 1, 3, 0.5).delay_s(7, draw) for draw in (0.0, 1.0)]


def test_wish_to_wait_is_met_or_the_failure_handed_on() -> None:
    """A provider's own pause takes the place of the backoff; one beyond the caps is not waited for, nor cut short."""
    asks = [Failure("rate_limit", True, retry_after_s=s) for s in (50, 60, 10.5, 60)]
    assert [50, 60] == [s.delay_s for s in steps(Terms(max_retries=5), 0, [asks[0], asks[1], asks[3]])]
    assert [50, 60] == [s.delay_s for s in steps(Terms(max_retries=5), 0, [asks[0], asks[1], asks[2]])]
    assert [] == steps(Terms(max_retries=5), 0, [Failure("rate_limit", True, retry_after_s=60.5)])
    low = Terms(max_retries=5, caps=Guardrails(max_delay_s=1))
    assert [0.5, 1, 1] == [s.delay_s for s in steps(low, 0, [LIMITED] * 3)]


def test_fallback_goes_at_once_and_stays() -> None:
    """The next model is asked without a pause, as one of the retries; those that are left stay with it."""
    terms = Terms(max_retries=3, fallback_on=frozenset({"overloaded"}), fallback_models=("b",))
    assert [Step(0, "b"), Step(0.5, None), Step(1, None)] == steps(terms, 0, [OVERLOADED] * 9)
    late = Failure("overloaded", True, retry_after_s=3600)
    assert [Step(0, "b")] == steps(terms, 0, [late] * 9)
    assert [Step(0.5, None), Step(0, "b"), Step(1, None)] == steps(terms, 0, [LIMITED] + [OVERLOADED] * 9)


def test_fallback_needs_no_retries() -> None:
    """Where the code makes none, each model is still asked once."""
    terms = Terms(fallback_on=frozenset({"overloaded", "not_found"}), fallback_models=("b", "c"))
    assert [Step(0, "b"), Step(0, "c")] == steps(terms, 0, [OVERLOADED] * 9)
    assert [Step(0, "b"), Step(0, "c")] == steps(terms, 2, [MISSING] * 9)


def test_model_that_does_not_fit_is_left_again() -> None:
    """A fallback that does not exist or takes no such request costs one request, then the call goes on as it was."""
    terms = Terms(fallback_on=frozenset({"overloaded"}), fallback_models=("typo",))
    assert [Step(0, "typo"), Step(0.5, OWN_MODEL)] == steps(terms, 2, [OVERLOADED, MISSING, OVERLOADED])
    both = Terms(fallback_on=frozenset({"overloaded"}), fallback_models=("typo", "b"))
    assert [Step(0, "typo"), Step(0, "b")] == steps(both, 2, [OVERLOADED, MISSING, OVERLOADED])


def test_frozen_between_two_attempts() -> None:
    """From the moment a policy is gone the call ends as the incumbent's would: its number, its pauses, its model."""
    terms = Terms(max_retries=5, backoff=Backoff(9, 1, 9, 0), fallback_on=frozenset({"server"}), fallback_models=("b",))
    assert [0.5, 1] == [s.delay_s for s in steps(terms, 2, [LIMITED] * 9, holds=False)]
    loop = RetryLoop(terms, 1, account())
    gone: dict[str, Any] = {"holds": False, "draw": lambda: 0.0, "may_wait": lambda: True}
    assert Step(0, "b") == loop.next(Failure("server", True), **{**gone, "holds": True})
    assert loop.next(Failure("server", True), **gone) is None


def test_no_place_to_wait() -> None:
    """Where too many calls wait already the failure is handed on at once; asking another model needs no place."""
    terms = Terms(max_retries=5, fallback_on=frozenset({"overloaded"}), fallback_models=("b",))
    loop = RetryLoop(terms, 0, account())
    full: dict[str, Any] = {"holds": True, "draw": lambda: 0.0, "may_wait": lambda: False}
    assert Step(0, "b") == loop.next(OVERLOADED, **full)
    assert loop.next(OVERLOADED, **full) is None


def test_status_and_body_tell_the_failure() -> None:
    """The class comes from the body where it is known, whether it is worth repeating from the status as in the SDKs."""
    quota = b'{"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "..."}}'
    assert Failure("rate_limit", True, status=429) == of_status(429, {}, None)
    assert Failure("quota", True, status=429) == of_status(429, {}, quota)
    assert Failure("overloaded", True, said=True, status=529) == of_status(529, {"x-should-retry": "true"}, b"<html>")
    assert [True, True, True, True, False, False] == [
        of_status(status, {}, None).is_repeatable for status in (408, 409, 500, 503, 400, 404)
    ]
    assert not of_status(429, {}, quota).is_repeatable


def test_exceptions_of_the_network_are_failures_and_others_are_not() -> None:
    """Timeouts and lost connections are repeated; what a user's own code raises, and a cancellation, is not ours."""
    import httpx
    import httpx2

    seen = [of_error(error("x")) for error in (httpx.ReadTimeout, httpx2.ConnectError, httpx2.RemoteProtocolError)]
    assert [Failure("timeout", True), Failure("connection", True), Failure("connection", True)] == seen
    assert [None, None, None] == [of_error(e) for e in (ValueError(), KeyboardInterrupt(), httpx.InvalidURL("x"))]


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "2.5"}, 2.5),
        ({"retry-after": email.utils.formatdate(1007, usegmt=True)}, 7.0),
        ({"retry-after": email.utils.formatdate(990, usegmt=True)}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "after lunch"}, None),
        ({}, None),
    ],
)
def test_wish_to_wait_is_read(headers: dict[str, str], asked: float | None) -> None:
    """Milliseconds, seconds, fractions and dates are read; what asks for nothing ahead is no wish."""
    assert asked == retry_after(headers, 1000.0)


@given(st.text(max_size=40))
def test_any_header_is_survived(text: str) -> None:
    """Whatever a provider writes there, the wish is a positive number or none."""
    asked = retry_after({"retry-after": text}, 0.0)
    assert asked is None or asked > 0


FAILURES = st.builds(
    Failure,
    st.sampled_from(CLASSES),
    st.booleans(),
    st.sampled_from([None, None, None, True, False]),
    st.none() | st.floats(0.001, 100),
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "max_retries": st.integers(0, 10)
        | st.dictionaries(st.sampled_from((*CLASSES, "other")), st.integers(0, 10), min_size=1),
        "backoff": st.builds(
            lambda low, factor, more, jitter: {
                "initial_s": low,
                "factor": factor,
                "max_s": low + more,
                "jitter": jitter,
            },
            st.floats(0, 30),
            st.floats(1, 10),
            st.floats(0, 30),
            st.floats(0, 1),
        ),
        "fallback": st.builds(
            lambda on, models: {"on": on, "models": models},
            st.lists(st.sampled_from(CLASSES), min_size=1, unique=True),
            st.lists(st.sampled_from("bcd"), min_size=1, max_size=3, unique=True),
        ),
    },
)


def terms_of(values: dict[str, Any], caps: Guardrails) -> Terms:
    """Terms as the agent makes them of a document's values."""
    for knob, value in values.items():
        check_value(knob, value)
    return Terms.of({knob: caps.clamp(knob, value) for knob, value in values.items()}, caps)


@given(VALUES, st.integers(0, 8), st.lists(FAILURES, max_size=30), st.floats(0, 60), st.integers(0, 5), st.randoms())
def test_caps_hold_for_any_failures(
    values: dict[str, Any], incumbent: int, failures: list[Failure], delay_s: float, most: int, dice: random.Random
) -> None:
    """No call is sent again more often than the larger of cap and incumbent; what it makes beyond the incumbent's own
    retries waits no longer than the caps, and those wait no longer than the SDK would on the provider's word."""
    caps = Guardrails(max_retries=most, max_delay_s=delay_s)
    loop = RetryLoop(terms_of(values, caps), incumbent, account())
    taken = []
    for failure in failures:
        step = loop.next(failure, holds=dice.random() < 0.9, draw=dice.random, may_wait=lambda: True)
        if step is None:
            break
        taken.append(step)
    assert len(taken) <= max(most, incumbent)
    extra = [step.delay_s for step in taken[incumbent:]]
    assert all(0 <= pause_s <= delay_s for pause_s in extra)
    assert sum(extra) <= MAX_CALL_DELAY_S
    assert all(0 <= step.delay_s <= max(delay_s, SDK_MAX_DELAY_S) for step in taken)


def requests(terms: Terms, incumbent: int, purse: Account, fails: Callable[[str | None], Failure]) -> int:
    """How many requests a call makes that fails on every model."""
    loop = RetryLoop(terms, incumbent, purse)
    model: str | None = None
    while True:
        step = loop.next(fails(model), holds=True, draw=lambda: 0.5, may_wait=lambda: True)
        if step is None:
            return 1 + loop.retries
        model = None if step.model == OWN_MODEL else step.model or model


@given(VALUES, st.integers(0, 4), st.integers(1, 30), FAILURES, FAILURES)
def test_outage_under_stacked_loops_costs_no_more_than_without_us(
    values: dict[str, Any], incumbent: int, calls: int, failure: Failure, of_fallback: Failure
) -> None:
    """However often an outer loop repeats a call: what was sent in advance is saved again, as far as there is room."""
    extras = Extras()
    terms = terms_of(values, Guardrails())
    with_us = sum(
        requests(terms, incumbent, account(extras), lambda model: of_fallback if model else failure)
        for _ in range(calls)
    )
    retries_without_us = incumbent if failure.sdk_repeats else 0
    can_be_saved = (calls - 1) * retries_without_us
    assert with_us <= calls * (1 + retries_without_us) + max(0, Guardrails().max_retries - can_be_saved)


def test_stacked_loops_of_crewai() -> None:
    """Three loops of three around each other: 27 requests without us, 27 with five retries, or with a fallback."""
    more = Terms(max_retries=5)
    other = Terms(fallback_on=frozenset({"rate_limit"}), fallback_models=("b", "c"))
    for terms in (more, other, Terms(backoff=Backoff(1, 1, 1, 0))):
        extras = Extras()
        assert 27 == sum(requests(terms, 2, account(extras), lambda _: LIMITED) for _ in range(9))


def test_advance_is_given_once_until_a_success() -> None:
    """A body that keeps failing gets no second advance; an answer, or five quiet minutes, end that."""
    clock = Clock()
    extras = Extras(clock)
    counts = [requests(Terms(max_retries=2), 0, account(extras), lambda _: LIMITED) for _ in range(3)]
    account(extras).succeeded()
    counts.append(requests(Terms(max_retries=2), 0, account(extras), lambda _: LIMITED))
    clock.now_s += REPEAT_WINDOW_S + 1
    counts.append(requests(Terms(max_retries=2), 0, account(extras), lambda _: LIMITED))
    assert [3, 1, 1, 3, 3] == counts


def test_only_one_of_several_at_once_gets_the_advance() -> None:
    """Of calls with the same body that fail side by side, the first to ask is sent more often."""
    extras = Extras()
    one, other = account(extras), account(extras)
    assert [True, False, True] == [one.grant(), other.grant(), one.grant()]
    assert [0, 0] == [one.owed(), other.owed()], "side by side nobody saves for anybody"
    one.settle(0)
    assert 2 == other.owed()


def test_host_has_a_budget() -> None:
    """All calls to one host together are sent in advance 20 times; ten successes give one back."""
    extras = Extras()
    granted = sum(account(extras, str(n)).grant() for n in range(50))
    assert HOST_BUDGET == granted
    for n in range(10):
        account(extras, f"good {n}").succeeded()
    assert 1 == sum(account(extras, f"more {n}").grant() for n in range(5))


def test_nothing_is_advanced_where_nothing_may_be_spent() -> None:
    """With the hour's tokens used up a call keeps the incumbent's retries."""
    assert 2 == len(steps(Terms(max_retries=5), 2, [LIMITED] * 9, account(allowed=False)))


def test_tokens_count_for_an_hour() -> None:
    """What was spent more than an hour ago is forgotten, by the minute."""
    clock = Clock()
    meter = TokenMeter(clock)
    for minute in range(90):
        clock.now_s = 60.0 * minute
        meter.add(10)
    assert 600 <= meter.spent() <= 620
    clock.now_s += 4000
    assert 0 == meter.spent()
