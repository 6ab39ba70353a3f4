"""Findings stand at the line that made the decision, however many lines of calls lead there."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.failures import RULES
from trimtab_analyzer.findings import Finding, analyze

BY_ID = {rule.id: rule for rule in RULES}
DENIED = {"error_class": "auth", "http_status": 401, "cost_musd": 0}


def found(shelf: Any, rule: str) -> list[Finding]:
    """What one rule says."""
    return analyze(shelf.con, rules=[BY_ID[rule]])


@pytest.fixture
def lines(shelf: Any) -> Any:
    """A store with a run, and five more lines."""
    for number, site_id in enumerate(("client", "ask", "ask again", "tool", "switch"), 20):
        shelf.site(site_id, number)
    return shelf


def test_a_key_is_blamed_where_the_client_was_made(lines: Any) -> None:
    """Two calls of one client whose key is refused are one finding, at the client's line."""
    for site_id in ("ask", "ask again"):
        call_id = lines.call("r1", DENIED, site_id=site_id)
        lines.decide("r1", "max_retries", 2, call_id, site_id="client", site_role="constructor")
    assert [("client", 2)] == [(f.site_id, f.calls) for f in found(lines, "auth")]


def test_a_key_is_blamed_at_the_call_where_the_client_is_not_known(lines: Any) -> None:
    """Calls without a decision of their client, or with those of two, stay where they are."""
    lines.call("r1", DENIED, site_id="ask")
    for site_id in ("client", "tool"):
        call_id = lines.call("r1", DENIED, site_id="ask again")
        lines.decide("r1", "max_retries", 2, call_id, site_id=site_id, site_role="constructor")
    assert {("ask", 1), ("ask again", 2)} == {(f.site_id, f.calls) for f in found(lines, "auth")}


def test_a_silent_error_is_blamed_on_the_tool(lines: Any) -> None:
    """A tool that swallows its errors is one finding at its definition, whichever lines call it."""
    for site_id in ("ask", "ask again"):
        seen = {"site_id": "tool", "name": "look_up"}
        lines.call("r1", site_id=site_id, tools=[seen, seen | {"args_digest": site_id}])
        lines.call("r1", site_id=site_id, signals={"answers": {f"c{lines.calls}:0": "soft"}})
    lines.outcome("r1", False)
    assert [("tool", "look_up")] == [(f.site_id, f.subject) for f in found(lines, "silent_tool_error")]


def goes_on(shelf: Any, run_id: str, *requests: dict[str, Any]) -> None:
    """A conversation of these requests, each going on from the one before."""
    for number, request in enumerate(requests):
        before = f"c{shelf.calls}"
        call_id = shelf.call(run_id, tools=[{"args_digest": f"{shelf.calls}"}], **request)
        if number:
            shelf.con.execute("UPDATE calls SET continues_call_id = ? WHERE call_id = ?", [before, call_id])


LONG = {"prompt_digest": "p", "signals": {"opening": 7}, "message_count": 6}


def test_a_history_that_lost_its_task_is_a_reset(lines: Any) -> None:
    """A request that goes on from one with a task, and has neither its system prompt nor its first message."""
    goes_on(lines, "r1", LONG, {"prompt_digest": None, "signals": {"opening": 9}, "message_count": 4})
    assert [1] == [f.calls for f in found(lines, "conversation_reset")]


@pytest.mark.parametrize(
    "later",
    [
        {"prompt_digest": "p", "signals": {"opening": 9}, "message_count": 4},
        {"prompt_digest": "q", "signals": {"opening": 7}, "message_count": 4},
        {"prompt_digest": "q", "signals": {"opening": 9}, "message_count": 8},
        {"prompt_digest": "q", "signals": {"opening": 9, "compacted": True}, "message_count": 4},
    ],
    ids=["window", "hand-off", "more was added before", "summary"],
)
def test_a_history_that_was_kept_in_part_is_no_reset(lines: Any, later: dict[str, Any]) -> None:
    """What still has its prompt or its first message, grows, or was summed up, has not lost its task."""
    goes_on(lines, "r1", LONG, later)
    assert [] == found(lines, "conversation_reset")


def test_a_change_that_nobody_asked_for_again_is_doubled(lines: Any) -> None:
    """A harness that runs a change again doubles it, whatever the run looked at in between."""
    lines.call("r1", tools=[{"name": "book", "mutates": True}])
    lines.call("r1", tools=[{"name": "look"}])
    lines.tool("r1", None, name="book", mutates=True)
    assert [1] == [f.evidence["numbers"]["hit"] for f in found(lines, "duplicate_side_effect")]


@pytest.mark.parametrize(
    ("own", "knob"),
    [
        ({"verify_booking": False}, "verify_booking"),
        ({"verify_booking": True}, "verification"),
        ({"colour": False}, "verification"),
        ({"verify_booking": False, "check_total": False}, "verification"),
    ],
    ids=["off", "on", "something else", "one of two"],
)
def test_a_check_is_named_as_the_harness_names_it(lines: Any, own: dict[str, bool], knob: str) -> None:
    """Where one knob of its own is named like a check and is off; one that is on is not what is missing."""
    offered = {"tools_offered": ["book", "get_status"], "site_id": "ask"}
    for number in range(3):
        run_id = lines.run(f"run {number}", name="desk")
        for name, value in own.items():
            lines.decide(run_id, name, value, site_id="switch", site_role="knob")
        book = {"name": "book", "mutates": True, "args_digest": run_id, "site_id": "tool"}
        lines.call(run_id, tools=[book], **offered)
        lines.call(run_id, **offered)
        lines.outcome(run_id, False)
    (finding,) = found(lines, "no_verification")
    assert (finding.knob, finding.site_id) == (knob, "switch" if knob in own else "tool")
    assert ("verify_booking = false" in finding.advice) == (knob in own)
