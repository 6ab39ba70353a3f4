from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer import load
from trimtab_analyzer.case import Case
from trimtab_analyzer.findings import analyze
from trimtab_analyzer.layers import retry_stacks, rounds
from trimtab_analyzer.retry_stack import RetryStack

REAL = os.environ.get("TRIMTAB_REAL_DATA")
SECOND = 10**9
BUSY = {"error_class": "overloaded", "http_status": 529, "body_digest": "b", "cost_musd": 0, "duration_s": 1}


def _stacks(shelf: Any) -> list[RetryStack]:
    with load.snapshot(shelf.con):
        return retry_stacks(Case.load(shelf.con))


def _storm(shelf: Any, pauses: list[float], requests: int = 3, **facts: Any) -> None:
    """One question sent ``requests`` times in each call, with such pauses between the calls."""
    for pause_s in [*pauses, 0.0]:
        shelf.call("r1", *[BUSY | {"max_retries": requests - 1} | facts] * requests)
        shelf.now += int(pause_s * SECOND)


def _via(shelf: Any, *packages: str) -> None:
    shelf.con.execute("UPDATE sites SET via = ?", [list(packages)])


def _shape(stack: RetryStack) -> list[tuple[str, str | None, int]]:
    return [(layer.owner, layer.name, layer.times) for layer in stack.layers]


def test_the_sdk_alone_is_one_layer(shelf: Any) -> None:
    """Retries inside a call are the SDK's, as often as it was told."""
    _via(shelf, "openai")
    shelf.call("r1", *[BUSY | {"max_retries": 2}] * 3)
    (stack,) = _stacks(shelf)
    assert [("sdk", "openai", 3)] == _shape(stack)
    assert (3, 3, True, 0) == (stack.times, stack.layers[0].configured, stack.is_permanent, stack.cost_musd)


def test_a_loop_in_the_users_code_is_the_users(shelf: Any) -> None:
    """With nothing but the SDK below the line, whoever calls again is the user; so with a retry decorator."""
    _via(shelf, "tenacity", "openai")
    _storm(shelf, [1, 2, 4])
    assert [("user", None, 4), ("sdk", "openai", 3)] == _shape(_stacks(shelf)[0])


def test_a_loop_below_the_line_is_the_frameworks(shelf: Any) -> None:
    """With a framework between line and SDK its loop is named."""
    _via(shelf, "llama_index_instrumentation", "llama_index", "tenacity", "llama_index", "openai")
    _storm(shelf, [1, 2], requests=4)
    (stack,) = _stacks(shelf)
    assert [("framework", "llama_index", 3), ("sdk", "openai", 4)] == _shape(stack)
    assert (12, 12) == (stack.times, stack.requests)


def test_where_several_frameworks_may_loop_all_are_named(shelf: Any) -> None:
    """Nothing says which of two packages between line and SDK calls again, so neither is picked."""
    _via(shelf, "dspy", "litellm", "openai")
    _storm(shelf, [1, 2, 4], requests=1)
    assert [("framework", "dspy or litellm", 4), ("sdk", "openai", 1)] == _shape(_stacks(shelf)[0])


def test_a_way_that_was_not_recorded_has_no_owner(shelf: Any) -> None:
    """Of what was recorded without the packages below the line, no owner is made up."""
    _storm(shelf, [1, 2])
    assert [("unknown", None, 3), ("sdk", None, 3)] == _shape(_stacks(shelf)[0])


def test_what_a_permanent_failure_costs(shelf: Any) -> None:
    """Requests, seconds and money of the worst question; refusals that are not billed cost 0, what may be billed is
    counted apart."""
    _storm(shelf, [2.0, 2.0])
    shelf.now += 600 * SECOND
    hangs = {"error_class": "timeout", "end": "error", "cost_musd": None, "input_tokens": None}
    _storm(shelf, [2.0, 2.0], requests=4, body_digest="c", **hangs)
    shelf.call(body_digest="d")
    (stack,) = _stacks(shelf)
    assert (3, 2, 2, True) == (stack.questions, stack.repeated, stack.unanswered, stack.is_permanent)
    assert (12, 16.0, 4.0) == (stack.requests, stack.took_s, stack.waited_s)
    assert ("timeout", 0, 12) == (stack.error_class, stack.cost_musd, stack.unpriced)


