"""Per rule the stories that look like its own and are none: told into one store, and the rule must say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trimtab_analyzer.failures import RULES
from trimtab_analyzer.findings import analyze

BY_ID = {rule.id: rule for rule in RULES}
FAILS = {"status": "error", "error_type": "KeyError", "error_message": "no such row"}
TIMED_OUT = {"status": "error", "error_type": "TimeoutError", "error_site_id": "site"}
Tell = Callable[[Any], None]


def _won(s: Any, run_id: str, **facts: Any) -> str:
    s.outcome(s.run(run_id, **facts), True)
    return run_id


def _lost(s: Any, run_id: str, **facts: Any) -> str:
    s.outcome(s.run(run_id, **facts), False)
    return run_id


def _never_ran(s: Any) -> None:
    s.run("no task for it")
    s.run("outer", status="error", error_type="ImportError")
    s.run("inner", parent_run_id="outer")
    s.run("a bug of its own", status="error", error_type="KeyError")
    s.run("stopped by hand", status="error", error_type="KeyboardInterrupt")
    s.call(_won(s, "found another way"), signals={"missing": ["rg"]})


def _incident(s: Any) -> None:
    for service in ("a", "b", "c"):
        s.run(service, service=service)
    for turn in range(20):  # begins and never ends
        s.now += 60 * 10**9
        for service in ("a", "b", "c"):
            s.call(service, *([{"error_class": "server", "cost_musd": 0}] if turn > 15 else []), host="gone")
    for turn in range(20):  # one agent alone
        s.now += 60 * 10**9
        s.call("a", *([{"error_class": "server", "cost_musd": 0}] if 3 < turn < 10 else []), host="its own")
    for turn in range(20):  # all the time
        s.now += 60 * 10**9
        for service in ("a", "b", "c"):
            s.call(service, *([{"error_class": "server", "cost_musd": 0}] if turn % 3 else []), host="bad")


def _evaluator_fault(s: Any) -> None:
    s.call(_lost(s, "only inferred"))
    s.outcome("only inferred", True, "inferred")
    for run_id, success in (("x", True), ("y", False)):
        s.call(s.run(run_id, task=run_id), output_digest="same words, another task")
        s.outcome(run_id, success, "evaluator")
    s.call(s.run("z", task="x"), output_digest="other words")
    s.outcome("z", False, "evaluator")


def _over_parallel(s: Any) -> None:
    limited = {"error_class": "rate_limit", "cost_musd": 0}
    for number in range(12):  # half of them are refused, alone or beside others
        at = s.now
        s.call("r1", (limited if number % 2 else {}) | {"duration_s": 5})
        if number < 6:
            s.now = at
    for _ in range(4):
        s.call("r1", {"error_class": "server", "cost_musd": 0})


def _auth(s: Any) -> None:
    s.call("r1", {"error_class": "quota", "http_status": 402, "cost_musd": 0})
    s.call(_won(s, "won"), tools=[{"status": "error", "error_type": "x"}])
    s.call("won", signals={"answers": {f"c{s.calls}:0": "denied"}})


def _not_found(s: Any) -> None:
    s.call("r1", {"error_class": "bad_request", "http_status": 400, "cost_musd": 0})
    s.call(_won(s, "won"), tools=[{"status": "error", "error_type": "x"}])
    s.call("won", signals={"answers": {f"c{s.calls}:0": "absent"}})


def _bad_parameter(s: Any) -> None:
    for message in ("Invalid request.", "The field 'user' was read.", None):
        s.call("r1", {"error_class": "bad_request", "http_status": 400, "error_message": message, "cost_musd": 0})
    s.call("r1", {"error_class": "server", "error_message": "Unsupported value: 'temperature'", "cost_musd": 0})


def _context_overflow(s: Any) -> None:
    s.call("r1", {"error_class": "bad_request", "http_status": 400, "cost_musd": 0})
    s.call(input_tokens=120_000)


def _stop_conflict(s: Any) -> None:
    for run_id in (_won(s, "the harness adds it"), _lost(s, "lost to something else")):
        s.call(run_id, signals={"stops": ["</code>"]})
    s.call(rejected_by="c9")


def _refusal(s: Any) -> None:
    s.call(_won(s, "quotes one"), signals={"refused": True})
    s.call(_lost(s, "lost"), finish_reason="length")


def _empty_output(s: Any) -> None:
    nothing = {"parsed": True, "output_chars": 0}
    s.call(tools=[{}], finish_reason="tool_calls", **nothing)
    s.call(api="openai.embeddings", **nothing)
    s.call(finish_reason="length", **nothing)
    s.call(finish_reason="content_filter", **nothing)
    s.call(end="abandoned", **nothing)
    s.call(output_chars=0)  # nobody has read it yet


def _disobeyed_format(s: Any) -> None:
    s.call(_won(s, "well all the same"), signals={"disobeyed": ["json"]})
    s.call(_lost(s, "the parser's"), signals={"disobeyed": ["json"]}, rejected_by="c9")
    s.call("the parser's")


def _reasoning_action_mismatch(s: Any) -> None:
    s.call(_won(s, "well all the same"), signals={"mismatch": ["a", "b"]})
    s.call(_lost(s, "said what it did"), tools=[{}])


def _schema_invalid_args(s: Any) -> None:
    s.call(tools=[{"schema_error": "missing: city", "ran_status": "ok"}])  # the tool took it
    s.call(tools=[{"args_valid": False, "schema_error": "arguments: list, not object"}])
    s.call(tools=[FAILS])


def _tool_error(s: Any) -> None:
    s.call(_won(s, "got over it"), tools=[FAILS])
    run_id = _lost(s, "lost")
    s.call(run_id, tools=[{"status": "error", "error_type": "exit_code"}])
    s.call(run_id, tools=[FAILS | {"error_message": "f() got an unexpected keyword argument 'x'"}])
    s.call(run_id, tools=[FAILS | {"args_valid": False}, FAILS | {"offered": False}])
    s.call(run_id, tools=[{}])


def _silent_tool_error(s: Any) -> None:
    for run_id, look, facts in ((_won(s, "won"), "soft", {}), (_lost(s, "lost"), "soft", FAILS)):
        s.call(run_id, tools=[{"args_digest": run_id} | facts])
        s.call(run_id, signals={"answers": {f"c{s.calls}:0": look}})
    s.call("lost", tools=[{"args_digest": "z"}])


def _duplicate_side_effect(s: Any) -> None:
    book = {"name": "book", "mutates": True}
    s.call(tools=[book, book | {"args_digest": "b"}])
    s.call(s.run("r2"), tools=[book])
    s.call(s.run("r3"), tools=[book | FAILS], signals={})
    s.call("r3", tools=[book])
    s.call(s.run("r4"), tools=[book], signals={"keyed": [0]})
    s.call("r4", tools=[book], signals={"keyed": [0]})
    s.call(s.run("r5"), tools=[{"name": "ask"}, {"name": "ask"}])
    s.run("looked before it asked again")
    for tool in (book, {"name": "look"}, book):
        s.call("looked before it asked again", tools=[tool])


def _no_progress(s: Any) -> None:
    for run_id, n in ((_lost(s, "three stale"), 4), (_won(s, "won"), 9)):
        for number in range(n):
            s.call(run_id, tools=[{"args_digest": f"a{number}", "result_digest": "same"}])
    for number in range(9):
        s.call(_lost(s, "news") if not number else "news", tools=[{"args_digest": f"a{number}"}])


def _limit_hit(s: Any) -> None:
    for run_id, value, n in (("below", 4, 3), ("no limit", None, 3), ("done at it", 2, 2), ("looped", 4, 4)):
        s.decide(s.run(run_id), "max_turns", value)
        for number in range(n):
            same = {"args_digest": "a", "result_digest": "s"} if run_id == "looped" else {"args_digest": f"{number}"}
            s.call(run_id, tools=[] if run_id == "done at it" and number else [same])
    s.outcome("done at it", True)
    s.decide(s.run("another kind of limit"), "max_concurrent_requests", 1)
    s.call("another kind of limit", tools=[{}])
    s.call(s.run("r8", status="error", error_type="RecursionError"))
    s.call(s.run("r9", status="error", error_type="openai.RateLimitError"))


def _timed_out_but_done(s: Any) -> None:
    s.call(_lost(s, "not done", **TIMED_OUT))
    s.call(_won(s, "another exception", **TIMED_OUT | {"error_type": "KeyError"}))
    s.call(s.run("not judged", **TIMED_OUT))


def _premature_end(s: Any) -> None:
    for kind, n in (("short", 1), ("long", 4)):
        for number in range(3):
            run_id = _won(s, f"{kind}{number}", name=kind)
            for turn in range(n):
                s.call(run_id, tools=[{"args_digest": f"{turn}"}] if turn < n - 1 else [], tools_offered=["search"])
    s.call(_lost(s, "as its peers", name="short"), tools_offered=["search"])
    s.call(_won(s, "right at once", name="long"), tools_offered=["search"])
    s.call(_lost(s, "no tools to use", name="long"))


def _no_verification(s: Any) -> None:
    write, read = {"name": "write", "mutates": True}, {"name": "read", "mutates": False}
    for run_id, steps in ((_lost(s, "looked"), (write, read)), (_won(s, "won"), (read, write))):
        for step in steps:
            s.call(run_id, tools=[step | {"args_digest": f"{s.calls}"}])
        s.call(run_id)
    s.call(_lost(s, "nothing to look with", name="other"), tools=[write])
    s.call("nothing to look with")


def _wrong_verification(s: Any) -> None:
    s.call(_won(s, "right"), signals={"verified": True})
    s.call(_lost(s, "check failed"), tools=[FAILS | {"name": "run_tests"}])
    s.call("check failed")


def _conversation_reset(s: Any) -> None:
    def turns(run_id: str, *turns: dict[str, Any]) -> None:
        s.run(run_id)
        for turn in turns:
            asks = turn.pop("asks", True)
            tools = [{"args_digest": f"{s.calls}"}] if asks else []
            s.call(run_id, signals={"opening": 7} | turn.pop("signals", {}), tools=tools, **turn)

    turns("summarised", {"message_count": 4}, {"message_count": 2, "signals": {"compacted": True}})
    turns("next task", {"message_count": 4, "asks": False}, {"message_count": 2})
    turns("another", {"message_count": 4}, {"message_count": 2, "signals": {"opening": 8}})
    turns("kept by the server", {"message_count": 4}, {"message_count": 1, "previous_response_id": "x"})
    turns("grows", {"message_count": 2}, {"message_count": 4})
    turns("taking turns", {"message_count": 2}, {"message_count": 4}, {"message_count": 2}, {"message_count": 6})
    goes_on = f"UPDATE calls SET continues_call_id = 'c{s.calls - 2}' WHERE call_id = 'c{s.calls}'"
    s.con.execute(goes_on)
    turns("after a failure", {"message_count": 4, "error_class": "server"}, {"message_count": 2})


def _lost_history(s: Any) -> None:
    for run_id, first, again in (
        (_won(s, "won"), "a", {"args_digest": "a"}),
        (_lost(s, "asks something else"), "a", {"args_digest": "c"}),
        (_lost(s, "writes again"), "a", {"args_digest": "a", "mutates": True}),
    ):
        for step, messages in (({"args_digest": first}, 2), ({"args_digest": "b"}, 4), (again, 3)):
            s.call(run_id, message_count=messages, tools=[step])


def _withheld_info(s: Any) -> None:
    for run_id, seen in ((_lost(s, "handed on"), [7]), (_won(s, "won"), [1])):
        s.call(run_id, prompt_digest="clerk", signals={"values_out": [7, 8]})
        s.call(run_id, prompt_digest="boss", signals={"values_in": seen})
    s.call(_lost(s, "alone"), prompt_digest="clerk", signals={"values_out": [7]})
    s.call("alone", prompt_digest="clerk", signals={"values_out": [9]})


def _ungrounded_answer(s: Any) -> None:
    s.call(_lost(s, "one sum of three"), tools=[{}], tools_offered=["x"], signals={})
    s.call("one sum of three", signals={"numbers": [3, 1]}, tools_offered=["x"])
    s.call(_won(s, "won"), signals={"numbers": [2, 2]})
    s.call(_lost(s, "all seen"), signals={"numbers": [2, 0]})


def _poor_retrieval(s: Any) -> None:
    for run_id, words, chars, n in (
        (_won(s, "won"), [1, 2, 3], 5, 5),
        (_lost(s, "finds much"), [1, 2, 3], 500, 5),
        (_lost(s, "two of a kind"), [1, 2, 3], 5, 3),
        (_lost(s, "asks anew"), None, 5, 5),
    ):
        for number in range(n):
            asked = [*words, 10 + number] if words else [number, 100 + number, 200 + number]
            found = {"args_digest": f"a{number}", "result_chars": chars}
            s.call(run_id, signals={"queries": {"0": asked}}, tools=[found])


def _uncompensated_side_effect(s: Any) -> None:
    book, ended = {"name": "book", "mutates": True}, {"status": "error", "error_type": "KeyError"}
    s.call(s.run("taken back", **ended), tools=[book, {"name": "cancel_booking", "mutates": True}])
    s.call(s.run("failed itself", **ended), tools=[book | FAILS])
    s.call(s.run("changes nothing", **ended), tools=[{"mutates": False}, {"mutates": None}])
    s.call(_won(s, "won"), tools=[book])
    s.call(_lost(s, "nothing failed after it"), tools=[FAILS, book])
    undone = s.call(s.run("undone by its saga", **ended), tools=[book | {"ran_status": "ok"}])
    for number, status in enumerate(("failed", "compensated", "failed")):  # of nested runs, each with its saga
        step = {"saga_id": f"s{number}", "number": 1, "run_id": "outer", "tool": "book", "status": status}
        step |= {"tool_run_id": f"run {undone}:0", "compensation": "withdraw", "started_ns": number, "ended_ns": number}
        s.insert("saga_steps", step)
    taken = s.call(s.run("taken back by what it declares", **ended), tools=[book | {"ran_status": "ok"}])
    s.con.execute("UPDATE tool_runs SET compensation = 'Trip.put_away' WHERE tool_run_id = ?", [f"run {taken}:0"])
    s.call("taken back by what it declares", tools=[{"name": "put_away", "mutates": True}])


def _cache_miss(s: Any) -> None:
    first = {"input_tokens": 2000, "message_count": 2, "cache_read_tokens": 1800, "prompt_digest": "p1"}
    second = first | {"message_count": 4, "cache_read_tokens": 0, "prompt_digest": "p2"}
    for run_id, change in (
        ("same prompt", {"prompt_digest": "p1"}),
        ("read all the same", {"cache_read_tokens": 1700}),
        ("small", {"input_tokens": 500}),
        ("another conversation", {"message_count": 2}),
        ("not said", {"cache_read_tokens": None}),
    ):
        s.call(s.run(run_id), **first)
        s.call(run_id, **second | change)
    s.call(s.run("cold by now"), **first)
    s.now += 600 * 10**9
    s.call("cold by now", **second)
    uncached = {"host": "no cache", "cache_read_tokens": 0}
    s.call(s.run("no cache there"), **first | uncached)
    s.call("no cache there", **second | uncached)


def _oversized_result(s: Any) -> None:
    priced = {"host": "api.openai.com", "model": "gpt-5-mini", "cost_musd": 3000}
    for run_id, chars, then in (
        ("cut to a page", 19_000, 12_000),  # no result is oversized
        ("dropped", 40_000, 2000),  # none is carried
        ("next to nothing", 40_000, 900_000),  # carried, and a small part of what was sent
    ):
        asked = s.call(s.run(run_id), message_count=1, input_tokens=1000, tools=[{}], **priced)
        came = s.call(run_id, message_count=3, input_tokens=11_500, **priced)
        row = {"tool_id": f"{asked}:0", "attempt_id": f"{came}.1", "seen_ns": s.now, "status": "ok"}
        s.insert("tool_results", row | {"result_chars": chars})
        s.call(run_id, message_count=5, input_tokens=then, **priced)


def _after_answer(s: Any) -> None:
    for number in range(6):
        for kind, first, then in (
            ("other words each time", {}, {"followed": number}),
            ("it changed once", {}, {"followed": 100, "values_out": [number or 99]}),
            ("it made the model work", {}, {"followed": 101, "finish_reason": "tool_calls"}),
            ("turned down by the prompt", {"disobeyed": ["json"]}, {"followed": 102}),
            ("a talk of its own", {}, {"followed": 103, "message_count": 2}),
        ):
            run_id = s.run(f"{kind} {number}", name=kind)
            facts = {"finish_reason": then.get("finish_reason", "stop"), "message_count": then.get("message_count", 4)}
            said = {"values_out": [number], "opening": number}
            s.call(run_id, message_count=2, signals=said | first, site_id="site")
            told = {k: v for k, v in then.items() if k in ("followed", "values_out")}
            s.call(run_id, signals=said | told, tools=[{}] if "work" in kind else [], **facts)
    for turn in range(6):  # one person who says it again and again
        s.call("r1", message_count=2 * turn + 2, signals={"values_out": [1], "followed": 104})


def _costly_model(s: Any) -> None:
    for number in range(48):
        is_large = number % 2 == 0
        run_id = s.run(f"worse{number}", name="worse")
        s.call(run_id, model="large" if is_large else "small", cost_musd=400 if is_large else 100)
        s.outcome(run_id, is_large or number % 3 == 0)
    for number in range(8):
        run_id = _won(s, f"few{number}", name="few")
        s.call(run_id, model="large" if number % 2 else "small", cost_musd=400 if number % 2 else 100)


NEAR = {name[1:]: tell for name, tell in list(globals().items()) if name[1:] in BY_ID}
OLDER = {
    *("rate_limit", "provider_error", "timeout", "futile_retry", "retry_storm", "truncation", "parser_rejection"),
    *("malformed_tool_args", "unknown_tool", "broken_tool", "repeated_call", "run_error"),
}
"""Rules whose near misses have tests of their own, in the files beside this one."""


def test_every_rule_has_near_misses() -> None:
    """Each rule is tried on what only looks like it."""
    assert set(NEAR) | OLDER == set(BY_ID)


@pytest.mark.parametrize("rule", sorted(NEAR))
def test_a_rule_is_silent_on_its_near_misses(shelf: Any, rule: str) -> None:
    """What looks like the mode and is none brings no finding."""
    NEAR[rule](shelf)
    assert [(f.title, f.evidence["runs"]) for f in analyze(shelf.con, rules=[BY_ID[rule]])] == []
