"""A harness's own name for a decision that a rule could only name in general.

In: what a rule blames on code that leaves no value (a stop rule, a check, a loop guard). Out: the same, pinned to the
knob that the harness declared itself (``trimtab.knob("ask_again", 3)``) where one is named like that decision and was
in force, with one value at one line, for every call that was hit. A module of its own because which rule it was makes
no difference: whoever wrote a switch wants to be shown the switch.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final, NamedTuple

import polars as pl

from .ask import ask
from .case import Blame, Case
from .wording import setting


class Named(NamedTuple):
    """How harnesses name a decision."""

    like: str
    """A regular expression for the names of their knobs."""
    is_off: bool = False
    """Whether only one that is off is meant: a check that is on is not what is missing."""


NAMES: Final = {
    "stop_rule": Named(r"(?i)stop_rule|finish|ask_again|follow_?up|evidence|submit|done"),
    "verification": Named(r"(?i)verif|validat|(?:^|_)check(?:s|_|$)|self_?(?:check|test)|review", is_off=True),
    "loop_guard": Named(r"(?i)loop|dedup|repeat|guard"),
    "compaction": Named(r"(?i)compact|summar|trunc|window|history|keep_last"),
    "handoff": Named(r"(?i)hand_?(?:off|over|ed)|pass_?on"),
    "session": Named(r"(?i)session|thread|memory|history|state"),
    "parallelism": Named(r"(?i)parallel|concurr|workers|pool_size|at_once|in_flight"),
    "retry_on": Named(r"(?i)retr|idempot"),
}
"""By the knob that a rule names."""
OFF: Final = (False, 0, None, "", "off", "none", "no")
"""Values that say no."""


def by_own_name(case: Case, blame: Blame) -> Blame:
    """``blame`` at the harness's own switch, or as it is where there is none or more than one."""
    group = blame.group
    named = NAMES.get(group.knob)
    if named is None or group.value != "null" or group.source is not None or "call_id" not in group.hits.columns:
        return blame
    knobs = case.once("own_knobs", lambda: ask(case.con, "own_knobs", {"knob": pl.String}))["knob"]
    like = knobs.filter(knobs.str.contains(named.like)).to_list()
    calls = group.hits["call_id"].drop_nulls().unique()
    if not like or calls.is_empty():
        return blame
    decided = case.decisions(like, calls)
    places = decided.select("knob", "value", "site_id").unique()
    if places.height != 1 or decided.height < len(calls):
        return blame
    knob, value, site_id = places.row(0)
    if named.is_off and json.loads(value) not in OFF:
        return blame
    hits = group.hits.drop("source", strict=False).with_columns(source=pl.lit(decided["source"][0]))
    return replace(
        blame,
        group=replace(group, knob=knob, value=value, site_id=site_id, hits=hits),
        advice=f"{blame.advice} What decides it is {setting(knob, json.loads(value))} at {case.place(site_id)}.",
    )
