"""How often a rule hit and what became of the calls: the numbers that findings about calls carry, and their words.

In: a group. Out: the evidence's ``hit``, ``of``, ``share``, ``low`` and ``high``, the calls that were lost, and the
words for that. Apart from the rules because those about requests and those about answers count the same thing and must
go on doing so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from ..case import Case, Group
from ..statistics import wilson


def share(group: Group) -> dict[str, Any]:
    """How many calls were hit, of how many."""
    return wilson(group.n_hit, group.n_exposed).numbers(group.n_hit, group.n_exposed)


def split(groups: Iterable[Group], what: str) -> Iterator[Group]:
    """A group for each value of the column ``what`` among the hits, beside all that could have been hit.

    For rules whose subject is what was seen in a hit: groups by that would hold nothing but hits.
    """
    for group in groups:
        for hits in group.hits.partition_by(what, maintain_order=True):
            yield replace(group, subject=hits[what][0], hits=hits)


def mark_lost(case: Case, rows: pl.DataFrame, hit: pl.Expr) -> pl.DataFrame:
    """``rows`` of attempts with ``is_lost``: the call that the attempt belongs to ended on an attempt that is hit, and
    no loop around the SDK asked again with better luck.

    Of the call and not of the attempt: where a fallback asks another model, each model's attempts are a group, and the
    call is lost for all of them. A repetition that is refused once more is no better luck, hit or not. The ends of
    loops are looked for among all attempts, of which ``rows`` may be some.
    """
    asked = case.loops.select("call_id", asked="question_id")
    looped = case.attempts.select("call_id", "call_started_ns").unique().join(asked, on="call_id")
    ends = looped.group_by("asked").agg(end_ns=pl.col("call_started_ns").max())
    met = rows.filter(hit).select("call_id").unique().join(asked, on="call_id", how="left")
    last = case.attempts.filter(pl.col("is_last") & pl.col("is_failed")).select("call_id", "call_started_ns")
    last = last.join(asked, on="call_id", how="left").join(ends, on="asked", how="left")
    last = last.filter(pl.col("asked").is_null() | (pl.col("call_started_ns") == pl.col("end_ns")))
    alone = met.filter(pl.col("asked").is_null()).join(last, on="call_id", how="semi")["call_id"]
    questions = met.filter(pl.col("asked").is_not_null()).join(last, on="asked", how="semi")["asked"].unique()
    with_it = looped.filter(pl.col("asked").is_in(questions.to_list()))["call_id"]
    return rows.with_columns(is_lost=pl.col("call_id").is_in(pl.concat([alone, with_it]).unique().to_list()))


def lost_calls(group: Group) -> int:
    """Calls that were hit and got no answer (:func:`mark_lost`)."""
    return group.hits.filter("is_lost")["call_id"].n_unique()


def fate(hit: int, lost: int) -> str:
    """What became of ``hit`` calls, of which ``lost`` got no answer."""
    if lost == 0:
        return "it got an answer later" if hit == 1 else "all got an answer later"
    return "none of them got an answer" if lost == hit > 1 else f"{lost:,} got no answer"
