from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_analyzer.cost import CLASSES, by_class, ledger

BROKE = {"error_class": "server", "cost_musd": 7}
BAD = {"error_class": "bad_request", "body_digest": "b", "cost_musd": 3}


def _parts(shelf: Any, *columns: str) -> list[tuple[Any, ...]]:
    return ledger(shelf.con).select(columns).rows()


def test_every_class_has_a_story(shelf: Any, stories: Any) -> None:
    """Each class of waste is given to the attempts that the rule of that class tells of."""
    stories["parser_rejection"](shelf)
    for rule in (
        "provider_error",
        "futile_retry",
        "truncation",
        "malformed_tool_args",
        "unknown_tool",
        "repeated_call",
        "retry_storm",
    ):
        stories[rule](shelf)
    shelf.run("r2")
    for n in range(5):
        shelf.call(("r1", "r2")[n % 2], tools=[{"name": "broken", "status": "error", "args_digest": f"{n}"}])
    shelf.call(cost_musd=None)
    shelf.run("talk")
    for n, prompt in enumerate(["p", "p", "p", "q"]):
        look = {"result_digest": "same", "args_digest": f"{n}", "status": "error"}
        facts = {"model": "gpt-4o", "message_count": n, "prompt_digest": prompt, "input_tokens": 12_000 * (n + 1)}
        facts |= {"cache_read_tokens": 1024, "cost_musd": 90_000}
        call_id = shelf.call("talk", facts, tools=[look | {"name": "look"}] * 2 if n < 3 else [])
        result = {"tool_id": "big", "attempt_id": f"{call_id}.1", "seen_ns": n, "status": "ok"}
        shelf.insert("tool_results", result | {"result_chars": 40_000})
    shelf.outcome("talk", True, recorded_ns=shelf.now)
    shelf.now += 1
    shelf.call("talk")
    assert {c.id for c in CLASSES} == set(ledger(shelf.con)["cls"])


def test_a_call_is_split_evenly_among_its_tools_to_the_last_micro_dollar(shelf: Any) -> None:
    """Of 101 for three tools the first two get 34: largest remainder, earlier ones first; tokens likewise."""
    bad, gone = {"args_valid": False}, {"name": "gone", "offered": False}
    shelf.call(tools=[{}, bad, gone], cost_musd=101, input_tokens=10, output_tokens=2)
    assert _parts(shelf, "tool_id", "cls", "cost_musd", "input_tokens", "output_tokens") == [
        ("c1:0", "useful", 34, 4, 1),
        ("c1:1", "malformed_tool_args", 34, 3, 1),
        ("c1:2", "unknown_tool", 33, 3, 0),
    ]


def test_a_retried_call_is_waste_then_use(shelf: Any) -> None:
    """The failed attempt and the answer of one call are different parts; a second futile one is a class of its own."""
    shelf.call("r1", BROKE, {})
    shelf.call("r1", BAD, BAD)
    assert _parts(shelf, "attempt_id", "cls", "cost_musd")[:2] == [
        ("c1.1", "failed_attempt", 7),
        ("c1.2", "useful", 100),
    ]
    assert _parts(shelf, "attempt_id", "cls", "cost_musd")[2:] == [
        ("c2.1", "failed_attempt", 3),
        ("c2.2", "futile_retry", 3),
    ]


def test_the_earlier_class_wins(shelf: Any) -> None:
    """An answer that was turned down, cut and asks for an unknown tool with broken arguments is cut, whole."""
    tool = {"args_valid": False, "offered": False}
    shelf.call(rejected_by="c2", finish_reason="length", tools=[tool, tool])
    shelf.call(rejected_by="c3", tools=[tool])
    shelf.call(tools=[tool])
    assert _parts(shelf, "tool_id", "cls") == [
        (None, "truncated_output"),
        (None, "rejected_output"),
        ("c3:0", "malformed_tool_args"),
    ]


def test_waste_names_the_decision_in_force_and_its_line(shelf: Any) -> None:
    """Knob, value and line come from the decision; without one the value is null and the line that of the call."""
    shelf.call("r1", BROKE)
    shelf.decide("r1", "max_retries", 0, "c1", site_id="constructor")
    shelf.call("r1", BROKE)
    shelf.call()
    expected = [("max_retries", "0", "constructor"), ("max_retries", "null", "site"), (None, None, "site")]
    assert expected == _parts(shelf, "knob", "value", "site_id")


def test_an_attempt_that_the_own_time_limit_ended_names_the_limit(shelf: Any) -> None:
    """A timeout at the configured limit belongs to timeout_s, one far below it to the retries."""
    hangs = {"error_class": "timeout", "timeout_s": 2.0, "duration_s": 2}
    shelf.call("r1", hangs, decisions={"timeout_s": 2.0, "max_retries": 1})
    shelf.call("r1", hangs | {"timeout_s": 600.0}, decisions={"timeout_s": 600.0, "max_retries": 1})
    assert _parts(shelf, "knob", "value") == [("timeout_s", "2.0"), ("max_retries", "1")]


def test_a_broken_tool_names_the_line_that_defines_it(shelf: Any) -> None:
    """Where the tool was seen running, its definition is the place, not the call that offered it."""
    shelf.run("r2")
    for n in range(5):
        tool = {"status": "error", "site_id": "tool", "origin": "observed", "args_digest": f"{n}"}
        shelf.call(("r1", "r2")[n % 2], tools=[tool])
    assert {("broken_tool", "tools", "tool")} == set(_parts(shelf, "cls", "knob", "site_id"))


