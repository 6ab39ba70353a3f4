"""What the scripted provider does to a request, by name: tables that the cases draw from.

A fault is a name such as ``429 once`` and the provider's own table for it (docs/provider.md); an answer is what comes
where nothing goes wrong. Pauses that the provider asks for are a thousandth of a second, so that SDKs retry at once.
"""

from __future__ import annotations

from typing import Any

STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529)
SOON = {"retry_after_ms": 1}
ONCE = {"times": 1}
TIMEOUT_S = 0.15
"""Read timeout where the provider is too slow; nothing else has a timeout that could be met."""
FAR_AWAY_S = 30.0
"""Longer than any timeout here; a client that hangs up ends it at once."""

FAULTS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    **{f"{status} once": [{"status": status, **SOON, **ONCE}] for status in STATUSES},
    **{f"{status} always": [{"status": status, **SOON}] for status in STATUSES},
    "429 without a hint": [{"status": 429, **ONCE}],
    "429 in seconds": [{"status": 429, "retry_after_s": 0.01, **ONCE}],
    "429 in an hour": [{"status": 429, "retry_after_s": 3600, "should_retry": False}],
    "400 to be retried": [{"status": 400, "should_retry": True, **SOON, **ONCE}],
    "503 not to be retried": [{"status": 503, "should_retry": False}],
    "quota": [{"status": 429, "type": "insufficient_quota", "code": "insufficient_quota", **SOON}],
    "context": [{"status": 400, "code": "context_length_exceeded", "message": "too many tokens: é世"}],
    "429 then 500": [{"status": 429, **SOON, **ONCE}, {"status": 500, **SOON, **ONCE}],
    "drop once": [{"kind": "drop", **ONCE}],
    "drop always": [{"kind": "drop"}],
    "drop then 529": [{"kind": "drop", **ONCE}, {"status": 529, **SOON, **ONCE}],
    "cut at the start": [{"kind": "drop_mid_stream", "after_chunks": 0}],
    "cut later": [{"kind": "drop_mid_stream", "after_chunks": 3}],
    "cut once": [{"kind": "drop_mid_stream", "after_chunks": 2, **ONCE}],
    "error event at once": [{"kind": "stream_error", "after_chunks": 0, **SOON}],
    "error event later": [{"kind": "stream_error", "after_chunks": 3, "status": 529, **SOON}],
    "slow": [{"kind": "delay", "delay_s": FAR_AWAY_S}],
    "malformed arguments": [{"kind": "malformed_arguments"}],
    "truncate": [{"kind": "truncate"}],
    "empty": [{"kind": "empty"}],
    "content filter": [{"kind": "content_filter"}],
}  # fmt: skip
"""Faults of one rule, by the name of what happens. ``stall`` is no fault to the provider: see :func:`rule`."""

NAMES = (*FAULTS, "stall")

ANSWERS: dict[str, dict[str, Any]] = {
    "text": {"text": "All is well, ça va, 世界 🌍."},
    "long": {"words": 60},
    "thrifty": {"text": "Few words.", "usage": False},
    "counted": {
        "text": "Counted.",
        "response_model": "gpt-else",
        "usage": {"input_tokens": 90, "cached_tokens": 40, "output_tokens": 30, "reasoning_tokens": 8},
    },
    "tool": {"tool_calls": [{"name": "look_up", "arguments": {"key": "ä", "depth": [1, 2.5, None]}}]},
    "two tools": {
        "text": "Both.",
        "tool_calls": [{"name": "look_up", "arguments": {"key": "a"}}, {"name": "look_up", "arguments": {"key": "b"}}],
    },
}
"""What is answered, by name."""

ENDLESS = {"words": 400, "chunk_delay_s": 0.02}
"""For streams that are left: still being sent whenever that is."""


def rule(fault: str, answer: str, is_left: bool) -> dict[str, Any]:
    """The provider's rule for one fault and one answer; ``is_left`` for a stream that nobody reads to its end."""
    said = ENDLESS if is_left else ANSWERS[answer]
    if fault == "stall":
        return {**said, "chunk_delay_s": FAR_AWAY_S}
    return {**said, "faults": FAULTS[fault]} if FAULTS[fault] else dict(said)
