"""Two runs side by side: what is the same, and where they part."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_dashboard.views import two_runs

SITES = [{"site_id": "s", "file": "a.py", "function": "f", "line": 3}]


def detail(*calls: str) -> dict[str, Any]:
    """A run of calls, each as ``model status tool...``."""
    rows, tools = [], []
    for n, call in enumerate(calls):
        model, status, *names = call.split()
        rows.append({"call_id": f"c{n}", "model": model, "api": "x", "site_id": "s", "status": status})
        tools += [{"call_id": f"c{n}", "name": name} for name in names]
    return {"calls": rows, "tool_calls": tools, "sites": SITES}


def aligned(one: dict[str, Any], other: dict[str, Any]) -> list[two_runs.Pair]:
    """Both runs side by side."""
    return two_runs.align(two_runs.steps(one), two_runs.steps(other))


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (("m ok search", "m ok"), ("m ok search", "m ok"), "Both runs took the same steps to the end."),
        ((), (), "Neither run has made a call."),
        (("m ok", "m error"), ("m ok", "m ok"), "They part at step 2: m at a.py:3, in f failed, then answered."),
        (("m ok", "m ok buy"), ("m ok", "m ok ask"), "They part at step 2: m at a.py:3, in f → buy, against"),
        (
            ("m ok",),
            ("m ok", "n ok"),
            "They part at step 2: the second run has n at a.py:3, in f, the other one nothing",
        ),
        (("n ok", "m ok"), ("m ok",), "They part at step 1: the first run has n at a.py:3, in f"),
    ],
)
def test_where_they_part(one: tuple[str, ...], other: tuple[str, ...], said: str) -> None:
    """The first step that only one has, that is another, or that ended otherwise."""
    assert two_runs.parting(aligned(detail(*one), detail(*other))).startswith(said)


def test_steps_are_aligned_around_what_only_one_has() -> None:
    """A step more in one run shifts what follows and does not make it different."""
    pairs = aligned(detail("a ok", "b ok", "c ok"), detail("a ok", "x ok", "b ok", "c ok"))
    assert ["=", "≠", "=", "="] == [row[""] for row in two_runs.table(pairs)]
    assert "–" == two_runs.table(pairs)[1]["First run"]


def test_long_stretches_of_the_same_are_left_out() -> None:
    """The beginning and what is near a difference are shown."""
    same = ["m ok"] * 100
    pairs = aligned(detail(*same, "m ok"), detail(*same, "m error"))
    rows = two_runs.table(pairs)
    assert 20 + 3 == len(rows)
    assert "≠" == rows[-1][""]


def test_figures_and_their_differences() -> None:
    """Cost and time of the second less those of the first; of what is not known there is no difference."""
    run = {
        "status": "ok",
        "success": True,
        "outcome_rule": None,
        "cost_musd": 1000,
        "attempts_unpriced": 0,
        "attempts": 2,
        "calls": 2,
        "input_tokens": 1,
        "output_tokens": 1,
        "started_ns": 0,
        "ended_ns": 2 * 10**9,
    }
    rows = {row[""]: row for row in two_runs.figures(run, run | {"cost_musd": 400, "calls": 3, "ended_ns": 10**9})}
    assert "−$0.0006" == rows["Cost"]["Second less first"]
    assert "−1 s" == rows["Took"]["Second less first"]
    assert "+1" == rows["Calls"]["Second less first"]
    unknown = two_runs.figures(run, run | {"attempts_unpriced": 1, "ended_ns": None})
    assert ["not known"] * 2 == [row["Second less first"] for row in unknown[1:3]]


def test_settings_that_differ() -> None:
    """Only what was not the same, with every value that a run had."""
    item = {"knob": "model", "site_id": "s", "value": "m"}
    one = {"items": [item, item | {"knob": "top_p", "value": 1}], "sites": SITES}
    other = {"items": [item, item | {"value": "n"}], "sites": SITES}
    assert [("model", "m", "m and n"), ("top_p", "1", "never decided")] == [
        (row["Setting"], row["First run"], row["Second run"]) for row in two_runs.settings(one, other)
    ]
