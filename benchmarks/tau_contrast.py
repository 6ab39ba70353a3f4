"""What differs between the trials of one task that passed and those that failed, on any folder of tau-bench results.

    python benchmarks/tau_contrast.py --data DIR [--json]

Each trial's actions are compared with the task's gold actions (`trimtab_analyzer.divergence`). Then, for facts of a
trial (a changing action missed, done with other arguments, done too much; a tool call that failed; ...), the share of
failed trials with the fact is set against that without it **within the same task**, so that hard tasks count for
nothing:

    risk difference = sum_t (a_t n0_t - b_t n1_t) / N_t  /  sum_t n1_t n0_t / N_t

over tasks t with n1_t trials with the fact, a_t of them failed, n0_t without, b_t of them failed, N_t = n1_t + n0_t
(Mantel and Haenszel's weights: Greenland and Robins, Biometrics 41, 1985, 55-68). The interval is the
percentile one of a bootstrap over tasks (2,000 draws, fixed seed): trials of one task are not independent. It is an
association; the intervals are not corrected for the number of facts. The trivial baseline is one of the facts: that a
tool call failed, which is what one sees without the gold actions.

JSON: `runs`, `passed`, `tasks`, `mixed_tasks` (with passed and failed trials), `facts` (each: `failed_with`,
`failed_without`, `of_failed`, `of_passed`, `difference`, `low`, `high`, `tasks`; no interval below five tasks),
`first_divergence` (of failed trials: `kind`, `tool`, counts, median indices), `arguments` (which ones differ),
`without_divergence` (failed trials whose changes are all right).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trimtab_analyzer.divergence import Act, Divergence, compare
from trimtab_analyzer.importers import find_files, tau_bench
from trimtab_analyzer.importers.source import read_documents
from trimtab_tracer.digests import canonical
from trimtab_tracer.verdicts import tool_status
from trimtab_tracer.wire.values import joined, loads, obj, objs

DRAWS, SEED = 2_000, 20261130
FEW_TASKS = 5
"""Tasks with trials of both kinds below which no interval is given: a bootstrap over so few knows nothing."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of one task."""

    task: str
    failed: bool
    acts: tuple[Act, ...]
    errors: int
    """Tool calls that failed."""
    messages: int
    divergence: Divergence


def read_trials(folder: Path) -> list[Trial]:
    """All trials in the files of a folder."""
    found = []
    for path in find_files([folder]):
        for document in read_documents(path):
            values = document.value if isinstance(document.value, list) else [document.value]
            found += [_trial(path.name, value) for value in values if tau_bench.matches(value)]
    return found


def _trial(file: str, value: dict[str, Any]) -> Trial:
    gold = [
        Act(str(action.get("name")), obj(action.get("kwargs")) or obj(action.get("arguments")), n)
        for n, action in enumerate(objs(value["info"]["task"]["actions"]))
    ]
    asked = [call for message in objs(value["traj"]) for call in objs(message.get("tool_calls"))]
    acts = tuple(
        Act(str(obj(call.get("function")).get("name")), obj(loads(str(obj(call.get("function")).get("arguments")))), n)
        for n, call in enumerate(asked)
    )
    replies = {
        str(message.get("tool_call_id")): tool_status(joined(message.get("content"))).status
        for message in objs(value["traj"])
        if message.get("role") == "tool"
    }
    done = [act for act, call in zip(acts, asked, strict=True) if replies.get(str(call.get("id"))) != "error"]
    return Trial(
        task=f"{file}:{value.get('task_id')}",
        failed=float(value["reward"]) != tau_bench.SUCCESS,
        acts=acts,
        errors=sum(status == "error" for status in replies.values()),
        messages=len(value["traj"]),
        divergence=compare(gold, done),  # a call that failed changed nothing
    )


def _repeats(trial: Trial) -> bool:
    seen = [canonical([act.name, act.arguments]) for act in trial.acts]
    return len(seen) > len(set(seen))


FACTS: dict[str, Callable[[Trial], bool]] = {
    "any changing action differs": lambda t: bool(t.divergence.differences),
    "a changing action was missed": lambda t: t.divergence.has("missing"),
    "a changing action had other arguments": lambda t: t.divergence.has("wrong_args"),
    "a changing action was done too much": lambda t: t.divergence.has("extra"),
    "the same change was made twice": lambda t: bool(t.divergence.repeated),
    "the same call was made twice": _repeats,
    "a tool call failed": lambda t: t.errors > 0,
    "nothing was changed at all": lambda t: not any(act.changes for act in t.acts),
}


