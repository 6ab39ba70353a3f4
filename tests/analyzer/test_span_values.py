"""Values inside spans as their exporters write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.importers.span_values import attributes_of, duration_ns, hex_id, moment_ns, opened

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "intValue", "a"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("written", "flat"),
    [
        ({"llm": {"model_name": "m", "tags": ["a"]}}, {"llm.model_name": "m", "llm.tags": ["a"]}),
        (
            {"llm.messages": [{"role": "user"}, {"role": "tool"}]},
            {"llm.messages.0.role": "user", "llm.messages.1.role": "tool"},
        ),
        ([{"key": "n", "value": {"intValue": "-7"}}, {"key": "t", "value": {"boolValue": True}}], {"n": -7, "t": True}),
        ([{"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "a"}]}}}], {"l": ["a"]}),
        ('{"a": {"b": 1}}', {"a.b": 1}),
        (7, {}),
    ],
)
def test_attributes_are_flat(written: Any, flat: dict[str, Any]) -> None:
    """Nested objects, OTLP's pairs and JSON in a text are the same flat mapping."""
    assert flat == attributes_of(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("PT1.5S", 1.5), ("PT2M3S", 123), ("P1DT1H", 90_000), (0.25, 0.25), ("soon", None), (True, None)],
)
def test_durations(written: Any, seconds: float | None) -> None:
    """ISO 8601 durations and seconds are nanoseconds; anything else is none."""
    assert duration_ns(written) == (None if seconds is None else int(seconds * 1e9))


def test_points_in_time_and_ids() -> None:
    """A pair, a number in a text and an ISO text are the same moment; ids lose prefix and dashes, names stay."""
    assert {1_790_000_000_000_000_000} == {
        moment_ns(value) for value in ([1_790_000_000, 0], "1790000000000000000", "2026-09-21T14:13:20Z")
    }
    assert "0af7651916cd43dd8448eb211c80319c" == hex_id("0x0AF76519-16cd-43dd-8448-eb211c80319c")
    assert "my-trace" == hex_id("my-trace")


@given(JSON)
def test_anything_can_be_read(value: Any) -> None:
    """Values of any kind read as absent or as what they are, and never raise."""
    assert isinstance(attributes_of(value), dict)
    assert isinstance(moment_ns(value), int | None)
    assert isinstance(duration_ns(value), int | None)
    opened(value)


@pytest.mark.parametrize("text", ["²", "--5", "1" * 40, "-", ""])
def test_what_only_looks_like_a_number_is_none(text: str) -> None:
    """Digits of other scripts, two signs and endless numbers are no points in time and no integers."""
    assert moment_ns(text) is None
    assert attributes_of([{"key": "n", "value": {"intValue": text}}]) == {"n": None}
