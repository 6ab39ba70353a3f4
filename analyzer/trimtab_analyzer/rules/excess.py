"""Rules about more than was needed: results carried along whole, and questions after the answer that change nothing.

In: the ledger and the answers of a case. Out: blame on the tool that gives so much, or on the code that goes on asking.
No run fails by either; both are paid for each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count
from .places import definition, moved
from .threads import before, threads

SHARE: Final = 0.05
"""Part of the input of the runs concerned from which carried results are worth a word."""
MIN_RUNS: Final = 3
"""Runs in which a follow-up must have been sent: what one person says twice is no habit of a harness."""
MIN_ASKED: Final = 5
"""Times that it must have been sent."""


def oversized_result(case: Case, knob: str) -> Iterator[Blame]:
    """Tools whose results of more than :data:`~..load.OVERSIZED_CHARS` characters later requests sent along again.

    How many tokens they took is the ledger's (:mod:`..carved`): what the prompt grew by, until it shrank again.
    """
    carried = case.ledger.filter(pl.col("cls") == "oversized_result")
    if carried.is_empty():
        return
    sums = carried.group_by("attempt_id").agg(
        carried_tokens=pl.col("input_tokens").sum(), tool_site_id=pl.col("site_id").drop_nulls().first()
    )
    in_runs = pl.col("run_id").is_in(carried["run_id"].unique().to_list())
    rows = facts.answers(case).filter(in_runs).join(sums, on="attempt_id", how="left", maintain_order="left")
    whole = case.ledger.filter(in_runs)
    share = int(carried["input_tokens"].sum()) / max(int(whole["input_tokens"].sum()), 1)
    if share < SHARE:
        return
    found = case.groups(rows, knob, hit=pl.col("carried_tokens") > 0, subject=pl.lit(""), keep=("carried_tokens",))
    for group in moved(found, definition):
        tokens, runs = int(group.hits["carried_tokens"].sum()), group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{count(group.n_hit, 'request')} in {count(runs, 'run')} carried an oversized tool result along again"
            f" ({tokens:,} input tokens, {share:.0%} of all that these runs sent)",
            f"Cut or summarise what the tool at {case.place(group.site_id)} returns, or drop it from the history once"
            " it was read.",
            {"hit": group.n_hit, "of": group.n_exposed, "runs": runs, "carried_tokens": tokens, "share": share},
        )


def after_answer(case: Case, knob: str) -> Iterator[Blame]:
    """Questions with which a harness follows up a finished answer, always in the same words, and that never changed it.

    An answer is finished where it asks for no tool and the agent's parser took it. That it stayed the same is seen by
    its numbers and identifiers, or by its whole text where it has none. One follow-up that was answered otherwise, or
    that made the model use a tool, and the words are left alone: then asking again is a check that can find something.
    """
    asked = facts.answers(case).filter(pl.col("is_last") & pl.col("followed").is_not_null())
    if asked.is_empty():
        return
    rows = facts.answers(case).filter("is_last", pl.col("site_id").is_in(asked["site_id"].unique().to_list()))
    rows = threads(rows, ["run_id", "process_id", "site_id", "conversation_id"])
    is_done = (pl.col("asks") == 0) & pl.col("is_answer") & ~pl.col("is_rejected") & (pl.col("finish_reason") == "stop")
    rows = rows.with_columns(is_done=is_done.fill_null(False) & pl.col("disobeyed").is_null())
    # the answer and the question: whoever sends the history sends two messages more
    goes_on = (pl.col("message_count") == before("message_count") + 2) | (
        pl.col("continues_call_id") == before("call_id")
    )
    follows = goes_on.fill_null(False) & pl.col("followed").is_not_null() & before("is_done").fill_null(False)
    same_values = (pl.col("values_out").list.sort() == before("values_out").list.sort()).fill_null(False)
    no_values = pl.col("values_out").is_null() & before("values_out").is_null()
    same = same_values | (no_values & (pl.col("output_digest") == before("output_digest")).fill_null(False))
    rows = rows.with_columns(follows=follows, is_idle=pl.col("is_done") & same)
    words = pl.col("followed")
    habit = (
        (pl.col("run_id").filter("follows").n_unique() >= MIN_RUNS)
        & (pl.col("follows").sum() >= MIN_ASKED)
        & pl.col("is_idle").filter("follows").all()
    ).over("site_id", "followed")
    rows = rows.with_columns(hit=pl.col("follows") & words.is_not_null() & habit)
    for group in case.groups(rows, knob, hit=pl.col("hit"), subject=pl.lit("")):
        n, runs = group.n_hit, group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{count(n, 'question')} in {count(runs, 'run')} followed up an answer that was finished already, in the"
            " same words each time, and none changed it",
            f"End the run with the answer at {case.place(group.site_id)}, or follow up with a check that can fail.",
            {"hit": n, "of": group.n_exposed, "runs": runs},
        )
