"""Rules about answers that say nothing of use although nothing failed: refused by the model, or empty.

In: answers with what they look like. Out: blame on the model that was asked. A refusal by its words alone is a
candidate and looked for only in runs that failed: a model may well quote one.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from .. import facts
from ..case import Blame, Case
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
    for group in case.groups(rows, knob, hit=withheld | in_words, subject=pl.col("model")):
        by_words = group.hits.filter(~withheld)["call_id"].n_unique()
        is_candidate = by_words == group.n_hit
        how = "by their words" if is_candidate else "as the provider says"
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} of {group.subject or 'the model'} {were(group.n_hit)}"
            f" refused, {how}",
            f"Route what {group.subject or 'the model'} refuses to another model at {case.place(group.site_id)},"
            " or say in the prompt what the request is for.",
            {**share(group), "by_words": by_words},
            is_candidate=is_candidate,
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
