"""trimtab watches the LLM agent you already run and says which line of it loses runs and money.

    import trimtab
    trimtab.instrument()

That line is all an agent needs. The other names are for those who want to say more: where one run begins and ends,
what came of it, which functions are tools, and which values may be turned.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from trimtab_tracer import __version__
from trimtab_tracer import knobs as _knobs
from trimtab_tracer import runs as _runs
from trimtab_tracer import tools as _tools
from trimtab_tracer.evaluators import TIMEOUT_S, Function
from trimtab_tracer.evaluators import evaluators as _evaluators
from trimtab_tracer.instrument.switch import switch as _switch
from trimtab_tracer.runs import Run

__all__ = [
    "Run",
    "__version__",
    "attach",
    "evaluator",
    "flush",
    "instrument",
    "knob",
    "outcome",
    "run",
    "tool",
    "uninstrument",
]

F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=Function)
T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


def instrument(**settings: Any) -> None:
    """Trace every LLM call, tool call and decision of this process from here on.

    Clients built before count too. Calling it again changes nothing. It never raises because of its surroundings:
    where it can't work it says so in one log line and the agent runs untraced.

    Args:
        **settings: ``home``, ``service``, ``content`` (``off | redacted | full``), ``harness`` and the other settings
            listed by ``trimtab config``. They win over ``TRIMTAB_*`` variables and ``trimtab.toml``.
    """
    _switch.on(**settings)


def uninstrument() -> None:
    """Stop to trace, restore everything that was patched, and write what is still queued."""
    _switch.off()


def attach(provider: Any = None) -> None:
    """Also read the spans that SDKs and frameworks make on an OpenTelemetry ``TracerProvider`` of yours.

    What is seen there and on the wire is one call; what is seen there only becomes a call too, and tools and agents
    get their true times. Nothing of the provider changes for you, and ``uninstrument()`` takes us out again. May stand
    before ``instrument()`` or after it.

    Args:
        provider: Anything with ``add_span_processor``. The global provider by default, also one that is set later.
    """
    _switch.attach(provider)


def flush(timeout_s: float = 2.0) -> None:
    """Wait until everything recorded so far is in the spool, at most ``timeout_s`` seconds. Exit does it by itself."""
    _switch.flush(timeout_s)


def run(
    name: str, *, task: str | None = None, harness: str | None = None, compensate: bool = False, **attributes: Any
) -> Run:
    """One execution of the agent on one task: ``with trimtab.run("triage", task=ticket_id) as run: ...``.

    Works with ``with``, ``async with`` and as a decorator. Where no run is declared, the process is the run.

    Args:
        name: What kind of work it is; runs of one name are compared with each other.
        task: Which task it is, so that repeats of one task can be told apart from other tasks.
        harness: Version of the code around the model, if it is not the process's.
        compensate: Whether a run that fails undoes what its tools did, by the compensations that they declare
            (:func:`tool`), the last completed first. It failed if an exception leaves it, or if ``outcome(False)`` was
            said by its end. This is part of your program and happens while tracing is off, too.
        **attributes: Anything else worth filtering by. Scalars stay as they are, other values become text.
    """
    return Run(_switch.active, name, task, harness, attributes, compensate)


def outcome(
    success: bool | None = None,
    *,
    score: float | None = None,
    run_id: str | None = None,
    comment: str | None = None,
) -> None:
    """Say what came of a run. What is said here is never overwritten by what is inferred.

    Args:
        success: Whether the task was done.
        score: A grade, higher is better, where yes or no is too coarse.
        run_id: Which run (``Run.run_id``); the one the caller is in by default.
        comment: Why, in a few words.
    """
    _runs.record_outcome(_switch.active(), run_id, success, score, comment)


@overload
def evaluator(function: E, /) -> E: ...
@overload
def evaluator(
    *, name: str | None = None, version: str | None = None, timeout_s: float = TIMEOUT_S
) -> Callable[[E], E]: ...
def evaluator(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Register a judge of runs, ``@trimtab.evaluator``: it is asked about each declared run that ends while traced.

    Called beside the agent, in a thread of its own in which nothing is traced, with an
    :class:`~trimtab_tracer.evaluators.EvaluatedRun`. What it says is recorded with its name and version: it counts
    where the agent says nothing by ``outcome()``. What it raises is logged, and reaches nobody.

    Args:
        function: Sync or async. Gives yes or no, a number as a score, a :class:`~trimtab_tracer.evaluators.Verdict`, or
            None for no opinion.
        name: What it is called; the function's name by default. Registering a name again replaces it.
        version: Of the judge, so that verdicts of different ones are told apart.
        timeout_s: How long it may take over one run; the end of the program waits as long for the last ones.
    """

    def register(judge: E) -> E:
        _evaluators.add(judge, name, version, timeout_s)
        return judge

    return register if function is None else register(function)


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str | None = None, mutates: bool | None = None) -> Callable[[F], F]: ...
@overload
def tool(
    *, name: str | None = None, mutates: bool | None = None, compensate: Callable[Concatenate[R, P], Any]
) -> _Undoable[P, R]: ...
def tool(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    mutates: bool | None = None,
    compensate: Callable[..., Any] | None = None,
) -> Any:
    """Decorate a tool, so that its own duration and error are recorded instead of inferred: ``@trimtab.tool``.

    Args:
        function: The tool, sync or async.
        name: As the model calls it; the function's name by default.
        mutates: Whether it changes the world outside, so that calling it twice matters.
        compensate: Undoes it, sync or async: called as ``compensate(result, *args, **kwargs)``, with what the tool gave
            and then exactly what it was called with, after a failed ``trimtab.run(..., compensate=True)``. Only for
            executions that completed.
    """
    if function is None:
        return lambda f: _tools.observe(_switch.active, f, name, mutates, compensate)
    return _tools.observe(_switch.active, function, name, mutates, compensate)


class _Undoable(Protocol[P, R]):
    """Decorates a tool whose compensation takes the tool's result, then the tool's own arguments."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


def knob(name: str, default: T, *, choices: Sequence[T] | None = None) -> T:
    """A value of your harness that may be turned: ``top_k = trimtab.knob("top_k", 5, choices=[3, 5, 10])``.

    Returns ``default``, or that of ``choices`` which a policy in force sets it to: always an object of your own. What
    it returns is recorded as the decision in force for the run, with the line it stands on.

    Args:
        name: What it is called, one name for one meaning.
        default: What your code would use; a JSON value.
        choices: The values that would be acceptable; ``default`` is always one. Without them nothing is ever turned.
    """
    return _knobs.read(_switch.active, name, default, choices, sys._getframe(1))
