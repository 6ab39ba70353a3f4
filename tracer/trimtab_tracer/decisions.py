"""Decisions in force on a call that its request body does not show: timeout and retries.

What the body shows (model, temperature, …) becomes decisions in :mod:`.exchange`, off the caller's path.
"""

from __future__ import annotations

import time

from .instrument.stainless import Hint, Pin
from .records import Decision, Site


def of_the_sdk(
    call_id: str, run_id: str, timeout_s: float | None, hint: Hint | None, call_site: Site
) -> tuple[Decision, ...]:
    """The decisions ``timeout_s`` and ``max_retries`` of one call.

    Args:
        call_id: The call they hold for.
        run_id: Its run.
        timeout_s: Read timeout on the request, in seconds; None for no limit.
        hint: What the SDK said about the request; without it retries are unknown (None, ``default``).
        call_site: The line of the call, where no constructor was seen.
    """
    now = time.time_ns()
    timeout_pin = hint.timeout.pin(call_site) if hint is not None else Pin(call_site, "code", "call")
    retries_pin = hint.max_retries.pin(call_site) if hint is not None else Pin(call_site, "default", "call")
    max_retries = hint.max_retries.value if hint is not None else None
    return tuple(
        Decision(
            decision_id=f"{call_id}:{knob}",
            run_id=run_id,
            knob=knob,
            value=value,
            source=pin.source,
            site_id=pin.site.site_id,
            ts_ns=now,
            call_id=call_id,
            site_role=pin.role,
        )
        for knob, value, pin in (("timeout_s", timeout_s, timeout_pin), ("max_retries", max_retries, retries_pin))
    )
