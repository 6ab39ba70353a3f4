"""How much comes with the harness, the model and the task; the harness gap; cost against quality.

In: a comparison as ``/v1/compare`` gives it. Out: charts, rows and sentences, each with n, interval and the runs it is
of. These are associations unless values were drawn: which harness met which model on which task was somebody's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import theme
from . import plots, words

HARNESSES = {"Version": "harness", "Service": "service", "Line of the first call": "site"}
"""What may tell harnesses apart, and its name in the API; anything else is the name of a knob."""
MEASURES = {"success": "Success", "cost": "Cost", "latency": "Time"}
WIDE = 6
"""Dearest over cheapest configuration from which on costs are drawn on a logarithm."""
SCALES = {"share": "", "log": ", of the logarithm", "raw": ""}


def harness_column(chosen: str | None) -> str:
    """What the API calls it."""
    return HARNESSES.get(chosen or "Version") or f"knob:{chosen}"


def means(found: Any) -> str:
    """``success 47.1 % (n = 380), cost $0.0094 a run (n = 420)``."""
    return ", ".join(f"{_mean(name, one['mean'])} (n = {one['runs']:,})" for name, one in found["means"].items())


def _mean(measure: str, mean: float) -> str:
    if measure == "success":
        return f"success {100 * mean:.1f} %"
    return (
        f"cost {words.usd_fine(round(mean * 1e6))} a run" if measure == "cost" else f"time {words.seconds(mean)} a run"
    )


def shares(one: Any) -> dict[str, Any]:
    """The shares of one measure as points with intervals, the largest first, noise last."""
    parts = sorted(one["components"], key=lambda part: (part["name"] == "noise", -part["share"]))
    rows = [
        {
            "name": _part(part),
            "value": 100 * part["share"],
            "low": 100 * part["low"],
            "high": 100 * part["high"],
            "said": f"{part['share']:.0%} (95 % interval {part['low']:.0%} to {part['high']:.0%})",
        }
        for part in parts
    ]
    return plots.intervals(rows, title="share of the variation (%)", domain=(0, 100))


def _part(part: Any) -> str:
    also = f" (with {words.listing(part['includes'])})" if part["includes"] else ""
    return f"{part['name']}{also}"


def shares_note(one: Any, scope: str) -> str:
    """n, interval and time range of one measure's shares."""
    return (
        f"{MEASURES[one['measure']]}{SCALES[one['scale']]}: n = {words.count(one['runs'], 'run')} in"
        f" {words.count(one['clusters'], 'independent group')}; lines are 95 % intervals; of {scope}."
    )


def is_told_apart(one: Any) -> bool:
    """Whether anything stands beside noise: not where all runs have one harness and model, and a task each."""
    return any(part["name"] != "noise" for part in one["components"])


def headline(one: Any) -> str:
    """The two largest parts that are no noise, in words."""
    if not is_told_apart(one):
        return f"{MEASURES[one['measure']]}: these runs do not tell harness, model or task from noise."
    parts = sorted((p for p in one["components"] if p["name"] != "noise"), key=lambda part: -part["share"])[:2]
    told = [f"{p['name']} {100 * p['share']:.0f} % ({100 * p['low']:.0f} to {100 * p['high']:.0f} %)" for p in parts]
    noise = next((p for p in one["components"] if p["name"] == "noise"), None)
    rest = f"; with none of them {100 * noise['share']:.0f} %" if noise else ""
    return f"{MEASURES[one['measure']]} varies with {', '.join(told)}{rest}."


def gaps(found: Sequence[Any]) -> list[dict[str, Any]]:
    """One row per model that ran in several harnesses."""
    return [
        {
            "Model": gap["model"],
            "Best harness": gap["best"],
            "Success there": f"{100 * gap['best_mean']:.1f} % (n = {gap['best_runs']:,})",
            "Worst harness": gap["worst"],
            "Success here": f"{100 * gap['worst_mean']:.1f} % (n = {gap['worst_runs']:,})",
            "Gap (points)": f"{_points(gap['difference'])} (95 %: {_points(gap['low'])} to {_points(gap['high'])})",
            "Corrected": _points(gap["corrected"]),
            "Harnesses": gap["harnesses"],
            "Shared tasks": "too few" if gap["shared_tasks"] is None else f"{gap['shared_tasks']:,}",
        }
        for gap in found
    ]


def _points(share: float | None) -> str:
    return "not known" if share is None else f"{100 * share:.1f}"


def gap_chart(found: Sequence[Any]) -> dict[str, Any]:
    """The gap of each model with its interval, against none."""
    rows = [
        {
            "name": gap["model"],
            "value": 100 * gap["difference"],
            "low": 100 * gap["low"],
            "high": 100 * gap["high"],
            "said": f"{100 * gap['difference']:.1f} points between {gap['best']} and {gap['worst']}",
        }
        for gap in found
    ]
    return plots.intervals(rows, title="best minus worst harness (points of success)", at=0)


