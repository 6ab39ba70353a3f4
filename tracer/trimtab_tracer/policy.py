"""The policy: what the agent is told to do differently, as data. Sans-IO.

In: the bytes of a published document (docs/policy.md). Out: a :class:`Policy`, which names the :class:`Rule` for a
knob of a call (:mod:`.policy_rules`), and back again. A module of its own because the agent obeys it, the sidecar
writes it and benchmarks draw from it: one reader for all, and one name under which others find the rules, too.

A document that is wrong anywhere is refused as a whole with :class:`~.errors.PolicyError`: half a policy is nobody's
intention. Without a policy the incumbent is in force, which is what the user's code does anyway.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from .caps import HARD, Guardrails
from .digests import canonical
from .errors import PolicyError
from .patterns import lazy_pattern
from .policy_json import check_integer, check_keys, check_number, check_text, inside, read_object, shown
from .policy_rules import NONE, Arm, Drawn, Match, Policy, Rule, Seen, When, draw
from .policy_values import STEERABLE, check_harmless, check_knob, check_value

__all__ = [
    "MAX_ARMS",
    "MAX_BYTES",
    "MAX_LIFETIME_S",
    "MAX_RULES",
    "NONE",
    "SCHEMA",
    "STEERABLE",
    "Arm",
    "Drawn",
    "Guardrails",
    "Match",
    "Policy",
    "Rule",
    "Seen",
    "When",
    "check_value",
    "draw",
    "parse",
    "read_rule",
    "to_document",
]

SCHEMA = 1
"""Version of the document's shape that this trimtab reads and writes."""
MAX_BYTES = 256 << 10
"""Size of a document."""
MAX_RULES = 500
"""Rules of a document."""
MAX_ARMS = 8
"""Values that one experiment compares."""
MIN_WEIGHT, MAX_WEIGHT = 0.02, 0.98
"""Share of an arm: never so small that what came of it can't be weighed."""
MAX_LIFETIME_S = 7 * 86400
"""Longest that a document holds after it was issued."""
MAX_AHEAD_NS = 60 * 10**9
"""How far the issuer's clock may be ahead of ours."""
MAX_CONTEXT = 8
"""Attributes of a run that one rule names."""

_MAX_INT = 2**63 - 1
_ID = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_NAME = lazy_pattern(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}")


def parse(text: bytes, now_ns: int) -> Policy:
    """The policy that a published document is.

    Args:
        text: The document's bytes, whoever they are from.
        now_ns: The time, to tell a document from the future. One whose lifetime is over parses.

    Raises:
        PolicyError: anything in it is not as docs/policy.md says; nothing else is raised, whatever the bytes.
    """
    raw = read_object(text, MAX_BYTES)
    # Before the keys: a later schema may have other ones, and the reader should learn why.
    schema = check_integer(raw.get("schema"), "schema", 1, _MAX_INT)
    if schema > SCHEMA:
        expected = f"at most {SCHEMA}: it is from the future of this trimtab, which needs an upgrade"
        raise PolicyError.unusable("schema", str(schema), expected)
    required = ("schema", "version", "issued_ns", "lifetime_s", "frozen", "rules")
    check_keys(raw, "the document", required, ("guardrails",))
    issued_ns = check_integer(raw["issued_ns"], "issued_ns", 1, _MAX_INT)
    if issued_ns > now_ns + MAX_AHEAD_NS:
        # Not how far, which every look would tell in another number: what is wrong is said once.
        seen = f"{issued_ns}, which lies in the future"
        raise PolicyError.unusable("issued_ns", seen, "a time of the past; compare both clocks")
    if not isinstance(raw["frozen"], bool):
        raise PolicyError.unusable("frozen", shown(raw["frozen"]), "true or false")
    return Policy(
        version=check_integer(raw["version"], "version", 1, _MAX_INT),
        issued_ns=issued_ns,
        lifetime_s=check_integer(raw["lifetime_s"], "lifetime_s", 1, MAX_LIFETIME_S),
        is_frozen=raw["frozen"],
        rules=_read_rules(raw["rules"]),
        guardrails=_read_guardrails(raw.get("guardrails", {})),
    )


