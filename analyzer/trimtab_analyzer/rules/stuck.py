"""Runs that were stuck: whatever ended them in the end, a limit or an exception, ended what could not get on.

In: the tool calls and answers of a case. Out: run ids. A module of its own because a limit and an exception are both
the last word of a run and both say nothing of why it was still turning: the rules about either leave stuck runs to the
rule about what they were stuck in.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from ..case import Case
from .history import cuts, resets

TAIL: Final = 4
"""Last steps of a run that are looked at."""
MOSTLY: Final = 0.5
"""Share of them that came to nothing."""
LEAST: Final = 2
"""Steps that show anything."""


def stuck_runs(case: Case) -> list[str]:
    """Runs whose last tool calls mostly repeated, failed or could not be made, whose last answers were mostly turned
    down or cut, or that had lost what their conversation began with."""

    def make() -> pl.DataFrame:
        tools = case.tools.filter(pl.col("call_id").is_not_null())
        failed = (pl.col("status") == "error") & (pl.col("error_type") != "exit_code").fill_null(True)
        idle = pl.col("repeats").is_not_null() | failed | pl.col("is_malformed") | pl.col("is_unknown")
        answers = case.attempts.filter("is_answer")
        unused = pl.col("is_rejected") | pl.col("is_truncated")
        lost = resets(case).filter("is_reset").select("run_id")
        again = cuts(case).filter(pl.col("is_lost")).select("run_id")
        return pl.concat([_mostly(tools, idle), _mostly(answers, unused), lost, again]).unique()

    return case.once("stuck_runs", make)["run_id"].to_list()


def _mostly(rows: pl.DataFrame, idle: pl.Expr) -> pl.DataFrame:
    """``run_id`` of runs whose last rows mostly came to nothing; the very last may not be known to have."""
    tail = rows.with_columns(idle=idle.fill_null(False)).group_by("run_id", maintain_order=True).tail(TAIL)
    share = tail.group_by("run_id").agg(share=pl.col("idle").mean(), n=pl.len())
    return share.filter((pl.col("share") >= MOSTLY) & (pl.col("n") >= LEAST)).select("run_id")
