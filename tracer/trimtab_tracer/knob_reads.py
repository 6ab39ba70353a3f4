"""What a line has read of a knob, so that reading it again takes microseconds however many rules there are.

In: a read of ``trimtab.knob()`` with what it was given. Out: the place of the choice that was given last time, where
nothing has changed since: the same line, run and policy, and equal arguments. A module of its own because this is the
hot path of knobs that stand in loops; all else about them is in :mod:`.knobs`, which asks here first and tells here
what it found.

Only what is plain is remembered: lines of the user's own code, texts, numbers and None, and rules whose condition can't
change within the run. Bounded; lost with the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .policy_rules import Policy

MAX_READS = 4096
"""Reads remembered; beyond that all are forgotten and found again."""
MAX_COMPARED = 50
"""Choices that are compared with those of last time."""

PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types whose values can be compared in no time, and raise nothing."""

Key = tuple[int, int, str, str]


class Read(NamedTuple):
    """One read, and what came of it."""

    code: CodeType
    """Kept alive, for its identity is in the key."""
    policy: Policy | None
    default: Any
    choices: Sequence[Any] | None
    place: int | None
    """Of the choice that was given, among ``choices``; None for the default."""


class KnobReads:
    """The reads of one process. Thread-safe: each step is one of a dictionary's."""

    def __init__(self) -> None:
        self._reads: dict[Key, Read] = {}

    def again(
        self, frame: FrameType, name: str, run_id: str, policy: Policy | None, default: Any, choices: Any
    ) -> Read | None:
        """The same read as it was last time; None where it is another one, or the first."""
        code = frame.f_code
        known = self._reads.get((id(code), frame.f_lasti, name, run_id))
        if known is None or known.policy is not policy or known.code is not code:
            return None
        if default is not known.default and (type(default) is not type(known.default) or default != known.default):
            return None
        if choices is not known.choices and (type(choices) is not type(known.choices) or choices != known.choices):
            return None
        return known

    def note(
        self,
        frame: FrameType,
        name: str,
        run_id: str,
        policy: Policy | None,
        default: Any,
        choices: Any,
        place: int | None,
    ) -> None:
        """Remember a read that can be told from others by its arguments."""
        if type(default) not in PLAIN or not (choices is None or _is_plain(choices)):
            return
        if len(self._reads) >= MAX_READS:
            self._reads.clear()
        code = frame.f_code
        kept = choices if choices is None or type(choices) is tuple else list(choices)
        self._reads[(id(code), frame.f_lasti, name, run_id)] = Read(code, policy, default, kept, place)


def _is_plain(choices: Any) -> bool:
    return type(choices) in (list, tuple) and len(choices) <= MAX_COMPARED and PLAIN.issuperset(map(type, choices))