def read_rule(raw: Any, where: str = "rule") -> Rule:
    """One rule of a document, given as JSON values.

    Raises:
        PolicyError: it is none that a document may hold; names the place below ``where``.
    """
    check_keys(raw, where, ("rule_id", "knob", "match", "sticky", "source"), ("value", "arms", "when"))
    rule_id = check_text(raw["rule_id"], f"{where}.rule_id", _ID, "1 to 100 letters, digits and . _ : -")
    check_harmless(rule_id, f"{where}.rule_id")
    knob = check_knob(raw["knob"], f"{where}.knob")
    if raw["sticky"] != "run":
        raise PolicyError.unusable(f"{where}.sticky", shown(raw["sticky"]), '"run"')
    source = raw["source"]
    if source not in ("human", "experiment"):
        raise PolicyError.unusable(f"{where}.source", shown(source), '"human" or "experiment"')
    if ("arms" in raw, "value" in raw) != (source == "experiment", source == "human"):
        given = " and ".join(repr(key) for key in ("value", "arms") if key in raw) or "neither 'value' nor 'arms'"
        wanted = "'arms' and no 'value'" if source == "experiment" else "'value' and no 'arms'"
        raise PolicyError.unusable(where, f'a rule of source "{source}" with {given}', wanted)
    match = _read_match(raw["match"], f"{where}.match")
    when = _read_when(raw["when"], f"{where}.when") if "when" in raw else None
    return Rule(rule_id, knob, match, source, _read_arms(knob, raw, where), when)


def to_document(policy: Policy) -> dict[str, Any]:
    """``policy`` as the JSON object that :func:`parse` reads back as an equal one."""
    return {
        "schema": SCHEMA,
        "version": policy.version,
        "issued_ns": policy.issued_ns,
        "lifetime_s": policy.lifetime_s,
        "frozen": policy.is_frozen,
        "guardrails": asdict(policy.guardrails),
        "rules": [_rule_document(rule) for rule in policy.rules],
    }


def _rule_document(rule: Rule) -> dict[str, Any]:
    arms = [
        {**({"incumbent": True} if arm.is_incumbent else {"value": arm.value}), "weight": arm.weight}
        for arm in rule.arms
    ]
    given = {"arms": arms} if rule.source == "experiment" else {"value": rule.arms[0].value}
    head = {"rule_id": rule.rule_id, "knob": rule.knob, "match": _match_document(rule.match), "sticky": "run"}
    when = {} if rule.when is None else {"when": _given(asdict(rule.when))}
    return {**head, **when, "source": rule.source, **given}


def _match_document(match: Match) -> dict[str, Any]:
    """What came later is only written where it is given, so that agents of an earlier version read what has none."""
    later = {"name": match.name, "context": dict(match.context) or None}
    return {"site": match.site, "service": match.service, "model": match.model, **_given(later)}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _read_rules(raw: Any) -> tuple[Rule, ...]:
    if not isinstance(raw, list) or len(raw) > MAX_RULES:
        raise PolicyError.unusable("rules", shown(raw), f"a list of at most {MAX_RULES}")
    rules: dict[str, Rule] = {}
    for i, each in enumerate(raw):
        rule = read_rule(each, f"rules[{i}]")
        if rule.rule_id in rules:
            raise PolicyError.unusable(f"rules[{i}].rule_id", shown(rule.rule_id), "an id that no rule before has")
        rules[rule.rule_id] = rule
    return tuple(rules.values())


def _read_match(raw: Any, where: str) -> Match:
    check_keys(raw, where, (), ("site", "service", "model", "name", "context"))
    given = {key: value for key, value in raw.items() if value is not None and key != "context"}
    for key, value in given.items():
        check_text(value, f"{where}.{key}", _NAME, "null, or a text of 1 to 200 printable characters")
        check_harmless(value, f"{where}.{key}")
    return Match(**given, context=_read_context(raw.get("context"), f"{where}.context"))


