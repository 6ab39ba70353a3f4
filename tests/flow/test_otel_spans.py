"""Spans of SDKs and third-party instrumentors beside us: every request is one call, once, in the user's own trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SHOP = json.loads((Path(__file__).parent / "scenarios" / "shop.json").read_text())
REFUSED = {"contains": "Check:", "text": "Yes.", "fault": {"status": 429, "retry_after_s": 0.05, "times": 1}}
REFUSED_ONCE = SHOP | {"rules": [REFUSED, *SHOP["rules"]]}

CASES = {
    "anthropic": ("spans_anthropic.py", REFUSED_ONCE, {}),
    "openai": ("spans_openai.py", SHOP, {}),
    "anthropic plain": ("spans_anthropic.py", REFUSED_ONCE, {"TRIMTAB_DISABLED": "1"}),
    "openai plain": ("spans_openai.py", SHOP, {"TRIMTAB_DISABLED": "1"}),
}
"""Program, what the provider does, and variables."""


class Seen(NamedTuple):
    """A traced program, what it recorded, and the id of the user's trace."""

    ran: Any
    records: Any
    trace_id: str


@pytest.fixture(scope="module")
def runs(flow: Any) -> Iterator[dict[str, Future[Any]]]:
    """Every case, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(flow.run, flow.program(program), scenario, **env)
            for name, (program, scenario, env) in CASES.items()
        }


@pytest.fixture(scope="module", params=["anthropic", "openai"])
def seen(request: pytest.FixtureRequest, flow: Any, runs: Any) -> Seen:
    """One of the programs after it ran."""
    ran = runs[request.param].result()
    assert 0 == ran.returncode, ran.stderr
    return Seen(ran, flow.records(ran.home), ran.stderr.splitlines()[0])


def test_every_request_is_one_call(seen: Seen) -> None:
    """As many calls as the agent made, though each was told of up to four times; a retry is an attempt of its call."""
    calls = seen.records.rows("FROM calls")
    retries = [e for e in seen.ran.log if e.headers.get("x-stainless-retry-count", "0") != "0"]
    assert len(seen.ran.log) - len(retries) == len(calls)
    assert len(seen.ran.log) == sum(c["attempts"] for c in calls)
    spans = seen.records.rows("SELECT call_id, scope FROM gen_ai_spans WHERE subject = 'call'")
    assert {c["call_id"] for c in calls} == {s["call_id"] for s in spans}
    assert len(spans) > len(calls)
    sent = [e.request_id for e in seen.ran.log if not e.headers["user-agent"].startswith("Python-urllib")]
    wire = seen.records.rows("SELECT request_id FROM attempts WHERE api != 'otel' ORDER BY started_ns")
    assert sent == [a["request_id"] for a in wire]


def test_tokens_are_summed_once(seen: Seen) -> None:
    """The tokens of all calls are those that the provider reported, and each call has a price."""
    total = seen.records.row("SELECT sum(input_tokens) AS i, sum(output_tokens) AS o, min(cost_musd) AS c FROM calls")
    log = [e for e in seen.ran.log if e.status == 200]
    assert sum(e.usage["input_tokens"] for e in log) == total["i"]
    assert sum(e.usage["output_tokens"] for e in log if e.api != "openai.embeddings") == total["o"]
    assert total["c"] >= 0


def test_calls_stand_in_the_users_trace(seen: Seen) -> None:
    """From every call the user's own trace is found; an attempt that was sent inside of it says so itself."""
    found = seen.records.rows("SELECT call_id FROM gen_ai_spans WHERE subject = 'call' AND trace_id = ?", seen.trace_id)
    assert {c["call_id"] for c in seen.records.rows("FROM calls")} == {s["call_id"] for s in found}
    assert {seen.trace_id} == {a["trace_id"] for a in seen.records.rows("FROM attempts")}


def test_the_users_tracing_is_as_without_us(seen: Seen, runs: Any, request: pytest.FixtureRequest) -> None:
    """Output, and the spans that the user's exporter got, are the same with TRIMTAB_DISABLED=1."""
    name = request.node.callspec.params["seen"]
    plain = runs[f"{name} plain"].result()
    assert (plain.returncode, plain.stdout) == (0, seen.ran.stdout)
    assert [] == list(plain.home.rglob("*"))


def test_nothing_is_lost(seen: Seen) -> None:
    """No record is missing, and every span is placed in the one run and on a line of the user's."""
    assert [] == seen.records.rows("FROM losses")
    assert 1 == seen.records.row("SELECT count(DISTINCT run_id) AS n FROM gen_ai_spans")["n"]
    owners = seen.records.rows("SELECT DISTINCT owner FROM gen_ai_spans LEFT JOIN sites USING (site_id)")
    assert [{"owner": "user"}] == owners


def test_tools_of_the_tool_runner_are_seen_running(flow: Any, runs: Any) -> None:
    """Each tool call that the model asked for was executed once, with its times and its own error."""
    ran = runs["anthropic"].result()
    records = flow.records(ran.home)
    asked = {call.id: call.name for entry in ran.log for call in entry.tool_calls}
    tools = records.rows("FROM tool_calls")
    assert asked == {t["provider_id"]: t["name"] for t in tools}
    assert len(asked) == len(tools) == 3
    assert {("observed", False)} == {(t["origin"], t["is_upper_bound"]) for t in tools}
    assert ["ValueError"] == [t["error_type"] for t in tools if t["status"] == "error"]
    agents = records.rows("SELECT span_id FROM gen_ai_spans WHERE operation = 'invoke_agent'")
    parents = records.rows("SELECT parent_span_id FROM gen_ai_spans WHERE subject = 'tool'")
    assert {a["span_id"] for a in agents} == {p["parent_span_id"] for p in parents}


def test_what_nobody_saw_on_the_wire_is_a_call(flow: Any, runs: Any) -> None:
    """The request that went out by other means is there by its span alone: marked, with tokens, line and price."""
    ran = runs["openai"].result()
    records = flow.records(ran.home)
    call = records.row("SELECT * FROM calls JOIN sites USING (site_id) WHERE api = 'otel'")
    (entry,) = [e for e in ran.log if e.request_id not in {a["request_id"] for a in records.rows("FROM attempts")}]
    assert (entry.response_id, entry.usage["input_tokens"]) == (call["response_id"], call["input_tokens"])
    assert ("ask_out_of_sight", "user", "gpt-4o", "estimated") == (
        *(call["function"], call["owner"]),
        *(call["model"], call["cost_source"]),
    )
