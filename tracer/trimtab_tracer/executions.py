"""One tool execution as it runs, whoever watches it: the decorator or a framework's adapter.

In: what an observer knows when a tool begins (:class:`Told`), and how it ended. Out: one :class:`~.records.ToolRun`.
Apart from the observers because they meet here: a decorated function inside a framework's tool, or an MCP call inside
it, is seen twice and is one execution. The rule is :func:`is_one`; the outermost view is recorded, because it has the
name, the arguments and the id that the model gave, and the inner one adds what it alone knows.

Arguments and results are named by a digest only, and only where they are plain JSON values of a bounded size: what
is large or an object of the agent's own is neither read nor turned into text here, on the caller's path.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from dataclasses import replace
from types import CodeType
from typing import Any, NamedTuple

from . import context
from .digests import canonical, digest
from .guard import guarded
from .records import ToolRun
from .redact import redact
from .tracer import Tracer, message_of, new_id, type_name

Active = Callable[[], Tracer | None]

MAX_VALUES = 2_000
"""Values inside an argument list or a result that is digested."""

MAX_CHARS = 200_000
"""Characters of text inside an argument list or a result that is digested."""

MAX_DEPTH = 20
"""Nesting of an argument list or a result that is digested."""

NO_ARGUMENTS = digest("{}")

CONTROL = frozenset({"GraphBubbleUp", "WaitingForEvent", "CallDeferred", "ApprovalRequired"})
"""Exceptions by which frameworks leave a tool that has not failed: it waits for a person, and runs anew afterwards."""


class Told(NamedTuple):
    """What an observer knows of an execution when it begins."""

    observer: str
    """``decorator``, or the library whose adapter it is."""
    name: str
    """As the model calls the tool."""
    arguments: dict[str, Any] | str | None = None
    """As the model gave them: a mapping, or JSON text; None where they can't be told."""
    function: Any = None
    """The user's function behind the tool."""
    provider_id: str | None = None
    """Id of the model's tool call."""
    mutates: bool | None = None
    compensation: str | None = None
    """Name of the function that undoes it."""


class Failure(NamedTuple):
    """How an execution failed."""

    error_type: str
    message: str | None
    is_reported: bool
    """It is what the tool said in its result; nothing was raised."""


@guarded()
def begin(active: Active, told: Told) -> Execution | None:
    """Start an execution; the arguments are named now, for the tool may change them. None while tracing is off, and
    inside of what is not traced: sending a request, judging a run."""
    return Execution(active, told) if active() is not None and not context.in_send.get() else None


class Execution:
    """One execution, from its construction to :meth:`end`; in between the running code belongs to it."""

    def __init__(self, active: Active, told: Told) -> None:
        self.told = told._replace(arguments=None)  # contexts that a tool leaves behind keep us, and need not keep those
        self.args_digest = args_digest(told.arguments)
        self.definition = definition_of(told.function)
        self.run_id = context.scope.get().run_id
        self._after_call_id = context.call_before()
        self.is_open = True
        self.mutates: bool
        """Whether this or an execution around it is declared to have side effects."""
        self._active = active
        self._id = new_id()
        self._seen: Failure | None = None
        self._inner: Execution | None = None
        self._token: Token[context.Scope] | None = None
        around = context.scope.get().tool
        self._part_of: Execution | None = around if around is not None and is_one(around, self) else None
        self.mutates = bool(told.mutates) or (around is not None and around.mutates)
        if self._part_of is not None:
            self._part_of.mutates = self.mutates
        self.enter()
        self._ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    @property
    def recorded_id(self) -> str:
        """The id under which it is recorded: that of the outermost view."""
        return (self._part_of or self)._id

    @guarded()
    def enter(self) -> None:
        """What runs from here on in this context belongs to this execution."""
        if self._part_of is None and self._token is None:
            self._token = context.scope.set(replace(context.scope.get(), tool=self))

    @guarded()
    def leave(self) -> None:
        """What runs from here on does not; the execution goes on elsewhere."""
        token, self._token = self._token, None
        if token is not None:
            with suppress(ValueError):  # a coroutine that is destroyed is closed in another context
                context.scope.reset(token)

    @guarded()
    def saw(self, error: BaseException) -> None:
        """The framework caught ``error`` and makes a result of it."""
        self._seen = self._failure(error)

    @guarded()
    def end(self, result: Any = None, error: BaseException | None = None, reported: Failure | None = None) -> None:
        """Record it.

        Args:
            result: What the tool gave; its digest is taken where it is plain.
            error: What it raised.
            reported: The failure that its result tells of.
        """
        duration = time.perf_counter_ns() - self._started
        self.leave()
        if not self.is_open:
            return
        self.is_open = False
        tracer = self._active()
        if tracer is None or (error is not None and _is_control(error)):
            return
        self._seen = self._failure(error) if error is not None else self._seen or reported
        if self._part_of is not None:
            self._part_of._inner = self
            return
        self._write(tracer, result, duration)

    def _failure(self, error: BaseException) -> Failure:
        tracer = self._active()
        says_why = tracer is not None and tracer.settings.content != "off"
        return Failure(type_name(error), message_of(error) if says_why else None, False)

    def _write(self, tracer: Tracer, result: Any, duration_ns: int) -> None:
        told, inner, failure = self.told, self._inner, self._verdict()
        sites = (tracer.sites.of_function(view.definition) for view in (self, inner) if view is not None)
        site = next((site for site in sites if site is not None and site.owner == "user"), None)
        text = plain_text(result) if failure is None else None
        mutates = told.mutates if told.mutates is not None or inner is None else inner.told.mutates
        undone_by = told.compensation or (inner.told.compensation if inner is not None else None)
        keeps_text = tracer.settings.content != "off"
        if (progress := tracer.progress()) is not None:
            progress.tool_ended(failure is not None)
        tracer.write(
            ToolRun(
                tool_run_id=self._id,
                run_id=tracer.run_id(),
                process_id=tracer.process.process_id,
                name=_short(told.name),
                ts_ns=self._ts_ns,
                duration_ns=duration_ns,
                status="ok" if failure is None else "error",
                args_digest=self.args_digest or (inner.args_digest if inner is not None else None),
                result_digest=digest(text) if text is not None else None,
                result_chars=len(text) if text is not None else len(result) if isinstance(result, str) else 0,
                error_type=failure.error_type if failure is not None else None,
                error_message=failure.message if failure is not None and keeps_text else None,
                site_id=site.site_id if site is not None else None,
                mutates=mutates,
                provider_id=_short(told.provider_id) if told.provider_id else None,
                after_call_id=self._after_call_id,
                compensation=_short(undone_by) if undone_by else None,
            )
        )

    def _verdict(self) -> Failure | None:
        """How it failed, of what both views saw.

        An exception that the tool caught inside has been dealt with; an error that was reported is in its result. Where
        a framework made a result of an exception, the exception is the reason.
        """
        own, inner = self._seen, self._inner._seen if self._inner is not None else None
        if own is not None:
            return inner if own.is_reported and inner is not None else own
        return inner if inner is not None and inner.is_reported else None


