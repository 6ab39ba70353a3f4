"""Rules about what stays behind: changes that a failed run left, and changes that were made twice.

In: executions of tools that are declared to change something (``@trimtab.tool(mutates=True)``), and what the sagas of
failed runs undid of them (docs/side-effects.md). Out: blame on the error handler or on the retries. Tools that do not
say are left alone: which of them changes anything can't be told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..wording import count, of
from .places import definition, moved

INVERSE: Final = (
    r"(?i)(?:^|[_\W])(?:cancel|undo|delete|remove|roll_?back|revert|refund|release|compensate|void|restore|unbook"
    r"|unlock)(?:$|[_\W])"
)
"""Names of tools that take a change back; so does a tool that another one declares as its compensation."""
STAYED: Final = ("failed", "not_run")
"""What a saga says of a change whose compensation did not do its work (:class:`trimtab_tracer.records.SagaStep`)."""
ADVICE: Final = {
    "failed": "Mend {name}, which should have undone {tool} and failed {times}{raised}.",
    "not_run": "Undo {tool} by hand: an interrupt came before {name} was called, {times}.",
    "unknown": "Let {tool} end before its run does: it still ran when {name} should have undone it, {times}.",
    "declared": "Have {name} called, which is declared to undo {tool} and was not, {times}: open the run with"
    " trimtab.run(..., compensate=True).",
}
"""What helps where a compensation is declared, by what the saga says of it; ``declared`` where there was no saga."""
UNSURE: Final = r"(?i)time.?out|timedout|cancel|connection"
"""Errors after which a change may have been made all the same."""


def stayed(case: Case) -> pl.DataFrame:
    """One row per change that was made in a run which failed or broke off: the columns of :func:`~.facts.steps`,
    ``by_exception``, ``hit`` (nothing took it back) and ``ended_by``, the tool call that failed last in the run.

    A saga knows which change it undid, and which it could not; for the others a later call that takes something back
    counts for all before it. Either an exception ended the run, or a call failed after the change and the outcome says
    no.
    """

    def make() -> pl.DataFrame:
        rows = facts.steps(case).with_columns(place=pl.int_range(pl.len()))
        ended = facts.runs(case).filter((pl.col("status") == "error") & pl.col("error_type").is_not_null())
        raised = pl.col("run_id").is_in(ended["run_id"].to_list())
        is_change = pl.col("mutates").fill_null(False) & (pl.col("status") == "ok")
        compensations = rows["compensation"].drop_nulls().unique().str.split(".").list.last()
        is_inverse = is_change & (pl.col("name").str.contains(INVERSE) | pl.col("name").is_in(compensations.to_list()))
        taken_back = pl.col("place").filter(is_inverse).max().over("run_id") > pl.col("place")
        is_undone = pl.col("undoing") == "compensated"
        not_undone = pl.col("undoing").is_in(STAYED).fill_null(False)
        is_open = is_change & ~is_inverse & ~is_undone.fill_null(False) & (not_undone | ~taken_back.fill_null(False))
        last_error = pl.col("place").filter(pl.col("status") == "error").max().over("run_id")
        lost = case.attempts.filter(pl.col("is_last") & pl.col("is_failed")).group_by("run_id")
        rows = rows.join(lost.agg(lost_ns=pl.col("ended_ns").max()), on="run_id", how="left", maintain_order="left")
        failed_later = (last_error > pl.col("place")) | (pl.col("lost_ns") > pl.col("at_ns"))
        which = raised | (pl.col("is_lost") & failed_later.fill_null(False))
        ended_by = pl.col("tool_id").filter(pl.col("status") == "error").last().over("run_id")
        rows = rows.with_columns(by_exception=raised, hit=is_open & which, ended_by=ended_by)
        # of the changes made in such runs alone, so that the share is one of those that could have stayed
        return rows.filter(is_change & (raised | pl.col("is_lost")))

    return case.once("stayed", make)


def uncompensated_side_effect(case: Case, knob: str) -> Iterator[Blame]:
    """Changes that worked in a run which failed later, and that neither a saga nor a later call takes back.

    The line is the definition of the tool that made the change, where what undoes it would be declared.
    """
    for group in moved(case.groups(stayed(case), knob, hit=pl.col("hit"), subject=pl.col("name")), definition):
        n, runs = group.hits.height, group.hits["run_id"].n_unique()
        how = " that an exception ended later" if group.hits["by_exception"].all() else ""
        undoing = _undoing(group.hits)
        yield Blame(
            group,
            f"{of(n, group.exposed.height, 'change')} that {group.subject} made in runs that failed or broke off"
            f" stayed, in {count(runs, 'run')}{how}",
            _undo(group.subject, undoing, case.place(group.site_id)),
            {"hit": n, "of": group.exposed.height, "runs": runs, "compensations": undoing.to_dicts()},
        )


def _undoing(hits: pl.DataFrame) -> pl.DataFrame:
    """Of the changes that stayed, those for which there is a compensation: its name, why it did not undo them
    (:data:`ADVICE`), how many, and what it raised."""
    why = pl.when(pl.col("undoing").is_null()).then(pl.lit("declared")).otherwise("undoing")
    declared = hits.filter(pl.col("compensation").is_not_null()).with_columns(why=why)
    told = declared.filter(pl.col("why").is_in(list(ADVICE)))
    return told.group_by("why", "compensation", maintain_order=True).agg(
        pl.len().alias("n"), errors=pl.col("undo_error").drop_nulls().unique(maintain_order=True)
    )


def _undo(tool: str, undoing: pl.DataFrame, place: str) -> str:
    """The advice, by what became of the compensations."""
    if undoing.is_empty():
        return f"Take {tool} back where the run fails (declare what undoes it), or write last, at {place}."
    said = []
    for why, name, n, errors in undoing.iter_rows():
        raised = f" with {', '.join(errors)}" if errors else ""
        said.append(ADVICE[why].format(tool=tool, name=name, times=count(n, "time"), raised=raised))
    return " ".join((*said, f"{tool} is at {place}."))


def duplicate_side_effect(case: Case, knob: str) -> Iterator[Blame]:
    """Changes made again with the same arguments and no idempotency key, after one that worked or may have worked.

    A model that looked at the state in between, and then asks again, knows why: that is no harness's retry.
    """
    order = facts.steps(case).sort("ran_ns", "tool_id", maintain_order=True)
    is_look = ~pl.col("mutates").fill_null(False) & (pl.col("status") != "error")
    order = order.with_columns(looks_before=is_look.cast(pl.Int32).cum_sum().over("run_id"))
    rows = order.filter(pl.col("mutates").fill_null(False) & pl.col("args_digest").is_not_null())
    same = ["run_id", "name", "args_digest"]
    unsure = (pl.col("status") != "error") | pl.col("error_type").str.contains(UNSURE).fill_null(False)
    # how often the run had looked at something by the change before this one that may have worked; NULL: there is none
    before = pl.when(unsure).then("looks_before").shift().forward_fill().over(same)
    is_asked_anew = (pl.col("looks_before") > before) & pl.col("call_id").is_not_null()
    hit = before.is_not_null() & ~is_asked_anew & ~pl.col("is_keyed").any().over(same)
    rows = rows.with_columns(hit=hit)
    for group in case.groups(rows, knob, hit=pl.col("hit"), subject=pl.col("name")):
        n, runs = group.hits.height, group.hits["run_id"].n_unique()
        yield Blame(
            group,
            f"{of(n, group.exposed.height, 'change')} by {group.subject} repeated one with the same arguments"
            f" that had worked or may have, in {count(runs, 'run')}",
            f"Give {group.subject} an idempotency key at {case.place(group.site_id)}, or do not retry it.",
            {"hit": n, "of": group.exposed.height, "runs": runs},
        )
