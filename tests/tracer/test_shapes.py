from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab_tracer.shapes import value_class


@value_class
class Ours:
    """One of ours."""

    name: str
    size: int = 0
    parts: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The same as the standard library makes it."""

    name: str
    size: int = 0
    parts: tuple[str, ...] = field(default_factory=tuple)


Given = tuple[str, int, tuple[str, ...]]
FIELDS = st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.lists(st.sampled_from("xy"), max_size=2).map(tuple))


@given(FIELDS, FIELDS)
def test_values_are_equal_as_dataclasses_are(
    one: tuple[str, int, tuple[str, ...]], two: tuple[str, int, tuple[str, ...]]
) -> None:
    """Equality, hash and text are those of a frozen dataclass with the same fields."""
    assert (Theirs(*one) == Theirs(*two)) is (Ours(*one) == Ours(*two))
    assert (hash(Theirs(*one)) == hash(Theirs(*two))) is (hash(Ours(*one)) == hash(Ours(*two)))
    assert repr(Theirs(*one)).replace("Theirs", "Ours") == repr(Ours(*one))


def test_values_of_other_classes_differ() -> None:
    """A value equals no object of another class, and has no room for other attributes."""
    assert Ours("a") != Theirs("a")
    with pytest.raises(AttributeError):
        Ours("a").other = 1  # type: ignore[attr-defined]


def test_values_are_copied_replaced_and_pickled() -> None:
    """What works with dataclasses works with values."""
    value = Ours("a", 1, ("x",))
    assert Ours("b", 1, ("x",)) == replace(value, name="b")
    assert value == copy.deepcopy(value) == pickle.loads(pickle.dumps(value))
