"""Trajectories of mini-SWE-agent, generated and real, down to the rows of the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer.importers import ImportedRun, find_files, read_file
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Content, Decision, Exchange, Outcome, RunEnd, Site
from trimtab_tracer.store import Store

FORMAT_ERROR = "Please use the form of the example; you gave {{actions|length}} actions."
REFUSED = "Please use the form of the example; you gave 2 actions."
REJECTED = {"13033": 1, "13398": 2, "13977": 1, "14096": 2, "14369": 2, "14508": 1, "14598": 1, "8707": 2}
"""Answers that the agent's parser turned down, per file of the real sample; none in the others."""

Trajectory = dict[str, Any]


def _reply(n: int, text: str, cost: float = 0.01) -> dict[str, Any]:
    usage = {"prompt_tokens": 100 * n, "completion_tokens": 10, "cost": cost}
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    response = {"id": f"gen-{n}", "created": 1_763_510_516 + n, "model": "m", "choices": [choice], "usage": usage}
    return {"role": "assistant", "content": text, "extra": {"response": response}}


def _bash(command: str) -> str:
    return f"THOUGHT: go on\n\n```bash\n{command}\n```"


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _trajectory(*messages: dict[str, Any], exit_status: str = "Submitted") -> Trajectory:
    calls = [m for m in messages if m["role"] == "assistant"]
    config = {
        "agent": {"step_limit": 250, "cost_limit": 3.0, "format_error_template": FORMAT_ERROR},
        "model": {"model_name": "m", "model_kwargs": {"temperature": 0.0}},
        "environment": {"timeout": 60},
        "agent_type": "minisweagent.agents.default.DefaultAgent",
        "model_type": "minisweagent.models.openrouter_model.OpenRouterModel",
    }
    stats = {"instance_cost": 0.01 * len(calls), "api_calls": len(calls)}
    info = {"exit_status": exit_status, "model_stats": stats, "mini_version": "1.15.0", "config": config}
    head = [{"role": "system", "content": "You are an agent."}, _user("Mend it.")]
    return {
        "info": info,
        "messages": [*head, *messages],
        "trajectory_format": "mini-swe-agent-1",
        "instance_id": "repo-1",
    }


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., ImportedRun]:
    """Import one trajectory through a file."""

    def do(value: Trajectory, name: str = "a.traj.json", **options: Any) -> ImportedRun:
        path = tmp_path / name
        path.write_text(json.dumps(value))
        (run,) = read_file(path, **options)
        return run

    return do


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "trimtab.duckdb") as opened:
        yield opened


def _of(run: ImportedRun, kind: type) -> list[Any]:
    return [record for record in run.records if isinstance(record, kind)]


def _dump(store: Store) -> dict[str, list[Any]]:
    con = store.cursor()
    names = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
    return {name: sorted(map(repr, con.execute(f"FROM {name}").fetchall())) for name in names}


def test_an_action_becomes_a_tool_call_with_its_return_code(read: Callable[..., ImportedRun]) -> None:
    """Each answer's bash block is a tool call; the harness's reply says whether it failed."""
    run = read(
        _trajectory(
            _reply(1, _bash("ls")), _user("<returncode>2</returncode>\n<output>\nno\n</output>"), _reply(2, _bash("id"))
        )
    )
    first, second = _of(run, Exchange)
    assert [(t.name, t.args_valid) for t in first.tool_requests] == [("bash", True)]
    failed, submitted = second.tool_results
    assert (failed.status, failed.error_type, failed.error_message) == ("error", "exit code 2", "no")
    assert (f"{second.call_id}:0", "ok") == (submitted.tool_id, submitted.status)
    assert first.tool_requests[0].args_digest != second.tool_requests[0].args_digest


def test_a_rejected_answer_is_named_by_the_next_call(read: Callable[..., ImportedRun]) -> None:
    """The run's own format error template is recognised, asks for no tool, and keeps its words."""
    run = read(_trajectory(_reply(1, _bash("a") + _bash("b")), _user(REFUSED), _reply(2, _bash("ls"))))
    first, second = _of(run, Exchange)
    assert (run.rejected, first.tool_requests) == (1, ())
    assert (first.call_id, REFUSED) == (second.rejects_call_id, second.rejection_text)


@pytest.mark.parametrize("rejections", [1, 2, 3])
def test_a_run_that_ends_on_rejections_counts_each(
    rejections: int, read: Callable[..., ImportedRun], store: Store
) -> None:
    """Every rejected answer is marked once in the store, also the last one, which no later request follows."""
    messages = [m for n in range(rejections) for m in (_reply(n + 1, "nothing"), _user(REFUSED))]
    run = read(_trajectory(*messages, exit_status="LimitsExceeded"))
    ingest(store, run.records)
    marked = store.cursor().execute("SELECT count(*) FROM calls WHERE rejected_by_call_id IS NOT NULL").fetchall()
    assert (rejections, [(rejections,)]) == (run.rejected, marked)


def test_settings_become_decisions_with_a_quote(read: Callable[..., ImportedRun]) -> None:
    """Each setting of the file is a decision of the run; its site names the harness, no line, and quotes it."""
    run = read(_trajectory(_reply(1, _bash("ls"))))
    decisions = {d.knob: d for d in _of(run, Decision)}
    sites = {s.site_id: s for s in _of(run, Site)}
    assert tuple(
        decisions[k].value
        for k in ("model", "temperature", "max_tokens", "step_limit", "cost_limit", "command_timeout_s")
    ) == ("m", 0.0, None, 250, 3.0, 60)
    assert (decisions["max_tokens"].source, decisions["output_parser"].source) == ("default", "code")
    site = sites[decisions["output_parser"].site_id]
    assert (site.file, site.function, site.line, site.owner) == ("mini-swe-agent 1.15.0", "DefaultAgent", 0, "library")
    assert f"format_error_template: {FORMAT_ERROR}" == site.source


