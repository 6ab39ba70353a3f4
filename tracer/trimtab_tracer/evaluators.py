"""Judges of runs that the user registers: ``@trimtab.evaluator``.

In: runs whose block has ended, and the user's functions. Out: one :class:`~.records.Outcome` with the source
``evaluator`` per run and judge that says something. A module of its own because these are the user's functions, and
they may take long, call a model, hang or raise: each runs in a thread beside the agent, in which nothing is traced, for
a bounded time. One that raises or takes too long is logged and counted as a lost outcome, and one that does not come
back three times in a row is not asked again. Nothing of it can reach the agent.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import field
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, NamedTuple, TypeAlias

from . import context
from .guard import LOG_INTERVAL_S, guarded
from .records import Loss, Outcome
from .redact import redact
from .shapes import value_class
from .tracer import Tracer, new_id

log = logging.getLogger("trimtab")

TIMEOUT_S = 30.0
"""How long a judge may take over one run, unless it says otherwise."""


@value_class
class EvaluatedRun:
    """A run that has ended, as a judge sees it."""

    run_id: str
    name: str
    task: str | None
    harness: str | None
    started_ns: int
    ended_ns: int
    status: str
    """``ok | error``: whether an exception left the run."""
    error_type: str | None = None
    error_message: str | None = None
    """Of that exception, as recorded: without secrets."""
    result: Any = None
    """What a decorated function returned, or what was put into ``Run.result``. It is not recorded."""
    saga: str | None = None
    """What became of its compensations, as in ``Run.saga``."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """As they were given to ``trimtab.run()``."""


@value_class
class Verdict:
    """What a judge says of a run, where yes or no, or a grade, is not all."""

    success: bool | None = None
    score: float | None = None
    """Higher is better."""
    comment: str | None = None
    """Why, in a few words."""


Said: TypeAlias = bool | float | Verdict | None
Function: TypeAlias = Callable[[EvaluatedRun], Said | Awaitable[Said]]


@value_class
class Judge:
    """A registered function."""

    name: str
    version: str | None
    function: Function
    timeout_s: float


class _Job(NamedTuple):
    tracer: Tracer
    run: EvaluatedRun
    judges: tuple[Judge, ...]


class Evaluators:
    """The judges of this process, and the runs that wait for them. May be used from any thread."""

    MAX_WAITING: ClassVar[int] = 1000
    """Runs that may wait; those beyond are not judged, and counted."""
    MAX_HANGS: ClassVar[int] = 3
    """How often in a row a judge may not come back in time before it is asked no more."""
    IDLE_S: ClassVar[float] = 1.0
    """How long the thread waits for another run before it ends."""
    LOOK_S: ClassVar[float] = 0.2
    """How often who waits for runs to be judged looks whether there is still a thread that does so."""

    def __init__(self) -> None:
        """No judge yet."""
        self._judges: dict[str, Judge] = {}
        self._hangs: dict[str, int] = {}
        self._logged: dict[str, float] = {}
        self._waits_at_exit = False
        self._exit_at: float | None = None
        """Until when the end of the program waits, once it has begun."""
        self._reset()

    def __reduce__(self) -> str:
        """Pickled by name, as functions that we wrap are sent to other processes."""
        return "evaluators"

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._pending = 0
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def add(self, function: Function, name: str | None, version: str | None, timeout_s: float) -> None:
        """Ask ``function`` about every run that ends from now on; one of the same name is replaced."""
        known = str(name or getattr(function, "__qualname__", None) or type(function).__qualname__)
        self._judges[known] = Judge(known, str(version) if version is not None else None, function, float(timeout_s))
        self._hangs.pop(known, None)

    @guarded()
    def submit(self, tracer: Tracer, run: EvaluatedRun) -> None:
        """A run ended: have it judged, beside the caller."""
        judges = tuple(self._judges.values())
        if not judges:
            return
        if self._pid != os.getpid():  # forked: those that wait are the parent's
            self._reset()
        with self._changed:
            if self._pending >= self.MAX_WAITING:
                _lose(tracer, "evaluator queue full", len(judges))
                return
            if not self._is_at_work():
                _lose(tracer, "no thread to be had", len(judges))
                return
            self._pending += 1
            self._queue.put(_Job(tracer, run, judges))
        self._wait_at_exit()

    @guarded()
    def wait(self, timeout_s: float) -> None:
        """Wait until every run that has ended was judged, at most so long, and not for threads that break or can't be
        had: what one left is given to another one, once."""
        if timeout_s <= 0 or self._pid != os.getpid() or threading.current_thread() is self._thread:
            return
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if self._pending and not self._is_at_work():
                return
            while self._pending and self._is_alive() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, self.LOOK_S))

    @guarded()
    def finish(self, tracer: Tracer, is_hurried: bool) -> None:
        """Tracing ends: wait as long as a judge may take, or not at all, and count the runs that are left.

        The end of the program waits so long once: what :meth:`_before_exit` waited is not waited again.
        """
        if not is_hurried:
            self.wait(self._patience_s() if self._exit_at is None else self._exit_at - time.monotonic())
        if self._pid == os.getpid() and self._pending:
            _lose(tracer, "process ended", self._pending)

    def _patience_s(self) -> float:
        return max((judge.timeout_s for judge in self._judges.values()), default=0.0)

    def _wait_at_exit(self) -> None:
        """Have the end of the program wait while threads can still be started, which a judge may need for its calls."""
        if self._waits_at_exit:
            return
        self._waits_at_exit = True
        register = getattr(threading, "_register_atexit", None)  # as concurrent.futures does; without it atexit waits
        if register is not None:
            with suppress(RuntimeError):  # the program is ending
                register(self._before_exit)

    @guarded()
    def _before_exit(self) -> None:
        self._exit_at = time.monotonic() + self._patience_s()
        self.wait(self._patience_s())

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _is_at_work(self) -> bool:
        """Whether there is a thread that judges, begun if need be: one that broke leaves its runs to the next one."""
        if not self._is_alive():
            thread = threading.Thread(target=self._loop, name="trimtab-evaluators", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the process may not have more
                return False
            self._thread = thread
        return True

    def _loop(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=self.IDLE_S)
            except Empty:
                with self._changed:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            try:
                for judge in job.judges:
                    if self._hangs.get(judge.name, 0) < self.MAX_HANGS:
                        self._evaluate(job, judge)
            finally:  # whatever happened: the end of the program waits for those that are pending
                with self._changed:
                    self._pending -= 1
                    self._changed.notify_all()

    @guarded()
    def _evaluate(self, job: _Job, judge: Judge) -> None:
        """Ask one judge about one run, in a thread that can be left behind."""
        said: list[Outcome | None] = []
        failed: list[BaseException] = []

        def ask() -> None:
            context.scope.set(context.EMPTY)
            context.in_send.set(True)  # what a judge calls is not the agent's: nothing in here is traced
            try:
                said.append(outcome_of(judge, job.run))
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=ask, name=f"trimtab-evaluator {judge.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # none is to be had any more: the program waits for us, not longer than for the thread
            ask()
        else:
            thread.join(judge.timeout_s)
        self._settle(job, judge, said, failed)

    def _settle(self, job: _Job, judge: Judge, said: list[Outcome | None], failed: list[BaseException]) -> None:
        if said:
            self._hangs.pop(judge.name, None)
            if said[0] is not None:
                job.tracer.write(said[0])
        elif failed:
            self._hangs.pop(judge.name, None)
            _lose(job.tracer, "evaluator raised", 1)
            self._warn(judge, f"raised {type(failed[0]).__name__}", failed[0])
        else:
            self._hangs[judge.name] = self._hangs.get(judge.name, 0) + 1
            _lose(job.tracer, "evaluator took too long", 1)
            gives_up = self._hangs[judge.name] >= self.MAX_HANGS
            what = "is not asked again: it did not" if gives_up else "did not"
            self._warn(judge, f"{what} come back within {judge.timeout_s:g} s")

    def _warn(self, judge: Judge, what: str, error: BaseException | None = None) -> None:
        key, now = f"{judge.name} {what}", time.monotonic()
        if now - self._logged.get(key, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            self._logged[key] = now
            log.warning("The evaluator %s %s; the run has no outcome from it.", judge.name, what, exc_info=error)


def outcome_of(judge: Judge, run: EvaluatedRun) -> Outcome | None:
    """What a judge says of a run; None where it says nothing.

    Raises:
        TypeError, ValueError: it says what is no verdict.
        Exception: whatever the judge raises.
    """
    said: Any = judge.function(run)
    if inspect.isawaitable(said):
        import asyncio

        said = asyncio.run(asyncio.wait_for(_given(said), judge.timeout_s))
    verdict = verdict_of(said)
    if verdict is None or (verdict.success is None and verdict.score is None):
        return None
    return Outcome(
        outcome_id=new_id(),
        run_id=run.run_id,
        ts_ns=time.time_ns(),
        success=verdict.success,
        score=verdict.score,
        source="evaluator",
        comment=redact(str(verdict.comment)[:2000])[:500] if verdict.comment is not None else None,
        evaluator=redact(judge.name),
        evaluator_version=redact(judge.version) if judge.version is not None else None,
    )


async def _given(said: Awaitable[Any]) -> Any:
    return await said


def verdict_of(said: Any) -> Verdict | None:
    """A judge's answer as a verdict: yes or no, a finite number as a grade, a :class:`Verdict`, or None.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    if said is None:
        return None
    if isinstance(said, bool):
        return Verdict(success=said)
    if not isinstance(said, Verdict):
        said = Verdict(score=float(said))
    score = None if said.score is None else float(said.score)
    if score is not None and not math.isfinite(score):
        raise ValueError(f"{score} is no score")
    return Verdict(None if said.success is None else bool(said.success), score, said.comment)


@guarded()
def _lose(tracer: Tracer, reason: str, count: int) -> None:
    tracer.write(Loss(tracer.process.process_id, "outcome", reason, count, 0, time.time_ns()))


evaluators = Evaluators()
"""Those of this process."""
