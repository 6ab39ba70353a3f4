"""The signals that a step of a run shows, each with a case that shows it and one that nearly does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_analyzer.code_blocks import runnable, without_code
from trimtab_analyzer.signals import SIGNALS, signals_of
from trimtab_analyzer.steps import Action, Step

CODE = "Let me run it.\n```python\nprint(total)\n```"
ASK = "How many boats are in the harbour?"


def make(*told: Any) -> list[Step]:
    """Steps of one run: texts, or ``(said, heard)``, or a mapping of fields."""
    steps = []
    for n, one in enumerate(told):
        fields = (
            one
            if isinstance(one, dict)
            else dict(zip(("said", "heard"), one if isinstance(one, tuple) else (one, ""), strict=True))
        )
        steps.append(Step(run_id="r", call_id=f"c{n}", step=n, agent="A", site_id=None, **fields))
    return steps


def shown(*told: Any) -> list[set[str]]:
    """Names of the signals of each step."""
    return [{one.signal.name for one in signals} for signals in signals_of(make(*told))]


def act(status: str = "ok", is_empty: bool | None = None) -> tuple[Action, ...]:
    return (Action("t", "count", "digest", status, is_empty),)


def test_figures_out_of_nowhere_are_ungrounded() -> None:
    """A figure that nothing before holds, stated without doing anything, is a claim; one that was heard is none."""
    assert "ungrounded" in shown(("There are 4711 boats there today.", ASK))[0]
    assert "ungrounded" not in shown(("There are 4711 boats there today.", f"{ASK} The sign says 4,711."))[0]
    assert "ungrounded" not in shown((f"I count 4711 boats.\n{CODE}", ASK))[0]
    assert "ungrounded" not in shown(("Step 1, step 2 and step 3 remain to be done.", ASK))[0]


def test_a_text_full_of_figures_reads_out_a_source() -> None:
    """Ten new figures in one text are a table or a page, not a claim."""
    page = "The page lists " + ", ".join(str(100 + n) for n in range(10))
    assert {"reads_out"} == shown((page, ASK))[0] - {"origin_of_answer"}


def test_errors_count_for_who_acted() -> None:
    """The step that asked for the failing tool shows the error, not the one that heard of it; the first is told."""
    seen = shown(
        ({"said": "I try it now, wait.", "heard": ASK, "actions": act("error")}), ("Oh, it failed, I see.", "boom")
    )
    assert {"acts", "failed_action", "first_error"} <= seen[0]
    assert not {"failed_action", "first_error"} & seen[1]
    again = shown({"said": "try", "heard": ASK, "actions": act("error")}, {"said": "again", "actions": act("error")})
    assert ("first_error" in again[0], "first_error" in again[1]) == (True, False)


def test_code_without_a_tool_call_is_judged_by_its_report() -> None:
    """Where a harness runs code out of the answer's text, what it sent back says how the code ended."""
    failed = shown(
        (CODE, ASK), ("I see that it does not work.", "exit code: 1\nNameError: name 'total' is not defined")
    )
    fine = shown((CODE, ASK), ("I see that it works.", "exit code: 0\nOutput: 12 boats"))
    assert ("failed_action" in failed[0], "failed_action" in fine[0]) == (True, False)


@pytest.mark.parametrize(
    ("report", "is_empty"), [("", True), ("0", True), ("[]", True), ("No results found", True), ("12 boats", False)]
)
def test_an_empty_result_is_one(report: str, is_empty: bool) -> None:
    """Nothing, zero and an empty list bring nothing; anything else does."""
    seen = shown(
        {"said": CODE, "heard": ASK, "actions": act()}, ("Fine, next step then.", f"exit code: 0\nOutput: {report}")
    )
    assert is_empty == ("empty_result" in seen[0])
    assert "empty_result" in shown({"said": CODE, "heard": ASK, "actions": act(is_empty=True)})[0]


