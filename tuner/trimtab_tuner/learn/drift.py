"""An arm's quality fell: seen per arm, from its own rewards, within tens of units.

In: rewards, in the order in which they became known. Out: whether the arm is to be learned anew. River's HDDM_W finds a
fall from .90 to .60 in a median of 51 units and one of ten points nearly always, where ADWIN takes 84 and mostly misses
the second (docs/decisions/0028). It watches bits: whether a reward is below what is usual for the arm.

I. Frías-Blanco, J. del Campo-Ávila, G. Ramos-Jiménez, R. Morales-Bueno, A. Ortiz-Díaz and Y. Caballero-Mota, "Online
and non-parametric drift detection methods based on Hoeffding's bounds", IEEE Transactions on Knowledge and Data
Engineering 27 (2015), 810-823.
"""

from __future__ import annotations

from typing import Any, Final, Self

from river.drift.binary import HDDMW

from .states import Reader, StateError

USUAL_AFTER: Final = 30
"""Rewards from which it is taken what is usual for an arm."""
CONFIDENCE: Final = 1e-5
"""Of the detector: the smaller, the fewer false alarms and the later true ones."""
REMEMBERED: Final = 200
"""Bits that are written down; older ones weigh nothing in a detector that forgets 5 % with each."""


class Drift:
    """Watches one arm."""

    KIND = "drift"

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._n, self._sum = 0, 0.0
        self._usual: float | None = None
        self._bits: list[int] = []
        self._detector: Any = HDDMW(CONFIDENCE, 10 * CONFIDENCE)  # type: ignore[no-untyped-call]

    def fell(self, quality: float) -> bool:
        """Take in a reward. True where the arm is no longer what it was; then it is watched anew."""
        if self._usual is None:
            self._n += 1
            self._sum += quality
            if self._n == USUAL_AFTER:
                self._usual = self._sum / self._n
            return False
        bit = int(quality < self._usual)
        self._bits = [*self._bits[-REMEMBERED + 1 :], bit] if len(self._bits) >= 2 * REMEMBERED else self._bits
        self._bits.append(bit)
        self._detector.update(bit)
        if self._detector.drift_detected:
            self._start()
            return True
        return False

    def state(self) -> dict[str, Any]:
        """As JSON."""
        bits = self._bits[-REMEMBERED:]
        return {"kind": self.KIND, "schema": 1, "n": self._n, "sum": self._sum, "usual": self._usual, "bits": bits}

    @classmethod
    def of_state(cls, state: Any, where: str) -> Self:
        """From JSON; StateError where it does not fit. The detector sees the last bits again."""
        reader = Reader(state, where, cls.KIND, 1)
        made = cls()
        made._n, made._sum = reader.count("n"), reader.number("sum", low=0.0)
        made._usual = reader.optional("usual", 0.0, 1.0)
        bits = reader.take("bits")
        reader.end()
        if not isinstance(bits, list) or len(bits) > REMEMBERED or not all(bit in (0, 1) for bit in bits):
            raise StateError(f"{where}.bits: expected at most {REMEMBERED} times 0 or 1, got {bits!r}")
        for bit in bits:
            made._detector.update(bit)
        made._bits = bits
        return made
