"""In what two arms of a case differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def differences(expected: Any, seen: Any) -> list[str]:
    """Where two plain values differ, and how."""
    return list(_differences(expected, seen, ""))


def _differences(expected: Any, seen: Any, where: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(seen, dict):
        for key in sorted(expected.keys() | seen.keys()):
            yield from _differences(expected.get(key), seen.get(key), f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(seen, list) and len(expected) == len(seen):
        for number, (one, other) in enumerate(zip(expected, seen, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif expected != seen or type(expected) is not type(seen):
        yield f"{where}: expected {str(expected)[:300]}, saw {str(seen)[:300]}"
