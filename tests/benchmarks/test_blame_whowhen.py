"""The benchmark of blame: what it prints of logs whose truth is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import blame_whowhen
import pytest


def log(n: int, label: dict[str, Any]) -> dict[str, Any]:
    history = [
        {"role": "assistant", "name": "Lead", "content": f"You are to count the boats of harbour {n}."},
        {"role": "user", "name": "Counter", "content": "```python\nprint(boats)\n```"},
        {"role": "user", "name": "Shell", "content": "exitcode: 1 (execution failed)\nNameError: boats"},
        {"role": "user", "name": "Lead", "content": "Then we are done here, I think."},
    ]
    return {"question": "?", "question_ID": f"q{n}", "history": history, "is_correct": False} | label


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["blame_whowhen.py", "--data", str(folder), *options])
    return blame_whowhen.main()


def test_it_measures_against_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three labels name who wrote the code, one somebody else: we are right in three of four, in JSON and CSV."""
    for n in range(4):
        label = (
            {"mistake_agent": "Counter", "mistake_step": "1"} if n else {"mistake_agent": "Lead", "mistake_step": "3"}
        )
        (tmp_path / f"{n}.json").write_text(json.dumps(log(n, label)))
    (tmp_path / "other.json").write_text('{"history": 7}')
    assert run(monkeypatch, tmp_path, "--json", "--refit", "--out", str(tmp_path / "out")) == 0
    found = json.loads(capsys.readouterr().out)
    ours, first = found["all"]["trimtab"], found["all"]["first speaker"]
    assert (4, 1, 0.75, 0.75) == (found["runs"], found["left_out"], ours["agent"], ours["step"])
    assert (0.25, 0.0) == (first["agent"], first["step"])
    assert ours["step_low"] < 0.75 < ours["step_high"]
    assert 4 == found["half_0"]["trimtab"]["runs"] + found["half_1"]["trimtab"]["runs"]
    assert 5 == len((tmp_path / "out" / "runs.csv").read_text().splitlines())


def test_a_folder_without_labels_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logs that nobody labelled are no benchmark."""
    (tmp_path / "0.json").write_text(json.dumps(log(0, {})))
    assert run(monkeypatch, tmp_path) == 2
    assert "no log with the labels mistake_agent and mistake_step" in capsys.readouterr().err


def test_the_floors_hold_on_the_published_logs(real_data: Path, tmp_path: Path) -> None:
    """On the algorithm-generated logs the agent is right in 58 % of runs, the step in 40 %; no baseline is better."""
    cases, left_out = blame_whowhen.read_cases(real_data / "whowhen_ag", tmp_path)
    assert left_out == 0
    ours, *others = [blame_whowhen.figures(cases, method) for method in blame_whowhen.METHODS.values()]
    assert ours["runs"] == 126
    assert ours["agent"] >= max(0.58, *(other["agent"] for other in others))
    assert ours["step"] >= max(0.40, *(other["step"] for other in others))
