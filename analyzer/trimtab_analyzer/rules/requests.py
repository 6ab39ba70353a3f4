"""Rules about requests that brought no answer: rate limits, the provider's own errors, time limits, futile retries.

In: the attempts of a case. Out: blame per line and value of the retry or time limit in force. They look at single HTTP
attempts, so a call that a retry saved shows here too, as waiting, and not as lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from ..case import Blame, Case, Group
from ..statistics import wilson
from ..wording import count, of, quoted, seconds, setting, were

MIN_SUCCESSES = 5
"""Successful calls below which their latencies are no distribution to compare with."""


def _lost(group: Group) -> int:
    """Calls that ended on a blamed attempt."""
    return group.hits.filter("is_last")["call_id"].n_unique()


def _share(group: Group) -> dict[str, Any]:
    """How many calls were hit, of how many."""
    return wilson(group.n_hit, group.n_exposed).numbers(group.n_hit, group.n_exposed)


def _waited_s(group: Group) -> float:
    """Seconds between the attempts of the calls that were hit."""
    return float(group.hits.unique("call_id")["wait_s"].sum())


def _fate(group: Group, lost: int) -> str:
    if lost == 0:
        return "a retry saved it" if group.n_hit == 1 else "the retries saved all of them"
    return "none of them got an answer" if lost == group.n_hit > 1 else f"{lost:,} got no answer"


def rate_limit(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that the provider turned away because too many came (429); a used-up quota is another thing."""
    hit = pl.col("error_class") == "rate_limit"
    for group in case.groups(case.attempts, knob, hit=hit, subject=pl.col("model")):
        lost, waited = _lost(group), _waited_s(group)
        asked_s = group.hits["retry_after_s"].max()
        place, pause = case.place(group.site_id), ""
        if isinstance(asked_s, float):
            pause = f" (up to {seconds(asked_s)} here)"
        if lost == 0:
            advice = (
                f"Send fewer calls at once from {place}, or get a higher limit for {group.subject or 'the model'}:"
                f" the retries cost {seconds(waited)} of waiting."
            )
        elif not group.decoded:
            advice = f"Raise {knob} above {group.decoded or 0} at {place}, and honour Retry-After{pause}."
        else:
            advice = (
                f"Wait longer between the retries at {place} ({setting(knob, group.value)} did not do):"
                f" honour Retry-After{pause}, back off exponentially, or send fewer calls at once."
            )
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} to {group.subject or 'the model'} met a rate limit;"
            f" {_fate(group, lost)}",
            advice,
            {**_share(group), "lost_calls": lost, "waited_s": waited, "retry_after_s": asked_s},
        )


def provider_error(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that failed at the provider or on the way to it: 5xx, overloaded, connection refused or dropped."""
    hit = pl.col("error_class").is_in(["server", "overloaded", "connection", "stream_broken"]) | (
        (pl.col("error_class") == "timeout") & ~pl.col("is_client_timeout")
    )
    for group in case.groups(case.attempts, knob, hit=hit, subject=pl.col("host")):
        lost, waited = _lost(group), _waited_s(group)
        by_class = group.hits.group_by("error_class").len().sort(["len", "error_class"], descending=True)
        kinds: dict[str, int] = dict(by_class.iter_rows())
        place = case.place(group.site_id)
        if lost == 0:
            advice = f"Name a fallback model at {place} if this goes on: the retries cost {seconds(waited)} of waiting."
        elif not group.decoded:
            advice = f"Raise {knob} above {group.decoded or 0} at {place}, or name a fallback model."
        else:
            advice = (
                f"Name a fallback model at {place}, or back off for longer: {setting(knob, group.value)} did not do."
            )
        named = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items())
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} failed at {group.subject} ({named}); {_fate(group, lost)}",
            advice,
            {**_share(group), "lost_calls": lost, "waited_s": waited, "error_classes": kinds},
        )


def timeout(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that the client's own time limit ended, next to how long successful ones take at the same place."""
    for group in case.groups(case.attempts, knob, hit=pl.col("is_client_timeout"), subject=pl.col("model")):
        lost, limit_s = _lost(group), float(group.hits["timeout_s"].max())  # type: ignore[arg-type]
        taken = group.exposed.filter(~pl.col("is_failed"))["duration_s"].to_numpy()
        numbers = {**_share(group), "lost_calls": lost, "timeout_s": limit_s, "successes": len(taken)}
        place, known = case.place(group.site_id), ""
        advice = (
            f"Raise {knob} above {limit_s:g} at {place}, or stream the answer, so that the limit runs between chunks."
        )
        if len(taken) >= MIN_SUCCESSES:
            median, p99 = (float(q) for q in np.quantile(taken, [0.5, 0.99]))
            numbers |= {"success_p50_s": median, "success_p99_s": p99}
            known = f"; successful ones took {seconds(median)} (median) to {seconds(p99)} (99 %)"
            if p99 < limit_s / 2:
                advice = (
                    f"Keep {knob} = {limit_s:g} at {place} and let max_retries repeat the call: {len(taken):,}"
                    f" successful calls took {seconds(p99)} or less, so these hung and more time would not help."
                )
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} ran into the time limit of {limit_s:g} s;"
            f" {_fate(group, lost)}{known}",
            advice,
            numbers,
        )


def futile_retry(case: Case, knob: str) -> Iterator[Blame]:
    """Requests sent again after an error that the same request meets again (``trimtab_analyzer.load.REPEATABLE``)."""
    for group in case.groups(case.attempts, knob, hit=pl.col("futile").is_not_null(), subject=pl.col("error_class")):
        loops = group.hits.filter(pl.col("futile") == "loop").height
        message = group.hits["error_message"].drop_nulls().to_list()
        status = group.hits["http_status"].drop_nulls().to_list()
        what = f"{group.subject} error" + (f" (HTTP {status[0]})" if status else "")
        by = (
            "a loop around the call"
            if loops == group.hits.height
            else "the retries"
            if loops == 0
            else "retries and loop"
        )
        said = f": {quoted(message[0])}" if message and quoted(message[0]) else ""
        yield Blame(
            group,
            f"{count(group.hits.height, 'request')} {were(group.hits.height)} sent again by {by} after a {what},"
            " which the same request meets again",
            f"Do not retry a {what} at {case.place(group.site_id)}; change the request or stop there{said}.",
            {"requests": group.hits.height, "by_loop": loops, "by_retries": group.hits.height - loops},
        )
