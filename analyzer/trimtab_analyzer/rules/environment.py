"""Rules about what no agent can help: one that never ran, and a provider or network that failed everybody for a while.

In: runs, attempts and what tool answers said is missing. Out: blame on the environment, or on nobody. They run before
all others, and what an incident hit is blamed on no knob of an agent: a production study found that nine in ten "hangs"
of fifteen agents fell in one window of two weeks, and had made the failure rate look two and a half times as high.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case, Group
from ..wording import count, of, quoted, seconds
from .runs import STOPPED_BY_HAND

NOT_SET_UP: Final = (
    *("ImportError", "ModuleNotFoundError", "SyntaxError", "FileNotFoundError", "NotADirectoryError"),
    *("PermissionError", "ExecFormatError", "DistributionNotFound", "PackageNotFoundError"),
)
"""Exceptions that say that the agent was not installed as it needs to be."""
NOT_FOUND: Final = r"(?i)command not found|no module named|not installed|executable file not found|missing dependency"
"""The same in the words of a message."""
PASSING: Final = ("overloaded", "server", "timeout", "connection", "stream_broken", "rate_limit")
"""Error classes that pass by themselves."""
GAP_S: Final = 900
"""Seconds without a failure of its class that end an incident."""
MIN_PLACES: Final = 3
"""Agents (services), or lines of code in them, that an incident hits."""
MIN_FAILURES: Final = 5
MINUTE_NS: Final = 60 * 10**9
"""Failures count where they are dense: at :data:`MIN_SHARE` of what a host was asked within a minute of the clock."""
MIN_SHARE: Final = 0.3
"""Share of the calls in the window, at the places hit, that an incident fails; a tenth of it is left outside."""
MAX_PART: Final = 0.25
"""Part of the time seen at those places that an incident may take: what lasts longer does not pass."""
MAX_CANDIDATES: Final = 50
"""Clusters of failures that are looked at, the largest first."""


def never_ran(case: Case, knob: str) -> Iterator[Blame]:
    """Runs that ended without one LLM call, for what they lack; and commands that an agent's tools did not find."""
    runs = facts.runs(case)
    kind = pl.col("error_type").str.split(".").list.last()
    lacks = kind.is_in(NOT_SET_UP) | pl.col("error_message").str.contains(NOT_FOUND)
    is_silent = pl.col("error_type").is_null() & (pl.col("failed") | pl.col("is_vanished"))
    idle = runs.filter(
        (pl.col("n_calls") == 0)
        & (pl.col("n_tools") == 0)
        & ~pl.col("has_children")
        & (pl.col("status") == "error").fill_null(False).or_(pl.col("failed"))
        & (lacks.fill_null(False) | is_silent)
        & ~kind.is_in(STOPPED_BY_HAND).fill_null(False)
    ).with_columns(subject=kind.fill_null("no call"), site_id="error_site_id")
    for part in idle.partition_by("subject", "site_id", maintain_order=True):
        n, place = part.height, case.place(part["site_id"][0])
        message = quoted(next(iter(part["error_message"].drop_nulls()), None))
        subject = part["subject"][0]
        why = f"with {subject}" if part["error_type"][0] else "without a word"
        hits = part.select(
            "run_id",
            *(pl.lit(None, pl.String).alias(name) for name in ("call_id", "attempt_id")),
            ended_ns=pl.coalesce("ended_ns", "started_ns"),
            call_ended_ns=pl.coalesce("ended_ns", "started_ns"),
            is_last=pl.lit(True),
        )
        yield Blame(
            Group(subject, knob, "null", part["site_id"][0], hits, hits),
            f"{count(n, 'run')} ended {why} before the first LLM call" + (f": {message}" if message else ""),
            f"Check before a run starts, at {place}, that what the agent needs is installed and reachable.",
            {"runs": n, "llm_calls": 0},
        )
    told = facts.answers(case).filter(pl.col("missing").list.len() > 0).explode("missing")
    hit = pl.col("is_lost") | (pl.col("run_id").n_unique().over("missing") >= 2)
    for group in case.groups(told, knob, hit=hit, subject=pl.col("missing")):
        runs_hit = group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"The tools did not find {group.subject} in {count(runs_hit, 'run')}",
            f"Install {group.subject} where the tools of {case.place(group.site_id)} run, or say in the prompt that it"
            " is not there.",
            {"runs": runs_hit, "tool_answers": group.hits.height},
        )


