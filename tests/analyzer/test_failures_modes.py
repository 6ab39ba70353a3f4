"""What rules about runs, contracts and environments say beyond their one story: aggregates, variants, who answers."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.findings import Finding, analyze

FAILS = {"status": "error", "error_type": "KeyError", "error_message": "no such row"}


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def test_an_import_error_before_the_first_call_is_the_environments(shelf: Any) -> None:
    """The run's exception is named by the preflight rule and by no other."""
    shelf.run("r2", status="error", error_type="ModuleNotFoundError", error_message="No module named 'x'", ended_ns=9)
    shelf.call()
    (finding,) = analyze(shelf.con)
    assert (finding.rule, finding.subject, finding.evidence["ended_runs"]) == (
        "never_ran",
        "ModuleNotFoundError",
        ["r2"],
    )


def test_a_command_missing_in_two_runs_is_the_environments(shelf: Any) -> None:
    """In one run that went well it is part of the work; in two it is what the image lacks."""
    for run_id in ("r1", shelf.run("r2")):
        shelf.call(run_id, signals={"missing": ["rg"]})
        assert len(_found(shelf, "never_ran")) == (run_id == "r2")


def test_an_incident_is_blamed_on_no_knob_and_ends_its_runs(shelf: Any, stories: Any) -> None:
    """The failures of the window have one finding; one outside of it has its own."""
    stories["incident"](shelf)
    shelf.now += 3600 * 10**9
    shelf.call("r1", {"error_class": "overloaded", "cost_musd": 0}, decisions={"max_retries": 0})
    found = {f.rule: (f.knob, f.calls) for f in analyze(shelf.con)}
    assert found == {"incident": ("provider", 6), "provider_error": ("max_retries", 1)}


def test_candidates_are_not_looked_for_in_a_doubted_run(shelf: Any) -> None:
    """Where verdicts contradict each other the agent's answer is not called ungrounded."""
    shelf.call(signals={"numbers": [2, 2]})
    shelf.outcome("r1", False)
    assert len(_found(shelf, "ungrounded_answer")) == 1
    shelf.outcome("r1", True, "evaluator")
    shelf.outcome("r1", False, "evaluator")
    shelf.run("r2")
    shelf.outcome("r1", True, "explicit")
    assert {f.rule for f in analyze(shelf.con)} == {"evaluator_fault"}


def test_an_evaluator_that_judges_the_same_words_both_ways_is_named(shelf: Any) -> None:
    """The same final answer to the same task, once right and once wrong: the failed run is the finding's."""
    for run_id, success in (("a", True), ("b", False)):
        shelf.call(shelf.run(run_id, task="t"), output_digest="same")
        shelf.outcome(run_id, success, "evaluator")
    (finding,) = _found(shelf, "evaluator_fault")
    assert (finding.subject, finding.evidence["runs"]) == ("not constant", ["b"])


def test_arguments_that_never_fit_are_the_definitions_fault(shelf: Any) -> None:
    """Six of six in two runs: the schema; two of six: the model."""
    shelf.run("r2")
    for number in range(6):
        misfit = {"schema_error": "missing: q", "status": "unknown"}
        some = misfit if number < 2 else {"args_digest": f"{number}"}
        tools = [misfit | {"name": "always"}, some | {"name": "sometimes"}]
        shelf.call(("r1", "r2")[number % 2], tools=tools, decisions={"model": "m1"})
    assert {f.subject: f.knob for f in _found(shelf, "schema_invalid_args")} == {
        "always": "tools",
        "sometimes": "model",
    }


@pytest.mark.parametrize("lost", [True, False])
def test_a_refusal_in_words_is_a_candidate_in_failed_runs(shelf: Any, lost: bool) -> None:
    """The words alone may be quoted; as the provider says it, it is certain."""
    shelf.call(signals={"refused": True})
    shelf.outcome("r1", not lost)
    assert ["condition" in f.evidence["numbers"] for f in _found(shelf, "refusal")] == [True] * lost
    shelf.call(finish_reason="refusal")
    assert ["condition" in f.evidence["numbers"] for f in _found(shelf, "refusal")] == [False]


