from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.findings import Finding, analyze

FAILS = {"status": "error", "error_type": "TypeError", "error_message": "unexpected keyword 'q'"}
SAME = {"result_digest": "same"}


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def _run_tools(shelf: Any, *statuses: str, **facts: Any) -> None:
    for status in statuses:
        tool = (FAILS if status == "error" else {"status": status}) | {"args_digest": f"a{shelf.calls}"} | facts
        shelf.run(f"x{shelf.calls}")
        shelf.call(f"x{shelf.calls}", tools=[tool], decisions={"tools": "t1"})


def test_broken_tool_is_found_across_runs(shelf: Any) -> None:
    """Eight failures of nine in nine runs: one finding about the tool, with the interval, and none about a model."""
    _run_tools(shelf, *["error"] * 8, "ok")
    (finding,) = analyze(shelf.con)
    assert finding.title == (
        "The tool search failed 8 of 9 times it ran (95 % interval 57–98 %), in 8 runs,"
        " for example with “unexpected keyword 'q'”"
    )
    assert (finding.rule, finding.subject, finding.knob, finding.value) == ("broken_tool", "search", "tools", '"t1"')
    assert (finding.calls, finding.runs, finding.wasted_musd) == (8, 8, 800)
    assert finding.evidence["numbers"]["low"] == pytest.approx(0.565, abs=1e-3)


def test_broken_tool_names_its_definition_where_it_was_seen_running(shelf: Any) -> None:
    """An observed tool is pinned to the line that defines it, also where no model asked for it."""
    shelf.site("tool", 40, "def search(query):", "tools.py")
    shelf.run("r2")
    for number in range(5):
        facts = FAILS | {"site_id": "tool", "origin": "observed", "args_digest": f"a{number}"}
        shelf.tool(("r1", "r2")[number % 2], None, number, **facts, tool_id=f"run{number}")
    (finding,) = _found(shelf, "broken_tool")
    assert finding.advice.startswith("Mend search (defined at tools.py:40) or")
    assert (finding.site_id, finding.calls, len(finding.evidence["tools"])) == ("tool", 0, 5)


@pytest.mark.parametrize(
    "statuses",
    [["error"] * 4, ["error"] * 5 + ["ok"], ["error"] * 6 + ["unknown"] * 4],
    ids=["four of four", "five of six", "six of ten, the others without a mark"],
)
def test_broken_tool_is_silent_where_the_bound_is_not_above_one_half(shelf: Any, statuses: list[str]) -> None:
    """Too few executions, or too many that returned: that may be chance, or the inputs."""
    _run_tools(shelf, *statuses)
    assert _found(shelf, "broken_tool") == []


def test_broken_tool_is_one_finding_over_all_sets_of_tools(shelf: Any) -> None:
    """Two failures under each of three sets of tools are six of six, and the sets are evidence."""
    for digest in ("t1", "t2", "t3"):
        for _ in range(2):
            shelf.run(f"x{shelf.calls}")
            tool = FAILS | {"args_digest": f"a{shelf.calls}"}
            shelf.call(f"x{shelf.calls}", tools=[tool], tools_digest=digest, decisions={"tools": digest})
    (finding,) = _found(shelf, "broken_tool")
    assert (finding.calls, finding.value, finding.wasted_musd) == (6, "null", 600)
    assert finding.evidence["numbers"]["tools_digests"] == ["t1", "t2", "t3"]
    assert finding.advice == "Mend search (the line that offers it is agent.py:14) or take it out of the tools."


def test_broken_tool_that_works_again_is_no_longer_found(shelf: Any) -> None:
    """A tool that was mended soon has an error rate that may be below one half."""
    _run_tools(shelf, *["error"] * 5, *["ok"] * 5)
    assert _found(shelf, "broken_tool") == []


@pytest.mark.parametrize(
    ("runs", "facts"),
    [(1, {}), (6, {"args_digest": "same"}), (6, {"error_type": "exit_code"})],
    ids=["one run", "the same arguments each time", "a shell whose commands fail"],
)
def test_broken_tool_is_silent_where_something_else_may_fail(shelf: Any, runs: int, facts: dict[str, Any]) -> None:
    """One run, one set of arguments, or commands that end with an exit code do not make a tool broken."""
    for number in range(runs):
        shelf.run(f"x{number}")
    for number in range(6):
        shelf.call(f"x{number % runs}", tools=[FAILS | {"args_digest": f"a{number}"} | facts])
    assert _found(shelf, "broken_tool") == []


def test_broken_tool_leaves_exit_codes_out_of_its_failures(shelf: Any) -> None:
    """Of seven executions that raised and one that ended with an exit code seven are the tool's failures."""
    _run_tools(shelf, *["error"] * 7)
    _run_tools(shelf, "error", error_type="exit_code")
    (finding,) = _found(shelf, "broken_tool")
    assert (finding.evidence["numbers"]["hit"], finding.evidence["numbers"]["of"], finding.calls) == (7, 8, 7)


def test_broken_tool_is_silent_on_calls_that_never_reached_the_tool(shelf: Any) -> None:
    """Malformed arguments, tools that were not offered and requests never answered say nothing about the tool."""
    for facts in ({"args_valid": False}, {"offered": False}, {"origin": "requested"}):
        _run_tools(shelf, *["error"] * 6, **facts, name=str(facts))
    assert _found(shelf, "broken_tool") == []


@pytest.mark.parametrize("facts", [{"args_valid": False}, {"offered": False}, {"origin": "requested"}], ids=str)
def test_broken_tool_counts_only_executions(shelf: Any, facts: dict[str, Any]) -> None:
    """Five failures are five of five, however many calls of that name never reached the tool."""
    _run_tools(shelf, *["error"] * 5)
    _run_tools(shelf, *["unknown"] * 5, **facts)
    (finding,) = _found(shelf, "broken_tool")
    assert (finding.evidence["numbers"]["hit"], finding.evidence["numbers"]["of"]) == (5, 5)


