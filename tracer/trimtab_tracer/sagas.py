"""Undoes what a failed run did outside: the compensations that its tools declare, in reverse order.

In: executions of tools declared with ``@trimtab.tool(mutates=True, compensate=...)`` inside
``trimtab.run(..., compensate=True)``, and how the run ended. Out: calls of the user's compensations, the last completed
execution first, and for each saga its :class:`~.records.SagaStep` records and one :class:`~.records.Saga`. The idea is
that of Garcia-Molina and Salem, "Sagas" (SIGMOD 1987): no isolation is promised, each step has its counter-step.

A module of its own because this is part of what the user's program does, not of what is recorded about it: it works in
the same way while tracing is off, only that nothing is written then. A compensation that raises is logged and recorded;
the others still run, and the exception that ended the run is the one that leaves it. An interrupt that arrives while
compensations run (Ctrl-C, a second cancellation, an alarm) leaves at once, and what had not run is recorded so.
"""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Token
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Final

from . import context
from .executions import Active, Execution, Failure, Told, definition_of
from .guard import from_signal_handler, guarded
from .records import Saga as SagaRecord
from .records import SagaStep
from .redact import redact
from .tracer import Tracer, message_of, new_id, type_name

log = logging.getLogger("trimtab")

COMPENSATED: Final = "compensated"
FAILED: Final = "failed"
UNDECLARED: Final = "undeclared"
UNKNOWN: Final = "unknown"
NOT_DONE: Final = "not_done"
NOT_RUN: Final = "not_run"

_orders = count(1)
"""Grows with every begin and end of an execution in this process."""


