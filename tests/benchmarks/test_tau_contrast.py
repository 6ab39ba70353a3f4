"""The contrast of trials: what it says of results whose difference is known."""

from __future__ import annotations

from typing import Any

import pytest
import tau_contrast
from tau_contrast import FACTS, Trial, contrast, report

GOLD = [{"name": "book_berth", "kwargs": {"boat": 8}}]


def trial(task: int, reward: float, *calls: tuple[str, str], reply: str = "done") -> Trial:
    messages: list[dict[str, Any]] = []
    for n, (name, arguments) in enumerate(calls):
        call = {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{n}", "content": reply})
    value = {"task_id": task, "reward": reward, "traj": messages, "info": {"task": {"actions": GOLD}}}
    return tau_contrast._trial("f", value)


RIGHT, WRONG = ("book_berth", '{"boat": 8}'), ("book_berth", '{"boat": 7}')
TRIALS = [trial(task, reward, call) for task in range(5) for reward, call in ((1.0, RIGHT), (0.0, WRONG))]


def test_what_differs_within_a_task_is_found() -> None:
    """Where each task passed with the right arguments and failed with others, the difference is the whole of it."""
    found = contrast(TRIALS, FACTS["a changing action had other arguments"])
    assert (1.0, 1.0, 1.0, 5) == (found["difference"], found["low"], found["high"], found["tasks"])
    assert (1.0, 0.0) == (found["of_failed"], found["of_passed"])


def test_a_hard_task_is_no_difference() -> None:
    """A fact that holds for all trials of a task that always fails tells nothing within a task."""
    trials = [trial(0, 0.0, WRONG), trial(0, 0.0, WRONG), trial(1, 1.0, RIGHT), trial(1, 1.0, RIGHT)]
    found = contrast(trials, FACTS["any changing action differs"])
    assert (1.0, None, 0) == (found["of_failed"], found["difference"], found["tasks"])


def test_the_difference_is_weighted_by_task() -> None:
    """Two tasks with half and none of the effect give Mantel and Haenszel's mean: (2·0 − 1·1)/3 … by hand."""
    trials = [
        trial(0, 0.0, WRONG),
        trial(0, 1.0, WRONG),
        trial(0, 1.0, RIGHT),
        trial(1, 0.0, WRONG),
        trial(1, 0.0, RIGHT),
    ]
    found = contrast(trials, FACTS["any changing action differs"])
    assert found["difference"] == pytest.approx((1 * 1 / 3 + 0) / (2 * 1 / 3 + 1 * 1 / 2))


def test_a_call_that_failed_changed_nothing() -> None:
    """An extra change that the tool refused is no divergence; the right one refused is missing."""
    refused = trial(0, 0.0, RIGHT, reply="Error: berth not found")
    assert ("missing", 1) == (refused.divergence.differences[0].kind, refused.errors)


def test_the_report_names_tools_and_arguments() -> None:
    """First differences are counted by kind and tool, arguments by name."""
    found = report(TRIALS)
    assert (10, 5, 5, 5, 0) == tuple(found[k] for k in ("runs", "passed", "tasks", "mixed_tasks", "without_divergence"))
    assert [{"kind": "wrong_args", "tool": "book_berth", "failed_runs": 5, "median_index": 0}] == found[
        "first_divergence"
    ]
    assert [{"tool": "book_berth", "argument": "boat", "times": 5}] == found["arguments"]
    assert "+100 points" in tau_contrast.table(found)
