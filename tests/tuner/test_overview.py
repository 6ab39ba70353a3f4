"""What runs came to, in sum and over time: the same as the report says, without an analysis."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from trimtab_analyzer.report.build import build
from trimtab_analyzer.run_waste import refresh
from trimtab_tracer.ingest import bundled_prices, ingest
from trimtab_tracer.records import Record, RunStart
from trimtab_tracer.settings import Settings
from trimtab_tracer.store import Store
from trimtab_tuner.overview import BINS_NS, MINUTE_NS, MOST_BINS, Which, bin_of, overview

SomeRun = Callable[..., list[Record]]
T0 = 1_800_000_000_000_000_000
SAME = (
    *("runs", "running", "failed_runs", "succeeded_runs", "unjudged_runs", "inferred_runs", "calls", "attempts"),
    *("cost_musd", "unpriced", "input_tokens", "output_tokens", "wasted_musd", "first_ns", "last_ns"),
)


def test_it_adds_up_to_the_report(settings: Settings, some_run: SomeRun) -> None:
    """Sums and ledger are the report's own, the stretches add up to them, and filters choose by start and service."""
    with Store.open(settings.store_path) as store:
        for n in range(70):
            ingest(store, some_run(n, success=[True, False, None][n % 3]))
        ingest(store, [RunStart("new", "p1", T0 + 71 * 10**9, "order", "explicit")])
        with closing(store.cursor()) as con:
            before = overview(con, Which(), today_ns=0)
            refresh(con, store.transaction, bundled_prices())
            found, report = overview(con, Which(), today_ns=0), build(con)
            some = overview(con, Which(since_ns=T0 + 60 * 10**9), today_ns=0)
            none = overview(con, Which(service="nobody"), today_ns=0)
    assert 71 == before.totals.unanalysed_runs
    assert (0, []) == (found.totals.unanalysed_runs, before.ledger)
    assert {name: getattr(report.totals, name) for name in SAME} == {name: getattr(found.totals, name) for name in SAME}
    assert [(x.cls, x.label, x.cost_musd, x.attempts, x.unpriced, x.is_waste) for x in report.ledger] == [
        (x.cls, x.label, x.cost_musd, x.attempts, x.unpriced, x.is_waste) for x in found.ledger
    ]
    assert [60, 11] == [stretch.runs for stretch in found.series]
    assert MINUTE_NS == found.bin_ns == found.series[1].at_ns - found.series[0].at_ns
    assert 15_000_000 == found.series[0].p50_ns == found.series[0].p95_ns
    assert (11, 0, None) == (some.totals.runs, none.totals.runs, none.totals.first_ns)


@pytest.mark.parametrize("minutes", [0, 1, 59, 600, 60 * 24 * 40, 60 * 24 * 700])
def test_stretches_are_few_and_as_short_as_that_allows(minutes: int) -> None:
    """No more than fit a chart; the next shorter ones would be too many."""
    spanned = minutes * MINUTE_NS
    bin_ns = bin_of(T0, T0 + spanned)
    assert spanned / bin_ns + 1 <= MOST_BINS
    shorter = [each for each in BINS_NS if each < bin_ns]
    assert not shorter or spanned / shorter[-1] + 1 > MOST_BINS - 1
