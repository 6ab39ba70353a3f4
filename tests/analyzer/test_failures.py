from __future__ import annotations

from typing import Any

import pytest

from trimtab_analyzer.cost import CLASSES, KNOBS
from trimtab_analyzer.failures import RULES
from trimtab_analyzer.findings import analyze
from trimtab_analyzer.report import build

IDS = [rule.id for rule in RULES]


def test_every_rule_has_a_story(stories: Any) -> None:
    """No rule is without a story in which it must speak, and no story is without its rule."""
    assert sorted(stories) == sorted(IDS)
    assert len(set(IDS)) == 12


@pytest.mark.parametrize("rule", IDS)
def test_each_rule_alone_speaks_in_its_story(shelf: Any, stories: Any, rule: str) -> None:
    """The story of a rule makes that rule speak once, and no other one."""
    stories[rule](shelf)
    assert [f.rule for f in analyze(shelf.con)] == [rule]


@pytest.mark.parametrize("rule", IDS)
def test_without_a_rule_its_story_goes_unfound(shelf: Any, stories: Any, rule: str) -> None:
    """With the rule taken out of the table nothing is said about what it alone can tell."""
    stories[rule](shelf)
    assert analyze(shelf.con, rules=[other for other in RULES if other.id != rule]) == []


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_each_rule_says_what_it_asks_and_advises(rule: Any) -> None:
    """A question, an advice, a name elsewhere; the knob of its class in the ledger, or one that is looked up."""
    assert rule.question.endswith("?")
    assert rule.advice.endswith(".")
    assert rule.taxonomy
    of_class = {c.id: c.knob for c in CLASSES}
    assert rule.cost_class is None or of_class[rule.cost_class] == rule.knob or rule.knob in KNOBS


@pytest.mark.parametrize("rule", IDS)
def test_no_finding_claims_an_effect(shelf: Any, stories: Any, rule: str) -> None:
    """Title and advice are single sentences with a number or a line; neither they nor the headline claim an effect."""
    stories[rule](shelf)
    (finding,) = analyze(shelf.con)
    text = " ".join((finding.title, finding.advice, *build(shelf.con).headline)).lower()
    claims = ("effect", "caused", "because of", "would", "saved", "bought")
    assert not [word for word in claims if word in text]
    assert any(letter.isdigit() for letter in finding.title)
    assert "agent.py:14" in finding.advice


def test_a_sound_run_gives_no_finding(shelf: Any) -> None:
    """Calls that worked, tools that answered and a run that ended well are nobody's fault."""
    for number in range(6):
        shelf.call(tools=[{"args_digest": f"a{number}"}], decisions={"max_retries": 2, "timeout_s": 60.0})
    shelf.outcome("r1", True)
    assert analyze(shelf.con) == []
