from __future__ import annotations

from typing import Any

from trimtab_analyzer.findings import Finding, analyze


def _found(shelf: Any, rule: str) -> list[Finding]:
    return [f for f in analyze(shelf.con) if f.rule == rule]


def test_truncation_names_the_limit_and_what_whole_answers_need(shelf: Any) -> None:
    """One of three answers cut at max_tokens = 120: pinned to the value, its whole cost wasted."""
    for tokens in (80, 90):
        shelf.call(output_tokens=tokens, decisions={"max_tokens": 120})
    shelf.call(finish_reason="length", output_tokens=120, reasoning_tokens=70, decisions={"max_tokens": 120})
    (finding,) = _found(shelf, "truncation")
    assert finding.title == (
        "1 of 3 answers of m1 was cut by the token limit (max_tokens = 120; 70 tokens went into reasoning)"
    )
    assert finding.advice.startswith("Raise max_tokens above 120 at agent.py:14 (95 % of the whole answers fit in 90)")
    assert (finding.value, finding.wasted_musd, finding.evidence["calls"]) == ("120", 100, ["c3"])


def test_truncation_without_a_limit_of_the_code_asks_to_set_one(shelf: Any) -> None:
    """Where the code set nothing the model's own default cut the answer."""
    shelf.call(finish_reason="length", decisions={"max_tokens": None})
    (finding,) = _found(shelf, "truncation")
    assert finding.value == "null"
    assert finding.advice.startswith("Set max_tokens at agent.py:14")


def test_truncation_is_silent_on_a_single_token_asked_for(shelf: Any) -> None:
    """A label read off one token ends with the same finish reason and is meant so; two tokens are a limit again."""
    shelf.call(finish_reason="length", params='{"max_tokens": 1}')
    assert _found(shelf, "truncation") == []
    shelf.call(finish_reason="length", params='{"max_tokens": 2}')
    assert len(_found(shelf, "truncation")) == 1


def test_truncation_is_silent_on_an_answer_as_long_as_the_limit(shelf: Any) -> None:
    """An answer of exactly max_tokens tokens that stopped by itself is whole."""
    shelf.call(finish_reason="stop", output_tokens=120, params='{"max_tokens": 120}')
    assert _found(shelf, "truncation") == []


def test_parser_rejection_counts_the_answers_turned_down(shelf: Any) -> None:
    """Two of four answers turned down: their cost is wasted, what the parser said is quoted."""
    shelf.con.execute("ALTER TABLE calls ALTER rejection_text SET DEFAULT 'Please give EXACTLY ONE action'")
    for rejected in ("c2", None, "c4", None):
        shelf.call(rejected_by=rejected, decisions={"prompt_version": "v1"})
    (finding,) = _found(shelf, "parser_rejection")
    assert finding.title == (
        "2 of 4 answers of m1 were turned down by the agent's own parser (50.0 %),"
        " for example with “Please give EXACTLY ONE action”"
    )
    assert (finding.knob, finding.value, finding.wasted_musd) == ("prompt_version", '"v1"', 200)
    assert finding.evidence["calls"] == ["c1", "c3"]


def test_parser_rejection_leaves_failed_attempts_of_the_call_out(shelf: Any) -> None:
    """Of a 500 and the answer after it only the answer was turned down."""
    shelf.call("r1", {"error_class": "server", "cost_musd": 9}, {}, rejected_by="c2")
    (finding,) = _found(shelf, "parser_rejection")
    assert (finding.evidence["attempts"], finding.cost_musd, finding.wasted_musd) == (["c1.2"], 109, 100)


def test_parser_rejection_is_silent_on_answers_that_were_taken(shelf: Any) -> None:
    """A call that no later request turns down is not rejected, nor is one that brought no answer."""
    shelf.call()
    shelf.call("r1", {"error_class": "server"}, rejected_by="c3")
    assert _found(shelf, "parser_rejection") == []


def test_malformed_tool_args_names_the_tool_and_the_schema_it_was_offered_with(shelf: Any) -> None:
    """One of two calls of a tool was no JSON object: half of the money of a two-tool answer is wasted."""
    bad = {"args_valid": False, "args_error": "Expecting ',' delimiter"}
    shelf.call(tools=[bad, {}], decisions={"tools": "t1"})
    (finding,) = _found(shelf, "malformed_tool_args")
    assert finding.title == (
        "1 of 2 calls of the tool search had arguments that are no JSON object: “Expecting ',' delimiter”"
    )
    assert finding.advice.startswith("Declare search with a strict schema at agent.py:14")
    assert (finding.knob, finding.value, finding.cost_musd, finding.wasted_musd) == ("tools", '"t1"', 100, 50)
    assert finding.evidence["tools"] == ["c1:0"]


def test_malformed_tool_args_is_silent_on_an_answer_that_was_cut(shelf: Any) -> None:
    """Arguments that end where the token limit fell are the limit's fault, and only that is said."""
    shelf.call(finish_reason="length", tools=[{"args_valid": False}])
    assert [f.rule for f in analyze(shelf.con)] == ["truncation"]


def test_malformed_tool_args_is_silent_on_no_arguments_at_all(shelf: Any) -> None:
    """Some models write nothing instead of {} for a tool without parameters; and whether it parses may be unknown."""
    shelf.call(tools=[{"args_valid": False, "args_chars": 0}, {"args_valid": None, "args_digest": "b"}])
    assert _found(shelf, "malformed_tool_args") == []


def test_unknown_tool_names_the_nearest_one_offered(shelf: Any) -> None:
    """A misspelt tool is next to the right one; a tool from nowhere has no neighbour."""
    offered = {"tools_offered": ["web_search", "buy"]}
    shelf.call(tools=[{"name": "websearch", "offered": False}], **offered)
    shelf.call(tools=[{"name": "python", "offered": False}], **offered)
    near, far = sorted(_found(shelf, "unknown_tool"), key=lambda f: f.subject, reverse=True)
    assert near.title == "1 call of a tool websearch that was not offered (the nearest offered is web_search)"
    assert near.advice == "Let the agent take websearch for web_search, or rename that tool at agent.py:14."
    assert far.advice.startswith("Offer python at agent.py:14")


def test_unknown_tool_is_silent_where_nothing_is_known_about_the_offer(shelf: Any) -> None:
    """A tool that was offered is known, and a request that names no tools at all says nothing."""
    shelf.call(tools=[{}, {"name": "shell", "offered": None}])
    assert _found(shelf, "unknown_tool") == []
