"""benchmarks/delivery.py: the simulator does what it says, and the production code keeps its bounds in it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "delivery.py"
ROWS: dict[tuple[str, str], dict[str, Any]] = {}


@pytest.fixture(scope="module")
def delivery() -> Any:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("delivery_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def row(delivery: Any, scenario: str, policy: str) -> dict[str, Any]:
    """A row of one repetition."""
    (found,) = (each for each in delivery.SCENARIOS if each.name == scenario)
    made: dict[str, Any] = delivery.measure(found, policy, range(7, 8))
    return made


@pytest.mark.parametrize("scenario", ["outage 60 s", "outage 600 s"])
def test_outage_costs_two_fifths_at_most(delivery: Any, scenario: str) -> None:
    """Of an SDK's requests; calls go through again 5 s after an outage; with a fallback nearly all are answered."""
    ours, base = (row(delivery, scenario, policy) for policy in ("trimtab", "openai 3"))
    assert ours["requests_in_outage"] <= 0.4 * base["requests_in_outage"]
    assert ours["recovery_s"] <= 5
    assert row(delivery, scenario, "trimtab, fallback")["answered"] > base["answered"] + 0.1


def test_tail_is_cut_for_a_tenth_more_at_most(delivery: Any) -> None:
    """The hedges' share is what they cost, and what they bring is the tail."""
    ours, base = (row(delivery, "tails", policy) for policy in ("trimtab", "openai 3"))
    assert ours["requests"] <= 1.1 * base["requests"]
    assert ours["p99_s"] < 0.7 * base["p99_s"]
    assert ours["answered"] >= base["answered"]


def test_same_seed_same_figures(delivery: Any) -> None:
    """A repetition depends on its seed alone, and on nothing that takes real time."""
    assert row(delivery, "outage 5 s", "trimtab") == row(delivery, "outage 5 s", "trimtab")


def test_broken_promises_are_said(delivery: Any) -> None:
    """Rows that are worse than an SDK's in everything keep no promise."""
    base = {"calls": 1, "answered": 0.9, "p50_s": 1.0, "p99_s": 2.0, "p99_answered_s": 2.0, "requests": 10}
    base |= {"requests_in_outage": 10, "recovery_s": 0.0}
    worse = base | {"answered": 0.8, "p99_s": 3.0, "requests": 11, "requests_in_outage": 5, "recovery_s": 5.1}
    named = [(delivery.BASE, base), (delivery.OURS, worse)]
    rows = [{"scenario": s.name, "policy": policy, **each} for s in delivery.SCENARIOS for policy, each in named]
    assert not any(promise["kept"] for promise in delivery.promises(rows))
