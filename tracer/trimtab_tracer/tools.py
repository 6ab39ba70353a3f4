"""``@trimtab.tool``: sees a tool run, with its true times and its own error, instead of inferring them."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from . import context
from .digests import canonical, digest
from .guard import guarded
from .records import ToolRun
from .tracer import Tracer, message_of, new_id, type_name

F = TypeVar("F", bound=Callable[..., Any])

Active = Callable[[], Tracer | None]


def observe(active: Active, function: F, name: str, mutates: bool | None) -> F:
    """Wrap a tool function so that each execution is recorded. Results and exceptions pass unchanged."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            end = _begin(active, function, name, mutates)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                end(args, kwargs, None, error)
                raise
            end(args, kwargs, result, None)
            return result

        return run_async  # type: ignore[return-value]

    @functools.wraps(function)
    def run_sync(*args: Any, **kwargs: Any) -> Any:
        end = _begin(active, function, name, mutates)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            end(args, kwargs, None, error)
            raise
        end(args, kwargs, result, None)
        return result

    return run_sync  # type: ignore[return-value]


End = Callable[[Any, dict[str, Any], Any, BaseException | None], None]
"""Records an execution: positional and keyword arguments, result, exception."""


def _nothing(args: Any, kwargs: dict[str, Any], result: Any, error: BaseException | None) -> None:
    """What ends an execution that is not recorded."""


@guarded(default=_nothing)
def _begin(active: Active, function: Callable[..., Any], name: str, mutates: bool | None) -> End:
    if active() is None:
        return _nothing
    return Execution(active, function, name, mutates).end


class Execution:
    """One execution of a tool, from its construction to :meth:`end`."""

    def __init__(self, active: Active, function: Callable[..., Any], name: str, mutates: bool | None) -> None:
        self._active = active
        self._function = function
        self._name = name
        self._mutates = mutates
        self._id = new_id()
        self._outer = context.scope.get()
        context.scope.set(replace(self._outer, tool_run_id=self._id))
        self._ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    @guarded()
    def end(self, args: Any, kwargs: dict[str, Any], result: Any, error: BaseException | None) -> None:
        """Record it."""
        duration = time.perf_counter_ns() - self._started
        context.scope.set(self._outer)
        tracer = self._active()
        if tracer is None:
            return
        site = tracer.sites.of_function(self._function)
        text = result if isinstance(result, str) else canonical(result)
        tracer.write(
            ToolRun(
                tool_run_id=self._id,
                run_id=tracer.run_id(),
                process_id=tracer.process.process_id,
                name=self._name,
                ts_ns=self._ts_ns,
                duration_ns=duration,
                status="ok" if error is None else "error",
                args_digest=digest(canonical(_named(self._function, args, kwargs))),
                result_digest=digest(text) if error is None else None,
                result_chars=len(text) if error is None else 0,
                error_type=type_name(error) if error is not None else None,
                error_message=message_of(error) if error is not None else None,
                site_id=site.site_id if site is not None else None,
                mutates=self._mutates,
            )
        )


def _named(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, as a model writes them, so that an execution finds the request it answers."""
    if not args:
        return kwargs
    bound = inspect.signature(function).bind(*args, **kwargs)
    return dict(bound.arguments)
