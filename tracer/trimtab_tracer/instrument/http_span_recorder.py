"""OpenTelemetry's httpx instrumentors, made private: spans for us, nothing changed for the agent.

Imported by :mod:`.http_spans` only when it is needed, because it imports the OpenTelemetry SDK and both HTTP
libraries. Relies on the instrumentors' overridable request wrappers; where a later release renames them, no spans
are recorded and the agent's requests go out as before.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from .. import context
from ..guard import guarded, swallow
from ..records import HttpSpan
from ..redact import redact_url
from ..tracer import Tracer

Active = Callable[[], Tracer | None]

RUN_ID, SITE_ID, AFTER_CALL_ID = "trimtab.run.id", "trimtab.site.id", "trimtab.after_call.id"


class SpoolSpans(SpanProcessor):
    """Writes each ended span to the spool, with the run and the user's line it was started on."""

    def __init__(self, active: Active) -> None:
        self._active = active

    @guarded()
    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Note where we are: when the span ends it may be too late to tell."""
        tracer = self._active()
        if tracer is not None:
            span.set_attribute(RUN_ID, tracer.run_id())
            span.set_attribute(SITE_ID, tracer.sites.here(sys._getframe(1)).site_id)
            if (call_id := context.last_call()[0]) is not None:
                span.set_attribute(AFTER_CALL_ID, call_id)

    @guarded()
    def on_end(self, span: ReadableSpan) -> None:
        """Spool it."""
        tracer = self._active()
        attributes: dict[str, Any] = dict(span.attributes or {})
        if tracer is None or span.context is None or RUN_ID not in attributes:
            return
        ended = span.end_time or time.time_ns()
        started = span.start_time or ended
        error = next((e for e in span.events if e.name == "exception"), None)
        tracer.write(
            HttpSpan(
                span_id=f"{span.context.trace_id:032x}{span.context.span_id:016x}",
                run_id=attributes[RUN_ID],
                process_id=tracer.process.process_id,
                name=span.name,
                ts_ns=started,
                duration_ns=ended - started,
                method=attributes.get("http.request.method") or attributes.get("http.method") or "",
                url=redact_url(attributes.get("url.full") or attributes.get("http.url") or "").partition("?")[0],
                http_status=attributes.get("http.response.status_code") or attributes.get("http.status_code"),
                error_type=str((error.attributes or {}).get("exception.type")) if error is not None else None,
                site_id=attributes.get(SITE_ID),
                after_call_id=attributes.get(AFTER_CALL_ID),
            )
        )


def private_provider(active: Active) -> TracerProvider:
    """A provider of our own: never the global one, deaf to the environment's samplers and exporters."""
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.get_empty(), shutdown_on_exit=False)
    provider.add_span_processor(SpoolSpans(active))
    return provider


def instrumentors(wanted: Callable[[], bool], libraries: Collection[str]) -> list[Any]:
    """An instrumentor for each of ``libraries``; ``wanted`` says whether the present request counts."""
    made = [_private(base, wanted) for base in (HTTPXClientInstrumentor, HTTPX2ClientInstrumentor)]
    return [i for i in made if i._module is not None and i._module.__name__ in libraries]


def _private(base: Any, wanted: Callable[[], bool]) -> Any:
    class Private(base):  # type: ignore[misc]
        """Neither shares the one instance that is the user's, nor touches the request."""

        _instance = None
        _is_instrumented_by_opentelemetry = False

        def _instrument(self, **kwargs: Any) -> None:
            super()._instrument(meter_provider=NoOpMeterProvider(), **kwargs)
            self._ours = [(owner, name, vars(owner)[name]) for owner, name in _transports(self._module)]

        def _uninstrument(self, **_: Any) -> None:
            # Wrapped by somebody since, ours stays where it is and lets everything pass.
            for owner, name, ours in self._ours:
                if vars(owner).get(name) is ours:
                    setattr(owner, name, ours.__wrapped__)

        @staticmethod
        def _handle_request_wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any, **options: Any) -> Any:
            if not wanted():
                return wrapped(*args, **kwargs)
            return _send(base, wrapped, instance, args, kwargs, options)

        @staticmethod
        async def _handle_async_request_wrapper(
            wrapped: Any, instance: Any, args: Any, kwargs: Any, **options: Any
        ) -> Any:
            if not wanted():
                return await wrapped(*args, **kwargs)
            return await _send_async(base, wrapped, instance, args, kwargs, options)

    return Private()


def _send(base: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """The request within its span; it goes out once, whatever becomes of the span."""
    outer = otel_context.get_current()
    sent = Sent()

    def send(*_: Any, **__: Any) -> Any:
        with sent.noted(outer):
            sent.response = wrapped(*args, **kwargs)
        return sent.response

    try:
        return base._handle_request_wrapper(send, instance, _detached(args), dict(kwargs), **options)
    except Exception as error:
        if error is sent.error:
            raise
        swallow("http spans", error)
    if sent.error is not None:
        raise sent.error
    return sent.response if sent.begun else wrapped(*args, **kwargs)


async def _send_async(base: Any, wrapped: Any, instance: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """The same of an asynchronous client."""
    outer = otel_context.get_current()
    sent = Sent()

    async def send(*_: Any, **__: Any) -> Any:
        with sent.noted(outer):
            sent.response = await wrapped(*args, **kwargs)
        return sent.response

    try:
        return await base._handle_async_request_wrapper(send, instance, _detached(args), dict(kwargs), **options)
    except Exception as error:
        if error is sent.error:
            raise
        swallow("http spans", error)
    if sent.error is not None:
        raise sent.error
    return sent.response if sent.begun else await wrapped(*args, **kwargs)


@dataclass(slots=True)
class Sent:
    """What became of the request itself, so that an error of the recording around it can't take its place."""

    begun: bool = False
    response: Any = None
    error: Exception | None = None

    @contextmanager
    def noted(self, outer: otel_context.Context) -> Iterator[None]:
        """Around the request: it runs in the context it would have had without us."""
        self.begun = True
        token = otel_context.attach(outer)
        try:
            yield
        except Exception as error:
            self.error = error
            raise
        finally:
            otel_context.detach(token)


def _transports(module: Any) -> list[tuple[Any, str]]:
    return [(module.HTTPTransport, "handle_request"), (module.AsyncHTTPTransport, "handle_async_request")]


def _detached(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments with a copy of the request, so that headers set on it do not reach the wire."""
    return (copy.copy(args[0]), *args[1:])
