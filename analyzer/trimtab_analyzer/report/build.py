"""From the store to a report.

In: a connection to the store. Out: one :class:`.model.Report`. The findings and the ledger are computed afresh from
what the store holds now, so a report never lags behind the last analysis of a sidecar. Runs and calls are listed up to
a bound and the sums are over all of them. What has to be said about the numbers is in :mod:`.caveats`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import polars as pl

from trimtab_tracer import __version__
from trimtab_tracer.prices import PriceList

from .. import load
from ..case import Case
from ..cost import CLASSES, by_class
from ..findings import Finding, analyze
from ..layers import retry_stacks
from ..load import Connection
from . import words
from .caveats import notes
from .model import (
    CallLine,
    FindingView,
    LedgerLine,
    LossLine,
    Place,
    Report,
    RetryLine,
    RunLine,
    Totals,
    UnpricedModel,
)
from .series import stretches

MAX_RUNS: Final = 500
"""Runs in the table; failed and blamed ones first, then the most expensive."""

MAX_RETRY_LINES: Final = 20
"""Places listed with the loops around their requests."""

MAX_CALLS: Final = 3_000
"""Calls listed below their runs, in the same order of importance: about 2 MB of HTML."""

SCRIPTED: Final = r"scripted_\d{6}_\d+_[0-9a-f]{6}$"
"""What the ids of trimtab's own scripted provider end in."""

LABELS: Final = {
    "useful": "Useful work",
    "futile_retry": "Futile retries",
    "retry_multiplication": "Multiplied retries",
    "failed_attempt": "Failed requests",
    "rejected_output": "Rejected answers",
    "truncated_output": "Cut answers",
    "malformed_tool_args": "Malformed tool calls",
    "unknown_tool": "Unknown tools",
    "broken_tool": "Broken tools",
    "repeated_call": "Repeated tool calls",
    "no_progress": "No progress",
    "after_decided": "After the outcome",
    "cache_miss": "Cache misses",
    "oversized_result": "Oversized results",
    "unknown": "Cost not known",
}
"""Short names of the ledger's classes, for people."""

MEANINGS: Final = {"useful": "Answers that the agent went on with"} | {
    c.id: c.sentence for c in CLASSES if c.id != "useful"
}
"""What each class holds, in a sentence."""


