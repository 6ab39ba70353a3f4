"""What runs came to over time: the stretches of a report, and two charts of them without a script.

In: the runs of a report with their outcomes, and the ledger. Out: :class:`~.model.Stretch` objects, and SVG for the
page. A chart holds numbers and times alone, so nothing of what an agent wrote can get into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from . import words
from .model import Stretch

BINS: Final = 40
"""Stretches, at most."""
WIDTHS_NS: Final = tuple(
    minutes * 60 * 10**9 for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 24 * 60, 7 * 24 * 60, 28 * 24 * 60)
)
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 480, 150, 54, 22, 8
USEFUL: Final = ("useful", "unknown")
"""Classes of the ledger that are no waste."""


def stretches(
    rows: Sequence[Mapping[str, Any]], outcomes: Mapping[str, Any], ledger: pl.DataFrame
) -> tuple[int, tuple[Stretch, ...]]:
    """The width of a stretch in nanoseconds, and those in which a run began, the first first."""
    if not rows:
        return WIDTHS_NS[0], ()
    first, last = (pick(row["started_ns"] for row in rows) for pick in (min, max))
    width = next((w for w in WIDTHS_NS if last // w - first // w < BINS), WIDTHS_NS[-1])
    wasted = dict(
        ledger.filter(~pl.col("cls").is_in(list(USEFUL))).group_by("run_id").agg(pl.col("cost_musd").sum()).iter_rows()
    )
    bins: dict[int, dict[str, int]] = {}
    for row in rows:
        found, outcome = bins.setdefault(row["started_ns"] // width * width, {}), outcomes[row["run_id"]]
        counted = {
            "runs": 1,
            "failed_runs": int(outcome["failed"]),
            "succeeded_runs": int(outcome["success"] is True),
            "cost_musd": row["cost_musd"],
            "wasted_musd": wasted.get(row["run_id"], 0),
        }
        for name, n in counted.items():
            found[name] = found.get(name, 0) + n
    return width, tuple(Stretch(at_ns=at, **bins[at]) for at in sorted(bins))


def runs_svg(series: Sequence[Stretch], width_ns: int) -> str:
    """Runs by result over time, one upon the other."""
    parts: tuple[tuple[str, Callable[[Stretch], float]], ...] = (
        ("useful", lambda one: one.succeeded_runs),
        ("waste", lambda one: one.failed_runs),
        ("unknown", lambda one: one.runs - one.succeeded_runs - one.failed_runs),
    )
    return _svg(series, width_ns, parts, lambda n: f"{n:,.0f}", "Runs over time: succeeded, failed, not judged")


def cost_svg(series: Sequence[Stretch], width_ns: int) -> str:
    """Known cost over time, useful and wasted."""
    parts: tuple[tuple[str, Callable[[Stretch], float]], ...] = (
        ("useful", lambda one: one.cost_musd - one.wasted_musd),
        ("waste", lambda one: one.wasted_musd),
    )
    return _svg(series, width_ns, parts, lambda musd: words.usd(round(musd)), "Known cost over time: useful, wasted")


def _svg(
    series: Sequence[Stretch],
    width_ns: int,
    parts: Iterable[tuple[str, Callable[[Stretch], float]]],
    shown: Callable[[float], str],
    label: str,
) -> str:
    first, last = series[0].at_ns, series[-1].at_ns + width_ns
    most = max(sum(of(one) for _, of in parts) for one in series) or 1
    across, up = WIDTH - LEFT, HEIGHT - BOTTOM - TOP

    def x(ns: int) -> float:
        return LEFT + across * (ns - first) / (last - first)

    def y(value: float) -> float:
        return TOP + up * (1 - value / most)

    drawn = [
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(at):.1f}" y2="{y(at):.1f}" class="grid"/>'
        f'<text x="{LEFT - 6}" y="{y(at) + 4:.1f}" class="n">{shown(at)}</text>'
        for at in (0, most / 2, most)
    ]
    for one in series:
        low = 0.0
        for cls, of in parts:
            if (value := of(one)) > 0:
                left, wide = x(one.at_ns), max(x(one.at_ns + width_ns) - x(one.at_ns) - 0.5, 0.5)
                top, tall = y(low + value), y(low) - y(low + value)
                said = f"<title>{words.when(one.at_ns)} UTC: {shown(value)}</title>"
                place = f'x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
                drawn.append(f'<rect {place} class="{cls}">{said}</rect>')
                low += value
    form = "%H:%M" if last - first <= 86_400 * 10**9 else "%Y-%m-%d"
    for ns, anchor in ((first, "start"), (last, "end")):
        said = datetime.fromtimestamp(ns / 1e9, UTC).strftime(form)
        drawn.append(f'<text x="{x(ns):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{said}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" class="chart">{"".join(drawn)}</svg>'
