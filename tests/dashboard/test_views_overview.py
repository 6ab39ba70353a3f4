"""The first page's figures, with what they need to be trusted."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from trimtab_dashboard.views import overview

TOTALS: dict[str, Any] = {
    "runs": 10,
    "running": 1,
    "failed_runs": 3,
    "succeeded_runs": 4,
    "unjudged_runs": 2,
    "cost_musd": 5_000_000,
    "wasted_musd": 1_000_000,
    "unpriced": 0,
    "attempts": 20,
    "input_tokens": 900,
    "output_tokens": 100,
}
HEALTH: dict[str, Any] = {
    "status": "ok",
    "collector": {"error": None},
    "analysis": {"error": None},
    "policy": {"error": None},
}


def line(cls: str, cost_musd: int, **more: Any) -> dict[str, Any]:
    """A class of the ledger."""
    counts = {"unpriced": 0, "estimated": 0, "attempts": 1, "calls": 1, "input_tokens": 10, "output_tokens": 1}
    return {"cls": cls, "label": cls, "meaning": "", "cost_musd": cost_musd, **counts, **more}


def test_figures_say_n_and_interval() -> None:
    """Failures are of the runs that have ended, success of those that were judged."""
    failed, success, cost, lost = overview.figures(TOTALS)
    assert ("3 of 9", "95 % interval 12–65 %, n = 9; 1 still running") == failed[1:]
    assert ("57.1 %", "95 % interval 25–84 %, n = 7; 2 of 9 not judged") == success[1:]
    assert ("$5.00", "$0.50 per run, 20 requests") == cost[1:]
    assert ("$1.00", "20.0 % of the known cost") == lost[1:]


def test_success_that_nobody_told_is_not_known() -> None:
    """Runs that ended without an error are not called a success."""
    found = overview.figures(TOTALS | {"succeeded_runs": 0, "unjudged_runs": 6})[1]
    assert ("not known", "6 of 9 not judged; the agent can say so: trimtab.outcome()") == found[1:]


def test_unknown_cost_is_said() -> None:
    """A sum with unknown parts says at least, and how many requests are not in it."""
    assert ("at least $5.00", "4 of 20 requests of unknown cost") == overview.figures(TOTALS | {"unpriced": 4})[2][1:]
    assert "not known" == overview.figures(TOTALS | {"unpriced": 20})[2].value


def test_figures_of_runs_that_only_began() -> None:
    """With nothing ended there is no share and no interval."""
    began = dict.fromkeys(TOTALS, 0) | {"runs": 2, "running": 2}
    assert ["no run has ended; 2 still running", "no run has ended"] == [f.note for f in overview.figures(began)[:2]]


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=12))
@example([12_850])  # exactly between two printed amounts
def test_the_ledger_adds_up_as_it_is_printed(costs: list[int]) -> None:
    """The printed parts sum to the printed total, to the last digit, and the shares to 100 %."""
    total = sum(costs)
    totals = TOTALS | {"cost_musd": total, "attempts": len(costs)}
    *parts, whole = overview.ledger([line(str(i), cost) for i, cost in enumerate(costs)], totals)
    amounts = [
        0.0 if text.startswith("under") else float(re.sub(r"[$,]", "", text)) for text in (p["Cost"] for p in parts)
    ]
    assert abs(sum(amounts) - float(re.sub(r"[$,]", "", whole["Cost"]))) < 1e-6
    assert not total or abs(100 - sum(p["Share"] for p in parts)) < 1e-6
    assert ("Total", len(costs)) == (whole["What it paid for"], whole["Requests"])


def test_what_must_not_be_overlooked() -> None:
    """Trouble of the sidecar and lost records are said; a healthy one without losses says nothing."""
    assert [] == overview.warnings({"losses": []}, HEALTH)
    loss = {"lost_kind": "content", "reason": "spool full", "count": 3}
    degraded = HEALTH | {"status": "degraded", "analysis": {"error": "duckdb.Error"}}
    trouble, lost = overview.warnings({"losses": [loss]}, degraded)
    assert "analysis failed the last time" in trouble
    assert "3 records could not be kept: 3 of kind content (spool full)" in lost


def test_notes_are_said_once() -> None:
    """What stands in a banner or a warning is not repeated below."""
    report = {"scripted": 5, "notes": ["Synthetic data: …", "3 records could not be kept: …", "Prices: …"]}
    assert ["Prices: …"] == overview.notes(report) == overview.notes({"scripted": 0, "notes": ["Prices: …"]})


def test_made_up_numbers_say_so() -> None:
    """Where the scripted provider answered some requests the page says how many; else nothing."""
    assert "Synthetic: trimtab's own scripted provider answered 5 requests" in (
        overview.synthetic({"scripted": 5}) or ""
    )
    assert overview.synthetic({"scripted": 0}) is None


def test_the_scope_names_what_is_not_analysed() -> None:
    """Runs of which waste is not known yet are counted; a chosen service stands for all."""
    totals = TOTALS | {"first_ns": 0, "last_ns": 60 * 10**9, "unanalysed_runs": 2}
    choices = {"services": ["a", "b"], "models": ["m"]}
    said = overview.scope({"totals": totals}, choices, None)
    assert said.startswith("10 runs of a and b, ")
    assert said.endswith("with m; 2 runs not analysed yet: their waste is not in it")
    assert "10 runs of b, " in overview.scope({"totals": totals}, choices, "b")


def test_estimated_tokens_are_marked() -> None:
    """A class with tokens that nobody reported says so, and the total with it; the others do not."""
    plain, guessed, whole = overview.ledger(
        [line("a", 1), line("b", 2, estimated=1)], TOTALS | {"cost_musd": 3, "estimated": 1}
    )
    assert ("11", "11, partly estimated", "1,000, partly estimated") == tuple(
        row["Tokens"] for row in (plain, guessed, whole)
    )
