from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "effect_simulations.py"


SLOW = ("clustered", "tempered", "thompson", "cost", "value", "value, adaptive")
"""Scenarios of which 100 stores must do."""


@pytest.fixture(scope="module")
def simulations() -> Any:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("effect_simulations", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("scenario", "effect"),
    [
        ("plain", 0.0),
        ("plain", 0.1),
        ("clustered", 0.0),
        ("clustered", 0.1),
        ("tempered", 0.1),
        ("greedy", 0.0),
        ("thompson", 0.0),
        ("cost", 0.0),
        ("strata", 0.0),
        ("value", 0.1),
        ("value, adaptive", 0.1),
    ],
)
def test_what_is_promised_holds_in_200_stores(simulations: Any, scenario: str, effect: float) -> None:
    """Declared where there is nothing, covered, found: rates as promised, as far as chance goes in 1 of 1,000."""
    row = simulations.simulate(scenario, effect, 100 if scenario in SLOW else 200, seed=1)
    assert row["kept"], row


def test_a_broken_promise_is_seen(simulations: Any) -> None:
    """A rate of errors twice as high as promised, intervals that hold 85 %, and half of the power fail the check."""
    good = {"scenario": "plain", "truth": 0.0, "declared": 0.01, "ever": 0.02, "covered": {"dr": 0.95}}
    assert simulations.judged(good, 1000)["kept"]
    assert not simulations.judged(good | {"ever": 0.1}, 1000)["kept"]
    assert not simulations.judged(good | {"covered": {"dr": 0.85}}, 1000)["kept"]
    assert not simulations.judged(good | {"truth": 0.1, "declared": 0.45}, 1000)["kept"]


def test_tasks_come_from_tables_of_runs(simulations: Any, tmp_path: Path) -> None:
    """The share of successes of each task of a folder's tables, with room for an effect; a folder without is named."""
    (tmp_path / "runs.csv").write_text("task,success\na,1\na,0\nb,1\n")
    (tmp_path / "other.csv").write_text("name\nx\n")
    shares = simulations.shares_of(tmp_path)
    assert [0.5, 0.8] == shares.tolist()
    assert simulations.simulate("plain", 0.0, 20, 1, shares)["ever"] <= 0.2
    with pytest.raises(SystemExit, match="task and success"):
        simulations.shares_of(tmp_path / "nowhere")


def test_a_naive_test_stands_beside(simulations: Any) -> None:
    """Who looks 40 times with a z test finds nothing far more often than one time in twenty."""
    row = simulations.simulate("plain", 0.0, 100, 1)
    assert row["naive"]["ever"] > 0.15 > row["naive"]["declared"]
    assert row["naive"]["ever"] > row["ever"]
