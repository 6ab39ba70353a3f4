"""The harness as it ran: what each line that makes calls did and cost, and what came after what.

In: a cursor inside a transaction, and the runs to look at (:mod:`.scope`). Out: rows for :mod:`.harness_models`. Apart
from the routes because it is kept until the store changes (:mod:`.computed`); apart from :mod:`.reads` because the
money by class comes from the analyzer's ledger, which brings polars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trimtab_analyzer.site_costs import site_costs

from . import reads
from .scope import Chosen, chosen

if TYPE_CHECKING:
    import duckdb

    from trimtab_tracer.prices import PriceList

Row = reads.Row

MAX_VALUES: Final = 5
"""Values of a knob that are listed per line."""
MOST_STEPS: Final = 60
"""Steps of a trend, about."""
STEPS_NS: Final = tuple(s * 10**9 for s in (60, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400))
"""Lengths that a step may have: a minute to thirty days."""
HARMLESS: Final = ("useful", "unknown")
"""Classes of the ledger that are no waste."""

ORDERS: Final[dict[str, Callable[[Row], Any]]] = {
    "cost": lambda row: -row["cost_musd"],
    "wasted": lambda row: -row["wasted_musd"],
    "calls": lambda row: -row["calls"],
    "failed_calls": lambda row: -row["failed_calls"],
    "failed_share": lambda row: -row["failed_calls"] / row["calls"],
    "failed_runs": lambda row: -row["failed_runs"],
    "latency": lambda row: -(row["median_ns"] or 0),
    "place": lambda row: (row["file"] or "", row["line"] or 0),
}
"""What lines can be ordered by: the most first, places as they stand in the code."""


def harness(con: duckdb.DuckDBPyConnection, filters: dict[str, Any], prices: PriceList | None) -> Row:
    """Every line that made calls in the runs that fit: ``scope``, ``step_ns``, ``rows`` and ``sites``."""
    runs = chosen(con, **filters)
    rows = reads.fetch(con, reads.statement("harness_sites"), run_ids=runs.run_ids)
    step_ns = step(runs)
    knobs = _by_site(con, "harness_knobs", "of_site", runs, most=MAX_VALUES)
    trend = _by_site(con, "harness_trend", "site_id", runs, step_ns=step_ns)
    spent: dict[str, list[Row]] = defaultdict(list)
    if runs.run_ids:
        for part in site_costs(con, runs.run_ids, prices).iter_rows(named=True):
            spent[part["site_id"]].append(part)
    for row in rows:
        parts = spent[row["site_id"]]
        row |= {"spent": parts, "knobs": knobs[row["site_id"]], "trend": trend[row["site_id"]]}
        row["wasted_musd"] = sum(part["cost_musd"] for part in parts if part["cls"] not in HARMLESS)
    deciding = {one["decided_at"] for row in rows for one in row["knobs"]}
    sites = {site["site_id"]: site for site in reads.sites_named(con, deciding)}
    return {"scope": runs.as_json(), "step_ns": step_ns, "rows": rows, "sites": sites}


def _by_site(
    con: duckdb.DuckDBPyConnection, name: str, key: str, runs: Chosen, **bounds: int
) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in reads.fetch(con, reads.statement(name), run_ids=runs.run_ids, **bounds):
        found[row[key]].append(row)
    return found


def step(runs: Chosen) -> int:
    """The shortest step of time that cuts these runs into about :data:`MOST_STEPS`."""
    span = (runs.last_ns or 0) - (runs.first_ns or 0)
    return next((step_ns for step_ns in STEPS_NS if span <= MOST_STEPS * step_ns), STEPS_NS[-1])


def agent_map(con: duckdb.DuckDBPyConnection, filters: dict[str, Any], most: int) -> Row:
    """The ``most`` most travelled edges between lines and tools, and the lines and tools that they name."""
    runs = chosen(con, **filters)
    edges = reads.fetch(con, reads.statement("map_edges"), run_ids=runs.run_ids, most=most)
    nodes = reads.fetch(con, reads.statement("map_nodes"), run_ids=runs.run_ids)
    named = {(e[f"{end}_kind"], e[f"{end}_name"]) for e in edges for end in ("from", "to")}
    shown = [node for node in nodes if (node["kind"], node["name"]) in named]
    return {
        "scope": runs.as_json(),
        "nodes": shown,
        "edges": edges,
        "nodes_total": len(nodes),
        "edges_total": edges[0]["edges_total"] if edges else 0,
        "times_total": edges[0]["times_total"] if edges else 0,
        "sites": reads.sites_named(con, {name for kind, name in named if kind == "site"}),
    }
