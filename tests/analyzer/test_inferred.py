"""Outcomes inferred from how runs ended: each rule, its near miss, and what counts before them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from trimtab_analyzer import load
from trimtab_analyzer.inferred import SAYS, infer
from trimtab_analyzer.report import build, words

ASKED = {"origin": "requested", "name": "search"}
STORIES: dict[str, dict[str, Any]] = {
    "vanished": {"run": {"status": "error", "end_rule": "process vanished"}},
    "exception": {"run": {"status": "error", "error_type": "KeyError"}},
    "failed_call": {"attempt": {"error_class": "server"}},
    "cut_answer": {"call": {"finish_reason": "length"}},
    "refused_answer": {"call": {"finish_reason": "refusal"}},
    "malformed_tool_call": {"call": {"finish_reason": "tool_calls"}, "tool": ASKED | {"args_valid": False}},
    "unanswered_tool_call": {"call": {"finish_reason": "tool_calls"}, "tool": ASKED},
    "empty_answer": {"output_chars": 0},
}
NEAR_MISSES: dict[str, dict[str, Any]] = {
    "an answer": {"output_chars": 12},
    "still running": {"run": {"ended_ns": None, "status": None}, "call": {"finish_reason": "length"}},
    "Ctrl-C": {"run": {"status": "error", "error_type": "KeyboardInterrupt"}},
    "the reader left": {"status": "abandoned", "output_chars": 0},
    "answered tool": {"call": {"finish_reason": "tool_calls"}, "tool": {"origin": "observed"}},
    "answer by a tool": {"call": {"finish_reason": "tool_calls"}, "tool": ASKED | {"name": "final_result"}},
    "forced tool": {"params": '{"tool_choice": "required"}', "tool": ASKED},
    "split process": {"run": {"is_split": True}, "call": {"finish_reason": "length"}},
    "text not kept": {"output_chars": None},
}


def _tell(shelf: Any, story: dict[str, Any], run_id: str = "told") -> None:
    shelf.run(run_id, **({"ended_ns": 10**12} | story.get("run", {})))
    call = shelf.call(run_id, story.get("attempt", {}), **story.get("call", {}))
    for name in ("output_chars", "status", "params"):
        if name in story:
            shelf.con.execute(f"UPDATE calls SET {name} = ? WHERE call_id = ?", [story[name], call])
    if "tool" in story:
        shelf.tool(run_id, call, **story["tool"])


def _inferred(shelf: Any) -> list[Any]:
    infer(shelf.con, now_ns=5)
    found = shelf.con.execute("SELECT rule, success, confidence FROM inferred_outcomes WHERE run_id = 'told'")
    return found.fetchall()


@pytest.mark.parametrize("rule", STORIES)
def test_each_rule_speaks(shelf: Any, rule: str) -> None:
    """A run that ended so failed, by this rule."""
    _tell(shelf, STORIES[rule])
    ((found, success, confidence),) = _inferred(shelf)
    assert (rule, False) == (found, success)
    assert 0.8 <= confidence < 1


@pytest.mark.parametrize("story", NEAR_MISSES)
def test_near_misses_say_nothing(shelf: Any, story: str) -> None:
    """What only looks like one of these ends is no outcome; no end at all says that a run succeeded."""
    _tell(shelf, NEAR_MISSES[story])
    assert [] == _inferred(shelf)


def test_every_rule_has_a_story_and_words() -> None:
    """The rules of the query are those that are explained and tested."""
    sql = (Path(load.__file__).parent / "queries" / "inferred_outcomes.sql").read_text()
    assert set(STORIES) == set(SAYS) == {rule for rule in SAYS if f"THEN '{rule}'" in sql}
    assert len(STORIES) == sql.count("THEN '")


def test_what_was_said_counts_before(shelf: Any) -> None:
    """An inferred outcome shows its rule and confidence; what was said hides it, whatever its source."""
    _tell(shelf, STORIES["cut_answer"])
    infer(shelf.con)

    def counts() -> tuple[Any, ...]:
        row = load.outcomes(shelf.con, ["told"]).row(0, named=True)
        return row["source"], row["success"], row["rule"], row["confidence"], row["failed"]

    assert ("inferred", False, "cut_answer", 0.85, True) == counts()
    shelf.outcome("told", True, "inferred")  # an importer's
    assert ("inferred", True, None, None, False) == counts()
    shelf.outcome("told", True, "evaluator")
    shelf.outcome("told", None, "explicit", score=0.5)
    assert ("explicit", None, None, None, False) == counts()
    shelf.con.execute("DELETE FROM outcomes")
    assert "inferred" == counts()[0]


def test_an_outcome_goes_when_its_rule_no_longer_fits(shelf: Any) -> None:
    """A run that went on is judged anew; what did not change is not written again."""
    _tell(shelf, STORIES["cut_answer"])
    _tell(shelf, STORIES["empty_answer"], "other")
    assert (2, 0) == (infer(shelf.con, now_ns=5), infer(shelf.con, now_ns=6))
    shelf.call("told")
    assert 1 == infer(shelf.con, now_ns=7)
    rows = shelf.con.execute("SELECT run_id, inferred_ns FROM inferred_outcomes").fetchall()
    assert [("other", 5)] == rows


def test_a_report_never_mixes_them_silently(shelf: Any) -> None:
    """Inferred failures are counted apart, named with their reason, and explained; what broke is not among them."""
    _tell(shelf, STORIES["cut_answer"])
    _tell(shelf, STORIES["exception"], "broke")
    infer(shelf.con)
    report = build(shelf.con)
    assert (2, 1) == (report.totals.failed_runs, report.totals.inferred_runs)
    states = {run.run_id: words.run_state(run) for run in report.runs}
    assert f"failed, inferred: {SAYS['cut_answer']}" == states["told"]
    assert "ended in an error" == states["broke"]
    assert any("1 of 2 failed runs ended without an error" in note for note in report.notes)


@pytest.mark.skipif("TRIMTAB_REAL_DATA" not in os.environ, reason="needs recorded runs: TRIMTAB_REAL_DATA names none")
def test_an_answer_at_the_end_is_no_success() -> None:
    """Why no rule infers success: of the 149 tau-bench runs whose agent had the last word with a text, 49 succeeded."""
    file = Path(os.environ["TRIMTAB_REAL_DATA"]) / "tau_bench" / "gpt-4o-airline.json.gz"
    runs = json.loads(gzip.decompress(file.read_bytes()))
    last = [[m for m in run["traj"] if m["role"] == "assistant"][-1] for run in runs]
    rewards = [run["reward"] for run, message in zip(runs, last, strict=True) if not message.get("tool_calls")]
    assert (149, 49, 200, 84) == (len(rewards), sum(rewards), len(runs), sum(run["reward"] for run in runs))
