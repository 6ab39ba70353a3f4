"""What a hook hands on to be parsed: an attempt and the bytes that went over the wire, untouched.

The hook keeps bytes as they came and does nothing with them; undoing the transfer's compression and parsing happen
behind the queue or in the sidecar, off the caller's path.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import replace

from .decisions import Hint, Order, of_the_sdk
from .exchange import Captured
from .records import Attempt, Site
from .shapes import value_class
from .wire.formats import WireFormat

MAX_DECODED_BYTES = 64 * 1024 * 1024
"""A compressed body that unpacks to more is not unpacked."""


PORTABLE = ("", "identity", "gzip", "deflate")
"""Encodings that every Python undoes; another process than the agent's may have no decoder for others."""


@value_class
class Caught:
    """One ended attempt, ready to be parsed."""

    attempt: Attempt
    fmt: WireFormat
    request_body: bytes | None
    response_body: bytes | None
    """None where there was no response, or more of it than is kept."""
    content_type: str
    content_encoding: str
    """Encodings still on ``response_body``; empty where the HTTP library took them off."""
    site: Site
    """The line of the call."""
    hint: Hint | None
    """What the SDK said about the request."""
    orders: tuple[Order, ...] = ()
    """What a policy set for the call."""
    is_spending: bool = False
    """Whether the attempt may cost more than what the agent would have sent."""
    line: bytes | None = None
    """The attempt as it was spooled; None where it could not be encoded."""

    @property
    def size_bytes(self) -> int:
        """Memory the bodies hold."""
        return len(self.request_body or b"") + len(self.response_body or b"")

    def portable(self) -> Caught:
        """The same, with a response that another process can read."""
        if self.content_encoding in PORTABLE or self.response_body is None:
            return self
        return replace(self, response_body=decode(self.response_body, self.content_encoding), content_encoding="")

    def captured(self) -> Captured:
        """The attempt with its bodies readable."""
        body = self.response_body
        return Captured(
            attempt=self.attempt,
            fmt=self.fmt,
            request_body=self.request_body,
            response_body=decode(body, self.content_encoding) if body is not None else None,
            is_sse="text/event-stream" in self.content_type,
            choices=of_the_sdk(self.attempt.timeout_s, self.hint, self.site),
            orders=self.orders,
        )


def decode(body: bytes, encodings: str) -> bytes | None:
    """``body`` with its ``content-encoding`` undone; None where that is unknown, broken or too large.

    A stream that was left early decodes to what had arrived.
    """
    for encoding in reversed([e.strip().lower() for e in encodings.split(",") if e.strip()]):
        decoder = _DECODERS.get(encoding)
        try:
            decoded = decoder(body) if decoder is not None else None
        except Exception:
            return None
        if decoded is None:
            return None
        body = decoded
    return body


def _inflate(window_bits: int) -> Callable[[bytes], bytes]:
    def inflate(body: bytes) -> bytes:
        return zlib.decompressobj(window_bits).decompress(body, MAX_DECODED_BYTES)

    return inflate


def _deflate(body: bytes) -> bytes:
    try:
        return _inflate(zlib.MAX_WBITS)(body)
    except zlib.error:
        return _inflate(-zlib.MAX_WBITS)(body)  # some servers send raw deflate under this name


def _brotli(body: bytes) -> bytes:
    # The agent asked for it only if it can undo it, so one of these is there.
    name = next(n for n in ("brotli", "brotlicffi") if importlib.util.find_spec(n) is not None)
    decoded: bytes = importlib.import_module(name).Decompressor().process(body)
    return decoded


def _zstd(body: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": lambda body: body,
    "gzip": _inflate(zlib.MAX_WBITS | 16),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
