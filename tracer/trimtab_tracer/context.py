"""What the running code belongs to: its run, its tool execution, and the user's line that spawned it.

One context variable holds it all as an immutable :class:`Scope`, so it follows ``await`` and ``asyncio`` tasks by
itself; :mod:`.instrument.propagation` carries it across threads and notes the spawning line. A thread's last carried
scope is kept beside it, because frameworks that run work in a context copied earlier hide the newer variable.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import ContextVar, Token
from itertools import count
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from .decisions import Plan
from .guard import guarded
from .records import Site
from .shapes import value_class

if TYPE_CHECKING:
    from .executions import Execution
    from .progress import Progress
    from .sagas import Saga


class Made:
    """The LLM call made last by some work, what it spawned included."""

    MAX_DEPTH: ClassVar[int] = 16
    """How far up a call is told: work that spawns its own successor for ever must not hold all before it."""

    __slots__ = ("_depth", "_parent", "call_id")

    def __init__(self, parent: Made | None = None) -> None:
        self.call_id: str | None = None
        self._parent = parent if parent is not None and parent._depth < self.MAX_DEPTH else None
        self._depth: int = 0 if self._parent is None else self._parent._depth + 1

    def note(self, call_id: str) -> None:
        """A call was made."""
        at: Made | None = self
        while at is not None:
            at.call_id = call_id
            at = at._parent

    def nearest(self, below: Made) -> str | None:
        """The call of this work, else of the nearest that it was spawned by and has made one, up to ``below``."""
        at: Made | None = self
        while at is not None and at is not below:
            if at.call_id is not None:
                return at.call_id
            at = at._parent
        return None


class Spawned(NamedTuple):
    """A user's line that handed work to a task or a thread."""

    order: int
    """Grows with every hand-over in this process: the later of two is nearer to what runs now."""
    site: Site
    made: Made


@value_class
class Scope:
    """Where the running code belongs."""

    run_id: str | None = None
    """The innermost explicit run; None where the process is the run."""
    spawned: Spawned | None = None
    """What created this task or thread."""
    tool: Execution | None = None
    """The tool execution that the code is part of."""
    saga: Saga | None = None
    """What is known of the innermost run's side effects; None where no run around undoes any."""
    progress: Progress | None = None
    """What the innermost explicit run has come to."""


class LastAttempt(NamedTuple):
    """The attempt made last in this context: the SDK's next retry belongs to the same call."""

    call_id: str
    body_digest: str | None
    """Of the body as the agent made it."""
    number: int
    plan: Plan | None = None
    """What a policy orders for the call."""
    spawned: Spawned | None = None
    """What created the task or thread it was made in; one that inherits it was created by something else."""
    sdk_retry: int = 0
    """The SDK's own count of the request that this attempt served; what we send again by ourselves is not in it."""


EMPTY = Scope()

scope: ContextVar[Scope] = ContextVar("trimtab_scope", default=EMPTY)
last_attempt: ContextVar[LastAttempt | None] = ContextVar("trimtab_last_attempt", default=None)
in_send: ContextVar[bool] = ContextVar("trimtab_in_send", default=False)
"""True while an LLM request is being sent: a client inside the client's transport is not another request."""


class RunningTest:
    """The test that a test runner in this process is at; everywhere else: none.

    Event loops and threads that outlive a test keep a context with its run. What they do later belongs to the test
    that runs then.
    """

    def __init__(self) -> None:
        """No test runs yet."""
        self.ended: set[str] = set()
        self.run_id: str | None = None

    def begin(self, run_id: str | None) -> None:
        """The test of this run begins."""
        self.run_id = run_id

    def end(self, run_id: str | None) -> None:
        """It has ended."""
        self.run_id = None
        if run_id is not None:
            self.ended.add(run_id)


tests = RunningTest()
"""The one of this process."""


def run_here() -> str | None:
    """The explicit run that the running code belongs to, or None."""
    run_id = scope.get().run_id
    return tests.run_id if run_id in tests.ended else run_id


def continued(sdk_retry: int | None, body_digest: str | None) -> LastAttempt | None:
    """The attempt made last, where an SDK's retry number ``sdk_retry`` of the same body goes on from it."""
    last = last_attempt.get()
    if sdk_retry and last is not None and last.body_digest == body_digest and last.sdk_retry + 1 == sdk_retry:
        return last
    return None


@guarded()
def leave_send(token: Token[bool]) -> None:
    """The request whose sending set :data:`in_send` has been sent."""
    with suppress(ValueError):  # a coroutine that is destroyed is closed in another context
        in_send.reset(token)


def note_call(call_id: str) -> None:
    """A call was made in this context: tell those who wait for what runs in it."""
    spawned = scope.get().spawned
    (_main if spawned is None else spawned.made).note(call_id)


def recent_call() -> str | None:
    """Id of the call made last by the running code: in its own context, else in one that it spawned."""
    call_id, is_inherited = last_call()
    if call_id is not None and not is_inherited:
        return call_id
    spawned = scope.get().spawned
    return (_main if spawned is None else spawned.made).call_id or call_id


def call_before() -> str | None:
    """Id of the call that most likely led to the running code: the last one of its context, or of the nearest that
    spawned it and has made one, by itself or by what it spawned."""
    call_id, is_inherited = last_call()
    if call_id is not None and not is_inherited:
        return call_id
    spawned = scope.get().spawned
    # What the main program spawned beside this is nobody's: a server's other tasks.
    near = _main.call_id if spawned is None else spawned.made.nearest(below=_main)
    return near or call_id


def last_call() -> tuple[str | None, bool]:
    """Id of the call made last in this context, else in the one that spawned it; and whether it is the latter.

    A context's own calls are told apart from inherited ones by what created the context.
    """
    last = last_attempt.get()
    return (None, False) if last is None else (last.call_id, last.spawned is not scope.get().spawned)


class _Carried(threading.local):
    spawned: Spawned | None = None


carried = _Carried()
"""Per thread: what handed this thread its present work."""

_orders = count(1)
_main = Made()
"""What was made by work that nobody of the user's code spawned."""


def spawned_now(site: Site) -> Spawned:
    """A hand-over at ``site``, later than all before."""
    before = scope.get().spawned
    return Spawned(next(_orders), site, Made(_main if before is None else before.made))


def last_spawned() -> Spawned | None:
    """The latest hand-over that led to the running code."""
    known = [s for s in (scope.get().spawned, carried.spawned) if s is not None]
    return max(known, key=lambda s: s.order) if len(known) == 2 else known[0] if known else None
