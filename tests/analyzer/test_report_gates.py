"""Conditions under which a report fails a build, and the Markdown that says so."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.report import Report, as_json, as_markdown, build, from_json
from trimtab_analyzer.report.gates import check, compares, judge
from trimtab_analyzer.report.markdown import code, escaped
from trimtab_tracer.errors import UsageError


@pytest.fixture(scope="module")
def report(all_told: Any) -> Report:
    """Of a store in which each rule speaks."""
    return build(all_told.con)


def of(report: Report, **totals: Any) -> Report:
    """The report with other sums."""
    return replace(report, totals=replace(report.totals, **totals))


@pytest.mark.parametrize(
    ("now", "before", "is_met", "told"),
    [
        ({"cost_musd": 1_200_000}, {"cost_musd": 1_000_000}, True, "+20.0 %"),
        ({"cost_musd": 1_090_000}, {"cost_musd": 1_000_000}, False, "+9.0 %"),
        (
            {"cost_musd": 9_000_000, "runs": 9},
            {"cost_musd": 1_000_000},
            False,
            "Too few runs to compare: 9, before 100",
        ),
        ({"cost_musd": 1}, {"cost_musd": 0}, False, "not known"),
    ],
)
def test_cost_is_compared_run_by_run(
    report: Report, now: dict[str, Any], before: dict[str, Any], is_met: bool, told: str
) -> None:
    """Means per run, with n; too few runs fail nothing."""
    sides = (of(report, **{"runs": 100, "unpriced": 0} | side) for side in (now, before))
    (verdict,) = judge(["cost+10%"], *sides)
    assert verdict.is_met is is_met
    assert told in verdict.told
    assert verdict.is_compared is ("Too few" not in told and "not known" not in told)


@pytest.mark.parametrize(
    ("succeeded", "is_met", "told"),
    [(60, True, "-30.0 points"), (84, False, "that may be chance"), (88, False, "-2.0 points"), (95, False, "+5.0")],
)
def test_a_fall_of_success_is_more_than_chance(report: Report, succeeded: int, is_met: bool, told: str) -> None:
    """By more points than allowed, and by an interval that excludes none at all."""
    now = of(report, succeeded_runs=succeeded, failed_runs=100 - succeeded)
    (verdict,) = judge(["success-5"], now, of(report, succeeded_runs=90, failed_runs=10))
    assert (verdict.is_met, told in verdict.told) == (is_met, True), verdict.told


@pytest.mark.parametrize(
    ("condition", "totals", "is_met"),
    [
        ("waste>20%", {"wasted_musd": 21, "cost_musd": 100}, True),
        ("waste>20%", {"wasted_musd": 20, "cost_musd": 100}, False),
        ("waste>20%", {"wasted_musd": 0, "cost_musd": 0}, False),
        ("failed>10%", {"failed_runs": 2, "runs": 12, "running": 2}, True),
        ("failed>10%", {"failed_runs": 1, "runs": 12, "running": 2}, False),
        ("cost>0.5", {"cost_musd": 1_100_000, "runs": 2}, True),
        ("total>2", {"cost_musd": 1_100_000, "runs": 2}, False),
    ],
)
def test_limits(report: Report, condition: str, totals: dict[str, Any], is_met: bool) -> None:
    """Above it fails; at it not; of nothing nothing fails."""
    (verdict,) = judge([condition], of(report, **totals), None)
    assert verdict.is_met is is_met


def test_findings(report: Report) -> None:
    """One of a rule, any, or one that was not there before."""
    rule = report.findings[0].rule
    without = replace(report, findings=report.findings[1:])
    assert [True, False, True] == [
        v.is_met for v in judge([f"finding:{rule}", "finding:no_such", "any-finding"], report, None)
    ]
    assert [True] == [v.is_met for v in judge(["new-finding"], report, without)]
    assert [False] == [v.is_met for v in judge(["new-finding"], report, report)]


@pytest.mark.parametrize("condition", ["cost", "cost+10", "waste>20", "success-", "finding:", "cost>-1", "x>1%"])
def test_what_is_no_condition_is_named(condition: str) -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="Expected one of: cost"):
        check([condition])


def test_which_conditions_compare() -> None:
    """Only these need something from before; without it they say so and fail nothing."""
    compared = [
        c for c in ("cost+1%", "success-1", "new-finding", "cost>1", "waste>1%", "any-finding") if compares([c])
    ]
    assert compared == ["cost+1%", "success-1", "new-finding"]


def test_without_a_before_nothing_fails(report: Report) -> None:
    """It is said."""
    for verdict in judge(["cost+1%", "success-1", "new-finding"], report, None):
        assert (verdict.is_met, "nothing from before" in verdict.told) == (False, True)
        assert "not compared" == verdict.word
    assert "- ➖ `cost+1%`" in as_markdown(report, judge(["cost+1%"], report, None))


def test_markdown_is_short_and_says_the_verdicts(report: Report) -> None:
    """Headline, verdicts, five findings with their lines, the ledger, and how many runs it is about."""
    text = as_markdown(report, judge(["any-finding", "cost>9999"], report, None))
    assert text.startswith("### ")
    assert "- ❌ `any-finding`" in text
    assert "- ✅ `cost>9999`" in text
    assert f"and {len([f for f in report.findings if f.is_current]) - 5} more" in text.replace("\\", "")
    assert "agent.py:14" in text
    assert "n \\= " in text
    assert len(text) < 6000
    assert as_markdown(from_json(as_json(report))) == as_markdown(report)


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "[a](http://evil)",
    "@everyone",
    "| a | b |\n|---|",
    "`x` \u202e",
    "# h",
    "![i](x)",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_texts(report: Report, text: str) -> None:
    """No link, picture, mention, table or heading comes of what a model wrote."""
    finding = replace(report.findings[0], title=text, is_current=True)
    shown = as_markdown(replace(report, findings=(finding,), headline=(text,)))
    plain = as_markdown(replace(report, findings=(replace(finding, title="t"),), headline=("h",)))
    for sign in (r"(?<!\\)<img", r"(?<!\\)\]\(", r"\n\|---\|\n", r"@\w", r"#\d", "\u202e", r"(?m)^# "):
        assert len(re.findall(sign, shown)) == len(re.findall(sign, plain)), sign


@given(st.text())
def test_escaped_text_is_one_line_without_bare_signs(text: str) -> None:
    """Every sign that Markdown knows has a backslash before it."""
    shown = escaped(text)
    assert "\n" not in shown
    bare = shown.replace("\\\\", "")
    assert all(bare[i - 1 : i] == "\\" for i, sign in enumerate(bare) if sign in "`*_{}[]()<>#|@")
    assert "\n" not in code(text)
