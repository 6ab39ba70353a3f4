"""What runs came to over time, as charts.

In: the stretches of ``/v1/overview``. Out: Vega-Lite specifications, and for each chart a sentence with n, interval and
time range. A stretch that is clicked is named by its beginning, so that its runs can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from trimtab_analyzer.statistics import wilson

from .. import theme
from . import words

HEIGHT_PX = 200
_LINES = {"orient": "top", "symbolType": "stroke", "labelLimit": 300}
PICK = {"name": "pick", "select": {"type": "point", "fields": ["at"]}}
_UNITS = ((86_400 * 10**9, "day"), (3600 * 10**9, "hour"), (60 * 10**9, "minute"))


class Chart(NamedTuple):
    """A chart with what it needs to be trusted."""

    title: str
    spec: dict[str, Any]
    note: str
    alt: str


def charts(found: Any) -> list[Chart]:
    """Success, cost and waste, latency, and runs over time."""
    rows, bin_ns = found["series"], found["bin_ns"]
    range_ = f"{words.period(found['totals']['first_ns'], found['totals']['last_ns'])}, by {stretch(bin_ns)}"
    return [_success(rows, bin_ns, range_), _cost(rows, bin_ns, range_), _latency(rows, bin_ns, range_),
            _runs(rows, bin_ns, range_)]  # fmt: skip


def stretch(bin_ns: int) -> str:
    """``hour``, ``6 hours``."""
    unit_ns, name = next((u for u in _UNITS if bin_ns % u[0] == 0), _UNITS[-1])
    n = bin_ns // unit_ns
    return name if n == 1 else f"{n} {name}s"


def ends(at_ms: float, bin_ns: int) -> dict[str, str]:
    """The part of an address that chooses the runs of the stretch that begins then."""
    begin = datetime.fromtimestamp(at_ms / 1e3, UTC)
    end = datetime.fromtimestamp(at_ms / 1e3 + bin_ns / 1e9, UTC)
    return {"from": f"{begin:%Y-%m-%dT%H:%M}", "to": f"{end:%Y-%m-%dT%H:%M}"}


def _x(rows: Sequence[Any], bin_ns: int) -> dict[str, Any]:
    spanned_ns = (rows[-1]["at_ns"] - rows[0]["at_ns"] if rows else 0) + bin_ns
    form = "%H:%M" if spanned_ns <= 86_400 * 10**9 else "%d %b %H:%M" if bin_ns < 86_400 * 10**9 else "%d %b"
    return {
        "field": "at",
        "type": "temporal",
        "scale": {"type": "utc"},
        "title": None,
        "axis": {"format": form, "labelOverlap": True, "tickCount": 5, "tickMinStep": tick_step_ms(form)},
    }


def tick_step_ms(form: str) -> int:
    """Least distance of two ticks with labels of the format ``form``, so that none says the same as its neighbour."""
    return 60_000 if "%M" in form else 86_400_000


def _bars(rows: Sequence[Any], values: list[dict[str, Any]], bin_ns: int, y: str, colours: dict[str, str]) -> Any:
    """Bars that are as wide as their stretch, one upon the other in the order of ``values``."""
    tops: dict[float, float] = {}
    for value in values:
        value["y0"] = tops.get(value["at"], 0.0)
        tops[value["at"]] = value["y1"] = value["y0"] + value["y"]
    here = [part for part in colours if any(value["part"] == part for value in values)]
    return {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "params": [PICK],
        "mark": {"type": "rect", "cursor": "pointer", "stroke": "#8b929888", "strokeWidth": 0.5},
        "encoding": {
            "x": _x(rows, bin_ns),
            "x2": {"field": "to"},
            "y": {"field": "y0", "type": "quantitative", "title": y, "axis": {"tickCount": 4}},
            "y2": {"field": "y1"},
            "color": {
                "field": "part",
                "title": None,
                "scale": {"domain": here, "range": [colours[part] for part in here]},
                "legend": {"orient": "top"},
            },
            "opacity": {"condition": {"param": "pick", "value": 1}, "value": 0.4},
            "tooltip": [{"field": "when", "title": "from (UTC)"}, {"field": "part"}, {"field": "said", "title": y}],
        },
    }


def _at(row: Any, bin_ns: int) -> dict[str, Any]:
    ns = row["at_ns"]
    return {"at": ns / 1e6, "to": (ns + bin_ns) / 1e6, "when": words.when(ns)}


def _runs(rows: Sequence[Any], bin_ns: int, range_: str) -> Chart:
    parts = {
        "succeeded": ("succeeded_runs", theme.GOOD),
        "failed": ("failed_runs", theme.BAD),
        "not judged": ("unjudged_runs", theme.IDLE),
        "still running": ("running", theme.CUT),
    }
    values = [
        _at(row, bin_ns) | {"part": part, "y": row[key], "said": f"{row[key]:,}"}
        for row in rows
        for part, (key, _) in parts.items()
        if row[key]
    ]
    colours = {part: colour for part, (_, colour) in parts.items()}
    n = sum(row["runs"] for row in rows)
    note = f"n = {words.count(n, 'run')}, {range_}."
    return Chart("Runs", _bars(rows, values, bin_ns, "runs", colours), note, f"Runs over time by result. {note}")


def _cost(rows: Sequence[Any], bin_ns: int, range_: str) -> Chart:
    values = []
    for row in rows:
        for part, musd in (("useful", row["cost_musd"] - row["wasted_musd"]), ("wasted", row["wasted_musd"])):
            if musd > 0:
                values.append(_at(row, bin_ns) | {"part": part, "y": musd / 1e6, "said": words.usd_fine(musd)})
    n, unpriced = sum(row["attempts"] for row in rows), sum(row["unpriced"] for row in rows)
    less = f", {unpriced:,} of them of unknown cost" if unpriced else ""
    note = f"n = {words.count(n, 'request')}{less}, {range_}. A sum: it has no interval."
    colours = {"useful": theme.GOOD, "wasted": theme.BAD}
    spec = _bars(rows, values, bin_ns, "known cost (USD)", colours)
    return Chart("Cost and waste", spec, note, f"Known cost over time, useful and wasted. {note}")


def _success(rows: Sequence[Any], bin_ns: int, range_: str) -> Chart:
    values = []
    for row in rows:
        judged = row["succeeded_runs"] + row["failed_runs"]
        if judged:
            low, high = _interval(row["succeeded_runs"], judged)
            share = 100 * row["succeeded_runs"] / judged
            said = f"{words.share_of(row['succeeded_runs'], judged)}"
            values.append(_at(row, bin_ns) | {"y": share, "low": low, "high": high, "said": said})
    x = _x(rows, bin_ns)
    y = {"field": "y", "type": "quantitative", "title": "success (%)", "scale": {"domain": [0, 100]},
         "axis": {"tickCount": 4}}  # fmt: skip
    tip = [{"field": "when", "title": "from (UTC)"}, {"field": "said", "title": "succeeded"}]
    n = sum(row["succeeded_runs"] + row["failed_runs"] for row in rows)
    note = f"n = {words.count(n, 'run')} with a known outcome, {range_}. Lines: 95 % intervals."
    spec = {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "encoding": {"x": x, "tooltip": tip},
        "layer": [
            {
                "mark": {"type": "rule", "color": theme.IDLE, "strokeWidth": 2},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "params": [PICK],
                "mark": {"type": "point", "filled": True, "size": 60, "color": theme.GOOD, "cursor": "pointer"},
                "encoding": {"y": y, "opacity": {"condition": {"param": "pick", "value": 1}, "value": 0.4}},
            },
        ],
    }
    return Chart("Success", spec, note, f"Share of runs that succeeded over time. {note}")


def _interval(k: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval in per cent."""
    found = wilson(k, n)
    return 100 * found.low, 100 * found.high


