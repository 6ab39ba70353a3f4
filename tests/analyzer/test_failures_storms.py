from __future__ import annotations

from typing import Any

from trimtab_analyzer.findings import Finding, analyze

BUSY = {"error_class": "overloaded", "http_status": 529, "body_digest": "b", "cost_musd": 0, "duration_s": 1}
SECOND = 10**9


def _found(shelf: Any) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == "retry_storm"]


def _storm(shelf: Any, turns: int = 3, pause_s: float = 2.0, **facts: Any) -> None:
    """One question sent three times by the SDK in each of ``turns`` turns of a loop around it."""
    for _ in range(turns):
        shelf.call("r1", *[BUSY | facts] * 3, decisions={"max_retries": 2})
        shelf.now += int(pause_s * SECOND)


def test_a_storm_is_pinned_to_the_inner_retries(shelf: Any) -> None:
    """Nine requests for one question of five, named with the SDK's retries at the line that left them alone."""
    for number in range(4):
        shelf.call(body_digest=f"other{number}", decisions={"max_retries": 2})
    shelf.con.execute("UPDATE decisions SET source = 'default'")
    _storm(shelf)
    (finding,) = _found(shelf)
    assert finding.title == (
        "1 of 5 questions was sent 9 times: 3 rounds of the client's own retries (max_retries = 2),"
        " one in each turn of a loop around it; 1 got no answer"
    )
    assert finding.advice == (
        "Let one loop retry: set max_retries to 0 at agent.py:14, for the loop around it sends the call again anyway"
        " (4 s of waiting here), or take that loop away."
    )
    assert (finding.knob, finding.value, finding.subject, finding.calls) == ("max_retries", "2", "llm", 3)


def test_a_storm_is_counted_in_requests_loops_and_seconds(shelf: Any) -> None:
    """Two questions, one answered in the third turn: requests, rounds, repeats and what the inner retries took."""
    _storm(shelf)
    shelf.now += 600 * SECOND
    _storm(shelf, turns=2, body_digest="c")
    shelf.call("r1", BUSY | {"body_digest": "c"}, {"body_digest": "c"}, decisions={"max_retries": 2})
    shelf.con.execute("UPDATE calls SET wait_ns = 0")
    numbers = _found(shelf)[0].evidence["numbers"]
    expected = {
        **{"hit": 2, "of": 2, "share": 1.0, "lost_calls": 1, "requests": 17, "sdk_loops": 6, "outer_repeats": 4},
        **{"requests_per_call": 8.5, "turns_per_call": 3.0, "inner_retries": 11, "inner_s": 11.0, "waited_s": 8.0},
    }
    assert expected == {name: numbers[name] for name in expected}
    assert 0.34 == round(numbers["low"], 2)  # Wilson, 2 of 2
    assert 1.0 == numbers["high"]


def test_one_loop_is_no_storm(shelf: Any) -> None:
    """The SDK's own retries, and a loop of the agent's around a client that does not retry, are each one loop."""
    shelf.call("r1", BUSY, BUSY, BUSY)
    shelf.now += 3600 * SECOND
    for _ in range(4):
        shelf.call("r1", BUSY | {"body_digest": "single"})
    shelf.call("r1", BUSY | {"body_digest": "x"}, BUSY | {"body_digest": "x"})
    shelf.call("r1", {"body_digest": "x"})  # one repeat that worked at once: nothing multiplied
    assert _found(shelf) == []


def test_asking_the_same_again_after_an_answer_is_no_storm(shelf: Any) -> None:
    """A job that asks whether something is ready sends one body for ever, also through an outage."""
    for _ in range(3):
        shelf.call(body_digest="b")
    _storm(shelf)
    assert _found(shelf) == []


def test_samples_of_one_prompt_at_once_are_no_storm(shelf: Any) -> None:
    """Calls of one body that overlap are several samples, though each begins as another one fails."""
    _storm(shelf, pause_s=-1.5)
    assert _found(shelf) == []


def test_a_question_is_of_one_run_line_and_minute(shelf: Any) -> None:
    """The same body from another run, another line, another host or ten minutes later is another question."""
    shelf.site("elsewhere", 40)
    shelf.run("r2")
    for facts in ({}, {"site_id": "elsewhere"}, {"host": "other"}, {"body_digest": "c"}):
        shelf.call("r1", *[BUSY | facts] * 3)
    shelf.call("r2", BUSY, BUSY, BUSY)
    shelf.now += 600 * SECOND
    shelf.call("r1", BUSY, BUSY, BUSY)
    assert _found(shelf) == []


def test_a_body_that_was_not_read_is_not_compared(shelf: Any) -> None:
    """Without a digest nobody knows whether it was the same."""
    _storm(shelf, body_digest=None)
    assert _found(shelf) == []


def test_its_calls_are_named_by_others_and_no_money_twice(shelf: Any) -> None:
    """The provider's error names the same calls; it counts one loop's requests, the storm those beyond."""
    _storm(shelf, cost_musd=5)
    wasted = {f.rule: (f.calls, f.cost_musd, f.wasted_musd) for f in analyze(shelf.con)}
    assert {"retry_storm": (3, 45, 30), "provider_error": (3, 45, 15)} == wasted
