"""Amounts and facts in words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.report import words
from trimtab_analyzer.report.model import Place


def _number(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))


@pytest.mark.parametrize(
    ("musd", "text"), [(0, "$0"), (5_805_446, "$5.81"), (100_000, "$0.10"), (15_600, "$0.0156"), (42, "$0.000042")]
)
def test_small_amounts_keep_their_digits(musd: int, text: str) -> None:
    """An amount that is there is never shown as nothing."""
    assert words.usd(musd) == text


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=12))
def test_printed_parts_add_up_to_the_printed_total(parts: list[int]) -> None:
    """Whatever the parts, a column of them sums to the total below it, digit by digit; none is off by a whole unit."""
    shown = words.usd_parts(parts, sum(parts))
    (total,) = words.usd_parts([sum(parts)], sum(parts))
    values = [Decimal(0) if "under" in text else _number(text) for text in shown]
    unit = Decimal(1).scaleb(-len(total.partition(".")[2]))
    assert sum(values) == _number(total)
    assert all(abs(value - Decimal(part) / 10**6) < unit for value, part in zip(values, parts, strict=True))
    hidden = [part > 0 and value == 0 for part, value in zip(parts, values, strict=True)]
    assert ["under" in text for text in shown] == hidden


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0 %"), (1, 10_000, "under 0.1 %"), (74, 1_000, "7.4 %"), (10, 10, "100 %"), (0, 0, "–")],
)
def test_shares_are_never_rounded_to_nothing(part: int, whole: int, text: str) -> None:
    """A share that is there is not shown as 0 %."""
    assert words.share(part, whole) == text


@pytest.mark.parametrize(
    ("knob", "value", "text"),
    [
        ("max_retries", 0, "max_retries = 0"),
        ("max_tokens", None, "max_tokens not set"),
        ("model", "gpt-5", "model = gpt-5"),
        ("stop", ["a"], 'stop = ["a"]'),
        ("prompt", "x" * 60, f"prompt = {'x' * 39}…"),
        ("tools", "0123456789abcdef", "tools 01234567"),
    ],
)
def test_settings_read_as_code(knob: str, value: object, text: str) -> None:
    """A value is shown as it was set; unset is said; a digest is shortened to a name."""
    assert words.setting(knob, value) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [(None, "–"), (230_400_000, "230 ms"), (999_700_000, "1 s"), (1_440_000_000, "1.44 s"), (125 * 10**9, "2 min 5 s")],
)
def test_durations_read_alike_in_findings_and_report(ns: int | None, text: str) -> None:
    """Milliseconds below a second, minutes from two of them on."""
    assert words.duration(ns) == text


def test_places_without_a_line_show_none() -> None:
    """An imported run's place is the harness and its type, without a made-up line."""
    assert (
        words.where(Place("mini-swe-agent 1.15", "DefaultAgent", 0, "", "library"))
        == "mini-swe-agent 1.15, DefaultAgent"
    )
    assert words.where(Place("agent.py", "<module>", 9, "x", "user")) == "agent.py:9"
    assert words.where(None) == "place not known"


def test_periods_name_the_day_once() -> None:
    """Within a day the second time stands without its date."""
    day = 1_795_168_800 * 10**9
    assert words.period(day, day + 600 * 10**9) == "2026-11-20 10:00 to 10:10 UTC"
    assert words.period(day, day + 86_400 * 10**9) == "2026-11-20 10:00 to 2026-11-21 10:00 UTC"
    assert words.period(None, None) == "no time recorded"
