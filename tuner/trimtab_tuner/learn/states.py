"""State that was written down, checked before anything is built from it.

In: what a JSON document gave. Out: numbers, arrays and texts of the shape that was asked for, or :class:`StateError`,
which names the place, what stood there and what was expected. A module of its own because every learner, gate and
detector loads its state through it, and none may start from half a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class StateError(ValueError):
    """A state does not fit its schema; nothing was built from it."""


class Reader:
    """One object of a state, read key by key; :meth:`end` refuses what was not asked for."""

    def __init__(self, state: Any, where: str, kind: str, schema: int) -> None:
        if not isinstance(state, dict):
            raise StateError(f"{where}: expected an object, got {type(state).__name__}")
        self._left = dict(state)
        self._where = where
        if (got := self._left.pop("kind", None)) != kind:
            raise StateError(f"{where}: expected the state of a {kind!r}, got {got!r}")
        if (number := self._left.pop("schema", None)) != schema:
            raise StateError(f"{where}: expected schema {schema}, got {number!r}; it was written by another version")

    def take(self, key: str) -> Any:
        """What stands under a key, of any shape."""
        if key not in self._left:
            raise StateError(f"{self._where}: {key!r} is missing")
        return self._left.pop(key)

    def number(self, key: str, low: float = -float("inf"), high: float = float("inf")) -> float:
        """A finite number in [low, high]."""
        return self._finite(self.take(key), key, low, high)

    def optional(self, key: str, low: float = -float("inf"), high: float = float("inf")) -> float | None:
        """The same, or None."""
        value = self.take(key)
        return None if value is None else self._finite(value, key, low, high)

    def count(self, key: str) -> int:
        """A whole number of at least 0."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise StateError(f"{self._where}.{key}: expected a whole number of at least 0, got {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.take(key)
        if not isinstance(value, bool):
            raise StateError(f"{self._where}.{key}: expected true or false, got {value!r}")
        return value

    def text(self, key: str, among: tuple[str, ...] | None = None) -> str:
        """A string, one of ``among`` where that is given."""
        value = self.take(key)
        if not isinstance(value, str) or (among is not None and value not in among):
            raise StateError(f"{self._where}.{key}: expected {among or 'a string'}, got {value!r}")
        return value

    def texts(self, key: str, least: int = 0) -> list[str]:
        """Different strings, at least so many."""
        value = self.take(key)
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise StateError(f"{self._where}.{key}: expected a list of strings, got {value!r}")
        if len(set(value)) != len(value) or len(value) < least:
            raise StateError(f"{self._where}.{key}: expected at least {least} different strings, got {value!r}")
        return value

    def array(self, key: str, shape: tuple[int, ...], low: float = -float("inf"), high: float = float("inf")) -> Floats:
        """Finite numbers in [low, high] of a shape."""
        value = self.take(key)
        try:
            found = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise StateError(f"{self._where}.{key}: expected numbers of shape {shape}, got {value!r}") from error
        if 0 in shape and found.size == 0:
            found = found.reshape(shape)
        if found.shape != shape:
            raise StateError(f"{self._where}.{key}: expected numbers of shape {shape}, got {found.shape}")
        if not np.isfinite(found).all() or (found < low).any() or (found > high).any():
            raise StateError(f"{self._where}.{key}: expected finite numbers in [{low:g}, {high:g}], got {value!r}")
        return found

    def numbers(self, key: str, low: float = -float("inf")) -> dict[str, float]:
        """An object of finite numbers of at least ``low``."""
        value = self.take(key)
        if not isinstance(value, dict):
            raise StateError(f"{self._where}.{key}: expected an object of numbers, got {value!r}")
        return {str(name): self._finite(one, f"{key}.{name}", low, float("inf")) for name, one in value.items()}

    def object(self, key: str, keys: Iterable[str]) -> dict[str, Any]:
        """An object whose keys are among these."""
        value = self.take(key)
        known = list(keys)
        if not isinstance(value, dict) or not set(value) <= set(known):
            raise StateError(f"{self._where}.{key}: expected an object with keys of {known}, got {value!r}")
        return value

    def list(self, key: str, length: int | None = None) -> list[Any]:
        """A list, of that length where it is given."""
        value = self.take(key)
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise StateError(f"{self._where}.{key}: expected a list{f' of {length}' if length else ''}, got {value!r}")
        return value

    def optional_text(self, key: str, among: tuple[str, ...] | None = None) -> str | None:
        """A string, one of ``among`` where that is given, or None."""
        value = self.take(key)
        if value is not None and (not isinstance(value, str) or (among is not None and value not in among)):
            raise StateError(f"{self._where}.{key}: expected None or {among or 'a string'}, got {value!r}")
        return value

    def members(self, key: str, names: Iterable[str]) -> dict[str, Any]:
        """An object with exactly these keys."""
        value = self.take(key)
        wanted = list(names)
        if not isinstance(value, dict) or set(value) != set(wanted):
            raise StateError(f"{self._where}.{key}: expected an object of {wanted}, got {value!r}")
        return {name: value[name] for name in wanted}

    def end(self) -> None:
        """Nothing else may stand there."""
        if self._left:
            raise StateError(f"{self._where}: unknown keys {sorted(self._left)}")

    def _finite(self, value: Any, key: str, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise StateError(f"{self._where}.{key}: expected a finite number, got {value!r}")
        if not low <= value <= high:
            raise StateError(f"{self._where}.{key}: expected a number in [{low:g}, {high:g}], got {value!r}")
        return float(value)
