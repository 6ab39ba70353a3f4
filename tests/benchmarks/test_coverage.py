"""The judge of coverage: it finds what is missed, doubled, elsewhere or wrong, and says so in the documented words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from judging import report, table
from judging.judge import Verdict, judge
from judging.records import Records
from judging.running import Ran

from trimtab_tuner.provider import LogEntry, Provider, Scenario

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SHOP = BENCHMARKS / "agents" / "scenarios" / "shop.toml"
CASES = table.read_cases(BENCHMARKS)

AGENT = """\
client.ask()  # call
client.ask()
"""


@pytest.fixture(scope="module")
def log() -> tuple[LogEntry, ...]:
    """The log of two calls, the second of which is refused once and repeated by its SDK."""
    scenario = Scenario.from_dict(
        {
            "rules": [
                {"step": 0, "tool_calls": [{"name": "search", "arguments": {}}]},
                {"step": 1, "text": "Found.", "fault": {"status": 429, "times": 1}},
            ]
        }
    )
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Where?"}]
    with Provider(scenario) as provider, httpx.Client(base_url=provider.url, trust_env=False) as client:

        def post(**headers: str) -> Any:
            body = {"model": "m", "messages": asked}
            return client.post("/v1/chat/completions", json=body, headers=headers).json()

        message = post()["choices"][0]["message"]
        asked += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "here"}]
        post()
        post(**{"x-stainless-retry-count": "1"})
        return provider.log.entries


@pytest.fixture
def records(log: tuple[LogEntry, ...], script: Path) -> Records:
    """What a tracer that sees everything has of :func:`log`."""
    attempts = [
        {
            "attempt_id": f"a{entry.n}",
            "call_id": f"c{min(entry.n, 2)}",
            "request_id": entry.request_id,
            "body_digest": entry.body_digest,
            "usage_source": "reported" if entry.usage else "unknown",
            "input_tokens": entry.usage and entry.usage["input_tokens"],
            "cache_read_tokens": None,
            "output_tokens": entry.usage and entry.usage["output_tokens"],
        }
        for entry in log
    ]
    site = {"file": str(script), "line": 1, "end_line": 1, "owner": "user"}
    tool = {"call_id": "c1", "provider_id": log[0].tool_calls[0].id, "name": "search", "origin": "inferred"}
    return Records(attempts, [{"call_id": "c1"} | site, {"call_id": "c2"} | site], [tool])


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """An agent whose first line is marked."""
    path = tmp_path / "agent.py"
    path.write_text(AGENT)
    return path


@pytest.fixture
def judged(log: tuple[LogEntry, ...], script: Path) -> Callable[..., Verdict]:
    """Judges records of an agent that runs as it does without tracing, unless told otherwise."""

    def call(records: Records, plain_stdout: str = "ran search\ndone\n", **traced: Any) -> Verdict:
        plain = Ran(0, plain_stdout, "", log)
        return judge(Verdict("agent"), script, replace(plain, **traced), plain, records)

    return call


def test_complete_records_are_ok(judged: Callable[..., Verdict], records: Records) -> None:
    """A tracer that saw everything once, on its line, with a retry in its call, is told so."""
    verdict = judged(records)
    assert ([], True) == (verdict.problems, verdict.ok)
    assert (3, 2, 1, 1, 2) == (
        verdict.requests, verdict.calls, verdict.tool_calls, verdict.tool_answers, verdict.sites_right,
    )  # fmt: skip


SPOILED: dict[str, tuple[Callable[[Records], Any], set[str]]] = {
    "an attempt is missing": (lambda r: r.attempts.pop(1), {"requests_missed"}),
    "a call is missing": (lambda r: (r.attempts.pop(0), r.calls.pop(0)), {"requests_missed", "calls_missed"}),
    "an attempt is there twice": (
        lambda r: r.attempts.append(r.attempts[0] | {"attempt_id": "twin"}),
        {"requests_doubled"},
    ),
    "a call is there twice": (
        lambda r: (
            r.attempts.append(r.attempts[0] | {"attempt_id": "twin", "call_id": "twin"}),
            r.calls.append(r.calls[0] | {"call_id": "twin"}),
        ),
        {"requests_doubled", "calls_doubled"},
    ),
    "a span became a call": (lambda r: r.calls.append(r.calls[0] | {"call_id": "span"}), {"calls_doubled"}),
    "a retry is a call of its own": (
        lambda r: (r.attempts[2].update(call_id="c3"), r.calls.append(r.calls[0] | {"call_id": "c3"})),
        {"calls_doubled"},
    ),
    "two calls are one": (
        lambda r: ([row.update(call_id="c1") for row in r.attempts], r.calls.pop(1)),
        {"calls_missed"},
    ),
    "a tool call is missing": (lambda r: r.tool_calls.clear(), {"tool_calls_missed", "tool_answers_missed"}),
    "a tool call is there twice": (
        lambda r: r.tool_calls.append(r.tool_calls[0]),
        {"tool_calls_doubled", "tool_runs_doubled"},
    ),
    "a tool call was never answered": (
        lambda r: r.tool_calls[0].update(origin="requested"),
        {"tool_answers_missed"},
    ),
    "a tool call was invented": (
        lambda r: r.tool_calls.append(r.tool_calls[0] | {"provider_id": None, "origin": "requested"}),
        {"tool_calls_doubled"},
    ),
    "an execution is there beside its request": (
        lambda r: r.tool_calls.append(r.tool_calls[0] | {"call_id": None, "provider_id": None, "origin": "observed"}),
        {"tool_runs_doubled"},
    ),
    "tokens are others": (lambda r: r.attempts[0].update(input_tokens=1), {"tokens_wrong"}),
    "tokens are guessed": (lambda r: r.attempts[0].update(usage_source="estimated"), {"tokens_wrong"}),
    "records were lost": (
        lambda r: r.losses.append({"lost_kind": "content", "reason": "cap", "count": 2}),
        {"records_lost"},
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_wrong_is_said(how: str, judged: Callable[..., Verdict], records: Records) -> None:
    """Whatever is missing, doubled or wrong in the records is counted under its name, and nothing else is."""
    spoil, expected = SPOILED[how]
    spoil(records)
    verdict = judged(records)
    names = {field.name for field in fields(Verdict)}
    counted = {n for n in names if re.search("missed|doubled|_wrong$|lost", n) and getattr(verdict, n)}
    assert (expected, False) == (counted, verdict.ok)


def test_an_attempt_without_an_answer_meets_its_request(judged: Callable[..., Verdict], records: Records) -> None:
    """Where the client broke off before it read the response, the body tells which request it was."""
    records.attempts[1]["request_id"] = None
    assert judged(records).ok
    records.attempts[1]["body_digest"] = "another"
    verdict = judged(records)
    assert (1, 1) == (verdict.requests_missed, verdict.requests_doubled)


def test_calls_of_other_lines_are_listed(judged: Callable[..., Verdict], records: Records) -> None:
    """A call that is pinned to an unmarked line is told with the place; in a file without marks none is judged."""
    records.calls[0].update(line=2, end_line=2)
    verdict = judged(records)
    assert (1, False) == (verdict.sites_right, verdict.ok)
    assert verdict.sites_wrong[0].endswith("agent.py:2")
    Path(records.calls[0]["file"]).write_text(AGENT.replace("# call", ""))
    assert judged(records).ok


def test_ids_differ_from_run_to_run(judged: Callable[..., Verdict], records: Records) -> None:
    """A UUID that a framework prints is not compared; the line around it is."""
    ids = ("22e34c3a-6d36-425f-9453-9d469a9547d9", "796257c3-06dc-41ee-8f9f-e104c013c71e")
    first, second = (f"ran search\ndone\ncrew {one} ended\n" for one in ids)
    assert judged(records, stdout=first, plain_stdout=second).same_result
    assert not judged(records, stdout=first, plain_stdout=second.replace("ended", "failed")).same_result


@pytest.mark.parametrize("traced", [{"exit_code": 1}, {"stdout": "other\n"}, {"log": ()}])
def test_another_result_is_no_good(traced: dict[str, Any], judged: Callable[..., Verdict], records: Records) -> None:
    """An agent that ends, prints or asks otherwise with tracing is not ok, whatever was captured."""
    verdict = judged(records, **traced)
    assert (False, False) == (verdict.same_result, verdict.ok)


def test_a_hidden_call_is_missed(tmp_path: Path) -> None:
    """The command judges any agent: a call on a raw socket is missed, the SDK's is seen; keys are those of the docs."""
    command = [sys.executable, BENCHMARKS / "coverage.py", "--python", sys.prefix, "--scenario", SHOP]
    command += ["--agent", Path(__file__).parent / "programs" / "hiding.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False)
    result = json.loads(done.stdout)
    assert (1, ["requests missed: 1", "calls missed: 1", "tool calls missed: 1"]) == (
        done.returncode,
        result["problems"],
    ), done.stderr
    assert (2, 2, 1, True, 0) == (
        result["requests"], result["calls"], result["sites_right"], result["same_result"], result["exit_code"],
    )  # fmt: skip
    assert _documented_keys() == set(result)


def _documented_keys() -> set[str]:
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "coverage.md").read_text(), re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_network_is_shut_off() -> None:
    """After isolate() there is a loopback that works, and no other interface; or it says why not."""
    code = (
        "import socket, sys; sys.path.append(sys.argv[1]); from judging.isolation import isolate\n"
        "why = isolate(); server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname()).close(); server.close()\n"
        "print(why or [name for _, name in socket.if_nameindex()])"
    )
    done = subprocess.run([sys.executable, "-c", code, BENCHMARKS], capture_output=True, text=True, check=True)
    if "lo" not in done.stdout:
        pytest.skip(f"no network namespaces here: {done.stdout}")
    assert "['lo']\n" == done.stdout


