"""Runs over time in a report: they sum to its totals, and the charts are numbers alone."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from trimtab_analyzer.report import Report, as_html, as_json, build, from_json
from trimtab_analyzer.report.series import BINS, cost_svg, runs_svg, stretches


@pytest.fixture(scope="module")
def report(all_told: Any) -> Report:
    """Of a store in which each rule speaks."""
    return build(all_told.con)


def test_stretches_sum_to_the_totals(report: Report) -> None:
    """Runs, results, cost and waste; in order of time; also after a journey as JSON."""
    for name in ("runs", "failed_runs", "succeeded_runs", "cost_musd", "wasted_musd"):
        assert sum(getattr(one, name) for one in report.series) == getattr(report.totals, name), name
    assert [one.at_ns for one in report.series] == sorted({one.at_ns for one in report.series})
    assert from_json(as_json(report)).series == report.series


@pytest.mark.parametrize("days", [0, 0.01, 1, 30, 400, 4000])
def test_there_are_never_too_many(days: float) -> None:
    """Whatever time is spanned, but for decades."""
    rows = [{"run_id": str(n), "started_ns": int(n * days * 864e11 / 300), "cost_musd": 1} for n in range(300)]
    outcomes = {str(n): {"failed": n % 2 == 0, "success": None} for n in range(300)}
    import polars as pl

    ledger = pl.DataFrame({"run_id": ["0"], "cls": ["futile_retry"], "cost_musd": [1]})
    width, found = stretches(rows, outcomes, ledger)
    assert len(found) <= (BINS if days < 1000 else 150)
    assert (sum(one.runs for one in found), sum(one.wasted_musd for one in found)) == (300, 1)
    assert all(one.at_ns % width == 0 for one in found)
    assert stretches([], {}, ledger)[1] == ()


def test_charts_are_well_formed_and_say_what_they_are(report: Report) -> None:
    """Bars within the picture, a label for who can't see it, and no text but numbers and times."""
    for svg in (runs_svg(report.series, report.stretch_ns), cost_svg(report.series, report.stretch_ns)):
        root = ElementTree.fromstring(svg)
        assert root.get("aria-label")
        bars = root.findall("rect")
        assert bars
        for bar in bars:
            assert 0 <= float(bar.get("x", "-1")) <= 480
            assert float(bar.get("height", "-1")) >= 0
        assert all(re.fullmatch(r"[$\d,.:\- UTC]+", text.text or "") for text in root.iter("text"))


def test_the_page_forbids_whatever_is_not_its_own(report: Report) -> None:
    """No script and no address can be loaded, whatever got into it."""
    page = as_html(report)
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "<script" not in page
