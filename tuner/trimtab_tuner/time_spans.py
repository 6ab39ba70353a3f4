"""Points in time as people type them: ``7d``, ``36h``, ``2026-11-01``, ``2026-11-01T14:30``.

In: a text and the time now. Out: nanoseconds since the epoch. Times without an offset are UTC, as all that we show.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime
from typing import Final

UNITS_NS: Final = {"m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 7 * 86_400 * 10**9}
_SPAN = re.compile(r"(\d{1,6})([mhdw])")


def point(text: str, now_ns: int) -> int:
    """The time that ``text`` means.

    Raises:
        ArgumentTypeError: it is none, or one that has not come yet.
    """
    if (span := _SPAN.fullmatch(text.strip())) is not None:
        return max(0, now_ns - int(span[1]) * UNITS_NS[span[2]])
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None:
        raise ArgumentTypeError(f"expected a span such as 7d or 36h, or a date such as 2026-11-01, got {text!r}")
    found_ns = round((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1e9)
    if not 0 <= found_ns <= now_ns:
        raise ArgumentTypeError(f"{text!r} has not come yet, or lies before 1970")
    return found_ns
