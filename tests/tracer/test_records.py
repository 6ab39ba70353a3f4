"""Records: what goes into a segment comes out of it, and what an earlier version wrote is still read."""

from __future__ import annotations

import json

from trimtab_tracer.records import CallDecisions, Choice, Decision, from_dict, to_dict

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
