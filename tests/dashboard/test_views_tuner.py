"""What the page Tuner says of experiments: rows, sentences, charts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trimtab_dashboard.views import tuner

NOW = 1_795_000_000 * 10**9
NONE = {"estimate": None, "low": None, "high": None}
KEY = json.dumps("small")


def bounds(estimate: float, low: float, high: float) -> dict[str, float]:
    """A number and its interval."""
    return {"estimate": estimate, "low": low, "high": high}


def arm(key: str, **known: Any) -> dict[str, Any]:
    """What is known of a value."""
    names = ("quality", "cost_usd", "latency_s", "quality_change", "cost_change_usd", "latency_change_s")
    return {"arm": key, "units": 10, "rewards": 8, "in_set": True, "ready": False} | dict.fromkeys(names, NONE) | known


def campaign(*arms: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """An experiment as the API tells of it."""
    spec = {"objective": "cheapest", "margin": 0.02, "max_share": 0.2, "explore_usd_per_day": 5.0}
    known = {
        "knob": "model",
        "phase": "exploring",
        "status": "running",
        "units": 20,
        "spec": spec,
        "explored_usd": 1.25,
    }
    known |= {"started_ns": NOW, "updated_ns": NOW + 10**12, "started_by": "ada", "promoted_arm": None}
    return known | {"verdict": {"arms": list(arms)}, "weights": {"": {"incumbent": 0.8, KEY: 0.2}}} | facts


def test_each_value_says_what_is_known_and_how_sure() -> None:
    """Means and changes with their intervals; a dash where nothing is known."""
    known = {"quality": bounds(0.9, 0.85, 0.95), "quality_change": bounds(-0.01, -0.03, 0.01)}
    own, small = tuner.arms(campaign(arm("incumbent"), arm(KEY, **known)))
    assert ("as the code says", "80 %", "–", "compared with") == tuple(
        own[name] for name in ("Value", "Share now", "Success", "State")
    )
    assert "90 (85 to 95) %; change -1 (-3 to +1) points" == small["Success"]
    assert ("small", "20 %", "10 (8 judged)", "tried") == tuple(
        small[name] for name in ("Value", "Share now", "Units", "State")
    )


@pytest.mark.parametrize(
    ("facts", "of_arm", "state"),
    [
        ({"promoted_arm": KEY}, {}, "★ promoted"),
        ({}, {"in_set": False}, "✕ no longer tried"),
        ({}, {"ready": True}, "✓ proven"),
    ],
)
def test_the_state_of_a_value(facts: dict[str, Any], of_arm: dict[str, Any], state: str) -> None:
    """In words, and not by colour alone."""
    (row,) = tuner.arms(campaign(arm(KEY, **of_arm), **facts))
    assert row["State"] == state


def test_the_budget_says_what_was_spent_of_what() -> None:
    """With a cap and without one, and where nothing was spent."""
    assert tuner.budget(campaign()) == "Runs with other values cost $1.25 in the last 24 hours, of $5 that they may."
    assert "$0 in" in tuner.budget(campaign(explored_usd=None))
    without = campaign(spec=campaign()["spec"] | {"explore_usd_per_day": None})
    assert tuner.budget(without).endswith("there is no cap.")


def test_charts_state_n_and_carry_what_was_drawn() -> None:
    """Weights by version, a stopped experiment as the code's own; draws stacked up to their sum."""
    arms = [{"incumbent": True, "weight": 0.8}, {"value": "small", "weight": 0.2}]
    history = {
        "bin_ns": 60 * 10**9,
        "shares": [{"version": 2, "issued_ns": NOW, "arms": arms}, {"version": 3, "issued_ns": NOW + 10, "arms": None}],
        "draws": [{"at_ns": NOW, "arm": KEY, "units": 3}, {"at_ns": NOW, "arm": "incumbent", "units": 7}],
    }
    known = arm(KEY, quality=bounds(0.9, 0.85, 0.95))
    success, cost, weights, draws = tuner.charts(campaign(arm("incumbent"), known), history)
    assert [90.0] == [row["y"] for row in success.spec["data"]["values"]]
    assert [] == cost.spec["data"]["values"]
    drawn = [(row["value"], row["y"]) for row in weights.spec["data"]["values"]]
    assert drawn == [("as the code says", 80.0), ("small", 20.0), ("as the code says", 100.0), ("small", 0.0)]
    assert [(0, 7), (7, 10)] == [(row["low"], row["high"]) for row in draws.spec["data"]["values"]]
    assert "n = 10 units" in draws.note
    assert all("n = " in chart.note and chart.alt for chart in (success, cost, weights, draws))


def test_values_are_typed_one_a_line() -> None:
    """JSON, or the text itself; nothing is said to be nothing."""
    assert [3, "gpt-5", {"a": 1}, None] == tuner.typed_values('3\n gpt-5 \n\n{"a": 1}\nnull')
    with pytest.raises(ValueError, match="at least one value"):
        tuner.typed_values(" \n")


def test_events_are_newest_first_and_name_the_setting() -> None:
    """A kind that is not known here is told by its name."""
    rows = [
        {"event_id": n, "at_ns": NOW, "experiment_id": "e", "kind": kind, "told": "t"}
        for n, kind in ((1, "started"), (2, "new_kind"))
    ]
    found = tuner.events(rows, {"e": "model"})
    assert [("model", "new kind"), ("model", "▶ started")] == [(row["Setting"], row["What"]) for row in found]


def test_the_time_line_has_every_event_and_a_row_for_each_kind() -> None:
    """In the order in which kinds first came; the note has n and the range, and says that nothing is estimated."""
    told = "x" * 500
    kinds = ["started", "drift", "rollback", "drift"]
    rows = [
        {"event_id": n, "at_ns": NOW + n * 10**9, "experiment_id": "e", "kind": kind, "told": told}
        for n, kind in enumerate(kinds)
    ]
    line = tuner.time_line(list(reversed(rows)), {"e": "model"})
    values = line.spec["data"]["values"]
    assert ["▶ started", "↝ drift", "↩ rolled back", "↝ drift"] == [value["kind"] for value in values]
    assert ["▶ started", "↝ drift", "↩ rolled back"] == line.spec["encoding"]["y"]["sort"]
    assert {"model"} == {value["setting"] for value in values}
    assert max(len(value["told"]) for value in values) < 300
    assert "n = 4 events" in line.note
    assert "no interval" in line.note
