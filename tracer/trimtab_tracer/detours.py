"""What a call tries that its own code would not, and the way back where it does not work out.

In: what became of a request that was changed in one of three ways: parameters of its body (:mod:`.body_knobs`), another
endpoint (:mod:`.endpoints`), a cheaper model first (``escalate``). Out: the :class:`~.resending.Sending` that goes out
instead, at once and at most once for each way, or None. A module of its own because each of these is a bet that the
incumbent's request does not make: when one is lost the agent gets what its own request brings, and not our failure.

So that an outage costs no more requests than without us, what failed is left alone for :data:`LEFT_S`, and a parameter
that a provider refused by name for as long as the process lives. Bounded; lost with the process.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .body_knobs import SPELLINGS
from .decisions import Order
from .resending import Outgoing, Resending, Sending
from .retries import Failure
from .shapes import value_class

REFUSALS = (400, 422)
"""Statuses that say that a request is not understood."""
LEFT_S = 60.0
"""How long an endpoint, or a model that was to answer first, is left alone after it failed."""
MAX_KNOWN = 4096
"""Refusals and failures that are remembered; the oldest are forgotten first."""
BY_REQUEST = frozenset({"bad_request", "context_overflow", "content_filter"})
"""Classes of failures that say nothing about an endpoint or a model: the request is what is wrong."""

BROKEN = "error"
"""Stands for a check that could not be made: the answer counts as failed."""

_FOR_GOOD = float("inf")

Key = tuple[str, ...]


class LeftAlone:
    """What was tried in this process and is not tried again, for a while or for good. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until: OrderedDict[Key, float] = OrderedDict()
        self._lock = threading.RLock()  # a signal handler may call a model, too

    def leave(self, key: Key, seconds: float = _FOR_GOOD) -> None:
        """Do not try ``key`` again for so long."""
        with self._lock:
            self._until[key] = self._monotonic() + seconds
            self._until.move_to_end(key)
            if len(self._until) > MAX_KNOWN:
                self._until.popitem(last=False)

    def has(self, *keys: Key) -> bool:
        """Whether one of these is to be left alone now."""
        if not self._until:
            return False
        with self._lock:
            now = self._monotonic()
            return any(self._until.get(key, -_FOR_GOOD) > now for key in keys)


def knob_key(knob: str, site_id: str, model: str | None) -> Key:
    """A parameter that requests of one line to one model are not to have."""
    return "knob", knob, site_id, model or ""


def endpoint_key(name: str) -> Key:
    """An endpoint."""
    return "endpoint", name


def first_key(host: str, model: str) -> Key:
    """A model that was to answer first."""
    return "first", host, model


@value_class
class Escalation:
    """A cheaper model answers first, and the call's own one where a check turns that down."""

    order: Order
    checks: tuple[str, ...]
    threshold: float
    """Grade from which an answer passes a check that grades."""
    request: dict[str, Any]
    """What is asked, for the checks to look at."""


class Detour:
    """The ways of one call that may have to be left again. Not thread-safe: a call is sent by one thread or task.

    Args:
        left: Of this process.
        outgoing: Makes the call's requests, with everything that is tried.
        site_id: The line of the call.
        escalation: Where another model answers first.
    """

    def __init__(self, left: LeftAlone, outgoing: Outgoing, site_id: str, escalation: Escalation | None) -> None:
        self._left = left
        self._outgoing = outgoing
        self._site_id = site_id
        self.resending: Resending | None = None
        """Our retry loop, if the call has one: it goes on from where we leave it."""
        self.escalation = escalation
        """None where there is none, and once its model has answered."""
        self.own = Sending(outgoing.request, outgoing.body, outgoing.model)
        """The request as the agent made it."""
        self.failed_check: str | None = None
        """Of the answer at hand: the check that turns it down, empty where none does; None where none was asked."""
        self.grade: float | None = None
        """Of that answer: the lowest that a check gave."""
        self.verdict: str | None = None
        """Of the escalation's checks; None as long as it has none."""

    @property
    def is_open(self) -> bool:
        """Whether anything is still tried."""
        out = self._outgoing
        return bool(out.changed or out.destination is not None or out.first is not None)

    def failed(self, failure: Failure, status: int | None, body: bytes | None) -> Sending | None:
        """What to send instead of a request that failed; None where nothing is tried with it that could be why.

        Args:
            failure: What it is.
            status: Of the response; None where there is none.
            body: Of the response, as far as it is known.
        """
        out = self._outgoing
        if refused := self._refused(status, body):
            for knob in refused:
                self._left.leave(knob_key(knob, self._site_id, out.model_asked))
            return self._go_on(out.without_params())
        lasts = failure.error_class not in BY_REQUEST
        if out.first is not None:
            if lasts:
                self._left.leave(first_key(out.host, out.first), LEFT_S)
            self.verdict = f"failed: {failure.error_class}"
            return self._go_on(out.without_first())
        if out.destination is not None:
            if lasts:
                self._left.leave(endpoint_key(out.destination.name), LEFT_S)
            return self._go_on(out.without_destination())
        return None

    def judged(self) -> Sending | None:
        """What to send instead of an answer of the model that was first; None where it passed its checks."""
        graded = "" if self.grade is None else f" {self.grade:.4g}"
        if self.failed_check == "":
            self.verdict = f"passed{graded}"
            return None
        self.verdict = f"failed: {self.failed_check or BROKEN}{graded}"
        return self._go_on(self._outgoing.without_first()) if self._outgoing.first is not None else None

    def _refused(self, status: int | None, body: bytes | None) -> list[str]:
        """The parameters that the provider names in its refusal."""
        if status not in REFUSALS or not body:
            return []
        return [knob for knob in self._outgoing.changed if any(name in body for name in SPELLINGS[knob])]

    def _go_on(self, outgoing: Outgoing) -> Sending:
        self._outgoing = outgoing
        if self.resending is None:
            return outgoing.sending()
        self.resending.outgoing = outgoing
        return self.resending.same()
