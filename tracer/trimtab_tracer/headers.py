"""A few header values, picked in one pass.

In: the headers of a request or response of either HTTP library. Out: the wanted ones by lower-case name. A module of
its own because it runs inside the agent's call: the libraries' own look-up normalises the name and walks the whole list
at each question, which for the five that a response is asked costs 15 us.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

RESPONSE = frozenset(
    (b"x-request-id", b"request-id", b"retry-after", b"retry-after-ms", b"content-type", b"content-encoding")
)
"""What is asked of a response."""


def picked(headers: Any, wanted: frozenset[bytes] = RESPONSE) -> dict[str, str]:
    """The headers named in ``wanted`` (lower case); the values of one that repeats are joined by commas.

    ``headers`` may also be another library's mapping: a user's hook may raise an error of any origin.
    """
    raw = getattr(headers, "raw", None)
    if not isinstance(raw, list):
        return _picked_from_mapping(headers, wanted)
    found: dict[str, str] = {}
    lengths = _lengths(wanted)
    for name, value in raw:
        if len(name) in lengths and (lower := name.lower()) in wanted:
            key, text = lower.decode("ascii"), value.decode("utf-8", "replace")
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


@cache
def _lengths(wanted: frozenset[bytes]) -> frozenset[int]:
    """Of the wanted names: most others are told by theirs alone."""
    return frozenset(map(len, wanted))


def _picked_from_mapping(headers: Any, wanted: frozenset[bytes]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        return {}
    names = {name.decode("ascii") for name in wanted}
    return {str(name).lower(): str(value) for name, value in headers.items() if str(name).lower() in names}
