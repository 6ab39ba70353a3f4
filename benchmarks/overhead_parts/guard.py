"""Whether tracing costs clearly more than it should, as a check for every change.

In: a provider. Out: an exit code. Ratios to the bare SDK of the same moments, in blocks that take turns; a machine
under load makes them wrong upwards only, so a good result counts at once and a bad one only when it comes three times.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from .rounds import measure
from .subjects import BARE, TRIMTAB

MOST_TIME = 1.30
"""Most that a call of 2 kB may take, times the bare SDK's."""
MOST_CPU = 1.75
"""Most CPU that it may take, all threads, times the bare SDK's."""
TRIES, ROUNDS, CALLS = 3, 16, 20


def check(url: str, scratch: Path) -> int:
    """0 where both ratios hold in one of the tries, else 1."""
    for number in range(TRIES):
        home = scratch / f"try-{number}"
        home.mkdir()
        measured = measure({BARE: sys.executable, TRIMTAB: sys.executable}, url, home, ROUNDS, {"call": CALLS})
        bare, ours = measured[BARE], measured[TRIMTAB]
        time_ratio = _ratio(ours.median_us("call"), bare.median_us("call"))
        cpu_ratio = _ratio(ours.cpu_us["call"], bare.cpu_us["call"])
        holds = time_ratio <= MOST_TIME and cpu_ratio <= MOST_CPU
        print(
            f"traced / bare: time {time_ratio:.2f} (at most {MOST_TIME}), CPU {cpu_ratio:.2f} (at most {MOST_CPU})"
            f"{'' if holds else ', too much'}"
        )
        if holds:
            return 0
    print("Tracing a call has become dearer: profile trimtab_tracer/{calls,capture,writer,exchange,redact}.py.")
    return 1


def _ratio(ours: list[float], bare: list[float]) -> float:
    return statistics.median(o / b for o, b in zip(ours, bare, strict=True))
