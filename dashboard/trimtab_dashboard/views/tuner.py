"""What is learned while agents run: modes of knobs, values with what is known of them, and how they were drawn.

In: ``/v1/tuning``, its events and histories as the API gives them. Out: rows, sentences and Vega-Lite specifications.
Values were drawn at random, so what is said of them is an effect, and its interval holds at every moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from .. import theme
from . import series, words

INCUMBENT: Final = "incumbent"
OWN: Final = "as the code says"
MODES: Final = {
    "observe": "Observe: nothing is proposed and nothing is tried",
    "recommend": "Recommend: what is found is proposed, a person decides",
    "auto": "Auto: what is proposed is also tried, and promoted when it is proven",
}
OBJECTIVES: Final = {
    "cheapest": "the least cost, with no less success than the margin allows",
    "best_within": "the most success, within the dollars of a day",
    "fastest": "the shortest waits, within both",
    "value": "success at its worth, less cost",
}
COLOURS: Final = (theme.IDLE, theme.GOOD, theme.BAD, theme.TOOL, theme.CUT, "#e69f00", "#56b4e9", "#f0e442")
DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 1], [1, 3], [10, 2], [3, 5])
HEIGHT_PX: Final = 220


def value_of(arm: str) -> str:
    """The value that an arm's key stands for."""
    return OWN if arm == INCUMBENT else words.value(json.loads(arm))


