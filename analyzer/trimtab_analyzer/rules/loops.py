"""Rules about runs that turn without getting on: the same calls again, or other calls that bring nothing new.

In: the tool calls of a case in the order of their run, and its answers. Out: blame on the loop around the call. Repeats
are certain, for nothing can come of them; that a run made no progress shows only in one that failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count, of
from .history import cuts, forgotten
from .threads import before, threads

CYCLES: Final = (2, 3, 4)
"""Lengths of cycles that are looked for; a cycle of one call is a repeat."""
ROUNDS: Final = 3
"""Times that a cycle must be gone through."""
STALE: Final = 4
"""Steps in a row without a new result that count as no progress."""
SAME_SAID: Final = 3
"""Answers in a row with the same text that do."""


def repeated_call(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls that repeat an earlier one of their run: same tool, arguments and result, nothing changed between; and
    the last turn of a cycle of calls with the same arguments that a run which did not succeed went through three times.

    What counts as a change is written in ``queries/tool_calls.sql``. Failed calls of a broken tool are that rule's. A
    cache is advised only for a tool that is known to change nothing: any other may have to run each time it is called.
    """
    requested = _with_cycles(case)
    hit = (pl.col("repeats").is_not_null() | pl.col("is_cycle")) & ~pl.col("is_broken")
    if not cuts(case).is_empty():  # what the model could no longer see is no loop's fault
        again = forgotten(case).filter("is_asked_again")["tool_id"]
        hit &= ~pl.col("tool_id").is_in(again.to_list())
    for group in case.groups(requested, knob, hit=hit, subject=pl.col("name")):
        n, total, runs = group.hits.height, group.exposed.height, group.hits["run_id"].n_unique()
        worst = int(group.hits.group_by("run_id").len()["len"].max())  # type: ignore[arg-type]
        errors = group.hits.filter(pl.col("status") == "error").height
        loop = f"the loop around {case.place(group.site_id)}"
        if errors:
            advice = f"Stop {loop} after the same error twice: {of(errors, n, 'repeat')} gave the same error again."
        elif group.hits["is_harmless"].all():
            advice = (
                f"Answer a repeated {group.subject} from a cache in {loop}, or break it after the second identical call"
                f" (up to {count(worst, 'repeat')} in a run)."
            )
        else:
            advice = (
                f"Break {loop} after the second identical call of {group.subject}, unless it waits for something"
                f" (up to {count(worst, 'repeat')} in a run)."
            )
        cycling = group.hits.filter(pl.col("repeats").is_null()).height
        if cycling == n:
            said = "went round in a cycle of calls with the same arguments"
        else:
            said = (
                "gave again what the run had already seen (same arguments, same"
                f" {'error' if errors == n else 'result'})"
            )
        yield Blame(
            group,
            f"{n:,} of {count(total, 'call')} of the tool {group.subject} {said}, in {count(runs, 'run')}",
            advice,
            {"hit": n, "of": total, "most_in_a_run": worst, "errors": errors, "in_cycles": cycling},
        )


def _with_cycles(case: Case) -> pl.DataFrame:
    """The tool calls that a model asked for, with ``is_cycle``: in the last round of a cycle (:data:`ROUNDS`)."""
    rows = facts.steps(case).filter(pl.col("call_id").is_not_null())
    most = rows.group_by("run_id").len()["len"].max()
    if not isinstance(most, int) or most < CYCLES[0] * ROUNDS:
        return rows.with_columns(is_cycle=pl.lit(False))
    won = case.outcomes.filter("success")["run_id"].to_list()
    can_turn = pl.col("args_digest").is_not_null() & (pl.col("mutates") != True).fill_null(True)  # noqa: E712
    # the run is part of what is compared, so that no window is needed: the rows of a run stand together
    turn = pl.struct("run_id", "name", "args_digest").hash() % 2**62
    rows = rows.with_columns(turn=pl.when(can_turn & ~pl.col("run_id").is_in(won)).then(turn))
    same = (pl.col("turn") == pl.col("turn").shift(1)).fill_null(False)
    found = pl.lit(False)
    for n in CYCLES:
        again = (pl.col("turn") == pl.col("turn").shift(n)).fill_null(False)
        length = n * (ROUNDS - 1)
        whole = again.cast(pl.Int8).rolling_sum(length) == length
        is_one_call = same.cast(pl.Int8).rolling_sum(length) == length
        # one of its calls at least says what it said before: polling two things that change is work
        told = again & (pl.col("result_digest") == pl.col("result_digest").shift(n)).fill_null(False)
        is_stuck = told.cast(pl.Int8).rolling_sum(length) >= ROUNDS - 1
        ends = (whole & ~is_one_call & is_stuck).fill_null(False)
        found = found | pl.any_horizontal(ends.shift(-i).fill_null(False) for i in range(n))
    return rows.with_columns(is_cycle=found & pl.col("turn").is_not_null())


def no_progress(case: Case, knob: str) -> Iterator[Blame]:
    """Stretches of a failed run in which tool calls with new arguments brought nothing that had not been seen."""
    known = pl.col("call_id").is_not_null() & pl.col("result_digest").is_not_null()
    rows = facts.steps(case).filter(known & pl.col("is_lost"))
    rows = rows.with_columns(is_new=pl.struct("run_id", "result_digest").is_first_distinct())
    rows = rows.with_columns(stretch=pl.col("is_new").cum_sum())
    is_stale = ~pl.col("is_new") & pl.col("repeats").is_null() & ~pl.col("is_broken")
    enough = is_stale.sum().over("run_id", "stretch") >= STALE
    for group in case.groups(rows, knob, hit=is_stale & enough, subject=pl.lit("")):
        runs = group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{of(group.hits.height, group.exposed.height, 'tool call')} brought nothing new, {STALE} or more in"
            f" a row, in {count(runs, 'run')} that failed",
            f"Stop the loop around {case.place(group.site_id)} or plan anew after {STALE} results without news.",
            {"hit": group.hits.height, "of": group.exposed.height, "runs": runs},
        )
    said = facts.answers(case).filter(
        pl.col("is_answer") & pl.col("is_lost") & (pl.col("asks") == 0) & (pl.col("output_chars") > 0)
    )
    said = threads(said, ["run_id", "site_id"])
    alike = pl.lit(True)
    for n in range(1, SAME_SAID):
        grew = before("message_count", n) < pl.col("message_count")
        alike = alike & (pl.col("output_digest") == before("output_digest", n)) & grew
    hit = alike.fill_null(False) & ~pl.col("is_rejected")
    for group in case.groups(said, knob, hit=hit, subject=pl.lit("answers")):
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} said for the {SAME_SAID}rd time or more what the one before"
            " had said, in runs that failed",
            f"Stop the loop around {case.place(group.site_id)} where an answer repeats itself.",
            {"hit": group.n_hit, "of": group.n_exposed},
        )
