"""Shares, gap, frontier and drawn values as charts, rows and sentences."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_dashboard import theme
from trimtab_dashboard.views import compare, what_if

SCOPE = "n = 40 runs, started today"


def component(name: str, share: float, includes: tuple[str, ...] = ()) -> dict[str, Any]:
    """A part of the variation."""
    return {"name": name, "share": share, "low": share / 2, "high": min(1, 2 * share), "includes": list(includes)}


def shares() -> dict[str, Any]:
    """Half of it goes with the model, a fifth with the harness."""
    parts = [component("harness", 0.2), component("model", 0.5), component("noise", 0.3, ("task",))]
    return {"measure": "cost", "scale": "log", "runs": 40, "clusters": 12, "components": parts}


def configuration(name: str, quality: float, cost: float, *, is_best: bool = True) -> dict[str, Any]:
    """A harness with a model."""
    of = {"name": name, "runs": 20, "quality": quality, "quality_low": quality - 0.1, "quality_high": quality + 0.1}
    cost_of = {"cost": cost, "cost_low": 0.9 * cost, "cost_high": 1.1 * cost, "unknown_cost": 0}
    drawn = {"on_frontier": is_best, "frontier_share": 0.8, "meets": not is_best, "meets_share": 0.4}
    return of | cost_of | drawn


def frontier(*costs: float) -> dict[str, Any]:
    """Configurations of these costs."""
    found = [configuration(f"v{i} / m", 0.8 - 0.1 * i, cost, is_best=i != 1) for i, cost in enumerate(costs)]
    asked = {"quality_share": 0.5, "cost_share": 0.25, "left_out": []}
    return {"configurations": found, "reference": "v0 / m", "answer": "", **asked}


def test_runs_that_tell_nothing_apart_are_said_to() -> None:
    """Where noise is the only part, no factor is named and no share is drawn."""
    only = shares() | {"components": [component("noise", 1.0, ("harness", "model", "task"))]}
    assert not compare.is_told_apart(only)
    assert "Cost: these runs do not tell harness, model or task from noise." == compare.headline(only)


def test_shares_are_points_with_intervals_and_noise_is_last() -> None:
    """The largest first; what can't be told apart is named; the sentence has both intervals."""
    rows = compare.shares(shares())["data"]["values"]
    assert ["model", "harness", "noise (with task)"] == [row["name"] for row in rows]
    assert (50, 25, 100) == (rows[0]["value"], rows[0]["low"], rows[0]["high"])
    said = "Cost varies with model 50 % (25 to 100 %), harness 20 % (10 to 40 %); with none of them 30 %."
    assert said == compare.headline(shares())
    note = compare.shares_note(shares(), SCOPE)
    assert {True} == {
        part in note for part in ("of the logarithm", "n = 40 runs in 12 independent groups", "95 %", SCOPE)
    }


def test_a_gap_names_both_harnesses() -> None:
    """With the runs of each, the interval for all pairs, and what the halves say; no tasks in common is said."""
    gap = {"model": "m", "best": "a", "worst": "b", "best_mean": 0.75, "worst_mean": 0.5, "best_runs": 20}
    gap |= {"worst_runs": 22, "difference": 0.25, "low": -0.05, "high": 0.5, "corrected": None, "harnesses": 3}
    (row,) = compare.gaps([gap | {"shared_tasks": None}])
    assert ("25.0 (95 %: -5.0 to 50.0)", "not known", "too few") == (
        row["Gap (points)"],
        row["Corrected"],
        row["Shared tasks"],
    )
    assert {"data": {"values": [{"at": 0}]}}.items() <= compare.gap_chart([gap])["layer"][0].items()


