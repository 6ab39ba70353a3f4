"""Who decides, and from where.

In: a name and a way in. Out: an :class:`Actor` that audit and conflicts can quote. Apart from the rest because the
API, the command line and the sidecar's own loops all make one. A name that can't be shown is refused.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .errors import Refused

MAX_NAME_CHARS = 80
"""Length of a name."""
VIAS: Final = ("api", "cli", "dashboard", "demo", "sidecar")
"""Ways in."""


class Actor(NamedTuple):
    """Who decides."""

    name: str
    via: str
    """One of :data:`VIAS`."""

    def check(self) -> None:
        """Refuse a name or a way that can't stand in the audit.

        Raises:
            Refused: names what was seen and what is expected.
        """
        if not 1 <= len(self.name) <= MAX_NAME_CHARS or not self.name.isprintable() or self.name.isspace():
            raise Refused.unusable("the actor's name", self.name, f"1 to {MAX_NAME_CHARS} printable characters")
        if self.via not in VIAS:
            raise Refused.unusable("the actor's way in", self.via, f"one of {', '.join(VIAS)}")


SIDECAR: Final = Actor("sidecar", "sidecar")
"""The sidecar itself: what it does without being asked."""
