"""What the rules say of calls that a policy steered: a fallback's two models, values of a person, what is history."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from trimtab_analyzer.findings import Finding, analyze, persist
from trimtab_analyzer.report import as_html, build, print_text

BUSY = {"error_class": "overloaded", "http_status": 529, "cost_musd": 0}
LIMITED = {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}
FALLBACK = {"on": ["overloaded"], "models": ["m2"]}


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def _call(shelf: Any, *attempts: Any, human: Any = None, **decisions: Any) -> str:
    """A call with the code's ``decisions``, and with those of a person in ``human``."""
    call_id = str(shelf.call("r1", *attempts, decisions=decisions))
    for knob, value in (human or {}).items():
        shelf.decide("r1", knob, value, call_id, source="human", policy_version=2)
    return call_id


def test_a_call_that_a_fallback_answered_is_not_lost(shelf: Any) -> None:
    """529 of one model and an answer of another in one call: the old lost call keeps its finding, this one is calm."""
    _call(shelf, BUSY, max_retries=0)
    _call(shelf, BUSY, {"model": "m2"}, max_retries=0, human={"fallback": FALLBACK})
    lost, calm = _found(shelf, "provider_error")
    assert (lost.knob, lost.value, lost.evidence["calls"]) == ("max_retries", "0", ["c1"])
    assert (calm.knob, calm.evidence["calls"]) == ("parallelism", ["c2"])
    assert calm.title == "1 of 1 call failed at llm (1 overloaded); it got an answer later"


def test_a_fallback_that_does_not_do_is_the_one_that_is_named(shelf: Any) -> None:
    """Both models overloaded: the call is lost under the fallback, at both of them, and the advice is another model."""
    _call(shelf, BUSY, BUSY | {"model": "m2"}, max_retries=0, human={"fallback": FALLBACK})
    (finding,) = _found(shelf, "provider_error")
    assert (finding.knob, finding.value) == ("fallback", '{"on": ["overloaded"], "models": ["m2"]}')
    assert finding.title == "1 of 1 call failed at llm (2 overloaded); 1 got no answer"
    assert finding.advice.startswith("Name another fallback model at agent.py:14")


def test_a_rate_limit_of_both_models_is_lost_at_both(shelf: Any) -> None:
    """The first model's 429 is not got over because the call went on to another one and was refused there too."""
    _call(shelf, LIMITED, LIMITED | {"model": "m2"}, max_retries=0, human={"fallback": FALLBACK})
    assert [
        "1 of 1 call to m1 met a rate limit; 1 got no answer",
        "1 of 1 call to m2 met a rate limit; 1 got no answer",
    ] == (sorted(f.title for f in _found(shelf, "rate_limit")))


def test_asking_another_model_is_no_futile_retry(shelf: Any) -> None:
    """A model that does not exist, then a fallback that does not either: two requests, neither sent again."""
    missing = {"error_class": "not_found", "http_status": 404, "cost_musd": 0}
    _call(shelf, missing, missing | {"model": "m2"})
    assert _found(shelf, "futile_retry") == []
    _call(shelf, missing, missing)
    assert len(_found(shelf, "futile_retry")) == 1


def test_the_money_of_two_models_adds_up(shelf: Any) -> None:
    """Each attempt of a steered call is in one class, whatever model it asked."""
    _call(shelf, BUSY | {"cost_musd": 3}, {"model": "m2", "cost_musd": 40}, human={"fallback": FALLBACK})
    lines = {line.cls: line.cost_musd for line in build(shelf.con).ledger}
    assert {"useful": 40, "failed_attempt": 3} == lines


def test_a_persons_value_is_a_finding_of_its_own(shelf: Any) -> None:
    """Lost at 0 by the code and at 3 by a person: two findings, each with where its value came from."""
    _call(shelf, BUSY, max_retries=0)
    _call(shelf, BUSY, BUSY, BUSY, BUSY, human={"max_retries": 3})
    found = {f.value: f.evidence["numbers"]["source"] for f in _found(shelf, "provider_error")}
    assert {"0": "code", "3": "human"} == found


@pytest.mark.parametrize(
    ("source", "page", "text"),
    [
        ("code", "sets <code>max_retries = 0</code>", "max_retries = 0"),
        (
            "default",
            "leaves <code>max_retries</code> at the SDK&#39;s default of 0",
            "max_retries at the SDK's default of 0",
        ),
        ("human", "obeys <code>max_retries = 0</code>, set by a person", "max_retries = 0, set by a person"),
        (
            "experiment",
            "obeys <code>max_retries = 0</code>, set by an experiment",
            "max_retries = 0, set by an experiment",
        ),
    ],
)
def test_the_report_says_who_chose_the_value(shelf: Any, source: str, page: str, text: str) -> None:
    """A default was left alone, not set; a person's value is obeyed."""
    _call(shelf, LIMITED, max_retries=0)
    shelf.con.execute("UPDATE decisions SET source = $source", {"source": source})
    report = build(shelf.con)
    assert page in as_html(report)
    console = Console(file=io.StringIO(), width=200)
    print_text(report, console)
    assert text in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_finding_lists_the_lines_of_its_calls(shelf: Any) -> None:
    """The client's line decided; which lines asked is evidence."""
    shelf.site("client", 3, "client = OpenAI(max_retries=0)"), shelf.site("second", 30)
    shelf.call("r1", LIMITED), shelf.call("r1", LIMITED, site_id="second")
    for call_id in ("c1", "c2"):
        shelf.decide("r1", "max_retries", 0, call_id, site_id="client")
    (finding,) = _found(shelf, "rate_limit")
    assert (finding.site_id, finding.evidence["numbers"]["call_sites"]) == ("client", ["site", "second"])


