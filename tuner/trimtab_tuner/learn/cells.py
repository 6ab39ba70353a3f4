"""Sums of one measure by context and arm: all that the estimates need, whatever the number of units.

In: one number at a time. Out: per cell its count, mean and sum of squares around the mean. A module of its own because
quality, cost and latency are kept alike and apart, and because it is this that is written down as state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from .states import Reader, StateError

Floats = NDArray[np.float64]

MOST_CONTEXTS: Final = 200
"""Contexts that are told apart; units of later ones count as having none."""


class Cells:
    """Counts ``n``, means ``mean`` and ``m2`` (sum of squared deviations), each ``(contexts, arms)``.

    Row 0 is for units without a context. Means and deviations follow B. P. Welford, "Note on a method for calculating
    corrected sums of squares and products", Technometrics 4 (1962), 419-420.
    """

    KIND = "cells"

    def __init__(self, arms: Sequence[str]) -> None:
        self.arms = list(arms)
        self.rows: dict[str | None, int] = {None: 0}
        self.n, self.mean, self.m2 = (np.zeros((1, len(self.arms))) for _ in range(3))

    def row(self, context: str | None) -> int:
        """The row of a context, a new one if there is room."""
        found = self.rows.get(context)
        if found is None:
            if len(self.rows) > MOST_CONTEXTS:
                return 0
            found = self.rows[context] = len(self.rows)
            blank = np.zeros((1, len(self.arms)))
            self.n, self.mean, self.m2 = (np.concatenate((a, blank)) for a in (self.n, self.mean, self.m2))
        return found

    def add(self, row: int, column: int, x: float) -> None:
        """Count one number."""
        n = self.n.item(row, column) + 1.0
        mean = self.mean.item(row, column)
        step = x - mean
        self.n[row, column] = n
        self.mean[row, column] = mean + step / n
        self.m2[row, column] += step * (x - mean - step / n)

    def scale(self, column: int, factor: float) -> None:
        """As if every number of an arm had been ``factor`` times as large."""
        self.mean[:, column] *= factor
        self.m2[:, column] *= factor**2

    def forget(self, column: int) -> None:
        """As if an arm had never been drawn."""
        for array in (self.n, self.mean, self.m2):
            array[:, column] = 0.0

    def add_arm(self, arm: str) -> None:
        """One more column."""
        self.arms.append(arm)
        blank = np.zeros((len(self.rows), 1))
        self.n, self.mean, self.m2 = (np.concatenate((a, blank), axis=1) for a in (self.n, self.mean, self.m2))

    def remove_arm(self, arm: str) -> None:
        """One column less."""
        column = self.arms.index(arm)
        del self.arms[column]
        self.n, self.mean, self.m2 = (np.delete(a, column, axis=1) for a in (self.n, self.mean, self.m2))

    def totals(self) -> Floats:
        """How many numbers each arm has over all contexts."""
        return np.asarray(self.n.sum(axis=0))

    def overall(self) -> Floats:
        """Each arm's mean over all its numbers; 0 where it has none."""
        return np.asarray((self.n * self.mean).sum(axis=0) / np.maximum(self.totals(), 1.0))

    def state(self) -> dict[str, Any]:
        """As JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("n", "mean", "m2")}
        return {"kind": self.KIND, "schema": 1, "arms": list(self.arms), "contexts": list(self.rows)[1:], **arrays}

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        cells = cls(reader.texts("arms", least=1))
        contexts = reader.texts("contexts")
        if len(contexts) > MOST_CONTEXTS:
            raise StateError(f"{where}: expected at most {MOST_CONTEXTS} contexts, got {len(contexts)}")
        cells.rows |= {context: index + 1 for index, context in enumerate(contexts)}
        shape = (len(cells.rows), len(cells.arms))
        cells.n, cells.m2 = reader.array("n", shape, low=0.0), reader.array("m2", shape, low=-1e-6)
        cells.mean = reader.array("mean", shape)
        reader.end()
        return cells