def _read_context(raw: Any, where: str) -> tuple[tuple[str, str], ...]:
    if raw is None:
        return ()
    if not isinstance(raw, dict) or not 1 <= len(raw) <= MAX_CONTEXT:
        raise PolicyError.unusable(where, shown(raw), f"null, or an object of 1 to {MAX_CONTEXT} attributes of a run")
    for key, value in raw.items():
        check_text(key, f"a key of {where}", _NAME, "the name of an attribute: 1 to 200 printable characters")
        check_text(value, inside(where, key), _NAME, "a text of 1 to 200 printable characters")
    check_harmless(raw, where)
    return tuple(sorted(raw.items()))


def _read_when(raw: Any, where: str) -> When:
    found = check_keys(raw, where, (), tuple(When.__match_args__))
    if not found:
        raise PolicyError.unusable(where, "an empty object", "a condition or more; a rule without any has no 'when'")
    for key, value in found.items():
        if key != "previous_failed":
            check_integer(value, f"{where}.{key}", 0, _MAX_INT)
        elif not isinstance(value, bool):
            raise PolicyError.unusable(f"{where}.{key}", shown(value), "true or false")
    for low, high in (("min_step", "max_step"), ("min_tokens", "max_tokens")):
        if found.get(low, 0) > found.get(high, _MAX_INT):
            raise PolicyError.unusable(f"{where}.{low}", shown(found[low]), f"at most {high}, which is {found[high]}")
    return When(**found)


def _read_arms(knob: str, raw: dict[str, Any], where: str) -> tuple[Arm, ...]:
    if "value" in raw:
        check_value(knob, raw["value"], f"{where}.value")
        return (Arm(raw["value"], 1.0),)
    if not isinstance(raw["arms"], list) or not 2 <= len(raw["arms"]) <= MAX_ARMS:
        raise PolicyError.unusable(f"{where}.arms", shown(raw["arms"]), f"a list of 2 to {MAX_ARMS}")
    arms = tuple(_read_arm(knob, arm, f"{where}.arms[{i}]") for i, arm in enumerate(raw["arms"]))
    total = sum(arm.weight for arm in arms)
    if abs(total - 1) > 1e-6:
        raise PolicyError.unusable(f"the sum of weights of {where}.arms", f"{total:g}", "1")
    _check_different(arms, f"{where}.arms")
    return arms


def _read_arm(knob: str, raw: Any, where: str) -> Arm:
    check_keys(raw, where, ("weight",), ("value", "incumbent"))
    weight = float(check_number(raw["weight"], f"{where}.weight", MIN_WEIGHT, MAX_WEIGHT))
    if ("value" in raw) == ("incumbent" in raw):
        given = "an arm with both" if "value" in raw else "an arm with neither"
        raise PolicyError.unusable(where, given, "either 'value' or 'incumbent'")
    if "incumbent" in raw:
        if raw["incumbent"] is not True:
            raise PolicyError.unusable(f"{where}.incumbent", shown(raw["incumbent"]), "true")
        return Arm(None, weight, is_incumbent=True)
    check_value(knob, raw["value"], f"{where}.value")
    return Arm(raw["value"], weight)


def _check_different(arms: Iterable[Arm], where: str) -> None:
    seen: set[str] = set()
    for i, arm in enumerate(arms):
        # 10 and 10.0 are one value, true and 1 are two.
        value = int(arm.value) if isinstance(arm.value, float) and arm.value.is_integer() else arm.value
        key = "incumbent" if arm.is_incumbent else canonical([value])
        if key in seen:
            raise PolicyError.unusable(f"{where}[{i}]", "the same as an arm before", "values that differ")
        seen.add(key)


def _read_guardrails(raw: Any) -> Guardrails:
    known = asdict(HARD)
    check_keys(raw, "guardrails", (), tuple(known))
    for key, value in raw.items():
        where = f"guardrails.{key}"
        if key == "max_delay_s":
            check_number(value, where, 0, _MAX_INT)
        else:
            check_integer(value, where, 0, _MAX_INT)
    return Guardrails(**raw)