def incident(case: Case, knob: str) -> Iterator[Blame]:
    """Failures of one class at several agents in a short window, after and before which the same places work."""
    failures = pl.col("error_class").is_in(PASSING)
    if case.attempts.filter(failures).height < MIN_FAILURES:
        return
    service = facts.runs(case).select("run_id", "service")
    seen = case.attempts.join(service, on="run_id", how="left", maintain_order="left")
    seen = seen.with_columns(minute=pl.col("started_ns") // MINUTE_NS)
    asked = seen.group_by("host", "minute").agg(asked=pl.len())
    hot = seen.filter(failures).join(asked, on=["host", "minute"], how="left", maintain_order="left")
    hot = hot.filter(pl.len().over("error_class", "host", "minute") >= MIN_SHARE * pl.col("asked"))
    hot = hot.sort("error_class", "host", "started_ns", maintain_order=True)
    alike = ["error_class", "host"]
    is_new = (pl.col("started_ns") - pl.col("ended_ns").shift(1)).over(alike) > GAP_S * 10**9
    marked = hot.with_columns(cluster=is_new.fill_null(True).cum_sum().over(alike))
    clusters = (
        marked.group_by(*alike, "cluster")
        .agg(n=pl.len(), services=pl.col("service").n_unique(), sites=pl.col("site_id").n_unique())
        .filter((pl.col("n") >= MIN_FAILURES) & (pl.max_horizontal("services", "sites") >= MIN_PLACES))
        .sort("n", descending=True)
        .head(MAX_CANDIDATES)
    )
    for error_class, host, cluster, *_ in clusters.sort(*alike, "cluster").iter_rows():
        one = (pl.col("error_class") == error_class) & (pl.col("host") == host) & (pl.col("cluster") == cluster)
        if (blame := _incident(case, knob, seen, marked.filter(one))) is not None:
            yield blame


def _incident(case: Case, knob: str, seen: pl.DataFrame, hits: pl.DataFrame) -> Blame | None:
    first, last = int(hits["started_ns"].min()), int(hits["ended_ns"].max())  # type: ignore[arg-type]
    error_class = hits["error_class"][0]
    at = seen.join(hits.select("service", "site_id", "host").unique(), on=["service", "site_id", "host"], how="semi")
    is_within = pl.col("started_ns").is_between(first, last)
    within, outside = at.filter(is_within), at.filter(~is_within)
    fails = pl.col("error_class") == error_class
    places = ["service", "site_id"]
    fine = outside.filter(~pl.col("is_failed"))
    n_places = hits.select(places).unique().height
    worked = [fine.filter(side).select(places).unique().height for side in (_after(last), _before(first))]
    span = int(at["ended_ns"].max()) - int(at["started_ns"].min())  # type: ignore[arg-type]
    share, rest = (part.filter(fails).height / max(part.height, 1) for part in (within, outside))
    if min(worked) * 3 < n_places * 2 or share < MIN_SHARE or rest > share / 10 or last - first > MAX_PART * span:
        return None
    site_id = hits.group_by("site_id").len().sort("len", "site_id", descending=[True, False])["site_id"][0]
    agents = hits["service"].n_unique()
    where = f"{count(agents, 'agent')} at {count(hits['site_id'].n_unique(), 'line')}"
    shown = hits.with_columns(asked_at="site_id")
    return Blame(
        Group(f"{error_class} {first}", knob, "null", site_id, shown, within),
        f"{of(hits.height, within.height, 'request')} of {where} failed alike ({error_class}) within"
        f" {seconds((last - first) / 1e9)}, and before and after it the same lines got answers",
        f"Leave these calls out of what is said of {case.place(site_id)} and the other lines; no setting of theirs was"
        " at work. A fallback at another provider helps over such a time.",
        {
            "agents": agents,
            "from_ns": first,
            "to_ns": last,
            "share_within": share,
            "share_outside": rest,
            "lost_calls": hits.filter("is_last")["call_id"].n_unique(),
        },
    )


def _after(last_ns: int) -> pl.Expr:
    return pl.col("started_ns") > last_ns


def _before(first_ns: int) -> pl.Expr:
    return pl.col("started_ns") < first_ns
