from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.cost import CLASSES
from trimtab_analyzer.failures import NOT_DECIDED, RULES
from trimtab_analyzer.findings import analyze

IDS = [rule.id for rule in RULES]
ALSO = {"uncompensated_side_effect": ["run_error"]}
"""What a story can't be told without: the change stays because the run was ended."""


def test_every_rule_has_a_story(stories: Any) -> None:
    """No rule is without a story in which it must speak, and no story is without its rule."""
    assert sorted(stories) == sorted(IDS)
    assert len(set(IDS)) == 45


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_each_rule_alone_speaks_in_its_story(shelf: Any, stories: Any, rule: Any) -> None:
    """Once, with a number, its line and no claim of an effect; without it nothing is said, but by what it excuses."""
    stories[rule.id](shelf)
    found = [f for f in analyze(shelf.con) if f.rule not in ALSO.get(rule.id, ())]
    assert [f.rule for f in found] == [rule.id]
    (finding,) = found
    text = f"{finding.title} {finding.advice}".lower()
    claims = ("effect", "caused", "because of", "would", "saved", "bought")
    assert not [word for word in claims if word in text]
    assert any(letter.isdigit() for letter in finding.title)
    assert "agent.py:14" in finding.advice
    assert ("condition" in finding.evidence["numbers"]) == rule.is_candidate
    if rule.ends_runs and not rule.excuses and rule.id != "timed_out_but_done":  # of whose run the exception is left
        assert analyze(shelf.con, rules=[other for other in RULES if other.id != rule.id]) == []


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_each_rule_says_what_it_asks_and_advises(rule: Any) -> None:
    """A question, an advice, a name elsewhere, a condition for candidates, a class that the ledger has."""
    assert rule.question.endswith("?")
    assert rule.advice.endswith(".")
    assert rule.taxonomy
    assert 0 <= rule.severity <= 1
    assert bool(rule.condition) or not rule.is_candidate
    assert rule.cost_class is None or rule.cost_class in {c.id for c in CLASSES}


def test_the_rules_look_outside_of_the_agent_first() -> None:
    """Preflight, incidents and the evaluator before the agent; what is left over last."""
    layers = [rule.layer for rule in RULES]
    order = ["preflight", "incident", "evaluator", "agent"]
    assert layers == sorted(layers, key=order.index)
    assert RULES[-1].id == "run_error"


def test_every_failure_mode_is_decided_or_said_not_to_be() -> None:
    """Forty of the forty-two have a rule; the two that are a matter of meaning are named."""
    assert {rule.mode for rule in RULES if rule.mode} | set(NOT_DECIDED) == set(range(1, 43))


def test_a_sound_run_gives_no_finding(shelf: Any) -> None:
    """Calls that worked, tools that answered and a run that ended well are nobody's fault."""
    for number in range(6):
        shelf.call(tools=[{"args_digest": f"a{number}"}], decisions={"max_retries": 2, "timeout_s": 60.0})
    shelf.outcome("r1", True)
    assert analyze(shelf.con) == []
