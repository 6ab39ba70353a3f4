"""What no policy can exceed, whatever it says: the caps of the agent's side.

In: constants, settings and a policy's guardrails. Out: the :class:`Guardrails` in force and values cut down to them.
Settings and guardrails only ever lower a cap, so the strictest of the three counts. A module of its own because the
settings, the document and the steering code must agree on these numbers; it imports nothing of ours. The agent has no
prices, so its unit of spend is the token; the cap in dollars is the sidecar's.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Self

from .shapes import value_class

MAX_RETRIES = 5
"""Retries of one call."""
MAX_DELAY_S = 60.0
"""A single pause before a retry, also one that the provider asks for."""
MAX_CALL_DELAY_S = 120.0
"""All pauses of one call together."""
MAX_IN_FLIGHT = 32
"""Calls of one process in our own retry loop at the same time."""
MAX_TOKENS_PER_HOUR = 20_000_000
"""Tokens, input and output, of all steered calls of one process within an hour."""


@value_class
class Guardrails:
    """Caps in force; those of the code where nothing lowers them."""

    max_retries: int = MAX_RETRIES
    max_delay_s: float = MAX_DELAY_S
    max_in_flight: int = MAX_IN_FLIGHT
    max_tokens_per_hour: int = MAX_TOKENS_PER_HOUR

    def lowered(self, other: Self) -> Self:
        """The stricter of both, cap by cap."""
        return type(self)(*(min(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def clamp(self, knob: str, value: Any) -> Any:
        """A value of ``knob`` that :func:`.policy.check_value` accepts, cut down to these caps.

        Retries and pauses have caps; any other knob's value comes back as it is.
        """
        if knob == "max_retries":
            if isinstance(value, dict):
                return {error_class: min(retries, self.max_retries) for error_class, retries in value.items()}
            return min(value, self.max_retries)
        if knob == "backoff":
            pauses = {name: min(value[name], self.max_delay_s) for name in ("initial_s", "max_s")}
            return {**value, **pauses}
        return value


HARD = Guardrails()
"""What nothing raises."""