def _latency(rows: Sequence[Any], bin_ns: int, range_: str) -> Chart:
    names = {"half of the calls within": "p50_ns", "95 % of the calls within": "p95_ns"}
    values = [
        _at(row, bin_ns) | {"part": name, "y": row[key] / 1e9, "said": words.duration(row[key])}
        for row in rows
        for name, key in names.items()
        if row[key] is not None
    ]
    n = sum(row["calls"] for row in rows)
    note = f"n = {words.count(n, 'call')}, first request to last answer, {range_}. Quantiles of all calls: no interval."
    scale = {"domain": list(names), "range": [theme.GOOD, theme.BAD]}
    spec = {
        "data": {"values": values},
        "height": HEIGHT_PX,
        "config": theme.QUIET_MARKS,
        "params": [PICK],
        "mark": {"type": "line", "point": {"size": 50, "filled": True}, "cursor": "pointer"},
        "encoding": {
            "x": _x(rows, bin_ns),
            "y": {"field": "y", "type": "quantitative", "title": "seconds", "axis": {"tickCount": 4}},
            "color": {
                "field": "part",
                "title": None,
                "scale": scale,
                "legend": {"orient": "top", "symbolType": "stroke", "labelLimit": 300},
            },
            "strokeDash": {
                "field": "part",
                "scale": {"domain": list(names), "range": [[1, 0], [5, 3]]},
                "legend": None,
            },
            "tooltip": [
                {"field": "when", "title": "from (UTC)"},
                {"field": "part"},
                {"field": "said", "title": "time"},
            ],
        },
    }
    return Chart("Time of a call", spec, note, f"How long calls took over time. {note}")