def test_every_framework_has_an_agent() -> None:
    """The list names at least one agent per framework, and its representative set every environment."""
    packages = {package for case in CASES for package in case.packages}
    assert packages >= {
        "openai", "anthropic", "langchain", "langgraph", "openai-agents", "pydantic-ai-slim", "smolagents", "crewai",
        "litellm", "google-genai", "mistralai", "ollama", "llama-index-core", "dspy", "autogen-agentchat", "ag2", "mcp",
    }  # fmt: skip
    assert {case.environment for case in CASES} == {case.environment for case in CASES if case.ci}
    assert {file.stem for file in (BENCHMARKS / "agents").glob("*.py")} - {"mcp_server"} == {
        c.script.stem for c in CASES
    }


def test_the_documented_table_is_of_these_agents() -> None:
    """The table in the docs has a row for every agent of the list in every environment, in its order."""
    text = (ROOT / "docs" / "coverage.md").read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    rows = re.findall(r"^\| (\w+ \(\w+\)) \|", text, re.MULTILINE)
    assert [f"{case.name} ({case.environment})" for case in CASES] == rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}@{case.environment}")
def test_agents_are_ordinary_programs(case: table.Case) -> None:
    """An agent does not know us, marks its calls, and its scenario loads; its environment has the package it shows."""
    text = case.script.read_text()
    assert "trimtab" not in text
    assert re.search("# call$", text, re.MULTILINE)
    assert Scenario.load(case.scenario).rules
    pinned = (BENCHMARKS / "environments" / f"{case.environment}.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==\S+", line) for line in pinned)
    assert set(case.packages) <= {line.partition("==")[0] for line in pinned}


