"""Rules about answers that break a contract that was written down: stop texts, tool schemas, demands of the prompt.

In: answers and tool calls with what they break (:mod:`trimtab_tracer.signals`). Out: blame on the side of the
contract that does not fit. Two of them can be seen only over many calls: a stop text that the prompt demands is a
fault only where the missing text is missed, and arguments that are wrong most of the time are the schema's fault, not
the model's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..cost import BROKEN_ABOVE, MIN_EXECUTIONS
from ..statistics import wilson
from ..wording import of, quoted, were
from .shares import share, split

MISFIT: Final = r"(?i)unexpected keyword argument|missing \d+ required|got multiple values for argument"
"""What a tool's own signature says of arguments that do not fit."""


def stop_conflict(case: Case, knob: str) -> Iterator[Blame]:
    """Answers that lack a text which the prompt demands because the stop list holds it, where it was missed.

    It was missed where the parser turned the answer down, nothing was left of the answer, or no run with this contract
    at this line succeeded. Harnesses that add the text themselves succeed, and are left alone.
    """
    won = case.outcomes.filter("success")["run_id"].to_list()
    rows = facts.answers(case).filter("is_answer").with_columns(wanted=pl.col("stops").list.join(", "))
    conflict = pl.col("wanted").is_not_null()
    no_success = ~(conflict & pl.col("run_id").is_in(won)).any().over("site_id", "wanted")
    missed = pl.col("is_rejected") | (pl.col("output_chars") == 0) | (pl.col("is_lost") & no_success)
    for group in case.groups(rows, knob, hit=conflict & missed, subject=pl.col("wanted")):
        rejected = group.hits.filter("is_rejected")["call_id"].n_unique()
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} {were(group.n_hit)} cut before {quoted(group.subject)},"
            f" which the prompt demands and the stop list holds; {rejected:,} {were(rejected)} turned down",
            f"Take {quoted(group.subject)} off the stop list at {case.place(group.site_id)}, or do not demand it.",
            {**share(group), "turned_down": rejected},
        )


def schema_invalid_args(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls whose arguments do not fit the schema offered, or the tool's own signature.

    Where most calls of a tool in several runs do not fit, its definition is blamed, else the model.
    """
    refused = (pl.col("error_type") == "validation") | pl.col("error_message").str.contains(MISFIT)
    is_fine = (pl.col("origin") == "observed") & (pl.col("status") == "ok")
    misfit = (pl.col("schema_error").is_not_null() | refused.fill_null(False)) & ~is_fine
    taken = pl.col("call_id").is_not_null() & ~pl.col("is_malformed") & ~pl.col("is_unknown") & ~pl.col("is_broken")
    rows = facts.steps(case).filter(taken).with_columns(is_misfit=misfit.fill_null(False))
    rates = rows.group_by("name").agg(
        n=pl.len(), k=pl.col("is_misfit").sum(), runs=pl.col("run_id").filter("is_misfit").n_unique()
    )
    rates = rates.filter((pl.col("n") >= MIN_EXECUTIONS) & (pl.col("runs") >= 2))
    chronic = [name for name, n, k, _ in rates.iter_rows() if wilson(k, n).low > BROKEN_ABOVE]
    of_tool = pl.col("name").is_in(chronic)
    for blamed, subset in ((knob, rows.filter(of_tool)), ("model", rows.filter(~of_tool))):
        for group in case.groups(subset, blamed, hit=pl.col("is_misfit"), subject=pl.col("name")):
            n, total = group.hits.height, group.exposed.height
            why = quoted(next(iter(group.hits["schema_error"].drop_nulls()), None) or group.hits["error_message"][0])
            place = case.place(group.site_id)
            if blamed == knob:
                advice = f"Rewrite the schema of {group.subject} at {place}: most calls of it do not fit, in any run."
            else:
                models = sorted(set(group.hits["model"].drop_nulls()))
                advice = (
                    f"Declare {group.subject} strict at {place}, drop or convert what does not fit, or send its"
                    f" calls to another model than {models[0] if models else 'this one'}."
                )
            yield Blame(
                group,
                f"{of(n, total, 'call')} of the tool {group.subject} had arguments that its schema does not allow"
                + (f": {why}" if why else ""),
                advice,
                {**wilson(n, total).numbers(n, total), "runs": group.hits["run_id"].n_unique()},
            )


WORDS: Final = {
    "json": "is no JSON",
    "starts": "does not begin as demanded",
    "ends": "does not end as demanded",
    "contains": "lacks a text that was demanded",
    "tool_choice": "does not keep to the choice of tools",
    "forbidden_tool": "calls a tool that was forbidden",
}
"""How an answer reads that does not meet a demand."""


def disobeyed_format(case: Case, knob: str) -> Iterator[Blame]:
    """Answers in failed runs that do not meet a demand of the prompt that a machine can check."""
    rows = facts.answers(case).filter(pl.col("is_answer") & pl.col("is_lost"))
    rows = rows.with_columns(broken=pl.col("disobeyed").list.first())
    hit = pl.col("broken").is_not_null() & ~pl.col("is_rejected") & ~pl.col("is_truncated")
    for group in split(case.groups(rows, knob, hit=hit, subject=pl.lit("")), "broken"):
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} in runs that failed did not do what the prompt demands: it"
            f" {WORDS.get(group.subject, 'breaks a demand')}",
            f"Enforce it in code at {case.place(group.site_id)} (a response format, a tool choice, a check that asks"
            " again), not in the prompt alone.",
            share(group),
        )
