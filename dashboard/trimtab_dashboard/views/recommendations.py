"""Recommendations as cards: what would change where, what is expected of it, and what became of it.

In: recommendations as ``/v1/recommendations`` lists them. Out: short texts, which decisions are possible, and what a
person typed as a body for the API. Whether a value can be used is the sidecar's to say; only whether it is JSON is seen
here, because otherwise nothing could be sent.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from trimtab_tuner.recommend.proposal import MICRO_USD, SECONDS, SECONDS_EACH, SHARE

from . import words


class Heading(NamedTuple):
    """A heading of the page with the states below it."""

    text: str
    states: tuple[str, ...]


GROUPS = (
    Heading("To decide", ("proposed",)),
    Heading("In force", ("accepted", "active", "promoted")),
    Heading("Decided before", ("rejected", "rolled_back", "expired")),
)
"""All states, by heading."""
DECISIONS = {
    "proposed": ("accept", "reject"),
    "accepted": ("rollback",),
    "active": ("promote", "rollback"),
    "promoted": ("rollback",),
}
"""What can be done in each state, as the API's paths call it."""
_STATES = {
    "proposed": (":material/lightbulb:", "waits for a decision"),
    "accepted": (":material/hourglass_top:", "accepted; no call has obeyed it yet"),
    "active": (":material/check_circle:", "active: calls obey it"),
    "promoted": (":material/flag:", "promoted: called proven, its rule stays"),
    "rejected": (":material/block:", "rejected"),
    "rolled_back": (":material/undo:", "rolled back"),
    "expired": (":material/history:", "expired: its finding no longer asks for it"),
}


class Groups(NamedTuple):
    """Recommendations under one heading."""

    heading: str
    rows: list[Any]


def groups(rows: Iterable[Any]) -> list[Groups]:
    """The recommendations by heading, in the order of the API; no empty heading."""
    listed = list(rows)
    made = [Groups(heading, [row for row in listed if row["status"] in states]) for heading, states in GROUPS]
    return [group for group in made if group.rows]


def waiting(rows: Iterable[Any]) -> list[Any]:
    """Those that wait for a decision."""
    return [row for row in rows if row["status"] == "proposed"]


def offers(rows: Iterable[Any]) -> dict[str, str]:
    """For each finding that a change answers: what the link to that change says."""
    said = {"proposed": "trimtab can change this now: decide"} | dict.fromkeys(
        GROUPS[1].states, "a change for this is in force: see what it does"
    )
    return {
        finding_id: said[row["status"]]
        for row in reversed(list(rows))  # where there are several, the one to decide counts, which comes first
        if row["status"] in said
        for finding_id in (row["finding_id"], *row["evidence"].get("findings", ()))
    }


def state(row: Any, *, is_frozen: bool = False) -> tuple[str, str]:
    """Icon and words for its state."""
    if is_frozen and row["status"] in GROUPS[1].states:
        return ":material/ac_unit:", "kept; no call obeys it while steering is frozen"
    return _STATES.get(row["status"], (":material/help:", row["status"]))


def change(row: Any, rules: Iterable[Any] = ()) -> str:
    """Markdown: the knob, what the code says and what would be, or what a person made of it where that is in force."""
    set_to = next((rule.get("value") for rule in rules if rule["rule_id"] == row["rule_id"]), row["to_value"])
    before, after = words.code(words.value(row["from_value"])), words.code(words.value(set_to))
    return f"{words.code(row['knob'])}: {before} → **{after}**"


def applies_to(row: Any) -> str:
    """Which calls it is about."""
    said = [f"{key} {row[key]}" for key in ("service", "model") if row.get(key)]
    return f"{words.place(row)}" + (f" ({', '.join(said)})" if said else "")


def history(row: Any, now_ns: int) -> str:
    """Who decided, when, from where and why; when it was proposed, if nobody has."""
    if row["decided_by"] is None:
        return f"Proposed {words.ago(row['proposed_ns'], now_ns)}."
    verb = {"rejected": "Rejected", "rolled_back": "Rolled back", "promoted": "Promoted"}.get(row["status"], "Accepted")
    when = f"{words.when(row['decided_ns'])} UTC ({words.ago(row['decided_ns'], now_ns)})"
    why = f" Why: {row['decided_why'].rstrip('.')}." if row["decided_why"] else ""
    obeyed = f" First obeyed {words.when(row['obeyed_ns'])} UTC." if row["obeyed_ns"] else ""
    version = f" Policy version {row['policy_version']}." if row["policy_version"] else ""
    return f"{verb} by {row['decided_by']} through the {row['decided_via']}, {when}.{why}{version}{obeyed}"


