"""Decisions in force on a call that its request body does not show: timeout and retries.

An SDK's hook (:mod:`.instrument.stainless`) fills a :class:`Hint` per request; here it becomes decisions, each pinned
to the line that chose. What the body shows (model, temperature, …) becomes decisions in :mod:`.exchange`. Both happen
in the writer thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from .records import Choice, Site


class Pin(NamedTuple):
    """The line a knob's value is pinned to."""

    site: Site
    source: str
    """``code`` or ``default``."""
    role: str
    """``call`` or ``constructor``."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Hint:
    """What the SDK knows about one request."""

    max_retries: Setting
    timeout: Setting


def of_the_sdk(timeout_s: float | None, hint: Hint | None, call_site: Site) -> tuple[Choice, ...]:
    """The decisions ``timeout_s`` and ``max_retries`` of one call.

    Args:
        timeout_s: Read timeout on the request, in seconds; None for no limit.
        hint: What the SDK said about the request; without it retries are unknown (None, ``default``).
        call_site: The line of the call, which is blamed where no constructor was seen.
    """
    timeout_pin = hint.timeout.pin(call_site) if hint is not None else Pin(call_site, "code", "call")
    retries_pin = hint.max_retries.pin(call_site) if hint is not None else Pin(call_site, "default", "call")
    max_retries = hint.max_retries.value if hint is not None else None
    return tuple(
        Choice(knob, value, pin.source, None if pin.site is call_site else pin.site.site_id, pin.role)
        for knob, value, pin in (("timeout_s", timeout_s, timeout_pin), ("max_retries", max_retries, retries_pin))
    )
