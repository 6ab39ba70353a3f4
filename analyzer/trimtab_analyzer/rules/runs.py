"""The rule about whole runs: those that an exception ended and that no other finding accounts for.

In: the runs that ended in an exception, less those already named by a finding of another rule. Out: blame per line that
the exception left through and its type. It is the last rule, so that one fault is not blamed twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from ..case import Blame, Case, Group
from ..wording import count, quoted
from .stuck import stuck_runs

STOPPED_BY_HAND = ("KeyboardInterrupt", "CancelledError", "GeneratorExit")
"""Exceptions with which someone stops a run on purpose: no fault of the agent."""


def run_error(case: Case, knob: str) -> Iterator[Blame]:
    """Runs ended by an exception that no finding above accounts for and that did not come up from a run inside.

    In a run that was stuck (:func:`.stuck.stuck_runs`) it is a candidate: what gave up is seldom what was wrong.
    """
    ended = case.run_errors.filter(
        ~pl.col("from_child")
        & ~pl.col("run_id").is_in(list(case.explained))
        & ~pl.col("error_type").str.split(".").list.last().is_in(STOPPED_BY_HAND)
    )
    last = case.attempts.lazy().filter("is_last").select("call_id", "attempt_id", asked_at="site_id").collect()
    last = last.join(ended.select(call_id="last_call_id"), on="call_id", how="semi", maintain_order="left")
    rows = ended.rename({"last_call_id": "call_id"}).join(
        last.unique("call_id", keep="first", maintain_order=True), on="call_id", how="left", maintain_order="left"
    )
    # a process that vanished raised nothing: the line of its last call is the nearest that is known
    rows = rows.with_columns(
        site_id=pl.when("is_exception").then("site_id").otherwise("asked_at"),
        was_stuck=pl.col("run_id").is_in(stuck_runs(case)),
    )
    for part in rows.partition_by("error_type", "site_id", "was_stuck", maintain_order=True):
        kind, site_id = part["error_type"][0], part["site_id"][0]
        message = quoted(next(iter(part["error_message"].drop_nulls()), None))
        place, n = case.place(site_id), part.height
        if part["is_exception"][0]:
            title = f"{count(n, 'run')} ended with {kind}" + (f": {message}" if message else "")
            advice = f"Handle {kind.rpartition('.')[2]} at {place}, or mend what raises it there."
        else:
            title = (
                f"{count(n, 'run')} ended because the process was gone without a word (killed, crashed, out of memory)"
            )
            advice = f"Look into why the process ended after its last call at {place}: its code raised nothing."
        subject = kind + (", stuck before" if part["was_stuck"][0] else "")
        group = Group(subject, knob, "null", site_id, part, part)
        yield Blame(group, title, advice, {"runs": n}, is_candidate=part["was_stuck"][0])