def test_unknown_cost_counts_nothing_and_is_counted(shelf: Any) -> None:
    """Useful work of unknown cost is unknown; waste of unknown cost stays waste and says that it is not known."""
    shelf.call(cost_musd=None, input_tokens=None, output_tokens=None)
    shelf.call(cost_musd=None, finish_reason="length")
    shelf.call("r1", BROKE | {"cost_musd": 0, "cost_source": "unbilled"})
    assert _parts(shelf, "cls", "cost_musd", "cost_known") == [
        ("unknown", 0, False),
        ("truncated_output", 0, False),
        ("failed_attempt", 0, True),
    ]
    assert by_class(ledger(shelf.con)).select("cls", "unknown").rows() == [
        ("failed_attempt", 0),
        ("truncated_output", 1),
        ("unknown", 1),
    ]


def test_a_tool_is_broken_over_all_runs_also_in_the_ledger_of_one(shelf: Any) -> None:
    """Looking at one run does not make a tool look sound that fails everywhere."""
    for number in range(5):
        shelf.run(f"x{number}")
        shelf.call(f"x{number}", tools=[{"status": "error", "args_digest": f"{number}"}])
    assert ledger(shelf.con, ["x3"])["cls"].to_list() == ["broken_tool"]


tool = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["search", "buy"]),
        "args_digest": st.sampled_from("ab"),
        "result_digest": st.sampled_from(["x", "y", None]),
        "args_valid": st.booleans(),
        "offered": st.sampled_from([True, True, False, None]),
        "status": st.sampled_from(["ok", "error", "error", "unknown"]),
        "origin": st.sampled_from(["inferred", "observed", "requested"]),
        "mutates": st.sampled_from([None, True, False]),
    }
)
attempt = st.fixed_dictionaries(
    {
        "cost_musd": st.one_of(st.none(), st.integers(0, 10**9)),
        "input_tokens": st.one_of(st.none(), st.integers(0, 10**6)),
        "output_tokens": st.one_of(st.none(), st.integers(0, 10**6)),
        "error_class": st.sampled_from([None, None, "rate_limit", "bad_request", "timeout", "cancelled"]),
        "finish_reason": st.sampled_from(["stop", "length", None]),
        "body_digest": st.sampled_from(["b1", "b2", None]),
        "message_count": st.one_of(st.none(), st.integers(1, 9)),
        "prompt_digest": st.sampled_from("pq"),
        "cache_read_tokens": st.one_of(st.none(), st.integers(0, 10**6)),
        "cache_write_tokens": st.one_of(st.none(), st.none(), st.integers(0, 10**6)),
        "model": st.sampled_from(["gpt-4o", "nobody-knows"]),
    }
)
call = st.tuples(
    st.sampled_from(["r1", "r2"]),
    st.lists(attempt, min_size=1, max_size=3),
    st.lists(tool, max_size=4),
    st.sampled_from([None, "c1"]),
    st.one_of(st.none(), st.integers(19_000, 10**6)),
    st.sampled_from([None, None, None, True, False]),
)


@given(st.lists(call, max_size=7))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_the_parts_of_a_run_sum_to_its_total(shelf: Any, calls: list[Any]) -> None:
    """Whatever happened, each run's money and tokens are those of its attempts, and every attempt is in the ledger."""
    for table in ("attempts", "calls", "tool_calls", "tool_results", "outcomes"):
        shelf.con.execute(f"DELETE FROM {table}")
    for run_id, attempts, tools, rejected_by, result_chars, verdict in calls:
        call_id = shelf.call(run_id, *attempts, tools=tools, rejected_by=rejected_by)
        if result_chars is not None:
            row = {"tool_id": f"of {call_id}", "attempt_id": f"{call_id}.1", "seen_ns": shelf.now, "status": "ok"}
            shelf.insert("tool_results", row | {"result_chars": result_chars})
        if verdict is not None:
            shelf.outcome(run_id, verdict, recorded_ns=shelf.now)
    amounts = ("cost_musd", "input_tokens", "output_tokens")
    sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT AS {name}" for name in amounts)
    totals = shelf.con.sql(f"SELECT run_id, count(*) AS attempts, {sums} FROM attempts GROUP BY run_id ORDER BY 1").pl()
    found = ledger(shelf.con)
    per_run = found.group_by("run_id").agg(pl.col("attempt_id").n_unique().alias("attempts"), pl.col(amounts).sum())
    assert totals.rows() == per_run.sort("run_id").rows()
    assert set(found["cls"]) <= {c.id for c in CLASSES}
    assert found.select("attempt_id", "tool_id", "cls").is_unique().all()
    assert all((part >= 0).all() for part in found.select(amounts).iter_columns())


def test_real_rejected_calls_cost_what_was_measured(shelf: Any, real_data: Path) -> None:
    """500 runs of mini-SWE-agent: 684 answers turned down for USD 15.80 of 224.49, one of them, for 0.81, cut."""
    shelf.load_mini_swe(real_data / "mini_swe_agent")
    classes = {row["cls"]: row for row in by_class(ledger(shelf.con)).iter_rows(named=True)}
    rejected, cut = classes["rejected_output"], classes["truncated_output"]
    assert (rejected["calls"], rejected["attempts"], rejected["unknown"]) == (683, 683, 23)
    assert (cut["calls"], cut["cost_musd"]) == (1, 808_718)
    assert pytest.approx(15.80, abs=0.005) == (rejected["cost_musd"] + cut["cost_musd"]) / 1e6
    assert pytest.approx(224.49, abs=0.005) == sum(row["cost_musd"] for row in classes.values()) / 1e6
    assert sum(row["calls"] for row in classes.values()) == 20_163
    assert sum(row["unknown"] for row in classes.values()) == 579
