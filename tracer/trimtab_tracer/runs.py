"""``with trimtab.run(...)``: one execution of the agent on one task, and what came of it.

Works as a context manager, sync or async, and as a decorator of functions and coroutine functions. Without a tracer
(not instrumented, or disabled) the same code runs and records nothing. A run that undoes its side effects when it fails
does so either way (:mod:`.sagas`).
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from . import context
from .evaluators import EvaluatedRun, evaluators
from .guard import guarded
from .progress import Progress, context_of
from .records import Outcome, RunEnd, RunStart
from .redact import redact, redact_value
from .sagas import Saga, Undoing
from .tracer import Tracer, message_of, new_id, type_name

log = logging.getLogger("trimtab")

F = TypeVar("F", bound=Callable[..., Any])

Active = Callable[[], Tracer | None]


class Run:
    """A run of the agent, made by ``trimtab.run()``.

    Attributes:
        run_id: Its id, to report an outcome later from anywhere; None while tracing is off.
        saga: What became of its side effects once it had failed: ``compensated | partly | failed | nothing to do``.
            None where it did not fail, or undoes none.
        result: What it came to, for evaluators to look at; what a decorated function returns is put here. Not recorded.
    """

    def __init__(
        self,
        active: Active,
        name: str,
        task: str | None,
        harness: str | None,
        attributes: dict[str, Any],
        compensates: bool = False,
    ):
        self._active = active
        self._name = name
        self._task = task
        self._harness = harness
        self._attributes = attributes
        self._compensates = compensates
        self._token: Token[context.Scope] | None = None
        self._saga: Saga | None = None
        self._pid = 0
        self.run_id: str | None = None
        self.saga: str | None = None
        self.result: Any = None
        self._started_ns = 0

    def __enter__(self) -> Run:
        """Begin the run: calls made from here on belong to it."""
        self._open()
        self._record()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run; an exception passes through and marks it as failed."""
        ended_ns = time.time_ns()
        try:
            if (undoing := self._to_undo(error)) is not None:
                try:
                    undoing.run(self._active)
                finally:
                    self.saga = undoing.outcome
        finally:
            self._end(error, ended_ns)

    async def __aenter__(self) -> Run:
        """Begin the run."""
        self._open()
        self._record()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run."""
        ended_ns = time.time_ns()
        try:
            if (undoing := self._to_undo(error)) is not None:
                try:
                    await undoing.run_async(self._active)
                finally:
                    self.saga = undoing.outcome
        finally:
            self._end(error, ended_ns)

    def __call__(self, function: F) -> F:
        """Decorate ``function``: each call of it is a run."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            log.warning(
                "trimtab.run can't follow the generator %s, whose body runs when others read it; "
                "put `with trimtab.run(...)` around the loop that reads it.",
                function.__qualname__,
            )
            return function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                async with self._again() as run:
                    run.result = result = await function(*args, **kwargs)
                    return result

            return run_async  # type: ignore[return-value]

        @functools.wraps(function)
        def run_sync(*args: Any, **kwargs: Any) -> Any:
            with self._again() as run:
                run.result = result = function(*args, **kwargs)
                return result

        return run_sync  # type: ignore[return-value]

    def outcome(self, success: bool | None = None, *, score: float | None = None, comment: str | None = None) -> None:
        """Say what came of this run; see :func:`record_outcome`."""
        if self._saga is not None and success is not None:
            self._saga.say(None, bool(success))
        if self.run_id is not None:
            record_outcome(self._active(), self.run_id, success, score, comment)

    def _again(self) -> Run:
        return Run(self._active, self._name, self._task, self._harness, self._attributes, self._compensates)

    @guarded()
    def _open(self) -> None:
        """Follow what is to be undone: a part of the user's program, so apart from what is recorded about it."""
        self._pid = os.getpid()
        scope = context.scope.get()
        if self._compensates or scope.saga is not None:
            self._saga = Saga(self._compensates, scope.saga)
            self._token = context.scope.set(replace(scope, saga=self._saga))

    @guarded()
    def _record(self) -> None:
        tracer = self._active() if not context.in_send.get() else None  # a judge's own runs are not the agent's
        if tracer is None:
            if self._compensates and self._active() is None:
                _say_untraced()
            return
        scope, parent_run_id = context.scope.get(), context.run_here()
        self.run_id = run_id = new_id()
        if self._saga is not None:
            self._saga.run_id = run_id
        # First, so that what goes wrong below costs the record and not the run its calls.
        token = context.scope.set(replace(scope, run_id=run_id, progress=None))
        self._token = self._token if self._token is not None else token
        self._started_ns = time.time_ns()
        name, task = redact(str(self._name)), redact(str(self._task)) if self._task is not None else None
        attributes = _plain(self._attributes)
        progress = Progress(run_id, name, context_of(task, attributes))
        context.scope.set(replace(context.scope.get(), progress=progress))
        tracer.start_run(
            RunStart(
                run_id=run_id,
                process_id=tracer.process.process_id,
                ts_ns=self._started_ns,
                name=name,
                origin="explicit",
                parent_run_id=parent_run_id,
                task=task,
                attributes=attributes,
                harness=str(self._harness) if self._harness is not None else None,
            )
        )

    @guarded()
    def _to_undo(self, error: BaseException | None) -> Undoing | None:
        """What this run has to undo; nothing in a process forked from the one that began it, which does so itself."""
        if self._token is None or self._saga is None or self._pid != os.getpid():
            return None
        return self._saga.close(error)

    @guarded()
    def _end(self, error: BaseException | None, ended_ns: int) -> None:
        if self._token is None or self._pid != os.getpid():
            return  # not begun, or the run of the process that forked us
        token, self._token = self._token, None
        # Left in another context than it was entered in (an async generator, a fixture), it dies with that one's task.
        with suppress(ValueError):
            context.scope.reset(token)
        tracer = self._active()
        if tracer is None or self.run_id is None:
            return
        site = tracer.sites.of_traceback(error.__traceback__) if error is not None else None
        end = RunEnd(
            run_id=self.run_id,
            ts_ns=ended_ns,
            status="ok" if error is None else "error",
            rule="block exit",
            error_type=type_name(error) if error is not None else None,
            error_message=message_of(error) if error is not None else None,
            site_id=site.site_id if site is not None else None,
        )
        tracer.write(end)
        evaluators.submit(
            tracer,
            EvaluatedRun(
                run_id=self.run_id,
                name=str(self._name),
                task=str(self._task) if self._task is not None else None,
                harness=str(self._harness) if self._harness is not None else None,
                started_ns=self._started_ns,
                ended_ns=ended_ns,
                status=end.status,
                error_type=end.error_type,
                error_message=end.error_message,
                result=self.result,
                saga=self.saga,
                attributes=dict(self._attributes),
            ),
        )


