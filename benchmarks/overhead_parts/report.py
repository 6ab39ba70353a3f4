"""Figures as CSV, as Markdown tables and as a picture.

In: :class:`.figures.Figures` per subject and :class:`.figures.Target` lines. Out: text. The picture is a few SVG bars
written by hand: no plotting library is worth a dependency for them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from xml.sax.saxutils import escape

from .figures import Figures, Target
from .subjects import OURS, Subject

COLUMNS = (
    ("added, us", lambda f: f"{f.added_us:+.0f}"),
    ("x bare", lambda f: f"{f.ratio:.2f}"),
    ("p99 added, ms", lambda f: f"{f.p99_added_us / 1e3:+.2f}"),
    ("CPU added, us", lambda f: f"{f.cpu_added_us:+.0f}"),
    ("32 in flight, x bare", lambda f: f"{f.throughput:.2f}"),
    ("stream of 200 chunks, ms", lambda f: f"{f.stream_added_us / 1e3:+.2f}"),
    ("200 kB, x bare", lambda f: f"{f.large_ratio:.3f}"),
    ("sidecar's CPU, us", lambda f: "" if f.sidecar_us is None else f"{f.sidecar_us:.0f}"),
    ("and later, us", lambda f: "" if f.later_us is None else f"{f.later_us:.0f}"),
    ("start-up, ms", lambda f: "" if f.start_up_ms is None else f"{f.start_up_ms:.0f}"),
    ("memory, MiB", lambda f: "" if f.start_up_mib is None else f"{f.start_up_mib:.1f}"),
)


def as_csv(found: Mapping[Subject, Figures]) -> str:
    """One row per subject, every figure in full."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["subject", *(field.name for field in fields(Figures))])
    for subject, its in found.items():
        rows.writerow([subject.name, *("" if x is None else round(x, 4) for x in astuple(its))])
    return out.getvalue()


def as_table(found: Mapping[Subject, Figures]) -> str:
    """The figures as a Markdown table."""
    lines = ["| | " + " | ".join(name for name, _ in COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    lines += [f"| {s.name} | " + " | ".join(show(its) for _, show in COLUMNS) + " |" for s, its in found.items()]
    return "\n".join(lines)


def as_targets(targets: Sequence[Target]) -> str:
    """The promise as a Markdown table."""
    lines = ["| target | at most | measured | |", "|---|---:|---:|---|"]
    for t in targets:
        verdict = "met" if t.is_met else f"missed by {t.figure - t.at_most:.2g} {t.unit}"
        lines.append(f"| {t.what} | {t.at_most:g} {t.unit} | {t.figure:.2g} {t.unit} | {verdict} |")
    return "\n".join(lines)


def as_svg(found: Mapping[Subject, Figures]) -> str:
    """Two bars per subject: time and CPU added per call."""
    row, left, width = 46, 250, 420
    most = max(max(its.added_us, its.cpu_added_us, 1.0) for its in found.values())
    height = 56 + row * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{height}"'
        ' font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="20" font-weight="bold">Added to a call of 2 kB: time (dark), CPU of all threads (light),'
        " in us</text>",
    ]
    for number, (subject, its) in enumerate(found.items()):
        top = 36 + row * number
        dark, light = ("#0b6e4f", "#7cc6a4") if subject in OURS else ("#4a5568", "#b8c0cc")
        parts.append(f'<text x="{left - 10}" y="{top + 22}" text-anchor="end">{escape(subject.name)}</text>')
        for offset, us, colour in ((4, its.added_us, dark), (20, its.cpu_added_us, light)):
            long = max(0.0, us) / most * width
            parts.append(f'<rect x="{left}" y="{top + offset}" width="{long:.1f}" height="14" fill="{colour}"/>')
            parts.append(f'<text x="{left + long + 6:.1f}" y="{top + offset + 12}">{us:.0f}</text>')
    return "\n".join([*parts, "</svg>", ""])
