"""Findings as cards: what, where, what to try, and how sure.

In: findings as ``/v1/findings`` lists them. Out: short texts and rows. The order is the API's own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from trimtab_analyzer.report import words as report
from trimtab_tracer.policy import STEERABLE

from . import words

if TYPE_CHECKING:
    from trimtab_analyzer.report.model import FindingView

EVENTS = 4
"""Changes of status that a card names, the latest ones."""
LINKS = 6
"""Runs that are linked one by one; all of them are one click further."""
STATUSES = {"Open": "open", "Reopened": "reopened", "Resolved": "resolved"}
"""What can be chosen as status, and its name in the API."""
RANKINGS = {"Runs lost": "loss", "Money lost": "money"}
"""What can be chosen to rank by, and its name in the API."""
_EVENTS = {"opened": "opened", "resolved": "resolved", "reopened": "came back"}
_SHARE_KEYS = ("hit", "of", "share", "low", "high")
_ELSEWHERE = ("call_sites", "condition", "left_out", "tools_digests", "error_classes")
"""Numbers that the card says elsewhere, or that are ids."""
_LABELS = {
    "severity": "how surely such a thing loses a run, 0 to 1",
    "source": "who set the value",
    "is_censored": "slower ones may have been cut off",
}


def weight(finding: Any) -> str:
    """The gravest thing to say of it."""
    return report.weight(_view(finding)) or "no run failed"


def extent(finding: Any) -> str:
    """How far it reaches."""
    return report.extent(_view(finding))


def setting(finding: Any) -> str:
    """The knob and its value, as they were in force."""
    return report.in_force(_view(finding))


def history(finding: Any) -> str:
    """When it was opened, resolved and came back, the latest few; empty where that is not known."""
    told = [f"{_EVENTS[each['event']]} {words.when(each['at_ns'])}" for each in finding["history"][-EVENTS:]]
    text = ", ".join(told)
    return f"{text[:1].upper()}{text[1:]} UTC." if told else ""


def may_be_asked_for(finding: Any, offer: str | None) -> bool:
    """Whether a person can ask that it be a recommendation: an open one about a knob that trimtab can turn, for which
    nothing is proposed or in force."""
    return offer is None and finding["status"] == "open" and finding["knob"] in STEERABLE


def _view(finding: Any) -> FindingView:
    """The finding as the report's words want to see it, which are used here too."""
    evidence = {"numbers": {}, "ended_runs": (), "runs": ()} | finding["evidence"]
    return cast("FindingView", SimpleNamespace(**(finding | {"evidence": evidence})))


def numbers(finding: Any) -> list[dict[str, str]]:
    """What the rule measured: its share with the interval first, then everything else by name."""
    found = finding["evidence"].get("numbers", {})
    rows = []
    if {"hit", "of"} <= found.keys():
        rows.append({"Measured": "share", "Value": words.share_of(found["hit"], found["of"])})
    for key, value in found.items():
        if key not in (*_SHARE_KEYS, *_ELSEWHERE) and value not in (None, [], {}):
            rows.append({"Measured": _label(key), "Value": _shown(key, value)})
    return rows


def runs_behind(finding: Any) -> list[str]:
    """Ids of the runs it was seen in, those that it ended first."""
    evidence = finding["evidence"]
    return list(dict.fromkeys([*evidence.get("ended_runs", ()), *evidence.get("runs", ())]))


def _label(key: str) -> str:
    """``whole_p95_tokens`` as ``whole p95 tokens``; the unit of seconds goes to the value."""
    return _LABELS.get(key) or key.removesuffix("_s").replace("_", " ")


def _shown(key: str, value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{_label(k)} {_shown(k, v)}" for k, v in value.items() if v not in (None, [], {})]
        return words.listing(parts, 5)
    if isinstance(value, list):
        return words.listing([_shown(key, v) if isinstance(v, dict) else str(v) for v in value], 5)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return words.value(value)
    if key.endswith("_s"):
        return words.seconds(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