def contrast(trials: Sequence[Trial], fact: Callable[[Trial], bool]) -> dict[str, float | int | None]:
    """How failure goes with a fact within tasks."""
    by_task: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_task[trial.task].append(trial)
    terms = np.array([_terms(group, fact) for group in by_task.values()])
    rng = np.random.default_rng(SEED)
    drawn = terms[rng.integers(0, len(terms), (DRAWS, len(terms)))].sum(axis=1)
    drawn = drawn[drawn[:, 1] > 0]
    numerator, weight = terms.sum(axis=0)
    tasks = int((terms[:, 1] > 0).sum())
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975)) if tasks >= FEW_TASKS else (None, None)
    shown, failed = [fact(trial) for trial in trials], [trial.failed for trial in trials]
    return {
        "failed_with": _share(failed, shown),
        "failed_without": _share(failed, [not s for s in shown]),
        "of_failed": _share(shown, failed),
        "of_passed": _share(shown, [not f for f in failed]),
        "difference": float(numerator / weight) if weight else None,
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "tasks": tasks,
    }


def _terms(group: Sequence[Trial], fact: Callable[[Trial], bool]) -> tuple[float, float]:
    """A task's part of numerator and denominator."""
    having = [trial.failed for trial in group if fact(trial)]
    lacking = [trial.failed for trial in group if not fact(trial)]
    n1, n0 = len(having), len(lacking)
    return (sum(having) * n0 - sum(lacking) * n1) / (n1 + n0), n1 * n0 / (n1 + n0)


def _share(values: Sequence[bool], among: Sequence[bool]) -> float | None:
    chosen = [value for value, counts in zip(values, among, strict=True) if counts]
    return sum(chosen) / len(chosen) if chosen else None


def report(trials: Sequence[Trial]) -> dict[str, Any]:
    """All figures."""
    failed = [trial for trial in trials if trial.failed]
    outcomes: dict[str, set[bool]] = defaultdict(set)
    for trial in trials:
        outcomes[trial.task].add(trial.failed)
    firsts = [(trial.divergence.first, trial) for trial in failed if trial.divergence.first is not None]
    kinds = Counter((first.kind, first.tool) for first, _ in firsts)
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for first, _ in firsts:
        at = first.done_index if first.done_index is not None else first.gold_index
        places[first.kind, first.tool].append(at or 0)
    arguments = Counter(
        (difference.tool, name)
        for trial in failed
        for difference in trial.divergence.differences
        if difference.kind == "wrong_args"
        for name in difference.arguments
    )
    return {
        "runs": len(trials),
        "passed": len(trials) - len(failed),
        "tasks": len(outcomes),
        "mixed_tasks": sum(len(seen) == 2 for seen in outcomes.values()),
        "facts": {name: contrast(trials, fact) for name, fact in FACTS.items()},
        "first_divergence": [
            {"kind": kind, "tool": tool, "failed_runs": n, "median_index": statistics.median(places[kind, tool])}
            for (kind, tool), n in kinds.most_common()
        ],
        "arguments": [{"tool": tool, "argument": name, "times": n} for (tool, name), n in arguments.most_common()],
        "without_divergence": sum(trial.divergence.first is None for trial in failed),
    }


def table(found: Mapping[str, Any]) -> str:
    """The figures as text."""
    lines = [
        f"{found['runs']} trials of {found['tasks']} tasks, {found['passed']} passed;"
        f" {found['mixed_tasks']} tasks passed and failed",
        f"{'':40}{'failed':>8}{'passed':>8}  within a task: more failures with it",
    ]
    for name, fact in found["facts"].items():
        if fact["low"] is None:
            interval = f"{fact['tasks']} tasks have trials with and without it: too few"
        else:
            low, high = 100 * fact["low"], 100 * fact["high"]
            interval = f"{100 * fact['difference']:+.0f} points ({low:+.0f} to {high:+.0f}; {fact['tasks']} tasks)"
        of = "".join(
            f"{100 * fact[key]:7.0f}%" if fact[key] is not None else f"{'-':>8}" for key in ("of_failed", "of_passed")
        )
        lines.append(f"{name:40}{of}  {interval}")
    lines.append(f"first difference in the failed trials ({found['without_divergence']} have none):")
    lines += [
        f"  {row['failed_runs']:4} {row['kind']:11} {row['tool']} (median index {row['median_index']:g})"
        for row in found["first_divergence"][:12]
    ]
    lines.append("arguments that differ most:")
    lines += [f"  {row['times']:4} {row['tool']}: {row['argument']}" for row in found["arguments"][:8]]
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of tau-bench results, searched with all below")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    args = parser.parse_args()
    trials = read_trials(args.data)
    if not trials:
        print(
            f"{args.data}: no tau-bench result (task_id, reward, traj, info.task.actions) was found.", file=sys.stderr
        )
        return 2
    found = report(trials)
    print(json.dumps(found, indent=2) if args.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
