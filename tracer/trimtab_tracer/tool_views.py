"""Which views of tool executions are views of one: a tool that was seen as it ran, and that spans tell of too.

In: the executions of one tool name in one run, from whoever saw them. Out: for each that is only another view, the
one that stands for it; and what is left, as the pairing with the model's requests takes it. Apart from
:mod:`.tool_pairs`, which asks another question. The result depends only on the set, not on the order it came in.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from .tool_pairs import Executed

LOOK_AROUND: Final = 128
"""Executions that a span is compared with at most; bounds the work in very long runs."""


class View(NamedTuple):
    """An execution as one observer saw it."""

    tool_run_id: str
    started_ns: int
    ended_ns: int
    args_digest: str | None
    provider_id: str | None
    span_scope: str | None
    """Who made the span; None where we saw it run."""


def same(views: Iterable[View]) -> dict[str, str]:
    """``{tool_run_id: the tool_run_id that stands for it}``.

    One observer sees an execution once. Views of different ones are the same execution if they name the same tool
    call of the model; or, where one does not know it, if they overlap in time and do not differ in their arguments.
    What we saw ourselves stands for what spans tell of, since it knows the line; else the outer span stands.
    """
    ordered = sorted(views, key=lambda v: (v.span_scope is not None, v.started_ns, -v.ended_ns, v.tool_run_id))
    stands = [[view] for view in ordered if view.span_scope is None]
    by_id: dict[str | None, list[list[View]]] = defaultdict(list)
    for group in stands:
        by_id[group[0].provider_id].append(group)
    found: dict[str, str] = {}
    for view in ordered[len(stands) :]:
        named = by_id[view.provider_id] if view.provider_id is not None else []
        fitting = (group for group in chain(_near(named, view), _near(stands, view)) if _is_one(group, view))
        group = next(fitting, [])
        group.append(view)
        if len(group) > 1:
            found[view.tool_run_id] = group[0].tool_run_id
        else:
            insort(stands, group, key=_start)
        if view.provider_id is not None and not any(known is group for known in named):
            insort(named, group, key=_start)
    return found


def _near(groups: list[list[View]], view: View) -> Iterator[list[View]]:
    """Those that began nearest to ``view``, the nearest first."""
    after = bisect_left(groups, view.started_ns, key=_start)
    before = after - 1
    for _ in range(min(LOOK_AROUND, len(groups))):
        takes_before = before >= 0 and (
            after >= len(groups) or view.started_ns - _start(groups[before]) <= _start(groups[after]) - view.started_ns
        )
        yield groups[before if takes_before else after]
        before, after = (before - 1, after) if takes_before else (before, after + 1)


def _start(group: list[View]) -> int:
    return group[0].started_ns


def executions(views: Iterable[View], found: dict[str, str]) -> list[Executed]:
    """The executions behind ``views``, each with the id and the arguments that any of its views knows."""
    of: dict[str, list[View]] = {}
    for view in sorted(views, key=lambda v: (v.tool_run_id in found, v.started_ns, v.tool_run_id)):
        of.setdefault(found.get(view.tool_run_id, view.tool_run_id), []).append(view)
    return [
        Executed(
            tool_run_id,
            group[0].started_ns,
            next((v.args_digest for v in group if v.args_digest is not None), None),
            next((v.provider_id for v in group if v.provider_id is not None), None),
        )
        for tool_run_id, group in of.items()
    ]


def _names_same(group: list[View], view: View) -> bool:
    return view.provider_id is not None and any(v.provider_id == view.provider_id for v in group)


def _is_one(group: list[View], view: View) -> bool:
    if any(v.span_scope == view.span_scope for v in group):
        return False
    if _names_same(group, view):
        return True
    if view.provider_id is not None and any(v.provider_id is not None for v in group):
        return False
    if not any(v.started_ns <= view.ended_ns and view.started_ns <= v.ended_ns for v in group):
        return False
    known = {v.args_digest for v in group} - {None}
    return view.args_digest is None or not known or view.args_digest in known
