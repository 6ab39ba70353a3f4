"""Findings in words."""

from __future__ import annotations

from typing import Any

from trimtab_dashboard.views import findings


def finding(**fields: Any) -> dict[str, Any]:
    """A finding as the API lists it."""
    plain = {
        "knob": "max_retries",
        "value": 0,
        "calls": 3,
        "runs": 2,
        "failed_runs": 2,
        "wasted_musd": 0,
        "evidence": {},
    }
    return plain | fields


def test_the_gravest_comes_first() -> None:
    """Ended runs before lost money before failed runs."""
    money = finding(wasted_musd=440_000)
    assert "ended 1 run" == findings.weight(finding(wasted_musd=440_000, evidence={"ended_runs": ["r"]}))
    assert ["$0.44 lost", "in 2 failed runs"] == [findings.weight(money), findings.weight(finding())]
    assert "no run failed" == findings.weight(finding(failed_runs=0))


def test_settings_read_as_in_the_code() -> None:
    """Knob and value, not set where the code sets nothing, tools by their names."""
    assert "max_retries = 0" == findings.setting(finding())
    assert "timeout_s not set" == findings.setting(finding(knob="timeout_s", value=None))
    offered = {"numbers": {"offered": ["search", "buy"]}}
    assert "tools: search and buy" == findings.setting(finding(knob="tools", value="ab", evidence=offered))


def test_numbers_carry_interval_and_unit() -> None:
    """The share with its interval comes first; seconds, counts and lists read as such; unknown ones are left out."""
    measured = {"timeout_s": 2.0, "lost_calls": 1200, "p99": 1.23456, "sites": ["a", "b"], "limit": None, "flag": True}
    numbers = {"hit": 6, "of": 8, "share": 0.75, "low": 0.4, "high": 0.9} | measured
    rows = findings.numbers(finding(evidence={"numbers": numbers}))
    assert {
        "share": "6 of 8 (75.0 %; 95 % interval 41–93 %)",
        "timeout": "2 s",
        "lost calls": "1,200",
        "p99": "1.23",
        "sites": "a and b",
        "flag": "true",
    } == {row["Measured"]: row["Value"] for row in rows}
    assert [] == findings.numbers(finding())


def test_numbers_of_parts_read_as_words_and_ids_are_left_out() -> None:
    """What a rule says by parts is no code; ids of lines, and what the title says already, are not repeated."""
    compensations = [{"why": "failed", "compensation": "cancel", "n": 2, "errors": []}]
    numbers = {"compensations": compensations, "severity": 0.6, "call_sites": ["e38f"], "condition": "x", "layers": []}
    rows = findings.numbers(finding(evidence={"numbers": numbers}))
    assert {
        "compensations": "why failed, compensation cancel and n 2",
        "how surely such a thing loses a run, 0 to 1": "0.6",
    } == {row["Measured"]: row["Value"] for row in rows}


def test_runs_behind_begin_with_those_it_ended() -> None:
    """Each run once."""
    assert ["b", "a"] == findings.runs_behind(finding(evidence={"runs": ["a", "b"], "ended_runs": ["b"]}))


def test_a_card_tells_what_became_of_the_finding() -> None:
    """When it was opened, resolved and came back; what is not known is left out."""
    told = [{"at_ns": n * 10**18, "event": event} for n, event in ((1, "opened"), (2, "resolved"), (3, "reopened"))]
    said = findings.history({"history": told})
    assert said.startswith("Opened 2001-09-09")
    assert "came back 2065" in said
    assert "" == findings.history({"history": []})


def test_who_may_ask_for_a_recommendation() -> None:
    """Open findings about a knob that can be turned and for which nothing is proposed."""
    finding = {"status": "open", "knob": "max_retries"}
    assert findings.may_be_asked_for(finding, None)
    assert not findings.may_be_asked_for(finding, "decide")
    assert not findings.may_be_asked_for(finding | {"status": "resolved"}, None)
    assert not findings.may_be_asked_for(finding | {"knob": "tools"}, None)
