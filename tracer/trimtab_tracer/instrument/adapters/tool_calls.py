"""What the adapters share for tools: a method of a library's, replaced by one that records each call of it.

An adapter says what a call means by a function from the call's arguments to :class:`~...executions.Told`; it may give
None for a call that is no execution. What it raises counts against us and never reaches the agent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ... import context
from ...executions import Active, Execution, Failure, Told, begin
from ...guard import guarded
from ...redact import redact
from ...verdicts import tool_status
from ...watching import Judge, watched
from ..patches import Patches

MESSAGE_CHARS = 200
"""How much of a tool's error is kept."""

Tell = Callable[..., Told | None]
"""What a call with these arguments is."""


def watch(patches: Patches, owner: Any, name: str, active: Active, tell: Tell, judge: Judge | None = None) -> None:
    """Record every call of ``owner.name`` as an execution."""

    @guarded()
    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Execution | None:
        if active() is None:
            return None
        told = tell(*args, **kwargs)
        return begin(active, told) if told is not None else None

    patches.replace(owner, name, lambda original: watched(original, start, judge))


def watch_caught(patches: Patches, owner: Any, name: str, at: int | str) -> None:
    """Note the exception that a framework hands to ``owner.name``, where it makes a tool's result of it.

    Args:
        patches: Where the replacement is kept.
        owner: Module or class.
        name: Of the function that is called inside the execution.
        at: Position or keyword of the exception among its arguments.
    """

    def make(original: Any) -> Any:
        @functools.wraps(original)
        def handle(*args: Any, **kwargs: Any) -> Any:
            _note(args, kwargs)
            return original(*args, **kwargs)

        return handle

    @guarded()
    def _note(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        execution = context.scope.get().tool
        error = kwargs.get(at) if isinstance(at, str) else args[at]
        if execution is not None and isinstance(error, BaseException):
            execution.saw(error)

    patches.replace(owner, name, make)


def reported(text: str) -> Failure:
    """The failure that a result of ``text`` tells of, which its library marks as an error."""
    verdict = tool_status(text, is_error=True)
    message = redact(verdict.message)[:MESSAGE_CHARS] if verdict.message is not None else None
    return Failure(verdict.error_type or "error", message, True)
