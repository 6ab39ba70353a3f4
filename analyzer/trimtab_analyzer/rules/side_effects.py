"""Rules about what stays behind: changes that a failed run left, and changes that were made twice.

In: executions of tools that are declared to change something (``@trimtab.tool(mutates=True)``). Out: blame on the error
handler or on the retries. Tools that do not say are left alone: which of them changes anything can't be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count, of

INVERSE: Final = (
    r"(?i)(?:^|[_\W])(?:cancel|undo|delete|remove|roll_?back|revert|refund|release|compensate|void|restore|unbook"
    r"|unlock)(?:$|[_\W])"
)
"""Names of tools that take a change back."""
UNSURE: Final = r"(?i)time.?out|timedout|cancel|connection"
"""Errors after which a change may have been made all the same."""


def uncompensated_side_effect(case: Case, knob: str) -> Iterator[Blame]:
    """Changes that worked in a run which failed later, and that no later call takes back.

    Certain where an exception ended the run; a candidate where a call failed after the change and the outcome says no.
    """
    rows = facts.steps(case).with_columns(place=pl.int_range(pl.len()))
    ended = facts.runs(case).filter((pl.col("status") == "error") & pl.col("error_type").is_not_null())
    raised = pl.col("run_id").is_in(ended["run_id"].to_list())
    is_change = pl.col("mutates").fill_null(False) & (pl.col("status") == "ok")
    is_inverse = is_change & pl.col("name").str.contains(INVERSE)
    taken_back = pl.col("place").filter(is_inverse).max().over("run_id")
    is_open = is_change & ~is_inverse & (taken_back.is_null() | (taken_back < pl.col("place")))
    last_error = pl.col("place").filter(pl.col("status") == "error").max().over("run_id")
    lost = case.attempts.filter(pl.col("is_last") & pl.col("is_failed")).group_by("run_id")
    rows = rows.join(lost.agg(lost_ns=pl.col("ended_ns").max()), on="run_id", how="left", maintain_order="left")
    failed_later = (last_error > pl.col("place")) | (pl.col("lost_ns") > pl.col("at_ns"))
    for by_exception in (True, False):
        which = raised if by_exception else pl.col("is_lost") & ~raised & failed_later.fill_null(False)
        for group in case.groups(rows, knob, hit=is_open & which, subject=pl.col("name")):
            n, runs = group.hits.height, group.hits["run_id"].n_unique()
            how = "an exception ended later" if by_exception else "failed"
            yield Blame(
                group,
                f"{of(n, group.exposed.height, 'change')} made by {group.subject} stayed in {count(runs, 'run')}"
                f" that {how}",
                f"Take {group.subject} back where the run fails (declare what undoes it), or write last, at"
                f" {case.place(group.site_id)}.",
                {"hit": n, "of": group.exposed.height, "runs": runs},
                is_candidate=not by_exception,
            )


def duplicate_side_effect(case: Case, knob: str) -> Iterator[Blame]:
    """Changes made again with the same arguments and no idempotency key, after one that worked or may have worked."""
    rows = facts.steps(case).filter(pl.col("mutates").fill_null(False) & pl.col("args_digest").is_not_null())
    same = ["run_id", "name", "args_digest"]
    order = rows.sort("ran_ns", "tool_id", maintain_order=True)
    unsure = (pl.col("status") != "error") | pl.col("error_type").str.contains(UNSURE).fill_null(False)
    earlier = unsure.cast(pl.Int32).cum_sum().over(same) - unsure.cast(pl.Int32)
    order = order.with_columns(hit=(earlier > 0) & ~pl.col("is_keyed").any().over(same))
    for group in case.groups(order, knob, hit=pl.col("hit"), subject=pl.col("name")):
        n, runs = group.hits.height, group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{of(n, group.exposed.height, 'change')} by {group.subject} repeated one with the same arguments"
            f" that had worked or may have, in {count(runs, 'run')}",
            f"Give {group.subject} an idempotency key at {case.place(group.site_id)}, or do not retry it.",
            {"hit": n, "of": group.exposed.height, "runs": runs},
        )
