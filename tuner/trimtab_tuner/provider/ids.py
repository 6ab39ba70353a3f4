"""Ids and draws that depend on the seed and a counter only.

In: the scenario's seed and the number of the request. Out: ids such as ``chatcmpl-scripted_000003_0_9f2c41``, and
numbers in [0, 1). Apart so that no wire format is tempted by ``uuid`` or ``random``: the same seed and the same
requests must give the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def digest(*parts: object) -> bytes:
    """SHA-256 over ``parts``, which are joined by a character that none of them holds in practice."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()


def draw(seed: int, *parts: object) -> float:
    """A number in [0, 1) that ``seed`` and ``parts`` fix."""
    return int.from_bytes(digest(seed, "draw", *parts)[:7], "big") / 2**56


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids for one request."""

    seed: int
    n: int

    def make(self, prefix: str, part: int = 0) -> str:
        """The id number ``part`` with this ``prefix``; at most 40 characters for the prefixes in use."""
        tail = digest(self.seed, self.n, prefix, part).hex()[:6]
        return f"{prefix}scripted_{self.n:06d}_{part}_{tail}"
