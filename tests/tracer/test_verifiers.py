"""Checks of an answer: what each lets pass, and that whatever goes wrong with one is no yes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_tracer import verifiers as module
from trimtab_tracer.verifiers import BUILT_IN, Answer, Verifiers, answer_of, wanted_schema
from trimtab_tracer.wire import formats
from trimtab_tracer.wire.facts import ToolCall

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]


def answer(said: str = "", /, calls: tuple[ToolCall, ...] = (), finish: str | None = "stop", **request: Any) -> Answer:
    """An answer as a check sees it."""
    return Answer(said, calls, finish, request, {})


@pytest.mark.parametrize(
    ("check", "given_answer", "passes"),
    [
        ("nonempty", answer("a"), True),
        ("nonempty", answer(" \n"), False),
        ("nonempty", answer(calls=(ToolCall(None, "f", "{}"),)), True),
        ("not_truncated", answer("a"), True),
        ("not_truncated", answer("a", finish="length"), False),
        ("not_truncated", answer("a", finish=None), False),
        ("no_refusal", answer("Sure: 3."), True),
        ("no_refusal", answer("I can't help with that."), False),
        ("no_refusal", answer("x", finish="content_filter"), False),
        ("json", answer('{"n": 3}'), True),
        ("json", answer("null"), True),
        ("json", answer("```json\n{}\n```"), False),
        ("json", answer(""), False),
        ("json", answer('{"n": "x"}', response_format={"json_schema": {"schema": SCHEMA}}), False),
        ("json", answer('{"n": 3}', text={"format": {"type": "json_schema", "schema": SCHEMA}}), True),
        ("json", answer("[]", output_config={"format": {"schema": SCHEMA}}), False),
        ("json", answer("{}", generationConfig={"responseSchema": SCHEMA}), False),
        ("json", answer(calls=(ToolCall(None, "count", '{"n": 1}'),), tools=TOOLS), True),
        ("tool_args_valid", answer("no tools"), True),
        ("tool_args_valid", answer(calls=(ToolCall(None, "count", '{"n": 1}'),), tools=TOOLS), True),
        ("tool_args_valid", answer(calls=(ToolCall(None, "count", "{}"),), tools=TOOLS), False),
        ("tool_args_valid", answer(calls=(ToolCall(None, "count", '{"n"'),), tools=TOOLS), False),
        ("tool_args_valid", answer(calls=(ToolCall(None, "free", "any text", is_free_text=True),)), True),
    ],
)
def test_built_in_checks(check: str, given_answer: Answer, passes: bool) -> None:
    """Each says what its name says."""
    assert (None if passes else check) == Verifiers().failed([check], given_answer)


def test_first_check_that_fails_is_named() -> None:
    """All checks must pass, in their order; what can't be read as an answer passes none."""
    known = Verifiers()
    assert known.failed(BUILT_IN, answer('{"n": 3}')) is None
    assert "not_truncated" == known.failed(["nonempty", "not_truncated", "json"], answer("x", finish="length"))
    assert "unreadable" == known.failed(["nonempty"], None)


def test_own_checks() -> None:
    """A function is asked by its name; one that is not known, or raises, has not said yes."""
    known = Verifiers()
    known.add("short", lambda given: len(given.text) < 5)
    known.add("broken", lambda given: bool(1 / 0))
    assert [None, "short"] == [known.failed(["short"], answer(text)) for text in ("abc", "abcdef")]
    assert "broken" == known.failed(["broken"], answer("a"))
    assert "other" == known.failed(["other"], answer("a"))
    assert [True, False] == [known.knows(["short", "json"]), known.knows(["other"])]
    assert [True, False] == [known.has_own(["json", "short"]), known.has_own(["json"])]
    for name in ("json", "no blanks", ""):
        with pytest.raises(ValueError, match="a verifier's name is"):
            known.add(name, bool)


@pytest.mark.parametrize(
    ("said", "threshold", "judged"),
    [
        (0.8, 0.5, (None, 0.8)),
        (0.8, 0.8, (None, 0.8)),
        (0.8, 0.81, ("graded", 0.8)),
        (1, 1.0, (None, 1.0)),
        (0, 0.0, (None, 0.0)),
        (True, 1.0, (None, None)),
        (float("nan"), 0.0, ("graded", None)),
        (1.5, 0.0, ("graded", None)),
        (-0.1, 0.0, ("graded", None)),
        (None, 0.0, ("graded", None)),
    ],
)
def test_grades_pass_from_the_threshold_on(said: Any, threshold: float, judged: Any) -> None:
    """A number from 0 to 1 is a grade, whatever else is a number is no."""
    known = Verifiers()
    known.add("graded", lambda given: said)
    assert judged == known.judge(["nonempty", "graded"], answer("a"), threshold)


def test_the_lowest_grade_counts() -> None:
    """Of several checks that grade; one that says no ends it."""
    known = Verifiers()
    for name, grade in (("a", 0.9), ("b", 0.6), ("c", 0.7)):
        known.add(name, lambda given, grade=grade: grade)
    assert (None, 0.6) == known.judge(["a", "b", "c"], answer("x"), 0.6)
    assert ("b", 0.6) == known.judge(["a", "b", "c"], answer("x"), 0.65)


def test_hanging_checks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs is left behind after its time, and with too many of them none is begun any more."""
    monkeypatch.setattr(module, "TIMEOUT_S", 0.01)
    known, release = Verifiers(), threading.Event()
    begun: list[None] = []

    def hang(given: Answer) -> bool:
        begun.append(None)
        return release.wait(20)

    known.add("hangs", hang)
    try:
        assert {"hangs"} == {known.failed(["hangs"], answer("a")) for _ in range(module.MAX_HANGING + 3)}
        assert module.MAX_HANGING == len(begun)
    finally:
        release.set()


@pytest.fixture
def forgotten() -> Iterator[None]:
    """What a test registers is forgotten."""
    yield
    module.verifiers._own.clear()


def test_registering(forgotten: None) -> None:
    """As a decorator, with the function's name or another; the function stays what it is."""

    @module.register
    def one(given: Answer) -> bool:
        return True

    @module.register(name="zwei")
    def two(given: Answer) -> bool:
        return False

    assert module.verifiers.knows(["one", "zwei"])
    assert [True, False] == [one(answer()), two(answer())]


SCALARS = st.none() | st.booleans() | st.integers() | st.text()


@settings(max_examples=40)
@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_body_is_judged(body: Any) -> None:
    """Whatever JSON a provider sends, every check says yes or no of it."""
    found = answer_of(formats.CHAT, {"tools": body, "response_format": body}, json.dumps(body).encode())
    assert found is None or {Verifiers().failed([name], found) for name in BUILT_IN} <= {None, *BUILT_IN}


def test_schemas_of_all_providers() -> None:
    """Each one's place is known; a word is no schema."""
    assert SCHEMA == wanted_schema({"format": SCHEMA})
    assert SCHEMA == wanted_schema({"generation_config": {"response_schema": SCHEMA}})
    assert wanted_schema({"format": "json"}) is None
    assert wanted_schema({"response_format": {"type": "json_object"}}) is None
