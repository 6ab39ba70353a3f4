"""Decisions in force on a call that its request body does not show: timeout, retries, and what a policy set.

An SDK's hook (:mod:`.instrument.stainless`) fills a :class:`Hint` per request; here it becomes decisions, each pinned
to the line that chose. What the body shows (model, temperature, …) becomes decisions in :mod:`.exchange`. Both happen
in the writer thread. What a policy ordered for the call (:class:`Order`) takes the place of what the code chose.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from .caps import Guardrails
from .holders import Held
from .records import Choice, Site
from .shapes import value_class


class Pin(NamedTuple):
    """The line a knob's value is pinned to."""

    site: Site
    source: str
    """``code`` or ``default``."""
    role: str
    """``call`` or ``constructor``."""


@value_class
class Setting:
    """One setting of an SDK client in force for one request."""

    value: Any
    by_call: bool
    """Given with the call, rather than held by the client."""
    is_default: bool
    """Equal to what the SDK does when nobody says anything."""
    built_at: Site | None
    """Where the client was built, if it was seen."""

    def pin(self, call_site: Site) -> Pin:
        """Where this value was chosen, for a call made at ``call_site``."""
        source = "default" if self.is_default and not self.by_call else "code"
        if not self.by_call and source == "code" and self.built_at is not None:
            return Pin(self.built_at, source, "constructor")
        return Pin(call_site, source, "call")


@value_class
class Order:
    """What a policy sets one knob of one call to."""

    knob: str
    value: Any
    """As it is in force, cut down to the caps; None where the incumbent was drawn."""
    is_incumbent: bool
    propensity: float
    source: str
    """``human`` or ``experiment``."""
    policy_version: int | None
    rule_id: str | None
    pin: Pin
    """Where the knob was chosen."""
    values: tuple[Any, ...] = ()
    """All that the rule may give, cut down to the caps: a call that could not get each of them is in no experiment."""
    seen: dict[str, Any] | None = None
    """As in :class:`.records.Choice`."""
    verdict: str | None = None
    """As in :class:`.records.Choice`."""
    rules: tuple[str, ...] = ()
    """All rules that cover the call, whatever its run has come to: a conversation stays with the one it began with."""
    is_past: bool = False
    """The rule's ``when`` does not hold now: only for a conversation that began while it did."""


HELD = "held"
"""Source of a choice that tells a place and no value: the body has that."""

INCUMBENT = "incumbent"
"""What an experiment is said to have drawn where it left the value to the code."""

LOOP_KNOBS = frozenset({"max_retries", "backoff", "fallback", "retry_budget", "circuit_breaker"})
"""Knobs that need a retry loop of our own."""
LASTING_KNOBS = LOOP_KNOBS | {"hedge_delay_s"}
"""Knobs that may send something after the first request: whether they still hold is asked again then."""


@value_class
class Plan:
    """What a policy orders for one call, decided once when the call begins."""

    orders: tuple[Order, ...]
    caps: Guardrails
    """In force when it was decided."""

    @property
    def has_loop(self) -> bool:
        """Whether the call's retries are ours: drawing the incumbent does not make them ours."""
        return any(needs_loop(order.knob, order.value) for order in self.orders if not order.is_incumbent)

    def without_loop(self) -> Plan:
        """The plan as if there were no rule that needs a retry loop of ours."""
        kept = (o for o in self.orders if not any(needs_loop(o.knob, value) for value in (o.value, *o.values)))
        return replace(self, orders=tuple(kept))

    def order(self, knob: str) -> Order | None:
        """The order for ``knob``."""
        return next((order for order in self.orders if order.knob == knob), None)

    def values(self) -> dict[str, Any]:
        """What is set to another value than the code's, by knob."""
        return {order.knob: order.value for order in self.orders if not order.is_incumbent}

    def with_order(self, order: Order, instead: Order) -> Plan:
        """The plan with ``instead`` in the place of ``order``."""
        return replace(self, orders=tuple(instead if each is order else each for each in self.orders))

    def without(self, knobs: Collection[str]) -> Plan:
        """The plan as if there were no rule for ``knobs``."""
        return replace(self, orders=tuple(order for order in self.orders if order.knob not in knobs))