def _change(shelf: Any, n: int = 3, *attempts: Any, **steered: Any) -> None:
    """Two lost calls by the code, then ``n`` that a person's decision held for."""
    for _ in range(2):
        _call(shelf, BUSY, max_retries=0)
    for _ in range(n):
        _call(shelf, *attempts, max_retries=0, human=steered)


def test_what_was_mended_is_no_longer_current(shelf: Any) -> None:
    """Three calls under a fallback, all answered: the lost ones are history, in the store, report and headline."""
    _change(shelf, 3, BUSY, {"model": "m2"}, fallback=FALLBACK)
    lost = next(f for f in _found(shelf, "provider_error") if f.knob == "max_retries")
    assert not lost.is_current
    assert analyze(shelf.con)[-1] == lost, "it stands last"
    report = build(shelf.con)
    assert "no longer in force: the last calls here ran with another setting" in as_html(report)
    assert "parallelism not set" in report.headline[-1]
    persist(shelf.con, analyze(shelf.con))
    status = dict(shelf.con.execute("SELECT knob, status FROM findings").fetchall())
    assert {"max_retries": "resolved", "parallelism": "open"} == status


def test_a_raised_limit_is_history_without_a_policy_too(shelf: Any) -> None:
    """Who changes the code is believed as well: before it the old value alone was in force, after it the new one."""
    for _ in range(4):
        shelf.call(finish_reason="length", decisions={"max_tokens": 120})
    for _ in range(3):
        shelf.call(decisions={"max_tokens": 500})
    (finding,) = _found(shelf, "truncation")
    assert not finding.is_current
    assert build(shelf.con).headline[-1] == "None of the settings that were found to fail is still in force."


@pytest.mark.parametrize(
    "story",
    [
        "two calls later",
        "the failure goes on",
        "another failure instead",
        "the old value came back",
        "another model",
        "decisions still under way",
    ],
)
def test_anything_unclear_stays_current(shelf: Any, story: str) -> None:
    """Too few calls, this or another failure, the old value again, other calls, decisions that are not here yet."""
    answered = (BUSY, {"model": "m2"})
    if story == "two calls later":
        _change(shelf, 2, *answered, fallback=FALLBACK)
    elif story == "the failure goes on":
        _change(shelf, 4, *answered, fallback=FALLBACK)
        _call(shelf, BUSY, BUSY | {"model": "m2"}, max_retries=0, human={"fallback": FALLBACK})
    elif story == "another failure instead":
        _change(shelf, 4, {"error_class": "bad_request", "cost_musd": 0}, fallback=FALLBACK)
    elif story == "the old value came back":
        _change(shelf, 4, *answered, fallback=FALLBACK)
        _call(shelf, max_retries=0)
    elif story == "another model":
        _change(shelf, 4, {"model": "m9"}, fallback=FALLBACK)
    else:
        _change(shelf, 0)
        for _ in range(4):
            shelf.call()
    assert next(f for f in _found(shelf, "provider_error") if f.knob == "max_retries").is_current


def test_a_place_that_alternates_keeps_its_finding(shelf: Any) -> None:
    """A line that asks with two limits in turn has not changed its mind because the last three asked with the other."""
    for limit in (120, 500, 500, 120, 500, 500, 500):
        shelf.call(finish_reason="length" if limit == 120 else "stop", decisions={"max_tokens": limit})
    assert _found(shelf, "truncation")[0].is_current


def test_many_values_in_one_finding_stay_current(shelf: Any) -> None:
    """Six limits that all cut are one finding about the place, which no seventh limit takes back."""
    for limit in range(6):
        shelf.call(finish_reason="length", decisions={"max_tokens": 100 + limit})
    for _ in range(4):
        shelf.call(decisions={"max_tokens": 900})
    (finding,) = _found(shelf, "truncation")
    assert ("null", True) == (finding.value, finding.is_current)


def test_a_finding_is_open_again_after_a_roll_back(shelf: Any) -> None:
    """Resolved while the fallback held, reopened by a call without it, resolved by a second acceptance."""
    _change(shelf, 3, BUSY, {"model": "m2"}, fallback=FALLBACK)
    (mended,) = [f.finding_id for f in analyze(shelf.con) if f.knob == "max_retries"]
    assert mended not in persist(shelf.con, analyze(shelf.con), 1).opened
    _call(shelf, BUSY, max_retries=0)
    assert [mended] == persist(shelf.con, analyze(shelf.con), 2).reopened
    for _ in range(3):
        _call(shelf, BUSY, {"model": "m2"}, max_retries=0, human={"fallback": FALLBACK})
    assert [mended] == persist(shelf.con, analyze(shelf.con), 3).resolved
    assert persist(shelf.con, analyze(shelf.con), 4) == ([], [], [])