def test_broken_tool_is_silent_on_a_sound_tool(shelf: Any) -> None:
    """A tool that answers is no finding."""
    _run_tools(shelf, *["ok"] * 8)
    assert _found(shelf, "broken_tool") == []


def test_repeated_call_counts_every_repeat_after_the_first(shelf: Any) -> None:
    """Three times the same question with the same answer: two of the three calls brought nothing."""
    for _ in range(3):
        shelf.call(tools=[SAME])
    (finding,) = _found(shelf, "repeated_call")
    assert finding.title == (
        "2 of 3 calls of the tool search gave again what the run had already seen"
        " (same arguments, same result), in 1 run"
    )
    assert (finding.evidence["tools"], finding.wasted_musd) == (["c2:0", "c3:0"], 200)


def test_repeated_call_sees_a_cycle_of_two_tools(shelf: Any) -> None:
    """a b a b a b: once both have given again what they had given, nothing moves any more."""
    for _ in range(3):
        shelf.call(tools=[{"name": "a", "result_digest": "A"}])
        shelf.call(tools=[{"name": "b", "result_digest": "B"}])
    found = {f.subject: f.evidence["tools"] for f in _found(shelf, "repeated_call")}
    assert found == {"a": ["c5:0"], "b": ["c4:0", "c6:0"]}


def test_repeated_call_within_one_answer_counts(shelf: Any) -> None:
    """A model that asks for the same thing twice in one answer pays once for nothing."""
    shelf.call(tools=[SAME, SAME])
    (finding,) = _found(shelf, "repeated_call")
    assert (finding.evidence["tools"], finding.wasted_musd) == (["c1:1"], 50)


@pytest.mark.parametrize(
    "between",
    [{"name": "write", "mutates": True}, {"name": "other", "mutates": None}, {"result_digest": "different"}],
    ids=["a tool that changes things", "a tool that may change things", "the same call with another result"],
)
def test_repeated_call_is_silent_where_something_may_have_changed(shelf: Any, between: dict[str, Any]) -> None:
    """Running the tests again after an edit is work, also if they fail alike."""
    shelf.call(tools=[SAME])
    shelf.call(tools=[between])
    shelf.call(tools=[SAME])
    assert _found(shelf, "repeated_call") == []


def test_repeated_call_sees_through_a_harmless_tool_in_between(shelf: Any) -> None:
    """A tool that says it changes nothing does not make the repeat worth its money."""
    shelf.call(tools=[SAME])
    shelf.call(tools=[{"name": "clock", "mutates": False}])
    shelf.call(tools=[SAME])
    assert len(_found(shelf, "repeated_call")) == 1


@pytest.mark.parametrize(
    "other",
    [{"args_digest": "b"}, {"result_digest": "new"}, {"result_digest": None}, {"name": "find"}, {"mutates": True}],
    ids=["other arguments", "other result", "result not known", "other tool", "a tool that changes things each time"],
)
def test_repeated_call_is_silent_on_calls_that_differ(shelf: Any, other: dict[str, Any]) -> None:
    """Only the same tool with the same arguments and the same result repeats."""
    shelf.call(tools=[SAME | ({"mutates": True} if "mutates" in other else {})])
    shelf.call(tools=[SAME | other])
    assert _found(shelf, "repeated_call") == []


def test_repeated_call_is_silent_across_runs_and_conversations(shelf: Any) -> None:
    """Another run may ask the same; so may the next conversation of a process that was never told where runs end."""
    shelf.run("r2")
    shelf.call("r2", tools=[SAME])
    shelf.call(tools=[SAME], message_count=2)
    shelf.call(tools=[SAME], message_count=2)
    assert _found(shelf, "repeated_call") == []
    shelf.call(tools=[SAME], message_count=4)
    assert len(_found(shelf, "repeated_call")) == 1


def test_repeated_call_is_silent_on_a_tool_that_watches_something(shelf: Any) -> None:
    """A job asked after until it is done was worth asking after, also while it still said the same."""
    for result in ("pending", "pending", "pending", "done"):
        shelf.call(tools=[{"name": "job_status", "result_digest": result, "mutates": False}])
    assert _found(shelf, "repeated_call") == []


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({"mutates": False}, "Answer a repeated search from a cache in the loop around agent.py:14, or"),
        ({"mutates": None}, "Break the loop around agent.py:14 after the second identical call of search,"),
        ({"mutates": False, "status": "error"}, "Stop the loop around agent.py:14 after the same error twice:"),
    ],
    ids=["known to change nothing", "may change something", "an error"],
)
def test_repeated_call_offers_a_cache_only_where_nothing_changes(shelf: Any, facts: Any, advice: str) -> None:
    """A booking must not be answered from a cache, and an error is not worth keeping in one."""
    for _ in range(2):
        shelf.call(tools=[SAME | facts])
    (finding,) = _found(shelf, "repeated_call")
    assert finding.advice.startswith(advice)
    assert ("cache" in finding.advice) == advice.startswith("Answer")


def test_repeated_call_leaves_broken_tools_to_their_own_rule(shelf: Any) -> None:
    """The same failing call over and over is the broken tool's finding alone."""
    shelf.run("r2")
    for number in range(6):
        shelf.call(("r1", "r2")[number // 3], tools=[FAILS | SAME | {"args_digest": f"a{number // 3}"}])
    assert [f.rule for f in analyze(shelf.con)] == ["broken_tool"]
