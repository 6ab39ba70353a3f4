"""The lines of the harness: as a table, and one of them in full.

In: lines as ``/v1/harness`` lists them. Out: rows, figures and texts. Which runs all of it is about stands in one
sentence (:func:`scope`), because the API looks at the newest ones only where they are very many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab_analyzer.report.build import LABELS, MEANINGS
from trimtab_analyzer.statistics import wilson

from . import words
from .overview import Figure
from .series import stretch

ORDERS = {
    "Cost": "cost",
    "Money wasted": "wasted",
    "Calls": "calls",
    "Failed calls": "failed_calls",
    "Share of failed calls": "failed_share",
    "Failed runs": "failed_runs",
    "Time": "latency",
    "Place in the code": "place",
}
"""What lines can be ordered by, and its name in the API."""
HARMLESS = ("useful", "unknown")
SETTINGS = 3
"""Settings of a line that the table names."""
VALUE = 60
"""Characters of a value that are shown."""
EXCERPT = 4_000
"""Characters of a code excerpt that are shown."""
SOURCES = {"code": "the code", "default": "a default", "human": "a person's rule", "experiment": "an experiment"}
"""Where a value comes from, in words."""


def scope(of: Any, noun: str = "run") -> str:
    """``n = 412 runs, 2026-11-18 to 2026-11-20 UTC``; says so where older ones are left out."""
    if not of["runs"]:
        return f"n = 0 {noun}s"
    said = f"n = {words.count(of['runs'], noun)}, started {words.period(of['first_ns'], of['last_ns'])}"
    left = of["of_runs"] - of["runs"]
    return (
        f"{said}. These are the newest; {words.count(left, f'older {noun}')} are in none of these numbers"
        if left
        else said
    )


def table(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """One row per line of code."""
    return [
        {
            "Line": words.kept(words.place(row), 120),
            "Code": words.kept(" ".join((row["source"] or "").split()), 160),
            "Calls": row["calls"],
            "Calls failed": 100 * row["failed_calls"] / row["calls"],
            "Runs failed": f"{row['failed_runs']:,} of {row['judged_runs']:,}",
            "Cost": words.cost_of(row["cost_musd"], row["attempts_unpriced"], row["attempts"]),
            "Wasted": words.usd_fine(row["wasted_musd"]) if row["wasted_musd"] else "",
            "Wasted on": wasted_on(row["spent"]),
            "Median": words.duration(row["median_ns"]),
            "Calls over time": [step["calls"] for step in row["trend"]],
            "Settings": settings_said(row["knobs"]),
        }
        for row in rows
    ]


def wasted_on(spent: Sequence[Any]) -> str:
    """The two classes of waste that cost most, or that have requests of unknown cost."""
    bad = [part for part in spent if part["cls"] not in HARMLESS]
    return words.listing([LABELS.get(part["cls"], part["cls"]).lower() for part in bad], 2) if bad else ""


def settings_said(knobs: Sequence[Any]) -> str:
    """``max_retries 0 · timeout_s 2.0 · model gpt-4o``: the values used last."""
    latest: dict[str, str] = {}
    for one in knobs:
        if one["value"] is not None:
            latest.setdefault(one["knob"], words.kept(words.value(one["value"]), 24))
    return " · ".join(f"{knob} {value}" for knob, value in list(latest.items())[:SETTINGS])


def figures(row: Any) -> list[Figure]:
    """What a line came to, each number with its interval and n."""
    calls, judged = row["calls"], row["judged_runs"]
    wasted, cost = row["wasted_musd"], row["cost_musd"]
    unpriced = f"{row['attempts_unpriced']:,} of {words.count(row['attempts'], 'request')} of unknown cost"
    return [
        Figure("Calls that failed", f"{row['failed_calls']:,} of {calls:,}", _interval(row["failed_calls"], calls)),
        Figure("Runs that failed", f"{row['failed_runs']:,} of {judged:,}", _interval(row["failed_runs"], judged)),
        Figure(
            "Cost",
            words.cost_of(cost, row["attempts_unpriced"], row["attempts"]),
            unpriced if row["attempts_unpriced"] else f"{words.usd_fine(cost // calls)} per call",
        ),
        Figure(
            "Wasted",
            words.usd_fine(wasted) if wasted else "$0",
            f"{words.share(wasted, cost)} of the known cost" if cost else "",
        ),
        Figure(
            "Median time of a call",
            words.duration(row["median_ns"]),
            f"95 % within {words.duration(row['p95_ns'])}, n = {calls:,}",
        ),
    ]


def _interval(k: int, n: int) -> str:
    return f"{words.share(k, n)}; 95 % interval {wilson(k, n)}, n = {n:,}" if n else "n = 0"


def excerpt(row: Any) -> str:
    """The code at the line with its numbers, the line of the call marked."""
    source = row["source"] or ""
    lines = words.kept(source, EXCERPT).split("\n")
    first = row["line"] or 0
    if first <= 0:
        return "\n".join(lines)
    width = len(str(first + len(lines) - 1))
    return "\n".join(f"{'▶' if i == 0 else ' '} {first + i:>{width}} │ {line}" for i, line in enumerate(lines))


def spent(row: Any) -> list[dict[str, Any]]:
    """Where the line's money went, one row per class; the costs add up as they are printed."""
    parts = words.usd_parts([part["cost_musd"] for part in row["spent"]], row["cost_musd"])
    return [
        {
            "What it paid for": LABELS.get(part["cls"], part["cls"]),
            "Cost": said,
            "Share": 100 * part["cost_musd"] / row["cost_musd"] if row["cost_musd"] else 0.0,
            "Requests": part["attempts"],
            "Of unknown cost": part["unknown"],
            "Meaning": MEANINGS.get(part["cls"], ""),
        }
        for part, said in zip(row["spent"], parts, strict=True)
    ]


def knobs(row: Any, sites: Sequence[Any]) -> list[dict[str, Any]]:
    """The settings that held for the line's calls, with who set them where."""
    places = {site["site_id"]: site for site in sites}
    return [
        {
            "Knob": one["knob"],
            "Value": words.kept(words.value(one["value"]), VALUE),
            "Set by": SOURCES.get(one["source"], one["source"]),
            "Where": words.place(places.get(one["decided_at"])),
            "Calls": one["calls"] or None,
            "Last in force (UTC)": words.when(one["last_ns"]),
        }
        for one in row["knobs"]
    ]


def more_values(row: Any) -> str:
    """Which knobs had more values than are listed."""
    listed: dict[str, int] = {}
    for one in row["knobs"]:
        listed[one["knob"]] = listed.get(one["knob"], 0) + 1
    more = {one["knob"]: one["values_total"] - listed[one["knob"]] for one in row["knobs"]}
    said = [f"{n:,} earlier of {knob}" for knob, n in more.items() if n]
    return f"Not listed: {', '.join(said)}." if said else ""


def runs_address(row: Any, names: Mapping[str, str]) -> dict[str, str] | None:
    """The part of an address that chooses the runs with a call at this line; None where it has no name there.

    Args:
        row: The line.
        names: Ids of places by what they are called on the page of runs.
    """
    name = next((name for name, site_id in names.items() if site_id == row["site_id"]), None)
    return None if name is None else {"site": name}


def trend_note(row: Any, step_ns: int) -> str:
    """n, interval and time range of the charts over time."""
    when = words.period(row["first_ns"], row["last_ns"])
    return f"n = {words.count(row['calls'], 'call')}, {when}, by {stretch(step_ns)}."
