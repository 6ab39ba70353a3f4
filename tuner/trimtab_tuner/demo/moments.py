"""The provider's bad moments: which requests of the demonstration it turns away, and which it lets hang.

In: the scenario as written by hand, and a seed. Out: the same scenario with faults before its rules: two requests meet
a rate limit, one hangs longer than the agent waits. Each fault strikes once, so the same request is answered when it
comes again, which is what retries are for. Drawn, not written, so that the second half of the demonstration was not
made easier than the first by hand.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

TURNS = {
    "A-1001": 3,
    "A-1002": 4,
    "A-1003": 3,
    "A-1004": 2,
    "Norway": 1,
    "A-1006": 5,
    "Ida Lund": 5,
    "A-1008": 3,
}
"""Requests that each ticket takes when all goes well, by the part of its text that the scenario knows it by."""
RATE_LIMITS = 2
RETRY_AFTER_S = 0.6
"""Pause that the provider asks for with its 429."""
HANGS_S = 6.0
"""How long a hanging request takes; the agent waits 2 s."""
LATE = "An answer that comes when nobody waits for it any more."


def with_moments(scenario: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """``scenario`` with the faults that ``seed`` draws, for different tickets each."""
    drawn = random.Random(seed)
    tickets = drawn.sample(sorted(TURNS), RATE_LIMITS + 1)
    limit = {
        "status": 429,
        "retry_after_s": RETRY_AFTER_S,
        "message": "Rate limit reached for gpt-5: limit 30000 tokens per minute.",
        "times": 1,
    }
    moments: list[dict[str, Any]] = [{"fault": limit}] * RATE_LIMITS + [{"text": LATE, "delay_s": HANGS_S, "times": 1}]
    rules = [
        {"contains": ticket, "step": drawn.randrange(TURNS[ticket]), **moment}
        for ticket, moment in zip(tickets, moments, strict=True)
    ]
    return {**scenario, "seed": seed, "rules": [*rules, *scenario["rules"]]}
