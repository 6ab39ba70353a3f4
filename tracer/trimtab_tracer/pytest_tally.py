"""Counts what a pytest session recorded, for the two lines at its end.

In: the records as they go into the spool, and how tests ended. Out: runs, calls, attempts and, where the sidecar's
packages are installed, what they cost by the price list, by the same code that prices the store. Counted here and not
read from the spool, because a running sidecar takes that away meanwhile. Apart from :mod:`.pytest_runs`, which knows
about pytest and nothing about money.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .guard import guarded
from .records import Attempt, Exchange, Record

if TYPE_CHECKING:
    from .tracer import Tracer

MAX_WAITING = 10_000
"""Attempts that may wait for their price; beyond it they count without one."""


class Tally:
    """Counters of one process, which others' can be added to."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.counts: Counter[str] = Counter()
        self._attempts: dict[str, Attempt] = {}
        self._exchanges: dict[str, Exchange] = {}
        self._watched: object = None

    def watch(self, tracer: Tracer | None) -> None:
        """Count what ``tracer`` writes from here on; the agent under test may have put another one in place."""
        if tracer is None or tracer.spool is self._watched:
            return
        self._watched = tracer.spool
        tracer.spool.write = self._counting(tracer.spool.write)  # type: ignore[assignment, method-assign]
        tracer.spool.write_all = self._counting_all(tracer.spool.write_all)  # type: ignore[assignment, method-assign]

    def _counting(self, write: Callable[[Record, bytes | None], bool]) -> Callable[[Record, bytes | None], bool]:
        def counting(record: Record, line: bytes | None = None) -> bool:
            self._see(record)
            return write(record, line)

        return counting

    def _counting_all(self, write_all: Callable[[Sequence[Record]], None]) -> Callable[[Sequence[Record]], None]:
        def counting(records: Sequence[Record]) -> None:
            for record in records:  # exchanges among them: where they come to `write` as well, once more is no more
                self._see(record)
            write_all(records)

        return counting

    @guarded()
    def _see(self, record: Record) -> None:
        if isinstance(record, Attempt):
            self.counts["attempts"] += 1
            self.counts["calls"] += record.number == 1
            if len(self._attempts) < MAX_WAITING:
                self._attempts[record.attempt_id] = record
            else:
                self.counts["unknown"] += 1
        elif isinstance(record, Exchange) and record.attempt_id in self._attempts:
            self._exchanges[record.attempt_id] = record

    def end(self, success: bool | None) -> None:
        """A test has ended; None where nothing is known of its outcome."""
        self.counts["runs"] += 1
        self.counts["passed"] += success is True
        self.counts["failed"] += success is False

    def add(self, counts: dict[str, int]) -> None:
        """Add what another process counted."""
        self.counts.update(counts)

    @guarded()
    def settle(self) -> None:
        """Price what was seen, as the store would; without the packages for it every cost is left unsaid."""
        attempts, self._attempts = self._attempts, {}
        if find_spec("genai_prices") is None:
            return
        from .ingest_rows import apply_exchange, attempt_row, finish_attempt
        from .prices import PriceList

        prices = PriceList()
        self.counts["priced"] += 1
        for attempt in attempts.values():
            row: dict[str, Any] = attempt_row(attempt)
            exchange = self._exchanges.pop(attempt.attempt_id, None)
            if exchange is not None:
                apply_exchange(row, exchange)
            finish_attempt(row, prices)
            self.counts["musd"] += row["cost_musd"] or 0
            self.counts["unknown"] += row["cost_musd"] is None

    def text(self) -> str:
        """The counts in one line."""
        n = self.counts
        parts = [f"{_many(n['runs'], 'run')} ({n['passed']} passed, {n['failed']} failed)", _many(n["calls"], "call")]
        if n["attempts"] != n["calls"]:
            parts.append(_many(n["attempts"], "request"))
        if n["priced"] and n["attempts"]:
            unknown = f" and {n['unknown']} of unknown cost" if n["unknown"] else ""
            parts.append(f"${n['musd'] / 1e6:.4f}{unknown}")
        return ", ".join(parts)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
