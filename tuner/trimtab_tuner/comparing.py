"""Comparisons for the API: shares, gap and frontier; versions and scorecard; what a drawn value would have come to.

In: a cursor inside a transaction, and what was asked. Out: JSON for :mod:`.harness_models`. The analyzer computes all
of it; here is which runs it is about, and what is said where it can't be computed. Apart from the routes because
results are kept until the store changes (:mod:`.computed`), and this brings polars.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from trimtab_analyzer import load
from trimtab_analyzer.compare import DIMENSIONS, ColumnError, as_table, compare, read_store, scorecard, versions
from trimtab_analyzer.effects import SOURCES, TRUSTED, NoOverlap, Units, logged, policy_value, read_units

from .scope import Chosen, chosen

if TYPE_CHECKING:
    import duckdb

    from trimtab_tracer.prices import PriceList

MOST_RUNS: Final = 20_000
"""Runs that are compared: the bootstraps of as many take some seconds."""
NOTHING: Final = "No ended run fits; run an agent, or bring runs in with `trimtab import`."


def sources(is_inferred_too: bool) -> tuple[str, ...]:
    """Sources of outcomes that count."""
    return SOURCES if is_inferred_too else TRUSTED


def compared(
    con: duckdb.DuckDBPyConnection,
    filters: dict[str, Any],
    *,
    harness: str,
    by: list[str],
    quality_share: float,
    cost_share: float,
    inferred: bool,
) -> dict[str, Any]:
    """The comparison of the newest :data:`MOST_RUNS` runs that fit."""
    knobs = [harness.removeprefix("knob:")] if harness.startswith("knob:") else []
    try:
        runs, scope = _runs(con, filters, knobs, sources(inferred))
    except ColumnError:
        return {
            "scope": Chosen([], 0, None, None).as_json(),
            "harness": harness,
            "comparison": None,
            "refusal": NOTHING,
        }
    said: dict[str, Any] = {"scope": scope.as_json(), "harness": harness, "comparison": None, "refusal": None}
    if not scope.run_ids:
        return said | {"refusal": NOTHING}
    try:
        table = as_table(runs, {"harness": harness}, by, "this home")
        found = compare(table, quality_share=quality_share, cost_share=cost_share)
    except ColumnError as error:
        return said | {"refusal": str(error)}
    return said | {"comparison": found.as_json()}


def _runs(
    con: duckdb.DuckDBPyConnection, filters: dict[str, Any], knobs: list[str], counted: tuple[str, ...]
) -> tuple[pl.DataFrame, Chosen]:
    """Ended runs that fit with their ``started_ns``, the newest :data:`MOST_RUNS`; runs inside one are part of it."""
    frame = read_store(con, knobs, counted).join(
        load.run_windows(con).select("run_id", "started_ns"), on="run_id", maintain_order="left"
    )
    service, since_ns, until_ns = (filters.get(name) for name in ("service", "since_ns", "until_ns"))
    if service is not None:
        frame = frame.filter(pl.col("service") == service)
    if since_ns is not None:
        frame = frame.filter(pl.col("started_ns") >= since_ns)
    if until_ns is not None:
        frame = frame.filter(pl.col("started_ns") < until_ns)
    taken = frame.sort("started_ns", "run_id").tail(MOST_RUNS)
    starts = taken["started_ns"]
    bounds = (int(starts[0]), int(starts[-1])) if taken.height else (None, None)
    return taken, Chosen(taken["run_id"].to_list(), frame.height, *bounds)


def versions_of(
    con: duckdb.DuckDBPyConnection, filters: dict[str, Any], prices: PriceList | None, *, inferred: bool
) -> dict[str, Any]:
    """Versions side by side, of the newest runs that fit."""
    counted, scope = sources(inferred), chosen(con, **filters)
    dimensions = [{"id": d.id, "formula": d.formula, "unit": d.unit, "hint": d.hint} for d in DIMENSIONS]
    said = {"scope": scope.as_json(), "versions": [], "scores": [], "dimensions": dimensions}
    try:
        every = read_store(con, (), counted)
    except ColumnError:  # no run has ended
        return said
    here = every.join(load.run_windows(con).select("run_id", "started_ns"), on="run_id").filter(
        pl.col("run_id").is_in(scope.run_ids)
    )
    scores = scorecard(con, counted, prices, scope.run_ids)
    return said | {
        "versions": [one.as_json() for one in versions(here)],
        "scores": [score.as_json() for score in scores],
    }


def drawn_units(con: duckdb.DuckDBPyConnection, *, inferred: bool) -> Units:
    """The values that runs got, of all knobs that had several; of them those that were drawn can be asked about."""
    return read_units(con, sources(inferred))


def what_if(units: Units, site: str | None, knob: str | None, value: str | None, measure: str) -> dict[str, Any]:
    """What ``value`` (JSON text) of ``knob`` at ``site`` would have come to, where all three are named.

    Raises:
        LookupError: no value of this knob was drawn there.
    """
    drawn = units.rows.filter(pl.col("is_drawn") & pl.col("value").is_not_null())
    said: dict[str, Any] = {
        "choices": _choices(units, drawn),
        "first_ns": None,
        "last_ns": None,
        "value": None,
        "refusal": None,
    }
    if site is None or knob is None or value is None:
        return said
    here = drawn.filter((pl.col("site_id") == site) & (pl.col("knob") == knob))
    if not here.height:
        raise LookupError(f"No value of {knob} was drawn at {units.places.get(site, site)}.")
    said |= {"first_ns": int(here["decided_ns"][0]), "last_ns": int(here["decided_ns"][-1])}
    log = logged(units, site, knob, measure, values=(value,) if value in here["value"].unique().to_list() else ())
    if not len(log.sample):
        refusal = f"Of none of the {here.height} runs that drew a value there the {measure} is known."
        return said | {"refusal": refusal}
    try:
        found = policy_value(log.sample, value, log.values, log.contexts, is_share=log.is_share)
    except NoOverlap as error:
        return said | {"refusal": str(error)}
    return said | {"value": found.as_json()}


def _choices(units: Units, drawn: pl.DataFrame) -> list[dict[str, Any]]:
    found = []
    for key, group in drawn.group_by("site_id", "knob", maintain_order=True):
        counts = group["value"].value_counts().sort("count", "value", descending=[True, False])
        found.append(
            {
                "site_id": str(key[0]),
                "place": units.places.get(str(key[0]), str(key[0])),
                "knob": str(key[1]),
                "values": counts["value"].to_list(),
                "runs": counts["count"].to_list(),
            }
        )
    return found
