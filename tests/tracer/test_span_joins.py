"""The rules by which a span finds what stands inside it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.span_joins import LEAD_NS, SLACK_NS, Inside, Sent, Told, Views

SECOND = 10**9
SMALL = st.sampled_from([None, "x", "y"])
TIMES = st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda t: (t[0] * SECOND, (t[0] + t[1]) * SECOND))
TOKENS = st.sampled_from([None, 5])


def sent(key: str = "a", start: float = 1, end: float = 2, **more: Any) -> Sent:
    """An attempt of call ``c``."""
    return Sent(**{"attempt_id": key, "call_id": f"c{key}", "process_id": "p"} | _times(start, end) | more)


def told(key: str = "s", start: float = 0.9, end: float = 2.1, **more: Any) -> Told:
    """A span of the same process."""
    ids = {"span_key": key, "trace_id": "t", "span_id": key, "parent_span_id": None, "process_id": "p"}
    return Told(**ids | _times(start, end) | more)


def _times(start: float, end: float) -> dict[str, Any]:
    return {"started_ns": int(start * SECOND), "ended_ns": int(end * SECOND)}


@pytest.mark.parametrize(
    ("attempt", "span", "rule"),
    [
        ({"response_id": "r", "trace_id": "t", "span_id": "s"}, {"response_id": "r"}, "response id"),
        ({"request_id": "q"}, {"request_id": "q", "response_id": "other"}, "request id"),
        ({"trace_id": "t", "span_id": "s", "input_tokens": 5}, {}, "parentage"),
        ({"trace_id": "u", "span_id": "s", "input_tokens": 5}, {}, None),
        ({"input_tokens": 5}, {"input_tokens": 5}, "containment"),
        ({"input_tokens": 5}, {"input_tokens": 6}, None),
        ({"response_id": "r"}, {"response_id": "other"}, None),
    ],
)
def test_rules_in_their_order(attempt: dict[str, Any], span: dict[str, Any], rule: str | None) -> None:
    """The surest rule that fits is the one that is named."""
    found = Views([sent(**attempt)], [told(**span)]).inside(told(**span))
    assert (Inside("a", rule, "ca") if rule else None) == found


@pytest.mark.parametrize(("offset_ns", "joins"), [(SLACK_NS, True), (SLACK_NS + 1, False)])
def test_ids_are_bound_by_time(offset_ns: int, joins: bool) -> None:
    """What began just after the slack behind the span's end is another moment."""
    span = told(response_id="r")
    late = sent(response_id="r")._replace(started_ns=span.ended_ns + offset_ns, ended_ns=span.ended_ns + offset_ns)
    assert joins is (Views([late], [span]).inside(span) is not None)


@pytest.mark.parametrize(("lead_ns", "joins"), [(LEAD_NS, True), (LEAD_NS + 1, False)])
def test_an_attempt_may_begin_just_before_its_span(lead_ns: int, joins: bool) -> None:
    """Some instrumentors make their span when the request is out."""
    span = told()
    early = sent()._replace(started_ns=span.started_ns - lead_ns)
    assert joins is (Views([early], [span]).inside(span) is not None)


@pytest.mark.parametrize(
    ("tokens", "start", "end", "joins"),
    [
        (5, 1.5, 2.5, True),  # it ends a little later, as a stream does
        (None, 1.5, 2.5, False),  # without tokens this may be a call beside it
        (None, 1.2, 2.0, True),
        (None, 2.1, 3.1, False),
        (5, 2.1, 3.1, False),  # begun when the other had ended
    ],
)
def test_calls_beside_each_other_are_two(tokens: int | None, start: float, end: float, joins: bool) -> None:
    """A span is inside another by time alone only where it wholly is, and never where it begins at the other's end."""
    outer, inner = told(input_tokens=tokens), told("t", start, end, input_tokens=tokens)
    assert joins is (Views([], [outer, inner]).inside(outer) is not None)


SPANS = st.builds(
    lambda times, **more: told()._replace(started_ns=times[0], ended_ns=times[1], **more),
    TIMES,
    parent_span_id=st.sampled_from([None, *"0123456"]),
    response_id=SMALL,
    request_id=SMALL,
    input_tokens=TOKENS,
)
ATTEMPTS = st.builds(
    lambda times, **more: sent()._replace(started_ns=times[0], ended_ns=times[1], **more),
    TIMES,
    trace_id=st.just("t"),
    span_id=st.sampled_from([None, *"0123456"]),
    response_id=SMALL,
    request_id=SMALL,
    input_tokens=TOKENS,
    is_estimated=st.booleans(),
)


@given(st.lists(SPANS, max_size=7), st.lists(ATTEMPTS, max_size=4), st.randoms(use_true_random=False))
def test_following_ends_whatever_the_order(spans: list[Told], attempts: list[Sent], chance: random.Random) -> None:
    """From each span the pointers lead to an attempt or a span alone in fewer steps than there are spans, and are
    the same for every order of what is known."""
    spans = [span._replace(span_key=str(n), span_id=str(n)) for n, span in enumerate(spans)]
    attempts = [attempt._replace(attempt_id=f"a{n}", call_id=f"c{n}") for n, attempt in enumerate(attempts)]
    views = Views(attempts, spans)
    found = {span.span_key: views.inside(span) for span in spans}
    for key in found:
        at, steps = found[key], 0
        while at is not None and at.call_id is None:
            at, steps = found[at.key], steps + 1
        assert steps < len(spans)
    shuffled = Views(chance.sample(attempts, len(attempts)), chance.sample(spans, len(spans)))
    assert found == {span.span_key: shuffled.inside(span) for span in spans}
