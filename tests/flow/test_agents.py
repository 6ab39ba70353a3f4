"""Unmodified agents with one line added: everything in the provider's log is in the store, once, on the right line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
AGENTS = sorted(path.stem for path in (HERE / "agents").glob("*.py"))
WITH_RUNS = {"task_group", "thread_pool"}
"""Agents that declare runs, and so have more than the one line."""
WITH_TOOLS_IN_SIGHT = {name for name in AGENTS if name.startswith(("agents_sdk", "langgraph"))} | {
    "anthropic_tool_runner"
}
"""Agents whose framework runs their tools."""

every_agent = pytest.mark.parametrize("agent", AGENTS)


def expectation(agent: str) -> dict[str, Any]:
    """What was written down for an agent."""
    return json.loads((HERE / "expected" / f"{agent}.json").read_text())


def call_of(entries: Any) -> dict[str, int]:
    """Which call each request of a log belongs to, by request id; a retry repeats the body of a request before it."""
    calls: dict[str, int] = {}
    open_by_body: dict[str, int] = {}
    for entry in entries:
        if entry.headers.get("x-stainless-retry-count", "0") == "0":
            open_by_body[entry.body_digest] = len(set(calls.values()))
        calls[entry.request_id] = open_by_body[entry.body_digest]
    return calls


def test_every_agent_has_an_expectation() -> None:
    """Agents and expectations stand in pairs, and there are all the kinds that we promise."""
    assert sorted(path.stem for path in (HERE / "expected").glob("*.json")) == AGENTS
    assert {name.split("_")[0] for name in AGENTS} == {"agents", "anthropic", "langgraph", "openai", "task", "thread"}


@every_agent
def test_expected_lines_hold_what_they_name(agent: str) -> None:
    """The line numbers that were written down by hand still name the statements they were written for."""
    lines = (HERE / "agents" / f"{agent}.py").read_text().splitlines()
    sites = expectation(agent)["sites"]
    assert sites
    for site in sites.values():
        assert site["text"] in lines[site["line"] - 1]
        assert sum(site["text"] in line for line in lines) == 1


@every_agent
def test_one_line_was_added(agent: str) -> None:
    """Without the line that mentions us an agent is a program that knows nothing of us."""
    ours = [line for line in (HERE / "agents" / f"{agent}.py").read_text().splitlines() if "trimtab" in line]
    assert ours[0] == "import trimtab; trimtab.instrument()"
    assert agent in WITH_RUNS or len(ours) == 1


@every_agent
def test_agent_runs_as_without_us(observed: Any) -> None:
    """Output, exit code and the requests of an agent are the same with tracing as with TRIMTAB_DISABLED=1."""
    assert (observed.plain.returncode, observed.plain.stdout) == (0, observed.traced.stdout)
    assert observed.plain.stderr == observed.traced.stderr
    assert observed.traced.returncode == 0
    assert observed.traced.stdout.count("\n") >= 1
    requests = Counter((e.path, e.model, e.step) for e in observed.plain.log)
    assert requests == Counter((e.path, e.model, e.step) for e in observed.traced.log)


@every_agent
def test_disabled_agent_writes_nothing(observed: Any) -> None:
    """With TRIMTAB_DISABLED=1 nothing is created in the home."""
    assert list(observed.plain.home.rglob("*")) == []


@every_agent
def test_every_request_is_one_attempt(observed: Any) -> None:
    """The provider's requests and the store's attempts are the same, by body, by answer and in order."""
    attempts = observed.records.rows("FROM attempts ORDER BY started_ns")
    log = observed.traced.log
    assert Counter((e.body_digest, e.request_id, e.response_id) for e in log) == Counter(
        (a["body_digest"], a["request_id"], a["response_id"]) for a in attempts
    )
    assert len(log) == len(observed.expected["calls"])
    if observed.expected["ordered"]:
        assert [e.request_id for e in log] == [a["request_id"] for a in attempts]
    assert {(e.request_id, e.status, e.model, e.stream, "complete") for e in log} == {
        (a["request_id"], a["http_status"], a["model"], a["stream"], a["end"]) for a in attempts
    }


@every_agent
def test_calls_are_the_logs_logical_calls(observed: Any) -> None:
    """Attempts fall into the same calls as the log's requests, and each call has its row."""
    truth = call_of(observed.traced.log)
    calls = {c["call_id"]: c for c in observed.records.rows("FROM calls")}
    seen: dict[int, set[str]] = {}
    for attempt in observed.records.rows("FROM attempts"):
        seen.setdefault(truth[attempt["request_id"]], set()).add(attempt["call_id"])
    assert all(len(ids) == 1 for ids in seen.values())
    assert set.union(*seen.values()) == set(calls)
    assert {c["status"] for c in calls.values()} == {"ok"}


@every_agent
def test_tool_calls_are_there_exactly_once(observed: Any) -> None:
    """Each tool call that the provider sent is in the store once, with its name, and answered where it was answered."""
    sent = [(call.id, call.name) for e in observed.traced.log for call in e.tool_calls]
    answered = {tool_id for e in observed.traced.log for tool_id in e.tool_result_ids}
    tools = observed.records.rows("FROM tool_calls")
    assert Counter(sent) == Counter((t["provider_id"], t["name"]) for t in tools)
    assert len({name for _, name in sent}) >= 2
    assert answered == {t["provider_id"] for t in tools if t["origin"] in ("inferred", "observed")}
    assert all(t["args_valid"] and t["offered"] and t["ended_ns"] >= t["started_ns"] for t in tools)


