"""HTTP requests of the agent that are no LLM calls, seen through OpenTelemetry's httpx instrumentation.

Tools talk to the world over HTTP; how long that took and what it answered belongs to the trace. OpenTelemetry knows
how to describe such a request, so its instrumentors do, on a TracerProvider of our own that nobody else sees. Taken
as they come they would surprise the agent in three ways, which the subclasses here prevent: they put a ``traceparent``
of ours on the wire, they make our span the current one for whatever runs below, and there may be only one of each per
process, which is the user's. LLM requests are left to :mod:`.http_clients`.

The OpenTelemetry SDK takes tens of milliseconds to import: an agent that makes no other HTTP request never pays it.
Its instrumentation imports both ``httpx`` and ``httpx2`` where both are installed; only what the agent had imported
itself by then is instrumented, and one that it imports after its first such request stays without spans.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import context
from ..guard import guarded
from ..tracer import Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Active = Callable[[], Tracer | None]

LIBRARIES = ("httpx", "httpx2")
"""What OpenTelemetry's instrumentation knows."""


class HttpSpans:
    """Turned on at the first request that is no LLM call."""

    def __init__(self, active: Active) -> None:
        self._active = active
        self._instrumentors: list[Any] = []
        self._lock = threading.Lock()
        self._on = False
        self._turn = 0

    def __call__(self) -> None:
        """Instrument the HTTP libraries that the agent uses, once."""
        if not self._on:
            self._turn_on()

    @guarded()
    def _turn_on(self) -> None:
        with self._lock:
            if self._on:
                return
            self._on = True
            used = [name for name in LIBRARIES if name in sys.modules]  # before OpenTelemetry imports them all
            from .http_span_recorder import instrumentors, private_provider

            provider: TracerProvider = private_provider(self._active)
            for instrumentor in instrumentors(partial(self._wanted, self._turn), used):
                instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
                self._instrumentors.append(instrumentor)

    @guarded(default=False)
    def _wanted(self, turn: int) -> bool:
        """Whether the present request is to be a span: not while off, and not where it is an LLM call's.

        A wrapper of an earlier turn, which could not be taken out because somebody wrapped it, is no longer asked.
        """
        return turn == self._turn and not context.in_send.get() and self._active() is not None

    @guarded()
    def off(self) -> None:
        """Take the instrumentation out again."""
        with self._lock:
            for instrumentor in self._instrumentors:
                guarded()(instrumentor.uninstrument)()
            self._instrumentors.clear()
            self._turn += 1
            self._on = False