@pytest.mark.parametrize(
    ("look", "rule", "knob"),
    [
        ("denied", "auth", "tools"),
        ("absent", "not_found", "tools"),
        ("soft", "silent_tool_error", "tools"),
        ("object", "silent_tool_error", "tools"),
    ],
)
def test_what_a_tool_answers_has_its_rule(shelf: Any, look: str, rule: str, knob: str) -> None:
    """In a failed run a refusal, a missing thing and a swallowed error are told apart by how the answer looks."""
    status = "unknown" if look in ("soft", "object") else "error"
    shelf.call(tools=[{"status": status, "error_type": None}])
    shelf.call(signals={"answers": {"c1:0": look}})
    shelf.outcome("r1", False)
    (finding,) = analyze(shelf.con)
    assert (finding.rule, finding.knob, finding.evidence["tools"]) == (rule, knob, ["c1:0"])


def test_a_tool_that_never_says_anything_is_no_error(shelf: Any) -> None:
    """A tool to think with returns nothing each time; one that sometimes has a result fails silently."""
    for name, empties in (("think", 4), ("find", 1)):
        for number in range(4):
            shelf.call(tools=[{"name": name, "args_digest": f"{number}", "status": "unknown"}])
            empty = {"answers": {f"c{shelf.calls}:0": "empty"}}
            shelf.call(signals=empty if number < empties else {})
    shelf.outcome("r1", False)
    assert [f.subject for f in _found(shelf, "silent_tool_error")] == ["find"]


def test_a_swallowed_exception_is_the_wrappers(shelf: Any) -> None:
    """The execution ended well and its result says that it failed."""
    shelf.call(tools=[FAILS | {"ran_status": "ok"}])
    shelf.outcome("r1", False)
    assert [f.rule for f in analyze(shelf.con)] == ["silent_tool_error"]


def test_a_cycle_of_three_calls_is_a_loop(shelf: Any) -> None:
    """Three rounds of the same three calls, of which one says each time the same: the last round is named."""
    for turn in range(3):
        for name in ("read", "plan", "edit"):
            same = name == "read"
            shelf.call(tools=[{"name": name, "mutates": None, "result_digest": "r" if same else f"{name} {turn}"}])
    found = _found(shelf, "repeated_call")
    assert sorted(f.subject for f in found) == ["edit", "plan", "read"]
    assert {i for f in found for i in f.evidence["tools"]} >= {"c7:0", "c8:0", "c9:0"}


def test_an_answer_said_three_times_is_no_progress(shelf: Any) -> None:
    """In a conversation that grows, in a failed run; twice is not enough."""
    for number in range(3):
        assert _found(shelf, "no_progress") == []
        shelf.call(output_digest="same", output_chars=9, message_count=2 + number)
        if number == 0:
            shelf.outcome("r1", False)
    (finding,) = _found(shelf, "no_progress")
    assert (finding.subject, finding.evidence["calls"]) == ("answers", ["c3"])


@pytest.mark.parametrize(
    "facts",
    [
        {"error_type": "agents.exceptions.MaxTurnsExceeded"},
        {"error_type": "langgraph.errors.GraphRecursionError"},
        {"error_type": "LimitsExceeded"},
        {"error_type": "RuntimeError", "error_message": "Agent stopped: maximum number of iterations reached"},
    ],
)
def test_an_exception_that_tells_of_a_limit_is_one(shelf: Any, facts: dict[str, str]) -> None:
    """Whatever framework raises it; the exception is accounted for, and the limit in force is named."""
    shelf.decide("r1", "max_turns", 7)
    shelf.call(tools=[{}])
    shelf.con.execute(
        "UPDATE runs SET status = 'error', error_type = ?, error_message = ?",
        [facts["error_type"], facts.get("error_message")],
    )
    (finding,) = analyze(shelf.con)
    assert (finding.rule, finding.knob, finding.value, finding.evidence["ended_runs"]) == (
        "limit_hit",
        "max_turns",
        "7",
        ["r1"],
    )


def test_runs_that_break_off_after_as_many_calls_met_a_limit(shelf: Any) -> None:
    """A loop of the user's own has no knob: two failed runs of four calls, with tools still asked for, tell of it."""
    for run_id, calls in (("a", 4), ("b", 4), ("c", 2)):
        shelf.outcome(shelf.run(run_id), False)
        for number in range(calls):
            shelf.call(run_id, tools=[{"args_digest": f"{number}"}])
    (finding,) = _found(shelf, "limit_hit")
    assert (finding.knob, finding.value, sorted(finding.evidence["runs"])) == ("max_steps", "null", ["a", "b"])


