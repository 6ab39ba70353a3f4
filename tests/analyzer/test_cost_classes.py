"""Each class of the ledger that looks at more than one attempt: what it takes, and the near misses that it must not."""

from __future__ import annotations

from typing import Any

from trimtab_analyzer.cost import ledger

BUSY = {"error_class": "overloaded", "body_digest": "b", "cost_musd": 6}
LOOK = {"mutates": False, "origin": "observed", "result_digest": "nothing found"}


def _classes(shelf: Any, *columns: str) -> list[Any]:
    rows = ledger(shelf.con).select(columns or ("cls",)).rows()
    return rows if len(columns) > 1 else [row[0] for row in rows]


def test_stacked_loops_pay_for_what_one_loop_would_not_have_sent(shelf: Any) -> None:
    """Of three calls with three requests each, one loop would have sent three: six are multiplied."""
    for _ in range(3):
        shelf.call("r1", BUSY, BUSY, BUSY, decisions={"max_retries": 2})
    assert ["failed_attempt"] * 3 + ["retry_multiplication"] * 6 == _classes(shelf)
    assert ("retry_multiplication", "max_retries", "2", 6) == _classes(shelf, "cls", "knob", "value", "cost_musd")[-1]


def test_the_larger_loop_is_the_one_that_would_have_been(shelf: Any) -> None:
    """Of two calls with four and two requests one loop would have sent four; the answer at last is no waste."""
    shelf.call("r1", BUSY, BUSY, BUSY, BUSY)
    shelf.call("r1", BUSY, {"body_digest": "b"})
    assert ["failed_attempt"] * 4 + ["retry_multiplication", "useful"] == _classes(shelf)


def test_one_loop_multiplies_nothing(shelf: Any) -> None:
    """The SDK's retries alone, a loop around single requests alone, and two bodies are failed attempts."""
    shelf.call("r1", BUSY, BUSY, BUSY)
    shelf.now += 1000 * 10**9
    for _ in range(3):
        shelf.call("r1", BUSY | {"body_digest": "c"})
    for digest in ("d", "e"):
        shelf.call("r1", *[BUSY | {"body_digest": digest}] * 3)
    assert {"failed_attempt"} == set(_classes(shelf))


def test_arguments_against_the_schema_are_malformed(shelf: Any) -> None:
    """What the tool's schema forbids counts like what nothing can parse; without a word on it, it does not."""
    call_id = shelf.call(tools=[{}, {}])
    request = {"attempt_id": f"{call_id}.1", "call_id": call_id, "run_id": "r1", "name": "search", "args_valid": True}
    shelf.insert("tool_requests", request | {"index": 0, "args_chars": 9})
    shelf.insert("tool_requests", request | {"index": 1, "args_chars": 9, "schema_error": "'city' is required"})
    assert ["useful", "malformed_tool_args"] == _classes(shelf)


def test_calls_that_bring_nothing_new_three_times_make_no_progress(shelf: Any) -> None:
    """From the third in a row on that gave what the conversation had seen, whatever was asked."""
    for n in range(5):
        shelf.call(tools=[LOOK | {"args_digest": f"query {n}"}], decisions={"loop_guard": None})
    assert ["useful"] * 3 + ["no_progress"] * 2 == _classes(shelf)
    assert ("loop_guard", "null") == _classes(shelf, "knob", "value")[-1]


def test_two_fruitless_calls_are_no_standstill(shelf: Any) -> None:
    """News in between begins the count anew."""
    for n, digest in enumerate(["x", "x", "x", "news", "x", "x"]):
        shelf.call(tools=[LOOK | {"args_digest": f"{n}", "result_digest": digest}])
    assert {"useful"} == set(_classes(shelf))


def test_an_edit_that_says_ok_each_time_makes_progress(shelf: Any) -> None:
    """A tool that may change something is at work, even if its word is always the same; a failing one is not."""
    for n in range(6):
        shelf.call(tools=[{"name": "edit", "args_digest": f"{n}", "result_digest": "ok"}])
    assert {"useful"} == set(_classes(shelf))
    for n in range(4):
        shelf.call(tools=[{"name": "edit", "args_digest": f"new {n}", "result_digest": "no file", "status": "error"}])
    assert ["useful"] * 9 + ["no_progress"] == _classes(shelf)


def test_another_conversation_has_to_see_for_itself(shelf: Any) -> None:
    """Sub-agents that each look once repeat nothing, and a thing that changes is being watched."""
    for n in range(5):
        call_id = shelf.call(tools=[LOOK | {"args_digest": f"query {n}"}])
        shelf.con.execute("UPDATE calls SET conversation_id = ? WHERE call_id = ?", [f"talk {n}", call_id])
    for result in ("running",) * 5 + ("done",):
        shelf.call(tools=[{"name": "status", "mutates": False, "args_digest": "job", "result_digest": result}])
    assert {"useful"} == set(_classes(shelf))


def test_calls_after_the_verdict_are_after_the_run_was_decided(shelf: Any) -> None:
    """Calls begun after the explicit outcome was recorded; waste of another kind keeps its class."""
    shelf.call()
    shelf.outcome("r1", True, recorded_ns=shelf.now)
    shelf.now += 1
    shelf.call(decisions={"stop_rule": None})
    shelf.call("r1", BUSY)
    assert ["useful", "after_decided", "failed_attempt"] == _classes(shelf)
    assert ("stop_rule", "null", "site") == _classes(shelf, "knob", "value", "site_id")[1]


def test_what_does_not_decide_a_run_leaves_its_calls_useful(shelf: Any) -> None:
    """An evaluator's or inferred word, a score, another run's verdict, and one that was taken back decide nothing."""
    shelf.run("r2")
    shelf.outcome("r2", True, recorded_ns=0)
    for source in ("evaluator", "inferred"):
        shelf.outcome("r1", True, source, recorded_ns=0)
    shelf.outcome("r1", None, score=0.5, recorded_ns=0)
    shelf.outcome("r1", False, recorded_ns=0)
    shelf.now += 10
    shelf.call()
    shelf.outcome("r1", True, recorded_ns=shelf.now)
    assert ["useful"] == _classes(shelf)


def test_a_verdict_from_before_the_run_is_not_its_own(shelf: Any) -> None:
    """A clock that stands before the run's start says nothing of when it was decided."""
    shelf.now += 10
    shelf.run("late")
    shelf.outcome("late", True, recorded_ns=3)
    shelf.call("late")
    assert ["useful"] == _classes(shelf)
