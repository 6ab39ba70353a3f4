"""From measurements to the figures of the table, and which of them meet their targets.

In: :class:`.rounds.Measured` per subject. Out: a :class:`Figures` each, relative to the bare blocks of the same run,
and the targets with the figure that each is compared with.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .rounds import Measured
from .subjects import BARE, OURS, TRIMTAB, Subject


@dataclass(frozen=True)
class Figures:
    """What one subject adds to the bare SDK; None where it was not measured."""

    added_us: float
    """Median over the rounds of what the block's median call takes longer."""
    ratio: float
    """The same as a ratio to bare."""
    p99_added_us: float
    """Of all calls of the run."""
    cpu_added_us: float
    """Per call, all threads."""
    throughput: float
    """With 32 in flight, relative to bare."""
    stream_added_us: float
    large_ratio: float
    """Calls of 200 kB, relative to bare."""
    sidecar_us: float | None = None
    """CPU per call of 2 kB that the sidecar takes to receive and parse it."""
    later_us: float | None = None
    """CPU per call of any kind that it takes later: collecting, pricing, analysing."""
    start_up_ms: float | None = None
    start_up_mib: float | None = None
    decision_us: float | None = None


@dataclass(frozen=True)
class Target:
    """A line of the promise."""

    what: str
    figure: float
    at_most: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the figure is within it."""
        return self.figure <= self.at_most


def figures(measured: Mapping[Subject, Measured]) -> dict[Subject, Figures]:
    """The figures of each subject but the bare one."""
    bare = measured[BARE]
    return {subject: _of(mine, bare) for subject, mine in measured.items() if subject is not BARE}


def _of(mine: Measured, bare: Measured) -> Figures:
    started = mine.start_up
    decided = mine.us.get("decision")
    return Figures(
        added_us=_added(mine.median_us("call"), bare.median_us("call")),
        ratio=_ratio(mine.median_us("call"), bare.median_us("call")),
        p99_added_us=mine.percentile_us("call", 99) - bare.percentile_us("call", 99),
        cpu_added_us=_added(mine.cpu_us["call"], bare.cpu_us["call"]),
        throughput=_ratio(mine.per_s, bare.per_s),
        stream_added_us=_added(mine.median_us("stream"), bare.median_us("stream")),
        large_ratio=_ratio(mine.median_us("large"), bare.median_us("large")),
        sidecar_us=statistics.median(mine.sidecar_us["call"]) if mine.sidecar_us else None,
        later_us=mine.later_us,
        start_up_ms=statistics.median(s["ms"] for s in started) if started else None,
        start_up_mib=statistics.median(s["mib"] for s in started) if started else None,
        decision_us=statistics.median(decided[0]) if decided else None,
    )


def _added(mine: Sequence[float], bare: Sequence[float]) -> float:
    return statistics.median(m - b for m, b in zip(mine, bare, strict=True))


def _ratio(mine: Sequence[float], bare: Sequence[float]) -> float:
    return statistics.median(m / b for m, b in zip(mine, bare, strict=True))


def targets(found: Mapping[Subject, Figures]) -> list[Target]:
    """The promise line by line; lines about peers are left out where no peer that keeps content was measured."""
    ours = found[TRIMTAB]
    peers = [figures for subject, figures in found.items() if subject.keeps_content]
    lines = []
    if peers:
        cheapest, frugal = min(p.added_us for p in peers), min(p.cpu_added_us for p in peers)
        lines += [
            Target("median added per call, of the cheapest peer with content", ours.added_us / cheapest, 0.3, "x"),
            Target("CPU added per call, of the same", ours.cpu_added_us / frugal, 0.5, "x"),
        ]
    lines += [
        Target("p99 added per call", ours.p99_added_us / 1e3, 1.0, "ms"),
        Target("throughput lost with 32 in flight", 1 - ours.throughput, 0.07, "of bare"),
        Target("added to a stream of 200 chunks", ours.stream_added_us / 1e3, 0.2, "ms"),
        Target("added to a call of 200 kB", ours.large_ratio - 1, 0.03, "of bare"),
    ]
    if ours.start_up_ms is not None and ours.start_up_mib is not None:
        lines += [
            Target("start-up after `import openai`", ours.start_up_ms, 60, "ms"),
            Target("memory at start-up", ours.start_up_mib, 12, "MiB"),
        ]
    decided = [found[s].decision_us for s in OURS if s in found]
    known = [us for us in decided if us is not None]
    return lines + ([Target("a policy decision", max(known), 20, "us")] if known else [])
