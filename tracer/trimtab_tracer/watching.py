"""Wraps a function so that each call of it is a tool execution (:mod:`.executions`).

In: the function, and who can say what a call of it means. Out: a function of the same kind that gives the same results
and raises the same exceptions. Shared by the decorator and the frameworks' adapters; apart from both, because when an
execution ends is a question of Python, not of theirs: a coroutine or a future that is returned has yet to run.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Protocol

from .executions import Failure, Told
from .guard import guarded

log = logging.getLogger("trimtab")


class Seen(Protocol):
    """An execution as it runs: what the wrapper tells whoever follows it (:class:`.executions.Execution` says more)."""

    @property
    def told(self) -> Told:
        """What was known when it began."""
        ...

    def enter(self) -> None:
        """What runs from here on in this context belongs to it."""
        ...

    def leave(self) -> None:
        """What runs from here on does not; it goes on elsewhere."""
        ...

    def end(self, result: Any = None, error: BaseException | None = None, reported: Failure | None = None) -> None:
        """It ended: with a result, by an exception, or with a result that tells of a failure."""
        ...


Begin = Callable[[tuple[Any, ...], dict[str, Any]], Seen | None]
"""Starts the execution that a call with these arguments is; None where it is none, or tracing is off."""

Judge = Callable[[Any], Failure | None]
"""The failure that a result tells of, or None."""


def watched(function: Callable[..., Any], begin: Begin, judge: Judge | None = None) -> Callable[..., Any]:
    """``function``, with every call of it recorded as an execution."""
    judge = guarded()(judge) if judge is not None else None
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def run_stream(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async with aclosing(_stream(function(*args, **kwargs), begin(args, kwargs))) as items:
                async for item in items:
                    yield item

        return run_stream

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            execution = begin(args, kwargs)
            if execution is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                execution.end(error=error)
                raise
            _end(result, execution, judge)
            return result

        return run_async

    @functools.wraps(function)
    def run_sync(*args: Any, **kwargs: Any) -> Any:
        execution = begin(args, kwargs)
        if execution is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            execution.end(error=error)
            raise
        if inspect.iscoroutine(result):
            execution.leave()
            return _finish(result, execution, judge)
        _follow(result, execution, judge)
        return result

    return run_sync


async def _finish(coroutine: Coroutine[Any, Any, Any], execution: Seen, judge: Judge | None) -> Any:
    """The coroutine that a plain function returned, with its end recorded: until then the tool has not run."""
    execution.enter()
    try:
        result = await coroutine
    except BaseException as error:
        execution.end(error=error)
        raise
    _end(result, execution, judge)
    return result


async def _stream(items: AsyncGenerator[Any, None], execution: Seen | None) -> AsyncGenerator[Any, None]:
    """The items of a tool that gives them one by one; between two of them its reader runs, which is no part of it."""
    if execution is None:
        async for item in items:
            yield item
        return
    execution.leave()
    try:
        async with aclosing(items):
            while (item := await _next(items, execution)) is not _END:
                yield item
    except GeneratorExit:  # its reader has seen enough
        execution.end()
        raise
    except BaseException as error:
        execution.end(error=error)
        raise
    execution.end()


_END = object()


async def _next(items: AsyncGenerator[Any, None], execution: Seen) -> Any:
    execution.enter()
    try:
        return await anext(items, _END)
    finally:
        execution.leave()


@guarded()
def _end(result: Any, execution: Seen, judge: Judge | None) -> None:
    execution.end(result, reported=judge(result) if judge is not None else None)


@guarded()
def _follow(result: Any, execution: Seen, judge: Judge | None) -> None:
    """End an execution with what a plain function returned; a future ends it when it is done."""
    if _is_future(result):
        execution.leave()
        result.add_done_callback(functools.partial(_done, execution))
    elif not inspect.isawaitable(result):
        _end(result, execution, judge)
    else:
        execution.leave()
        _warn(execution.told.name, type(result).__name__)


def _is_future(result: Any) -> bool:
    """Whether it is an asyncio future of any kind; told by its class, for an object may answer to every name."""
    kind = type(result)
    has_mark = hasattr(kind, "_asyncio_future_blocking")  # asyncio's own
    return has_mark and callable(getattr(kind, "add_done_callback", None))


@functools.lru_cache(maxsize=1000)
def _warn(name: str, kind: str) -> None:
    """Say it once for each tool."""
    log.warning(
        "the tool %s can't be followed: it returns an awaitable %s; make it `async def` and await it inside.",
        name,
        kind,
    )


@guarded()
def _done(execution: Seen, future: Any) -> None:
    if future.cancelled():
        execution.end(error=_cancelled())
        return
    # Looked at without `exception()`, which would silence asyncio's warning about an error that nobody retrieved.
    error = getattr(future, "_exception", None)
    execution.end(None if error is not None else future.result(), error)


def _cancelled() -> BaseException:
    from asyncio import CancelledError  # imported already, for there is a future

    return CancelledError()
