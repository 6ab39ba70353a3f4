"""Tables of outcomes: what each model would have answered to each question, and at what price.

In: a folder with ``outcomes.parquet``, or a seed. Out: a :class:`Table`. Real folders are read, never copied;
:func:`synthetic` draws tables that the one configuration of the benchmark was chosen on.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

Floats = np.ndarray
REWARDS = ("reward", "correct", "score", "resolved")


class Table(NamedTuple):
    """One row per question that all models answered; columns are models."""

    models: tuple[str, ...]
    quality: Floats
    """(questions, models), 0 to 1."""
    cost_usd: Floats
    latency_s: Floats | None
    context: np.ndarray
    """(questions,), number of the context."""
    contexts: tuple[str, ...]
    judged: Floats | None = None
    """(questions, models, judges): each judge's score, where several judged; ``quality`` is their mean."""


def cross_judged(folder: Path, prices: Table) -> Table | None:
    """The folder's own cross-judged table: other questions, fewer models, three judges; None where it has none.

    Args:
        folder: may hold ``cross_judge.parquet``: prompt_md5, model, one column of scores per judge.
        prices: the folder's outcomes, for each model's mean cost; the cross-judged table has no costs of its own.
    """
    path = folder / "cross_judge.parquet"
    if not path.exists():
        return None
    frame = pl.read_parquet(path)
    judges = [name for name, kind in frame.schema.items() if kind == pl.Float64]
    models = [model for model in prices.models if model in set(frame["model"])]
    wide = [frame.pivot(on="model", index="prompt_md5", values=judge).sort("prompt_md5") for judge in judges]
    scores = np.stack([one.select(models).to_numpy() for one in wide], axis=2)
    scores = scores[np.isfinite(scores).all(axis=(1, 2))]
    mean_cost = prices.cost_usd.mean(axis=0)[[prices.models.index(model) for model in models]]
    cost = np.tile(mean_cost, (len(scores), 1))
    return Table(tuple(models), scores.mean(axis=2), cost, None, np.zeros(len(scores), np.int64), ("",), scores)


def load(folder: Path, models: list[str] | None, context: str | None) -> Table:
    """The table in a folder.

    Args:
        folder: holds ``outcomes.parquet``: qid, model, one of reward | correct | score | resolved, cost_usd, optionally
            latency_s and the column ``context``; a model may have one row per question.
        models: which ones, named in full or by a part that only one of them has; None for all.
        context: column that is known before the choice; None for none.

    Raises:
        ValueError: a column or model is missing or ambiguous.
    """
    frame = pl.read_parquet(folder / "outcomes.parquet")
    reward = next((name for name in REWARDS if name in frame.columns), None)
    missing = [
        name for name in ("qid", "model", "cost_usd", *([context] if context else [])) if name not in frame.columns
    ]
    if reward is None or missing:
        raise ValueError(f"{folder}/outcomes.parquet lacks {missing or REWARDS}; it has {frame.columns}")
    names = sorted(frame["model"].unique().to_list())
    chosen = names if models is None else [_named(part, names) for part in models]
    frame = frame.filter(pl.col("model").is_in(chosen)).sort("qid").with_columns(pl.col(reward).cast(pl.Float64))
    counts = frame.group_by("qid").len()
    whole = frame.join(counts.filter(pl.col("len") == len(chosen)), on="qid", how="semi").sort("qid")
    if whole.is_empty():
        raise ValueError(f"no question of {folder} was answered by all of {chosen}")

    def wide(column: str) -> Floats:
        return whole.pivot(on="model", index="qid", values=column).sort("qid").select(chosen).to_numpy().astype(float)

    labels = whole.unique("qid").sort("qid")[context].to_list() if context else [""] * (len(whole) // len(chosen))
    contexts = tuple(sorted(set(labels)))
    number = {label: i for i, label in enumerate(contexts)}
    latency = wide("latency_s") if "latency_s" in frame.columns else None
    codes = np.array([number[label] for label in labels])
    return Table(tuple(chosen), wide(reward), wide("cost_usd"), latency, codes, contexts)


def _named(part: str, names: list[str]) -> str:
    """The one model of that name, or with that part in it."""
    found = [name for name in names if name == part] or [name for name in names if part in name]
    if len(found) != 1:
        raise ValueError(f"{part!r} is {len(found)} of the models {names}")
    return found[0]


def synthetic(seed: int) -> tuple[Table, float]:
    """A table that no data lies behind, and what a success is worth in it, USD.

    2 to 6 models; 1 to 60 contexts of very different sizes; yes/no or scores; prices over two decades, growing with
    the context; models differ between contexts by a standard deviation of .01 to .12 beyond what contexts share.
    """
    rng = np.random.default_rng([20, seed])
    k, n_contexts = int(rng.choice([2, 3, 4, 6])), int(rng.choice([1, 6, 30, 60]))
    t = int(rng.choice([2000, 4000, 12000]))
    sizes = 1.0 / np.arange(1, n_contexts + 1) ** rng.uniform(0.3, 1.2)
    context = rng.choice(n_contexts, t, p=sizes / sizes.sum())
    level = rng.uniform(0.55, 0.93)
    arm = level + rng.normal(0, rng.choice([0.02, 0.06, 0.12]), k)
    hard = rng.normal(0, 0.1, n_contexts)[:, None]
    own = rng.normal(0, rng.choice([0.01, 0.05, 0.12]), (n_contexts, k))
    mean = np.clip(arm + hard + own, 0.03, 0.97)[context]
    if rng.random() < 0.5:
        quality = (rng.random((t, k)) < mean).astype(float)
    else:
        weight = rng.uniform(5, 15)
        quality = rng.beta(mean * weight, (1 - mean) * weight)
    price = 10 ** rng.uniform(-5, -2, k)
    size = rng.lognormal(0, 0.6, n_contexts)[context][:, None] * rng.lognormal(0, 0.4, (t, k))
    cost = price * size
    value = float(cost.mean(axis=0).max() / rng.uniform(0.05, 0.4))
    names = tuple(f"model-{i}" for i in range(k))
    return Table(names, quality, cost, None, context, tuple(f"c{i}" for i in range(n_contexts))), value
