"""A framework's own limits as knobs: how often an agent may turn before the framework stops it.

In: the value in force where a framework starts to work, and who gave it. Out: one decision per run, value and line.
A knob is called as the framework calls its parameter, for that is the word in the user's code; docs/frameworks.md has
them all. No policy turns any of them.

A value that was given with the call is pinned to its line, one that the object holds to the line that built the
object; an object built before tracing began is pinned to the line that uses it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from ...executions import Active
from ...guard import guarded
from ...records import Site
from ...tracer import Standing
from ..patches import Patches


class Built(NamedTuple):
    """How an object was built."""

    site: Site
    given: frozenset[str]
    """Names of the arguments that whoever built it gave."""


_built: dict[int, tuple[weakref.ref[Any], Built]] = {}
"""By identity: pydantic's models compare by value and have no hash."""


def built(owner: object) -> Built | None:
    """How ``owner`` was built, if that was seen."""
    reference, known = _built.get(id(owner), (None, None))
    return known if reference is not None and reference() is owner else None


def note_building(patches: Patches, cls: Any, active: Active) -> None:
    """Note the line that builds each object of ``cls``, and which arguments it gives."""

    @guarded()
    def note(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any], signature: inspect.Signature) -> None:
        tracer = active()
        site = tracer.sites.user_site(sys._getframe(1)) if tracer is not None else None
        if site is None:
            return
        given = signature.bind_partial(self, *args, **kwargs).arguments.keys() | kwargs.keys()
        key = id(self)
        _built[key] = weakref.ref(self, lambda _: _built.pop(key, None)), Built(site, frozenset(given))

    def make(original: Any) -> Any:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - takes the place of one
            original(self, *args, **kwargs)
            note(self, args, kwargs, signature)

        return __init__

    patches.replace(cls, "__init__", make)


def before(patches: Patches, owner: Any, name: str, note: Callable[..., None]) -> None:
    """Call ``note`` with the arguments of every call of ``owner.name``, before it. What it raises counts against us."""
    noted = guarded()(note)

    def make(original: Any) -> Any:
        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                noted(*args, **kwargs)
                return await original(*args, **kwargs)

            return run_async

        @functools.wraps(original)
        def run(*args: Any, **kwargs: Any) -> Any:
            noted(*args, **kwargs)
            return original(*args, **kwargs)

        return run

    patches.replace(owner, name, make)


def in_force(active: Active, knob: str, value: Any, *, by_call: bool = False, default: Any = None) -> None:
    """Record the value of a limit that the call under way gives, or leaves to the framework's default.

    Args:
        active: Gives the tracer.
        knob: As the framework calls it.
        value: JSON value; None for no limit.
        by_call: Whether the call gives it.
        default: The framework's own value.
    """
    tracer = active()
    if tracer is not None:
        source = "code" if by_call and value != default else "default"
        tracer.decide_here(Standing(knob, value, tracer.sites.here(sys._getframe(1)), source))


def held(active: Active, owner: object, knob: str, value: Any, *, default: Any, argument: str | None = None) -> None:
    """Record the value of a limit that ``owner`` holds, at the line that built it.

    Args:
        active: Gives the tracer.
        owner: The agent, team or condition.
        knob: As the framework calls it.
        value: JSON value; None for no limit.
        default: The framework's own value.
        argument: Of the constructor, where it is called otherwise than the knob.
    """
    tracer = active()
    if tracer is None:
        return
    known = built(owner)
    is_given = known is not None and (argument or knob) in known.given
    site = known.site if known is not None else tracer.sites.here(sys._getframe(1))
    tracer.decide_here(Standing(knob, value, site, "code" if is_given or value != default else "default"))
