from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from trimtab_analyzer.compare import read_store
from trimtab_analyzer.effects import compare_values, logged, policy_value, read_runs, read_units

POLICY = {"rules": [{"knob": "timeout_s", "arms": [{"value": 5, "weight": 0.3}, {"incumbent": True, "weight": 0.7}]}]}


@pytest.fixture
def empty(shelf: Any) -> Any:
    """A store without runs, in which policy 1 draws 5 with 30 % and the code says 2."""
    shelf.con.execute("DELETE FROM runs")
    row = {"version": 1, "issued_ns": 0, "document": json.dumps(POLICY), "reason": "", "actor": "", "via": "cli"}
    shelf.insert("policy_versions", row)
    return shelf


def _experiment(shelf: Any, n: int = 300, gain: float = 0.4, **facts: Any) -> None:
    """``n`` runs of one call in three tasks; 5 rather than 2 is drawn for 30 %, costs more and succeeds more often."""
    rng = np.random.default_rng(2)
    is_five = rng.random(n) < 0.3
    names = [f"r{number}" for number in range(n)]
    runs = pl.DataFrame({"run_id": names, "task": [f"t{i % 3}" for i in range(n)], "started_ns": range(n)})
    fixed = {"process_id": "p", "service": "s", "name": "s", "origin": "explicit", "attributes": "{}", "status": "ok"}
    _insert(shelf, "runs", runs, **fixed, ended_ns=n)
    call = {
        "call_id": "c",
        "process_id": "p",
        "site_id": "site",
        "api": "a",
        "host": "h",
        "model": "m",
        "stream": False,
    }
    call |= {"ended_ns": 10**9}
    ids = runs.select("run_id", call_id=pl.lit("c") + pl.col("run_id"), started_ns=pl.lit(0))
    states = {"attempts": 1, "wait_ns": 0, "status": "ok", "usage_source": "reported", "cost_source": "reported"}
    _insert(shelf, "calls", ids, **{k: v for k, v in (call | states).items() if k != "call_id"})
    costs = ids.with_columns(attempt_id=pl.col("call_id"), cost_musd=pl.Series(np.where(is_five, 5000, 2000)))
    sent = {"number": 1, "method": "POST", "path": "/", "end": "complete", "chunks": 0}
    sent |= {"request_bytes": 0, "response_bytes": 0}
    _insert(shelf, "attempts", costs, **{k: v for k, v in (call | sent).items() if k != "call_id"})
    drawn = ids.select("run_id", "call_id", decision_id="call_id", decided_ns=pl.Series(range(n))).with_columns(
        value=pl.Series(np.where(is_five, "5", "2")), propensity=pl.Series(np.where(is_five, 0.3, 0.7))
    )
    how = {"knob": "timeout_s", "source": "experiment", "site_id": "site", "site_role": "call", "policy_version": 1}
    _insert(shelf, "decisions", drawn, **how | facts)
    success = pl.Series(rng.random(n) < 0.4 + gain * is_five)
    judged = runs.select("run_id", outcome_id="run_id", success=success)
    _insert(shelf, "outcomes", judged, recorded_ns=0, source="explicit")


def _insert(shelf: Any, table: str, rows: pl.DataFrame, **fixed: Any) -> None:
    made = rows.with_columns(**{name: pl.lit(value) for name, value in fixed.items()})
    shelf.con.register("made", made.to_arrow())
    shelf.con.execute(f"INSERT INTO {table} BY NAME FROM made")
    shelf.con.unregister("made")


def test_drawn_values_are_compared_by_their_propensities(empty: Any) -> None:
    """Success, cost and latency of 5 against the code's 2; two fifths more success is declared, and so is the cost."""
    _experiment(empty)
    empty.decide("elsewhere", "timeout_s", 2)
    found = compare_values(read_units(empty.con))
    assert () == found.associations
    assert {"success": True, "cost": True, "latency": False} == {e.measure: e.is_declared for e in found.effects}
    success, cost, _ = found.effects
    assert ("agent.py:14", "timeout_s") == (success.place, success.knob)
    assert ("2", "5", 300) == (success.base, success.value, success.runs_base + success.runs_value)
    assert success.low < 0.4 < success.high
    assert (success.is_exact, success.is_adaptive, cost.is_exact) == (True, False, False)
    assert cost.dr.estimate == pytest.approx(0.003, rel=0.1)


def test_the_least_weight_of_the_experiment_bounds_the_bets(empty: Any) -> None:
    """It is read from the policy that was in force; without one it is the least that a policy may give."""
    _experiment(empty, 3)
    assert {0.3} == set(read_units(empty.con).rows["floor"])
    empty.con.execute("DELETE FROM policy_versions")
    assert {0.02} == set(read_units(empty.con).rows["floor"])


