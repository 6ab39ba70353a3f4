"""How often one question goes out: the shapes.

In: nothing; :mod:`.layers` fills these from a case. Out: frozen values that findings and reports share. Apart from
:mod:`.layers` so that whoever only shows a report needs no data frames.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Any


@dataclass(frozen=True, slots=True)
class Layer:
    """One loop."""

    owner: str
    """``sdk | framework | user | unknown``: a framework's loop may also be one of the user's around its call; unknown
    where the way from the line to the request was not recorded."""
    name: str | None
    """The package where it is known, several with "or" between them where it may be any of them."""
    times: int
    """How often it tries, as seen."""
    configured: int | None = None
    """How often it was told to try; None where nothing says so."""


@dataclass(frozen=True, slots=True)
class RetryStack:
    """The loops around the requests of one line at one host and model. Amounts are of its worst question."""

    site_id: str | None
    host: str
    model: str | None
    layers: tuple[Layer, ...]
    """The outermost first; the product of their ``times`` is how often a permanent failure is sent."""
    questions: int
    """Questions asked there, each counted once however often it was sent."""
    repeated: int
    """Those that were sent more than once."""
    unanswered: int
    """Those among them that got no answer in the end."""
    is_permanent: bool
    """Whether the worst question got no answer: its figures are what a permanent failure costs; else at least that."""
    requests: int
    took_s: float
    """From its first request to the end of its last."""
    waited_s: float
    """Of that, without a request under way."""
    error_class: str | None
    input_tokens: int
    """Reported for its failed requests; errors seldom report any."""
    cost_musd: int
    """Billed for its failed requests, as far as known: 0 where all of them were refused unbilled."""
    unpriced: int
    """Its failed requests of unknown cost."""
    call_ids: tuple[str, ...]

    @property
    def times(self) -> int:
        """How often a permanent failure is sent, all loops multiplied."""
        return prod(layer.times for layer in self.layers)

    def evidence(self) -> dict[str, Any]:
        """The layers, and what the worst question cost, as JSON for a finding."""
        of_one = ("is_permanent", "requests", "took_s", "waited_s", "input_tokens", "cost_musd", "unpriced")
        return {
            "layers": [asdict(layer) for layer in self.layers],
            "one_failure": {name: getattr(self, name) for name in of_one},
        }
