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


PLACE: Final = ("site_id", "model", "host")
"""What is alike at a place: line, model and host of a call's first request."""


class _Seen(NamedTuple):
    """One of the last calls at the place."""

    call_id: str
    is_changed: bool
    by_policy: bool


class Recent(NamedTuple):
    """The last :data:`RECENT` calls of each place, over all places."""

    calls: pl.DataFrame
    """``call_id``, ``call_started_ns`` and :data:`PLACE`, oldest first."""
    answered: frozenset[str]
    """Those among them that were answered."""


class Found(NamedTuple):
    """What a rule hit, and where else, without the rows: those of all rules together are several times the store."""

    knob: str
    value: str
    source: str | None
    unless: tuple[str, ...]
    places: pl.DataFrame | None
    """Line, model and, where known, host of what was hit; None where there is no place to look at."""
    exposed: AbstractSet[str]
    """The recent calls under the group's decision."""
    failing: AbstractSet[str]
    """Calls in which the rule found the same thing, under whatever value."""
    is_over: bool
    """Whether enough later runs went without it (:mod:`.silence`)."""

    @classmethod
    def of(cls, case: Case, near: Case, group: Group, failing: AbstractSet[str], recent: Recent) -> Found:
        """What is to be kept of a group: no place where its value stands for several, or where what was hit are no
        calls. ``near`` is the case with the attempts of what was hit alone."""
        places, hits = None, group.hits
        if not group.has_many_values and {"asked_at", "model"} <= set(hits.columns):
            alike = [name for name in PLACE if name != "host" or "host" in hits.columns]
            rows = hits.with_columns(site_id="asked_at").select(alike).unique().rows()
            places = pl.DataFrame(rows, schema=dict.fromkeys(alike, pl.String), orient="row")
        exposed = group.exposed.select("call_id").join(recent.calls, on="call_id", how="semi")["call_id"]
        kept = frozenset(exposed), failing, is_over(case, near, group)
        return cls(group.knob, group.value, group.source, group.unless, places, *kept)


def recent_calls(case: Case) -> Recent:
    """The recent calls of each place: line, model and host of a call's first request."""
    first = case.attempts.lazy().filter(pl.col("started_ns") == pl.col("call_started_ns"))
    first = first.select("call_id", "call_started_ns", *PLACE).sort("call_started_ns", "call_id")
    calls = first.group_by(PLACE, maintain_order=True).tail(RECENT).collect().unique("call_id", maintain_order=True)
    last = case.attempts.lazy().filter(pl.col("is_last") & ~pl.col("is_failed")).select("call_id")
    answered = last.join(calls.lazy(), on="call_id", how="semi").collect()["call_id"]
    return Recent(calls, frozenset(answered))


def are_in_force(case: Case, found: Sequence[Found], recent: Recent) -> list[bool]:
    """Whether each group's value still holds at its place.

    It does not where the last calls of the same lines, models and hosts ran under another value, :data:`MIN_LATER` of
    them or more were answered, none is among the failing, and the change is clear: it came from a policy or undid one,
    or before it the old value alone was in force. A place that goes back and forth between values by itself keeps its
    finding. Where no decision of the knob was recorded it does not either once enough later runs went without it
    (:mod:`.silence`).

    Args:
        case: The case that the groups were found in.
        found: What rules hit.
        recent: The recent calls of the case.
    """
    if not found:
        return []
    calls = [_at_the_place(recent, each) for each in found]
    knobs = sorted({ALWAYS_DECIDED, *(knob for each in found for knob in (each.knob, *each.unless))})
    decisions: dict[str, Decisions] = {}
    # One question for all findings: each looks through every decision of the store.
    ids = pl.concat([pl.Series(dtype=pl.String), *calls])
    for call_id, knob, value, source, _ in load.decisions_in_force(case.con, knobs, call_ids=ids).iter_rows():
        decisions.setdefault(call_id, {})[knob] = (value, source)
    return [
        not each.is_over and _is_in_force(each, recent, ids, decisions) for each, ids in zip(found, calls, strict=True)
    ]


def _is_in_force(found: Found, recent: Recent, call_ids: pl.Series, decisions: dict[str, Decisions]) -> bool:
    known = (_seen(found, call_id, decisions.get(call_id, {})) for call_id in call_ids)
    seen = [call for call in known if call is not None]
    n_later = next((i for i, call in enumerate(reversed(seen)) if not call.is_changed), len(seen))
    before, later = seen[: len(seen) - n_later], seen[len(seen) - n_later :]
    answered = sum(call.call_id in recent.answered for call in later)
    if any(call.call_id in found.failing for call in later) or answered < MIN_LATER:
        return True
    is_clean = not any(call.is_changed for call in before)
    return not (is_clean or all(call.by_policy for call in later))


def _seen(found: Found, call_id: str, decisions: Decisions) -> _Seen | None:
    """What held for one call; None where that is not known (yet: decisions arrive a moment after their attempt)."""
    if found.knob in OF_POLICIES and ALWAYS_DECIDED in decisions:
        decisions = {found.knob: NOT_SET} | decisions
    instead = [said for knob in found.unless if (said := decisions.get(knob, NOT_SET))[0] != NOT_SET[0]]
    held = (*instead, decisions.get(found.knob))[0]
    if held is None:
        return None
    is_changed = call_id not in found.exposed and (bool(instead) or held[0] != found.value)
    return _Seen(call_id, is_changed, held[1] in BY_POLICY or found.source in BY_POLICY)


def _at_the_place(recent: Recent, found: Found) -> pl.Series:
    """The last :data:`RECENT` calls, oldest first, that began with line, model and host of one that was hit."""
    if found.places is None:
        return pl.Series("call_id", dtype=pl.String)
    calls = recent.calls.join(found.places, on=found.places.columns, how="semi", nulls_equal=True)
    return calls.sort("call_started_ns", "call_id").tail(RECENT)["call_id"]
