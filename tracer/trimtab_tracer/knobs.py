"""``trimtab.knob()``: a value of the user's harness, declared so that it is seen, and one day turned.

For now it returns the default, always; the decision is recorded with the line it was read on, without secrets: of a
knob called ``api_key`` it says that there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

from .digests import canonical
from .guard import guarded
from .redact import redact_value
from .tracer import Tracer

log = logging.getLogger("trimtab")

T = TypeVar("T")

MAX_WARNED = 1000
"""Lines remembered as warned about."""

_warned: set[tuple[str, str]] = set()


def read(
    active: Callable[[], Tracer | None], name: str, default: T, choices: Sequence[T] | None, frame: FrameType
) -> T:
    """The knob's value, recorded once per run, line and value."""
    _record(active, name, default, choices, frame)
    return default


@guarded()
def _record(
    active: Callable[[], Tracer | None], name: str, value: object, choices: Sequence[object] | None, frame: FrameType
) -> None:
    tracer = active()
    if tracer is None:
        return
    site = tracer.sites.here(frame)
    plain = value if isinstance(value, str | int | float | bool) or value is None else canonical(value)
    plain = redact_value(name, plain)
    if choices is not None and value not in choices:
        _warn(name, plain, len(choices), site.site_id)
    tracer.decide(name, plain, site, source="default")


def _warn(name: str, value: object, n_choices: int, site_id: str) -> None:
    """Say once per line that the default is no choice: knobs are read in loops."""
    if (name, site_id) in _warned:
        return
    if len(_warned) >= MAX_WARNED:
        _warned.clear()
    _warned.add((name, site_id))
    log.warning("knob %r: its default %r is none of its %d choices; it counts as one.", name, value, n_choices)
