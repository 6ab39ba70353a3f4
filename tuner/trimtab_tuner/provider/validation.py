"""Reading a table of a scenario key by key, with errors that say where, what and what else.

In: a mapping from TOML or JSON and the path to it (``scenario.toml: rules[2].fault``). Out: typed values, or a
:class:`~.errors.ScenarioError`. Apart from :mod:`.scenario` because it knows types and says nothing about meanings.
A key that nobody took is an error: a misspelt key must never make a test pass by being ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ScenarioError


class Table:
    """A mapping that is read key by key and must be used up."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ScenarioError.bad_value(where, data, "a table of keys and values")
        self.where = where
        self._data: dict[str, Any] = {str(k): v for k, v in data.items()}
        self._left = set(self._data)
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Whether the table gives ``key``."""
        return key in self._data

    def over(self, defaults: Mapping[str, Any]) -> Table:
        """The same table with ``defaults`` for keys that it does not give."""
        return Table({**defaults, **self._data}, self.where)

    def path(self, key: str) -> str:
        """Where ``key`` stands, for messages."""
        return f"{self.where}.{key}" if self.where.endswith("]") or ": " in self.where else f"{self.where}: {key}"

    def raw(self, key: str, default: Any = None) -> Any:
        """The value of ``key`` as it is."""
        self._known.add(key)
        self._left.discard(key)
        return self._data.get(key, default)

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string."""
        value: str | None = self._checked(key, default, (str,), "a string")
        return value

    def flag(self, key: str, default: bool | None = False) -> bool | None:
        """True or false."""
        value: bool | None = self._checked(key, default, (bool,), "true or false")
        return value

    def number(self, key: str, default: float | None = 0.0, most: float | None = None) -> float | None:
        """A number from 0 to ``most``."""
        value: float | None = self._checked(key, default, (int, float), "a number")
        if value is not None and (value < 0 or (most is not None and value > most) or value != value):
            raise ScenarioError.bad_value(self.path(key), value, "0 or more" if most is None else f"0 to {most:g}")
        return value

    def count(self, key: str, default: int | None = None, least: int = 0, most: int | None = None) -> int | None:
        """A whole number from ``least`` to ``most``."""
        value: int | None = self._checked(key, default, (int,), "a whole number")
        if value is not None and (value < least or (most is not None and value > most)):
            expected = f"a whole number from {least}" + ("" if most is None else f" to {most}")
            raise ScenarioError.bad_value(self.path(key), value, expected)
        return value

    def counts(self, key: str, least: int = 0) -> frozenset[int] | None:
        """A whole number or a list of them; None where ``key`` is missing."""
        value = self.raw(key)
        if value is None:
            return None
        numbers = value if isinstance(value, list) else [value]
        if not numbers or any(not isinstance(n, int) or isinstance(n, bool) or n < least for n in numbers):
            raise ScenarioError.bad_value(self.path(key), value, f"a whole number from {least}, or a list of such")
        return frozenset(numbers)

    def texts(self, key: str) -> tuple[str, ...]:
        """A string or a list of them; empty where ``key`` is missing."""
        value = self.raw(key, [])
        texts = value if isinstance(value, list | tuple) else [value]
        if any(not isinstance(text, str) or not text for text in texts):
            raise ScenarioError.bad_value(self.path(key), value, "a string, or a list of such")
        return tuple(texts)

    def choice(self, key: str, default: str, known: Iterable[str]) -> str:
        """One of the ``known`` words."""
        value = self.raw(key, default)
        words = tuple(known)
        if value not in words:
            raise ScenarioError.bad_choice(self.path(key), value, words)
        return str(value)

    def items(self, key: str) -> list[Any]:
        """A list; empty where ``key`` is missing."""
        value: list[Any] = self._checked(key, [], (list, tuple), "a list")
        return list(value)

    def done(self) -> None:
        """Say that every known key was asked for.

        Raises:
            ScenarioError: the table has a key that nobody took.
        """
        for key in sorted(self._left):
            raise ScenarioError.unknown_key(self.where, key, self._known)

    def _checked(self, key: str, default: Any, types: tuple[type, ...], expected: str) -> Any:
        value = self.raw(key, default)
        # bool is an int to Python, but `times = true` is a slip.
        if value is not None and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            raise ScenarioError.bad_value(self.path(key), value, expected)
        return value
