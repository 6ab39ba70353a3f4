"""Whether the decision that a finding blames is still in force where it was found.

In: a case, groups that rules hit, and the calls in which the same rule found the same thing. Out: yes or no. A module
of its own because it looks at what came after a finding, which no rule does: a report over a month would otherwise go
on naming the retries that someone raised three weeks ago. It is careful: anything but a clear change reads as "still
in force", and whether the change was what helped is for a comparison to say (:mod:`.before_after`).
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import polars as pl

from . import load
from .case import OF_POLICIES, Case, Group
from .silence import is_over

RECENT: Final = 40
"""How many of the last calls at the place are looked at."""

MIN_LATER: Final = 3
"""Calls that must have been answered under the new value, none with the failure."""

BY_POLICY: Final = ("human", "experiment")
"""Sources of a decision that came from a policy: such a change needs no further proof of having been meant."""


ALWAYS_DECIDED: Final = "max_retries"
"""A knob that is decided in every call, so that a call without it has no decisions yet."""

Decisions = dict[str, tuple[str, str]]
"""Value and source of each knob that was decided for a call."""

NOT_SET: Final = ("null", "")
"""Value and source of a knob that was not in force."""


class _Seen(NamedTuple):
    """One of the last calls at the place."""

    call_id: str
    is_changed: bool
    by_policy: bool


class Found(NamedTuple):
    """What a rule hit, and where else."""

    group: Group
    failing: AbstractSet[str]
    """Calls in which the rule found the same thing, under whatever value."""


def are_in_force(case: Case, found: Sequence[Found]) -> list[bool]:
    """Whether each group's value still holds at its place.

    It does not where the last calls of the same lines, models and hosts ran under another value, :data:`MIN_LATER` of
    them or more were answered, none is among the failing, and the change is clear: it came from a policy or undid one,
    or before it the old value alone was in force. A place that goes back and forth between values by itself keeps its
    finding. Where no decision of the knob was recorded it does not either once enough later runs went without it
    (:mod:`.silence`).

    Args:
        case: The case that the groups were found in.
        found: What rules hit.
    """
    if not found:
        return []
    latest = _latest(case, found)
    calls = [_at_the_place(latest, each.group) for each in found]
    knobs = sorted({ALWAYS_DECIDED, *(knob for each in found for knob in (each.group.knob, *each.group.unless))})
    decisions: dict[str, Decisions] = {}
    # One question for all findings: each looks through every decision of the store.
    ids = pl.concat([pl.Series(dtype=pl.String), *calls])
    for call_id, knob, value, source, _ in load.decisions_in_force(case.con, knobs, call_ids=ids).iter_rows():
        decisions.setdefault(call_id, {})[knob] = (value, source)
    return [
        _is_in_force(case, *each, ids, decisions) and not is_over(case, each.group)
        for each, ids in zip(found, calls, strict=True)
    ]


def _is_in_force(
    case: Case, group: Group, failing: AbstractSet[str], call_ids: pl.Series, decisions: dict[str, Decisions]
) -> bool:
    exposed = set(group.exposed.filter(pl.col("call_id").is_in(call_ids.to_list()))["call_id"])
    source = group.source
    known = (_seen(group, source, call_id, decisions.get(call_id, {}), call_id in exposed) for call_id in call_ids)
    seen = [call for call in known if call is not None]
    n_later = next((i for i, call in enumerate(reversed(seen)) if not call.is_changed), len(seen))
    before, later = seen[: len(seen) - n_later], seen[len(seen) - n_later :]
    if any(call.call_id in failing for call in later) or _n_answered(case, later) < MIN_LATER:
        return True
    is_clean = not any(call.is_changed for call in before)
    return not (is_clean or all(call.by_policy for call in later))


def _n_answered(case: Case, calls: list[_Seen]) -> int:
    ids = [call.call_id for call in calls]
    return case.attempts.filter(pl.col("is_last") & ~pl.col("is_failed") & pl.col("call_id").is_in(ids)).height


def _seen(group: Group, source: str | None, call_id: str, decisions: Decisions, is_exposed: bool) -> _Seen | None:
    """What held for one call; None where that is not known (yet: decisions arrive a moment after their attempt)."""
    if group.knob in OF_POLICIES and ALWAYS_DECIDED in decisions:
        decisions = {group.knob: NOT_SET} | decisions
    instead = [found for knob in group.unless if (found := decisions.get(knob, NOT_SET))[0] != NOT_SET[0]]
    held = (*instead, decisions.get(group.knob))[0]
    if held is None:
        return None
    is_changed = not is_exposed and (bool(instead) or held[0] != group.value)
    return _Seen(call_id, is_changed, held[1] in BY_POLICY or source in BY_POLICY)


PLACE: Final = ("site_id", "model", "host")
"""What is alike at a place: line, model and host of a call's first request."""


def _latest(case: Case, found: Sequence[Found]) -> pl.DataFrame:
    """The last :data:`RECENT` calls of each place where something was hit, oldest first."""
    hits = [each.group.hits for each in found if {"asked_at", "model"} <= set(each.group.hits.columns)]
    lines = pl.concat([pl.Series("site_id", dtype=pl.String), *(rows["asked_at"] for rows in hits)]).unique().to_frame()
    first = case.attempts.lazy().select("call_id", "started_ns", "call_started_ns", *PLACE)
    first = first.join(lines.lazy(), on="site_id", how="semi", nulls_equal=True)
    first = first.filter(pl.col("started_ns") == pl.col("call_started_ns")).sort("call_started_ns", "call_id")
    return first.group_by(PLACE, maintain_order=True).tail(RECENT).collect().unique("call_id", maintain_order=True)


def _at_the_place(latest: pl.DataFrame, group: Group) -> pl.Series:
    """The last :data:`RECENT` calls, oldest first, that began with the same line, model and host as one that was hit.

    None where the value stands for several, or where what was hit are no calls.
    """
    if group.has_many_values or not {"asked_at", "model"}.issubset(group.hits.columns):
        return pl.Series("call_id", dtype=pl.String)
    alike = [name for name in PLACE if name != "host" or "host" in group.hits.columns]
    places = group.hits.with_columns(site_id="asked_at").select(alike).unique()
    calls = latest.join(places, on=alike, how="semi", nulls_equal=True)
    return calls.sort("call_started_ns", "call_id").tail(RECENT)["call_id"]
