from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pytest

from trimtab_analyzer import cost, load
from trimtab_analyzer.case import Case
from trimtab_analyzer.findings import analyze
from trimtab_analyzer.report import build
from trimtab_tracer.errors import StoreError
from trimtab_tracer.wire.errors import RETRYABLE


def _outcome(shelf: Any, run_id: str) -> tuple[Any, ...]:
    return load.outcomes(shelf.con, [run_id]).select("success", "source", "failed").row(0)


def test_an_explicit_outcome_counts_before_later_ones_of_other_sources(shelf: Any) -> None:
    """Explicit before evaluator before inferred, whenever they were recorded."""
    shelf.outcome("r1", False, "inferred")
    assert _outcome(shelf, "r1") == (False, "inferred", True)
    shelf.outcome("r1", True, "evaluator")
    assert _outcome(shelf, "r1") == (True, "evaluator", False)
    shelf.outcome("r1", False, "explicit")
    shelf.outcome("r1", True, "inferred")
    assert _outcome(shelf, "r1") == (False, "explicit", True)


def test_the_latest_outcome_of_a_source_counts(shelf: Any) -> None:
    """Saying it again corrects what was said."""
    shelf.outcome("r1", False)
    shelf.outcome("r1", True)
    assert _outcome(shelf, "r1") == (True, "explicit", False)


def test_without_an_outcome_an_exception_makes_a_run_failed(shelf: Any) -> None:
    """Status error fails a run that nobody judged; ok and still running do not; a yes wins over the exception."""
    shelf.run("broke", status="error")
    shelf.run("runs", status=None)
    shelf.run("broke but right", status="error")
    shelf.outcome("broke but right", True)
    shelf.run("scored", status="error")
    shelf.outcome("scored", None, score=0.5)
    frame = load.outcomes(shelf.con)
    assert dict(frame.select("run_id", "failed").iter_rows()) == {
        "r1": False,
        "broke": True,
        "runs": False,
        "broke but right": False,
        "scored": True,
    }


def test_a_calls_own_decision_is_in_force_before_the_runs(shelf: Any) -> None:
    """A run-wide decision holds from when it was made, for the calls that have none of their own."""
    first = shelf.call()
    shelf.decide("r1", "max_tokens", 50, site_id="knob")
    second, third = shelf.call(), shelf.call(decisions={"max_tokens": 9})
    shelf.decide("r1", "max_tokens", 70, site_id="knob")
    fourth = shelf.call()
    found = load.decisions_in_force(shelf.con, ["max_tokens"]).sort("call_id")
    rows = found.select("call_id", "value", "site_id").rows()
    assert [(second, "50", "knob"), (third, "9", "site"), (fourth, "70", "knob")] == rows
    assert first not in {row[0] for row in rows}


def test_of_two_decisions_of_a_call_the_later_one_is_in_force(shelf: Any) -> None:
    """A call that decided a knob twice has one decision, as the others have that decided it once."""
    once, twice = (shelf.call(decisions={"max_tokens": value}) for value in (1, 2))
    shelf.now += 1
    shelf.decide("r1", "max_tokens", 3, twice)
    found = load.decisions_in_force(shelf.con, ["max_tokens"]).sort("call_id")
    assert [(once, "1"), (twice, "3")] == found.select("call_id", "value").rows()


def test_the_answer_is_the_last_attempt_that_did_not_fail(shelf: Any) -> None:
    """Of a 429 and the 200 after it the second one is the answer, and both belong to the one call."""
    shelf.call("r1", {"error_class": "rate_limit"}, {})
    frame = load.attempts(shelf.con).select("attempt_id", "is_failed", "is_answer", "is_last", "call_ended_ns")
    assert frame.rows() == [("c1.1", True, False, False, 2_000_000_000), ("c1.2", False, True, True, 2_000_000_000)]


def test_only_the_asked_runs_are_read(shelf: Any) -> None:
    """An empty list is no run, and no list is every run."""
    shelf.run("r2")
    shelf.call("r1"), shelf.call("r2")
    assert [load.attempts(shelf.con, ids).height for ids in (None, ["r2"], [])] == [2, 1, 0]


def test_repeatable_errors_are_those_that_no_retry_mends() -> None:
    """No error class is both worth a retry and futile to retry."""
    assert RETRYABLE.isdisjoint(load.REPEATABLE)


def test_a_store_without_our_tables_stops_the_analysis() -> None:
    """The error names the question, the missing table and the next step."""
    with pytest.raises(StoreError, match=r"can't answer 'sites'.*sites.*`trimtab up`"):
        load.sites(duckdb.connect())