def build(
    con: Connection,
    run_id: str | None = None,
    *,
    case: Case | None = None,
    found: Sequence[Finding] | None = None,
    prices: PriceList | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> Report:
    """The report over all runs of a store, or over some of them, told in the light of all.

    Args:
        con: A connection or cursor onto the store; nothing is written.
        run_id: The only run to look at.
        case: The case of all runs, where it is loaded already; ``con`` is inside its snapshot.
        found: What the analysis of all runs says, where it was made already.
        prices: For the ledger of a case that is not loaded (:func:`~..cost.ledger`).
        since_ns: Only runs that began at or after this time, nanoseconds since the epoch.
        until_ns: Only runs that began before this time.

    Raises:
        StoreError: the store is of another version.
        LookupError: there is no run ``run_id``.
    """
    ids = None if run_id is None else [run_id]
    with load.snapshot(con):
        if since_ns is not None or until_ns is not None:
            began = "SELECT run_id FROM runs WHERE started_ns >= ? AND started_ns < ?"
            found_ids = con.execute(began, [since_ns or 0, until_ns or MAX_INT64]).fetchall()
            ids = [each for (each,) in found_ids if run_id in (None, each)]
        places = {row["site_id"]: _place(row) for row in load.sites(con).iter_rows(named=True)}
        outcomes = {row["run_id"]: row for row in load.outcomes(con, ids).iter_rows(named=True)}
        rows = _rows(con, "runs", run_ids=ids)
        if run_id is not None and not rows:
            raise LookupError(f"no run {run_id!r} in the store")
        (sources,) = _rows(con, "sources", run_ids=ids, scripted=SCRIPTED)
        seen, told = _looked_at(con, ids, case or Case.load(con, prices=prices), found)
        stacks = retry_stacks(seen)[:MAX_RETRY_LINES]
        findings = _views(told, places)
        losses = tuple(LossLine(**row) for row in _rows(con, "losses"))
        unpriced = tuple(UnpricedModel(**row) for row in _rows(con, "unpriced", run_ids=ids))
        listed = _listed(con, rows, outcomes, findings, places)
    lines = _ledger_lines(seen.ledger)
    totals = _totals(rows, outcomes, sources, lines)
    counts = {"listed": len(listed.runs), "opened": listed.opened}
    width_ns, series = stretches(rows, outcomes, seen.ledger)
    said = notes(rows, totals, sources, losses, unpriced, **counts, is_of_all=bool(ids and findings))
    services = tuple(dict.fromkeys(row["service"] for row in rows))
    return Report(
        version=__version__,
        generated_ns=time.time_ns(),
        run_id=run_id,
        series=series,
        stretch_ns=width_ns,
        since_ns=since_ns,
        until_ns=until_ns,
        services=services,
        models=tuple(sources["models"]),
        price_versions=tuple(sources["price_versions"]),
        totals=totals,
        headline=words.headline(totals, services, findings),
        findings=findings,
        ledger=lines,
        runs=listed.runs,
        runs_listed=listed.opened,
        losses=losses,
        notes=tuple(said),
        unpriced_models=unpriced,
        retries=tuple(RetryLine(places.get(stack.site_id or ""), stack.times, stack) for stack in stacks),
        **{name: sources[name] for name in ("scripted", "guessed", "guessed_tokens", "guessed_musd")},
    )


def _looked_at(
    con: Connection, ids: list[str] | None, whole: Case, found: Sequence[Finding] | None
) -> tuple[Case, Sequence[Finding]]:
    """The case of these runs or of all, and what is found in it in the light of all."""
    if ids is None:
        return whole, analyze(con, case=whole) if found is None else found
    return whole.of_runs(ids), analyze(con, ids, case=whole)


MAX_INT64 = 2**63 - 1


@cache
def _sql(name: str) -> str:
    return (resources.files(__package__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def _rows(con: Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
    frame: pl.DataFrame = con.sql(_sql(name), params=parameters).pl()
    return frame.rows(named=True)


def _place(row: dict[str, Any]) -> Place:
    return Place(row["file"], row["function"], row["line"], row["source"], row["owner"])


def _views(found: Iterable[Finding], places: dict[str, Place]) -> tuple[FindingView, ...]:
    views = [
        FindingView(
            finding_id=f.finding_id,
            rule=f.rule,
            subject=f.subject,
            title=f.title,
            advice=f.advice,
            knob=f.knob,
            value=json.loads(f.value),
            place=places.get(f.site_id or ""),
            runs=f.runs,
            failed_runs=f.failed_runs,
            calls=f.calls,
            cost_musd=f.cost_musd,
            wasted_musd=f.wasted_musd,
            evidence=f.evidence,
            is_current=f.is_current,
        )
        for f in found
    ]
    # What ended runs comes before what was merely there when they failed; otherwise the analysis' own order stays.
    return tuple(sorted(views, key=lambda f: (not f.is_current, -len(f.evidence["ended_runs"]))))


class _Listed(NamedTuple):
    """The runs in the table."""

    runs: tuple[RunLine, ...]
    opened: int
    """Those of them whose calls are listed."""


def _listed(
    con: Connection,
    rows: list[dict[str, Any]],
    outcomes: dict[str, Any],
    findings: Iterable[FindingView],
    places: dict[str, Place],
) -> _Listed:
    chosen = _choose(rows, outcomes, _blamed(findings))
    calls = _calls(con, chosen, places)
    runs = (_run(row, outcomes[row["run_id"]], places, calls.get(row["run_id"], ())) for row in chosen)
    return _Listed(tuple(runs), len(calls))


def _blamed(findings: Iterable[FindingView]) -> set[str]:
    """Runs that a finding names, so that its links lead somewhere."""
    return {run_id for f in findings for run_id in f.evidence["runs"]}


def _choose(rows: list[dict[str, Any]], outcomes: dict[str, Any], blamed: set[str]) -> list[dict[str, Any]]:
    """The runs to show, oldest first; where they are too many the telling ones."""

    def dullness(row: dict[str, Any]) -> tuple[bool, bool, int]:
        return (not outcomes[row["run_id"]]["failed"], row["run_id"] not in blamed, -row["cost_musd"])

    kept = {row["run_id"] for row in sorted(rows, key=dullness)[:MAX_RUNS]}
    chosen = [row for row in rows if row["run_id"] in kept]
    budget = MAX_CALLS
    for row in sorted(chosen, key=dullness):
        row["is_open"] = row["calls"] <= budget
        budget -= row["calls"] if row["is_open"] else 0
    return chosen


def _calls(con: Connection, listed: list[dict[str, Any]], places: dict[str, Place]) -> dict[str, tuple[CallLine, ...]]:
    """The calls of those runs that are listed with them."""
    times_known = {row["run_id"]: row["origin"] != "import" for row in listed if row["is_open"]}
    found: dict[str, list[CallLine]] = {run_id: [] for run_id in times_known}
    for row in _rows(con, "calls", run_ids=list(times_known)):
        run_id, site_id, tools = row.pop("run_id"), row.pop("site_id"), row.pop("tools")
        if not times_known[run_id]:
            row["duration_ns"] = None
        found[run_id].append(CallLine(**row, place=places.get(site_id), tools=tuple(tools)))
    return {run_id: tuple(calls) for run_id, calls in found.items()}


def _run(row: dict[str, Any], outcome: dict[str, Any], places: dict[str, Place], calls: Sequence[CallLine]) -> RunLine:
    shown = {k: v for k, v in row.items() if k not in ("error_site_id", "times", "untold", "is_open")}
    return RunLine(
        **shown,
        is_failed=outcome["failed"],
        success=outcome["success"],
        score=outcome["score"],
        outcome_source=outcome["source"],
        outcome_rule=outcome["rule"],
        outcome_confidence=outcome["confidence"],
        error_place=places.get(row["error_site_id"] or ""),
        listed=tuple(calls),
    )


def _ledger_lines(parts: pl.DataFrame) -> tuple[LedgerLine, ...]:
    lines = [
        LedgerLine(
            cls=row["cls"],
            label=LABELS.get(row["cls"], row["cls"]),
            meaning=MEANINGS.get(row["cls"], ""),
            is_waste=row["cls"] not in ("useful", "unknown"),
            cost_musd=row["cost_musd"],
            unpriced=row["unknown"],
            calls=row["calls"],
            attempts=row["attempts"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            estimated=row["estimated"],
        )
        for row in by_class(parts).iter_rows(named=True)
    ]
    # Useful work first, then what was lost, the largest first, then what nobody knows.
    return tuple(sorted(lines, key=lambda x: (x.cls != "useful", x.cls == "unknown", -x.cost_musd, x.cls)))


def _totals(
    rows: list[dict[str, Any]], outcomes: dict[str, Any], sources: dict[str, Any], lines: Sequence[LedgerLine]
) -> Totals:
    def total(key: str) -> int:
        return sum(row[key] for row in rows)

    ends = [row["ended_ns"] or row["started_ns"] for row in rows]
    came = [outcomes[row["run_id"]] for row in rows]
    running = sum(row["status"] == "running" for row in rows)
    failed, succeeded = sum(o["failed"] for o in came), sum(o["success"] is True for o in came)
    return Totals(
        runs=len(rows),
        failed_runs=failed,
        succeeded_runs=succeeded,
        unjudged_runs=sum(
            not o["failed"] and o["success"] is None and row["status"] != "running"
            for o, row in zip(came, rows, strict=True)
        ),
        running=running,
        calls=total("calls"),
        rejected=total("rejected"),
        attempts=total("attempts"),
        failed_attempts=total("failed_attempts"),
        tool_calls=total("tool_calls"),
        tool_errors=total("tool_errors"),
        input_tokens=total("input_tokens"),
        cache_read_tokens=total("cache_read_tokens"),
        output_tokens=total("output_tokens"),
        untold=total("untold"),
        cost_musd=total("cost_musd"),
        wasted_musd=sum(line.cost_musd for line in lines if line.is_waste),
        unpriced=total("unpriced"),
        reported_musd=sources["reported_musd"],
        estimated_musd=sources["estimated_musd"],
        first_ns=min((row["started_ns"] for row in rows), default=None),
        last_ns=max(ends, default=None),
        inferred_runs=sum(
            o["failed"] and o["rule"] is not None and row["status"] != "error"
            for o, row in zip(came, rows, strict=True)
        ),
    )