def test_what_was_answered_in_the_end_is_at_least_that(shelf: Any) -> None:
    """Where no question was lost, the figures say of themselves that a permanent failure may cost more."""
    shelf.call("r1", BUSY, {"body_digest": "b"})
    (stack,) = _stacks(shelf)
    assert (False, 2, 0) == (stack.is_permanent, stack.requests, stack.unanswered)


def test_a_fallback_is_of_the_question_that_was_asked(shelf: Any) -> None:
    """A call that went on with another model is one question, at the model that was asked first."""
    shelf.call("r1", BUSY, {"model": "m2"})
    shelf.call(model="m2")
    (stack,) = _stacks(shelf)
    assert ("m1", 2, 1) == (stack.model, stack.requests, stack.questions)


def test_polling_and_samples_are_no_layer(shelf: Any) -> None:
    """Asking the same again after an answer, or several times at once, is no loop around the SDK."""
    for _ in range(3):
        shelf.call(body_digest="b")
    _storm(shelf, [1.0, 1.0])
    assert [("sdk", None, 3)] == _shape(_stacks(shelf)[0])


def test_the_storms_evidence_names_the_layers(shelf: Any) -> None:
    """A finding about stacked loops says each layer and what one failure cost."""
    _via(shelf, "crewai", "openai")
    _storm(shelf, [1.1, 2.3, 0.03, 0.9, 1.9, 0.02, 0.9, 2.1])
    (finding,) = (f for f in analyze(shelf.con) if f.rule == "retry_storm")
    numbers = finding.evidence["numbers"]
    assert [("framework", 3), ("framework", 3), ("sdk", 3)] == [(n["owner"], n["times"]) for n in numbers["layers"]]
    assert (27, True, 0) == tuple(numbers["one_failure"][name] for name in ("requests", "is_permanent", "cost_musd"))


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([], ()),
        ([1.0], (2,)),
        ([1, 2, 4], (4,)),
        ([0.5, 1, 2, 2, 2], (6,)),
        ([1, 1, 1, 1, 1], (6,)),
        ([0.0, 0.0, 0.0], (4,)),
        ([1, 2, 0.01, 1.1, 2.2, 0.02, 0.9, 1.9], (3, 3)),
        ([0.01, 0.02, 30, 0.02, 0.01], (2, 3)),
    ],
)
def test_two_loops_have_a_rhythm(pauses: list[float], expected: tuple[int, ...]) -> None:
    """Pauses that repeat, with others between, are two loops; equal or growing ones are one."""
    assert expected == rounds(pauses)


@given(st.lists(st.floats(0, 100), max_size=30))
def test_rounds_multiply_to_the_calls(pauses: list[float]) -> None:
    """Whatever the pauses, the loops multiply to the calls that were made."""
    product = 1
    for times in rounds(pauses):
        product *= times
    assert product == len(pauses) + 1


TRUTH = {
    "openai": (3,),
    "anthropic": (3,),
    "langchain": (3,),
    "llamaindex": (3, 4),
    "dspy": (4, 1),
    "crewai": (3, 3, 3),
}


@pytest.mark.skipif(not REAL, reason="needs TRIMTAB_REAL_DATA")
@pytest.mark.parametrize("stack", TRUTH)
def test_the_loops_of_real_frameworks(stack: str, shelf: Any) -> None:
    """The requests of frameworks at a provider that limits for good, as recorded at the wire: each loop is found."""
    requests = json.loads(Path(REAL or "", "wire_samples", "_retries", f"{stack}-429.json").read_text())
    starts = [i for i, request in enumerate(requests) if request["retry_count"] in ("0", None)]
    for start, end in zip(starts, [*starts[1:], len(requests)], strict=True):
        attempts = []
        for request in requests[start:end]:
            attempts.append(BUSY | {"error_class": "rate_limit", "http_status": 429, "duration_s": 0.005})
            attempts[-1]["t"] = request["t"]
        times = [int(attempt.pop("t") * SECOND) for attempt in attempts]
        call_id = shelf.call("r1", *attempts)
        for number, at in enumerate(times, 1):
            shelf.con.execute(
                "UPDATE attempts SET started_ns = ?, ended_ns = ? WHERE call_id = ? AND number = ?",
                [at, at + SECOND // 200, call_id, number],
            )
    (found,) = _stacks(shelf)
    assert TRUTH[stack] == tuple(layer.times for layer in found.layers)
    assert len(requests) == found.times == found.requests