def needs_loop(knob: str, value: Any) -> bool:
    """Whether ``value`` of ``knob`` needs a retry loop of our own: a time for all requests of a call does, too."""
    return knob in LOOP_KNOBS or (knob == "timeout_s" and isinstance(value, dict) and "total" in value)


@value_class
class Hint:
    """What the SDK knows about one request."""

    max_retries: Setting
    timeout: Setting
    plan: Plan | None = None
    """What was decided when the SDK began the call, before its first request."""
    repeats_any_error: bool = False
    """The SDK takes every exception out of a request for a failed connection."""
    held: Held = ()
    """Knobs that the body shows and that an object of a framework holds, with the line that built it."""


def of_the_sdk(timeout_s: float | None, hint: Hint | None, call_site: Site) -> tuple[Choice, ...]:
    """The decisions ``timeout_s`` and ``max_retries`` of one call, and the places of what a framework's objects hold.

    Args:
        timeout_s: Read timeout on the request, in seconds; None for no limit.
        hint: What the SDK said about the request; without it retries are unknown (None, ``default``).
        call_site: The line of the call, which is blamed where no constructor was seen.
    """
    timeout_pin = hint.timeout.pin(call_site) if hint is not None else Pin(call_site, "code", "call")
    retries_pin = hint.max_retries.pin(call_site) if hint is not None else Pin(call_site, "default", "call")
    max_retries = hint.max_retries.value if hint is not None else None
    of_client = [
        choice(knob, value, pin.source, None if pin.site is call_site else pin.site.site_id, pin.role)
        for knob, value, pin in (("timeout_s", timeout_s, timeout_pin), ("max_retries", max_retries, retries_pin))
    ]
    held = hint.held if hint is not None else ()
    return (*of_client, *(choice(knob, None, HELD, site.site_id, "constructor") for knob, site in held))


def placed(known: tuple[Choice, ...], shown: tuple[Choice, ...]) -> tuple[Choice, ...]:
    """The choices of one call, those that its body shows at the line of the object that holds them.

    Args:
        known: What was known of the call without its body (:func:`of_the_sdk`).
        shown: What its body shows.
    """
    places = {of.knob: of for of in known if of.source == HELD}
    if not places:
        return known + shown
    at = ((of, places.get(of.knob) if of.source == "code" else None) for of in shown)
    moved = [
        of if place is None else choice(of.knob, of.value, of.source, place.site_id, place.site_role)
        for of, place in at
    ]
    return (*(of for of in known if of.source != HELD), *moved)


def choice(knob: str, value: Any, source: str, site_id: str | None = None, role: str = "call") -> Choice:
    """A choice; the same object as last time where its value can be looked up, so that it is written out once."""
    try:
        return _known_choice(knob, value, source, site_id, role)
    except TypeError:  # a list or an object
        return Choice(knob, value, source, site_id, role)


_known_choice = lru_cache(maxsize=2048, typed=True)(Choice)


def obeyed(choices: tuple[Choice, ...], orders: tuple[Order, ...]) -> tuple[Choice, ...]:
    """``choices`` with those of the code replaced by what was ordered; knobs that the code does not know are added.

    Where an experiment drew the incumbent, the code's own value stands, with the probability that it had.
    """
    if not orders:
        return choices
    waiting = {order.knob: order for order in orders}
    known = [(choice, waiting.pop(choice.knob, None)) for choice in choices]
    return (
        *(choice if order is None else _ordered(choice, order) for choice, order in known),
        *(_ordered(_unset(order), order) for order in waiting.values()),
    )


def _unset(order: Order) -> Choice:
    """The choice of a knob that the code knows nothing of."""
    return Choice(order.knob, None, "default", order.pin.site.site_id, order.pin.role)


def _ordered(choice: Choice, order: Order) -> Choice:
    return replace(
        choice,
        value=choice.value if order.is_incumbent else order.value,
        source=order.source,
        propensity=order.propensity,
        policy_version=order.policy_version,
        rule_id=order.rule_id,
        drawn=INCUMBENT if order.is_incumbent else None,
        seen=order.seen,
        verdict=order.verdict,
    )
