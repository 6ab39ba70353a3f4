"""What is dear to compute, kept until the store changes: ledger, waste pins, report, and what is said of the harness.

In: snapshots of the store, and which run. Out: answers of ``/v1/ledger``, ``/v1/waste``, ``/v1/report`` and of
:mod:`.harness_routes`. Most look at every attempt of the store, which takes seconds and gigabytes per million calls; so
one request computes at a time, the others wait and find its result, and the pages of one ledger come from one
computation. Results are let go a minute after they were last asked for. A module of its own because it is the only
state behind the routes; polars and the analyzer come in with the first request that needs them. A computation that
fails keeps nothing and fails its own request only.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from . import models, paging, reads

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from trimtab_analyzer.waste import By
    from trimtab_tracer.prices import PriceList

Result = TypeVar("Result")


class Snapshots(Protocol):
    """Where the store is read."""

    def snapshot(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A cursor that sees one state of the store."""
        ...


class Computed:
    """Results of the last computations. May be used from many threads."""

    KEEP_S = 60.0
    """How long a result is kept after it was last asked for."""
    MAX_KEPT = 12
    """How many results are kept: those of single runs are small, that of all runs is there once of each kind, and what
    is said of the harness is bounded (:mod:`.scope`)."""

    def __init__(self, source: Snapshots, prices: PriceList | None = None) -> None:
        """Read from ``source``, with ``prices`` for the ledger (the bundled list by default)."""
        self._source = source
        self._prices = prices
        self._lock = threading.Lock()
        self._imports = object()
        self._kept: OrderedDict[tuple[str, str | None], tuple[object, Any]] = OrderedDict()
        self._timer: threading.Timer | None = None

    def forget(self) -> None:
        """An import has changed the store."""
        self._imports = object()

    def ledger(self, p: paging.LedgerParameters) -> models.Ledger:
        """A page of the ledger. What follows a page is of the same computation as long as that is kept."""
        from .ledger import page, read_ledger

        def compute(con: duckdb.DuckDBPyConnection, run: str | None) -> pl.DataFrame:
            return read_ledger(con, run, self._prices)

        return page(self._result("ledger", p.run, compute, is_continued=p.cursor is not None), p)

    def report(self, run_id: str | None, since_ns: int | None = None, until_ns: int | None = None) -> dict[str, Any]:
        """The report as JSON, of runs that began in this time.

        Raises:
            LookupError: there is no run ``run_id``.
        """
        from trimtab_analyzer.report.build import build
        from trimtab_analyzer.report.model import as_json

        def compute(con: duckdb.DuckDBPyConnection, run: str | None) -> dict[str, Any]:
            return as_json(build(con, run, prices=self._prices, since_ns=since_ns, until_ns=until_ns))

        return self._result(f"report {since_ns} {until_ns}", run_id, compute)

    def waste(self, by: By, run_id: str | None) -> dict[str, Any]:
        """The waste pins as JSON.

        Raises:
            LookupError: there is no run ``run_id``.
        """
        from .ledger import read_waste

        return self._result(f"waste by {by}", run_id, lambda con, run: read_waste(con, by, run, self._prices))

    def pins(self, run_id: str | None) -> dict[str, Any]:
        """Findings with every place they hit, and the blame of failed runs.

        Raises:
            LookupError: there is no run ``run_id``.
        """
        from trimtab_analyzer.pins import pins

        return self._result("pins", run_id, lambda con, run: pins(con, run, prices=self._prices))

    def harness(self, filters: dict[str, Any]) -> dict[str, Any]:
        """Every line that makes calls; see :func:`.harness.harness`."""
        from .harness import harness

        return self._result(f"harness {filters}", None, lambda con, _: harness(con, filters, self._prices))

    def agent_map(self, filters: dict[str, Any], most: int) -> dict[str, Any]:
        """What came after what; see :func:`.harness.agent_map`."""
        from .harness import agent_map

        return self._result(f"map {most} {filters}", None, lambda con, _: agent_map(con, filters, most))

    def scorecard(self, filters: dict[str, Any], *, inferred: bool) -> dict[str, Any]:
        """Versions side by side; see :func:`.comparing.versions_of`."""
        from .comparing import versions_of

        return self._result(
            f"scorecard {inferred} {filters}",
            None,
            lambda con, _: versions_of(con, filters, self._prices, inferred=inferred),
        )

    def compared(self, filters: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        """The comparison; see :func:`.comparing.compared`."""
        from .comparing import compared

        return self._result(f"compare {options} {filters}", None, lambda con, _: compared(con, filters, **options))

    def what_if(self, *, inferred: bool, **asked: Any) -> dict[str, Any]:
        """What a value would have come to; what was drawn is read once for all that is asked of it.

        Raises:
            LookupError: no value of this knob was drawn there.
        """
        from .comparing import drawn_units, what_if

        units = self._result(f"units {inferred}", None, lambda con, _: drawn_units(con, inferred=inferred))
        return what_if(units, **asked)

    def _result(
        self,
        kind: str,
        run_id: str | None,
        compute: Callable[[duckdb.DuckDBPyConnection, str | None], Result],
        *,
        is_continued: bool = False,
    ) -> Result:
        key = (kind, run_id)
        with self._lock:
            imports = self._imports  # before the snapshot: what comes in between is then computed once too often
            with self._source.snapshot() as con:
                state = (imports, reads.fetch(con, reads.statement("state")))
                before, result = self._kept.get(key, (None, None))
                if before is None or (before != state and not is_continued):
                    self._kept.pop(key, None)  # not two at a time
                    result = compute(con, run_id)
                    self._kept[key] = (state, result)
            self._kept.move_to_end(key)
            if len(self._kept) > self.MAX_KEPT:
                self._kept.popitem(last=False)
            self._keep_for_a_while()
        return cast(Result, result)

    def _keep_for_a_while(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # Weakly, so that a timer left behind at the end of the process does not hold the store.
        self._timer = threading.Timer(self.KEEP_S, _let_go, [weakref.ref(self)])
        self._timer.daemon = True
        self._timer.start()

    def let_go(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._kept.clear()


def _let_go(of: weakref.ref[Computed]) -> None:
    if (computed := of()) is not None:
        computed.let_go()
