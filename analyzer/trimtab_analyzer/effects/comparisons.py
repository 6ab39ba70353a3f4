"""Every comparison of two values of a knob at a line: effects where they were drawn, else associations.

In: :class:`~.units.Units`. Out: :class:`Comparisons`. Per line, knob and measure each value is compared with the
*base*: the value that the code itself sets there, or the commonest. Units that an experiment drew are compared by their
logged propensities, the others within strata of model, task and day, and never both together.

A run counts once for each line and knob. What is left out is counted: runs with several values at the line, without an
outcome, of unknown cost, without a call. They are left out after the draw, so where their share differs between
values, that is told beside the comparison.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from ..statistics import Ints, benjamini_hochberg, codes, e_benjamini_hochberg, number
from . import sequences, stratified
from .sample import Sample
from .units import Units
from .weighting import Estimate, arm_mean, contrast_scores, ipw, least_clusters, snips, weighted_mean

MEASURES: Final = {"success": "success", "cost": "cost_usd", "latency": "latency_s"}
"""What is compared: share of runs that succeeded, USD of the whole run, mean seconds of its calls at the line."""
LEVEL: Final = 0.05
"""Expected share of false ones among the effects that are declared, at most."""
CLEAR: Final = 0.03
"""The same for associations that are called clear: less, because their p-values hold only in the limit of many runs."""
LEAST_RUNS: Final = 5
"""Runs with each value below which no comparison is made."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One value against the base, drawn at random with known probabilities."""

    site_id: str
    knob: str
    base: str
    value: str
    measure: str
    runs_base: int
    runs_value: int
    mean_base: float
    mean_value: float
    """Self-normalised: what all runs would have come to under the value."""
    ipw: Estimate
    snips: Estimate
    dr: Estimate
    low: float
    """Interval around ``dr`` that holds at any time, at 95 %."""
    high: float
    log_e: float
    is_exact: bool
    """The interval holds at every size; else as the number of runs grows."""
    is_adaptive: bool
    """Propensities changed along the way: then only ``low`` and ``high`` hold for sure."""
    missing_base: int
    """Runs that drew the base and could not be counted."""
    missing_value: int
    is_declared: bool = False
    """The e-value stands among all comparisons of the measure (e-BH at 5 %)."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        said = asdict(self) | {name: getattr(self, name).as_json() for name in ("ipw", "snips", "dr")}
        return said | {name: number(getattr(self, name)) for name in ("low", "high", "log_e")} | {"kind": "effect"}


@dataclass(frozen=True, slots=True)
class Association:
    """One value against the base, within strata; nobody drew them."""

    site_id: str
    knob: str
    base: str
    value: str
    measure: str
    runs_base: int
    runs_value: int
    mean_base: float
    mean_value: float
    difference: float
    """Value minus base within strata."""
    low: float
    high: float
    p: float
    strata: int
    by: tuple[str, ...]
    """What strata are made of."""
    left_out: int
    """Runs in strata in which only one of the two values occurred."""
    missing: int
    """Runs that could not be counted."""
    q: float = 1.0
    """Benjamini-Hochberg over all comparisons made."""
    is_clear: bool = False

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        bounds = {"low": number(self.low), "high": number(self.high)}
        return asdict(self) | bounds | {"by": list(self.by), "kind": "association"}


@dataclass(frozen=True, slots=True)
class Comparisons:
    """All of them, and what was left out."""

    effects: tuple[Effect, ...]
    associations: tuple[Association, ...]
    outcomes: dict[str, Any]
    """See :meth:`~.units.Units.outcomes`."""
    mixed: int
    """Runs with several values of one knob at one line, summed over lines and knobs."""

    def as_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "effects": [effect.as_json() for effect in self.effects],
            "associations": [association.as_json() for association in self.associations],
            "outcomes": self.outcomes,
            "mixed": self.mixed,
        }


def compare_values(units: Units) -> Comparisons:
    """Every comparison that the units allow."""
    effects: list[Effect] = []
    associations: list[Association] = []
    mixed = units.rows["value"].null_count()
    rows = units.rows.filter(pl.col("value").is_not_null())
    for key, group in rows.group_by("site_id", "knob", maintain_order=True):
        place = (str(key[0]), str(key[1]))
        drawn, other = group.filter("is_drawn"), group.filter(~pl.col("is_drawn"))
        effects += [found for base, value in _pairs(drawn) for found in _effects(place, drawn, base, value)]
        associations += [found for base, value in _pairs(other) for found in _associations(place, other, base, value)]
    return Comparisons(_declared(effects), _corrected(associations), units.outcomes(), mixed)


def _pairs(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """The base with each other value that enough runs got."""
    counts = rows["value"].value_counts(sort=True).filter(pl.col("count") >= LEAST_RUNS)
    values = counts["value"].to_list()
    if len(values) < 2:
        return []
    own = rows["own"].drop_nulls()
    base = own[0] if len(own) and own[0] in values else values[0]
    return [(base, value) for value in values if value != base]


def effect(sample: Sample, base: int, other: int, *, is_share: bool) -> tuple[Estimate, sequences.Sequence]:
    """The doubly robust estimate of ``other`` minus ``base``, and the interval that holds at any time."""
    scores = contrast_scores(sample, base, other, is_share=is_share)
    least = least_clusters(sample, (base, other))
    estimate = weighted_mean(scores, least)
    if is_share:
        return estimate, sequences.betting(scores)
    return estimate, sequences.asymptotic(estimate, len(scores.score), least)


def _effects(place: tuple[str, str], drawn: pl.DataFrame, base: str, value: str) -> list[Effect]:
    arms = drawn["value"].unique(maintain_order=True).to_list()
    first, second = arms.index(base), arms.index(value)
    found = []
    for measure, column in MEASURES.items():
        known = drawn.filter(pl.col(column).is_not_null())
        runs, all_runs = (dict(frame["value"].value_counts().iter_rows()) for frame in (known, drawn))
        if min(runs.get(base, 0), runs.get(value, 0)) < LEAST_RUNS:
            continue
        names = ("model", "task") if place[1] != "model" else ("task",)
        sample = Sample.of(
            np.array([arms.index(one) for one in known["value"]]),
            known["propensity"].to_numpy(),
            known[column].cast(pl.Float64).to_numpy(),
            floor=known["floor"].to_numpy(),
            stratum=_strata(known, names),
            cluster=known["root"].to_numpy(),
        )
        is_share = measure == "success"
        estimate, held = effect(sample, first, second, is_share=is_share)
        per_arm = known.group_by("value").agg(pl.col("propensity").n_unique())["propensity"]
        found.append(
            Effect(
                *place,
                base,
                value,
                measure,
                runs[base],
                runs[value],
                arm_mean(sample, first)[0],
                arm_mean(sample, second)[0],
                ipw(sample, first, second),
                snips(sample, first, second),
                estimate,
                held.low,
                held.high,
                held.log_e,
                held.is_exact,
                bool((per_arm > 1).any()),
                all_runs[base] - runs[base],
                all_runs[value] - runs[value],
            )
        )
    return found


def _strata(rows: pl.DataFrame, names: tuple[str, ...]) -> Ints:
    return codes(rows.select(pl.concat_str([pl.col(n).fill_null("") for n in names], separator="\0"))[:, 0].to_numpy())


def _associations(place: tuple[str, str], rows: pl.DataFrame, base: str, value: str) -> list[Association]:
    pair = rows.filter(pl.col("value").is_in([base, value]))
    by = ("model", "task", "day") if place[1] != "model" else ("task", "day")
    found = []
    for measure, column in MEASURES.items():
        known = pair.filter(pl.col(column).is_not_null())
        is_second = (known["value"] == value).cast(pl.Float64).to_numpy()
        if min(is_second.sum(), len(is_second) - is_second.sum()) < LEAST_RUNS:
            continue
        made = stratified.contrast(
            known[column].cast(pl.Float64).to_numpy(),
            is_second,
            _strata(known, by),
            codes(known["root"].to_numpy()),
            is_share=measure == "success",
        )
        if made is not None:
            found.append(
                Association(
                    *place,
                    base,
                    value,
                    measure,
                    made.n_first,
                    made.n_second,
                    made.mean_first,
                    made.mean_second,
                    made.estimate,
                    made.low,
                    made.high,
                    made.p,
                    made.strata,
                    by,
                    made.left_out,
                    pair.height - known.height,
                )
            )
    return found


def _declared(effects: list[Effect]) -> tuple[Effect, ...]:
    """Each measure is a question of its own: those of one are corrected together."""
    marked: dict[int, bool] = {}
    for measure in MEASURES:
        places = [i for i, one in enumerate(effects) if one.measure == measure]
        with np.errstate(over="ignore"):
            stands = e_benjamini_hochberg(np.exp([effects[i].log_e for i in places]), LEVEL) if places else ()
        marked |= {i: bool(yes) for i, yes in zip(places, stands, strict=True)}
    return tuple(replace(one, is_declared=marked[i]) for i, one in enumerate(effects))


def _corrected(associations: list[Association]) -> tuple[Association, ...]:
    adjusted = benjamini_hochberg([one.p for one in associations])
    return tuple(
        replace(one, q=float(q), is_clear=bool(q <= CLEAR)) for one, q in zip(associations, adjusted, strict=True)
    )
