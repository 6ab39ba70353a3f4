"""Null and power simulations of what trimtab says about effects and associations, on the functions that say it.

In: how many stores, a seed. Out: one row per scenario and truth: in what share of the stores a difference was declared,
at the end and at any of 40 looks on the way, and how often each interval held the truth. Each store has 2,000 runs in
10 tasks of different difficulty; ``--data DIR`` takes tasks and their shares of successes from tables of real runs
instead. Beside each row stands a trivial baseline: a two-sample z test at 5 % that knows of no groups, strata, weights,
other knobs or earlier looks.

    plain       each run draws one of two values, half and half
    clustered   400 groups of 5 runs; a group draws one value and has a good or a bad day of its own
    tempered    every 50 runs weights are Thompson sampling's, cut to [.3, .7]
    greedy      every 50 runs the value that did better so far gets weight .9, the other .1 (epsilon-greedy)
    thompson    every 50 runs weights are Thompson sampling's, cut to [.02, .98]
    cost        half and half; log-normal cost, asymptotic sequence
    strata      nobody draws: the value's share differs by task and day; four knobs, Benjamini-Hochberg over them
    value       the off-policy value of drawing the second value with .9, from draws with .3
    value, adaptive  the same from the draws of greedy

Run: ``python benchmarks/effect_simulations.py [--data DIR] [--stores 1000] [--seed 0] [--json] [--out DIR]``. A data
folder holds .csv or .parquet files, one row per run, with columns ``task`` and ``success`` (true and false, or 1 and
0). Exits with 1 where a promise of docs/effects.md does not hold. ``--json`` prints ``{"stores", "runs", "seed",
"tasks", "seconds", "cpu_seconds", "rows": [{"scenario", "truth", "declared", "ever", "limit", "covered": {"anytime",
"dr", "snips", "ipw", "strata"}, "naive": {"declared", "ever"}, "promise", "kept"}]}``; rates are shares of the stores.
``limit`` is what no method could exceed by much (:func:`limit`).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import stats

from trimtab_analyzer.effects import Sample, policy_value, sequences, stratified, weighting
from trimtab_analyzer.effects.comparisons import CLEAR
from trimtab_analyzer.statistics import benjamini_hochberg

RUNS = 2_000
SHARES = 0.4 + 0.4 * np.arange(10) / 9
"""Of successes under the base value, task by task."""
ROOM = (0.1, 0.8)
"""Shares that real tasks are kept within, so that ten points and a lucky day are more than none and less than all."""
BATCH = 50
EFFECT = 0.10
LEVEL = 0.05
POWER = 0.90
Z = float(stats.norm.ppf(1 - LEVEL / 2))

Rng = np.random.Generator


class Store(NamedTuple):
    """One simulated experiment."""

    sample: Sample
    truth: float
    is_share: bool


def shares_of(folder: Path) -> np.ndarray:
    """The share of successes of each task in the tables of a folder, within :data:`ROOM`."""
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}
    tables = [read[path.suffix](path) for path in sorted(folder.rglob("*")) if path.suffix in read]
    runs = [t.select("task", pl.col("success").cast(pl.Float64)) for t in tables if {"task", "success"} <= {*t.columns}]
    if not runs:
        raise SystemExit(f"{folder}: no .csv or .parquet file with the columns task and success; name another folder.")
    all_runs = pl.concat([one.with_columns(pl.col("task").cast(pl.String)) for one in runs]).drop_nulls()
    shares = all_runs.group_by("task").agg(pl.col("success").mean()).sort("task")["success"].to_numpy()
    if len(shares) < 2:
        raise SystemExit(f"{folder}: {len(shares)} task; the simulations need two or more.")
    return np.clip(shares, *ROOM)


def _tasks(rng: Rng, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each run's task and its share of successes under the base value."""
    task = rng.integers(0, len(shares), RUNS)
    return task, shares[task]


