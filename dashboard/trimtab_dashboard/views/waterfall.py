"""One run as a waterfall: calls with their attempts, the waits between them, and the tools, on one axis of time.

In: a run as ``/v1/runs/{id}`` gives it. Out: lines, one per call or tool in the order in which they began, and a
Vega-Lite specification that draws them. What a mark means is told by its form and its sign before its colour: an
attempt is a thick bar, a failed one carries a cross, a wait is a dashed line, a tool is a thin bar and a hollow one if
its time is only an upper bound, the first token of a stream is a tick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import theme
from . import words

ROWS = 60
"""Lines of one chart: more are paged."""
ROW_PX = 26
LABEL = 80
"""Characters of a line's label."""
INDENT = "\u2003"
"""One step to the right; a blank of this kind is not taken away."""

ANSWERED, FAILED, LEFT = "answered", "failed", "left before its end"
WAITED, TOOL, TOOL_FAILED, BOUND = "waited", "tool ran", "tool failed", "tool, at most this long"
AGENT = "an agent within the run"
_COLOURS = {
    ANSWERED: theme.GOOD,
    FAILED: theme.BAD,
    LEFT: theme.CUT,
    WAITED: theme.IDLE,
    TOOL: theme.TOOL,
    TOOL_FAILED: theme.BAD,
    BOUND: theme.TOOL,
    AGENT: theme.IDLE,
}
_STATES = {"complete": ANSWERED, "error": FAILED, "abandoned": LEFT}
_SIGNS = {FAILED: "✕", LEFT: "⊘", TOOL_FAILED: "✕"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of time on a line."""

    form: str
    """``attempt | wait | tool | bound | agent``."""
    state: str
    from_ns: int
    to_ns: int
    tip: str
    first_token_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One call, or one tool call."""

    label: str
    call_id: str | None
    """The call, or the one that asked for the tool."""
    marks: tuple[Mark, ...]

    def indented(self, depth: int) -> Line:
        """The same, so many steps further in."""
        return replace(self, label=f"{INDENT * depth}{self.label}")

    @property
    def starts_ns(self) -> int:
        """When its first mark begins."""
        return self.marks[0].from_ns


def lines(detail: Any) -> list[Line]:
    """A run's calls and tools in the order in which they began, numbered."""
    sites = {site["site_id"]: site for site in detail["sites"]}
    attempts: dict[str, list[Any]] = {}
    for attempt in detail["attempts"]:
        attempts.setdefault(attempt["call_id"], []).append(attempt)
    numbers = {call["call_id"]: i for i, call in enumerate(detail["calls"], start=1)}
    found = [
        _call_line(call, numbers[call["call_id"]], attempts[call["call_id"]], sites.get(call["site_id"]))
        for call in detail["calls"]
        if call["call_id"] in attempts
    ]
    per_call: dict[str | None, int] = {}
    for tool in detail["tool_calls"]:
        per_call[tool["call_id"]] = per_call.get(tool["call_id"], 0) + 1
        if tool["started_ns"] is not None and tool["ended_ns"] is not None:
            found.append(_tool_line(tool, numbers.get(tool["call_id"]), per_call[tool["call_id"]]))
    return _nested(sorted(found, key=lambda line: line.starts_ns), _agents(detail))


def _agents(detail: Any) -> dict[str | None, str]:
    """The agent of each call that is not the first one's: by its name where anything says it, else its conversation."""
    known = detail.get("agents") or {}
    named = {c["call_id"]: known.get(c["call_id"]) or c.get("conversation_id") for c in detail["calls"]}
    order = list(dict.fromkeys(agent for agent in named.values() if agent is not None))
    names = {agent: agent if agent in known.values() else f"conversation {n}" for n, agent in enumerate(order, 1)}
    return {call: names[agent] for call, agent in named.items() if agent is not None and agent != order[0]}


def _nested(found: Sequence[Line], agents: Mapping[str | None, str]) -> list[Line]:
    """Lines in the order in which they began; those of an agent within the run together, indented below its own bar.

    An agent whose whole time lies within another's is one step further in. A conversation that nobody named is an agent
    of its own: its calls do not go on from those of the others.
    """
    groups: dict[str, list[Line]] = {}
    for line in found:
        if (agent := agents.get(line.call_id)) is not None:
            groups.setdefault(agent, []).append(line)
    bars = {agent: _bar(agent, own) for agent, own in groups.items()}
    shown: list[Line] = []
    for line in found:
        agent = agents.get(line.call_id)
        if agent is None:
            shown.append(line)
        elif line is groups[agent][0]:
            depth = 1 + sum(_is_within(bars[agent], other) for name, other in bars.items() if name != agent)
            shown.append(bars[agent].indented(depth - 1))
            shown += [each.indented(depth) for each in groups[agent]]
    return shown


def _bar(agent: str, own: Sequence[Line]) -> Line:
    from_ns, to_ns = own[0].starts_ns, max(mark.to_ns for line in own for mark in line.marks)
    name = words.kept(agent, 40)
    tip = f"{name}: {words.count(len(own), 'line')} below, {words.duration(to_ns - from_ns)}"
    return Line(f"▸ {name}", None, (Mark("agent", AGENT, from_ns, to_ns, tip),))


def _is_within(one: Line, other: Line) -> bool:
    a, b = one.marks[0], other.marks[0]
    return b.from_ns <= a.from_ns and a.to_ns <= b.to_ns and (a.from_ns, a.to_ns) != (b.from_ns, b.to_ns)


def _call_line(call: Any, number: int, attempts: Sequence[Any], site: Any | None) -> Line:
    attempts = sorted(attempts, key=lambda a: (a["started_ns"], a["number"]))
    marks: list[Mark] = []
    for attempt in attempts:
        if marks and attempt["started_ns"] > marks[-1].to_ns:
            marks.append(_wait(marks[-1].to_ns, attempt["started_ns"]))
        marks.append(_attempt(attempt, len(attempts)))
    where = f" · {site['function']}:{site['line']}" if site and site["line"] > 0 else ""
    label = words.kept(f"{number}  {call['model'] or call['api']}{where}", LABEL)
    return Line(label, call["call_id"], tuple(marks))


def _attempt(attempt: Any, of: int) -> Mark:
    state = _STATES.get(attempt["end"], FAILED)
    said = [f"attempt {attempt['number']} of {of}: {state}"]
    if attempt["http_status"] is not None:
        said.append(f"status {attempt['http_status']}")
    if attempt["error_class"]:
        said.append(attempt["error_class"].replace("_", " "))
    said.append(words.duration(attempt["ended_ns"] - attempt["started_ns"]))
    first = attempt["ttft_ns"] if attempt["stream"] else None
    if first is not None:
        said.append(f"first token after {words.duration(first)}")
    if attempt["finish_reason"]:
        said.append(f"finish reason {attempt['finish_reason']}")
    ends_ns = attempt["ended_ns"]
    start = attempt["started_ns"]
    return Mark("attempt", state, start, ends_ns, ", ".join(said), None if first is None else start + first)


def _wait(from_ns: int, to_ns: int) -> Mark:
    return Mark("wait", WAITED, from_ns, to_ns, f"waited {words.duration(to_ns - from_ns)} before the next attempt")


def _tool_line(tool: Any, number: int | None, nth: int) -> Line:
    is_bound = tool["is_upper_bound"]
    state = TOOL_FAILED if tool["status"] == "error" else BOUND if is_bound else TOOL
    took = words.duration(tool["ended_ns"] - tool["started_ns"])
    said = f"{tool['name']}: {tool['status']}, {'at most ' if is_bound else ''}{took}"
    mark = Mark("bound" if is_bound else "tool", state, tool["started_ns"], tool["ended_ns"], said)
    prefix = f"{number}.{nth}" if number else f"tool {nth}"
    return Line(words.kept(f"{prefix}  ↳ {tool['name']}", LABEL), tool["call_id"], (mark,))


def spec(shown: Sequence[Line], zero_ns: int, chosen: str | None = None) -> dict[str, Any]:
    """Vega-Lite for these lines; time counts from ``zero_ns``, and the line of the call ``chosen`` stands out."""
    values = _values(shown, zero_ns)
    here = [state for state in _COLOURS if any(value["state"] == state for value in values)]
    rows = {"field": "line", "type": "nominal", "title": None, "sort": [line.label for line in shown]}
    room_px = min(260, 7 * max((len(line.label) for line in shown), default=0))
    axis = {"labelLimit": room_px, "labelAlign": "left", "labelPadding": room_px, "ticks": False, "domain": False}
    tip = [{"field": "line", "title": "call"}, {"field": "tip", "title": "what happened"}]
    colour = {
        "field": "state",
        "title": None,
        "scale": {"domain": here, "range": [_COLOURS[state] for state in here]},
        "legend": {"orient": "top", "labelLimit": 300, "columns": 4},
    }
    is_chosen = "true" if chosen is None else f"datum.call_id === {json.dumps(chosen)}"
    faded = {"condition": {"test": is_chosen, "value": 1}, "value": 0.35}
    span = {
        "y": {**rows, "axis": axis},
        "x": {"field": "from", "type": "quantitative", "title": "seconds since the run began"},
        "x2": {"field": "to"},
        "color": colour,
        "opacity": faded,
        "tooltip": tip,
    }
    return {
        "data": {"values": values},
        "height": {"step": ROW_PX},
        "config": theme.QUIET_MARKS,
        "layer": [
            *_bars(span, colour),
            {
                "transform": [{"filter": "datum.first !== null"}],
                "mark": {"type": "tick", "thickness": 2, "height": 16, "color": "white"},
                "encoding": {"y": rows, "x": {"field": "first", "type": "quantitative"}, "tooltip": tip},
            },
            # A sign on a badge of its colour: a bar may be narrower than its sign.
            _sign(rows, tip, {"strokeWidth": 7, "strokeJoin": "round"}, {"stroke": {**colour, "legend": None}}),
            _sign(rows, tip, {"color": "white"}, {}),
        ],
    }


def _values(shown: Sequence[Line], zero_ns: int) -> list[dict[str, Any]]:
    """A row of data per mark."""
    return [
        {
            "line": line.label,
            "call_id": line.call_id,
            "form": mark.form,
            "state": mark.state,
            "sign": _SIGNS.get(mark.state, ""),
            "from": (mark.from_ns - zero_ns) / 1e9,
            "to": (mark.to_ns - zero_ns) / 1e9,
            "middle": ((mark.from_ns + mark.to_ns) / 2 - zero_ns) / 1e9,
            "first": None if mark.first_token_ns is None else (mark.first_token_ns - zero_ns) / 1e9,
            "tip": mark.tip,
        }
        for line in shown
        for mark in line.marks
    ]


def _bars(span: dict[str, Any], colour: dict[str, Any]) -> list[dict[str, Any]]:
    """A layer for each form of mark."""
    return [
        {
            "transform": [{"filter": "datum.form === 'wait'"}],
            "mark": {"type": "rule", "strokeDash": [4, 3], "strokeWidth": 2},
            "encoding": span,
        },
        {
            "params": [{"name": "pick", "select": {"type": "point", "fields": ["call_id"]}}],
            "transform": [{"filter": "datum.form === 'attempt'"}],
            "mark": {"type": "bar", "height": 16, "cornerRadius": 2, "minBandSize": 3, "cursor": "pointer"},
            "encoding": span,
        },
        {
            "transform": [{"filter": "datum.form === 'tool'"}],
            "mark": {"type": "bar", "height": 7, "minBandSize": 3},
            "encoding": span,
        },
        {
            "transform": [{"filter": "datum.form === 'agent'"}],
            "mark": {"type": "bar", "height": 3, "minBandSize": 3},
            "encoding": span,
        },
        {
            "transform": [{"filter": "datum.form === 'bound'"}],
            "mark": {"type": "bar", "height": 7, "fillOpacity": 0.12, "strokeWidth": 1.5, "strokeDash": [3, 2]},
            "encoding": {**span, "stroke": {**colour, "legend": None}},
        },
    ]


def _sign(
    rows: dict[str, Any], tip: list[dict[str, str]], look: dict[str, Any], encoding: dict[str, Any]
) -> dict[str, Any]:
    """A layer with the signs of what went wrong, in the middle of their bars."""
    return {
        "transform": [{"filter": "datum.sign !== ''"}],
        "mark": {"type": "text", "fontSize": 11, "fontWeight": "bold", **look},
        "encoding": {
            "y": rows,
            "x": {"field": "middle", "type": "quantitative"},
            "text": {"field": "sign"},
            "tooltip": tip,
            **encoding,
        },
    }
