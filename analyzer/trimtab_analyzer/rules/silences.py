"""Rules about answers that say nothing of use although nothing failed: refused by the model, or empty.

In: answers with what they look like. Out: blame on the model that was asked. A refusal by its words alone is a
candidate and looked for only in runs that failed: a model may well quote one.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .. import facts
from ..case import Blame, Case
from ..statistics import wilson
from ..wording import of, were
from .decoding import by_decision, too_hot
from .shares import share

BY_PROVIDER = ("content_filter", "refusal")
"""Finish reasons that say that the answer was withheld."""


def refusal(case: Case, knob: str) -> Iterator[Blame]:
    """Answers withheld by a content filter or refused by the model."""
    rows = facts.answers(case).filter("is_answer")
    withheld = pl.col("finish_reason").is_in(BY_PROVIDER).fill_null(False)
    in_words = pl.col("refused").fill_null(False) & pl.col("is_lost")
    lost = facts.lost_runs(case)
    for group in case.groups(rows, knob, hit=withheld | in_words, subject=pl.col("model")):
        model = group.subject or "the model"
        by_provider, by_words = (group.hits.filter(part)["call_id"].n_unique() for part in (withheld, ~withheld))
        # words are looked at in failed runs alone, so the two are parts of two wholes
        n_lost = group.exposed.filter(pl.col("run_id").is_in(lost))["call_id"].n_unique()
        if by_provider:
            k, n = by_provider, group.n_exposed
            title = f"{of(k, n, 'answer')} of {model} {were(k)} refused, as the provider says"
            title += f"; {of(by_words, n_lost, 'answer')} in runs that failed by their words" if by_words else ""
        else:
            k, n = by_words, n_lost
            title = f"{of(k, n, 'answer')} of {model} in runs that failed {were(k)} refused, by their words"
        yield Blame(
            group,
            title,
            f"Route what {model} refuses to another model at {case.place(group.site_id)},"
            " or say in the prompt what the request is for.",
            {**wilson(k, n).numbers(k, n), "by_words": by_words},
            is_candidate=not by_provider,
        )


def empty_output(case: Case, knob: str) -> Iterator[Blame]:
    """Answers without text and without a tool call that were neither cut nor refused."""
    rows = facts.answers(case).filter(pl.col("is_answer") & pl.col("is_text").fill_null(False) & pl.col("parsed"))
    hit = (
        (pl.col("output_chars") == 0)
        & (pl.col("asks") == 0)
        & (pl.col("end") == "complete")
        & pl.col("finish_reason").is_in(["stop", "tool_calls", "other"])
    )
    for group in by_decision(case, rows, knob, hit=hit, subject=pl.col("model")):
        thought = int(group.hits["reasoning_tokens"].fill_null(0).sum())
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} of {group.subject or 'the model'} {were(group.n_hit)}"
            " empty: no"
            " text and no tool call" + (f", after {thought:,} tokens of reasoning" if thought else ""),
            too_hot(case, group)
            or f"Ask once more where an answer is empty, at {case.place(group.site_id)}, then another model; look at"
            " what its decoding settings allow.",
            {**share(group), "reasoning_tokens": thought},
        )
