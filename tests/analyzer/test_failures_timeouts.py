from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer import limits
from trimtab_analyzer.findings import Finding, analyze

HANGS = {"error_class": "timeout", "end": "error", "timeout_s": 2.0, "duration_s": 2, "cost_musd": None}


def _found(shelf: Any) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == "timeout"]


def test_timeout_says_how_long_successful_calls_take(shelf: Any) -> None:
    """Six answers within 1.5 to 1.9 s and two calls cut at 2 s: the limit is too near, and the numbers say so."""
    for tenths in (15, 16, 17, 18, 19, 19):
        shelf.call(duration_s=tenths / 10, timeout_s=2.0, decisions={"timeout_s": 2.0})
    shelf.call("r1", HANGS, decisions={"timeout_s": 2.0})
    shelf.call("r1", HANGS | {"duration_s": 2.1}, decisions={"timeout_s": 2.0})
    (finding,) = _found(shelf)
    assert finding.title == (
        "2 of 8 calls ran into the time limit of 2 s; none of them got an answer;"
        " the limit is too tight: successful ones took 1.75 s (median) to 1.9 s (99 %)"
    )
    assert finding.advice.startswith("Raise timeout_s above 2 at agent.py:14 (how far is not known: no answer that")
    assert (finding.knob, finding.value) == ("timeout_s", "2.0")
    numbers = finding.evidence["numbers"]
    assert ("too_tight", 6, True) == (numbers["verdict"], numbers["successes"], numbers["is_censored"])
    assert [1.75, 1.9, 1.9] == [round(numbers[f"success_{q}_s"], 9) for q in ("p50", "p99", "max")]


def test_timeout_that_fits_advises_a_retry(shelf: Any) -> None:
    """Answers within a tenth of two seconds: a longer limit waits longer, a shorter one is none for a cold start."""
    for _ in range(5):
        shelf.call(duration_s=0.2, timeout_s=2.0, decisions={"timeout_s": 2.0})
    shelf.call("r1", HANGS, decisions={"timeout_s": 2.0})
    (finding,) = _found(shelf)
    assert finding.advice == (
        "Keep timeout_s = 2 at agent.py:14 and let max_retries repeat the call:"
        " of 5 no successful call took more than 200 ms (limit 2 s)."
    )


def test_timeout_of_a_stream_runs_between_its_chunks(shelf: Any) -> None:
    """A stream that ran for 9 s and then stalled for 2 s met its limit of 2 s, though it took 11."""
    shelf.call("r1", HANGS | {"http_status": 200, "stream": True, "duration_s": 11})
    assert [f.rule for f in analyze(shelf.con)] == ["timeout"]


def test_timeout_is_silent_on_a_gateways_timeout(shelf: Any) -> None:
    """A 504 after exactly the client's limit is the gateway's answer, and one without a limit is not ours either."""
    shelf.call("r1", HANGS | {"http_status": 504})
    shelf.call("r1", HANGS | {"timeout_s": None})
    assert _found(shelf) == []


def test_timeout_is_silent_on_slow_answers(shelf: Any) -> None:
    """An answer that came just in time is no timeout."""
    shelf.call(duration_s=1.99, timeout_s=2.0)
    assert _found(shelf) == []


def test_timeout_far_above_the_answers_is_too_loose_and_says_what_hung(shelf: Any) -> None:
    """Forty answers within 4 s under the SDK's default of 600 s, and two calls that hung for all of it."""
    for tenths in range(1, 41):
        shelf.call(duration_s=tenths / 10, timeout_s=600.0, decisions={"timeout_s": 600.0})
    for _ in range(2):
        shelf.call("r1", HANGS | {"timeout_s": 600.0, "duration_s": 600}, decisions={"timeout_s": 600.0})
    (finding,) = _found(shelf)
    assert finding.title == (
        "2 of 42 calls ran into the time limit of 600 s; none of them got an answer; the limit is too loose:"
        " the slowest of 40 successful calls took 4 s, those that hung waited 20 min 0 s in all"
    )
    assert finding.advice == (
        "Lower timeout_s from 600 to about 12 at agent.py:14 and let max_retries repeat the call:"
        " of 40 no successful call took more than 4 s."
    )
    numbers = finding.evidence["numbers"]
    assert ("too_loose", 600.0, 1200.0, 40) == tuple(
        numbers[k] for k in ("verdict", "timeout_s", "hung_s", "successes")
    )