class Effect:
    """One execution of a tool that changes the world outside, inside a run that undoes such on failure.

    Holds the arguments, and later the result, until the outermost such run has ended.
    """

    __slots__ = ("_call", "order", "state", "tool", "tool_run_id", "undoes")

    def __init__(self, tool: str, undoes: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.tool = tool
        self.undoes = undoes
        self.tool_run_id: str | None = None
        self.state = UNKNOWN
        """``done``; ``not_done`` where it raised; ``unknown`` where it runs still, or was cancelled in the middle."""
        self.order = next(_orders)
        self._call: tuple[Any, tuple[Any, ...], dict[str, Any]] = (None, args, kwargs)

    def ended(self, result: Any, error: BaseException | None) -> None:
        """The execution ended."""
        self.order = next(_orders)
        if error is None:
            self.state = "done"
            self._call = (result, *self._call[1:])
        elif isinstance(error, Exception):
            self.state = NOT_DONE

    def undo(self) -> Any:
        """Call the compensation: with the tool's result, then with the arguments that the tool was called with."""
        assert self.undoes is not None
        result, args, kwargs = self._call
        return self.undoes(result, *args, **kwargs)

    def why_not(self) -> str | None:
        """The status of a step that can't be undone, or needs not; None where it is to be undone."""
        if self.state != "done":
            return self.state
        return UNDECLARED if self.undoes is None else None


class Followed:
    """An execution that a saga follows, whether it is recorded or not."""

    __slots__ = ("_effect", "_execution", "told")

    def __init__(self, effect: Effect, told: Told, execution: Execution | None) -> None:
        self.told = told
        self._effect = effect
        self._execution = execution
        self._note()

    @guarded()
    def _note(self) -> None:
        if self._execution is not None:
            self._effect.tool_run_id = self._execution.recorded_id

    def enter(self) -> None:
        """What runs from here on in this context belongs to it."""
        if self._execution is not None:
            self._execution.enter()

    def leave(self) -> None:
        """What runs from here on does not."""
        if self._execution is not None:
            self._execution.leave()

    def end(self, result: Any = None, error: BaseException | None = None, reported: Failure | None = None) -> None:
        """It ended."""
        self._effect.ended(result, error)
        if self._execution is not None:
            self._execution.end(result, error, reported)


class Saga:
    """What one run did outside, and what is to become of it when the run ends.

    Args:
        compensates: Whether the run undoes its side effects when it fails. One that does not hands them to the run
            around it.
        around: The saga of the run around.

    Attributes:
        run_id: Of the run; None while it is not recorded.
    """

    def __init__(self, compensates: bool, around: Saga | None) -> None:
        self.run_id: str | None = None
        self._compensates = compensates
        self._around = around
        self._effects: list[Effect] = []
        self._verdict: bool | None = None
        self._is_open = True

    def add(self, effect: Effect) -> None:
        """An execution begins; it belongs to the nearest run around that undoes and has not ended."""
        at: Saga | None = self
        while at is not None:
            if at._compensates and at._is_open:
                at._effects.append(effect)
                return
            at = at._around

    def say(self, run_id: str | None, success: bool) -> None:
        """An outcome was said: of the run ``run_id``, or of this one. What is said last counts."""
        at: Saga | None = self
        while at is not None and run_id is not None and at.run_id != run_id:
            at = at._around
        if at is not None:
            at._verdict = success

    def close(self, error: BaseException | None) -> Undoing | None:
        """The run's block was left; what is to be undone now, if anything.

        A run that did not fail hands its side effects to the run around, which may still fail.
        """
        self._is_open = False
        effects, self._effects = (
            self._effects,
            [],
        )  # contexts that the run leaves behind keep us, and need not keep those
        if not self._compensates:
            return None
        if (cause := self._cause(error)) is not None:
            return Undoing(self.run_id, cause, effects)
        if self._around is not None:
            for effect in effects:
                self._around.add(effect)
        return None

    def _cause(self, error: BaseException | None) -> str | None:
        """Why the run counts as failed. A reader who has seen enough and ``sys.exit(0)`` are no failures."""
        if isinstance(error, GeneratorExit):  # nothing can be awaited any more, and nothing went wrong
            return None
        if error is not None and not (isinstance(error, SystemExit) and not error.code):
            return "exception"
        return "outcome" if self._verdict is False else None


class Undoing:
    """One pass over a failed run's side effects, the last completed first.

    Attributes:
        outcome: ``compensated`` (all of them), ``partly``, ``failed`` (none of them) or ``nothing to do``.
    """

    def __init__(self, run_id: str | None, cause: str, effects: list[Effect]) -> None:
        self.outcome = "nothing to do"
        self._run_id = run_id
        self._cause = cause
        self._effects = sorted(effects, key=lambda effect: -effect.order)
        self._statuses: list[str] = []
        self._saga_id = ""
        self._ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()
        self._tracer: Tracer | None = None
        self._token: Token[context.Scope] | None = None

    def run(self, active: Active) -> None:
        """Undo, from synchronous code."""
        with self._scope(active):
            for effect in self._effects:
                if not self._passed_over(effect):
                    with _Step(self, effect):
                        if inspect.isawaitable(done := effect.undo()):
                            _finish(done)

    async def run_async(self, active: Active) -> None:
        """Undo, from a coroutine; compensations may be either kind."""
        with self._scope(active):
            for effect in self._effects:
                if not self._passed_over(effect):
                    with _Step(self, effect):
                        if inspect.isawaitable(done := effect.undo()):
                            await done

    def note(self, effect: Effect, status: str, started_ns: int, took_ns: int, error: BaseException | None) -> None:
        """Record what became of one side effect."""
        self._statuses.append(status)
        self._write_step(effect, status, started_ns, took_ns, error)

    def _passed_over(self, effect: Effect) -> bool:
        why = effect.why_not()
        if why is not None:
            self.note(effect, why, time.time_ns(), 0, None)
        return why is not None

    def _scope(self, active: Active) -> Undoing:
        self._find_tracer(active)
        return self

    @guarded()
    def _find_tracer(self, active: Active) -> None:
        self._saga_id, self._tracer = new_id(), active()

    def __enter__(self) -> Undoing:
        """From here on mutating tools are part of no saga: they are what undoes."""
        self._token = context.scope.set(replace(context.scope.get(), saga=None))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Every step was tried, or an interrupt came."""
        if self._token is not None:
            with suppress(ValueError):  # a coroutine that is destroyed is closed in another context
                context.scope.reset(self._token)
        for effect in self._effects[len(self._statuses) :]:
            self.note(effect, effect.why_not() or NOT_RUN, time.time_ns(), 0, None)
        due = [status for status in self._statuses if status != NOT_DONE]
        if due:
            undone = due.count(COMPENSATED)
            self.outcome = COMPENSATED if undone == len(due) else "partly" if undone else FAILED
        self._write_saga()

    @guarded()
    def _write_step(
        self, effect: Effect, status: str, started_ns: int, took_ns: int, error: BaseException | None
    ) -> None:
        if error is not None:
            log.warning("The compensation of the tool %s raised; the others still run.", effect.tool, exc_info=error)
        tracer = self._tracer
        if tracer is None or self._run_id is None:
            return
        definition = definition_of(effect.undoes)
        site = tracer.sites.of_function(definition)
        tracer.write(
            SagaStep(
                saga_id=self._saga_id,
                number=len(self._statuses),
                run_id=self._run_id,
                tool=redact(effect.tool),
                status=status,
                ts_ns=started_ns,
                duration_ns=took_ns,
                tool_run_id=effect.tool_run_id,
                compensation=name_of(effect.undoes),
                error_type=type_name(error) if error is not None else None,
                error_message=message_of(error) if error is not None and tracer.settings.content != "off" else None,
                site_id=site.site_id if site is not None else None,
            )
        )

    @guarded()
    def _write_saga(self) -> None:
        if self._tracer is not None and self._run_id is not None:
            self._tracer.write(
                SagaRecord(
                    saga_id=self._saga_id,
                    run_id=self._run_id,
                    process_id=self._tracer.process.process_id,
                    ts_ns=self._ts_ns,
                    duration_ns=time.perf_counter_ns() - self._started,
                    cause=self._cause,
                    outcome=self.outcome,
                    steps=len(self._statuses),
                )
            )


class _Step:
    """Calls one compensation: swallows and records what it raises, unless that is an interrupt of the whole."""

    def __init__(self, undoing: Undoing, effect: Effect) -> None:
        self._undoing = undoing
        self._effect = effect
        self._cancelled = _times_cancelled()
        self._ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        """Note how it went."""
        took_ns = time.perf_counter_ns() - self._started
        self._undoing.note(self._effect, COMPENSATED if error is None else FAILED, self._ts_ns, took_ns, error)
        return error is not None and not self._interrupts(error)

    def _interrupts(self, error: BaseException) -> bool:
        """Whether ``error`` came from outside: the compensation did not raise it, or meant it for everyone."""
        if isinstance(error, Exception):
            return from_signal_handler(error)
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and isinstance(error, asyncio.CancelledError):
            return _times_cancelled() > self._cancelled  # else something that it awaited was cancelled
        return True


def name_of(function: Any) -> str | None:
    """The qualified name of a compensation; of an object its class's."""
    if function is None:
        return None
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _times_cancelled() -> int:
    """How often the running asyncio task was told to end; 0 where there is none."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = asyncio.current_task() if asyncio is not None else None
    except RuntimeError:
        return 0
    return task.cancelling() if task is not None else 0


def _finish(done: Awaitable[Any]) -> None:
    """Run an async compensation from synchronous code, in an event loop of its own.

    Raises:
        RuntimeError: an event loop runs in this thread, and waiting here would stop it.
    """
    import asyncio

    async def wait() -> None:
        await done

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(wait())
        return
    if inspect.iscoroutine(done):
        done.close()
    raise RuntimeError("An async compensation needs `async with trimtab.run(...)` where an event loop is running.")
