"""What is wrong, what it costs and what to do: the page that everybody sees first.

In: the report, the sidecar's health, losses and recommendations as the API gives them. Out: figures with how sure they
are, rows of the ledger that add up as printed, and sentences about what must not be overlooked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from trimtab_analyzer.report.words import part_of, tokens
from trimtab_analyzer.statistics import wilson

from . import words


class Figure(NamedTuple):
    """One number with what it needs to be trusted."""

    label: str
    value: str
    note: str


def scope(found: Any, choices: Any, service: str | None) -> str:
    """What all numbers of the page are about: which runs of when."""
    totals = found["totals"]
    when = words.period(totals["first_ns"], totals["last_ns"])
    models = f", with {words.listing(choices['models'])}" if choices["models"] else ""
    new = totals["unanalysed_runs"]
    waits = f"; {words.count(new, 'run')} not analysed yet: their waste is not in it" if new else ""
    who = words.listing([service] if service else choices["services"])
    return f"{words.count(totals['runs'], 'run')} of {who}, {when}{models}{waits}"


def figures(totals: Any) -> list[Figure]:
    """The four numbers on top."""
    ended = totals["runs"] - totals["running"]
    return [
        _failed(totals, ended),
        _succeeded(totals, ended),
        _cost(totals),
        Figure(
            "Lost in failed or repeated work",
            words.usd(totals["wasted_musd"]),
            f"{words.share(totals['wasted_musd'], totals['cost_musd'])} of the known cost",
        ),
    ]


def _failed(totals: Any, ended: int) -> Figure:
    failed = totals["failed_runs"]
    still = f"; {totals['running']:,} still running" if totals["running"] else ""
    if inferred := totals.get("inferred_runs"):  # a sidecar of an earlier version infers nothing
        still = f"; {inferred:,} of them inferred{still}"
    note = f"95 % interval {wilson(failed, ended)}, n = {ended:,}{still}" if ended else f"no run has ended{still}"
    return Figure("Runs that failed", f"{failed:,} of {ended:,}", note)


def _succeeded(totals: Any, ended: int) -> Figure:
    """Success among the runs of which somebody said what came of them, or which broke."""
    judged = totals["succeeded_runs"] + totals["failed_runs"]
    unjudged = f"{totals['unjudged_runs']:,} of {ended:,} not judged"
    if not totals["succeeded_runs"] and totals["unjudged_runs"]:
        return Figure("Success", "not known", f"{unjudged}; the agent can say so: trimtab.outcome()")
    if not judged:
        return Figure("Success", "not known", "no run has ended")
    k = totals["succeeded_runs"]
    note = f"95 % interval {wilson(k, judged)}, n = {judged:,}" + (f"; {unjudged}" if totals["unjudged_runs"] else "")
    return Figure("Success", words.share(k, judged), note)


def _cost(totals: Any) -> Figure:
    shown = words.cost_of(totals["cost_musd"], totals["unpriced"], totals["attempts"])
    if totals["unpriced"]:
        note = f"{totals['unpriced']:,} of {words.count(totals['attempts'], 'request')} of unknown cost"
    else:
        each = words.usd(totals["cost_musd"] // totals["runs"]) if totals["runs"] else "$0"
        note = f"{each} per run, {words.count(totals['attempts'], 'request')}"
    return Figure("Cost", shown, note)


def ledger(lines: Sequence[Any], totals: Any) -> list[dict[str, Any]]:
    """Where the money went, one row per class and the total; the costs add up as they are printed."""
    total = totals["cost_musd"]
    parts = words.usd_parts([line["cost_musd"] for line in lines], total)
    rows = [
        {
            "What it paid for": line["label"],
            "Cost": part_of(part, line["unpriced"], line["attempts"]),
            "Share": 100 * line["cost_musd"] / total if total else 0.0,
            "Requests": line["attempts"],
            "Of unknown cost": line["unpriced"],
            "Tokens": _tokens(line, line.get("estimated", 0)),
            "Meaning": line["meaning"],
        }
        for line, part in zip(lines, parts, strict=True)
    ]
    whole = {
        "What it paid for": "Total",
        "Cost": words.cost_of(total, totals["unpriced"], totals["attempts"]),
        "Share": 100.0 if total else 0.0,
        "Requests": totals["attempts"],
        "Of unknown cost": totals["unpriced"],
        "Tokens": _tokens(totals, totals.get("estimated", 0)),
        "Meaning": "",
    }
    return [*rows, whole]


def _tokens(row: Any, estimated: int) -> str:
    """A sum of tokens; says so where some of it nobody reported."""
    told = tokens(row["input_tokens"] + row["output_tokens"], row["unpriced"])
    return f"{told}, partly estimated" if estimated else told


def warnings(found: Any, health: Any) -> list[str]:
    """Sentences that must not be overlooked: a sidecar that has trouble, records that are missing."""
    said = []
    if health["status"] != "ok":
        troubled = [name for name in ("collector", "analysis", "policy") if health[name]["error"]]
        what = f"{' and '.join(troubled)} failed the last time" if troubled else "some of the spool can't be taken"
        said.append(f"The sidecar has trouble: {what}. What you see may be old; its log says why.")
    if lost := sum(loss["count"] for loss in found["losses"]):
        kinds = words.listing([f"{x['count']:,} of kind {x['lost_kind']} ({x['reason']})" for x in found["losses"]])
        said.append(
            f"{words.count(lost, 'record')} could not be kept: {kinds}. What they held is missing from all numbers."
        )
    return said


def notes(report: Any) -> list[str]:
    """What a reader has to know to trust the numbers, without what is shown as a banner or a warning already."""
    told = report["notes"][1:] if report["scripted"] else report["notes"]
    return [note for note in told if "could not be kept" not in note]


def synthetic(found: Any) -> str | None:
    """The sentence that the data is made up, if some of it is."""
    if not found["scripted"]:
        return None
    n = words.count(found["scripted"], "request")
    return f"Synthetic: trimtab's own scripted provider answered {n}, so these numbers are made up."
