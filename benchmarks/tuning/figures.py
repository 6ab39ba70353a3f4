"""What came of a replay: numbers per seed, and their summary over seeds.

In: a stream and the model of each unit. Out: plain dictionaries, the keys of which docs/tuning-benchmarks.md explains.
"""

from __future__ import annotations

import math

import numpy as np

from .gated import Played
from .scenarios import Stream

WINDOW = 100
SHORTFALL = 0.05
ONE_POINT = 0.01


def captured(stream: Stream, value_usd: float, chosen: np.ndarray, random: float, best: float) -> float:
    """(utility - random) / (best single - random), utility = quality - cost / value."""
    rows = np.arange(len(chosen))
    utility = stream.quality[rows, chosen] - stream.cost_usd[rows, chosen] / value_usd
    return float((utility.mean() - random) / (best - random))


def anchors(stream: Stream, value_usd: float, best_single: np.ndarray) -> tuple[float, float]:
    """Mean utility of a model at random (of those there), and of the best single one in hindsight."""
    utility = stream.quality - stream.cost_usd / value_usd
    there = np.ones_like(utility)
    if stream.added:
        there[: stream.added[0], stream.added[1]] = 0
    random = float(((utility * there).sum(axis=1) / there.sum(axis=1)).mean())
    return random, float(utility[np.arange(len(utility)), best_single].mean())


def recovery(stream: Stream, value_usd: float, chosen: np.ndarray) -> int | None:
    """Units after the change until half of the last 50 got a model within .01 of the best one after it; None where
    nothing changes, or it never happened.
    """
    changed = stream.repriced.at if stream.repriced else stream.added[0] if stream.added else stream.halved_at
    if changed is None:
        return None
    after = (stream.quality - stream.cost_usd / value_usd)[changed:].mean(axis=0)
    good = np.isin(chosen[changed:], np.flatnonzero(after >= after.max() - 0.01)).astype(float)
    rolling = np.convolve(good, np.ones(50), "valid") / 50
    reached = np.flatnonzero(rolling >= 0.5)
    return int(reached[0]) + 50 if len(reached) else None


def saving(stream: Stream, incumbent: int, played: Played) -> dict[str, object]:
    """What a gated campaign saved against the incumbent, and at what loss."""
    chosen = played.chosen
    rows = np.arange(len(chosen))
    cost, quality = stream.cost_usd, stream.quality
    saved = cost[:, incumbent] - cost[rows, chosen]
    mean = quality.mean(axis=0)
    lost = mean[incumbent] - mean[chosen]
    total = float(saved.sum())
    half = int(np.flatnonzero(np.cumsum(saved) >= total / 2)[0]) if total > 0 else None
    loss = float(lost.mean())
    return {
        "usd_incumbent": float(cost[:, incumbent].sum()),
        "usd_saved": total,
        "expected_loss": loss,
        "usd_saved_at_1pt": total if loss <= ONE_POINT else 0.0,
        "calls_to_half": half,
        "violations": int(_windows(lost)),
        "violations_realised": int(_windows(quality[rows, incumbent] - quality[rows, chosen])),
        "promotions": [[at, model] for at, model in played.promotions],
        "rollbacks": [[at, model] for at, model in played.rollbacks],
        "dropped": [[at, model] for at, model in played.dropped],
    }


def _windows(lost: np.ndarray) -> bool:
    """Whether any 100 units in a row lost more than five points on average."""
    return bool((np.convolve(lost, np.ones(WINDOW), "valid") / WINDOW > SHORTFALL).any())


def interval(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds with the 95 % interval of that mean."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean = float(np.mean(known))
    half = 1.96 * float(np.std(known, ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else 0.0
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(known)}
