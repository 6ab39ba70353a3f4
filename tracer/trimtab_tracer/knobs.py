"""``trimtab.knob()``: a value of the user's harness, declared so that it is seen, and one day turned.

For now it returns the default, always; the decision is recorded with the line it was read on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

from .digests import canonical
from .guard import guarded
from .tracer import Tracer

log = logging.getLogger("trimtab")

T = TypeVar("T")


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
    if choices is not None and value not in choices:
        log.warning("knob %r: its default %r is none of its choices %r; it counts as one.", name, value, list(choices))
    plain = value if isinstance(value, str | int | float | bool) or value is None else canonical(value)
    tracer.decide(name, plain, tracer.sites.here(frame), source="default", run_id=tracer.run_id())