def test_an_agent_reports_the_error_of_a_tool_out_of_sight() -> None:
    """Where an agent's own message is an error, what it did failed, though no tool call is on record."""
    assert "failed_action" in shown(("Please open the page.", ASK), "Error executing tool: the page is gone")[1]


def test_what_another_agent_takes_up_was_delegated() -> None:
    """Asking for something is handing off only where nobody does it: an agent that leads others asks all the time."""
    ask = "Please provide the list of boats."
    lead, other = make((ask, ASK), {"said": CODE, "actions": act()})
    taken = signals_of([lead, replace(other, agent="B")])[0]
    alone = signals_of([lead, other])[0]
    assert [False, True] == ["handed_off" in {one.signal.name for one in signals} for signals in (taken, alone)]


@pytest.mark.parametrize(
    ("signal", "yes", "no"),
    [
        ("concluded", "Therefore the harbour is full of boats.", "The harbour is full of boats, it seems."),
        ("assumed", "Let us assume the harbour is full today.", "The harbour is full today, I saw it."),
        ("recalled", "It is widely known that harbours are full.", "The harbour master says that it is full."),
        ("handed_off", "Could you please provide the list of boats?", "I will get the list of boats myself."),
    ],
)
def test_words_that_give_it_away(signal: str, yes: str, no: str) -> None:
    """What is assumed, recalled or left to others is told by its words, which are quoted."""
    (quoted,) = [one.words for one in signals_of(make((yes, ASK)))[0] if one.signal.name == signal]
    assert quoted in yes
    assert signal not in shown((no, ASK))[0]


def test_the_first_to_have_the_answer_is_its_origin() -> None:
    """Who first had the final answer's figures is named, in words or by what its action brought."""
    seen = shown((CODE, ASK), ("So it is 93 boats in all.", "exit code: 0\nOutput: 93"), "The answer is **93**.")
    assert [n for n, names in enumerate(seen) if "origin_of_answer" in names] == [0]
    talked = shown(("Well, let me think about it.", ASK), "It must be 93 boats in all.", "The answer is **93**.")
    assert [n for n, names in enumerate(talked) if "origin_of_answer" in names] == [1]


def test_saying_it_again_is_a_repetition() -> None:
    """The step that says what an earlier one said is marked, the earlier one is not."""
    plan = "First count the boats in the northern basin, then those in the southern one"
    seen = shown((plan, ASK), "Nothing to do with that at all.", plan + ", please.")
    assert ["repeats" in names for names in seen] == [False, False, True]


def test_what_opens_a_log_is_no_claim() -> None:
    """A log that begins with the task in an agent's name shows an opening, not an ungrounded claim."""
    task = "You are to find out how many of the 4711 boats are blue."
    assert {"opening"} == shown(task, "There are 12 of them, I am sure.")[0]
    assert "opening" not in shown((task, "hello"), "fine")[0]


def test_a_short_word_says_little() -> None:
    """`DONE` is no step at which a run goes wrong, unless it came with an action."""
    assert {"says_little"} == shown(("I will look into it.", ASK), "DONE")[1]
    assert "says_little" not in shown(("I will look into it.", ASK), {"said": "DONE", "actions": act()})[1]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=6))
def test_any_words_can_be_read(told: list[tuple[str, str]]) -> None:
    """Whatever was said, every step gets signals of the table, each at most once."""
    for signals in signals_of(make(*told)):
        names = [one.signal.name for one in signals]
        assert set(names) <= set(SIGNALS)
        assert len(names) == len(set(names))


def test_code_is_what_a_machine_may_run() -> None:
    """Blocks of a language that runs, or of none, are code; JSON is not; a fence that is cut off still counts."""
    text = "a\n```json\n{}\n```\nb\n```Python\nx = 1\n```\nc\n```\nls\n```\nd\n```sh\necho"
    assert [("python", "x = 1"), ("code", "ls"), ("sh", "echo")] == [(b.language, b.text) for b in runnable(text)]
    assert "a b c d" == " ".join(without_code(text).split())
