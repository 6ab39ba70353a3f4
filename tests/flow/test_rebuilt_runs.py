"""Runs that nobody declared are found again: which calls of a busy process belong to which task."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

SCENARIO = {
    "rules": [
        {"model": "plain", "text": "Done."},
        {"step": [0, 1], "tool_calls": [{"name": "lookup_order", "arguments": {"order_id": "A-17"}}], "delay_s": 0.05},
        {"text": "It is in Oslo."},
    ]
}


class Case(NamedTuple):
    """What a program said that it did, and what the store holds."""

    made: dict[str, list[str]]
    """Response ids of each task."""
    records: Any

    def rows(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.records.rows(sql)
        return rows

    def by(self, column: str) -> list[list[str]]:
        """Response ids of the calls, put together by a column of theirs."""
        found: dict[str, list[str]] = defaultdict(list)
        for row in self.rows("SELECT * FROM calls"):
            found[row[column]].append(row["response_id"])
        return parts(*found.values())


def parts(*groups: list[str]) -> list[list[str]]:
    return sorted(sorted(group) for group in groups)


@pytest.fixture(scope="module")
def cases(flow: Any, warm: Any) -> dict[str, Case]:
    """Each way to be busy, run once."""
    imported = warm("anthropic", "openai", "opentelemetry.sdk.trace")

    def case(mode: str) -> Case:
        ran = flow.run_warm(flow.program("many_tasks.py"), SCENARIO, imported, mode)
        assert (0, "") == (ran.returncode, ran.stderr)
        return Case(json.loads(ran.stdout), flow.records(ran.home))

    modes = ("server", "tasks", "script", "workers", "traced")
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(modes, pool.map(case, modes), strict=True))


def test_a_threaded_server_has_a_run_per_task(cases: dict[str, Case]) -> None:
    """Eight tasks at once, over four ways of keeping a conversation, are eight runs with their calls and no others."""
    case = cases["server"]
    assert 8 == len(case.made)
    assert parts(*case.made.values()) == case.by("run_id")
    runs = case.rows("SELECT * FROM runs WHERE origin = 'rebuilt'")
    assert {("ok", "final answer")} == {(run["status"], run["end_rule"]) for run in runs}
    (process,) = case.rows("SELECT * FROM runs WHERE origin = 'process'")
    assert process["is_split"]
    assert {process["run_id"]} == {run["parent_run_id"] for run in runs}
    assert {process["service"]} == {run["service"] for run in runs}


def test_an_outcome_belongs_to_the_task_that_said_it(cases: dict[str, Case]) -> None:
    """What a handler says of its task, with no run declared, is the outcome of the run that its calls are in."""
    case = cases["server"]
    told = {row["run_id"]: row["success"] for row in case.rows("SELECT run_id, success FROM outcomes")}
    calls = {row["response_id"]: row["run_id"] for row in case.rows("SELECT response_id, run_id FROM calls")}
    assert {task: task != "3" for task in case.made} == {task: told[calls[ids[0]]] for task, ids in case.made.items()}


def test_what_belongs_to_a_call_is_in_its_run(cases: dict[str, Case]) -> None:
    """Attempts, decisions, tool calls and texts are in the run of their call."""
    for name, case in cases.items():
        tools = ["tool_calls"] if name != "traced" else []
        for table in ("attempts", "decisions", "content", *tools):
            same = "count_if(t.run_id = c.run_id) AS same"
            (row,) = case.rows(f"SELECT count(*) AS n, {same} FROM {table} AS t JOIN calls AS c USING (call_id)")
            assert row["n"] == row["same"] > 0, table


def test_gathered_grouped_and_nested_agents(cases: dict[str, Case]) -> None:
    """Agents in tasks are apart; one that is another one's tool is a conversation of its own in the same run."""
    case = cases["tasks"]
    alone = [case.made[name] for name in ("gathered 1", "gathered 2", "grouped 1", "grouped 2")]
    nested = [case.made[f"outer {n}"] + case.made[f"inner {n}"] for n in (1, 2)]
    assert parts(*alone, *nested) == case.by("run_id")
    inner = [case.made[f"inner {n}"][at : at + 3] for n in (1, 2) for at in (0, 3)]
    outer = [case.made[f"outer {n}"] for n in (1, 2)]
    assert parts(*alone, *outer, *inner) == case.by("conversation_id")


def test_a_script_stays_one_run(cases: dict[str, Case]) -> None:
    """One conversation and a single call after it are what their process did."""
    runs = cases["script"].rows("SELECT origin, is_split, status, end_rule FROM runs")
    assert [("process", False, "ok", "process exit")] == [tuple(run.values()) for run in runs]
    assert 1 == len(cases["script"].by("run_id"))


def test_workers_go_on_with_each_others_conversation(cases: dict[str, Case]) -> None:
    """A conversation whose turns are made in one forked process each is one run."""
    case = cases["workers"]
    assert parts(*case.made.values()) == case.by("run_id")
    assert {"tool call id"} == {r["linked_by"] for r in case.rows("SELECT * FROM calls WHERE linked_by IS NOT NULL")}
    assert len(case.rows("SELECT DISTINCT process_id FROM attempts")) > 3


def test_tasks_without_links_are_told_apart_by_their_traces(cases: dict[str, Case]) -> None:
    """Prompts that name no earlier one, in threads and a process that work on many tasks, are runs by their spans."""
    case = cases["traced"]
    assert parts(*case.made.values()) == case.by("run_id")
    assert len(case.rows("SELECT DISTINCT process_id FROM attempts")) == 2


def test_every_call_is_pinned_to_its_line(cases: dict[str, Case]) -> None:
    """In threads, tasks and workers the site is the line that made the call."""
    for case in cases.values():
        sites = case.rows("SELECT source, file FROM sites WHERE site_id IN (SELECT site_id FROM calls)")
        assert {"many_tasks.py"} == {site["file"] for site in sites}
        assert all(".create(" in site["source"] for site in sites)