@every_agent
def test_tools_of_frameworks_are_seen_as_they_run(observed: Any) -> None:
    """Where a framework runs the tools, each execution is there once, exact and on its line; elsewhere none is."""
    tools = observed.records.rows("SELECT t.*, s.file FROM tool_calls t LEFT JOIN sites s USING (site_id)")
    answered = [tool for tool in tools if tool["origin"] != "requested"]
    runs = observed.records.row("SELECT count(*) AS n FROM tool_runs")["n"]
    if observed.name not in WITH_TOOLS_IN_SIGHT:
        assert runs == 0
        return
    assert runs == len(answered) > 0
    assert {("observed", False, f"{observed.name}.py")} == {
        (t["origin"], t["is_upper_bound"], t["file"]) for t in answered
    }


@every_agent
def test_tokens_are_the_usage_that_was_sent(observed: Any) -> None:
    """Tokens of every attempt equal the usage in the provider's answer, and have a price."""
    columns = "input_tokens, cache_read_tokens, output_tokens, reasoning_tokens"
    rows = observed.records.rows(f"SELECT request_id, usage_source, cost_musd, {columns} FROM attempts")
    attempts = {row["request_id"]: row for row in rows}
    for entry in observed.traced.log:
        attempt = attempts[entry.request_id]
        assert entry.usage["input_tokens"] == attempt["input_tokens"]
        assert entry.usage["output_tokens"] == attempt["output_tokens"]
        assert (entry.usage.get("cached_tokens") or 0) == (attempt["cache_read_tokens"] or 0)
        if entry.api != "anthropic.messages":  # which does not report reasoning apart
            assert (entry.usage.get("reasoning_tokens") or 0) == (attempt["reasoning_tokens"] or 0)
        assert attempt["usage_source"] == "reported"
        assert attempt["cost_musd"] > 0


@every_agent
def test_calls_are_pinned_to_their_lines(observed: Any) -> None:
    """Every call has the model, the tools it asked for and the file:line that were written down for it."""
    rows = observed.records.rows(
        """SELECT c.model, s.file, s.line, s.function, s.owner, s.source,
                  list(t.name ORDER BY t.tool_id) FILTER (t.name IS NOT NULL) AS tools
           FROM calls c JOIN sites s USING (site_id) LEFT JOIN tool_calls t ON t.call_id = c.call_id
           GROUP BY c.call_id, c.started_ns, c.model, s.file, s.line, s.function, s.owner, s.source
           ORDER BY c.started_ns"""
    )
    sites = observed.expected["sites"]
    wanted = [(c["model"], sites[c["site"]]["line"], tuple(c["tools"])) for c in observed.expected["calls"]]
    found = [(r["model"], r["line"], tuple(r["tools"] or ())) for r in rows]
    assert Counter(wanted) == Counter(found)
    assert not observed.expected["ordered"] or wanted == found
    assert {(f"{observed.name}.py", "user")} == {(r["file"], r["owner"]) for r in rows}
    assert {(s["line"], s["function"]) for s in sites.values()} >= {(r["line"], r["function"]) for r in rows}
    by_line = {s["line"]: s["text"] for s in sites.values()}
    assert all(by_line[r["line"]] in r["source"] for r in rows)


@every_agent
def test_decisions_in_force_are_on_every_call(observed: Any) -> None:
    """Each call names the value, origin and line of every knob that was in force."""
    sites = observed.expected["sites"]
    lines = {site["line"]: name for name, site in sites.items()}
    rows = observed.records.rows(
        """SELECT c.call_id, cs.line AS call_line, d.knob, d.value, d.source, d.site_role, d.propensity, ds.line
           FROM calls c JOIN sites cs USING (site_id)
           JOIN decisions d ON d.call_id = c.call_id JOIN sites ds ON ds.site_id = d.site_id"""
    )
    found: dict[str, dict[str, Any]] = {}
    where = {row["call_id"]: lines[row["call_line"]] for row in rows}
    for row in rows:
        value = json.loads(row["value"])
        if row["knob"] in ("tools", "prompt_version") and value is not None:
            assert len(value) == 16
            value = "digest"
        assert row["propensity"] == 1.0
        fact = {"value": value, "source": row["source"], "role": row["site_role"], "site": lines.get(row["line"])}
        found.setdefault(row["call_id"], {})[row["knob"]] = fact
    assert len(found) == len(observed.expected["calls"])
    for call_id, knobs in found.items():
        assert observed.expected["decisions"][where[call_id]] == knobs


@every_agent
def test_calls_belong_to_their_runs(observed: Any) -> None:
    """The process is the run where none was declared; declared ones hold their own conversation and no other."""
    runs = observed.records.rows("FROM runs ORDER BY task")
    declared = observed.expected["runs"]
    assert (declared or [None]) == [run["task"] for run in runs]
    assert {"explicit" if declared else "process"} == {run["origin"] for run in runs}
    assert {("ok", "block exit" if declared else "process exit")} == {(r["status"], r["end_rule"]) for r in runs}
    share = len(observed.expected["calls"]) // len(runs)
    for run in runs:
        calls = observed.records.rows("FROM calls WHERE run_id = ?", run["run_id"])
        assert share == len(calls)
        tools = observed.records.row("SELECT count(*) AS n FROM tool_calls WHERE run_id = ?", run["run_id"])
        assert tools["n"] == sum(len(c["tools"]) for c in observed.expected["calls"]) // len(runs)


@every_agent
def test_nothing_is_lost_or_left(observed: Any) -> None:
    """No record was lost, and a collected spool is empty."""
    assert observed.records.rows("FROM losses") == []
    assert observed.records.left_in_spool == []
    assert [r["parsed"] for r in observed.records.rows("SELECT DISTINCT parsed FROM attempts")] == [True]
