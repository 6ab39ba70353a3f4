"""Rules about what an answer stands on: nothing that was seen, searches that found nothing, words not acted on.

In: answers and tool calls of runs that failed. Out: candidates. They compare names and numbers, so they see only what
is written down as such, and whether it mattered an outcome alone can say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count, of
from .ends import ends
from .shares import split

ABSENT: Final = 0.5
"""Part of an answer's numbers that must be nowhere in what was sent to it."""
ALIKE: Final = 0.5
"""Jaccard index of the words of two queries from which they are near duplicates."""
MIN_ALIKE: Final = 3
"""Near duplicates in a run."""
LOW_YIELD: Final = 40
"""Characters below which a result is hardly one."""


def ungrounded_answer(case: Case, knob: str) -> Iterator[Blame]:
    """Final answers of failed runs with numbers that nothing sent to the model holds, or without any tool call.

    Where a tool said nothing of use, or the last one failed, the answer had no ground to stand on: that is the tool's.
    """
    n, absent = (pl.col("numbers").list.get(i, null_on_oob=True) for i in (0, 1))
    no_evidence = (pl.col("n_tools") == 0) & (pl.col("n_offered") > 0)
    last = facts.steps(case).unique("run_id", keep="last", maintain_order=True).filter(pl.col("status") == "error")
    told_nothing = pl.concat([facts.steps(case).filter(pl.col("looks").is_not_null()), last])["run_id"]
    hit = ~pl.col("run_id").is_in(told_nothing.to_list())  # what its tools did not say is their fault
    hit &= (pl.col("asks") == 0) & (absent >= 1) & ((absent >= ABSENT * n) | no_evidence)
    for group in case.groups(ends(case).filter("is_lost"), knob, hit=hit, subject=pl.col("kind")):
        missing = int(group.hits["numbers"].list.get(1).sum())
        yield Blame(
            group,
            f"{count(group.hits.height, 'final answer')} of runs that failed held {count(missing, 'number')} that no"
            " message to the model holds",
            f"Take an answer at {case.place(group.site_id)} only with the evidence it rests on.",
            {"runs": group.hits.height, "of": group.exposed.height, "absent_numbers": missing},
        )


def poor_retrieval(case: Case, knob: str) -> Iterator[Blame]:
    """Searches of failed runs that asked nearly the same again and found next to nothing."""
    rows = facts.steps(case).filter(pl.col("words").is_not_null() & pl.col("is_lost"))
    before = pl.col("words").shift(1).over("run_id", "name")
    rows = rows.with_columns(
        shared=pl.col("words").list.set_intersection(before).list.len(),
        all_words=pl.col("words").list.set_union(before).list.len(),
    )
    is_alike = (pl.col("shared") >= ALIKE * pl.col("all_words")) & (pl.col("shared") > 0)
    is_low = (
        pl.col("looks").is_in(["empty", "absent", "soft"])
        | (pl.col("result_chars") < LOW_YIELD)
        | ~pl.struct("run_id", "result_digest").is_first_distinct()
    )
    rows = rows.with_columns(again=(is_alike & is_low & pl.col("repeats").is_null()).fill_null(False))
    hit = pl.col("again") & (pl.col("again").sum().over("run_id", "name") >= MIN_ALIKE)
    for group in case.groups(rows, knob, hit=hit, subject=pl.col("name")):
        runs = group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{of(group.hits.height, group.exposed.height, 'query')} of {group.subject} asked nearly the same as"
            " the one"
            f" before and found next to nothing, in {count(runs, 'run')} that failed".replace("querys", "queries"),
            f"Offer another way to search than {group.subject} at {case.place(group.site_id)}, return more results, or"
            " rank them.",
            {"hit": group.hits.height, "of": group.exposed.height, "runs": runs},
        )


def reasoning_action_mismatch(case: Case, knob: str) -> Iterator[Blame]:
    """Answers of failed runs whose text says that one tool is called now while another is."""
    rows = facts.answers(case).filter(pl.col("is_answer") & pl.col("is_lost"))
    hit = pl.col("mismatch").list.len() == 2
    rows = rows.with_columns(pair=pl.col("mismatch").list.join(" / "))
    for group in split(case.groups(rows, knob, hit=hit, subject=pl.lit("")), "pair"):
        named, _, called = group.subject.partition(" / ")
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} in runs that failed said to call {named} and"
            f" called {called}",
            f"Ask for native tool calls alone at {case.place(group.site_id)}, or refuse an answer whose text and call"
            " differ.",
            {"hit": group.n_hit, "of": group.n_exposed},
        )
