"""The rule about verdicts that can't all be right: what is blamed on the agent then may be the evaluator's.

In: every outcome that was reported, and the last answers of runs. Out: blame on the evaluator, as a candidate. It runs
before the rules about agents, and in the runs that it doubts no candidate is looked for. That a single verdict is wrong
no rule can tell; that two of them contradict each other, one can.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count
from .ends import ends


def evaluator_fault(case: Case, knob: str) -> Iterator[Blame]:
    """Runs whose verdicts contradict each other: another source's, its own, or that on the same answer elsewhere."""
    given = facts.verdicts(case)
    if given.is_empty():
        return
    by_run = given.group_by("run_id").agg(
        passes=(pl.col("success") & (pl.col("source") != "inferred")).any(),
        evaluator_fails=(~pl.col("success") & (pl.col("source") == "evaluator")).any(),
        judged=pl.col("success").filter(pl.col("source") == "evaluator").last(),
    )
    last = ends(case).join(by_run, on="run_id", how="inner", maintain_order="left")
    same = ["kind", "task", "output_digest"]
    answered = pl.col("output_digest").is_not_null() & pl.col("judged").is_not_null() & pl.col("task").is_not_null()
    flips = answered & (pl.col("judged").filter(answered).n_unique().over(same) == 2)
    last = last.with_columns(
        why=pl.when(pl.col("passes") & pl.col("evaluator_fails"))
        .then(pl.lit("contradicted"))
        .when(flips & ~pl.col("judged"))
        .then(pl.lit("not constant"))
    )
    for group in case.groups(last, knob, hit=pl.col("why").is_not_null(), subject=pl.col("why")):
        n = group.hits["run_id"].n_unique()
        what = (
            "that another verdict on the same run calls a success"
            if group.subject == "contradicted"
            else "whose answer it accepted, word for word, in another run of the task"
        )
        yield Blame(
            group,
            f"The evaluator failed {count(n, 'run')} {what}",
            f"Read these verdicts before anything at {case.place(group.site_id)} is changed for them, and compare"
            " meanings instead of wordings.",
            {"runs": n},
        )
