"""One line of code over time: its calls by how they ended, the share that failed, and what they cost.

In: the steps of a line as ``/v1/harness`` gives them. Out: a Vega-Lite specification each, with n, interval and range.
"""

from __future__ import annotations

from typing import Any

from trimtab_analyzer.statistics import wilson

from .. import theme
from . import words
from .harness import trend_note
from .series import Chart, tick_step_ms

HEIGHT_PX = 220


def charts(row: Any, step_ns: int) -> list[Chart]:
    """Calls, failures and money over time."""
    note = trend_note(row, step_ns)
    unpriced = (
        f" {row['attempts_unpriced']:,} requests of unknown cost are not in it." if row["attempts_unpriced"] else ""
    )
    return [
        Chart(
            "Calls",
            _calls(row, step_ns),
            f"{note} A count: it has no interval.",
            f"Calls over time by how they ended. {note}",
        ),
        Chart(
            "Share of calls that failed",
            _failed(row, step_ns),
            f"{note} Lines: 95 % intervals.",
            f"Share of failed calls over time. {note}",
        ),
        Chart(
            "Cost", _cost(row, step_ns), f"{note} A sum: it has no interval.{unpriced}", f"Known cost over time. {note}"
        ),
    ]


def _x(row: Any, step_ns: int) -> dict[str, Any]:
    span_ns = row["last_ns"] - row["first_ns"]
    day_ns = 86_400 * 10**9
    form = "%H:%M" if span_ns <= day_ns else "%d %b %H:%M" if step_ns < day_ns and span_ns < 4 * day_ns else "%d %b"
    axis = {"format": form, "labelOverlap": True, "tickCount": 4, "tickMinStep": tick_step_ms(form)}
    return {"field": "at", "type": "temporal", "scale": {"type": "utc"}, "title": None, "axis": axis}


def _at(step: Any, step_ns: int) -> dict[str, Any]:
    at = step["at_ns"]
    return {"at": at / 1e6, "middle": (at + step_ns / 2) / 1e6, "to": (at + step_ns) / 1e6, "when": words.when(at)}


def _spec(values: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    return {"data": {"values": values}, "height": HEIGHT_PX, "config": theme.QUIET_MARKS, **rest}


def _bars(values: list[dict[str, Any]], x: dict[str, Any], title: str, colour: dict[str, Any]) -> dict[str, Any]:
    return _spec(
        values,
        mark={"type": "rect", "stroke": "#8b929888", "strokeWidth": 0.5},
        encoding={
            "x": x,
            "x2": {"field": "to"},
            "y": {"field": "y0", "type": "quantitative", "title": title, "axis": {"tickCount": 4}},
            "y2": {"field": "y1"},
            "color": colour,
            "tooltip": [{"field": "when", "title": "from (UTC)"}, {"field": "said", "title": title}],
        },
    )


def _calls(row: Any, step_ns: int) -> dict[str, Any]:
    values = []
    for step in row["trend"]:
        good = step["calls"] - step["failed_calls"]
        for part, low, high in (("answered", 0, good), ("failed", good, step["calls"])):
            if high > low:
                values.append(
                    _at(step, step_ns) | {"part": part, "y0": low, "y1": high, "said": f"{high - low:,} {part}"}
                )
    scale = {"domain": ["answered", "failed"], "range": [theme.GOOD, theme.BAD]}
    colour = {"field": "part", "title": None, "scale": scale, "legend": {"orient": "top", "offset": 2}}
    return _bars(values, _x(row, step_ns), "calls", colour)


def _cost(row: Any, step_ns: int) -> dict[str, Any]:
    values = [
        _at(step, step_ns) | {"y0": 0, "y1": step["cost_musd"] / 1e6, "said": words.usd_fine(step["cost_musd"])}
        for step in row["trend"]
    ]
    return _bars(values, _x(row, step_ns), "known cost (USD)", {"value": theme.GOOD})


def _failed(row: Any, step_ns: int) -> dict[str, Any]:
    values = []
    for step in row["trend"]:
        bounds = wilson(step["failed_calls"], step["calls"])
        said = words.share_of(step["failed_calls"], step["calls"])
        share = 100 * step["failed_calls"] / step["calls"]
        values.append(
            _at(step, step_ns) | {"y": share, "low": 100 * bounds.low, "high": 100 * bounds.high, "said": said}
        )
    x = {**_x(row, step_ns), "field": "middle"}
    y = {
        "field": "y",
        "type": "quantitative",
        "title": "failed (%)",
        "scale": {"domain": [0, 100]},
        "axis": {"tickCount": 4},
    }
    tip = [{"field": "when", "title": "from (UTC)"}, {"field": "said", "title": "failed"}]
    bar = {
        "mark": {"type": "rule", "color": theme.IDLE, "strokeWidth": 2},
        "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
    }
    point = {
        "mark": {"type": "point", "filled": True, "size": 50, "color": theme.BAD, "opacity": 1},
        "encoding": {"y": y},
    }
    return _spec(values, encoding={"x": x, "tooltip": tip}, layer=[bar, point])
