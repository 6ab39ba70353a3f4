"""Rules about answers that the agent could not use: cut, turned down, or asking for tools in a way nothing can run.

In: the attempts and tool calls of a case. Out: blame per line and value of the token limit, the prompt or the tools
that were offered. An answer cut by the token limit is blamed on the limit alone: that its tool arguments end in the
middle is no fault of the tools.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from ..case import Blame, Case
from ..statistics import wilson
from ..wording import count, of, quoted, setting, were
from .decoding import by_decision, too_hot
from .shares import share


def truncation(case: Case, knob: str) -> Iterator[Blame]:
    """Answers cut by a token limit; a limit of one token is meant (a label read off a single token)."""
    answers = case.attempts.filter(~pl.col("is_failed"))
    keep = ("is_truncated", "output_tokens")
    for group in case.groups(answers, knob, hit=pl.col("is_truncated"), subject=pl.col("model"), keep=keep):
        cut, place = group.hits["output_tokens"].drop_nulls(), case.place(group.site_id)
        whole = group.exposed.filter(~pl.col("is_truncated"))["output_tokens"].drop_nulls().to_numpy()
        thought = int(group.hits["reasoning_tokens"].fill_null(0).sum())
        numbers: dict[str, Any] = {
            **share(group),
            "cut_at_tokens": cut.max(),
            "cut_tokens": int(cut.sum()),
            "reasoning_tokens": thought,
            "whole_answers": len(whole),
            "turned_down": group.hits.filter("is_rejected")["call_id"].n_unique(),
        }
        fits = ""
        if len(whole):
            numbers["whole_p95_tokens"] = float(np.quantile(whole, 0.95))
            fits = f" (95 % of the whole answers fit in {numbers['whole_p95_tokens']:.0f})"
        if group.decoded is None:
            advice = f"Set {knob} at {place} to what the model can give, or ask it to go on where it was cut."
        else:
            advice = f"Raise {knob} above {group.decoded} at {place}{fits}, or ask the model to go on where it was cut."
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} of {group.subject or 'the model'} {were(group.n_hit)} cut"
            f" by the token limit ({setting(knob, group.decoded)}"
            + (f"; {thought:,} tokens went into reasoning)" if thought else ")"),
            advice,
            numbers,
        )


def parser_rejection(case: Case, knob: str) -> Iterator[Blame]:
    """Whole answers that the agent's own parser turned down, as its next request says; a cut one is the limit's."""
    answers = case.attempts.filter("is_answer")
    hit = pl.col("is_rejected") & ~pl.col("is_truncated")
    for group in by_decision(case, answers, knob, hit=hit, subject=pl.col("model")):
        said = group.hits["rejection_text"].drop_nulls().to_list()
        like = f", for example with {quoted(said[0])}" if said and quoted(said[0]) else ""
        yield Blame(
            group,
            f"{of(group.n_hit, group.n_exposed, 'answer')} of {group.subject or 'the model'} {were(group.n_hit)} turned"
            f" down by the agent's own parser ({100 * group.n_hit / group.n_exposed:.1f} %){like}",
            too_hot(case, group)
            or f"Let the parser behind {case.place(group.site_id)} accept what the model really writes, state the form"
            " it wants in the prompt, or ask through native tool calls.",
            share(group),
        )


def malformed_tool_args(case: Case, knob: str) -> Iterator[Blame]:
    """Tool calls whose arguments are no JSON object, in answers that were not cut."""
    hit = pl.col("is_malformed") & (pl.col("finish_reason").fill_null("") != "length")
    for group in by_decision(case, _requested(case), knob, hit=hit, subject=pl.col("name")):
        n, total = group.hits.height, group.exposed.height
        why = group.hits["args_error"].drop_nulls().to_list()
        models = sorted(set(group.hits["model"].drop_nulls()))
        yield Blame(
            group,
            f"{of(n, total, 'call')} of the tool {group.subject} had arguments that are no JSON object"
            + (f": {quoted(why[0])}" if why and quoted(why[0]) else ""),
            too_hot(case, group)
            or f"Declare {group.subject} with a strict schema at {case.place(group.site_id)}"
            + (f", or repair the JSON that {models[0]} writes before it is parsed." if models else "."),
            wilson(n, total).numbers(n, total),
        )


def unknown_tool(case: Case, knob: str) -> Iterator[Blame]:
    """Calls of a tool that the request did not offer."""
    for group in case.groups(_requested(case), knob, hit=pl.col("is_unknown"), subject=pl.col("name")):
        offered = sorted({name for names in group.hits["tools_offered"].drop_nulls() for name in names})
        close = difflib.get_close_matches(group.subject, offered, n=1, cutoff=0.5)
        place = case.place(group.site_id)
        if close:
            advice = f"Let the agent take {group.subject} for {close[0]}, or rename that tool at {place}."
        else:
            advice = f"Offer {group.subject} at {place}, or say in the prompt that only the tools listed exist."
        yield Blame(
            group,
            f"{count(group.hits.height, 'call')} of a tool {group.subject} that was not offered"
            + (f" (the nearest offered is {close[0]})" if close else ""),
            advice,
            {"tool_calls": group.hits.height, "offered": offered[:50], "nearest": close[0] if close else None},
        )


def _requested(case: Case) -> pl.DataFrame:
    """The tool calls that a model asked for."""
    return case.tools.filter(pl.col("call_id").is_not_null())