def test_a_prompt_that_changes_with_every_call_misses_the_cache(shelf: Any) -> None:
    """Also where nothing was ever read from it, so that only the changes tell."""
    for number in range(5):
        large = {"input_tokens": 2000, "cache_read_tokens": 0, "message_count": 1 + 2 * number}
        shelf.call(**large, prompt_digest=f"p{number}")
    (finding,) = _found(shelf, "cache_miss")
    assert (finding.knob, finding.calls) == ("prompt_version", 4)


def test_a_change_left_by_a_run_that_failed_comes_before_what_failed_after_it(shelf: Any) -> None:
    """A tool may always fail; that nothing took back what had been done before is the harness's."""
    shelf.call(tools=[{"name": "book", "mutates": True}])
    shelf.call(tools=[FAILS])
    shelf.outcome("r1", False)
    assert [f.rule for f in analyze(shelf.con)] == ["uncompensated_side_effect", "tool_error"]


def _booked(shelf: Any, compensation: str | None, undoing: str | None, run_id: str = "r1", **step: Any) -> None:
    """A booking whose run an exception ends, and what the run's saga says of it."""
    call_id = shelf.call(run_id, tools=[{"name": "book", "mutates": True, "ran_status": "ok"}])
    ids = {"run_id": run_id, "tool_run_id": f"run {call_id}:0"}
    shelf.con.execute("UPDATE tool_runs SET compensation = ? WHERE tool_run_id = ?", [compensation, ids["tool_run_id"]])
    shelf.con.execute("UPDATE runs SET status = 'error', error_type = 'KeyError' WHERE run_id = ?", [run_id])
    if undoing:
        times = {"started_ns": shelf.now, "ended_ns": shelf.now}
        said = {"tool": "book", "compensation": compensation, "status": undoing}
        shelf.insert("saga_steps", {"saga_id": call_id, "number": 1, **ids, **said, **times} | step)


@pytest.mark.parametrize(
    ("compensation", "undoing", "advice"),
    [
        ("Trips.cancel", "failed", "Mend Trips.cancel, which should have undone book and failed 1 time with OSError."),
        ("cancel", "not_run", "Undo book by hand: an interrupt came before cancel was called, 1 time."),
        (
            "cancel",
            "unknown",
            "Let book end before its run does: it still ran when cancel should have undone it, 1 time.",
        ),
        ("cancel", None, "Have cancel called, which is declared to undo book and was not, 1 time: open the run with"),
        (None, "undeclared", "Take book back where the run fails (declare what undoes it), or write last, at agent.py"),
        (None, None, "Take book back where the run fails (declare what undoes it), or write last, at agent.py"),
    ],
)
def test_advice_names_the_compensation_that_did_not_work(
    shelf: Any, compensation: str | None, undoing: str | None, advice: str
) -> None:
    """A change that a saga did not undo stayed, and what helps depends on why."""
    _booked(shelf, compensation, undoing, error_type="OSError" if undoing == "failed" else None)
    (finding,) = _found(shelf, "uncompensated_side_effect")
    assert (finding.subject, finding.calls, finding.evidence["runs"]) == ("book", 1, ["r1"])
    assert finding.advice.startswith(advice)
    told = finding.evidence["numbers"]["compensations"]
    assert [(one["compensation"], one["n"]) for one in told] == ([(compensation, 1)] if compensation else [])


def test_a_change_that_a_saga_could_not_undo_stays_whatever_else_was_cancelled(shelf: Any) -> None:
    """A later call that takes something back counts for changes of which no saga says anything."""
    for run_id, undoing in (("r1", "failed"), (shelf.run("r2"), None)):
        _booked(shelf, "refund", undoing, run_id)
        shelf.call(run_id, tools=[{"name": "cancel_order", "mutates": True}])
    (finding,) = _found(shelf, "uncompensated_side_effect")
    assert finding.evidence["runs"] == ["r1"]


def test_candidates_stand_below_what_is_certain(shelf: Any) -> None:
    """And among what is certain a mode that surely loses a run stands above one that seldom does."""
    shelf.call(signals={"numbers": [2, 2]}, finish_reason="length")
    shelf.call(tools=[FAILS])
    shelf.call("r1", {"error_class": "auth", "cost_musd": 0})
    shelf.outcome("r1", False)
    shelf.call(shelf.run("r2"), signals={"numbers": [2, 2]})
    shelf.outcome("r2", False)
    assert [f.rule for f in analyze(shelf.con)] == ["auth", "truncation", "tool_error", "ungrounded_answer"]
