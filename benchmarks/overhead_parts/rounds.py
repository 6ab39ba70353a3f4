"""The run: one process per subject, and rounds in which each has a block of calls, in changing order.

In: subjects with interpreters. Out: :class:`Measured` per subject. Every figure is taken against the bare blocks of the
same round, so that what disturbs the machine for seconds disturbs both; medians over the rounds are reported.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .sidecars import Sidecar, sidecar
from .subjects import BARE, OURS, RULES, Subject, variables_of

WORKER = Path(__file__).parent / "worker.py"
BLOCKS = {"call": 40, "stream": 6, "large": 12, "throughput": 256}
"""What is measured in a round, and how many calls of it in a row."""
WARM_UP = {"call": 60, "stream": 3, "large": 3, "throughput": 64}
DECISIONS = 2000


@dataclass
class Measured:
    """What one subject's blocks took, a list per round."""

    us: dict[str, list[list[float]]] = field(default_factory=dict)
    """Microseconds of each call, by what was measured."""
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    """CPU per call, all threads, the flush included."""
    per_s: list[float] = field(default_factory=list)
    start_up: list[dict[str, float]] = field(default_factory=list)
    sidecar_us: dict[str, list[float]] = field(default_factory=dict)
    """CPU per call that the subject's sidecar took to receive what it was handed."""
    later_us: float | None = None
    """CPU per call, of any kind, that it took in the end to collect, price and analyse them."""
    calls: int = 0
    """All that were made."""

    def add(self, what: str, answer: Mapping[str, Any]) -> None:
        """Note one block."""
        if "us" in answer:
            self.us.setdefault(what, []).append(answer["us"])
        else:
            self.per_s.append(answer["per_s"])
        self.cpu_us.setdefault(what, []).append(answer["cpu_us"])

    def median_us(self, what: str) -> list[float]:
        """The median of each round."""
        return [statistics.median(block) for block in self.us[what]]

    def percentile_us(self, what: str, percent: int) -> float:
        """A percentile of all calls of the run."""
        calls = [us for block in self.us[what] for us in block]
        return statistics.quantiles(calls, n=100, method="inclusive")[percent - 1]


@contextmanager
def _worker(python: str, subject: Subject, url: str, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [python, str(WORKER), subject.switch, url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(environment)
    ) as process:
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(timeout=30)


def _ask(process: subprocess.Popen[str], what: str, count: int) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    print(json.dumps({"what": what, "count": count}), file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} ended with code {process.wait()} while it measured {what!r}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def measure(
    subjects: Mapping[Subject, str], url: str, scratch: Path, rounds: int, blocks: Mapping[str, int] | None = None
) -> dict[Subject, Measured]:
    """Let all subjects take turns for ``rounds`` rounds.

    Args:
        subjects: Each with its interpreter.
        url: The provider's.
        scratch: Where the subjects' homes are made.
        rounds: Turns of each subject.
        blocks: What to measure, and how many calls at a time; :data:`BLOCKS` by default.
    """
    blocks = BLOCKS if blocks is None else blocks
    measured = {subject: Measured() for subject in subjects}
    with ExitStack() as stack:
        workers = {}
        sidecars: dict[Subject, Sidecar] = {}
        for number, (subject, python) in enumerate(subjects.items()):
            home = scratch / f"home-{number}"
            home.mkdir(mode=0o700)
            variables = variables_of(home)
            if subject.has_sidecar:
                rules = RULES.get(subject.name, [])
                sidecars[subject] = stack.enter_context(sidecar(home, rules, variables))
            workers[subject] = stack.enter_context(_worker(python, subject, url, variables))
        for subject, worker in workers.items():
            for what in blocks:
                _ask(worker, what, WARM_UP[what])
                measured[subject].calls += WARM_UP[what]
            _check_place(worker, subject)
        order = list(subjects)
        for number in range(rounds):
            for what, count in blocks.items():
                for subject in order:
                    beside = sidecars.get(subject)
                    before = beside.cpu_us() if beside is not None else 0.0
                    measured[subject].add(what, _ask(workers[subject], what, count))
                    measured[subject].calls += count
                    if beside is not None:
                        received_us = (beside.cpu_us() - before) / count
                        measured[subject].sidecar_us.setdefault(what, []).append(received_us)
            order = order[1:] + order[:1]
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for subject in OURS:
            if subject in workers and blocks is BLOCKS:
                measured[subject].add("decision", _ask(workers[subject], "decision", DECISIONS))
        for subject, beside in sidecars.items():
            _check_place(workers[subject], subject)
            if blocks is BLOCKS:
                measured[subject].later_us = beside.finish() / measured[subject].calls
    return measured


def _check_place(worker: subprocess.Popen[str], subject: Subject) -> None:
    """Whoever has a sidecar hands over to it, before and after the run: else something else is measured."""
    if subject in OURS and _ask(worker, "place", 1)["is_beside_sidecar"] != subject.has_sidecar:
        raise RuntimeError(f"{subject.name}: {'not ' if subject.has_sidecar else ''}beside a sidecar")


def measure_start_up(
    subjects: Mapping[Subject, str], measured: Mapping[Subject, Measured], scratch: Path, rounds: int
) -> None:
    """Start fresh interpreters in turns, and note what switching on adds to each after ``import openai``."""
    for number in range(rounds + 1):
        for index, (subject, python) in enumerate(subjects.items()):
            if subject is BARE:
                continue
            home = scratch / f"start-{number}-{index}"
            home.mkdir()
            variables = variables_of(home)
            command: Sequence[str] = [python, str(WORKER), subject.switch, "", "--start-up"]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
            if number:  # the first one wrote the byte code
                measured[subject].start_up.append(json.loads(done.stdout.splitlines()[-1]))
