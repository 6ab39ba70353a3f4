"""Where a run's actions depart from the right ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_analyzer.divergence import Act, Difference, compare

BOOK = Act("book_berth", {"boat": 7, "nights": 2}, 1)
ACTS = st.lists(
    st.builds(
        Act,
        st.sampled_from(["book", "cancel", "get_boat"]),
        st.dictionaries(st.just("n"), st.integers(0, 2)),
        st.just(0),
    ),
    max_size=6,
)


def test_the_right_actions_in_any_order_do_not_differ() -> None:
    """Order and reading count for nothing; equal numbers are equal arguments."""
    gold = [Act("get_boat", {"id": 1}), BOOK, Act("cancel_berth", {"boat": 3}, 2)]
    done = [
        Act("cancel_berth", {"boat": 3}, 0),
        Act("find_berth", {}, 1),
        Act("book_berth", {"nights": 2, "boat": 7}, 2),
    ]
    assert () == compare(gold, done).differences


def test_each_way_to_differ_is_told() -> None:
    """Other arguments, a missing and an extra action are named with places and arguments, the earliest first."""
    gold = [BOOK, Act("cancel_berth", {"boat": 3}, 2)]
    done = [Act("pay", {"usd": 5}, 0), Act("book_berth", {"boat": 7, "nights": 3}, 4)]
    found = compare(gold, done)
    assert [
        Difference("extra", "pay", ("usd",), None, 0),
        Difference("wrong_args", "book_berth", ("nights",), 1, 4),
        Difference("missing", "cancel_berth", ("boat",), 2, None),
    ] == list(found.differences)
    assert found.differences[0] == found.first
    assert (True, False) == (found.has("missing"), compare([], []).has("missing"))


def test_the_same_change_again_is_a_repetition() -> None:
    """A change made twice is repeated, and extra once it was right; reading again is neither."""
    found = compare(
        [BOOK], [BOOK, Act("book_berth", {"boat": 7, "nights": 2}, 3), Act("get_boat", {}), Act("get_boat", {})]
    )
    assert ["book_berth"] == [act.name for act in found.repeated]
    assert ["extra"] == [difference.kind for difference in found.differences]


@pytest.mark.parametrize(
    ("name", "changes"),
    [("get_user", False), ("searchFlights", False), ("calculate", False), ("getaway_book", True), ("update_x", True)],
)
def test_reading_is_told_by_its_verb(name: str, changes: bool) -> None:
    """A name that begins with a verb of reading changes nothing; one that merely begins with its letters may."""
    assert changes == Act(name, {}).changes


@given(ACTS, ACTS)
def test_every_change_is_accounted_for(gold: list[Act], done: list[Act]) -> None:
    """Each right action is done, done otherwise or missing; each change made is right, otherwise or extra."""
    found = compare(gold, done)
    kinds = [difference.kind for difference in found.differences]
    right = sum(act.changes for act in gold) - kinds.count("missing") - kinds.count("wrong_args")
    assert right >= 0
    assert sum(act.changes for act in done) == right + kinds.count("wrong_args") + kinds.count("extra")
    assert () == compare(gold, gold).differences
