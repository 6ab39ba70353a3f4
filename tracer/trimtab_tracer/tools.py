"""``@trimtab.tool``: sees a tool run, with its true times and its own error, instead of inferring them.

In: a function of the user's. Out: the same function, which spools one :class:`~.records.ToolRun` per execution.
Arguments and results are named by a digest only, and only where they are plain JSON values of a bounded size: what
is large or an object of the agent's own is neither read nor turned into text here, on the caller's path.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from . import context
from .digests import canonical, digest
from .guard import guarded
from .records import ToolRun
from .tracer import Tracer, message_of, new_id, type_name

log = logging.getLogger("trimtab")

F = TypeVar("F", bound=Callable[..., Any])

Active = Callable[[], Tracer | None]

MAX_VALUES = 2_000
"""Values inside an argument list or a result that is digested."""

MAX_CHARS = 200_000
"""Characters of text inside an argument list or a result that is digested."""

MAX_DEPTH = 20
"""Nesting of an argument list or a result that is digested."""


def observe(active: Active, function: F, name: str | None, mutates: bool | None) -> F:
    """Wrap a tool function so that each execution is recorded. Results and exceptions pass unchanged.

    What can't be followed (a generator, an object that is no function) comes back as it is, with one line in the log.
    """
    if isinstance(function, staticmethod | classmethod):
        inner = observe(active, function.__func__, name, mutates)
        return type(function)(inner)
    if (reason := _refused(function)) is not None:
        log.warning("trimtab.tool can't follow %s: %s", _name(function), reason)
        return function
    tool = Tool(active, function, name or _name(function), mutates)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            end = tool.begin(args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                end(None, error)
                raise
            end(result, None)
            return result

        return run_async  # type: ignore[return-value]

    @functools.wraps(function)
    def run_sync(*args: Any, **kwargs: Any) -> Any:
        end = tool.begin(args, kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            end(None, error)
            raise
        if inspect.iscoroutine(result):
            return _finish(result, end)
        tool.follow(result, end)
        return result

    return run_sync  # type: ignore[return-value]


End = Callable[[Any, BaseException | None], None]
"""Records an execution: result, exception."""


async def _finish(coroutine: Coroutine[Any, Any, Any], end: End) -> Any:
    """The coroutine that a plain function returned, with its end recorded: until then the tool has not run."""
    try:
        result = await coroutine
    except BaseException as error:
        end(None, error)
        raise
    end(result, None)
    return result


def _nothing(result: Any, error: BaseException | None) -> None:
    """What ends an execution that is not recorded."""


class Tool:
    """One decorated function."""

    def __init__(self, active: Active, function: Callable[..., Any], name: str, mutates: bool | None) -> None:
        self.active = active
        self.function = function
        self.name = name
        self.mutates = mutates
        self.signature = _signature(function)
        self._warned = False

    @guarded(default=_nothing)
    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> End:
        """Start an execution; the arguments are named now, for the tool may change them."""
        if self.active() is None:
            return _nothing
        return Execution(self, _args_digest(self.signature, args, kwargs)).end

    @guarded()
    def follow(self, result: Any, end: End) -> None:
        """End an execution with what a plain function returned; a future ends it when it is done."""
        if getattr(result, "_asyncio_future_blocking", None) is not None:  # asyncio's own mark of a future
            result.add_done_callback(functools.partial(_done, end))
        elif not inspect.isawaitable(result):
            end(result, None)
        elif not self._warned:
            self._warned = True
            log.warning(
                "trimtab.tool can't follow %s: it returns an awaitable %s; make it `async def` and await it inside.",
                self.name,
                type(result).__name__,
            )


def _done(end: End, future: Any) -> None:
    if future.cancelled():
        end(None, _cancelled())
        return
    # Looked at without `exception()`, which would silence asyncio's warning about an error that nobody retrieved.
    error = getattr(future, "_exception", None)
    end(None if error is not None else future.result(), error)


def _cancelled() -> BaseException:
    from asyncio import CancelledError  # imported already, for there is a future

    return CancelledError()


class Execution:
    """One execution of a tool, from its construction to :meth:`end`."""

    def __init__(self, tool: Tool, args_digest: str | None) -> None:
        self._tool = tool
        self._id = new_id()
        self._args_digest = args_digest
        self._after_call_id = context.call_before()
        self._ts_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    @guarded()
    def end(self, result: Any, error: BaseException | None) -> None:
        """Record it."""
        duration = time.perf_counter_ns() - self._started
        tracer = self._tool.active()
        if tracer is None:
            return
        site = tracer.sites.of_function(_inner(self._tool.function))
        text = _text(result) if error is None else None
        says_why = error is not None and tracer.settings.content != "off"
        tracer.write(
            ToolRun(
                tool_run_id=self._id,
                run_id=tracer.run_id(),
                process_id=tracer.process.process_id,
                name=self._tool.name,
                ts_ns=self._ts_ns,
                duration_ns=duration,
                status="ok" if error is None else "error",
                args_digest=self._args_digest,
                result_digest=digest(text) if text is not None else None,
                result_chars=len(text) if text is not None else len(result) if isinstance(result, str) else 0,
                error_type=type_name(error) if error is not None else None,
                error_message=message_of(error) if error is not None and says_why else None,
                site_id=site.site_id if site is not None else None,
                mutates=self._tool.mutates,
                after_call_id=self._after_call_id,
            )
        )


def _refused(function: Any) -> str | None:
    """Why executions of ``function`` can't be seen, None where they can."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "it is a generator, whose body runs when others read it."
    if not inspect.isroutine(function) and not isinstance(function, functools.partial):
        return "it is no function; put the decorator on the function behind it."
    return None


def _inner(function: Any) -> Any:
    """The function inside ``functools.partial``."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _name(function: Any) -> str:
    """The name of a function; of an object its class's."""
    function = _inner(function)
    return str(getattr(function, "__name__", None) or type(function).__name__)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, or None where there is none to be read (some built-in functions)."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def _args_digest(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    named = _named(signature, args, kwargs)
    text = _text(named) if named is not None else None
    return digest(text) if text is not None else None


def _named(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
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


def _text(value: Any) -> str | None:
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
