"""What `trimtab.attach()` costs a span, and what an attempt pays to know the span it is sent in.

    python benchmarks/attach_cost.py

Processor time of one thread, in microseconds: spans on a provider that is read and on one that is not, in turns; the
median of the rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider

import trimtab
from trimtab_tracer.otel_context import current_span_ids

ROUNDS, TIMES = 15, 1_000
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 300,
    "gen_ai.usage.output_tokens": 30,
}
OTHER = {"http.request.method": "GET", "url.full": "http://localhost/", "http.response.status_code": 200}


def span_of(provider: TracerProvider, attributes: dict[str, str | int]) -> Callable[[], None]:
    """A function that makes one span."""
    tracer = provider.get_tracer("app")
    return lambda: tracer.start_span("span", attributes=attributes).end()


def main() -> None:
    """Measure and print."""
    trimtab.instrument(home=tempfile.mkdtemp(prefix="trimtab-attach-"))
    bare, attached = TracerProvider(), TracerProvider()
    trimtab.attach(attached)
    ways: dict[str, Callable[[], object]] = {
        f"{about} span, {'read' if provider is attached else 'not read'}": span_of(provider, attributes)
        for about, attributes in (("call", CALL), ("other", OTHER))
        for provider in (bare, attached)
    }
    ways["current span's ids"] = current_span_ids
    taken = defaultdict(list)
    with bare.get_tracer("app").start_as_current_span("around"):
        for _ in range(ROUNDS):
            for name, do in ways.items():
                started = time.thread_time_ns()
                for _ in range(TIMES):
                    do()
                taken[name].append((time.thread_time_ns() - started) / TIMES / 1000)
    trimtab.uninstrument()
    for name, times in taken.items():
        print(f"{name:24} {statistics.median(times):6.1f} us")


if __name__ == "__main__":
    main()
