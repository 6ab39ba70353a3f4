"""The rule about the client's own time limit: which calls it ended, and whether it is too tight or too loose.

In: the attempts of a case. Out: blame per line and value of the limit. A file of its own because what is wrong with a
limit shows only beside the calls that kept it: under a tight one the successful calls come close to it, under a loose
one they are long done while a hung call waits on. Which is which is decided in :mod:`..limits`.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .. import limits
from ..case import Blame, Case
from ..wording import count, of, seconds
from .shares import fate, lost_calls, mark_lost, share


def timeout(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that the client's own time limit ended, next to how long successful ones take at the same place."""
    hit = pl.col("is_client_timeout")
    attempts = mark_lost(case, case.attempts, hit)
    keep = ("is_failed", "limited_s")
    for group in case.groups(attempts, knob, hit=hit, subject=pl.col("model"), keep=keep):
        lost, limit_s = lost_calls(group), float(group.hits["timeout_s"].max())  # type: ignore[arg-type]
        fit = limits.fit(group.exposed.filter(~pl.col("is_failed"))["limited_s"].drop_nulls().to_list(), limit_s)
        hung_s = float(group.hits["duration_s"].sum())
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} ran into the time limit of {limit_s:g} s;"
            f" {fate(group.n_hit, lost)}{_compared(fit, hung_s)}",
            _advice(fit, knob, limit_s, case.place(group.site_id)),
            {**share(group), "lost_calls": lost, "timeout_s": limit_s, "hung_s": hung_s, **fit.numbers()},
        )


def _compared(fit: limits.Fit, hung_s: float) -> str:
    """The end of the title: what the successful calls say of the limit."""
    if fit.p50_s is None or fit.p99_s is None or fit.max_s is None:
        return ""
    if fit.verdict == "too_loose":
        return (
            f"; the limit is too loose: the slowest of {count(fit.n, 'successful call')} took {seconds(fit.max_s)},"
            f" those that hung waited {seconds(hung_s)} in all"
        )
    took = f"successful ones took {seconds(fit.p50_s)} (median) to {seconds(fit.p99_s)} (99 %)"
    return f"; the limit is too tight: {took}" if fit.verdict == "too_tight" else f"; {took}"


def _advice(fit: limits.Fit, knob: str, limit_s: float, place: str) -> str:
    if fit.verdict == "too_loose" and fit.max_s is not None:
        return (
            f"Lower {knob} from {limit_s:g} to about {limits.tighter_s(fit.max_s):g} at {place} and let max_retries"
            f" repeat the call: of {fit.n:,} no successful call took more than {seconds(fit.max_s)}."
        )
    if fit.verdict == "fits" and fit.max_s is not None:
        return (
            f"Keep {knob} = {limit_s:g} at {place} and let max_retries repeat the call: of {fit.n:,} no successful"
            f" call took more than {seconds(fit.max_s)} (limit {limit_s:g} s)."
        )
    unseen = " (how far is not known: no answer that takes longer was ever waited for)" if fit.is_censored else ""
    return (
        f"Raise {knob} above {limit_s:g} at {place}{unseen}, or stream the answer, so that the limit runs between"
        " chunks."
    )
