"""Embedding vectors that a text and a seed fix.

In: a seed, a text, a length. Out: a vector of length one. Equal texts get equal vectors and that is all they mean.
"""

from __future__ import annotations

import math

from .ids import digest


def vector(seed: int, text: str, dimensions: int) -> list[float]:
    """``dimensions`` numbers whose squares add up to 1."""
    raw = [int.from_bytes(digest(seed, text, i)[:4], "big") / 2**31 - 1 for i in range(dimensions)]
    length = math.sqrt(sum(x * x for x in raw)) or 1.0
    return [round(x / length, 7) for x in raw]
