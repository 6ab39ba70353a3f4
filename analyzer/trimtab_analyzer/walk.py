"""The rules one after the other, each over what the ones before it left to explain.

In: a case and the rules in their order. Out: per rule what it blames, and which hits an exception that ended the run
came right after. A module of its own because a finding and the blame of a run rest on the same hits: whatever an
earlier rule answers for alone, doubts or explains is out of sight for a later one, for both alike. Nothing is caught:
a rule that raises stops the analysis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import polars as pl

from .ask import ask
from .case import Blame, Case
from .own_names import by_own_name
from .rule import Rule


class Said(NamedTuple):
    """What one rule says."""

    rule: Rule
    case: Case
    """What it looked at."""
    blames: list[Blame]
    ends: list[pl.DataFrame]
    """Of each of ``blames`` the ``run_id`` and ``call_id`` of the hits that an exception ended the run right after;
    empty where nothing of the kind follows from what the rule finds (:attr:`~.rule.Rule.ends_runs`)."""


def walk(case: Case, rules: Sequence[Rule]) -> Iterator[Said]:
    """What each rule says. Only the rows of the rule at hand are held: those of all are several times the store.

    Args:
        case: The runs; ``case.con`` is inside its snapshot.
        rules: In an order in which none comes before one that answers for its hits.
    """
    harmless = ask(case.con, "harmless_tools", {"name": pl.String})["name"]
    case = replace(case, tools=case.tools.with_columns(is_harmless=pl.col("name").is_in(harmless.to_list())))
    for rule in rules:
        blames = [by_own_name(case, blame) for blame in rule.find(case, rule.knob)]
        ends = [_ends(case, rule, blame) for blame in blames]
        after = _after(case, rule, blames, ends)
        yield Said(rule, case, blames, ends)
        del blames, ends
        case = after


def _ends(case: Case, rule: Rule, blame: Blame) -> pl.DataFrame:
    """The hits that an exception ended the run right after: no call of the run began after the one that was hit."""
    hits = blame.group.hits
    if not rule.ends_runs:
        return hits.select("run_id", "call_id").clear()
    by_tool = "tool_id" in hits.columns
    last = hits if by_tool else hits.filter("is_last")
    until = pl.col("at_ns" if by_tool else "call_ended_ns")
    after = case.run_errors.filter("is_exception").join(last.select("run_id", "call_id", until=until), on="run_id")
    made_none = pl.col("last_call_id").is_null()
    is_last = made_none | (pl.col("last_call_id") == pl.col("call_id")) | (pl.col("last_start_ns") < pl.col("until"))
    return after.filter(is_last).select("run_id", "call_id")


def _after(case: Case, rule: Rule, blames: Sequence[Blame], ends: Sequence[pl.DataFrame]) -> Case:
    """The case for the next rules: without the exceptions, attempts and verdicts that this one accounts for."""
    case = replace(case, explained=case.explained.union(*(rows["run_id"] for rows in ends)))
    if rule.excuses:
        case = replace(case, excused=case.excused.union(*(blame.group.hits["attempt_id"] for blame in blames)))
    if rule.layer == "evaluator" and blames:
        doubted = case.doubted.union(*(blame.group.hits["run_id"] for blame in blames))
        case = replace(case, doubted=doubted, kept={})
    return case
