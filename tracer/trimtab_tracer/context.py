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
from typing import TYPE_CHECKING, NamedTuple

from .decisions import Plan
from .guard import guarded
from .records import Site
from .shapes import value_class

if TYPE_CHECKING:
    from .executions import Execution


class Spawned(NamedTuple):
    """A user's line that handed work to a task or a thread."""

    order: int
    """Grows with every hand-over in this process: the later of two is nearer to what runs now."""
    site: Site


@value_class
class Scope:
    """Where the running code belongs."""

    run_id: str | None = None
    """The innermost explicit run; None where the process is the run."""
    spawned: Spawned | None = None
    """What created this task or thread."""
    tool: Execution | None = None
    """The tool execution that the code is part of."""


class LastAttempt(NamedTuple):
    """The attempt made last in this context: the SDK's next retry belongs to the same call."""

    call_id: str
    body_digest: str | None
    """Of the body as the agent made it."""
    number: int
    plan: Plan | None = None
    """What a policy orders for the call."""


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
    if sdk_retry and last is not None and last.body_digest == body_digest and last.number == sdk_retry:
        return last
    return None


@guarded()
def leave_send(token: Token[bool]) -> None:
    """The request whose sending set :data:`in_send` has been sent."""
    with suppress(ValueError):  # a coroutine that is destroyed is closed in another context
        in_send.reset(token)


class _Carried(threading.local):
    spawned: Spawned | None = None


carried = _Carried()
"""Per thread: what handed this thread its present work."""

_orders = count(1)


def spawned_now(site: Site) -> Spawned:
    """A hand-over at ``site``, later than all before."""
    return Spawned(next(_orders), site)


def last_spawned() -> Spawned | None:
    """The latest hand-over that led to the running code."""
    known = [s for s in (scope.get().spawned, carried.spawned) if s is not None]
    return max(known, key=lambda s: s.order) if len(known) == 2 else known[0] if known else None
