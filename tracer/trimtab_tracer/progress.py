"""What a run has come to so far: what rules with ``when`` and ``context`` look at.

In: how a run was declared, and each of its LLM calls and tools as they begin and end in this process. Out: a
:class:`Progress`, which the run's contexts carry along (:mod:`.context`), so that it is as large as the runs that are
under way and is gone with them. A module of its own because hooks, runs and steering share it and it knows none of
them. What another process does for the same run is not seen here.

Tokens are read from usage objects only while a policy asks about them, because that takes longer than all the rest: of
a run that had calls before, they are not known, and no condition on them holds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from .policy_rules import Seen


class Progress:
    """One run, as far as this process has seen it. Thread-safe.

    Args:
        run_id: Its id.
        name: As it was declared.
        context: What it was declared with, as text; its task under ``task``.
    """

    lock: ClassVar[threading.RLock] = threading.RLock()
    """Of all runs: held for an addition. Reentrant, because a signal handler may call a model, too."""

    __slots__ = ("_calls", "_previous_failed", "_tokens", "context", "name", "run_id")

    def __init__(self, run_id: str, name: str, context: Mapping[str, str] | None = None) -> None:
        self.run_id = run_id
        self.name = name
        self.context: Mapping[str, str] = {} if context is None else context
        self._calls = 0
        self._tokens: int | None = 0
        self._previous_failed = False

    def seen(self) -> Seen:
        """The run so far."""
        with self.lock:
            return Seen(self._calls, self._tokens, self._previous_failed)

    def began_call(self) -> None:
        """An LLM call begins; what an SDK sends again is no other call."""
        with self.lock:
            self._calls += 1

    def ended(self, has_failed: bool, tokens: Callable[[], int] | None = None) -> None:
        """An LLM request or a tool has ended.

        Args:
            has_failed: Whether it failed.
            tokens: Counts its tokens; None while nobody asks for them.
        """
        spent = None if tokens is None else tokens()
        with self.lock:
            self._previous_failed = has_failed
            self._tokens = None if spent is None or self._tokens is None else self._tokens + spent

    def tool_ended(self, has_failed: bool) -> None:
        """A tool has ended; it has no tokens."""
        with self.lock:
            self._previous_failed = has_failed


def context_of(task: str | None, attributes: Mapping[str, Any]) -> dict[str, str]:
    """What rules compare of a run: its attributes as they are recorded (JSON scalars), as text, and its task.

    Texts as they are, other values as in JSON: ``true``, ``3``, ``0.5``, ``null``.
    """
    found = {key: as_text(value) for key, value in attributes.items()}
    return found if task is None else {**found, "task": task}


def as_text(value: Any) -> str:
    """A JSON scalar as the text that a rule's ``context`` names it by."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _after_fork() -> None:
    """In a forked child: another thread of the parent may have held it."""
    Progress.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
