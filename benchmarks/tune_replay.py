"""Replay of the learner and the gates on tables of real outcomes, against baselines.

In: a folder with ``outcomes.parquet`` (qid, model, reward | correct | score | resolved, cost_usd, optionally
latency_s), which models, which column is the context, what a success is worth. Out: JSON with one entry per seed and a
summary; with ``--out`` also a CSV, a Markdown table and an SVG. The learner is ``trimtab_tuner.learn``, the draw is the
agent's own (``trimtab_tracer.policy_rules.draw``), weights are published every 10 units. One configuration for all
tables.

Run: ``python benchmarks/tune_replay.py --data DIR [--arms M1,M2,...] [--context COL] --value-usd V --scenario NAME
[--seeds N] [--first-seed S] [--merge JSON ...] [--policies trimtab|all] [--out DIR]``.

Scenarios of the bare learner (uniform start, no incumbent, no gate): stationary; halved (the leader's quality at T/2);
cheaper, dearer (the dearest one's price x 0.1, the leader's x 10, at T/2); added (the leader joins at T/3); late
(rewards 50 units late); sparse (20 % of the rewards); noisy (a reward is one judge's of several, the truth is their
mean: the folder's own cross_judge.parquet, else a normal of .1 is added); errors (5 % of the calls end in an error of
transport).
Scenarios of a whole campaign as ``auto`` runs it, from a cold start: gated (the most accurate model is the incumbent),
placebo (the incumbent against an equal and a worse copy of itself), rollback (openly synthetic, needs no data: a
promoted model falls from .90 to .60).

JSON: ``{"scenario", "models", "questions", "contexts", "value_usd", "seeds": [...], "summary": {...}, "cpu_seconds"}``.
Keys of a seed: ``seed``, ``policy``, ``captured`` ((utility - random) / (best single in hindsight - random), utility =
quality - cost / V), ``recovery`` (units after the change until half of the last 50 got a model within .01 of the best);
of a campaign: ``usd_incumbent``, ``usd_saved``, ``expected_loss`` (mean quality of the incumbent minus that of the
models drawn, by the table's means), ``usd_saved_at_1pt`` (``usd_saved`` where that loss is at most .01, else 0),
``calls_to_half`` (calls until half of the saving is reached), ``violations`` (1 where any 100 calls in a row lost more
than five points by the table's means), ``violations_realised`` (the same by the answers themselves, luck included),
``promotions``, ``rollbacks``, ``dropped`` ([unit, model]), ``false_promotions`` (1 where a placebo was promoted); of a
rollback: ``calls_to_rollback``. The summary has mean, low and high (95 % of the mean over seeds) of each number, by
policy, and the median of ``calls_to_rollback``.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tuning import figures, gated, peers, plot, policies, replay
from tuning.scenarios import SCENARIOS, Stream, stream
from tuning.tables import Table, cross_judged, load

OURS = "trimtab"
CAMPAIGNS = ("gated", "placebo", "rollback")
Row = dict[str, Any]


def bare_rows(table: Table, value_usd: float, scenario: str, seed: int, which: str) -> Iterator[Row]:
    """One row per policy."""
    made = stream(table, value_usd, scenario, seed)
    known = policies.fixed(made, value_usd)
    random, best = figures.anchors(made, value_usd, known["best single"])

    def row(policy: str, chosen: np.ndarray) -> Row:
        return {
            "seed": seed,
            "policy": policy,
            "captured": figures.captured(made, value_usd, chosen, random, best),
            "recovery": figures.recovery(made, value_usd, chosen),
        }

    yield row(OURS, replay.bare(made, value_usd, seed))
    if which == "all":
        for name, chosen in known.items():
            yield row(name, chosen)
        for name in policies.POLICIES:
            yield row(name, policies.play(made, value_usd, name, seed))


def gated_row(table: Table, value_usd: float, seed: int) -> Row:
    """A campaign with the most accurate model as incumbent."""
    made = stream(table, value_usd, "stationary", seed)
    incumbent = int(table.quality.mean(axis=0).argmax())
    played = gated.play(made, incumbent, seed)
    return {"seed": seed, "policy": OURS} | figures.saving(made, incumbent, played)


def placebo_row(table: Table, value_usd: float, seed: int) -> Row:
    """A campaign against copies of the incumbent, none of which may be promoted."""
    best = int(table.quality.mean(axis=0).argmax())
    made: Stream = stream(gated.placebos(table, best, seed), value_usd, "stationary", seed)
    found = figures.saving(made, 0, gated.play(made, 0, seed))
    return {"seed": seed, "policy": OURS} | found | {"false_promotions": int(bool(found["promotions"]))}


def rollback_row(seed: int) -> Row:
    """A promoted model that falls."""
    return {"seed": seed, "policy": OURS, "calls_to_rollback": gated.rollback_after(seed)}


def summary(rows: list[Row]) -> dict[str, Any]:
    """By policy, each number's mean over seeds with its interval."""
    told: dict[str, Any] = {}
    for policy in dict.fromkeys(row["policy"] for row in rows):
        own = [row for row in rows if row["policy"] == policy]
        numbers = [
            key for key, value in own[0].items() if key not in ("seed", "policy") and not isinstance(value, list)
        ]
        told[policy] = {key: figures.interval([row[key] for row in own]) for key in numbers}
        if "calls_to_rollback" in own[0]:
            told[policy]["calls_to_rollback"]["median"] = float(
                np.median([np.inf if row["calls_to_rollback"] is None else row["calls_to_rollback"] for row in own])
            )
        if "promotions" in own[0]:
            told[policy]["promotions"] = sum(len(row["promotions"]) for row in own) / len(own)
    return told


