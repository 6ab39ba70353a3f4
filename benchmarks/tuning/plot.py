"""The table of a summary as a chart: bars of what was captured, with intervals, as SVG.

In: a summary. Out: an SVG text. Drawn by hand because a chart of bars needs no library.
"""

from __future__ import annotations

from html import escape
from typing import Any

WIDTH, ROW, LEFT = 720, 22, 230


def bars(summary: dict[str, Any], title: str) -> str:
    """Captured per policy, best first; values below -1 are cut there."""
    rows = [(name, one["captured"]) for name, one in summary.items() if one["captured"]["mean"] is not None]
    rows.sort(key=lambda row: -row[1]["mean"])
    low, high = -1.0, max(1.1, *(one["high"] for _, one in rows))

    def x(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - 60)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{ROW * (len(rows) + 3)}" '
        'font-family="sans-serif" font-size="12">',
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for at, (name, one) in enumerate(rows):
        y = ROW * (at + 2)
        start, end = sorted((x(0.0), x(one["mean"])))
        colour = "#1f6f8b" if name.startswith("trimtab") else "#b8c4cc"
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        lines.append(
            f'<rect x="{start:.1f}" y="{y - 7}" width="{max(end - start, 1):.1f}" height="14" fill="{colour}"/>'
        )
        lines.append(f'<path d="M{x(one["low"]):.1f} {y}H{x(one["high"]):.1f}" stroke="#222"/>')
        lines.append(f'<text x="{x(max(one["high"], 0.0)) + 6:.1f}" y="{y + 4}">{one["mean"]:.2f}</text>')
    foot = ROW * (len(rows) + 2)
    for mark, label in ((0.0, "random"), (1.0, "best single")):
        lines.append(f'<path d="M{x(mark):.1f} 28V{foot - 10}" stroke="#666" stroke-dasharray="3 3"/>')
        lines.append(f'<text x="{x(mark):.1f}" y="{foot + 6}" text-anchor="middle" fill="#444">{label}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
