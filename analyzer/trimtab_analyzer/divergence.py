"""Where what an agent did departs from what it should have done.

In: two lists of actions, the right ones and those of a run. Out: :class:`Divergence`: each right action that was
missed or done with other arguments, each one done that was none of them, and the first of these. A module of its own
because it is plain comparison without a store: benchmarks use it on gold actions, and it works on any two runs.

Only actions that change something are compared: reading is done in many right ways and in any number. Which those are
is told by the verb that the tool's name begins with (:data:`READING`), where nothing says it. Order does not count,
because most orders of the same changes end in the same state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trimtab_tracer.digests import canonical

READING: Final = re.compile(
    r"(?:get|list|search|find|look|lookup|read|fetch|query|check|show|view|describe|count|calculate|compute|think|note|plan"
    r"|verify|validate|browse|open|load)(?:_|\b|(?=[A-Z]))"
)
"""Beginnings of names of tools that change nothing."""


@dataclass(frozen=True, slots=True)
class Act:
    """One tool call."""

    name: str
    arguments: dict[str, Any]
    index: int = 0
    """Place in its list, from 0."""

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return READING.match(self.name) is None


@dataclass(frozen=True, slots=True)
class Difference:
    """One action that differs."""

    kind: str
    """``missing`` (never done), ``wrong_args`` (done otherwise), ``extra`` (none of the right ones)."""
    tool: str
    arguments: tuple[str, ...]
    """Names of the arguments that differ; all of the action's where it is missing or extra."""
    gold_index: int | None
    """Place among the right actions; None for one that is extra."""
    done_index: int | None
    """Place among the actions of the run; None for one that is missing."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """All differences, the earliest first."""

    differences: tuple[Difference, ...]
    repeated: tuple[Act, ...]
    """Changing actions done again with the same arguments."""

    @property
    def first(self) -> Difference | None:
        """The earliest difference."""
        return self.differences[0] if self.differences else None

    def has(self, kind: str) -> bool:
        """Whether there is a difference of this kind."""
        return any(difference.kind == kind for difference in self.differences)


def compare(gold: Iterable[Act], done: Iterable[Act]) -> Divergence:
    """How the changing actions of ``done`` differ from those of ``gold``.

    Equal ones are paired first, whatever their order; then those of one tool, in order, as done with other arguments.
    What is left was missed or is extra.
    """
    wanted = [act for act in gold if act.changes]
    given = [act for act in done if act.changes]
    repeated = _repeated(given)
    left = list(given)
    missed: list[Act] = []
    for act in wanted:
        same = next((other for other in left if _same(act, other)), None)
        if same is None:
            missed.append(act)
        else:
            left.remove(same)
    found: list[Difference] = []
    for act in missed:
        other = next((other for other in left if other.name == act.name), None)
        if other is None:
            found.append(Difference("missing", act.name, tuple(sorted(act.arguments)), act.index, None))
        else:
            left.remove(other)
            names = _differing(act.arguments, other.arguments)
            found.append(Difference("wrong_args", act.name, names, act.index, other.index))
    found += [Difference("extra", act.name, tuple(sorted(act.arguments)), None, act.index) for act in left]
    found.sort(key=_place)
    return Divergence(tuple(found), repeated)


def _place(difference: Difference) -> tuple[int, int]:
    """Where it shows in the run; what is missing shows at its end."""
    done = difference.done_index
    return (0, done) if done is not None else (1, difference.gold_index or 0)


def _same(one: Act, other: Act) -> bool:
    return one.name == other.name and canonical(one.arguments) == canonical(other.arguments)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, ...]:
    names = sorted(one.keys() | other.keys())
    return tuple(name for name in names if canonical(one.get(name)) != canonical(other.get(name)))


def _repeated(acts: Sequence[Act]) -> tuple[Act, ...]:
    seen: set[str] = set()
    found = []
    for act in acts:
        key = canonical([act.name, act.arguments])
        if key in seen:
            found.append(act)
        seen.add(key)
    return tuple(found)
