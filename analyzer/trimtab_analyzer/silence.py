"""Whether a finding that no setting can undo is over, because enough later runs went without it.

In: a case, and a group that a rule hit. Out: yes or no. A loop in the user's own code, an exception that it does not
handle, leave no value that could be seen to change (:mod:`.standing` looks at those that do), so what is left to look
at is what happened since. Apart from :mod:`.standing` because it is statistics about runs, and not about decisions.

Before and up to the last hit, ``k`` of the ``n`` runs that passed the same lines were hit: a share of at least ``p``,
the lower bound of Wilson's 95 % interval. Had nothing changed, ``m`` later runs would all go without a hit with a
probability of at most ``(1 - p) ** m``. Where that is 0.05 or less, the finding is over: for small ``p`` this is the
rule of three, ``m = 3 / p`` (Hanley and Lippman-Hand, JAMA 249, 1983). Assumed is that runs are independent and alike;
a hit in any later run opens the finding again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import polars as pl

from .case import Case, Group
from .statistics import wilson

ALPHA: Final = 0.05
"""Probability with which a finding that still stands may be called over."""
MIN_LATER_RUNS: Final = 10
"""Runs that must have gone without it, however often it was met before."""


def runs_needed(k: int, n: int) -> int:
    """How many later runs without a hit show that what ``k`` of ``n`` runs met, ``k`` at least 1, is over."""
    p = wilson(k, n).low
    return max(MIN_LATER_RUNS, math.ceil(math.log(ALPHA) / math.log1p(-p)))


def is_over(case: Case, near: Case, group: Group) -> bool:
    """Whether so many runs passed the lines of the calls that were hit, after the last hit, that it is over.

    Only where no decision of its knob was recorded. Runs that still run don't count, nor do imported ones, whose order
    in time is often only that of their files: where a line is not known, nothing is over.

    Args:
        case: What the group was found in.
        near: The same with the attempts of some calls alone, those that were hit among them.
        group: What a rule hit.
    """
    if group.source is not None or group.has_many_values:
        return False
    hits = group.hits
    last_ns = hits["at_ns" if "at_ns" in hits.columns else "ended_ns"].max()
    calls = hits["call_id"].drop_nulls().unique()
    lines = sorted(near.attempts.filter(pl.col("call_id").is_in(calls.to_list()))["site_id"].unique())
    if not lines or not all(case.sites.get(line, {}).get("line") for line in lines):
        return False
    begins = _begins(case, lines)
    is_later = pl.col("first_ns") > last_ns
    before, later = begins.filter(~is_later), begins.filter(is_later).height
    k = before.filter(pl.col("run_id").is_in(hits["run_id"].unique().to_list())).height
    return k > 0 and later >= runs_needed(k, before.height)


def _begins(case: Case, lines: Sequence[str]) -> pl.DataFrame:
    """One row per ended run that passed one of these lines: when it did so first."""

    def of_each() -> pl.DataFrame:
        ended = case.outcomes.filter(pl.col("status").is_not_null()).select("run_id")
        passed = case.attempts.lazy().group_by("site_id", "run_id").agg(first_ns=pl.col("started_ns").min())
        return passed.join(ended.lazy(), on="run_id", how="semi").collect()

    def of_these() -> pl.DataFrame:
        passed = case.once("lines passed", of_each).filter(pl.col("site_id").is_in(list(lines)))
        return passed.group_by("run_id").agg(pl.col("first_ns").min())

    return case.once(f"lines passed: {' '.join(lines)}", of_these)
