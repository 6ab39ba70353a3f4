"""Who&When logs in both layouts become runs of several agents; their labels become annotations and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers import ImportedRun, read_file
from trimtab_analyzer.importers.source import Document
from trimtab_analyzer.importers.whowhen import matches, to_trace
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.records import Attempt, Exchange, Outcome, RunStart

GENERATED = {
    "is_correct": False,
    "question": "How many boats?",
    "question_ID": "q7",
    "level": 2,
    "ground_truth": "12",
    "history": [
        {"role": "assistant", "name": "Boats_Expert", "content": "You are given a task: count the boats."},
        {"role": "user", "name": "Harbour_Expert", "content": "I run this.\n```python\nprint(boats)\n```"},
        {"role": "user", "name": "Machine", "content": "exitcode: 1 (execution failed)\nNameError: name 'boats'"},
        {"role": "user", "name": "Boats_Expert", "content": "Then it is 11."},
    ],
    "mistake_agent": "Boats_Expert",
    "mistake_step": "3",
    "mistake_reason": "made up",
    "system_prompt": {"Boats_Expert": "You count boats."},
}
CRAFTED = {
    "question": "How many boats?",
    "groundtruth": "12",
    "mistake_agent": "Surfer",
    "mistake_step": "3",
    "history": [
        {"role": "human", "content": "How many boats?"},
        {"role": "Lead (thought)", "content": "Let us look it up."},
        {"role": "Lead (-> Surfer)", "content": "Please look it up."},
        {"role": "Surfer", "content": "Error: the page is gone."},
    ],
}
NAMES = st.sampled_from(["Lead (thought)", "Lead (-> B)", "B", "human", "Shell"])
HISTORY = st.lists(
    st.fixed_dictionaries({"role": NAMES, "content": st.sampled_from(["```sh\nls\n```", "exit code: 0", "hm", ""])}),
    max_size=12,
)


def read(tmp_path: Path, value: Any, **settings: Any) -> ImportedRun:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(value))
    (run,) = read_file(path, **settings)
    return run


def of(run: ImportedRun, kind: type) -> list[Any]:
    return [record for record in run.records if isinstance(record, kind)]


def test_every_call_has_its_agent_and_its_index(tmp_path: Path) -> None:
    """The step is the message's index in the log; the machine's message is none of the calls."""
    seen = [(a.step, a.agent) for a in of(read(tmp_path, GENERATED), Attempt)]
    assert [(0, "Boats_Expert"), (1, "Harbour_Expert"), (3, "Boats_Expert")] == seen


def test_what_stands_in_brackets_is_no_name(tmp_path: Path) -> None:
    """In the other layout an agent is one agent whatever it was doing, and a person is none; who says an error in words
    is an agent that used a tool out of sight."""
    seen = [(a.step, a.agent) for a in of(read(tmp_path, CRAFTED), Attempt)]
    assert [(1, "Lead"), (2, "Lead"), (3, "Surfer")] == seen


def test_the_machine_answers_the_code_before_it(tmp_path: Path) -> None:
    """Code is a tool call of the message that holds it, named by its language; the exit code is its status."""
    exchanges = of(read(tmp_path, GENERATED), Exchange)
    assert [[], ["python"], []] == [[request.name for request in e.tool_requests] for e in exchanges]
    (result,) = exchanges[2].tool_results
    assert ("error", "exit_code") == (result.status, result.error_type)
    assert result.tool_id == f"{exchanges[1].call_id}:0"


def test_labels_are_annotations(tmp_path: Path) -> None:
    """What people said of the run is kept beside it; the outcome is that it failed, explicitly."""
    for value in (GENERATED, CRAFTED):
        run = read(tmp_path, value)
        (start,), (outcome,) = of(run, RunStart), of(run, Outcome)
        assert value["mistake_step"] == start.annotations["mistake_step"]
        assert "mistake" not in json.dumps(start.attributes)
        assert (False, "explicit") == (outcome.success, outcome.source)
    assert "history" not in start.annotations


def test_other_labels_are_the_same_run(tmp_path: Path) -> None:
    """A log that is labelled anew is brought up to date under its id; another log is another run."""
    first, again = read(tmp_path, GENERATED), read(tmp_path, GENERATED | {"mistake_step": "0"})
    assert (True, False) == (first.run_id == again.run_id, first.digest == again.digest)
    assert first.run_id != read(tmp_path, CRAFTED).run_id


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ([{"content": "hm"}], r"history\[0\] is an object of \['content'\]; expected a message with 'content'"),
        (["hm"], r"history\[0\] is str"),
        ([{"role": "human", "content": "hm"}], "1 messages, none of them an agent's"),
    ],
)
def test_a_log_that_is_none_is_named(tmp_path: Path, history: list[Any], sentence: str) -> None:
    """A history that holds no messages of agents is refused with what was seen."""
    with pytest.raises(ImportFormatError, match=sentence):
        read(tmp_path, CRAFTED | {"history": history})


@given(HISTORY)
def test_any_history_is_told_in_order(history: list[dict[str, Any]]) -> None:
    """Steps rise, each is a message of an agent, and no message becomes two calls; or the log is refused."""
    value = {"question": "?", "history": history}
    assert matches(value)
    try:
        trace = to_trace(Document(Path("log.json"), value, "", 0))
    except ImportFormatError:
        assert all(message["role"] in ("human", "Shell", "Lead (thought)", "Lead (-> B)", "B") for message in history)
        return
    steps = [turn.step for turn in trace.turns]
    assert steps == sorted(set(steps))
    assert all(
        history[step or 0]["role"].startswith(turn.agent or "") for step, turn in zip(steps, trace.turns, strict=True)
    )
