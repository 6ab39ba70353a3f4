"""Charts that several pages draw: shares with their intervals, and one thing over time.

In: rows that are plain numbers and texts. Out: Vega-Lite specifications. A mean is a point and its 95 % interval a
line, so that the two are told apart by form; a group has a colour and a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import theme

ROW_PX = 26
COLOURS = (theme.GOOD, theme.BAD, theme.TOOL, theme.CUT, "#e69f00", "#56b4e9")
"""Of groups, as far as there are so many; then they begin again, and the shape tells."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
LABEL_PX = 220


def intervals(
    rows: Sequence[Any],
    *,
    title: str,
    domain: tuple[float, float] | None = None,
    by: str | None = None,
    at: float | None = None,
    pick: str | None = None,
) -> dict[str, Any]:
    """A line per row: its ``value`` as a point between ``low`` and ``high``, which may be None.

    Args:
        rows: With ``name``, ``value``, ``low``, ``high``, ``said`` (of a tip), and ``group`` where ``by`` is set.
        title: Of the axis.
        domain: Of the axis; as the data needs it if None.
        by: What groups are, for the legend; None for one group.
        at: Where a line is drawn that all are read against.
        pick: Field that a click on a point gives.
    """
    groups = list(dict.fromkeys(row["group"] for row in rows)) if by else []
    scale: dict[str, Any] = {"zero": False, "nice": True} if domain is None else {"domain": list(domain)}
    y = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "sort": list(dict.fromkeys(row["name"] for row in rows)),
        "axis": {"labelLimit": LABEL_PX, "ticks": False, "domain": False, "grid": True, "labelFlush": False},
    }
    x = {"type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 5}}
    marked: dict[str, Any] = {"tooltip": [{"field": "name"}, {"field": "said", "title": title}]}
    shape: dict[str, Any] = {}
    colour: dict[str, Any] = {"value": theme.GOOD}
    if by:
        n = range(len(groups))
        look = [(COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i in n]
        legend = {"orient": "top", "title": None, "labelLimit": LABEL_PX, "columns": 3}
        colour = {"field": "group", "scale": {"domain": groups, "range": [c for c, _ in look]}, "legend": legend}
        shape = {
            "shape": {"field": "group", "scale": {"domain": groups, "range": [s for _, s in look]}, "legend": legend}
        }
        marked["yOffset"] = {"field": "group", "sort": groups}
    rule = {
        "mark": {"type": "rule", "strokeWidth": 2.5, "opacity": 1},
        "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": colour, **marked},
    }
    point: dict[str, Any] = {
        "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
        "encoding": {"y": y, "x": {**x, "field": "value"}, "color": colour, **shape, **marked},
    }
    if pick:
        point["params"] = [{"name": "pick", "select": {"type": "point", "fields": [pick]}}]
        point["mark"]["cursor"] = "pointer"
    layers = [rule, point]
    if at is not None:
        layers.insert(
            0,
            {
                "data": {"values": [{"at": at}]},
                "mark": {"type": "rule", "strokeDash": [5, 4], "color": theme.IDLE},
                "encoding": {"x": {"field": "at", "type": "quantitative"}},
            },
        )
    return {
        "data": {"values": list(rows)},
        "height": {"step": ROW_PX if not by else max(18, 46 // max(1, len(groups)))},
        "config": theme.QUIET_MARKS,
        "layer": layers,
    }
