from __future__ import annotations

import json
from typing import Any

import duckdb
import numpy as np
import pytest

from trimtab_analyzer.before_after import ASSOCIATION, before_after
from trimtab_analyzer.statistics import newcombe, wilson
from trimtab_tracer.errors import StoreError

BUSY = {"error_class": "overloaded", "http_status": 529, "cost_musd": 0}
FALLBACK = {"on": ["overloaded"], "models": ["m2"]}


def _run(shelf: Any, *attempts: Any, version: int | None = None, failed: bool = False, **facts: Any) -> str:
    """An ended run of one call, steered by a policy of ``version`` if any."""
    number = shelf.con.execute("SELECT count(*) FROM runs").fetchall()[0][0]
    run_id = str(shelf.run(f"run{number}", **{"status": "error" if failed else "ok"} | facts))
    call_id = shelf.call(run_id, *attempts, decisions={"max_retries": 0})
    if version is not None:
        shelf.decide(run_id, "fallback", FALLBACK, call_id, source="human", policy_version=version)
    return run_id


@pytest.fixture
def changed(shelf: Any) -> Any:
    """Four runs before a fallback, three of which failed on a 529, and five after it, of which one failed."""
    shelf.con.execute("DELETE FROM runs")
    _run(shelf)
    for _ in range(3):
        _run(shelf, BUSY, failed=True)
    for _ in range(4):
        _run(shelf, BUSY, {"model": "m2", "cost_musd": 200, "duration_s": 3}, version=3)
    _run(shelf, BUSY, BUSY, version=3, failed=True)
    return shelf


def test_both_sides_are_counted_by_run(changed: Any) -> None:
    """One of four before, four of five after: shares with Wilson's interval, cost, requests, losses and latency."""
    found = before_after(changed.con, "fallback", "site")
    expected = {"runs": 4, "failed_runs": 3, "unjudged_runs": 1, "success": 0.25, "cost_per_run_musd": 25.0}
    expected |= {"calls": 4, "lost_calls": 3, "attempts_per_call": 1.0, "p50_latency_s": 1.0, "unpriced_requests": 0}
    assert expected == {name: getattr(found.before, name) for name in expected}
    expected |= {"runs": 5, "failed_runs": 1, "unjudged_runs": 4, "success": 0.8, "cost_per_run_musd": 160.0}
    expected |= {"calls": 5, "lost_calls": 1, "attempts_per_call": 2.0, "p50_latency_s": 4.0}
    assert expected == {name: getattr(found.after, name) for name in expected}
    assert (0.0456, 0.6994) == (round(found.before.low or 0, 4), round(found.before.high or 0, 4))
    assert 0 == found.left_out_runs


def test_the_difference_has_newcombes_interval_and_is_an_association(changed: Any) -> None:
    """0.55 more, with an interval that such few runs give; nothing claims that the change did it."""
    found = before_after(changed.con, "fallback", "site")
    assert found.success_difference is not None
    assert [0.55, -0.07, 0.81] == [round(x, 2) for x in found.success_difference]
    said = json.loads(json.dumps(found.as_json()))
    assert {"estimate", "low", "high"} == said["success_difference"].keys()
    assert ASSOCIATION == said["kind"]
    assert (said["before"]["runs"], said["after"]["runs"]) == (4, 5)


def test_an_outcome_that_was_judged_counts_before_how_the_run_ended(changed: Any) -> None:
    """A run that ended well and was judged a failure failed; one that is judged a success is not unjudged."""
    changed.outcome("run0", False)
    changed.outcome("run4", True)
    found = before_after(changed.con, "fallback", "site")
    assert (4, 0) == (found.before.failed_runs, found.before.unjudged_runs)
    assert (1, 3) == (found.after.failed_runs, found.after.unjudged_runs)


def test_an_older_version_of_the_policy_is_before(changed: Any) -> None:
    """Asked for version 4, runs of version 3 are before it."""
    _run(changed, version=4)
    found = before_after(changed.con, "fallback", "site", policy_version=4)
    assert (9, 1) == (found.before.runs, found.after.runs)


def test_what_is_in_between_is_left_out(changed: Any) -> None:
    """A run that saw the change come, one that began later without it, and one that has not ended."""
    mixed = _run(changed)
    changed.call(mixed)
    changed.decide(mixed, "fallback", FALLBACK, f"c{changed.calls}", source="human", policy_version=3)
    _run(changed)
    _run(changed, version=3, status=None)
    found = before_after(changed.con, "fallback", "site")
    assert (4, 5, 3) == (found.before.runs, found.after.runs, found.left_out_runs)


