"""Points in time as people type them."""

from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from trimtab_tuner.time_spans import point

NOW = 1_795_000_000 * 10**9
HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("7d", NOW - 168 * HOUR),
        ("36h", NOW - 36 * HOUR),
        ("90m", NOW - 3 * HOUR // 2),
        ("2w", NOW - 336 * HOUR),
        ("999999w", 0),
        ("2026-11-01", 1_793_491_200 * 10**9),
        ("2026-11-01T14:30", (1_793_491_200 + 52_200) * 10**9),
        ("2026-11-01T14:30+02:00", (1_793_491_200 + 45_000) * 10**9),
    ],
)
def test_spans_and_dates(text: str, ns: int) -> None:
    """Spans end now; dates are UTC unless they say otherwise."""
    assert point(text, NOW) == ns


@pytest.mark.parametrize("text", ["", "7", "d7", "7 days", "2026-13-01", "2027-01-01", "1960-01-01", "yesterday"])
def test_what_is_no_time_is_named(text: str) -> None:
    """Also times to come, and those before 1970."""
    with pytest.raises(ArgumentTypeError):
        point(text, NOW)
