"""Policies under which no rule is active, each for another reason, and their twins in which all rules are.

Every document holds rules that would change each call, had they been in force: a test sees to that. ``WORDING`` says
what the log is to tell of a policy: a refused or expired one is said once, the others need no word.
"""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

RULES: list[tuple[str, Any]] = [
    ("model", "policy-model"),
    ("timeout_s", 9.5),
    ("max_retries", 4),
    ("backoff", {"initial_s": 0.001, "factor": 1, "max_s": 0.002, "jitter": 0}),
    ("fallback", {"on": ["rate_limit", "overloaded", "server", "timeout", "connection"], "models": ["policy-other"]}),
    ("max_tokens", 7),
    ("temperature", 0.125),
    ("prompt_cache", "1h"),
    ("escalate", {"model": "policy-first", "verify": ["nonempty"]}),
    ("answers", 9),
]
"""Knobs and what the policies here set them to; ``answers`` is one that the code declares."""

REFUSED, EXPIRED = "the policy is refused", "is over its lifetime"


class Inactive(NamedTuple):
    """A policy that leaves the incumbent in force."""

    text: bytes | None
    """What lies in the home; None for nothing."""
    wording: str | None = None
    """Part of the one warning that it causes."""
    mode: int = 0o600
    steering: bool = True


def document(match: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A policy in force for the calls that ``match``, with ``changes`` at its top."""
    rules = [
        {"rule_id": f"r-{knob}", "knob": knob, "match": match or {}, "sticky": "run", "source": "human", "value": value}
        for knob, value in RULES
    ]
    head = {"schema": 1, "version": 7, "issued_ns": time.time_ns(), "lifetime_s": 3600, "frozen": False}
    return {**head, "rules": rules, **changes}


def _inactive() -> dict[str, Inactive]:
    ahead_ns, behind_ns = time.time_ns() + 86400 * 10**9, time.time_ns() - 86400 * 10**9
    asleep = {
        "no rule": document(rules=[]),
        "frozen": document(frozen=True),
        "of another site": document({"site": "0123456789abcdef"}),
        "of another service": document({"service": "somebody-else"}),
        "of another model": document({"model": "gpt-of-nobody"}),
    }
    hostile = {
        "unknown key": document(endpoint="nowhere"),
        "unknown key in a rule": _with_rule(key="x"),
        "address as a model": _with_rule(value="https://example.org/v1"),
        "secret as a model": _with_rule(value="sk-ant-api03-0123456789abcdefghijklmnop"),
        "text as a number": _with_rule(knob="max_retries", value="4"),
        "negative": _with_rule(knob="timeout_s", value=-1),
        "rule that occurs twice": _with_rule(rule_id="r-timeout_s"),
        "shares over one": _with_rule(
            source="experiment", arms=[{"incumbent": True, "weight": 0.9}, {"value": "policy-model", "weight": 0.9}]
        ),
        "from the future": document(schema=2),
        "of tomorrow": document(issued_ns=ahead_ns),
        "no lifetime": document(lifetime_s=0),
    }
    text = json.dumps(document()).encode()
    broken = {
        "half written": text[: len(text) // 2],
        "of no bytes": b"",
        "a key twice": text.replace(b'"frozen": false', b'"frozen": false, "frozen": false'),
        "not a number": text.replace(b"9.5", b"NaN"),
        "too long": text + b" " * (256 << 10),
        "too deep": b"[" * 100_000,
        "no text": b"\xff\xfe\x00" + text,
    }
    return {
        "absent": Inactive(None),
        "steering off": Inactive(text, steering=False),
        **{name: Inactive(json.dumps(each).encode()) for name, each in asleep.items()},
        **{name: Inactive(json.dumps(each).encode(), REFUSED) for name, each in hostile.items()},
        **{name: Inactive(each, REFUSED) for name, each in broken.items()},
        "writable by all": Inactive(text, REFUSED, mode=0o666),
        "expired": Inactive(json.dumps(document(issued_ns=behind_ns)).encode(), EXPIRED),
    }


def _with_rule(**changes: Any) -> dict[str, Any]:
    """A document whose first rule, the one for ``model``, is changed."""
    changed = copy.deepcopy(document())
    if "arms" in changes:
        del changed["rules"][0]["value"]
    changed["rules"][0].update(changes)
    return changed


INACTIVE = _inactive()
"""By what is the matter with them."""


def publish(home: Path, policy: Inactive) -> None:
    """Put ``policy`` into ``home`` as a sidecar would."""
    if policy.text is not None:
        path = home / "policy.json"
        path.write_bytes(policy.text)
        path.chmod(policy.mode)