@guarded()
def record_outcome(
    tracer: Tracer | None, run_id: str | None, success: bool | None, score: float | None, comment: str | None
) -> None:
    """Spool what came of a run; without a run id, of the one that the caller is in."""
    saga = context.scope.get().saga
    if saga is not None and success is not None:
        saga.say(run_id, bool(success))
    if tracer is None:
        return
    tracer.write(
        Outcome(
            outcome_id=new_id(),
            run_id=run_id or tracer.run_id(),
            ts_ns=time.time_ns(),
            success=bool(success) if success is not None else None,
            score=float(score) if score is not None else None,
            comment=redact(str(comment)) if comment is not None else None,
            after_call_id=context.recent_call() if run_id is None and context.scope.get().run_id is None else None,
        )
    )


@functools.cache
def _say_untraced() -> None:
    """Once: without a tracer a run does not follow work into threads, so what tools do there would not be undone."""
    log.warning(
        "Tracing is off: a run with compensate=True undoes what tools do in its own thread and tasks, and not in"
        " threads that know nothing of it. Start those with `contextvars.copy_context().run`."
    )


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as JSON scalars, without secrets, which a value may be by its name alone (``api_key=...``)."""
    plain: dict[str, Any] = {}
    for key, value in attributes.items():
        is_scalar = isinstance(value, bool | int | float) or value is None
        plain[key] = redact_value(key, value if is_scalar else str(value))
    return plain
