"""Of several things that went wrong in a run, the one that the others followed from is named first."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.failures import RULES
from trimtab_analyzer.findings import Finding, analyze

BY_ID = {rule.id: rule for rule in RULES}
FAILS = {"status": "error", "error_type": "KeyError", "error_message": "no such row"}
DOWN = {"error_class": "server", "http_status": 503, "cost_musd": 0}
LARGE = {"input_tokens": 2000, "message_count": 2, "cache_read_tokens": 0}


def found(shelf: Any, *rules: str) -> list[Finding]:
    """What these rules say; all of them where none is named."""
    return analyze(shelf.con, rules=[BY_ID[rule] for rule in rules] or RULES)


def ended(shelf: Any, run_id: str, error_type: str, message: str = "it gave up") -> None:
    """End a run with an exception, and call it failed."""
    shelf.con.execute(
        "UPDATE runs SET status = 'error', error_type = ?, error_message = ?, error_site_id = 'site' WHERE run_id = ?",
        [error_type, message, run_id],
    )
    shelf.outcome(run_id, False)


def goes_on(shelf: Any, run_id: str, *requests: dict[str, Any]) -> None:
    """A conversation of these requests, each going on from the one before, asking for one tool each."""
    for number, request in enumerate(requests):
        before = f"c{shelf.calls}"
        call_id = shelf.call(run_id, **({"tools": [{"args_digest": f"{shelf.calls}"}]} | request))
        if number:
            shelf.con.execute("UPDATE calls SET continues_call_id = ? WHERE call_id = ?", [before, call_id])


def test_a_rate_limit_is_no_limit_of_the_agents(shelf: Any) -> None:
    """An exception whose words are of limits, after a request that failed, is the provider's."""
    shelf.call("r1", {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}, decisions={"max_retries": 0})
    ended(shelf, "r1", "openai.RateLimitError", "Rate limit reached for requests")
    assert [f.rule for f in found(shelf)] == ["rate_limit"]


@pytest.mark.parametrize(
    ("steps", "first"),
    [
        ([FAILS] * 4, "tool_error"),
        ([{"args_valid": False, "args_error": "x", "origin": "requested"}] * 4, "malformed_tool_args"),
        ([{"name": "x", "offered": False}] * 4, "unknown_tool"),
        ([{}, {}, {}, FAILS], "limit_hit"),
    ],
    ids=["errors", "malformed", "unknown", "one error of four"],
)
def test_what_a_run_was_stuck_in_comes_before_its_limit(shelf: Any, steps: list[Any], first: str) -> None:
    """A limit ends a run that could not get on as well as one that needed more turns; only the latter is its fault."""
    shelf.call(shelf.run("well"), tools=[{"args_digest": f"w{n}"} for n in range(9)])
    for number, step in enumerate(steps):
        shelf.call(tools=[{"args_digest": f"a{number}"} | step])
    ended(shelf, "r1", "MaxTurnsExceeded", "Max turns exceeded")
    assert found(shelf)[0].rule == first
    assert ("limit_hit" in {f.rule for f in found(shelf)}) == (first == "limit_hit")


def test_an_exception_that_gave_up_a_stuck_run_is_a_candidate(shelf: Any) -> None:
    """What was turned down again and again comes before the exception that ended it; alone it is certain."""
    for number in range(4):
        shelf.call(rejected_by=f"c{number + 2}" if number < 3 else None)
    ended(shelf, "r1", "ValueError")
    shelf.call(shelf.run("r2"))
    ended(shelf, "r2", "ValueError")
    errors = {f.evidence["runs"][0]: "condition" in f.evidence["numbers"] for f in found(shelf, "run_error")}
    assert errors == {"r1": True, "r2": False}


@pytest.mark.parametrize(
    ("retries", "rescued", "knob"), [(2, 0, "fallback"), (2, 1, "max_retries"), (1, 0, "max_retries")]
)
def test_retries_in_vain_want_a_fallback(shelf: Any, retries: int, rescued: int, knob: str) -> None:
    """Where the usual retries brought no answer more will not; where they brought some, or were few, they may."""
    for _ in range(2):
        shelf.call("r1", *[DOWN] * (retries + 1), decisions={"max_retries": retries})
    for _ in range(rescued):
        shelf.call("r1", *[DOWN] * retries, {}, decisions={"max_retries": retries})
    assert [f.knob for f in found(shelf, "provider_error")] == [knob]