def plain(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Half and half, every run for itself."""
    task, share = _tasks(rng, shares)
    drawn = rng.integers(0, 2, RUNS)
    success = rng.random(RUNS) < share + effect * drawn
    half = np.full(RUNS, 0.5)
    return Store(Sample.of(drawn, half, success, floor=half, stratum=task), effect, True)


def clustered(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Groups of five runs share the draw and luck."""
    task, share = _tasks(rng, shares)
    group = np.arange(RUNS) // 5
    drawn = rng.integers(0, 2, RUNS // 5)[group]
    luck = rng.choice([-0.1, 0.1], RUNS // 5)[group]
    success = rng.random(RUNS) < share + luck + effect * drawn
    half = np.full(RUNS, 0.5)
    return Store(Sample.of(drawn, half, success, floor=half, stratum=task, cluster=group), effect, True)


def _adaptive(
    rng: Rng, effect: float, shares: np.ndarray, weigh: Callable[[Rng, np.ndarray, np.ndarray], float]
) -> Store:
    """Weights follow the outcomes of all batches before."""
    task, share = _tasks(rng, shares)
    uniform, luck = rng.random(RUNS), rng.random(RUNS)
    hits, tries = np.ones(2), np.full(2, 2.0)
    drawn, propensity, floor = np.zeros(RUNS, dtype=np.int64), np.zeros(RUNS), np.zeros(RUNS)
    for start in range(0, RUNS, BATCH):
        batch = slice(start, start + BATCH)
        p = weigh(rng, hits, tries) if start else 0.5
        drawn[batch] = uniform[batch] < p
        propensity[batch] = np.where(drawn[batch] == 1, p, 1 - p)
        floor[batch] = min(p, 1 - p)
        success = luck[batch] < share[batch] + effect * drawn[batch]
        np.add.at(hits, drawn[batch], success)
        np.add.at(tries, drawn[batch], 1)
    return Store(Sample.of(drawn, propensity, luck < share + effect * drawn, floor=floor, stratum=task), effect, True)


def greedy(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Epsilon-greedy."""
    return _adaptive(
        rng, effect, shares, lambda _, hits, tries: 0.9 if hits[1] / tries[1] > hits[0] / tries[0] else 0.1
    )


def _thompson_weight(rng: Rng, hits: np.ndarray, tries: np.ndarray, floor: float) -> float:
    draws = rng.beta(hits[:, None], (tries - hits)[:, None], (2, 256))
    return float(np.clip((draws[1] > draws[0]).mean(), floor, 1 - floor))


def thompson(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Thompson sampling with the least floor that a policy may have."""
    return _adaptive(rng, effect, shares, partial(_thompson_weight, floor=0.02))


def tempered(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Thompson sampling that gives each value three runs in ten."""
    return _adaptive(rng, effect, shares, partial(_thompson_weight, floor=0.3))


def cost(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """Log-normal cost with a mean of 1 + task/tasks; the effect is a share of that."""
    task, _ = _tasks(rng, shares)
    n = len(shares)
    drawn = rng.integers(0, 2, RUNS)
    spent = (1 + task / n) * (1 + effect * drawn) * rng.lognormal(-0.5, 1.0, RUNS)
    half = np.full(RUNS, 0.5)
    truth = effect * (1 + (n - 1) / (2 * n))
    return Store(Sample.of(drawn, half, spent, floor=half, stratum=task), truth, False)


def limit(made: Store) -> float:
    """The power of the two-sided z test of means at 5 % that looks once and is told all variances.

    ``Φ(|δ| / √(σ₀²/n₀ + σ₁²/n₁) - 1.96)`` with the variance within tasks of the groups that were drawn: a bound for
    tests of means that look once, and more than one for those that may look at any time.
    """
    sample, truth, _ = made
    cell = sample.stratum * 2 + sample.value
    means = np.bincount(cell, weights=sample.outcome) / np.maximum(np.bincount(cell), 1)
    residual = sample.outcome - means[cell]
    variance = 0.0
    for arm in (0, 1):
        mine = sample.value == arm
        sums = np.bincount(sample.cluster[mine], weights=residual[mine])
        variance += float((sums**2).sum()) / max(1, mine.sum()) ** 2
    return float(stats.norm.cdf(abs(truth) / np.sqrt(variance) - stats.norm.ppf(1 - LEVEL / 2)))


def drawn_store(made: Store) -> dict[str, Any]:
    """What is said about one experiment."""
    sample, truth, is_share = made
    scores = weighting.contrast_scores(sample, 0, 1, is_share=is_share)
    least = weighting.least_clusters(sample, (0, 1))
    dr = weighting.weighted_mean(scores, least)
    covered = {
        "dr": dr.low <= truth <= dr.high,
        "snips": _holds(weighting.snips(sample, 0, 1), truth),
        "ipw": _holds(weighting.ipw(sample, 0, 1), truth),
    }
    if is_share:
        placed = sequences.bets(scores)
        path = sequences.log_capital(scores, placed, 0.0, BATCH * len(scores.score) // RUNS)
        covered["anytime"] = sequences.final_log_capital(scores, placed, truth) < -np.log(LEVEL)
    else:
        path = np.array([_asymptotic_look(scores, n) for n in range(BATCH, len(scores.score) + 1, BATCH)])
        held = sequences.asymptotic(dr, len(scores.score), least)
        covered["anytime"] = held.low <= truth <= held.high
    looks = [_differs(sample.outcome[:n], sample.value[:n]) for n in range(BATCH, len(sample) + 1, BATCH)]
    said: dict[str, Any] = {"declared": path[-1] >= -np.log(LEVEL), "ever": path.max() >= -np.log(LEVEL)}
    said |= {"covered": covered, "naive": {"declared": looks[-1], "ever": any(looks)}}
    return said | ({"limit": limit(made)} if truth else {})


def _differs(outcome: np.ndarray, value: np.ndarray) -> bool:
    """Whether a two-sample z test at 5 % says so; not where a value was drawn fewer than twice or never varies."""
    arms = [outcome[value == v] for v in (0, 1)]
    if min(map(len, arms)) < 2:
        return False
    variance = sum(arm.var(ddof=1) / len(arm) for arm in arms)
    return bool(variance > 0 and abs(arms[1].mean() - arms[0].mean()) > Z * variance**0.5)


def _asymptotic_look(scores: weighting.Scores, n: int) -> float:
    seen = weighting.Scores(*(column[:n] for column in scores))
    return sequences.asymptotic(weighting.weighted_mean(seen, n // 2), n, n // 2).log_e


def _holds(estimate: weighting.Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high


def strata(rng: Rng, effect: float, shares: np.ndarray) -> dict[str, Any]:
    """Four knobs that follow task and day, of which the first one has the effect."""
    task, share = _tasks(rng, shares)
    day = np.sort(rng.integers(0, 5, RUNS))
    stratum = task * 5 + day
    leaning = 0.06 * (10 * task / len(shares))
    chosen = np.array([rng.random(RUNS) < 0.2 + leaning + 0.02 * day * knob for knob in range(4)]).astype(float)
    success = (rng.random(RUNS) < share - 0.02 * day + effect * chosen[0]).astype(float)
    found = [stratified.contrast(success, x, stratum, np.arange(RUNS), is_share=True) for x in chosen]
    q = benjamini_hochberg([one.p for one in found if one is not None])
    declared = q[0] <= CLEAR if effect else (q <= CLEAR).any()
    first = found[0]
    seen = [_differs(success, x) for x in (chosen[:1] if effect else chosen)]
    said = {"declared": declared, "ever": declared, "covered": {"strata": first.low <= effect <= first.high}}
    return said | {"naive": {"declared": any(seen), "ever": any(seen)}}


def uneven(rng: Rng, effect: float, shares: np.ndarray) -> Store:
    """The second value in three of ten runs."""
    task, share = _tasks(rng, shares)
    drawn = (rng.random(RUNS) < 0.3).astype(int)
    success = rng.random(RUNS) < share + effect * drawn
    propensity = np.where(drawn == 1, 0.3, 0.7)
    return Store(Sample.of(drawn, propensity, success, floor=np.full(RUNS, 0.3), stratum=task), effect, True)


def value_store(made: Store, shares: np.ndarray) -> dict[str, Any]:
    """What the log says of a policy that gives the second value nine runs in ten."""
    contexts = [str(task) for task in range(len(shares))]
    found = policy_value(made.sample, {"0": 0.1, "1": 0.9}, ["0", "1"], contexts, is_share=True)
    truth = float(shares.mean()) + 0.9 * made.truth
    covered = {name: _holds(getattr(found, name), truth) for name in ("dr", "snips", "ipw")}
    return {"covered": covered | {"anytime": found.low <= truth <= found.high}}


SCENARIOS = {
    "plain": plain,
    "clustered": clustered,
    "tempered": tempered,
    "greedy": greedy,
    "thompson": thompson,
    "cost": cost,
}
VALUES = {"value": uneven, "value, adaptive": greedy}
ADAPTIVE = ("tempered", "greedy", "thompson", "value, adaptive")
FOUND = ("plain", "clustered", "tempered", "strata")
"""Where ten points are promised to be found in nine of ten stores."""


def one_store(name: str, rng: Rng, effect: float, shares: np.ndarray) -> dict[str, Any]:
    """What is said about one store of a scenario."""
    if name == "strata":
        return strata(rng, effect, shares)
    if name in VALUES:
        return value_store(VALUES[name](rng, effect, shares), shares)
    return drawn_store(SCENARIOS[name](rng, effect, shares))


def simulate(name: str, effect: float, stores: int, seed: int, shares: np.ndarray = SHARES) -> dict[str, Any]:
    """One row: shares over ``stores`` stores."""
    sums: dict[str, float] = defaultdict(float)
    covered: dict[str, int] = defaultdict(int)
    naive: dict[str, int] = defaultdict(int)
    for child in np.random.SeedSequence([seed, *name.encode()]).spawn(stores):
        said = one_store(name, np.random.default_rng(child), effect, shares)
        for method, holds in said.pop("covered").items():
            covered[method] += bool(holds)
        for key, is_said in said.pop("naive", {}).items():
            naive[key] += bool(is_said)
        for key, value in said.items():
            sums[key] += float(value)
    row: dict[str, Any] = {"scenario": name, "truth": effect}
    row |= {key: sums[key] / stores if key in sums else None for key in ("declared", "ever", "limit")}
    row["covered"] = {method: covered[method] / stores for method in covered}
    row["naive"] = {key: naive[key] / stores if key in naive else None for key in ("declared", "ever")}
    return row | judged(row, stores)


def judged(row: dict[str, Any], stores: int) -> dict[str, Any]:
    """What was promised of such a row, and whether it is kept; chance may take a rate as far as once in 1,000.

    Intervals for one look are held to 95 % where propensities are fixed; under adaptive draws it is the sequence that
    is promised, and the others are shown beside it.
    """
    least = float(stats.binom.ppf(0.001, stores, 1 - LEVEL)) / stores
    promised = ["anytime"] if row["scenario"] in ADAPTIVE else list(row["covered"])
    kept = all(row["covered"][method] >= least for method in promised)
    promise = f"covered >= 95 % by {', '.join(promised)}"
    if row["truth"] == 0 and row["ever"] is not None:
        kept &= row["ever"] <= LEVEL
        promise += "; declared <= 5 %"
    elif row["scenario"] in FOUND:
        kept &= row["declared"] >= float(stats.binom.ppf(0.001, stores, POWER)) / stores
        promise += "; found >= 90 %"
    return {"promise": promise, "kept": bool(kept)}


def table(rows: list[dict[str, Any]]) -> str:
    """As a Markdown table, in per cent."""
    methods = ("anytime", "dr", "snips", "ipw", "strata")
    heads = ("scenario", "truth", "declared", "ever", "limit", "naive: declared", "naive: ever")
    heads += (*(f"covered: {m}" for m in methods), "kept")
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (6 + len(methods)) + "---|"]
    for row in rows:
        unit = "%" if row["scenario"] == "cost" else "points"
        cells = [row["scenario"], f"{100 * row['truth']:+.0f} {unit}" if row["truth"] else "none"]
        cells += [_percent(row[key]) for key in ("declared", "ever", "limit")]
        cells += [_percent(row["naive"][key]) for key in ("declared", "ever")]
        cells += [_percent(row["covered"].get(method)) for method in methods]
        lines.append(f"| {' | '.join([*cells, 'yes' if row['kept'] else '**no**'])} |")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    """The rows as ``effect_simulations.csv``, one line per method."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("scenario", "truth", "declared", "ever", "limit")
    with (folder / "effect_simulations.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "naive_declared", "naive_ever", "method", "covered", "kept"])
        for row in rows:
            plain = [*(row[name] for name in names), row["naive"]["declared"], row["naive"]["ever"]]
            writer.writerows([*plain, method, share, row["kept"]] for method, share in row["covered"].items())


def main() -> int:
    """Simulate all scenarios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="tables of runs to take tasks and their shares from")
    parser.add_argument("--stores", type=int, default=1000, help="stores per scenario (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="NAMES", help="scenarios, separated by semicolons (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write effect_simulations.csv there")
    args = parser.parse_args()
    started = time.monotonic()
    spent = time.process_time()
    shares = SHARES if args.data is None else shares_of(args.data)
    names = [name.strip() for name in args.only.split(";")] if args.only else [*SCENARIOS, "strata", *VALUES]
    asked = [(name, effect) for name in names for effect in (0.0, EFFECT)]
    rows = [simulate(name, effect, args.stores, args.seed, shares) for name, effect in asked]
    told = {"stores": args.stores, "runs": RUNS, "seed": args.seed, "tasks": len(shares)}
    told |= {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(time.process_time() - spent, 1)}
    if args.out:
        write(rows, args.out)
    print(json.dumps(told | {"rows": rows}, indent=2) if args.json else f"{table(rows)}\n\n{told}")
    return 0 if all(row["kept"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
