"""``trimtab.knob()``: a value of the user's harness, declared so that it is seen and may be turned.

In: name, default and choices as the code gives them. Out: the default, or that of the choices which a policy sets the
knob to. What is returned is always an object of the code's own: a policy only points at it. The decision is recorded
with the line it was read on, without secrets: of a knob called ``api_key`` it says that there is one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, TypeVar

from .decisions import INCUMBENT
from .digests import canonical
from .guard import guarded
from .records import Site
from .redact import redact_value
from .steering import Setting
from .tracer import Standing, Tracer
from .wire.values import loads

log = logging.getLogger("trimtab")

T = TypeVar("T")

MAX_WARNED = 1000
"""Lines remembered as warned about."""

MAX_CHOICES = 50
"""Choices that are recorded."""

MAX_KEPT = 1000
"""Lines whose choices are remembered in the form in which they are recorded."""

_kept: dict[tuple[str, str, int], tuple[Any, ...]] = {}
"""Per knob, line and number of choices: knobs are read in loops, and looking for secrets takes time."""

_warned: set[tuple[str, str]] = set()


def read(
    active: Callable[[], Tracer | None], name: str, default: T, choices: Sequence[T] | None, frame: FrameType
) -> T:
    """The knob's value, recorded once per run, line and value."""
    chosen: tuple[T] | None = _read(active, name, default, choices, frame)
    return default if chosen is None else chosen[0]


@guarded()
def _read(
    active: Callable[[], Tracer | None], name: str, default: T, choices: Sequence[T] | None, frame: FrameType
) -> tuple[T] | None:
    """The choice that a policy sets the knob to, in a tuple so that it may be None; None for the default."""
    tracer = active()
    if tracer is None:
        return None
    run_id, policy = tracer.present_run_id(), tracer.steering.policy()
    again = tracer.knob_reads.again(frame, name, run_id, policy, default, choices)
    if again is not None:
        return None if again.place is None or choices is None else (choices[again.place],)
    site = tracer.sites.here(frame)
    setting = None
    offered = () if choices is None else tuple(choices)
    if choices is not None:
        setting = tracer.steering.knob(name, site, run_id, tracer.progress(), policy)
    chosen = _chosen(setting, offered)
    if setting is not None and chosen is None and not setting.is_incumbent:
        setting = None  # what the policy asks for is none of the choices
    value = default if chosen is None else chosen[0]
    plain = _plain(name, value)
    if choices is not None and chosen is None and default not in offered:
        _warn(name, plain, len(offered), site.site_id)
    tracer.decide(_standing(name, plain, site, setting, offered))
    if tracer.sites.is_own(frame) and (policy is None or not policy.has_conditions((name,))):
        place = next((i for i, choice in enumerate(offered) if chosen is not None and choice is chosen[0]), None)
        tracer.knob_reads.note(frame, name, run_id, policy, default, choices, place)
    return chosen


def _standing(name: str, value: Any, site: Site, setting: Setting | None, choices: Sequence[object]) -> Standing:
    kept = _recorded(name, site, choices)
    if setting is None:
        return Standing(name, value, site, choices=kept)
    by = setting.source, setting.propensity, setting.policy_version
    drawn = INCUMBENT if setting.is_incumbent else None
    return Standing(name, value, site, *by, kept, setting.rule_id, setting.seen, drawn)


def _recorded(name: str, site: Site, choices: Sequence[object]) -> tuple[Any, ...]:
    """The choices as they are recorded; those that this line gave first, as long as it gives as many."""
    key = (name, site.site_id, len(choices))
    if key not in _kept:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        storable = [_storable(name, choice) for choice in choices[:MAX_CHOICES]]
        _kept[key] = tuple(kept[0] for kept in storable if kept is not None)
    return _kept[key]


def _chosen(setting: Setting | None, choices: Sequence[T]) -> tuple[T] | None:
    if setting is None or setting.is_incumbent:
        return None
    return next(((choice,) for choice in choices if is_same(choice, setting.value)), None)


def is_same(choice: object, value: object) -> bool:
    """Whether a choice of the code is the JSON ``value``: the same in kind, too, so that 1 is not true."""
    if isinstance(choice, bool) or isinstance(value, bool) or choice is None or value is None:
        return choice is value
    if isinstance(choice, int | float) and isinstance(value, int | float):
        return choice == value
    if isinstance(choice, str) and isinstance(value, str):
        return choice == value
    if isinstance(choice, list | tuple) and isinstance(value, list):
        return len(choice) == len(value) and all(map(is_same, choice, value))
    if isinstance(choice, dict) and isinstance(value, dict):
        return choice.keys() == value.keys() and all(is_same(choice[key], value[key]) for key in value)
    return False


def _plain(name: str, value: object) -> Any:
    """A value as it is recorded: JSON's own as they are, all else as text; without secrets."""
    plain = value if isinstance(value, str | int | float | bool) or value is None else canonical(value)
    return redact_value(name, plain)


def _storable(name: str, choice: object) -> tuple[Any] | None:
    """A choice as the JSON value that a policy could name it by; None where it is none, or holds a secret."""
    value = loads(canonical(choice))
    if not is_same(choice, value) or redact_value(name, canonical(value)) != canonical(value):
        return None
    return (value,)


def _warn(name: str, value: object, n_choices: int, site_id: str) -> None:
    """Say once per line that the default is no choice: knobs are read in loops."""
    if (name, site_id) in _warned:
        return
    if len(_warned) >= MAX_WARNED:
        _warned.clear()
    _warned.add((name, site_id))
    log.warning("knob %r: its default %r is none of its %d choices; it counts as one.", name, value, n_choices)
