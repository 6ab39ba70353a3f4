from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.demands import Demand, demands, disobeyed, is_demanded, is_forbidden_tool, swallowed
from trimtab_tracer.wire.facts import RequestFacts, ResponseFacts, ToolCall


def _asked(prompt: str = "", **params: Any) -> RequestFacts:
    return RequestFacts(prompt=prompt, params=params, tools_offered=("search", "buy"))


def _said(text: str = "", *tools: str, finish: str = "stop") -> ResponseFacts:
    calls = tuple(ToolCall(None, name, "{}") for name in tools)
    return ResponseFacts(finish_reason="tool_calls" if tools else finish, text=text, tool_calls=calls)


@pytest.mark.parametrize(
    "prompt",
    [
        "You must end every answer with </answer>.",
        "Solve the task.\nFinish with the tag </answer> on a line of its own.",
        "Give your result, and then write </answer>.",
        "Your answer should always be closed by </answer>",
        "Please put </answer> last.",
    ],
)
def test_a_stop_text_that_the_prompt_demands_is_swallowed(prompt: str) -> None:
    """The provider cuts the answer before a stop text, so what the prompt demands can't arrive."""
    assert swallowed(_asked(prompt, stop=["</answer>", "\n\n"]), _said("42")) == ["</answer>"]
    assert swallowed(_asked(prompt, stop="</answer>"), _said("42")) == ["</answer>"]


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Use this format:\nThought: what to do\nAction: the tool\nObservation: its result", _said("Action: x")),
        ("Never write Observation: yourself.", _said("x")),
        ("You must stop before Observation: comes.", _said("x")),
        ("The results of tools appear in the 'Observation:' field", _said("x")),
        ("You must end with Observation:", _said("it is there: Observation:")),
        ("You must end with Observation:", _said("x", finish="length")),
        ("You must end with Observation:", _said("x", "search")),
        ("Be brief.", _said("x")),
    ],
    ids=["shown", "forbidden", "until", "told", "there", "cut by length", "a tool call", "not named"],
)
def test_a_stop_text_that_nothing_demands_is_none(prompt: str, said: ResponseFacts) -> None:
    """A format that is shown, a prohibition and an answer that has the text are no conflict."""
    assert swallowed(_asked(prompt, stop=["Observation:"]), said) == []


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ('Every answer must end with "DONE".', [Demand("ends", "DONE")]),
        ("You always have to start with 'Plan:' in capitals", [Demand("starts", "Plan:")]),
        ("Your report must contain the word `APPROVED`.", [Demand("contains", "APPROVED")]),
        ("Respond with nothing but valid JSON.", [Demand("json")]),
        ('You must not end with "DONE".', []),
        ('Users often end with "bye".', []),
        ("JSON is a format.", []),
    ],
)
def test_demands_of_a_prompt(prompt: str, found: list[Demand]) -> None:
    """Only binding clauses with a literal text in quotes demand one."""
    assert list(demands(prompt)) == found


@pytest.mark.parametrize(
    ("asked", "said", "broken"),
    [
        (_asked('You must end with "DONE".'), _said("it is 4"), ("ends",)),
        (_asked('You must end with "DONE".'), _said("it is 4. **DONE**"), ()),
        (_asked('You must end with "DONE".'), _said("let me see", "search"), ()),
        (_asked('You must end with "DONE".'), _said("it is", finish="length"), ()),
        (_asked('You must end with "DONE".', stop=["DONE"]), _said("it is 4"), ()),
        (_asked('You must start with "Plan:".'), _said("first I"), ("starts",)),
        (_asked(response_format="Answer"), _said("I can't do that"), ("json",)),
        (_asked(response_format="json_object"), _said('```json\n{"a": 1}\n```'), ()),
        (_asked(response_format="text"), _said("plain"), ()),
        (_asked(tool_choice="none"), _said("", "search"), ("tool_choice",)),
        (_asked(tool_choice="required"), _said("no"), ("tool_choice",)),
        (_asked(tool_choice="search"), _said("", "buy"), ("tool_choice",)),
        (_asked(tool_choice="search"), _said("", "buy", "search"), ()),
        (_asked(tool_choice="auto"), _said("", "buy"), ()),
        (_asked("Never call buy without asking."), _said("", "buy"), ("forbidden_tool",)),
        (_asked("Never call buyers. Use buy."), _said("", "buy"), ()),
    ],
)
def test_demands_that_are_not_met(asked: RequestFacts, said: ResponseFacts, broken: tuple[str, ...]) -> None:
    """Checked where the answer is final; a text that the stop list holds is another mode's."""
    assert disobeyed(asked, said) == broken


@given(prompt=st.text(max_size=300), literal=st.text(min_size=1, max_size=20))
def test_no_prompt_raises(prompt: str, literal: str) -> None:
    """Whatever a prompt is, reading it yields an answer."""
    assert is_demanded(literal, prompt + literal) in (True, False)
    assert is_forbidden_tool(literal, prompt + literal) in (True, False)
    assert isinstance(demands(prompt), tuple)
