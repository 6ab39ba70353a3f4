"""The benchmark's rows as a picture: requests during each outage, by policy. Plain SVG, so that nothing is needed."""

from __future__ import annotations

import math
from typing import Any

WIDTH, LEFT, BAR, GAP = 420, 260, 14, 26


def as_svg(rows: list[dict[str, Any]]) -> str:
    """Bars on a logarithmic scale, as many as there are scenarios with an outage and policies."""
    shown = [row for row in rows if row["requests_in_outage"]]
    most = math.log10(max(row["requests_in_outage"] for row in shown))
    parts, y, before = list[str](), 30, ""
    for row in shown:
        if row["scenario"] != before:
            y += GAP
            parts.append(f'<text x="4" y="{y - 6}" font-weight="bold">{row["scenario"]}</text>')
            before = row["scenario"]
        length = WIDTH * math.log10(max(1.0, row["requests_in_outage"])) / most
        color = "#2a6f97" if row["policy"].startswith("trimtab") else "#b0b7bd"
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{row["policy"]}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{row["requests_in_outage"]}</text>',
        ]
        y += BAR + 4
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{y + 10}" '
    title = '<text x="4" y="18">Requests sent during an outage (synthetic, logarithmic)</text>'
    return "\n".join([head + 'font-family="sans-serif" font-size="12">', title, *parts, "</svg>", ""])
