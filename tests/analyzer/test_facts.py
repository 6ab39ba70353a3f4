from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer import facts, load
from trimtab_analyzer.case import Case
from trimtab_analyzer.findings import analyze
from trimtab_tracer.exchange import Captured, ExchangeBuilder
from trimtab_tracer.ingest import ingest
from trimtab_tracer.records import Attempt, Outcome, RunStart, Site
from trimtab_tracer.store import Store
from trimtab_tracer.wire.formats import CHAT

TOOL = {"name": "find_order", "parameters": {"type": "object", "required": ["id"]}}
ASKED = {"id": "t1", "function": {"name": "find_order", "arguments": '{"number": 7}'}}


def _attempt(number: int, messages: list[Any], message: dict[str, Any]) -> Captured:
    ids = (f"a{number}", f"c{number}", "r", "p")
    attempt = Attempt(*ids, 1, 100 * number, 5, "openai.chat", "POST", "llm", "/v1", "s", "complete", http_status=200)
    body = {"model": "m", "messages": messages, "tools": [{"type": "function", "function": TOOL}]}
    finish = "tool_calls" if "tool_calls" in message else "stop"
    reply = {"model": "m", "choices": [{"message": message, "finish_reason": finish}]}
    return Captured(attempt, CHAT, json.dumps(body).encode(), json.dumps(reply).encode(), False)


@pytest.mark.parametrize("mode", ["off", "full"])
def test_signals_reach_the_rules_from_the_wire(tmp_path: Path, mode: str) -> None:
    """What two bodies told is asked of the store again, with and without their contents, and found by the rules."""
    user = {"role": "user", "content": "Where is order 7?"}
    asks = {"role": "assistant", "content": None, "tool_calls": [ASKED]}
    result = {"role": "tool", "tool_call_id": "t1", "content": "TypeError: missing 1 required argument: 'id'"}
    builder = ExchangeBuilder(mode)
    told = [
        _attempt(1, [user], asks),
        _attempt(2, [user, asks, result], {"content": "It left on 2026-11-30, box 4411."}),
    ]
    with Store.open(tmp_path / "t.duckdb") as store:
        start = [RunStart("r", "p", 1, "shop", "explicit"), Site("s", "agent.py", "main", 14, 14, "ask()")]
        records = [record for each in told for record in (each.attempt, *builder.build(each))]
        ingest(store, [*start, *records, Outcome("o", "r", 900, False)])
        con = store.cursor()
        with load.snapshot(con):
            case = Case.load(con)
            answers, steps, runs = facts.answers(case), facts.steps(case), facts.runs(case)
        found = {f.rule: f.subject for f in analyze(con)}
    assert answers["opening"].n_unique() == 1
    assert answers["numbers"].to_list() == [None, [4, 4]]
    assert answers.select("asks", "n_offered", "is_lost").rows() == [(1, 1, True), (0, 1, True)]
    assert steps.select("schema_error", "status", "is_keyed").rows() == [("missing: id", "error", False)]
    assert steps["words"].list.len().to_list() == [1]
    assert runs.select("kind", "n_calls", "n_tools", "failed").rows() == [("/shop", 2, 1, True)]
    assert found == {"schema_invalid_args": "find_order"}  # and no ungrounded answer: its tool told it nothing
