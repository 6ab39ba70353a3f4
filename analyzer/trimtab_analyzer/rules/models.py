"""The rule about a model that costs more than the work asks for: the same kind of run does as well on a cheaper one.

In: runs of one kind, what they cost and what came of them. Out: a candidate: nothing was randomised, so what else
differed between the runs may explain as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..statistics import newcombe
from ..wording import of

MIN_RUNS: Final = 20
"""Judged runs on each model."""
TIMES: Final = 2.0
"""How many times as much a run on the dearer model costs at least."""
MARGIN: Final = 0.15
"""Share of success that the cheaper model may be worse by at most, at the lower bound of the difference."""


def costly_model(case: Case, knob: str) -> Iterator[Blame]:
    """Models of runs of which as many succeed on a model at half the cost or less."""
    of_run = case.attempts.group_by("run_id").agg(
        models=pl.col("model").n_unique(), model=pl.col("model").first(), musd=pl.col("cost_musd").sum()
    )
    judged = facts.runs(case).filter(pl.col("success").is_not_null()).join(of_run, on="run_id")
    arms = (
        judged.filter((pl.col("models") == 1) & (pl.col("musd") > 0))
        .group_by("kind", "model")
        .agg(n=pl.len(), k=pl.col("success").sum(), musd=pl.col("musd").mean())
        .filter(pl.col("n") >= MIN_RUNS)
    )
    pairs = arms.join(arms, on="kind", suffix="_cheap").filter(pl.col("musd") >= TIMES * pl.col("musd_cheap"))
    kinds = facts.runs(case).select("run_id", "kind")
    for kind, model, n, k, musd, cheap, n_cheap, k_cheap, musd_cheap in pairs.sort(
        "kind", "model", "musd_cheap"
    ).iter_rows():
        difference = newcombe(k, n, k_cheap, n_cheap)
        if difference.estimate < 0 or difference.low < -MARGIN:
            continue
        rows = case.attempts.join(kinds.filter(pl.col("kind") == kind), on="run_id", how="semi", maintain_order="left")
        for group in case.groups(
            rows, knob, hit=pl.col("model") == model, subject=pl.lit(f"{kind}: {model} / {cheap}")
        ):
            yield Blame(
                group,
                f"{of(k, n, 'run')} on {model} succeeded and {of(k_cheap, n_cheap, 'run')} on {cheap}, at"
                f" {musd / musd_cheap:.1f} times the cost",
                f"Try {cheap} at {case.place(group.site_id)} for a part of the runs, drawn by chance, and compare.",
                {
                    "hit": k,
                    "of": n,
                    "cheaper": cheap,
                    "cheaper_hit": k_cheap,
                    "cheaper_of": n_cheap,
                    "low": difference.low,
                    "high": difference.high,
                    "times_the_cost": musd / musd_cheap,
                },
            )
            break
