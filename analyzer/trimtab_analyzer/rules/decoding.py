"""Calls that were asked for with more chance than sense: what is wrong with their answers is their temperature's doing.

In: rows of attempts or tool calls. Out: groups under the knob that a rule blames otherwise, or under the temperature
where it lies above what providers give by themselves. A module of its own because several kinds of unusable answers
have this one cause: where hot calls have them more often, or there are no others to compare with, the temperature is
the decision to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from ..case import Case, Group

TEMPERATURE: Final = "temperature"
USUAL: Final = 1.0
"""The temperature of OpenAI, Anthropic, Gemini and Mistral where nobody says anything."""


def by_decision(case: Case, rows: pl.DataFrame, knob: str, *, hit: pl.Expr, subject: pl.Expr) -> Iterator[Group]:
    """The groups of ``rows`` under ``knob``; those of hot calls under ``temperature``, where they are hit more often.

    Args:
        case: The case.
        rows: Attempts or tool calls.
        knob: What is blamed otherwise.
        hit: Which rows are blamed.
        subject: As for :meth:`~.case.Case.groups`.
    """
    hit = hit.fill_null(False)
    if rows.filter(hit).is_empty():
        return
    decided = case.decisions(["temperature"], rows["call_id"])
    hot = decided.filter(pl.col("value").cast(pl.Float64, strict=False) > USUAL)["call_id"].to_list()
    is_hot = pl.col("call_id").is_in(hot)
    of_hot, of_others = (rows.filter(part).select(hit.mean()).item() or 0.0 for part in (is_hot, ~is_hot))
    if of_hot > of_others:
        yield from case.groups(rows.filter(is_hot), TEMPERATURE, hit=hit, subject=subject)
        rows = rows.filter(~is_hot)
    yield from case.groups(rows, knob, hit=hit, subject=subject)


def too_hot(case: Case, group: Group) -> str:
    """The advice for a group of hot calls; empty for any other."""
    if group.knob != TEMPERATURE:
        return ""
    lower = f"Lower temperature from {group.decoded}" if group.decoded is not None else "Lower the temperature"
    return f"{lower} at {case.place(group.site_id)} to {USUAL:g} or less: what models write above it falls apart."
