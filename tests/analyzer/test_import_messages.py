"""Conversations in OpenAI's message shape, as objects, lists and lines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers import ImportedRun, read_file
from trimtab_analyzer.importers.trace import point_in_time_ns
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, Decision, Exchange, Outcome, RunStart
from trimtab_tracer.store import Store

ASK = {"role": "user", "content": "Where is my order?"}
ANSWER = {"role": "assistant", "content": "On its way."}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "Error executing tool find: no such order"}

Read = Callable[..., list[ImportedRun]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Import one JSON value through a file."""

    def do(value: Any, name: str = "shop.json") -> list[ImportedRun]:
        path = tmp_path / name
        lines = name.endswith("l")
        path.write_text("\n".join(json.dumps(v) for v in value) if lines else json.dumps(value))
        return read_file(path)

    return do


def _of(run: ImportedRun, kind: type) -> list[Any]:
    return [record for record in run.records if isinstance(record, kind)]


@pytest.mark.parametrize(
    ("name", "value", "runs"),
    [
        ("a.json", [ASK, ANSWER], 1),
        ("a.json", {"messages": [ASK, ANSWER]}, 1),
        ("a.json", [{"messages": [ASK, ANSWER]}, {"traj": [ASK, CALLING]}], 2),
        ("a.jsonl", [ASK, ANSWER], 1),
        ("a.jsonl", [{"messages": [ASK, ANSWER]}, {"messages": [ASK, CALLING]}], 2),
        ("a.jsonl", [[ASK, ANSWER], [ASK, CALLING]], 2),
    ],
)
def test_every_layout_is_taken_apart_into_runs(name: str, value: Any, runs: int, read: Read) -> None:
    """A list, an object, a list of objects, and JSON lines of messages or of conversations: one call per answer."""
    found = read(value, name)
    assert [1] * runs == [run.calls for run in found]
    assert runs == len({run.run_id for run in found})


def test_tokens_cost_model_and_time_come_from_the_message(read: Read) -> None:
    """What the file logs of an answer is in the records; a model other than the run's is a decision of its call."""
    usage = {"prompt_tokens": 50, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 20}}
    logged = ANSWER | {
        "usage": usage,
        "cost": 0.0012,
        "model": "big",
        "timestamp": "2026-11-20T10:00:00Z",
        "finish_reason": "stop",
    }
    (run,) = read({"model": "small", "messages": [ASK, logged]})
    (exchange,), (attempt,) = _of(run, Exchange), _of(run, Attempt)
    assert (
        exchange.input_tokens,
        exchange.cache_read_tokens,
        exchange.output_tokens,
        exchange.cost_reported_usd,
        exchange.finish_reason,
    ) == (50, 20, 5, "0.0012", "stop")
    assert attempt.ts_ns == 1_795_168_800 * 10**9
    assert {("model", "small", None), ("model", "big", exchange.call_id)} == {
        (d.knob, d.value, d.call_id) for d in _of(run, Decision)
    }


def test_what_the_file_does_not_say_stays_unknown(read: Read, tmp_path: Path) -> None:
    """No tokens, no cost, no finish reason and no decision are made up; the file's date stands in for the time."""
    (run,) = read([ASK, ANSWER])
    (exchange,), (attempt,) = _of(run, Exchange), _of(run, Attempt)
    assert (
        exchange.output_tokens,
        exchange.cost_reported_usd,
        exchange.finish_reason,
        exchange.usage_source,
    ) == (None, None, None, "unknown")
    assert _of(run, Decision) == []
    assert ((tmp_path / "shop.json").stat().st_mtime_ns, "file") == (
        attempt.ts_ns,
        _of(run, RunStart)[0].attributes["times"],
    )


def test_tool_results_find_their_request(read: Read) -> None:
    """A result goes to the request with its id, wherever it stands; without ids to the next one of its name."""
    other = {"id": "c2", "type": "function", "function": {"name": "buy", "arguments": "{"}}
    by_name = {"role": "function", "name": "buy", "content": "exit code: 0"}
    (run,) = read([ASK, CALLING | {"tool_calls": [CALL, other]}, by_name, RESULT, ANSWER])
    first, second = _of(run, Exchange)
    assert [(t.name, t.args_valid) for t in first.tool_requests] == [("find", True), ("buy", False)]
    assert {(f"{first.call_id}:0", "error"), (f"{first.call_id}:1", "ok")} == {
        (r.tool_id, r.status) for r in second.tool_results
    }


