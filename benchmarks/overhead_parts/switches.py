"""How each subject is switched on, in an interpreter of its own environment. Imports nothing before it is asked.

Each function switches one on and gives what waits until it has written everything it holds. Peers keep content where
they can, and hand their spans to an exporter that does nothing: the cheapest that each of them can be used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Flush = Callable[[], Any]


def bare() -> Flush:
    """The SDK alone."""
    return lambda: None


def trimtab() -> Flush:
    """As it comes, with redacted content; its home, with or without a policy, is the environment's."""
    import trimtab

    trimtab.instrument()
    return trimtab.flush


def otel_httpx() -> Flush:
    """OpenTelemetry's instrumentation of httpx2: no bodies, no tokens."""
    from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

    HTTPX2ClientInstrumentor().instrument(tracer_provider=_provider())
    return lambda: None


def otel_genai() -> Flush:
    """OpenTelemetry's instrumentation of openai, with messages."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = "span_only"
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())
    return lambda: None


def openinference() -> Flush:
    """OpenInference's instrumentation of openai; messages are its default."""
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument(tracer_provider=_provider())
    return lambda: None


def langfuse() -> Flush:
    """Langfuse's replacement of openai; messages are its default."""
    from langfuse import Langfuse

    client = Langfuse(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=_nothing())
    import langfuse.openai  # noqa: F401  wraps the methods of openai's own classes

    return client.flush


def _nothing() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Nothing(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    return Nothing()


def _provider() -> Any:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_nothing()))
    return provider


SWITCHES: dict[str, Callable[[], Flush]] = {
    switch.__name__: switch for switch in (bare, trimtab, otel_httpx, otel_genai, openinference, langfuse)
}
