"""Other HTTP traffic: seen through OpenTelemetry, without touching request, context or the user's own tracing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trimtab_tracer.records import Attempt, HttpSpan, Site
from trimtab_tracer.redact import MARK
from trimtab_tuner.provider import Provider, Scenario

Recorded = Callable[[type], list[Any]]


@pytest.fixture
def web() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A web server that answers 404 below /missing; its URL and the headers it got."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(404 if self.path.startswith("/missing") else 200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_tool_traffic_is_a_span(recorded: Recorded, web: Any, module: Any) -> None:
    """A request that is no LLM call is a span with method, URL without query, status and line."""
    url, _ = web
    with module.Client() as http:
        http.get(url + "/missing?key=secret")
    (span,) = recorded(HttpSpan)
    assert ("GET", url + "/missing", 404) == (span.method, span.url, span.http_status)
    assert "http.get(url" in next(s.source for s in recorded(Site) if s.site_id == span.site_id)


def test_secrets_in_the_path_are_masked(recorded: Recorded, web: Any) -> None:
    """A bot's token in the path of a tool's request does not reach the span; the rest of the path does."""
    url, _ = web
    with httpx2.Client() as http:
        http.get(f"{url}/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1/sendMessage")
    assert [f"{url}/bot{MARK}/sendMessage"] == [span.url for span in recorded(HttpSpan)]


def test_only_what_the_agent_imported_is_instrumented(web: Any, tmp_path: Path) -> None:
    """In an agent that uses httpx2 alone the spans leave httpx as it is, also after OpenTelemetry imported it."""
    program = (
        "import sys, httpx2, trimtab\n"
        "trimtab.instrument()\n"
        "assert 'httpx' not in sys.modules\n"
        f"with httpx2.Client() as http: http.get({web[0]!r})\n"
        "import httpx\n"
        "print([hasattr(m.HTTPTransport.handle_request, '__wrapped__') for m in (httpx, httpx2)])\n"
    )
    env = os.environ | {"TRIMTAB_HOME": str(tmp_path / "home"), "TRIMTAB_STRICT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert "[False, True]" == done.stdout.strip()


def test_nothing_is_added_to_the_request(recorded: Recorded, web: Any) -> None:
    """No header of ours travels, inside a span of the user's own and outside of one."""
    url, seen = web
    with httpx2.Client() as http:
        http.get(url)
        with TracerProvider().get_tracer("users").start_as_current_span("users"):
            http.get(url)
    assert 2 == len(recorded(HttpSpan))
    sent = {name.lower() for headers in seen for name in headers}
    assert sent.isdisjoint({"traceparent", "tracestate", "baggage"})


def test_llm_calls_are_not_spans_too(recorded: Recorded) -> None:
    """An LLM request is an attempt and nothing else, also once the spans are on."""
    with Provider(Scenario.from_dict({})) as provider, httpx2.Client() as http:
        http.get(provider.url + "/v1/models")
        http.post(provider.url + "/v1/chat/completions", json={"model": "m", "messages": []})
    assert (1, 1) == (len(recorded(HttpSpan)), len(recorded(Attempt)))


def test_users_own_instrumentation_keeps_working(recorded: Recorded, web: Any, tmp_path: Path) -> None:
    """The user's instrumentor, switched on after ours, gets its spans; taking ours out leaves it in place.

    What could not be taken out records nothing more, also when tracing is on again."""
    import trimtab

    url, _ = web
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with httpx2.Client() as http:
        http.get(url)
        HTTPX2ClientInstrumentor().instrument(tracer_provider=provider)
        try:
            http.get(url)
            assert (1, 2) == (len(exporter.get_finished_spans()), len(recorded(HttpSpan)))
            trimtab.uninstrument()
            http.get(url)
            assert (2, 2) == (len(exporter.get_finished_spans()), len(recorded(HttpSpan)))
            trimtab.instrument(home=tmp_path / "home", flush_interval_s=0.001)
            http.get(url)
            assert 3 == len(recorded(HttpSpan))
        finally:
            HTTPX2ClientInstrumentor().uninstrument()


def test_our_span_is_not_the_current_one(recorded: Recorded, web: Any) -> None:
    """Code that runs below the request sees the context it would see without us."""
    url, _ = web
    seen: list[Any] = []

    class Looking(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            response = super().handle_request(request)
            seen.append(trace.get_current_span().get_span_context().is_valid)
            return response

    with httpx2.Client(transport=Looking()) as http:
        http.get(url)
        http.get(url)
    assert [False, False] == seen
