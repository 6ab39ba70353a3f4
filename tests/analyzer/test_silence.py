"""Findings about code that leaves no value: over once enough later runs went without them, and open again on a hit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.findings import analyze, persist
from trimtab_analyzer.silence import ALPHA, MIN_LATER_RUNS, runs_needed
from trimtab_analyzer.statistics import wilson


def _repeats(shelf: Any, run_id: str) -> None:
    shelf.call(run_id, tools=[{"result_digest": "same"}])
    shelf.call(run_id, tools=[{"result_digest": "same"}])


def _sends_again(shelf: Any, run_id: str) -> None:
    bad = {"error_class": "bad_request", "http_status": 400, "body_digest": f"b {run_id}", "cost_musd": 0}
    shelf.call(run_id, bad)
    shelf.call(run_id, bad)


def _breaks(shelf: Any, run_id: str) -> None:
    shelf.call(run_id)
    error = "status = 'error', error_type = 'KeyError', error_site_id = 'site'"
    shelf.con.execute(f"UPDATE runs SET {error}, ended_ns = ? WHERE run_id = ?", [shelf.now, run_id])


RULES = {"repeated_call": _repeats, "futile_retry": _sends_again, "run_error": _breaks}


def _runs(shelf: Any, n: int, tell: Any = None, name: str = "later", **facts: Any) -> None:
    for i in range(n):
        shelf.now += 100_000_000_000
        run_id = shelf.run(f"{name}{i}", **facts)
        (tell or (lambda s, r: s.call(r)))(shelf, run_id)


def _status(shelf: Any, rule: str) -> str:
    persist(shelf.con, analyze(shelf.con))
    found = shelf.con.execute("SELECT status FROM findings WHERE rule = ?", [rule]).fetchall()
    assert 1 == len(found)
    return str(found[0][0])


@pytest.mark.parametrize("rule", RULES)
def test_resolves_by_itself_and_opens_again(shelf: Any, rule: str) -> None:
    """Met by both of the first runs, it is over after ten that went without it, and open again with the next hit."""
    RULES[rule](shelf, "r1")
    _runs(shelf, 1, RULES[rule], "second")
    needed = runs_needed(2, 2)
    _runs(shelf, needed - 1)
    assert "open" == _status(shelf, rule)
    _runs(shelf, 1, name="last")
    assert "resolved" == _status(shelf, rule)
    _runs(shelf, 1, RULES[rule], "again")
    assert "open" == _status(shelf, rule)


@pytest.mark.parametrize("why", ["rare", "elsewhere", "running", "imported", "a setting"])
def test_stays_open(shelf: Any, why: str) -> None:
    """What was rare before, was not passed again, still runs, was imported, or has a setting is not over by silence."""
    rule = "truncation" if why == "a setting" else "repeated_call"
    if why == "imported":
        shelf.con.execute("UPDATE sites SET line = 0")
    if why == "rare":
        _runs(shelf, 20, name="before")
        _runs(shelf, 1, _repeats, "hit")
    elif why == "a setting":
        shelf.call("r1", finish_reason="length", decisions={"max_tokens": 9})
    else:
        _repeats(shelf, "r1")
    facts = {"status": None, "end_rule": None} if why == "running" else {}
    elsewhere = (lambda s, r: s.call(r, site_id="other")) if why == "elsewhere" else None
    _runs(shelf, runs_needed(1, 1), elsewhere, **facts)
    assert "open" == _status(shelf, rule)


@given(n=st.integers(1, 500), share=st.floats(0.001, 1))
def test_bound(n: int, share: float) -> None:
    """So many runs would all be missed by chance with the stated probability at most, and one fewer would not do."""
    k = max(1, round(n * share))
    m, p = runs_needed(k, n), wilson(k, n).low
    assert (1 - p) ** m <= ALPHA * 1.000001
    assert m == MIN_LATER_RUNS or (1 - p) ** (m - 1) > ALPHA * 0.999999