def test_the_frontier_has_both_intervals_and_the_corner_that_was_asked_for() -> None:
    """Half of the quality and a quarter of the cost of the best one; what is beaten has another colour and shape."""
    spec = compare.frontier(frontier(0.01, 0.02))
    assert [{"cost": 0.0025, "quality": 40.0}] == spec["layer"][0]["data"]["values"]
    assert ["on the frontier", "beaten by another"] == [value["state"] for value in spec["data"]["values"]]
    point = spec["layer"][5]["encoding"]
    assert [theme.GOOD, theme.IDLE] == point["color"]["scale"]["range"]
    assert 2 == len(set(point["shape"]["scale"]["range"]))
    rows = compare.configurations(frontier(0.01, 0.02))
    assert "80.0 % (95 % interval 70.0 to 90.0 %)" == rows[0]["Success"]
    assert ("yes; 80 % of draws", "no; 40 % of draws") == (rows[0]["On the frontier"], rows[0]["Meets the question"])


@pytest.mark.parametrize(("costs", "kind"), [((0.01, 0.02), None), ((0.001, 0.02), "log"), ((0.0, 0.02), None)])
def test_costs_far_apart_are_on_a_logarithm(costs: tuple[float, ...], kind: str | None) -> None:
    """Else the cheap ones would be one heap; a cost of 0 has no logarithm."""
    assert kind == compare.frontier(frontier(*costs))["layer"][2]["encoding"]["x"]["scale"].get("type")


@pytest.mark.parametrize(
    ("name", "column", "levels", "expected"),
    [
        ("v1 / gpt", "harness", ["harness", "model"], {"harness": "v1", "model": "gpt"}),
        ("a / b / gpt", "service", ["harness", "model"], {"service": "a / b", "model": "gpt"}),
        ("unknown / gpt", "harness", ["harness", "model"], {"model": "gpt"}),
        ("short / gpt", "knob:style", ["harness", "model"], {"model": "gpt"}),
        ("gpt", "harness", ["model", "task"], {"model": "gpt"}),
        ("v1", "harness", ["harness"], {"harness": "v1"}),
    ],
)
def test_a_configuration_leads_to_its_runs(name: str, column: str, levels: list[str], expected: dict[str, str]) -> None:
    """As far as the page of runs can choose them."""
    assert expected == compare.runs_address(name, column, levels)


def answer(estimate: float = 0.6, low: float | None = 0.5) -> dict[str, Any]:
    """An answer about a value."""
    one = {"estimate": estimate, "se": 0.05, "low": 0.45, "high": 0.7}
    value = {"n": 200, "effective": 80.4, "logged": 0.4, "low": low, "high": 0.75, "is_exact": True}
    return {"value": value | {"dr": one, "ipw": one, "snips": one}, "first_ns": 0, "last_ns": 10**9, "refusal": None}


def test_a_drawn_value_has_its_interval_and_its_effective_runs() -> None:
    """Beside what ran; the interval that holds at any time and the one for a single look are told apart."""
    ran, value, effective = what_if.figures(answer()["value"], "success")
    assert ("40.0 %", "60.0 %", "80 of 200") == (ran.value, value.value, effective.value)
    assert "50.0 % to 75.0 %, holds at any time; 45.0 % to 70.0 % for one look" in value.note
    assert 3 == len(what_if.estimates(answer()["value"], "success"))
    assert "no bound" in what_if.figures(answer(low=None)["value"], "cost")[1].note


def test_drawn_values_stand_beside_what_ran() -> None:
    """A value that was refused is no point; without any there is no chart."""
    refused = {"value": None, "refusal": "too few"}
    spec = what_if.chart([('"a"', answer()), ('"b"', refused)], "success")
    assert spec is not None
    assert [("a", 60.0)] == [(row["name"], row["value"]) for row in spec["data"]["values"]]
    assert 40.0 == spec["layer"][0]["data"]["values"][0]["at"]
    assert what_if.chart([('"b"', refused)], "success") is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [("long", '"long"'), ("2.5", "2.5"), ("null", "null"), ("so [it", '"so [it"'), ("not set", "null")],
)
def test_a_candidate_is_what_was_chosen_or_written(said: str, expected: str) -> None:
    """A drawn value by its label, JSON as it is, and any other text as text."""
    assert expected == what_if.candidate(said, ['"long"', "null"])
