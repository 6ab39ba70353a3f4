"""Patches: what is replaced is put back, and nothing of anybody else's is lost."""

from __future__ import annotations

import functools
from typing import Any

from trimtab_tracer.instrument.patches import Patches


class Base:
    def send(self) -> str:
        return "base"


class Child(Base):
    pass


def shouting(original: Any) -> Any:
    @functools.wraps(original)
    def send(self: Any) -> str:
        return str(original(self)).upper()

    return send


def test_restores_own_attribute() -> None:
    """Undoing gives the class the very object it had."""
    before = vars(Base)["send"]
    patches = Patches()
    patches.replace(Base, "send", shouting)
    assert Base().send() == "BASE"
    patches.undo()
    assert vars(Base)["send"] is before


def test_restores_inherited_attribute_by_removing_it() -> None:
    """A class that inherited the attribute inherits it again."""
    patches = Patches()
    patches.replace(Child, "send", shouting)
    patches.undo()
    assert "send" not in vars(Child)


def test_patching_twice_is_once() -> None:
    """A second replacement of ours is refused."""
    patches = Patches()
    patches.replace(Base, "send", shouting)
    first = vars(Base)["send"]
    patches.replace(Base, "send", shouting)
    assert vars(Base)["send"] is first
    patches.undo()


def test_someone_elses_wrapper_stays() -> None:
    """What others wrapped around ours since is left in place."""
    original = vars(Base)["send"]
    patches = Patches()
    patches.replace(Base, "send", shouting)
    theirs = lambda self: "theirs"  # noqa: E731
    Base.send = theirs  # type: ignore[method-assign]
    patches.undo()
    assert vars(Base)["send"] is theirs
    Base.send = original  # type: ignore[method-assign]


def test_missing_attribute_is_left_missing() -> None:
    """A library without the attribute is not given one."""
    patches = Patches()
    patches.replace(Base, "nothing_like_it", shouting)
    assert not hasattr(Base, "nothing_like_it")
