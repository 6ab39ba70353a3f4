"""How often blame names the agent and the step that people blamed in Who&When logs, beside trivial rules.

    python benchmarks/blame_whowhen.py --data DIR [--refit] [--json] [--out DIR]

The logs are imported into a store of their own and blamed there, as `trimtab import` and `trimtab findings` would.
Labels are read afterwards, from the runs' annotations. Figures are given for all logs and for the two halves of a
split by the run's digest; `--refit` chooses the factors anew on either half and tests them on the other, which is
what such weights are worth on logs that nobody looked at. `--out` writes one line per run (runs.csv).

JSON: `runs`, `left_out` (files and logs without labels or failure), and under `all`, `half_0`, `half_1` for each
method (`trimtab`, then the baselines): `runs`, `agent`, `step`, `step_within_1`, `step_in_top_3` (shares of runs;
trimtab's with `*_low`, `*_high`: Wilson's interval at 95 %). With `--refit` also `refit`: the factors of signals that
were changed, by the half they were chosen on; each half then has a method more, named after the other.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab_analyzer.blame import Blamed, blame, by_agent, start_weight
from trimtab_analyzer.importers import find_files, read_file
from trimtab_analyzer.signals import SIGNALS
from trimtab_analyzer.statistics import wilson
from trimtab_analyzer.steps import Step, content_folder, steps_of
from trimtab_tracer.errors import ImportFormatError
from trimtab_tracer.ingest import ingest
from trimtab_tracer.store import Store

GRID = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Factors that a refit may choose."""
ROUNDS = 3
"""Times that a refit goes through all signals."""


@dataclass(frozen=True, slots=True)
class Case:
    """One log: what people said, its steps, and what we say."""

    run_id: str
    name: str
    agent: str
    step: int
    steps: list[Step]
    blamed: list[Blamed]

    @property
    def half(self) -> int:
        """Which half of the split it is in; the id ends in a digest of the log."""
        return int(self.run_id[-1], 16) % 2


@dataclass(frozen=True, slots=True)
class Guess:
    """What a method says of a log: an agent, and steps, the likeliest first."""

    agent: str | None
    steps: tuple[int, ...]


Method = Callable[[Case], Guess]


def read_cases(folder: Path, home: Path) -> tuple[list[Case], int]:
    """All labelled logs of a folder, imported into a store below ``home`` and blamed; and how many files and logs were
    left out, because they are of no failed run, not labelled, or can't be read (told on stderr)."""
    runs, unread = [], 0
    for path in find_files([folder]):
        try:
            runs += read_file(path, only="who-when")
        except ImportFormatError as error:
            print(error, file=sys.stderr)
            unread += 1
    with Store.open(home / "trimtab.duckdb") as store:
        ingest(store, [record for run in runs for record in run.records])
        with closing(store.cursor()) as con:
            labels = con.execute("SELECT run_id, name, annotations FROM runs ORDER BY run_id").fetchall()
            said: dict[str, list[Blamed]] = defaultdict(list)
            for one in blame(con):
                said[one.run_id].append(one)
            steps = steps_of(con, [run_id for run_id, *_ in labels], content_folder(con))
    cases = []
    for run_id, name, text in labels:
        label = json.loads(text or "{}")
        if run_id in said and str(label.get("mistake_step", "")).strip().isdigit() and label.get("mistake_agent"):
            step = int(str(label["mistake_step"]))
            cases.append(Case(run_id, name, label["mistake_agent"], step, steps[run_id], said[run_id]))
    return cases, len(labels) - len(cases) + unread


def ours(case: Case) -> Guess:
    """Blame: the agent with the largest share, the steps by rank."""
    return Guess(next(iter(by_agent(case.blamed))), tuple(one.step for one in case.blamed if one.step is not None))


def first_speaker(case: Case) -> Guess:
    """Who speaks first, at that step."""
    return Guess(case.steps[0].agent, (case.steps[0].step,))


def step_one(case: Case) -> Guess:
    """Always the message with index 1, and who said it."""
    return Guess(next((step.agent for step in case.steps if step.step == 1), None), (1,))


def busiest(case: Case) -> Guess:
    """Who has most steps; the first of them."""
    counts: dict[str | None, int] = defaultdict(int)
    for step in case.steps:
        counts[step.agent] += 1
    agent = max(counts, key=lambda name: counts[name])
    return Guess(agent, (next(step.step for step in case.steps if step.agent == agent),))


def hard_error(case: Case) -> Guess:
    """The step whose action brought the first error; without one the first speaker, and index 1."""
    hit = next((step for step in case.steps if any(a.status == "error" for a in step.actions)), None)
    return Guess(hit.agent, (hit.step,)) if hit else Guess(case.steps[0].agent, (1,))


METHODS: dict[str, Method] = {
    "trimtab": ours,
    "first speaker": first_speaker,
    "always index 1": step_one,
    "busiest agent": busiest,
    "first hard error, its caller": hard_error,
}


