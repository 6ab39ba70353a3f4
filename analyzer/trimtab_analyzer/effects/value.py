"""Off-policy value: what a policy that never ran would have come to, from draws under the one that did.

In: a :class:`~.sample.Sample` and a candidate: for each context the probability of each value. Out: a :class:`Value`
with its interval and the effective sample size, or :class:`NoOverlap` where the log says too little about the
candidate. A module of its own because it compares no two values but weighs all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trimtab_tracer.errors import TrimtabError, near

from ..statistics import Floats, cluster_sums, cluster_variance, number
from . import sequences
from .sample import Sample
from .weighting import Estimate, Scores, by_cluster, predicted, weighted_mean

LEAST_EFFECTIVE: Final = 30.0
"""Effective units below which no value is given."""
LEAST_SHARE: Final = 0.01
"""Share of all units that the effective ones must be."""

Candidate = str | Mapping[str, Any]
"""A value for all contexts, ``{value: probability}``, or ``{context: {value: probability}}``; values are JSON texts."""


class NoOverlap(TrimtabError):  # noqa: N818 - "no overlap" already says what is wrong
    """The log holds too few units that did what the candidate would do."""

    @classmethod
    def never_drawn(cls, value: str, context: str, known: Sequence[str]) -> NoOverlap:
        """The candidate wants a value that had probability 0."""
        meant = near(value, known) if value not in known else ""
        return cls(
            f"The candidate gives {value} in context {context}, where it was never drawn; what it would have come to is"
            f" not in the log.{meant} Start an experiment with it: `trimtab experiment start`."
        )

    @classmethod
    def too_few(cls, effective: float, n: int) -> NoOverlap:
        """The weights leave too few effective units."""
        return cls(
            f"The candidate does so rarely what {n} independent logged units did that they weigh as much as"
            f" {effective:.0f} drawn under it, and {max(LEAST_EFFECTIVE, LEAST_SHARE * n):.0f} are needed (at least"
            f" {LEAST_EFFECTIVE:.0f} and {LEAST_SHARE:.0%} of all). Choose a candidate nearer to what ran, or draw its"
            " values more often."
        )


@dataclass(frozen=True, slots=True)
class Value:
    """What a candidate policy would have come to."""

    n: int
    effective: float
    """``(Σ w)² / Σ w²`` over clusters: independent units drawn under the candidate that would tell as much."""
    logged: float
    """Mean outcome of what ran."""
    ipw: Estimate
    snips: Estimate
    dr: Estimate
    low: float
    """Interval that holds at any time, around the doubly robust value."""
    high: float
    is_exact: bool
    """The interval holds at every size (shares); else as the number of units grows."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said: dict[str, Any] = {"n": self.n, "effective": self.effective, "logged": self.logged}
        said |= {name: getattr(self, name).as_json() for name in ("ipw", "snips", "dr")}
        return said | {"low": number(self.low), "high": number(self.high), "is_exact": self.is_exact}


def policy_value(
    sample: Sample, candidate: Candidate, values: Sequence[str], contexts: Sequence[str], *, is_share: bool
) -> Value:
    """The mean outcome if values had been drawn as ``candidate`` says.

    ``w = π(A|X) / p``; IPW ``mean(w Y)``, SNIPS ``Σ w Y / Σ w``, and doubly robust
    ``mean(Σ_a π(a|X) m_a(X) + w (Y - m_A(X)))``: M. Dudík, J. Langford and L. Li, "Doubly robust policy evaluation and
    learning", ICML 2011. Effective units: A. Kong, "A note on importance sampling using standardized weights",
    University of Chicago, Statistics 348 (1992). The interval is a confidence sequence of :mod:`.sequences` over the
    doubly robust rows.

    Args:
        sample: the log; its strata are the contexts.
        candidate: see :data:`Candidate`.
        values: the JSON text of each value, in the order of ``sample.value``.
        contexts: the name of each stratum, in their order.
        is_share: outcomes lie in [0, 1].

    Raises:
        NoOverlap: a needed propensity is 0, or fewer effective units than 30 or than 1 % of all.
        ValueError: probabilities of the candidate do not add up to 1, or a context of the log is missing.
    """
    wanted = _probabilities(sample, candidate, values, contexts)
    weights = wanted[np.arange(len(sample)), sample.value] / sample.propensity
    together = cluster_sums(weights, sample.cluster)  # units that depend on each other tell as much as one
    effective = float(together.sum() ** 2 / (together**2).sum()) if weights.any() else 0.0
    if effective < max(LEAST_EFFECTIVE, LEAST_SHARE * len(together)):
        raise NoOverlap.too_few(effective, len(together))
    clusters = len(np.unique(sample.cluster[weights > 0]))
    plain = weights * sample.outcome
    mean, ratio = float(plain.mean()), float(plain.sum() / weights.sum())
    scores = _scores(sample, wanted, weights, is_share)
    dr = weighted_mean(scores, clusters)
    units = len(scores.score)
    held = sequences.betting(scores) if is_share else sequences.asymptotic(dr, units, clusters)
    return Value(
        n=len(sample),
        effective=effective,
        logged=float(sample.outcome.mean()),
        ipw=Estimate.of(mean, cluster_variance((plain - mean) / len(sample), sample.cluster), clusters),
        snips=Estimate.of(
            ratio, cluster_variance(weights * (sample.outcome - ratio) / weights.sum(), sample.cluster), clusters
        ),
        dr=dr,
        low=max(0.0, held.low) if is_share else held.low,
        high=min(1.0, held.high) if is_share else held.high,
        is_exact=held.is_exact,
    )


def _probabilities(sample: Sample, candidate: Candidate, values: Sequence[str], contexts: Sequence[str]) -> Floats:
    """Per unit and value the probability that the candidate gives it."""
    table = np.zeros((len(contexts), len(values)))
    given: Mapping[str, Any] = {candidate: 1.0} if isinstance(candidate, str) else candidate
    is_by_context = any(isinstance(one, Mapping) for one in given.values())
    for row, context in enumerate(contexts):
        wanted = given.get(context) if is_by_context else given
        if wanted is None:
            raise ValueError(f"the candidate says nothing about context {context!r}; it names {', '.join(given)}")
        if abs(sum(wanted.values()) - 1) > 1e-6 or min(wanted.values()) < 0:
            raise ValueError(f"the candidate's probabilities in context {context!r} do not add up to 1: {dict(wanted)}")
        drawn = {values[index] for index in np.unique(sample.value[sample.stratum == row])}
        for value, probability in wanted.items():
            if probability > 0 and value not in drawn:
                raise NoOverlap.never_drawn(value, context, values)
            if probability > 0:
                table[row, values.index(value)] = probability
    return np.asarray(table[sample.stratum])


def _scores(sample: Sample, wanted: Floats, weights: Floats, is_share: bool) -> Scores:
    prior = 0.5 if is_share else None
    models = np.column_stack([predicted(sample, arm, prior) for arm in range(wanted.shape[1])])
    expected = models[np.arange(len(sample)), sample.value]
    rows = (wanted * models).sum(axis=1) + weights * (sample.outcome - expected)
    bound = np.maximum(1.0, wanted.max(axis=1) / sample.floor) + 1.0
    return by_cluster(sample, rows, bound, is_share)
