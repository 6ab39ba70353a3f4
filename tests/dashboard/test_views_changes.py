"""The policy in force and the audit, in words."""

from __future__ import annotations

from typing import Any

from trimtab_dashboard.views import changes

PLACES = {"s1": {"file": "a.py", "line": 3, "function": "f"}}


def test_rules_say_which_calls_they_are_about() -> None:
    """Line, model and service as far as they are named; a rule that names nothing is about every call."""
    rules = [
        {
            "rule_id": "rec-1",
            "knob": "max_retries",
            "match": {"site": "s1", "model": "gpt-5"},
            "source": "human",
            "value": 3,
        },
        {
            "rule_id": "exp-1",
            "knob": "timeout_s",
            "match": {"service": "shop", "site": None},
            "source": "experiment",
            "arms": [{"incumbent": True, "weight": 0.5}, {"value": 10.0, "weight": 0.5}],
        },
        {"rule_id": "r", "knob": "model", "match": {}, "source": "human", "value": "gpt-5"},
    ]
    one, two, three = changes.rules({"rules": rules}, PLACES)
    assert ("3", "a.py:3, in f, model gpt-5", "a person") == (one["Value"], one["Where"], one["By"])
    assert ("50 %: as the code says; 50 %: 10.0", "service shop", "an experiment") == (
        two["Value"],
        two["Where"],
        two["By"],
    )
    assert "every call" == three["Where"]
    assert "site s9" == changes.match({"site": "s9"}, PLACES)


def test_frozen_names_who_and_why() -> None:
    """Who stopped it, when and why; the sidecar may have done it itself."""
    state = {"frozen": True, "policy_version": 3, "actor": "Ida *", "at_ns": 0, "why": "cost"}
    assert r"**Steering is frozen** by Ida \* 2 min ago: cost. Agents do what their code says." == changes.steering(
        state, 120 * 10**9
    )[1].replace(r"\:", ":")
    assert "Steering is on, policy version 3" == changes.steering(state | {"frozen": False}, 0)[1]


def test_audit_says_who_what_from_to_why() -> None:
    """One row per decision; a recommendation is named by what it changes where."""
    entry = {
        "at_ns": 0,
        "actor": "Ida",
        "via": "dashboard",
        "action": "accept",
        "subject_kind": "recommendation",
        "subject_id": "r1",
        "from_value": None,
        "to_value": {"other": 3},
        "why": None,
        "policy_version": 2,
    }
    named: list[dict[str, Any]] = [{"recommendation_id": "r1", "knob": "max_retries", **PLACES["s1"]}]
    frozen = entry | {
        "action": "freeze",
        "subject_kind": "policy",
        "from_value": False,
        "to_value": True,
        "why": "cost",
    }
    first, second = changes.audit([entry, frozen | {"subject_id": "3"}], named)
    assert ["Ida (dashboard)", "accepted", "max_retries at a.py:3, in f", "", '{"other": 3}', ""] == list(
        first.values()
    )[1:-1]
    assert ["froze steering", "policy 3", "on", "frozen", "cost"] == list(second.values())[2:-1]


def test_running_experiments_come_first() -> None:
    """With their shares, and who started and stopped them."""
    stopped = {
        "knob": "timeout_s",
        "arms": [{"incumbent": True, "weight": 0.9}, {"value": 5, "weight": 0.1}],
        "match": {},
        "status": "stopped",
        "started_ns": 10**9,
        "started_by": "Ida",
        "stopped_ns": 2 * 10**9,
        "stopped_by": "Bo",
        "why": None,
    }
    running = stopped | {"status": "running", "started_ns": 0, "stopped_ns": None, "stopped_by": None}
    first, second = changes.experiments([stopped, running], PLACES)
    assert ("running", "") == (first["State"], first["Stopped"])
    assert "1970-01-01 00:00:02 by Bo" == second["Stopped"]
    assert "90 %: as the code says; 10 %: 5" == second["Shares"]