@pytest.mark.parametrize(("answered", "knob", "lost"), [(True, "parallelism", 0), (False, "max_retries", 2)])
def test_what_a_loop_asked_again_with_success_is_not_lost(shelf: Any, answered: bool, knob: str, lost: int) -> None:
    """A loop of the user's around a client without retries does what retries do."""
    same = {"body_digest": "b"}
    shelf.call("r1", DOWN | same, decisions={"max_retries": 0})
    shelf.call("r1", (same if answered else DOWN | same), decisions={"max_retries": 0})
    (finding,) = found(shelf, "provider_error")
    assert (finding.knob, finding.evidence["numbers"]["lost_calls"]) == (knob, lost)


@pytest.mark.parametrize(
    ("hot", "cold", "knob"), [(1.7, None, "temperature"), (0.7, None, "model"), (1.7, 0.2, "model")]
)
def test_what_is_wrong_with_hot_answers_is_the_temperature(
    shelf: Any, hot: float, cold: float | None, knob: str
) -> None:
    """Unless it lies where providers have it, or cooler calls have the same as often."""
    for temperature in (hot, cold):
        if temperature is not None:
            shelf.call(parsed=True, output_chars=0, decisions={"temperature": temperature, "model": "m1"})
    assert knob in {f.knob for f in found(shelf, "empty_output")}


def test_what_was_asked_again_after_a_cut_is_lost_history_and_no_loop(shelf: Any) -> None:
    """A window keeps as many messages as before although a call and its result were added: the oldest are gone."""
    same = {"tools": [{"result_digest": "same"}], "prompt_digest": "p", "signals": {"opening": 7}}
    other = same | {"tools": [{"args_digest": "b"}]}
    goes_on(shelf, "r1", same | {"message_count": 2}, other | {"message_count": 4}, same | {"message_count": 4})
    assert [("lost_history", 1)] == [(f.rule, f.calls) for f in found(shelf, "repeated_call", "lost_history")]


def test_what_was_asked_again_in_a_history_that_grew_is_a_loop(shelf: Any) -> None:
    """The model could see what it had been told."""
    same = {"tools": [{"result_digest": "same"}], "prompt_digest": "p", "signals": {"opening": 7}}
    goes_on(shelf, "r1", same | {"message_count": 2}, same | {"message_count": 4}, same | {"message_count": 6})
    assert [("repeated_call", 2)] == [(f.rule, f.calls) for f in found(shelf, "repeated_call", "lost_history")]


@pytest.mark.parametrize(("success", "resets"), [(False, 1), (True, 0)])
def test_a_window_that_drops_the_task_is_a_reset_where_the_run_failed(shelf: Any, success: bool, resets: int) -> None:
    """A talk that goes on for long moves on from its first message without harm."""
    of = {"prompt_digest": "p"}
    goes_on(
        shelf,
        "r1",
        of | {"signals": {"opening": 7}, "message_count": 4},
        of | {"signals": {"opening": 9}, "message_count": 4},
    )
    shelf.outcome("r1", success)
    assert len(found(shelf, "conversation_reset")) == resets


@pytest.mark.parametrize(("gap_s", "said"), [(0.001, 1), (3.0, 0)])
def test_a_burst_counts_as_many_at_once(shelf: Any, gap_s: float, said: int) -> None:
    """Requests that begin within a blink reach the provider together; those that come one by one do not."""
    shelf.now = start = 10 * 10**9
    for number in range(8):
        shelf.now = start + int(number * gap_s * 1e9)
        refused = {"error_class": "rate_limit", "cost_musd": 0} if number < 5 else {}
        shelf.call("r1", refused | {"duration_s": 2})
    for _ in range(9):
        shelf.now += 10**9
        shelf.call()
    assert len(found(shelf, "over_parallel")) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [({}, 1), ({"prompt_digest": "same"}, 0), ({"input_tokens": 9000}, 0), ({"cache_read_tokens": 1900}, 0)],
    ids=["a prompt of its own each", "the same prompt", "of other length", "read from the cache"],
)
def test_prompts_that_differ_from_run_to_run_miss_the_cache(shelf: Any, change: dict[str, Any], said: int) -> None:
    """Where the provider caches, and first requests are as long as one another with another prompt each."""
    for number in range(6):
        run_id = shelf.run(f"run {number}")
        first = LARGE | {"prompt_digest": f"p{number}"} | (change if number or "input_tokens" not in change else {})
        goes_on(shelf, run_id, first, first | {"message_count": 4, "cache_read_tokens": 1900})
    assert len([f for f in found(shelf, "cache_miss") if f.subject == "from run to run"]) == said


