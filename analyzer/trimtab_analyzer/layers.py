"""Retries layer by layer: how often one question goes out, who sends it again, and what a permanent failure costs.

In: the attempts of a case, the calls that a loop around the SDK sent again, and the packages between each line and its
requests. Out: one :class:`~.retry_stack.RetryStack` per line, host and model where anything was sent more than once,
the most requests first. Apart from the rule about storms because it describes and blames nobody: a single loop is
fine, and what it costs is still worth knowing.

Whose loop it is goes by where it can be. The SDK repeats a request inside one call. A loop that makes a new call is in
a package below the user's line, where there is one besides the SDK (a framework), or in the user's own code; where
there is a framework, a loop of the user's around it looks the same from below.
Two loops around each other are told apart by the rhythm of their pauses; where that says nothing they count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import polars as pl

from .case import Case
from .retry_stack import Layer, RetryStack

DISTINCT: Final = 4.0
"""Pauses between rounds are another loop's where they are this many times shorter or longer than those within."""
ALIKE: Final = 2.0
"""Pauses at the same place of each round are alike where the longest is at most so many times the shortest."""
JITTER_S: Final = 0.05
"""Differences of less than this are the machine's."""
RETRIERS: Final = frozenset({"tenacity", "backoff", "retry", "stamina"})
"""Packages that make loops for others: whoever uses them owns the loop."""


def retry_stacks(case: Case) -> list[RetryStack]:
    """The stacks of a case, those that send most requests first."""
    loops = case.loops.filter(~pl.col("is_meant")).select("call_id", "question_id")
    rows = case.attempts.join(loops, on="call_id", how="left", maintain_order="left").with_columns(
        question_id=pl.coalesce("question_id", "call_id")
    )
    place = ["site_id", "host", "model"]
    # A question is that of its first request, also where a fallback asks another model.
    rows = rows.with_columns(pl.col(place).first().over("question_id", order_by=["started_ns", "attempt_id"]))
    again = rows.filter(pl.len().over("question_id") > 1).select(place).unique()
    rows = rows.join(again, on=place, how="semi", nulls_equal=True, maintain_order="left")
    parts = rows.partition_by(place, maintain_order=True)
    return sorted((stack_of(part, case.sites) for part in parts), key=lambda s: (-s.requests, -s.took_s, s.call_ids))


def stack_of(rows: pl.DataFrame, sites: dict[str, dict[str, Any]]) -> RetryStack:
    """What is seen at one place.

    Args:
        rows: Its attempts (:data:`~.load.ATTEMPTS`) with ``question_id``; at least one question was sent twice.
        sites: As in a case.
    """
    asked = rows.group_by("question_id", maintain_order=True).agg(
        requests=pl.len(),
        is_lost=pl.col("is_failed").sort_by("started_ns").last(),
        took_ns=pl.col("ended_ns").max() - pl.col("started_ns").min(),
    )
    repeated = asked.filter(pl.col("requests") > 1)
    worst = repeated.sort("requests", "is_lost", "took_ns", descending=True).row(0, named=True)
    one = rows.filter(pl.col("question_id") == worst["question_id"]).sort("started_ns", "attempt_id")
    first, failed = one.row(0, named=True), one.filter("is_failed")
    took_s = worst["took_ns"] / 1e9
    via = tuple((sites.get(first["site_id"] or "") or {}).get("via") or ())
    return RetryStack(
        site_id=first["site_id"],
        host=first["host"],
        model=first["model"],
        layers=_layers(one, via),
        questions=asked.height,
        repeated=repeated.height,
        unanswered=repeated.filter("is_lost").height,
        is_permanent=worst["is_lost"],
        requests=worst["requests"],
        took_s=took_s,
        waited_s=max(0.0, took_s - float(one["duration_s"].sum())),
        error_class=failed["error_class"].drop_nulls().mode().sort().first() if failed.height else None,  # type: ignore[arg-type]
        input_tokens=int(failed["input_tokens"].sum()),
        cost_musd=int(failed["cost_musd"].sum()),
        unpriced=failed["cost_musd"].null_count(),
        call_ids=tuple(one["call_id"].unique(maintain_order=True)),
    )


def _layers(one: pl.DataFrame, via: tuple[str, ...]) -> tuple[Layer, ...]:
    """The loops that one question went through, the outermost first."""
    calls = one.group_by("call_id", maintain_order=True).agg(
        requests=pl.len(),
        started_ns=pl.col("started_ns").min(),
        ended_ns=pl.col("ended_ns").max(),
        told=pl.col("max_retries").max(),
    )
    told: Any = calls["told"].max()
    sdk = Layer(
        "sdk", via[-1] if via else None, max(calls["requests"].to_list()), None if told is None else int(told) + 1
    )
    pauses = ((calls["started_ns"].slice(1) - calls["ended_ns"].head(calls.height - 1)) / 1e9).to_list()
    outer = [Layer(*_owner(via), times) for times in rounds(pauses)]
    return (*outer, sdk)


def _owner(via: tuple[str, ...]) -> tuple[str, str | None]:
    """Whose a loop around the SDK is, and the package: the one that calls a retrier, else any that may."""
    *frameworks, sdk = _packages(via) or (None,)
    if sdk is None or not frameworks:
        return ("unknown" if sdk is None else "user"), None
    looping = [caller for caller, called in pairwise(via) if called in RETRIERS and caller in frameworks]
    return "framework", " or ".join(dict.fromkeys(looping or frameworks))


def _packages(via: tuple[str, ...]) -> tuple[str, ...]:
    """The packages that may have loops of their own, each once: frameworks, then the SDK."""
    return tuple(dict.fromkeys(package for package in via if package not in RETRIERS))


def rounds(pauses: Sequence[float]) -> tuple[int, ...]:
    """How often each loop around the SDK turned, the outermost first; nothing where there was one call only.

    Args:
        pauses: Seconds between the calls of one question, one fewer than calls.
    """
    calls = len(pauses) + 1
    if calls < 2:
        return ()
    inner = next((size for size in range(2, calls // 2 + 1) if calls % size == 0 and _is_rhythm(pauses, size)), None)
    return (calls,) if inner is None else (calls // inner, inner)


def _is_rhythm(pauses: Sequence[float], size: int) -> bool:
    """Whether the pauses repeat every ``size`` calls, and those between the rounds are of another kind."""
    between = list(pauses[size - 1 :: size])
    within = [list(pauses[place::size]) for place in range(size - 1)]
    if not all(_are_alike(values) for values in (between, *within)):
        return False
    inner = [value for values in within for value in values]
    shorter = max(between) + JITTER_S < min(inner) / DISTINCT
    longer = min(between) > DISTINCT * (max(inner) + JITTER_S)
    return shorter or longer


def _are_alike(values: Sequence[float]) -> bool:
    return max(values) <= ALIKE * min(values) + JITTER_S
