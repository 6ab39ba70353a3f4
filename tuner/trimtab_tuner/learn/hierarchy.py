"""What each arm's mean may be in each context, from few numbers: contexts borrow from each other.

In: :class:`~.cells.Cells`. Out: normal posteriors of the means, pooled and by context. A module of its own because it
is arithmetic alone: it knows neither objectives nor weights.

The model, with K arms: the means of a context are ``u_c ~ N(μ, Γ)``, its cell means ``ȳ_ca ~ N(u_ca, σ_a² / n_ca)``.
Γ has all there is to know of contexts: what they have in common over the arms (a hard context is hard for all) is
taken out of comparisons, and how much arms differ between contexts beyond that decides how far a context with few
numbers is drawn towards the pooled means. μ has a wide normal prior, Γ an inverse-Wishart one whose mode is taken
(empirical Bayes): A. P. Dempster, D. B. Rubin and R. K. Tsutakawa, "Estimation in covariance components models",
Journal of the American Statistical Association 76 (1981), 341-353; one step of their EM per look, from where the last
one ended, because looks are frequent and the data of two of them hardly differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cells import Cells

Floats = NDArray[np.float64]


LEAST_SCALE: Final = 1e-12
"""A cost or latency below which an arm has no size that others could be told relative to."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is taken for true of a measure before anything is known; variances are of the measure, or of its ratio to
    the arm's overall mean where ``relative`` (cost and latency, which differ by factors).
    """

    mean: float
    """Of an arm, as long as no arm has been seen; counts like one number."""
    between_arms: float
    """Variance of the arms' pooled means around that."""
    noise: float
    """Variance within a cell, counting like :attr:`noise_weight` numbers."""
    shared: float
    """Variance between contexts that all arms have in common."""
    own: float
    """Variance between contexts that each arm has for itself."""
    relative: bool = False
    noise_weight: float = 4.0
    context_weight: float = 6.0
    """Contexts that the prior of Γ counts like."""

    def gamma(self, arms: int) -> Floats:
        """Γ before anything is known."""
        return self.shared + np.eye(arms) * self.own


QUALITY = Prior(mean=0.5, between_arms=0.06, noise=0.06, shared=0.03, own=0.001)
"""Shares and scores in [0, 1]."""
AMOUNT = Prior(mean=1.0, between_arms=0.25, noise=0.25, shared=0.25, own=0.04, relative=True)
"""Costs and latencies."""


class Posterior(NamedTuple):
    """Normal posteriors of the arms' means."""

    mean: Floats
    """Pooled, ``(arms,)``."""
    cov: Floats
    """``(arms, arms)``: of the pooled means."""
    row_mean: Floats
    """By context, ``(contexts, arms)``."""
    row_cov: Floats
    """``(contexts, arms, arms)``."""
    gamma: Floats
    """How means vary between contexts, ``(arms, arms)``, relative to ``scale``."""
    scale: Floats
    """Each arm's overall mean for relative measures, else 1."""


def posterior(cells: Cells, prior: Prior, gamma: Floats | None = None) -> Posterior:
    """The means given the numbers.

    Args:
        cells: the numbers. Only row 0: there are no contexts, and pooled and row are the same.
        prior: of this measure.
        gamma: that of the last look; None at the first.
    """
    n, mean = cells.n, cells.mean
    arms = n.shape[1]
    scale = _scale(cells) if prior.relative else np.ones(arms)
    y = mean / scale
    total = n.sum()
    centre = (float((n * y).sum()) + prior.mean) / (total + 1.0)
    freedom = np.maximum(n - 1.0, 0.0).sum(axis=0)
    noise = (cells.m2.sum(axis=0) / scale**2 + prior.noise_weight * prior.noise) / (freedom + prior.noise_weight)
    information = n / noise
    base = np.eye(arms) / prior.between_arms
    if len(n) == 1:
        cov = np.linalg.inv(base + np.diag(information[0]))
        pooled = cov @ (base.sum(axis=1) * centre + information[0] * y[0])
        gamma = prior.gamma(arms) if gamma is None else gamma
        rows = _Rows(pooled[None], np.asarray(cov[None], dtype=np.float64))
    else:
        gamma = prior.gamma(arms) if gamma is None else gamma
        pooled, cov, rows = _contexts(information, y, base, centre, gamma)
        seen = n.sum(axis=1) > 0
        off = rows.mean[seen] - pooled
        moment = np.einsum("ca,cb->ab", off, off) + rows.cov[seen].sum(axis=0)
        gamma = (prior.context_weight * prior.gamma(arms) + moment) / (prior.context_weight + int(seen.sum()))
    outer = np.outer(scale, scale)
    return Posterior(pooled * scale, cov * outer, rows.mean * scale, rows.cov * outer, gamma, scale)


class _Rows(NamedTuple):
    mean: Floats
    cov: Floats


def _contexts(
    information: Floats, y: Floats, base: Floats, centre: float, gamma: Floats
) -> tuple[Floats, Floats, _Rows]:
    """Pooled means with covariance, and those of each context given μ's uncertainty."""
    arms = len(gamma)
    inverse = np.linalg.inv(gamma)
    inner = np.linalg.inv(inverse + information[:, :, None] * np.eye(arms))
    # What a context's numbers say of μ: Λ - Λ (Λ + Γ⁻¹)⁻¹ Λ, which exists for cells without numbers too.
    says = information[:, :, None] * np.eye(arms) - information[:, :, None] * inner * information[:, None, :]
    cov = np.linalg.inv(base + says.sum(axis=0))
    pooled = cov @ (base.sum(axis=1) * centre + np.einsum("cab,cb->a", says, y))
    drawn = inner @ inverse
    mean = np.einsum("cab,cb->ca", inner, information * y) + drawn @ pooled
    return pooled, cov, _Rows(mean, inner + drawn @ cov @ drawn.transpose(0, 2, 1))


def _scale(cells: Cells) -> Floats:
    """Each arm's overall mean; that of the others for an arm without numbers, 1 where nothing is known."""
    seen = (cells.totals() > 0) & (cells.overall() > LEAST_SCALE)
    typical = float(cells.overall()[seen].mean()) if seen.any() else 1.0
    return np.where(seen, cells.overall(), typical)
