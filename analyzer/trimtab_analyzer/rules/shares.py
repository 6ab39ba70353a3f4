"""How often a rule hit, as a share with its interval: the numbers that the findings about calls carry.

In: a group. Out: the evidence's ``hit``, ``of``, ``share``, ``low`` and ``high``. Apart from the rules because those
about requests and those about answers count the same thing and must go on doing so.
"""

from __future__ import annotations

from typing import Any

from ..case import Group
from ..statistics import wilson


def share(group: Group) -> dict[str, Any]:
    """How many calls were hit, of how many."""
    return wilson(group.n_hit, group.n_exposed).numbers(group.n_hit, group.n_exposed)
