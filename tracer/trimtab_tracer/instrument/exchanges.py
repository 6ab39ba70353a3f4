"""Requests and responses of clients that are not httpx, as :mod:`..capture` reads them.

In: what an HTTP client was asked to send and what it got. Out: a :class:`RequestView` and a :class:`ResponseView` with
the few attributes of httpx's objects that are read, and a :class:`Reading`, which turns the chunks that a caller takes
into either a stream or one body. A module of its own so that the hot path knows one shape of request and not four.

A view is only looked at: it can't be sent, so no policy changes these requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..capture import Capture
from ..guard import guarded

STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/stream+json")
"""Content types of bodies whose parts the caller wants one by one."""

_ASKS_STREAM = re.compile(rb'"stream"\s*:\s*true')


class UrlView(NamedTuple):
    """Where a request goes."""

    netloc: bytes
    """Host and port; no credentials."""
    path: str
    """Unquoted, without a query."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class RequestView:
    """A request, before it is sent. Compared by identity, as the HTTP libraries' own are."""

    method: str
    """In capitals."""
    url: UrlView
    body: bytes | None
    """None where it can be read only once."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    extensions: Mapping[str, Any] = field(default_factory=dict)
    """``timeout``: a mapping whose ``read`` is the longest wait in seconds."""

    @property
    def content(self) -> bytes:
        """The body; raises where it can be read only once."""
        if self.body is None:
            raise ValueError("the body can be read only once, and that is the client's to do")
        return self.body

    @property
    def asks_stream(self) -> bool:
        """Whether the answer is to come in parts: the body says so, or Gemini's verb in the path."""
        return ":stream" in self.url.path or (self.body is not None and _ASKS_STREAM.search(self.body) is not None)


@dataclass(frozen=True, slots=True)
class ResponseView:
    """The head of a response, and its body where that is known."""

    status_code: int
    headers: Mapping[str, str]
    """Asked for by names in lower case; without the encodings that the client undoes."""
    content: bytes = b""


class Reading:
    """What a caller reads of one response.

    The chunks of a stream are told as they come. The parts of any other body are only its transport, so the body is
    told as a whole when its end was read. Ending twice is harmless: the first end counts.
    """

    def __init__(self, capture: Capture, response: ResponseView) -> None:
        self._capture = capture
        self._response = response
        self._is_stream = capture.stream or response.headers.get("content-type", "").startswith(STREAMS)
        self._parts: list[bytes] = []
        self._stumbled: BaseException | None = None
        capture.opened(response)

    @guarded()
    def chunk(self, data: bytes) -> None:
        """The caller got ``data``."""
        self._stumbled = None
        if self._is_stream:
            self._capture.chunk(data)
        else:
            self._parts.append(data)

    @guarded()
    def exhausted(self) -> None:
        """The caller has read everything."""
        if self._is_stream:
            self._capture.exhausted()
        else:
            head = self._response
            self._capture.read(ResponseView(head.status_code, head.headers, b"".join(self._parts)))
        self._parts = []

    @guarded()
    def stumbled(self, error: BaseException) -> None:
        """Waiting for more raised ``error``: the end, unless the caller goes on to read."""
        self._stumbled = error

    @guarded()
    def broke(self, error: BaseException) -> None:
        """Nothing more can be read."""
        self._capture.broke(error)

    @guarded()
    def closed(self) -> None:
        """The caller let go of the response, perhaps before its end."""
        if self._stumbled is not None:
            self._capture.broke(self._stumbled)
        else:
            self._capture.closed()
