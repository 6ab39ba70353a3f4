"""Runs as rows and points."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from trimtab_dashboard.views import runs

SECOND = 10**9


def run(**fields: Any) -> dict[str, Any]:
    """A run that ended without an error and was not judged."""
    plain = {
        "run_id": "a" * 26 + "123456",
        "name": "order",
        "service": "shop",
        "task": None,
        "started_ns": 1_795_000_000 * SECOND,
        "ended_ns": 1_795_000_002 * SECOND,
        "status": "ok",
        "success": None,
        "outcome_rule": None,
        "error_type": None,
        "calls": 1,
        "attempts": 2,
        "tool_calls": 0,
        "input_tokens": None,
        "output_tokens": None,
        "cost_musd": 1500,
        "attempts_unpriced": 0,
    }
    return plain | fields


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"success": True, "status": "error"}, "✓ succeeded"),
        ({"success": False}, "✕ failed"),
        ({"success": False, "outcome_rule": "cut_answer"}, "✕ failed, inferred"),
        ({"success": False, "outcome_rule": "exception", "status": "error"}, "✕ ended in an error"),
        ({"status": "error"}, "✕ ended in an error"),
        ({"status": "running"}, "… still running"),
        ({}, "○ not judged"),
    ],
)
def test_the_outcome_counts_before_the_end(fields: dict[str, Any], shown: str) -> None:
    """A known outcome decides; without one an error is a failure, and ending well is no success."""
    assert shown == str(runs.result(run(**fields)))


def test_results_differ_in_shape_and_word() -> None:
    """Nobody needs colours to tell them apart."""
    assert len(runs.RESULTS) == len({r.shape for r in runs.RESULTS}) == len({r.word for r in runs.RESULTS})


def test_the_table_says_what_is_not_known() -> None:
    """Unknown costs say at least; a run that is still going has no duration; empty columns are left out."""
    (row,) = runs.table([run(ended_ns=None, attempts_unpriced=1, error_type="openai.APITimeoutError", status="error")])
    assert ("at least $0.0015", "–", 0) == (row["Cost"], row["Took"], row["Tokens"])
    assert "✕ ended in an error: APITimeoutError" == row["Result"]
    assert "Task" not in row
    assert "order 123456" == row["Run"]
    assert [] == runs.table([])


def test_filters_speak_the_apis_language() -> None:
    """Names on the page become the API's; any is left out; times are whole minutes, so that answers can be kept."""
    chosen = runs.Chosen(status="Still running", outcome="Failed", span="Last hour", min_cost_usd=0.5, text=" 429 ")
    said = {name: value for name, value in runs.filters(chosen, 1_000_030 * SECOND).items() if value is not None}
    assert {
        "status": "running",
        "outcome": "failure",
        "since_ns": 996_420 * SECOND,
        "min_cost_musd": 500_000,
        "text": "429",
    } == said
    assert {None} == set(runs.filters(runs.Chosen(), 0).values())


def test_times_of_the_page_are_utc() -> None:
    """Between two times means what was typed, whatever zone the machine is in; other spans do not look at them."""
    begun = datetime(2026, 12, 1, 10, 30)
    chosen = runs.Chosen(span=runs.BETWEEN, since=begun)
    assert 1_796_121_000 * SECOND == runs.filters(chosen, 0)["since_ns"]
    assert runs.filters(chosen._replace(span=None), 0)["since_ns"] is None


def test_places_of_one_name_are_told_apart() -> None:
    """Each place has a name of its own."""
    site = {"file": "a.py", "function": "f", "line": 3}
    named = runs.places([site | {"site_id": "one"}, site | {"site_id": "two"}])
    assert {"a.py:3, in f": "one", "a.py:3, in f (two)": "two"} == named


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"searched": None, "next": None}, ""),
        ({"searched": 500, "next": "c"}, "500 runs; older ones come with the next page."),
        ({"searched": 1, "next": None}, "1 run; there are no older ones."),
    ],
)
def test_a_search_says_how_far_it_looked(page: dict[str, Any], said: str) -> None:
    """How many runs, and whether there are older ones."""
    assert runs.searched(page).endswith(said)


def test_the_timeline_names_only_what_is_there() -> None:
    """The legend holds the results that occur, each with its colour and shape; a point leads to its run."""
    spec = runs.timeline([run(), run(success=True, run_id="b")])
    assert ["succeeded", "not judged"] == spec["encoding"]["color"]["scale"]["domain"]
    assert ["circle", "square"] == spec["encoding"]["shape"]["scale"]["range"]
    assert ["run"] == spec["params"][0]["select"]["fields"]
    assert [0.0015, 0.0015] == [value["cost"] for value in spec["data"]["values"]]


@pytest.mark.parametrize(("hours", "form"), [(0.1, "%H:%M:%S"), (5, "%H:%M"), (50, "%d %b %H:%M")])
def test_times_are_as_fine_as_needed(hours: float, form: str) -> None:
    """Seconds within an hour, days beyond one day."""
    later = run(started_ns=1_795_000_000 * SECOND + int(hours * 3600 * SECOND))
    assert form == runs.timeline([run(), later])["encoding"]["x"]["axis"]["format"]
