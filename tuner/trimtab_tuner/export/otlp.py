"""Sends spans to an OTLP/HTTP backend: protobuf, gzip, in batches, again with growing pauses where it is busy.

In: spans, an address, and the name of a variable that holds headers. Out: how many spans the backend took. Encoding,
compression and repeating are OpenTelemetry's exporter's; here is what it does not tell: why a batch was refused, and
how many spans of an accepted one the backend turned down. The first batch that can't be delivered ends the export with
a :class:`~trimtab_tracer.errors.TrimtabError`; because ids do not change, sending all of it again duplicates nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from trimtab_tracer.errors import SettingsError, TrimtabError

BATCH = 512
"""Spans of one request."""
TIMEOUT_S = 60.0
"""Longest that one batch may take, with all its repetitions."""
TRACES_PATH = "/v1/traces"
"""Where OTLP/HTTP takes spans, below the address of a backend."""


class Sent(NamedTuple):
    """What a backend was given."""

    spans: int
    rejected: int
    """Of them, how many it says it turned down."""
    reason: str
    """What it said about those."""


def address_of(url: str) -> str:
    """The full address to post to: ``url`` itself if it names the path, else with OTLP's path behind it.

    Raises:
        SettingsError: it is no address, or carries a user and password, which other users of this machine could read.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"--otlp {url}: expected an address such as `http://127.0.0.1:4318`.")
    if parts.username or parts.password:
        raise SettingsError(
            "--otlp: put no password into the address; name a variable with headers with --headers-env."
        )
    path = parts.path.rstrip("/")
    path = path if path.endswith(TRACES_PATH) else path + TRACES_PATH
    return parts._replace(path=path, fragment="").geturl()


def headers_from(variable: str | None) -> dict[str, str]:
    """Headers from an environment variable, as OpenTelemetry writes them: ``name=value,name=value``, percent-encoded.

    Raises:
        SettingsError: the variable is not set, or holds something else; its value is not shown.
    """
    if variable is None:
        return {}
    text = os.environ.get(variable)
    if not text:
        raise SettingsError(f"--headers-env {variable}: there is no such variable, or it is empty.")
    headers = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"--headers-env {variable}: expected NAME=VALUE pairs with commas between them.")
        headers[key.strip()] = unquote(value.strip())
    return headers


class _Answers(requests.Session):
    """Remembers what the backend answered, which the exporter keeps to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.rejected = 0
        self.reason = ""
        self.hooks["response"].append(self._read)

    def _read(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if response.ok and response.content:
            try:
                partial = ExportTraceServiceResponse.FromString(response.content).partial_success
            except DecodeError:  # it answered JSON, or a page
                return
            self.rejected += partial.rejected_spans
            self.reason = partial.error_message or self.reason


def send(spans: Iterable[ReadableSpan], address: str, headers: dict[str, str], timeout_s: float = TIMEOUT_S) -> Sent:
    """Deliver every span, in order.

    Raises:
        TrimtabError: a batch could not be delivered; says how much was before it.
    """
    answers = _Answers()
    exporter = OTLPSpanExporter(
        endpoint=address, headers=headers, timeout=timeout_s, compression=Compression.Gzip, session=answers
    )
    sent = 0
    try:
        for batch in _batches(spans):
            with _heard() as said:
                result = exporter.export(batch)
            if result is not SpanExportResult.SUCCESS:
                why = said[-1].rstrip(".") if said else "no reason was given"
                raise TrimtabError(
                    f"{address}: {why}. {sent} spans were delivered before that; mend it and export again:"
                    " the same spans keep their ids."
                )
            sent += len(batch)
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]
    return Sent(sent, answers.rejected, answers.reason)


def _batches(spans: Iterable[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    left = iter(spans)
    while batch := list(islice(left, BATCH)):
        yield batch


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What the exporter logs meanwhile; it tells the reason of a failure nowhere else."""
    said: list[str] = []
    log = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    propagates, log.propagate = log.propagate, False
    try:
        yield said
    finally:
        log.removeHandler(handler)
        log.propagate = propagates
