"""Which rules are about the same calls, where they name runs and conditions."""

from __future__ import annotations

from typing import Any

from trimtab_tuner.control.document import is_same_place, overlaps, with_rule


def rule(rule_id: str, when: dict[str, Any] | None = None, **match: Any) -> dict[str, Any]:
    """A rule for ``model``."""
    return {"rule_id": rule_id, "knob": "model", "match": match, **({"when": when} if when is not None else {})}


def test_a_condition_makes_another_place() -> None:
    """A rule takes the place of one with the same match and condition, and of no other."""
    always, failed = rule("a", site="s"), rule("b", {"previous_failed": True}, site="s")
    assert not is_same_place(always, failed)
    assert [always, failed] == with_rule([always], failed)
    assert [always, rule("c", {"previous_failed": True}, site="s")] == with_rule(
        [always, failed], rule("c", {"previous_failed": True}, site="s")
    )


def test_runs_that_differ_do_not_overlap() -> None:
    """Two values of one attribute, or two names of runs, are different calls; different attributes may be one run's."""
    gold, tin = rule("a", context={"tier": "gold"}), rule("b", context={"tier": "tin"})
    assert not overlaps(gold, tin)
    assert not overlaps(rule("a", name="x"), rule("b", name="y"))
    assert overlaps(gold, rule("c", context={"region": "eu"}))
    assert overlaps(gold, rule("d", site="s"))
