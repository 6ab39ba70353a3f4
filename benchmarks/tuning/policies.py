"""Baselines, re-implemented from what was published of them; each sees every reward at once, without publish lag.

In: a stream, unit by unit. Out: the model that a policy chooses. They choose by ``q - c / V`` where they weigh cost at
all, with their published defaults, never tuned here. Fixed and oracle policies need no class: see :func:`fixed`.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from .scenarios import Stream


def fixed(stream: Stream, value_usd: float) -> dict[str, np.ndarray]:
    """Policies that know the table: the model of each unit. A model that joins later is available from then on."""
    quality, cost = stream.quality, stream.cost_usd
    utility = quality - cost / value_usd
    t, k = quality.shape
    there = np.ones((t, k), bool)
    if stream.added:
        there[: stream.added[0], stream.added[1]] = False

    def always(scores: np.ndarray) -> np.ndarray:
        """The model with the largest of these, or before it joins the best of the others."""
        order = np.argsort(-scores)
        return np.where(there[:, order[0]], order[0], order[1])

    reachable = np.array(
        [
            utility[np.arange(t), always(np.eye(k)[arm] + np.argsort(np.argsort(utility.mean(axis=0))) * 1e-3)].mean()
            for arm in range(k)
        ]
    )
    chosen = {
        "most accurate": always(quality.mean(axis=0)),
        "most expensive": always(cost.mean(axis=0)),
        "cheapest": always(-cost.mean(axis=0)),
        "best single": always(np.eye(k)[int(reachable.argmax())] + np.argsort(np.argsort(utility.mean(axis=0))) * 1e-3),
    }
    per_context = np.zeros(t, dtype=np.int64)
    for context in np.unique(stream.context):
        rows = stream.context == context
        per_context[rows] = int(np.where(there[rows].any(axis=0), utility[rows].mean(axis=0), -9).argmax())
    if stream.added:
        late = per_context == stream.added[1]
        early = np.arange(t) < stream.added[0]
        others = np.where(np.arange(k) == stream.added[1], -9.0, utility.mean(axis=0))
        per_context[late & early] = int(others.argmax())
    chosen["best per context"] = per_context
    chosen["oracle"] = np.where(there, utility, -np.inf).argmax(axis=1)
    return chosen


class Random:
    """Uniform."""

    def __init__(self, k: int, value_usd: float, rng: np.random.Generator, contexts: int) -> None:
        self.k, self.value_usd, self.rng, self.contexts = k, value_usd, rng, contexts
        self.n, self.sum = np.zeros(k), np.zeros(k)
        self.prepare()

    def prepare(self) -> None:
        """What else the policy keeps."""

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """Which model."""
        del t, context
        return int(self.rng.choice(np.flatnonzero(there)))

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """What came of it."""
        del context
        self.n[arm] += 1
        self.sum[arm] += quality - cost_usd / self.value_usd

    def mean(self) -> np.ndarray:
        """Utility so far."""
        return self.sum / np.maximum(self.n, 1)

    def best(self, scores: np.ndarray, there: np.ndarray) -> int:
        """The largest, ties at random."""
        scores = np.where(there, scores, -np.inf)
        return int(self.rng.choice(np.flatnonzero(scores == scores.max())))


class EpsilonGreedy(Random):
    """Epsilon .1, no decay."""

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """Any model with a probability of .1, else the best so far; each once at first."""
        if self.rng.random() < 0.1:
            return super().pull(t, context, there)
        return self.best(np.where(self.n == 0, np.inf, self.mean()), there)


class Ucb1(Random):
    """P. Auer, N. Cesa-Bianchi and P. Fischer, Machine Learning 47 (2002), 235-256: mean + sqrt(2 ln t / n)."""

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """The largest upper bound."""
        del context
        bound = self.mean() + np.sqrt(2 * log(max(t, 2)) / np.maximum(self.n, 1e-9))
        return self.best(np.where(self.n == 0, np.inf, bound), there)


class Thompson(Random):
    """Beta posterior of a reward that counts as a success in proportion, minus the learned mean cost."""

    def prepare(self) -> None:
        """Prior (1, 1)."""
        self.a, self.b = np.ones(self.k), np.ones(self.k)
        self.cost = np.zeros(self.k)

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """The best of one draw."""
        del t, context
        return self.best(self.rng.beta(self.a, self.b) - self.cost / np.maximum(self.n, 1) / self.value_usd, there)

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """Add to the posterior."""
        del context
        self.n[arm] += 1
        self.a[arm] += quality
        self.b[arm] += 1 - quality
        self.cost[arm] += cost_usd


class LinUcb(Random):
    """L. Li, W. Chu, J. Langford and R. E. Schapire, WWW 2010, Algorithm 1 (disjoint), alpha .5, context one-hot: the
    ridge regression is then a mean per cell with one added zero, the width ``1 / sqrt(n + 1)``. Each model is tried
    once per context, without which a prior of zero would never leave the first model that earns anything.
    """

    ALPHA = 0.5

    def prepare(self) -> None:
        """A cell per context and model."""
        self.cells, self.sums = np.zeros((self.contexts, self.k)), np.zeros((self.contexts, self.k))

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """The largest upper bound in this context."""
        del t
        n = self.cells[context] + 1
        bound = self.sums[context] / n + self.ALPHA / np.sqrt(n)
        return self.best(np.where(self.cells[context] == 0, np.inf, bound), there)

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """Add to the cell."""
        self.cells[context, arm] += 1
        self.sums[context, arm] += quality - cost_usd / self.value_usd


class TrackAndStop(Random):
    """Best-arm identification: A. Garivier and E. Kaufmann, "Optimal best arm identification with fixed confidence",
    COLT 2016; 10 units each, then the proportions that separate the leader fastest, stopped by the pairwise
    likelihood ratio at ``ln((1 + ln n) / .05)``. Proportions by the two-arm form ``1/gap²`` per
    rival with plug-in variances (the leader gets the root of the sum of squares), not by a cone program.
    """

    DELTA = 0.05

    def prepare(self) -> None:
        """Sums of squares too."""
        self.squares = np.zeros(self.k)
        self.stopped = -1

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """Round robin, then tracking, then the winner."""
        del context
        if self.stopped >= 0 and there[self.stopped] and (there & (self.n == 0)).sum() == 0:
            return self.stopped
        self.stopped = -1
        young = there & (self.n < 10)
        if young.any():
            return int(np.where(young, self.n, np.inf).argmin())
        mean = np.where(there, self.mean(), -np.inf)
        variance = np.maximum(self.squares / np.maximum(self.n, 1) - self.mean() ** 2, 1e-6)
        lead = int(mean.argmax())
        rivals = [arm for arm in np.flatnonzero(there) if arm != lead]
        gaps = np.array([mean[lead] - mean[arm] for arm in rivals])
        pooled = np.array([variance[lead] / self.n[lead] + variance[arm] / self.n[arm] for arm in rivals])
        if rivals and (gaps**2 / (2 * pooled)).min() > log((1 + log(self.n.sum())) / self.DELTA):
            self.stopped = lead
            return lead
        share = np.zeros(self.k)
        for arm, gap in zip(rivals, gaps, strict=True):
            share[arm] = variance[arm] / max(gap**2, 1e-6)
        share[lead] = sqrt(variance[lead] * float((share[rivals] ** 2 / variance[rivals]).sum()))
        return self.best(share / share.sum() * t - self.n, there)

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """Add to the sums; a winner that loses its lead is one no more."""
        super().learn(arm, context, quality, cost_usd)
        self.squares[arm] += (quality - cost_usd / self.value_usd) ** 2
        if self.stopped >= 0 and int(self.mean().argmax()) != self.stopped:
            self.stopped = -1


class BetaRouter(Random):
    """The Beta-Thompson router of a gateway as its description has it: per (type of request, model) a Beta posterior
    of prior mass 10, no update above a mass of 200, score .7 quality + .3 normalised cheapness. Here types are contexts
    (at most 7, the rest together), all priors are equal, and rewards are true ones, not guesses from the next turn.
    """

    def prepare(self) -> None:
        """Seven types."""
        self.a, self.b = np.full((7, self.k), 5.0), np.full((7, self.k), 5.0)
        self.cost = np.zeros(self.k)

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """The best score of one draw."""
        del t
        kind = min(context, 6)
        mean_cost = self.cost / np.maximum(self.n, 1)
        cheap = 1 - mean_cost / max(float(mean_cost.max()), 1e-12)
        return self.best(0.7 * self.rng.beta(self.a[kind], self.b[kind]) + 0.3 * cheap, there)

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """Add to the posterior, up to its cap."""
        kind = min(context, 6)
        self.n[arm] += 1
        self.cost[arm] += cost_usd
        if self.a[kind, arm] + self.b[kind, arm] < 200:
            self.a[kind, arm] += quality
            self.b[kind, arm] += 1 - quality


POLICIES = {
    "random": Random,
    "epsilon-greedy .1": EpsilonGreedy,
    "UCB1": Ucb1,
    "Thompson (Beta, learned cost)": Thompson,
    "LinUCB (.5, one-hot)": LinUcb,
    "track-and-stop": TrackAndStop,
    "Beta-Thompson router": BetaRouter,
}


def play(stream: Stream, value_usd: float, name: str, seed: int) -> np.ndarray:
    """The models that a baseline chooses."""
    t, k = stream.quality.shape
    rng = np.random.default_rng([seed, 7])
    policy = POLICIES[name](k, value_usd, rng, len(stream.table.contexts))
    there = np.ones(k, bool)
    if stream.added:
        there[stream.added[1]] = False
    chosen = np.zeros(t, dtype=np.int64)
    for at in range(t):
        if stream.added and at == stream.added[0]:
            there[stream.added[1]] = True
        context = int(stream.context[at])
        arm = chosen[at] = policy.pull(at, context, there)
        due = at - stream.delay
        if due >= 0 and stream.is_shown[due] and not stream.failed[due]:
            arm = chosen[due]
            policy.learn(arm, int(stream.context[due]), float(stream.shown[due, arm]), float(stream.cost_usd[due, arm]))
    return chosen
