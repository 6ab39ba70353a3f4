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
    call is lost for all of them.
    """
    asked = case.loops.select("call_id", asked="question_id")
    looped = rows.select("call_id", "call_started_ns").unique().join(asked, on="call_id")
    ends = looped.group_by("asked").agg(end_ns=pl.col("call_started_ns").max())
    lost = (
        rows.filter(hit & pl.col("is_last")).select("call_id", "call_started_ns").join(asked, on="call_id", how="left")
    )
    lost = lost.join(ends, on="asked", how="left")
    lost = lost.filter(pl.col("asked").is_null() | (pl.col("call_started_ns") == pl.col("end_ns")))
    with_it = looped.filter(pl.col("asked").is_in(lost["asked"].drop_nulls().to_list()))["call_id"]
    ids = pl.concat([lost["call_id"], with_it]).unique().to_list()
    return rows.with_columns(is_lost=pl.col("call_id").is_in(ids))


def lost_calls(group: Group) -> int:
    """Calls that were hit and got no answer (:func:`mark_lost`)."""
    return group.hits.filter("is_lost")["call_id"].n_unique()


def fate(hit: int, lost: int) -> str:
    """What became of ``hit`` calls, of which ``lost`` got no answer."""
    if lost == 0:
        return "it got an answer later" if hit == 1 else "all got an answer later"
    return "none of them got an answer" if lost == hit > 1 else f"{lost:,} got no answer"
