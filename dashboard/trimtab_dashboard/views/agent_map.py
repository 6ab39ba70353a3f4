"""The agent as it ran: lines and tools as nodes, and what came next in the run as edges.

In: a map as ``/v1/map`` gives it. Out: a graph in Graphviz's language, which the browser draws, and the same as rows.
Names come from agents and models: in the graph they are labels and nothing else (:func:`label`). A kind of node is told
by its shape, a way that often fails by its dashes; line widths follow the logarithm of how often a way was taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import log2
from typing import Any, Final, NamedTuple

from .. import theme
from . import words

MOST = (20, 40, 80, 160)
"""Ways that can be asked for."""
MUCH = 0.1
"""Share of failures above which a way is drawn as a bad one."""
NAME = 40
"""Characters of a name on a node."""
_SPACES = re.compile(r"\s+")


class Look(NamedTuple):
    """Colours of a graph."""

    text: str
    line: str
    site: str
    tool: str
    end: str


LIGHT: Final = Look("#1c2126", "#5f6971", "#e3eef7", "#e2f3ed", "#f3f4f6")
DARK: Final = Look("#e6e8ea", "#9aa3ab", "#17334a", "#123a30", "#1e2328")
_BORDERS: Final = {"site": theme.GOOD, "tool": theme.TOOL, "start": theme.IDLE, "end": theme.IDLE}


def label(*lines: str) -> str:
    """A quoted label that shows exactly these lines: no escape, no entity, no markup of Graphviz counts in it."""
    plain = [_SPACES.sub(" ", words.visible(line)).strip() for line in lines]
    escaped = [line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;") for line in plain]
    return '"' + "\\n".join(escaped) + '"'


def dot(found: Any, *, is_dark: bool = False) -> str:
    """The graph."""
    look = DARK if is_dark else LIGHT
    named = names(found)
    ids = {key: f"n{i}" for i, key in enumerate(named)}
    nodes = {(node["kind"], node["name"]): node for node in found["nodes"]}
    font = f'fontname="Helvetica,Arial,sans-serif", fontcolor="{look.text}"'
    lines = [
        'digraph agent { bgcolor="transparent"; rankdir="TB"; nodesep=0.25; ranksep=0.5;',
        f'node [{font}, fontsize=14, style="filled", penwidth=1.6, margin="0.12,0.06"];',
        f'edge [{font}, fontsize=12, color="{look.line}", arrowsize=0.7];',
    ]
    for key, node_id in ids.items():
        kind = key[0]
        fill = {"site": look.site, "tool": look.tool}.get(kind, look.end)
        shown = label(*_node_lines(named[key], nodes.get(key)))
        shape = f'shape="{"box" if kind in ("site", "tool") else "ellipse"}"'
        round_ = ', style="filled,rounded"' if kind == "tool" else ""
        lines.append(f'{node_id} [label={shown}, {shape}{round_}, color="{_BORDERS[kind]}", fillcolor="{fill}"];')
    most = max((edge["times"] for edge in found["edges"]), default=1)
    for edge in found["edges"]:
        ends = [ids[edge[f"{end}_kind"], edge[f"{end}_name"]] for end in ("from", "to")]
        width = 0.8 + 3.2 * log2(1 + edge["times"]) / log2(1 + most)
        broken = f', color="{theme.BAD}", style="dashed"' if edge["failed"] > MUCH * edge["times"] else ""
        lines.append(f"{ends[0]} -> {ends[1]} [label={label(*said(edge))}, penwidth={width:.2f}{broken}];")
    return "\n".join([*lines, "}"])


def names(found: Any) -> dict[tuple[str, str], str]:
    """What each node is called, in the order in which the edges name them."""
    places = {site["site_id"]: site for site in found["sites"]}
    named: dict[tuple[str, str], str] = {}
    for edge in found["edges"]:
        for end in ("from", "to"):
            key = (edge[f"{end}_kind"], edge[f"{end}_name"])
            named.setdefault(key, _name(key, places))
    return named


def _name(key: tuple[str, str], places: Mapping[str, Any]) -> str:
    kind, name = key
    if kind == "site":
        return words.place(places.get(name))
    return f"tool {name}" if kind == "tool" else f"{kind} of the run"


def _node_lines(name: str, node: Any) -> list[str]:
    if node is None:
        return [name.removesuffix(" of the run")]
    cost = f" · {words.usd(node['cost_musd'])}" if node["kind"] == "site" else ""
    failed = [f"{node['failed']:,} failed"] if node["failed"] else []
    short = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
    return [short, f"{words.count(node['times'], 'call')}{cost}", *failed]


def said(edge: Any) -> list[str]:
    """``120 · $0.02`` and ``3 failed``: how often, what it cost, how often what it leads to failed."""
    cost = f" · {words.usd(edge['cost_musd'])}" if edge["to_kind"] == "site" else ""
    return [f"{edge['times']:,}{cost}", *([f"{edge['failed']:,} failed"] if edge["failed"] else [])]


def table(found: Any) -> list[dict[str, Any]]:
    """The ways as rows, the most travelled first."""
    named = names(found)
    return [
        {
            "From": words.kept(named[edge["from_kind"], edge["from_name"]], 120),
            "To": words.kept(named[edge["to_kind"], edge["to_name"]], 120),
            "Times": edge["times"],
            "Runs": edge["runs"],
            "Failed": words.share_of(edge["failed"], edge["times"]) if edge["failed"] else "",
            "Cost": words.cost_of(edge["cost_musd"], edge["unpriced"], edge["times"])
            if edge["to_kind"] == "site"
            else "",
        }
        for edge in found["edges"]
    ]


def lines(found: Any) -> dict[str, str]:
    """Ids of the lines on the map by their names."""
    shown = {words.kept(name, 120): key[1] for key, name in names(found).items() if key[0] == "site"}
    return dict(sorted(shown.items()))


def left_out(found: Any) -> str:
    """How much of what happened is not on the map; empty where all is."""
    shown = sum(edge["times"] for edge in found["edges"])
    if shown == found["times_total"]:
        return ""
    ways = words.count(found["edges_total"] - len(found["edges"]), "rarer way")
    steps = found["times_total"] - shown
    share = words.share(steps, found["times_total"])
    left = f"{ways} with {words.count(steps, 'step')} ({share} of all) are left out"
    return f"{left}; so numbers on a node may exceed those that lead to it."


def alt(found: Any) -> str:
    """What the picture shows, for those who do not see it."""
    first: Sequence[Any] = table(found)[:5]
    ways = "; ".join(f"{row['From']} to {row['To']}, {row['Times']:,} times" for row in first)
    return f"The most travelled ways of runs: {ways}. The table below has all."
