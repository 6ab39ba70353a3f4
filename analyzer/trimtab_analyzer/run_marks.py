"""A mark for each run: a digest of every row that its waste is computed from.

In: the store. Out: one number per run, another one where anything changed that its sums depend on. Runs that hang
together, because one is inside the other, or a conversation or an oversized result goes over both, have one mark: each
decides about the other's time, cache misses and carried results. Apart from :mod:`.run_waste` because it knows what
depends on what, and nothing of sums. If a column that counts were left out of a digest, sums would be kept that are
wrong: a test changes every column in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from . import load
from .ask import ask
from .load import Connection

SALT: Final = "1"
"""Part of every mark: another number where the ledger or the split of time changes, so that nothing old is kept."""

_MARKS: Final[load.Schema] = {"run_id": pl.String, "mark": pl.UInt64, "calls": pl.Int64}
_SHARED: Final[load.Schema] = {"conversation": pl.String, "run_id": pl.String}


def run_marks(con: Connection, windows: pl.DataFrame, salt: str, broken: pl.Series) -> pl.DataFrame:
    """The marks of all runs.

    Args:
        con: The store.
        windows: When runs were, and inside which others (:data:`~.load.RUN_WINDOWS`).
        salt: What else counts for all runs.
        broken: Names of the tools that fail most of the time.

    Returns:
        One row per run: ``run_id``, ``mark``, ``calls`` (attempts), and ``group``, the same text for runs that hang
        together.
    """
    told = {"salt": f"{SALT} {salt}", "broken": sorted(broken), "oversized_chars": load.OVERSIZED_CHARS}
    marks = ask(con, "run_marks", _MARKS, **told)
    shared = ask(con, "shared_conversations", _SHARED, oversized_chars=load.OVERSIZED_CHARS)
    return _joint(marks, _together(_links(windows, shared)))


def _links(windows: pl.DataFrame, shared: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Pairs of runs of which one decides about the other: inside each other, or in one conversation."""
    parents: dict[str, str | None] = dict(windows.select("run_id", "parent_run_id").iter_rows())
    split = set(windows.filter("is_split")["run_id"])
    for run_id in windows.filter(pl.col("parent_run_id").is_not_null())["run_id"]:
        outer, passed = parents[run_id], {run_id}
        while (
            outer is not None and outer in split and outer not in passed
        ):  # a process that was split is around none of its runs
            passed.add(outer)
            outer = parents[outer]
        if outer is not None and outer in parents and outer not in split:
            yield run_id, outer
    before = None
    for conversation, run_id in shared.select("conversation", "run_id").iter_rows():
        if before is not None and before[0] == conversation:
            yield before[1], run_id
        before = (conversation, run_id)


def _together(links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each run that hangs together with others, one of them that stands for all."""
    above: dict[str, str] = {}

    def top(run_id: str) -> str:
        while (up := above.setdefault(run_id, run_id)) != run_id:
            above[run_id] = above.setdefault(up, up)
            run_id = up
        return run_id

    for one, other in links:
        above[top(one)] = top(other)
    return {run_id: top(run_id) for run_id in list(above)}


def _joint(marks: pl.DataFrame, together: dict[str, str]) -> pl.DataFrame:
    """The marks, with ``group``: of runs that hang together each has the mark of all."""
    links = pl.DataFrame(list(together.items()), schema={"run_id": pl.String, "group": pl.String}, orient="row")
    placed = marks.join(links, on="run_id", how="left", maintain_order="left")
    if links.is_empty():
        return placed.with_columns(group="run_id")
    own = pl.struct("run_id", "mark").hash(seed=1)  # of the id, too: that two runs changed places is a change
    joint = pl.when(pl.col("group").is_null()).then("mark").otherwise(own.sum().over("group"))
    return placed.with_columns(mark=joint, group=pl.coalesce("group", "run_id"))