@pytest.mark.parametrize(
    ("where", "said"),
    [({"host": "api.openai.com", "model": "gpt-5-mini"}, 1), ({"host": "localhost", "model": "own"}, 0)],
    ids=["a lower price for cached input", "no price"],
)
def test_a_provider_that_caches_is_known_by_its_prices(shelf: Any, where: dict[str, Any], said: int) -> None:
    """Where no call ever read from the cache, the price list says whether one could have."""
    for number in range(6):
        shelf.call(shelf.run(f"run {number}"), **LARGE | where | {"prompt_digest": f"p{number}"})
    assert len([f for f in found(shelf, "cache_miss") if f.subject == "from run to run"]) == said


def test_a_refusal_that_left_a_change_behind_is_not_the_tools(shelf: Any) -> None:
    """A carrier may refuse; that what was reserved stays so is the harness's. Without a change it is the tool's."""
    for run_id, before in (
        ("left", {"name": "reserve", "mutates": True, "ran_status": "ok"}),
        ("plain", {"name": "look"}),
    ):
        shelf.call(shelf.run(run_id), tools=[before | {"args_digest": run_id}])
        shelf.call(run_id, tools=[FAILS | {"name": "book", "args_digest": run_id}])
        ended(shelf, run_id, "shop.RefusedError")
    assert [["left"]] == [f.evidence["runs"] for f in found(shelf, "uncompensated_side_effect")]
    assert [["plain"]] == [f.evidence["runs"] for f in found(shelf, "tool_error")]


@pytest.mark.parametrize(("last", "said"), [(FAILS, 0), ({}, 1)])
def test_an_answer_without_ground_is_the_tools_where_the_tool_said_nothing(shelf: Any, last: Any, said: int) -> None:
    """An error that the agent got over before takes nothing from the last tool's word."""
    shelf.call(tools=[FAILS | {"args_digest": "x"}])
    shelf.call(tools=[{"args_digest": "y"} | last])
    shelf.call(signals={"numbers": [2, 2]})
    shelf.outcome("r1", False)
    assert len(found(shelf, "ungrounded_answer")) == said


@pytest.mark.parametrize(
    ("heard", "success", "said"), [([1], False, 1), ([1, 2], False, 0), ([3], False, 0), ([1], True, 0)]
)
def test_a_part_of_what_was_handed_over_is_withheld(shelf: Any, heard: list[int], success: bool, said: int) -> None:
    """Words that one agent gave and the next was not told, in runs that failed; all of them, or others, say nothing."""
    shelf.decide("r1", "handoff_fields", ["city"], site_role="knob")
    shelf.call(prompt_digest="lead", signals={"words_out": [1, 2]})
    shelf.call(prompt_digest="worker", signals={"words_in": heard})
    shelf.outcome("r1", success)
    assert [f.knob for f in found(shelf, "withheld_info")] == ["handoff_fields"] * said


def test_peers_of_a_short_run_are_those_that_succeeded(shelf: Any) -> None:
    """Most runs that end too early make short ones usual; beside those that succeeded they are short."""
    for number in range(9):
        run_id = shelf.run(f"run {number}")
        for step in range(3 if number < 3 else 0):
            shelf.call(run_id, tools=[{"args_digest": f"a{step}"}])
        shelf.call(run_id, tools_offered=["search"], tools_digest="t1")
        shelf.outcome(run_id, number < 3)
    assert [6] == [f.runs for f in found(shelf, "premature_end")]


@pytest.mark.parametrize(("offered", "said"), [(["book", "booking_status"], 1), (["book", "cook"], 0)])
def test_a_check_that_is_offered_could_have_been_made(shelf: Any, offered: list[str], said: int) -> None:
    """A run without a look is blamed where it had a tool to look with, used or not."""
    shelf.call(tools=[{"name": "book", "mutates": True}], tools_offered=offered)
    shelf.call(tools_offered=offered)
    shelf.outcome("r1", False)
    assert len(found(shelf, "no_verification")) == said
