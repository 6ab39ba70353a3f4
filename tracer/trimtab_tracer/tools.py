"""``@trimtab.tool``: sees a tool run, with its true times and its own error, instead of inferring them.

In: a function of the user's. Out: the same function, which spools one :class:`~.records.ToolRun` per execution
(:mod:`.executions`), also where a framework calls it and its adapter sees the execution, too. Inside of a run that
undoes its side effects, an execution that mutates is noted for that as well (:mod:`.sagas`), also while tracing is off.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from . import context
from .executions import Active, Execution, Told, begin
from .guard import guarded
from .sagas import Effect, Followed, name_of
from .watching import Seen, watched

log = logging.getLogger("trimtab")

F = TypeVar("F", bound=Callable[..., Any])


def observe(
    active: Active, function: F, name: str | None, mutates: bool | None, compensate: Callable[..., Any] | None = None
) -> F:
    """Wrap a tool function so that each execution is recorded. Results and exceptions pass unchanged.

    What can't be followed (a generator, an object that is no function) comes back as it is, with one line in the log.
    """
    if isinstance(function, staticmethod | classmethod):
        inner = observe(active, function.__func__, name, mutates, compensate)
        return type(function)(inner)
    if (reason := _refused(function)) is not None:
        log.warning("trimtab.tool can't follow %s: %s", _name(function), reason)
        return function
    if compensate is not None:
        if mutates is False:
            log.warning("The tool %s has a compensation, so it counts as one that mutates.", _name(function))
        mutates = True
    tool = name or _name(function)
    signature = signature_of(function)
    told = Told("decorator", tool, None, function, mutates=mutates, compensation=name_of(compensate))

    @guarded()
    def recorded(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Execution | None:
        if active() is None:
            return None
        return begin(active, told._replace(arguments=named(signature, args, kwargs)))

    @guarded()
    def start(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Seen | None:
        execution = recorded(args, kwargs)  # guarded apart: without a record a tool can still be undone
        saga = context.scope.get().saga if mutates else None
        if saga is None:
            return execution
        effect = Effect(tool, compensate, args, kwargs)
        saga.add(effect)
        return Followed(effect, told, execution)

    return watched(function, start)  # type: ignore[return-value]


def _refused(function: Any) -> str | None:
    """Why executions of ``function`` can't be seen, None where they can."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "it is a generator, whose body runs when others read it."
    if not inspect.isroutine(function) and not isinstance(function, functools.partial):
        return "it is no function; put the decorator on the function behind it."
    return None


def _name(function: Any) -> str:
    """The name of a function; of an object its class's."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", None) or type(function).__name__)


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, or None where there is none to be read (some built-in functions)."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def named(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments by name, as a model writes them, so that an execution finds the request it answers.

    A method's own object is no argument to a model. None where the arguments do not fit: the call will say so itself.
    """
    if not args:
        return kwargs
    if signature is None:
        return None
    try:
        bound = dict(signature.bind(*args, **kwargs).arguments)
    except TypeError:
        return None
    first = next(iter(signature.parameters))
    if first in ("self", "cls"):
        bound.pop(first, None)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            bound |= bound.pop(name, {})
    return bound
