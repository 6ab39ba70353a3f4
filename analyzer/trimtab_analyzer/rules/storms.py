"""The rule about stacked retry loops: a body sent again and again by the SDK's retries times a loop around them.

In: the attempts of a case and the calls that a loop sent again (``queries/retry_loops.sql``). Out: blame on the retries
of the inner loop, the SDK's, at the line that decided them: the outer one repeats anyway. A file of its own because it
counts questions and not calls: each turn of the outer loop is a call of its own, and all of them are one question.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ..case import Blame, Case, Group
from ..layers import stack_of
from ..statistics import wilson
from ..wording import count, of, seconds, setting, were
from .shares import fate


def retry_storm(case: Case, knob: str) -> Iterator[Blame]:
    """Questions that went out once for each retry of the SDK in each turn of a loop around it."""
    rows = case.attempts.join(case.loops, on="call_id", how="left", maintain_order="left").with_columns(
        question_id=pl.coalesce("question_id", "call_id")
    )
    for group in case.groups(rows, knob, hit=pl.col("is_storm"), subject=pl.col("host"), keep=("question_id",)):
        storms = _by_question(group)
        n, total = storms.height, group.exposed["question_id"].n_unique()
        lost, loops, requests = int(storms["is_lost"].sum()), int(storms["calls"].sum()), int(storms["requests"].sum())
        waited_s = float(storms["waited_s"].sum())
        each = f"{requests:,} times" if n == 1 else f"{requests / n:.3g} times each"
        place = case.place(group.site_id)
        yield Blame(
            group,
            f"{of(n, total, 'question')} {were(n)} sent {each}: {count(loops, 'round')} of the client's own retries"
            f" ({setting(knob, group.decoded)}), one in each turn of a loop around {'it' if n == 1 else 'them'};"
            f" {fate(n, lost)}",
            f"Let one loop retry: set {knob} to 0 at {place}, for the loop around it sends the call again anyway"
            f" ({seconds(waited_s)} of waiting here), or take that loop away.",
            {
                **wilson(n, total).numbers(n, total),
                "lost_calls": lost,
                "requests": requests,
                "sdk_loops": loops,
                "outer_repeats": loops - n,
                "requests_per_call": requests / n,
                "turns_per_call": float(storms["calls"].median()),  # type: ignore[arg-type]
                "inner_retries": requests - loops,
                "inner_s": float(group.hits.filter(~_is_first()).select(_spent_s()).to_series().sum()),
                "waited_s": waited_s,
                **stack_of(group.hits.with_columns(site_id="asked_at"), case.sites).evidence(),
            },
        )


def _is_first() -> pl.Expr:
    """The attempt that opens its round of the SDK's retries."""
    return pl.col("started_ns") == pl.col("call_started_ns")


def _spent_s() -> pl.Expr:
    """Seconds that an attempt took with the pause before it."""
    return pl.col("duration_s") + pl.col("pause_s")


def _by_question(group: Group) -> pl.DataFrame:
    """One row per question that was hit: its calls, requests, seconds without a request under way, and its end."""
    took_s = (pl.col("ended_ns").max() - pl.col("started_ns").min()) / 1e9
    return group.hits.group_by("question_id", maintain_order=True).agg(
        calls=pl.col("call_id").n_unique(),
        requests=pl.len(),
        waited_s=took_s - pl.col("duration_s").sum(),
        is_lost=pl.col("is_failed").sort_by("started_ns").last(),
    )