def shadow_command(row: Any) -> str | None:
    """What to type to ask the recommended model the same as recorded calls of the line; None where none is meant."""
    value = row["to_value"]
    if row["knob"] == "fallback" and isinstance(value, dict):
        value = next(iter(value.get("models", ())), None)
    if row["knob"] not in ("model", "fallback") or not isinstance(value, str):
        return None
    at_line = f" --site {shlex.quote(row['site_id'])}" if row["site_id"] else ""
    return f"trimtab shadow {shlex.quote(value)}{at_line} --calls 50 --usd 0.50"


def value_text(row: Any) -> str:
    """The recommended value as a person may edit it."""
    return json.dumps(row["to_value"], ensure_ascii=False)


class Typed(NamedTuple):
    """What a person typed."""

    body: dict[str, Any] | None
    """For the API; None if it can't be sent."""
    problem: str | None = None


def accept_body(row: Any, text: str, why: str) -> Typed:
    """Body of an accept at the version that was shown; ``value`` only if it was edited."""
    body: dict[str, Any] = decide_body(row, why)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Typed(None, f"The value is no JSON: {error}. Texts stand in double quotes. Nothing was sent.")
    if json.dumps(value) != json.dumps(row["to_value"]):
        body["value"] = value
    return Typed(body)


def decide_body(row: Any, why: str) -> dict[str, Any]:
    """Body of any other decision at the version that was shown."""
    return {"version": row["version"]} | ({"why": why.strip()} if why.strip() else {})


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")


def before_and_after(compared: Any) -> list[dict[str, str]]:
    """The two sides of a change that is obeyed, one row per measure."""
    before, after = _side(compared["before"]), _side(compared["after"])
    return [{"Runs": measure, "Before": before[measure], "Since it is obeyed": after[measure]} for measure in before]


def _side(side: Any) -> dict[str, str]:
    cost = side["cost_per_run_musd"]
    least = "at least " if side["unpriced_requests"] else ""
    per_call, median_s = side["attempts_per_call"], side["p50_latency_s"]
    return {
        "did not fail": words.share_of(side["runs"] - side["failed_runs"], side["runs"]),
        "cost each": "not known" if cost is None else f"{least}{words.usd(round(cost))}",
        "calls here without an answer": f"{side['lost_calls']:,} of {side['calls']:,}",
        "requests per call": "–" if per_call is None else f"{per_call:.2f}",
        "median time of a call": "–" if median_s is None else words.seconds(median_s),
    }


def difference(compared: Any) -> str:
    """The difference of the shares with its interval, and what kind of statement that is."""
    found = compared["success_difference"]
    left_out = compared["left_out_runs"]
    rest = f" {words.count(left_out, 'run')} in between or still running are left out." if left_out else ""
    if found is None:
        return f"One side has no runs yet, so nothing can be compared.{rest}"
    low, high = 100 * found["low"], 100 * found["high"]
    points = f"{100 * found['estimate']:+.0f} points (95 % interval {low:+.0f} to {high:+.0f})"
    return f"Share of runs that did not fail: {points}; {compared['kind']}.{rest}"


def expected(row: Any) -> list[dict[str, str]]:
    """What is expected to change, one row per metric, with its bounds and what they rest on."""
    return [
        {
            "Expected change": _METRICS.get(metric, metric),
            "By": _by(found) if found else "not known",
            "Rests on": f"{found['basis']} (n = {found['n']:,})" if found else "",
        }
        for metric, found in row["expected"].items()
    ]


def _by(found: Any) -> str:
    """``+12 points of calls, 0 to +35``; ``up to +0.5 s per call``; ``not known`` where no figure is."""
    show, unit = _UNITS.get(found["unit"], (words.value, found["unit"]))
    estimate, low, high = found["estimate"], found["low"], found["high"]
    bounds = f"{'?' if low is None else show(low)} to {'?' if high is None else show(high)}"
    if estimate is not None:
        return f"{show(estimate)} {unit}" + ("" if low is None and high is None else f", {bounds}")
    return "not known" if low is None and high is None else f"{bounds} {unit}"


def _points(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:+.0f}"


def _usd(musd: float) -> str:
    return f"{'-' if musd < 0 else '+' if musd > 0 else ''}{words.usd(abs(round(musd)))}"


def _seconds(value: float) -> str:
    return "0 s" if value == 0 else f"{'-' if value < 0 else '+'}{words.seconds(abs(value))}"


_METRICS = {"success": "calls that get an answer", "cost": "cost", "latency": "time"}
_UNITS: dict[str, tuple[Callable[[Any], str], str]] = {
    SHARE: (_points, "points of calls"),
    MICRO_USD: (_usd, "per call"),
    SECONDS: (_seconds, "per call"),
    SECONDS_EACH: (_seconds, "per call that it happens to"),
}
"""How the figures of each unit are shown."""