def frontier(found: Any) -> dict[str, Any]:
    """Configurations by cost and success with both intervals, the frontier as a line, and the corner asked for."""
    values = [_configuration(one, i) for i, one in enumerate(found["configurations"])]
    best = next(one for one in found["configurations"] if one["name"] == found["reference"])
    asked = {"cost": best["cost"] * found["cost_share"], "quality": 100 * best["quality"] * found["quality_share"]}
    cost = {
        "field": "cost",
        "type": "quantitative",
        "title": "mean known cost of a run (USD)",
        "scale": _cost_scale(found),
    }
    quality = {"field": "quality", "type": "quantitative", "title": "success (%)", "scale": {"zero": False}}
    states = ["on the frontier", "beaten by another"]
    colour = {"field": "state", "title": None, "scale": {"domain": states, "range": [theme.GOOD, theme.IDLE]}}
    shape = {"field": "state", "title": None, "scale": {"domain": states, "range": ["circle", "square"]}}
    tip = [{"field": "name"}, {"field": "said_quality", "title": "success"}, {"field": "said_cost", "title": "cost"}]
    corner = {"data": {"values": [asked]}, "mark": {"type": "rule", "strokeDash": [5, 4], "color": theme.BAD}}
    bars = {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.9}}
    legend = {"orient": "top", "labelLimit": 300}
    return {
        "data": {"values": values},
        "height": 380,
        "config": theme.QUIET_MARKS,
        "layer": [
            {**corner, "encoding": {"x": {"field": "cost", "type": "quantitative"}}},
            {**corner, "encoding": {"y": {"field": "quality", "type": "quantitative"}}},
            {
                "transform": [{"filter": "datum.state === 'on the frontier'"}],
                "mark": {"type": "line", "interpolate": "step-after", "color": theme.GOOD, "strokeWidth": 1.5},
                "encoding": {"x": cost, "y": quality, "order": {"field": "cost"}},
            },
            {
                **bars,
                "encoding": {
                    "x": {**cost, "field": "cost_low"},
                    "x2": {"field": "cost_high"},
                    "y": quality,
                    "color": {**colour, "legend": legend},
                    "tooltip": tip,
                },
            },
            {
                **bars,
                "encoding": {
                    "x": cost,
                    "y": {**quality, "field": "quality_low"},
                    "y2": {"field": "quality_high"},
                    "color": {**colour, "legend": legend},
                    "tooltip": tip,
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 110, "opacity": 1},
                "encoding": {
                    "x": cost,
                    "y": quality,
                    "color": {**colour, "legend": legend},
                    "shape": {**shape, "legend": legend},
                    "tooltip": tip,
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 9, "dy": -9, "fontSize": 12, "fontWeight": "bold"},
                "encoding": {"x": cost, "y": quality, "text": {"field": "number"}, "color": {**colour, "legend": None}},
            },
        ],
    }


def _cost_scale(found: Any) -> dict[str, Any]:
    """A logarithm where the dearest costs many times the cheapest: else the cheap ones are one heap."""
    costs = [one[key] for one in found["configurations"] for key in ("cost_low", "cost")]
    is_wide = min(costs) > 0 and max(costs) > WIDE * min(costs)
    return {"type": "log", "nice": False, "padding": 24} if is_wide else {"zero": True}


def _configuration(one: Any, index: int) -> dict[str, Any]:
    quality = _percents(one)
    return {
        "name": one["name"],
        "number": str(index + 1),
        "cost": one["cost"],
        "cost_low": one["cost_low"],
        "cost_high": one["cost_high"],
        "quality": quality[0],
        "quality_low": quality[1],
        "quality_high": quality[2],
        "state": "on the frontier" if one["on_frontier"] else "beaten by another",
        "said_quality": f"{_share_said(quality)}, n = {one['runs']:,}",
        "said_cost": _cost_said(one),
    }


def _percents(one: Any) -> list[float]:
    return [100 * one[key] for key in ("quality", "quality_low", "quality_high")]


def _share_said(quality: Sequence[float]) -> str:
    return f"{quality[0]:.1f} % (95 % interval {quality[1]:.1f} to {quality[2]:.1f} %)"


def _cost_said(one: Any) -> str:
    low, mean, high = (words.usd_fine(round(one[key] * 1e6)) for key in ("cost_low", "cost", "cost_high"))
    return f"{mean} (95 % interval {low} to {high})"


def configurations(found: Any) -> list[dict[str, Any]]:
    """One row per configuration, numbered as in the chart."""
    return [
        {
            "No.": str(i),
            "Configuration": one["name"],
            "Runs": one["runs"],
            "Success": _share_said(_percents(one)),
            "Cost of a run": _cost_said(one),
            "On the frontier": f"{'yes' if one['on_frontier'] else 'no'}; {100 * one['frontier_share']:.0f} % of draws",
            "Meets the question": f"{'yes' if one['meets'] else 'no'}; {100 * one['meets_share']:.0f} % of draws",
            "Unknown cost": one["unknown_cost"],
        }
        for i, one in enumerate(found["configurations"], start=1)
    ]


def frontier_note(found: Any, scope: str) -> str:
    """n, interval and range, and what is not compared."""
    runs = sum(one["runs"] for one in found["configurations"])
    left = (
        f" Not compared, as fewer than 5 runs are known: {words.listing(found['left_out'])}."
        if found["left_out"]
        else ""
    )
    return f"n = {words.count(runs, 'run')} of known success; lines are 95 % bootstrap intervals; of {scope}.{left}"


def runs_address(name: str, column: str, levels: Sequence[str]) -> dict[str, str]:
    """The part of an address that chooses a configuration's runs; empty where none does.

    Args:
        name: Of the configuration: its harness and its model, as far as they differ.
        column: What told harnesses apart.
        levels: The factors compared.
    """
    harness, _, model = (
        name.rpartition(" / ")
        if {"harness", "model"} <= set(levels)
        else ((name, "", "") if "harness" in levels else ("", "", name))
    )
    key = {"harness": "harness", "service": "service"}.get(column)
    chosen = {"model": model} | ({key: harness} if key else {})
    return {part: value for part, value in chosen.items() if value and value != "unknown"}