def test_a_rejection_between_two_answers_is_seen(read: Read) -> None:
    """The harness's complaint about an answer's form marks that answer; a tool's text never does."""
    complaint = {"role": "user", "content": "Your response must contain exactly one JSON object."}
    as_tool = RESULT | {"content": complaint["content"]}
    assert [
        read([ASK, first, second, ANSWER])[0].rejected for first, second in ((ANSWER, complaint), (CALLING, as_tool))
    ] == [1, 0]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"success": False}, (False, None, "explicit")),
        ({"reward": 1.0}, (True, 1.0, "evaluator")),
        ({"reward": 0.4}, (None, 0.4, "evaluator")),
        ({"outcome": "resolved"}, (True, None, "explicit")),
        ({"outcome": {"success": True, "score": 0.9}}, (True, 0.9, "explicit")),
        ({"success": False, "reward": 1.0}, (False, None, "explicit")),
    ],
)
def test_what_came_of_the_run(said: dict[str, Any], outcome: tuple[Any, ...], read: Read) -> None:
    """A statement of success counts before a reward; a reward between 0 and 1 says neither yes nor no."""
    (run,) = read({"messages": [ASK, ANSWER]} | said)
    assert [outcome] == [(o.success, o.score, o.source) for o in _of(run, Outcome)]


def test_a_run_id_makes_a_longer_copy_the_same_run(read: Read) -> None:
    """With ``run_id`` a conversation that grew is the same run; without it other content is another run."""
    short, long = [ASK, ANSWER], [ASK, ANSWER, ASK, ANSWER]
    named = [read({"run_id": "r7", "messages": m})[0].run_id for m in (short, long)]
    unnamed = [read({"id": 7, "messages": m})[0].run_id for m in (short, long)]
    assert (named[0] == named[1], unnamed[0] == unnamed[1]) == (True, False)


def test_a_conversation_without_an_answer_is_refused(read: Read) -> None:
    """A prompt alone is no run; the sentence says what is missing."""
    with pytest.raises(ImportFormatError, match="none has role 'assistant'"):
        read([ASK])


def test_the_documented_example_imports_as_documented(tmp_path: Path) -> None:
    """The JSON of docs/import.md is one failed run with one call, and its tool call failed."""
    page = (Path(__file__).parents[2] / "docs" / "import.md").read_text()
    (tmp_path / "doc.json").write_text(page.partition("```json\n")[2].partition("```")[0])
    (run,) = read_file(tmp_path / "doc.json")
    (exchange,) = _of(run, Exchange)
    assert (run.name, exchange.input_tokens, exchange.tool_results[0].status) == ("order-7", 90, "error")
    assert [o.success for o in _of(run, Outcome)] == [False]


@given(st.integers(1_000_000_000, 4_000_000_000), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_unix_times_of_any_unit_mean_the_same(second: int, factor: int) -> None:
    """Seconds, milli-, micro- and nanoseconds are told apart by their size."""
    assert second * 10**9 == point_in_time_ns(second * factor)


def test_real_conversations(real_data: Path, tmp_path: Path) -> None:
    """200 real runs in one file: every answer a call, every tool call answered, rewards as outcomes, no cost known."""
    runs = read_file(real_data / "tau_bench" / "gpt-4o-airline.json.gz")
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        ingest(store, [record for run in runs for record in run.records])
        con = store.cursor()
        counts = con.execute("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM calls)").fetchall()
        tools = con.execute("SELECT origin, count(*) FROM tool_calls GROUP BY origin").fetchall()
        unknown = con.execute("SELECT DISTINCT cost_source FROM attempts").fetchall()
    assert (counts, tools, unknown) == ([(200, 2454)], [("inferred", 1164)], [("unknown",)])
    outcomes = Counter(o.success for run in runs for o in _of(run, Outcome))
    assert dict(outcomes) == {True: 84, False: 116}
