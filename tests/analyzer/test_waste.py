"""The waste pins added up: whatever they are grouped by, they are the whole; and what can't be said is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import polars as pl
import pytest

from trimtab_analyzer.cost import CLASSES, ledger
from trimtab_analyzer.findings import analyze
from trimtab_analyzer.seconds import STATES
from trimtab_analyzer.waste import BY, By, waste

SECOND = 10**9
DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def told(new_shelf: Any, stories: dict[str, Any]) -> Iterator[Any]:
    """Every story at once, and a run a day later of another agent, at another line; all end. Only to be read."""
    shelf = new_shelf()
    for tell in stories.values():
        tell(shelf)
    shelf.now = DAY
    shelf.run("later", service="desk", name="desk")
    call_id = shelf.call("later", finish_reason="length", site_id="elsewhere")
    shelf.decide("later", "max_tokens", 9, call_id, site_id="elsewhere")
    shelf.con.execute("UPDATE runs SET ended_ns = started_ns + 500000000000")
    yield shelf
    shelf.con.close()


def _all(told: Any, query: str) -> set[Any]:
    return {value for (value,) in told.con.execute(query).fetchall()}


def test_every_grouping_is_the_whole(told: Any) -> None:
    """Money, tokens and time add up to the same by run, line, knob, agent and day."""
    spent = told.con.execute("SELECT sum(cost_musd), sum(input_tokens), sum(output_tokens) FROM attempts").fetchall()
    for by in BY:
        total = waste(told.con, by).as_json()["total"]
        assert spent == [(total["cost_musd"], total["input_tokens"], total["output_tokens"])], by
        assert total["ns"] == 500 * SECOND * len(_all(told, "SELECT run_id FROM runs")), by


@pytest.mark.parametrize("by", BY)
def test_a_run_inside_a_run_takes_no_time_of_its_own(shelf: Any, by: By) -> None:
    """An hour around an hour is one hour in all, also where each run has its row."""
    shelf.run("around", ended_ns=3600 * SECOND)
    shelf.run("inside", parent_run_id="around", ended_ns=3600 * SECOND)
    shelf.con.execute("DELETE FROM runs WHERE run_id = 'r1'")
    found = waste(shelf.con, by)
    assert 3600 * SECOND == found.as_json()["total"]["ns"]
    assert (2 if by == "run" else 1) * 3600 * SECOND == found.time["ns"].sum()


def test_keys_are_what_was_asked_for(told: Any) -> None:
    """Every run, day, agent and line that made calls; a part without a knob has no key by knob."""
    keys = {by: set(waste(told.con, by).money["key"]) for by in BY}
    assert {None} == keys["all"]
    assert _all(told, "SELECT run_id FROM attempts") == keys["run"] > {"r1", "other", "later"}
    assert {"1970-01-01", "1970-01-02"} == keys["day"]
    assert _all(told, "SELECT service FROM runs SEMI JOIN attempts USING (run_id)") == keys["agent"] >= {"shop", "desk"}
    assert {"site", "elsewhere"} == keys["site"]
    assert keys["knob"] > {None, "max_tokens", "retry_on", "tools"}


def test_each_row_names_its_pin_and_its_line(told: Any) -> None:
    """Class, knob, value as JSON says it, and the quoted line where the store has it."""
    found = waste(told.con).as_json()
    (row,) = [r for r in found["money"] if r["cls"] == "truncated_output" and r["site_id"] == "site"]
    assert ("max_tokens", 120, "agent.py", 14) == (row["knob"], row["value"], row["site"]["file"], row["site"]["line"])
    assert {c["cls"] for c in found["classes"]} == {c.id for c in CLASSES} >= {r["cls"] for r in found["money"]}
    assert {r["state"] for r in found["time"]} <= set(STATES)
    assert json.loads(json.dumps(found)) == found
    assert get_args(By) == BY


def test_the_waste_of_one_run_is_its_own(told: Any) -> None:
    """A run asked for by itself has the money of its calls and the time of its own window."""
    found = waste(told.con, run_ids=["later"])
    assert [("truncated_output", 100)] == found.money.select("cls", "cost_musd").rows()
    assert [("model", SECOND), ("idle", 499 * SECOND)] == found.time.sort("ns").select("state", "ns").rows()


def test_what_can_not_be_analysed_is_named(shelf: Any) -> None:
    """Unknown models, missing tokens, backward clocks, unjudged runs: each with its reason, its number and examples."""
    nothing = {"cost_musd": None, "input_tokens": None, "output_tokens": None}
    shelf.call(cost_musd=None, model="new", provider="acme")
    shelf.call("r1", nothing)
    shelf.call("r1", {"cost_musd": 5})
    shelf.con.execute("UPDATE attempts SET ended_ns = started_ns - 5 WHERE call_id = 'c3'")
    shelf.call("gone")
    shelf.tool("r1", "c2", ended_ns=0)
    shelf.run("r2", ended_ns=-1)
    shelf.outcome("r2", True)
    found = {tuple(row[:3]): row[3:] for row in waste(shelf.con).not_analysable.rows()}
    assert {
        ("cost", "no price is known for new at acme", "attempt"): (1, ["c1.1"]),
        ("cost", "no usage was reported", "attempt"): (1, ["c2.1"]),
        ("cost in parts", "the cost was reported and no price list has the model", "attempt"): (2, ["c3.1", "c4.1"]),
        ("outcome", "nobody said what came of it", "run"): (1, ["r1"]),
        ("seconds", "ends before it begins", "attempt"): (1, ["c3.1"]),
        ("seconds", "ends before it begins", "run"): (1, ["r2"]),
        ("seconds", "ends before it begins", "tool call"): (1, ["c2:0"]),
        ("seconds", "its start and end are not recorded", "run"): (1, ["gone"]),
        ("tokens", "answered without token counts, which count as 0", "attempt"): (1, ["c2.1"]),
    } == found
    assert analyze(shelf.con) == []


def test_an_empty_store_wastes_nothing(shelf: Any) -> None:
    """No calls, no rows, no crash."""
    found = waste(shelf.con)
    assert found.money.is_empty()
    assert found.time.is_empty()


def _many(shelf: Any, calls: int, calls_of_a_run: int) -> None:
    shelf.con.execute(
        """
        INSERT INTO runs BY NAME SELECT 'run ' || i AS run_id, 'p' AS process_id, 's' AS service, 's' AS name,
            'explicit' AS origin, '{}' AS attributes, i AS started_ns, i + 5 AS ended_ns
        FROM range($calls // $each) AS r(i);
        """,
        {"calls": calls, "each": calls_of_a_run},
    )
    shelf.con.execute(
        """
        INSERT INTO attempts BY NAME SELECT
            'a' || i AS attempt_id, 'c' || i AS call_id, 'run ' || (i // $each) AS run_id, 'p' AS process_id,
            'site' AS site_id, 'openai.chat' AS api, 'llm' AS host, false AS stream, 1 AS number, i AS started_ns,
            i + 1 AS ended_ns, 'POST' AS method, '/' AS path, 'complete' AS "end", 0 AS chunks, 0 AS request_bytes,
            0 AS response_bytes, 'm' AS model, 7 AS cost_musd, 3 AS input_tokens, i AS message_count,
            CASE WHEN i % 3 = 0 THEN 'server' END AS error_class
        FROM range($calls) AS r(i)
        """,
        {"calls": calls, "each": calls_of_a_run},
    )


@pytest.mark.parametrize(("calls", "each"), [(20_000, 20_000), (20_000, 1)])
def test_one_giant_run_and_many_tiny_ones_are_analysed(shelf: Any, calls: int, each: int) -> None:
    """Neither takes more than its share: every call is in the ledger, every run in the time."""
    _many(shelf, calls, each)
    found = waste(shelf.con, "run")
    assert calls * 7 == found.money["cost_musd"].sum()
    assert found.time["key"].n_unique() == calls // each
    assert ledger(shelf.con).group_by("cls").len().filter(pl.col("cls") == "failed_attempt")["len"].item() == 6667
    (finding,) = analyze(shelf.con)
    assert ("provider_error", 6667) == (finding.rule, finding.calls)
