"""Carries run and spawning line across the hops where Python does not.

A context variable follows ``await``; it does not follow a thread, and neither tells which user line spawned the work.
Hooked are the three places where work is handed over: ``BaseEventLoop.create_task`` (tasks, gather, task groups),
``ThreadPoolExecutor.submit`` (executors, ``run_in_executor``, ``to_thread``) and ``Thread.start``. Event loops
written in C do not pass through ``BaseEventLoop``; uvloop's is hooked beside it (:mod:`.switch`).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

from .. import context
from ..context import Scope
from ..guard import guarded
from ..tracer import Tracer
from .patches import Patches

Active = Callable[[], Tracer | None]


def patch(patches: Patches, active: Active) -> None:
    """Hook task creation, executors and threads."""
    patch_loop(patches, asyncio.BaseEventLoop, active)
    patches.replace(concurrent.futures.ThreadPoolExecutor, "submit", functools.partial(_submit, active))
    patches.replace(threading.Thread, "start", functools.partial(_start, active))
    patches.replace(threading.Thread, "_bootstrap_inner", _bootstrap)


def patch_loop(patches: Patches, loop_class: type, active: Active) -> None:
    """Hook task creation of one class of event loops."""
    patches.replace(loop_class, "create_task", functools.partial(_create_task, active))


@guarded()
def spawn_scope(active: Active) -> Scope | None:
    """The scope that work spawned by the calling code belongs to; None while tracing is off."""
    tracer = active()
    if tracer is None:
        return None
    scope = context.scope.get()
    site = tracer.sites.user_site(sys._getframe(2))
    spawned = context.spawned_now(site) if site is not None else context.last_spawned()
    return scope if spawned is scope.spawned else dataclasses.replace(scope, spawned=spawned)


@guarded()
def hand_over(given: contextvars.Context, scope: Scope) -> None:
    """Put the spawning line into the context that a task is given; a run that this context carries stays."""
    own = given.get(context.scope)
    value = scope if own is None else dataclasses.replace(own, spawned=scope.spawned)
    with contextlib.suppress(RuntimeError):  # it is running right now, so whoever runs in it has set its own
        given.run(context.scope.set, value)


def _create_task(active: Active, original: Any) -> Any:
    @functools.wraps(original)
    def create_task(self: Any, coro: Any, **kwargs: Any) -> Any:
        scope = spawn_scope(active)
        if scope is None:
            return original(self, coro, **kwargs)
        if kwargs.get("context") is not None:  # asyncio.run, langgraph: the task runs in that one and copies none
            hand_over(kwargs["context"], scope)
            return original(self, coro, **kwargs)
        # The task copies the context as it is built: set for that moment, and for it alone.
        token = context.scope.set(scope)
        try:
            return original(self, coro, **kwargs)
        finally:
            context.scope.reset(token)

    return create_task


class Carried:
    """A function together with the scope it was handed over in."""

    __slots__ = ("_function", "_last", "_scope")

    def __init__(self, function: Any, scope: Scope) -> None:
        self._function = function
        self._scope = scope
        self._last = context.last_attempt.get()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in its scope."""
        token = context.scope.set(self._scope)
        last = context.last_attempt.set(self._last)  # not what the thread's work before this did last
        before = context.carried.spawned
        context.carried.spawned = self._scope.spawned
        try:
            return self._function(*args, **kwargs)
        finally:
            context.carried.spawned = before
            context.last_attempt.reset(last)
            context.scope.reset(token)


@guarded()
def carry(active: Active, function: Any) -> Carried | None:
    """``function``, to be called in the scope that it is handed over in; None while tracing is off."""
    scope = spawn_scope(active)
    return Carried(function, scope) if scope is not None else None


def _submit(active: Active, original: Any) -> Any:
    @functools.wraps(original)
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return original(self, carry(active, fn) or fn, *args, **kwargs)

    return submit


def _start(active: Active, original: Any) -> Any:
    @functools.wraps(original)
    def start(self: Any) -> None:
        _note_scope(active, self)
        original(self)

    return start


@guarded()
def _note_scope(active: Active, thread: Any) -> None:
    scope = spawn_scope(active)
    if scope is not None:
        thread.__dict__["_trimtab_scope"] = scope, context.last_attempt.get()  # past a subclass's own __setattr__


def _bootstrap(original: Any) -> Any:
    # The thread's own first function, rather than run(), which subclasses override.
    @functools.wraps(original)
    def _bootstrap_inner(self: Any) -> None:
        _enter_scope(self)
        original(self)

    return _bootstrap_inner


@guarded()
def _enter_scope(thread: Any) -> None:
    noted = thread.__dict__.pop("_trimtab_scope", None)
    if noted is None:
        return
    scope, last = noted
    context.carried.spawned = scope.spawned
    own = thread.__dict__.get("_context")  # from Python 3.14 on a thread runs in a context made when it was started
    if isinstance(own, contextvars.Context):
        hand_over(own, scope)
    else:
        context.scope.set(scope)
        context.last_attempt.set(last)
