"""Thompson sampling on what the means may be: an arm is drawn as often as it may be the best.

In: observations. Out: weights, pooled and by context. The policy needs probabilities, not a choice, so the share of
:data:`DRAWS` in which each arm is best is computed and published; the agent draws from it.

W. R. Thompson, "On the likelihood that one unknown probability exceeds another in view of the evidence of two
samples", Biometrika 25 (1933), 285-294; with normal posteriors of the *means* (the predictive distribution would never
settle). Quality, cost, latency and errors are learned apart (:mod:`.hierarchy`) and joined by the objective: a cost is
known after one unit, a quality after many, and a declared price beats both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from .cells import Cells, Floats
from .hierarchy import AMOUNT, QUALITY, Posterior, posterior
from .learner import Json, clamped
from .objective import Objective
from .observation import Observation
from .states import Reader, StateError

DRAWS: Final = 256
"""Draws from the posterior per look: a weight's own error is then at most .031."""
SPLIT: Final = 5
"""Rewards that a context must have before it gets weights of its own. So few, because what it gets is drawn towards the
pooled means as far as contexts were seen to differ (:mod:`.hierarchy`); waiting for 40 in every cell was measured to
forgo most of what contexts bring (docs/decisions/0028)."""
OUT: Final = 2.0
"""Posterior standard deviations by which an arm is worse than the best one when it is not drawn (at this look)."""
LEAST: Final = 10
"""Rewards of an arm, over all contexts, before which it is not left out anywhere."""
ERROR_WEIGHT: Final = 10.0
"""Units that the share of errors over all arms counts for in that of one arm."""
_PRIORS: Final = {"quality": QUALITY, "cost": AMOUNT, "latency": AMOUNT}


