"""Replaces attributes of other people's classes, and puts them back.

A patch that someone else has wrapped since can't be taken out without breaking theirs: it stays and, because every
hook asks for the active tracer first, does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..guard import guarded
from ..shapes import value_class

MARK = "__trimtab_original__"
"""Attribute of our replacements that holds what they replaced."""


@value_class
class Patch:
    """One replaced attribute."""

    owner: Any
    name: str
    replacement: Any
    original: Any
    was_own: bool
    """Whether ``owner`` held the attribute itself, rather than inheriting it."""

    def undo(self) -> None:
        """Put the original back where ours is still in place."""
        if vars(self.owner).get(self.name) is not self.replacement:
            return
        if self.was_own:
            setattr(self.owner, self.name, self.original)
        else:
            delattr(self.owner, self.name)


class Patches:
    """The patches in force, undone in reverse order."""

    def __init__(self) -> None:
        self._patches: list[Patch] = []

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Set ``owner.name`` to ``make(original)``; nothing happens where it is ours already or does not exist."""
        original = getattr(owner, name, None)
        if original is None or hasattr(original, MARK):
            return
        replacement = make(original)
        setattr(replacement, MARK, original)
        self._patches.append(Patch(owner, name, replacement, original, name in vars(owner)))
        setattr(owner, name, replacement)

    @guarded()
    def undo(self) -> None:
        """Restore everything; one patch that can't be undone keeps no other in place."""
        while self._patches:
            guarded()(self._patches.pop().undo)()
