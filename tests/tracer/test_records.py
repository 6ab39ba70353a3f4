"""Records: what goes into a segment comes out of it, and what an earlier version wrote is still read."""

from __future__ import annotations

import json
from dataclasses import replace

from trimtab_tracer.records import Attempt, CallDecisions, Choice, Decision, RunStart, from_dict, to_dict

DECISION = Decision("d", "r", "top_k", 5, "default", "s", 1, site_role="knob")


def test_a_decision_keeps_the_choices_its_code_named() -> None:
    """Choices of any JSON kind come back as they were, apart from the choices of a call's decisions."""
    decision = Decision("d", "r", "top_k", 5, "default", "s", 1, choices=(3, 5, None, [1, "a"], {"b": 2}))
    assert decision == from_dict(json.loads(json.dumps(to_dict(decision))))
    call = CallDecisions("c", "r", "s", 1, (Choice("model", "m", "code"), Choice("stop", None, "default")))
    assert call == from_dict(json.loads(json.dumps(to_dict(call))))


def test_a_decision_without_choices_has_the_shape_of_earlier_versions() -> None:
    """Nothing is written of choices that are not there, and a decision written without any is read."""
    written = to_dict(DECISION)
    assert "choices" not in written
    assert DECISION == from_dict(written)


def test_a_decision_names_the_rule_it_obeyed_and_what_that_saw() -> None:
    """Rule, state and verdict come back as they were; without a policy nothing is written of them."""
    seen = {"calls": 3, "tokens": 120, "previous_failed": True}
    obeyed = replace(DECISION, rule_id="exp-1.2", seen=seen, verdict="failed: json")
    assert obeyed == from_dict(json.loads(json.dumps(to_dict(obeyed))))
    choice = Choice("model", "m", "experiment", rule_id="exp-1.2", seen=seen, verdict="passed")
    call = CallDecisions("c", "r", "s", 1, (choice, Choice("stop", None, "default")))
    assert call == from_dict(json.loads(json.dumps(to_dict(call))))
    (decision, plain) = call.decisions()
    assert ("exp-1.2", seen, "passed") == (decision.rule_id, decision.seen, decision.verdict)
    assert (None, None, None) == (plain.rule_id, plain.seen, plain.verdict)
    assert not {"rule_id", "seen", "verdict"} & (to_dict(DECISION).keys() | to_dict(call)["choices"][1].keys())


def test_what_only_imports_know_is_written_only_there() -> None:
    """Agent, step and annotations come back as they were, and are left out of the records of live agents."""
    attempt = Attempt("a", "c", "r", "p", 1, 1, 1, "openai.chat", "POST", "h", "/", "s", "complete")
    start = RunStart("r", "p", 1, "n", "import")
    assert not {"agent", "step", "annotations"} & (to_dict(attempt).keys() | to_dict(start).keys())
    for record in (replace(attempt, agent="A", step=0), replace(start, annotations={"mistake_step": "3"})):
        assert record == from_dict(json.loads(json.dumps(to_dict(record))))
