"""What the tuner did today, and what that saved."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_dashboard.views import today

NOW = 1_795_000_000 * 10**9


def arm(name: str, low: float | None, estimate: float | None, high: float | None) -> dict[str, Any]:
    """What is known of an arm's cost against the code's own."""
    return {"arm": name, "cost_change_usd": {"low": low, "estimate": estimate, "high": high}}


def campaign(name: str, *arms: dict[str, Any]) -> dict[str, Any]:
    """An experiment that is learned from."""
    return {"experiment_id": name, "verdict": {"arms": [arm("incumbent", None, None, None), *arms]}}


def test_saved_is_units_of_today_times_what_each_costs_less() -> None:
    """Bounds are added up; the code's own value, unknown changes and arms that were not drawn add nothing."""
    campaigns = [
        campaign("a", arm('"m"', -0.3, -0.2, -0.1), arm('"n"', None, None, None)),
        campaign("b", arm("1", 0.0, 0.1, 0.2)),
        campaign("c", arm("1", -9, -9, -9)),
        {"experiment_id": "d", "verdict": {}},
    ]
    drawn = [
        {"experiment_id": e, "arm": a, "units": n}
        for e, a, n in [("a", '"m"', 10), ("a", '"n"', 5), ("a", "incumbent", 50), ("b", "1", 2)]
    ]
    found = today.saved(campaigns, drawn)
    assert found is not None
    assert (1.8, 0.6, 3.0) == pytest.approx(found[:3])
    assert 12 == found.units
    assert "Saved today: $1.8 (95 % interval $0.6 to $3)" in today.saved_said(found, drawn)


def test_what_is_not_known_is_said() -> None:
    """Values were drawn and nothing is known yet, or none were drawn."""
    assert today.saved([], []) is None
    assert "" == today.saved_said(None, [])
    assert "not known yet" in today.saved_said(None, [{"units": 3}])


def test_only_what_trimtab_did_by_itself_today() -> None:
    """Decisions of people and of yesterday are not among them; the same twice is said once."""
    one = {"action": "budget_stop", "via": "sidecar", "at_ns": NOW}
    rows = [one, one, one | {"via": "cli"}, one | {"at_ns": NOW - today.DAY_NS, "action": "drift"}]
    assert ["stopped exploring: its budget was spent (2 times)"] == today.did(rows, NOW)
