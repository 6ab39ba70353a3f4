"""Parameters of a body: only in place of the code's own, in its spelling, and within what the API takes."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab_tracer.body_knobs import BODY_KNOBS, SPELLINGS, THINKING_BUDGETS, with_knob
from trimtab_tracer.policy_values import EFFORTS
from trimtab_tracer.rewrite import Draft

TEXT = {"type": "text", "text": "hi"}


def changed(api: str, body: dict[str, Any], knob: str, value: Any) -> dict[str, Any] | None:
    """The body with the knob set; None where it is left alone."""
    given = {"model": "m", **body}
    before = str(given)
    draft = with_knob(Draft(api, b"/", given), knob, value)
    assert before == str(given)
    return None if draft is None else {key: v for key, v in draft.body.items() if key != "model"}


@pytest.mark.parametrize(
    ("api", "body", "value", "expected"),
    [
        ("openai.chat", {"temperature": 1}, 0.5, {"temperature": 0.5}),
        ("openai.chat", {"temperature": None}, 0.5, None),
        ("openai.chat", {"temperature": True}, 0.5, None),
        ("openai.chat", {}, 0.5, None),
        ("anthropic.messages", {"temperature": 1}, 1.5, None),
        ("anthropic.messages", {"temperature": 1, "thinking": {"type": "enabled", "budget_tokens": 2000}}, 0.5, None),
        ("gemini", {"generationConfig": {"temperature": 1, "topK": 3}}, 0.5, {"temperature": 0.5, "topK": 3}),
        ("gemini", {"temperature": 1}, 0.5, None),
        ("ollama", {"options": {"temperature": 1}}, 0, {"temperature": 0}),
    ],
)
def test_temperature(api: str, body: dict[str, Any], value: float, expected: Any) -> None:
    """It is replaced where the code has one; Anthropic takes none above 1, and none beside thoughts."""
    found = changed(api, body, "temperature", value)
    inner = next(iter(found.values())) if found is not None and api in ("gemini", "ollama") else found
    assert expected == inner


@pytest.mark.parametrize(
    ("api", "body", "effort", "expected"),
    [
        ("openai.chat", {"reasoning_effort": "low"}, "xhigh", {"reasoning_effort": "xhigh"}),
        ("openai.chat", {"reasoning": {"effort": "low"}}, "high", {"reasoning": {"effort": "high"}}),
        ("openai.chat", {}, "high", None),
        (
            "openai.responses",
            {"reasoning": {"effort": "low", "summary": "auto"}},
            "none",
            {"reasoning": {"effort": "none", "summary": "auto"}},
        ),
        ("openai.responses", {"reasoning": {"summary": "auto"}}, "none", None),
        ("anthropic.messages", {"output_config": {"effort": "low"}}, "max", {"output_config": {"effort": "max"}}),
        ("anthropic.messages", {"output_config": {"effort": "low"}}, "minimal", None),
        ("anthropic.messages", {"thinking": {"type": "adaptive"}}, "low", None),
        ("gemini", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "max", None),
        ("ollama", {"think": True}, "high", None),
        ("ollama", {"think": "low"}, "high", {"think": "high"}),
        ("ollama", {"think": "low"}, "minimal", None),
    ],
)
def test_effort(api: str, body: dict[str, Any], effort: str, expected: Any) -> None:
    """It is replaced where the code has one, by a word that the API knows; thinking that is on or off stays so."""
    assert expected == changed(api, body, "reasoning_effort", effort)


def test_effort_as_a_budget() -> None:
    """Where the code sets tokens it stays tokens: within Anthropic's limits, with room for the answer."""
    thinking = {"type": "enabled", "budget_tokens": 3000}
    for limit, effort, budget in ((64000, "high", 16384), (8000, "high", 4000), (64000, "minimal", 1024)):
        found = changed("anthropic.messages", {"max_tokens": limit, "thinking": thinking}, "reasoning_effort", effort)
        assert found is not None
        assert {"type": "enabled", "budget_tokens": budget} == found["thinking"]
    for limit, effort in ((1024, "high"), (64000, "none")):
        asked = {"max_tokens": limit, "thinking": thinking}
        assert changed("anthropic.messages", asked, "reasoning_effort", effort) is None


@pytest.mark.parametrize("outer", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("inner", ["thinkingConfig", "thinking_config"])
def test_effort_of_gemini(outer: str, inner: str) -> None:
    """Levels in the code's capitals, budgets in tokens, under whichever names the code uses."""
    for name, said, effort, expected in (
        ("thinkingLevel", "LOW", "high", "HIGH"),
        ("thinking_level", "low", "high", "high"),
        ("thinkingBudget", 100, "low", THINKING_BUDGETS["low"]),
        ("thinking_budget", -1, "none", 0),
    ):
        found = changed("gemini", {outer: {inner: {name: said, "includeThoughts": True}}}, "reasoning_effort", effort)
        assert {outer: {inner: {name: expected, "includeThoughts": True}}} == found


def test_every_effort_has_a_budget() -> None:
    """Each word that a policy may say stands for tokens, but for none at all."""
    assert set(EFFORTS) == {"none", *THINKING_BUDGETS}
    assert set(BODY_KNOBS) == set(SPELLINGS)


MARK = {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, {"messages": [[{**TEXT, "cache_control": MARK}]]}),
        (
            {"messages": [{"role": "user", "content": [TEXT, TEXT]}]},
            {"messages": [[TEXT, {**TEXT, "cache_control": MARK}]]},
        ),
        ({"system": "", "messages": [{"role": "user", "content": ""}]}, None),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]}, None),
        ({"system": [{**TEXT, "cache_control": MARK}], "messages": [{"role": "user", "content": "hi"}]}, None),
        ({"thread": {"type": "continue"}, "messages": [{"role": "user", "content": "hi"}]}, None),
        ({"tools": [{"type": "web_search", "name": "w"}], "messages": []}, None),
        ({"messages": "no list"}, None),
    ],
)
def test_marks_for_anthropic(body: dict[str, Any], expected: Any) -> None:
    """The last block that can carry a mark gets one; who marks by himself is left alone."""
    found = changed("anthropic.messages", body, "prompt_cache", "5m")
    shown = {"messages": [turn["content"] for turn in found["messages"]]} if found is not None else None
    assert expected == shown


def test_key_for_openai() -> None:
    """Requests with the same instructions and tools have one key, others another; a code's own setting stays."""
    turns: Any = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    bodies: list[dict[str, Any]] = [
        {"messages": turns},
        {"messages": [*turns, {"role": "assistant", "content": "c"}]},
        {"messages": [{"role": "system", "content": "z"}, turns[1]]},
        {"messages": turns, "tools": [{"type": "function", "function": {"name": "f"}}]},
    ]
    keys = [(changed("openai.chat", body, "prompt_cache", "5m") or {})["prompt_cache_key"] for body in bodies]
    assert keys[0] == keys[1]
    assert 3 == len(set(keys))
    assert changed("openai.chat", {"prompt_cache_key": "mine"}, "prompt_cache", "5m") is None
    assert changed("openai.chat", {"prompt_cache_options": {}}, "prompt_cache", "5m") is None
    assert changed("gemini", {"contents": []}, "prompt_cache", "5m") is None
