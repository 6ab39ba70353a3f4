"""What one would say without an analyzer: the first error's line, and the line where a knob is decided most often.

In: the frames of a case. Out: places. They know nothing of the faults; which knob they name is settled in
:mod:`.judging`.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from trimtab_analyzer import cost, load
from trimtab_analyzer.case import Case as Frames
from trimtab_analyzer.load import Connection


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int


def first_error(frames: Frames) -> Place | None:
    """The innermost line of the first thing that went wrong: a request, a tool, or an exception that ended a run."""
    tools = frames.tools.filter(pl.col("status") == "error")
    found = pl.concat(
        [
            frames.attempts.filter("is_failed").select(at="ended_ns", site="site_id"),
            tools.select(at="at_ns", site=pl.coalesce("tool_site_id", "site_id")),
            frames.run_errors.select(at="ended_ns", site="site_id"),
        ]
    ).drop_nulls()
    return None if found.is_empty() else _place(frames, found.sort("at", maintain_order=True)["site"][0])


def knob_places(con: Connection, frames: Frames) -> dict[str, Place]:
    """For each knob the line at which it was decided most often; for others, under ``""``, the line of most calls."""
    decided = load.decisions_in_force(con, [*cost.KNOBS, "model", "max_tokens", "temperature", "stop", "fallback"])
    rows = pl.concat(
        [decided.select("knob", "site_id"), frames.attempts.select(pl.lit("").alias("knob"), "site_id")]
    ).drop_nulls()
    most = rows.group_by("knob", "site_id").len().sort(["len", "site_id"], descending=[True, False])
    best = most.unique("knob", keep="first", maintain_order=True)
    places = {knob: _place(frames, site) for knob, site, _ in best.iter_rows()}
    return {knob: place for knob, place in places.items() if place is not None}


def _place(frames: Frames, site_id: str) -> Place | None:
    site = frames.sites.get(site_id)
    return Place(site["file"], site["line"] or 0) if site else None
