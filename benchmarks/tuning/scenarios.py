"""What happens while a table is replayed: in which order, what changes, what is seen of it and when.

In: a table, a scenario's name, a seed. Out: a :class:`Stream`, the truth and what is shown of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .tables import Table

Floats = np.ndarray

SCENARIOS = ("stationary", "halved", "cheaper", "dearer", "added", "late", "sparse", "noisy", "errors")
"""stationary; the leader's quality halves at T/2; its price (halfway) x 0.1; x 10; the leader is added at T/3; rewards
50 units late; 20 % of the rewards; one of several judges at random; 5 % of the calls end in an error of transport."""


class Repricing(NamedTuple):
    """A price that changed, as the provider announces it."""

    at: int
    arm: int
    factor: float


class Stream(NamedTuple):
    """One replay, in order."""

    table: Table
    quality: Floats
    """(units, models): true quality, 0 where the call ended in an error."""
    cost_usd: Floats
    shown: Floats
    """Quality as the judge tells it."""
    context: np.ndarray
    is_shown: np.ndarray
    """Whether the quality of a unit ever comes."""
    delay: int
    """Units after which it comes."""
    failed: np.ndarray
    halved_at: int | None
    repriced: Repricing | None
    added: tuple[int, int] | None
    """When and which model joins."""


def stream(table: Table, value_usd: float, scenario: str, seed: int) -> Stream:
    """A shuffled replay of a table.

    Args:
        table: what each model answers.
        value_usd: says who the leader is: the best mean of quality - cost / value.
        scenario: one of :data:`SCENARIOS`.
        seed: of the shuffle and all else.
    """
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(len(table.quality))
    quality, cost = table.quality[order].copy(), table.cost_usd[order].copy()
    t = len(order)
    leader = int((quality - cost / value_usd).mean(axis=0).argmax())
    shown_mask, failed = np.ones(t, bool), np.zeros(t, bool)
    halved_at, repriced, added, delay = None, None, None, 0
    if scenario == "halved":
        halved_at = t // 2
        quality[t // 2 :, leader] *= 0.5
        if set(np.unique(table.quality)) <= {0.0, 1.0}:  # yes/no stays yes/no: every other success is lost
            quality[t // 2 :, leader] = np.where(rng.random(t - t // 2) < 0.5, 2 * quality[t // 2 :, leader], 0.0)
    elif scenario in ("cheaper", "dearer"):
        dear = int(cost.mean(axis=0).argmax())
        repriced = Repricing(t // 2, dear, 0.1) if scenario == "cheaper" else Repricing(t // 2, leader, 10.0)
        cost[t // 2 :, repriced.arm] *= repriced.factor
    elif scenario == "added":
        added = (t // 3, leader)
    elif scenario == "late":
        delay = 50
    elif scenario == "sparse":
        shown_mask = rng.random(t) < 0.2
    elif scenario == "errors":
        failed = rng.random(t) < 0.05
        quality[failed], cost[failed] = 0.0, 0.0
    shown = quality
    if scenario == "noisy" and table.judged is not None:
        judge = rng.integers(0, table.judged.shape[2], quality.shape)
        shown = np.take_along_axis(table.judged[order], judge[:, :, None], axis=2)[:, :, 0]
    elif scenario == "noisy":
        shown = np.clip(quality + rng.normal(0, 0.1, quality.shape), 0.0, 1.0)
    elif scenario not in SCENARIOS:
        raise ValueError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    return Stream(
        table, quality, cost, shown, table.context[order], shown_mask, delay, failed, halved_at, repriced, added
    )
