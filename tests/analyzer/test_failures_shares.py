"""The shares that findings state: a part of a whole that is named, and nothing else in the whole."""

from __future__ import annotations

import re
from typing import Any

import pytest

from trimtab_analyzer.failures import RULES
from trimtab_analyzer.findings import Finding, analyze

OF_FAILED_RUNS = (
    "auth",
    "disobeyed_format",
    "no_progress",
    "poor_retrieval",
    "premature_end",
    "reasoning_action_mismatch",
    "refusal",
    "silent_tool_error",
    "tool_error",
    "uncompensated_side_effect",
    "ungrounded_answer",
    "wrong_verification",
)
"""Rules that look, or also look, at failed runs alone."""


def _found(shelf: Any, rule_id: str) -> Finding:
    (finding,) = analyze(shelf.con, rules=[rule for rule in RULES if rule.id == rule_id])
    return finding


def _tell(shelf: Any, stories: Any, rule_id: str) -> None:
    if rule_id == "auth":
        shelf.call(tools=[{}])
        shelf.call(signals={"answers": {"c1:0": "denied"}})
    elif rule_id == "refusal":
        shelf.call(signals={"refused": True})
    if rule_id in ("auth", "refusal"):
        shelf.outcome("r1", False)
    else:
        stories[rule_id](shelf)


@pytest.mark.parametrize("rule_id", OF_FAILED_RUNS)
def test_shares_of_failed_runs_are_over_failed_runs(shelf: Any, stories: Any, rule_id: str) -> None:
    """What is looked for in failed runs alone is no smaller share of them where other runs do the same and succeed."""
    _tell(shelf, stories, rule_id)
    before = _found(shelf, rule_id)
    own_call, own_tool = ["call_id", "run_id"], ["tool_id", "call_id", "run_id"]
    of_table = {"runs": ["run_id"], "calls": own_call, "attempts": ["attempt_id", *own_call], "tool_calls": own_tool}
    for table, ids in of_table.items():
        shelf.again(table, ids, ["r1"], 1)
    shelf.con.execute("UPDATE runs SET status = 'ok', error_type = NULL WHERE run_id = 'r1 again 0'")
    shelf.outcome("r1 again 0", True)
    after = _found(shelf, rule_id)
    assert (before.title, before.evidence["numbers"]) == (after.title, after.evidence["numbers"])


def test_every_share_is_a_part_of_its_whole(all_told: Any) -> None:
    """No finding, in its title or in its numbers, says that it hit more than it could have."""
    found = analyze(all_told.con)
    parts = [(int(k), int(n)) for f in found for k, n in re.findall(r"\b(\d+) of (\d+)\b", f.title)]
    parts += [
        (f.evidence["numbers"]["hit"], f.evidence["numbers"]["of"]) for f in found if "hit" in f.evidence["numbers"]
    ]
    assert len(parts) > 40
    assert all(0 < k <= n for k, n in parts)


def test_refusals_by_words_are_a_share_of_their_own(shelf: Any) -> None:
    """Refused answers that the provider names are of all answers, those by their words of answers in failed runs."""
    for run_id, success in (("lost", False), ("won", True)):
        shelf.call(shelf.run(run_id), signals={"refused": True})
        shelf.call(run_id)
        shelf.outcome(run_id, success)
    assert _found(shelf, "refusal").title.startswith(
        "1 of 2 answers of m1 in runs that failed was refused, by their words"
    )
    shelf.call("won", finish_reason="content_filter")
    assert _found(shelf, "refusal").title == (
        "1 of 5 answers of m1 was refused, as the provider says; 1 of 2 answers in runs that failed by their words"
    )
