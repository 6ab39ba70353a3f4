"""tau-bench results become runs with an explicit outcome; what would have been right is an annotation."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers import ImportedRun, read_file
from trimtab_analyzer.importers.source import Document
from trimtab_analyzer.importers.tau_bench import matches, to_trace
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.records import Attempt, Outcome, RunStart

CALL = {"id": "c1", "type": "function", "function": {"name": "book_berth", "arguments": '{"boat": 7}'}}
RESULT: dict[str, Any] = {
    "task_id": 3,
    "trial": 1,
    "reward": 0.0,
    "info": {
        "task": {"actions": [{"name": "book_berth", "kwargs": {"boat": 8}}], "instruction": "Book.", "outputs": []},
        "reward_info": {"reward": 0.0, "info": {"r_actions": 0.0}},
    },
    "traj": [
        {"role": "system", "content": "You book berths."},
        {"role": "user", "content": "A berth for boat 8."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "book_berth", "content": "Booked"},
        {"role": "assistant", "content": "Done."},
    ],
}


def read(tmp_path: Path, *results: dict[str, Any]) -> list[ImportedRun]:
    path = tmp_path / "results.json.gz"
    path.write_bytes(gzip.compress(json.dumps(results).encode(), mtime=0))
    return read_file(path)


def test_the_reward_is_the_outcome(tmp_path: Path) -> None:
    """The benchmark's own verdict counts as explicit: 1 is a success, anything less a failure."""
    runs = read(tmp_path, RESULT, RESULT | {"trial": 2, "reward": 1.0}, RESULT | {"trial": 3, "reward": 0.5})
    outcomes = [record for run in runs for record in run.records if isinstance(record, Outcome)]
    assert [(False, 0.0), (True, 1.0), (False, 0.5)] == [(o.success, o.score) for o in outcomes]
    assert {"explicit"} == {o.source for o in outcomes}
    assert ["task 3, trial 1", "task 3, trial 2", "task 3, trial 3"] == [run.name for run in runs]


def test_gold_actions_are_annotations(tmp_path: Path) -> None:
    """The right actions are kept beside the run; its attributes hold only which task and trial it was."""
    (run,) = read(tmp_path, RESULT)
    (start,) = [record for record in run.records if isinstance(record, RunStart)]
    assert [{"name": "book_berth", "kwargs": {"boat": 8}}] == start.annotations["gold_actions"]
    assert (3, 1) == (start.attributes["task_id"], start.attributes["trial"])
    assert "gold" not in json.dumps(start.attributes)


def test_the_step_is_the_index_of_the_message(tmp_path: Path) -> None:
    """Each message of the assistant is one call at its index in the trajectory."""
    (run,) = read(tmp_path, RESULT)
    assert [2, 4] == [record.step for record in run.records if isinstance(record, Attempt)]


def test_two_models_on_one_task_are_two_runs(tmp_path: Path) -> None:
    """Results of the same task and trial with other conversations are other runs; a copy is the same."""
    other = RESULT | {"traj": [*RESULT["traj"][:-1], {"role": "assistant", "content": "Finished."}]}
    one, two, copy = read(tmp_path, RESULT, other, RESULT)
    assert (one.run_id, False) == (copy.run_id, one.run_id == two.run_id)


@given(st.floats(0, 1), st.lists(st.sampled_from(RESULT["traj"]), min_size=1, max_size=8))
def test_any_conversation_has_rising_steps(reward: float, traj: list[dict[str, Any]]) -> None:
    """Whatever was said in whatever order: a call per message of the assistant, at its index, or a refusal by name."""
    value = RESULT | {"reward": reward, "traj": traj}
    assert matches(value)
    asked = [n for n, message in enumerate(traj) if message["role"] == "assistant"]
    document = Document(Path("results.json"), value, "item 1", 0)
    if not asked:
        with pytest.raises(ImportFormatError, match="none has role 'assistant'"):
            to_trace(document)
        return
    trace = to_trace(document)
    assert (asked, reward == 1, reward) == ([turn.step for turn in trace.turns], trace.success, trace.score)
