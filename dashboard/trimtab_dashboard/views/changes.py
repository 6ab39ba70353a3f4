"""What was decided, by whom, and what is steered because of it.

In: the policy, the state of freezing, the audit and experiments as the API gives them. Out: rows and sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import words

_ACTIONS = {
    "accept": "accepted",
    "ask": "asked for it",
    "reject": "rejected",
    "roll_back": "rolled back",
    "promote": "promoted",
    "expire": "expired: its finding no longer asks for it",
    "activate": "active: a call obeyed it",
    "start_experiment": "started an experiment",
    "stop_experiment": "stopped an experiment",
    "add_value": "added a value to an experiment",
    "remove_value": "took a value out of an experiment",
    "reprice_value": "changed a price in an experiment",
    "put_rule": "set a rule",
    "remove_rule": "removed a rule",
    "roll_back_policy": "rolled the policy back",
    "freeze": "froze steering",
    "unfreeze": "unfroze steering",
    "spend_cap": "froze steering: the spend cap was reached",
    "outcome": "recorded an outcome",
    "propose_again": "proposed again: the evidence has changed",
    "set_mode": "set the mode of a knob",
    "budget_stop": "stopped exploring: its budget was spent",
    "drift": "saw a value change, and learns it anew",
    "shadow": "asked another model the same",
}


def steering(state: Any, now_ns: int) -> tuple[str, str]:
    """Icon and Markdown for the state of steering."""
    version = f"policy version {state['policy_version']}"
    if not state["frozen"]:
        return ":material/tune:", f"Steering is on, {version}"
    who = f" by {words.md(state['actor'])} {words.ago(state['at_ns'], now_ns)}" if state["actor"] else ""
    why = f": {words.md(state['why'])}" if state["why"] else ""
    return ":material/ac_unit:", f"**Steering is frozen**{who}{why}. Agents do what their code says."


def rules(policy: Any, places: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rules of the policy in force, one row each; none is obeyed while it is frozen."""
    return [
        {
            "Setting": rule["knob"],
            "Value": arms(rule["arms"]) if "arms" in rule else words.kept(words.value(rule.get("value")), 200),
            "Where": match(rule["match"], places),
            "By": "an experiment" if rule["source"] == "experiment" else "a person",
            "Rule": rule["rule_id"],
        }
        for rule in policy["rules"]
    ]


def arms(of: Iterable[Any]) -> str:
    """Arms of an experiment: ``50 %: as the code says; 50 %: 10``."""
    shown = [
        f"{100 * arm['weight']:.3g} %: {'as the code says' if arm.get('incumbent') else words.value(arm.get('value'))}"
        for arm in of
    ]
    return "; ".join(shown)


def match(of: Mapping[str, Any], places: Mapping[str, Any]) -> str:
    """Which calls a rule is about."""
    said = []
    if site := of.get("site"):
        said.append(words.place(places[site]) if site in places else f"site {site}")
    if model := of.get("model"):
        said.append(f"model {model}")
    if service := of.get("service"):
        said.append(f"service {service}")
    return ", ".join(said) or "every call"


def audit(entries: Iterable[Any], recommendations: Iterable[Any]) -> list[dict[str, Any]]:
    """The audit, newest first: who, when, what, from, to, why; recommendations are named by what they change where."""
    named = {row["recommendation_id"]: f"{row['knob']} at {words.place(row)}" for row in recommendations}
    return [
        {
            "When (UTC)": words.when(entry["at_ns"]),
            "Who": f"{entry['actor']} ({entry['via']})",
            "What": action(entry["action"]),
            "Of": named.get(entry["subject_id"], f"{entry['subject_kind']} {entry['subject_id']}"),
            "From": _side(entry["action"], entry["from_value"]),
            "To": _side(entry["action"], entry["to_value"]),
            "Why": entry["why"] or "",
            "Policy": entry["policy_version"],
        }
        for entry in entries
    ]


def action(name: str) -> str:
    """What was done, as a verb."""
    return _ACTIONS.get(name, name.replace("_", " "))


def _side(action: str, value: Any) -> str:
    if action in ("freeze", "unfreeze", "spend_cap") and isinstance(value, bool):
        return "frozen" if value else "on"
    return "" if value is None else words.kept(words.value(value), 200)


def experiments(rows: Iterable[Any], places: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Experiments, the running ones first."""
    ordered = sorted(rows, key=lambda row: (row["status"] != "running", -row["started_ns"]))
    return [
        {
            "Setting": row["knob"],
            "Shares": arms(row["arms"]),
            "Where": match(row["match"], places),
            "State": row["status"],
            "Started": f"{words.when(row['started_ns'])} by {row['started_by']}",
            "Stopped": "" if row["stopped_ns"] is None else f"{words.when(row['stopped_ns'])} by {row['stopped_by']}",
            "Why": row["why"] or "",
        }
        for row in ordered
    ]
