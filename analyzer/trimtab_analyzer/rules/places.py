"""Groups of what a rule hit, moved to the line where the decision behind them was made.

In: groups at the lines of calls, and where each belongs. Out: groups at those lines; groups that meet there become one,
so that a finding keeps one id however many calls lead to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import polars as pl

from ..case import Case, Group


def moved(groups: Iterable[Group], line: Callable[[Group], str | None]) -> Iterator[Group]:
    """The groups at ``line`` of each, or where they were if that is None; in the order in which they first occur."""
    meeting: dict[tuple[str, str, str, str | None], list[Group]] = {}
    for group in groups:
        there = replace(group, site_id=line(group) or group.site_id)
        meeting.setdefault((there.subject, there.knob, there.value, there.site_id), []).append(there)
    for same in meeting.values():
        hits, exposed = (pl.concat([getattr(group, part) for group in same]) for part in ("hits", "exposed"))
        yield replace(same[0], hits=hits, exposed=exposed)


def definition(group: Group) -> str | None:
    """The line of a tool's definition, where the tool was seen running."""
    defined = group.hits["tool_site_id"].drop_nulls()
    return defined[0] if len(defined) else None


def client(case: Case) -> Callable[[Group], str | None]:
    """For a group of calls the line where their client was made, where that is one: it also decides ``max_retries``."""

    def line(group: Group) -> str | None:
        decided = case.decisions(["max_retries"], group.hits["call_id"]).filter(pl.col("source") != "human")
        lines = decided["site_id"].drop_nulls().unique().to_list()
        return lines[0] if len(lines) == 1 else None

    return line
