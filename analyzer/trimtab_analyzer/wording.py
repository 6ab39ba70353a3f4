"""How numbers and values read, in the sentences of a finding as in the report around them.

In: plain values. Out: short texts. The one home of what findings and reports both say, so that a sum, a time or a
setting never reads in two ways on one page.
"""

from __future__ import annotations

import json
import re
from typing import Any

_DIGEST = re.compile(r"[0-9a-f]{16}")


def count(n: int, singular: str, plural: str | None = None) -> str:
    """``1 call``, ``3 calls``, ``1,204 answers``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def of(n: int, total: int, noun: str) -> str:
    """``14 of 120 calls``."""
    return f"{n:,} of {count(total, noun)}"


def were(n: int) -> str:
    """The verb that goes with ``n``."""
    return "was" if n == 1 else "were"


def a(noun: str) -> str:
    """``a timeout``, ``an auth error``."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def seconds(value: float) -> str:
    """``168 ms``, ``1.9 s``, ``2 min 5 s``."""
    if value < 0.9995:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{int(value // 60):,} min {int(value % 60)} s"


def setting(knob: str, value: Any) -> str:
    """``max_retries = 0``, ``max_tokens not set``; long values (a list of stops) are cut, and a digest, which names a
    version and says nothing, is shortened."""
    if value is None:
        return f"{knob} not set"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{knob} {value[:8]}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{knob} = {text if len(text) <= 40 else text[:39] + '…'}"


def quoted(text: str | None, limit: int = 80) -> str:
    """The first line of a message in quotes, cut at ``limit`` characters; empty where there is none."""
    line = (text or "").strip().partition("\n")[0].strip()
    return f"“{line if len(line) <= limit else line[: limit - 1] + '…'}”" if line else ""
