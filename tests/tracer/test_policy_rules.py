"""Rules: which calls they are for, in which state of a run they hold, and which of several is obeyed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trimtab_tracer.policy_rules import Arm, Match, Policy, Rule, Seen, When
from trimtab_tracer.progress import Progress

GOLD = Progress("run", "triage", {"tier": "gold", "size": "3"})


def fixed(rule_id: str, when: When | None = None, **match: Any) -> Rule:
    """A rule for ``timeout_s``."""
    return Rule(rule_id, "timeout_s", Match(**match), "human", (Arm(1.0, 1.0),), when)


def chosen(*rules: Rule, run: Progress | None = GOLD, seen: Seen | None = None) -> str | None:
    """Id of the rule that is obeyed at line ``call`` of agent ``shop``."""
    rule = Policy(1, 1, 1, rules=rules).rule("timeout_s", ("call",), "shop", "m", run, seen)
    return rule.rule_id if rule is not None else None


@pytest.mark.parametrize(
    ("match", "covers"),
    [
        ({"name": "triage"}, True),
        ({"name": "other"}, False),
        ({"context": (("tier", "gold"),)}, True),
        ({"context": (("size", "3"), ("tier", "gold"))}, True),
        ({"context": (("size", "3"), ("tier", "tin"))}, False),
        ({"context": (("region", "eu"),)}, False),
    ],
)
def test_rules_look_at_how_a_run_was_declared(match: dict[str, Any], covers: bool) -> None:
    """Name and every attribute that is named must be as the rule says; of an unknown run neither is."""
    assert covers is (chosen(fixed("r", **match)) == "r")
    assert chosen(fixed("r", **match), run=None) is None


def test_the_order_of_specificity() -> None:
    """Site, model, number of attributes, name, service, condition: each counts more than all that come after it."""
    two, one = (("size", "3"), ("tier", "gold")), (("tier", "gold"),)
    order = [
        fixed("site", site="call"),
        fixed("model+all", When(min_step=0), model="m", context=two, name="triage", service="shop"),
        fixed("model", model="m"),
        fixed("two+when", When(min_step=0), context=two),
        fixed("two", context=two),
        fixed("one+name", context=one, name="triage"),
        fixed("one", context=one),
        fixed("name", name="triage"),
        fixed("service", service="shop"),
        fixed("when", When(min_step=0)),
        fixed("any"),
    ]
    for first in range(len(order)):
        rules = order[first:]
        random.Random(first).shuffle(rules)
        assert order[first].rule_id == chosen(*rules, seen=Seen(0, 0, False))


@pytest.mark.parametrize(
    ("when", "held"),
    [
        (When(previous_failed=True), [False, False, True]),
        (When(previous_failed=False), [True, True, False]),
        (When(min_step=2), [False, True, True]),
        (When(max_step=1), [True, False, False]),
        (When(min_step=2, max_step=2), [False, True, False]),
        (When(min_tokens=100), [False, True, False]),
        (When(max_tokens=99), [True, False, False]),
        (When(min_step=1, previous_failed=True), [False, False, True]),
    ],
)
def test_conditions_are_about_the_run_so_far(when: When, held: list[bool]) -> None:
    """All that is given must hold; of tokens that were not counted, and of an unknown run, nothing does."""
    states = [Seen(0, 0, False), Seen(2, 100, False), Seen(9, None, True)]
    assert held == [when.holds(seen) for seen in states]
    assert not when.holds(None)


def test_a_rule_whose_condition_does_not_hold_gives_way() -> None:
    """The next rule is obeyed then, and the conditional one again when its condition does."""
    rules = (fixed("always"), fixed("late", When(min_step=3)), fixed("failed", When(previous_failed=True)))
    states = [Seen(0, 0, False), Seen(3, 0, False), Seen(1, 0, True), Seen(2, 0, False)]
    assert ["always", "late", "failed", "always"] == [chosen(*rules, seen=seen) for seen in states]


def test_a_policy_knows_what_it_asks_of_runs() -> None:
    """Whether any condition is there, and whether one is about tokens; a frozen one asks nothing."""
    rules = (fixed("a", When(min_tokens=1)), fixed("b"))
    assert Policy(1, 1, 1, rules=rules).counts_tokens
    assert not Policy(1, 1, 1, is_frozen=True, rules=rules).counts_tokens
    assert not Policy(1, 1, 1, rules=(fixed("a", When(max_step=1)),)).counts_tokens
    assert Policy(1, 1, 1, rules=rules).has_conditions(("timeout_s",))
    assert not Policy(1, 1, 1, rules=rules).has_conditions(("model",))
