"""Caps: settings and guardrails lower them, nothing raises them, and values are cut down to them."""

from __future__ import annotations

from dataclasses import astuple, fields

from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.caps import HARD, Guardrails
from trimtab_tracer.settings import Settings

RAILS = st.builds(Guardrails, st.integers(0, 100), st.floats(0, 1000), st.integers(0, 1000), st.integers(0, 10**9))


def test_settings_lower_the_caps() -> None:
    """Each of the four settings is one cap; the defaults are the hard ones."""
    assert HARD == Settings().caps
    lower = Settings(steer_max_retries=1, steer_max_delay_s=2.0, steer_max_in_flight=3, steer_max_tokens_per_hour=4)
    assert Guardrails(1, 2.0, 3, 4) == HARD.lowered(lower.caps)


@given(RAILS, RAILS)
def test_the_strictest_counts(a: Guardrails, b: Guardrails) -> None:
    """Whoever asks for more, cap by cap the smaller number is in force."""
    both = a.lowered(b)
    assert both == b.lowered(a)
    assert all(getattr(both, f.name) == min(getattr(a, f.name), getattr(b, f.name)) for f in fields(both))
    assert all(x <= y for x, y in zip(astuple(HARD.lowered(a)), astuple(HARD), strict=True))


def test_values_above_a_cap_are_cut_down_to_it() -> None:
    """Retries and pauses are; what has no cap stays as it is, and nothing is raised to a cap."""
    caps = Guardrails(max_retries=2, max_delay_s=5.0)
    assert (2, 1, 0) == tuple(caps.clamp("max_retries", n) for n in (10, 1, 0))
    assert {"rate_limit": 2, "other": 0} == caps.clamp("max_retries", {"rate_limit": 9, "other": 0})
    backoff = {"initial_s": 7, "factor": 3, "max_s": 60, "jitter": 0.5}
    assert {"initial_s": 5.0, "factor": 3, "max_s": 5.0, "jitter": 0.5} == caps.clamp("backoff", backoff)
    assert {"initial_s": 1, "factor": 3, "max_s": 4, "jitter": 0} == caps.clamp(
        "backoff", {"initial_s": 1, "factor": 3, "max_s": 4, "jitter": 0}
    )
    assert 900.0 == caps.clamp("timeout_s", 900.0)
