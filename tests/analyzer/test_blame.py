"""Blame of failed runs: shares that sum to 1, ranks that follow the evidence, and nothing taken from labels."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.blame import MAX_STEPS, NO_CALL, Blamed, Hit, blame, blame_run, by_agent
from trimtab_analyzer.findings import analyze
from trimtab_analyzer.importers import read_file
from trimtab_analyzer.steps import Action, Step
from trimtab_tracer.ingest import ingest
from trimtab_tracer.store import Store

LOG = {
    "question": "How many boats are in the harbour?",
    "mistake_agent": "Counter",
    "mistake_step": "2",
    "history": [
        {"role": "human", "content": "How many boats are in the harbour?"},
        {"role": "Lead (thought)", "content": "We should ask the counter to count the boats."},
        {"role": "Counter", "content": "```python\nprint(count())\n```"},
        {"role": "Shell", "content": "exit code: 1\nNameError: name 'count' is not defined"},
        {"role": "Lead (-> Counter)", "content": "Please try again with what is there."},
        {"role": "Counter", "content": "I can't do it, so that is all."},
    ],
}

STEPS = st.lists(
    st.builds(
        Step,
        run_id=st.just("r"),
        call_id=st.uuids().map(str),
        step=st.integers(0, 999),
        agent=st.sampled_from(["A", "B", None]),
        site_id=st.none(),
        said=st.sampled_from(["There are 4711 boats.", "```sh\nls\n```", "Assume it is so.", "OK", ""]),
        heard=st.sampled_from(["", "exit code: 1", "Count the boats"]),
        actions=st.sampled_from([(), (Action("t", "x", None, "error", None),)]),
        is_failed=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def hit(factor: float = 5.0, **facts: Any) -> Hit:
    fields: dict[str, Any] = {"rule": "timeout", "says": "too short", "knob": "timeout_s", "value": "3", "site_id": "s"}
    return Hit(**fields | {"finding_id": "f", "factor": factor} | facts)


def imported(tmp_path: Path, log: dict[str, Any]) -> list[Blamed]:
    """What is blamed in a log that was imported."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(log))
    with Store.open(tmp_path / "store" / "trimtab.duckdb") as store:
        ingest(store, [record for run in read_file(path) for record in run.records])
        with closing(store.cursor()) as con:
            return blame(con)


@given(STEPS, st.sets(st.integers(0, 39)))
def test_shares_sum_to_one(steps: list[Step], hits: set[int]) -> None:
    """Whatever a run shows, its shares are above 0, sum to 1, and fall with the rank."""
    of_rules = {steps[n].call_id: [hit()] for n in hits if n < len(steps)}
    found = blame_run("r", steps, of_rules)
    assert sum(one.share for one in found) == pytest.approx(1)
    assert [one.share for one in found] == sorted((one.share for one in found), reverse=True)
    assert all(one.share > 0 for one in found)
    assert list(range(1, min(len(steps), MAX_STEPS) + 1)) == [one.rank for one in found]
    assert sum(by_agent(found).values()) == pytest.approx(1)


def test_a_rule_names_the_knob() -> None:
    """A step that a rule hit has that rule's knob, value, line and finding; what the rule weighs decides the rank."""
    steps = [Step("r", f"c{n}", n, "A", "call site", said="I go on with the work.") for n in range(3)]
    first, *_ = blame_run("r", steps, {"c2": [hit(tool_ids=("t",))]})
    assert (2, "timeout_s", "3", "s", ("t",)) == (first.step, first.knob, first.value, first.site_id, first.tool_ids)
    assert ["f"] == first.evidence["findings"]
    assert "timeout" == first.modes[0]