def figures(cases: Sequence[Case], method: Method) -> dict[str, float | None]:
    """Shares of the runs in which a method is right; None where there are no runs."""
    guesses = [(case, method(case)) for case in cases]
    hits = {
        "agent": [guess.agent == case.agent for case, guess in guesses],
        "step": [case.step in guess.steps[:1] for case, guess in guesses],
        "step_within_1": [any(abs(s - case.step) <= 1 for s in guess.steps[:1]) for case, guess in guesses],
        "step_in_top_3": [case.step in guess.steps[:3] for case, guess in guesses],
    }
    found: dict[str, float | None] = {"runs": len(cases)}
    for name, right in hits.items():
        found[name] = sum(right) / len(right) if right else None
        if method is ours and right:
            interval = wilson(sum(right), len(right))
            found |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def refit(cases: Sequence[Case]) -> dict[str, float]:
    """Factors chosen for these logs alone: coordinate ascent of the likelihood of the labels over :data:`GRID`."""
    factors = dict.fromkeys(SIGNALS, 1.0)
    for _ in range(ROUNDS):
        for name in factors:
            factors[name] = max(GRID, key=lambda factor: (likelihood(cases, factors | {name: factor}), factor == 1.0))
    return factors


def likelihood(cases: Iterable[Case], factors: Mapping[str, float]) -> float:
    """Log-likelihood of the labelled steps under these factors; rules keep theirs."""
    total = 0.0
    for case in cases:
        weights = reweighed(case, factors)
        right = sum(weight for one, weight in weights if one.step == case.step)
        total += math.log(right / sum(weight for _, weight in weights)) if right else 0.0
    return total


def reweighed(case: Case, factors: Mapping[str, float]) -> list[tuple[Blamed, float]]:
    """The blamed steps with the weights that other factors give them."""
    position = {step.call_id: n for n, step in enumerate(case.steps)}
    found = []
    for one in case.blamed:
        weight = start_weight(position[one.call_id or ""], len(position))
        for signal in one.evidence["signals"]:
            weight *= factors.get(signal["mode"], signal["factor"])
        found.append((one, weight))
    return found


def with_factors(factors: Mapping[str, float]) -> Method:
    """Blame under other factors."""

    def method(case: Case) -> Guess:
        weights = reweighed(case, factors)
        agents: dict[str | None, float] = defaultdict(float)
        for one, weight in weights:
            agents[one.agent] += weight
        ranked = sorted(weights, key=lambda pair: (-pair[1], pair[0].step))
        return Guess(max(agents, key=lambda name: agents[name]), tuple(one.step or 0 for one, _ in ranked))

    return method


def report(cases: Sequence[Case], with_refit: bool) -> dict[str, Any]:
    """All figures."""
    groups = {"all": cases} | {f"half_{n}": [case for case in cases if case.half == n] for n in (0, 1)}
    found: dict[str, Any] = {"runs": len(cases)}
    for name, group in groups.items():
        found[name] = {title: figures(group, method) for title, method in METHODS.items()}
    if with_refit:
        for chosen, tested in ((0, 1), (1, 0)):
            factors = refit(groups[f"half_{chosen}"])
            title = f"factors chosen on half {chosen}"
            found[f"half_{tested}"][title] = figures(groups[f"half_{tested}"], with_factors(factors))
            found.setdefault("refit", {})[title] = {name: f for name, f in factors.items() if f != 1.0}
    return found


def table(found: Mapping[str, Any]) -> str:
    """The figures as text."""
    lines = []
    for name in ("all", "half_0", "half_1"):
        lines.append(f"{name}: {next(iter(found[name].values()))['runs']} runs")
        lines.append(f"  {'':32}{'agent':>8}{'step':>8}{'±1':>8}{'top 3':>8}")
        for title, row in found[name].items():
            shares = [row[key] for key in ("agent", "step", "step_within_1", "step_in_top_3")]
            lines.append(f"  {title:32}" + "".join(f"{'-' if s is None else f'{100 * s:.1f}':>8}" for s in shares))
    ours_ = found["all"]["trimtab"]
    lines.append(
        f"95 % intervals of trimtab: agent {100 * ours_['agent_low']:.1f} to {100 * ours_['agent_high']:.1f},"
        f" step {100 * ours_['step_low']:.1f} to {100 * ours_['step_high']:.1f} %"
    )
    lines.append(f"left out, for want of labels or of a failure: {found['left_out']}")
    return "\n".join(lines)


def write_runs(cases: Sequence[Case], folder: Path) -> None:
    """One line per run: what was said of it, and by whom."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run_id", "name", "half", "agent", "step", "our_agent", "our_step", "share", "modes"])
        for case in cases:
            guess, first = ours(case), case.blamed[0]
            said = [guess.agent, first.step, f"{first.share:.4f}", " ".join(first.modes)]
            writer.writerow([case.run_id, case.name, case.half, case.agent, case.step, *said])


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of Who&When logs, searched with all folders below"
    )
    parser.add_argument("--refit", action="store_true", help="choose the factors on either half, test on the other")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--out", type=Path, help="folder to write runs.csv to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-whowhen-") as home:
        cases, left_out = read_cases(args.data, Path(home))
    if not cases:
        print(f"{args.data}: no log with the labels mistake_agent and mistake_step was found.", file=sys.stderr)
        return 2
    found = report(cases, args.refit) | {"left_out": left_out}
    if args.out:
        write_runs(cases, args.out)
    print(json.dumps(found, indent=2) if args.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