def is_one(outer: Execution, inner: Execution) -> bool:
    """Whether ``inner``, which begins while ``outer`` runs in the same context, is another view of the same execution.

    Two observers see one execution where they name the same tool (a server's or framework's prefix aside), the same
    definition, or the same arguments. One observer sees each execution once: what it sees inside is a tool that an
    agent inside the tool calls, unless name and arguments are the same (a class that hands on to its parent's method).
    """
    if not outer.is_open or outer.run_id != inner.run_id:
        return False
    are_same = inner.args_digest is not None and inner.args_digest == outer.args_digest
    if outer.told.observer == inner.told.observer:
        return are_same and outer.told.name == inner.told.name
    if outer.definition is not None and _code(outer) is _code(inner):
        return True
    return is_name_of(outer.told.name, inner.told.name) or (are_same and inner.args_digest != NO_ARGUMENTS)


def is_name_of(outer: str, inner: str) -> bool:
    """Whether both name one tool, a server's or framework's prefix of the outer one aside."""
    name, within = _bare(outer), _bare(inner)
    return name == within or name.endswith("_" + within)


def _code(execution: Execution) -> Any:
    return getattr(execution.definition, "__code__", None)


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name).strip("_").casefold()


def _short(said: str) -> str:
    """A name or id, which a model may have made up: without secrets, cut as the wire's."""
    return redact(said[:2000])[:200]


def _is_control(error: BaseException) -> bool:
    return any(base.__name__ in CONTROL for base in type(error).__mro__)


def definition_of(function: Any) -> Any:
    """The Python function behind ``function``, past partials, methods and decorators; None where there is none."""
    while isinstance(function, functools.partial):
        function = function.func
    with suppress(ValueError):  # wrapped around itself
        function = inspect.unwrap(function)
    return function if isinstance(getattr(function, "__code__", None), CodeType) else None


def args_digest(arguments: dict[str, Any] | str | None) -> str | None:
    """The digest of arguments as :class:`~.records.ToolRequest` has it; None where they are large or no JSON."""
    value: Any = arguments
    if isinstance(arguments, str):
        if len(arguments) > MAX_CHARS:
            return None
        try:
            value = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return digest(arguments)
        return digest(canonical(value))
    return digest(text) if value is not None and (text := plain_text(value)) is not None else None


def plain_text(value: Any) -> str | None:
    """The text that names a value: a string itself, other JSON values canonical; None where it is large or no JSON."""
    if type(value) is str:
        return value if len(value) <= MAX_CHARS else None
    return canonical(value) if _is_small(value) else None


def _is_small(value: Any) -> bool:
    """Whether a value is plain JSON within the bounds; looks at no more of it than they allow, calls nothing of it."""
    level, count, chars = [value], 0, 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                chars += len(item)
            elif kind is dict or kind is list or kind is tuple:
                count += len(item)
                if count > MAX_VALUES:
                    return False
                below += item.values() if kind is dict else item
                if kind is dict:
                    if not all(type(key) is str for key in item):
                        return False
                    chars += sum(map(len, item))
            elif kind is int:
                chars += item.bit_length() // 3
            elif not (item is None or kind is bool or kind is float):
                return False
        if chars > MAX_CHARS:
            return False
        if not below:
            return True
        level = below
    return False
