"""The policy document as the control puts it together. Pure.

In: rules as JSON objects. Out: a document that :func:`trimtab_tracer.policy.parse` takes, or its
:class:`~trimtab_tracer.errors.PolicyError`: what agents would refuse is never written. Also answers which rules are
about the same calls. Apart from the store and the file because both hold what is made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from trimtab_tracer import policy
from trimtab_tracer.settings import Settings

Json = dict[str, Any]

EXPERIMENT = "exp-"
"""Begins the ids of experiments' rules, and of nothing else; only those have parts."""

_KEYS = ("site", "service", "model", "name")


def terms(settings: Settings) -> Json:
    """What every document says beside its rules: how long it holds and the caps that the settings lower."""
    return {"lifetime_s": settings.policy_lifetime_s, "guardrails": asdict(settings.caps)}


def build(version: int, rules: Iterable[Json], terms: Json, *, issued_ns: int, is_frozen: bool) -> Json:
    """A document."""
    head = {"schema": policy.SCHEMA, "version": version, "issued_ns": issued_ns}
    return {**head, **terms, "frozen": is_frozen, "rules": list(rules)}


def encode(document: Json) -> bytes:
    """The document's bytes, as they are published."""
    return (json.dumps(document, separators=(",", ":")) + "\n").encode()


def check(document: Json) -> None:
    """Refuse a document that an agent would refuse.

    Raises:
        PolicyError: says why.
    """
    for i, rule in enumerate(document["rules"]):
        policy.read_rule(rule, f"rules[{i}]")  # before encoding: it bounds how deep a value is nested
    policy.parse(encode(document), document["issued_ns"])


def plain_match(match: Json) -> Json:
    """``match`` without the keys that are null and so match anything; what is no object comes back as it is."""
    return {key: value for key, value in match.items() if value is not None} if isinstance(match, dict) else match


def is_same_place(one: Json, other: Json) -> bool:
    """Whether two rules are about one knob and exactly the same calls, in the same state of their runs."""
    is_one = one["knob"] == other["knob"] and one.get("when") == other.get("when")
    return bool(is_one and plain_match(one["match"]) == plain_match(other["match"]))


def overlaps(one: Json, other: Json) -> bool:
    """Whether two rules are about one knob and some call may match both.

    Two different sites count as different calls. A call can have two, its own line and the one that made the client:
    of rules on both the one listed first holds, and nobody is told.
    """
    if one["knob"] != other["knob"]:
        return False
    match, others = one["match"], other["match"]
    attributes, wanted = match.get("context") or {}, others.get("context") or {}
    return all(match.get(key) is None or others.get(key) in (None, match[key]) for key in _KEYS) and all(
        wanted.get(key, value) == value for key, value in attributes.items()
    )


def with_rule(rules: Iterable[Json], rule: Json) -> list[Json]:
    """``rules`` with ``rule`` in the place of those that it replaces: of the same id, or on the same calls."""
    out: list[Json] = []
    is_placed = False
    for each in rules:
        if each["rule_id"] != rule["rule_id"] and not is_same_place(each, rule):
            out.append(each)
        elif not is_placed:
            out.append(rule)
            is_placed = True
    return out if is_placed else [*out, rule]


def is_of(rule: Json, rule_id: str) -> bool:
    """Whether it is the rule of this id, or a part of it for some of its calls (``<rule_id>.<n>``)."""
    is_part = rule_id.startswith(EXPERIMENT) and rule["rule_id"].startswith(f"{rule_id}.")
    return bool(rule["rule_id"] == rule_id or is_part)


def decided(rules: Iterable[Json]) -> list[Json]:
    """``rules`` as far as somebody decided them: those of an experiment once, and without their weights."""
    whole = [rule for rule in rules if not (rule["rule_id"].startswith(EXPERIMENT) and "." in rule["rule_id"])]
    return [
        rule | {"arms": [{k: v for k, v in arm.items() if k != "weight"} for arm in rule["arms"]]}
        if rule["rule_id"].startswith(EXPERIMENT)
        else rule
        for rule in whole
    ]


def without(rules: Iterable[Json], rule_id: str) -> list[Json]:
    """``rules`` without the one of this id and its parts."""
    return [rule for rule in rules if not is_of(rule, rule_id)]
