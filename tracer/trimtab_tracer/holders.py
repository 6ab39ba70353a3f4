"""Lines at which a framework's object was built that holds what its calls send: an agent its model, a chat model its
temperature.

In: what an adapter knows of the object whose turn it is. Out: for the call that this turn makes, the line of each knob
that the object holds. A module of its own because who knows the object and who sees the request share nothing but the
context that both run in. What is told counts for calls from the same line of the user's alone: a tool that asks a model
by itself does so from a line of its own. Where nothing was told the line of the call counts, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from .records import Site

Held = tuple[tuple[str, Site], ...]
"""Names of knobs, each with the line of the object that holds its value."""

NOTHING: Final[Held] = ()

_held: ContextVar[tuple[str, Held]] = ContextVar("trimtab_held", default=("", NOTHING))


def hold(line: Site, held: Iterable[tuple[str, Site]]) -> None:
    """Say which knobs the next calls from ``line``, a line of the user's, take from objects built elsewhere."""
    _held.set((line.site_id, tuple(held)))


def held_at(line: Site) -> Held:
    """What was said last of calls from ``line``."""
    site_id, held = _held.get()
    return held if site_id == line.site_id else NOTHING
