"""Rules about how runs end: at a limit, too late to count, or too early.

In: the last call of each run beside the run as a whole. Out: blame on the limit or the stop rule in force. Limits of
frameworks are knobs and known by value; a loop of the user's own is known to be at its limit by an exception that says
so, or where several runs break off after exactly as many calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts, load
from ..case import Blame, Case
from ..wording import count, setting
from .stuck import stuck_runs

LIMIT_TYPE: Final = (
    r"(?i)(?:max|limit|budget)\w*?(?:turn|step|iter|round|request|message|cost|token|exceed|reach|exhaust)"
    r"|(?:turn|step|iteration|round|usage|graphrecursion)s?_?(?:limit|error|exceeded)|limits?_?exceeded"
)
"""Names of exceptions, and exit states of imported runs, that tell of a limit."""
LIMIT_MESSAGE: Final = (
    r"(?i)\b(?:max(?:imum)?|limit|budget)\b.{0,60}\b(?:turns?|steps?|iterations?|rounds?|requests?|recursions?)\b"
    r"|\b(?:turn|step|iteration|recursion|round|request)s? limit\b"
)
TIME_TYPE: Final = r"(?i)timeout|timedout|time_?limit|deadline|TimeLimitExceeded"
DOUBLE_STEPS: Final = ("recursion_limit", "max_messages")
"""Limits that count a turn twice: the model's step or message, and that of its tools."""
MIN_STEPS: Final = 3
"""Calls after which runs that break off together look like a limit."""
MIN_PEERS: Final = 3
"""Other runs of the same kind that a short one is compared with."""
FEW: Final = 0.25
"""Part of the calls of its peers that makes a run short."""


def ends(case: Case) -> pl.DataFrame:
    """One row per run that made a call: its last attempt (:func:`~.facts.answers`) beside :data:`~.facts.RUNS`."""

    def make() -> pl.DataFrame:
        whole = facts.runs(case).drop("service", "started_ns", "ended_ns", "is_lost")
        whole = whole.rename({"error_message": "run_message"})
        last = facts.answers(case).filter("is_last").unique("run_id", keep="last", maintain_order=True)
        return last.join(whole, on="run_id", how="inner", maintain_order="left")

    return case.once("ends", make)


def limit_hit(case: Case, knob: str) -> Iterator[Blame]:
    """Runs that a limit on their turns ended before their work was done.

    A run that was stuck (:func:`.stuck.stuck_runs`) would have reached any limit: that is the fault of what it was
    stuck in. A run whose last request failed was ended by that, even where the provider's words are of limits.
    """
    last = ends(case).filter(~pl.col("run_id").is_in(stuck_runs(case)))
    says_so = pl.col("error_type").str.split(".").list.last().str.contains(LIMIT_TYPE) | (
        pl.col("error_type").is_not_null() & pl.col("run_message").str.contains(LIMIT_MESSAGE)
    )
    is_open = (pl.col("asks") > 0) & (pl.col("success") != True).fill_null(True)  # noqa: E712
    says_so &= ~pl.col("is_failed")
    last = last.with_columns(says_so=says_so.fill_null(False), is_open=is_open.fill_null(False))
    if last.filter(pl.col("says_so") | pl.col("is_open")).is_empty():
        return
    last = _with_limits(case, last, knob)
    turns = pl.when(pl.col("limit_knob").is_in(DOUBLE_STEPS)).then(2 * pl.col("n_calls") + 1).otherwise("n_calls")
    at_limit = (turns >= pl.col("limit")) & pl.col("is_open")
    together = pl.col("is_open") & pl.col("is_lost") & (pl.col("n_calls") >= MIN_STEPS) & pl.col("limit").is_null()
    longest = pl.col("n_calls") == pl.col("n_calls").max().over("kind")
    several = (together & longest).sum().over("kind") >= 2
    hit = pl.col("says_so") | at_limit.fill_null(False) | (together & longest & several)
    last = last.with_columns(hit=hit.fill_null(False))
    for named in last.filter("hit")["limit_knob"].unique(maintain_order=True):
        rows = last.filter(pl.col("limit_knob") == named)
        for group in case.groups(rows, named, hit=pl.col("hit"), subject=pl.col("kind")):
            n = group.hits.height
            done = group.hits.filter((pl.col("asks") == 0) & ~pl.col("is_failed")).height
            place = case.place(group.site_id)
            most = int(group.hits["n_calls"].max())  # type: ignore[arg-type]
            if done == n:
                advice = f"Stop at {place} once the answer is there: it was final when the limit came."
            else:
                advice = f"Raise {named} at {place}, or let the agent finish with what it has before the limit comes."
            yield Blame(
                group,
                f"{count(n, 'run')} ended at a limit ({setting(named, group.decoded)}) after"
                f" {count(most, 'call')}" + ("" if done == n else ", with work still asked for"),
                advice,
                {"runs": n, "of": group.exposed.height, "most_calls": most, "already_final": done},
            )


