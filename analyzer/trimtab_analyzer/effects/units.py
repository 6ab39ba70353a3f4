"""What the store knows about values and what runs with them came to.

In: a connection to the store, and which sources of outcomes count. Out: :class:`Units`, frames with exactly the columns
written down here. The only module of this package that knows the store; the estimators take arrays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from .. import load
from ..ask import Connection, Schema, ask, snapshot
from .sample import LEAST_WEIGHT

SOURCES: Final = ("explicit", "evaluator", "inferred")
"""Where an outcome may come from, the best first."""
TRUSTED: Final = ("explicit", "evaluator")
"""Sources that count unless others are asked for: what trimtab itself inferred is a guess."""

UNITS: Final[Schema] = {
    "run_id": pl.String,
    "site_id": pl.String,
    "knob": pl.String,
    "value": pl.String,
    "own": pl.String,
    "is_drawn": pl.Boolean,
    "propensity": pl.Float64,
    "policy_version": pl.Int32,
    "decided_ns": pl.Int64,
    "latency_s": pl.Float64,
}
RUNS: Final[Schema] = {
    "run_id": pl.String,
    "root": pl.String,
    "whole": pl.String,
    "success": pl.Boolean,
    "source": pl.String,
    "other_source": pl.String,
    "cost_usd": pl.Float64,
    "duration_s": pl.Float64,
    "latency_s": pl.Float64,
    "model": pl.String,
    "site_id": pl.String,
    "task": pl.String,
    "harness": pl.String,
    "service": pl.String,
    "day": pl.String,
    "calls": pl.Int64,
    "tokens": pl.Int64,
}
POLICIES: Final[Schema] = {"version": pl.Int32, "document": pl.String}


@dataclass(frozen=True, slots=True)
class Units:
    """Runs, and the value that each got of each knob at each line."""

    rows: pl.DataFrame
    """One per run, line and knob: :data:`UNITS` but its ``policy_version``; of the experiment ``floor`` (the least
    probability that it gave any value), ``arms`` (its values, canonical JSON) and ``has_incumbent``; of :data:`RUNS`
    ``root``, ``success``, ``cost_usd``, ``model``, ``task`` and ``day``, where outcome and task of a run that has none
    of its own are those of the run it is part of."""
    runs: pl.DataFrame
    """:data:`RUNS`."""
    sources: tuple[str, ...]
    """Sources of outcomes that count."""
    places: dict[str, str]
    """``file:line`` of each line by its ``site_id``."""

    def outcomes(self) -> dict[str, Any]:
        """How many runs have an outcome of which source; ``uncounted``: only of a source that does not count.

        Runs inside a run are parts of it and not counted.
        """
        whole = self.runs.filter(pl.col("whole") == pl.col("run_id"))
        found = dict(whole["source"].drop_nulls().value_counts().iter_rows())
        without = whole.filter(pl.col("success").is_null())
        uncounted = without["other_source"].is_not_null().sum()
        return {
            "sources": list(self.sources),
            "by_source": {name: int(found.get(name, 0)) for name in self.sources},
            "runs": whole.height,
            "without_outcome": without.height - int(uncounted),
            "uncounted": int(uncounted),
        }


def read_runs(con: Connection, sources: Sequence[str] = TRUSTED) -> pl.DataFrame:
    """One row per ended run (:data:`RUNS`).

    Raises:
        ValueError: a source is none of :data:`SOURCES`, or there is none.
    """
    if not sources or not set(sources) <= set(SOURCES):
        raise ValueError(f"sources of outcomes are some of {', '.join(SOURCES)}, got {', '.join(sources) or 'none'}")
    return ask(con, "effect_runs", RUNS, sources=list(sources))


def read_units(con: Connection, sources: Sequence[str] = TRUSTED, knobs: Sequence[str] = ()) -> Units:
    """The units of the whole store, of knobs that had several values at a line.

    Args:
        con: The store.
        sources: Of outcomes that count.
        knobs: Knobs to tell of even where they never change.

    Raises:
        ValueError: a source is unknown.
        StoreError: the store is of another version.
    """
    with snapshot(con):
        runs = read_runs(con, sources)
        rows = ask(con, "effect_units", UNITS, knobs=list(knobs))
        policies = ask(con, "effect_policies", POLICIES)
        sites = load.sites(con)
    rows = (
        rows.join(_with_whole(runs), on="run_id")
        .join(_experiments(policies), on=["policy_version", "knob"], how="left")
        .with_columns(floor=pl.min_horizontal(pl.col("floor").fill_null(LEAST_WEIGHT), "propensity"))
        .drop("policy_version")
        .sort("decided_ns", "run_id", maintain_order=True)
    )
    return Units(rows, runs, tuple(sources), _places(sites))


def canonical(value: str) -> str:
    """One text for equal JSON values, however they were written."""
    return json.dumps(json.loads(value), sort_keys=True)


def _with_whole(runs: pl.DataFrame) -> pl.DataFrame:
    """What units need of their runs; outcome and task of the whole where a run inside it has none of its own."""
    whole = runs.select("success", "task", whole="run_id")
    return runs.join(whole, on="whole", how="left", suffix="_whole").select(
        "run_id",
        "root",
        pl.coalesce("success", "success_whole"),
        "cost_usd",
        "model",
        pl.coalesce("task", "task_whole"),
        "day",
    )


def _places(sites: pl.DataFrame) -> dict[str, str]:
    """A line as people write it; of an imported run, which has none, the harness and its agent."""
    return {
        site: f"{file}:{line}" if line > 0 else f"{file}, {function}"
        for site, file, function, line in sites.select("site_id", "file", "function", "line").iter_rows()
    }


def _experiments(policies: pl.DataFrame) -> pl.DataFrame:
    """Per version and knob what experiments may give: ``arms``, ``has_incumbent``; ``floor``, the least weight."""
    found: dict[tuple[int, str], tuple[float, set[str], bool]] = {}
    for version, text in policies.iter_rows():
        for rule in json.loads(text).get("rules", ()):
            for arm in rule.get("arms", ()):
                key = (version, rule["knob"])
                floor, arms, has_incumbent = found.get(key, (1.0, set(), False))
                named = {canonical(json.dumps(arm["value"]))} if "value" in arm else set()
                found[key] = (min(floor, float(arm["weight"])), arms | named, has_incumbent or "incumbent" in arm)
    schema = {"policy_version": pl.Int32, "knob": pl.String, "floor": pl.Float64}
    return pl.DataFrame(
        [(*key, floor, sorted(arms), has_incumbent) for key, (floor, arms, has_incumbent) in found.items()],
        schema=schema | {"arms": pl.List(pl.String), "has_incumbent": pl.Boolean},
        orient="row",
    )
