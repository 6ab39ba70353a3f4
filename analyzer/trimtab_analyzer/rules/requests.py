"""Rules about requests that brought no answer: rate limits, the provider's own errors, futile retries.

In: the attempts of a case. Out: blame per line and value of the retries in force. They look at single HTTP attempts, so
a call that was answered after a retry shows here too, as waiting, and not as lost. Where no call was lost the retries
did what they are for, so what is blamed is not their number but how many calls are under way at once. Calls that a
policy's fallback or backoff was in force for are told apart: what they lost is lost under that one.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ..case import OF_POLICIES, Blame, Case, Group
from ..wording import a, count, of, quoted, seconds, setting, were
from .shares import fate, lost_calls, mark_lost, share

LOOP_WITHIN_S = 60
"""Seconds within which a request sent again counts as sent by a loop (decided in ``queries/attempts.sql``)."""


USUAL_RETRIES = 2
"""What the SDKs of OpenAI and Anthropic do when nobody says anything."""
RESCUED = 0.1
"""Share of the calls retried that the retries brought an answer for, up to which they are in vain."""


def _waited_s(group: Group) -> float:
    """Seconds between the attempts of the calls that were hit."""
    return float(group.hits.unique("call_id", maintain_order=True)["wait_s"].sum())


def _refused(case: Case, knob: str, *, hit: pl.Expr, subject: pl.Expr, lasts: bool = False) -> Iterator[Group]:
    """The groups under the retries' decision that lost a call; the others' attempts by line of call, as parallelism.

    Args:
        case: The case.
        knob: The retries' number.
        hit: Which attempts.
        subject: What they are about.
        lasts: Whether what is hit may outlast any retries. Where the usual number of them rescued next to no call, more
            of them would not either: their attempts are grouped by line of call, as the fallback that is not there.
    """
    calm, vain, attempts = [], [], mark_lost(case, case.attempts, hit)
    for group in case.groups(attempts, knob, hit=hit, subject=subject, unless=OF_POLICIES):
        if not lost_calls(group):
            calm.append(group.exposed.select("attempt_id"))
        elif lasts and group.knob == knob and _is_in_vain(case, group):
            vain.append(group.exposed.select("attempt_id"))
        else:
            yield group
    if calm:
        # what a loop around the retries asked again is that loop's: the number of calls at once had no part in it
        storms = case.loops.filter("is_storm")
        rows = attempts.join(pl.concat(calm), on="attempt_id", how="semi", maintain_order="left")
        rows = rows.join(storms, on="call_id", how="anti", maintain_order="left")
        yield from case.groups(rows, "parallelism", hit=hit, subject=subject)
    if vain:
        rows = attempts.join(pl.concat(vain), on="attempt_id", how="semi", maintain_order="left")
        yield from case.groups(rows, "fallback", hit=hit, subject=subject)


def _is_in_vain(case: Case, group: Group) -> bool:
    """Whether the retries were as many as SDKs make and yet rescued next to no call that they were made for."""
    retries = group.decoded
    if not isinstance(retries, int) or retries < USUAL_RETRIES or group.source in ("human", "experiment"):
        return False
    if group.hits.join(case.loops.filter("is_storm"), on="call_id", how="semi").height:
        return False  # two loops at once: which of them is too many comes first
    return group.n_hit - lost_calls(group) <= RESCUED * group.n_hit


def rate_limit(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that the provider turned away because too many came (429); a used-up quota is another thing."""
    hit = pl.col("error_class") == "rate_limit"
    for group in _refused(case, knob, hit=hit, subject=pl.col("model")):
        lost, waited = lost_calls(group), _waited_s(group)
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
                f"Wait longer between the retries at {place} ({setting(group.knob, group.decoded)} did not do):"
                f" honour Retry-After{pause}, back off exponentially, or send fewer calls at once."
            )
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} to {group.subject or 'the model'} met a rate limit;"
            f" {fate(group.n_hit, lost)}",
            advice,
            {**share(group), "lost_calls": lost, "waited_s": waited, "retry_after_s": asked_s},
        )


def provider_error(case: Case, knob: str) -> Iterator[Blame]:
    """Attempts that failed at the provider or on the way to it: 5xx, overloaded, connection refused or dropped."""
    hit = pl.col("error_class").is_in(["server", "overloaded", "connection", "stream_broken"]) | (
        (pl.col("error_class") == "timeout") & ~pl.col("is_client_timeout")
    )
    for group in _refused(case, knob, hit=hit, subject=pl.col("host"), lasts=True):
        lost, waited = lost_calls(group), _waited_s(group)
        by_class = group.hits.group_by("error_class").len().sort(["len", "error_class"], descending=True)
        kinds: dict[str, int] = dict(by_class.iter_rows())
        place = case.place(group.site_id)
        if lost == 0:
            advice = (
                f"Send fewer calls at once from {place}, or name a fallback model, if this goes on: the retries cost"
                f" {seconds(waited)} of waiting."
            )
        elif group.knob == "fallback" and group.decoded in (None, False, ""):
            advice = f"Name a fallback model at {place}: the retries brought no answer, so more of them will not."
        elif not group.decoded:
            advice = f"Raise {knob} above {group.decoded or 0} at {place}, or name a fallback model."
        else:
            name = "another" if group.knob == "fallback" else "a"
            advice = (
                f"Name {name} fallback model at {place}, or back off for longer:"
                f" {setting(group.knob, group.decoded)} did not do."
            )
        named = ", ".join(f"{n:,} {kind}" for kind, n in kinds.items())
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'call')} failed at {group.subject} ({named});"
            f" {fate(group.n_hit, lost)}",
            advice,
            {**share(group), "lost_calls": lost, "waited_s": waited, "error_classes": kinds},
        )


def futile_retry(case: Case, knob: str) -> Iterator[Blame]:
    """Requests sent again after an error that the same request meets again (``trimtab_analyzer.load.REPEATABLE``)."""
    for group in case.groups(case.attempts, knob, hit=pl.col("futile").is_not_null(), subject=pl.col("error_class")):
        by_retries = group.hits.filter(pl.col("futile") == "call")
        n, loops = group.hits.height, group.hits.height - by_retries.height
        message = group.hits["error_message"].drop_nulls().to_list()
        status = group.hits["http_status"].drop_nulls().to_list()
        what = a(f"{group.subject} error") + (f" (HTTP {status[0]})" if status else "")
        by = "the retries" if loops == 0 else "a loop around the call" if loops == n else "retries and a loop"
        said = f": {quoted(message[0])}" if message and quoted(message[0]) else ""
        yield Blame(
            group,
            f"{count(n, 'request')} {were(n)} sent again by {by}{f' within {LOOP_WITHIN_S} s' if loops else ''} after"
            f" {what} and met it again",
            f"Do not retry {what} at {case.place(group.site_id)}; change the request or stop there{said}.",
            {
                "requests": n,
                "by_loop": loops,
                "by_retries": n - loops,
                "by_retries_s": float(by_retries.select(pl.col("duration_s") + pl.col("pause_s")).to_series().sum()),
            },
        )
