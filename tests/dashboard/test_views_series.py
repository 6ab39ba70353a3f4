"""Charts over time: sums that stand on each other, intervals, and the way to the runs."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_dashboard.views import series

HOUR_NS = 3600 * 10**9
T0 = 1_795_000_000 * 10**9 // HOUR_NS * HOUR_NS


def row(n: int, **fields: Any) -> dict[str, Any]:
    """One hour."""
    plain = dict.fromkeys(
        ("runs", "succeeded_runs", "failed_runs", "unjudged_runs", "running", "calls", "attempts", "unpriced"), 0
    )
    money = {"cost_musd": 0, "wasted_musd": 0, "p50_ns": None, "p95_ns": None}
    return {"at_ns": T0 + n * HOUR_NS} | plain | money | fields


def drawn(*rows: dict[str, Any]) -> dict[str, series.Chart]:
    """The charts of these hours by title."""
    totals = {"first_ns": T0, "last_ns": T0 + HOUR_NS}
    return {c.title: c for c in series.charts({"series": list(rows), "bin_ns": HOUR_NS, "totals": totals})}


def test_bars_stand_on_each_other() -> None:
    """Useful and wasted cost add up to the known cost of their hour, and parts that are nothing are not drawn."""
    hours = row(0, cost_musd=3_000_000, wasted_musd=1_000_000, attempts=4, unpriced=1), row(1, attempts=2)
    chart = drawn(*hours)["Cost and waste"]
    assert [("useful", 0.0, 2.0), ("wasted", 2.0, 3.0)] == [
        (v["part"], v["y0"], v["y1"]) for v in chart.spec["data"]["values"]
    ]
    assert ["useful", "wasted"] == chart.spec["encoding"]["color"]["scale"]["domain"]
    assert chart.note.startswith("n = 6 requests, 1 of them of unknown cost, ")
    assert "by hour. A sum: it has no interval." in chart.note


def test_success_has_an_interval_and_leaves_out_what_nobody_judged() -> None:
    """Of 3 runs with an outcome 2 succeeded; an hour without any outcome has no point."""
    hours = row(0, runs=9, succeeded_runs=2, failed_runs=1, unjudged_runs=6), row(1, runs=1, unjudged_runs=1)
    chart = drawn(*hours)["Success"]
    (value,) = chart.spec["data"]["values"]
    assert value["low"] < value["y"] < value["high"]
    assert value["y"] == pytest.approx(200 / 3)
    assert "n = 3 runs with a known outcome" in chart.note


def test_times_and_runs() -> None:
    """Hours without a call have no time; each result of a run is a part."""
    charts = drawn(row(0, runs=2, failed_runs=1, running=1, calls=3, p50_ns=10**9, p95_ns=2 * 10**9), row(1))
    assert [1.0, 2.0] == [v["y"] for v in charts["Time of a call"].spec["data"]["values"]]
    assert ["failed", "still running"] == [v["part"] for v in charts["Runs"].spec["data"]["values"]]
    assert all(chart.note in chart.alt for chart in charts.values())


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "hour"), (6, "6 hours"), (24, "day"), (168, "7 days"), (0.25, "15 minutes")]
)
def test_a_stretch_is_called_as_people_do(hours: float, said: str) -> None:
    """In the largest unit that fits."""
    assert said == series.stretch(int(hours * HOUR_NS))


def test_a_click_leads_to_the_runs_of_its_stretch() -> None:
    """From its beginning to its end, in UTC, as the page of runs takes it."""
    assert {"from": "2026-11-18T11:00", "to": "2026-11-18T12:00"} == series.ends(T0 / 1e6, HOUR_NS)
