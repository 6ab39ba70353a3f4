"""Where to escalate: below which verifier's score a cheap first answer is not good enough.

In: observations with a verifier's ``score`` of the first answer. Out: weights of thresholds. A learner of its own
because thresholds share what they learn: a unit whose score lay above its threshold kept the cheap answer, and would
have kept it under every lower threshold too; one that escalated would have done so under every higher one. So what is
learned is, per band of scores, how good keeping and escalating are and what they cost; each threshold is a sum of
these, and every unit informs all thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from .cells import Cells, Floats
from .hierarchy import AMOUNT, LEAST_SCALE, QUALITY, Prior
from .learner import Json, clamped
from .objective import Objective
from .observation import Observation
from .states import Reader, StateError

BANDS: Final = 10
"""Bands of equal width that scores are sorted into."""
DRAWS: Final = 256
KEPT, ESCALATED = 0, 1


class Escalation:
    """A :class:`~.learner.Learner` whose arms are thresholds, written as numbers from 0 (never) to 1.01 (always)."""

    KIND = "escalation"

    def __init__(
        self, arms: Sequence[str], objective: Objective, *, incumbent: str | None = None, seed: int = 0
    ) -> None:
        self._arms = list(arms)
        for arm in self._arms:
            _threshold(arm)
        self.objective = objective
        self.incumbent = incumbent if incumbent is not None else self._arms[-1]
        self.seed = seed
        self.price_of_a_dollar = 0.0
        self.cells = {name: _bands() for name in ("quality", "cost", "latency")}
        self.scores = np.zeros(BANDS)
        """Units per band."""

    @property
    def arms(self) -> Sequence[str]:
        """Keys of the thresholds, in the order in which they were added."""
        return list(self._arms)

    def weights(self, context: str | None = None) -> dict[str, float]:
        """How often each threshold may be the best, whatever the context."""
        del context
        rng = np.random.default_rng(self.seed)
        share = rng.dirichlet(self.scores + 0.5, DRAWS)
        above = np.array([_threshold(arm) for arm in self._arms])[:, None] > (np.arange(BANDS) + 0.5) / BANDS
        of_threshold = []
        for name, prior in (("quality", QUALITY), ("cost", AMOUNT), ("latency", AMOUNT)):
            kept, escalated = self._drawn(self.cells[name], prior, rng)
            by_band = np.where(above[None], escalated[:, None, :], kept[:, None, :])
            of_threshold.append((by_band * share[:, None, :]).sum(axis=2))
        quality, cost, latency = of_threshold
        incumbent = self._arms.index(self.incumbent)
        scores = self.objective.scores(quality, cost, latency, incumbent, self.price_of_a_dollar)
        best = np.bincount(scores.argmax(axis=1), minlength=len(self._arms)) / DRAWS
        return clamped(dict(zip(self._arms, best.tolist(), strict=True)))

    def _drawn(self, cells: Cells, prior: Prior, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Possible means of keeping and of escalating, each ``(draws, bands)``: a band's numbers, drawn towards the
        mean over all bands as if that were as many numbers as the prior says.
        """
        n, mean = cells.n[1:], cells.mean[1:]
        totals = cells.totals()
        overall = np.where(totals > 0, cells.overall(), prior.mean if not prior.relative else cells.overall().max())
        size = np.where(overall > LEAST_SCALE, overall, 1.0) if prior.relative else np.ones(2)
        noise = (cells.m2[1:].sum(axis=0) / size**2 + prior.noise_weight * prior.noise) / (
            np.maximum(n - 1, 0).sum(axis=0) + prior.noise_weight
        )
        own = prior.shared + prior.own
        precision = n / noise + 1 / own
        centre = (n / noise * mean / size + overall / size / own) / precision
        drawn = (centre + rng.standard_normal((DRAWS, *centre.shape)) / np.sqrt(precision)) * size
        return drawn[:, :, KEPT], drawn[:, :, ESCALATED]

    def learn(self, observation: Observation) -> None:
        """Take in what came of a unit; without a score it says nothing of thresholds."""
        if observation.score is None or observation.value not in self._arms:
            return
        band = min(int(observation.score * BANDS), BANDS - 1)
        did = ESCALATED if _threshold(observation.value) > (band + 0.5) / BANDS else KEPT
        if not observation.late:
            self.scores[band] += 1.0
        given = (observation.quality, observation.cost_usd, observation.latency_s)
        for cells, x in zip(self.cells.values(), given, strict=True):
            if x is not None:
                cells.add(band + 1, did, x)

    def add_arm(self, arm: str) -> None:
        """Add a threshold; what is known of the bands tells of it at once."""
        if arm in self._arms:
            raise ValueError(f"the arm {arm!r} is there already")
        _threshold(arm)
        self._arms.append(arm)

    def remove_arm(self, arm: str) -> None:
        """Take a threshold out; what it taught stays."""
        self._known(arm)
        if len(self._arms) == 1:
            raise ValueError(f"{arm!r} is the last arm")
        self._arms.remove(arm)
        if arm == self.incumbent:
            self.incumbent = self._arms[-1]

    def reset(self, arm: str) -> None:
        """Forget all quality: thresholds share what they learned, so a change under one is a change under all."""
        self._known(arm)
        self.cells["quality"] = _bands()

    def _known(self, arm: str) -> None:
        if arm not in self._arms:
            raise KeyError(f"no arm {arm!r}; there are {self._arms}")

    def state(self) -> Json:
        """As JSON."""
        return {
            "kind": self.KIND,
            "schema": 1,
            "arms": list(self._arms),
            "objective": self.objective.state(),
            "incumbent": self.incumbent,
            "seed": self.seed,
            "price_of_a_dollar": self.price_of_a_dollar,
            "cells": [cells.state() for cells in self.cells.values()],
            "scores": self.scores.tolist(),
        }

    @classmethod
    def of_state(cls, state: Json) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, cls.KIND, cls.KIND, 1)
        arms = reader.texts("arms", least=1)
        objective = Objective.of_state(reader.take("objective"))
        try:
            made = cls(arms, objective, incumbent=reader.text("incumbent", tuple(arms)), seed=reader.count("seed"))
        except ValueError as error:
            raise StateError(f"{cls.KIND}.arms: {error}") from error
        made.price_of_a_dollar = reader.number("price_of_a_dollar", low=0.0)
        given = reader.take("cells")
        if not isinstance(given, list) or len(given) != len(made.cells):
            raise StateError(f"{cls.KIND}.cells: expected those of {list(made.cells)}, got {given!r}")
        for name, one in zip(made.cells, given, strict=True):
            made.cells[name] = Cells.of_state(one, f"{cls.KIND}.{name}")
            if made.cells[name].n.shape != (BANDS + 1, 2):
                raise StateError(
                    f"{cls.KIND}.{name}: expected {BANDS} bands and two ways, got {made.cells[name].n.shape}"
                )
        made.scores = reader.array("scores", (BANDS,), low=0.0)
        reader.end()
        return made


def _bands() -> Cells:
    """Cells with a row per band and a column per way."""
    cells = Cells(["kept", "escalated"])
    for band in range(BANDS):
        cells.row(str(band))
    return cells


def _threshold(arm: str) -> float:
    """The number that an arm's key is."""
    try:
        value = float(arm)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.01:
        raise ValueError(f"an escalation's arm is a threshold from 0 to 1.01, got {arm!r}")
    return value