def modes(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """What may be done about a knob without asking, one row each."""
    return [
        {
            "Setting": "all others" if row["knob"] == "*" else row["knob"],
            "Mode": row["mode"],
            "Means": MODES[row["mode"]].partition(": ")[2],
            "Set by": f"{row['set_by']}, {words.when(row['set_ns'])}" if row["set_by"] else "the settings",
        }
        for row in rows
    ]


def heading(campaign: Any) -> str:
    """``model: exploring, 1,204 units``."""
    state = campaign["phase"] if campaign["status"] == "running" else "stopped"
    return f"{campaign['knob']}: {state}, {words.count(campaign['units'], 'unit')}"


def goal(campaign: Any, place: str, now_ns: int) -> str:
    """What is wanted where, since when, and what exploring has cost."""
    spec = campaign["spec"]
    margin = f"margin {100 * spec['margin']:g} points"
    share = f"other values get at most {100 * spec['max_share']:g} % of the runs until one is promoted"
    begun = f"begun {words.ago(campaign['started_ns'], now_ns)} by {campaign['started_by']}"
    return f"At {place}. Wanted is {OBJECTIVES[spec['objective']]}; {margin}; {share}. {begun[0].upper()}{begun[1:]}."


def budget(campaign: Any) -> str:
    """What runs with other values cost today, beside what they may."""
    cap, spent = campaign["spec"]["explore_usd_per_day"], campaign["explored_usd"] or 0.0
    said = f"Runs with other values cost ${spent:,.4g} in the last 24 hours"
    return f"{said}, of ${cap:,.4g} that they may." if cap is not None else f"{said}; there is no cap."


def arms(campaign: Any) -> list[dict[str, Any]]:
    """What is known of each value: the code's own first."""
    shares = campaign["weights"].get("", {})
    return [
        {
            "Value": value_of(arm["arm"]),
            "Share now": f"{100 * shares.get(arm['arm'], 0.0):.0f} %",
            "Units": f"{arm['units']:,} ({arm['rewards']:,} judged)",
            "Success": _beside(arm, "quality", "quality_change", 100, " %", " points"),
            "Cost of a run, USD": _beside(arm, "cost_usd", "cost_change_usd"),
            "Seconds": _beside(arm, "latency_s", "latency_change_s"),
            "State": _state(campaign, arm),
        }
        for arm in campaign["verdict"].get("arms", ())
    ]


def _state(campaign: Any, arm: Any) -> str:
    if arm["arm"] == campaign["promoted_arm"]:
        return "★ promoted"
    if not arm["in_set"]:
        return "✕ no longer tried"
    return "✓ proven" if arm["ready"] else "tried" if arm["arm"] != INCUMBENT else "compared with"


def _beside(arm: Any, key: str, change: str, times: float = 1, unit: str = "", of_change: str = "") -> str:
    """A mean, and what it differs by from the code's own."""
    said = _bounds(arm[key], times, unit)
    if arm[change]["estimate"] is None:
        return said
    return f"{said}; change {_bounds(arm[change], times, of_change, is_change=True)}"


def _bounds(found: Mapping[str, float | None], times: float = 1, unit: str = "", *, is_change: bool = False) -> str:
    """``0.91 (0.88 to 0.94)``; a dash where nothing is known."""
    sign = "+" if is_change else ""
    if found["estimate"] is None:
        return "–"
    shown = {name: f"{round(times * at, 9):{sign}.3g}" for name, at in found.items() if at is not None}
    if len(shown) < len(found):
        return shown["estimate"] + unit
    return f"{shown['estimate']} ({shown['low']} to {shown['high']}){unit}"


def charts(campaign: Any, history: Any) -> list[series.Chart]:
    """Success and cost of each value, its weight over time, and how often it was drawn."""
    names = [value_of(arm["arm"]) for arm in campaign["verdict"].get("arms", ())]
    found = [
        _known(campaign, "quality", "Success by value", "success (%)", 100),
        _known(campaign, "cost_usd", "Cost by value", "USD per run", 1),
    ]
    return [*found, _weights(history, names), _draws(history, names)]


def _known(campaign: Any, key: str, title: str, axis: str, times: float) -> series.Chart:
    values = [
        {
            "value": value_of(arm["arm"]),
            "y": times * arm[key]["estimate"],
            "low": times * arm[key]["low"],
            "high": times * arm[key]["high"],
            "said": _bounds(arm[key], times),
        }
        for arm in campaign["verdict"].get("arms", ())
        if None not in (arm[key]["estimate"], arm[key]["low"], arm[key]["high"])
    ]
    n, when = campaign["units"], words.period(campaign["started_ns"], campaign["updated_ns"])
    note = (
        f"n = {words.count(n, 'unit')}, {when}, weighted with the probabilities of their draws. Lines: 95 % intervals"
    )
    note += " that hold at every moment."
    name = {"field": "value", "type": "nominal", "title": None, "sort": None, "axis": {"labelLimit": 200}}
    scale = {"type": "quantitative", "title": axis, "scale": {"zero": False}, "axis": {"tickCount": 4}}
    tip = [{"field": "value"}, {"field": "said", "title": axis}]
    layers = [
        {"mark": {"type": "rule", "strokeWidth": 2, "color": theme.IDLE},
         "encoding": {"x": {**scale, "field": "low"}, "x2": {"field": "high"}}},
        {"mark": {"type": "point", "filled": True, "size": 70, "color": theme.GOOD},
         "encoding": {"x": {**scale, "field": "y"}}},
    ]  # fmt: skip
    spec = {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "encoding": {"y": name, "tooltip": tip},
        "layer": layers,
    }
    return series.Chart(title, spec, note, f"{title}. {note}")


def _weights(history: Any, names: Sequence[str]) -> series.Chart:
    values, at = [], 0.0
    for row in history["shares"]:
        at = row["issued_ns"] / 1e6
        shown = {
            value_of(INCUMBENT if arm.get("incumbent") else json.dumps(arm["value"])): arm["weight"]
            for arm in row["arms"] or [{"incumbent": True, "weight": 1.0}]
        }
        values += [
            {"at": at, "value": name, "y": 100 * shown.get(name, 0.0), "when": words.when(row["issued_ns"]),
             "said": f"{100 * shown.get(name, 0.0):.1f} %"}
            for name in names
        ]  # fmt: skip
    n = len(history["shares"])
    note = f"n = {words.count(n, 'version')} of the policy in which weights changed. What was published, no estimate."
    spec = {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "mark": {"type": "line", "interpolate": "step-after", "point": {"size": 30, "filled": True}},
        "encoding": {
            "x": _time(),
            "y": {"field": "y", "type": "quantitative", "title": "probability of a draw (%)",
                  "scale": {"domain": [0, 100]}, "axis": {"tickCount": 4}},
            "color": _colour(names),
            "strokeDash": _dash(names),
            "tooltip": [{"field": "when", "title": "since (UTC)"}, {"field": "value"}, {"field": "said"}],
        },
    }  # fmt: skip
    return series.Chart("Probabilities", spec, note, f"Probability with which each value is drawn, over time. {note}")


def _draws(history: Any, names: Sequence[str]) -> series.Chart:
    width = history["bin_ns"]
    values, tops = [], dict[int, int]()
    for row in sorted(history["draws"], key=lambda row: (row["at_ns"], _place(names, value_of(row["arm"])))):
        low = tops.get(row["at_ns"], 0)
        tops[row["at_ns"]] = low + row["units"]
        values.append(
            {"at": row["at_ns"] / 1e6, "to": (row["at_ns"] + width) / 1e6, "value": value_of(row["arm"]),
             "y": row["units"], "low": low, "high": low + row["units"], "when": words.when(row["at_ns"])}
        )  # fmt: skip
    n = sum(row["units"] for row in history["draws"])
    note = f"n = {words.count(n, 'unit')} (a run at a line), by {series.stretch(width)}. A count: it has no interval."
    spec = {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "mark": {"type": "rect", "stroke": "#8b929888", "strokeWidth": 0.5},
        "encoding": {
            "x": _time(),
            "x2": {"field": "to"},
            "y": {"field": "low", "type": "quantitative", "title": "units", "axis": {"tickCount": 4}},
            "y2": {"field": "high"},
            "color": _colour(names),
            "tooltip": [{"field": "when", "title": "from (UTC)"}, {"field": "value"}, {"field": "y", "title": "units"}],
        },
    }
    return series.Chart("Traffic", spec, note, f"How often each value was drawn, over time. {note}")


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _time() -> dict[str, Any]:
    axis = {"format": "%d %b %H:%M", "labelOverlap": True, "tickCount": 4}
    return {"field": "at", "type": "temporal", "scale": {"type": "utc"}, "title": None, "axis": axis}


def _colour(names: Sequence[str]) -> dict[str, Any]:
    scale = {"domain": list(names), "range": list(COLOURS[: len(names)])}
    return {
        "field": "value",
        "title": None,
        "scale": scale,
        "legend": {"orient": "top", "columns": 2, "labelLimit": 200},
    }


def _dash(names: Sequence[str]) -> dict[str, Any]:
    return {"field": "value", "scale": {"domain": list(names), "range": list(DASHES[: len(names)])}, "legend": None}


_KINDS: Final = {
    "aa_passed": "✓ A/A check passed",
    "aa_failed": "✕ A/A check failed",
    "arm_added": "+ value added",
    "arm_dropped": "− value given up",
    "arm_readmitted": "+ value tried again",
    "budget_resumed": "▶ exploring goes on",
    "budget_stop": "⏸ budget spent",
    "clock_back": "⚠ a clock went back",
    "drift": "↝ drift",
    "ended": "■ ended",
    "halted": "✕ halted",
    "observation_refused": "⚠ not learned from",
    "price_changed": "$ price changed",
    "promoted": "★ promoted",
    "promotion_ready": "✓ proven",
    "rollback": "↩ rolled back",
    "share_mismatch": "⚠ draws do not fit",
    "started": "▶ started",
    "unreadable": "✕ state unreadable",
}


def events(rows: Iterable[Any], knobs: Mapping[str, str]) -> list[dict[str, Any]]:
    """What happened, newest first."""
    ordered = sorted(rows, key=lambda row: -row["event_id"])
    return [
        {
            "When (UTC)": words.when(row["at_ns"]),
            "Setting": knobs.get(row["experiment_id"], row["experiment_id"]),
            "What": _kind(row),
            "Told": row["told"],
        }
        for row in ordered
    ]


def time_line(rows: Sequence[Any], knobs: Mapping[str, str]) -> series.Chart:
    """Events as points over time, a row for each kind, in the order in which they first came; needs one at least."""
    ordered = sorted(rows, key=lambda row: row["event_id"])
    kinds = list(dict.fromkeys(_kind(row) for row in ordered))
    values = [
        {
            "at": row["at_ns"] / 1e6,
            "when": words.when(row["at_ns"]),
            "kind": _kind(row),
            "setting": knobs.get(row["experiment_id"], row["experiment_id"]),
            "told": words.kept(row["told"], 200),
        }
        for row in ordered
    ]
    tooltip = [{"field": "when", "title": "when (UTC)"}, *({"field": name} for name in ("setting", "kind", "told"))]
    spec = {
        "data": {"values": values},
        "height": {"step": 26},
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 0.8, "color": theme.GOOD},
        "encoding": {
            "x": _time(),
            "y": {"field": "kind", "type": "nominal", "title": None, "sort": kinds, "axis": {"grid": True}},
            "tooltip": tooltip,
        },
        "config": theme.QUIET_MARKS,
    }
    period = words.period(ordered[0]["at_ns"], ordered[-1]["at_ns"])
    note = f"n = {words.count(len(rows), 'event')}, {period}. Decisions, no estimates: they have no interval."
    return series.Chart("Time line", spec, note, f"What happened to experiments, over time. {note}")


def _kind(row: Any) -> str:
    return _KINDS.get(row["kind"], str(row["kind"]).replace("_", " "))


def typed_values(text: str) -> list[Any]:
    """Values as they were typed, one a line: JSON, or the text itself.

    Raises:
        ValueError: there is none.
    """
    found = [_typed(line.strip()) for line in text.splitlines() if line.strip()]
    if not found:
        raise ValueError("Type at least one value to try, one a line, as JSON or as plain text.")
    return found


def _typed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
