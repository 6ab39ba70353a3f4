"""Rules of the policy: put in, taken out, taken back, and what that means for whom they belong to.

In: a decision inside its transaction (:class:`.change.Change`). Out: the next version of the policy, and every
recommendation and experiment in the state that fits it: whose rule is in the policy is in force, whose rule is not is
not. Apart from :mod:`.recommendations` and :mod:`.experiments`, which do not know each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Final

from ..reads import Row, fetch
from . import experiments, recommendations
from .actor import SIDECAR
from .change import Change
from .document import Json, is_same_place, overlaps, plain_match, with_rule, without
from .errors import NotThere, Refused

HAND_PREFIX = "man-"
"""Begins the ids that are made for rules without one."""
RESERVED: Final = (recommendations.PREFIX, experiments.PREFIX)
"""Beginnings of ids that no rule put by hand may have."""


def accept(change: Change, row: Row, value: Any) -> Row:
    """Put a recommendation's rule into the policy, with ``value``; the recommendation as it is then.

    Raises:
        Refused: agents would refuse the value.
        Conflict: an experiment steers some of the same calls.
    """
    recommendation = row["recommendation_id"]
    match = plain_match(row["match"])
    rule = {"rule_id": recommendations.PREFIX + recommendation, "knob": row["knob"], "match": match}
    rule |= {"sticky": "run", "source": "human", "value": value}
    _end_experiments(change, row, rule)
    _put(change, rule, f"recommendation {recommendation} accepted", "the recommendation")
    in_policy = {"rule_id": rule["rule_id"], "policy_version": change.version}
    return recommendations.decide(change, row, "accept", "accepted", row["from_value"], value, **in_policy)


def _end_experiments(change: Change, row: Row, rule: Json) -> None:
    """What an experiment has shown takes its place; a person's word goes before what the sidecar tries by itself."""
    for experiment in experiments.running(change.con):
        is_its = experiment["experiment_id"] == row["experiment_id"]
        if is_its or (experiment["started_by"] == SIDECAR.name and overlaps(experiment, rule)):
            experiments.take_out(change, experiment, f"recommendation {row['recommendation_id']} was accepted")


def roll_back(change: Change, row: Row) -> Row:
    """Take a recommendation's rule out of the policy; the recommendation as it is then."""
    values = [rule["value"] for rule in change.rules if rule["rule_id"] == row["rule_id"]]
    cause = f"recommendation {row['recommendation_id']} rolled back"
    change.publish(cause, rules=without(change.rules, row["rule_id"]))
    return recommendations.taken_out(change, row, values[0] if values else None, None)


def put(change: Change, rule: Json) -> None:
    """Put a rule by hand: instead of the one with its id, or of one on exactly the same calls.

    Args:
        change: The decision it is.
        rule: As in the document; ``rule_id``, ``match``, ``sticky`` and ``source`` may be left out.

    Raises:
        Refused: agents would refuse it, or it is none that a person may put.
        Conflict: an experiment steers some of the same calls.
    """
    whole = {"match": {}, "sticky": "run", "source": "human", **rule}
    whole["rule_id"] = rule.get("rule_id") or HAND_PREFIX + secrets.token_hex(4)
    change.check_rule(whole)
    whole["match"] = plain_match(whole["match"])
    if whole["source"] != "human":
        raise Refused("Arms are compared by an experiment: start one instead. Nothing was changed.")
    if whole["rule_id"].startswith(RESERVED):
        expected = f"an id that does not begin with {' or '.join(RESERVED)}: those are trimtab's own"
        raise Refused.unusable("rule_id", whole["rule_id"], expected)
    before = next((each for each in change.rules if each["rule_id"] == whole["rule_id"]), None)
    _put(change, whole, f"rule {whole['rule_id']} put", "the rule")
    change.audit("put_rule", "rule", whole["rule_id"], before=before, after=whole)


def remove(change: Change, rule_id: str) -> None:
    """Take a rule out of the policy, whoever put it there.

    Raises:
        NotThere: the policy has no such rule.
    """
    whole, dot, _ = rule_id.rpartition(".")
    if dot and whole.startswith(experiments.PREFIX):
        raise Refused(
            f"Rule {rule_id} is a part of experiment {whole.removeprefix(experiments.PREFIX)}: stop that one."
        )
    gone = [rule for rule in change.rules if rule["rule_id"] == rule_id]
    if not gone:
        raise NotThere.named("rule", rule_id, "`trimtab policy`")
    change.publish(f"rule {rule_id} removed", rules=without(change.rules, rule_id))
    change.audit("remove_rule", "rule", rule_id, before=gone[0])
    _let_go(change, gone, f"its rule {rule_id} was removed")


def roll_back_policy(change: Change, to: int | None) -> None:
    """Make a new version with the rules of an earlier one; freezing stays as it is.

    Args:
        change: The decision it is.
        to: The version; by default the newest one whose rules were others.

    Raises:
        NotThere: there is no such version, or none had other rules.
        Refused: it has the rules that are in force, or agents would not take them any more.
    """
    target = change.version_before() if to is None else to
    before, rules = change.rules, change.rules_of(target)
    if rules == before:
        raise Refused(f"Policy version {target} has the same rules as the one in force; nothing was changed.")
    was = change.version
    change.publish(f"rolled back to version {target}", rules=rules)
    change.audit("roll_back_policy", "policy", str(change.version), before=was, after=target)
    why = f"the policy was rolled back to version {target}"
    left, there = {rule["rule_id"] for rule in rules}, {rule["rule_id"] for rule in before}
    _let_go(change, [rule for rule in before if rule["rule_id"] not in left], why)
    _take_up(change, [rule for rule in rules if rule["rule_id"] not in there], why)


def _put(change: Change, rule: Json, cause: str, wanted: str) -> None:
    """Make a version with ``rule`` in it; what it replaces is written down."""
    change.check_rule(rule)
    experiments.refuse_overlap(change, rule, wanted)
    replaced = [each for each in change.rules if each["rule_id"] != rule["rule_id"] and is_same_place(each, rule)]
    change.publish(cause, rules=with_rule(change.rules, rule))
    why = f"superseded by rule {rule['rule_id']}"
    for each in replaced:
        if not each["rule_id"].startswith(RESERVED):
            change.audit("remove_rule", "rule", each["rule_id"], before=each, why=why)
    _let_go(change, replaced, why)


def _let_go(change: Change, gone: Iterable[Json], why: str) -> None:
    """Recommendations and experiments whose rules have left the policy are rolled back and stopped."""
    for rule in gone:
        for row in _of_rule(change, "recommendations", rule):
            if row["status"] in recommendations.IN_FORCE:
                recommendations.taken_out(change, row, rule["value"], why)
        for row in _of_rule(change, "experiments", rule):
            if row["status"] == "running":
                experiments.ended(change, row, why)


def _take_up(change: Change, back: Iterable[Json], why: str) -> None:
    """Recommendations and experiments whose rules are in the policy again are in force and run again."""
    for rule in back:
        for row in _of_rule(change, "recommendations", rule):
            recommendations.brought_back(change, row, rule["value"], why)
        for row in _of_rule(change, "experiments", rule):
            experiments.begun_again(change, row, why)


def _of_rule(change: Change, table: str, rule: Json) -> list[Row]:
    return fetch(change.con, f"SELECT * FROM {table} WHERE rule_id = $id", id=rule["rule_id"])
