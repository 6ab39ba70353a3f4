"""Every comparison of two values of a knob at a line: effects where they were drawn, else associations.

In: :class:`~.units.Units`. Out: :class:`Comparisons`. Per line, knob and measure each value is compared with the
*base*: the value that the code itself sets there, or the commonest. Units that an experiment drew are compared by their
logged propensities, the others within strata of model, task and day, and never both together.

A run counts once for each line and knob. What is left out is counted: runs with several values at the line, without an
outcome, of unknown cost, without a call. They are left out after the draw, so where their share differs between
values, that is told beside the comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from ..statistics import benjamini_hochberg, codes, e_benjamini_hochberg
from . import sequences, stratified
from .answers import Association, Comparisons, Effect
from .sample import Sample
from .units import Units, canonical
from .weighting import Estimate, arm_mean, contrast_scores, ipw, least_clusters, snips, weighted_mean

MEASURES: Final = {"success": "success", "cost": "cost_usd", "latency": "latency_s"}
"""What is compared: share of runs that succeeded, USD of the whole run, mean seconds of its calls at the line."""
LEVEL: Final = 0.05
"""Expected share of false ones among the effects that are declared, at most."""
CLEAR: Final = 0.03
"""The same for associations that are called clear: less, because their p-values hold only in the limit of many runs."""
STRATA: Final = (("model", "task"), ("task",), ("model", "task", "day"), ("task", "day"))
"""What units are alike in: of drawn values and of others, and where the knob is the model itself."""
LEAST_RUNS: Final = 5
"""Runs with each value below which no comparison is made."""


class Line(NamedTuple):
    """A knob at a line, as :class:`~.answers.Pair` begins."""

    site_id: str
    place: str
    knob: str


def compare_values(units: Units) -> Comparisons:
    """Every comparison that the units allow."""
    effects: list[Effect] = []
    associations: list[Association] = []
    mixed = units.rows["value"].null_count()
    rows = units.rows.filter(pl.col("value").is_not_null()).join(
        _numbered(units.rows.unique("run_id")), on="run_id", maintain_order="left"
    )
    for key, group in rows.group_by("site_id", "knob", maintain_order=True):
        site_id = str(key[0])
        place = Line(site_id, units.places.get(site_id, site_id), str(key[1]))
        drawn, other = group.filter("is_drawn"), group.filter(~pl.col("is_drawn"))
        effects += [found for base, value in _pairs(drawn) for found in _effects(place, drawn, base, value)]
        associations += [found for base, value in _pairs(other) for found in _associations(place, other, base, value)]
    return Comparisons(_declared(effects), _corrected(associations), units.outcomes(), mixed)


def _numbered(runs: pl.DataFrame) -> pl.DataFrame:
    """Per run ``cluster`` and the stratum of each of :data:`STRATA` as numbers, which are cheap to compare by."""
    return runs.select(
        "run_id", cluster=pl.col("root").rank("dense"), **{_column(by): _label(by).rank("dense") for by in STRATA}
    )


def _column(by: tuple[str, ...]) -> str:
    return "stratum: " + " / ".join(by)


def _label(by: tuple[str, ...]) -> pl.Expr:
    """The stratum as its name."""
    return pl.concat_str([pl.col(name).fill_null("unknown") for name in by], separator=" / ")


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


class Logged(NamedTuple):
    """Drawn units as the estimators take them, with the names behind the numbers."""

    sample: Sample
    values: list[str]
    """JSON text of each value, in the order of ``sample.value``."""
    contexts: list[str]
    """Name of each stratum, in the order of ``sample.stratum``."""
    is_share: bool
    """The measure lies in [0, 1]."""


def logged(
    units: Units, site_id: str, knob: str, measure: str, by: Sequence[str] = (), values: Sequence[str] = ()
) -> Logged:
    """What an experiment drew of ``knob`` at a line and what came of it, for :func:`~.value.policy_value`.

    Args:
        units: of the store.
        site_id: the line.
        knob: the knob.
        measure: ``success``, ``cost`` or ``latency``.
        by: contexts are the combinations of these, of ``model``, ``task`` and ``day``; all runs are one without.
        values: only units that could have got each of these (JSON texts) count.
    """
    here = (
        (pl.col("site_id") == site_id) & (pl.col("knob") == knob) & pl.col("is_drawn") & pl.col("value").is_not_null()
    )
    drawn = _possible(units.rows.filter(here & pl.col(MEASURES[measure]).is_not_null()), values)
    drawn = drawn.with_columns(cluster=pl.col("root").rank("dense"), stratum=_label(tuple(by)) if by else pl.lit("all"))
    sample, drawn_values = _sample(drawn, measure, drawn["stratum"].rank("dense"))
    return Logged(sample, drawn_values, sorted(drawn["stratum"].unique()), measure == "success")


def _possible(drawn: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """The units that could have got each of the values: an arm added later had probability 0 before.

    A value that is no arm's anywhere is the incumbent's. What the policy gave is unknown where its version is gone;
    such units are kept.
    """
    arms = pl.col("arms")
    named = set(drawn["arms"].unique().explode().drop_nulls().to_list())
    for value in values:
        has = arms.list.contains(canonical(value)) if canonical(value) in named else pl.col("has_incumbent")
        drawn = drawn.filter(arms.is_null() | has)
    return drawn


def _sample(drawn: pl.DataFrame, measure: str, stratum: pl.Series) -> tuple[Sample, list[str]]:
    """The units as arrays, and the values in the order of their numbers."""
    sample = Sample.of(
        drawn["value"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        drawn["propensity"].to_numpy(),
        drawn[MEASURES[measure]].cast(pl.Float64).to_numpy(),
        floor=drawn["floor"].to_numpy(),
        stratum=stratum.to_numpy(),
        cluster=drawn["cluster"].to_numpy(),
    )
    return sample, sorted(drawn["value"].unique())


def _effects(place: Line, all_drawn: pl.DataFrame, base: str, value: str) -> list[Effect]:
    drawn = _possible(all_drawn, (base, value))
    all_runs = dict(drawn["value"].value_counts().iter_rows())
    by = STRATA[1] if place.knob == "model" else STRATA[0]
    found = []
    for measure, column in MEASURES.items():
        known = drawn.filter(pl.col(column).is_not_null())
        runs = dict(known["value"].value_counts().iter_rows())
        if min(runs.get(base, 0), runs.get(value, 0)) < LEAST_RUNS:
            continue
        sample, values = _sample(known, measure, known[_column(by)])
        first, second = values.index(base), values.index(value)
        estimate, held = effect(sample, first, second, is_share=measure == "success")
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


def _associations(place: Line, rows: pl.DataFrame, base: str, value: str) -> list[Association]:
    pair = rows.filter(pl.col("value").is_in([base, value]))
    by = STRATA[3] if place.knob == "model" else STRATA[2]
    found = []
    for measure, column in MEASURES.items():
        known = pair.filter(pl.col(column).is_not_null())
        is_second = (known["value"] == value).cast(pl.Float64).to_numpy()
        if min(is_second.sum(), len(is_second) - is_second.sum()) < LEAST_RUNS:
            continue
        made = stratified.contrast(
            known[column].cast(pl.Float64).to_numpy(),
            is_second,
            codes(known[_column(by)].to_numpy()),
            codes(known["cluster"].to_numpy()),
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
