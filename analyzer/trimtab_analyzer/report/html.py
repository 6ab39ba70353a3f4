"""The report as one HTML file: no script, no font, no picture, no address to fetch; it can be mailed and archived.

In: a :class:`.model.Report`. Out: the page's text. Everything from the store is escaped by the template engine, which
has no other mode here; a value that the template misses raises instead of leaving a hole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from . import words
from .model import LedgerLine, Report
from .series import cost_svg, runs_svg

MAX_EVIDENCE = 12
"""Calls linked below a finding; the JSON report has all of them."""


@dataclass(frozen=True, slots=True)
class _Link:
    """A call that a finding names."""

    href: str | None
    """None where the call is not listed on the page."""
    label: str
    call_id: str


def as_html(report: Report) -> str:
    """The whole page."""
    names = words.run_names(report.runs)
    anchors = {call.call_id: (names[run.run_id], call.number) for run in report.runs for call in run.listed}

    def link(call_id: str) -> _Link:
        if call_id not in anchors:
            return _Link(None, "call not listed below", call_id)
        name, number = anchors[call_id]
        return _Link(f"#{anchor('call', call_id)}", f"{name}, call {number}", call_id)

    return _template().render(
        report=report,
        totals=report.totals,
        charts=_charts(report),
        words=words,
        anchor=anchor,
        links={f.finding_id: [link(c) for c in f.evidence.get("calls", ())[:MAX_EVIDENCE]] for f in report.findings},
        width=lambda line: _width(line, report.totals.cost_musd),
        kind=_kind,
        names=names,
        marked=_marked,
        parts=words.usd_parts([line.cost_musd for line in report.ledger], report.totals.cost_musd),
    )


def _charts(report: Report) -> list[tuple[str, Markup]]:
    """Titles and charts; none of one stretch, which the figures tell already."""
    if len(report.series) < 2:
        return []
    drawn = ((runs_svg, "Runs by result"), (cost_svg, "Known cost"))
    # what is in them was made by us, of numbers and times alone
    return [(title, Markup(draw(report.series, report.stretch_ns))) for draw, title in drawn]


def anchor(kind: str, ident: str) -> str:
    """An id that is safe in an address: ``run-…`` or ``call-…``."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_-]', '-', ident)}"


def _width(line: LedgerLine, total_musd: int) -> str:
    """Width of a bar in percent of the whole."""
    return f"{100 * line.cost_musd / total_musd:.3f}" if total_musd else "0"


def _marked(text: str) -> Markup:
    """A sentence whose pieces between backticks are commands, as HTML; all of it is escaped."""
    pieces = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _kind(line: LedgerLine) -> str:
    return "waste" if line.is_waste else "unknown" if line.cls == "unknown" else "useful"


@cache
def _template() -> Template:
    text = (resources.files(__package__) / "report.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        text
    )