class Thompson:
    """A :class:`~.learner.Learner`; with ``contexts`` each context that has enough rewards gets weights of its own."""

    KIND = "thompson"
    SCHEMA = 1

    def __init__(
        self,
        arms: Sequence[str],
        objective: Objective,
        *,
        incumbent: str | None = None,
        contexts: bool = False,
        prices: Mapping[str, float] | None = None,
        seed: int = 0,
        split: int = SPLIT,
    ) -> None:
        self.objective = objective
        self.incumbent = incumbent if incumbent is not None else arms[0]
        self.contexts = contexts
        self.prices = dict(prices or {})
        """Declared cost of a unit, USD; beats what is learned."""
        self.price_of_a_dollar = 0.0
        """Set by whoever paces the spending (:mod:`.pacer`)."""
        self.seed = seed
        self.split = split
        self.cells = {name: Cells(arms) for name in _PRIORS}
        self.units, self.errors = np.zeros(len(arms)), np.zeros(len(arms))
        self._gammas: dict[str, Floats | None] = dict.fromkeys(_PRIORS)
        self._published: dict[str | None, dict[str, float]] | None = None

    @property
    def arms(self) -> Sequence[str]:
        """Keys of the arms, in the order in which they were added."""
        return self.cells["quality"].arms

    def weights(self, context: str | None = None) -> dict[str, float]:
        """Probability of each arm for a unit of this context; an arm that is surely worse there is left out."""
        table = self.table()
        return dict(table.get(context, table[None]))

    def table(self) -> dict[str | None, dict[str, float]]:
        """All weights at once: those for everywhere (None), and of each context that has enough rewards."""
        if self._published is None:
            self._published = self._weigh()
        return self._published

    def learn(self, observation: Observation) -> None:
        """Take in what came of a unit."""
        try:
            column = self.cells["quality"].arms.index(observation.value)
        except ValueError:
            return
        self._published = None
        context = observation.context if self.contexts else None
        if not observation.late:
            self.units[column] += 1
            self.errors[column] += observation.failed
        given = (observation.quality, observation.cost_usd, observation.latency_s)
        for cells, x in zip(self.cells.values(), given, strict=True):
            if x is not None:
                cells.add(cells.row(context), column, x)

    def add_arm(self, arm: str) -> None:
        """Add an arm of which nothing is known."""
        if arm in self.arms:
            raise ValueError(f"the arm {arm!r} is there already")
        for cells in self.cells.values():
            cells.add_arm(arm)
        self.units, self.errors = np.append(self.units, 0.0), np.append(self.errors, 0.0)
        self._changed()

    def remove_arm(self, arm: str) -> None:
        """Take an arm out, with all that was learned of it."""
        column = self._column(arm)
        if len(self.arms) == 1:
            raise ValueError(f"{arm!r} is the last arm")
        for cells in self.cells.values():
            cells.remove_arm(arm)
        self.units, self.errors = np.delete(self.units, column), np.delete(self.errors, column)
        if arm == self.incumbent:
            self.incumbent = self.arms[0]
        self._changed()

    def reset(self, arm: str) -> None:
        """Forget an arm's quality and errors; what it costs and how long it takes is watched apart."""
        column = self._column(arm)
        self.cells["quality"].forget(column)
        self.units[column] = self.errors[column] = 0.0
        self._changed()

    def reprice(self, arm: str, price_usd: float | None, factor: float = 1.0) -> None:
        """A price changed: declare the cost of a unit (None: learn it), and scale what was learned by ``factor``."""
        self.cells["cost"].scale(self._column(arm), factor)
        self.prices.pop(arm, None)
        if price_usd is not None:
            self.prices[arm] = price_usd
        self._published = None

    def believed(self) -> dict[str, Posterior | None]:
        """The posteriors of quality, cost and latency now, after one more step of their EM; None for a measure that no
        unit had, and for which no price is declared.
        """
        found: dict[str, Posterior | None] = {}
        for name, prior in _PRIORS.items():
            found[name] = None
            if self.cells[name].n.any() or (name == "cost" and self.prices):
                one = posterior(self.cells[name], prior, self._gammas[name])
                self._gammas[name] = one.gamma
                found[name] = self._declared(one) if name == "cost" else one
        return found

    def _declared(self, learned: Posterior) -> Posterior:
        """With declared prices in place of learned costs: they are known, and the same in every context."""
        for arm, price in self.prices.items():
            if arm in self.arms:
                column = self._column(arm)
                learned.mean[column] = learned.row_mean[:, column] = price
                for cov in (learned.cov, learned.row_cov):
                    cov[..., column, :] = cov[..., :, column] = 0.0
        return learned

    def _weigh(self) -> dict[str | None, dict[str, float]]:
        """Weights from the posteriors of this look: the pooled ones first, then of contexts that may split."""
        believed = self.believed()
        counts = self.cells["quality"].n
        asked: dict[str | None, int] = {}
        if self.contexts:
            rows = self.cells["quality"].rows.items()
            asked = {context: row for context, row in rows if context is not None and counts[row].sum() >= self.split}
        rng = np.random.default_rng(self.seed)
        quality, cost, latency = (self._drawn(name, one, list(asked), rng) for name, one in believed.items())
        scores = self.objective.scores(
            quality * (1.0 - self.error_shares()), cost, latency, self._column(self.incumbent), self.price_of_a_dollar
        )
        shares, out = _standing(scores, counts.sum(axis=0) >= LEAST)
        table: dict[str | None, dict[str, float]] = {}
        for at, context in enumerate([None, *asked]):
            own = {arm: float(shares[at, i]) for i, arm in enumerate(self.arms) if not out[at, i]}
            table[context] = clamped(own)
        return table

    def _drawn(
        self, name: str, believed: Posterior | None, contexts: list[str | None], rng: np.random.Generator
    ) -> Floats:
        """Possible means of one measure, ``(1 + contexts, draws, arms)``, pooled first; of a context in which the
        measure has not been seen the pooled ones.
        """
        if believed is None:
            return np.zeros((1 + len(contexts), 1, len(self.arms)))
        rows = self.cells[name].rows
        at = [rows.get(context) for context in contexts]
        mean = np.stack([believed.mean, *(believed.mean if r is None else believed.row_mean[r] for r in at)])
        cov = np.stack([believed.cov, *(believed.cov if r is None else believed.row_cov[r] for r in at)])
        normal = rng.standard_normal((DRAWS, len(self.arms)))
        return np.asarray(mean[:, None, :] + normal @ _root(cov).transpose(0, 2, 1))

    def error_shares(self) -> Floats:
        """Share of each arm's units that an error ended, drawn towards that of all."""
        overall = self.errors.sum() / max(self.units.sum(), 1.0)
        return np.asarray((self.errors + ERROR_WEIGHT * overall) / (self.units + ERROR_WEIGHT))

    def _changed(self) -> None:
        """The set of arms or what is known of one is another: the covariance of contexts is found anew."""
        self._gammas = dict.fromkeys(_PRIORS)
        self._published = None

    def _column(self, arm: str) -> int:
        if arm not in self.arms:
            raise KeyError(f"no arm {arm!r}; there are {list(self.arms)}")
        return self.cells["quality"].arms.index(arm)

    def state(self) -> Json:
        """As JSON."""
        return {
            "kind": self.KIND,
            "schema": self.SCHEMA,
            "objective": self.objective.state(),
            "incumbent": self.incumbent,
            "contexts": self.contexts,
            "prices": dict(self.prices),
            "price_of_a_dollar": self.price_of_a_dollar,
            "seed": self.seed,
            "split": self.split,
            "cells": {name: cells.state() for name, cells in self.cells.items()},
            "gammas": {name: None if g is None else g.tolist() for name, g in self._gammas.items()},
            "units": self.units.tolist(),
            "errors": self.errors.tolist(),
        }

    @classmethod
    def of_state(cls, state: Json) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, "thompson", cls.KIND, cls.SCHEMA)
        given, gammas = reader.members("cells", _PRIORS), reader.members("gammas", _PRIORS)
        cells = {name: Cells.of_state(one, f"thompson.cells.{name}") for name, one in given.items()}
        arms = cells["quality"].arms
        if any(one.arms != arms for one in cells.values()):
            raise StateError("thompson.cells: the measures are not of the same arms")
        learner = cls(
            arms,
            Objective.of_state(reader.take("objective")),
            incumbent=reader.text("incumbent", tuple(arms)),
            contexts=reader.flag("contexts"),
            prices=reader.numbers("prices", low=0.0),
            seed=reader.count("seed"),
            split=reader.count("split"),
        )
        learner.cells = cells
        learner.price_of_a_dollar = reader.number("price_of_a_dollar", low=0.0)
        learner.units = reader.array("units", (len(arms),), low=0.0)
        learner.errors = reader.array("errors", (len(arms),), low=0.0)
        reader.end()
        learner._gammas = {name: None if one is None else _gamma(one, name, len(arms)) for name, one in gammas.items()}
        return learner


