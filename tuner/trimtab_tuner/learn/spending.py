"""What challengers cost in the last 24 hours, against a cap.

In: costs and when they were spent. Out: whether exploring has to pause. By the hour, so that a campaign of months keeps
25 numbers.
"""

from __future__ import annotations

from typing import Any, Final, Self

from .states import Reader, StateError

HOUR_NS: Final = 3_600 * 10**9
HOURS: Final = 24


class Spending:
    """USD by hour."""

    KIND = "spending"

    def __init__(self) -> None:
        self._hours: dict[int, float] = {}

    def add(self, cost_usd: float, at_ns: int) -> None:
        """Count a cost."""
        hour = at_ns // HOUR_NS
        self._hours[hour] = self._hours.get(hour, 0.0) + cost_usd
        if len(self._hours) > HOURS + 1:
            newest = max(self._hours)
            self._hours = {one: usd for one, usd in self._hours.items() if one > newest - HOURS - 1}

    def last_day_usd(self, now_ns: int) -> float:
        """What the last 24 hours cost, and the begun hour before them."""
        return sum(usd for hour, usd in self._hours.items() if hour >= now_ns // HOUR_NS - HOURS)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.KIND, "schema": 1, "hours": {str(hour): usd for hour, usd in self._hours.items()}}

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls()
        try:
            made._hours = {int(hour): usd for hour, usd in reader.numbers("hours", low=0.0).items()}
        except ValueError as error:
            raise StateError(f"{where}.hours: expected whole numbers as keys: {error}") from error
        reader.end()
        return made