def test_a_column_of_another_type_stops_the_analysis(shelf: Any) -> None:
    """A frame that is not of the stated shape is never handed on."""
    shelf.con.execute("ALTER TABLE sites ALTER line TYPE VARCHAR")
    with pytest.raises(StoreError, match=r"'sites' has the unexpected columns \[line String\]"):
        load.sites(shelf.con)


def test_a_snapshot_sees_no_write_of_another_connection(shelf: Any) -> None:
    """Between two questions of one snapshot nothing changes, and afterwards everything is seen."""
    with load.snapshot(shelf.con) as con, shelf.con.cursor() as other:
        assert load.attempts(con).is_empty()
        other.execute(
            "INSERT INTO runs (run_id, process_id, service, name, origin, attributes, started_ns)"
            " VALUES ('r9', 'p', 's', 'n', 'explicit', '{}', 0)"
        )
        assert load.outcomes(con).height == 1
    assert load.outcomes(shelf.con).height == 2


def test_a_snapshot_joins_the_transaction_of_its_caller(shelf: Any) -> None:
    """A transaction that is already open stays open, and its rollback still works."""
    shelf.con.begin()
    with load.snapshot(shelf.con):
        shelf.run("r2")
    assert load.outcomes(shelf.con).height == 2
    shelf.con.rollback()
    assert load.outcomes(shelf.con).height == 1


def test_a_snapshot_that_fails_leaves_no_transaction_behind(shelf: Any) -> None:
    """The error passes through and the connection is usable."""

    def write_and_fail() -> None:
        with load.snapshot(shelf.con):
            shelf.run("r2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert load.outcomes(shelf.con).height == 1


def test_only_the_asked_calls_are_looked_up(shelf: Any) -> None:
    """Decisions of named calls are those of all calls less the others; no names are no calls."""
    shelf.decide("r1", "max_tokens", 50)
    first, second = shelf.call(), shelf.call(decisions={"max_tokens": 9})
    everything = load.decisions_in_force(shelf.con, ["max_tokens"]).sort("call_id")
    assert everything["call_id"].to_list() == [first, second]
    for ids in ([first], [second, None, second], [], ["other"]):
        some = load.decisions_in_force(shelf.con, ["max_tokens"], call_ids=pl.Series(ids, dtype=pl.String))
        assert some.sort("call_id").rows() == [row for row in everything.rows() if row[0] in ids]


def test_the_case_has_the_ledger_of_all_decisions(shelf: Any, stories: dict[str, Callable[[Any], None]]) -> None:
    """The ledger with decisions read only for wasted calls is, row by row, that with every decision read."""
    for tell in stories.values():
        tell(shelf)
        shelf.call(decisions={"max_tokens": 9, "tools": "t", "prompt_version": "v2"})
    with load.snapshot(shelf.con):
        case = Case.load(shelf.con)
        marks = cost.Marks.load(shelf.con, case.attempts, case.loops)
        decisions = load.decisions_in_force(shelf.con, cost.KNOBS)
        whole = cost.assign(case.attempts, case.tools, case.broken, decisions, marks)
        assert whole.equals(case.ledger)
        assert whole.equals(cost.ledger(shelf.con))
    assert Case.load(shelf.con, []).ledger.is_empty()


def test_an_analysis_reads_only_the_decisions_of_its_rules(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No query asks for the decisions of all calls; where nothing went wrong none are read at all."""
    asked: list[tuple[list[str], list[str]]] = []
    real = load.decisions_in_force

    def spy(con: Any, knobs: Any, run_ids: Any = None, call_ids: Any = None) -> Any:
        asked.append((list(knobs), sorted(call_ids.unique())))
        return real(con, knobs, run_ids, call_ids)

    monkeypatch.setattr(load, "decisions_in_force", spy)
    fine = shelf.call(decisions={"max_tokens": 9})
    analyze(shelf.con)
    assert [ids for _, ids in asked] == [[]]
    cut = shelf.call(finish_reason="length", model="m2", decisions={"max_tokens": 9})
    asked.clear()
    analyze(shelf.con)
    assert [ids for _, ids in asked] == [[cut]] * 3, "for the ledger, the rule, and what came after"
    assert asked[1][0] == ["max_tokens"]
    assert fine not in {i for _, ids in asked for i in ids}


def test_a_report_loads_one_case(shelf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledger and findings of a report come from the same frames, loaded once or handed in."""
    shelf.call("r1", {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0})
    loads: list[int] = []
    real = load.attempts
    monkeypatch.setattr(load, "attempts", lambda *a: loads.append(1) or real(*a))
    whole = build(shelf.con)
    assert len(loads) == 1
    with load.snapshot(shelf.con):
        case = Case.load(shelf.con)
        again = build(shelf.con, case=case, found=analyze(shelf.con, case=case))
    assert len(loads) == 2
    assert (again.findings, again.ledger, again.headline) == (whole.findings, whole.ledger, whole.headline)
    assert whole.findings