def _standing(scores: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """How often each arm is best in each row, and whether it is so surely worse there that it is left out.

    Args:
        scores: ``(rows, draws, arms)``.
        known: ``(arms,)``, which have enough rewards to be left out at all.
    """
    best = scores.argmax(axis=2)
    shares = np.stack([(best == arm).mean(axis=1) for arm in range(scores.shape[2])], axis=1)
    lead = shares.argmax(axis=1)
    gap = np.take_along_axis(scores, lead[:, None, None], axis=2) - scores
    out = (gap.mean(axis=1) > OUT * gap.std(axis=1)) & known
    out[np.arange(len(out)), lead] = False
    return shares, out


def _root(cov: Floats) -> Floats:
    """Matrices whose products with their transposes are ``cov``; zero rows (declared prices) stay zero."""
    sd = np.sqrt(np.maximum(np.diagonal(cov, axis1=-2, axis2=-1), 1e-300))
    correlation = cov / (sd[..., :, None] * sd[..., None, :]) + 1e-9 * np.eye(cov.shape[-1])
    return np.asarray(np.linalg.cholesky(correlation) * sd[..., :, None])


def _gamma(given: Any, name: str, arms: int) -> Floats:
    """A covariance that was written down: symmetric, and no context is without variance."""
    reader = Reader({"kind": "gamma", "schema": 1, name: given}, "thompson.gammas", "gamma", 1)
    gamma = reader.array(name, (arms, arms))
    if not np.allclose(gamma, gamma.T) or np.linalg.eigvalsh(gamma).min() <= 0:
        raise StateError(f"thompson.gammas.{name}: expected a covariance matrix, got {given!r}")
    return gamma