def test_timeout_of_few_successes_says_nothing_of_the_limit(shelf: Any) -> None:
    """Four answers are no distribution."""
    for _ in range(4):
        shelf.call(duration_s=0.2, timeout_s=60.0, decisions={"timeout_s": 60.0})
    shelf.call("r1", HANGS | {"timeout_s": 60.0, "duration_s": 60}, decisions={"timeout_s": 60.0})
    numbers = _found(shelf)[0].evidence["numbers"]
    assert ("unknown", 4) == (numbers["verdict"], numbers["successes"])
    assert "success_p99_s" not in numbers


def test_timeout_compares_a_streams_first_bytes(shelf: Any) -> None:
    """Streams of a minute that begin within a second are far below a limit of 30 s, which runs between bytes."""
    for _ in range(6):
        shelf.call(stream=True, ttft_ns=10**9, duration_s=60, timeout_s=30.0, decisions={"timeout_s": 30.0})
    hangs = HANGS | {"timeout_s": 30.0, "duration_s": 30, "stream": True}
    shelf.call("r1", hangs, decisions={"timeout_s": 30.0})
    numbers = _found(shelf)[0].evidence["numbers"]
    assert ("too_loose", 1.0) == (numbers["verdict"], numbers["success_max_s"])


@pytest.mark.parametrize(
    ("slowest", "limit", "verdict"),
    [(0.9, 2.0, "fits"), (1.0, 2.0, "too_tight"), (3.0, 10.0, "fits"), (3.0, 10.1, "too_loose"), (9, 25.0, "fits")],
)
def test_a_limit_is_judged_by_the_slow_answers(slowest: float, limit: float, verdict: str) -> None:
    """Half the limit is close; a third of it is far, from a limit of ten seconds on."""
    assert verdict == limits.fit([slowest] * 5, limit).verdict


@pytest.mark.parametrize(
    ("seconds", "friendly"), [(0.05, 0.1), (1.0, 1.0), (6.2, 8.0), (31.0, 40.0), (600.0, 600.0), (1200.0, 600.0)]
)
def test_a_limit_is_named_as_a_person_would(seconds: float, friendly: float) -> None:
    """The next round number, and never more than what the SDKs set themselves."""
    assert friendly == limits.friendly(seconds)


def test_a_censored_limit_is_doubled_and_a_seen_one_follows_the_slow_answers() -> None:
    """Under a limit of 8 s all answers end by then, which says nothing; where slower ones were seen, 2 x 7 s do."""
    assert 20.0 == limits.wider_s(8.0, 7.0, is_censored=True)
    assert 15.0 == limits.wider_s(8.0, 7.0, is_censored=False)
    assert 600.0 == limits.wider_s(600.0, 599.0, is_censored=True)


@given(st.lists(st.floats(0.001, 900), min_size=5, max_size=60), st.floats(0.1, 900))
def test_a_named_limit_lies_on_the_side_it_is_named_for(taken: list[float], limit: float) -> None:
    """Whatever was seen: a limit for a loose one is below it and above every success, one for a tight one not below."""
    fit = limits.fit(taken, limit)
    assert fit.p99_s is not None
    assert fit.max_s is not None
    if fit.verdict == "too_loose":
        assert fit.max_s < limits.tighter_s(fit.max_s) < limit
    if fit.verdict == "too_tight":
        assert limits.wider_s(limit, fit.p99_s, is_censored=fit.is_censored) >= min(limit, 600.0)
