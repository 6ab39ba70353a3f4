"""Versions of the harness side by side: what came of their runs, and what their scorecards say.

In: ``/v1/scorecard``. Out: rows, a chart, and the difference of two versions. Versions ran at different times and on
different tasks, so a difference between them is an association and called that.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from typing import Any

from trimtab_analyzer.statistics import newcombe

from . import plots, words


def table(versions: Sequence[Any]) -> list[dict[str, Any]]:
    """One row per version, in the order of their first runs."""
    return [
        {
            "Version": one["version"],
            "Runs": one["runs"],
            "Success": words.share_of(one["succeeded"], one["judged"]) if one["judged"] else "no known outcome",
            "Cost of a run": _cost(one),
            "Median time": words.duration(None if one["latency_s"] is None else round(one["latency_s"] * 1e9)),
            "First run (UTC)": words.when(one["first_ns"]),
            "Last run (UTC)": words.when(one["last_ns"]),
        }
        for one in versions
    ]


def _cost(one: Any) -> str:
    if one["cost_musd"] is None:
        return "not known"
    said = words.usd_fine(round(one["cost_musd"]))
    if one["cost_low"] is not None:
        said += (
            f" (95 % interval {words.usd_fine(round(one['cost_low']))} to {words.usd_fine(round(one['cost_high']))})"
        )
    return said if one["priced"] == one["runs"] else f"{said}, of {one['priced']:,} of known cost"


def scores(found: Any) -> dict[str, Any]:
    """A chart of the scorecards: a line per dimension and version, with its interval."""
    rows = [
        {
            "name": dimension_name(one["dimension"]),
            "group": one["version"],
            "value": one["score"],
            "low": one["low"],
            "high": one["high"],
            "said": f"{one['version']}: {one['score']:.0f} ({one['low']:.0f} to {one['high']:.0f}), n = {_n(one)}",
        }
        for one in found["scores"]
        if one["score"] is not None
    ]
    return plots.intervals(rows, title="score, 0 to 100", domain=(0, 100), by="version")


def _n(one: Any) -> str:
    return f"{one['n']:.4g} {one['unit']}" if one["unit"] == "USD" else f"{one['n']:,.0f} {one['unit']}"


def dimension_name(dimension: str) -> str:
    """``error_recovery`` as ``error recovery``."""
    return dimension.replace("_", " ")


def silent(found: Any) -> list[str]:
    """What has no score in any version, and what to do about it."""
    known = {one["dimension"] for one in found["scores"] if one["score"] is not None}
    return [f"{dimension_name(d['id'])}: {d['hint']}" for d in found["dimensions"] if d["id"] not in known]


def difference(first: Any, second: Any) -> list[str]:
    """What the second version has more or less than the first, in sentences."""
    said = []
    if first["judged"] and second["judged"]:
        by = newcombe(first["succeeded"], first["judged"], second["succeeded"], second["judged"])
        points = [f"{100 * share:+.1f}" for share in by]
        n = f"n = {first['judged']:,} and {second['judged']:,} runs of known outcome"
        said.append(f"Success: {points[0]} points (95 % interval {points[1]} to {points[2]}), {n}.")
    if first["cost_low"] is not None and second["cost_low"] is not None:
        dollars = [f"{musd / 1e6:+.4f}" for musd in _mean_difference(first, second)]
        n = f"n = {first['priced']:,} and {second['priced']:,} runs of known cost"
        said.append(f"Cost of a run: {dollars[0]} USD (95 % interval {dollars[1]} to {dollars[2]}), {n}.")
    return said or ["Neither success nor cost is known of enough runs of both."]


def _mean_difference(first: Any, second: Any) -> tuple[float, float, float]:
    """Second minus first mean cost, with the interval that follows from those of both means.

    G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures: a general approach", Statistics
    in Medicine 27 (2008), 1693-1702. Assumes that the runs of both are independent.
    """
    by = second["cost_musd"] - first["cost_musd"]
    below = hypot(second["cost_musd"] - second["cost_low"], first["cost_high"] - first["cost_musd"])
    above = hypot(second["cost_high"] - second["cost_musd"], first["cost_musd"] - first["cost_low"])
    return by, by - below, by + above