def table_text(told: dict[str, Any]) -> str:
    """The summary as Markdown."""
    keys = list(next(iter(told.values())))
    lines = ["| policy | " + " | ".join(keys) + " |", "|---|" + "---:|" * len(keys)]
    for policy, numbers in told.items():
        cells = []
        for key in keys:
            one = numbers[key]
            if not isinstance(one, dict):
                cells.append(f"{one:.3f}")
            elif one["mean"] is None:
                cells.append("")
            else:
                digits = 0 if abs(one["mean"]) >= 100 else 3
                cells.append(f"{one['mean']:.{digits}f} ({one['low']:.{digits}f} to {one['high']:.{digits}f})")
        lines.append(f"| {policy} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(out: Path, name: str, told: dict[str, Any], rows: list[Row]) -> None:
    """CSV per seed, Markdown, and a chart where something was captured."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (out / f"{name}.md").write_text(table_text(told) + "\n", encoding="utf-8")
    if "captured" in rows[0]:
        (out / f"{name}.svg").write_text(plot.bars(told, f"Captured: {name}"), encoding="utf-8")


def options() -> argparse.ArgumentParser:
    """What it is called with."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with outcomes.parquet")
    parser.add_argument("--arms", metavar="M1,M2,...", help="models, or parts of their names (default: all)")
    parser.add_argument("--context", metavar="COL", help="column that is known before the choice")
    parser.add_argument("--value-usd", type=float, default=0.05, metavar="V", help="what a success is worth")
    parser.add_argument("--scenario", choices=(*SCENARIOS, *CAMPAIGNS), default="stationary")
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="to run many seeds in pieces")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="put printed pieces together instead")
    parser.add_argument("--policies", choices=("trimtab", "all"), default="all", help="with or without the baselines")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write CSV, Markdown and SVG there")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Replay and print."""
    parser = options()
    args = parser.parse_args(argv)
    started = time.process_time()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    told: dict[str, Any] = {"scenario": args.scenario}
    if args.merge:
        pieces = [json.loads(path.read_text(encoding="utf-8")) for path in args.merge]
        rows = [row for piece in pieces for row in piece["seeds"]]
        told = {key: value for key, value in pieces[0].items() if key not in ("seeds", "summary", "cpu_seconds")}
        name = f"{args.data.name + '_' if args.data else ''}{told['scenario']}"
    elif args.scenario == "rollback":
        rows = [rollback_row(seed) for seed in seeds]
        name = "rollback"
    elif args.data is None:
        parser.error(f"the scenario {args.scenario!r} needs --data")
    else:
        if peers.is_installed():
            policies.POLICIES[peers.NAME] = peers.ParetoBandit
        table = load(args.data, args.arms.split(",") if args.arms else None, args.context)
        if args.scenario == "noisy":
            table = cross_judged(args.data, table) or table
        told |= {"models": table.models, "questions": len(table.quality), "contexts": len(table.contexts)}
        told |= {"value_usd": args.value_usd}
        one: Callable[[int], list[Row]] = {
            "gated": lambda seed: [gated_row(table, args.value_usd, seed)],
            "placebo": lambda seed: [placebo_row(table, args.value_usd, seed)],
        }.get(
            args.scenario,
            lambda seed: list(bare_rows(table, args.value_usd, args.scenario, seed, args.policies)),
        )
        rows = [row for seed in seeds for row in one(seed)]
        name = f"{args.data.name}_{args.scenario}"
    told |= {"seeds": rows, "summary": summary(rows), "cpu_seconds": round(time.process_time() - started, 1)}
    if args.out:
        write(args.out, name, told["summary"], rows)
    print(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
