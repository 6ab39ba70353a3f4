from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trimtab_analyzer.compare import DIMENSIONS, scorecard
from trimtab_analyzer.compare.scorecard import ratio


def _scores(shelf: Any, version: str = "v1") -> dict[str, Any]:
    return {one.dimension: one for one in scorecard(shelf.con) if one.version == version}


@pytest.fixture
def ran(shelf: Any) -> Any:
    """Two runs of v1: one with an overflow and a failed tool that ended badly, one that changed a thing and looked."""
    shelf.con.execute("DELETE FROM runs")
    shelf.run("bad", harness="v1", status="error", ended_ns=1)
    shelf.call("bad", {"error_class": "context_overflow", "cost_musd": 0}, {"cost_musd": 300})
    shelf.call("bad", tools=[{"status": "error", "error_type": "KeyError"}], cost_musd=100)
    shelf.outcome("bad", False)
    shelf.run("good", harness="v1", ended_ns=1)
    shelf.call("good", tools=[{"mutates": True}], cost_musd=100)
    shelf.call("good", tools=[{"mutates": False}], cost_musd=100)
    shelf.call("good", finish_reason="length", cost_musd=400)
    return shelf


def test_each_dimension_is_its_formula(ran: Any) -> None:
    """By hand: 3 of 5 calls in the window, 2 of 3 tool calls, 0 of 1 recovered, 1 of 1 checked, 600 of 1,000 useful."""
    found = _scores(ran)
    expected = {"context": (60, 5), "tools": (200 / 3, 3), "error_recovery": (0, 1), "verification": (100, 1)}
    expected |= {"cost_discipline": (60, 0.001)}
    assert {name: pytest.approx(pair) for name, pair in expected.items()} == {
        n: (s.score, s.n) for n, s in found.items()
    }
    assert all(0 <= one.low <= one.score <= one.high <= 100 for one in found.values())
    assert [one.id for one in DIMENSIONS] == list(found)


def test_a_check_before_the_change_is_none(ran: Any) -> None:
    """What looked before the last change can't have seen it."""
    ran.call("good", tools=[{"mutates": True}])
    assert 0 == _scores(ran)["verification"].score


def test_what_is_not_recorded_has_no_score(shelf: Any) -> None:
    """A run without tools, errors or changes: three dimensions are unknown, not perfect."""
    shelf.con.execute("UPDATE runs SET ended_ns = 1")
    shelf.call()
    found = _scores(shelf, "(no version)")
    assert {"tools", "error_recovery", "verification"} == {name for name, one in found.items() if one.score is None}


def test_a_guessed_outcome_is_no_recovery(ran: Any) -> None:
    """Outcomes of the sources that count and no others say whether a run that met an error ended well."""
    ran.con.execute("UPDATE outcomes SET source = 'inferred'")
    ran.insert(
        "inferred_outcomes", {"run_id": "good", "success": True, "rule": "r", "confidence": 0.9, "inferred_ns": 0}
    )
    assert (None, 0) == (_scores(ran)["error_recovery"].score, _scores(ran)["error_recovery"].n)
    found = {one.dimension: one for one in scorecard(ran.con, ("explicit", "inferred")) if one.version == "v1"}
    assert (0, 1) == (found["error_recovery"].score, found["error_recovery"].n)


def test_the_whole_run_recovers_from_an_error_inside_it(ran: Any) -> None:
    """A helper's run met the error; the run around it, which made no call itself, has the outcome."""
    ran.run("boss", harness="v3", ended_ns=1)
    ran.run("helper", harness="v3", ended_ns=1, parent_run_id="boss")
    ran.call("helper", {"error_class": "overloaded", "cost_musd": 0}, {})
    ran.outcome("boss", True)
    assert (100, 1) == (_scores(ran, "v3")["error_recovery"].score, _scores(ran, "v3")["error_recovery"].n)


def test_versions_stand_side_by_side(ran: Any) -> None:
    """Each version has all five, of its own runs only."""
    ran.run("next", harness="v2", ended_ns=1)
    ran.call("next")
    assert (100, 1) == (_scores(ran, "v2")["context"].score, _scores(ran, "v2")["context"].n)
    assert 60 == _scores(ran)["context"].score


def test_a_ratio_of_clustered_counts_stays_in_its_range() -> None:
    """Fifty runs with up to nine calls: the share in its interval, and wider than as many independent calls."""
    rng = np.random.default_rng(0)
    n = rng.integers(1, 10, 50).astype(float)
    k = n * (rng.random(50) < 0.8)
    share, low, high = ratio(k, n, np.arange(50))
    assert 0 < low < share < high < 1
    assert high - low > 2 * 1.96 * np.sqrt(share * (1 - share) / n.sum())
    assert (1.0, 1.0) == ratio(n, n, np.arange(50))[::2]
    assert ratio(n, n, np.arange(50))[1] < 0.95