def test_values_that_nobody_drew_are_associated_within_strata(empty: Any) -> None:
    """The same runs with values from the code: a difference within task, model and day, with its q."""
    _experiment(empty, source="code", propensity=1.0, policy_version=None)
    found = compare_values(read_units(empty.con))
    assert () == found.effects
    success, cost, latency = found.associations
    assert ("timeout_s", "success", 3, ("model", "task", "day")) == (
        success.knob,
        success.measure,
        success.strata,
        success.by,
    )
    assert success.low < 0.4 < success.high
    assert success.is_clear
    assert success.q >= success.p
    assert (cost.difference, latency.difference) == (pytest.approx(0.003), 0)


def test_an_association_is_never_called_more(empty: Any) -> None:
    """Neither its JSON nor its text has the word that stands for what was randomised."""
    from io import StringIO

    from rich.console import Console

    from trimtab_analyzer.compare import as_table, compare, print_text, read_store

    _experiment(empty, source="code", propensity=1.0, policy_version=None)
    found = compare(as_table(read_store(empty.con), {}), empty.con)
    assert found.knobs is not None
    assert found.knobs.associations
    out = Console(file=StringIO(), width=200)
    print_text(found, out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    said = json.dumps([one.as_json() for one in found.knobs.associations]) + text
    assert "Associations (nobody drew the values)" in said
    assert "timeout_s at agent.py:14" in said
    assert "effect" not in said.lower()


def test_runs_without_outcome_and_guesses_are_counted_apart(empty: Any) -> None:
    """Inferred outcomes count only where they are asked for; runs without any are told."""
    for number, source in enumerate(["explicit", "evaluator", "inferred", None]):
        run_id = empty.run(f"r{number}", ended_ns=1, started_ns=number)
        if source:
            empty.outcome(run_id, True, source)
    empty.outcome("r0", False, "inferred")
    counted = read_units(empty.con).outcomes()
    assert {"explicit": 1, "evaluator": 1} == counted["by_source"]
    assert (4, 1, 1) == (counted["runs"], counted["without_outcome"], counted["uncounted"])
    every = read_units(empty.con, ("explicit", "evaluator", "inferred"))
    assert {"explicit": 1, "evaluator": 1, "inferred": 1} == every.outcomes()["by_source"]
    assert [True, True, True, None] == every.runs["success"].to_list()
    empty.con.execute("INSERT INTO inferred_outcomes VALUES ('r3', false, 'ended in an error', 0.9, NULL, 1)")
    assert [True, True, None, None] == read_units(empty.con).runs["success"].to_list()
    assert [True, True, True, False] == read_units(empty.con, ("explicit", "evaluator", "inferred")).runs[
        "success"
    ].to_list()
    with pytest.raises(ValueError, match="got guessed"):
        read_units(empty.con, ("guessed",))


def test_what_can_not_be_counted_is_told(empty: Any) -> None:
    """Runs with two values at a line are mixed; those without outcome or price are missing from that measure."""
    _experiment(empty, 60)
    empty.con.execute("DELETE FROM outcomes WHERE run_id IN ('r0', 'r1')")
    empty.con.execute("UPDATE attempts SET cost_musd = NULL WHERE run_id = 'r2'")
    empty.decide("r3", "timeout_s", 99, "cr3")
    found = compare_values(read_units(empty.con))
    missing = {one.measure: one.missing_base + one.missing_value for one in found.effects}
    assert {"success": 2, "cost": 1, "latency": 0} == missing
    assert 1 == found.mixed


def test_runs_inside_a_run_are_one_cluster(empty: Any) -> None:
    """But not those of a process whose calls are in runs of their own."""
    empty.run("outer", ended_ns=1)
    empty.run("inner", ended_ns=1, parent_run_id="outer")
    empty.run("process", ended_ns=1, origin="process", is_split=True)
    empty.run("rebuilt", ended_ns=1, origin="rebuilt", parent_run_id="process")
    roots = dict(read_units(empty.con).runs.select("run_id", "root").iter_rows())
    assert {"outer": "outer", "inner": "outer", "rebuilt": "rebuilt"} == roots


def test_a_run_around_runs_carries_what_they_spent(empty: Any) -> None:
    """Cost, calls and the first model of all that is inside, at any depth; what made no request cost nothing."""
    for name, up in (("outer", None), ("middle", "outer"), ("inner", "middle"), ("idle", None)):
        empty.run(name, ended_ns=9, **({"parent_run_id": up} if up else {}))
    empty.call("middle", cost_musd=300, model="first")
    empty.call("inner", cost_musd=200)
    empty.call("inner", cost_musd=None)
    found = {one["run_id"]: one for one in read_runs(empty.con).to_dicts()}
    assert [3, 3, 2, 0] == [found[name]["calls"] for name in ("outer", "middle", "inner", "idle")]
    assert ["first", "first", "m1", None] == [found[name]["model"] for name in ("outer", "middle", "inner", "idle")]
    assert [None, 0.0] == [found[name]["cost_usd"] for name in ("outer", "idle")]
    empty.con.execute("UPDATE attempts SET cost_musd = 0 WHERE cost_musd IS NULL")
    assert 0.0005 == pytest.approx(dict(read_runs(empty.con).select("run_id", "cost_usd").iter_rows())["outer"])


def test_runs_are_counted_once_per_nest(empty: Any) -> None:
    """The outermost run stands for its nest; a loop over tasks, without an outcome, brackets runs that have one."""
    for name, up in (("agent", None), ("helper", "agent"), ("loop", None), ("task 1", "loop"), ("task 2", "loop")):
        empty.run(name, ended_ns=9, **({"parent_run_id": up} if up else {}))
    empty.outcome("agent", True)
    empty.outcome("task 1", False)
    whole = {"agent": "agent", "helper": "agent", "loop": None, "task 1": "task 1", "task 2": "task 2"}
    assert whole == dict(read_runs(empty.con).select("run_id", "whole").iter_rows())
    assert ["agent", "task 1", "task 2"] == read_store(empty.con)["run_id"].to_list()
    told = read_units(empty.con).outcomes()
    assert (3, 1, 2) == (told["runs"], told["without_outcome"], told["by_source"]["explicit"])


def test_a_value_of_a_helper_is_held_against_the_outcome_of_the_whole(empty: Any) -> None:
    """The run inside has no outcome and no task; those of the run around it count, and what it spent is its own."""
    empty.run("outer", ended_ns=9, task="t")
    empty.outcome("outer", False)
    for name, value in (("one", 1), ("two", 2)):
        empty.run(name, ended_ns=9, parent_run_id="outer")
        empty.call(name, decisions={"timeout_s": value}, cost_musd=100)
    rows = read_units(empty.con).rows.select("run_id", "root", "success", "task", "cost_usd").rows()
    assert [("one", "outer", False, "t", 0.0001), ("two", "outer", False, "t", 0.0001)] == rows


def test_what_a_process_decided_holds_for_the_runs_of_its_calls(empty: Any) -> None:
    """A decision for the whole process is one of each rebuilt run; an unchanged knob is told where asked for."""
    empty.run("process", ended_ns=1, origin="process", is_split=True)
    for number in range(2):
        empty.run(f"b{number}", ended_ns=1, origin="rebuilt", parent_run_id="process")
    empty.decide("process", "parallelism", 4)
    rows = read_units(empty.con, knobs=["parallelism"]).rows
    assert {("b0", "4"), ("b1", "4")} == set(rows.select("run_id", "value").iter_rows())
    assert not len(read_units(empty.con).rows)


def test_propensities_that_changed_are_told(empty: Any) -> None:
    """An experiment whose weights moved is adaptive: its plain intervals are no promise."""
    _experiment(empty, 60)
    empty.con.execute("UPDATE decisions SET propensity = 0.35 WHERE value::VARCHAR = '5' AND run_id < 'r3'")
    assert {True} == {one.is_adaptive for one in compare_values(read_units(empty.con)).effects}


def test_a_value_that_came_later_is_compared_with_its_own_time(empty: Any) -> None:
    """Runs drawn before 9 was an arm could not have got it; they are not in its comparison, but in that of 5."""
    _experiment(empty, 200)
    rules = json.loads(json.dumps(POLICY).replace("0.7}", '0.4}, {"value": 9, "weight": 0.3}'))
    row = {"version": 2, "issued_ns": 0, "document": json.dumps(rules), "reason": "", "actor": "", "via": "cli"}
    empty.insert("policy_versions", row)
    empty.con.execute("""
        UPDATE decisions SET policy_version = 2, propensity = CASE WHEN value::VARCHAR = '5' THEN 0.3 ELSE 0.4 END
        WHERE decided_ns >= 100
    """)
    empty.con.execute("""
        UPDATE decisions SET value = '9', propensity = 0.3
        WHERE decided_ns >= 100 AND value::VARCHAR = '2' AND decided_ns % 2 = 0
    """)
    runs = {one.value: one.runs_base for one in compare_values(read_units(empty.con)).effects if one.measure == "cost"}
    twos = empty.con.execute("SELECT count(*), count_if(decided_ns >= 100) FROM decisions WHERE value::VARCHAR = '2'")
    assert (runs["5"], runs["9"]) == twos.fetchall()[0]


def test_the_log_gives_the_value_of_another_policy(empty: Any) -> None:
    """Always 5, from runs of which 30 % drew it: its success and its cost, per task or over all."""
    _experiment(empty, 600)
    units = read_units(empty.con)
    success = logged(units, "site", "timeout_s", "success", ["task"], ["5"])
    assert ["t0", "t1", "t2"] == success.contexts
    found = policy_value(*success[:1], "5", success.values, success.contexts, is_share=success.is_share)
    assert found.low < 0.8 < found.high
    cost = logged(units, "site", "timeout_s", "cost")
    found = policy_value(cost.sample, {"5": 0.5, "2": 0.5}, cost.values, cost.contexts, is_share=cost.is_share)
    assert found.snips.estimate == pytest.approx(0.0035, rel=0.03)
