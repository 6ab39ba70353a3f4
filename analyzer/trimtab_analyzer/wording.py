"""How numbers and values read in the sentences of a finding. Apart from the rules so that they all say it alike."""

from __future__ import annotations

import json


def count(n: int, noun: str) -> str:
    """``1 call``, ``3 calls``, ``684 answers``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def of(n: int, total: int, noun: str) -> str:
    """``14 of 120 calls``."""
    return f"{n:,} of {count(total, noun)}"


def were(n: int) -> str:
    """The verb that goes with ``n``."""
    return "was" if n == 1 else "were"


def seconds(value: float) -> str:
    """``0.25 s``, ``1.9 s``, ``75 s``."""
    return f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"


def setting(knob: str, value: str) -> str:
    """``max_retries is 0``, ``max_tokens is not set``; long values (a list of stops) are cut. ``value`` is JSON."""
    decoded = json.loads(value)
    if decoded is None:
        return f"{knob} is not set"
    text = decoded if isinstance(decoded, str) else value
    return f"{knob} is {text if len(text) <= 40 else text[:39] + '…'}"


def quoted(text: str | None, limit: int = 80) -> str:
    """The first line of a message in quotes, cut at ``limit`` characters; empty where there is none."""
    line = (text or "").strip().partition("\n")[0].strip()
    return f"“{line if len(line) <= limit else line[: limit - 1] + '…'}”" if line else ""