def test_exit_status_is_no_success(read: Callable[..., ImportedRun]) -> None:
    """A submitted run has no outcome, for nobody checked it; one that its limits stopped has failed."""
    submitted = read(_trajectory(_reply(1, _bash("ls"))))
    stopped = read(_trajectory(_reply(1, _bash("ls")), _user("LimitsExceeded"), exit_status="LimitsExceeded"))
    assert _of(submitted, Outcome) == []
    assert [(o.success, o.source) for o in _of(stopped, Outcome)] == [(False, "inferred")]
    assert (_of(stopped, RunEnd)[0].status, _of(stopped, RunEnd)[0].error_type) == ("error", "LimitsExceeded")


def test_version_two_hides_the_rejected_answer_in_the_reply(read: Callable[..., ImportedRun]) -> None:
    """Native tool calls and format errors of version 2 give the same records: a call each, one of them rejected."""
    call = {"id": "t1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
    good = _reply(2, "")
    good["extra"]["response"]["choices"][0]["message"]["tool_calls"] = [call]
    bad = _user("Tool call error: no tool calls found") | {"extra": {"interrupt_type": "FormatError"}}
    bad["extra"] |= {"response": _reply(1, "just text")["extra"]["response"], "cost": 0.01}
    done = {"role": "tool", "tool_call_id": "t1", "content": "<returncode>0</returncode>", "extra": {"returncode": 0}}
    run = read(_trajectory(bad, good, done))
    first, second = _of(run, Exchange)
    assert (run.calls, run.rejected, second.tool_requests[0].provider_id) == (2, 1, "t1")
    assert (first.call_id, "ok") == (second.rejects_call_id, second.tool_results[0].status)


def test_identity_is_the_content_and_not_the_name(read: Callable[..., ImportedRun]) -> None:
    """A renamed copy is the same run with the same records; a run that grew keeps its id and changes its digest."""
    short = _trajectory(_reply(1, _bash("ls")))
    grown = _trajectory(_reply(1, _bash("ls")), _user("<returncode>0</returncode>"), _reply(2, _bash("id")))
    first, copy, later = read(short), read(short, "copy.json"), read(grown)
    assert (first.run_id, first.records) == (copy.run_id, copy.records)
    assert (first.run_id, False) == (later.run_id, first.digest == later.digest)


def test_content_is_redacted_or_left_out(read: Callable[..., ImportedRun]) -> None:
    """Secrets in messages never reach a record; with content off no message does."""
    secret = "sk-ant-api03-" + "a1B2c3D4" * 11
    value = _trajectory(
        _reply(1, _bash(f"export KEY={secret}")), _user(f"<returncode>1</returncode>{secret}"), _reply(2, _bash("id"))
    )
    redacted, off = read(value), read(value, content="off")
    assert [len(_of(run, Content)) for run in (redacted, off)] == [4, 0]
    assert not any(secret in repr(record) for run in (redacted, off) for record in run.records)
    assert not any("Mend it" in repr(record) for record in off.records)


def test_a_file_without_messages_is_refused(read: Callable[..., ImportedRun]) -> None:
    """One sentence says what is missing."""
    with pytest.raises(ImportFormatError, match="'messages' is no list of messages"):
        read({"info": {"mini_version": "1"}, "trajectory_format": "mini-swe-agent-1"})


def test_real_runs_match_what_their_files_log(real_data: Path, store: Store) -> None:
    """Calls, tokens and USD of each of 15 real runs are those of its file, to the cent; so are the rejected answers."""
    for path in find_files([real_data / "mini_swe_agent" / "raw_sample"]):
        (run,) = read_file(path)
        ingest(store, run.records)
        raw = json.loads(path.read_text())
        usages = [m["extra"]["response"]["usage"] for m in raw["messages"] if m["role"] == "assistant"]
        refused = [
            n for n, m in enumerate(raw["messages"]) if n > 1 and m["content"].startswith("Please always provide EX")
        ]
        lost = sum(raw["messages"][n - 1]["extra"]["response"]["usage"]["cost"] for n in refused)
        (row,) = (
            store.cursor()
            .execute(
                "SELECT count(*), sum(input_tokens + output_tokens)::BIGINT, sum(cost_musd)::BIGINT,"
                " count_if(rejected_by_call_id IS NOT NULL)::BIGINT,"
                " coalesce(sum(cost_musd) FILTER (rejected_by_call_id IS NOT NULL), 0)::BIGINT"
                " FROM calls WHERE run_id = ?",
                [run.run_id],
            )
            .fetchall()
        )
        stats = raw["info"]["model_stats"]
        assert (stats["api_calls"], sum(u["total_tokens"] for u in usages)) == row[:2]
        assert round(Decimal(stats["instance_cost"]), 2) == round(Decimal(row[2]) / 10**6, 2)
        assert REJECTED.get(path.name.split("-")[-1].split(".")[0], 0) == row[3] == len(refused)
        assert abs(lost * 1e6 - row[4]) <= len(refused)


def test_importing_twice_changes_nothing(real_data: Path, store: Store) -> None:
    """The same files again leave every table as it was, row for row."""
    runs = [read_file(path)[0] for path in find_files([real_data / "mini_swe_agent" / "raw_sample"])[:4]]
    for run in runs:
        ingest(store, run.records)
    before = _dump(store)
    for run in reversed(runs):
        ingest(store, run.records)
    assert before == _dump(store)