def test_only_calls_of_the_place_count(changed: Any) -> None:
    """Calls of another line change neither side; by the line of the client that decided, both lines' calls do."""
    changed.site("elsewhere", 40)
    changed.call(changed.run("other", status="error"), BUSY, site_id="elsewhere")
    changed.decide("other", "max_retries", 0, f"c{changed.calls}", site_id="client")
    assert 4 == before_after(changed.con, "fallback", "site").before.runs
    found = before_after(changed.con, "max_retries", "client", since_ns=changed.now + 1)
    assert (1, 0, None) == (found.before.runs, found.after.runs, found.success_difference)


def test_without_a_place_every_call_counts(changed: Any) -> None:
    """A policy's version may steer many lines."""
    changed.site("elsewhere", 40)
    changed.call(changed.run("other", status="ok"), site_id="elsewhere")
    assert 1 == before_after(changed.con, "fallback").left_out_runs, "it began after the change, without it"


def test_a_point_in_time_divides_too(changed: Any) -> None:
    """Whatever changed then: runs that ended their calls before it, and those that began them after."""
    third = changed.con.execute("SELECT max(started_ns) FROM calls WHERE run_id = 'run3'").fetchall()[0][0]
    found = before_after(changed.con, "model", "site", since_ns=third)
    assert (3, 6) == (found.before.runs, found.after.runs)
    assert (third, None) == (found.since_ns, found.policy_version)


def test_a_decision_for_the_run_holds_for_its_calls(shelf: Any) -> None:
    """A declared knob is decided once per run, on its own line."""
    shelf.con.execute("DELETE FROM runs")
    for source in ("default", "human"):
        run_id = shelf.run(f"of {source}", status="ok")
        facts = {"policy_version": 1} if source == "human" else {}
        shelf.decide(run_id, "depth", 3, site_id="knob", site_role="knob", source=source, **facts)
        shelf.call(run_id)
    found = before_after(shelf.con, "depth", "knob")
    assert (1, 1, 1, 1) == (found.before.runs, found.before.calls, found.after.runs, found.after.calls)


def test_costs_that_are_not_known_are_said(shelf: Any) -> None:
    """A side without any known cost has none; one with some counts the requests that it does not know."""
    shelf.con.execute("DELETE FROM runs")
    _run(shelf, {"cost_musd": None})
    _run(shelf, {"cost_musd": None}, {"cost_musd": 30}, version=1)
    found = before_after(shelf.con, "fallback", "site")
    assert (None, 1) == (found.before.cost_per_run_musd, found.before.unpriced_requests)
    assert (30.0, 1) == (found.after.cost_per_run_musd, found.after.unpriced_requests)


def test_an_empty_store_has_two_empty_sides(shelf: Any) -> None:
    """No run, no share, no difference, no error."""
    found = before_after(shelf.con, "fallback", "site")
    assert (0, None, 0, None) == (found.before.runs, found.before.success, found.after.runs, found.success_difference)


def test_two_changes_at_once_are_refused(shelf: Any) -> None:
    """A version and a time are two questions."""
    with pytest.raises(ValueError, match="not both"):
        before_after(shelf.con, "fallback", policy_version=1, since_ns=1)


def test_a_store_without_tables_is_said() -> None:
    """Anything but a store stops with a sentence."""
    with duckdb.connect() as con, pytest.raises(StoreError, match="can't answer 'change_calls'"):
        before_after(con, "fallback")


def test_newcombes_published_example() -> None:
    """56 of 70 against 48 of 80, the first example of the paper's table II: 0.0524 to 0.3339 for the difference 0.2."""
    found = newcombe(48, 80, 56, 70)
    assert [0.2, 0.0524, 0.3339] == [round(x, 4) for x in found]


@pytest.mark.parametrize(("n1", "n2", "p1", "p2"), [(20, 20, 0.5, 0.8), (8, 30, 0.25, 0.9), (40, 15, 0.9, 0.95)])
def test_the_intervals_cover_what_they_promise(n1: int, n2: int, p1: float, p2: float) -> None:
    """Of 4,000 draws with a fixed seed at least 93 % of the 95 % intervals hold the true share and difference."""
    rng = np.random.default_rng(20261120)
    draws = list(zip(rng.binomial(n1, p1, 4000).tolist(), rng.binomial(n2, p2, 4000).tolist(), strict=True))
    held = sum((d := newcombe(k1, n1, k2, n2)).low <= p2 - p1 <= d.high for k1, k2 in draws)
    assert held / len(draws) >= 0.93
    alone = sum((s := wilson(k2, n2)).low <= p2 <= s.high for _, k2 in draws)
    assert alone / len(draws) >= 0.93


@pytest.mark.parametrize(("n1", "n2"), [(0, 5), (5, 0)])
def test_a_difference_needs_two_groups(n1: int, n2: int) -> None:
    """One side without runs has no difference."""
    with pytest.raises(ValueError, match=f"n1 = {n1}, n2 = {n2}"):
        newcombe(0, n1, 0, n2)