def test_misspelt_settings_stop(tmp_path: Path) -> None:
    """An unknown key of the list, and an agent that is not there, are refused with a sentence."""
    (tmp_path / "agents.toml").write_text("[x]\nenvironments = []\npackages = []\nconstant = true\n")
    with pytest.raises(SystemExit, match=r"unknown keys.*constant"):
        table.read_cases(tmp_path)
    (tmp_path / "agents.toml").write_text("[x]\nenvironments = []\npackages = []\n")
    with pytest.raises(SystemExit, match=r"agents/x\.py, which does not exist"):
        table.read_cases(tmp_path)


def test_the_table_replaces_the_table(tmp_path: Path, judged: Callable[..., Verdict], records: Records) -> None:
    """Only what stands between the markers of a document changes, and a document without them is refused."""
    document = tmp_path / "coverage.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write([judged(records)], tmp_path / "x.csv", tmp_path / "x.json", document)
    text = document.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n| agent |")
    assert text.endswith(f"\n{report.END}\nafter\n")
    assert "old" not in text
    assert "1 runs, 3 requests: 0 missed, 0 doubled" in text
    assert [judged(records).as_dict()] == json.loads((tmp_path / "x.json").read_text())
    document.write_text("no markers")
    with pytest.raises(SystemExit, match="lost a marker"):
        report.write([], None, None, document)
