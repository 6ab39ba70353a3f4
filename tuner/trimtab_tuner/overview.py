"""What all runs came to, over time and in sum: the page that everybody sees first, in a fraction of a second.

In: which runs. Out: :class:`~.models.Overview`. Everything is added up by DuckDB from the core tables and from what the
last analysis kept of each run (``run_money``); nothing is analysed here, so runs that the analysis has not seen yet are
counted and named. Apart from :mod:`.computed`, whose report looks at every attempt anew and takes as long as an
analysis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import models, reads

if TYPE_CHECKING:
    import duckdb

MINUTE_NS: Final = 60 * 10**9
HOUR_NS: Final = 60 * MINUTE_NS
BINS_NS: Final = tuple(
    n * unit for unit, counts in ((MINUTE_NS, (1, 5, 15)), (HOUR_NS, (1, 3, 6, 24, 72, 168, 720))) for n in counts
)
"""How long the stretches of a chart may be: those of UTC's minutes, hours, days, weeks."""
MOST_BINS: Final = 60
"""Stretches of a chart; the shortest ones are taken of which there are no more."""
USEFUL: Final = ("useful", "unknown")
"""Classes of the ledger that are no waste."""


class Which(NamedTuple):
    """Which runs; None is any."""

    service: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None


def overview(con: duckdb.DuckDBPyConnection, which: Which, *, today_ns: int) -> models.Overview:
    """What these runs came to; ``today_ns`` is when the day began of which is told what was drawn."""
    from trimtab_analyzer.report.build import LABELS, MEANINGS, SCRIPTED  # brings polars

    chosen = which._asdict()
    (span,) = reads.fetch(con, reads.statement("overview_span"), **chosen, scripted=SCRIPTED)
    bin_ns = bin_of(span["first_ns"], span["last_ns"])
    rows = reads.fetch(con, reads.statement("overview"), **chosen, bin_ns=bin_ns)
    ledger = reads.fetch(con, reads.statement("overview_ledger"), **chosen)
    for row in ledger:
        row |= {"label": LABELS.get(row["cls"], row["cls"]), "meaning": MEANINGS.get(row["cls"], "")}
        row["is_waste"] = row["cls"] not in USEFUL
    ledger.sort(key=lambda row: (row["cls"] != "useful", row["cls"] == "unknown", -row["cost_musd"], row["cls"]))
    said = {
        "totals": _totals(rows),
        "bin_ns": bin_ns,
        "series": rows,
        "ledger": ledger,
        "losses": reads.losses(con, limit=100, offset=0),
        "scripted": span["scripted"],
        "drawn_today": reads.fetch(con, reads.statement("drawn_since"), since_ns=today_ns),
    }
    return models.Overview.model_validate(said)


def bin_of(first_ns: int | None, last_ns: int | None) -> int:
    """The shortest stretch of which no more than :data:`MOST_BINS` cover the time."""
    spanned = (last_ns or 0) - (first_ns or 0)
    return next((bin_ns for bin_ns in BINS_NS if spanned / bin_ns < MOST_BINS - 1), BINS_NS[-1])


_SUMS: Final = (
    *("runs", "running", "failed_runs", "succeeded_runs", "unjudged_runs", "inferred_runs", "unanalysed_runs"),
    *("calls", "attempts", "cost_musd", "unpriced", "input_tokens", "output_tokens", "estimated", "wasted_musd"),
)


def _totals(rows: list[reads.Row]) -> dict[str, Any]:
    sums: dict[str, Any] = {name: sum(row[name] for row in rows) for name in _SUMS}
    sums["first_ns"] = min((row["first_ns"] for row in rows), default=None)
    sums["last_ns"] = max((row["last_ns"] for row in rows), default=None)
    return sums