def test_what_every_step_shows_names_none() -> None:
    """Where every step acts, acting is no reason; the one that failed is named for its error, and comes first."""
    done, failed = (Action("t", "x", None, "ok", False),), (Action("u", "x", None, "error", None),)
    steps = [Step("r", f"c{n}", n, "A", None, actions=failed if n == 5 else done) for n in range(9)]
    first, second, *_ = blame_run("r", steps, {})
    assert (5, ("failed_action", "first_error"), "tools") == (first.step, first.modes, first.knob)
    assert (0, (), None) == (second.step, second.modes, second.knob)


def test_a_hit_without_a_call_is_about_the_last_step() -> None:
    """What a rule says of a run as a whole, such as the exception that ended it, falls on where the run stood."""
    steps = [Step("r", f"c{n}", n, "A", None, said="I go on with the work.") for n in range(3)]
    assert 2 == blame_run("r", steps, {None: [hit()]})[0].step


def test_a_run_without_a_call_says_so() -> None:
    """A failed run that made no call has one entry with the whole blame and no step."""
    (only,) = blame_run("r", [], {})
    assert (1.0, None, None, (NO_CALL,)) == (only.share, only.step, only.call_id, only.modes)


def test_only_failed_runs_are_blamed(shelf: Any) -> None:
    """Runs that went well, or may have, get no blame; the outcome decides, not an error on the way."""
    for run_id, success in (("good", True), ("bad", False), ("unknown", None)):
        shelf.run(run_id)
        shelf.outcome(run_id, success)
        shelf.call(run_id, {"error_class": "server", "http_status": 500}, {})
    assert {"bad"} == {one.run_id for one in blame(shelf.con)}
    assert [] == blame(shelf.con, ["good"])


def test_what_ended_the_run_has_most_of_the_blame(shelf: Any) -> None:
    """A rate limit that ended the run stands far above the calls before it, with the decision behind it."""
    shelf.run("lost", status="error", error_type="openai.RateLimitError", ended_ns=9)
    shelf.call("lost")
    shelf.call("lost")
    last = shelf.call(
        "lost", {"error_class": "rate_limit", "http_status": 429, "cost_musd": 0}, decisions={"max_retries": 0}
    )
    first, *others = blame(shelf.con)
    assert (last, "rate_limit", "max_retries", "0") == (first.call_id, first.modes[0], first.knob, first.value)
    assert first.share > 0.9
    assert 2 == len(others)


def test_the_agent_that_wrote_the_code_is_blamed_for_its_error(tmp_path: Path) -> None:
    """Of a log of several agents, the step is its index there, the machine that ran the code has no part in it."""
    found = imported(tmp_path, LOG)
    assert (2, "Counter") == (found[0].step, found[0].agent)
    assert {1, 2, 4, 5} == {one.step for one in found}
    assert {"acts", "failed_action", "first_error"} <= set(found[0].modes)
    assert found[0].tool_ids


def test_labels_change_nothing(tmp_path: Path) -> None:
    """The same log with other labels, or other truths, is blamed the same."""
    other = LOG | {"mistake_agent": "Lead", "mistake_step": "5", "ground_truth": "12", "mistake_reason": "none"}
    said = [
        [(b.step, b.share, b.modes) for b in imported(tmp_path / name, log)] for name, log in (("a", LOG), ("b", other))
    ]
    assert said[0] == said[1]


def test_without_texts_facts_still_count(tmp_path: Path) -> None:
    """Where no text is kept, a failed tool call still stands out."""
    path = tmp_path / "log.json"
    path.write_text(json.dumps(LOG))
    with Store.open(tmp_path / "trimtab.duckdb") as store:
        ingest(store, [record for run in read_file(path, content="off") for record in run.records])
        with closing(store.cursor()) as con:
            first, *_ = blame(con)
    assert (2, "failed_action" in first.modes) == (first.step, True)


def test_blame_rests_on_the_findings(all_told: Any) -> None:
    """What an earlier rule answers for, doubts or explains is blamed on no later rule, as no finding says it."""
    named = {finding_id for one in blame(all_told.con) for finding_id in one.evidence["findings"]}
    assert set() < named <= {finding.finding_id for finding in analyze(all_told.con)}
