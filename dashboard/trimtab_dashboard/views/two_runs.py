"""Two runs side by side: which steps they share, where they part, and what differs between them.

In: two runs as ``/v1/runs/{id}`` and their settings as ``/v1/runs/{id}/settings`` give them. Out: rows and sentences. A
step is a call with the tools it asked for; two are the same if they asked the same model at the same place and called
the same tools. Differences of two single runs are no effect of anything: the same agent differs from itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from . import run, runs, words

STEPS = 400
"""Steps of each run that are compared: the time it takes grows with the square of their number."""


class Step(NamedTuple):
    """A call with the tools it asked for."""

    number: int
    call_id: str
    key: tuple[str, ...]
    says: str
    ended: str


class Pair(NamedTuple):
    """Steps that stand side by side; None where one run has no such step."""

    one: Step | None
    other: Step | None
    is_same: bool


def steps(detail: Any) -> list[Step]:
    """The first steps of a run."""
    places = {site["site_id"]: site for site in detail["sites"]}
    tools: dict[str, list[str]] = {}
    for tool in detail["tool_calls"]:
        tools.setdefault(tool["call_id"], []).append(tool["name"])
    found = []
    for number, call in enumerate(detail["calls"][:STEPS], 1):
        names = tools.get(call["call_id"], [])
        place = words.place(places.get(call["site_id"]))
        key = (call["model"] or call["api"], call["site_id"], *names)
        asked = f" → {words.listing(names, 5)}" if names else ""
        ended = {"ok": "answered", "error": "failed", "abandoned": "left"}.get(call["status"], call["status"])
        found.append(Step(number, call["call_id"], key, f"{call['model'] or call['api']} at {place}{asked}", ended))
    return found


def align(one: Sequence[Step], other: Sequence[Step]) -> list[Pair]:
    """Steps side by side: those that are the same in both in order, and between them what only one has or does
    otherwise."""
    pairs: list[Pair] = []
    matcher = SequenceMatcher(None, [s.key for s in one], [s.key for s in other], autojunk=False)
    for tag, from_a, to_a, from_b, to_b in matcher.get_opcodes():
        for n in range(max(to_a - from_a, to_b - from_b)):
            a = one[from_a + n] if from_a + n < to_a else None
            b = other[from_b + n] if from_b + n < to_b else None
            pairs.append(Pair(a, b, tag == "equal"))
    return pairs


def parts_at(pairs: Sequence[Pair]) -> Pair | None:
    """The first step that is not the same or did not end the same way; None where there is none."""
    return next((p for p in pairs if not p.is_same or (p.one and p.other and p.one.ended != p.other.ended)), None)


def parting(pairs: Sequence[Pair]) -> str:
    """A sentence on where the runs part."""
    pair = parts_at(pairs)
    if pair is None:
        return "Both runs took the same steps to the end." if pairs else "Neither run has made a call."
    if pair.one is None or pair.other is None:
        longer, step = ("The second", pair.other) if pair.one is None else ("The first", pair.one)
        assert step is not None
        return f"They part at step {step.number}: {longer.lower()} run has {step.says}, the other one nothing there."
    if pair.is_same:
        return f"They part at step {pair.one.number}: {pair.one.says} {pair.one.ended}, then {pair.other.ended}."
    return f"They part at step {pair.one.number}: {pair.one.says}, against {pair.other.says}."


def table(pairs: Sequence[Pair], around: int = 20) -> list[dict[str, str]]:
    """One row per pair; of long stretches of the same steps only those near a difference."""
    differs = [n for n, pair in enumerate(pairs) if not pair.is_same or _ends_differ(pair)]
    near = [n for n in range(len(pairs)) if n < around or any(abs(n - d) <= 2 for d in differs[:around])]
    return [
        {
            "": "=" if pairs[n].is_same and not _ends_differ(pairs[n]) else "≠",
            "First run": _shown(pairs[n].one),
            "Second run": _shown(pairs[n].other),
        }
        for n in near
    ]


def _ends_differ(pair: Pair) -> bool:
    return pair.one is not None and pair.other is not None and pair.one.ended != pair.other.ended


def _shown(step: Step | None) -> str:
    return "–" if step is None else f"{step.number}. {step.says}: {step.ended}"


def figures(one: Any, other: Any) -> list[dict[str, str]]:
    """Outcome, cost, time and counts of both, and the second less the first where both are known."""
    named = zip(run.figures(one), run.figures(other), strict=True)
    return [
        {"": name, "First run": a, "Second run": b, "Second less first": _less(name, one, other)}
        for (name, a), (_, b) in named
    ]


def _less(name: str, one: Any, other: Any) -> str:
    if name == "Cost":
        if one["attempts_unpriced"] or other["attempts_unpriced"]:
            return "not known"
        difference = other["cost_musd"] - one["cost_musd"]
        return f"{'−' if difference < 0 else '+'}{words.usd_fine(abs(difference))}"
    if name == "Took":
        took = runs.took_ns(one), runs.took_ns(other)
        if took[0] is None or took[1] is None:
            return "not known"
        return f"{'−' if took[1] < took[0] else '+'}{words.duration(abs(took[1] - took[0]))}"
    if name == "Calls":
        return f"{other['calls'] - one['calls']:+,}"
    return ""


def settings(one: Any, other: Any) -> list[dict[str, str]]:
    """Settings that were not the same in both, by knob and place: what each run had."""
    places = {site["site_id"]: site for site in [*one["sites"], *other["sites"]]}
    had = [_values(one["items"]), _values(other["items"])]
    rows = []
    for knob, site_id in sorted({*had[0], *had[1]}):
        a, b = (side.get((knob, site_id), []) for side in had)
        if a != b:
            where = words.place(places.get(site_id))
            rows.append({"Setting": knob, "Where": where, "First run": _listed(a), "Second run": _listed(b)})
    return rows


def _values(items: Sequence[Any]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for item in items:
        found.setdefault((item["knob"], item["site_id"]), []).append(words.kept(words.value(item["value"]), 100))
    return {key: sorted(set(values)) for key, values in found.items()}


def _listed(values: Sequence[str]) -> str:
    return words.listing(list(values), 4) if values else "never decided"


def left_out(one: Any, other: Any) -> str | None:
    """That not all steps were compared."""
    longest = max(len(one["calls"]), len(other["calls"]))
    return f"Only the first {STEPS} steps of each are compared." if longest > STEPS else None


def candidates(rows: Sequence[Any], run_id: str) -> dict[str, str]:
    """Runs to compare with, by their ids: what each is called and what came of it."""
    return {
        row["run_id"]: f"{words.kept(runs.name(row), 60)}: {runs.result(row)}, {runs.cost(row)}"
        for row in rows
        if row["run_id"] != run_id
    }
