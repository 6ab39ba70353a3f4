from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from trimtab_tracer import capture
from trimtab_tracer.records import Attempt
from trimtab_tuner.provider import Provider

CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Hello"}]}
HOUR_NS = 3600 * 10**9


@pytest.mark.parametrize("jump_ns", [-HOUR_NS, HOUR_NS, 0])
def test_a_clock_that_jumps_makes_no_odd_durations(
    recorded: Callable[[type], list[Any]],
    serve: Callable[[dict[str, Any]], Provider],
    monkeypatch: pytest.MonkeyPatch,
    jump_ns: int,
) -> None:
    """Durations are measured by a clock that can't jump; each attempt begins at what the wall clock said then."""
    provider = serve({"rules": [{"text": "Hi", "delay_s": 0.02}]})
    steps = itertools.count()
    monkeypatch.setattr(capture.time, "time_ns", lambda: 10**18 + next(steps) * jump_ns)
    with httpx.Client(trust_env=False) as client:
        for _ in range(3):
            client.post(f"{provider.url}/v1/chat/completions", json=CHAT)
    attempts = recorded(Attempt)
    assert 3 == len(attempts)
    assert all(20_000_000 <= attempt.duration_ns < HOUR_NS for attempt in attempts)
    assert all((attempt.ts_ns - 10**18) % (abs(jump_ns) or 1) == 0 for attempt in attempts)
