"""Whether tracing costs clearly more than it should, as a check for every change.

In: a provider. Out: an exit code. Ratios to the bare SDK of the same moments, in blocks that take turns, of an agent
beside its sidecar and of one without; a machine under load makes them wrong upwards only, so a good result counts at
once and a bad one only when it comes three times.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import NamedTuple

from .rounds import measure
from .subjects import ALONE, BARE, TRIMTAB, Subject


class Limits(NamedTuple):
    """Most that a call of 2 kB may take, times the bare SDK's."""

    time: float
    cpu: float
    """Of the agent's process, all threads."""


LIMITS = {TRIMTAB: Limits(1.30, 1.40), ALONE: Limits(1.30, 1.75)}
TRIES, ROUNDS, CALLS = 3, 16, 20
LOW = 10
"""Percentile of a run's calls that is compared: what else the machine does makes calls longer, and these the least."""


def check(url: str, scratch: Path) -> int:
    """0 where each subject has kept its limits in one of the tries, else 1."""
    left = dict(LIMITS)
    for number in range(TRIES):
        home = scratch / f"try-{number}"
        home.mkdir()
        pythons = dict.fromkeys((BARE, *left), sys.executable)
        measured = measure(pythons, url, home, ROUNDS, {"call": CALLS})
        bare = measured[BARE]
        for subject, limits in list(left.items()):
            ours = measured[subject]
            time_ratio = ours.percentile_us("call", LOW) / bare.percentile_us("call", LOW)
            cpu_ratio = _ratio(ours.cpu_us["call"], bare.cpu_us["call"])
            if time_ratio <= limits.time and cpu_ratio <= limits.cpu:
                del left[subject]
            print(_line(subject, time_ratio, cpu_ratio, limits, subject in left))
        if not left:
            return 0
    print(
        "Tracing a call has become dearer: profile trimtab_tracer/{calls,capture,handover,writer,exchange,redact}.py."
    )
    return 1


def _line(subject: Subject, time_ratio: float, cpu_ratio: float, limits: Limits, is_much: bool) -> str:
    time, cpu = f"{time_ratio:.2f} (at most {limits.time})", f"{cpu_ratio:.2f} (at most {limits.cpu})"
    return f"{subject.name} / bare: time {time}, CPU {cpu}{', too much' if is_much else ''}"


def _ratio(ours: list[float], bare: list[float]) -> float:
    return statistics.median(o / b for o, b in zip(ours, bare, strict=True))
