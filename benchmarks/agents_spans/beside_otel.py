"""Runs an unmodified agent with tracing on beside OpenTelemetry: ``python beside_otel.py agent.py [arguments]``.

In: a path. Out: whatever the agent does, with a global TracerProvider of its own and everything that its libraries can
trace by themselves turned on; trimtab reads it by ``attach()``. Runs inside the agent's environment, which has to hold
the OpenTelemetry SDK. Third-party instrumentors that are installed there are turned on too, by their entry points.
``BESIDE_SPANS`` names a file that gets one line of JSON per exported span: what another backend would be sent.
"""

from __future__ import annotations

import importlib.util
import json
import os
import runpy
import sys
from importlib import metadata

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

import trimtab


class Lines(SpanProcessor):
    """The user's own exporter."""

    def __init__(self, path: str) -> None:
        """Write to ``path``."""
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  until the process ends

    def on_end(self, span: ReadableSpan) -> None:
        """Write a span's name, scope and attribute names."""
        scope = span.instrumentation_scope.name if span.instrumentation_scope else None
        said = {"scope": scope, "name": span.name, "attributes": sorted(span.attributes or {})}
        self._file.write(json.dumps(said) + "\n")
        self._file.flush()


def turn_on_native() -> None:
    """What frameworks trace only when they are told to."""
    os.environ.setdefault("MISTRAL_SDK_TELEMETRY", "global")
    if importlib.util.find_spec("pydantic_ai") is not None:
        from pydantic_ai import Agent

        Agent.instrument_all()
    if importlib.util.find_spec("ag2") is not None:
        turn_on_ag2()


def turn_on_ag2() -> None:
    """AG2 traces the agents that are given its middleware."""
    import ag2
    from ag2.middleware.builtin.telemetry import TelemetryMiddleware

    original = ag2.Agent.__init__

    def init(self: object, name: str, *args: object, middleware: tuple[object, ...] = (), **kwargs: object) -> None:
        original(self, name, *args, middleware=[*middleware, TelemetryMiddleware(agent_name=name)], **kwargs)

    ag2.Agent.__init__ = init


def turn_on_installed() -> None:
    """Instrumentors of the GenAI conventions, of OpenInference and of OpenLLMetry, as far as they are installed."""
    wanted = ("openai", "anthropic", "langchain", "mistralai", "google_genai", "litellm", "openai_agents", "mcp")
    for group in ("opentelemetry_instrumentor", "openinference_instrumentor"):
        for entry in metadata.entry_points(group=group):
            if any(name in entry.name.lower().replace("-", "_") for name in wanted):
                entry.load()().instrument(skip_dep_check=True)


sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
trimtab.instrument()
trimtab.attach()
provider = TracerProvider()
if path := os.environ.get("BESIDE_SPANS"):
    provider.add_span_processor(Lines(path))
trace.set_tracer_provider(provider)
turn_on_native()
turn_on_installed()
runpy.run_path(sys.argv[0], run_name="__main__")
