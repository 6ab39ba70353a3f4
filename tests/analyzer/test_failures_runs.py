from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.findings import Finding, analyze


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def _broken_run(shelf: Any, run_id: str, error_type: str | None = "app.Oops", **facts: Any) -> str:
    shelf.run(run_id, status="error", error_type=error_type, error_site_id="site", **facts)
    return run_id


def test_run_error_names_the_line_and_the_exception(shelf: Any) -> None:
    """Two runs that left through the same line with the same exception are one finding of two failed runs."""
    for run_id in ("a", "b"):
        shelf.call(_broken_run(shelf, run_id, error_message="no order 7"))
    (finding,) = analyze(shelf.con)
    assert finding.title == "2 runs ended with app.Oops: “no order 7”"
    assert finding.advice == "Handle Oops at agent.py:14, or mend what raises it there."
    assert (finding.subject, finding.site_id, finding.failed_runs) == ("app.Oops", "site", 2)
    assert (finding.evidence["runs"], finding.evidence["calls"]) == (["a", "b"], ["c1", "c2"])
    assert (finding.cost_musd, finding.wasted_musd) == (200, 0)


def test_run_error_needs_no_call(shelf: Any) -> None:
    """A run that broke before its first call is found too."""
    _broken_run(shelf, "a")
    (finding,) = _found(shelf, "run_error")
    assert (finding.calls, finding.runs, finding.evidence["attempts"]) == (0, 1, [])


def test_run_error_is_silent_where_a_finding_names_the_run(shelf: Any) -> None:
    """A rate limit that nobody retried ended the run: it names the run, and the exception is not blamed again."""
    shelf.call(_broken_run(shelf, "a", "openai.RateLimitError"), {"error_class": "rate_limit"})
    (finding,) = analyze(shelf.con)
    assert (finding.rule, finding.failed_runs, finding.evidence["ended_runs"]) == ("rate_limit", 1, ["a"])
    assert finding.title.endswith("; 1 run ended right there with an exception")


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        ({"finish_reason": "length"}, "truncation"),
        ({"tools": [{"args_valid": False}]}, "malformed_tool_args"),
        ({"tools": [{"name": "gone", "offered": False}]}, "unknown_tool"),
    ],
)
def test_run_error_is_silent_right_after_an_unusable_answer(shelf: Any, facts: dict[str, Any], rule: str) -> None:
    """An exception right after an answer that could not be used belongs to that answer."""
    shelf.call(_broken_run(shelf, "a"), **facts)
    assert [f.rule for f in analyze(shelf.con)] == [rule]


def test_run_error_speaks_where_the_run_had_recovered(shelf: Any) -> None:
    """A rate limit that a retry saved, or a call after it that worked, is not what ended the run."""
    shelf.call(_broken_run(shelf, "a"), {"error_class": "rate_limit"}, {})
    shelf.call(_broken_run(shelf, "b"), {"error_class": "rate_limit"})
    shelf.call("b")
    (finding,) = _found(shelf, "run_error")
    assert finding.evidence["runs"] == ["a", "b"]


def test_run_error_speaks_after_a_repeated_call(shelf: Any) -> None:
    """Asking twice raises nothing by itself, so the exception needs a finding of its own."""
    _broken_run(shelf, "a")
    for _ in range(2):
        shelf.call("a", tools=[{"result_digest": "same"}])
    assert sorted(f.rule for f in analyze(shelf.con)) == ["repeated_call", "run_error"]


def test_run_error_blames_the_innermost_run(shelf: Any) -> None:
    """An exception that only passed through the outer run is blamed on the inner one."""
    _broken_run(shelf, "outer")
    _broken_run(shelf, "inner", parent_run_id="outer")
    _broken_run(shelf, "other", "app.Different", parent_run_id="outer")
    assert {f.subject: f.evidence["runs"] for f in analyze(shelf.con)} == {
        "app.Oops": ["inner"],
        "app.Different": ["other"],
    }


@pytest.mark.parametrize("stopped", ["KeyboardInterrupt", "asyncio.exceptions.CancelledError"])
def test_run_error_is_silent_on_a_run_stopped_by_hand(shelf: Any, stopped: str) -> None:
    """Ctrl-C and cancellation are decisions of a person or of the code around, and no fault."""
    _broken_run(shelf, "a", stopped)
    assert analyze(shelf.con) == []


def test_run_error_is_silent_on_a_wrong_answer(shelf: Any) -> None:
    """A run that ended well with the wrong result raised nothing."""
    shelf.call()
    shelf.outcome("r1", False)
    assert analyze(shelf.con) == []


def test_run_error_says_that_a_process_vanished(shelf: Any) -> None:
    """A killed process raised nothing; the nearest line known is that of its last call."""
    shelf.call(_broken_run(shelf, "a", None, end_rule="process vanished"), {"error_class": "rate_limit"})
    (finding,) = _found(shelf, "run_error")
    assert finding.title.startswith("1 run ended because the process was gone without a word")
    assert (finding.subject, finding.site_id) == ("process vanished", "site")
    assert _found(shelf, "rate_limit")[0].evidence["ended_runs"] == []
