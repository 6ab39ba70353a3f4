"""The published ``paretobandit`` package as a baseline, where it is installed (``pip install paretobandit``).

In: a stream. Out: the models it chooses. Its core policy (disjoint LinUCB with forgetting) as the package sets it by
default, alpha .01 and forgetting .997, cold, and without its embeddings, which need a model download: the context is
one-hot with a bias instead, and cost enters as the penalty ``mean cost / V`` that its ``select_arm`` takes.
"""

from __future__ import annotations

import importlib.util

import numpy as np

from .policies import Random

NAME = "paretobandit 0.1.1 (one-hot)"


def is_installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("pareto_bandit") is not None


class ParetoBandit(Random):
    """The package's policy."""

    def prepare(self) -> None:
        """One arm per model."""
        from pareto_bandit.config import BEST_K3_HPARAMS
        from pareto_bandit.policy import DisjointLinUCBPolicy

        self.names = [str(arm) for arm in range(self.k)]
        self.policy = DisjointLinUCBPolicy(
            self.names,
            dim=self.contexts + 1,
            alpha=BEST_K3_HPARAMS["alpha"],
            forgetting_factor=BEST_K3_HPARAMS["forgetting_factor"],
            seed=int(self.rng.integers(2**31)),
        )
        self.cost = np.zeros(self.k)

    def _features(self, context: int) -> np.ndarray:
        x = np.zeros(self.contexts + 1)
        x[context] = x[-1] = 1.0
        return x

    def pull(self, t: int, context: int, there: np.ndarray) -> int:
        """Its choice; time goes on by one request."""
        del t
        penalties = {name: self.cost[i] / max(self.n[i], 1) / self.value_usd for i, name in enumerate(self.names)}
        candidates = [name for i, name in enumerate(self.names) if there[i]]
        name, _ = self.policy.select_arm(self._features(context), candidates, penalties)
        self.policy.mark_selected(name)
        return int(name)

    def learn(self, arm: int, context: int, quality: float, cost_usd: float) -> None:
        """Feedback, as it comes after a request."""
        self.n[arm] += 1
        self.cost[arm] += cost_usd
        self.policy.update(self.names[arm], self._features(context), quality, advance_time=False)
