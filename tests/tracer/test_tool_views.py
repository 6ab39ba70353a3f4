"""Views of one tool execution are one; executions that look alike are not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.tool_pairs import Executed
from trimtab_tracer.tool_views import View, executions, same


def view(key: str, start: int = 10, end: int = 20, **more: Any) -> View:
    """What somebody saw."""
    return View(**{"tool_run_id": key, "started_ns": start, "ended_ns": end} | NOTHING | more)


NOTHING: dict[str, Any] = {"args_digest": None, "provider_id": None, "span_scope": None}


@pytest.mark.parametrize(
    ("seen", "told", "is_one"),
    [
        ({"args_digest": "x"}, {"args_digest": "x"}, True),
        ({"args_digest": "x"}, {}, True),
        ({"args_digest": "x"}, {"args_digest": "y"}, False),
        ({}, {"start": 30, "end": 40}, False),
        ({"provider_id": "i", "args_digest": "x"}, {"provider_id": "i", "args_digest": "y", "start": 30}, True),
        ({"provider_id": "i"}, {"provider_id": "j"}, False),
        ({}, {"provider_id": "j"}, True),
    ],
)
def test_a_span_beside_what_was_seen(seen: dict[str, Any], told: dict[str, Any], is_one: bool) -> None:
    """The model's id decides; without it, time and arguments do."""
    found = same([view("span", span_scope="s", **told), view("seen", **seen)])
    assert ({"span": "seen"} if is_one else {}) == found


def test_one_observer_sees_an_execution_once() -> None:
    """Two that ran at once with the same arguments, each seen and told of, stay two."""
    twice = [view("a", 10), view("b", 11), view("c", 10, span_scope="s"), view("d", 11, span_scope="s")]
    assert {"c": "a", "d": "b"} == same(twice)
    assert {} == same(twice[2:])


def test_three_views_know_more_than_one() -> None:
    """The execution has the id of one view, the arguments of another, and the time of the one that stands for it."""
    views = [
        view("mcp", 12, 18, span_scope="mcp"),
        view("framework", 9, 21, span_scope="f", provider_id="i", args_digest="x"),
        view("decorator", 11, 19),
    ]
    found = same(views)
    assert {"mcp": "decorator", "framework": "decorator"} == found
    assert [Executed("decorator", 11, "x", "i")] == executions(views, found)


def test_the_outer_span_stands_where_nothing_was_seen() -> None:
    """Of spans alone the one around the others is the execution."""
    views = [view("inner", 12, 18, span_scope="mcp"), view("outer", 9, 21, span_scope="f")]
    assert {"inner": "outer"} == same(views)


@given(
    st.lists(
        st.tuples(
            *(st.integers(0, 9), st.integers(0, 9), st.sampled_from([None, "x", "y"])),
            *(st.sampled_from([None, "i"]), st.sampled_from([None, "s", "m"])),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_does_not_matter(drawn: list[Any], chance: random.Random) -> None:
    """Who stands for whom depends on the set; each execution has one that stands, and at most one view per observer."""
    views = [View(str(n), start, start + length, *rest) for n, (start, length, *rest) in enumerate(drawn)]
    found = same(views)
    assert found == same(chance.sample(views, len(views)))
    assert not set(found) & set(found.values())
    assert len(executions(views, found)) == len(views) - len(found)
    by_key = {v.tool_run_id: v for v in views}
    for stand in set(found.values()):
        scopes = [by_key[key].span_scope for key, other in found.items() if other == stand]
        assert None not in scopes
        assert len(scopes) == len(set(scopes))
