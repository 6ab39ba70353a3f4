"""Reading a request: its bytes, its method, its JSON, and what the log keeps of it.

In: a request as it came off the socket. Out: the parsed body and the beginning of a log entry, or a
:class:`~.formats.base.BadRequestError` that the client gets in its API's envelope. Apart from :mod:`.engine`, which
decides about answers and need not know what can be wrong with bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from .formats.base import BadRequestError, Problem
from .log import LogEntry, safe_headers, safe_path


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as it came off the socket."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    received_ns: int


def new_entry(n: int, raw: RawRequest, api: str | None, request_id: str) -> LogEntry:
    """The log entry of a request of which nothing has been answered yet."""
    return LogEntry(
        n=n,
        received_ns=raw.received_ns,
        finished_ns=0,
        method=raw.method,
        path=safe_path(raw.target),
        api=api,
        model=None,
        stream=False,
        step=None,
        headers=safe_headers(raw.headers),
        body=None,
        body_digest=sha256(raw.body).hexdigest()[:16],
        status=None,
        rule=None,
        fault=None,
        response_id=None,
        request_id=request_id,
        finish=None,
        text="",
        tool_calls=(),
        tool_result_ids=(),
        usage=None,
        chunks=0,
        response_bytes=0,
        client_closed=False,
    )


def check_method(method: str, headers: Mapping[str, str]) -> None:
    """Refuse what is no POST.

    Raises:
        BadRequestError: it is a WebSocket handshake (426, which makes clients fall back at once), or another method.
    """
    if "websocket" in headers.get("upgrade", "").lower():
        raise BadRequestError(
            Problem(426, "The scripted provider speaks no WebSocket; use plain HTTP.", code="upgrade_required")
        )
    if method != "POST":
        raise BadRequestError(Problem(405, f"{method} is not allowed here; use POST.", code="method_not_supported"))


def parse_json(raw: bytes, encoding: str) -> dict[str, Any]:
    """The body as a JSON object, after its content-encoding.

    Raises:
        BadRequestError: it is none.
    """
    if encoding in ("gzip", "deflate"):
        try:
            raw = zlib.decompress(raw, wbits=47)  # 32 + 15: gzip or zlib, told apart by the header
        except zlib.error as error:
            raise BadRequestError(Problem(400, f"The request body is no {encoding} data: {error}.")) from error
    elif encoding not in ("", "identity"):
        raise BadRequestError(
            Problem(415, f"The scripted provider can't read content-encoding {encoding!r}; use gzip or none.")
        )
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise BadRequestError(Problem(400, f"We could not parse the JSON body of your request: {error}")) from error
    if not isinstance(body, dict):
        raise BadRequestError(Problem(400, "We could not parse the JSON body of your request: expected an object."))
    return body
