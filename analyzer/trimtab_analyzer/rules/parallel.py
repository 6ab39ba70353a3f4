"""The rule about too many calls at once: refusals that come with the number of requests under way.

In: attempts with their times. Out: blame on the parallelism at the line of the call. Decided by a comparison: the share
of refused requests among those that started beside many others against that among those beside few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from ..case import Blame, Case
from ..statistics import newcombe
from ..wording import of
from .shares import lost_calls, mark_lost, share

BUSY: Final = ("rate_limit", "overloaded")
MIN_REFUSED: Final = 3
MIN_OTHERS: Final = 2
"""Other requests under way from which a request counts as one of many."""
FEWEST: Final = 0.05
"""Quantile of the others beside refused requests from which on a request counts as one of many."""
BURST_NS: Final = 50 * 10**6
"""Nanoseconds within which requests begin at once: they reach the provider together, whichever was the first."""


def over_parallel(case: Case, knob: str) -> Iterator[Blame]:
    """Requests turned away at hosts that turn away many of those beside others and few of those by themselves."""
    refused = pl.col("error_class").is_in(BUSY)
    counts = case.attempts.filter(refused).group_by("host").len().filter(pl.col("len") >= MIN_REFUSED)
    found = []
    for host in sorted(counts["host"]):
        rows = case.attempts.filter(pl.col("host") == host)
        rows = rows.with_columns(others=_under_way(rows))
        among = rows.filter(refused)["others"]
        at_least = max(MIN_OTHERS, int(among.quantile(FEWEST) or 0))
        many = rows.filter(pl.col("others") >= at_least)
        few = rows.filter(pl.col("others") < at_least)
        n_many, n_few = (part.filter(refused).height for part in (many, few))
        if few.is_empty() or n_many < MIN_REFUSED:
            continue
        if newcombe(n_few, few.height, n_many, many.height).low > 0:
            found.append(many.with_columns(at_least=pl.lit(at_least), alone=pl.lit(n_few / few.height)))
    if not found:
        return
    rows = mark_lost(case, pl.concat(found), refused)
    for group in case.groups(rows, knob, hit=refused, subject=pl.col("host")):
        most, from_ = int(group.hits["others"].max()), int(group.hits["at_least"][0])  # type: ignore[arg-type]
        alone = float(group.hits["alone"][0])
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} made beside {from_} others or more were turned away at"
            f" {group.subject}, and {100 * alone:.0f} % of all requests to it beside fewer",
            f"Let at most {from_} calls be under way from {case.place(group.site_id)} at once.",
            {**share(group), "lost_calls": lost_calls(group), "most_under_way": most + 1, "share_beside_fewer": alone},
        )


def _under_way(rows: pl.DataFrame) -> pl.Series:
    """How many other requests were under way when each began, those of the same burst among them: those begun before or
    within :data:`BURST_NS`, less those ended before."""
    started, ended = rows["started_ns"].to_numpy(), rows["ended_ns"].to_numpy()
    begun = np.searchsorted(np.sort(started), np.minimum(started + BURST_NS, ended), side="right")
    done = np.searchsorted(np.sort(ended), started, side="right")
    return pl.Series(begun - done - 1).clip(0)