def _with_limits(case: Case, last: pl.DataFrame, knob: str) -> pl.DataFrame:
    """``last`` with the tightest limit in force (``limit_knob``, ``limit``) for runs that may have met one."""
    known = facts.limit_knobs(case)
    asked = last.filter(pl.col("says_so") | pl.col("is_open"))["call_id"]
    decisions = load.decisions_in_force(case.con, known, call_ids=asked if known else asked.clear())
    tightest = (
        decisions.with_columns(limit=pl.col("value").cast(pl.Int64, strict=False))
        .filter(pl.col("limit") > 0)
        .sort("limit", "knob")
        .unique("call_id", keep="first", maintain_order=True)
        .select("call_id", "limit", limit_knob="knob")
    )
    return last.join(tightest, on="call_id", how="left", maintain_order="left").with_columns(
        pl.col("limit_knob").fill_null(knob)
    )


def timed_out_but_done(case: Case, knob: str) -> Iterator[Blame]:
    """Runs that a time limit ended although what they had done was judged a success."""
    is_late = pl.col("error_type").str.contains(TIME_TYPE) | pl.col("is_vanished")
    hit = (pl.col("status") == "error") & is_late.fill_null(False) & pl.col("success")
    for group in case.groups(ends(case), knob, hit=hit, subject=pl.col("kind")):
        n = group.hits.height
        yield Blame(
            group,
            f"{count(n, 'run')} {'was' if n == 1 else 'were'} ended by time and yet judged a success",
            f"Check at {case.place(group.site_id)} after each step whether the task is done, and submit then.",
            {"runs": n, "of": group.exposed.height},
        )


def premature_end(case: Case, knob: str) -> Iterator[Blame]:
    """Failed runs that answered without a tool although tools were offered, while their peers used several.

    Peers are the runs of the kind that succeeded; all of them where few did.
    """
    won = pl.col("success").fill_null(False)
    is_peer = won | (won.sum().over("kind") < MIN_PEERS)  # those that succeeded, where there are enough of them
    rows = (
        ends(case)
        .with_columns(is_peer=is_peer)
        .with_columns(
            peers=pl.col("is_peer").sum().over("kind") - pl.col("is_peer").cast(pl.Int64),
            usual_calls=pl.col("n_calls").filter("is_peer").median().over("kind"),
            usual_tools=pl.col("n_tools").filter("is_peer").median().over("kind"),
        )
    )
    hit = (
        (pl.col("asks") == 0)
        & ~pl.col("is_failed")
        & (pl.col("n_tools") == 0)
        & (pl.col("n_offered") > 0)
        & (pl.col("peers") >= MIN_PEERS)
        & (pl.col("usual_tools") >= 2)
        & (pl.col("n_calls") <= (FEW * pl.col("usual_calls")).clip(1))
    )
    for group in case.groups(rows.filter("is_lost"), knob, hit=hit, subject=pl.col("kind")):
        usual = float(group.hits["usual_calls"][0])
        n = group.hits.height
        yield Blame(
            group,
            f"{count(n, 'run')} that failed gave a final answer without a tool call; half of its kind make"
            f" {usual:g} calls or more",
            f"Ask for evidence before a final answer is taken at {case.place(group.site_id)}.",
            {"runs": n, "of": group.exposed.height, "usual_calls": usual},
        )
